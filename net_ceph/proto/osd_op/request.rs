// SPDX-License-Identifier: GPL-2.0-only

//! `MOSDOp`: operations on one object (Ceph `src/messages/MOSDOp.h`), in version 8, which OSDs read
//! since luminous (feature `SERVER_LUMINOUS`).

use super::op::OsdOp;
use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::types::Timespec;
use crate::proto::wire::{Decoder, Encoder, Fixed, Sink};
use kernel::prelude::*;

/// A placement group, and of which shard of it (`spg_t`).
///
/// On the wire a section (v1) of `pg_t` (`u8 1`, `u64 pool`, `u32 seed`, `i32 -1`) and `i8 shard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpgId {
    /// Pool.
    pub pool: u64,
    /// Which group of the pool; already reduced to the pool's number of groups.
    pub seed: u32,
    /// Which shard with erasure coding, else [`NO_SHARD`](Self::NO_SHARD).
    pub shard: i8,
}

impl SpgId {
    /// Replicated pools have no shards.
    pub const NO_SHARD: i8 = -1;

    /// Appends it.
    pub fn encode<S: Sink>(&self, e: &mut Encoder<'_, S>) -> ProtoResult {
        e.section(1, 1, |e| {
            e.u8(1)?;
            e.u64(self.pool)?;
            e.u32(self.seed)?;
            e.i32(-1)?;
            e.i8(self.shard)
        })
    }

    /// Reads it.
    pub fn decode(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        let (_, mut d) = d.section(1, step)?;
        d.u8(step)?;
        let pool = d.u64(step)?;
        let seed = d.u32(step)?;
        d.i32(step)?;
        let shard = d.i8(step)?;
        Ok(Self { pool, seed, shard })
    }
}

/// In which pool and namespace an object is (`object_locator_t`, without a key).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locator<'a> {
    /// Pool.
    pub pool: u64,
    /// Namespace; empty for the default one.
    pub namespace: &'a [u8],
}

impl Locator<'_> {
    /// Appends a section (v5): `i64 pool`, `i32 -1`, `string key`, `string namespace`.
    fn encode<S: Sink>(&self, e: &mut Encoder<'_, S>) -> ProtoResult {
        e.section(5, 4, |e| {
            e.u64(self.pool)?;
            e.i32(-1)?;
            e.u32(0)?;
            e.blob(self.namespace)
        })
    }
}

/// Which snapshots a write must preserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapContext<'a> {
    /// The newest snapshot id given out.
    pub seq: u64,
    /// The snapshots, newest first.
    pub snaps: &'a [u64],
}

/// A request. The sender's name and the transaction id travel in the message header, and identify it.
pub struct OsdOpRequest<'a> {
    /// Where it goes.
    pub spg: SpgId,
    /// The object's hash, unreduced.
    pub hash: u32,
    /// The map epoch it was placed with.
    pub epoch: u32,
    /// `flags::*`.
    pub flags: u32,
    /// Modification time that writes leave; zero for reads.
    pub mtime: Timespec,
    /// Where the object is.
    pub locator: Locator<'a>,
    /// The object's name.
    pub object: &'a [u8],
    /// What to do, in order; all or nothing for writes.
    pub ops: &'a [OsdOp<'a>],
    /// The snapshot read from, or [`NOSNAP`](super::NOSNAP).
    pub snapid: u64,
    /// For writes.
    pub snapc: SnapContext<'a>,
    /// 0 the first time, then 1, 2…; comes back in the reply.
    pub attempt: i32,
    /// The connection's features.
    pub features: u64,
}

impl OsdOpRequest<'_> {
    /// `CEPH_MSG_OSD_OP`.
    pub const TYPE: u16 = 42;
    /// Version, for the header.
    pub const VERSION: u16 = 8;
    /// Oldest version a reader must know, for the header.
    pub const COMPAT: u16 = 3;

    /// Bytes the front segment takes.
    pub fn front_len(&self) -> usize {
        /// All but names, operations and snapshots.
        const FIXED: usize =
            (6 + 18) + 3 * 4 + (6 + 21) + 24 + 4 + 8 + (6 + 20) + 4 + 2 + 8 + 8 + 4 + 4 + 8;
        FIXED
            .saturating_add(self.locator.namespace.len())
            .saturating_add(self.object.len())
            .saturating_add(self.ops.len().saturating_mul(super::op::OP_LEN))
            .saturating_add(self.snapc.snaps.len().saturating_mul(8))
    }

    /// Appends the front segment; returns how long the data segment has to be: the inputs of all
    /// operations, in order. Allocates nothing if `out` has the capacity.
    pub fn encode(&self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.put(&mut Encoder::new(out))
    }

    /// Puts the front segment at the start of `place`, which has at least [`front_len`](Self::front_len) bytes;
    /// returns its length and that of the data segment.
    pub fn encode_into(&self, place: &mut [u8]) -> ProtoResult<(usize, u32)> {
        let mut out = Fixed::new(place);
        let data_len = self.put(&mut Encoder::new(&mut out))?;
        Ok((out.count(), data_len))
    }

    fn put<S: Sink>(&self, e: &mut Encoder<'_, S>) -> ProtoResult<u32> {
        self.spg.encode(e)?;
        e.u32(self.hash)?;
        e.u32(self.epoch)?;
        e.u32(self.flags)?;
        // An all-zero request id: the OSD takes name and tid from the header.
        e.section(2, 2, |e| e.zeros(8 + 1 + 8 + 4))?;
        // No blkin trace.
        e.zeros(3 * 8)?;
        // Incarnation of the client, always 0.
        e.u32(0)?;
        self.mtime.encode(e)?;
        self.locator.encode(e)?;
        e.blob(self.object)?;

        let count = u16::try_from(self.ops.len())
            .map_err(|_| ProtoError::value("osd request: ops", self.ops.len() as u64))?;
        e.u16(count)?;
        let mut data_len = 0u32;
        for op in self.ops {
            let len = op.encode(e)?;
            data_len = data_len
                .checked_add(len)
                .ok_or(ProtoError::value("osd request: data length", len.into()))?;
        }

        e.u64(self.snapid)?;
        e.u64(self.snapc.seq)?;
        e.count(self.snapc.snaps.len())?;
        for snap in self.snapc.snaps {
            e.u64(*snap)?;
        }
        e.i32(self.attempt)?;
        e.u64(self.features)?;
        Ok(data_len)
    }
}
