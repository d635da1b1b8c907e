// SPDX-License-Identifier: GPL-2.0-only

//! The memory that bulk data is sent from and received into, without a copy of our own.
//!
//! A [`DataCursor`] is a position in the pages of a block request's bios, or in a [`DataBuf`]. It
//! keeps the memory valid through an [`Owner`], so whoever handles one needs no `unsafe`.
//!
//! The bytes may be changed by others at any time (a page under write-back can be), so no reference
//! to them is ever made: they are copied, summed and sent by raw pointer.
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

pub use super::owner::Owner;
use super::{
    bindings,
    bio_pos::{cut, BioPos, Run},
    crc32c::crc32c_raw,
};
use core::{
    num::NonZero,
    ptr::{self, NonNull},
};
use kernel::{prelude::*, sync::Arc};

/// What a cursor stands in; nothing is a buffer without bytes.
#[derive(Clone, Copy)]
enum Place {
    Bios(BioPos),
    Buffer(NonNull<u8>),
}

/// A cursor without its owner.
///
/// # Invariants
///
/// `place` has at least `remaining` bytes ahead while the owner of the cursor exists, and if it is in
/// pieces, all that lies between them. Then `piece` is not 0 as long as bytes remain.
#[derive(Clone, Copy)]
struct Position {
    place: Place,
    remaining: usize,
    /// Bytes of the current piece, if there are pieces; it may be cut short by `remaining`.
    piece: u32,
    /// Bytes of the pieces that follow; 0: all that remains is one piece.
    run: u32,
    /// Bytes between two pieces.
    skip: u32,
}

// Cursors are copied with every request.
const _: () = assert!(size_of::<DataCursor>() <= 64);

impl Position {
    /// `remaining` bytes in one piece.
    const fn plain(place: Place, remaining: usize) -> Self {
        Self {
            place,
            remaining,
            piece: 0,
            run: 0,
            skip: 0,
        }
    }

    /// How many bytes lie ahead in one piece.
    fn in_piece(&self) -> usize {
        if self.run == 0 {
            self.remaining
        } else {
            self.remaining.min(self.piece as usize)
        }
    }

    /// Moves on by `n` bytes, or to the end.
    ///
    /// # Safety
    ///
    /// The memory must be valid.
    unsafe fn advance(&mut self, n: usize) {
        let mut n = n.min(self.remaining);
        if self.run == 0 {
            self.remaining -= n;
            // SAFETY: The caller says that the memory is valid; `n` bytes lie ahead.
            return unsafe { self.place.advance(n) };
        }
        while n > 0 {
            // `piece` is a `u32`.
            let step = n.min(self.piece as usize);
            self.piece -= step as u32;
            self.remaining -= step;
            n -= step;
            let ended = self.piece == 0 && self.remaining > 0;
            let gap = if ended { self.skip as usize } else { 0 };
            // SAFETY: As above; with bytes remaining, the gap lies ahead, too.
            unsafe { self.place.advance(step + gap) };
            if ended {
                self.piece = self.run;
            }
        }
    }

    /// Calls `f` with the address and length of each run of the next `n` bytes, and moves on.
    ///
    /// # Safety
    ///
    /// The memory must be valid.
    unsafe fn walk(&mut self, n: usize, mut f: impl FnMut(*mut u8, usize)) {
        let mut n = n.min(self.remaining);
        while n > 0 {
            let here = n.min(self.in_piece());
            let run = match &self.place {
                // SAFETY: The caller says that the memory is valid.
                Place::Bios(pos) => unsafe { pos.run() },
                Place::Buffer(ptr) => Some(Run::Bytes {
                    ptr: ptr.as_ptr(),
                    len: here,
                }),
            };
            let step = match run {
                None => return,
                Some(Run::Bytes { ptr, len }) => {
                    f(ptr, len);
                    len
                }
                Some(Run::Pages { page, offset, len }) => {
                    let len = len.min(here);
                    // SAFETY: The run is in the pages of a valid bvec.
                    unsafe { with_pages(page, offset, len, &mut f) };
                    len
                }
            };
            // SAFETY: The caller says that the memory is valid.
            unsafe { self.advance(step) };
            n -= step;
        }
    }
}

impl Place {
    /// Moves on by `n` bytes.
    ///
    /// # Safety
    ///
    /// The memory must be valid, and `n` bytes lie ahead.
    unsafe fn advance(&mut self, n: usize) {
        match self {
            // SAFETY: The caller says that the memory is valid.
            Place::Bios(pos) => unsafe { pos.advance(n) },
            // SAFETY: `n` bytes lie ahead in the same buffer, so this is in it or at its end.
            Place::Buffer(ptr) => *ptr = unsafe { ptr.add(n) },
        }
    }
}

