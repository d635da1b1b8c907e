// SPDX-License-Identifier: GPL-2.0-only

//! This module: references, which keep its code loaded, and its parameter.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use super::bindings;
use kernel::prelude::*;

/// This module's `struct module`.
pub(super) const THIS_MODULE: *mut bindings::module = &raw mut bindings::__this_module;

/// Keeps the module loaded.
///
/// Dropping the last reference in module code is a race by nature: the drop returns into that code.
/// So, as C drivers do, keep references in objects whose last user returns at once.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference; `ENODEV` if the module is going.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: The pointer is to this very module.
        if unsafe { bindings::try_module_get(THIS_MODULE) } {
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference that `get` took.
        unsafe { bindings::module_put(THIS_MODULE) };
    }
}

/// The parameter `single_major`: whether all devices share a major number.
pub(crate) fn single_major() -> bool {
    // SAFETY: Reads a variable that is set before any code of the module runs.
    unsafe { bindings::rbd_single_major() }
}
