// SPDX-License-Identifier: GPL-2.0-only

//! What files in debugfs show of this module.

use super::{bindings, module::THIS_MODULE};
use kernel::fmt;
use net_ceph::abstractions::debugfs::Text;

/// A value of this module, shown as `show` says.
pub(crate) struct OwnText<T> {
    pub(crate) value: T,
    pub(crate) show: fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
}

// SAFETY: It can only be made, and so be shown, by this module.
unsafe impl<T: Send + Sync + 'static> Text for OwnText<T> {
    const MODULE: *mut bindings::module = THIS_MODULE;

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.show)(&self.value, f)
    }
}
