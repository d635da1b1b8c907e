// SPDX-License-Identifier: GPL-2.0-only

//! A session: the requests sent to one OSD, and its connection.

use super::backoff::{acknowledgement, Backoffs};
use super::inflight::Table;
use super::notify::REPLIES_MAX;
use super::placement::Why;
use super::request::{At, OsdRequest};
use super::ring::Ring;
use super::OsdClient;
use crate::abstractions::time::boot_ns;
use crate::messenger::{Connection, ConnectionOps, DataTarget, Incoming, Outgoing, Recovery};
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use crate::proto::message::Reply;
use crate::proto::mon_msg::OsdMaps;
use crate::proto::msg::MsgHeader;
use crate::proto::osd_op::{BackoffOp, OsdBackoff, OsdOpReply, Redirect};
use crate::proto::osdmap::OsdMap;
use crate::proto::types::{EntityAddr, Timespec};
use crate::proto::watch::{WatchEvent, WatchNotify};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex, SetOnce},
};

/// The most messages of our own that wait to be sent.
const OWN_MAX: usize = 1024;

/// What a session's lock guards.
#[derive(Default)]
pub(super) struct Inner {
    /// Taken out of the client's table: nothing is added any more.
    closed: bool,
    /// Sent or to be sent, and not answered.
    pub(super) inflight: Table<Arc<OsdRequest>>,
    /// Those of `inflight` to be sent, and some that were taken out of it since.
    unsent: Ring,
    /// Which of its openings the connection is in; 0 while it is not open.
    incarnation: u64,
    /// When the OSD answered last, in ns since boot; at first, when any did.
    heard: u64,
    /// Writes of `unsent` are not sent before the newest map is known.
    unconfirmed: bool,
    /// What the OSD wants no requests for.
    pub(super) backoffs: Backoffs,
    /// Messages of our own, sent before requests.
    own: KVec<Arc<dyn Outgoing>>,
    /// When something was added or answered last, in ns since boot.
    last_active: u64,
}

impl Inner {
    /// Has those sent that were held back, which are at least those that `which` picks. Allocates.
    fn send_held(&mut self, which: impl Fn(&OsdRequest) -> bool) {
        let room = self.unsent.len().saturating_add(self.inflight.len());
        // An OSD that reads nothing may ask for it over and over.
        if self.is_crowded() || self.unsent.reserve(room).is_err() {
            return self.send_all();
        }
        for (tid, req) in self.inflight.iter() {
            if which(req) {
                self.unsent.push(tid);
            }
        }
    }

    /// Whether much of `unsent` is there more than once, or gone.
    fn is_crowded(&self) -> bool {
        self.unsent.len() > self.inflight.len().saturating_mul(2).saturating_add(16)
    }

    /// Has all sent, in order. Sending too much does no harm: the OSD knows what it has. There is room for all
    /// of them.
    fn send_all(&mut self) {
        let all = self.inflight.iter().map(|(tid, _)| tid);
        self.unsent.refill(all);
    }

    /// The newest map is known. Says whether there may be something to send. Allocates.
    pub(super) fn confirm(&mut self) -> bool {
        let held = core::mem::take(&mut self.unconfirmed);
        if held {
            self.send_held(OsdRequest::is_write);
        }
        held
    }
}

/// A session with one OSD at one address.
#[pin_data]
pub(super) struct Session {
    pub(super) osd: u32,
    pub(super) addr: EntityAddr,
    client: Arc<OsdClient>,
    con: SetOnce<Arc<Connection>>,
    /// Taken inside the lock of a connection. Inside, those of the waiting room and of requests are taken.
    #[pin]
    inner: Mutex<Inner>,
}

/// What became of a request that was brought to a session.
pub(super) enum Enqueued {
    Yes,
    /// The session is closed.
    Closed,
    /// The request was placed by an old map.
    Stale,
    NoMemory,
    Cancelled(Error),
}

