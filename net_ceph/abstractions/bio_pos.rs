// SPDX-License-Identifier: GPL-2.0-only

//! A position in the bvecs of a chain of bios, for [data cursors](super::data).
//!
//! C headers: [`include/linux/bvec.h`](srctree/include/linux/bvec.h),
//! [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::bindings;
use core::ptr::{self, NonNull};

/// A position in the bvecs of a chain of bios.
#[derive(Clone, Copy)]
pub(super) struct BioPos {
    /// The current bio.
    bio: NonNull<bindings::bio>,
    /// Index of the current bvec.
    idx: u32,
    /// Bytes of it that lie behind.
    pub(super) done: u32,
    /// Bytes of the bio that lie ahead.
    pub(super) left: u32,
}

/// A contiguous run of bytes ahead.
pub(super) enum Run {
    /// In `len` bytes from `offset` of `page`, which may go on into the pages that follow.
    Pages {
        page: *mut bindings::page,
        offset: usize,
        len: usize,
    },
    /// At an address.
    Bytes { ptr: *mut u8, len: usize },
}

impl BioPos {
    /// The start of `bio`.
    ///
    /// # Safety
    ///
    /// `bio` must be valid.
    pub(super) unsafe fn start(bio: NonNull<bindings::bio>) -> Self {
        // SAFETY: The caller says that `bio` is valid.
        let iter = unsafe { &raw const (*bio.as_ptr()).bi_iter };
        // SAFETY: `iter` is in a valid bio; its fields need not be aligned.
        let (idx, left) = unsafe {
            (
                ptr::read_unaligned(&raw const (*iter).bi_idx),
                ptr::read_unaligned(&raw const (*iter).bi_size),
            )
        };
        // SAFETY: `iter` is in a valid bio.
        let done = unsafe { bindings::net_ceph_bvec_iter_done(iter) };
        Self {
            bio,
            idx,
            done,
            left,
        }
    }

    /// The start of the bio after this one.
    ///
    /// # Safety
    ///
    /// The chain must be valid.
    pub(super) unsafe fn next_bio(&self) -> Option<Self> {
        // SAFETY: The caller says that the chain is valid.
        let next = NonNull::new(unsafe { (*self.bio.as_ptr()).bi_next })?;
        // SAFETY: As above.
        Some(unsafe { Self::start(next) })
    }

    /// The current bvec, in the bio's array.
    ///
    /// # Safety
    ///
    /// The chain must be valid, and bytes must be left in the current bio.
    pub(super) unsafe fn bvec(&self) -> *const bindings::bio_vec {
        // SAFETY: With bytes left, `idx` is in the bio's array.
        unsafe { (*self.bio.as_ptr()).bi_io_vec.add(self.idx as usize) }
    }

    /// Moves on by `n` bytes, or to the end.
    ///
    /// # Safety
    ///
    /// The chain must be valid.
    pub(super) unsafe fn advance(&mut self, mut n: usize) {
        loop {
            // Stand on a byte ahead, if there is one, so that `bvec` can be asked.
            while self.left == 0 {
                // SAFETY: The caller says that the chain is valid.
                match unsafe { self.next_bio() } {
                    Some(next) => *self = next,
                    None => return,
                }
            }
            // SAFETY: Bytes are left in the current bio.
            let in_bvec = unsafe { (*self.bvec()).bv_len }.saturating_sub(self.done);
            if in_bvec == 0 {
                self.idx += 1;
                self.done = 0;
                continue;
            }
            if n == 0 {
                return;
            }
            // No more than a `u32` has room for.
            let step = n.min(in_bvec.min(self.left) as usize) as u32;
            self.done += step;
            self.left -= step;
            n -= step as usize;
        }
    }

    /// The bytes of the current bvec that lie ahead.
    ///
    /// # Safety
    ///
    /// The chain must be valid.
    pub(super) unsafe fn run(&self) -> Option<Run> {
        if self.left == 0 {
            return None;
        }
        // SAFETY: Bytes are left in the current bio.
        let bv = unsafe { *self.bvec() };
        Some(Run::Pages {
            page: bv.bv_page,
            offset: bv.bv_offset as usize + self.done as usize,
            len: bv.bv_len.saturating_sub(self.done).min(self.left) as usize,
        })
    }

    /// How many bvecs hold the next `n` bytes (of this bio), and, if `splice`, whether all of these bytes may be
    /// spliced. A bvec can be far larger than what a bio has of it: only the pages of these bytes are looked at.
    ///
    /// # Safety
    ///
    /// The chain must be valid, with at least `n` bytes left in the current bio.
    pub(super) unsafe fn span(&self, n: usize, splice: bool) -> (usize, bool) {
        let mut count = 0;
        let mut skip = self.done;
        // What is left in a bio is less than 4 GiB.
        let mut left = n as u32;
        let mut spliceable = splice;
        // SAFETY: The caller says that bytes are left in the current bio.
        let first = unsafe { self.bvec() };
        while left > 0 {
            // SAFETY: The bvecs hold the bytes left, so this one is in the array.
            let bv = cut(unsafe { *first.add(count) }, skip, left);
            // SAFETY: The pages of a bio in flight are valid, and these are some of its bytes.
            spliceable = spliceable && unsafe { bindings::net_ceph_bvec_spliceable(&bv) };
            left -= bv.bv_len;
            skip = 0;
            count += 1;
        }
        (count, spliceable)
    }
}

/// What `bv` has behind its first `skip` bytes, at most `left`.
pub(super) fn cut(mut bv: bindings::bio_vec, skip: u32, left: u32) -> bindings::bio_vec {
    bv.bv_offset += skip;
    bv.bv_len = bv.bv_len.saturating_sub(skip).min(left);
    bv
}
