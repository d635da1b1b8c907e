// SPDX-License-Identifier: GPL-2.0-only

//! Decoding of a full map (Ceph `src/osd/OSDMap.cc`, `OSDMap::decode`).
//!
//! A wrapper section holds the section for clients, the section for OSDs, and a checksum of both. Of
//! the second only the blocklists are of interest.

use super::super::crush::{CrushMap, Localities};
use super::super::crypto::Crc32c;
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::table::skip_each;
use super::super::types::{addrvec, AddrType, Fsid, Timespec};
use super::super::wire::Decoder;
use super::pg_table::{PgTable, Shape};
use super::{blocklist, OsdAddrs, OsdMap, Pool, MAX_OSDS};
use crate::proto::sort::sort_by_key;
use kernel::prelude::*;

/// The oldest wrapper with separate sections (Ceph Firefly), also its `compat`.
const WRAPPER_OLDEST: u8 = 7;
/// From this wrapper on there is a checksum.
const WRAPPER_CRC: u8 = 8;
/// `compat` of the inner sections.
const SECTION_COMPAT: u8 = 1;
/// The smallest encoding of a pool: id and section header.
const POOL_MIN_LEN: usize = 8 + 6;
/// More pools than any cluster has: each has PGs, and a monitor limits those.
pub(super) const MAX_POOLS: usize = 1 << 14;

/// The parts of a wrapped map: its two sections, and what follows them.
pub(super) struct Wrapped<'a> {
    pub(super) client_v: u8,
    pub(super) client: Decoder<'a>,
    pub(super) osd_v: u8,
    pub(super) osd: Decoder<'a>,
}

impl<'a> Wrapped<'a> {
    /// Opens the wrapper and checks its checksum, which covers everything else in it.
    pub(super) fn open(buf: &'a [u8], crc32c: Crc32c, step: &'static str) -> ProtoResult<Self> {
        let mut d = Decoder::new(buf);
        let version = buf.first().copied().unwrap_or(0);
        if version < WRAPPER_OLDEST {
            return Err(ProtoError::new(step, Reason::Unsupported));
        }
        let (_, mut body) = d.section(WRAPPER_OLDEST, step)?;
        let whole = buf.len().saturating_sub(d.remaining());
        let (client_v, client) = body.section(SECTION_COMPAT, step)?;
        let (osd_v, osd) = body.section(SECTION_COMPAT, step)?;
        if version >= WRAPPER_CRC {
            let front = whole.saturating_sub(body.remaining());
            let expected = body.u32(step)?;
            let crc = crc32c(u32::MAX, buf.get(..front).unwrap_or(&[]));
            let computed = crc32c(crc, body.rest());
            if expected != computed {
                let reason = Reason::BadCrc { expected, computed };
                return Err(ProtoError::new(step, reason));
            }
        }
        Ok(Self {
            client_v,
            client,
            osd_v,
            osd,
        })
    }
}

