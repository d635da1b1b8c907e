// SPDX-License-Identifier: GPL-2.0-only

//! The steps of one object's part of an image request.
//!
//! Pure: the host tests compile this file too. [`Steps`] says what to do next, the executor does it and
//! tells how it went. A request to an object that has no parent and is known to exist is a single step.
//! What the steps leave in the cluster follows the C driver (Linux `drivers/block/rbd.c`, the state
//! machines of an object request) and librbd (Ceph `src/librbd/io/ObjectRequest.cc`,
//! `CopyupRequest.cc`), as both may write to the same image:
//!
//! - Before an object changes, the object map says that it may exist; after it was deleted, and only if
//!   nobody wrote to it meanwhile, that it does not.
//! - A write to an object that the child does not have yet first copies up what the parent has of it.
//!   With snapshots and anything but zeroes to copy, the copy goes below them (deep copy-up), so that
//!   they keep their content when the parent is detached.
//! - A discard never copies up: it gives space back, and an object that is not there has none.
//! - That an ancestor does not have an object counts only if its snapshot is there afterwards, too. When its child was
//!   flattened it may be removed, and the child's children are not told. What it hid of its own parent would
//!   show, or zeroes in the place of what was in it. (Neither of those two asks.)

use super::plan::{ObjectOp, Want};
use kernel::{fmt, prelude::*};
use net_ceph::proto::cls::object_map::ObjectState;

/// What is known of an object and of its image when a request to it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scene {
    /// How many bytes of the object the parent has; they are its first ones. 0: none, or no parent.
    pub behind: u64,
    /// Whether the snapshot context that the request writes with has snapshots.
    pub snaps: bool,
    /// What the object map says, where there is one to be trusted.
    pub entry: Option<ObjectState>,
    /// It is an ancestor's object, and the ancestor a snapshot that others may remove.
    pub ancestor: bool,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Change the object's entry in the head's map, if `only` is `None` or what the entry is. The
    /// answer is [`Event::Done`], and with `Ok` also if the update failed and the map was therefore
    /// flagged invalid: I/O does not fail for the map's sake.
    UpdateMap {
        /// To this.
        to: ObjectState,
        /// If it is this.
        only: Option<ObjectState>,
    },
    /// Say in the maps of all snapshots of the snapshot context, if the image has object maps, that the
    /// object exists. As with [`Action::UpdateMap`], a map that cannot be updated is no reason to fail.
    UpdateSnapMaps,
    /// Send it to the object's OSD.
    Send {
        /// What.
        op: ObjectOp,
        /// It is to fail as a whole with `ENOENT` if the object does not exist.
        guard: bool,
    },
    /// Read the request's bytes of the object from the parent, into the request, and zeroes where it has none.
    /// Of an ancestor, which may have no parent, also ask if its snapshot is still there: `ESTALE` if not.
    ReadParent,
    /// Read all that the parent has of the object into a buffer.
    ReadWholeParent,
    /// Send the class method `rbd.copyup` with the buffer and an empty snapshot context, so that the
    /// object is in all snapshots.
    CopyUpBelow,
    /// Send the class method `rbd.copyup` with the buffer, or with no bytes if those are all zeroes,
    /// and after it `op` in the same transaction. (The method does nothing if the object exists.)
    CopyUp {
        /// What follows.
        op: ObjectOp,
    },
    /// The request ends with this. What a read did not get is zeroes.
    Finish(Result),
}

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It is done: any action but [`Action::ReadWholeParent`] and [`Action::Finish`].
    Done(Result),
    /// [`Action::ReadWholeParent`] is done: whether the bytes are all zeroes.
    ParentRead(Result<bool>),
    /// The parent was detached, or has less of the image, since the scene was made. To be told in
    /// place of what came out of any action, where the scene had bytes behind, and before asking the
    /// parent: what it has may be gone. A copy-up that is sent after a deletion which knew of the change
    /// brings the parent's bytes back, so between looking for a change and sending there must be no
    /// room for that: turns at objects (see `object_map`) see to it where there is a map.
    ///
    /// What an answer says beside, as that a map was changed, is noted all the same.
    Restart(Scene),
}

/// Where a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Reading the object.
    Read,
    /// Reading from the parent what the object does not have.
    ReadParent,
    /// The head's map is told what is to come.
    PreMap,
    /// Writing, if the object exists.
    GuardedWrite,
    /// Writing.
    Write,
    /// Reading what the parent has.
    CopyUpRead,
    /// The snapshots' maps are told of the copy to come.
    CopyUpSnapMaps,
    /// Copying up below the snapshots.
    CopyUpBelow,
    /// Copying up and writing.
    CopyUp,
    /// The head's map is told that the object is gone.
    PostMap,
    /// At the end.
    Done,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::ReadParent => "read-parent",
            Self::PreMap => "pre-map",
            Self::GuardedWrite => "guarded-write",
            Self::Write => "write",
            Self::CopyUpRead => "copyup-read",
            Self::CopyUpSnapMaps => "copyup-snap-maps",
            Self::CopyUpBelow => "copyup-below",
            Self::CopyUp => "copyup",
            Self::PostMap => "post-map",
            Self::Done => "done",
        })
    }
}

/// The steps of one request to one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steps {
    want: Want,
    op: ObjectOp,
    scene: Scene,
    state: State,
}

