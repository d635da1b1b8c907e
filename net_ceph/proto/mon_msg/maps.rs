// SPDX-License-Identifier: GPL-2.0-only

//! Map deliveries: `MMonMap` and `MOSDMap`. The maps inside stay encoded.

use crate::proto::error::ProtoResult;
use crate::proto::message::Reply;
use crate::proto::types::Fsid;
use crate::proto::wire::Decoder;

/// The most maps in one `MOSDMap`; monitors send `osd_map_message_max`, by default 40.
const MAX_MAPS: usize = 10_000;

/// `MMonMap` (Ceph `src/messages/MMonMap.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonMapReply<'a> {
    /// An encoded `MonMap`.
    pub monmap: &'a [u8],
}

impl<'a> Reply<'a> for MonMapReply<'a> {
    const TYPE: u16 = 4;

    fn decode(_version: u16, front: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        let monmap = d.blob(front.len(), "monmap message: map")?;
        Ok(Self { monmap })
    }
}

/// `MOSDMap`: whole maps and incrementals (Ceph `src/messages/MOSDMap.h`).
#[derive(Clone, Copy, Debug)]
pub struct OsdMaps<'a> {
    /// The cluster the maps are of.
    pub fsid: Fsid,
    /// Each one leads to the epoch it is listed with.
    pub incrementals: MapBlobs<'a>,
    /// Whole maps.
    pub full: MapBlobs<'a>,
    /// The oldest epoch the monitors still have; 0 before version 2.
    pub oldest: u32,
    /// The newest epoch there is; 0 before version 2.
    pub newest: u32,
}

impl<'a> Reply<'a> for OsdMaps<'a> {
    const TYPE: u16 = 41;

    fn decode(version: u16, front: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        let fsid = Fsid::decode(&mut d, "osdmap message: fsid")?;
        let incrementals = MapBlobs::decode(&mut d, "osdmap message: incrementals")?;
        let full = MapBlobs::decode(&mut d, "osdmap message: full maps")?;
        let (oldest, newest) = if version >= 2 {
            (
                d.u32("osdmap message: oldest epoch")?,
                d.u32("osdmap message: newest epoch")?,
            )
        } else {
            (0, 0)
        };
        Ok(Self {
            fsid,
            incrementals,
            full,
            oldest,
            newest,
        })
    }
}

/// A checked `map<epoch, blob>`: iterates over `(epoch, encoded map)` in ascending order of epochs, as
/// the sender's sorted container lists them.
#[derive(Clone, Copy, Debug)]
pub struct MapBlobs<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> MapBlobs<'a> {
    fn decode(d: &mut Decoder<'a>, step: &'static str) -> ProtoResult<Self> {
        let left = d.count(MAX_MAPS, 8, step)?;
        let bytes = d.rest();
        for _ in 0..left {
            d.u32(step)?;
            d.skip_blob(step)?;
        }
        Ok(Self { left, bytes })
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for MapBlobs<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut d = Decoder::new(self.bytes);
        let epoch = d.u32("map epoch").ok()?;
        let blob = d.blob(self.bytes.len(), "map").ok()?;
        self.bytes = d.rest();
        Some((epoch, blob))
    }
}
