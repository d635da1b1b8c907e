// SPDX-License-Identifier: GPL-2.0-only

//! The exclusive lock's state machine at length: I/O goes on only while the lock is held, nothing is tried in
//! vain for ever, and an end comes when it is asked for.

#![no_main]

use ceph_proto_fuzz::plain::addr;
use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::lock::event::{Action, Announcement, Done, Look, Notice, Reply};
use ceph_proto_host::lock::owner::{Foreign, Found, Locker};
use ceph_proto_host::lock::state::Machine;
use ceph_proto_host::proto::cls::rbd_notify::{ClientId, Notification};
use ceph_proto_host::proto::types::{AddrType, EntityName, EntityType};
use kernel::prelude::*;

const US: u64 = 10;

fn locker(gid: u64, handle: u64) -> Locker {
    Locker {
        name: EntityName::new(EntityType::CLIENT, gid),
        handle,
        addr: addr(AddrType::ANY, gid as u32, "10.0.0.1:0"),
    }
}

fn error(i: &mut Input<'_>) -> Error {
    // Of each kind that is told from others, and one that is not.
    Error::from_errno(i.pick(&[-5, -2, -4, -11, -12, -16, -17, -30, -95, -108, -110]))
}

fn result(i: &mut Input<'_>) -> Result {
    match i.u8() {
        0..=200 => Ok(()),
        _ => Err(error(i)),
    }
}

/// An answer to what was to be done; `None`: it has no result.
fn answer(action: Action, i: &mut Input<'_>) -> Option<Done> {
    Some(match action {
        Action::LookUp => Done::Found(match result(i) {
            Ok(()) => Ok(match i.u8() % 5 {
                0 => Found::Nobody,
                1 => Found::Foreign(Foreign::Tag),
                2 => Found::Locker(locker(US, i.u8().into())),
                _ => Found::Locker(locker(20, i.u8().into())),
            }),
            Err(e) => Err(e),
        }),
        Action::FindWatcher(_) => {
            let watches = i.bool();
            Done::Watched(result(i).map(|()| watches))
        }
        Action::Ask(_) => {
            let reply = match i.u8() % 4 {
                0 => Reply::Silence,
                1 => Reply::Several,
                2 => Reply::Of(-30),
                _ => Reply::Of(0),
            };
            Done::Asked(result(i).map(|()| reply))
        }
        Action::Lock(_)
        | Action::Blocklist(_)
        | Action::Break(_)
        | Action::Prepare
        | Action::Renew { .. }
        | Action::Conclude
        | Action::Unlock(_) => Done::Result(result(i)),
        Action::Rest { .. }
        | Action::Open
        | Action::Announce(..)
        | Action::Close
        | Action::Fail(_) => return None,
    })
}

#[derive(Default, Debug)]
struct Known {
    locked: bool,
    had: bool,
    prepared: bool,
    open: bool,
    gone: bool,
    /// Not because of the block list.
    for_good: bool,
    ending: bool,
    watch: Option<u64>,
    wanted: bool,
    drained: bool,
    now: u64,
}

impl Known {
    fn look(&self) -> Look {
        Look {
            now: self.now,
            wanted: self.wanted,
            drained: self.drained,
        }
    }

    /// Whether what is to be done may be done, and what follows from it.
    fn act(&mut self, action: Action, was_free: bool) {
        let over = self.gone || self.ending;
        let ok = match action {
            Action::Rest { until } => until.is_none_or(|until| until > self.now),
            Action::Lock(handle) | Action::Ask(handle) => {
                !self.locked && !over && self.watch == Some(handle)
            }
            Action::LookUp | Action::FindWatcher(_) | Action::Blocklist(_) | Action::Break(_) => {
                !self.locked && !over
            }
            Action::Prepare => self.locked && !self.prepared && !over,
            Action::Open => (self.prepared || was_free) && !std::mem::replace(&mut self.open, true),
            Action::Announce(Announcement::Acquired, _) => self.open,
            Action::Announce(Announcement::Released, _) => !self.locked && !self.gone,
            Action::Renew { from, to } => self.prepared && from != to && !over,
            Action::Close => std::mem::replace(&mut self.open, false),
            Action::Conclude => self.prepared && !self.open && self.drained,
            Action::Unlock(_) => !self.prepared && !self.open,
            Action::Fail(_) => !self.open,
        };
        assert!(ok, "{action:?} while {self:?}");
    }

