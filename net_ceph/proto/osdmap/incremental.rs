// SPDX-License-Identifier: GPL-2.0-only

//! The difference between two epochs, and how a map takes it in (Ceph `src/osd/OSDMap.cc`,
//! `OSDMap::Incremental` and `OSDMap::apply_incremental`).

use super::super::crush::CrushMap;
use super::super::crypto::Crc32c;
use super::super::error::{ProtoError, ProtoResult};
use super::super::table::skip_each;
use super::super::types::{Fsid, Timespec};
use super::super::wire::Decoder;
use super::blocklist::{decode_entries, Entry};
use super::decode::{
    decode_pools, decode_state, for_names, osd_count, skip_addrs, skip_profiles, skip_snaps,
    Wrapped, MAX_POOLS,
};
use super::pg_table::{PgTable, Shape};
use super::{osd_state, OsdAddrs, OsdMap, Pool, AFFINITY_DEFAULT};
use crate::proto::sort::{sort, sort_by_key};
use kernel::prelude::*;

/// Stands for no change of the required OSD release.
const SAME_RELEASE: u8 = 0xff;

/// A decoded difference. It borrows the message it came in.
pub struct Incremental<'a> {
    fsid: Fsid,
    epoch: u32,
    modified: Timespec,
    pool_max: Option<i64>,
    flags: Option<u32>,
    max_osd: Option<usize>,
    /// If not empty, the whole new map; nothing else counts then.
    full: &'a [u8],
    /// If not empty, a new CRUSH map.
    crush: &'a [u8],
    crc32c: Crc32c,
    pools: KVec<Pool>,
    names: KVVec<(u64, &'a [u8])>,
    old_pools: KVVec<u64>,
    up: KVVec<(u32, OsdAddrs)>,
    states: KVVec<(u32, u32)>,
    weights: KVVec<(u32, u32)>,
    affinities: KVVec<(u32, u32)>,
    pg_temp: PgTable,
    primary_temp: PgTable,
    pg_upmap: [PgTable; 2],
    pg_upmap_items: [PgTable; 2],
    pg_upmap_primaries: [PgTable; 2],
    blocklist: [KVVec<Entry>; 2],
    range_blocklist: [KVVec<Entry>; 2],
    require_osd_release: Option<u8>,
}

impl<'a> Incremental<'a> {
    /// Decodes a difference and checks its checksum. May sleep.
    pub fn decode(buf: &'a [u8], crc32c: Crc32c) -> ProtoResult<Self> {
        let mut parts = Wrapped::open(buf, crc32c, "osdmap incremental")?;
        let (v, d) = (parts.client_v, &mut parts.client);
        let fsid = Fsid::decode(d, "osdmap incremental: fsid")?;
        let epoch = d.u32("osdmap incremental: epoch")?;
        let modified = Timespec::decode(d, "osdmap incremental: modified")?;
        // Negative values mean no change.
        let pool_max = d.i64("osdmap incremental: pool_max")?;
        let flags = d.i32("osdmap incremental: flags")?;
        let full = d.blob(usize::MAX, "osdmap incremental: full map")?;
        let crush = d.blob(usize::MAX, "osdmap incremental: crush map")?;
        let max_osd = match u32::try_from(d.i32("osdmap incremental: max_osd")?) {
            Ok(n) => Some(osd_count(n)?),
            Err(_) => None,
        };
        let pools = decode_pools(d)?;
        let mut names = KVVec::new();
        for_names(d, |id, name| Ok(names.push((id, name), GFP_KERNEL)?))?;
        let mut old_pools = KVVec::new();
        for _ in 0..d.u32("osdmap incremental: old pools")? {
            old_pools.push(d.u64("osdmap incremental: old pool")?, GFP_KERNEL)?;
        }
        sort(&mut old_pools);
        let up = by_osd(d, OsdAddrs::decode)?;
        let states = by_osd(d, |d| decode_state(d, v >= 5))?;
        let word = |d: &mut Decoder<'_>| d.u32("osdmap incremental: weight");
        let weights = by_osd(d, word)?;
        let pg_temp = PgTable::decode(d, Shape::List, "osdmap incremental: pg_temp")?;
        let mut primary_temp = PgTable::new();
        if v >= 1 {
            let step = "osdmap incremental: primary_temp";
            primary_temp = PgTable::decode(d, Shape::One, step)?;
        }
        let mut affinities = KVVec::new();
        if v >= 2 {
            affinities = by_osd(d, word)?;
        }
        if v >= 3 {
            let step = "osdmap incremental: old erasure code profiles";
            skip_profiles(d)?;
            skip_each(d, step, |d| d.skip_blob(step))?;
        }
        let changes = |d: &mut _, since, shape, step| {
            Ok::<_, ProtoError>(match v >= since {
                true => [
                    PgTable::decode(d, shape, step)?,
                    PgTable::decode(d, Shape::Key, step)?,
                ],
                false => [PgTable::new(), PgTable::new()],
            })
        };
        let pg_upmap = changes(d, 4, Shape::List, "osdmap incremental: pg_upmap")?;
        let pg_upmap_items = changes(d, 4, Shape::Pairs, "osdmap incremental: pg_upmap_items")?;
        if v >= 6 {
            skip_snaps(d)?;
            skip_snaps(d)?;
        }
        if v >= 8 {
            d.skip(2 * Timespec::LEN, "osdmap incremental: last changes")?;
        }
        let pg_upmap_primaries = changes(d, 9, Shape::One, "osdmap incremental: upmap primaries")?;

        let ForOsds {
            blocklist,
            range_blocklist,
            require_osd_release,
        } = ForOsds::decode(parts.osd_v, &mut parts.osd)?;
        Ok(Self {
            fsid,
            epoch,
            modified,
            pool_max: (pool_max >= 0).then_some(pool_max),
            flags: u32::try_from(flags).ok(),
            max_osd,
            full,
            crush,
            crc32c,
            pools,
            names,
            old_pools,
            up,
            states,
            weights,
            affinities,
            pg_temp,
            primary_temp,
            pg_upmap,
            pg_upmap_items,
            pg_upmap_primaries,
            blocklist,
            range_blocklist,
            require_osd_release,
        })
    }

