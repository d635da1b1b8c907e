// SPDX-License-Identifier: GPL-2.0-only

//! Who is told of the end of an object request.

use super::ObjectRequest;
use crate::{abstractions::request::Request, image::Image};
use kernel::{
    prelude::*,
    sync::{aref::ARef, Arc},
};

/// Who is told of the end.
pub(in super::super) enum Asker {
    /// A request of the block layer.
    Block(ARef<Request<Image>>),
    /// A child's object request that reads its parent.
    Child(Arc<ObjectRequest>),
}

/// Tells the asker when it is dropped: of an error, unless told of something else.
pub(super) struct Told {
    asker: Asker,
    result: Result,
}

impl Told {
    pub(super) fn new(asker: Asker) -> Self {
        Self {
            asker,
            result: Err(EIO),
        }
    }

    /// Tells it of this.
    pub(super) fn of(mut self, result: Result) {
        self.result = result;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        match &self.asker {
            Asker::Block(rq) => rq.finish(self.result),
            Asker::Child(child) => child.parent_part_ended(self.result),
        }
    }
}
