// SPDX-License-Identifier: GPL-2.0-only

//! A map with what was found out by it: the primary of each group that was asked for, so that CRUSH is
//! evaluated once for a group and epoch, not for each request.

use crate::proto::error::ProtoResult;
use crate::proto::osdmap::{OsdMap, PgId, Pool, Primary};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, SetOnce,
    },
};

/// Most groups of a pool for which there is a table (8 bytes each).
const TABLE_MAX: u32 = 1 << 17;

/// What is known of the groups of a pool, by seed: [`Entry`].
type Table = KVVec<Atomic<u64>>;

/// A map, and the primaries known by it.
///
/// # Invariants
///
/// There are as many tables as pools, in the same order. What a table has was computed by the map.
pub(super) struct PlacedMap {
    map: Arc<OsdMap>,
    tables: KVec<SetOnce<Table>>,
}

impl PlacedMap {
    /// A map by which nothing is known yet. Allocates.
    pub(super) fn new(map: OsdMap) -> Result<Self> {
        let mut tables = KVec::with_capacity(map.pools().len(), GFP_KERNEL)?;
        for _ in map.pools() {
            tables.push(SetOnce::new(), GFP_KERNEL)?;
        }
        // INVARIANT: One for each pool, and empty.
        Ok(Self {
            map: Arc::new(map, GFP_KERNEL)?,
            tables,
        })
    }

    /// The map.
    pub(super) fn map(&self) -> &Arc<OsdMap> {
        &self.map
    }

    /// The primary of a group of `pool`, one of this map's; `None` if it has none. Fails if the group cannot be
    /// placed. Does not sleep; if there is no memory it takes longer.
    pub(super) fn primary(&self, pool: &Pool, pg: PgId) -> ProtoResult<Option<Primary>> {
        let entry = self.entry(pool, pg);
        if let Some(known) = entry.and_then(|e| unpack(e.load(Relaxed))) {
            return Ok(known);
        }
        let found = self.map.pg_to_up_acting(pg)?.primary(pool);
        if let Some(entry) = entry {
            // A number by itself: whoever sees it has all of it.
            entry.store(pack(found), Relaxed);
        }
        Ok(found)
    }

    fn entry(&self, pool: &Pool, pg: PgId) -> Option<&Atomic<u64>> {
        let pools = self.map.pools();
        let i = pools.binary_search_by_key(&pool.id, |p| p.id).ok()?;
        let slot = self.tables.get(i)?;
        if let Some(table) = slot.as_ref() {
            return table.get(pg.seed as usize);
        }
        if pool.pg_num > TABLE_MAX {
            return None;
        }
        let flags = GFP_NOWAIT | __GFP_NOWARN;
        let mut table = Table::with_capacity(pool.pg_num as usize, flags).ok()?;
        for _ in 0..pool.pg_num {
            table.push(Atomic::new(0), flags).ok()?;
        }
        // Another task may have been faster.
        let _first = slot.populate(table);
        slot.as_ref()?.get(pg.seed as usize)
    }
}

/// An entry of a table: 0 as long as nothing is known.
const KNOWN: u64 = 1 << 63;
const HAS_PRIMARY: u64 = 1 << 62;
const HAS_RANK: u64 = 1 << 61;

fn pack(found: Option<Primary>) -> u64 {
    let Some(Primary { osd, shard, rank }) = found else {
        return KNOWN;
    };
    let rank = rank.map_or(0, |rank| HAS_RANK | u64::from(rank) << 40);
    let shard = u64::from(shard.to_le_bytes()[0]) << 32;
    KNOWN | HAS_PRIMARY | rank | shard | u64::from(osd)
}

/// `None` if nothing is known.
fn unpack(entry: u64) -> Option<Option<Primary>> {
    if entry & KNOWN == 0 {
        return None;
    }
    let [a, b, c, d, shard, rank, ..] = entry.to_le_bytes();
    let primary = Primary {
        osd: u32::from_le_bytes([a, b, c, d]),
        shard: i8::from_le_bytes([shard]),
        rank: (entry & HAS_RANK != 0).then_some(rank),
    };
    Some((entry & HAS_PRIMARY != 0).then_some(primary))
}