impl OsdMap {
    /// Decodes a full map and checks its checksum. May sleep.
    pub fn decode(buf: &[u8], crc32c: Crc32c) -> ProtoResult<Self> {
        let mut parts = Wrapped::open(buf, crc32c, "osdmap")?;
        let (v, d) = (parts.client_v, &mut parts.client);
        let fsid = Fsid::decode(d, "osdmap: fsid")?;
        let epoch = d.u32("osdmap: epoch")?;
        d.skip(Timespec::LEN, "osdmap: created")?;
        let modified = Timespec::decode(d, "osdmap: modified")?;
        let mut pools = decode_pools(d)?;
        sort_by_key(&mut pools, |p| p.id);
        for_names(d, |id, name| {
            match pools.binary_search_by_key(&id, |p| p.id) {
                Ok(i) => pools.get_mut(i).map_or(Ok(()), |p| p.rename(name)),
                Err(_) => Ok(()),
            }
        })?;
        let pool_max = d.i32("osdmap: pool_max")?.into();
        let flags = d.u32("osdmap: flags")?;

        let max_osd = osd_count(d.u32("osdmap: max_osd")?)?;
        let state_len = if v >= 5 { 4 } else { 1 };
        expect_count(d, max_osd, state_len, "osdmap: states")?;
        let mut states = KVVec::with_capacity(max_osd, GFP_KERNEL)?;
        for _ in 0..max_osd {
            states.push(decode_state(d, v >= 5)?, GFP_KERNEL)?;
        }
        expect_count(d, max_osd, 4, "osdmap: weights")?;
        let weights = decode_words(d, max_osd)?;
        expect_count(d, max_osd, 1, "osdmap: addresses")?;
        let mut addrs = KVVec::with_capacity(max_osd, GFP_KERNEL)?;
        for _ in 0..max_osd {
            addrs.push(OsdAddrs::decode(d)?, GFP_KERNEL)?;
        }

        let table = |d: &mut _, since, shape, step| match v >= since {
            true => PgTable::decode(d, shape, step),
            false => Ok(PgTable::new()),
        };
        let pg_temp = table(d, 0, Shape::List, "osdmap: pg_temp")?;
        let primary_temp = table(d, 1, Shape::One, "osdmap: primary_temp")?;
        let mut affinities = KVVec::new();
        if v >= 2 {
            let count = d.count(max_osd, 4, "osdmap: primary affinities")?;
            affinities = decode_words(d, count)?;
        }
        let crush = CrushMap::decode(d.blob(usize::MAX, "osdmap: crush map")?)?;
        if v >= 3 {
            skip_profiles(d)?;
        }
        let pg_upmap = table(d, 4, Shape::List, "osdmap: pg_upmap")?;
        let pg_upmap_items = table(d, 4, Shape::Pairs, "osdmap: pg_upmap_items")?;
        if v >= 6 {
            d.skip(4, "osdmap: crush version")?;
        }
        if v >= 7 {
            skip_snaps(d)?;
            skip_snaps(d)?;
        }
        if v >= 9 {
            d.skip(2 * Timespec::LEN, "osdmap: last changes")?;
        }
        let pg_upmap_primaries = table(d, 10, Shape::One, "osdmap: pg_upmap_primaries")?;

        let ForOsds {
            blocklist,
            range_blocklist,
            require_osd_release,
        } = ForOsds::decode(parts.osd_v, &mut parts.osd)?;
        Ok(Self {
            fsid,
            epoch,
            modified,
            pool_max,
            flags,
            pools,
            states,
            weights,
            addrs,
            affinities,
            pg_temp,
            primary_temp,
            pg_upmap,
            pg_upmap_items,
            pg_upmap_primaries,
            crush,
            localities: Localities::default(),
            blocklist,
            range_blocklist,
            require_osd_release,
        })
    }
}

/// What clients use of the section for OSDs.
struct ForOsds {
    blocklist: blocklist::List,
    range_blocklist: blocklist::List,
    require_osd_release: u8,
}

impl OsdAddrs {
    /// Reads an OSD's addresses and keeps the first of each protocol.
    pub(super) fn decode(d: &mut Decoder<'_>) -> ProtoResult<Self> {
        let mut addrs = Self::BLANK;
        addrvec::for_each(d, "osdmap: address", |addr| {
            let slot = match addr.kind {
                AddrType::LEGACY => &mut addrs.v1,
                AddrType::MSGR2 => &mut addrs.v2,
                _ => return,
            };
            if slot.sock.is_none() {
                *slot = addr;
            }
        })?;
        Ok(addrs)
    }
}

/// Checks a number of OSDs.
pub(super) fn osd_count(n: u32) -> ProtoResult<usize> {
    let max = MAX_OSDS as u64;
    match usize::try_from(n) {
        Ok(n) if n <= MAX_OSDS => Ok(n),
        _ => {
            let reason = Reason::TooLong { len: n.into(), max };
            Err(ProtoError::new("osdmap: max_osd", reason))
        }
    }
}

/// Reads a count that must be `expected`, and checks that so many items may follow.
fn expect_count(
    d: &mut Decoder<'_>,
    expected: usize,
    item_len: usize,
    step: &'static str,
) -> ProtoResult {
    match d.count(MAX_OSDS, item_len, step)? {
        n if n == expected => Ok(()),
        n => Err(ProtoError::value(step, n as u64)),
    }
}

