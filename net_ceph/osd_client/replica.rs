// SPDX-License-Identifier: GPL-2.0-only

//! Reads from a replica that is not the primary, if the user wants that (Linux `net/ceph/osd_client.c`,
//! `calc_target`; Ceph `doc/man/8/rbd.rst`, `read_from_replica`).
//!
//! A replica that cannot answer, as it lacks the object or has a write to it that is not known to be
//! stable, says `EAGAIN`; then the primary is asked.

use crate::abstractions::crypto::random_u64;
use crate::proto::error::ProtoResult;
use crate::proto::osd_op::flags;
use crate::proto::osdmap::{Interval, OsdMap, OsdSet, PgId, Pool, PoolKind};

/// The first release whose replicas know what they must not answer, by number (15: octopus).
const RELEASE_MIN: u8 = 15;

/// The flags with which a read may go to a replica.
pub(super) const ANY: u32 = flags::BALANCE_READS | flags::LOCALIZE_READS;

/// The replica that a read goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) osd: u32,
    /// Stands for the group's interval. A replica drops what was sent to it before the one that it knows, and counts on it
    /// being sent again (Ceph `src/osd/PG.cc`, `PG::can_discard_op`): also where the OSDs are the same.
    interval: u64,
}

/// The replica that a request with the flags `request_flags` goes to; `None`: the primary, which is `primary`.
/// `kept`: the one it goes to already, to be kept if it can be.
pub(super) fn choose(
    map: &OsdMap,
    (pool, pg, primary): (&Pool, PgId, u32),
    request_flags: u32,
    kept: Option<Replica>,
) -> ProtoResult<Option<Replica>> {
    let may = request_flags & ANY != 0
        && request_flags & flags::WRITE == 0
        && pool.kind == PoolKind::Replicated
        && map.require_osd_release() >= RELEASE_MIN;
    if !may {
        return Ok(None);
    }
    let interval = map.interval(pg)?;
    let osds = &interval.placement.acting;
    let interval = fingerprint(&interval);
    if kept.is_some_and(|kept| kept.interval == interval) {
        return Ok(kept);
    }
    let osd = if request_flags & flags::BALANCE_READS != 0 {
        any(osds, random_u64())
    } else {
        nearest(map, osds)
    };
    let osd = osd.filter(|&osd| osd != primary);
    Ok(osd.map(|osd| Replica { osd, interval }))
}

/// One of them.
fn any(osds: &OsdSet, random: u64) -> Option<u32> {
    let i = random.checked_rem(osds.len() as u64)?;
    u32::try_from(*osds.get(i as usize)?).ok()
}

/// The nearest; of several the first, as the primary is.
fn nearest(map: &OsdMap, osds: &OsdSet) -> Option<u32> {
    let ids = osds.iter().filter_map(|&osd| u32::try_from(osd).ok());
    ids.min_by_key(|&osd| map.locality(osd).unwrap_or(u32::MAX))
}

/// A number that differs for different intervals, as good as always (the hash FNV-1a). PGs that split or merge are
/// looked at elsewhere.
fn fingerprint(of: &Interval) -> u64 {
    let Interval {
        placement,
        size,
        min_size,
        pg_num: _,
        pg_num_pending,
        peering_crush,
        sort_bitwise,
        recovery_deletes,
    } = of;
    let osds = placement.up.iter().chain(placement.acting.iter());
    let osds = osds.map(|&osd| osd as u32);
    let lead = [placement.up_primary, placement.acting_primary];
    let lead = lead.into_iter().map(|osd| osd.unwrap_or(u32::MAX));
    let flags = u32::from(*sort_bitwise) << 1 | u32::from(*recovery_deletes);
    let other = [
        placement.up.len() as u32,
        *size,
        *min_size,
        *pg_num_pending,
        flags,
    ];
    let crush = peering_crush.iter().flatten().copied();
    let words = osds.chain(lead).chain(other).chain(crush);
    let bytes = words.flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