impl Steps {
    /// Begins with `op`, planned for `want`. Gives the first thing to do.
    pub fn begin(want: Want, op: ObjectOp, scene: Scene) -> (Self, Action) {
        let mut steps = Self {
            want,
            op,
            scene,
            state: State::Done,
        };
        let action = steps.start();
        (steps, action)
    }

    /// Takes how the last action went. Gives the next thing to do; an event that cannot follow that
    /// action ends the request with `EIO`.
    pub fn next(&mut self, event: Event) -> Action {
        match (self.state, event) {
            (State::Done, _) => self.finish(Err(EIO)),
            (_, Event::Restart(scene)) => {
                // Nothing that was done so far hinders: writing again what was written, or copying up
                // to an object that exists, changes nothing.
                self.scene = scene;
                self.start()
            }

            (State::Read, Event::Done(Err(ENOENT))) => self.read_absent(),
            (State::GuardedWrite, Event::Done(Err(ENOENT))) => self.copy_up(),
            (State::Write, Event::Done(Err(ENOENT))) if self.op.absent_is_fine() => self.written(),
            (State::CopyUpRead, Event::ParentRead(Ok(all_zero))) => self.copy(all_zero),

            (_, Event::Done(Err(e)) | Event::ParentRead(Err(e))) => self.finish(Err(e)),

            (State::PreMap, Event::Done(Ok(()))) => self.write(),
            (State::CopyUpSnapMaps, Event::Done(Ok(()))) => self.copy_below(),
            // The object is there now.
            (State::CopyUpBelow, Event::Done(Ok(()))) => self.send(State::Write),
            (State::GuardedWrite | State::Write | State::CopyUp, Event::Done(Ok(()))) => {
                self.written()
            }
            (State::Read | State::ReadParent | State::PostMap, Event::Done(Ok(()))) => {
                self.finish(Ok(()))
            }

            (State::CopyUpRead, Event::Done(Ok(()))) | (_, Event::ParentRead(Ok(_))) => {
                self.finish(Err(EIO))
            }
        }
    }

    /// Where the request is.
    pub fn state(&self) -> State {
        self.state
    }

    fn start(&mut self) -> Action {
        if self.op == ObjectOp::Delete && self.scene.behind > 0 {
            // The parent's bytes would show again.
            self.op = match self.want {
                Want::Discard => ObjectOp::Truncate { size: 0 },
                _ => ObjectOp::Hide,
            };
        }
        let absent = self.scene.entry == Some(ObjectState::Nonexistent);
        if !self.op.writes() {
            return if absent {
                self.read_absent()
            } else {
                self.send(State::Read)
            };
        }
        if absent && self.is_nothing_to_absent() {
            return self.finish(Ok(()));
        }
        let to = match self.op {
            ObjectOp::Delete => ObjectState::Pending,
            _ => ObjectState::Exists,
        };
        if self.scene.entry.is_some_and(|entry| entry != to) {
            self.state = State::PreMap;
            return Action::UpdateMap { to, only: None };
        }
        self.write()
    }

    /// Whether the operation leaves an absent object as it is.
    fn is_nothing_to_absent(&self) -> bool {
        self.op.absent_is_fine() && (self.want == Want::Discard || self.scene.behind == 0)
    }

    /// Whether the parent's bytes have to be in the object before the operation.
    fn needs_copy(&self) -> bool {
        self.scene.behind > 0
            && self.want != Want::Discard
            && match self.op {
                ObjectOp::Read { .. } => false,
                // Nothing of the parent's bytes is left, but the snapshots still have them.
                ObjectOp::WriteFull { .. } | ObjectOp::Hide => self.scene.snaps,
                _ => true,
            }
    }

    fn read_absent(&mut self) -> Action {
        match self.op {
            ObjectOp::Read { offset, .. } if offset < self.scene.behind || self.scene.ancestor => {
                self.state = State::ReadParent;
                Action::ReadParent
            }
            _ => self.finish(Ok(())),
        }
    }

    fn write(&mut self) -> Action {
        if !self.needs_copy() {
            self.send(State::Write)
        } else if self.scene.entry == Some(ObjectState::Nonexistent) {
            self.copy_up()
        } else {
            self.send(State::GuardedWrite)
        }
    }

    fn send(&mut self, state: State) -> Action {
        self.state = state;
        Action::Send {
            op: self.op,
            guard: state == State::GuardedWrite,
        }
    }

    fn copy_up(&mut self) -> Action {
        self.state = State::CopyUpRead;
        Action::ReadWholeParent
    }

    fn copy(&mut self, all_zero: bool) -> Action {
        // Snapshots read zeroes also without the object.
        if all_zero || !self.scene.snaps {
            self.state = State::CopyUp;
            Action::CopyUp { op: self.op }
        } else {
            // Also where the head's map is not to be trusted: the snapshots' may be.
            self.state = State::CopyUpSnapMaps;
            Action::UpdateSnapMaps
        }
    }

    fn copy_below(&mut self) -> Action {
        self.state = State::CopyUpBelow;
        Action::CopyUpBelow
    }

    fn written(&mut self) -> Action {
        if self.op == ObjectOp::Delete && self.scene.entry.is_some() {
            self.state = State::PostMap;
            return Action::UpdateMap {
                to: ObjectState::Nonexistent,
                only: Some(ObjectState::Pending),
            };
        }
        self.finish(Ok(()))
    }

    fn finish(&mut self, result: Result) -> Action {
        self.state = State::Done;
        Action::Finish(result)
    }
}
