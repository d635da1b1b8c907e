// SPDX-License-Identifier: GPL-2.0-only

//! New OSD maps: they are copied when they arrive, and taken over by the work item one after another; it then
//! moves the requests that any of them sent elsewhere.

use super::placed::PlacedMap;
use super::request::OsdRequest;
use super::{OsdClient, Timers};
use crate::abstractions::crc32c::crc32c;
use crate::abstractions::time::boot_ns;
use crate::mon_client::MonEvents;
use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::mon_msg::OsdMaps;
use crate::proto::osdmap::{Incremental, OsdMap};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Relaxed, Release},
        Arc,
    },
};

/// Most bytes of maps that wait for the work item; what comes on top is asked for again.
const WAITING_MAX: usize = 64 << 20;

/// An encoded map.
struct Blob {
    epoch: u32,
    full: bool,
    bytes: KVVec<u8>,
}

/// What arrived and was not looked at yet.
#[derive(Default)]
pub(super) struct Incoming {
    blobs: KVVec<Blob>,
    bytes: usize,
    /// The newest epoch there is, as far as anyone told since the work item looked.
    newest: u32,
    /// The answer to the question for the newest map.
    pub(super) answer: Option<u32>,
}

/// Maps for the work item to take over.
pub(super) struct Arrived {
    blobs: KVVec<Blob>,
    /// The newest epoch there is, as far as anyone told.
    newest: u32,
}

impl Incoming {
    fn push(&mut self, epoch: u32, full: bool, bytes: &[u8]) -> Result {
        // An empty one takes room, too.
        let cost = bytes.len().saturating_add(size_of::<Blob>());
        if self.bytes.saturating_add(cost) > WAITING_MAX {
            return Err(ENOMEM);
        }
        let mut copy = KVVec::with_capacity(bytes.len(), GFP_KERNEL)?;
        copy.extend_from_slice(bytes, GFP_KERNEL)?;
        let blob = Blob {
            epoch,
            full,
            bytes: copy,
        };
        self.blobs.push(blob, GFP_KERNEL)?;
        self.bytes = self.bytes.saturating_add(cost);
        Ok(())
    }
}

/// The event side of an OSD client, for the monitor client.
impl MonEvents for EventsOf {
    fn osd_maps(&self, maps: &OsdMaps<'_>) {
        self.0.take_in_maps(maps);
    }

    fn newest_osdmap(&self, epoch: u32) {
        self.0.incoming.lock().answer = Some(epoch);
        self.0.kick(0);
    }
}

/// Passes what the monitor client tells on to the OSD client.
struct EventsOf(Arc<OsdClient>);

impl OsdClient {
    /// What the monitor client is to be [started](crate::mon_client::MonClient::start) with. From now on the
    /// client works, until [`stop`](Self::stop). Allocates.
    pub fn mon_events(self: &Arc<Self>) -> Result<Arc<dyn MonEvents>> {
        let events: Arc<dyn MonEvents> = Arc::new(EventsOf(self.clone()), GFP_KERNEL)?;
        self.kick(0);
        Ok(events)
    }

    /// Copies maps for the work item. Allocates.
    pub(super) fn take_in_maps(self: &Arc<Self>, maps: &OsdMaps<'_>) {
        let have = self.epoch();
        let mut incoming = self.incoming.lock();
        let incrementals = maps
            .incrementals
            .map(|(epoch, bytes)| (epoch, false, bytes));
        let full = maps.full.map(|(epoch, bytes)| (epoch, true, bytes));
        let news = Iterator::chain(incrementals, full);
        for (epoch, full, bytes) in news.filter(|(epoch, ..)| *epoch > have) {
            incoming.newest = incoming.newest.max(epoch);
            if incoming.push(epoch, full, bytes).is_err() {
                // The gap is seen when the maps are taken over.
                break;
            }
        }
        incoming.newest = incoming.newest.max(maps.newest);
        drop(incoming);
        self.kick(0);
    }

    /// The maps that arrived.
    pub(super) fn arrived_maps(&self, timers: &mut Timers) -> Arrived {
        let mut incoming = self.incoming.lock();
        incoming.bytes = 0;
        // What an OSD told of counts once: it has us ask a monitor.
        let newest = core::mem::take(&mut incoming.newest);
        if let Some(answer) = incoming.answer.take() {
            timers.newest_told(answer);
        }
        Arrived {
            blobs: core::mem::take(&mut incoming.blobs),
            newest: newest.max(timers.newest_epoch()),
        }
    }

