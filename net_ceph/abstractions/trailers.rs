// SPDX-License-Identifier: GPL-2.0-only

//! Memory for the few bytes that follow data which are spliced into a socket, so that they can be
//! spliced with them.
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

use super::bindings;
use kernel::{
    page::{Page, PAGE_SIZE},
    prelude::*,
};

/// A page that is filled from its start. The network holds references of its own to what it sends, so
/// bytes are written once, and a full page is let go of.
#[derive(Default)]
pub struct Trailers {
    page: Option<Page>,
    used: usize,
}

impl Trailers {
    /// Puts `bytes` where they can be spliced from. Allocates now and then; fails if they are longer than a
    /// page. The result is good until the next call.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<bindings::bio_vec> {
        if bytes.len() > PAGE_SIZE {
            return Err(E2BIG);
        }
        let page = match self.page.take() {
            Some(page) if bytes.len() <= PAGE_SIZE - self.used => page,
            _ => {
                self.used = 0;
                Page::alloc_page(GFP_KERNEL)?
            }
        };
        let page = self.page.insert(page);
        // SAFETY: The source is a slice. Nobody reads or writes these bytes of the page: they are handed
        // out once, below.
        unsafe { page.write_raw(bytes.as_ptr(), self.used, bytes.len())? };
        let bv = bindings::bio_vec {
            bv_page: page.as_ptr(),
            // Both are at most a page.
            bv_len: bytes.len() as u32,
            bv_offset: self.used as u32,
        };
        self.used += bytes.len();
        Ok(bv)
    }
}
