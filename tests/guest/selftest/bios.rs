// SPDX-License-Identifier: GPL-2.0-only

//! Chains of bios as a block request has them: odd offsets, runs of pages, empty and partly done
//! bios.

use crate::check;
use core::ptr::{self, NonNull};
use kernel::{bindings, prelude::*, sync::Arc};
use net_ceph::abstractions::{
    crc32c::crc32c,
    data::{DataCursor, Owner},
};

/// The bvecs of each bio: offset in an allocation of 2^order pages, length, order.
const SHAPE: &[&[(u32, u32, u32)]] = &[
    &[(0, 4096, 0), (512, 1024, 0)],
    &[(100, 30_000, 3)],
    &[],
    &[(4095, 1, 0), (1, 4094, 0), (5000, 10_000, 2)],
];

/// A chain of bios with memory of its own.
pub(crate) struct Chain {
    first: *mut bindings::bio,
    pages: KVec<(*mut bindings::page, u32)>,
}

// SAFETY: Plain memory.
unsafe impl Send for Chain {}
// SAFETY: Plain memory, touched by cursors alone.
unsafe impl Sync for Chain {}

impl Chain {
    /// A chain of [`SHAPE`] with a pattern in it.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let mut chain = Self {
            first: ptr::null_mut(),
            pages: KVec::new(),
        };
        let mut last: *mut bindings::bio = ptr::null_mut();
        for bvecs in SHAPE {
            // SAFETY: Plain allocation, checked below.
            let bio = unsafe { bindings::bio_kmalloc(8, bindings::GFP_KERNEL) };
            let bio = NonNull::new(bio).ok_or(ENOMEM)?.as_ptr();
            // SAFETY: The table of a `bio_kmalloc` bio follows it.
            unsafe {
                bindings::bio_init(bio, ptr::null_mut(), bio.add(1).cast(), 8, 0);
            }
            if last.is_null() {
                chain.first = bio;
            } else {
                // SAFETY: `last` is a valid bio of ours.
                unsafe { (*last).bi_next = bio };
            }
            last = bio;
            for &(offset, len, order) in *bvecs {
                // Those of order 2 are not compound: their tails have no references, so the
                // network stack cannot take any and has to copy.
                let compound = if order == 2 {
                    0
                } else {
                    1 << bindings::___GFP_COMP_BIT
                };
                // SAFETY: Plain allocation, checked below.
                let page = unsafe { bindings::alloc_pages(bindings::GFP_KERNEL | compound, order) };
                let page = NonNull::new(page).ok_or(ENOMEM)?.as_ptr();
                chain.pages.push((page, order), GFP_KERNEL)?;
                // SAFETY: The bio has room, the pages are ours.
                check!(unsafe { bindings::bio_add_page(bio, page, len, offset) } == len as i32);
            }
        }
        let chain = Arc::new(chain, GFP_KERNEL)?;
        let mut cursor = chain.cursor();
        let mut i = 0u32;
        while !cursor.is_empty() {
            cursor.copy_from(&[(i * 31 + i / 251) as u8]);
            i += 1;
        }
        Ok(chain)
    }

    pub(crate) fn cursor(self: &Arc<Self>) -> DataCursor {
        // SAFETY: The chain is valid while it exists, and nobody else touches it.
        unsafe { DataCursor::from_bios(self.first, Owner::from_arc(self.clone())) }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let mut bio = self.first;
        while !bio.is_null() {
            // SAFETY: The bios are ours, from `bio_kmalloc`.
            bio = unsafe {
                let next = (*bio).bi_next;
                bindings::bio_uninit(bio);
                bindings::kfree(bio.cast());
                next
            };
        }
        for &(page, order) in &self.pages {
            // SAFETY: The pages are ours; whoever spliced them has references of its own.
            unsafe { bindings::__free_pages(page, order) };
        }
    }
}

/// The sum of [`SHAPE`].
pub(crate) const LEN: usize = 4096 + 1024 + 30_000 + 1 + 4094 + 10_000;

pub(crate) fn cursor() -> Result {
    let chain = Chain::new()?;
    let all = chain.cursor();
    check!(all.remaining() == LEN);
    let mut flat = KVVec::from_elem(0u8, LEN, GFP_KERNEL)?;
    check!(all.clone().copy_to(&mut flat) == LEN);
    for (i, b) in flat.iter().enumerate() {
        check!(*b == (i * 31 + i / 251) as u8);
    }
    // Every kind of border, from every kind of start.
    for start in [
        0, 1, 4095, 4096, 4097, 5119, 5120, 5121, 35_119, 35_120, 35_121, 35_122, 39_214, LEN,
    ] {
        let mut at = chain.cursor();
        at.advance(start);
        check!(at.remaining() == LEN - start);
        for len in [0, 1, 2, 4096, 9000, 40_000, LEN] {
            let end = (start + len).min(LEN);
            check!(at.crc32c(3, len) == crc32c(3, &flat[start..end]));
            let mut part = at.take(len);
            check!(part.remaining() == end - start);
            let mut copy = KVVec::from_elem(0u8, LEN, GFP_KERNEL)?;
            check!(part.copy_to(&mut copy) == end - start);
            check!(copy[..end - start] == flat[start..end]);
        }
    }
    // In steps, as a socket moves it.
    let mut at = chain.cursor();
    let mut done = 0;
    while done < LEN {
        check!(at.crc32c(0, 7) == crc32c(0, &flat[done..(done + 7).min(LEN)]));
        at.advance(977);
        done += 977;
    }
    check!(at.is_empty());
    // Writing touches what it should, no more.
    let mut at = chain.cursor();
    at.advance(5000);
    at.take(20_000).zero_fill(usize::MAX);
    let mut now = KVVec::from_elem(0u8, LEN, GFP_KERNEL)?;
    chain.cursor().copy_to(&mut now);
    check!(now[..5000] == flat[..5000] && now[25_000..] == flat[25_000..]);
    check!(now[5000..25_000].iter().all(|b| *b == 0));
    Ok(())
}
