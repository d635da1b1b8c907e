// SPDX-License-Identifier: GPL-2.0-only

//! The state of an object request that is under way.

use super::{Due, ObjectRequest, Scope, Told};
use crate::{
    image::{Image, Parent},
    io::{
        copyup::CopyUpBuffer,
        plan::{ObjectOp, Want},
        step::{Action, Event, Steps},
    },
    object_map::{SnapMap, Turn, Update},
};
use core::mem::MaybeUninit;
use kernel::{alloc::Flags, prelude::*, sync::Arc};
use net_ceph::{
    abstractions::{data::DataCursor, errno::ESTALE, time::boot_ns},
    proto::striper::ObjectExtent,
};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// How long a request waits, in ns, for ancestors that can be read: librbd may be removing a large image meanwhile,
/// which its child's header still names.
const PARENTS_NS: u64 = 300 * NSEC_PER_SEC;

/// Where the state is while nobody handles it: it is large, and passed on a lot, so its memory is used again and again.
///
/// # Invariants
///
/// While the object request is free, there is `room`.
pub(super) struct Slot {
    /// `None`: nothing is under way, or whoever handles it has it.
    pub(super) running: Option<KBox<Running>>,
    /// Memory for the next one.
    pub(super) room: Option<KBox<MaybeUninit<Running>>>,
    pub(super) next: Next,
}

/// The next one of the same tag, or for the same child. There may be as many as a request has objects, so one must
/// not be dropped by dropping the one before it: the stack is not as long.
pub(super) struct Next(pub(super) Option<Arc<ObjectRequest>>);

impl Drop for Next {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(request) = next.and_then(Arc::into_unique_or_drop) {
            next = request.running.lock().next.0.take();
        }
    }
}

impl Slot {
    /// A free one.
    pub(super) fn new(flags: Flags) -> Result<Self> {
        Ok(Self {
            running: None,
            room: Some(KBox::new_uninit(flags)?),
            next: Next(None),
        })
    }
}

/// The state of an object request that is under way. It ends by [`end`](Self::end) alone, which keeps its memory.
pub(super) struct Running {
    /// The object request itself.
    pub(super) me: Arc<ObjectRequest>,
    /// Present to the end.
    pub(super) told: Option<Told>,
    pub(super) scope: Scope,
    pub(super) extent: ObjectExtent,
    pub(super) want: Want,
    pub(super) op: ObjectOp,
    pub(super) steps: Steps,
    /// The action that is waited for.
    pub(super) action: Action,
    pub(super) due: Due,
    /// The bytes of `extent`, in the object's order.
    pub(super) data: Option<DataCursor>,
    /// How many bytes of a read are in their place.
    pub(super) got: usize,
    pub(super) copyup: Option<CopyUpBuffer>,
    /// Of the snapshots whose maps are updated, the next one.
    pub(super) snap: usize,
    pub(super) turn: Option<Turn<Arc<ObjectRequest>>>,
    /// When it began, in ns since boot.
    pub(super) since: u64,
    /// When an ancestor turned out to be gone first; 0: none did.
    pub(super) doubted: u64,
}

impl Running {
    /// What is to be read from the parent, should there be one, and where to: the extent of a read, or all that the
    /// parent has of the object. The extent is one of the child's.
    pub(super) fn parent_extent(
        &mut self,
        image: &Image,
        whole: bool,
    ) -> Result<(Option<Parent>, ObjectExtent, DataCursor)> {
        let parent = self.scope.parent().cloned();
        if !whole {
            return Ok((parent, self.extent, self.data.clone().ok_or(EIO)?));
        }
        let parent = parent.ok_or(EIO)?;
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
        Ok((Some(parent), extent, room))
    }

    /// Begins the steps, with what the map says now.
    pub(super) fn begin_steps(&mut self, request: &ObjectRequest) -> Action {
        let scene = request.scene(&self.scope, &self.extent);
        let (steps, action) = Steps::begin(self.want, self.op, scene);
        self.steps = steps;
        action
    }

    /// Begins the steps again, with the image as it is now.
    pub(super) fn restart(&mut self, request: &ObjectRequest) -> Action {
        if let Scope::Image(view) = &mut self.scope {
            *view = view.anew(&request.image);
        }
        self.copyup = None;
        self.snap = 0;
        self.doubted = 0;
        let scene = request.scene(&self.scope, &self.extent);
        self.steps.next(Event::Restart(scene))
    }

