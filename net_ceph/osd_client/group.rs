// SPDX-License-Identifier: GPL-2.0-only

//! Groups: the requests of one user of a client, which can be ended together.
//!
//! A group that is cancelled takes no more requests. Those under way are taken from where they are; those
//! that are between two places are ended by whoever brings them to the next one.

use super::request::OsdRequest;
use super::OsdClient;
use crate::abstractions::errno::ESHUTDOWN;
use crate::abstractions::task::NoIoScope;
use crate::abstractions::wait::Event;
use crate::mon_client::Patience;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Release},
        Arc,
    },
};

/// The requests of one user, such as a mapping, of a client that many may share.
#[pin_data]
pub struct Group {
    /// A negative errno, from when the group is cancelled; 0 before.
    cancelled: Atomic<i32>,
    /// Since how many maps that had us on the block list, and one, what it does presumes a lock; 0: it does not.
    presumes: Atomic<u32>,
    /// How many requests were submitted and have not ended.
    under_way: Atomic<usize>,
    /// The group is cancelled, and no request is under way any more.
    #[pin]
    drained: Event,
}

impl Group {
    /// A group without requests. Allocates.
    pub fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                cancelled: Atomic::new(0),
                presumes: Atomic::new(0),
                under_way: Atomic::new(0),
                drained <- Event::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// What all requests of the group end with, if it was cancelled.
    pub fn cancelled(&self) -> Option<Error> {
        match self.cancelled.load(Acquire) {
            0 => None,
            errno => Some(Error::from_errno(errno)),
        }
    }

    /// Fails with what the group was cancelled with, which it is if it presumed a lock before the last of
    /// `listings` maps that had us on the block list.
    pub(super) fn check(&self, listings: u32) -> Result {
        let since = self.presumes.load(Acquire);
        if since != 0 && since != after(listings) {
            self.close(ESHUTDOWN);
        }
        self.open()
    }

    /// What it does presumes a lock after so many of those maps, or for longer; `None`: it does not.
    pub(super) fn presume(&self, listings: Option<u32>) {
        match listings {
            None => self.presumes.store(0, Release),
            Some(listings) => {
                // If it did before, that counts.
                let _ = self.presumes.cmpxchg(0, after(listings), Full);
            }
        }
    }

    fn open(&self) -> Result {
        self.cancelled().map_or(Ok(()), Err)
    }

    /// A request is submitted, and leaves once it has ended. What the group was cancelled with.
    pub(super) fn enter(&self) -> Result {
        self.under_way.fetch_add(1, Full);
        // Either this sees that the group is cancelled, or who cancels it sees the request.
        self.open().inspect_err(|_| self.leave())
    }

    /// A request has ended, and its owner been told.
    pub(super) fn leave(&self) {
        if self.under_way.fetch_sub(1, Full) != 1 || self.cancelled().is_none() {
            return;
        }
        // Another one may have entered before it was cancelled: then that one is the last.
        if self.under_way.load(Acquire) == 0 {
            self.drained.complete_all();
        }
    }

    /// Takes no more requests.
    fn close(&self, err: Error) {
        // The first one counts.
        let _ = self.cancelled.cmpxchg(0, err.to_errno(), Full);
    }

    /// Waits until no request is under way, after [`close`](Self::close).
    fn wait_drained(&self) {
        if self.under_way.load(Acquire) != 0 {
            self.drained.wait();
        }
    }
}

/// What stands for so many maps that had us on the block list; 0 stands for nothing.
fn after(listings: u32) -> u32 {
    listings.saturating_add(1)
}

impl Patience for Group {
    fn ended(&self) -> Option<Error> {
        self.cancelled()
    }
}

impl OsdClient {
    /// Ends all requests of a group with `err`, and fails those that are submitted later with it at once;
    /// waits for monitors in its name end. Its watches get no more events but one that is being delivered,
    /// and ending them takes no time.
    ///
    /// On return nothing of the group is under way, all completions have been called, and the network uses
    /// none of their data: a connection that may still have to send some of it is dropped.
    ///
    /// Does not wait for the network, but for locks, which are held for no longer than it takes to go
    /// through all requests or to take in OSD maps, and for completions: less than a second, but when
    /// memory or processors are short. Sleeps; not from a completion or an event.
    pub fn cancel_group(&self, group: &Group, err: Error) {
        let _noio = NoIoScope::enter();
        group.close(err);
        self.mon.wake();
        // While this is held no map is taken over, no session opened or closed.
        let moves = self.moves.lock();
        for osd in 0..self.session_slots() {
            if let Some(session) = self.session(osd) {
                session.evict(false, |req| req.is_of(group));
            }
        }
        let mut after = 0;
        while let Some((tid, req)) = self.waiting.take_next(after, |req| req.is_of(group)) {
            after = tid;
            self.withdraw(&req, None, tid);
            req.finish(Err(err));
        }
        drop(moves);
        self.cancel_notifications(group, err);
        group.wait_drained();
    }
}

impl OsdRequest {
    /// Whether it is one of `group`.
    fn is_of(&self, group: &Group) -> bool {
        core::ptr::eq(&**self.group(), group)
    }
}
