// SPDX-License-Identifier: GPL-2.0-only

//! `hobject_t`: an object with its place in the order in which an OSD keeps objects; a back-off
//! covers a range of that order (Ceph `src/common/hobject.h`).

use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::wire::{Decoder, Encoder};
use core::cmp::Ordering;
use kernel::prelude::*;

/// The longest name accepted.
const MAX_NAME: usize = 4096;

/// An object in the sort order. On the wire a section (v4): `string key`, `string object`,
/// `u64 snapid`, `u32 hash`, `u8 max`, `string namespace`, `i64 pool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HObject<'a> {
    /// Locator key; empty: none.
    pub key: &'a [u8],
    /// Name.
    pub object: &'a [u8],
    /// Snapshot, or [`NOSNAP`](super::NOSNAP).
    pub snapid: u64,
    /// Unreduced hash.
    pub hash: u32,
    /// Behind all objects; the other fields mean nothing then.
    pub max: bool,
    /// Namespace.
    pub namespace: &'a [u8],
    /// Pool; negative ones are temporary.
    pub pool: i64,
}

impl<'a> HObject<'a> {
    /// Reads one.
    pub fn decode(d: &mut Decoder<'a>, step: &'static str) -> ProtoResult<Self> {
        let (struct_v, mut d) = d.section(4, step)?;
        if struct_v < 4 {
            return Err(ProtoError::value(step, struct_v.into()));
        }
        Ok(Self {
            key: d.blob(MAX_NAME, step)?,
            object: d.blob(MAX_NAME, step)?,
            snapid: d.u64(step)?,
            hash: d.u32(step)?,
            max: d.bool(step)?,
            namespace: d.blob(MAX_NAME, step)?,
            pool: d.i64(step)?,
        })
    }

    /// Appends it.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.section(4, 3, |e| {
            e.blob(self.key)?;
            e.blob(self.object)?;
            e.u64(self.snapid)?;
            e.u32(self.hash)?;
            e.bool(self.max)?;
            e.blob(self.namespace)?;
            e.i64(self.pool)
        })
    }

    /// Where hash values stand in the order: by their bits reversed.
    fn bitwise_key(&self) -> u64 {
        if self.max {
            1 << 32
        } else {
            self.hash.reverse_bits().into()
        }
    }

    fn effective_key(&self) -> &'a [u8] {
        if self.key.is_empty() {
            self.object
        } else {
            self.key
        }
    }
}

impl Ord for HObject<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.max
            .cmp(&other.max)
            .then_with(|| self.pool.cmp(&other.pool))
            .then_with(|| self.bitwise_key().cmp(&other.bitwise_key()))
            .then_with(|| self.namespace.cmp(other.namespace))
            .then_with(|| self.effective_key().cmp(other.effective_key()))
            .then_with(|| self.object.cmp(other.object))
            .then_with(|| self.snapid.cmp(&other.snapid))
    }
}

impl PartialOrd for HObject<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An [`HObject`] that owns its names.
pub struct HObjectBuf {
    key: KVec<u8>,
    object: KVec<u8>,
    namespace: KVec<u8>,
    snapid: u64,
    hash: u32,
    max: bool,
    pool: i64,
}

impl HObjectBuf {
    /// A copy of `o`.
    pub fn new(o: &HObject<'_>) -> ProtoResult<Self> {
        fn copy(bytes: &[u8]) -> ProtoResult<KVec<u8>> {
            let mut v = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
            v.extend_from_slice(bytes, GFP_KERNEL)?;
            Ok(v)
        }
        Ok(Self {
            key: copy(o.key)?,
            object: copy(o.object)?,
            namespace: copy(o.namespace)?,
            snapid: o.snapid,
            hash: o.hash,
            max: o.max,
            pool: o.pool,
        })
    }

    /// The object.
    pub fn get(&self) -> HObject<'_> {
        HObject {
            key: &self.key,
            object: &self.object,
            snapid: self.snapid,
            hash: self.hash,
            max: self.max,
            namespace: &self.namespace,
            pool: self.pool,
        }
    }
}
