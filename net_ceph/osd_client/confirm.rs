// SPDX-License-Identifier: GPL-2.0-only

//! What must not be sent again before the newest map is known.
//!
//! Who takes over an image from a client that does not answer has it put on the block list first, and
//! the OSDs then refuse what that client had under way. An entry of the list ends at some time, though: a
//! client that was cut off for longer would send its old requests again, over the data of its successor,
//! and nobody would refuse them. So when an OSD was silent for long writes go out over a new connection
//! only when a monitor told the newest epoch not long ago and we have the maps up to it, and so do old
//! writes that are sent elsewhere. When one of those maps has us on the list, the writes under way end, and
//! those who presume that they have a lock get no further: it may have been broken.

use super::group::Group;
use super::request::OsdRequest;
use super::work::Timers;
use super::{OsdClient, NSEC_PER_SEC};
use crate::abstractions::errno::ESHUTDOWN;
use crate::abstractions::time::boot_ns;
use crate::proto::osdmap::OsdMap;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        Arc,
    },
};

/// How long an OSD may be silent, how old a write that is sent elsewhere may be, and how old what is known
/// of the newest map, in ns. Entries of the block list last for an hour (Ceph
/// `src/common/options/mon.yaml.in`, `mon_osd_blocklist_default_expire`).
const MAX_AGE: u64 = 30 * NSEC_PER_SEC;

/// What is known of the newest map.
pub(super) struct Confirmation {
    /// When the map that we have was the newest one, in ns since boot; 0: never.
    at: Atomic<u64>,
    /// A session waits for it.
    wanted: Atomic<u32>,
    /// When an OSD answered last whose session is closed now, in ns since boot; 0: none did.
    heard: Atomic<u64>,
    /// How many maps had us on the block list.
    listings: Atomic<u32>,
}

impl Confirmation {
    /// Nothing is known.
    pub(super) const fn new() -> Self {
        Self {
            at: Atomic::new(0),
            wanted: Atomic::new(0),
            heard: Atomic::new(0),
            listings: Atomic::new(0),
        }
    }

    fn is_recent(&self, now: u64) -> bool {
        let at = self.at.load(Relaxed);
        at != 0 && now.saturating_sub(at) < MAX_AGE
    }
}

impl OsdClient {
    /// Whether what is as old as `since`, in ns since boot, is not to be sent before the newest map is known.
    pub(super) fn is_late(&self, since: u64, now: u64) -> bool {
        now.saturating_sub(since) >= MAX_AGE && !self.confirmation.is_recent(now)
    }

    /// Whether a request is not to be sent elsewhere now. Takes the request's lock.
    pub(super) fn is_unconfirmed(&self, req: &OsdRequest, now: u64) -> bool {
        req.write_since()
            .is_some_and(|since| self.is_late(since, now))
    }

    /// A session holds writes back.
    pub(super) fn want_confirmation(self: &Arc<Self>) {
        self.confirmation.wanted.store(1, Relaxed);
        self.kick(0);
    }

    /// Says whether what `group` does from here on presumes that it has, or may get, a lock which others break
    /// once we are on the block list. Such a group is cancelled when a map had us there since.
    pub fn presume_lock(&self, group: &Group, yes: bool) {
        group.presume(yes.then(|| self.confirmation.listings.load(Acquire)));
    }

    /// Whether a request of `group` may go on: what that was cancelled with, if not.
    pub(super) fn check(&self, group: &Group) -> Result {
        group.check(self.confirmation.listings.load(Acquire))
    }

    /// When any OSD answered last, in ns since boot; `now` if there was none to answer.
    pub(super) fn last_heard(&self, now: u64) -> u64 {
        let open = (0..self.session_slots()).filter_map(|osd| Some(self.session(osd)?.heard()));
        let heard = open.fold(self.confirmation.heard.load(Relaxed), u64::max);
        if heard == 0 {
            now
        } else {
            heard
        }
    }

    /// A session is closed whose OSD answered last at `heard`, in ns since boot. With
    /// [`moves`](OsdClient::moves) held.
    pub(super) fn remember_heard(&self, heard: u64) {
        let before = self.confirmation.heard.load(Relaxed);
        self.confirmation.heard.store(before.max(heard), Relaxed);
    }

    /// Notes that our map is, or was, the newest one.
    pub(super) fn confirm(&self, timers: &Timers) {
        let (asked, newest) = timers.told();
        if self.epoch() >= newest {
            self.confirmation.at.store(asked, Relaxed);
        }
    }

    /// Lets sessions send what they hold back, once submissions are flushed, if our map is the newest. Says
    /// whether that is to be found out. By the work item.
    pub(super) fn release_confirmed(&self, now: u64) -> bool {
        if self.confirmation.wanted.load(Relaxed) == 0 {
            return false;
        }
        if !self.confirmation.is_recent(now) {
            return true;
        }
        // What is held back from here on asks for another round.
        self.confirmation.wanted.xchg(0, Full);
        for osd in 0..self.session_slots() {
            if let Some(session) = self.session(osd).filter(|s| s.lock().confirm()) {
                self.mark_dirty(session.osd);
            }
        }
        false
    }

    /// Whether a map that is about to become the current one has us on the block list. Then groups that presume
    /// a lock get no further.
    pub(super) fn is_listed(&self, map: &OsdMap) -> bool {
        let me = self.messenger.my_addr();
        if !map.is_blocklisted(&me) {
            return false;
        }
        if !self.osdmap().is_some_and(|old| old.is_blocklisted(&me)) {
            pr_warn!("the cluster has this client on its block list\n");
        }
        self.confirmation.listings.fetch_add(1, Full);
        true
    }

    /// We are on the block list: ends the writes that are under way, as what an OSD did not refuse by now may not
    /// be refused when it gets there, and all of groups that presume a lock. With no lock of ours held.
    pub(super) fn end_writes(self: &Arc<Self>) {
        let now = boot_ns();
        let under_way = |req: &OsdRequest| {
            let ends = req.write_since().is_some() || self.check(req.group()).is_err();
            let inner = req.lock();
            (ends && inner.submitted <= now).then_some(inner.tid)
        };
        self.cancel_those(under_way, ESHUTDOWN, |_, _| {});
    }
}
