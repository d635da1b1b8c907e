// SPDX-License-Identifier: GPL-2.0-only

//! A counted reference whose type is forgotten: what keeps the memory of a data cursor valid.

use core::{mem::ManuallyDrop, ptr::NonNull};
use kernel::sync::{
    aref::{ARef, AlwaysRefCounted},
    Arc,
};

/// A reference to an object of any type, which keeps some memory valid.
///
/// # Invariants
///
/// `object` carries one reference of the kind that `ops` handles.
pub struct Owner {
    object: NonNull<()>,
    ops: &'static OwnerOps,
}

/// How to take and drop a reference.
struct OwnerOps {
    get: unsafe fn(NonNull<()>),
    put: unsafe fn(NonNull<()>),
}

/// The operations for each type of reference.
struct OpsOf<T>(core::marker::PhantomData<T>);

impl<T: AlwaysRefCounted> OpsOf<ARef<T>> {
    const OPS: OwnerOps = OwnerOps {
        get: |p| {
            // SAFETY: The caller passes a pointer to a valid `T`.
            unsafe { p.cast::<T>().as_ref() }.inc_ref();
        },
        put: |p| {
            // SAFETY: The caller passes a pointer to a valid `T` and gives up a reference to it.
            unsafe { T::dec_ref(p.cast()) };
        },
    };
}

impl<T> OpsOf<Arc<T>> {
    const OPS: OwnerOps = OwnerOps {
        get: |p| {
            // SAFETY: The caller passes a pointer that `Arc::into_raw` returned, whose reference is
            // not used up here.
            let arc = unsafe { Arc::from_raw(p.cast::<T>().as_ptr().cast_const()) };
            let arc = ManuallyDrop::new(arc);
            core::mem::forget(Arc::clone(&arc));
        },
        put: |p| {
            // SAFETY: The caller passes a pointer that `Arc::into_raw` returned, and gives up its
            // reference.
            drop(unsafe { Arc::from_raw(p.cast::<T>().as_ptr().cast_const()) });
        },
    };
}

// SAFETY: The constructors take objects that are `Send` and `Sync`.
unsafe impl Send for Owner {}
// SAFETY: The constructors take objects that are `Send` and `Sync`.
unsafe impl Sync for Owner {}

impl Owner {
    /// Holds `object`. Its last reference may be dropped in any context that drops a cursor.
    pub fn from_aref<T: AlwaysRefCounted + Send + Sync + 'static>(object: ARef<T>) -> Self {
        // INVARIANT: The reference of `object` is passed on.
        Self {
            object: ARef::into_raw(object).cast(),
            ops: &OpsOf::<ARef<T>>::OPS,
        }
    }

    /// Holds `object`. Its last reference may be dropped in any context that drops a cursor.
    pub fn from_arc<T: Send + Sync + 'static>(object: Arc<T>) -> Self {
        let raw = Arc::into_raw(object).cast_mut().cast();
        // INVARIANT: The reference of `object` is passed on.
        Self {
            // SAFETY: An `Arc` is never null.
            object: unsafe { NonNull::new_unchecked(raw) },
            ops: &OpsOf::<Arc<T>>::OPS,
        }
    }
}

impl Clone for Owner {
    fn clone(&self) -> Self {
        // SAFETY: By the invariant, `object` is of the type that `get` expects.
        unsafe { (self.ops.get)(self.object) };
        // INVARIANT: `get` took the reference that the clone carries.
        Self {
            object: self.object,
            ops: self.ops,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: By the invariant, there is one reference to give up.
        unsafe { (self.ops.put)(self.object) };
    }
}
