// SPDX-License-Identifier: GPL-2.0-only

//! The session with a monitor: opened, kept alive, given up for another, and what arrives over it.
//!
//! Connections are opened and closed under the client's lock; a connection's events carry the number of
//! the session they belong to, so that those of one given up are passed over.

use super::requests::{Answer, Matched, Pending, Question};
use super::subs::Map;
use super::{MonClient, State};
use crate::abstractions::crypto::random_u64;
use crate::abstractions::time::{boot_ns, msecs};
use crate::messenger::{Connection, Recovery};
use crate::proto::cephx::Progress;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use crate::proto::message::{Reply, Request};
use crate::proto::mon_msg::{
    Auth as AuthMessage, AuthReply, CommandAck, GetVersion, GetVersionReply, MonCommand,
    MonMapReply, OsdMaps, Subscribe, SubscribeAck,
};
use crate::proto::monmap::MonMap;
use crate::proto::msg::MsgHeader;
use kernel::{
    prelude::*,
    sync::{Arc, MutexGuard},
};

/// Nanoseconds in a millisecond.
const NSEC_PER_MSEC: u64 = 1_000_000;
/// How often a session is looked after, in milliseconds (`CEPH_MONC_PING_INTERVAL`, Linux
/// `include/linux/ceph/libceph.h`).
const PING_MS: u64 = 10_000;
/// How long a monitor may leave keepalives unanswered, in nanoseconds (`CEPH_MONC_PING_TIMEOUT`).
const SILENCE: u64 = 30_000 * NSEC_PER_MSEC;

impl State {
    /// Adds a question and, if there is a session, asks it.
    pub(super) fn ask(
        &mut self,
        question: Question,
        detached: bool,
        encode: impl FnOnce(u64) -> ProtoResult<KVec<u8>>,
    ) -> ProtoResult<u64> {
        let tid = self.requests.add(question, detached, encode)?;
        if !self.hunt.is_hunting() {
            self.send_questions(|p| p.tid == tid);
        }
        Ok(tid)
    }

    /// Sends the questions that `which` picks. One that cannot be sent now is asked in the next session.
    fn send_questions(&mut self, which: impl Fn(&Pending) -> bool) {
        for p in self.requests.unanswered_mut().filter(|p| which(p)) {
            p.asked = boot_ns();
            let (typ, version) = match p.question {
                Question::Version => (GetVersion::TYPE, GetVersion::VERSION),
                Question::Command => (MonCommand::TYPE, MonCommand::VERSION),
            };
            let mut front = KVec::new();
            let sent = front
                .extend_from_slice(&p.front, GFP_KERNEL)
                .map_err(Error::from)
                .and_then(|()| self.link.send(typ, version, p.tid, front));
            if let Err(e) = sent {
                pr_warn!("cannot ask the monitor: {}\n", e.to_errno());
            }
        }
    }

    /// Whether the monitor owes us an answer for so long that it is no good, though it answers keepalives. A command
    /// may take its time.
    fn is_stuck(&self, now: u64) -> bool {
        let late = |since: u64| now.saturating_sub(since) >= SILENCE;
        let mut questions = self.requests.unanswered();
        self.auth_pending && late(self.auth_sent)
            || questions.any(|p| p.question == Question::Version && late(p.asked))
    }

    /// Sends what is subscribed to.
    pub(super) fn subscribe(&mut self) {
        let sent = match self.subs.request(boot_ns()) {
            Ok(None) => Ok(()),
            Ok(Some(front)) => self
                .link
                .send(Subscribe::TYPE, Subscribe::VERSION, 0, front),
            Err(e) => Err(e.to_errno()),
        };
        if let Err(e) = sent {
            pr_warn!("cannot subscribe to maps: {}\n", e.to_errno());
        }
    }

    /// Sends an `MAuth`; its answer is out from now on.
    fn send_auth(&mut self, protocol: u32, payload: &[u8]) -> Result {
        let front = AuthMessage { protocol, payload }
            .to_front()
            .map_err(ProtoError::to_errno)?;
        self.link
            .send(AuthMessage::TYPE, AuthMessage::VERSION, 0, front)?;
        self.auth_pending = true;
        self.auth_sent = boot_ns();
        Ok(())
    }
}

impl MonClient {
    /// Has the tick run after `ms` milliseconds.
    pub(super) fn kick(self: &Arc<Self>, ms: u64) {
        self.messenger.queue().mod_delayed(self, msecs(ms));
    }

