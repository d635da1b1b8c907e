// SPDX-License-Identifier: GPL-2.0-only

//! CRUSH and bad maps: whatever the bytes, no panic, no endless search, no allocation beyond them.

use ceph_proto_host::proto::crush::{CrushMap, ITEM_NONE, MAX_RESULT};
use ceph_proto_host::proto::error::Reason;
use kernel::alloc::fail_after;
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// No evaluation may take longer, in a debug build on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(20);

fn vector(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/crush");
    std::fs::read(folder.join(name).with_extension("crush")).unwrap()
}

/// Places a few seeds by every rule, and checks that what comes out has room.
fn place_some(map: &CrushMap) {
    let weights = [0x10000u32; 64];
    for rule in 0..12 {
        for x in [0, 7] {
            let mut out = [0; 4];
            let start = Instant::now();
            let result = map.do_rule(rule, x, &weights, 0, &mut out);
            assert!(start.elapsed() < TOO_LONG, "rule {rule} x {x}");
            // A rule may well end with buckets.
            assert!(result.map_or(true, |n| n <= out.len()));
        }
    }
}

/// A little-endian writer of hand-made maps.
#[derive(Default)]
struct Map(Vec<u8>);

impl Map {
    fn new(buckets: u32, rules: u32, devices: u32) -> Self {
        Self::default().words(&[0x10000, buckets, rules, devices])
    }
    fn words(mut self, words: &[u32]) -> Self {
        self.0.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        self
    }
    /// A straw2 bucket of items that weigh the same.
    fn bucket(self, id: i32, kind: u16, items: &[i32]) -> Self {
        let head = u32::from(kind) | 5 << 16;
        let items: Vec<u32> = items.iter().map(|&i| i as u32).collect();
        self.words(&[5, id as u32, head, 0x10000, items.len() as u32])
            .words(&items)
            .words(&vec![0x10000; items.len()])
    }
    fn rule(self, kind: u8, steps: &[[i32; 3]]) -> Self {
        let mut map = self.words(&[1, steps.len() as u32, u32::from(kind) << 8]);
        for step in steps {
            map = map.words(&step.map(|v| v as u32));
        }
        map
    }
    /// Ends the map with no names and these tunables.
    fn finish(self, tries: u32, local: u32, fallback: u32) -> CrushMap {
        let map = self.words(&[0, 0, 0]).words(&[local, fallback, tries]);
        CrushMap::decode(&map.0).unwrap()
    }
}

const TAKE: i32 = 1;
const CHOOSE_FIRSTN: i32 = 2;
const CHOOSE_INDEP: i32 = 3;
const EMIT: i32 = 4;
const CHOOSELEAF_FIRSTN: i32 = 6;
const CHOOSELEAF_INDEP: i32 = 7;
const CHOOSES: [i32; 4] = [
    CHOOSE_FIRSTN,
    CHOOSE_INDEP,
    CHOOSELEAF_FIRSTN,
    CHOOSELEAF_INDEP,
];

#[test]
fn cycles_end() {
    for choose in CHOOSES {
        // Two buckets that hold each other, and a type that neither has.
        let map = Map::new(2, 1, 1)
            .bucket(-1, 1, &[-2, -2])
            .bucket(-2, 2, &[-1])
            .rule(1, &[[TAKE, -1, 0], [choose, 0, 9], [EMIT, 0, 0]])
            .finish(50, 0, 0);
        let start = Instant::now();
        let error = map.do_rule(0, 1, &[], 0, &mut [0; 3]).unwrap_err();
        assert!(matches!(error.reason, Reason::TooLong { .. }), "{error:?}");
        assert!(start.elapsed() < TOO_LONG);
        // The same with a type on the cycle: it is found, and its device never is.
        let map = Map::new(2, 1, 1)
            .bucket(-1, 1, &[-2, -2])
            .bucket(-2, 2, &[-1])
            .rule(1, &[[TAKE, -1, 0], [choose, 0, 2], [EMIT, 0, 0]])
            .finish(50, 0, 0);
        let result = map.do_rule(0, 1, &[], 0, &mut [0; 3]);
        let to_leaf = choose == CHOOSELEAF_FIRSTN || choose == CHOOSELEAF_INDEP;
        assert_eq!(result.is_err(), to_leaf, "{choose}: {result:?}");
    }
}

