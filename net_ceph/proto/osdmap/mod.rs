// SPDX-License-Identifier: GPL-2.0-only

//! The OSD map: pools, OSDs, and where each placement group lives at one epoch.
//!
//! [`OsdMap`] is a value: whoever holds one replaces it whole. It keeps what a client needs of the
//! encoded map (Ceph `src/osd/OSDMap.cc`) and passes over the rest. [`Incremental`] is the difference
//! to the next epoch.

mod blocklist;
mod decode;
mod flags;
mod incremental;
mod name_hash;
mod osd_set;
mod pg;
mod pg_table;
mod placement;
mod pool;

use super::crush::{CrushMap, Localities};
use super::error::ProtoResult;
use super::table::copy_of;
use super::types::{EntityAddr, Fsid, Timespec};
use kernel::prelude::*;
use pg_table::PgTable;

pub use super::crush::ITEM_NONE;
pub use flags::{map_flag, osd_state, pool_flag, AFFINITY_DEFAULT, WEIGHT_IN};
pub use incremental::Incremental;
pub use name_hash::ObjectHash;
pub use osd_set::{Interval, OsdSet, Placement, Primary, MAX_PG_SIZE, NO_SHARD};
pub use pg::{pg_mask, PgId, RawPg};
pub use pool::{Pool, PoolKind};

/// More OSDs than any cluster has: what an incremental may make of the tables, whose size it only names.
const MAX_OSDS: usize = 1 << 17;

/// The addresses at which an OSD serves clients.
#[derive(Clone, Copy)]
struct OsdAddrs {
    v1: EntityAddr,
    v2: EntityAddr,
}

impl OsdAddrs {
    const BLANK: Self = Self {
        v1: EntityAddr::BLANK,
        v2: EntityAddr::BLANK,
    };
}

/// The map of one epoch.
pub struct OsdMap {
    fsid: Fsid,
    epoch: u32,
    modified: Timespec,
    pool_max: i64,
    flags: u32,
    /// Ascending by id.
    pools: KVec<Pool>,
    /// [`osd_state`] bits, by OSD. The length of this and of the next two is the map's `max_osd`.
    states: KVVec<u32>,
    /// 16.16: 0 is out, `0x10000` is in.
    weights: KVVec<u32>,
    addrs: KVVec<OsdAddrs>,
    /// 16.16, by OSD; OSDs beyond it have the default.
    affinities: KVVec<u32>,
    pg_temp: PgTable,
    primary_temp: PgTable,
    pg_upmap: PgTable,
    pg_upmap_items: PgTable,
    pg_upmap_primaries: PgTable,
    crush: CrushMap,
    /// As of the last [`locate`](OsdMap::locate).
    localities: Localities,
    blocklist: blocklist::List,
    range_blocklist: blocklist::List,
    /// The release whose features all OSDs must have, by number (13: mimic, 14: nautilus...); 0: not known.
    require_osd_release: u8,
}

impl OsdMap {
    /// Copies the map: one allocation and copy for each table. May sleep.
    pub fn try_clone(&self) -> ProtoResult<Self> {
        let mut pools = KVec::with_capacity(self.pools.len(), GFP_KERNEL)?;
        for pool in &self.pools {
            pools.push(pool.try_clone()?, GFP_KERNEL)?;
        }
        Ok(Self {
            fsid: self.fsid,
            epoch: self.epoch,
            modified: self.modified,
            pool_max: self.pool_max,
            flags: self.flags,
            pools,
            states: copy_of(&self.states)?,
            weights: copy_of(&self.weights)?,
            addrs: copy_of(&self.addrs)?,
            affinities: copy_of(&self.affinities)?,
            pg_temp: self.pg_temp.try_clone()?,
            primary_temp: self.primary_temp.try_clone()?,
            pg_upmap: self.pg_upmap.try_clone()?,
            pg_upmap_items: self.pg_upmap_items.try_clone()?,
            pg_upmap_primaries: self.pg_upmap_primaries.try_clone()?,
            crush: self.crush.try_clone()?,
            localities: self.localities.try_clone()?,
            blocklist: self.blocklist.try_clone()?,
            range_blocklist: self.range_blocklist.try_clone()?,
            require_osd_release: self.require_osd_release,
        })
    }

    /// The cluster.
    pub const fn fsid(&self) -> &Fsid {
        &self.fsid
    }

    /// The epoch, from 1 on.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// When the map was made, by a monitor's clock.
    pub const fn modified(&self) -> Timespec {
        self.modified
    }

