// SPDX-License-Identifier: GPL-2.0-only

//! OSD maps: what hostile bytes and lack of memory do, and the rules of hashing, splitting and intervals.

use ceph_proto_host::proto::error::Reason;
use ceph_proto_host::proto::osdmap::{
    Incremental, Interval, ObjectHash, OsdMap, OsdSet, PgId, Placement, PoolKind, ITEM_NONE,
    MAX_PG_SIZE, NO_SHARD,
};
use ceph_proto_host::rust_crypto::crc32c;
use kernel::alloc::fail_after;
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nothing may take longer, in a debug build on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(20);

fn vector(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/osdmap");
    std::fs::read(folder.join(name)).unwrap()
}

/// The chain's full map of an epoch, and the incremental to the next.
fn step(epoch: u32) -> (Vec<u8>, Vec<u8>) {
    let full = vector(&format!("chain-20.2/full.{epoch}"));
    (full, vector(&format!("chain-20.2/inc.{}", epoch + 1)))
}

/// Makes the checksum right again, which stands `from_end` bytes before the end.
fn repair(bytes: &mut [u8], from_end: usize) {
    let Some(at) = bytes.len().checked_sub(from_end) else {
        return;
    };
    let crc = crc32c(crc32c(!0, &bytes[..at]), &bytes[at + 4..]);
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum's place in a full map.
const FULL_CRC: usize = 4;
/// Its place in an incremental, before that of the full map.
const INC_CRC: usize = 8;

/// Places some PGs of every pool.
fn place_some(map: &OsdMap) {
    for pool in map.pools().iter().take(4) {
        for seed in 0..3 {
            let start = Instant::now();
            let pg = pool.raw_to_pg(pool.hash_name(b"", &[seed]));
            let _ = map.interval(pg);
            assert!(start.elapsed() < TOO_LONG, "{pg}");
        }
    }
}

#[test]
fn a_wrong_bit_is_a_wrong_checksum() {
    let (full, inc) = step(28);
    for at in 6 + 6..full.len() - FULL_CRC {
        let mut changed = full.clone();
        changed[at] ^= 0x10;
        assert!(OsdMap::decode(&changed, crc32c).is_err(), "{at}");
    }
    let mut changed = inc.clone();
    changed[40] ^= 1;
    let error = Incremental::decode(&changed, crc32c).map(drop).unwrap_err();
    assert!(matches!(error.reason, Reason::BadCrc { .. }), "{error:?}");
}

#[test]
fn every_cut_fails() {
    let (full, inc) = step(28);
    for len in 0..full.len() {
        assert!(OsdMap::decode(&full[..len], crc32c).is_err(), "{len}");
    }
    for len in 0..inc.len() {
        assert!(Incremental::decode(&inc[..len], crc32c).is_err(), "{len}");
    }
}

#[test]
fn lack_of_memory_is_reported() {
    let (full, inc) = step(28);
    let map = OsdMap::decode(&full, crc32c).unwrap();
    let next = Incremental::decode(&inc, crc32c).unwrap();
    type Action<'a> = &'a dyn Fn() -> Result<(), Reason>;
    let decode: Action<'_> = &|| {
        OsdMap::decode(&full, crc32c)
            .map(drop)
            .map_err(|e| e.reason)
    };
    let decode_inc: Action<'_> = &|| {
        Incremental::decode(&inc, crc32c)
            .map(drop)
            .map_err(|e| e.reason)
    };
    let apply: Action<'_> = &|| {
        let copy = map.try_clone().map_err(|e| e.reason)?;
        copy.apply(&next).map(drop).map_err(|e| e.reason)
    };
    for (what, action) in [("full", decode), ("inc", decode_inc), ("apply", apply)] {
        let mut failed = 0;
        for n in 0.. {
            fail_after(Some(n));
            let result = action();
            fail_after(None);
            match result {
                Ok(()) => break,
                Err(reason) => assert_eq!(reason, Reason::NoMemory, "{what}"),
            }
            failed += 1;
        }
        assert!(failed >= 3, "{what}: {failed}");
    }
}

