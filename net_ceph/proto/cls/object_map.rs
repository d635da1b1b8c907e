// SPDX-License-Identifier: GPL-2.0-only

//! Object maps: what is known of each object of an image (Ceph `src/cls/rbd/cls_rbd.cc`,
//! `src/include/rbd/object_map_types.h`).
//!
//! The map of an image is an object of its own, and so is that of each of its snapshots. Methods of the
//! class `rbd` read and change them; whoever changes the image's own map has it locked.

use super::rbd::MAX_ID;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use crate::proto::osd_op::NOSNAP;
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// What names of object maps begin with; the image's id follows (`RBD_OBJECT_MAP_PREFIX`, Ceph
/// `src/include/rbd_types.h`).
pub const PREFIX: &str = "rbd_object_map.";

/// The most objects a map may have (`MAX_OBJECT_MAP_OBJECT_COUNT`, Ceph `src/cls/rbd/cls_rbd_types.h`).
pub const MAX_OBJECTS: u64 = 256_000_000;

/// The longest output of [`LOAD`](method::LOAD).
pub const MAX_OUTPUT: usize = HEADER_LEN + (MAX_OBJECTS / PER_BYTE) as usize + 4;

/// Bytes in front of the entries: a length, and a section of a number.
const HEADER_LEN: usize = 4 + 6 + 8;

/// Entries in a byte.
pub const PER_BYTE: u64 = 4;

/// Names of methods of the class `rbd`.
pub mod method {
    /// On a map: no input; output [`MapReply`](super::MapReply).
    pub const LOAD: &str = "object_map_load";
    /// On a map: input [`update_input`](super::update_input). `ERANGE` if the map is too small.
    pub const UPDATE: &str = "object_map_update";
    /// On an image's header: input [`set_flags_input`](super::set_flags_input).
    pub const SET_FLAGS: &str = "set_flags";
}

/// What an object map says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectState {
    /// It does not exist (`OBJECT_NONEXISTENT`).
    Nonexistent = 0,
    /// It may exist (`OBJECT_EXISTS`).
    Exists = 1,
    /// It is being deleted (`OBJECT_PENDING`).
    Pending = 2,
    /// It exists and did not change since the last snapshot (`OBJECT_EXISTS_CLEAN`).
    ExistsClean = 3,
}

impl ObjectState {
    /// The state that `bits` stands for; `None` if there are more than two of them.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Nonexistent),
            1 => Some(Self::Exists),
            2 => Some(Self::Pending),
            3 => Some(Self::ExistsClean),
            _ => None,
        }
    }

    /// Whether an update for entries in state `only` applies to an entry in this one: a clean object is
    /// one that exists.
    pub fn passes(self, only: Option<Self>) -> bool {
        match only {
            None => true,
            Some(Self::Exists) => matches!(self, Self::Exists | Self::ExistsClean),
            Some(only) => self == only,
        }
    }
}

/// Appends the name of the map of the image `id`, or of its snapshot `snapid` unless that is [`NOSNAP`]:
/// then a dot and sixteen hexadecimal digits follow (Ceph `src/librbd/ObjectMap.cc`, `object_map_name`).
pub fn object_name(id: &[u8], snapid: u64, out: &mut KVec<u8>) -> ProtoResult {
    if id.len() > MAX_ID {
        let (len, max) = (id.len() as u64, MAX_ID as u64);
        return Err(ProtoError::new(
            "object map: image id",
            Reason::TooLong { len, max },
        ));
    }
    let mut e = Encoder::new(out);
    e.bytes(PREFIX.as_bytes())?;
    e.bytes(id)?;
    if snapid == NOSNAP {
        return Ok(());
    }
    e.u8(b'.')?;
    for shift in (0..16u32).rev() {
        let digit = (snapid >> (shift * 4)) & 0xf;
        let digit = char::from_digit(digit as u32, 16).unwrap_or('0');
        e.u8(digit as u8)?;
    }
    Ok(())
}

/// An object map (`BitVector<2>`, Ceph `src/common/bit_vector.hpp`): `u32` length of a section (v1) of
/// `u64 objects`; the entries, two bits each, four in a byte, the first one in its highest bits; `u32`
/// length of the checksums.
///
/// The OSD checks what it has stored, and sends no checksums: the messenger has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapReply {
    /// How many objects.
    pub objects: u64,
    /// Where in the output the entries begin; all of them are there.
    pub start: usize,
}

impl MapReply {
    /// Reads the output of [`LOAD`](method::LOAD).
    pub fn decode(output: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(output);
        let header = d.blob(output.len(), "object map: header")?;
        let (_, mut header) = Decoder::new(header).section(1, "object map: header")?;
        let objects = header.u64("object map: size")?;
        if objects > MAX_OBJECTS {
            return Err(ProtoError::new(
                "object map: size",
                Reason::TooLong {
                    len: objects,
                    max: MAX_OBJECTS,
                },
            ));
        }
        let start = output.len().saturating_sub(d.remaining());
        d.skip(bytes_for(objects), "object map: entries")?;
        d.skip_blob("object map: checksums")?;
        Ok(Self { objects, start })
    }
}

/// How many bytes the entries of `objects` objects take.
pub fn bytes_for(objects: u64) -> usize {
    usize::try_from(objects.div_ceil(PER_BYTE)).unwrap_or(usize::MAX)
}

/// Appends the input of [`UPDATE`](method::UPDATE): `u64` first object, `u64` end, `u8` state, `u8` whether
/// only entries of one state are to change, and which: see [`ObjectState::passes`].
pub fn update_input(
    object: u64,
    to: ObjectState,
    only: Option<ObjectState>,
    out: &mut KVec<u8>,
) -> ProtoResult {
    let end = object
        .checked_add(1)
        .ok_or(ProtoError::value("object map update: object", object))?;
    let mut e = Encoder::new(out);
    e.u64(object)?;
    e.u64(end)?;
    e.u8(to as u8)?;
    e.bool(only.is_some())?;
    match only {
        Some(only) => e.u8(only as u8),
        None => Ok(()),
    }
}

/// Input of [`SET_FLAGS`](method::SET_FLAGS): `u64 flags`, `u64` mask of those that change, `u64 snapid`
/// of the snapshot they are of, or [`NOSNAP`]. Sets `flags` (`FLAG_*` of [`rbd`](super::rbd)), and leaves
/// the others as they are.
pub fn set_flags_input(flags: u64, snapid: u64) -> [u8; 24] {
    let mut input = [0; 24];
    for (chunk, value) in input.chunks_exact_mut(8).zip([flags, flags, snapid]) {
        chunk.copy_from_slice(&value.to_le_bytes());
    }
    input
}
