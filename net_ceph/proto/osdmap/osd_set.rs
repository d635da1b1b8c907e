// SPDX-License-Identifier: GPL-2.0-only

//! Where a PG lives: sets of OSDs, and what of them decides whether requests are sent again.

use super::super::crush::ITEM_NONE;
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::{PgId, Pool};
use core::ops::Deref;

/// The widest set of OSDs that we place; a pool with more replicas or shards is refused.
pub const MAX_PG_SIZE: usize = super::super::crush::MAX_RESULT;

/// The shard of a PG that has none: every replicated one (Ceph `shard_id_t::NO_SHARD`).
pub const NO_SHARD: i8 = -1;

/// An ordered set of OSDs. In an erasure-coded pool the place is the shard, and a missing OSD leaves a
/// hole, [`ITEM_NONE`].
#[derive(Clone, Copy)]
pub struct OsdSet {
    osds: [i32; MAX_PG_SIZE],
    len: usize,
}

impl OsdSet {
    /// No OSD.
    pub const EMPTY: Self = Self {
        osds: [ITEM_NONE; MAX_PG_SIZE],
        len: 0,
    };

    /// A set of `osds`. Fails if they are more than [`MAX_PG_SIZE`].
    pub fn new(osds: &[i32]) -> ProtoResult<Self> {
        let mut set = Self::EMPTY;
        for &osd in osds {
            set.push(osd)?;
        }
        Ok(set)
    }

    pub(super) fn push(&mut self, osd: i32) -> ProtoResult {
        let slot = self.osds.get_mut(self.len).ok_or(TOO_WIDE)?;
        *slot = osd;
        self.len += 1;
        Ok(())
    }

    /// The places to change.
    pub(super) fn as_mut_slice(&mut self) -> &mut [i32] {
        self.osds.get_mut(..self.len).unwrap_or(&mut [])
    }

    /// Room for `size` places, to be filled from outside and cut to what was.
    pub(super) fn fill(
        size: usize,
        f: impl FnOnce(&mut [i32]) -> ProtoResult<usize>,
    ) -> ProtoResult<Self> {
        let mut set = Self::EMPTY;
        let room = set.osds.get_mut(..size).ok_or(TOO_WIDE)?;
        set.len = f(room)?.min(size);
        Ok(set)
    }

    /// The OSDs for which `keep` holds: the others leave (`shift`) or become holes.
    pub(super) fn filter(&self, shift: bool, keep: impl Fn(i32) -> bool) -> Self {
        let mut set = Self::EMPTY;
        for &osd in self.iter() {
            let osd = match keep(osd) {
                true => osd,
                false if shift => continue,
                false => ITEM_NONE,
            };
            if let Some(slot) = set.osds.get_mut(set.len) {
                *slot = osd;
                set.len += 1;
            }
        }
        set
    }

    /// The first OSD that is not a hole.
    pub(super) fn first(&self) -> Option<u32> {
        let osd = self.iter().find(|&&osd| osd != ITEM_NONE)?;
        u32::try_from(*osd).ok()
    }

    /// The OSDs of an exception by shard: [`Pool::shards_by_primacy`] undone.
    pub(super) fn by_shard(&self, pool: &Pool) -> Self {
        if !pool.has_nonprimary() || self.len != pool.size as usize {
            return *self;
        }
        let mut set = *self;
        for (&osd, shard) in self.iter().zip(pool.shards_by_primacy()) {
            if let Some(slot) = set.as_mut_slice().get_mut(shard) {
                *slot = osd;
            }
        }
        set
    }

    /// The place of an OSD that is the primary; one that has several shards is that with the first that can be.
    fn place(&self, osd: u32, pool: &Pool) -> Option<usize> {
        let has = |place: &usize| {
            let osd_there = self.get(*place).copied().map(i64::from);
            osd_there == Some(i64::from(osd))
        };
        let mut places = 0..self.len;
        let other = places.clone().find(has);
        places
            .find(|place| has(place) && pool.can_be_primary(*place))
            .or(other)
    }
}

const TOO_WIDE: ProtoError = ProtoError::new(
    "osdmap: pg size",
    Reason::TooLong {
        len: MAX_PG_SIZE as u64 + 1,
        max: MAX_PG_SIZE as u64,
    },
);

impl Deref for OsdSet {
    type Target = [i32];
    fn deref(&self) -> &[i32] {
        self.osds.get(..self.len).unwrap_or(&[])
    }
}

impl PartialEq for OsdSet {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for OsdSet {}

impl core::fmt::Debug for OsdSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Where a PG lives at one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The OSDs that CRUSH and the administrator's exceptions give.
    pub up: OsdSet,
    /// The first among them.
    pub up_primary: Option<u32>,
    /// The OSDs that serve now; differs from `up` while data moves.
    pub acting: OsdSet,
    /// The OSD to which clients talk.
    pub acting_primary: Option<u32>,
}

/// The OSD to which clients talk about a PG. An ordinary request must go elsewhere, or again, when any of
/// this changes (Ceph `src/osd/OSDMap.cc`, `primary_changed_broken`, the rule that clients follow).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Primary {
    /// The OSD.
    pub osd: u32,
    /// The shard that it holds, [`NO_SHARD`] in a replicated pool.
    pub shard: i8,
    /// Its place among the acting OSDs, if it is one of them.
    pub rank: Option<u8>,
}

impl Placement {
    /// The acting primary; `None` if there is none, or if it holds no shard of an erasure-coded pool.
    pub fn primary(&self, pool: &Pool) -> Option<Primary> {
        let osd = self.acting_primary?;
        let rank = self
            .acting
            .place(osd, pool)
            .and_then(|i| u8::try_from(i).ok());
        let shard = if pool.can_shift_osds() {
            NO_SHARD
        } else {
            i8::try_from(rank?).ok()?
        };
        Some(Primary { osd, shard, rank })
    }
}

/// What a client compares between two epochs to learn whether a PG began a new interval, in which
/// watches must be made again (Ceph `src/osd/osd_types.cc`, `PastIntervals::is_new_interval`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// Where the PG lives.
    pub placement: Placement,
    /// Replicas or shards.
    pub size: u32,
    /// Replicas or shards needed to serve.
    pub min_size: u32,
    /// PGs of the pool.
    pub pg_num: u32,
    /// What they are about to become.
    pub pg_num_pending: u32,
    /// See [`Pool::peering_crush`].
    pub peering_crush: Option<[u32; 4]>,
    /// [`SORTBITWISE`](super::map_flag::SORTBITWISE).
    pub sort_bitwise: bool,
    /// [`RECOVERY_DELETES`](super::map_flag::RECOVERY_DELETES).
    pub recovery_deletes: bool,
}

impl Interval {
    /// Whether `new` is another interval than this one for `pg`, an id of this one's epoch.
    pub fn is_new(&self, new: &Self, pg: PgId) -> bool {
        let (pending, new_pending) = (self.pg_num_pending, new.pg_num_pending);
        Self {
            pg_num: new.pg_num,
            pg_num_pending: new_pending,
            ..*self
        } != *new
            || pg.is_split(self.pg_num, new.pg_num)
            || pg.is_merged(self.pg_num, new.pg_num)
            // About to be merged, or no longer.
            || pg.is_merged(pending, new_pending)
            || pg.is_merged(new_pending, pending)
    }
}