#[test]
fn absurd_retries_end() {
    for choose in CHOOSES {
        for (tries, local, fallback) in [
            (u32::MAX, 0, 0),
            (1, u32::MAX, 0),
            (1, 0, u32::MAX),
            (u32::MAX, u32::MAX, u32::MAX),
        ] {
            // One device that is out, and an empty bucket.
            for items in [&[0][..], &[]] {
                let map = Map::new(1, 1, 1)
                    .bucket(-1, 1, items)
                    .rule(1, &[[TAKE, -1, 0], [choose, i32::MAX, 0], [EMIT, 0, 0]])
                    .finish(tries, local, fallback);
                let start = Instant::now();
                let _ = map.do_rule(0, 1, &[0], 0, &mut [0; 4]);
                assert!(start.elapsed() < TOO_LONG);
            }
        }
    }
}

#[test]
fn what_is_not_there_is_not_chosen() {
    // A device beyond the map's, a bucket that does not exist, one that is absent.
    for item in [5, -9, -2, i32::MAX, i32::MIN] {
        for choose in CHOOSES {
            let map = Map::new(2, 1, 5)
                .bucket(-1, 1, &[item])
                .words(&[0])
                .rule(1, &[[TAKE, -1, 0], [choose, 0, 0], [EMIT, 0, 0]])
                .finish(50, 0, 0);
            let mut out = [0; 3];
            let n = map.do_rule(0, 1, &[0x10000; 8], 0, &mut out).unwrap();
            assert!(out[..n].iter().all(|&o| o == ITEM_NONE), "{item}: {out:?}");
        }
    }
}

#[test]
fn unknown_rules() {
    let rules: [(u8, i32); 4] = [(4, EMIT), (5, EMIT), (1, 16), (1, 99)];
    for (kind, op) in rules {
        let map = Map::new(1, 1, 1)
            .bucket(-1, 1, &[0])
            .rule(kind, &[[TAKE, -1, 0], [op, 0, 0]])
            .finish(50, 0, 0);
        let error = map.do_rule(0, 1, &[0x10000], 0, &mut [0; 3]).unwrap_err();
        assert_eq!(error.reason, Reason::Unsupported);
        assert_eq!(map.do_rule(1, 1, &[0x10000], 0, &mut [0; 3]), Ok(0));
        assert!(map
            .do_rule(0, 1, &[0x10000], 0, &mut [0; MAX_RESULT + 1])
            .is_err());
    }
}

#[test]
fn claims_beyond_the_bytes_fail() {
    // Counts of buckets, rules, items, weight sets that nothing backs.
    for words in [
        &[0x10000, u32::MAX, 0, 0][..],
        &[0x10000, 0, u32::MAX, 0],
        &[0x10000, 1, 0, 0, 5, u32::MAX, 0x50001, 0, u32::MAX],
        &[0x10000, 0, 1, 0, 1, u32::MAX, 0, 0, 0, 0],
    ] {
        assert!(CrushMap::decode(&Map::default().words(words).0).is_err());
    }
}

#[test]
fn every_cut_of_a_map_is_safe() {
    let bytes = vector("straw2-jewel");
    let mut short = 0;
    for len in 0..bytes.len() {
        // A map may end where an older release's did.
        short += u32::from(CrushMap::decode(&bytes[..len]).is_err());
    }
    assert!(short as usize > bytes.len() - 20, "{short}");
}

#[test]
fn lack_of_memory_is_reported() {
    let bytes = vector("mixed-jewel");
    let map = CrushMap::decode(&bytes).unwrap();
    for clone in [false, true] {
        let mut failed = 0;
        for n in 0.. {
            fail_after(Some(n));
            let result = match clone {
                true => map.try_clone().map(drop),
                false => CrushMap::decode(&bytes).map(drop),
            };
            fail_after(None);
            match result {
                Ok(()) => break,
                Err(e) => assert_eq!(e.reason, Reason::NoMemory),
            }
            failed += 1;
        }
        assert!(failed >= 5, "{failed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = CrushMap::decode(&bytes);
        // What a map begins with, with some of each.
        let mut bytes = bytes;
        let begin = Map::new(8, 2, 16).0;
        let len = begin.len().min(bytes.len());
        bytes[..len].copy_from_slice(&begin[..len]);
        if let Ok(map) = CrushMap::decode(&bytes) {
            place_some(&map);
        }
    }

    #[test]
    fn changed_maps(
        name in prop::sample::select(vec!["uniform-odd", "list-argonaut", "tree-jewel", "straw-hammer", "straw2-odd", "mixed-jewel"]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = vector(name);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(map) = CrushMap::decode(&bytes) {
            place_some(&map);
        }
    }
}
