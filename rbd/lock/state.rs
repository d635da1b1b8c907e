// SPDX-License-Identifier: GPL-2.0-only

//! The exclusive lock's protocol: when it is taken, asked for, kept and given up.
//!
//! Pure: no I/O, no clock, no locks; the host tests compile this file too. A driver asks for the
//! [`next`](Machine::next) thing to do, does it, and tells how it went ([`done`](Machine::done)), one at
//! a time. What others do meanwhile is told by [`notice`](Machine::notice) at any time.
//!
//! Behaviour as that of the C driver (Linux `drivers/block/rbd.c`) and librbd (Ceph
//! `src/librbd/ExclusiveLock.cc`, `managed_lock/AcquireRequest.cc`, `BreakRequest.cc`,
//! `ReacquireRequest.cc`, `ImageWatcher.cc`), with which the lock is shared.
//!
//! - Whoever finds the lock taken looks whether its holder still watches the header. A holder that does
//!   is asked to release it. One that does not is shut out of the cluster before its lock is broken:
//!   it may live, and write.
//! - A lock of ours that we do not use must not stay: others would wait for it in vain, as we live. So
//!   what may be there, as a request about it was not answered in time, is cleaned up before all else.

mod results;

use super::{
    event::{Action, Announcement, Look, Notice},
    owner::Locker,
};
use kernel::prelude::*;
use net_ceph::proto::cls::rbd_notify::{ClientId, Notification};

/// Until the lock is tried again, or its holder asked again, if nobody tells of a change (Linux
/// `drivers/block/rbd.c`, `RBD_RETRY_DELAY`).
const RETRY: u64 = 1000;
/// How long whoever asked for the lock has the chance to take it before we do.
const HANDOVER: u64 = 200;
/// How often in a row the lock is tried at once after it was found free.
const TRIES_MAX: u32 = 3;
/// How many times in a row a holder in this very client must be found without its watch before its lock
/// is taken from it. It cannot be shut out without us; while it lives, it renews its watch or its lock.
const PATIENCE: u32 = 30;

/// Errnos that the kernel crate does not name in all versions.
mod errno {
    pub(super) const ENOENT: i32 = -2;
    pub(super) const EINTR: i32 = -4;
    pub(super) const EAGAIN: i32 = -11;
    pub(super) const ENOMEM: i32 = -12;
    pub(super) const EBUSY: i32 = -16;
    pub(super) const EEXIST: i32 = -17;
    pub(super) const ENOSPC: i32 = -28;
    pub(super) const EROFS: i32 = -30;
    pub(super) const EOPNOTSUPP: i32 = -95;
    pub(super) const ESHUTDOWN: i32 = -108;
    pub(super) const ETIMEDOUT: i32 = -110;
    pub(super) const EDQUOT: i32 = -122;
}

/// Why the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Somebody asked, or it ends.
    Over,
    /// Its cookie could not be changed, so we cannot know whether it is still ours.
    Unsure,
    /// What it protects could not be made ready.
    Unprepared(Error),
}

/// Where we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The image has no lock, yet: I/O is about to go on without.
    Freeing,
    /// It does.
    Free,
    /// The image has a lock from now on, or it is the end: what goes on without comes to its end.
    Fencing,
    /// It is not ours; to be taken when wanted.
    Unlocked,
    /// The same, but not before this time, unless there is news.
    Resting(u64),
    /// Releasing what may have been left.
    Cleaning(u64),
    Locking,
    LookingUp,
    /// Does its holder watch?
    LookingFor(Locker),
    /// Its holder does not watch; is it still the holder?
    LookingAgain(Locker),
    Blocklisting(Locker),
    Breaking(Locker),
    Asking,
    Failing(Error),
    /// It is ours from here on.
    Preparing,
    Opening,
    Announcing,
    Held,
    /// The lock gets the cookie of a new watch: those who look for its holder must not take us for dead. Also
    /// while it drains, for that reason.
    Renewing(Option<Why>, u64),
    Closing(Why),
    Draining(Why),
    Concluding(Why),
    Unlocking(Why),
    /// It is not ours any more.
    Released(Why),
    /// All is over.
    Ended,
}

