// SPDX-License-Identifier: GPL-2.0-only

//! A pool, as far as a client needs it (Ceph `src/osd/osd_types.h`, `pg_pool_t`).

use super::super::crush::hash::hash2;
use super::super::error::{ProtoError, ProtoResult};
use super::super::table::skip_each;
use super::super::wire::Decoder;
use super::name_hash::ObjectHash;
use super::pg::{pg_mask, stable_mod};
use super::{pool_flag, PgId, RawPg};
use kernel::prelude::*;

/// Stands between a namespace and a name when they are hashed together (Ceph `src/osd/osd_types.cc`,
/// `pg_pool_t::hash_key`).
const NAMESPACE_SEPARATOR: u8 = 0x1f;

/// The oldest encoding that is a versioned section (Ceph Bobtail).
const OLDEST_VERSION: u8 = 5;
/// The longest name kept: no map string can name a longer one, as sysfs passes on a page at most.
const MAX_NAME: usize = 4096;
/// The highest `compat` there is an encoding of.
const SUPPORTED: u8 = 9;

/// A number in groups of seven bits, the lowest first; the highest bit of a byte says that another follows (Ceph
/// `src/include/denc.h`, `denc_varint`).
fn varint(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = d.u8(step)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ProtoError::value(step, value))
}

/// How a pool protects its objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolKind {
    /// Whole copies.
    Replicated,
    /// Data and coding shards.
    Erasure,
}

/// A pool.
#[derive(Debug)]
pub struct Pool {
    /// Its id; never used again for another pool.
    pub id: u64,
    /// Its name; pools without one do not occur.
    name: KVec<u8>,
    /// Replicated or erasure-coded.
    pub kind: PoolKind,
    /// Replicas, or data and coding shards together.
    pub size: u32,
    /// How many of them must be there to serve.
    pub min_size: u32,
    /// The CRUSH rule that places it.
    pub crush_rule: u32,
    /// How object names are hashed.
    pub object_hash: ObjectHash,
    /// PGs.
    pub pg_num: u32,
    /// PGs that are placed apart; less than `pg_num` while a growing pool's data stays where it is.
    pub pgp_num: u32,
    /// [`pool_flag`]s.
    pub flags: u64,
    /// The last epoch at which clients had to send everything again, for whatever reason.
    pub last_force_op_resend: u32,
    /// The cache tier for reads.
    pub read_tier: Option<u64>,
    /// The cache tier for writes.
    pub write_tier: Option<u64>,
    /// Bytes in a stripe of an erasure-coded pool.
    pub stripe_width: u32,
    /// What `pg_num` is about to become when groups are merged.
    pub pg_num_pending: u32,
    /// In which buckets of the hierarchy a group must have OSDs to serve: how many, how many there are to be,
    /// of what type, and which of them in any case.
    pub peering_crush: Option<[u32; 4]>,
    /// The shards that cannot be the primary, as bits.
    nonprimary: u64,
}

impl Pool {
    /// Reads a pool; its name comes elsewhere in the map.
    pub(super) fn decode(id: u64, outer: &mut Decoder<'_>) -> ProtoResult<Self> {
        let (v, mut body) = outer.section(SUPPORTED, "pool")?;
        if v < OLDEST_VERSION {
            return Err(ProtoError::value("pool: version", v.into()));
        }
        let d = &mut body;
        let kind = match d.u8("pool: type")? {
            1 => PoolKind::Replicated,
            3 => PoolKind::Erasure,
            other => return Err(ProtoError::value("pool: type", other.into())),
        };
        let size = d.u8("pool: size")?;
        let crush_rule = d.u8("pool: crush rule")?;
        let object_hash = ObjectHash::from_wire(d.u8("pool: object hash")?);
        let pg_num = d.u32("pool: pg_num")?;
        let pgp_num = d.u32("pool: pgp_num")?;
        // lpg_num, lpgp_num, last_change; snap_seq, snap_epoch
        d.skip(4 + 4 + 4 + 8 + 4, "pool: snap epoch")?;
        skip_each(d, "pool: snaps", |d| {
            d.skip(8, "pool: snap id")?;
            d.skip_section("pool: snap")
        })?;
        skip_each(d, "pool: removed snaps", |d| d.skip(16, "pool: interval"))?;
        d.skip(8, "pool: auid")?;
        let flags = d.u64("pool: flags")?;
        d.skip(4, "pool: crash replay interval")?;

        let mut pool = Self {
            id,
            name: KVec::new(),
            kind,
            size: size.into(),
            min_size: (size - size / 2).into(),
            crush_rule: crush_rule.into(),
            object_hash,
            pg_num,
            pgp_num,
            flags,
            last_force_op_resend: 0,
            read_tier: None,
            write_tier: None,
            stripe_width: 0,
            pg_num_pending: pg_num,
            peering_crush: None,
            nonprimary: 0,
        };
        pool.decode_newer(v, d)?;
        Ok(pool)
    }

