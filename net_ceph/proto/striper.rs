// SPDX-License-Identifier: GPL-2.0-only

//! Striping: which bytes of an image are which bytes of which objects, and what objects are called.
//!
//! An image is cut into stripe units, dealt in turn to the `stripe_count` objects of an object set until
//! those are full. In the simple layout one object is one stripe unit (Ceph document `dev/file-striping`,
//! `src/osdc/Striper.cc`).

use super::error::{ProtoError, ProtoResult};
use core::num::NonZero;

/// Smallest object size, as a power of two (Ceph `src/librbd/internal.cc`, `validate_layout`).
pub const MIN_ORDER: u8 = 12;
/// Largest object size, as a power of two (Linux `drivers/block/rbd_types.h`, `RBD_MAX_OBJ_ORDER`; Ceph
/// creates images up to 25).
pub const MAX_ORDER: u8 = 30;

/// How an image is striped. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    object_size: NonZero<u64>,
    stripe_unit: NonZero<u64>,
    stripe_count: NonZero<u64>,
}

/// Bytes of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectExtent {
    /// The object's number.
    pub object: u64,
    /// Where in the object, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// Where in the image this begins, in bytes.
    pub image_offset: u64,
}

impl Layout {
    /// Checks and keeps a layout of objects of `1 << order` bytes. A `stripe_unit` of 0 stands for the
    /// object size, a `stripe_count` of 0 for 1; a stripe unit must divide the object size.
    pub fn new(order: u8, stripe_unit: u64, stripe_count: u64) -> ProtoResult<Self> {
        if !(MIN_ORDER..=MAX_ORDER).contains(&order) {
            return Err(ProtoError::value("layout: object order", order.into()));
        }
        let object_size = NonZero::new(1 << order)
            .ok_or(ProtoError::value("layout: object order", order.into()))?;
        let stripe_unit = NonZero::new(stripe_unit).unwrap_or(object_size);
        let stripe_count = NonZero::new(stripe_count).unwrap_or(NonZero::<u64>::MIN);
        if stripe_unit > object_size || object_size.get() % stripe_unit != 0 {
            return Err(ProtoError::value("layout: stripe unit", stripe_unit.get()));
        }
        if stripe_count.get() > u32::MAX.into() {
            return Err(ProtoError::value(
                "layout: stripe count",
                stripe_count.get(),
            ));
        }
        Ok(Self {
            object_size,
            stripe_unit,
            stripe_count,
        })
    }

    /// Size of an object.
    pub fn object_size(&self) -> u64 {
        self.object_size.get()
    }

    /// Size of a stripe unit.
    pub fn stripe_unit(&self) -> u64 {
        self.stripe_unit.get()
    }

    /// Objects in a set.
    pub fn stripe_count(&self) -> u64 {
        self.stripe_count.get()
    }

    /// Whether consecutive bytes of the image stay in one object until that is full.
    pub fn is_simple(&self) -> bool {
        self.stripe_unit == self.object_size || self.stripe_count.get() == 1
    }

    /// How many consecutive bytes of the image lie in one object, from a multiple of this on.
    pub fn contiguous(&self) -> u64 {
        if self.is_simple() {
            self.object_size()
        } else {
            self.stripe_unit()
        }
    }

    fn stripes_per_object(&self) -> NonZero<u64> {
        // The unit divides the object size, so there is at least one.
        NonZero::new(self.object_size.get() / self.stripe_unit).unwrap_or(NonZero::<u64>::MIN)
    }

    /// The longest piece of the image extent `offset`, `length` that begins at its start and lies in one
    /// object contiguously. `None` if `length` is 0.
    pub fn map(&self, offset: u64, length: u64) -> Option<ObjectExtent> {
        if length == 0 {
            return None;
        }
        let (object, in_object, left) = if self.is_simple() {
            let in_object = offset % self.object_size;
            (
                offset / self.object_size,
                in_object,
                self.object_size.get().saturating_sub(in_object),
            )
        } else {
            let block = offset / self.stripe_unit;
            let in_block = offset % self.stripe_unit;
            let stripe = block / self.stripe_count;
            let position = block % self.stripe_count;
            let set = stripe / self.stripes_per_object();
            let stripe_in_set = stripe % self.stripes_per_object();
            // Neither product exceeds `offset`, nor the object size.
            let object = set
                .saturating_mul(self.stripe_count.get())
                .saturating_add(position);
            let in_object = stripe_in_set
                .saturating_mul(self.stripe_unit.get())
                .saturating_add(in_block);
            (
                object,
                in_object,
                self.stripe_unit.get().saturating_sub(in_block),
            )
        };
        Some(ObjectExtent {
            object,
            offset: in_object,
            length: length.min(left),
            image_offset: offset,
        })
    }

    /// The pieces of an image extent, in the image's order. Bytes beyond the largest offset are left out.
    pub fn extents(&self, offset: u64, length: u64) -> Extents {
        Extents {
            layout: *self,
            offset,
            left: length.min(u64::MAX.saturating_sub(offset)),
        }
    }

