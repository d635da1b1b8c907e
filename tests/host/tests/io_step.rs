// SPDX-License-Identifier: GPL-2.0-only

//! The steps of an object request: where each begins, and every state against every event.

use ceph_proto_host::io::{
    plan::{ObjectOp, Want},
    step::{Action, Event, Scene, State, Steps},
};
use ceph_proto_host::proto::cls::object_map::ObjectState::{
    self, Exists, ExistsClean, Nonexistent, Pending,
};
use kernel::prelude::*;

const READ: ObjectOp = ObjectOp::Read {
    offset: 512,
    length: 1024,
};
const WRITE: ObjectOp = ObjectOp::Write {
    offset: 512,
    length: 1024,
};
const FULL: ObjectOp = ObjectOp::WriteFull { length: 4096 };
const ZERO: ObjectOp = ObjectOp::Zero {
    offset: 512,
    length: 1024,
};
const CUT: ObjectOp = ObjectOp::Truncate { size: 512 };
const EMPTY: ObjectOp = ObjectOp::Truncate { size: 0 };
const DELETE: ObjectOp = ObjectOp::Delete;
const HIDE: ObjectOp = ObjectOp::Hide;

const FLAT: Scene = scene(0, false, None);
const CLONE: Scene = scene(4096, false, None);
const CLONE_WITH_SNAPS: Scene = scene(4096, true, None);

const fn scene(behind: u64, snaps: bool, entry: Option<ObjectState>) -> Scene {
    Scene {
        behind,
        snaps,
        entry,
        ancestor: false,
    }
}

fn begin(want: Want, op: ObjectOp, scene: Scene) -> Action {
    Steps::begin(want, op, scene).1
}

fn plain(op: ObjectOp) -> Action {
    Action::Send { op, guard: false }
}

fn guarded(op: ObjectOp) -> Action {
    Action::Send { op, guard: true }
}

fn update(to: ObjectState) -> Action {
    Action::UpdateMap { to, only: None }
}

const GONE: Action = Action::UpdateMap {
    to: Nonexistent,
    only: Some(Pending),
};
const WELL: Action = Action::Finish(Ok(()));

#[test]
fn reads_begin() {
    for behind in [0, 512, 513, 4096] {
        for snaps in [false, true] {
            for entry in [None, Some(Exists), Some(Pending), Some(ExistsClean)] {
                let scene = scene(behind, snaps, entry);
                assert_eq!(begin(Want::Read, READ, scene), plain(READ), "{scene:?}");
            }
            // What the parent has ends before what is read, or not.
            let absent = scene(behind, snaps, Some(Nonexistent));
            let expected = if behind > 512 {
                Action::ReadParent
            } else {
                WELL
            };
            assert_eq!(begin(Want::Read, READ, absent), expected, "{absent:?}");
        }
    }
}

#[test]
fn writes_without_a_map_begin() {
    for op in [WRITE, FULL, ZERO, CUT, DELETE] {
        for snaps in [false, true] {
            assert_eq!(begin(Want::Zero, op, scene(0, snaps, None)), plain(op));
        }
    }
    for op in [WRITE, ZERO, CUT, EMPTY] {
        // Also where the parent ends before what is written.
        for behind in [1, 4096] {
            for snaps in [false, true] {
                assert_eq!(
                    begin(Want::Zero, op, scene(behind, snaps, None)),
                    guarded(op)
                );
            }
        }
    }
    for op in [FULL, HIDE] {
        assert_eq!(begin(Want::Write, op, CLONE), plain(op));
        assert_eq!(begin(Want::Write, op, CLONE_WITH_SNAPS), guarded(op));
    }
    for op in [ZERO, CUT, EMPTY] {
        assert_eq!(begin(Want::Discard, op, CLONE), plain(op));
        assert_eq!(begin(Want::Discard, op, CLONE_WITH_SNAPS), plain(op));
    }
}

#[test]
fn an_object_with_something_behind_is_never_deleted() {
    assert_eq!(begin(Want::Zero, DELETE, CLONE), plain(HIDE));
    assert_eq!(begin(Want::Zero, DELETE, CLONE_WITH_SNAPS), guarded(HIDE));
    assert_eq!(begin(Want::Discard, DELETE, CLONE), plain(EMPTY));
}