/// One mapping's side of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    state: State,
    /// Our global id.
    gid: u64,
    /// Never give it up for others, and have it always once we had it.
    exclusive: bool,
    /// The image has the lock.
    required: bool,
    /// The handle of our watch, if it stands.
    watch: Option<u64>,
    /// The handle in the cookie of the lock that we have or try to take.
    held: u64,
    /// The handles of a lock of ours that may be there still, in either way.
    left: [Option<u64>; 2],
    /// We had it.
    had: bool,
    /// Somebody asked us to release it.
    asked: bool,
    /// Somebody else took or released it since we tried.
    news: bool,
    gone: Option<Error>,
    ending: Option<Error>,
    tries: u32,
    patience: u32,
}

impl Machine {
    /// For a mapping by the client `gid`, whose watch on the header has the cookie `watch`. Unless `required`
    /// I/O goes on without the lock, until it [is](Notice::Required).
    pub fn new(gid: u64, watch: u64, exclusive: bool, required: bool) -> Self {
        Self {
            state: if required {
                State::Unlocked
            } else {
                State::Freeing
            },
            gid,
            exclusive,
            required,
            watch: Some(watch),
            held: watch,
            left: [None; 2],
            had: false,
            asked: false,
            news: false,
            gone: None,
            ending: None,
            tries: 0,
            patience: 0,
        }
    }

    /// Whether the lock is ours, as far as we know.
    pub fn owns(&self) -> bool {
        match self.state {
            State::Preparing
            | State::Opening
            | State::Announcing
            | State::Held
            | State::Renewing(..)
            | State::Closing(_)
            | State::Draining(_)
            | State::Concluding(_)
            | State::Unlocking(_) => true,
            State::Freeing
            | State::Free
            | State::Fencing
            | State::Unlocked
            | State::Resting(_)
            | State::Cleaning(_)
            | State::Locking
            | State::LookingUp
            | State::LookingFor(_)
            | State::LookingAgain(_)
            | State::Blocklisting(_)
            | State::Breaking(_)
            | State::Asking
            | State::Failing(_)
            | State::Released(_)
            | State::Ended => false,
        }
    }

