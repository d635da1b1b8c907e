/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The C headers that `net_ceph/abstractions` needs beyond `kernel::bindings`. The items taken from
 * them are named in net_ceph/bindgen_parameters.
 */

/* First, avoid forward references to `enum` types, as rust/bindings/bindings_helper.h does. */
#include <linux/hrtimer_types.h>

#include <crypto/aes.h>
#include <linux/crc32c.h>
#include <linux/delay.h>
#include <linux/key-type.h>
#include <linux/keyctl.h>
#include <linux/tcp.h>

#include "net_ceph_helpers.h"

/* Members of enums without a name, whose type the bindings could not name either. */
const int NET_CEPH_IPPROTO_TCP = IPPROTO_TCP;
const int NET_CEPH_TCP_ESTABLISHED = TCP_ESTABLISHED;
const int NET_CEPH_TCP_SYN_SENT = TCP_SYN_SENT;
const int NET_CEPH_TCP_SYN_RECV = TCP_SYN_RECV;
const int NET_CEPH_TCP_CLOSE_WAIT = TCP_CLOSE_WAIT;
