// SPDX-License-Identifier: GPL-2.0-only

//! Placement groups: their ids, and how ids move when a pool's number of PGs changes.

use super::super::error::ProtoResult;
use super::super::wire::Decoder;
use kernel::fmt;

/// A PG id at full precision: what hashing an object's name gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RawPg {
    /// Pool id.
    pub pool: u64,
    /// The whole hash.
    pub seed: u32,
}

/// The id of a PG that exists: its seed is below the pool's number of PGs.
///
/// On the wire `u8 1, u64 pool, u32 seed, i32 -1` (Ceph `src/osd/osd_types.h`, `pg_t`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PgId {
    /// Pool id.
    pub pool: u64,
    /// Number of the PG in its pool.
    pub seed: u32,
}

/// Bytes of a PG id on the wire.
pub(super) const PG_WIRE_LEN: usize = 1 + 8 + 4 + 4;

/// The least `2^n - 1` that covers every seed of `pg_num` PGs.
pub const fn pg_mask(pg_num: u32) -> u32 {
    match pg_num {
        0 | 1 => 0,
        n => u32::MAX >> (n - 1).leading_zeros(),
    }
}

/// Folds `x` into `0..n` such that growing `n` to the next power of two moves each value at most once
/// (Ceph `src/include/rados.h`, `ceph_stable_mod`). `mask` is [`pg_mask`] of `n`.
#[inline]
pub(super) const fn stable_mod(x: u32, n: u32, mask: u32) -> u32 {
    if x & mask < n {
        x & mask
    } else {
        x & (mask >> 1)
    }
}

impl PgId {
    /// Reads an id.
    pub(super) fn decode(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        let mut d2 = Decoder::new(d.bytes(PG_WIRE_LEN, step)?);
        d2.skip(1, step)?;
        Ok(Self {
            pool: d2.u64(step)?,
            seed: d2.u32(step)?,
        })
    }

    /// Whether objects leave this PG for new ones when its pool grows from `old` to `new` PGs.
    pub fn is_split(self, old: u32, new: u32) -> bool {
        let mask = pg_mask(old);
        // Seeds that fold onto this one differ from it in the mask's top bit or above. What `old` folds
        // depends on the masked bits alone, so two turns of the mask show every case.
        let stride = (u64::from(mask) + 1).div_ceil(2);
        let last = u64::from(new).min(u64::from(old) + 2 * (u64::from(mask) + 1));
        let mut child = u64::from(self.seed);
        while child < last {
            if child >= u64::from(old) && stable_mod(child as u32, old, mask) == self.seed {
                return true;
            }
            child += stride;
        }
        false
    }

    /// Whether this PG goes into another, or takes another in, when its pool shrinks from `old` to
    /// `new` PGs.
    pub fn is_merged(self, old: u32, new: u32) -> bool {
        new < old && (self.seed >= new || self.is_split(new, old))
    }
}

impl fmt::Display for PgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.pool, self.seed)
    }
}

impl fmt::Display for RawPg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.pool, self.seed)
    }
}
