// SPDX-License-Identifier: GPL-2.0-only

//! Groups: the requests of one user of a client, which can be ended together.

use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic},
        Arc,
    },
};

/// The requests of one user, such as a mapping, of a client that many may share.
pub struct Group {
    /// A negative errno, from when the group is cancelled; 0 before.
    cancelled: Atomic<i32>,
}

impl Group {
    /// A group without requests. Allocates.
    pub fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                cancelled: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// What all requests of the group end with, if it was cancelled.
    pub fn cancelled(&self) -> Option<Error> {
        match self.cancelled.load(Acquire) {
            0 => None,
            errno => Some(Error::from_errno(errno)),
        }
    }

    /// Fails with what the group was cancelled with.
    pub(super) fn check(&self) -> Result {
        self.cancelled().map_or(Ok(()), Err)
    }
}