    /// The objects that an image extent touches, each with all of its bytes: of one object set these are a
    /// contiguous range of each object. Set by set, and in a set in the order of their first bytes.
    pub fn object_extents(&self, offset: u64, length: u64) -> ObjectExtents {
        ObjectExtents {
            layout: *self,
            set_start: 0,
            begin: 0,
            end: 0,
            block: 0,
            blocks: 0,
            next: offset,
            left: length.min(u64::MAX.saturating_sub(offset)),
        }
    }

    /// How many objects an image extent touches, and [`object_extents`](Self::object_extents) gives.
    #[inline]
    pub fn objects_of(&self, offset: u64, length: u64) -> usize {
        let last = offset.saturating_add(length.saturating_sub(1));
        // An object's size is a power of two.
        if self.is_simple() && offset ^ last < self.object_size() {
            return 1;
        }
        self.object_extents(offset, length).count()
    }

    /// The most objects that an image extent touches which is no longer than a set of them.
    pub fn objects_max(&self) -> u64 {
        // It may begin anywhere; striped, both sets may be touched as a whole.
        let more = if self.is_simple() {
            1
        } else {
            self.stripe_count()
        };
        self.stripe_count().saturating_add(more)
    }

    /// The pieces of the image that make up an extent of an object, ascending in both. An extent that does
    /// not lie in its object, or in any image, is cut.
    pub fn pieces(&self, extent: &ObjectExtent) -> Pieces {
        Pieces {
            layout: *self,
            object: extent.object,
            offset: extent.offset,
            left: extent.length,
        }
    }

    /// How the pieces of an extent of an object lie in the image, from the first one on.
    pub fn stride(&self, extent: &ObjectExtent) -> Stride {
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        if self.is_simple() {
            return Stride {
                first: bytes(extent.length),
                run: bytes(extent.length),
                skip: 0,
            };
        }
        let unit = self.stripe_unit.get();
        let in_unit = extent.offset % self.stripe_unit;
        let others = self.stripe_count.get().saturating_sub(1);
        Stride {
            first: bytes(unit.saturating_sub(in_unit).min(extent.length)),
            run: bytes(unit),
            skip: bytes(unit.saturating_mul(others)),
        }
    }

    /// How many bytes of `object` an image of `size` bytes has: they are the first ones of the object.
    pub fn object_prefix(&self, object: u64, size: u64) -> u64 {
        let set = object / self.stripe_count;
        let position = object % self.stripe_count;
        match set.checked_mul(self.set_size()) {
            Some(start) => {
                self.of_object(position, size.saturating_sub(start).min(self.set_size()))
            }
            None => 0,
        }
    }

    /// Bytes of an object set: at most 2^62.
    fn set_size(&self) -> u64 {
        self.object_size
            .get()
            .saturating_mul(self.stripe_count.get())
    }

    /// How many of the first `n` bytes of a set are those of the object at `position`.
    fn of_object(&self, position: u64, n: u64) -> u64 {
        let unit = self.stripe_unit.get();
        let stripe = unit.saturating_mul(self.stripe_count.get());
        let Some(stripe) = NonZero::new(stripe) else {
            return 0;
        };
        let whole = (n / stripe).saturating_mul(unit);
        let before = position.saturating_mul(unit);
        whole.saturating_add((n % stripe).saturating_sub(before).min(unit))
    }

    /// Where in the image the byte `offset` of `object` is; `None` if no image is that large.
    pub fn image_offset(&self, object: u64, offset: u64) -> Option<u64> {
        if offset >= self.object_size.get() {
            return None;
        }
        let set = object / self.stripe_count;
        let position = object % self.stripe_count;
        let stripe = set
            .checked_mul(self.stripes_per_object().get())?
            .checked_add(offset / self.stripe_unit)?;
        stripe
            .checked_mul(self.stripe_count.get())?
            .checked_add(position)?
            .checked_mul(self.stripe_unit.get())?
            .checked_add(offset % self.stripe_unit)
    }

    /// How many objects an image of `size` bytes can have.
    pub fn object_count(&self, size: u64) -> u64 {
        let Some(set_size) = NonZero::new(self.set_size()) else {
            return 0;
        };
        let whole = (size / set_size).saturating_mul(self.stripe_count.get());
        // The last set has all its objects once one stripe is begun in each.
        let rest = (size % set_size).div_ceil(self.stripe_unit.get());
        whole.saturating_add(rest.min(self.stripe_count.get()))
    }
}

/// The pieces of an image extent; made by [`Layout::extents`].
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    layout: Layout,
    offset: u64,
    left: u64,
}

impl Iterator for Extents {
    type Item = ObjectExtent;

    fn next(&mut self) -> Option<ObjectExtent> {
        let extent = self.layout.map(self.offset, self.left)?;
        self.offset = self.offset.saturating_add(extent.length);
        self.left = self.left.saturating_sub(extent.length);
        Some(extent)
    }
}

