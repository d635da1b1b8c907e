/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C functions of net_ceph.ko that stand in for macros and inline functions, for Rust to call.
 */
#ifndef NET_CEPH_HELPERS_H
#define NET_CEPH_HELPERS_H

#include <net/sock.h>

void net_ceph_write_lock_bh(rwlock_t *lock);
void net_ceph_write_unlock_bh(rwlock_t *lock);

#endif
