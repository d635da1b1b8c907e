// SPDX-License-Identifier: GPL-2.0-only

//! Full OSD maps, and where they place objects.

#![no_main]

use ceph_proto_fuzz::maps::look_at;
use ceph_proto_fuzz::plain::crc32c;
use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::osdmap::OsdMap;

const BUDGET: Budget = Budget {
    base: 64 << 10,
    ..Budget::DECODER
};

fuzz_target!(BUDGET, |data| {
    let mut i = Input::new(data);
    let seed = i.u32();
    let Ok(map) = OsdMap::decode(i.rest(), crc32c) else {
        return;
    };
    let mut copy = map.try_clone().unwrap();
    assert_eq!(look_at(&map, seed), look_at(&copy, seed));
    copy.locate(|kind, name| (kind.len() ^ name.len()) & 1 == seed as usize & 1)
        .unwrap();
    assert_eq!(copy.locality(copy.max_osd()), None);
    let near = (0..copy.max_osd()).filter(|&osd| copy.locality(osd).is_some());
    assert!(near.count() <= copy.max_osd() as usize);
});