/// The objects that an image extent touches; made by [`Layout::object_extents`].
#[derive(Clone, Copy, Debug)]
pub struct ObjectExtents {
    layout: Layout,
    /// Where the current set begins in the image.
    set_start: u64,
    /// The extent in the current set, in bytes from its start.
    begin: u64,
    end: u64,
    /// The stripe unit, counted from the start of the set, in which the next object has its first byte.
    block: u64,
    /// How many objects of the current set follow.
    blocks: u64,
    /// What follows in later sets.
    next: u64,
    left: u64,
}

impl ObjectExtents {
    /// Goes on to the next set; `false` if nothing of the extent is there.
    fn next_set(&mut self) -> bool {
        let set_size = self.layout.set_size();
        let Some(size) = NonZero::new(set_size).filter(|_| self.left > 0) else {
            return false;
        };
        self.begin = self.next % size;
        self.set_start = self.next.saturating_sub(self.begin);
        let length = self.left.min(set_size.saturating_sub(self.begin));
        self.end = self.begin.saturating_add(length);
        self.next = self.next.saturating_add(length);
        self.left = self.left.saturating_sub(length);
        self.block = self.begin / self.layout.stripe_unit;
        let last = self.end.saturating_sub(1) / self.layout.stripe_unit;
        let touched = last.saturating_sub(self.block).saturating_add(1);
        self.blocks = touched.min(self.layout.stripe_count.get());
        true
    }
}

impl Iterator for ObjectExtents {
    type Item = ObjectExtent;

    fn next(&mut self) -> Option<ObjectExtent> {
        if self.layout.is_simple() {
            let extent = self.layout.map(self.next, self.left)?;
            self.next = self.next.saturating_add(extent.length);
            self.left = self.left.saturating_sub(extent.length);
            return Some(extent);
        }
        if self.blocks == 0 && !self.next_set() {
            return None;
        }
        let Layout {
            stripe_unit,
            stripe_count,
            ..
        } = self.layout;
        let position = self.block % stripe_count;
        let offset = self.layout.of_object(position, self.begin);
        let until = self.layout.of_object(position, self.end);
        let first = self.block.saturating_mul(stripe_unit.get());
        let set = self.set_start / self.layout.set_size().max(1);
        self.block = self.block.saturating_add(1);
        self.blocks = self.blocks.saturating_sub(1);
        Some(ObjectExtent {
            object: set
                .saturating_mul(stripe_count.get())
                .saturating_add(position),
            offset,
            length: until.saturating_sub(offset),
            image_offset: self.set_start.saturating_add(first.max(self.begin)),
        })
    }
}

/// The pieces of an extent of an object; made by [`Layout::pieces`].
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    layout: Layout,
    object: u64,
    offset: u64,
    left: u64,
}

impl Iterator for Pieces {
    type Item = ObjectExtent;

    fn next(&mut self) -> Option<ObjectExtent> {
        if self.left == 0 {
            return None;
        }
        let image_offset = self.layout.image_offset(self.object, self.offset)?;
        let piece = self.layout.map(image_offset, self.left)?;
        self.offset = self.offset.saturating_add(piece.length);
        self.left = self.left.saturating_sub(piece.length);
        Some(piece)
    }
}

/// How pieces lie in a row, in bytes: the first one is `first` long, the others `run`, with `skip` between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride {
    /// Length of the first piece.
    pub first: usize,
    /// Length of the others, but for the last, which may be shorter.
    pub run: usize,
    /// What lies between two.
    pub skip: usize,
}

/// Hexadecimal digits of an object's number in its name.
const DIGITS: usize = 16;

/// The longest name of an object: prefixes have at most 64 characters
/// (`RBD_MAX_BLOCK_NAME_SIZE` in Ceph `src/cls/rbd/cls_rbd.cc`).
const MAX_NAME: usize = 64 + 1 + DIGITS;

/// An object's name, `<prefix>.<number as 16 hexadecimal digits>`, made without allocation.
#[derive(Clone, Copy)]
pub struct ObjectName {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl ObjectName {
    /// The name of `object`.
    pub fn new(prefix: &[u8], object: u64) -> ProtoResult<Self> {
        let mut name = Self {
            bytes: [0; MAX_NAME],
            len: 0,
        };
        let long = ProtoError::value("object name: prefix length", prefix.len() as u64);
        let len = prefix.len().checked_add(1 + DIGITS).ok_or(long)?;
        let slot = name.bytes.get_mut(..len).ok_or(long)?;
        let (head, digits) = slot.split_at_mut(prefix.len());
        head.copy_from_slice(prefix);
        if let Some((dot, digits)) = digits.split_first_mut() {
            *dot = b'.';
            let mut rest = object;
            for digit in digits.iter_mut().rev() {
                *digit = hex_digit((rest & 0xf) as u8);
                rest >>= 4;
            }
        }
        name.len = len;
        Ok(name)
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// The digit of a value below 16.
const fn hex_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a'.wrapping_add(value.wrapping_sub(10)),
    }
}
