// SPDX-License-Identifier: GPL-2.0-only

//! Reading what a child does not have itself from its parent.
//!
//! Pieces of the child's object become ranges of the parent image, these become requests to the
//! parent's objects, and where the parent has no object its own parent is read in turn, by the same
//! means. The read ends when the last of its object requests does. Some of those stay with the child's, to
//! be used again and again.

use super::{
    object_request::{Asker, ObjectRequest, Scope},
    part_of,
    plan::{ObjectOp, Want},
    AT_HAND,
};
use crate::image::{Parent, ParentImage};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc, SetOnce,
    },
};
use net_ceph::{
    abstractions::data::DataCursor,
    proto::striper::{Layout, ObjectExtent},
};

/// Object requests that a child keeps for reading its parent; more are made when needed. One will do,
/// but for parents whose objects are smaller.
const KEPT_MAX: usize = 16;

/// An object request's read of its parent: there is one at a time.
pub(super) struct ParentRead {
    /// What has not ended yet.
    parts: Atomic<usize>,
    /// An error, as a negative errno; 0: none.
    errno: Atomic<i32>,
    /// The first of those that are kept.
    first: SetOnce<Arc<ObjectRequest>>,
}

impl ParentRead {
    /// None.
    pub(super) fn new() -> Self {
        Self {
            parts: Atomic::new(0),
            errno: Atomic::new(0),
            first: SetOnce::new(),
        }
    }

    /// The first of the object requests that are kept.
    pub(super) fn first(&self) -> Option<&Arc<ObjectRequest>> {
        self.first.as_ref()
    }
}

/// The object requests for a read, one after the other.
struct Parts {
    last: Option<Arc<ObjectRequest>>,
    count: usize,
}

impl Parts {
    /// One more for `child`. Allocates if there are not so many yet.
    fn next(&mut self, child: &ObjectRequest) -> Result<Arc<ObjectRequest>> {
        let part = match &self.last {
            None => child.first_for_parent(AT_HAND)?.clone(),
            Some(last) if self.count < KEPT_MAX => last.next(AT_HAND)?,
            Some(_) => return ObjectRequest::new(child.image().clone(), AT_HAND),
        };
        self.last = Some(part.clone());
        self.count += 1;
        Ok(part)
    }
}

impl ObjectRequest {
    /// Reads what `parent` has of our object extent `extent` into `data`, and puts zeroes where it has nothing.
    /// `layout` is ours. If we are `ancestor` it is asked meanwhile whether we are still there.
    /// [`parent_was_read`](Self::parent_was_read) is told of the end. Allocates when more
    /// requests are needed than are kept, and may fail with `ENOMEM` then; sleeps on locks.
    pub(super) fn start_parent_read(
        self: &Arc<Self>,
        parent: Option<&Parent>,
        layout: &Layout,
        extent: &ObjectExtent,
        mut data: DataCursor,
        ancestor: Option<&ParentImage>,
    ) {
        self.parent.errno.store(0, Relaxed);
        // It does not end before all has begun.
        self.parent.parts.store(1, Relaxed);
        let confirmed = ancestor.map_or(Ok(()), |ancestor| {
            self.parent.parts.add(1, Relaxed);
            self.confirm(ancestor)
                .inspect_err(|_| _ = self.parent.parts.fetch_sub(1, Relaxed))
        });
        let result = confirmed.and_then(|()| match parent {
            Some(parent) => self.read_pieces(parent, layout, extent, data),
            None => {
                // No longer than an object.
                data.zero_fill(extent.length as usize);
                Ok(())
            }
        });
        let osd = self.image().source().data().osd().clone();
        self.parent_part_ended(result);
        osd.flush_submissions();
    }

    fn read_pieces(
        self: &Arc<Self>,
        parent: &Parent,
        layout: &Layout,
        extent: &ObjectExtent,
        mut data: DataCursor,
    ) -> Result {
        let mut parts = Parts {
            last: None,
            count: 0,
        };
        for piece in layout.pieces(extent) {
            let (image_offset, length) = (piece.image_offset, piece.length);
            let shows = parent.overlap.saturating_sub(image_offset).min(length);
            self.read_range(parent, image_offset, shows, &data, &mut parts)?;
            // Neither is longer than an object.
            data.advance(shows as usize);
            data.zero_fill(length.saturating_sub(shows) as usize);
        }
        Ok(())
    }

    /// Reads a range of the parent image.
    fn read_range(
        self: &Arc<Self>,
        parent: &Parent,
        offset: u64,
        length: u64,
        data: &DataCursor,
        parts: &mut Parts,
    ) -> Result {
        let layout = parent.image.source().layout();
        for extent in layout.object_extents(offset, length) {
            let request = parts.next(self)?;
            let op = ObjectOp::Read {
                offset: extent.offset,
                length: extent.length,
            };
            let part = part_of(data, offset, layout, &extent)?;
            self.parent.parts.add(1, Relaxed);
            request.begin(
                Asker::Child(self.clone()),
                Scope::Ancestor(parent.image.clone()),
                extent,
                (Want::Read, op),
                Some(part),
                false,
            );
        }
        Ok(())
    }

    /// A part of the read of the parent ended. Any context in which requests end.
    pub(super) fn parent_part_ended(&self, result: Result) {
        let read = &self.parent;
        if let Err(e) = result {
            // Any of several errors will do.
            read.errno.store(e.to_errno(), Relaxed);
        }
        if read.parts.fetch_sub(1, Full) == 1 {
            self.parent_was_read(match read.errno.load(Relaxed) {
                0 => Ok(()),
                errno => Err(Error::from_errno(errno)),
            });
        }
    }

    /// The first of those that read our parent, made if need be, with memory as by `flags`. Sleeps on locks.
    fn first_for_parent(&self, flags: Flags) -> Result<&Arc<Self>> {
        let first = &self.parent.first;
        if first.as_ref().is_none() {
            first.populate(Self::new(self.image().clone(), flags)?);
        }
        first.as_ref().ok_or(EIO)
    }

    /// Makes one for each of `generations` of ancestors. Allocates; sleeps.
    pub(super) fn provide_for_parents(&self, generations: usize) -> Result {
        let mut child = self;
        for _ in 0..generations {
            child = child.first_for_parent(GFP_KERNEL)?;
        }
        Ok(())
    }
}
