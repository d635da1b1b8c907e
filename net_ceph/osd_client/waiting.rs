// SPDX-License-Identifier: GPL-2.0-only

//! The waiting room: requests that cannot be sent now. There is room for every request there is, so putting one
//! there never fails.

use super::placement::Why;
use super::request::{At, OsdRequest};
use super::OsdClient;
use crate::abstractions::task::NoIoScope;
use kernel::{
    alloc::Flags,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex,
    },
};

/// One who waits.
struct Waiter {
    tid: u64,
    req: Arc<OsdRequest>,
}

/// The waiting room.
#[pin_data]
pub(super) struct Waiting {
    /// Ascending by transaction id. Taken inside a session's lock; inside, requests' locks are taken.
    #[pin]
    waiters: Mutex<KVVec<Waiter>>,
    /// How many requests there are, waiting or not.
    population: Atomic<usize>,
    /// For how many there is to be room in any case.
    expected: Atomic<usize>,
}

/// The place that is kept for a request as long as it exists.
pub(super) struct Seat(Arc<OsdClient>);

impl Seat {
    /// Allocates, unless so many are expected.
    pub(super) fn take(client: &Arc<OsdClient>, flags: Flags) -> Result<Self> {
        let room = &client.waiting;
        room.population.fetch_add(1, Relaxed);
        let seat = Self(client.clone());
        room.provide(flags)?;
        Ok(seat)
    }
}

/// Places that are kept for requests that there may be.
pub struct ExpectedRequests {
    client: Arc<OsdClient>,
    count: usize,
}

impl Drop for ExpectedRequests {
    fn drop(&mut self) {
        self.client.waiting.expected.fetch_sub(self.count, Relaxed);
    }
}

impl OsdClient {
    /// Makes room for `count` requests on top of what others expect, until what this returns is dropped: making
    /// them takes no memory but their own. Allocates.
    pub fn expect_requests(self: &Arc<Self>, count: usize) -> Result<ExpectedRequests> {
        self.waiting.expected.fetch_add(count, Relaxed);
        let expected = ExpectedRequests {
            client: self.clone(),
            count,
        };
        self.waiting.provide(GFP_KERNEL)?;
        Ok(expected)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.waiting.population.fetch_sub(1, Relaxed);
    }
}

impl Waiting {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            waiters <- new_mutex!(KVVec::new(), "net_ceph::OsdClient::waiting"),
            population: Atomic::new(0),
            expected: Atomic::new(0),
        })
    }

    /// Sees to it that there is room for all there are or may be. Allocates.
    fn provide(&self, flags: Flags) -> Result {
        // The lock is taken on the way of block requests.
        let _noio = NoIoScope::enter();
        let mut waiters = self.waiters.lock();
        let seats = self
            .population
            .load(Relaxed)
            .max(self.expected.load(Relaxed));
        let more = seats.saturating_sub(waiters.len());
        Ok(waiters.reserve(more, flags)?)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiters.lock().len()
    }

    /// Lets a request wait. Its error if it was cancelled.
    pub(super) fn park(&self, req: &Arc<OsdRequest>, why: Why) -> Result {
        let mut waiters = self.waiters.lock();
        req.arrive(At::Waiting, why)?;
        let tid = req.lock().tid;
        let at = waiters.partition_point(|w| w.tid < tid);
        let waiter = Waiter {
            tid,
            req: req.clone(),
        };
        // There is a seat for each request.
        waiters
            .insert_within_capacity(at, waiter)
            .map_err(|_| ENOMEM)?;
        Ok(())
    }

    /// Takes the first request whose transaction id is greater than `after`, and returns it with that.
    pub(super) fn take_after(&self, after: u64) -> Option<(u64, Arc<OsdRequest>)> {
        let mut waiters = self.waiters.lock();
        let at = waiters.partition_point(|w| w.tid <= after);
        let waiter = waiters.remove(at).ok()?;
        waiter.req.depart(None);
        Some((waiter.tid, waiter.req))
    }

    /// As [`take_after`](Self::take_after), of those for which `which` holds.
    pub(super) fn take_next(
        &self,
        after: u64,
        which: impl Fn(&OsdRequest) -> bool,
    ) -> Option<(u64, Arc<OsdRequest>)> {
        let mut waiters = self.waiters.lock();
        let first = waiters.partition_point(|w| w.tid <= after);
        let at = waiters.iter().skip(first).position(|w| which(&w.req))?;
        let waiter = waiters.remove(first.checked_add(at)?).ok()?;
        waiter.req.depart(None);
        Some((waiter.tid, waiter.req))
    }

    /// Takes this request, if it waits as `tid`.
    pub(super) fn take(&self, req: &Arc<OsdRequest>, tid: u64) -> bool {
        let mut waiters = self.waiters.lock();
        let this = |w: &Waiter| w.tid == tid && Arc::ptr_eq(&w.req, req);
        let Some(at) = waiters.iter().position(this) else {
            return false;
        };
        let taken = waiters.remove(at);
        req.depart(None);
        drop(waiters);
        taken.is_ok()
    }

    /// A request of those that wait for which `which` has something to say, and that.
    pub(super) fn find<T>(
        &self,
        mut which: impl FnMut(&OsdRequest) -> Option<T>,
    ) -> Option<(Arc<OsdRequest>, T)> {
        let waiters = self.waiters.lock();
        let mut found = waiters.iter();
        found.find_map(|w| Some((w.req.clone(), which(&w.req)?)))
    }

    /// Shows `f` all that wait.
    pub(super) fn for_each(&self, mut f: impl FnMut(&OsdRequest)) {
        for w in self.waiters.lock().iter() {
            f(&w.req);
        }
    }
}