    /// Takes over each of the maps that lead on from ours, and has requests leave where they no longer belong.
    ///
    /// It must be each: an OSD forgets the requests of a group that it did not serve for a single epoch.
    pub(super) fn take_over_maps(self: &Arc<Self>, arrived: Arrived) {
        for blob in &arrived.blobs {
            let current = self.osdmap();
            match next_map(current.as_deref(), blob) {
                Ok(None) => {}
                Ok(Some(map)) => {
                    let skipped = current.is_some_and(|c| c.epoch().wrapping_add(1) != blob.epoch);
                    if self.publish(map, skipped).is_err() {
                        pr_warn!("no memory for an OSD map\n");
                        break;
                    }
                }
                Err(e) => {
                    pr_err!("bad OSD map {}: {}\n", blob.epoch, e);
                    break;
                }
            }
        }
        if arrived.newest > self.epoch() {
            self.want_map.store(1, Relaxed);
        }
    }

    /// Makes `map` the current one. `skipped`: there were others between it and ours.
    #[inline(never)]
    fn publish(self: &Arc<Self>, mut map: KBox<OsdMap>, skipped: bool) -> Result {
        self.locate(&mut map)?;
        let map = Arc::new(PlacedMap::new(KBox::into_inner(map))?, GFP_KERNEL)?;
        let epoch = map.map().epoch();
        let listed = self.is_listed(map.map());
        let moves = self.moves.lock();
        let mut slot = self.map.lock();
        let old = slot.replace(map.clone());
        self.epoch.store(epoch, Release);
        drop(slot);
        drop(old);
        self.mon.got_osdmap(epoch);

        for osd in 0..self.session_slots() {
            let Some(session) = self.session(osd) else {
                continue;
            };
            if session.is_gone(map.map(), self.config.msgr2) {
                self.close_session(&session);
            } else {
                let abort = self.config.abort_on_full;
                let dropped = |req: &OsdRequest| skipped || req.may_be_dropped(map.map());
                session.evict(false, |req| dropped(req) || req.must_leave(&map, abort));
            }
        }
        drop(moves);
        if listed {
            self.end_writes();
        }
        self.look_after_watches(map.map(), boot_ns());
        self.look_after_notifications(map.map());
        Ok(())
    }
}

impl OsdClient {
    /// Has `map` know how near its OSDs are to us, if we know where we are.
    fn locate(&self, map: &mut OsdMap) -> Result {
        let here = &self.config.location;
        if here.is_empty() {
            return Ok(());
        }
        let is_here = |kind: &[u8], name: &[u8]| {
            here.iter()
                .any(|l| &*l.bucket_type == kind && &*l.bucket == name)
        };
        map.locate(is_here).map_err(ProtoError::to_errno)
    }
}

/// The map that `blob` makes of ours, if it leads on from there.
fn next_map(ours: Option<&OsdMap>, blob: &Blob) -> ProtoResult<Option<KBox<OsdMap>>> {
    let here = ours.map_or(0, OsdMap::epoch);
    if blob.epoch <= here {
        return Ok(None);
    }
    if blob.full {
        let map = decoded(&blob.bytes)?;
        if ours.is_some_and(|ours| ours.fsid() != map.fsid()) {
            return Err(ProtoError::value("osdmap: fsid", blob.epoch.into()));
        }
        return Ok(Some(map));
    }
    match ours {
        Some(ours) if blob.epoch == here.wrapping_add(1) => {
            Ok(Some(applied(copied(ours)?, &blob.bytes)?))
        }
        _ => Ok(None),
    }
}

// Maps take kilobytes of stack on their way to the heap; apart, these take them one after another.

#[inline(never)]
fn decoded(bytes: &[u8]) -> ProtoResult<KBox<OsdMap>> {
    Ok(KBox::new(OsdMap::decode(bytes, crc32c)?, GFP_KERNEL)?)
}

#[inline(never)]
fn copied(map: &OsdMap) -> ProtoResult<KBox<OsdMap>> {
    Ok(KBox::new(map.try_clone()?, GFP_KERNEL)?)
}

#[inline(never)]
fn applied(base: KBox<OsdMap>, bytes: &[u8]) -> ProtoResult<KBox<OsdMap>> {
    let incremental = Incremental::decode(bytes, crc32c)?;
    let next = KBox::into_inner(base).apply(&incremental)?;
    Ok(KBox::new(next, GFP_KERNEL)?)
}