    /// Gives the current monitor up, if there is one, and tries another.
    pub(super) fn open_session(self: &Arc<Self>, state: &mut State) {
        state.link.take().give_up();
        let session = self.auth.begin_session();
        state.subs.reset();
        state.auth_pending = true;
        state.lost = false;

        let count = state.monmap.mons().len();
        for _ in 0..count {
            let Some(rank) = state.hunt.next(count, random_u64()) else {
                break;
            };
            let mon = state.monmap.mons().get(rank);
            let Some(addr) = mon.and_then(|mon| mon.addr(self.msgr2)) else {
                continue;
            };
            if let Err(e) = state.link.open(self, session, addr) {
                pr_warn!("mon{}: cannot connect: {}\n", rank, e.to_errno());
            }
            break;
        }
        let patience = state.hunt.patience_ms().saturating_mul(NSEC_PER_MSEC);
        state.deadline = boot_ns().saturating_add(patience);
    }

    /// The tick: goes on with the hunt, or looks after the session.
    pub(super) fn on_tick(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.stopped {
            return;
        }
        let now = boot_ns();
        if state.hunt.is_hunting() {
            if now >= state.deadline {
                self.open_session(&mut state);
            }
        } else if state.lost || state.link.silence(now) >= SILENCE || state.is_stuck(now) {
            if let Some(rank) = state.hunt.current() {
                let addr = state.link.addr();
                pr_info!("mon{} {} session lost, hunting for new mon\n", rank, addr);
            }
            self.open_session(&mut state);
        } else {
            self.look_after(&mut state, now);
        }
        let delay = if state.hunt.is_hunting() {
            state.deadline.saturating_sub(boot_ns()) / NSEC_PER_MSEC
        } else {
            PING_MS
        };
        let ping = match state.hunt.is_hunting() {
            true => None,
            false => state.link.connection(),
        };
        drop(state);
        if let Some(con) = ping {
            con.send_keepalive();
        }
        // A run that somebody asked for meanwhile must not be put off: it comes back here.
        let _ = self
            .messenger
            .queue()
            .enqueue_delayed(self.clone(), msecs(delay));
    }

    /// Renews tickets and subscriptions that are due.
    fn look_after(&self, state: &mut State, now: u64) {
        state.hunt.calm();
        if state.subs.renewal_due(now) {
            state.subscribe();
        }
        if state.auth_pending {
            return;
        }
        let mut payload = KVec::new();
        let sent = match self.auth.renewal(&mut payload) {
            Ok(false) => return,
            Ok(true) => state.send_auth(self.auth.method(), &payload),
            Err(e) => Err(e.to_errno()),
        };
        if let Err(e) = sent {
            // They count as asked for. A new session asks for all of them.
            pr_warn!("cannot renew tickets: {}\n", e.to_errno());
            state.lost = true;
        }
    }

    /// The link can carry messages. With msgr2 we are authenticated by now.
    pub(super) fn on_open(self: &Arc<Self>, session: u64, con: &Connection) {
        let mut state = self.state.lock();
        if !state.link.is(session) {
            return;
        }
        if self.msgr2 {
            self.session_begins(state, con);
            return;
        }
        let mut payload = KVec::new();
        let sent = self
            .auth
            .hello(&mut payload)
            .map_err(ProtoError::to_errno)
            .and_then(|()| state.send_auth(0, &payload));
        if let Err(e) = sent {
            pr_warn!("cannot authenticate: {}\n", e.to_errno());
        }
    }

    /// The link failed; says whether it is to be made again.
    pub(super) fn on_fault(self: &Arc<Self>, session: u64, error: Error, step: &str) -> Recovery {
        let mut state = self.state.lock();
        if !state.link.is(session) {
            return Recovery::Close;
        }
        if let Some(refusal) = self.auth.take_refusal() {
            self.refused(&mut state, refusal);
            return Recovery::Close;
        }
        if state.hunt.is_hunting() {
            // The monitor has until its deadline.
            return Recovery::Reconnect;
        }
        pr_info!(
            "connection to monitor failed: {} ({})\n",
            step,
            error.to_errno()
        );
        state.lost = true;
        drop(state);
        self.kick(0);
        Recovery::Close
    }

    /// The authentication failed. If a monitor does not let us in, whoever waits for the first session
    /// need not wait on.
    fn refused(&self, state: &mut State, why: ProtoError) {
        pr_err!("authentication failed: {}\n", why);
        state.error = match why.reason {
            Reason::Refused(errno) => Some(Error::from_errno(errno)),
            Reason::BadAuth => Some(EACCES),
            _ => state.error,
        };
        self.changed.notify_all();
    }

    /// Authenticated: the session stands. Unlocks `state`.
    fn session_begins(self: &Arc<Self>, mut state: MutexGuard<'_, State>, con: &Connection) {
        con.set_global_id(self.auth.global_id());
        state.auth_pending = false;
        state.error = None;
        state.hunt.found();
        state.subscribe();
        state.send_questions(|_| true);
        if let Some(rank) = state.hunt.current() {
            pr_info!("mon{} {} session established\n", rank, state.link.addr());
        }
        drop(state);
        self.changed.notify_all();
        self.kick(PING_MS);
    }

