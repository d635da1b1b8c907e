// SPDX-License-Identifier: GPL-2.0-only

//! Requests of the block layer become requests to objects.
//!
//! No request is longer than an object, so it concerns two objects at most. What is needed for each is
//! made when a request of the tag first needs it, and used again and again. A request ends when its
//! last part lets go of it.

mod part;
pub mod plan;
pub mod step;

use crate::{
    abstractions::{
        disk::{Busy, Driver},
        request::{Op, Request},
    },
    image::Image,
};
use kernel::{
    prelude::*,
    sync::{aref::ARef, ArcBorrow, SetOnce},
};
use part::Part;
use plan::{ObjectOp, Want};

/// What a tag has for its requests.
#[derive(Default)]
pub(crate) struct Tag {
    parts: [SetOnce<Part>; 2],
}

impl Tag {
    /// Room for the part `index` of a request. May sleep.
    fn part(&self, image: &Image, index: usize) -> Result<&Part> {
        let part = self.parts.get(index).ok_or(EIO)?;
        if part.as_ref().is_none() {
            // A tag has one request at a time, so nobody else does the same.
            part.populate(Part::new(image)?);
        }
        part.as_ref().ok_or(EIO)
    }
}

impl Driver for Image {
    type Tag = Tag;

    fn queue_rq(
        this: ArcBorrow<'_, Self>,
        rq: ARef<Request<Self>>,
        last: bool,
    ) -> Result<(), Busy<Self>> {
        if rq.tag().part(&this, 0).is_err() {
            return Err(Busy(rq));
        }
        let mut held_back = false;
        if let Err(e) = submit(&this, &rq, last, &mut held_back) {
            pr_warn!(
                "rbd{}: {:?} {:#x} at {:#x}: {e:?}\n",
                this.device(),
                rq.op(),
                rq.len(),
                rq.offset()
            );
            rq.finish(Err(e));
        }
        if last && held_back {
            this.source().data().osd().flush_submissions();
        }
        Ok(())
    }

    fn commit_rqs(this: ArcBorrow<'_, Self>) {
        this.source().data().osd().flush_submissions();
    }
}

/// Sends off what `rq` asks for. On an error nothing more of it is sent, while parts that were sent
/// go on. `held_back` says whether the client may be waiting for more before it sends.
fn submit(image: &Image, rq: &ARef<Request<Image>>, last: bool, held_back: &mut bool) -> Result {
    let want = match rq.op() {
        Op::Read => Want::Read,
        Op::Write => Want::Write,
        Op::Discard => Want::Discard,
        Op::WriteZeroes => Want::Zero,
        Op::Other(_) => return Err(EIO),
    };
    if want != Want::Read && image.is_read_only() {
        return Err(EIO);
    }
    let mut data = matches!(want, Want::Read | Want::Write).then(|| rq.data());
    let mut extents = image
        .source()
        .layout()
        .extents(rq.offset(), rq.len().into())
        .peekable();
    let mut sent = 0;
    while let Some(extent) = extents.next() {
        let length = usize::try_from(extent.length)?;
        let part_data = data.as_mut().map(|data| {
            let head = data.take(length);
            data.advance(length);
            head
        });
        let Some(op) = ObjectOp::plan(
            want,
            &extent,
            image.source().layout().object_size(),
            image.options().alloc_size.into(),
            0,
            false,
        ) else {
            continue;
        };
        let part = rq.tag().part(image, sent)?;
        let last = last && extents.peek().is_none();
        part.submit(image, rq, op, extent.object, part_data, last)?;
        *held_back = !last;
        sent += 1;
    }
    if sent == 0 {
        rq.finish(Ok(()));
    }
    Ok(())
}
