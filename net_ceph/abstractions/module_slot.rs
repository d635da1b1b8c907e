// SPDX-License-Identifier: GPL-2.0-only

//! A place for what a module keeps while it is loaded, reachable from functions that other modules call.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use super::bindings;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        rcu, Arc,
    },
};

/// A static that holds an `Arc<T>` between [`fill`](Self::fill) and the drop of the [`Filled`] it gave.
///
/// # Invariants
///
/// `ptr` is 0 or comes from `Arc::<T>::into_raw`, and the reference that it stands for is given back no
/// earlier than an RCU grace period after `ptr` stopped having that value.
pub struct ModuleSlot<T: Send + Sync + 'static> {
    ptr: Atomic<usize>,
    _type: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> ModuleSlot<T> {
    /// An empty slot.
    pub const fn new() -> Self {
        // INVARIANT: `ptr` is 0.
        Self {
            ptr: Atomic::new(0),
            _type: PhantomData,
        }
    }

    /// Fills the slot until what this returns is dropped. `EBUSY` if it is full.
    pub fn fill(&'static self, value: Arc<T>) -> Result<Filled<T>> {
        let ptr = Arc::into_raw(value);
        // INVARIANT: The reference of `value` belongs to the slot now.
        if self.ptr.cmpxchg(0, ptr as usize, Full).is_ok() {
            return Ok(Filled(self));
        }
        // SAFETY: The pointer comes from `into_raw` above and nobody else has it.
        drop(unsafe { Arc::from_raw(ptr) });
        Err(EBUSY)
    }

    /// What the slot holds. Any context.
    pub fn get(&self) -> Option<Arc<T>> {
        let _guard = rcu::read_lock();
        let ptr = self.ptr.load(Acquire) as *const T;
        if ptr.is_null() {
            return None;
        }
        // SAFETY: By the type's invariants the pointer comes from `into_raw`, and its reference is not
        // given back while we are in the read-side section. It stays the slot's: `ManuallyDrop`.
        let held = ManuallyDrop::new(unsafe { Arc::from_raw(ptr) });
        Some(Arc::clone(&held))
    }
}

impl<T: Send + Sync + 'static> Default for ModuleSlot<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps a [`ModuleSlot`] full. Its drop sleeps.
pub struct Filled<T: Send + Sync + 'static>(&'static ModuleSlot<T>);

impl<T: Send + Sync + 'static> Drop for Filled<T> {
    fn drop(&mut self) {
        let ptr = self.0.ptr.load(Relaxed) as *const T;
        self.0.ptr.store(0, Relaxed);
        // SAFETY: May be called in any context that may sleep; a drop of the module's struct is one.
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: Only `fill` puts a pointer there, and only into an empty slot; the grace period is over.
        drop(unsafe { Arc::from_raw(ptr) });
    }
}