    /// All [`map_flag`]s.
    pub const fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether a [`map_flag`] is set.
    pub const fn has_flag(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The highest pool id ever given.
    pub const fn pool_max(&self) -> i64 {
        self.pool_max
    }

    /// The number of OSD ids, used or not.
    pub fn max_osd(&self) -> u32 {
        self.states.len() as u32
    }

    /// The pools, ascending by id.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The pool with this id.
    pub fn pool(&self, id: u64) -> Option<&Pool> {
        let i = self.pools.binary_search_by_key(&id, |p| p.id).ok()?;
        self.pools.get(i)
    }

    /// The id of the pool with this name.
    pub fn pool_by_name(&self, name: &str) -> Option<u64> {
        let pool = self.pools.iter().find(|p| p.name() == name)?;
        Some(pool.id)
    }

    /// The name of the pool with this id.
    pub fn pool_name(&self, id: u64) -> Option<&str> {
        self.pool(id).map(Pool::name)
    }

    /// The [`osd_state`] bits; 0 for an id that is not in use.
    pub fn osd_state(&self, osd: u32) -> u32 {
        self.states.get(osd as usize).copied().unwrap_or(0)
    }

    /// The weight, 16.16, with which CRUSH accepts the OSD; 0 is out.
    pub fn osd_weight(&self, osd: u32) -> u32 {
        self.weights.get(osd as usize).copied().unwrap_or(0)
    }

    /// The share, 16.16, of its PGs of which the OSD wants to be the primary.
    pub fn osd_affinity(&self, osd: u32) -> u32 {
        let affinity = self.affinities.get(osd as usize);
        affinity.copied().unwrap_or(AFFINITY_DEFAULT)
    }

    /// Whether the id is in use.
    pub fn osd_exists(&self, osd: u32) -> bool {
        self.osd_state(osd) & osd_state::EXISTS != 0
    }

    /// Whether the OSD runs.
    pub fn osd_is_up(&self, osd: u32) -> bool {
        const BOTH: u32 = osd_state::EXISTS | osd_state::UP;
        self.osd_state(osd) & BOTH == BOTH
    }

    /// Whether CRUSH gives the OSD any data.
    pub fn osd_is_in(&self, osd: u32) -> bool {
        self.osd_weight(osd) != 0
    }

    /// The release whose features all OSDs have, by number (14: nautilus, 15: octopus...); 0: not known.
    pub const fn require_osd_release(&self) -> u8 {
        self.require_osd_release
    }

    /// Finds out how near the OSDs are to the CRUSH buckets for which `is_place` holds, of the names of a
    /// bucket's type and its own. To be done again with each map. May sleep.
    pub fn locate(&mut self, is_place: impl Fn(&[u8], &[u8]) -> bool) -> ProtoResult {
        self.localities = self.crush.localities(self.max_osd(), is_place)?;
        Ok(())
    }

    /// How near the OSD is, as the number of a bucket type: less is nearer. `None`: it is not near, or nobody
    /// [asked](Self::locate).
    pub fn locality(&self, osd: u32) -> Option<u32> {
        self.localities.of(osd)
    }

    /// Where the OSD serves msgr2 (`want_v2`) or msgr1; `None` if it never said.
    pub fn osd_addr(&self, osd: u32, want_v2: bool) -> Option<EntityAddr> {
        let addrs = self.addrs.get(osd as usize)?;
        let addr = if want_v2 { addrs.v2 } else { addrs.v1 };
        addr.sock.is_some().then_some(addr)
    }

    /// Whether the cluster refuses the client instance at this address, whatever protocol it speaks.
    pub fn is_blocklisted(&self, addr: &EntityAddr) -> bool {
        self.blocklist.names(addr) || self.range_blocklist.covers(addr)
    }

    /// The PG of an object at full precision; `None` if there is no such pool. Does not allocate.
    pub fn object_to_pg(&self, pool: u64, namespace: &[u8], name: &[u8]) -> Option<RawPg> {
        Some(self.pool(pool)?.hash_name(namespace, name))
    }

    /// The PG that a full-precision id falls into.
    pub fn raw_pg_to_pg(&self, raw: RawPg) -> Option<PgId> {
        Some(self.pool(raw.pool)?.raw_to_pg(raw))
    }

    /// PGs served by other OSDs than placed, ascending: acting sets.
    pub fn pg_temp(&self) -> impl Iterator<Item = (PgId, &[i32])> {
        self.pg_temp.iter()
    }

    /// PGs with another primary than placed: one OSD each.
    pub fn primary_temp(&self) -> impl Iterator<Item = (PgId, &[i32])> {
        self.primary_temp.iter()
    }

    /// PGs placed by hand: up sets.
    pub fn pg_upmap(&self) -> impl Iterator<Item = (PgId, &[i32])> {
        self.pg_upmap.iter()
    }

    /// PGs of which single OSDs are exchanged by hand: `from, to` one after another.
    pub fn pg_upmap_items(&self) -> impl Iterator<Item = (PgId, &[i32])> {
        self.pg_upmap_items.iter()
    }

    /// PGs whose primary is chosen by hand: one OSD each.
    pub fn pg_upmap_primaries(&self) -> impl Iterator<Item = (PgId, &[i32])> {
        self.pg_upmap_primaries.iter()
    }
}
