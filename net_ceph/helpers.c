// SPDX-License-Identifier: GPL-2.0-only
/*
 * C functions that stand in for macros and inline functions, for Rust to call.
 */

#include "net_ceph_helpers.h"

void net_ceph_write_lock_bh(rwlock_t *lock)
{
	write_lock_bh(lock);
}

void net_ceph_write_unlock_bh(rwlock_t *lock)
{
	write_unlock_bh(lock);
}