impl Session {
    /// A session whose connection follows. Allocates.
    pub(super) fn new(client: &Arc<OsdClient>, osd: u32, addr: EntityAddr) -> Result<Arc<Self>> {
        let now = boot_ns();
        let inner = Inner {
            last_active: now,
            heard: client.last_heard(now),
            ..Inner::default()
        };
        Arc::pin_init(
            pin_init!(Self {
                osd,
                addr,
                client: client.clone(),
                con: SetOnce::new(),
                inner <- new_mutex!(inner, "net_ceph::osd_client::Session"),
            }),
            GFP_KERNEL,
        )
    }

    /// Gives it its connection.
    pub(super) fn connect(&self, con: Arc<Connection>) {
        self.con.populate(con);
    }

    pub(super) fn con(&self) -> Option<&Arc<Connection>> {
        self.con.as_ref()
    }

    pub(super) fn lock(&self) -> kernel::sync::MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Which of its openings the connection is in; 0 while it is not open.
    pub(super) fn incarnation(&self) -> u64 {
        self.inner.lock().incarnation
    }

    /// When the OSD answered last, in ns since boot.
    pub(super) fn heard(&self) -> u64 {
        self.inner.lock().heard
    }

    /// Has the connection send what waits. With none of our locks held.
    pub(super) fn kick(&self) {
        let waits = !self.inner.lock().unsent.is_empty();
        if let Some(con) = self.con().filter(|_| waits) {
            con.kick();
        }
    }

    /// Takes a request that was placed by the map of `epoch`. May allocate.
    pub(super) fn enqueue(self: &Arc<Self>, req: &Arc<OsdRequest>, epoch: u32) -> Enqueued {
        let mut inner = self.inner.lock();
        // A new map is published before sessions are looked through, so one of the two sees the request.
        if inner.closed {
            return Enqueued::Closed;
        }
        if self.client.epoch() != epoch {
            return Enqueued::Stale;
        }
        let room = inner
            .inflight
            .len()
            .max(inner.unsent.len())
            .saturating_add(1);
        if inner.inflight.reserve().is_err() || inner.unsent.reserve(room).is_err() {
            return Enqueued::NoMemory;
        }
        if let Err(e) = self.client.check(req.group()) {
            return Enqueued::Cancelled(e);
        }
        if let Err(e) = req.arrive(At::Session(self.clone()), Why::Session) {
            return Enqueued::Cancelled(e);
        }
        let tid = req.lock().tid;
        inner.inflight.insert(tid, req.clone());
        // Each time a request comes back its number is added again.
        if inner.is_crowded() {
            inner.send_all();
        } else {
            inner.unsent.push(tid);
        }
        inner.last_active = boot_ns();
        Enqueued::Yes
    }

    /// Takes a request out, if it is here as `tid`.
    pub(super) fn take(&self, req: &Arc<OsdRequest>, tid: u64) -> bool {
        let mut inner = self.inner.lock();
        let here = inner.inflight.get(tid).is_some_and(|r| Arc::ptr_eq(r, req));
        if here {
            let _same = inner.inflight.remove(tid);
            req.depart(None);
        }
        here
    }

    /// Lets the requests for which `which` holds wait for being placed anew; all if the session closes. With
    /// [`moves`](OsdClient::moves) held.
    pub(super) fn evict(self: &Arc<Self>, close: bool, mut which: impl FnMut(&OsdRequest) -> bool) {
        let mut inner = self.inner.lock();
        inner.closed |= close;
        let mut cursor = 0;
        while let Some((_, req)) = inner
            .inflight
            .take_next(&mut cursor, |_, req| close || which(req))
        {
            req.depart(Some(self.clone()));
            self.client.park_evicted(&req);
        }
    }

    /// Closes the session if nothing is in it and nothing was since `before`, in ns since boot.
    pub(super) fn close_if_idle(&self, before: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.inflight.is_empty() && inner.last_active < before {
            inner.closed = true;
        }
        inner.closed
    }

    /// Whether the OSD is no longer to be found here.
    pub(super) fn is_gone(&self, map: &OsdMap, msgr2: bool) -> bool {
        !map.osd_is_up(self.osd) || map.osd_addr(self.osd, msgr2) != Some(self.addr)
    }

