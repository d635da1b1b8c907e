// SPDX-License-Identifier: GPL-2.0-only

//! Placement of PGs and objects against `osdmaptool --test-map-pgs-dump-all` and `--test-map-object`, over
//! maps with every kind of exception (made by `vectors/generate-placement`).

use ceph_proto_host::proto::osdmap::{OsdMap, PgId, Placement};
use ceph_proto_host::rust_crypto::crc32c;
use std::path::Path;

/// `a,b,c` or `-`.
fn parse_set(text: &str) -> Vec<i32> {
    match text {
        "-" => Vec::new(),
        _ => text.split(',').map(|n| n.parse().unwrap()).collect(),
    }
}

/// `pool.seed`, the seed in hexadecimal.
fn parse_pg(text: &str) -> PgId {
    let (pool, seed) = text.split_once('.').unwrap();
    PgId {
        pool: pool.parse().unwrap(),
        seed: u32::from_str_radix(seed, 16).unwrap(),
    }
}

fn primary(osd: Option<u32>) -> i64 {
    osd.map_or(-1, i64::from)
}

/// Checks one map against its cases and returns how many were compared.
fn check(map_file: &Path) -> usize {
    let name = map_file.display();
    let map = OsdMap::decode(&std::fs::read(map_file).unwrap(), crc32c)
        .unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let map = map.try_clone().unwrap();
    let cases = std::fs::read_to_string(map_file.with_extension("cases")).unwrap();
    for line in cases.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["p", pg, up, up_primary, acting, acting_primary] => {
                let got: Placement = map.pg_to_up_acting(parse_pg(pg)).unwrap();
                let got = (
                    got.up.to_vec(),
                    primary(got.up_primary),
                    got.acting.to_vec(),
                    primary(got.acting_primary),
                );
                let want = (
                    parse_set(up),
                    up_primary.parse().unwrap(),
                    parse_set(acting),
                    acting_primary.parse().unwrap(),
                );
                assert_eq!(got, want, "{name}: {line}");
            }
            ["o", pool, object, pg] => {
                let raw = map.object_to_pg(pool.parse().unwrap(), b"", object.as_bytes());
                let got = map.raw_pg_to_pg(raw.unwrap()).unwrap();
                assert_eq!(got, parse_pg(pg), "{name}: {line}");
                assert_eq!(got.to_string(), *pg);
            }
            _ => panic!("{name}: {line}"),
        }
    }
    let pgs: u32 = map.pools().iter().map(|p| p.pg_num).sum();
    let placed = cases.lines().filter(|l| l.starts_with("p ")).count();
    assert_eq!(placed, pgs as usize, "{name}: a case for each PG");
    cases.lines().count()
}

fn check_folder(folder: &Path) {
    let (mut maps, mut compared) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "osdmap") {
            compared += check(&path);
            maps += 1;
        }
    }
    println!("{maps} maps, {compared} placements agree");
    assert!(
        maps > 0 && compared > 100,
        "no vectors in {}",
        folder.display()
    );
}

#[test]
fn committed_vectors() {
    check_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/osdmap"));
}

#[test]
#[ignore = "needs PLACEMENT_VECTORS: a folder that vectors/generate-placement filled"]
fn fresh_vectors() {
    let folder = std::env::var_os("PLACEMENT_VECTORS").expect("PLACEMENT_VECTORS is not set");
    check_folder(&Path::new(&folder).join("osdmap"));
}
