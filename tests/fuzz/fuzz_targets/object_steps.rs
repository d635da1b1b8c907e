// SPDX-License-Identifier: GPL-2.0-only

//! The steps of an object request: whatever is told, there is an end, and no step that would lose data on
//! the way. What they leave in the cluster is compared with a model by `tests/host/tests/io_model`.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::io::plan::{ObjectOp, Want};
use ceph_proto_host::io::step::{Action, Event, Scene, State, Steps};
use ceph_proto_host::proto::cls::object_map::ObjectState;
use ceph_proto_host::proto::striper::Layout;
use kernel::prelude::*;

/// Steps between two changes of the scene.
const MOST: u32 = 8;
const SIZE: u64 = 1 << 12;

fn scene(i: &mut Input<'_>) -> Scene {
    let entry = i.u8();
    Scene {
        behind: i.pick(&[0, 1, 512, SIZE]),
        snaps: i.bool(),
        entry: ObjectState::from_bits(entry & 7),
        ancestor: entry & 8 != 0,
    }
}

fn result(i: &mut Input<'_>) -> Result {
    match i.u8() {
        0..=179 => Ok(()),
        180..=229 => Err(ENOENT),
        n => Err(Error::from_errno(-i32::from(n))),
    }
}

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let layout = Layout::new(12, 0, 0).unwrap();
    let want = i.pick(&[Want::Read, Want::Write, Want::Discard, Want::Zero]);
    let offset = u64::from(i.u16()) % SIZE;
    let length = (u64::from(i.u16()) % SIZE + 1).min(SIZE - offset);
    let extent = layout.map(offset, length).unwrap();
    let mut now = scene(&mut i);
    let alloc_size = 512 << (i.u8() & 3);
    let Some(op) = ObjectOp::plan(want, &extent, SIZE, alloc_size, now.behind, now.snaps) else {
        return;
    };
    let (mut steps, mut action) = Steps::begin(want, op, now);
    let mut taken = 0;
    let mut copied = false;
    loop {
        assert_eq!(
            steps.state() == State::Done,
            matches!(action, Action::Finish(_))
        );
        let event = match action {
            Action::Finish(result) => {
                assert!(
                    want == Want::Read || !matches!(result, Err(e) if e == ENOENT) || taken > 0
                );
                break;
            }
            Action::Send { op, guard } => {
                assert_eq!(op.writes(), want != Want::Read);
                assert!(
                    op != ObjectOp::Delete || now.behind == 0,
                    "the parent's bytes would show"
                );
                let hides = matches!(op, ObjectOp::WriteFull { .. } | ObjectOp::Hide) && !now.snaps;
                let covers = now.behind == 0 || hides || want == Want::Discard;
                assert!(
                    !op.writes() || guard || covers || copied,
                    "without what is behind"
                );
                Event::Done(result(&mut i))
            }
            Action::CopyUp { .. } => {
                assert!(now.behind > 0);
                Event::Done(result(&mut i))
            }
            Action::CopyUpBelow => {
                assert!(now.behind > 0 && now.snaps);
                let done = result(&mut i);
                copied |= done.is_ok();
                Event::Done(done)
            }
            Action::ReadParent => {
                assert!(want == Want::Read && (now.behind > offset || now.ancestor));
                Event::Done(result(&mut i))
            }
            Action::ReadWholeParent => {
                assert!(now.behind > 0 && want != Want::Read);
                let all_zero = i.bool();
                Event::ParentRead(result(&mut i).map(|()| all_zero))
            }
            Action::UpdateMap { to, only } => {
                assert!(want != Want::Read && now.entry.is_some());
                let gone = to == ObjectState::Nonexistent;
                assert_eq!(only == Some(ObjectState::Pending), gone);
                Event::Done(result(&mut i))
            }
            Action::UpdateSnapMaps => Event::Done(result(&mut i)),
        };
        let event = match i.u8() {
            // The wrong kind of answer.
            250 => Event::Done(Ok(())),
            251 => Event::ParentRead(Ok(i.bool())),
            252..=255 if !i.is_empty() => {
                (now, taken, copied) = (scene(&mut i), 0, false);
                Event::Restart(now)
            }
            _ => event,
        };
        if event == Event::Done(Ok(())) && matches!(action, Action::CopyUpBelow) {
            copied = true;
        }
        action = steps.next(event);
        taken += 1;
        assert!(taken <= MOST, "{steps:?} does not end");
    }
    let after = steps.next(Event::Done(Ok(())));
    assert_eq!(after, Action::Finish(Err(EIO)), "nothing follows the end");
});
