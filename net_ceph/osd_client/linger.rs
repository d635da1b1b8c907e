// SPDX-License-Identifier: GPL-2.0-only

//! Watches: requests whose effect lasts. An OSD forgets who watches when the connection or the group's
//! interval ends, so a watch is renewed then; and it is kept alive by pings.
//!
//! Which watches are to be renewed or pinged is decided by the client's work item; their events are
//! delivered by another one, as their receivers may take their time.

use super::io_ctx::IoCtx;
use super::name::NameBuf;
use super::params::Params;
use super::request::{Completion, OsdRequest};
use super::OsdClient;
use crate::abstractions::data::DataBuf;
use crate::abstractions::errno::{ECANCELED, ENOTCONN};
use crate::abstractions::task::NoIoScope;
use crate::abstractions::time::boot_ns;
use crate::proto::error::ProtoError;
use crate::proto::osd_op::op::WatchOp;
use crate::proto::osd_op::{flags, Op};
use crate::proto::osdmap::{Interval, OsdMap, PgId};
use crate::proto::watch::{encode_notify_ack, WatchEvent, WatchNotify};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{atomic::Relaxed, Arc, Mutex},
};

/// Longest payload of a notification that is delivered; those about images have some dozen bytes.
const PAYLOAD_MAX: usize = 64 << 10;
/// Most notifications that wait for delivery; what comes on top is lost, so notifiers wait in vain.
const NOTICES_MAX: usize = 64;

/// Who is told of a watch's events, by a work item. May sleep; must not drop the watch.
pub trait WatchEvents: Send + Sync {
    /// Someone (with this global id) notifies the watchers; to be answered with [`Watch::ack`].
    fn notify(&self, notify_id: u64, notifier: u64, payload: &[u8]);

    /// The watch was renewed: notifications may have been lost.
    fn renewed(&self);

    /// The watch is gone, and notifications may have been lost: it should be dropped and begun anew.
    fn error(&self, err: Error);
}

/// A notification that waits for delivery.
struct Notice {
    id: u64,
    notifier: u64,
    payload: KVec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Being registered for the first time.
    New,
    /// To be renewed.
    Lost,
    /// Being renewed.
    Renewing,
    Registered,
    /// An OSD says that it is gone.
    Failed,
    /// The owner ends it.
    Ended,
}

/// What a watch's lock guards.
struct Inner {
    state: State,
    /// How often it was renewed.
    generation: u32,
    /// The OSD it is registered with, and the incarnation of the session.
    home: (u32, u64),
    /// The group and its interval when it was registered.
    interval: Option<(PgId, Interval)>,
    /// The epoch of the map by which that was found to be the interval still; 0: none.
    checked: u32,
    /// When the next ping is due, in ns since boot.
    next_ping: u64,
    notices: KVec<Notice>,
    /// It was renewed, which is to be told, too.
    renewed: bool,
    /// Why it failed, to be told after those.
    broken: Option<Error>,
}

/// A watch, as the client holds it.
#[pin_data]
pub(super) struct Linger {
    /// Where the object is.
    pub(super) io: IoCtx,
    pub(super) cookie: u64,
    pub(super) object: NameBuf<128>,
    receiver: Arc<dyn WatchEvents>,
    /// Registers and renews it.
    register: Arc<OsdRequest>,
    ping: Arc<OsdRequest>,
    /// Taken inside connections' locks; inside, those of sessions and what is below them are taken.
    #[pin]
    inner: Mutex<Inner>,
    /// Held while an event is delivered.
    #[pin]
    delivery: Mutex<()>,
}

/// Tells a watch of the end of its requests, if there is the watch still.
struct Done {
    client: Arc<OsdClient>,
    cookie: u64,
    ping: bool,
}

impl Completion for Done {
    fn complete(&self, req: &Arc<OsdRequest>, result: Result<usize>) {
        let Some(linger) = self.client.linger(self.cookie) else {
            return;
        };
        if self.ping {
            linger.on_ping(req, result);
        } else {
            linger.on_registered(req, result);
        }
    }
}

/// Does not care.
struct Ignore;

impl Completion for Ignore {
    fn complete(&self, _req: &Arc<OsdRequest>, _result: Result<usize>) {}
}

/// A watch on an object. Dropping it ends it: that waits for the OSD, at most as long as
/// synchronous calls do.
pub struct Watch(Arc<Linger>);

