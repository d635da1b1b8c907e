// SPDX-License-Identifier: GPL-2.0-only

//! The OSD client: finds the OSD that is responsible for an object, sends it requests, and sends them again
//! wherever maps and failures lead.
//!
//! - this file: the client, and how a request gets on its way
//! - [`request`], [`params`]: a request from preparation to completion
//! - [`io_ctx`], [`group`]: a pool as one user sees it, and the requests of that user
//! - [`placement`], [`placed`], [`replica`]: where it goes by a map
//! - [`session`], [`inflight`], [`ring`]: what is under way to one OSD
//! - [`waiting`]: what cannot be sent now
//! - [`work`], [`maps`]: the client's work item: what waits, what takes too long, and new maps
//! - [`confirm`]: what must not be sent again before the newest map is known
//! - [`sync_call`]: requests whose caller waits
//! - [`linger`]: watches, which last
//! - [`notify`]: notifications of our own
//! - [`backoff`]: what an OSD wants no requests for
//! - [`show`]: all of it as text
//!
//! Locks, from the outside in: [`OsdClient::moves`], a connection's, a session's, the waiting room's, a
//! request's. [`OsdClient::sessions`], the maps' and the others are taken alone.

mod backoff;
mod confirm;
mod group;
mod inflight;
mod io_ctx;
mod linger;
mod maps;
mod name;
mod notify;
mod params;
mod placed;
mod placement;
mod replica;
mod request;
mod ring;
mod session;
mod show;
mod sync_call;
mod waiting;
mod work;

pub use group::Group;
pub use io_ctx::IoCtx;
pub use linger::{Watch, WatchEvents};
pub use name::NameBuf;
pub use notify::Replies;
pub use params::{ClassCall, Params, Snapshots, MAX_OPS};
pub use request::{Completion, OsdRequest};
pub use waiting::ExpectedRequests;

use crate::abstractions::errno::ESHUTDOWN;
use crate::abstractions::task::NoIoScope;
use crate::abstractions::time::{boot_ns, msecs};
use crate::abstractions::workqueue::{cancel_sync, disable_sync};
use crate::auth::{Auth, OsdAuthenticator};
use crate::messenger::{Connection, ConnectionOps, Messenger};
use crate::mon_client::MonClient;
use crate::options::{CrushLocation, ReadFromReplica};
use crate::proto::osd_op::flags;
use crate::proto::osdmap::OsdMap;
use crate::proto::types::{EntityAddr, EntityType};
use confirm::Confirmation;
use kernel::{
    impl_has_delayed_work, new_delayed_work, new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc, Mutex,
    },
    workqueue::{DelayedWork, WorkItem},
};
use linger::Linger;
use maps::Incoming;
use notify::Notifying;
use placed::PlacedMap;
use placement::{Refusal, Why};
use request::At;
use session::{Enqueued, Session};
use waiting::Waiting;
use work::Timers;

/// Nanoseconds in a second.
const NSEC_PER_SEC: u64 = 1_000_000_000;
/// The most nanoseconds between two looks at sessions and watches, however long a silence may last: without a
/// ping a watch ends after 30 s (Ceph `src/common/options/osd.yaml.in`, `osd_client_watch_timeout`).
const TICK_MAX: u64 = 10 * NSEC_PER_SEC;

/// What the options say about requests.
pub struct OsdConfig {
    /// Speak msgr2 with OSDs, else msgr1.
    pub msgr2: bool,
    /// Seconds without an answer after which a connection is probed.
    pub keepalive: u32,
    /// Seconds after which an unused connection is closed.
    pub idle_ttl: u32,
    /// Seconds after which a request fails with `ETIMEDOUT`; 0: never.
    pub request_timeout: u32,
    /// Seconds that synchronous calls wait; 0: no bound.
    pub mount_timeout: u32,
    /// Writes fail with `ENOSPC` when the cluster or the pool is full, else they wait.
    pub abort_on_full: bool,
    /// Where reads may go.
    pub read_from: ReadFromReplica,
    /// Where we are in the CRUSH hierarchy.
    pub location: KVec<CrushLocation>,
}