#[test]
fn writes_with_a_map_begin() {
    for behind in [0, 4096] {
        for snaps in [false, true] {
            let scene = |entry| scene(behind, snaps, Some(entry));
            for (want, op) in [
                (Want::Write, WRITE),
                (Want::Write, FULL),
                (Want::Zero, ZERO),
                (Want::Zero, CUT),
                (Want::Discard, ZERO),
                (Want::Discard, EMPTY),
            ] {
                for entry in [Pending, ExistsClean] {
                    assert_eq!(begin(want, op, scene(entry)), update(Exists));
                }
                let direct = begin(want, op, scene(Exists));
                assert!(
                    matches!(direct, Action::Send { op: sent, .. } if sent == op),
                    "{direct:?}"
                );
                // Nothing to be done to what is not there, unless the parent's bytes are to go.
                let expected = match (want, op) {
                    (Want::Write, _) => update(Exists),
                    (Want::Zero, _) if behind > 0 => update(Exists),
                    _ => WELL,
                };
                assert_eq!(begin(want, op, scene(Nonexistent)), expected);
            }
        }
    }
    for (entry, expected) in [
        (Exists, update(Pending)),
        (ExistsClean, update(Pending)),
        (Pending, plain(DELETE)),
        (Nonexistent, WELL),
    ] {
        assert_eq!(
            begin(Want::Discard, DELETE, scene(0, false, Some(entry))),
            expected
        );
    }
    assert_eq!(
        begin(Want::Zero, HIDE, scene(4096, false, Some(Nonexistent))),
        update(Exists)
    );
    // The parent was detached since it was planned.
    assert_eq!(
        begin(Want::Zero, HIDE, scene(0, false, Some(Nonexistent))),
        WELL
    );
}

/// A request in the state `state`.
fn at(state: State) -> Steps {
    let absent = scene(4096, true, Some(Nonexistent));
    let (want, op, scene, events): (_, _, _, &[Event]) = match state {
        State::Read => (Want::Read, READ, CLONE, &[]),
        State::ReadParent => (Want::Read, READ, CLONE, &[Event::Done(Err(ENOENT))]),
        State::PreMap => (Want::Write, WRITE, absent, &[]),
        State::GuardedWrite => (Want::Write, WRITE, CLONE, &[]),
        State::Write => (Want::Write, WRITE, FLAT, &[]),
        State::CopyUpRead => (Want::Write, WRITE, absent, &[Event::Done(Ok(()))]),
        State::CopyUpSnapMaps => (
            Want::Write,
            WRITE,
            absent,
            &[Event::Done(Ok(())), Event::ParentRead(Ok(false))],
        ),
        State::CopyUpBelow => (
            Want::Write,
            WRITE,
            CLONE_WITH_SNAPS,
            &[
                Event::Done(Err(ENOENT)),
                Event::ParentRead(Ok(false)),
                Event::Done(Ok(())),
            ],
        ),
        State::CopyUp => (
            Want::Write,
            WRITE,
            absent,
            &[Event::Done(Ok(())), Event::ParentRead(Ok(true))],
        ),
        State::PostMap => (
            Want::Zero,
            DELETE,
            scene(0, false, Some(Pending)),
            &[Event::Done(Ok(()))],
        ),
        State::Done => (Want::Write, WRITE, FLAT, &[Event::Done(Ok(()))]),
    };
    let (mut steps, _) = Steps::begin(want, op, scene);
    for event in events {
        steps.next(*event);
    }
    assert_eq!(steps.state(), state);
    steps
}

/// What must follow, as far as it is not the end with the event's error or `EIO`.
fn follows(state: State, event: Event) -> Option<(Action, State)> {
    use {Event::*, State::*};
    let write_again = match state {
        Read | ReadParent => (plain(READ), Read),
        PostMap => (plain(DELETE), Write),
        _ => (plain(WRITE), Write),
    };
    Some(match (state, event) {
        (State::Done, _) => return None,
        // The scene is `FLAT` there.
        (_, Restart(_)) => write_again,

        (Read, Event::Done(Err(ENOENT))) => (Action::ReadParent, ReadParent),
        (GuardedWrite, Event::Done(Err(ENOENT))) => (Action::ReadWholeParent, CopyUpRead),

        (Read | ReadParent | GuardedWrite | Write | CopyUp | PostMap, Event::Done(Ok(()))) => {
            (WELL, State::Done)
        }
        // The map said that it does not exist.
        (PreMap, Event::Done(Ok(()))) => (Action::ReadWholeParent, CopyUpRead),
        (CopyUpSnapMaps, Event::Done(Ok(()))) => (Action::CopyUpBelow, CopyUpBelow),
        (CopyUpBelow, Event::Done(Ok(()))) => (plain(WRITE), Write),

        (CopyUpRead, ParentRead(Ok(true))) => (Action::CopyUp { op: WRITE }, CopyUp),
        (CopyUpRead, ParentRead(Ok(false))) => (Action::UpdateSnapMaps, CopyUpSnapMaps),
        _ => return None,
    })
}