    /// A request of those in the session for which `which` has something to say, and that.
    pub(super) fn find<T>(
        &self,
        mut which: impl FnMut(&OsdRequest) -> Option<T>,
    ) -> Option<(Arc<OsdRequest>, T)> {
        let inner = self.inner.lock();
        let mut found = inner.inflight.iter();
        found.find_map(|(_, req)| Some((req.clone(), which(req)?)))
    }

    fn on_reply(&self, msg: Incoming<'_>) {
        let tid = msg.header.tid;
        let reply = OsdOpReply::decode(msg.header.version, msg.front);
        let attempt = reply.as_ref().map_or(-1, |r| r.attempt);
        let mut inner = self.inner.lock();
        let awaited = inner
            .inflight
            .get(tid)
            .is_some_and(|req| req.awaits(tid, attempt));
        let Some(req) = inner.inflight.get(tid).filter(|_| awaited).cloned() else {
            return;
        };
        let _same = inner.inflight.remove(tid);
        inner.last_active = boot_ns();
        inner.heard = inner.last_active;
        let incarnation = inner.incarnation;
        req.depart(None);
        drop(inner);

        let result = match &reply {
            Err(e) => {
                pr_err!("osd{}: bad reply: {}\n", self.osd, e);
                Err(EIO)
            }
            Ok(reply) => match &reply.redirect {
                Some(to) => return self.redirect(&req, to),
                None if reply.result == EAGAIN.to_errno() && req.is_at_replica() => {
                    req.prefer_primary(self.client.new_tid());
                    return self.send_anew(&req);
                }
                None => outcome(&req, reply, msg.header.data_len as usize, msg.data),
            },
        };
        req.answered_by(self.osd, incarnation);
        req.finish(result);
    }

    /// Holds requests back, or sends them again: also those that were under way before, which the OSD
    /// dropped. After an error the connection is of no use: the OSD goes on dropping requests until it has an answer.
    fn on_backoff(&self, b: &OsdBackoff<'_>) -> ProtoResult {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        match b.op {
            BackoffOp::Block => {
                // An OSD that does not read our answers gets no more of them.
                if inner.own.len() >= OWN_MAX {
                    return Err(ProtoError::value("backoff: answers not read", b.id));
                }
                let answer = acknowledgement(b, self.client.epoch());
                inner.backoffs.add(b)?;
                let answer = answer.map_err(|_| NO_MEMORY)?;
                Ok(inner.own.push(answer, GFP_KERNEL)?)
            }
            BackoffOp::Unblock => {
                inner.backoffs.remove(b.id);
                inner.send_held(|req| req.is_held(|spg, object| spg == b.spg && b.covers(object)));
                Ok(())
            }
        }
    }

    /// Sends a request to another pool, which is all that a cluster asks for today.
    fn redirect(&self, req: &Arc<OsdRequest>, to: &Redirect<'_>) {
        let plain = to.key.is_empty() && to.object.is_empty() && to.hash < 0;
        if !plain || to.pool == u64::MAX {
            pr_err!(
                "osd{}: redirected to another object: not supported\n",
                self.osd
            );
            return req.finish(Err(EIO));
        }
        req.redirect(to.pool, self.client.new_tid());
        self.send_anew(req);
    }

    /// Has a request placed anew that was answered otherwise than done.
    fn send_anew(&self, req: &Arc<OsdRequest>) {
        // It was answered: nothing of it is on its way.
        if let Err(e) = self.client.park(req, Why::Moved) {
            req.finish(Err(e));
        }
        self.client.kick(0);
    }
}

/// A back-off could not be taken note of.
const NO_MEMORY: ProtoError = ProtoError::new("backoff: answer", Reason::NoMemory);

/// What a reply says of its request: how many bytes of output there are.
fn outcome(req: &OsdRequest, reply: &OsdOpReply<'_>, len: usize, data: KVVec<u8>) -> Result<usize> {
    if reply.result < 0 {
        return Err(answer(reply.result));
    }
    if len > 0 {
        req.take_in(len, data)?;
    }
    Ok(len)
}

