// SPDX-License-Identifier: GPL-2.0-only

//! Reading what a child does not have itself from its parent.
//!
//! Pieces of the child's object become ranges of the parent image, these become requests to the
//! parent's objects, and where the parent has no object its own parent is read in turn, by the same
//! means. The read ends when its last object request lets go of it.

use super::{
    object_request::{Asker, ObjectRequest, Scope},
    plan::{ObjectOp, Want},
};
use crate::image::{Image, Parent};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};
use net_ceph::{
    abstractions::data::DataCursor,
    proto::striper::{Layout, ObjectExtent},
};

/// A read of a parent image, for one of its child's object requests.
pub(super) struct ParentRead {
    child: Arc<ObjectRequest>,
    /// The first error, as a negative errno; 0: none.
    errno: Atomic<i32>,
}

impl Drop for ParentRead {
    fn drop(&mut self) {
        let result = match self.errno.load(Relaxed) {
            0 => Ok(()),
            errno => Err(Error::from_errno(errno)),
        };
        self.child.parent_was_read(result);
    }
}

impl ParentRead {
    /// A read for `child`, which is told of the end. Allocates.
    pub(super) fn new(child: Arc<ObjectRequest>) -> Result<Arc<Self>> {
        let errno = Atomic::new(0);
        Ok(Arc::new(Self { child, errno }, GFP_KERNEL)?)
    }

    /// A part of it ended.
    pub(super) fn finish(&self, result: Result) {
        if let Err(e) = result {
            // Any of several errors will do.
            self.errno.store(e.to_errno(), Relaxed);
        }
    }

    /// Reads what `parent` has of the child's object extent `extent` into `data`, and puts zeroes where it
    /// has nothing. `layout` is the child's. Allocates; sleeps on locks.
    pub(super) fn start(
        self: Arc<Self>,
        image: &Arc<Image>,
        parent: &Parent,
        layout: &Layout,
        extent: &ObjectExtent,
        mut data: DataCursor,
    ) {
        for piece in layout.pieces(extent) {
            let (image_offset, length) = (piece.image_offset, piece.length);
            let shows = parent.overlap.saturating_sub(image_offset).min(length);
            let result = self.read(image, parent, image_offset, shows, &data);
            self.finish(result);
            // Neither is longer than an object.
            data.advance(shows as usize);
            data.zero_fill(length.saturating_sub(shows) as usize);
        }
        image.source().data().osd().flush_submissions();
    }

    /// Reads a range of the parent image.
    fn read(
        self: &Arc<Self>,
        image: &Arc<Image>,
        parent: &Parent,
        offset: u64,
        length: u64,
        data: &DataCursor,
    ) -> Result {
        let layout = parent.image.source().layout();
        for extent in layout.object_extents(offset, length) {
            let request = ObjectRequest::new(image.clone())?;
            let op = ObjectOp::Read {
                offset: extent.offset,
                length: extent.length,
            };
            let part = super::part_of(data, offset, layout, &extent)?;
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
}
