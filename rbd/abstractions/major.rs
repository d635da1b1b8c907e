// SPDX-License-Identifier: GPL-2.0-only

//! Block device major numbers.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::bindings;
use kernel::{error::to_result, prelude::*, str::CString};

/// A registered major number.
pub(crate) struct Major {
    number: u32,
    name: CString,
}

impl Major {
    /// Registers a free one under `name` (as `/proc/devices` shows it). May sleep.
    pub(crate) fn register(name: CString) -> Result<Self> {
        // SAFETY: `name` is a C string, copied by the callee.
        let number = unsafe { bindings::__register_blkdev(0, name.as_char_ptr(), None) };
        to_result(number)?;
        Ok(Self {
            number: u32::try_from(number)?,
            name,
        })
    }

    /// The number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Major {
    fn drop(&mut self) {
        // SAFETY: Registered by `register` with these very arguments.
        unsafe { bindings::unregister_blkdev(self.number, self.name.as_char_ptr()) };
    }
}
