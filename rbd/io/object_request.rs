// SPDX-License-Identifier: GPL-2.0-only

//! What is done to one object, for a request of the block layer or for reading a parent: carries out
//! the [`Steps`].
//!
//! An object request is made once and used again and again. While it is under way its state is in
//! [`Running`], which whoever handles it takes out and puts back. The way most requests go, from
//! submission to an OSD's answer, allocates nothing and needs no work item; everything else is
//! carried out by one.

use super::{
    copyup::CopyUpBuffer,
    ops,
    parent_read::ParentRead,
    plan::{ObjectOp, Want},
    step::{Action, Event, Scene, Steps},
};
use crate::{
    abstractions::request::Request,
    image::{Head, Image, Parent, ParentImage, Source},
};
use kernel::{
    impl_has_work, new_spinlock, new_work,
    prelude::*,
    sync::{aref::ARef, Arc, SetOnce, SpinLock},
    workqueue::{Work, WorkItem},
};
use net_ceph::{
    abstractions::{data::DataCursor, task::NoIoScope},
    osd_client::{Completion, OsdRequest, Params},
    proto::striper::ObjectExtent,
};

/// A request to one object.
#[pin_data]
pub(super) struct ObjectRequest {
    image: Arc<Image>,
    osd: Arc<OsdRequest>,
    /// `None`: free. Nothing is taken inside.
    #[pin]
    running: SpinLock<Option<Running>>,
    #[pin]
    work: Work<Self>,
    /// The next one of the same tag.
    next: SetOnce<Arc<ObjectRequest>>,
}

impl_has_work! {
    impl HasWork<Self> for ObjectRequest { self.work }
}

/// Who is told of the end.
pub(super) enum Asker {
    /// A request of the block layer.
    Block(ARef<Request<Image>>),
    /// A child's object request that reads its parent.
    Child(Arc<ParentRead>),
}

/// Which image the object is of.
pub(super) enum Scope {
    /// The mapped one, as it was when the request came.
    Image(Arc<Head>),
    /// One of its ancestors.
    Ancestor(Arc<ParentImage>),
}

impl Scope {
    fn source<'a>(&'a self, image: &'a Image) -> &'a Source {
        match self {
            Self::Image(_) => image.source(),
            Self::Ancestor(parent) => parent.source(),
        }
    }

    fn parent(&self) -> Option<&Parent> {
        match self {
            Self::Image(head) => head.parent.as_ref(),
            Self::Ancestor(image) => image.parent(),
        }
    }
}

/// What happens next.
enum Due {
    /// Nothing until an answer comes.
    Nothing,
    /// This, by the work item.
    Action(Action),
    /// The answer to the action under way is to be dealt with, by the work item.
    Answer(Result),
}

/// The state of an object request that is under way. Dropping it tells the asker.
struct Running {
    /// The object request itself.
    me: Arc<ObjectRequest>,
    asker: Asker,
    scope: Scope,
    extent: ObjectExtent,
    op: ObjectOp,
    steps: Steps,
    /// The action that is waited for.
    action: Action,
    due: Due,
    /// The bytes of `extent`, in the object's order.
    data: Option<DataCursor>,
    /// How many bytes of a read are in their place.
    got: usize,
    copyup: Option<CopyUpBuffer>,
    result: Result,
}

impl Drop for Running {
    fn drop(&mut self) {
        match &self.asker {
            Asker::Block(rq) => rq.finish(self.result),
            Asker::Child(read) => read.finish(self.result),
        }
    }
}

