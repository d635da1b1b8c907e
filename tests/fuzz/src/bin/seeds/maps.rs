// SPDX-License-Identifier: GPL-2.0-only

//! Maps and messages, for decoders.

use super::{counted, Seeds};
use ceph_proto_fuzz::plain::addr;
use ceph_proto_host::proto::osd_op::{HObject, SpgId};
use ceph_proto_host::proto::types::{AddrType, EntityName, EntityType};
use ceph_proto_host::proto::wire::Encoder;
use kernel::prelude::*;

pub fn put(s: &Seeds) {
    for (name, bytes) in s.folder("monmap") {
        if name.ends_with(".monmap") {
            s.put("monmap", &name, &bytes);
        }
    }
    for (name, bytes) in s.folder("mon") {
        for version in [1u16, 2, 4] {
            let front = [&version.to_le_bytes()[..], &bytes].concat();
            s.put("mon_messages", &format!("{name}-{version}"), &front);
        }
    }
    for (name, bytes) in s.folder("osd_op") {
        for version in [3u16, 8] {
            let front = [&version.to_le_bytes()[..], &bytes].concat();
            s.put("osd_messages", &format!("{name}-{version}"), &front);
        }
    }
    for (name, bytes) in s.folder("cls") {
        s.put("cls", &name, &bytes);
    }
    for (name, bytes) in s.folder("object_map") {
        let short = &bytes[..bytes.len().min(200)];
        s.put("cls", &format!("map-{name}"), short);
        if name.starts_with("small") || name == "big" {
            let changes = counted(&[0, 1, 5, 3, 0xff, 0, 0, 0, 0, 0, 0, 0, 9, 2]);
            let script = [counted(b"10ab"), vec![4; 8], changes, bytes].concat();
            s.put("object_map", &name, &script);
        }
    }
    s.put("cls", "lock", &lock());
    s.put("osd_messages", "backoff", &backoff());
    crush(s);
    osdmaps(s);
}

/// Who has a lock, as librbd takes it.
fn lock() -> Vec<u8> {
    let mut out = KVec::new();
    let put = |e: &mut Encoder<'_>| {
        e.u32(1)?;
        e.section(1, 1, |e| {
            EntityName::new(EntityType::CLIENT, 4242).encode(e)?;
            e.blob(b"auto 123")
        })?;
        e.section(1, 1, |e| {
            e.u64(0)?;
            addr(AddrType::ANY, 77, "10.1.2.3:0").encode(e)?;
            e.blob(b"")
        })?;
        e.u8(1)?;
        e.blob(b"internal")
    };
    Encoder::new(&mut out).section(1, 1, put).expect("memory");
    out.to_vec()
}

/// An OSD asks to hold back a range of objects.
fn backoff() -> Vec<u8> {
    let object = |object, snapid| HObject {
        key: b"",
        object,
        snapid,
        hash: 0x1234_5678,
        max: false,
        namespace: b"ns",
        pool: 3,
    };
    let mut out = KVec::new();
    let e = &mut Encoder::new(&mut out);
    let spg = SpgId {
        pool: 3,
        seed: 8,
        shard: -1,
    };
    let put = |e: &mut Encoder<'_>| {
        e.u16(1)?;
        spg.encode(e)?;
        e.u32(55)?;
        e.u8(1)?;
        e.u64(9)?;
        object(b"a", 1).encode(e)?;
        object(b"b", 2).encode(e)
    };
    put(e).expect("memory");
    out.to_vec()
}

fn crush(s: &Seeds) {
    for (name, bytes) in s.folder("crush") {
        if name.ends_with(".crush") {
            for rule in 0..3u8 {
                let script = [rule, 1, 2, 3, 4, 5, 3 + rule];
                let weights = counted(&[0x80, 0x80, 0x40, 0x80, 0, 0x80, 0x80, 0x80]);
                let script = [&script[..], &weights, &bytes].concat();
                s.put("crush", &format!("{name}-{rule}"), &script);
            }
        }
    }
}

/// The checksum of a map, behind its two sections, made zero.
fn without_crc(map: &[u8]) -> Vec<u8> {
    let mut map = map.to_vec();
    let mut at = 6;
    for _ in 0..2 {
        let len = map[at + 2..at + 6].try_into().expect("a section");
        at += 6 + u32::from_le_bytes(len) as usize;
    }
    map[at..at + 4].fill(0);
    map
}

fn osdmaps(s: &Seeds) {
    for (name, bytes) in s.folder("osdmap") {
        if name.ends_with(".osdmap") {
            let script = [&[1, 0, 0, 0], &without_crc(&bytes)[..]].concat();
            s.put("osdmap", &name, &script);
        }
    }
    for chain in ["chain-18.2", "chain-20.2", "optimized-20.2"] {
        let files = s.folder(&format!("osdmap/{chain}"));
        let find = |kind: &str, epoch: u32| {
            let name = format!("{kind}.{epoch}");
            let found = files.iter().find(|(n, _)| *n == name);
            found.map(|(_, bytes)| without_crc(bytes))
        };
        for epoch in 1..200 {
            let Some(full) = find("full", epoch) else {
                continue;
            };
            let script = [&[2, 1, 0, 0], &full[..]].concat();
            s.put("osdmap", &format!("{chain}-{epoch}"), &script);
            let mut script = vec![3, 0, 0, 0];
            let fsid: [u8; 16] = full[12..28].try_into().expect("an fsid");
            script.extend(counted(&message(&fsid, &[], &[(epoch, full)])));
            let incs: Vec<_> = (epoch + 1..epoch + 12)
                .map_while(|e| Some((e, find("inc", e)?)))
                .collect();
            for two in incs.chunks(2) {
                script.extend(counted(&message(&fsid, two, &[])));
            }
            s.put("osdmap_updates", &format!("{chain}-{epoch}"), &script);
        }
    }
}

/// An `MOSDMap`.
fn message(fsid: &[u8; 16], incs: &[(u32, Vec<u8>)], full: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = fsid.to_vec();
    for list in [incs, full] {
        out.extend((list.len() as u32).to_le_bytes());
        for (epoch, blob) in list {
            out.extend(epoch.to_le_bytes());
            out.extend((blob.len() as u32).to_le_bytes());
            out.extend(blob);
        }
    }
    out.extend([1, 0, 0, 0, 200, 0, 0, 0]);
    out
}
