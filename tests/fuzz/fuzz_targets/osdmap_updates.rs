// SPDX-License-Identifier: GPL-2.0-only

//! The OSD map of a client as a whole: `MOSDMap` messages with incrementals and full maps arrive, and each is
//! taken as far as it fits.

#![no_main]

use ceph_proto_fuzz::maps::look_at;
use ceph_proto_fuzz::plain::crc32c;
use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::error::ProtoResult;
use ceph_proto_host::proto::message::Reply;
use ceph_proto_host::proto::mon_msg::OsdMaps;
use ceph_proto_host::proto::osdmap::{Incremental, Interval, OsdMap, PgId};

/// An incremental names the number of OSDs, of which there may be 131,072; a map keeps 88 bytes of each. The
/// map is copied before each one.
const BUDGET: Budget = Budget {
    base: 512 << 20,
    per_byte: 4096,
};
/// Incrementals in one input.
const MOST: usize = 12;

fuzz_target!(BUDGET, |data| {
    let mut i = Input::new(data);
    let seed = i.u32();
    let mut left = MOST;
    let mut current: Option<OsdMap> = None;
    // Where it places objects, if that was asked.
    let mut before: Vec<(PgId, ProtoResult<Interval>)> = Vec::new();
    while !i.is_empty() && left > 0 {
        let message = i.bytes();
        let Ok(maps) = OsdMaps::decode(4, message) else {
            continue;
        };
        for (epoch, blob) in maps.full.take(left) {
            left -= 1;
            let have = current.as_ref().map_or(0, OsdMap::epoch);
            match OsdMap::decode(blob, crc32c) {
                Ok(map) if map.epoch() == epoch && epoch > have => {
                    (current, before) = (Some(map), Vec::new());
                }
                _ => {}
            }
        }
        for (epoch, blob) in maps.incrementals.take(left) {
            left -= 1;
            let Some(map) = &current else { break };
            let Ok(inc) = Incremental::decode(blob, crc32c) else {
                continue;
            };
            let Ok(next) = map.try_clone().unwrap().apply(&inc) else {
                continue;
            };
            assert_eq!(next.epoch(), inc.epoch());
            assert_eq!(inc.epoch(), map.epoch() + 1, "list entry {epoch}");
            assert_eq!(next.fsid(), map.fsid());
            let after = look_at(&next, seed);
            for ((pg, old), (same, new)) in before.iter().zip(&after) {
                if let (true, Ok(old), Ok(new)) = (pg == same, old, new) {
                    let _ = old.is_new(new, *pg);
                }
            }
            (current, before) = (Some(next), after);
        }
    }
});
