// SPDX-License-Identifier: GPL-2.0-only

//! What is done to one object, for a request of the block layer or for reading a parent: carries out
//! the [`Steps`].
//!
//! An object request is made once and used again and again. While it is under way its state is in
//! [`Running`], which whoever handles it takes out and puts back. The way most requests go, from
//! submission to an OSD's answer, allocates nothing and needs no work item; everything else is
//! carried out by one. What changes an object that an object map tells of has to get a turn first.
//!
//! Lack of memory makes no request fail: what could not be done is tried again until it can be.

mod asker;
mod running;
mod scope;
mod show;

pub(super) use asker::Asker;
pub(super) use scope::Scope;

use self::{
    asker::Told,
    running::{Next, Running, Slot},
};
use super::{
    ops,
    parent_read::ParentRead,
    plan::{ObjectOp, Want},
    step::{Action, Event, Scene, Steps},
};
use crate::{
    image::{Image, ParentImage},
    object_map::{Entrance, Turn, Waiter},
};
use kernel::{
    alloc::Flags,
    impl_has_delayed_work, new_delayed_work, new_spinlock,
    prelude::*,
    sync::{Arc, SpinLock},
    workqueue::{DelayedWork, WorkItem},
};
use net_ceph::{
    abstractions::{
        data::DataCursor,
        errno::ESTALE,
        task::NoIoScope,
        time::{boot_ns, msecs},
    },
    osd_client::{Completion, OsdRequest, Params},
    proto::striper::ObjectExtent,
};

/// Milliseconds until what lacked memory is tried again.
const STARVED_MS: u64 = 100;

/// A request to one object.
#[pin_data]
pub(crate) struct ObjectRequest {
    image: Arc<Image>,
    osd: Arc<OsdRequest>,
    /// Nothing is taken inside.
    #[pin]
    running: SpinLock<Slot>,
    #[pin]
    work: DelayedWork<Self>,
    /// How it reads the parent, and the first of those that do so.
    pub(super) parent: ParentRead,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for ObjectRequest { self.work }
}

/// What happens next.
enum Due {
    /// Nothing until an answer comes.
    Nothing,
    /// The request gets a turn at the object, by the work item.
    Enter,
    /// The steps begin, by the work item: it is the request's turn at the object.
    Begin,
    /// This, by the work item.
    Action(Action),
    /// The answer to the action under way is to be dealt with, by the work item.
    Answer(Result),
}

impl ObjectRequest {
    /// Makes one for the objects of `image` and its ancestors, with memory as by `flags`. Sleeps on locks.
    pub(super) fn new(image: Arc<Image>, flags: Flags) -> Result<Arc<Self>> {
        let osd = image.source().data().request_with(flags)?;
        let free = Slot::new(flags)?;
        Arc::pin_init(
            pin_init!(Self {
                image,
                osd,
                running <- new_spinlock!(free),
                work <- new_delayed_work!("rbd::ObjectRequest"),
                parent: ParentRead::new(),
            }),
            flags,
        )
    }

    /// The mapped image.
    pub(super) fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// The one behind it, made if need be, with memory as by `flags`. Sleeps on locks. A tag has one request at a time, and a child
    /// reads its parent once at a time, so nobody else calls this meanwhile.
    pub(super) fn next(&self, flags: Flags) -> Result<Arc<Self>> {
        if let Some(next) = self.following() {
            return Ok(next);
        }
        let made = Self::new(self.image.clone(), flags)?;
        self.running.lock().next = Next(Some(made.clone()));
        Ok(made)
    }

    /// The one behind it in its tag, if one was made.
    pub(super) fn following(&self) -> Option<Arc<Self>> {
        self.running.lock().next.0.clone()
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
        let told = Told::new(asker);
        // The last one made room before it told its asker.
        let Some(room) = self.running.lock().room.take() else {
            return;
        };
        let scene = self.scene(&scope, &extent);
        let (steps, action) = Steps::begin(want, op, scene);
        let running = room.write(Running {
            me: self.clone(),
            told: Some(told),
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
            doubted: 0,
        });
        self.enter(running, last, false);
    }

    /// Gets a turn at the object, if it needs one, and begins. As [`drive`](Self::drive).
    fn enter(self: &Arc<Self>, running: KBox<Running>, last: bool, by_work: bool) {
        let map = running.scope.map().filter(|_| running.op.writes()).cloned();
        let Some(map) = map else {
            let action = running.action;
            return self.drive(running, action, last, by_work);
        };
        let (object, deletes) = (running.extent.object, running.op == ObjectOp::Delete);
        self.put(running);
        match map.begin(object, deletes, self.clone()) {
            Entrance::Now(_, turn) => {
                let running = self.take();
                if let Some(mut running) = running {
                    running.turn = Some(turn);
                    // What the map says counts from now on.
                    let action = running.begin_steps(self);
                    self.drive(running, action, last, by_work);
                }
            }
            Entrance::Later => {}
            Entrance::Failed(_, _) => {
                let running = self.take();
                if let Some(running) = running {
                    self.starve(running, Due::Enter);
                }
            }
        }
    }

    /// Leaves the state to whoever deals with what is waited for.
    fn put(&self, running: KBox<Running>) {
        self.running.lock().running = Some(running);
    }

