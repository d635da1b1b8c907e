// SPDX-License-Identifier: GPL-2.0-only

//! The client's work item: takes over maps, sends what waited, opens and closes sessions, and looks for
//! what takes too long.

use super::placement::Why;
use super::request::OsdRequest;
use super::{OsdClient, NSEC_PER_SEC};
use crate::abstractions::time::{boot_ns, msecs};
use crate::proto::osdmap::map_flag;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Full, Relaxed},
        Arc,
    },
};

/// Nanoseconds in a millisecond.
const NSEC_PER_MSEC: u64 = 1_000_000;
/// Milliseconds until what failed for lack of memory is tried again.
const RETRY_MS: u64 = 250;

/// Nanoseconds until the same map is asked for again, the first time and at most.
const ASK_AGAIN: u64 = NSEC_PER_SEC;
const ASK_AGAIN_MAX: u64 = 16 * NSEC_PER_SEC;

/// Nanoseconds until the newest epoch is asked for again: the answer, or maps after it, may have got lost.
/// More than a monitor has to answer before another one is asked.
const ASK_NEWEST_AGAIN: u64 = 60 * NSEC_PER_SEC;

/// What the work item remembers from run to run.
#[derive(Default)]
pub(super) struct Timers {
    /// When the next look for what takes too long is due, in ns since boot.
    next_tick: u64,
    /// When the newest epoch was asked for, in ns since boot; 0: no question is out. If it was asked for again the
    /// first time counts: it may be that which is answered.
    asked: u64,
    /// When it was asked for last.
    asked_last: u64,
    /// When the last question that was answered had been asked, and the answer.
    told: (u64, u32),
    /// The map that was wanted last, until when it is not asked for again, in ns since boot, and how long that
    /// was.
    wanted: (u32, u64, u64),
}

impl Timers {
    /// The question for the newest epoch was answered.
    pub(super) fn newest_told(&mut self, epoch: u32) {
        self.told = (self.asked, epoch);
        (self.asked, self.asked_last) = (0, 0);
    }

    /// The newest epoch there is, as the monitors said last.
    pub(super) fn newest_epoch(&self) -> u32 {
        self.told.1
    }

    /// Whether the newest epoch is to be asked for: not while we wait for the maps that lead there, or for the
    /// answer.
    fn may_ask(&self, epoch: u32, now: u64) -> bool {
        let is_recent = |at: u64| at != 0 && now.saturating_sub(at) < ASK_NEWEST_AGAIN;
        let (asked, newest) = self.told;
        !(is_recent(self.asked_last) || epoch < newest && is_recent(asked))
    }

    /// When the last question that was answered had been asked, in ns since boot, and the answer.
    pub(super) fn told(&self) -> (u64, u32) {
        self.told
    }
}

impl OsdClient {
    /// Something failed that a newer map may explain.
    pub(super) fn on_fault(self: &Arc<Self>) {
        self.want_map.store(1, Relaxed);
        self.kick(0);
    }

    pub(super) fn on_work(self: &Arc<Self>) {
        if self.is_stopped() {
            return;
        }
        let arrived = self.arrived_maps(&mut self.moves.lock());
        self.take_over_maps(arrived);
        let mut timers = self.moves.lock();
        self.confirm(&timers);
        let mut soon = self.retry(&mut timers);
        let now = boot_ns();
        let due = now >= timers.next_tick;
        if due {
            timers.next_tick = now.saturating_add(self.tick_ns());
            self.look_after_sessions(now);
        }
        if self.want_map.xchg(0, Full) != 0 {
            soon |= !self.request_map(&mut timers, now);
        }
        let left = timers.next_tick.saturating_sub(now);
        drop(timers);
        if let Some(map) = self.osdmap() {
            self.look_after_watches(&map, now);
            self.look_after_notifications(&map);
        }
        self.flush_submissions();
        if due {
            self.expire(now);
        }
        let delay = if soon { RETRY_MS } else { left / NSEC_PER_MSEC };
        let queue = self.messenger.queue();
        // If it is queued already, that is sooner.
        let _queued = queue.enqueue_delayed::<_, 0>(self.clone(), msecs(delay));
    }

