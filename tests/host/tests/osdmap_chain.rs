// SPDX-License-Identifier: GPL-2.0-only

//! The OSD maps of a real cluster, epoch by epoch (made by `vectors/capture-osdmaps`): each incremental
//! applied to the map before it, compared with the monitor's own full map and with what the monitor and
//! osdmaptool print of it.

use ceph_proto_host::proto::osdmap::{pool_flag, Incremental, OsdMap, PgId, PoolKind};
use ceph_proto_host::proto::types::{AddrType, EntityAddr};
use ceph_proto_host::rust_crypto::crc32c;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything a client sees of a map, as text.
fn describe(map: &OsdMap) -> Vec<String> {
    let mut out = vec![format!(
        "epoch {} fsid {} flags {:#x} max_osd {} pool_max {} modified {:?} release {}",
        map.epoch(),
        map.fsid(),
        map.flags(),
        map.max_osd(),
        map.pool_max(),
        map.modified(),
        map.require_osd_release()
    )];
    out.extend(map.pools().iter().map(|p| format!("{p:?}")));
    out.extend((0..map.max_osd()).map(|o| {
        format!(
            "osd {o}: {:#x} {:#x} {:#x} {:?} {:?}",
            map.osd_state(o),
            map.osd_weight(o),
            map.osd_affinity(o),
            map.osd_addr(o, false),
            map.osd_addr(o, true)
        )
    }));
    out.extend(map.pg_temp().map(|e| format!("temp {e:?}")));
    out.extend(map.primary_temp().map(|e| format!("primary {e:?}")));
    out.extend(map.pg_upmap().map(|e| format!("upmap {e:?}")));
    out.extend(map.pg_upmap_items().map(|e| format!("items {e:?}")));
    out.extend(map.pg_upmap_primaries().map(|e| format!("first {e:?}")));
    for pool in map.pools() {
        for seed in 0..pool.pg_num {
            let pg = PgId {
                pool: pool.id,
                seed,
            };
            out.push(format!("{pg} {:?}", map.interval(pg).unwrap()));
        }
    }
    out
}

/// `IP:PORT/NONCE` as the monitor prints it.
fn parse_addr(text: &str) -> EntityAddr {
    let (sock, nonce) = text.split_once('/').unwrap();
    let sock: SocketAddr = sock.parse().unwrap();
    EntityAddr::new(AddrType::ANY, nonce.parse().unwrap(), sock)
}

/// `a,b,c` or `-`.
fn parse_set(text: &str) -> Vec<i32> {
    match text {
        "-" => Vec::new(),
        _ => text.split(',').map(|n| n.parse().unwrap()).collect(),
    }
}

/// A client instance.
fn client(ip: IpAddr, port: u16, nonce: u32) -> EntityAddr {
    EntityAddr::new(AddrType::MSGR2, nonce, SocketAddr::new(ip, port))
}