/// A negative number of an OSD as an error, whatever it is.
fn answer(result: i32) -> Error {
    /// The greatest errno there is (`MAX_ERRNO`, Linux `include/linux/err.h`).
    const MAX_ERRNO: i32 = 4095;
    if (-MAX_ERRNO..0).contains(&result) {
        Error::from_errno(result)
    } else {
        EIO
    }
}

impl ConnectionOps for Session {
    fn next_message(&self) -> Option<Arc<dyn Outgoing>> {
        let mut inner = self.inner.lock();
        if let Ok(own) = inner.own.remove(0) {
            return Some(own);
        }
        while let Some(tid) = inner.unsent.pop() {
            // One that is held back is sent when the range ends, or the newest map is known.
            let unconfirmed = inner.unconfirmed;
            let req = inner.inflight.get(tid).cloned();
            let held = |req: &OsdRequest| unconfirmed && req.is_write() || inner.backoffs.hold(req);
            if let Some(req) = req.filter(|req| !held(req)) {
                return Some(req);
            }
        }
        None
    }

    fn data_target(&self, header: &MsgHeader, _front: &[u8]) -> DataTarget {
        let len = header.data_len as usize;
        match header.typ {
            OsdOpReply::TYPE => match self.inner.lock().inflight.get(header.tid) {
                Some(req) => req.data_target(len),
                None => DataTarget::Skip,
            },
            WatchNotify::TYPE if len <= REPLIES_MAX => DataTarget::Buffer,
            // No other message has data that we use.
            _ => DataTarget::Discard,
        }
    }

    fn dispatch(&self, msg: Incoming<'_>) -> ProtoResult {
        let header = msg.header;
        let result = match header.typ {
            OsdOpReply::TYPE => {
                self.on_reply(msg);
                Ok(())
            }
            OsdBackoff::TYPE => match OsdBackoff::decode(header.version, msg.front) {
                // One that is not answered never ends, but with the connection. (What is not understood would come again.)
                Ok(b) => return self.on_backoff(&b),
                Err(e) => Err(e),
            },
            WatchNotify::TYPE => {
                WatchNotify::decode(header.version, msg.front).map(|n| match n.event {
                    WatchEvent::NotifyComplete => {
                        let len = header.data_len as usize;
                        self.client.on_notify_complete(&n, len, msg.data);
                    }
                    WatchEvent::Notify | WatchEvent::Disconnect => self.client.on_watch_notify(&n),
                })
            }
            OsdMaps::TYPE => OsdMaps::decode(header.version, msg.front)
                .map(|maps| self.client.take_in_maps(&maps)),
            other => {
                pr_info!("osd{}: message of unknown type {}\n", self.osd, other);
                Ok(())
            }
        };
        if let Err(e) = result {
            pr_err!(
                "osd{}: bad message of type {}: {}\n",
                self.osd,
                header.typ,
                e
            );
        }
        Ok(())
    }

    fn opened(&self, _con: &Arc<Connection>, _global_id: u64) {
        let mut inner = self.inner.lock();
        inner.incarnation = self.client.new_incarnation();
        inner.backoffs.clear();
        inner.own.clear();
        inner.send_all();
        // Until that is released; the connection may break again before.
        inner.unconfirmed |= self.client.is_late(inner.heard, boot_ns());
        let unconfirmed = inner.unconfirmed;
        drop(inner);
        if unconfirmed {
            self.client.want_confirmation();
        }
    }

    fn keepalive_acked(&self, _sent: Timespec) {
        self.inner.lock().heard = boot_ns();
    }

    fn fault(&self, _error: Error, _step: &'static str) -> Recovery {
        let mut inner = self.inner.lock();
        inner.incarnation = 0;
        let (closed, idle) = (inner.closed, inner.inflight.is_empty());
        drop(inner);
        self.client.on_fault();
        match (closed, idle) {
            (true, _) => Recovery::Close,
            (false, true) => Recovery::Standby,
            (false, false) => Recovery::Reconnect,
        }
    }
}
