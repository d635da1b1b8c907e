// SPDX-License-Identifier: GPL-2.0-only

//! The entries of an object map in memory: packed as the OSD sends them, changed in place.

use kernel::prelude::*;
use net_ceph::proto::{
    cls::object_map::{MapReply, ObjectState, PER_BYTE},
    error::ProtoResult,
};

/// Bits of an entry.
const WIDTH: u64 = 2;
/// The bits of an entry at the low end of a byte.
const MASK: u8 = 0b11;

/// A state for each object.
pub struct Bits {
    /// The output of the method that loads a map, as it came: large maps are not copied.
    output: KVVec<u8>,
    /// Where the entries begin.
    start: usize,
    objects: u64,
}

impl Bits {
    /// The map in `output`, of the class method `object_map_load`.
    pub fn new(output: KVVec<u8>) -> ProtoResult<Self> {
        let MapReply { objects, start } = MapReply::decode(&output)?;
        Ok(Self {
            output,
            start,
            objects,
        })
    }

    /// How many objects there are.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// The state of `object`; `None` beyond the end.
    pub fn get(&self, object: u64) -> Option<ObjectState> {
        let (byte, shift) = self.place(object)?;
        ObjectState::from_bits((self.output.get(byte)? >> shift) & MASK)
    }

    /// Changes the state of `object`; nothing happens beyond the end.
    pub fn set(&mut self, object: u64, state: ObjectState) {
        let Some((byte, shift)) = self.place(object) else {
            return;
        };
        if let Some(byte) = self.output.get_mut(byte) {
            *byte = (*byte & !(MASK << shift)) | ((state as u8) << shift);
        }
    }

    /// The byte an entry is in, and how far its low bit is from that of the byte. The first of four
    /// entries is in the highest bits (Ceph `src/common/bit_vector.hpp`, `compute_index`).
    fn place(&self, object: u64) -> Option<(usize, u32)> {
        if object >= self.objects {
            return None;
        }
        let byte = usize::try_from(object / PER_BYTE).ok()?;
        let behind = (PER_BYTE - 1).saturating_sub(object % PER_BYTE);
        Some((
            self.start.checked_add(byte)?,
            u32::try_from(behind * WIDTH).ok()?,
        ))
    }
}
