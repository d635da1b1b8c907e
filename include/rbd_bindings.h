/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The C headers that `rbd/abstractions` needs beyond `kernel::bindings`. The items taken from them
 * are named in rbd/bindgen_parameters.
 */

/* First, avoid forward references to `enum` types, as rust/bindings/bindings_helper.h does. */
#include <linux/hrtimer_types.h>

#include "rbd_helpers.h"
