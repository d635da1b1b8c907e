// SPDX-License-Identifier: GPL-2.0-only

//! Requests of the block layer become requests to objects.
//!
//! - this file: a request of the block layer is cut into object requests
//! - [`plan`]: what is to be done to an object
//! - [`step`]: in which steps, with parents, snapshots and object maps; both are pure
//! - `object_request`: carries the steps out
//! - `ops`: what an OSD is told
//! - `view`: what a request goes by
//! - `parent_read`, `copyup`: what a clone does not have itself
//! - `reserve`: what there is when there is no memory
//!
//! No request is longer than a set of objects. Each tag keeps the object requests that it needed for
//! its longest request so far, and uses them again and again. A request ends when the last of its object
//! requests lets go of it.

mod copyup;
mod object_request;
mod ops;
mod parent_read;
pub mod plan;
mod reserve;
pub mod step;
mod view;

use crate::{
    abstractions::{
        disk::{Busy, Driver},
        request::{Op, Request},
    },
    image::Image,
    lock::{LockUser, Pass},
    object_map::ObjectMap,
};
use kernel::{
    alloc::Flags,
    fmt,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        Arc, ArcBorrow, SetOnce,
    },
};
use net_ceph::{
    abstractions::data::DataCursor,
    proto::striper::{Layout, ObjectExtent},
};
use object_request::{Asker, ObjectRequest, Scope};
use plan::{ObjectOp, Want};
pub(crate) use reserve::Reserve;
use view::View;

/// The object map of a mapped image: object requests wait for their turns.
pub(crate) type ImageMap = ObjectMap<Arc<ObjectRequest>>;

/// Memory for object requests is what is at hand: waiting for it could be waiting for what only we can write
/// back. The reserve is there for when there is none.
const AT_HAND: Flags = GFP_NOWAIT;

/// What a tag has for its requests: object requests, from the first request on.
pub(crate) struct Tag {
    first: SetOnce<Arc<ObjectRequest>>,
    /// The request under way uses those of the image's reserve.
    borrows: Atomic<bool>,
}

impl Default for Tag {
    fn default() -> Self {
        Self {
            first: SetOnce::new(),
            borrows: Atomic::new(false),
        }
    }
}

impl Tag {
    /// Sees to it that there are `count` object requests for the tag's request. Allocates if there are not so
    /// many yet, and takes the image's reserve if it cannot; sleeps. A tag has one request at a time, so nobody
    /// else calls this meanwhile.
    fn provide(&self, image: &Arc<Image>, count: usize) -> Result {
        let provided = self.provide_own(image, count);
        if provided.is_ok() || !image.reserve().lend(count) {
            return provided;
        }
        self.borrows.store(true, Relaxed);
        Ok(())
    }

    fn provide_own(&self, image: &Arc<Image>, count: usize) -> Result {
        if self.first.as_ref().is_none() {
            self.first
                .populate(ObjectRequest::new(image.clone(), AT_HAND)?);
        }
        let mut last = None;
        for _ in 1..count {
            let before = last.as_ref().or(self.first.as_ref()).ok_or(EIO)?;
            last = Some(before.next(AT_HAND)?);
        }
        Ok(())
    }

    /// The first of the object requests for the tag's request, if those are borrowed.
    fn borrowed(&self, image: &Image) -> Option<Arc<ObjectRequest>> {
        if !self.borrows.load(Relaxed) {
            return None;
        }
        image.reserve().first()
    }

    /// The tag's request ends: nothing of it is under way.
    fn release(&self, image: &Image) {
        if self.borrows.load(Relaxed) {
            self.borrows.store(false, Relaxed);
            image.reserve().take_back();
        }
    }

    /// Writes what the request of the tag is doing, if there is one under way: a line for each of its
    /// object requests.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.borrows.load(Relaxed) {
            return writeln!(f, "-\t-\tin need of memory\t-");
        }
        let mut next = self.first.as_ref().cloned();
        let mut any = false;
        while let Some(request) = next {
            any |= request.show(f)?;
            next = request.following();
        }
        if any {
            return Ok(());
        }
        // For the exclusive lock, or for moments.
        writeln!(f, "-\t-\twaiting\t-")
    }
}

impl Driver for Image {
    type Tag = Tag;

    fn queue_rq(
        this: ArcBorrow<'_, Self>,
        rq: ARef<Request<Self>>,
        last: bool,
    ) -> Result<(), Busy<Self>> {
        let image: Arc<Image> = this.into();
        if image.is_aborted() {
            rq.finish(Err(EIO));
            return Ok(());
        }
        let count = image
            .source()
            .layout()
            .objects_of(rq.offset(), rq.len().into());
        if rq.tag().provide(&image, count).is_err() {
            return Err(Busy(rq));
        }
        let want_lock = match rq.op() {
            Op::Read => image.options().lock_on_read,
            _ => true,
        };
        match image.lock() {
            Some(lock) if want_lock => {
                match lock.enter(rq) {
                    Some((rq, pass)) => start(&image, &rq, Some(pass), last),
                    // It waits, those before it need not.
                    None if last => image.source().data().osd().flush_submissions(),
                    None => {}
                }
            }
            // What is known of its objects is of use to a reader who need not wait for the lock.
            Some(lock) => start(&image, &rq, lock.pass(), last),
            None => start(&image, &rq, None, last),
        }
        Ok(())
    }