    /// The fields that came with versions 7 and later, up to the last one of interest.
    fn decode_newer(&mut self, v: u8, d: &mut Decoder<'_>) -> ProtoResult {
        if v >= 7 {
            self.min_size = d.u8("pool: min_size")?.into();
        }
        if v >= 8 {
            d.skip(16, "pool: quotas")?;
        }
        if v >= 9 {
            skip_each(d, "pool: tiers", |d| d.skip(8, "pool: tier"))?;
            // tier_of, cache_mode
            d.skip(8 + 1, "pool: tier of")?;
            self.read_tier = u64::try_from(d.i64("pool: read tier")?).ok();
            self.write_tier = u64::try_from(d.i64("pool: write tier")?).ok();
        }
        if v >= 10 {
            skip_each(d, "pool: properties", |d| {
                d.skip_blob("pool: property")?;
                d.skip_blob("pool: property")
            })?;
        }
        if v >= 11 {
            d.skip_section("pool: hit set")?;
            d.skip(4 + 4, "pool: hit set period")?;
        }
        if v >= 12 {
            self.stripe_width = d.u32("pool: stripe width")?;
        }
        if v >= 13 {
            // Two targets in bytes and objects, two ratios, two ages.
            d.skip(8 + 8 + 4 + 4 + 4 + 4, "pool: cache targets")?;
        }
        if v >= 14 {
            d.skip_blob("pool: erasure code profile")?;
        }
        // Three epochs of forced resends have been added over time, for older and newer clients. Which of
        // them an OSD holds against a client depends on the client's features. Each is set to the
        // epoch of the change, so the latest tells of a change at this epoch, whichever it is.
        if v >= 15 {
            self.force_resend(d.u32("pool: last forced resend")?);
        }
        if v >= 16 {
            d.skip(4, "pool: min read recency")?;
        }
        if v >= 17 {
            d.skip(8, "pool: expected objects")?;
        }
        if v >= 19 {
            d.skip(4, "pool: cache target ratio")?;
        }
        if v >= 20 {
            d.skip(4, "pool: min write recency")?;
        }
        if v >= 21 {
            d.skip(1, "pool: gmt hit set")?;
        }
        if v >= 22 {
            d.skip(1, "pool: fast read")?;
        }
        if v >= 23 {
            d.skip(4 + 4, "pool: hit set decay")?;
        }
        if v >= 24 {
            d.skip_section("pool: options")?;
        }
        if v >= 25 {
            self.force_resend(d.u32("pool: last forced resend")?);
        }
        if v >= 26 {
            skip_each(d, "pool: applications", |d| {
                d.skip_blob("pool: application")?;
                skip_each(d, "pool: application metadata", |d| {
                    d.skip_blob("pool: application key")?;
                    d.skip_blob("pool: application value")
                })
            })?;
        }
        if v >= 27 {
            d.skip(8, "pool: create time")?;
        }
        if v >= 28 {
            // pg_num_target, pgp_num_target
            d.skip(4 + 4, "pool: pg_num target")?;
            self.pg_num_pending = d.u32("pool: pg_num pending")?;
            // Two epochs of a point release.
            d.skip(4 + 4, "pool: pg_num epochs")?;
            self.force_resend(d.u32("pool: last forced resend")?);
            d.skip(1, "pool: autoscale mode")?;
        }
        if v >= 29 {
            d.skip_section("pool: last merge")?;
        }
        // Always there in version 30, and announced by a byte since.
        if v == 30 || v > 30 && d.bool("pool: peering buckets?")? {
            let mut field = || d.u32("pool: peering buckets");
            self.peering_crush = Some([field()?, field()?, field()?, field()?]);
        }
        if v >= 32 {
            self.nonprimary = varint(d, "pool: shards never primary")?;
            // Those from 64 on: more than we place.
            varint(d, "pool: shards never primary")?;
        }
        Ok(())
    }