    /// A message arrived, complete and verified.
    pub(super) fn on_message(
        self: &Arc<Self>,
        session: u64,
        con: &Connection,
        header: &MsgHeader,
        front: &[u8],
    ) {
        if !self.state.lock().link.is(session) {
            return;
        }
        let version = header.version;
        let taken = match header.typ {
            AuthReply::TYPE => {
                AuthReply::decode(version, front).map(|m| self.on_auth_reply(session, con, &m))
            }
            SubscribeAck::TYPE => SubscribeAck::decode(version, front)
                .map(|m| self.state.lock().subs.acknowledged(m.interval)),
            MonMapReply::TYPE => {
                MonMapReply::decode(version, front).and_then(|m| self.on_monmap(m.monmap))
            }
            OsdMaps::TYPE => OsdMaps::decode(version, front).map(|m| self.on_osdmaps(&m)),
            GetVersionReply::TYPE => GetVersionReply::decode(version, front)
                .map(|m| self.on_answer(m.handle, Answer::Version(m.version))),
            CommandAck::TYPE => CommandAck::decode(version, front)
                .map(|m| self.on_answer(header.tid, Answer::Command(m.result))),
            other => {
                pr_info!("message of unknown type {} from monitor\n", other);
                Ok(())
            }
        };
        if let Err(e) = taken {
            pr_err!("bad message of type {} from monitor: {}\n", header.typ, e);
            if matches!(e.reason, Reason::NoMemory) {
                self.lose(session);
            }
        }
    }

    /// What a monitor said once could not be taken in: in a new session it is said again.
    fn lose(self: &Arc<Self>, session: u64) {
        let mut state = self.state.lock();
        // One that is made only now has its deadline.
        if state.link.is(session) && !state.hunt.is_hunting() {
            state.lost = true;
            drop(state);
            self.kick(0);
        }
    }

    fn on_auth_reply(self: &Arc<Self>, session: u64, con: &Connection, reply: &AuthReply<'_>) {
        let mut state = self.state.lock();
        if !state.link.is(session) {
            return;
        }
        let mut payload = KVec::new();
        match self.auth.handle_reply(reply, &mut payload) {
            Ok(Progress::Send(protocol)) => {
                if let Err(e) = state.send_auth(protocol, &payload) {
                    pr_warn!("cannot authenticate: {}\n", e.to_errno());
                    drop(state);
                    self.lose(session);
                }
            }
            Ok(Progress::Done) if state.hunt.is_hunting() => self.session_begins(state, con),
            Ok(Progress::Done) => state.auth_pending = false,
            Err(e) if state.hunt.is_hunting() => self.refused(&mut state, e),
            Err(e) => {
                // Tickets were not renewed. A new session asks for all of them.
                pr_err!("cannot renew tickets: {}\n", e);
                drop(state);
                self.lose(session);
            }
        }
    }

    fn on_monmap(&self, encoded: &[u8]) -> ProtoResult {
        let monmap = Arc::new(MonMap::decode(encoded)?, GFP_KERNEL)?;
        let mut state = self.state.lock();
        if let Some(expected) = state.fsid.filter(|expected| expected != monmap.fsid()) {
            pr_err!("bad fsid, had {} got {}\n", expected, monmap.fsid());
            state.error = Some(EINVAL);
        } else {
            state.fsid = Some(*monmap.fsid());
            state.subs.got(Map::Mon, monmap.epoch());
            state.monmap = monmap;
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn on_osdmaps(&self, maps: &OsdMaps<'_>) {
        let state = self.state.lock();
        let known = state.fsid;
        let events = state.events.clone();
        drop(state);
        if known.is_some_and(|fsid| fsid != maps.fsid) {
            pr_err!("OSD map of another cluster, {}\n", maps.fsid);
            return;
        }
        if let Some(events) = events {
            events.osd_maps(maps);
        }
    }

    fn on_answer(&self, tid: u64, answer: Answer) {
        let mut state = self.state.lock();
        match (state.requests.answer(tid, answer), answer) {
            (Matched::Nothing, _) | (Matched::Detached, Answer::Command(_)) => {}
            (Matched::Waiter, _) => self.changed.notify_all(),
            (Matched::Detached, Answer::Version(version)) => {
                let events = state.events.clone();
                drop(state);
                if let (Some(events), Ok(epoch)) = (events, u32::try_from(version)) {
                    events.newest_osdmap(epoch);
                }
            }
        }
    }
}
