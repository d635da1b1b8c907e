// SPDX-License-Identifier: GPL-2.0-only

//! From a PG to its OSDs (Ceph `src/osd/OSDMap.cc`, `OSDMap::_pg_to_up_acting_osds`).

use super::super::crush::hash::hash2;
use super::super::error::{ProtoError, ProtoResult};
use super::{map_flag, Interval, OsdMap, OsdSet, PgId, Placement, Pool};
use super::{AFFINITY_DEFAULT, ITEM_NONE};

impl OsdMap {
    /// Where a PG lives. Fails if its pool is unknown, wider than [`MAX_PG_SIZE`](super::MAX_PG_SIZE), or
    /// placed by a rule that we cannot evaluate. Neither allocates nor sleeps.
    pub fn pg_to_up_acting(&self, pg: PgId) -> ProtoResult<Placement> {
        let pool = self.known_pool(pg)?;
        let seed = pool.placement_seed(pg);
        let raw = self.raw_osds(pool, seed)?;
        let raw = self.upmapped(pg, raw)?;
        let mut up = raw.filter(pool.can_shift_osds(), |osd| self.is_up(osd));
        let mut up_primary = up.first();
        if let Some(place) = self.preferred_place(seed, &up) {
            up_primary = up.get(place).and_then(|&osd| u32::try_from(osd).ok());
            if pool.can_shift_osds() {
                if let Some(head) = up.as_mut_slice().get_mut(..=place) {
                    head.rotate_right(1);
                }
            }
        }

        let temp = OsdSet::new(self.pg_temp.get(pg).unwrap_or(&[]))?;
        let temp = temp.filter(pool.can_shift_osds(), |osd| self.is_up(osd));
        let temp_primary = match self.primary_temp.get(pg) {
            Some(&[osd]) if self.is_up(osd) => u32::try_from(osd).ok(),
            _ => temp.first(),
        };
        let (acting, acting_primary) = if temp.is_empty() {
            (up, temp_primary.or(up_primary))
        } else {
            (temp.by_shard(pool), temp_primary)
        };
        Ok(Placement {
            up,
            up_primary,
            acting,
            acting_primary,
        })
    }

    /// Where a PG lives, and what else makes its interval. As [`pg_to_up_acting`](Self::pg_to_up_acting).
    pub fn interval(&self, pg: PgId) -> ProtoResult<Interval> {
        let pool = self.known_pool(pg)?;
        Ok(Interval {
            placement: self.pg_to_up_acting(pg)?,
            size: pool.size,
            min_size: pool.min_size,
            pg_num: pool.pg_num,
            pg_num_pending: pool.pg_num_pending,
            peering_crush: pool.peering_crush,
            sort_bitwise: self.has_flag(map_flag::SORTBITWISE),
            recovery_deletes: self.has_flag(map_flag::RECOVERY_DELETES),
        })
    }

    fn known_pool(&self, pg: PgId) -> ProtoResult<&Pool> {
        self.pool(pg.pool)
            .ok_or(ProtoError::value("osdmap: pool of a pg", pg.pool))
    }

    /// What CRUSH says, without OSDs that no longer exist.
    fn raw_osds(&self, pool: &Pool, seed: u32) -> ProtoResult<OsdSet> {
        let raw = OsdSet::fill(pool.size as usize, |out| {
            let index = pool.id as i64;
            self.crush
                .do_rule(pool.crush_rule, seed, &self.weights, index, out)
        })?;
        let exists = |osd| u32::try_from(osd).is_ok_and(|osd| self.osd_exists(osd));
        Ok(raw.filter(pool.can_shift_osds(), exists))
    }

    /// Whether an OSD of a set exists and runs.
    fn is_up(&self, osd: i32) -> bool {
        u32::try_from(osd).is_ok_and(|osd| self.osd_is_up(osd))
    }

    /// Whether an OSD of an exception is marked out. An id that the map does not know is not.
    fn is_marked_out(&self, osd: i32) -> bool {
        let weight = usize::try_from(osd).ok().and_then(|i| self.weights.get(i));
        osd != ITEM_NONE && weight == Some(&0)
    }

    /// The raw set with the administrator's exceptions (Ceph `OSDMap::_apply_upmap`).
    fn upmapped(&self, pg: PgId, mut raw: OsdSet) -> ProtoResult<OsdSet> {
        if let Some(osds) = self.pg_upmap.get(pg) {
            // A set with an OSD that is out is void, and so is all the rest of this.
            if osds.iter().any(|&osd| self.is_marked_out(osd)) {
                return Ok(raw);
            }
            raw = OsdSet::new(osds)?;
        }
        for pair in self.pg_upmap_items.get(pg).unwrap_or(&[]).chunks_exact(2) {
            let &[from, to] = pair else { continue };
            if raw.contains(&to) || self.is_marked_out(to) {
                continue;
            }
            if let Some(slot) = raw.as_mut_slice().iter_mut().find(|osd| **osd == from) {
                *slot = to;
            }
        }
        if let Some(&[primary]) = self.pg_upmap_primaries.get(pg) {
            let is_in = u32::try_from(primary).is_ok_and(|osd| self.osd_is_in(osd));
            match raw.iter().position(|&osd| osd == primary) {
                Some(place) if is_in => raw.as_mut_slice().swap(0, place),
                _ => {}
            }
        }
        Ok(raw)
    }

    /// The place of the OSD that primary affinity prefers, if any OSD of the set has an opinion (Ceph
    /// `OSDMap::_apply_primary_affinity`). Each OSD declines a fixed part of its PGs; if all decline,
    /// the first one serves.
    fn preferred_place(&self, seed: u32, up: &OsdSet) -> Option<usize> {
        let affinity = |osd: i32| match u32::try_from(osd) {
            Ok(osd) => self.osd_affinity(osd),
            Err(_) => AFFINITY_DEFAULT,
        };
        let present = |&(_, &osd): &(usize, &i32)| osd != ITEM_NONE;
        let mut osds = up.iter().enumerate().filter(present);
        if osds
            .clone()
            .all(|(_, &osd)| affinity(osd) == AFFINITY_DEFAULT)
        {
            return None;
        }
        let accepts = |osd: i32| {
            let share = affinity(osd);
            share >= AFFINITY_DEFAULT || hash2(seed, osd as u32) >> 16 < share
        };
        let fallback = osds.clone().next();
        let (place, _) = osds.find(|&(_, &osd)| accepts(osd)).or(fallback)?;
        Some(place)
    }
}