/// Calls `f` with the mapped runs of `len` bytes from `offset` of `page`.
///
/// # Safety
///
/// The bytes must be in `page` and the pages that follow it contiguously, and those be valid.
unsafe fn with_pages(
    page: *mut bindings::page,
    offset: usize,
    len: usize,
    f: &mut impl FnMut(*mut u8, usize),
) {
    let mut at = offset;
    let end = offset + len;
    while at < end {
        let in_page = at % kernel::page::PAGE_SIZE;
        // Where each page is mapped by itself, a run ends with its page; else the direct map has
        // them all in a row.
        let step = if cfg!(CONFIG_KMAP_LOCAL) {
            (end - at).min(kernel::page::PAGE_SIZE - in_page)
        } else {
            end - at
        };
        // SAFETY: The page at `at` is one of those that the caller vouches for.
        let base = unsafe { bindings::kmap_local_page(page.add(at / kernel::page::PAGE_SIZE)) };
        // SAFETY: `in_page` is within the mapped page.
        f(unsafe { base.cast::<u8>().add(in_page) }, step);
        // SAFETY: `base` was mapped above, last.
        unsafe { bindings::kunmap_local(base) };
        at += step;
    }
}

/// A position in memory that data is sent from or received into.
///
/// Clones are cheap and independent, and the memory stays valid while one exists.
///
/// # Invariants
///
/// The memory of `pos` is valid for reads and writes while `_owner` is held.
#[derive(Clone)]
pub struct DataCursor {
    pos: Position,
    _owner: Option<Owner>,
}

// SAFETY: The memory is not bound to a task; it is only touched by raw copies.
unsafe impl Send for DataCursor {}
// SAFETY: Through a shared reference the memory is only read, by raw copies.
unsafe impl Sync for DataCursor {}

impl Default for DataCursor {
    fn default() -> Self {
        Self::empty()
    }
}

impl DataCursor {
    /// A cursor over nothing.
    pub const fn empty() -> Self {
        // INVARIANT: There is no memory.
        Self {
            pos: Position::plain(Place::Buffer(NonNull::dangling()), 0),
            _owner: None,
        }
    }

    /// A cursor over all that the chain `bio`, `bio->bi_next`... has ahead; a null `bio` is an empty
    /// chain. [`advance`](Self::advance) and [`take`](Self::take) make it the part for one object.
    ///
    /// # Safety
    ///
    /// While a clone of `owner` exists, the bios, their bvecs and their pages must be valid, the
    /// iterators of the bios must not move, and the pages may be read and, if data is received into
    /// the cursor, written.
    pub unsafe fn from_bios(bio: *mut bindings::bio, owner: Owner) -> Self {
        let Some(bio) = NonNull::new(bio) else {
            return Self::empty();
        };
        // SAFETY: The caller says that the chain is valid.
        let mut pos = unsafe { BioPos::start(bio) };
        let mut remaining = pos.left as usize;
        let mut at = pos;
        // SAFETY: As above.
        while let Some(next) = unsafe { at.next_bio() } {
            remaining += next.left as usize;
            at = next;
        }
        // SAFETY: As above. Nothing is skipped but empty bios and bvecs.
        unsafe { pos.advance(0) };
        // INVARIANT: The caller says that the memory is valid while the owner is held; the bytes
        // were counted.
        Self {
            pos: Position::plain(Place::Bios(pos), remaining),
            _owner: Some(owner),
        }
    }

    /// Bytes ahead.
    pub fn remaining(&self) -> usize {
        self.pos.remaining
    }

    /// Whether no bytes are ahead.
    pub fn is_empty(&self) -> bool {
        self.pos.remaining == 0
    }

    /// Moves on by `n` bytes, or to the end.
    pub fn advance(&mut self, n: usize) {
        // SAFETY: The memory is valid by the type invariant.
        unsafe { self.pos.advance(n) };
    }

    /// A cursor over the next `n` bytes, or what there is.
    pub fn take(&self, n: usize) -> Self {
        let mut part = self.clone();
        // INVARIANT: It only shrinks.
        part.pos.remaining = part.pos.remaining.min(n);
        part
    }