impl ObjectRequest {
    /// Makes one for the objects of `image` and its ancestors. Allocates; sleeps.
    pub(super) fn new(image: Arc<Image>) -> Result<Arc<Self>> {
        let osd = image.source().data().request()?;
        Arc::pin_init(
            pin_init!(Self {
                image,
                osd,
                running <- new_spinlock!(None),
                work <- new_work!("rbd::ObjectRequest"),
                next: SetOnce::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The one behind it in its tag, made if need be. Allocates; sleeps. A tag has one request at a time,
    /// so nobody else calls this meanwhile.
    pub(super) fn next(&self) -> Result<&Arc<Self>> {
        if self.next.as_ref().is_none() {
            self.next.populate(Self::new(self.image.clone())?);
        }
        self.next.as_ref().ok_or(EIO)
    }

    /// Begins: `op` on the object of `extent`. `data` are the bytes of that extent. With `last` unset
    /// another submission follows at once. Sleeps on locks; does not wait for the network.
    pub(super) fn begin(
        self: &Arc<Self>,
        asker: Asker,
        scope: Scope,
        extent: ObjectExtent,
        (want, op): (Want, ObjectOp),
        data: Option<DataCursor>,
        last: bool,
    ) {
        let scene = self.scene(&scope, &extent);
        let (steps, action) = Steps::begin(want, op, scene);
        let running = Running {
            me: self.clone(),
            asker,
            scope,
            extent,
            op,
            steps,
            action,
            due: Due::Nothing,
            data,
            got: 0,
            copyup: None,
            // Until somebody says otherwise.
            result: Err(EIO),
        };
        self.drive(running, action, last, false);
    }

    fn scene(&self, scope: &Scope, extent: &ObjectExtent) -> Scene {
        let layout = scope.source(&self.image).layout();
        Scene {
            behind: scope
                .parent()
                .map_or(0, |p| layout.object_prefix(extent.object, p.overlap)),
            snaps: match scope {
                Scope::Image(head) => !head.snapc.snaps.is_empty(),
                Scope::Ancestor(_) => false,
            },
            entry: None,
        }
    }

    /// Carries out `action` and those that follow, until one has to be waited for. `by_work`: we are the
    /// work item, with its stack to ourselves.
    fn drive(self: &Arc<Self>, mut running: Running, first: Action, last: bool, by_work: bool) {
        let mut action = first;
        loop {
            running.action = action;
            let (was, event) = match action {
                Action::Finish(result) => return running.end(result),
                Action::Send { .. } => match self.send(running, last) {
                    Some(failed) => failed,
                    None => return,
                },
                _ if !by_work => return self.defer(running, Due::Action(action)),
                Action::ReadParent | Action::ReadWholeParent => match self.read_parent(running) {
                    Some(failed) => failed,
                    None => return,
                },
                Action::CopyUpBelow | Action::CopyUp { .. } => match self.send(running, last) {
                    Some(failed) => failed,
                    None => return,
                },
                Action::UpdateMap { .. } | Action::UpdateSnapMaps => (running, Event::Done(Ok(()))),
            };
            running = was;
            action = running.steps.next(event);
        }
    }

    /// Leaves what is due to the work item.
    fn defer(&self, mut running: Running, due: Due) {
        running.due = due;
        let me = running.me.clone();
        *self.running.lock() = Some(running);
        let queue = me.image.io_queue().clone();
        // It is not queued already: there is one thing to do at a time.
        let _queued = queue.enqueue(me);
    }

    /// Sends the request for the current action. Gives the state back if that fails.
    fn send(self: &Arc<Self>, running: Running, last: bool) -> Option<(Running, Event)> {
        let prepared = self.osd.prepare(self.clone(), |p| self.fill(&running, p));
        if let Err(e) = prepared {
            return Some((running, Event::Done(Err(e))));
        }
        *self.running.lock() = Some(running);
        // From here on the answer may come at any time.
        match self.image.source().data().osd().submit(&self.osd, last) {
            Ok(()) => None,
            Err(e) => {
                self.osd.unprepare();
                let running = self.running.lock().take();
                running.map(|running| (running, Event::Done(Err(e))))
            }
        }
    }

    /// Says what to send for the current action.
    fn fill(&self, running: &Running, p: &mut Params) -> Result {
        let source = running.scope.source(&self.image);
        ops::address(p, source, running.extent.object)?;
        let snapc = match &running.scope {
            Scope::Image(head) => Some(head.snapc.clone()),
            Scope::Ancestor(_) => None,
        };
        let hint = ops::Hint::of(&self.image);
        match running.action {
            Action::Send { op, guard } => {
                p.data = running.data.clone().filter(|_| op.has_data());
                if op.writes() {
                    ops::stamp(p, snapc);
                } else {
                    p.snapid = source.snap_id();
                }
                if guard {
                    ops::push_guard(p)?;
                }
                ops::push(p, op, hint)
            }
            Action::CopyUpBelow => {
                ops::stamp(p, None);
                let (data, len) = running.copyup.as_ref().ok_or(EIO)?.alone();
                p.data = Some(data);
                ops::push_copyup(p, len)
            }
            Action::CopyUp { op } => {
                ops::stamp(p, snapc);
                let copyup = running.copyup.as_ref().ok_or(EIO)?;
                let (data, len) =
                    copyup.with_write(running.data.as_ref().filter(|_| op.has_data()));
                p.data = Some(data);
                ops::push_copyup(p, len)?;
                ops::push(p, op, hint)
            }
            _ => Err(EIO),
        }
    }

    /// Begins to read from the parent: what the current action wants. Gives the state back if that fails.
    fn read_parent(self: &Arc<Self>, mut running: Running) -> Option<(Running, Event)> {
        let whole = matches!(running.action, Action::ReadWholeParent);
        let begun = running
            .parent_extent(&self.image, whole)
            .and_then(|(parent, extent, data)| {
                let layout = *running.scope.source(&self.image).layout();
                let read = ParentRead::new(self.clone())?;
                Ok((parent, layout, extent, data, read))
            });
        match begun {
            Ok((parent, layout, extent, data, read)) => {
                *self.running.lock() = Some(running);
                read.start(&self.image, &parent, &layout, &extent, data);
                None
            }
            Err(e) if whole => Some((running, Event::ParentRead(Err(e)))),
            Err(e) => Some((running, Event::Done(Err(e)))),
        }
    }

    /// The parent was read.
    pub(super) fn parent_was_read(&self, result: Result) {
        let running = self.running.lock().take();
        if let Some(running) = running {
            self.defer(running, Due::Answer(result));
        }
    }
}

impl Completion for ObjectRequest {
    fn complete(&self, _osd: &Arc<OsdRequest>, result: Result<usize>) {
        let running = self.running.lock().take();
        let Some(mut running) = running else {
            return;
        };
        if let (Ok(got), Action::Send { .. }) = (&result, running.action) {
            running.got = *got;
        }
        let result = result.map(drop);
        match running.steps.next(Event::Done(result)) {
            // The connection's lock may be held: nothing is sent from here.
            Action::Finish(result) => running.end(result),
            action => self.defer(running, Due::Action(action)),
        }
    }
}

impl WorkItem for ObjectRequest {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // It may be write-out that frees memory.
        let _noio = NoIoScope::enter();
        let running = this.running.lock().take();
        let Some(mut running) = running else {
            return;
        };
        let action = match core::mem::replace(&mut running.due, Due::Nothing) {
            Due::Nothing => Action::Finish(Err(EIO)),
            Due::Action(action) => action,
            Due::Answer(result) => {
                let event = running.answered(&this, result);
                running.steps.next(event)
            }
        };
        this.drive(running, action, true, true);
    }
}

impl Running {
    /// What is to be read from the parent, and where to: the extent of a read, or all that the parent has of
    /// the object. The extent is one of the child's.
    fn parent_extent(
        &mut self,
        image: &Image,
        whole: bool,
    ) -> Result<(Parent, ObjectExtent, DataCursor)> {
        let parent = self.scope.parent().ok_or(EIO)?.clone();
        if !whole {
            return Ok((parent, self.extent, self.data.clone().ok_or(EIO)?));
        }
        let layout = self.scope.source(image).layout();
        let object = self.extent.object;
        let extent = ObjectExtent {
            object,
            offset: 0,
            length: layout.object_prefix(object, parent.overlap),
            image_offset: layout.image_offset(object, 0).ok_or(EIO)?,
        };
        let data_len = match &self.data {
            Some(data) if self.op.has_data() => data.remaining(),
            _ => 0,
        };
        let copyup = CopyUpBuffer::new(usize::try_from(extent.length)?, data_len)?;
        let room = copyup.parent_room();
        self.copyup = Some(copyup);
        Ok((parent, extent, room))
    }

    /// What it means that the parent was read.
    fn answered(&mut self, request: &ObjectRequest, result: Result) -> Event {
        let image = &request.image;
        if let Scope::Image(then) = &self.scope {
            let now = image.head();
            if !then.same_parent(&now) {
                // What was read may have been what is left of a parent that is not ours any more.
                self.scope = Scope::Image(now);
                self.copyup = None;
                return Event::Restart(request.scene(&self.scope, &self.extent));
            }
        }
        match (self.action, &mut self.copyup) {
            (Action::ReadWholeParent, Some(copyup)) => {
                Event::ParentRead(result.map(|()| copyup.find_zeroes()))
            }
            _ => {
                // With zeroes where the parent has nothing.
                self.got = usize::try_from(self.extent.length).unwrap_or(0);
                Event::Done(result)
            }
        }
    }

    /// Ends the request.
    fn end(mut self, result: Result) {
        self.result = result;
        match (&mut self.data, result) {
            (Some(data), Ok(())) if !self.op.writes() => {
                data.advance(self.got);
                let left = data.remaining();
                data.zero_fill(left);
            }
            (_, Err(e)) => {
                pr_warn!(
                    "rbd{}: object {:016x}: {:?}: {e:?}\n",
                    self.me.image.device(),
                    self.extent.object,
                    self.op
                );
            }
            _ => {}
        }
    }
}
