// SPDX-License-Identifier: GPL-2.0-only

//! The page that a sysfs `show` fills.

use super::bindings;
use core::fmt;
use kernel::ffi;

/// Bytes that fit: sysfs shows at most a page, and keeps its last byte.
const CAPACITY: usize = bindings::PAGE_SIZE - 1;

/// Text under construction. What does not fit is cut off.
pub(crate) struct Text<'a> {
    page: &'a mut [u8],
    len: usize,
}

impl<'a> Text<'a> {
    /// Writes into `page`.
    ///
    /// # Safety
    ///
    /// `page` must point to a page that nothing else accesses during `'a`.
    pub(super) unsafe fn from_page(page: *mut ffi::c_char) -> Self {
        // SAFETY: By the requirement of this function; sysfs hands out zeroed pages.
        let page = unsafe { core::slice::from_raw_parts_mut(page.cast::<u8>(), CAPACITY) };
        Self { page, len: 0 }
    }

    /// Appends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.page.iter_mut().skip(self.len).zip(bytes) {
            *slot = *byte;
            self.len += 1;
        }
    }

    /// Appends bytes and a newline.
    pub(crate) fn line(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.bytes(b"\n");
    }

    /// Bytes written.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}