    /// Takes the state, to deal with it.
    fn take(&self) -> Option<KBox<Running>> {
        self.running.lock().running.take()
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
            ancestor: scope.ancestor().is_some(),
        }
    }

    /// Carries out `action` and those that follow, until one has to be waited for. `by_work`: we are the
    /// work item, with its stack to ourselves.
    fn drive(
        self: &Arc<Self>,
        mut running: KBox<Running>,
        first: Action,
        last: bool,
        by_work: bool,
    ) {
        let mut action = first;
        loop {
            running.action = action;
            let failed = match action {
                Action::Finish(result) => return Running::end(running, result),
                // The OSD that has the map is told no more.
                Action::UpdateMap { .. } if running.scope.map().is_none() => {
                    Some((running, Event::Done(Ok(()))))
                }
                Action::Send { .. } | Action::UpdateMap { .. } => self.send(running, last),
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
                Action::ReadParent | Action::ReadWholeParent => self.read_parent(running),
                Action::UpdateSnapMaps if running.snap_map(&self.image).is_none() => {
                    Some((running, Event::Done(Ok(()))))
                }
                Action::UpdateSnapMaps | Action::CopyUpBelow | Action::CopyUp { .. } => {
                    self.send(running, last)
                }
            };
            let event;
            match failed {
                None => return,
                Some((running, Event::Done(Err(ENOMEM)) | Event::ParentRead(Err(ENOMEM)))) => {
                    return self.starve(running, Due::Action(action));
                }
                Some((was, said)) => (running, event) = (was, said),
            }
            action = running.steps.next(event);
        }
    }

    /// Leaves what is due to the work item.
    fn defer(&self, running: KBox<Running>, due: Due) {
        self.defer_for(running, due, 0);
    }

    /// As [`defer`](Self::defer), after a pause: there was no memory for it.
    fn starve(&self, running: KBox<Running>, due: Due) {
        if self.image.is_aborted() {
            return Running::end(running, Err(EIO));
        }
        self.defer_for(running, due, STARVED_MS);
    }

    fn defer_for(&self, mut running: KBox<Running>, due: Due, ms: u64) {
        running.due = due;
        let me = running.me.clone();
        self.put(running);
        let queue = me.image.io_queue().clone();
        // It is not queued already: there is one thing to do at a time.
        let _queued = queue.enqueue_delayed(me, msecs(ms));
    }

    /// Sends the request for the current action. Gives the state back if that fails.
    fn send(
        self: &Arc<Self>,
        running: KBox<Running>,
        last: bool,
    ) -> Option<(KBox<Running>, Event)> {
        let prepared = self.osd.prepare(self.clone(), |p| self.fill(&running, p));
        if let Err(e) = prepared {
            return Some((running, Event::Done(Err(e))));
        }
        self.put(running);
        // From here on the answer may come at any time.
        match self.image.source().data().osd().submit(&self.osd, last) {
            Ok(()) => None,
            Err(e) => {
                self.osd.unprepare();
                let running = self.take();
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
    fn read_parent(self: &Arc<Self>, mut running: KBox<Running>) -> Option<(KBox<Running>, Event)> {
        let whole = matches!(running.action, Action::ReadWholeParent);
        match running.parent_extent(&self.image, whole) {
            Ok((parent, extent, data)) => {
                let layout = *running.scope.source(&self.image).layout();
                let ancestor = running.scope.ancestor().cloned();
                self.put(running);
                self.start_parent_read(
                    parent.as_ref(),
                    &layout,
                    &extent,
                    data,
                    ancestor.as_deref(),
                );
                None
            }
            Err(e) if whole => Some((running, Event::ParentRead(Err(e)))),
            Err(e) => Some((running, Event::Done(Err(e)))),
        }
    }

    /// Asks whether `ancestor` is there, while the parent is read: the answer is the end of a part of that, unless this
    /// fails.
    pub(super) fn confirm(self: &Arc<Self>, ancestor: &ParentImage) -> Result {
        self.osd
            .prepare(self.clone(), |p| ancestor.fill_confirmation(p))?;
        let osd = self.image.source().data().osd();
        osd.submit(&self.osd, false)
            .inspect_err(|_| self.osd.unprepare())
    }

    /// The parent was read.
    pub(super) fn parent_was_read(&self, result: Result) {
        let running = self.take();
        match (running, result) {
            (None, _) => {}
            // Once more, with what there is then.
            (Some(running), Err(ENOMEM)) => {
                let action = running.action;
                self.starve(running, Due::Action(action));
            }
            (Some(running), result) => self.defer(running, Due::Answer(result)),
        }
    }
}

impl Completion for ObjectRequest {
    fn complete(&self, osd: &Arc<OsdRequest>, result: Result<usize>) {
        let running = self.take();
        let Some(mut running) = running else {
            return;
        };
        if let Action::ReadParent = running.action {
            // An ancestor was asked whether it is there.
            let ancestor = running.scope.ancestor().ok_or(EIO);
            let confirmed = match (ancestor, result) {
                (Ok(_), Err(ENOENT)) => Err(ESTALE),
                (Ok(ancestor), Ok(_)) => match ancestor.is_confirmed(&osd.take_output()) {
                    Ok(false) => Err(ESTALE),
                    confirmed => confirmed.map(drop),
                },
                (ancestor, result) => ancestor.and(result.map(drop)),
            };
            self.put(running);
            return self.parent_part_ended(confirmed);
        }
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
            Action::Finish(result) => Running::end(running, result),
            action => self.defer(running, Due::Action(action)),
        }
    }
}

impl Waiter for Arc<ObjectRequest> {
    fn resume(self, turn: Turn<Self>) {
        let running = self.take();
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
        let running = this.take();
        let Some(mut running) = running else {
            return;
        };
        let action = match core::mem::replace(&mut running.due, Due::Nothing) {
            Due::Nothing => Action::Finish(Err(EIO)),
            Due::Enter => return this.enter(running, true, true),
            Due::Begin => running.begin_steps(&this),
            Due::Action(action) => action,
            Due::Answer(result) => match running.answered(&this, result) {
                Some(action) => action,
                None => return this.starve(running, Due::Answer(result)),
            },
        };
        this.drive(running, action, true, true);
    }
}