#[test]
fn an_incremental_cannot_ask_for_much_memory() {
    let (full, mut inc) = step(28);
    // fsid, epoch, modified, pool_max, flags, two empty blobs
    let at = 6 + 6 + 16 + 4 + 8 + 8 + 4 + 4 + 4;
    assert_eq!(inc[at..at + 4], [0xff; 4], "new_max_osd is -1");
    inc[at..at + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    repair(&mut inc, INC_CRC);
    let error = Incremental::decode(&inc, crc32c).map(drop).unwrap_err();
    assert!(matches!(error.reason, Reason::TooLong { .. }), "{error:?}");
    // A small number is taken, and what is beyond it is gone.
    inc[at..at + 4].copy_from_slice(&2u32.to_le_bytes());
    repair(&mut inc, INC_CRC);
    let inc = Incremental::decode(&inc, crc32c).unwrap();
    let map = OsdMap::decode(&full, crc32c).unwrap().apply(&inc).unwrap();
    assert_eq!(map.max_osd(), 2);
    assert!(!map.osd_exists(2));
    assert_eq!(map.osd_addr(2, true), None);
    place_some(&map);
}

#[test]
fn unknown_things() {
    let map = OsdMap::decode(&step(28).0, crc32c).unwrap();
    let pg = PgId { pool: 99, seed: 0 };
    assert!(map.pg_to_up_acting(pg).is_err());
    assert!(map.pool(99).is_none());
    assert_eq!(map.pool_by_name("no such pool"), None);
    assert_eq!(map.object_to_pg(99, b"", b"x"), None);
    assert_eq!((map.osd_state(u32::MAX), map.osd_weight(u32::MAX)), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), from: prop::sample::Index) {
        // Behind a wrapper of the right size, so that decoding gets somewhere.
        let len = (bytes.len() as u32).to_le_bytes();
        let mut wrapped = vec![8, 7, len[0], len[1], len[2], len[3]];
        wrapped.extend(&bytes);
        let _ = OsdMap::decode(&wrapped, crc32c);
        let _ = Incremental::decode(&wrapped, crc32c);
        // And in the place of all that follows the first fields of a real map, under checksums that are right.
        for (mut map, crc) in [(step(28).0, FULL_CRC), (step(28).1, INC_CRC)] {
            let from = from.index(map.len() - bytes.len());
            map[from..from + bytes.len()].copy_from_slice(&bytes);
            repair(&mut map, crc);
            match crc == FULL_CRC {
                true => drop(OsdMap::decode(&map, crc32c).map(|map| place_some(&map))),
                false => drop(Incremental::decode(&map, crc32c)),
            }
        }
    }

    #[test]
    fn changed_maps(
        epoch in prop::sample::select(vec![19u32, 28, 46, 55]),
        in_full in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut full, mut inc) = step(epoch);
        let bytes = if in_full { &mut full } else { &mut inc };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        repair(bytes, if in_full { FULL_CRC } else { INC_CRC });
        let inc = Incremental::decode(&inc, crc32c);
        if let Ok(map) = OsdMap::decode(&full, crc32c) {
            place_some(&map);
            if let Ok(map) = inc.and_then(|inc| map.apply(&inc)) {
                place_some(&map);
            }
        }
    }

    #[test]
    fn parts_hash_as_their_concatenation(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..5),
    ) {
        let whole = parts.concat();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for hash in [ObjectHash::RJenkins, ObjectHash::Linux] {
            prop_assert_eq!(hash.hash(&parts), hash.hash(&[&whole]));
        }
    }

    #[test]
    fn splits_and_merges_are_where_objects_move(old in 1u32..200, new in 1u32..200) {
        // Folding as Ceph documents it: by the mask of the next power of two, or half of it.
        let fold = |x: u32, n: u32| {
            let mask = n.next_power_of_two() - 1;
            if x & mask < n { x & mask } else { x & (mask >> 1) }
        };
        let moves = |seed| (0..4096).any(|x| fold(x, old) == seed && fold(x, new) != seed);
        let joined = |seed| (0..4096).any(|x| fold(x, old) != seed && fold(x, new) == seed);
        for seed in 0..old {
            let pg = PgId { pool: 1, seed };
            prop_assert_eq!(pg.is_split(old, new), new > old && moves(seed), "{} {} {}", pg, old, new);
            let merged = new < old && (moves(seed) || joined(seed));
            prop_assert_eq!(pg.is_merged(old, new), merged, "{} {} {}", pg, old, new);
        }
    }

    #[test]
    fn splitting_is_bounded(seed: u32, old: u32, new: u32) {
        let start = Instant::now();
        let pg = PgId { pool: 1, seed };
        let _ = (pg.is_split(old, new), pg.is_merged(old, new));
        prop_assert!(start.elapsed() < Duration::from_secs(10));
    }
}

