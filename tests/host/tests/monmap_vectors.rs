// SPDX-License-Identifier: GPL-2.0-only

//! Monitor maps against what `monmaptool --print` says of them (made by `vectors/generate-monmaps`).

use ceph_proto_host::proto::error::Reason;
use ceph_proto_host::proto::monmap::MonMap;
use ceph_proto_host::proto::types::{AddrType, EntityAddr};
use ceph_proto_host::proto::wire::Encoder;
use kernel::alloc::{fail_after, KVec};
use std::net::SocketAddr;
use std::path::Path;

fn vector(name: &str) -> (Vec<u8>, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/monmap");
    (
        std::fs::read(path.join(format!("{name}.monmap"))).unwrap(),
        std::fs::read_to_string(path.join(format!("{name}.txt"))).unwrap(),
    )
}

/// The map as monmaptool prints it, without times and election strategy.
fn print(map: &MonMap) -> Vec<String> {
    let mut out = vec![
        format!("epoch {}", map.epoch()),
        format!("fsid {}", map.fsid()),
        format!("min_mon_release {}", map.min_mon_release()),
    ];
    for (rank, mon) in map.mons().iter().enumerate() {
        let addrs = [mon.addr(true), mon.addr(false)];
        let addrs: Vec<_> = addrs.iter().flatten().map(ToString::to_string).collect();
        out.push(format!("{rank}: [{}] mon.{}", addrs.join(","), mon.name()));
    }
    out
}

/// What monmaptool printed, in the same form: msgr2 first in each vector.
fn printed(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        if line.starts_with("epoch") || line.starts_with("fsid") {
            out.push(line.to_string());
        } else if line.starts_with("min_mon_release") {
            out.push(line.split(" (").next().unwrap().to_string());
        } else if let Some((rank, rest)) = line.split_once(": ") {
            let Some((addrs, name)) = rest.rsplit_once(' ') else {
                continue;
            };
            let addrs = addrs.strip_prefix('[').unwrap_or(addrs);
            let addrs = addrs.strip_suffix(']').unwrap_or(addrs);
            let mut addrs: Vec<_> = addrs.split(',').collect();
            addrs.sort_by_key(|a| !a.starts_with("v2"));
            out.push(format!("{rank}: [{}] {name}", addrs.join(",")));
        }
    }
    out
}

#[test]
fn vectors() {
    for name in ["one", "three", "protocols", "none"] {
        let (bytes, text) = vector(name);
        let map = MonMap::decode(&bytes).unwrap().try_clone().unwrap();
        assert_eq!(print(&map), printed(&text), "{name}");
    }
}

#[test]
fn every_cut_fails() {
    let (bytes, _) = vector("three");
    for len in 0..bytes.len() {
        assert!(MonMap::decode(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn changed_bytes_do_not_panic() {
    let (bytes, _) = vector("three");
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            if let Ok(map) = MonMap::decode(&changed) {
                print(&map);
            }
        }
    }
}

#[test]
fn lack_of_memory_is_reported() {
    let (bytes, _) = vector("three");
    let mut failed = 0;
    for n in 0.. {
        fail_after(Some(n));
        let result = MonMap::decode(&bytes);
        fail_after(None);
        match result {
            Ok(_) => break,
            Err(e) => assert_eq!(e.reason, Reason::NoMemory),
        }
        failed += 1;
    }
    assert!(failed >= 4, "{failed}");
}

/// Encodings before Nautilus (Ceph `src/mon/MonMap.cc`): names and single addresses (versions 3 and 4),
/// and entries besides (version 5).
#[test]
fn older_encodings() {
    let addr =
        |text: &str| EntityAddr::new(AddrType::LEGACY, 0, text.parse::<SocketAddr>().unwrap());
    let mons = [("a", addr("10.0.0.9:6789")), ("b", addr("10.0.0.3:6789"))];
    for version in [3u8, 4, 5] {
        let mut bytes = KVec::new();
        Encoder::new(&mut bytes)
            .section(version, 3, |e| {
                e.bytes(&[7; 16])?;
                e.u32(42)?;
                e.count(mons.len())?;
                for (name, addr) in &mons {
                    e.string(name)?;
                    addr.encode_legacy(e)?;
                }
                e.zeros(16)?;
                if version >= 4 {
                    e.section(1, 1, |e| e.u64(1))?;
                    e.section(1, 1, |e| e.u64(0))?;
                }
                if version >= 5 {
                    e.count(mons.len())?;
                    for (name, addr) in &mons {
                        e.string(name)?;
                        e.section(2, 1, |e| {
                            e.string(name)?;
                            addr.encode_legacy(e)?;
                            e.u16(0)
                        })?;
                    }
                }
                Ok(())
            })
            .unwrap();
        let map = MonMap::decode(&bytes).unwrap();
        assert_eq!((map.epoch(), map.min_mon_release()), (42, 0));
        // Ranked by address.
        let names: Vec<_> = map.mons().iter().map(|m| m.name()).collect();
        assert_eq!(names, ["b", "a"], "version {version}");
        assert_eq!(map.mons()[1].addr(false), Some(mons[0].1));
        assert_eq!(map.mons()[1].addr(true), None);
    }
    assert_eq!(
        MonMap::decode(&[2, 0, 1, 2, 3]).unwrap_err().reason,
        Reason::Unsupported
    );
}

#[test]
fn initial_map() {
    let sock: SocketAddr = "[fd00::7]:3300".parse().unwrap();
    let addrs = [
        EntityAddr::new(AddrType::MSGR2, 0, sock),
        EntityAddr::new(AddrType::LEGACY, 0, sock),
        EntityAddr::new(AddrType::ANY, 0, sock),
    ];
    let map = MonMap::initial(&addrs).unwrap();
    assert_eq!(map.epoch(), 0);
    let kinds = |v2| map.mons().iter().map(move |m| m.addr(v2).map(|a| a.kind));
    let (v2, v1) = (Some(AddrType::MSGR2), Some(AddrType::LEGACY));
    assert_eq!(kinds(true).collect::<Vec<_>>(), [v2, None, v2]);
    assert_eq!(kinds(false).collect::<Vec<_>>(), [None, v1, v1]);
}
