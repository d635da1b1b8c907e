// SPDX-License-Identifier: GPL-2.0-only

//! What is done to an object for a piece of an image request.
//!
//! Pure: the host tests compile this file too. The rules are those of the C driver (Linux
//! `drivers/block/rbd.c`, `rbd_obj_init_discard` and the `…_setup_…_ops` beside it), as what they
//! leave in the cluster is seen by other clients.

use kernel::fmt;
use net_ceph::proto::striper::ObjectExtent;

/// What an image request wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// Data out of the image.
    Read,
    /// Data into the image.
    Write,
    /// Space back, where that is worth the trouble.
    Discard,
    /// Zeroes, whatever it takes.
    Zero,
}

/// In the words of the C driver's messages.
impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Discard => "discard",
            Self::Zero => "zeroout",
        })
    }
}

/// An operation on an object. Offsets and lengths are bytes of the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectOp {
    /// Read; what is not there reads as zeroes.
    Read {
        /// From here.
        offset: u64,
        /// At most this many.
        length: u64,
    },
    /// Write a part.
    Write {
        /// From here.
        offset: u64,
        /// This many.
        length: u64,
    },
    /// Write all of it.
    WriteFull {
        /// This many.
        length: u64,
    },
    /// Make a part read as zeroes.
    Zero {
        /// From here.
        offset: u64,
        /// This many.
        length: u64,
    },
    /// Cut it off.
    Truncate {
        /// Here.
        size: u64,
    },
    /// Delete it.
    Delete,
    /// Make it an empty object, which hides what the parent image has of it.
    Hide,
}

impl ObjectOp {
    /// What to do for `want` on `extent`, where objects have `object_size` bytes and
    /// `alloc_size`, a power of two, is the least that discarding can free. The parent image has
    /// `behind` bytes of this object; `snaps` says whether the image has snapshots. `None`: nothing.
    ///
    /// An object with something behind is never deleted, as the parent's bytes would show again.
    pub fn plan(
        want: Want,
        extent: &ObjectExtent,
        object_size: u64,
        alloc_size: u64,
        behind: u64,
        snaps: bool,
    ) -> Option<Self> {
        let (offset, length) = (extent.offset, extent.length);
        let end = offset.saturating_add(length);
        match want {
            Want::Read => Some(Self::Read { offset, length }),
            Want::Write if offset == 0 && length == object_size => Some(Self::WriteFull { length }),
            Want::Write => Some(Self::Write { offset, length }),
            // Snapshots must get the parent's bytes first, and with those the object exists.
            Want::Zero if offset == 0 && end == object_size && behind > 0 && !snaps => {
                Some(Self::Hide)
            }
            Want::Zero => Some(Self::clear(offset, end, object_size, behind)),
            // An object that is the unit of allocation as a whole may still be cut short.
            Want::Discard if alloc_size == object_size && end == object_size => {
                Some(Self::clear(offset, end, object_size, behind))
            }
            Want::Discard => {
                let offset = offset.checked_next_multiple_of(alloc_size)?;
                let end = end.saturating_sub(end.checked_rem(alloc_size)?);
                (offset < end).then(|| Self::clear(offset, end, object_size, behind))
            }
        }
    }

    fn clear(offset: u64, end: u64, object_size: u64, behind: u64) -> Self {
        match (offset, end == object_size) {
            (0, true) if behind == 0 => Self::Delete,
            (_, true) => Self::Truncate { size: offset },
            (_, false) => Self::Zero {
                offset,
                length: end.saturating_sub(offset),
            },
        }
    }

    /// Whether it changes the object.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }

    /// Whether the request's data go with it, there or back.
    pub fn has_data(&self) -> bool {
        matches!(
            self,
            Self::Read { .. } | Self::Write { .. } | Self::WriteFull { .. }
        )
    }

    /// Whether all is well if the object is not there: it reads as zeroes.
    pub fn absent_is_fine(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::WriteFull { .. })
    }
}