/// The OSD client of one client instance.
#[pin_data]
pub struct OsdClient {
    config: OsdConfig,
    messenger: Arc<Messenger>,
    mon: Arc<MonClient>,
    auth: Arc<Auth>,
    /// The current map. Nothing is taken inside.
    #[pin]
    map: Mutex<Option<Arc<PlacedMap>>>,
    /// The current map's epoch, stored right after the map; 0: none.
    epoch: Atomic<u32>,
    /// By OSD. Nothing is taken inside.
    #[pin]
    sessions: Mutex<KVVec<Option<Arc<Session>>>>,
    #[pin]
    waiting: Waiting,
    /// Held while requests move between sessions, and while one is cancelled, so that these do not meet.
    /// May be held for long; never taken on the way of requests.
    #[pin]
    moves: Mutex<Timers>,
    /// Maps that arrived. Nothing is taken inside.
    #[pin]
    incoming: Mutex<Incoming>,
    /// Watches, ascending by cookie. Nothing is taken inside.
    #[pin]
    lingers: Mutex<KVec<Arc<Linger>>>,
    /// Notifications of our own. Inside, their locks are taken.
    #[pin]
    notifying: Mutex<KVec<Arc<Notifying>>>,
    last_cookie: Atomic<u64>,
    last_tid: Atomic<u64>,
    last_incarnation: Atomic<u64>,
    /// Sessions that have something to send and were not kicked: bit `osd % 64`.
    dirty: Atomic<u64>,
    /// A newer map is wanted.
    want_map: Atomic<u32>,
    /// By which map it was last said that an OSD has no address for us.
    no_address: Atomic<u32>,
    confirmation: Confirmation,
    stopped: Atomic<u32>,
    #[pin]
    work: DelayedWork<OsdClient>,
    /// Delivers the events of watches.
    #[pin]
    delivery: DelayedWork<OsdClient, DELIVERY>,
}

/// Tells the work item that delivers events from the other one.
const DELIVERY: u64 = 1;

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for OsdClient { self.work }
    impl HasDelayedWork<Self, DELIVERY> for OsdClient { self.delivery }
}

impl WorkItem<DELIVERY> for OsdClient {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _noio = NoIoScope::enter();
        this.deliver_events();
    }
}

impl WorkItem for OsdClient {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _noio = NoIoScope::enter();
        this.on_work();
    }
}