    /// Places anew all that wait, in the order of their submission. Says whether some wait for what will
    /// not be announced.
    fn retry(self: &Arc<Self>, timers: &mut Timers) -> bool {
        let now = boot_ns();
        let mut soon = false;
        let mut ask = self.release_confirmed(now);
        let mut after = 0;
        while let Some((tid, req)) = self.waiting.take_after(after) {
            after = tid;
            if let Some(left) = req.release() {
                if let Some(con) = left.con() {
                    con.withdraw(tid, false);
                }
            }
            match self.route(&req, true) {
                Some(Why::Memory | Why::Session) => soon = true,
                Some(Why::Pool) if self.pool_is_deleted(timers, &req) => {
                    if self.waiting.take(&req, tid) {
                        // Not as if the object alone were missing, which means zeroes to many.
                        self.end(&req, ENXIO);
                    }
                }
                Some(Why::Pool | Why::Unconfirmed) => ask = true,
                Some(Why::Map | Why::Osd | Why::Address | Why::Paused) => {
                    self.want_map.store(1, Relaxed)
                }
                Some(Why::Moved) | None => {}
            }
        }
        if ask && timers.may_ask(self.epoch(), now) {
            timers.asked_last = boot_ns();
            if timers.asked == 0 {
                timers.asked = timers.asked_last;
            }
            if self.mon.ask_newest_osdmap().is_err() {
                (timers.asked, timers.asked_last) = (0, 0);
                soon = true;
            }
        }
        soon
    }

    /// Whether the pool that a request misses is missing in the newest map, too. Pools' ids are not used
    /// again.
    fn pool_is_deleted(&self, timers: &Timers, req: &OsdRequest) -> bool {
        let missed = req.miss_pool(boot_ns());
        let (asked, newest) = timers.told;
        asked >= missed && self.epoch() >= newest
    }

    /// Probes connections that owe an answer, and closes those that are not used.
    fn look_after_sessions(&self, now: u64) {
        let ago = |s: u32| now.saturating_sub(u64::from(s).saturating_mul(NSEC_PER_SEC));
        let slow = ago(self.config.keepalive);
        let unused = ago(self.config.idle_ttl);
        for osd in 0..self.session_slots() {
            let Some(session) = self.session(osd) else {
                continue;
            };
            let is_slow = |req: &OsdRequest| (req.lock().submitted < slow).then_some(());
            if session.find(is_slow).is_some() {
                self.want_map.store(1, Relaxed);
                if let Some(con) = session.con() {
                    con.send_keepalive();
                }
            }
            if !self.is_watching(osd) && session.close_if_idle(unused) {
                self.close_session(&session);
            }
        }
        if self.waiting.len() > 0 {
            self.want_map.store(1, Relaxed);
        }
    }

    /// Ends requests that took longer than the user allows.
    fn expire(self: &Arc<Self>, now: u64) {
        let timeout = u64::from(self.config.request_timeout).saturating_mul(NSEC_PER_SEC);
        if timeout == 0 {
            return;
        }
        let late = |req: &OsdRequest| {
            let inner = req.lock();
            (inner.submitted.saturating_add(timeout) < now).then_some(inner.tid)
        };
        self.cancel_those(late, ETIMEDOUT, |osd, tid| match osd {
            Some(osd) => pr_warn!("osd{}: tid {} timed out\n", osd, tid),
            None => pr_warn!("tid {} timed out, it had nowhere to go\n", tid),
        });
    }

    /// Ends with `err` the requests of which `which` says by what number they are to be known still, wherever
    /// they are; `tell` hears of each before: its OSD, if it is in a session, and the number. `which` must not
    /// pick what is submitted meanwhile.
    pub(super) fn cancel_those(
        &self,
        which: impl Fn(&OsdRequest) -> Option<u64>,
        err: Error,
        tell: impl Fn(Option<u32>, u64),
    ) {
        for osd in 0..self.session_slots() {
            let Some(session) = self.session(osd) else {
                continue;
            };
            while let Some((req, tid)) = session.find(&which) {
                tell(Some(osd), tid);
                self.cancel_submission(&req, Some(tid), err);
            }
        }
        while let Some((req, tid)) = self.waiting.find(&which) {
            tell(None, tid);
            self.cancel_submission(&req, Some(tid), err);
        }
    }

    /// Asks for the next map; for all that follow while requests wait for a flag to be cleared. `false` if that
    /// was done just now.
    fn request_map(&self, timers: &mut Timers, now: u64) -> bool {
        const HOLD: u32 = map_flag::FULL | map_flag::PAUSERD | map_flag::PAUSEWR;
        let held = self.osdmap().is_some_and(|map| map.has_flag(HOLD));
        let epoch = self.epoch();
        let next = if epoch > 0 {
            epoch.saturating_add(1)
        } else {
            0
        };
        let (wanted, until, pause) = timers.wanted;
        let pause = match wanted == next {
            true if now < until => {
                self.want_map.store(1, Relaxed);
                return false;
            }
            // It may be long on its way.
            true => pause.saturating_mul(2).clamp(ASK_AGAIN, ASK_AGAIN_MAX),
            false => ASK_AGAIN,
        };
        timers.wanted = (next, now.saturating_add(pause), pause);
        self.mon.want_osdmap(next, !held);
        true
    }
}