/// Reads an OSD's state bits, which took one byte before Luminous.
pub(super) fn decode_state(d: &mut Decoder<'_>, wide: bool) -> ProtoResult<u32> {
    match wide {
        true => d.u32("osdmap: state"),
        false => d.u8("osdmap: state").map(u32::from),
    }
}

fn decode_words(d: &mut Decoder<'_>, count: usize) -> ProtoResult<KVVec<u32>> {
    let mut words = KVVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        words.push(d.u32("osdmap: weight")?, GFP_KERNEL)?;
    }
    Ok(words)
}

/// Reads a map from id to pool. May sleep.
pub(super) fn decode_pools(d: &mut Decoder<'_>) -> ProtoResult<KVec<Pool>> {
    let count = d.count(MAX_POOLS, POOL_MIN_LEN, "osdmap: pools")?;
    let mut pools = KVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        let id = d.u64("osdmap: pool id")?;
        pools.push(Pool::decode(id, d)?, GFP_KERNEL)?;
    }
    Ok(pools)
}

/// Reads a map from pool id to name.
pub(super) fn for_names<'a>(
    d: &mut Decoder<'a>,
    mut f: impl FnMut(u64, &'a [u8]) -> ProtoResult,
) -> ProtoResult {
    for _ in 0..d.u32("osdmap: pool names")? {
        let id = d.u64("osdmap: pool id")?;
        f(id, d.blob(usize::MAX, "osdmap: pool name")?)?;
    }
    Ok(())
}

/// Passes over erasure code profiles.
pub(super) fn skip_profiles(d: &mut Decoder<'_>) -> ProtoResult {
    let step = "osdmap: erasure code profiles";
    skip_each(d, step, |d| {
        d.skip_blob(step)?;
        skip_each(d, step, |d| {
            d.skip_blob(step)?;
            d.skip_blob(step)
        })
    })
}

/// Passes over intervals of snapshot ids, by pool.
pub(super) fn skip_snaps(d: &mut Decoder<'_>) -> ProtoResult {
    let step = "osdmap: snaps";
    skip_each(d, step, |d| {
        d.skip(8, step)?;
        skip_each(d, step, |d| d.skip(16, step))
    })
}

/// Passes over addresses, each behind `key` bytes.
pub(super) fn skip_addrs(d: &mut Decoder<'_>, key: usize) -> ProtoResult {
    let step = "osdmap: addresses";
    skip_each(d, step, |d| {
        d.skip(key, step)?;
        addrvec::for_each(d, step, |_| {})
    })
}

impl ForOsds {
    /// Reads the section, whose version is `v`. May sleep.
    fn decode(v: u8, d: &mut Decoder<'_>) -> ProtoResult<Self> {
        let step = "osdmap: OSD section";
        skip_addrs(d, 0)?;
        // osd_info_t: a version and six epochs
        skip_each(d, step, |d| d.skip(1 + 6 * 4, step))?;
        let entries = blocklist::decode_entries(d, Timespec::LEN, "osdmap: blocklist")?;
        let mut this = Self {
            blocklist: blocklist::List::from_sorted(entries),
            range_blocklist: blocklist::List::new(),
            require_osd_release: 0,
        };
        if v < 6 {
            return Ok(this);
        }
        skip_addrs(d, 0)?;
        d.skip(4, step)?; // cluster snapshot epoch
        d.skip_blob(step)?; // cluster snapshot
        skip_each(d, step, |d| d.skip(16, step))?; // uuids
        skip_each(d, step, |d| d.skip_section(step))?; // osd_xinfo_t
        skip_addrs(d, 0)?;
        // Three ratios; the least client release.
        d.skip(3 * 4 + 1, step)?;
        this.require_osd_release = d.u8("osdmap: OSD release")?;
        if v < 11 {
            return Ok(this);
        }
        skip_snaps(d)?;
        skip_each(d, step, |d| d.skip(8, step))?; // CRUSH node flags
        skip_each(d, step, |d| d.skip(8, step))?; // device class flags
        d.skip(1 + 4 * 4, step)?; // stretch mode
        let ranges = blocklist::decode_entries(d, Timespec::LEN, "osdmap: range blocklist")?;
        this.range_blocklist = blocklist::List::from_sorted(ranges);
        Ok(this)
    }
}
