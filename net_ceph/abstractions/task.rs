// SPDX-License-Identifier: GPL-2.0-only

//! The current task: what it may do, and how it may allocate.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use super::bindings;
use kernel::types::NotThreadSafe;

/// While it lives, no allocation of the current task waits on I/O: `GFP_KERNEL` acts as `GFP_NOIO`.
///
/// Scopes nest. Everything on the way of a block request runs within one.
#[must_use = "the scope ends when the value is dropped"]
pub struct NoIoScope {
    previous: u32,
    _not_send: NotThreadSafe,
}

impl NoIoScope {
    /// Begins a scope.
    // Not inlined into other modules, for which the C helper is not there.
    #[inline(never)]
    pub fn enter() -> Self {
        Self {
            // SAFETY: Changes a flag of the current task; the type is not `Send`, so `drop` restores
            // it in the same task.
            previous: unsafe { bindings::net_ceph_noio_save() },
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for NoIoScope {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: `previous` comes from the matching save in this task.
        unsafe { bindings::net_ceph_noio_restore(self.previous) };
    }
}

/// Whether the current task has `CAP_SYS_ADMIN` in the initial user namespace.
pub fn capable_admin() -> bool {
    // SAFETY: Always safe to call.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as i32) }
}

/// Whether a signal is pending for the current task.
pub fn signal_pending() -> bool {
    kernel::current!().signal_pending()
}
