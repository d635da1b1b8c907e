// SPDX-License-Identifier: GPL-2.0-only

//! CRUSH against `crushtool --test --show-mappings`: maps of every bucket type and tunable profile
//! (made by `vectors/generate-placement`), each rule, for successive seeds.

use ceph_proto_host::proto::crush::{CrushMap, MAX_RESULT};
use std::path::{Path, PathBuf};

/// `a,b,c` or `-`.
fn parse_set(text: &str) -> Vec<i32> {
    match text {
        "-" => Vec::new(),
        _ => text.split(',').map(|n| n.parse().unwrap()).collect(),
    }
}

/// The numbers of bucket types in these maps.
fn type_number(kind: &str) -> u32 {
    let types = ["osd", "host", "rack", "root"];
    types.iter().position(|&t| t == kind).unwrap() as u32
}

/// Compares the locality of a device, which lies in the buckets `above` (`TYPE:NAME`, from the nearest on), for
/// every set of those as places.
fn check_locality(map: &CrushMap, device: u32, above: &[&str], what: &str) -> usize {
    let at = |chosen: u32| {
        let is_place = |kind: &[u8], name: &[u8]| {
            let place = format!(
                "{}:{}",
                String::from_utf8_lossy(kind),
                String::from_utf8_lossy(name)
            );
            let i = above.iter().position(|a| *a == place);
            i.is_some_and(|i| chosen & 1 << i != 0) || place == "host:nowhere"
        };
        map.localities(device + 1, is_place).unwrap().of(device)
    };
    let sets = 1u32 << above.len();
    for chosen in 0..sets {
        let nearest = above.get(chosen.trailing_zeros() as usize);
        let want = nearest.map(|a| type_number(a.split(':').next().unwrap()));
        assert_eq!(at(chosen), want, "{what}, places {chosen:b}");
    }
    assert!(above.len() > 1, "{what}");
    // Other devices' places, and those that were not looked at.
    let elsewhere = map.localities(device, |_, _| true).unwrap();
    assert_eq!(elsewhere.of(device), None, "{what}");
    sets as usize
}

/// Checks one map against its cases and returns how many placements were compared.
fn check(map_file: &Path) -> usize {
    let name = map_file.display();
    let map = CrushMap::decode(&std::fs::read(map_file).unwrap())
        .unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let map = map.try_clone().unwrap();
    let cases = std::fs::read_to_string(map_file.with_extension("cases")).unwrap();
    let mut weights = vec![0x10000u32; 1024];
    let mut compared = 0;
    for line in cases.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "w" {
            let weight = words[2].trim_start_matches("0x");
            weights[words[1].parse::<usize>().unwrap()] = u32::from_str_radix(weight, 16).unwrap();
            continue;
        }
        if let ["l", device, above @ ..] = words.as_slice() {
            let what = format!("{name}: {line}");
            compared += check_locality(&map, device.parse().unwrap(), above, &what);
            continue;
        }
        let ["r", rule, "n", size, "x", first, results @ ..] = words.as_slice() else {
            panic!("{name}: {line}");
        };
        let rule = rule.parse().unwrap();
        let size: usize = size.parse().unwrap();
        let first: u32 = first.trim_end_matches(':').parse().unwrap();
        for (x, want) in (first..).zip(results) {
            let mut out = [0; MAX_RESULT];
            // crushtool looks weight sets up under index 0.
            let n = map.do_rule(rule, x, &weights, 0, &mut out[..size]).unwrap();
            assert_eq!(
                &out[..n],
                parse_set(want),
                "{name}: rule {rule} size {size} x {x}"
            );
            compared += 1;
        }
    }
    compared
}

fn check_folder(folder: &Path) {
    let (mut maps, mut compared) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "crush") {
            compared += check(&path);
            maps += 1;
        }
    }
    println!("{maps} maps, {compared} placements agree");
    assert!(
        maps > 0 && compared > 1000,
        "no vectors in {}",
        folder.display()
    );
}

#[test]
fn committed_vectors() {
    check_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/crush"));
}

#[test]
#[ignore = "needs PLACEMENT_VECTORS: a folder that vectors/generate-placement filled"]
fn fresh_vectors() {
    let folder = std::env::var_os("PLACEMENT_VECTORS").expect("PLACEMENT_VECTORS is not set");
    check_folder(&Path::new(&folder).join("crush"));
}