    fn done(&mut self, action: Action, done: Done) {
        match (action, done) {
            (Action::Lock(_), Done::Result(r)) => {
                self.locked = r.is_ok() || r == Err(Error::from_errno(-17));
                self.had |= self.locked;
            }
            (Action::Prepare, Done::Result(r)) => self.prepared = r.is_ok(),
            (Action::Conclude, _) => self.prepared = false,
            (Action::Unlock(_), _) => self.locked = false,
            _ => {}
        }
        let error = match done {
            Done::Result(r) => r.err(),
            Done::Found(r) => r.err(),
            Done::Watched(r) => r.err(),
            Done::Asked(r) => r.err(),
        };
        let shut_out = error.is_some_and(|e| e.to_errno() == -108);
        if shut_out && action != Action::Conclude {
            self.go(false);
        }
    }

    fn go(&mut self, for_good: bool) {
        // The first reason counts.
        self.for_good |= for_good && !self.gone;
        self.gone = true;
    }

    fn notice(&mut self, machine: &mut Machine, i: &mut Input<'_>) {
        let id = (i.u8() & 3 != 0).then(|| ClientId {
            gid: i.pick(&[US, 20]),
            handle: i.u8().into(),
        });
        let notice = match i.u8() % 13 {
            12 => Notice::Required,
            0 => Notice::Heard(Notification::AcquiredLock(id)),
            1 => Notice::Heard(Notification::ReleasedLock(id)),
            2..=4 => Notice::Heard(Notification::RequestLock(id)),
            5 => Notice::Heard(Notification::Other(i.u8().into())),
            6 => Notice::Heard(Notification::HeaderUpdate),
            7 => Notice::WatchLost,
            8 | 9 => Notice::Watching(i.u8().into()),
            10 => Notice::Gone(error(i)),
            _ => Notice::End(error(i)),
        };
        match notice {
            Notice::WatchLost => self.watch = None,
            Notice::Watching(handle) => {
                self.watch = Some(handle);
                // There was no lock to lose.
                self.gone &= self.had || self.for_good;
            }
            Notice::Gone(e) => self.go(e.to_errno() != -108),
            Notice::End(_) => self.ending = true,
            Notice::Heard(_) | Notice::Required => {}
        }
        let told = machine.notice(notice);
        // Who has no lock keeps silent, or others would believe that somebody has it.
        assert!(told.is_none() || machine.owns(), "{told:?} to {notice:?}");
    }
}

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let (exclusive, required) = (i.bool(), i.u8() & 3 != 0);
    let mut machine = Machine::new(US, 1, exclusive, required);
    let mut known = Known {
        watch: Some(1),
        drained: true,
        ..Known::default()
    };
    while !i.is_empty() {
        let flags = i.u8();
        known.wanted = flags & 1 != 0;
        known.drained = flags & 2 == 0;
        // Moments, not ages of the world.
        known.now += i.number() >> 16;
        if flags & 12 == 0 {
            known.notice(&mut machine, &mut i);
        }
        let was_free = machine.is_free();
        let action = machine.next(known.look());
        if was_free && !machine.is_free() {
            assert!(!known.open && known.drained, "I/O goes on without the lock");
        }
        known.act(action, was_free);
        if flags & 0x30 == 0x30 {
            // Something comes between.
            known.notice(&mut machine, &mut i);
        }
        if let Some(done) = answer(action, &mut i) {
            known.done(action, done);
            machine.done(known.now, done);
        }
        assert_eq!(machine.owns(), known.locked, "{known:?}");
        assert!(!machine.has_ended() || !known.locked);
        assert!(!machine.state_name().is_empty());
    }
    // From here on all goes well, and it ends.
    known.ending = true;
    machine.notice(Notice::End(ENXIO));
    (known.wanted, known.drained) = (false, true);
    let mut left = 40;
    while !machine.has_ended() {
        left -= 1;
        assert!(left > 0, "{machine:?} does not end");
        let was_free = machine.is_free();
        let action = machine.next(known.look());
        known.act(action, was_free);
        if let Action::Rest { until: Some(until) } = action {
            known.now = until;
        }
        let done = match action {
            Action::LookUp => Done::Found(Ok(Found::Nobody)),
            Action::FindWatcher(_) => Done::Watched(Ok(false)),
            Action::Ask(_) => Done::Asked(Ok(Reply::Silence)),
            _ => Done::Result(Ok(())),
        };
        if answer(action, &mut Input::new(&[])).is_some() {
            known.done(action, done);
            machine.done(known.now, done);
        }
    }
});
