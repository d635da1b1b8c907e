// SPDX-License-Identifier: GPL-2.0-only

//! The words in which the exclusive lock's [`Machine`](super::state::Machine) and its driver speak.
//!
//! Pure: the host tests compile this file too. Times are milliseconds since any fixed moment. A
//! *handle* is the cookie of a watch on the header, which a lock's cookie is made of.

use super::owner::{Found, Locker};
use kernel::prelude::*;
use net_ceph::proto::cls::rbd_notify::Notification;

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until something is noticed or wanted, or it is `until`.
    Rest {
        /// When.
        until: Option<u64>,
    },
    /// Take the lock, with this handle in its cookie. [`Done::Result`].
    Lock(u64),
    /// Look who has it. [`Done::Found`].
    LookUp,
    /// Look whether this client watches the header. [`Done::Watched`].
    FindWatcher(Locker),
    /// Shut this client out of the cluster. [`Done::Result`].
    Blocklist(Locker),
    /// Take this client's lock from it. [`Done::Result`].
    Break(Locker),
    /// Ask the holder, whoever it is, to release it, in the name of our watch with this handle.
    /// [`Done::Asked`].
    Ask(u64),
    /// We have it: make ready to use what it protects. [`Done::Result`].
    Prepare,
    /// Let what waits for it go on, and what comes: we have it, or the image has none.
    Open,
    /// Tell all watchers that we have it or had it, in the name of this handle.
    Announce(Announcement, u64),
    /// Change the handle in its cookie. [`Done::Result`].
    Renew {
        /// The handle it has.
        from: u64,
        /// The handle it gets.
        to: u64,
    },
    /// Let what comes wait.
    Close,
    /// Nothing goes on under it any more: finish with what it protects. [`Done::Result`], of no
    /// importance.
    Conclude,
    /// Release it; this handle is in its cookie. [`Done::Result`].
    Unlock(u64),
    /// Let what waits for it fail.
    Fail(Error),
}

/// What is told to all watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// We took the lock.
    Acquired,
    /// We released it.
    Released,
}

/// How a thing to do went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Well, or not.
    Result(Result),
    /// Who has the lock.
    Found(Result<Found>),
    /// Whether the client watches.
    Watched(Result<bool>),
    /// What the holder said.
    Asked(Result<Reply>),
}

/// What the holder of the lock said when asked to release it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nobody said that they have it.
    Silence,
    /// The holder's result: 0 if it will be released, `-EROFS` if not.
    Of(i32),
    /// More than one said so.
    Several,
}

/// What others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Somebody told the watchers.
    Heard(Notification),
    /// Our watch is gone; a new one will come.
    WatchLost,
    /// We watch, with this handle.
    Watching(u64),
    /// The image has the feature from now on.
    Required,
    /// We were shut out, or the image is gone: this is why everything fails from now on.
    Gone(Error),
    /// The end of the mapping: everything that waits fails with this.
    End(Error),
}

/// What the driver sees whenever it asks what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The time.
    pub now: u64,
    /// Somebody waits for the lock.
    pub wanted: bool,
    /// Nothing goes on under the lock.
    pub drained: bool,
}

impl Done {
    pub(super) fn result(self) -> Result {
        match self {
            Self::Result(result) => result,
            _ => Err(EINVAL),
        }
    }

    pub(super) fn found(self) -> Result<Found> {
        match self {
            Self::Found(found) => found,
            _ => Err(EINVAL),
        }
    }

    pub(super) fn watched(self) -> Result<bool> {
        match self {
            Self::Watched(watched) => watched,
            _ => Err(EINVAL),
        }
    }

    pub(super) fn asked(self) -> Result<Reply> {
        match self {
            Self::Asked(reply) => reply,
            _ => Err(EINVAL),
        }
    }
}
