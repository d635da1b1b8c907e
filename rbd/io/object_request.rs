// SPDX-License-Identifier: GPL-2.0-only

//! What is done to one object, for a request of the block layer or for reading a parent: carries out
//! the [`Steps`].
//!
//! An object request is made once and used again and again. While it is under way its state is in
//! [`Running`], which whoever handles it takes out and puts back. The way most requests go, from
//! submission to an OSD's answer, allocates nothing and needs no work item; everything else is
//! carried out by one. What changes an object that an object map tells of has to get a turn first.

mod show;

use super::{
    copyup::CopyUpBuffer,
    ops,
    parent_read::ParentRead,
    plan::{ObjectOp, Want},
    step::{Action, Event, Scene, Steps},
    view::View,
    ImageMap,
};
use crate::{
    abstractions::request::Request,
    image::{Image, Parent, ParentImage, Source},
    object_map::{Entrance, SnapMap, Turn, Update, Waiter},
};
use kernel::{
    impl_has_work, new_spinlock, new_work,
    prelude::*,
    sync::{aref::ARef, Arc, SetOnce, SpinLock},
    workqueue::{Work, WorkItem},
};
use net_ceph::{
    abstractions::{data::DataCursor, task::NoIoScope, time::boot_ns},
    osd_client::{Completion, OsdRequest, Params},
    proto::striper::ObjectExtent,
};

/// A request to one object.
#[pin_data]
pub(crate) struct ObjectRequest {
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
    Image(View),
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

    /// The object map, if there is one to be used.
    fn map(&self) -> Option<&Arc<ImageMap>> {
        match self {
            Self::Image(view) => view.map(),
            Self::Ancestor(_) => None,
        }
    }

    fn parent(&self) -> Option<&Parent> {
        match self {
            Self::Image(view) => view.head.parent.as_ref(),
            Self::Ancestor(image) => image.parent(),
        }
    }
}

/// What happens next.
enum Due {
    /// Nothing until an answer comes.
    Nothing,
    /// The steps begin, by the work item: it is the request's turn at the object.
    Begin,
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
    want: Want,
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
    /// Of the snapshots whose maps are updated, the next one.
    snap: usize,
    turn: Option<Turn<Arc<ObjectRequest>>>,
    /// When it began, in ns since boot.
    since: u64,
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

    /// The mapped image.
    pub(super) fn image(&self) -> &Arc<Image> {
        &self.image
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
        let object = extent.object;
        let scene = self.scene(&scope, &extent);
        let (steps, action) = Steps::begin(want, op, scene);
        let running = Running {
            me: self.clone(),
            asker,
            scope,
            extent,
            want,
            op,
            steps,
            action,
            due: Due::Nothing,
            data,
            got: 0,
            copyup: None,
            snap: 0,
            turn: None,
            since: boot_ns(),
            // Until somebody says otherwise.
            result: Err(EIO),
        };
        let map = running.scope.map().filter(|_| op.writes()).cloned();
        let Some(map) = map else {
            return self.drive(running, action, last, false);
        };
        *self.running.lock() = Some(running);
        match map.begin(object, op == ObjectOp::Delete, self.clone()) {
            Entrance::Now(_, turn) => {
                let running = self.running.lock().take();
                if let Some(mut running) = running {
                    running.turn = Some(turn);
                    // What the map says counts from now on.
                    let action = running.begin_steps(self);
                    self.drive(running, action, last, false);
                }
            }
            Entrance::Later => {}
            Entrance::Failed(_, e) => {
                let running = self.running.lock().take();
                if let Some(running) = running {
                    running.end(Err(e));
                }
            }
        }
    }

