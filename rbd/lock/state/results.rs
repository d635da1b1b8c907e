// SPDX-License-Identifier: GPL-2.0-only

//! What follows from how the thing went that was done.

use super::super::{
    event::{Done, Reply},
    owner::{Found, Locker},
};
use super::{errno, Machine, State, Why, PATIENCE, RETRY, TRIES_MAX};
use kernel::prelude::*;

impl Machine {
    /// Takes in how the thing went that [`next`](Self::next) said was to be done.
    pub fn done(&mut self, now: u64, done: Done) {
        self.state = match self.state {
            State::Cleaning(handle) => self.on_cleaned(now, handle, done.result()),
            State::Locking => self.on_locked(now, done.result()),
            State::LookingUp => match done.found() {
                Ok(Found::Locker(locker)) => State::LookingFor(locker),
                other => self.no_locker(now, other),
            },
            State::LookingFor(locker) => match done.watched() {
                Ok(true) => {
                    (self.tries, self.patience) = (0, 0);
                    State::Asking
                }
                Ok(false) => self.on_dead(now, locker),
                Err(e) => self.on_failure(now, e),
            },
            State::LookingAgain(locker) => match done.found() {
                Ok(Found::Locker(same)) if same == locker => State::Blocklisting(locker),
                Ok(Found::Locker(_)) => self.lock_again(now),
                other => self.no_locker(now, other),
            },
            State::Blocklisting(locker) => match done.result() {
                Ok(()) => State::Breaking(locker),
                Err(e) => self.on_failure(now, e),
            },
            State::Breaking(_) => match done.result() {
                Err(e) if e.to_errno() != errno::ENOENT => self.on_failure(now, e),
                _ => self.lock_again(now),
            },
            State::Asking => self.on_asked(now, done.asked()),
            State::Preparing => match done.result() {
                // That may have taken long: whoever looked for our watch meanwhile may have broken the lock.
                Ok(()) if self.watch != Some(self.held) => State::Draining(Why::Unsure),
                Ok(()) => State::Opening,
                Err(e) => State::Unlocking(Why::Unprepared(self.note(e))),
            },
            State::Renewing(draining, to) => match done.result() {
                Ok(()) => {
                    self.held = to;
                    draining.map_or(State::Held, State::Draining)
                }
                Err(e) => {
                    self.note(e);
                    // If it was changed in truth.
                    self.left[1] = Some(to);
                    match draining {
                        None => State::Closing(Why::Unsure),
                        Some(_) => State::Draining(Why::Unsure),
                    }
                }
            },
            State::Concluding(why) => State::Unlocking(why),
            State::Unlocking(why) => {
                self.on_unlocked(done.result());
                State::Released(why)
            }
            // Nothing was to be done that has a result.
            State::Freeing
            | State::Free
            | State::Fencing
            | State::Unlocked
            | State::Resting(_)
            | State::Failing(_)
            | State::Opening
            | State::Announcing
            | State::Held
            | State::Closing(_)
            | State::Draining(_)
            | State::Released(_)
            | State::Ended => self.state,
        };
    }

    fn on_locked(&mut self, now: u64, result: Result) -> State {
        match result.map_err(|e| (e, e.to_errno())) {
            // It was ours all the time: the answer to an earlier request got lost.
            Ok(()) | Err((_, errno::EEXIST)) => {
                (self.tries, self.patience) = (0, 0);
                self.had = true;
                State::Preparing
            }
            Err((_, errno::EBUSY)) => State::LookingUp,
            Err((e, _)) => {
                if is_passing(e) {
                    // It may have been taken in truth.
                    self.left[0] = Some(self.held);
                }
                self.on_failure(now, e)
            }
        }
    }

    /// The holder of the lock does not watch the header.
    fn on_dead(&mut self, now: u64, locker: Locker) -> State {
        if locker.name.num != self.gid {
            return State::LookingAgain(locker);
        }
        // It is in our client: shutting it out would shut us out.
        if self.patience >= PATIENCE {
            self.patience = 0;
            return State::Breaking(locker);
        }
        self.patience += 1;
        State::Resting(now.saturating_add(RETRY))
    }

    /// There is no holder that could be dealt with.
    fn no_locker(&mut self, now: u64, found: Result<Found>) -> State {
        match found {
            Ok(Found::Foreign(_)) => State::Failing(EBUSY),
            Ok(_) => self.lock_again(now),
            Err(e) => self.on_failure(now, e),
        }
    }

    /// The lock should be free now.
    fn lock_again(&mut self, now: u64) -> State {
        self.patience = 0;
        if self.tries >= TRIES_MAX {
            self.tries = 0;
            return State::Resting(now.saturating_add(RETRY));
        }
        self.tries += 1;
        State::Locking
    }

    fn on_asked(&mut self, now: u64, reply: Result<Reply>) -> State {
        match reply {
            Ok(Reply::Of(errno::EROFS)) => State::Failing(EROFS),
            Err(e) if e.to_errno() == errno::ESHUTDOWN => self.on_failure(now, e),
            // It will be released, or there is no telling; it is tried again either way.
            _ => State::Resting(now.saturating_add(RETRY)),
        }
    }

    fn on_unlocked(&mut self, result: Result) {
        match result {
            Ok(()) => self.left = [None; 2],
            Err(e) if may_be_there(e) => self.left[0] = Some(self.held),
            Err(e) => {
                self.note(e);
            }
        }
    }

    fn on_cleaned(&mut self, now: u64, handle: u64, result: Result) -> State {
        match result {
            Ok(()) => self.left = [None; 2],
            Err(e) if may_be_there(e) && self.ending.is_none() => {
                return State::Resting(now.saturating_add(RETRY));
            }
            Err(e) => {
                self.note(e);
                for left in &mut self.left {
                    left.take_if(|left| *left == handle);
                }
            }
        }
        State::Unlocked
    }

    /// An attempt to take the lock failed.
    fn on_failure(&mut self, now: u64, e: Error) -> State {
        match self.note(e) {
            e if self.gone == Some(e) => State::Unlocked,
            e if is_passing(e) => State::Resting(now.saturating_add(RETRY)),
            e => State::Failing(e),
        }
    }

    /// Remembers an error after which there is no hope.
    fn note(&mut self, e: Error) -> Error {
        if e.to_errno() == errno::ESHUTDOWN {
            self.gone = self.gone.or(Some(e));
        }
        e
    }
}

/// Whether it may go better next time, with nobody doing anything about it.
pub(super) fn is_passing(e: Error) -> bool {
    matches!(
        e.to_errno(),
        errno::ETIMEDOUT | errno::EAGAIN | errno::EINTR | errno::ENOMEM
    )
}

/// Whether a lock is there still, or may be, whose release ended with this. It will be tried again.
fn may_be_there(e: Error) -> bool {
    is_passing(e) || matches!(e.to_errno(), errno::ENOSPC | errno::EDQUOT)
}