    /// What follows from the answer to the current action; `None`: that cannot be said yet, or there is no memory
    /// for it. Sleeps.
    pub(super) fn answered(&mut self, request: &ObjectRequest, result: Result) -> Option<Action> {
        if !matches!(
            self.action,
            Action::UpdateMap { .. } | Action::UpdateSnapMaps
        ) {
            if self.parent_changed(request) {
                return Some(self.restart(request));
            }
            if self.awaits_parents(request, result) {
                return None;
            }
        }
        let event = match self.action {
            // Their OSD has no memory: again.
            Action::UpdateMap { .. } | Action::UpdateSnapMaps if result == Err(ENOMEM) => {
                return Some(self.action);
            }
            Action::UpdateSnapMaps => {
                let told = self.told_snap(&request.image, result);
                if told == Err(ENOMEM) {
                    return None;
                }
                self.snap = self.snap.saturating_add(1);
                if told.is_ok() {
                    return Some(Action::UpdateSnapMaps);
                }
                Event::Done(told)
            }
            Action::UpdateMap { .. } => {
                let told = match (result, self.scope.map()) {
                    (Err(e), Some(map)) => map.invalidate(e),
                    _ => Ok(()),
                };
                if told == Err(ENOMEM) {
                    return None;
                }
                Event::Done(told)
            }
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
        Some(self.steps.next(event))
    }

    /// Whether what was read may be what is left of a parent that is not the image's any more.
    pub(super) fn parent_changed(&self, request: &ObjectRequest) -> bool {
        match &self.scope {
            Scope::Image(view) => !view.head.same_parent(&request.image.head()),
            Scope::Ancestor(_) => false,
        }
    }

    /// Whether an ancestor turned out to be gone, and the image's ancestors have yet to be opened anew. Sleeps.
    fn awaits_parents(&mut self, request: &ObjectRequest, result: Result) -> bool {
        let (Scope::Image(_), Action::ReadParent | Action::ReadWholeParent) =
            (&self.scope, self.action)
        else {
            return false;
        };
        let Err(e @ (ESTALE | ENXIO)) = result else {
            return false;
        };
        let failures = request.image.doubt_parents();
        // If its pool is gone, and it is an ancestor still, that is how it stays.
        let now = boot_ns();
        if self.doubted == 0 {
            self.doubted = now;
        }
        now.saturating_sub(self.doubted) < PARENTS_NS && (e == ESTALE || failures == 0)
    }

    /// The change of the map that is the current action.
    pub(super) fn update(&self) -> Option<Update> {
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
    pub(super) fn applied(&self) {
        if let (Some(map), Some(update)) = (self.scope.map(), self.update()) {
            map.applied(update);
        }
    }

    /// The map of a snapshot that is told of a copy next, and whether that snapshot is the oldest.
    pub(super) fn snap_map<'a>(&self, image: &'a Image) -> Option<(SnapMap<'a>, bool)> {
        let Scope::Image(view) = &self.scope else {
            return None;
        };
        let snaps = &view.head.snapc.snaps;
        let id = snaps.get(self.snap)?;
        let oldest = self.snap.saturating_add(1) == snaps.len();
        Some((image.snap_map(&view.head, *id)?, oldest))
    }

    /// A snapshot's map was told of a copy.
    pub(super) fn told_snap(&self, image: &Image, result: Result) -> Result {
        match (result, self.snap_map(image)) {
            // The snapshot is of a time when the image was smaller.
            (Err(ERANGE), _) => Ok(()),
            (Err(e), Some((map, _))) => map.invalidate(e),
            _ => Ok(()),
        }
    }

    /// Ends the request: tells the asker.
    pub(super) fn end(mut running: KBox<Self>, result: Result) {
        let this = &mut *running;
        match (&mut this.data, result) {
            (Some(data), Ok(())) if !this.op.writes() => {
                data.advance(this.got);
                let left = data.remaining();
                data.zero_fill(left);
            }
            // The request for whose sake an ancestor was read waits then, and goes on.
            (_, Err(ESTALE)) if this.scope.ancestor().is_some() => {}
            (_, Err(e)) if !this.me.image.is_aborted() => {
                pr_warn!(
                    "rbd{}: {} at objno {} {}~{} result {}\n",
                    this.me.image.device(),
                    this.want,
                    this.extent.object,
                    this.extent.offset,
                    this.extent.length,
                    e.to_errno()
                );
            }
            _ => {}
        }
        let told = this.told.take();
        let me = this.me.clone();
        // As soon as the asker is told, the next one may begin.
        let room = KBox::drop_contents(running);
        me.running.lock().room = Some(room);
        drop(me);
        if let Some(told) = told {
            told.of(result);
        }
    }
}