/// Compares a map with the dump of it. Returns how many objects it told of.
fn check_dump(map: &OsdMap, dump: &str, at: &str) -> usize {
    let number = |o: Option<u32>| o.map_or(-1, i64::from);
    let (mut pools, mut osds, mut pgs, mut listed) = (0, 0, 0u32, Vec::new());
    let mut objects = 0;
    for line in dump.lines() {
        let what = format!("{at}: {line}");
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["m", epoch, flags, max_osd] => {
                assert_eq!(map.epoch().to_string(), *epoch, "{what}");
                assert_eq!(map.flags().to_string(), *flags, "{what}");
                assert_eq!(map.max_osd().to_string(), *max_osd, "{what}");
            }
            ["a", id, name, rest @ ..] => {
                pools += 1;
                let id = id.parse().unwrap();
                let p = map.pool(id).unwrap();
                assert_eq!(p.name(), *name, "{what}");
                assert_eq!(map.pool_by_name(name), Some(id), "{what}");
                let kind = if p.kind == PoolKind::Erasure { 3 } else { 1 };
                let hash = 2;
                let got = [
                    kind,
                    p.size.into(),
                    p.min_size.into(),
                    p.crush_rule.into(),
                    hash,
                    p.pg_num.into(),
                    p.pgp_num.into(),
                    p.flags,
                    p.stripe_width.into(),
                ];
                let want: Vec<u64> = rest.iter().map(|n| n.parse().unwrap()).collect();
                assert_eq!(got.as_slice(), want, "{what}");
            }
            ["d", osd, up, is_in, weight, affinity, v1, v2] => {
                osds += 1;
                let osd = osd.parse().unwrap();
                assert!(map.osd_exists(osd), "{what}");
                assert_eq!(map.osd_is_up(osd), *up == "1", "{what}");
                assert_eq!(map.osd_is_in(osd), *is_in == "1", "{what}");
                // The dump has six decimals.
                let near = |a: u32, b: &str| a.abs_diff(b.parse().unwrap()) <= 1;
                assert!(near(map.osd_weight(osd), weight), "{what}");
                assert!(near(map.osd_affinity(osd), affinity), "{what}");
                for (v2, want) in [(false, v1), (true, v2)] {
                    match map.osd_addr(osd, v2) {
                        Some(addr) => assert!(addr.same_endpoint(&parse_addr(want)), "{what}"),
                        None => assert_eq!(*want, "-", "{what}"),
                    }
                }
            }
            ["b", addr] => {
                let addr = parse_addr(addr);
                assert!(map.is_blocklisted(&addr), "{what}");
                listed.push(addr);
            }
            ["r", addr] => {
                // The first and the last address of the range, and their outer neighbours.
                let range = parse_addr(addr.trim_start_matches("cidr:"));
                let IpAddr::V4(base) = range.sock.unwrap().ip() else {
                    panic!("{what}: only IPv4 ranges are captured");
                };
                let last = base.to_bits() + (1 << (32 - range.nonce)) - 1;
                let client = |ip: u32| client(IpAddr::V4(ip.into()), 4, 5);
                assert!(map.is_blocklisted(&client(base.to_bits())), "{what}");
                assert!(map.is_blocklisted(&client(last)), "{what}");
                assert!(!map.is_blocklisted(&client(base.to_bits() - 1)), "{what}");
                assert!(!map.is_blocklisted(&client(last + 1)), "{what}");
            }
            ["p", pg, up, up_primary, acting, primary] => {
                pgs += 1;
                let (pool, seed) = pg.split_once('.').unwrap();
                let pg = PgId {
                    pool: pool.parse().unwrap(),
                    seed: u32::from_str_radix(seed, 16).unwrap(),
                };
                let got = map.pg_to_up_acting(pg).unwrap();
                assert_eq!(*got.up, parse_set(up), "{what}");
                assert_eq!(number(got.up_primary).to_string(), *up_primary, "{what}");
                assert_eq!(*got.acting, parse_set(acting), "{what}");
                assert_eq!(number(got.acting_primary).to_string(), *primary, "{what}");
            }
            ["o", pool, object, namespace, raw, pg] => {
                objects += 1;
                let namespace = namespace.trim_start_matches('-').as_bytes();
                let pool = map.pool(pool.parse().unwrap()).unwrap();
                let got = pool.hash_name(namespace, object.as_bytes());
                assert_eq!(got.to_string(), *raw, "{what}");
                let got = pool.object_to_pg(namespace, object.as_bytes());
                assert_eq!(got.to_string(), *pg, "{what}");
            }
            _ => panic!("{what}"),
        }
    }
    assert_eq!(pools, map.pools().len(), "{at}");
    let pg_num: u32 = map.pools().iter().map(|p| p.pg_num).sum();
    assert_eq!(pgs, pg_num, "{at}");
    let exist = (0..map.max_osd()).filter(|&o| map.osd_exists(o)).count();
    assert_eq!(osds, exist, "{at}");
    for addr in listed {
        let sock = addr.sock.unwrap();
        // Port and nonce zero list the whole host; anything else one instance of it.
        let other = client(sock.ip(), sock.port(), addr.nonce ^ 0x55);
        let whole_host = sock.port() == 0 && addr.nonce == 0;
        assert_eq!(map.is_blocklisted(&other), whole_host, "{at}");
    }
    objects
}

/// Files `prefix.N` of a folder by N.
fn numbered(folder: &Path, prefix: &str) -> BTreeMap<u32, PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let number = |p: &PathBuf| {
        let name = p.file_name()?.to_str()?;
        name.strip_prefix(prefix)?.strip_prefix('.')?.parse().ok()
    };
    entries.filter_map(|p| Some((number(&p)?, p))).collect()
}