impl Watch {
    /// Answers a notification. Does not wait for the OSD; an answer that gets lost makes the notifier
    /// wait until its time is over. Allocates.
    pub fn ack(&self, notify_id: u64, answer: &[u8]) -> Result {
        let linger = &self.0;
        let mut payload = KVec::new();
        encode_notify_ack(notify_id, linger.cookie, answer, &mut payload)
            .map_err(ProtoError::to_errno)?;
        let data = DataBuf::copy_of(&payload)?;
        let input_len = u32::try_from(payload.len())?;
        let req = linger.io.request()?;
        req.prepare(Arc::new(Ignore, GFP_KERNEL)?, |p| {
            linger.address(p)?;
            p.push_op(Op::NotifyAck { input_len })?;
            p.data = Some(data.cursor());
            Ok(())
        })?;
        linger.client().submit(&req, true)
    }

    /// The number that the OSD knows it by, with our client's: unique among our client's watches.
    pub fn cookie(&self) -> u64 {
        self.0.cookie
    }

    /// Ends the watch, as dropping it does.
    pub fn close(self) {}
}

impl Drop for Watch {
    fn drop(&mut self) {
        let linger = &self.0;
        let client = linger.client();
        linger.inner.lock().state = State::Ended;
        client.lingers.lock().retain(|l| !Arc::ptr_eq(l, linger));
        client.cancel(&linger.register, ECANCELED);
        client.cancel(&linger.ping, ECANCELED);
        // Waits for an event that is being delivered.
        drop(linger.delivery.lock());
        let unwatched = linger
            .io
            .run_uninterruptible(|p| linger.fill(p, WatchOp::Unwatch, 0));
        // A group that was cancelled leaves it to the OSD, which hears no more of us.
        let cancelled = linger.io.group().cancelled().is_some();
        match unwatched {
            Err(e) if !cancelled => pr_warn!("cannot end a watch: {}\n", e.to_errno()),
            _ => {}
        }
    }
}

impl Linger {
    fn client(&self) -> &Arc<OsdClient> {
        self.io.osd()
    }

    fn address(&self, p: &mut Params) -> Result {
        self.io.address(p, self.object.get())
    }

    /// Makes a request one about this watch.
    fn fill(&self, p: &mut Params, op: WatchOp, generation: u32) -> Result {
        self.address(p)?;
        p.set_mtime();
        // It takes no space. An owner of a lock whose watch ran out while the pool is full would be taken for dead.
        p.flags |= flags::FULL_TRY;
        p.push_op(Op::Watch {
            cookie: self.cookie,
            op,
            generation,
        })
    }

    /// The interval of the watched object's group.
    pub(super) fn interval(&self, map: &OsdMap) -> Option<(PgId, Interval)> {
        self.io.interval(self.object.get(), flags::WRITE, map)
    }

    /// Whether the OSD has forgotten the watch, as far as we can tell.
    fn is_forgotten(&self, inner: &mut Inner, map: &OsdMap) -> bool {
        // Finding out where the object is takes its time, and there may be very many watches.
        if inner.checked == map.epoch() {
            return self.io.has_lost_session(inner.home);
        }
        let object = self.object.get();
        let forgotten =
            self.io
                .is_forgotten(object, flags::WRITE, inner.home, &inner.interval, map);
        inner.checked = if forgotten { 0 } else { map.epoch() };
        forgotten
    }