    fn ended(&self, tag: &Tag) {
        tag.release(self);
    }

    fn commit_rqs(this: ArcBorrow<'_, Self>) {
        this.source().data().osd().flush_submissions();
    }
}

impl LockUser for Image {
    type Io = ARef<Request<Self>>;

    fn resume(&self, rq: Self::Io, pass: Pass) {
        // It was let in with what it needs.
        let borrowed = rq.tag().borrowed(self);
        if let Some(first) = borrowed.as_ref().or(rq.tag().first.as_ref()) {
            start(first.image(), &rq, Some(pass), true);
        }
    }

    fn fail(&self, rq: Self::Io, err: Error) {
        rq.finish(Err(err));
    }

    fn acquired(&self) -> Result {
        self.lock_acquired()
    }

    fn releasing(&self, sure: bool) {
        self.lock_releasing(sure);
    }
}

/// Starts `rq`, and sees to its end if that fails. Unless it is the `last`, the client may be waiting for more
/// before it sends what there is to send.
fn start(image: &Arc<Image>, rq: &ARef<Request<Image>>, pass: Option<Pass>, last: bool) {
    let begun = match image.refuses(!matches!(rq.op(), Op::Read)) {
        true => Err(EIO),
        false => submit(image, rq, View::new(image, pass), last),
    };
    if let Err(e) = begun {
        if !image.is_aborted() {
            pr_warn!(
                "rbd{}: {:?} {:x} at {:x} result {}\n",
                image.device(),
                rq.op(),
                rq.len(),
                rq.offset(),
                e.to_errno()
            );
        }
        rq.finish(Err(e));
    }
    // What goes out last, if anything, need not be what comes last.
    if last {
        image.source().data().osd().flush_submissions();
    }
}

/// Sends off what `rq` asks for. On an error nothing more of it is sent, while parts that were sent
/// go on.
fn submit(image: &Arc<Image>, rq: &ARef<Request<Image>>, view: View, last: bool) -> Result {
    let want = match rq.op() {
        Op::Read => Want::Read,
        Op::Write => Want::Write,
        Op::Discard => Want::Discard,
        Op::WriteZeroes => Want::Zero,
        Op::Other(_) => return Err(EIO),
    };
    if want != Want::Read && (image.is_read_only() || view.head.unwritable != 0) {
        return Err(EIO);
    }
    let data = matches!(want, Want::Read | Want::Write).then(|| rq.data());
    let head = &view.head;
    let layout = image.source().layout();
    let (offset, length) = (rq.offset(), u64::from(rq.len()));
    // The disk may have been larger when the request was made.
    if offset.checked_add(length).is_none_or(|end| end > head.size) {
        return Err(EIO);
    }
    let mut extents = layout.object_extents(offset, length).peekable();
    let borrowed = rq.tag().borrowed(image);
    let first = borrowed.as_ref().or(rq.tag().first.as_ref());
    // The one before, but for the first.
    let mut before: Option<Arc<ObjectRequest>> = None;
    let mut any = false;
    while let Some(extent) = extents.next() {
        let part = match &data {
            Some(data) => Some(part_of(data, offset, layout, &extent)?),
            None => None,
        };
        let behind = head
            .parent
            .as_ref()
            .map_or(0, |p| layout.object_prefix(extent.object, p.overlap));
        let Some(op) = ObjectOp::plan(
            want,
            &extent,
            layout.object_size(),
            image.options().alloc_size.into(),
            behind,
            !head.snapc.snaps.is_empty(),
        ) else {
            continue;
        };
        if any {
            let next = before.as_ref().or(first).ok_or(EIO)?.next(AT_HAND)?;
            before = Some(next);
        }
        let request = before.as_ref().or(first).ok_or(EIO)?;
        let last = last && extents.peek().is_none();
        let (asker, scope) = (Asker::Block(rq.clone()), Scope::Image(view.clone()));
        request.begin(asker, scope, extent, (want, op), part, last);
        any = true;
    }
    if !any {
        rq.finish(Ok(()));
    }
    Ok(())
}

/// Of `data`, which begins at `start` in an image, what belongs to `extent`.
fn part_of(
    data: &DataCursor,
    start: u64,
    layout: &Layout,
    extent: &ObjectExtent,
) -> Result<DataCursor> {
    let mut part = data.clone();
    part.advance(usize::try_from(
        extent.image_offset.checked_sub(start).ok_or(EIO)?,
    )?);
    let length = usize::try_from(extent.length)?;
    if layout.is_simple() {
        return Ok(part.take(length));
    }
    let stride = layout.stride(extent);
    Ok(part.strided(stride.first, stride.run, stride.skip, length))
}