    /// A cursor over pieces: the next `first` bytes, then pieces of `run` bytes with `skip` bytes between two,
    /// `total` bytes in all. Only what lies ahead in one piece is divided so; `total` is cut to what is
    /// there.
    pub fn strided(&self, first: usize, run: usize, skip: usize, total: usize) -> Self {
        let mut part = self.clone();
        let pos = &mut part.pos;
        let ahead = pos.in_piece().min(u32::MAX as usize);
        let period = run.saturating_add(skip);
        let period = NonZero::new(period).unwrap_or(NonZero::<usize>::MIN);
        if total <= first || first >= ahead || skip == 0 || run == 0 {
            let length = if skip == 0 { total } else { total.min(first) };
            // INVARIANT: One piece of what was in one.
            *pos = Position::plain(pos.place, length.min(ahead));
            return part;
        }
        // What of the bytes ahead belongs to pieces.
        let rest = ahead - first;
        let full = (rest / period) * run;
        let tail = (rest % period).saturating_sub(skip);
        let fits = first + full + tail;
        // INVARIANT: All pieces and gaps lie in the bytes ahead, which a `u32` counts.
        *pos = Position {
            place: pos.place,
            remaining: total.min(fits),
            piece: first as u32,
            run: run.min(ahead) as u32,
            skip: skip.min(ahead) as u32,
        };
        if first == 0 {
            pos.piece = pos.run;
            if pos.remaining > 0 {
                // SAFETY: The memory is valid by the type invariant; as a piece follows the gap, both
                // lie ahead.
                unsafe { pos.place.advance(skip) };
            }
        }
        part
    }

    /// Whether the next `n` bytes (or what there is) are all zero. Does not move.
    pub fn is_zero(&self, n: usize) -> bool {
        let mut zero = true;
        let mut pos = self.pos;
        // SAFETY: The memory is valid by the type invariant, and so are the runs passed.
        unsafe {
            pos.walk(n, |ptr, len| {
                zero = zero && bindings::memchr_inv(ptr.cast(), 0, len).is_null()
            })
        };
        zero
    }

    /// CRC-32C of the next `n` bytes (or what there is), from `seed`. Does not move.
    pub fn crc32c(&self, seed: u32, n: usize) -> u32 {
        let mut crc = seed;
        let mut pos = self.pos;
        // SAFETY: The memory is valid by the type invariant, and so are the runs passed.
        unsafe { pos.walk(n, |ptr, len| crc = crc32c_raw(crc, ptr, len)) };
        crc
    }

    /// Zeroes the next `n` bytes (or what there is) and moves on.
    pub fn zero_fill(&mut self, n: usize) {
        // SAFETY: The memory is valid by the type invariant, and so are the runs passed.
        unsafe { self.pos.walk(n, |ptr, len| ptr::write_bytes(ptr, 0, len)) };
    }

    /// Copies `src` into the memory ahead and moves on; returns how many bytes had room.
    pub fn copy_from(&mut self, src: &[u8]) -> usize {
        let mut from = src.as_ptr();
        let n = src.len().min(self.pos.remaining);
        // SAFETY: The memory is valid by the type invariant, and so are the runs passed, which add
        // up to no more than `src` has. The pages of a request never hold a Rust slice.
        unsafe {
            self.pos.walk(n, |ptr, len| {
                ptr::copy(from, ptr, len);
                from = from.add(len);
            })
        };
        n
    }

    /// Copies from the memory ahead to `dst` and moves on; returns how many bytes there were.
    pub fn copy_to(&mut self, dst: &mut [u8]) -> usize {
        let n = dst.len().min(self.pos.remaining);
        let mut to = dst.as_mut_ptr();
        // SAFETY: The memory is valid by the type invariant, and so are the runs passed, which add
        // up to no more than `dst` has room for.
        unsafe {
            self.pos.walk(n, |ptr, len| {
                ptr::copy(ptr.cast_const(), to, len);
                to = to.add(len);
            })
        };
        n
    }

    /// Puts the bvecs of all that lies ahead into `out` and says how many there are. `None` if they are more than
    /// have room there, not in one bio and one piece, or not all such that they may be spliced. Does not move.
    pub(super) fn bvecs(&self, out: &mut [bindings::bio_vec]) -> Option<usize> {
        let Place::Bios(pos) = &self.pos.place else {
            return None;
        };
        let n = self.pos.remaining;
        if n == 0 || n > self.pos.in_piece() || n > pos.left as usize {
            return None;
        }
        if n > out.len().saturating_mul(kernel::page::PAGE_SIZE) {
            return None;
        }
        // SAFETY: The chain is valid by the type invariant, and has `n` bytes left in this bio.
        let (count, spliceable) = unsafe { pos.span(n, true) };
        if !spliceable || count > out.len() {
            return None;
        }
        // SAFETY: As above.
        let first = unsafe { pos.bvec() };
        let mut behind = pos.done;
        let mut left = n as u32;
        for (i, slot) in out.iter_mut().take(count).enumerate() {
            // SAFETY: `count` bvecs hold the bytes ahead, so this is one of them.
            *slot = cut(unsafe { *first.add(i) }, behind, left);
            behind = 0;
            left -= slot.bv_len;
        }
        Some(count)
    }

