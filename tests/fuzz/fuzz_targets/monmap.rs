// SPDX-License-Identifier: GPL-2.0-only

//! Monitor maps.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget};
use ceph_proto_host::proto::monmap::MonMap;

fuzz_target!(Budget::DECODER, |data| {
    let Ok(map) = MonMap::decode(data) else {
        return;
    };
    assert!(map.mons().len() <= 1024);
    let copy = map.try_clone().unwrap();
    assert_eq!((copy.fsid(), copy.epoch()), (map.fsid(), map.epoch()));
    for (mon, same) in map.mons().iter().zip(copy.mons()) {
        assert_eq!(mon.name(), same.name());
        for want_v2 in [false, true] {
            assert_eq!(mon.addr(want_v2), same.addr(want_v2));
        }
    }
});