    /// Renews the watch, or pings, if that is due. Called by the client's work item.
    fn look_after(&self, map: &OsdMap, now: u64) -> Result {
        if self.io.group().cancelled().is_some() {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        if inner.state == State::Registered && self.is_forgotten(&mut inner, map) {
            inner.state = State::Lost;
        }
        let (op, req, ping) = match inner.state {
            State::Lost => {
                inner.state = State::Renewing;
                inner.interval = self.interval(map);
                inner.checked = 0;
                inner.generation = inner.generation.wrapping_add(1);
                (WatchOp::Reconnect, &self.register, false)
            }
            State::Registered if self.ping.is_idle() && now >= inner.next_ping => {
                inner.next_ping = now.saturating_add(self.client().tick_ns());
                (WatchOp::Ping, &self.ping, true)
            }
            _ => return Ok(()),
        };
        let generation = inner.generation;
        drop(inner);
        let submitted = self.submit(op, req, generation);
        if submitted.is_err() && !ping {
            let mut inner = self.inner.lock();
            if inner.state == State::Renewing {
                inner.state = State::Lost;
            }
        }
        submitted
    }

    fn submit(&self, op: WatchOp, req: &Arc<OsdRequest>, generation: u32) -> Result {
        let done = Done {
            client: self.client().clone(),
            cookie: self.cookie,
            ping: op == WatchOp::Ping,
        };
        req.prepare(Arc::new(done, GFP_KERNEL)?, |p| {
            self.fill(p, op, generation)
        })?;
        self.client().submit(req, true)
    }

    /// The request that registers or renews the watch was answered.
    fn on_registered(&self, req: &OsdRequest, result: Result<usize>) {
        let mut inner = self.inner.lock();
        if !matches!(inner.state, State::New | State::Renewing) {
            return;
        }
        match result {
            Ok(_) => {
                // An OSD waits 5 s or so for who is not connected, and then forgets the notification, not the watch.
                inner.renewed = inner.state == State::Renewing;
                inner.state = State::Registered;
                inner.home = req.answered();
                inner.next_ping = boot_ns().saturating_add(self.client().tick_ns());
                let renewed = inner.renewed;
                drop(inner);
                if renewed {
                    self.client().kick_delivery();
                }
                // The work item looks whether it was forgotten in the meantime, and pings from now on.
                self.client().kick(0);
            }
            Err(e) => self.fail(inner, e),
        }
    }

    fn on_ping(&self, req: &OsdRequest, result: Result<usize>) {
        let mut inner = self.inner.lock();
        if inner.state != State::Registered {
            return;
        }
        let answered = req.answered();
        match result {
            // Another session answered, so the watch does not live by this one any more.
            _ if answered != inner.home && answered != (0, 0) => {
                inner.state = State::Lost;
                drop(inner);
                self.client().kick(0);
            }
            Err(e) if answered == inner.home => self.fail(inner, e),
            _ => {}
        }
    }

    fn fail(&self, mut inner: kernel::sync::MutexGuard<'_, Inner>, e: Error) {
        inner.state = State::Failed;
        if self.io.group().cancelled().is_some() {
            return;
        }
        // To a watch that was, there being no object is like there being no watch.
        let e = if e == ENOENT { ENOTCONN } else { e };
        inner.broken = Some(e);
        drop(inner);
        self.client().kick_delivery();
    }

    fn on_notify(&self, n: &WatchNotify<'_>) {
        match n.event {
            WatchEvent::Disconnect => self.disconnect(),
            WatchEvent::Notify if n.payload.len() > PAYLOAD_MAX => {
                pr_warn!("notification of {} bytes is passed over\n", n.payload.len());
            }
            WatchEvent::Notify => {
                if let Err(e) = self.keep(n) {
                    // What it says is not known, only that there was something: as after a broken watch.
                    pr_warn!("notification is lost: {}\n", e.to_errno());
                    self.disconnect();
                }
            }
            // Not about watches.
            WatchEvent::NotifyComplete => {}
        }
    }

    /// The watch is to be begun anew.
    fn disconnect(&self) {
        let inner = self.inner.lock();
        if matches!(
            inner.state,
            State::Lost | State::Renewing | State::Registered
        ) {
            self.fail(inner, ENOTCONN);
        }
    }

    /// Keeps a notification for delivery.
    fn keep(&self, n: &WatchNotify<'_>) -> Result {
        let mut inner = self.inner.lock();
        if inner.notices.len() >= NOTICES_MAX {
            return Err(EBUSY);
        }
        let mut payload = KVec::with_capacity(n.payload.len(), GFP_KERNEL)?;
        payload.extend_from_slice(n.payload, GFP_KERNEL)?;
        let notice = Notice {
            id: n.notify_id,
            notifier: n.notifier,
            payload,
        };
        inner.notices.push(notice, GFP_KERNEL)?;
        drop(inner);
        self.client().kick_delivery();
        Ok(())
    }

    /// Delivers what waits.
    fn deliver(&self) {
        let _delivery = self.delivery.lock();
        loop {
            let mut inner = self.inner.lock();
            if inner.state == State::Ended || self.io.group().cancelled().is_some() {
                return;
            }
            if let Ok(notice) = inner.notices.remove(0) {
                drop(inner);
                self.receiver
                    .notify(notice.id, notice.notifier, &notice.payload);
                continue;
            }
            if core::mem::take(&mut inner.renewed) {
                drop(inner);
                self.receiver.renewed();
                continue;
            }
            let Some(e) = inner.broken.take() else {
                return;
            };
            drop(inner);
            self.receiver.error(e);
        }
    }

    /// For debugfs: whether it stands, and how often it was renewed.
    pub(super) fn status(&self) -> (bool, u32) {
        let inner = self.inner.lock();
        (inner.state == State::Registered, inner.generation)
    }
}

impl IoCtx {
    /// Watches an object. `ENOENT` if there is none, otherwise as other synchronous calls. Sleeps.
    pub fn watch(&self, object: &[u8], events: Arc<dyn WatchEvents>) -> Result<Watch> {
        let client = self.osd();
        let mut object_buf = NameBuf::default();
        object_buf.set(object)?;
        let linger = Arc::pin_init(
            try_pin_init!(Linger {
                io: self.clone(),
                cookie: client.new_cookie(),
                object: object_buf,
                receiver: events,
                register: self.request()?,
                ping: self.request()?,
                inner <- new_mutex!(Inner::new(), "net_ceph::osd_client::Linger"),
                delivery <- new_mutex!((), "net_ceph::osd_client::Linger::delivery"),
            }? Error),
            GFP_KERNEL,
        )?;
        if let Some(map) = client.osdmap() {
            linger.inner.lock().interval = linger.interval(&map);
        }
        let noio = NoIoScope::enter();
        client.add_linger(linger.clone())?;
        drop(noio);
        let registered = self.run_with(&linger.register, |p| linger.fill(p, WatchOp::Watch, 0));
        match registered {
            Ok(_) => {
                linger.on_registered(&linger.register, registered);
                Ok(Watch(linger))
            }
            Err(e) => {
                linger.inner.lock().state = State::Ended;
                client.lingers.lock().retain(|l| !Arc::ptr_eq(l, &linger));
                Err(e)
            }
        }
    }
}

impl OsdClient {
    /// A number for a watch or a notification.
    pub(super) fn new_cookie(&self) -> u64 {
        self.last_cookie.fetch_add(1, Relaxed).wrapping_add(1)
    }