impl OsdClient {
    /// A client that has no map yet; it begins to work with [`mon_events`](Self::mon_events). Sleeps.
    pub fn new(
        config: OsdConfig,
        messenger: Arc<Messenger>,
        mon: Arc<MonClient>,
        auth: Arc<Auth>,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                config,
                messenger,
                mon,
                auth,
                map <- new_mutex!(None, "net_ceph::OsdClient::map"),
                epoch: Atomic::new(0),
                sessions <- new_mutex!(KVVec::new(), "net_ceph::OsdClient::sessions"),
                waiting <- Waiting::new(),
                moves <- new_mutex!(Timers::default(), "net_ceph::OsdClient::moves"),
                incoming <- new_mutex!(Incoming::default(), "net_ceph::OsdClient::incoming"),
                lingers <- new_mutex!(KVec::new(), "net_ceph::OsdClient::lingers"),
                notifying <- new_mutex!(KVec::new(), "net_ceph::OsdClient::notifying"),
                last_cookie: Atomic::new(0),
                last_tid: Atomic::new(0),
                last_incarnation: Atomic::new(0),
                dirty: Atomic::new(0),
                want_map: Atomic::new(0),
                no_address: Atomic::new(0),
                confirmation: Confirmation::new(),
                stopped: Atomic::new(0),
                work <- new_delayed_work!("net_ceph::OsdClient::work"),
                delivery <- new_delayed_work!("net_ceph::OsdClient::delivery"),
            }),
            GFP_KERNEL,
        )
    }

    /// Ends everything: sessions are closed, requests end with `ESHUTDOWN`. Sleeps; not from an event or a
    /// completion.
    pub fn stop(self: &Arc<Self>) {
        self.stopped.store(1, Release);
        cancel_sync::<Self, 0>(self);
        let moves = self.moves.lock();
        for osd in 0..self.session_slots() {
            if let Some(session) = self.session(osd) {
                self.close_session(&session);
            }
        }
        let mut after = 0;
        while let Some((tid, req)) = self.waiting.take_after(after) {
            after = tid;
            req.finish(Err(ESHUTDOWN));
        }
        drop(moves);
        // What a session's end had queued.
        disable_sync::<Self, 0>(self);
        disable_sync::<Self, DELIVERY>(self);
    }

    /// The current map, if one has come.
    pub fn osdmap(&self) -> Option<Arc<OsdMap>> {
        Some(self.placed()?.map().clone())
    }

    fn placed(&self) -> Option<Arc<PlacedMap>> {
        self.map.lock().clone()
    }

    /// The current map's epoch; 0 if none has come.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Acquire)
    }

    /// The flags of a read that may go to a replica, as the user wants.
    pub fn read_flags(&self) -> u32 {
        match self.config.read_from {
            ReadFromReplica::No => 0,
            ReadFromReplica::Balance => flags::BALANCE_READS,
            ReadFromReplica::Localize => flags::LOCALIZE_READS,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Acquire) != 0
    }

    fn new_tid(&self) -> u64 {
        self.last_tid.fetch_add(1, Relaxed).wrapping_add(1)
    }

    fn new_incarnation(&self) -> u64 {
        self.last_incarnation.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// Has the work item run after `ms` milliseconds.
    fn kick(self: &Arc<Self>, ms: u64) {
        if !self.is_stopped() {
            self.messenger
                .queue()
                .mod_delayed::<Self, 0>(self, msecs(ms));
        }
    }

    /// Has the events of watches delivered.
    fn kick_delivery(self: &Arc<Self>) {
        if !self.is_stopped() {
            self.messenger
                .queue()
                .mod_delayed::<Self, DELIVERY>(self, 0);
        }
    }

    /// How often sessions are looked after and watches pinged, in ns.
    fn tick_ns(&self) -> u64 {
        let keepalive = u64::from(self.config.keepalive.max(1)).saturating_mul(NSEC_PER_SEC);
        keepalive.min(TICK_MAX)
    }

    /// Submits a prepared request. With `last` unset it may stay unsent until one with `last` set follows, or
    /// [`flush_submissions`](Self::flush_submissions). `EBUSY` if it is not prepared, or what its group was
    /// cancelled with. Its completion may be called before this returns. Sleeps on locks and memory; does
    /// not fail for lack of memory.
    pub fn submit(self: &Arc<Self>, req: &Arc<OsdRequest>, last: bool) -> Result {
        let _noio = NoIoScope::enter();
        if self.is_stopped() {
            return Err(ESHUTDOWN);
        }
        req.begin(self.new_tid(), boot_ns())?;
        self.route(req, false);
        if last {
            self.flush_submissions();
        }
        Ok(())
    }

    /// Sends what was submitted and is not sent yet. Sleeps on locks.
    pub fn flush_submissions(&self) {
        // What this task submitted it sees; what others submit they send.
        if self.dirty.load(Relaxed) == 0 {
            return;
        }
        let _noio = NoIoScope::enter();
        let dirty = self.dirty.xchg(0, Full);
        let slots = self.session_slots();
        for residue in (0..u64::BITS).filter(|bit| dirty & (1 << bit) != 0) {
            for osd in (residue..slots).step_by(u64::BITS as usize) {
                if let Some(session) = self.session(osd) {
                    session.kick();
                }
            }
        }
    }

    fn mark_dirty(&self, osd: u32) {
        let bit = 1u64 << (osd % u64::BITS);
        let mut now = self.dirty.load(Relaxed);
        while now & bit == 0 {
            match self.dirty.cmpxchg(now, now | bit, Full) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }

    /// Puts a request that is at no place to where it belongs. `open`: sessions may be opened, which the
    /// work item alone does. Says why if it has to wait.
    fn route(self: &Arc<Self>, req: &Arc<OsdRequest>, open: bool) -> Option<Why> {
        loop {
            let Some(map) = self.placed() else {
                return self.wait(req, Why::Map, 0, open);
            };
            let epoch = map.map().epoch();
            let osd = match req.place(&map, self.config.abort_on_full) {
                Ok(osd) => osd,
                Err(Refusal::Wait(why)) => return self.wait(req, why, epoch, open),
                Err(Refusal::Fail(e)) => {
                    self.end(req, e);
                    return None;
                }
            };
            if open && self.is_unconfirmed(req, boot_ns()) {
                return self.wait(req, Why::Unconfirmed, epoch, open);
            }
            let mut session = self.session(osd);
            if session.is_none() && open {
                let Some(addr) = map.map().osd_addr(osd, self.config.msgr2) else {
                    // Not for each request.
                    if self.no_address.xchg(epoch, Relaxed) != epoch {
                        pr_warn!("osd{}: no address for the protocol of ms_mode\n", osd);
                    }
                    return self.wait(req, Why::Address, epoch, open);
                };
                session = match self.open_session(addr, osd) {
                    Ok(session) => Some(session),
                    Err(e) => {
                        // Memory will be there sooner or later.
                        if e != ENOMEM {
                            pr_warn!("osd{}: cannot connect: {}\n", osd, e.to_errno());
                        }
                        return self.wait(req, Why::Memory, epoch, open);
                    }
                };
            }
            let Some(session) = session else {
                return self.wait(req, Why::Session, epoch, open);
            };
            match session.enqueue(req, epoch) {
                Enqueued::Yes => {
                    self.mark_dirty(osd);
                    return None;
                }
                Enqueued::Stale => {}
                Enqueued::Closed => return self.wait(req, Why::Session, epoch, open),
                Enqueued::NoMemory => return self.wait(req, Why::Memory, epoch, open),
                Enqueued::Cancelled(e) => {
                    self.end(req, e);
                    return None;
                }
            }
        }
    }

    /// Ends a request that is at no place. Sleeps if it was sent before: then this is the work item.
    fn end(&self, req: &Arc<OsdRequest>, e: Error) {
        let tid = req.lock().tid;
        self.withdraw(req, None, tid);
        req.finish(Err(e));
    }

    /// Lets a request wait, unless the map is newer than `epoch` by now: then it waits for being placed by
    /// that, which the work item does. `by_work`: we are the work item.
    fn wait(
        self: &Arc<Self>,
        req: &Arc<OsdRequest>,
        why: Why,
        epoch: u32,
        by_work: bool,
    ) -> Option<Why> {
        let stale = self.epoch() != epoch;
        let why = if stale { Why::Moved } else { why };
        if let Err(e) = self.park(req, why) {
            self.end(req, e);
            return None;
        }
        // The map may have changed between the look at the epoch and the parking.
        if !by_work || stale || self.epoch() != epoch {
            self.kick(0);
        }
        Some(why)
    }

    /// Puts a request that is at no place into the waiting room; with an error it is at no place still, and is to end so.
    fn park(&self, req: &Arc<OsdRequest>, why: Why) -> Result {
        self.waiting.park(req, why)?;
        // The room may have been cleared before the request came.
        let err = match req.group().cancelled() {
            None if self.is_stopped() => Some(ESHUTDOWN),
            cancelled => cancelled,
        };
        let tid = req.lock().tid;
        match err.filter(|_| self.waiting.take(req, tid)) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// As [`park`](Self::park), with [`moves`](Self::moves) held: whoever clears the room does so later.
    fn park_evicted(&self, req: &Arc<OsdRequest>) {
        if let Err(e) = self.waiting.park(req, Why::Moved) {
            req.finish(Err(e));
        }
    }

    /// Ends a submitted request with `err`. `false` if it ended already, or its end is in progress. On return
    /// the network uses none of its data, and a write that did not get to an OSD will not. Sleeps; not from a completion or an event.
    pub fn cancel(&self, req: &Arc<OsdRequest>, err: Error) -> bool {
        self.cancel_submission(req, None, err)
    }

    /// The same, but `false` as well if the request is known by another number than `tid` now: its owner may
    /// have submitted it for something else meanwhile.
    fn cancel_submission(&self, req: &Arc<OsdRequest>, tid: Option<u64>, err: Error) -> bool {
        let _noio = NoIoScope::enter();
        let _moves = self.moves.lock();
        loop {
            let mut inner = req.lock();
            if tid.is_some_and(|tid| tid != inner.tid) {
                return false;
            }
            let session = match &inner.at {
                At::Idle | At::Prepared => return false,
                At::Between => {
                    inner.cancel_arrival(err);
                    return true;
                }
                At::Session(session) => Some(session.clone()),
                At::Waiting => None,
            };
            let tid = inner.tid;
            drop(inner);
            let taken = match &session {
                Some(session) => session.take(req, tid),
                None => self.waiting.take(req, tid),
            };
            if taken {
                self.withdraw(req, session, tid);
                req.finish(Err(err));
                return true;
            }
        }
    }

    /// Sees to it that no connection uses the data of a request, known as `tid`, which was taken from
    /// `session` or from the waiting room, and that it does not get to an OSD any more if it is a write.
    fn withdraw(&self, req: &OsdRequest, session: Option<Arc<Session>>, tid: u64) {
        let queued = req.may_be_queued();
        for session in Iterator::chain(session.into_iter(), req.take_left()) {
            if let Some(con) = session.con() {
                con.withdraw(tid, queued);
            }
        }
    }

    fn session_slots(&self) -> u32 {
        self.sessions.lock().len() as u32
    }

    fn session(&self, osd: u32) -> Option<Arc<Session>> {
        self.sessions.lock().get(osd as usize)?.clone()
    }

    /// Opens a session. Called by the work item alone. Allocates.
    // Apart from `route`, which has others' stacks to share.
    #[inline(never)]
    fn open_session(self: &Arc<Self>, addr: EntityAddr, osd: u32) -> Result<Arc<Session>> {
        // Once a session has its connection only closing that takes them apart.
        let mut sessions = self.sessions.lock();
        while sessions.len() <= osd as usize {
            sessions.push(None, GFP_KERNEL)?;
        }
        drop(sessions);
        let session = Session::new(self, osd, addr)?;
        let ops: Arc<dyn ConnectionOps> = session.clone();
        let renewer = self.mon.renewer()?;
        let auth = KBox::new(
            OsdAuthenticator::new(self.auth.clone(), renewer),
            GFP_KERNEL,
        )?;
        let con = Connection::new(self.messenger.clone(), EntityType::OSD, ops, auth)?;
        session.connect(con.clone());
        if let Some(slot) = self.sessions.lock().get_mut(osd as usize) {
            *slot = Some(session.clone());
        }
        con.open(addr, self.auth.global_id());
        Ok(session)
    }

    /// Closes a session; its requests wait for being placed anew. With [`moves`](Self::moves) held. Sleeps.
    fn close_session(&self, session: &Arc<Session>) {
        let removed = self
            .sessions
            .lock()
            .get_mut(session.osd as usize)
            .and_then(Option::take);
        session.evict(true, |_| true);
        self.remember_heard(session.heard());
        if let Some(con) = session.con() {
            con.close();
        }
        drop(removed);
    }
}