/// Walks a chain of a cluster of `release` from its first full map to its last.
fn check_chain(folder: &Path, release: u8) {
    let fulls = numbered(folder, "full");
    let dumps = numbered(folder, "dump");
    let incs = numbered(folder, "inc");
    let read = |p: &PathBuf| std::fs::read(p).unwrap();
    let (&first, &last) = (fulls.keys().next().unwrap(), fulls.keys().last().unwrap());
    assert!(
        last > first + 30,
        "too short a chain in {}",
        folder.display()
    );
    let mut map = OsdMap::decode(&read(&fulls[&first]), crc32c).unwrap();
    let (mut seen, mut objects) = (HashSet::new(), 0);
    for epoch in first..=last {
        let at = format!("{} epoch {epoch}", folder.display());
        if epoch > first {
            let bytes = read(&incs[&epoch]);
            let inc = Incremental::decode(&bytes, crc32c).unwrap_or_else(|e| panic!("{at}: {e:?}"));
            assert_eq!(inc.epoch(), epoch);
            let copy = map.try_clone().unwrap();
            map = copy.apply(&inc).unwrap_or_else(|e| panic!("{at}: {e:?}"));
        }
        if let Some(full) = fulls.get(&epoch) {
            let full = OsdMap::decode(&read(full), crc32c).unwrap();
            assert_eq!(describe(&map), describe(&full), "{at}");
            let dump = std::fs::read_to_string(&dumps[&epoch]).unwrap();
            objects += check_dump(&full, &dump, &at);
        }
        // What kinds of exception the chain has shown.
        let tables = [
            map.pg_temp().count(),
            map.primary_temp().count(),
            map.pg_upmap().count(),
            map.pg_upmap_items().count(),
            map.pg_upmap_primaries().count(),
        ];
        seen.extend((0..tables.len()).filter(|&i| tables[i] > 0));
    }
    assert!(objects > 10, "a chain without objects");
    assert_eq!(map.require_osd_release(), release);
    println!("{}: epochs {first} to {last}", folder.display());
    assert_eq!(
        seen.len(),
        5,
        "a chain without some kind of exception: {seen:?}"
    );
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/osdmap")
}

#[test]
fn reef() {
    check_chain(&vectors().join("chain-18.2"), 18);
}

#[test]
fn tentacle() {
    check_chain(&vectors().join("chain-20.2"), 20);
}

/// A pool in which not every shard can be the primary: full maps alone.
#[test]
fn optimized_erasure_coding() {
    let folder = vectors().join("optimized-20.2");
    let mut moved = 0;
    let mut maps = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(epoch) = name.strip_prefix("full.") else {
            continue;
        };
        let map = OsdMap::decode(&std::fs::read(&path).unwrap(), crc32c).unwrap();
        let dump = std::fs::read_to_string(folder.join(format!("dump.{epoch}"))).unwrap();
        check_dump(&map, &dump, name);
        maps += 1;
        // The primary is the first of the exception, wherever its shard is.
        for (pg, osds) in map.pg_temp() {
            let pool = map.pool(pg.pool).unwrap();
            let first = osds.iter().find(|&&osd| map.osd_is_up(osd as u32)).unwrap();
            let placement = map.pg_to_up_acting(pg).unwrap();
            let primary = placement.primary(pool).unwrap();
            if pool.flags & pool_flag::EC_OPTIMIZATIONS != 0 && map.primary_temp().count() == 0 {
                assert_eq!(primary.osd as i32, *first, "{name} {pg}");
                assert!([0, 3, 4].contains(&primary.shard), "{name} {pg}");
                assert_eq!(placement.acting[primary.shard as usize], *first);
                moved += u32::from(&*placement.acting != osds);
            }
        }
    }
    assert!(maps > 5 && moved > 3, "{maps} maps, {moved} groups");
}

#[test]
fn an_incremental_fits_one_epoch_of_one_cluster() {
    let read = |name: &str| std::fs::read(vectors().join("chain-18.2").join(name)).unwrap();
    let map = || OsdMap::decode(&read("full.1"), crc32c).unwrap();
    let (next, later) = (read("inc.2"), read("inc.3"));
    let next = Incremental::decode(&next, crc32c).unwrap();
    let later = Incremental::decode(&later, crc32c).unwrap();
    assert!(map().apply(&later).is_err());
    let second = map().apply(&next).unwrap();
    assert!(second.try_clone().unwrap().apply(&next).is_err());
    assert_eq!(second.apply(&later).unwrap().epoch(), 3);

    let other = std::fs::read(vectors().join("chain-20.2/inc.2")).unwrap();
    let other = Incremental::decode(&other, crc32c).unwrap();
    assert!(map().apply(&other).is_err());
}