    fn linger(&self, cookie: u64) -> Option<Arc<Linger>> {
        let lingers = self.lingers.lock();
        let at = lingers.binary_search_by_key(&cookie, |l| l.cookie).ok()?;
        lingers.get(at).cloned()
    }

    fn add_linger(&self, linger: Arc<Linger>) -> Result {
        let mut lingers = self.lingers.lock();
        lingers.reserve(1, GFP_KERNEL)?;
        let at = lingers.partition_point(|l| l.cookie < linger.cookie);
        lingers
            .insert_within_capacity(at, linger)
            .map_err(|_| ENOMEM)
    }

    /// The watches, ascending by cookie. Others may begin and end meanwhile.
    pub(super) fn each_linger(&self) -> impl Iterator<Item = Arc<Linger>> + '_ {
        let mut last = 0;
        core::iter::from_fn(move || {
            let lingers = self.lingers.lock();
            // Not by place: that changes when one ends.
            let at = lingers.partition_point(|l| l.cookie <= last);
            let linger = lingers.get(at)?.clone();
            last = linger.cookie;
            Some(linger)
        })
    }

    /// Whether a watch is registered with this OSD.
    pub(super) fn is_watching(&self, osd: u32) -> bool {
        self.each_linger().any(|linger| {
            let inner = linger.inner.lock();
            inner.state == State::Registered && inner.home.0 == osd
        })
    }

    /// An OSD tells of a notification.
    pub(super) fn on_watch_notify(&self, n: &WatchNotify<'_>) {
        if let Some(linger) = self.linger(n.cookie) {
            linger.on_notify(n);
        }
    }

    /// Renews and pings watches. Called by the work item.
    pub(super) fn look_after_watches(&self, map: &OsdMap, now: u64) {
        for linger in self.each_linger() {
            // What fails is tried again at the next tick.
            if let Err(e) = linger.look_after(map, now) {
                pr_warn!("cannot renew a watch: {}\n", e.to_errno());
            }
        }
    }

    /// Delivers events of watches. Called by the work item for that.
    pub(super) fn deliver_events(&self) {
        self.each_linger().for_each(|linger| linger.deliver());
    }
}

impl Inner {
    fn new() -> Self {
        Self {
            state: State::New,
            generation: 0,
            home: (0, 0),
            interval: None,
            checked: 0,
            next_ping: 0,
            notices: KVec::new(),
            renewed: false,
            broken: None,
        }
    }
}