    /// Whether not every shard can be the primary. Then exceptions to the placement of a group (`pg_temp`)
    /// name the OSDs of the shards that can before those of the others, and of them the first is the primary
    /// (Ceph `src/osd/OSDMap.cc`, `OSDMap::pgtemp_primaryfirst`).
    pub(super) fn has_nonprimary(&self) -> bool {
        self.flags & pool_flag::EC_OPTIMIZATIONS != 0 && self.nonprimary != 0
    }

    /// Whether a shard can be the primary.
    pub(super) fn can_be_primary(&self, shard: usize) -> bool {
        !self.has_nonprimary() || shard >= 64 || self.nonprimary >> shard & 1 == 0
    }

    /// The shards in the order in which exceptions name their OSDs.
    pub(super) fn shards_by_primacy(&self) -> impl Iterator<Item = usize> + '_ {
        let all = 0..self.size as usize;
        let first = all.clone().filter(|&shard| self.can_be_primary(shard));
        let others = all.filter(|&shard| !self.can_be_primary(shard));
        Iterator::chain(first, others)
    }

    fn force_resend(&mut self, epoch: u32) {
        self.last_force_op_resend = self.last_force_op_resend.max(epoch);
    }

    /// Copies the pool. May sleep.
    pub(super) fn try_clone(&self) -> ProtoResult<Self> {
        let mut name = KVec::new();
        name.extend_from_slice(&self.name, GFP_KERNEL)?;
        Ok(Self { name, ..*self })
    }

    /// Gives the pool a name; one that is too long is none. May sleep.
    pub(super) fn rename(&mut self, name: &[u8]) -> ProtoResult {
        self.name.clear();
        if name.len() > MAX_NAME {
            return Ok(());
        }
        Ok(self.name.extend_from_slice(name, GFP_KERNEL)?)
    }

    /// Takes over another's name.
    pub(super) fn take_name(&mut self, other: &mut Self) {
        core::mem::swap(&mut self.name, &mut other.name);
    }

    /// The name; empty if the map has none or it is not UTF-8.
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.name).unwrap_or("")
    }

    /// Hashes an object's name, or its locator key if it has one, to the PG that holds it, at full
    /// precision. `namespace` is empty for the default one. Does not allocate.
    #[inline]
    pub fn hash_name(&self, namespace: &[u8], name: &[u8]) -> RawPg {
        let seed = if namespace.is_empty() {
            self.object_hash.hash(&[name])
        } else {
            self.object_hash
                .hash(&[namespace, &[NAMESPACE_SEPARATOR], name])
        };
        RawPg {
            pool: self.id,
            seed,
        }
    }

    /// The PG that a full-precision id of this pool falls into.
    #[inline]
    pub const fn raw_to_pg(&self, raw: RawPg) -> PgId {
        PgId {
            pool: raw.pool,
            seed: stable_mod(raw.seed, self.pg_num, pg_mask(self.pg_num)),
        }
    }

    /// The PG of an object. Does not allocate.
    pub fn object_to_pg(&self, namespace: &[u8], name: &[u8]) -> PgId {
        self.raw_to_pg(self.hash_name(namespace, name))
    }

    /// The CRUSH seed of a PG (Ceph `pg_pool_t::raw_pg_to_pps`).
    pub(super) fn placement_seed(&self, pg: PgId) -> u32 {
        let seed = stable_mod(pg.seed, self.pgp_num, pg_mask(self.pgp_num));
        let pool = self.id as u32;
        if self.flags & pool_flag::HASHPSPOOL != 0 {
            hash2(seed, pool)
        } else {
            // PGs of neighbouring pools fall together.
            seed.wrapping_add(pool)
        }
    }

    /// Whether a missing OSD closes ranks instead of leaving a hole.
    #[inline]
    pub fn can_shift_osds(&self) -> bool {
        self.kind == PoolKind::Replicated
    }

    /// Whether writes must wait: the pool is full, of itself or by quota.
    pub const fn is_full(&self) -> bool {
        self.flags & pool_flag::FULL != 0
    }

    /// Whether its quota is reached.
    pub const fn is_full_quota(&self) -> bool {
        self.flags & pool_flag::FULL_QUOTA != 0
    }

    /// Whether every operation fails with `EIO`.
    pub const fn is_eio(&self) -> bool {
        self.flags & pool_flag::EIO != 0
    }
}
