// SPDX-License-Identifier: GPL-2.0-only

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use super::bindings;
use core::ptr::NonNull;
use kernel::{
    sync::aref::{ARef, AlwaysRefCounted},
    types::Opaque,
};

/// A network namespace. Two references are equal when they are to the same one.
///
/// # Invariants
///
/// Instances of this type are always refcounted by `get_net()` and `put_net()`.
#[repr(transparent)]
pub struct NetNs(Opaque<bindings::net>);

// SAFETY: A `struct net` may be used and released from any task.
unsafe impl Send for NetNs {}
// SAFETY: Nothing of a `struct net` is touched but its reference count.
unsafe impl Sync for NetNs {}

impl NetNs {
    /// The namespace of the current task.
    pub fn current() -> ARef<Self> {
        // SAFETY: A running task always has a namespace.
        let net = unsafe { bindings::net_ceph_current_net() };
        // SAFETY: The pointer is never null.
        let net = unsafe { NonNull::new_unchecked(net) };
        // SAFETY: The call above took a reference, which the `ARef` now owns; the layouts agree.
        unsafe { ARef::from_raw(net.cast()) }
    }

    /// The C object.
    pub(super) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }
}

// SAFETY: The reference count is that of the C object.
unsafe impl AlwaysRefCounted for NetNs {
    fn inc_ref(&self) {
        // SAFETY: A shared reference means that the count is not zero.
        unsafe { bindings::net_ceph_get_net(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that it owns.
        unsafe { bindings::net_ceph_put_net(obj.cast().as_ptr()) };
    }
}

impl PartialEq for NetNs {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for NetNs {}
