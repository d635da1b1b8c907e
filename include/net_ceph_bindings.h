/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The C headers that `net_ceph/abstractions` needs beyond `kernel::bindings`. The items taken from
 * them are named in net_ceph/bindgen_parameters.
 */

/* First, avoid forward references to `enum` types, as rust/bindings/bindings_helper.h does. */
#include <linux/hrtimer_types.h>

#include <linux/crc32c.h>

#include "net_ceph_helpers.h"