    /// The cluster.
    pub const fn fsid(&self) -> &Fsid {
        &self.fsid
    }

    /// The epoch to which it leads.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl OsdMap {
    /// The map of the next epoch. Only what changes is rebuilt. To keep this one too, apply to a
    /// [copy](Self::try_clone). Fails if `inc` does not belong to this map's cluster and epoch. May sleep.
    pub fn apply(mut self, inc: &Incremental<'_>) -> ProtoResult<Self> {
        if inc.epoch.checked_sub(1) != Some(self.epoch) {
            let step = "osdmap incremental: epoch";
            return Err(ProtoError::value(step, inc.epoch.into()));
        }
        if inc.fsid != self.fsid {
            return Err(ProtoError::value("osdmap incremental: fsid", 0));
        }
        if !inc.full.is_empty() {
            let map = Self::decode(inc.full, inc.crc32c)?;
            return match map.epoch == inc.epoch && map.fsid == inc.fsid {
                true => Ok(map),
                false => Err(ProtoError::value(
                    "osdmap incremental: epoch of its full map",
                    map.epoch.into(),
                )),
            };
        }
        self.epoch = inc.epoch;
        self.modified = inc.modified;
        self.flags = inc.flags.unwrap_or(self.flags);
        self.pool_max = inc.pool_max.unwrap_or(self.pool_max);
        if let Some(max_osd) = inc.max_osd {
            self.resize(max_osd)?;
        }
        self.apply_pools(inc)?;
        self.apply_osds(inc)?;
        self.pg_temp.apply(&inc.pg_temp, |osds| osds.is_empty())?;
        self.primary_temp
            .apply(&inc.primary_temp, |osd| osd == [-1])?;
        for (table, [new, old]) in [
            (&mut self.pg_upmap, &inc.pg_upmap),
            (&mut self.pg_upmap_items, &inc.pg_upmap_items),
            (&mut self.pg_upmap_primaries, &inc.pg_upmap_primaries),
        ] {
            table.apply(new, |_| false)?;
            table.apply(old, |_| true)?;
        }
        let [new, old] = &inc.blocklist;
        self.blocklist.apply(new, old)?;
        let [new, old] = &inc.range_blocklist;
        self.range_blocklist.apply(new, old)?;
        self.require_osd_release = inc.require_osd_release.unwrap_or(self.require_osd_release);
        if !inc.crush.is_empty() {
            self.crush = CrushMap::decode(inc.crush)?;
        }
        Ok(self)
    }

    /// Changes the number of OSD ids. New ones are not in use.
    fn resize(&mut self, max_osd: usize) -> ProtoResult {
        self.states.resize(max_osd, 0, GFP_KERNEL)?;
        self.weights.resize(max_osd, 0, GFP_KERNEL)?;
        self.addrs.resize(max_osd, OsdAddrs::BLANK, GFP_KERNEL)?;
        self.affinities.truncate(max_osd);
        Ok(())
    }

    fn apply_pools(&mut self, inc: &Incremental<'_>) -> ProtoResult {
        let known = self.pools.len();
        for pool in &inc.pools {
            let mut new = pool.try_clone()?;
            match self.known_place(known, new.id) {
                Some(old) => {
                    new.take_name(old);
                    *old = new;
                }
                None => self.pools.push(new, GFP_KERNEL)?,
            }
        }
        if self.pools.len() > MAX_POOLS {
            let count = self.pools.len() as u64;
            return Err(ProtoError::value("osdmap incremental: pools", count));
        }
        sort_by_key(&mut self.pools, |p| p.id);
        for &(id, name) in &inc.names {
            if let Some(pool) = self.known_place(self.pools.len(), id) {
                pool.rename(name)?;
            }
        }
        if !inc.old_pools.is_empty() {
            self.pools
                .retain(|p| inc.old_pools.binary_search(&p.id).is_err());
        }
        Ok(())
    }