#[test]
fn every_state_meets_every_event() {
    for state in [
        State::Read,
        State::ReadParent,
        State::PreMap,
        State::GuardedWrite,
        State::Write,
        State::CopyUpRead,
        State::CopyUpSnapMaps,
        State::CopyUpBelow,
        State::CopyUp,
        State::PostMap,
        State::Done,
    ] {
        for event in [
            Event::Done(Ok(())),
            Event::Done(Err(ENOENT)),
            Event::Done(Err(ENOSPC)),
            Event::ParentRead(Ok(true)),
            Event::ParentRead(Ok(false)),
            Event::ParentRead(Err(ENOSPC)),
            Event::Restart(FLAT),
        ] {
            let mut steps = at(state);
            let (action, then) = follows(state, event).unwrap_or_else(|| {
                let error = match event {
                    Event::Done(Err(e)) | Event::ParentRead(Err(e)) if state != State::Done => e,
                    _ => EIO,
                };
                (Action::Finish(Err(error)), State::Done)
            });
            let got = steps.next(event);
            assert_eq!(
                (got, steps.state()),
                (action, then),
                "{state:?} and {event:?}"
            );
        }
    }
}

/// Runs a request with answers in order; gives all actions.
fn run(want: Want, op: ObjectOp, scene: Scene, events: &[Event]) -> Vec<Action> {
    let (mut steps, first) = Steps::begin(want, op, scene);
    let mut actions = vec![first];
    for event in events {
        actions.push(steps.next(*event));
    }
    actions
}

const OK: Event = Event::Done(Ok(()));
const ABSENT: Event = Event::Done(Err(ENOENT));
const BYTES: Event = Event::ParentRead(Ok(false));
const ZEROES: Event = Event::ParentRead(Ok(true));

#[test]
fn absence_matters_only_to_writes() {
    for op in [ZERO, CUT, DELETE] {
        assert_eq!(run(Want::Zero, op, FLAT, &[ABSENT]), [plain(op), WELL]);
    }
    for op in [WRITE, FULL] {
        let fails = Action::Finish(Err(ENOENT));
        assert_eq!(run(Want::Write, op, FLAT, &[ABSENT]), [plain(op), fails]);
    }
    assert_eq!(run(Want::Read, READ, FLAT, &[ABSENT]), [plain(READ), WELL]);
}

#[test]
fn absence_in_an_ancestor_is_confirmed() {
    for behind in [0, 512, 4096] {
        let scene = Scene {
            ancestor: true,
            ..scene(behind, false, None)
        };
        let confirmed = [plain(READ), Action::ReadParent, WELL];
        assert_eq!(run(Want::Read, READ, scene, &[ABSENT, OK]), confirmed);
        let gone = [plain(READ), Action::ReadParent, Action::Finish(Err(ENOENT))];
        assert_eq!(run(Want::Read, READ, scene, &[ABSENT, ABSENT]), gone);
        assert_eq!(run(Want::Read, READ, scene, &[OK]), [plain(READ), WELL]);
    }
}

#[test]
fn copy_ups_take_the_shortest_way() {
    let copy = Action::CopyUp { op: WRITE };
    // Without snapshots copy and write are one; zeroes need no copy below the snapshots.
    for (scene, bytes) in [(CLONE, BYTES), (CLONE, ZEROES), (CLONE_WITH_SNAPS, ZEROES)] {
        assert_eq!(
            run(Want::Write, WRITE, scene, &[ABSENT, bytes, OK]),
            [guarded(WRITE), Action::ReadWholeParent, copy, WELL]
        );
    }
    assert_eq!(
        run(
            Want::Write,
            WRITE,
            CLONE_WITH_SNAPS,
            &[ABSENT, BYTES, OK, OK, OK]
        ),
        [
            guarded(WRITE),
            Action::ReadWholeParent,
            Action::UpdateSnapMaps,
            Action::CopyUpBelow,
            plain(WRITE),
            WELL
        ]
    );
    assert_eq!(
        run(
            Want::Write,
            FULL,
            scene(4096, true, Some(ExistsClean)),
            &[OK, ABSENT, BYTES, OK, OK, OK]
        ),
        [
            update(Exists),
            guarded(FULL),
            Action::ReadWholeParent,
            Action::UpdateSnapMaps,
            Action::CopyUpBelow,
            plain(FULL),
            WELL
        ]
    );
}

#[test]
fn deletion_is_in_the_map_before_and_after() {
    for answer in [OK, ABSENT] {
        assert_eq!(
            run(
                Want::Discard,
                DELETE,
                scene(0, true, Some(Exists)),
                &[OK, answer, OK]
            ),
            [update(Pending), plain(DELETE), GONE, WELL]
        );
    }
    // A deletion that failed may or may not have happened.
    assert_eq!(
        run(
            Want::Discard,
            DELETE,
            scene(0, true, Some(Exists)),
            &[OK, Event::Done(Err(EIO))]
        ),
        [update(Pending), plain(DELETE), Action::Finish(Err(EIO))]
    );
}

#[test]
fn states_have_names() {
    assert_eq!(State::CopyUpSnapMaps.to_string(), "copyup-snap-maps");
    assert_eq!(at(State::GuardedWrite).state().to_string(), "guarded-write");
}