    fn scene(&self, scope: &Scope, extent: &ObjectExtent) -> Scene {
        let layout = scope.source(&self.image).layout();
        Scene {
            behind: scope
                .parent()
                .map_or(0, |p| layout.object_prefix(extent.object, p.overlap)),
            snaps: match scope {
                Scope::Image(view) => !view.head.snapc.snaps.is_empty(),
                Scope::Ancestor(_) => false,
            },
            entry: scope.map().map(|map| map.state(extent.object)),
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
                // The OSD that has the map is told no more.
                Action::UpdateMap { .. } if running.scope.map().is_none() => {
                    (running, Event::Done(Ok(())))
                }
                Action::Send { .. } | Action::UpdateMap { .. } => match self.send(running, last) {
                    Some(failed) => failed,
                    None => return,
                },
                _ if !by_work => return self.defer(running, Due::Action(action)),
                // A parent that is no longer ours must not be asked, nor copied up.
                Action::ReadParent
                | Action::ReadWholeParent
                | Action::CopyUpBelow
                | Action::CopyUp { .. }
                    if running.parent_changed(self) =>
                {
                    action = running.restart(self);
                    continue;
                }
                Action::ReadParent | Action::ReadWholeParent => match self.read_parent(running) {
                    Some(failed) => failed,
                    None => return,
                },
                Action::UpdateSnapMaps if running.snap_map(&self.image).is_none() => {
                    (running, Event::Done(Ok(())))
                }
                Action::UpdateSnapMaps | Action::CopyUpBelow | Action::CopyUp { .. } => {
                    match self.send(running, last) {
                        Some(failed) => failed,
                        None => return,
                    }
                }
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
        let object = running.extent.object;
        if let (Some(update), Scope::Image(view)) = (running.update(), &running.scope) {
            return view.any_map().ok_or(EIO)?.fill_update(p, update);
        }
        if let (Action::UpdateSnapMaps, Some((map, oldest))) =
            (running.action, running.snap_map(&self.image))
        {
            return map.fill_copied_up(p, object, oldest);
        }
        let source = running.scope.source(&self.image);
        ops::address(p, source, object)?;
        let snapc = match &running.scope {
            Scope::Image(view) => Some(view.head.snapc.clone()),
            Scope::Ancestor(_) => None,
        };
        let hint = ops::Hint::of(&self.image);
        match running.action {
            Action::Send { op, guard } => {
                p.data = running.data.clone().filter(|_| op.has_data());
                if op.writes() {
                    ops::stamp(p, snapc);
                } else {
                    ops::stamp_read(p, source);
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
        match (result, running.action) {
            (Ok(got), Action::Send { .. }) => running.got = got,
            (Ok(_), Action::UpdateMap { .. }) => running.applied(),
            (result, Action::UpdateMap { .. } | Action::UpdateSnapMaps) => {
                return self.defer(running, Due::Answer(result.map(drop)));
            }
            _ => {}
        }
        let result = result.map(drop);
        match running.steps.next(Event::Done(result)) {
            // The connection's lock may be held: nothing is sent from here.
            Action::Finish(result) => running.end(result),
            action => self.defer(running, Due::Action(action)),
        }
    }
}

impl Waiter for Arc<ObjectRequest> {
    fn resume(self, turn: Turn<Self>) {
        let running = self.running.lock().take();
        if let Some(mut running) = running {
            running.turn = Some(turn);
            self.defer(running, Due::Begin);
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
            Due::Begin => running.begin_steps(&this),
            Due::Action(action) => action,
            Due::Answer(result) => running.answered(&this, result),
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
        let copyup = CopyUpBuffer::new(usize::try_from(extent.length)?, data_len, image)?;
        let room = copyup.parent_room();
        self.copyup = Some(copyup);
        Ok((parent, extent, room))
    }

    /// Begins the steps, with what the map says now.
    fn begin_steps(&mut self, request: &ObjectRequest) -> Action {
        let scene = request.scene(&self.scope, &self.extent);
        let (steps, action) = Steps::begin(self.want, self.op, scene);
        self.steps = steps;
        action
    }

    /// Begins the steps again, with the image as it is now.
    fn restart(&mut self, request: &ObjectRequest) -> Action {
        if let Scope::Image(view) = &mut self.scope {
            *view = view.anew(&request.image);
        }
        self.copyup = None;
        self.snap = 0;
        let scene = request.scene(&self.scope, &self.extent);
        self.steps.next(Event::Restart(scene))
    }

    /// What follows from the answer to the current action. Sleeps.
    fn answered(&mut self, request: &ObjectRequest, result: Result) -> Action {
        let event = match self.action {
            Action::UpdateSnapMaps => {
                let told = self.told_snap(&request.image, result);
                self.snap = self.snap.saturating_add(1);
                if told.is_ok() {
                    return Action::UpdateSnapMaps;
                }
                Event::Done(told)
            }
            Action::UpdateMap { .. } => Event::Done(match (result, self.scope.map()) {
                (Err(e), Some(map)) => map.invalidate(e),
                _ => Ok(()),
            }),
            _ if self.parent_changed(request) => return self.restart(request),
            Action::ReadWholeParent => Event::ParentRead(match (result, &mut self.copyup) {
                (Ok(()), Some(copyup)) => Ok(copyup.find_zeroes()),
                (result, _) => result.and(Err(EIO)),
            }),
            _ => {
                // With zeroes where the parent has nothing.
                self.got = usize::try_from(self.extent.length).unwrap_or(0);
                Event::Done(result)
            }
        };
        self.steps.next(event)
    }

    /// Whether what was read may be what is left of a parent that is not the image's any more.
    fn parent_changed(&self, request: &ObjectRequest) -> bool {
        match &self.scope {
            Scope::Image(view) => !view.head.same_parent(&request.image.head()),
            Scope::Ancestor(_) => false,
        }
    }

    /// The change of the map that is the current action.
    fn update(&self) -> Option<Update> {
        match self.action {
            Action::UpdateMap { to, only } => Some(Update {
                object: self.extent.object,
                to,
                only,
            }),
            _ => None,
        }
    }

    /// The OSD changed the map.
    fn applied(&self) {
        if let (Some(map), Some(update)) = (self.scope.map(), self.update()) {
            map.applied(update);
        }
    }

    /// The map of a snapshot that is told of a copy next, and whether that snapshot is the oldest.
    fn snap_map<'a>(&self, image: &'a Image) -> Option<(SnapMap<'a>, bool)> {
        let Scope::Image(view) = &self.scope else {
            return None;
        };
        let snaps = &view.head.snapc.snaps;
        let id = snaps.get(self.snap)?;
        let oldest = self.snap.saturating_add(1) == snaps.len();
        Some((image.snap_map(&view.head, *id)?, oldest))
    }

    /// A snapshot's map was told of a copy.
    fn told_snap(&self, image: &Image, result: Result) -> Result {
        match (result, self.snap_map(image)) {
            // The snapshot is of a time when the image was smaller.
            (Err(ERANGE), _) => Ok(()),
            (Err(e), Some((map, _))) => map.invalidate(e),
            _ => Ok(()),
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
            (_, Err(e)) if !self.me.image.is_aborted() => {
                pr_warn!(
                    "rbd{}: {} at objno {} {}~{} result {}\n",
                    self.me.image.device(),
                    self.want,
                    self.extent.object,
                    self.extent.offset,
                    self.extent.length,
                    e.to_errno()
                );
            }
            _ => {}
        }
    }
}
