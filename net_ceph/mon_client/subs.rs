// SPDX-License-Identifier: GPL-2.0-only

//! Subscriptions: which maps are wanted from which epoch on, and which are had.
//!
//! Since jewel a monitor keeps them as long as the session stands. Older ones forget them after a time they
//! tell, so they are renewed at half of it (Linux `net/ceph/mon_client.c`, `handle_subscribe_ack`).

use crate::proto::error::ProtoResult;
use crate::proto::message::Request;
use crate::proto::mon_msg::{Subscribe, Subscription};
use kernel::{fmt, prelude::*};

/// A map one can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    /// The monitor map.
    Mon = 0,
    /// The OSD map.
    Osd = 1,
}

/// Names of the maps, by [`Map`].
const NAMES: [&str; 2] = ["monmap", "osdmap"];

#[derive(Clone, Copy, Default)]
struct Sub {
    /// From which epoch on, and only once.
    want: Option<(u64, bool)>,
    have: u32,
}

/// All subscriptions of a client.
pub(super) struct Subs {
    subs: [Sub; 2],
    /// When to renew, in ns since boot; `None`: the monitor keeps them.
    renew_at: Option<u64>,
    sent_at: Option<u64>,
}

impl Subs {
    /// None.
    pub(super) const fn new() -> Self {
        Self {
            subs: [Sub {
                want: None,
                have: 0,
            }; 2],
            renew_at: None,
            sent_at: None,
        }
    }

    fn sub(&mut self, map: Map) -> &mut Sub {
        match (map, &mut self.subs) {
            (Map::Mon, [sub, _]) | (Map::Osd, [_, sub]) => sub,
        }
    }

    /// Wants `map` from `epoch` on (0: the newest), once or for good.
    pub(super) fn want(&mut self, map: Map, epoch: u32, onetime: bool) {
        self.sub(map).want = Some((epoch.into(), onetime));
    }

    /// We have `map` up to `epoch` now.
    pub(super) fn got(&mut self, map: Map, epoch: u32) {
        let sub = self.sub(map);
        sub.want = match sub.want {
            Some((_, false)) => Some((u64::from(epoch).saturating_add(1), false)),
            _ => None,
        };
        sub.have = epoch;
    }

    /// Up to which epoch we have `map`; 0: not at all.
    pub(super) fn have(&self, map: Map) -> u32 {
        match (map, &self.subs) {
            (Map::Mon, [sub, _]) | (Map::Osd, [_, sub]) => sub.have,
        }
    }

    /// The front of the message that subscribes to all that is wanted; `None` if nothing is.
    pub(super) fn request(&mut self, now_ns: u64) -> ProtoResult<Option<KVec<u8>>> {
        let mut items = [Subscription {
            what: "",
            start: 0,
            onetime: false,
        }; 2];
        let wanted = self
            .subs
            .iter()
            .zip(NAMES)
            .filter_map(|(sub, what)| sub.want.map(|(start, onetime)| (what, start, onetime)));
        let mut count = 0;
        for (item, (what, start, onetime)) in items.iter_mut().zip(wanted) {
            *item = Subscription {
                what,
                start,
                onetime,
            };
            count += 1;
        }
        let items = items.get(..count).unwrap_or(&[]);
        if items.is_empty() {
            return Ok(None);
        }
        self.sent_at.get_or_insert(now_ns);
        Subscribe { items }.to_front().map(Some)
    }

    /// A new session: the monitor knows of no subscription.
    pub(super) fn reset(&mut self) {
        self.renew_at = None;
        self.sent_at = None;
    }

    /// A monitor that forgets acknowledged, and says after how many seconds it forgets.
    pub(super) fn acknowledged(&mut self, seconds: u32) {
        if let Some(sent) = self.sent_at.take() {
            self.renew_at = Some(sent.saturating_add(u64::from(seconds) * 500_000_000));
        }
    }

    /// Whether it is time to renew.
    pub(super) fn renewal_due(&self, now_ns: u64) -> bool {
        self.renew_at.is_some_and(|at| now_ns >= at)
    }

    /// Writes them as the C client's debugfs file `monc` has them.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sub, name) in self.subs.iter().zip(NAMES) {
            write!(f, "have {name} {}", sub.have)?;
            if let Some((start, onetime)) = sub.want {
                write!(f, " want {start}{}", if onetime { "" } else { "+" })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