    /// Calls `f` with an iterator of the kernel over what lies ahead in one piece, at most `max`
    /// bytes, with the number of bytes, and whether its pages may be spliced (for `ITER_SOURCE`). Does
    /// not move. `direction` is `ITER_SOURCE` or `ITER_DEST`.
    pub(super) fn with_iter<R>(
        &self,
        direction: u32,
        max: usize,
        f: impl FnOnce(bindings::iov_iter, usize, bool) -> R,
    ) -> R {
        let mut iter = bindings::iov_iter::default();
        let mut kvec = bindings::kvec::default();
        let mut n = max.min(self.pos.in_piece());
        let mut spliceable = false;
        match &self.pos.place {
            Place::Bios(pos) if n > 0 => {
                n = n.min(pos.left as usize);
                // SAFETY: The chain is valid by the type invariant, and has `n` bytes left in this
                // bio.
                let (count, ok) = unsafe { pos.span(n, direction == bindings::ITER_SOURCE) };
                spliceable = ok;
                // SAFETY: As above: `count` bvecs hold the bytes passed and those ahead.
                unsafe {
                    bindings::iov_iter_bvec(
                        &mut iter,
                        direction,
                        pos.bvec(),
                        count,
                        pos.done as usize + n,
                    );
                    bindings::iov_iter_advance(&mut iter, pos.done as usize);
                }
            }
            Place::Buffer(ptr) if n > 0 => {
                kvec.iov_base = ptr.as_ptr().cast();
                kvec.iov_len = n;
                // SAFETY: `n` bytes are valid there by the type invariant.
                unsafe { bindings::iov_iter_kvec(&mut iter, direction, &kvec, 1, n) };
            }
            Place::Bios(_) | Place::Buffer(_) => {
                // SAFETY: No bytes.
                unsafe { bindings::iov_iter_kvec(&mut iter, direction, &kvec, 0, 0) };
            }
        }
        f(iter, n, spliceable)
    }
}

/// A buffer of our own that cursors can stand in.
///
/// # Invariants
///
/// `start` points at the bytes of `bytes`, which are touched through cursors alone while the buffer
/// is shared.
pub struct DataBuf {
    bytes: KVVec<u8>,
    start: NonNull<u8>,
}

// SAFETY: Plain memory.
unsafe impl Send for DataBuf {}
// SAFETY: While shared, the bytes are touched by the raw copies of cursors alone.
unsafe impl Sync for DataBuf {}

impl DataBuf {
    /// A buffer with the bytes of `bytes`.
    pub fn new(mut bytes: KVVec<u8>) -> Result<Arc<Self>> {
        let start = NonNull::new(bytes.as_mut_ptr()).ok_or(EINVAL)?;
        // INVARIANT: The bytes do not move while the vector is not touched.
        Ok(Arc::new(Self { bytes, start }, GFP_KERNEL)?)
    }

    /// A buffer with a copy of `bytes`. May sleep.
    pub fn copy_of(bytes: &[u8]) -> Result<Arc<Self>> {
        let mut copy = KVVec::with_capacity(bytes.len(), GFP_KERNEL)?;
        copy.extend_from_slice(bytes, GFP_KERNEL)?;
        Self::new(copy)
    }

    /// A buffer of `len` zero bytes.
    pub fn zeroed(len: usize) -> Result<Arc<Self>> {
        Self::new(KVVec::from_elem(0, len, GFP_KERNEL)?)
    }

    /// A cursor at the start.
    pub fn cursor(self: &Arc<Self>) -> DataCursor {
        // INVARIANT: The owner keeps the bytes.
        DataCursor {
            pos: Position::plain(Place::Buffer(self.start), self.bytes.len()),
            _owner: Some(Owner::from_arc(self.clone())),
        }
    }

    /// The bytes, if no cursor is left (`None` otherwise: then the last cursor frees them).
    pub fn into_vec(self: Arc<Self>) -> Option<KVVec<u8>> {
        let unique = Arc::into_unique_or_drop(self)?;
        Some(core::mem::take(&mut Pin::into_inner(unique).bytes))
    }
}