fn placed(acting: &[i32], primary: Option<u32>) -> Placement {
    Placement {
        up: OsdSet::new(acting).unwrap(),
        up_primary: primary,
        acting: OsdSet::new(acting).unwrap(),
        acting_primary: primary,
    }
}

#[test]
fn ordinary_requests_follow_the_primary() {
    let map = OsdMap::decode(&step(28).0, crc32c).unwrap();
    let of = |kind| map.pools().iter().find(|p| p.kind == kind).unwrap();
    let (copies, shards) = (of(PoolKind::Replicated), of(PoolKind::Erasure));
    for pool in [copies, shards] {
        let at = |acting: &[i32], primary| placed(acting, primary).primary(pool);
        let old = at(&[3, 1, 2], Some(3));
        assert!(old.is_some());
        // Replicas come and go.
        assert_eq!(old, at(&[3, 5, 2], Some(3)));
        assert_eq!(old, at(&[3], Some(3)));
        // The primary goes, or holds another shard.
        assert_ne!(old, at(&[1, 3, 2], Some(1)));
        assert_ne!(old, at(&[1, 3, 2], Some(3)));
        assert_eq!(None, at(&[], None));
    }
    // A primary by decree that holds nothing cannot say which shard is meant.
    assert_eq!(None, placed(&[3, 1], Some(7)).primary(shards));
    let lone = placed(&[3, 1], Some(7)).primary(copies).unwrap();
    assert_eq!((7, NO_SHARD, None), (lone.osd, lone.shard, lone.rank));
}

#[test]
fn watches_follow_the_interval() {
    let old = Interval {
        placement: placed(&[3, 1, 2], Some(3)),
        size: 3,
        min_size: 2,
        pg_num: 8,
        pg_num_pending: 8,
        peering_crush: None,
        sort_bitwise: true,
        recovery_deletes: true,
    };
    let pg = PgId { pool: 1, seed: 3 };
    assert!(!old.is_new(&old, pg));
    let changes: [&dyn Fn(&mut Interval); 7] = [
        &|i| i.placement = placed(&[3, 1, 4], Some(3)),
        &|i| i.placement.up = OsdSet::EMPTY,
        &|i| i.size = 2,
        &|i| i.min_size = 1,
        &|i| i.sort_bitwise = false,
        &|i| i.recovery_deletes = false,
        &|i| i.peering_crush = Some([2, 2, 9, 0]),
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut new = old;
        change(&mut new);
        assert!(old.is_new(&new, pg), "change {n}");
    }
    // PG 3 of 8 splits at 12 PGs, not yet at 11; and at 11 takes nothing in when there are fewer.
    let with = |pg_num| Interval {
        pg_num,
        pg_num_pending: pg_num,
        ..old
    };
    assert!(!old.is_new(&with(11), pg));
    assert!(old.is_new(&with(12), pg));
    assert!(with(12).is_new(&with(11), pg));
    assert!(!with(11).is_new(&with(8), pg));
    // When 4 of 8 are about to go, 7 is merged into 3, and then no longer.
    let merging = |pg_num_pending| Interval {
        pg_num_pending,
        ..old
    };
    for seed in [3, 7] {
        let pg = PgId { pool: 1, seed };
        assert!(old.is_new(&merging(4), pg));
        assert!(merging(4).is_new(&old, pg));
        assert!(!merging(4).is_new(&merging(4), pg));
    }
    assert!(!old.is_new(&merging(7), PgId { pool: 1, seed: 0 }));
}

#[test]
fn sets_are_bounded() {
    assert!(OsdSet::new(&[1; MAX_PG_SIZE]).is_ok());
    assert!(OsdSet::new(&[1; MAX_PG_SIZE + 1]).is_err());
    assert_eq!(*OsdSet::new(&[4, ITEM_NONE]).unwrap(), [4, ITEM_NONE]);
}
