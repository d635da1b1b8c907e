// SPDX-License-Identifier: GPL-2.0-only

//! Requests of the block layer become requests to objects.
//!
//! No request is longer than an object, so it concerns two objects at most; what is needed for those
//! is made once per tag. A request ends when its last part lets go of it.

mod part;
pub mod plan;

use crate::{
    abstractions::{
        disk::Driver,
        request::{Op, Request},
    },
    image::Image,
};
use kernel::{
    prelude::*,
    sync::{aref::ARef, ArcBorrow},
};
use part::Part;
use plan::{ObjectOp, Want};

/// Objects that one request may concern.
const PARTS: usize = 2;

/// What a tag has for its requests.
pub(crate) struct Tag {
    parts: [Part; PARTS],
}

impl Driver for Image {
    type Tag = Tag;

    fn new_tag(&self) -> Result<Tag> {
        Ok(Tag {
            parts: [Part::new(self)?, Part::new(self)?],
        })
    }

    fn queue_rq(this: ArcBorrow<'_, Self>, rq: ARef<Request<Self>>, last: bool) {
        if let Err(e) = submit(&this, &rq, last) {
            pr_warn!(
                "rbd{}: {:?} {:#x} at {:#x}: {e:?}\n",
                this.device(),
                rq.op(),
                rq.len(),
                rq.offset()
            );
            rq.finish(Err(e));
        }
    }

    fn commit_rqs(this: ArcBorrow<'_, Self>) {
        this.objects().osd().flush_submissions();
    }
}

/// Sends off what `rq` asks for. On an error nothing more of it is sent, while parts that were sent
/// go on.
fn submit(image: &Image, rq: &ARef<Request<Image>>, last: bool) -> Result {
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
    let mut parts = rq.tag().parts.iter();
    let mut extents = image
        .layout()
        .extents(rq.offset(), rq.len().into())
        .peekable();
    let mut sent = false;
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
            image.layout().object_size(),
            image.options().alloc_size.into(),
        ) else {
            continue;
        };
        let part = parts.next().ok_or(EIO)?;
        let last = last && extents.peek().is_none();
        part.submit(image, rq, op, extent.object, part_data, last)?;
        sent = true;
    }
    if !sent {
        rq.finish(Ok(()));
    }
    Ok(())
}
