// SPDX-License-Identifier: GPL-2.0-only

//! CRUSH maps, and placement by any of their rules.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::crush::{CrushMap, ITEM_NONE, MAX_RESULT};

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let (rule, x, pool, width) = (i.u8(), i.u32(), i.u8(), i.u8());
    let weights: Vec<u32> = i.bytes().iter().map(|&w| u32::from(w) << 9).collect();
    let Ok(map) = CrushMap::decode(i.rest()) else {
        return;
    };
    let copy = map.try_clone().unwrap();
    let place = |map: &CrushMap, weights: &[u32]| {
        let mut out = [i32::MIN; MAX_RESULT];
        let room = &mut out[..usize::from(width) % (MAX_RESULT + 1)];
        let count = map.do_rule(rule.into(), x, weights, pool.into(), room);
        count.map(|n| (n, out))
    };
    let placed = place(&map, &weights);
    if let Ok((count, out)) = placed {
        assert!(count <= usize::from(width));
        for &item in &out[..count] {
            // A rule may also name a bucket, if it does not go down to devices.
            assert!(
                item != i32::MIN && item != ITEM_NONE - 1,
                "a place that was never filled"
            );
        }
        // Not always: some cost a tenth of a second.
        if x % 8 == 0 {
            let again = place(&copy, &weights);
            assert_eq!(again, Ok((count, out)), "placement is a function");
        }
    }
});