    /// The pool with this id among the first `known`, which are sorted.
    fn known_place(&mut self, known: usize, id: u64) -> Option<&mut Pool> {
        let pools = self.pools.get_mut(..known)?;
        let i = pools.binary_search_by_key(&id, |p| p.id).ok()?;
        pools.get_mut(i)
    }

    /// Weights first, then states, then OSDs that came up: an OSD may be destroyed and come back in one
    /// step.
    fn apply_osds(&mut self, inc: &Incremental<'_>) -> ProtoResult {
        for &(osd, weight) in &inc.weights {
            *slot(&mut self.weights, osd)? = weight;
            if weight != 0 {
                let state = slot(&mut self.states, osd)?;
                *state |= osd_state::EXISTS;
                *state &= !(osd_state::AUTOOUT | osd_state::NEW);
            }
        }
        for &(osd, affinity) in &inc.affinities {
            self.set_affinity(osd, affinity)?;
        }
        for &(osd, changed) in &inc.states {
            // What is zero on the wire was once the only change there was.
            let changed = if changed == 0 { osd_state::UP } else { changed };
            let state = slot(&mut self.states, osd)?;
            if *state & changed & osd_state::EXISTS != 0 {
                *state = 0;
                *slot(&mut self.addrs, osd)? = OsdAddrs::BLANK;
                if self.osd_affinity(osd) != AFFINITY_DEFAULT {
                    self.set_affinity(osd, AFFINITY_DEFAULT)?;
                }
            } else {
                *state ^= changed;
            }
        }
        for &(osd, addrs) in &inc.up {
            *slot(&mut self.states, osd)? |= osd_state::EXISTS | osd_state::UP;
            *slot(&mut self.addrs, osd)? = addrs;
        }
        Ok(())
    }

    fn set_affinity(&mut self, osd: u32, affinity: u32) -> ProtoResult {
        let max_osd = self.states.len();
        self.affinities
            .resize(max_osd, AFFINITY_DEFAULT, GFP_KERNEL)?;
        *slot(&mut self.affinities, osd)? = affinity;
        Ok(())
    }
}

/// An OSD's place in a table.
fn slot<T>(table: &mut [T], osd: u32) -> ProtoResult<&mut T> {
    table.get_mut(osd as usize).ok_or(ProtoError::value(
        "osdmap incremental: OSD id",
        u64::from(osd),
    ))
}

/// Reads a map from OSD to something. May sleep.
fn by_osd<T>(
    d: &mut Decoder<'_>,
    mut value: impl FnMut(&mut Decoder<'_>) -> ProtoResult<T>,
) -> ProtoResult<KVVec<(u32, T)>> {
    let count = d.u32("osdmap incremental: OSDs")?;
    let mut list = KVVec::new();
    for _ in 0..count {
        let osd = d.u32("osdmap incremental: OSD")?;
        list.push((osd, value(d)?), GFP_KERNEL)?;
    }
    Ok(list)
}

/// What the section for OSDs has for clients.
struct ForOsds {
    /// What it gains and loses.
    blocklist: [KVVec<Entry>; 2],
    range_blocklist: [KVVec<Entry>; 2],
    require_osd_release: Option<u8>,
}

impl ForOsds {
    /// Reads the section, whose version is `v`. May sleep.
    fn decode(v: u8, d: &mut Decoder<'_>) -> ProtoResult<Self> {
        let step = "osdmap incremental: OSD section";
        let pairs = |d: &mut Decoder<'_>, len| skip_each(d, step, |d| d.skip(len, step));
        skip_addrs(d, 4)?;
        pairs(d, 4 + 4)?; // up through
        pairs(d, 4 + 8)?; // last clean intervals
        pairs(d, 4 + 4)?; // lost
        let both = |d: &mut Decoder<'_>, step| {
            Ok::<_, ProtoError>([
                decode_entries(d, Timespec::LEN, step)?,
                decode_entries(d, 0, step)?,
            ])
        };
        let mut this = Self {
            blocklist: both(d, "osdmap incremental: blocklist")?,
            range_blocklist: [KVVec::new(), KVVec::new()],
            require_osd_release: None,
        };
        if v < 6 {
            return Ok(this);
        }
        skip_addrs(d, 4)?;
        d.skip_blob(step)?; // cluster snapshot
        pairs(d, 4 + 16)?; // uuids
        skip_each(d, step, |d| {
            d.skip(4, step)?;
            d.skip_section(step) // osd_xinfo_t
        })?;
        skip_addrs(d, 4)?;
        // Features; three ratios; the least client release.
        d.skip(8 + 3 * 4 + 1, step)?;
        let release = d.u8("osdmap incremental: OSD release")?;
        this.require_osd_release = (release != SAME_RELEASE).then_some(release);
        if v < 11 {
            return Ok(this);
        }
        pairs(d, 4 + 4)?; // CRUSH node flags
        pairs(d, 4 + 4)?; // device class flags
        d.skip(1 + 4 * 4 + 1, step)?; // stretch mode
        this.range_blocklist = both(d, "osdmap incremental: range blocklist")?;
        Ok(this)
    }
}