    /// Whether I/O may go on, or still does, without the lock.
    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Freeing | State::Free | State::Fencing)
    }

    /// Whether it does, though the image has a lock.
    pub fn is_fencing(&self) -> bool {
        self.required && self.is_free()
    }

    /// Whether everything that could be done about the end of the mapping was done.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the lock that is about to be released may be another's by now.
    pub fn is_unsure(&self) -> bool {
        matches!(self.state, State::Concluding(Why::Unsure))
    }

    /// A word for the state.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            State::Freeing | State::Free | State::Fencing => "without",
            State::Unlocked => "unlocked",
            State::Resting(_) => "waiting",
            State::Cleaning(_) => "cleaning up",
            State::Locking => "locking",
            State::LookingUp => "looking for the owner",
            State::LookingFor(_) | State::LookingAgain(_) => "looking whether the owner lives",
            State::Blocklisting(_) => "blocklisting the owner",
            State::Breaking(_) => "breaking the owner's lock",
            State::Asking => "asking the owner",
            State::Failing(_) => "failing",
            State::Preparing => "acquired",
            State::Opening | State::Announcing | State::Held => "locked",
            State::Renewing(None, _) => "renewing",
            State::Closing(_) | State::Draining(_) | State::Renewing(Some(_), _) => "quiescing",
            State::Concluding(_) | State::Unlocking(_) | State::Released(_) => "releasing",
            State::Ended => "ended",
        }
    }

    /// Takes in what others do. Returns the result that the notifier is to be answered with, if there
    /// is something to say. The driver is to ask what to do now.
    pub fn notice(&mut self, notice: Notice) -> Option<i32> {
        match notice {
            Notice::Heard(n) => return self.heard(n),
            Notice::WatchLost => self.watch = None,
            Notice::Watching(handle) => {
                self.watch = Some(handle);
                // We were shut out, and never had the lock, which others may have broken meanwhile.
                if !self.had {
                    self.gone.take_if(|e| e.to_errno() == errno::ESHUTDOWN);
                }
            }
            Notice::Required => self.required = true,
            Notice::Gone(e) => self.gone = self.gone.or(Some(e)),
            Notice::End(e) => self.ending = self.ending.or(Some(e)),
        }
        None
    }

    fn heard(&mut self, n: Notification) -> Option<i32> {
        match n {
            Notification::AcquiredLock(id) | Notification::ReleasedLock(id) => {
                self.news |= !self.is_us(id);
                None
            }
            Notification::RequestLock(id) if self.is_us(id) => None,
            Notification::RequestLock(_) => self.asked_for(),
            // For whoever has the lock to do, which we do not know how to: the sender will ask for the
            // lock instead.
            Notification::Other(_) => self.owns().then_some(errno::EOPNOTSUPP),
            Notification::HeaderUpdate => None,
        }
    }

    /// Somebody asks for the lock.
    fn asked_for(&mut self) -> Option<i32> {
        match self.state {
            State::Preparing
            | State::Opening
            | State::Announcing
            | State::Held
            | State::Renewing(None, _)
                if self.exclusive && self.gone.is_none() && self.ending.is_none() =>
            {
                Some(errno::EROFS)
            }
            _ if self.owns() => {
                self.asked = true;
                Some(0)
            }
            _ => None,
        }
    }

    fn is_us(&self, id: Option<ClientId>) -> bool {
        id.is_some_and(|id| {
            id.gid == self.gid && (Some(id.handle) == self.watch || id.handle == self.held)
        })
    }

    /// What to do now.
    pub fn next(&mut self, look: Look) -> Action {
        loop {
            let (state, action) = self.step(look);
            self.state = state;
            if let Some(action) = action {
                return action;
            }
        }
    }

    /// The next state, and what is to be done in it or on the way to it; `None`: look again. There is no
    /// circle of states without anything to do.
    fn step(&mut self, look: Look) -> (State, Option<Action>) {
        let state = self.state;
        let stay = |action| (state, Some(action));
        match state {
            State::Freeing => (State::Free, Some(Action::Open)),
            State::Free if self.required || self.ending.is_some() => {
                (State::Fencing, Some(Action::Close))
            }
            State::Free => stay(Action::Rest { until: None }),
            State::Fencing if look.drained => (State::Unlocked, None),
            State::Fencing => self.step_draining(look),
            State::Unlocked | State::Resting(_) => self.step_unlocked(look),
            State::Cleaning(handle) => stay(Action::Unlock(handle)),
            State::Locking
            | State::LookingUp
            | State::LookingFor(_)
            | State::LookingAgain(_)
            | State::Blocklisting(_)
            | State::Breaking(_)
            | State::Asking => match (self.is_needless(look), self.watch) {
                (false, Some(watch)) => stay(self.attempt(watch)),
                _ => (State::Unlocked, None),
            },
            // It may be tried again though nobody waits: not at once, then.
            State::Failing(e) if self.had && self.exclusive => (
                State::Resting(look.now.saturating_add(RETRY)),
                Some(Action::Fail(e)),
            ),
            State::Failing(e) => (State::Unlocked, Some(Action::Fail(e))),
            State::Preparing if self.is_over() => (State::Unlocking(Why::Over), None),
            State::Preparing => stay(Action::Prepare),
            State::Opening => (State::Announcing, Some(Action::Open)),
            State::Announcing => (
                State::Held,
                Some(Action::Announce(Announcement::Acquired, self.held)),
            ),
            State::Held => self.step_held(),
            State::Renewing(_, to) => stay(Action::Renew {
                from: self.held,
                to,
            }),
            State::Closing(why) => (State::Draining(why), Some(Action::Close)),
            State::Draining(why) if look.drained => (State::Concluding(why), None),
            State::Draining(why) => match self.watch {
                Some(watch) if watch != self.held && why != Why::Unsure && !self.is_over() => {
                    (State::Renewing(Some(why), watch), None)
                }
                _ => self.step_draining(look),
            },
            State::Concluding(_) => stay(Action::Conclude),
            State::Unlocking(_) => stay(Action::Unlock(self.held)),
            State::Released(why) => self.step_released(why, look),
            State::Ended => match (look.wanted, self.ending) {
                (true, Some(e)) => stay(Action::Fail(e)),
                _ => stay(Action::Rest { until: None }),
            },
        }
    }

    /// What goes on may take long to end; what waits need not wait for that.
    fn step_draining(&self, look: Look) -> (State, Option<Action>) {
        let action = match self.over() {
            Some(e) if look.wanted => Action::Fail(e),
            _ => Action::Rest { until: None },
        };
        (self.state, Some(action))
    }

    /// Why nothing more can be had of the lock, if that is so.
    pub fn over(&self) -> Option<Error> {
        self.gone.or(self.ending)
    }

    fn is_over(&self) -> bool {
        self.over().is_some()
    }

    /// There is no use in trying to take the lock.
    fn is_needless(&self, look: Look) -> bool {
        let wanted = look.wanted || self.exclusive && self.had;
        !wanted || self.is_over()
    }

    fn step_unlocked(&mut self, look: Look) -> (State, Option<Action>) {
        let rest = |until| Some(Action::Rest { until });
        if let Some(e) = self.gone {
            self.left = [None; 2];
            if look.wanted && self.ending.is_none() {
                return (State::Unlocked, Some(Action::Fail(e)));
            }
        }
        let left = self.left.iter().find_map(|&left| left);
        if let Some(e) = self.ending {
            return match left {
                Some(handle) => (State::Cleaning(handle), None),
                None => (State::Ended, Some(Action::Fail(e))),
            };
        }
        let early = match self.state {
            // There may be news, but not of what we left.
            State::Resting(until) if look.now < until && (!self.news || left.is_some()) => {
                Some(until)
            }
            _ => None,
        };
        match (left, early) {
            (Some(_), Some(_)) => (self.state, rest(early)),
            (Some(handle), None) => (State::Cleaning(handle), None),
            (None, _) if self.is_needless(look) => (State::Unlocked, rest(None)),
            // Without a watch we would be taken for dead.
            (None, _) if self.watch.is_none() => (self.state, rest(None)),
            (None, Some(_)) => (self.state, rest(early)),
            (None, None) => (State::Locking, None),
        }
    }

    /// What to do in the course of an attempt to take the lock, as the watcher `watch`.
    fn attempt(&mut self, watch: u64) -> Action {
        match self.state {
            State::LookingUp | State::LookingAgain(_) => Action::LookUp,
            State::LookingFor(locker) => Action::FindWatcher(locker),
            State::Blocklisting(locker) => Action::Blocklist(locker),
            State::Breaking(locker) => Action::Break(locker),
            State::Asking => Action::Ask(watch),
            _ => {
                self.news = false;
                self.held = watch;
                Action::Lock(watch)
            }
        }
    }

    fn step_held(&mut self) -> (State, Option<Action>) {
        if self.is_over() {
            return (State::Closing(Why::Over), None);
        }
        match self.watch {
            Some(watch) if watch != self.held => return (State::Renewing(None, watch), None),
            _ => {}
        }
        if self.asked {
            return (State::Closing(Why::Over), None);
        }
        (State::Held, Some(Action::Rest { until: None }))
    }

    fn step_released(&mut self, why: Why, look: Look) -> (State, Option<Action>) {
        let asked = core::mem::take(&mut self.asked);
        let announce = Some(Action::Announce(Announcement::Released, self.held));
        if self.gone.is_some() {
            return (State::Unlocked, None);
        }
        match why {
            _ if self.ending.is_some() => (State::Unlocked, announce),
            Why::Unprepared(e) if results::is_passing(e) => {
                (State::Resting(look.now.saturating_add(RETRY)), announce)
            }
            Why::Unprepared(e) => (State::Failing(e), announce),
            Why::Unsure if !asked => (State::Unlocked, announce),
            Why::Unsure | Why::Over => {
                (State::Resting(look.now.saturating_add(HANDOVER)), announce)
            }
        }
    }
}
