// SPDX-License-Identifier: GPL-2.0-only

//! What user space writes, addresses in all forms, and scripts for what needs no vectors.

use super::{counted, Seeds};
use ceph_proto_fuzz::plain::addr;
use ceph_proto_host::proto::types::{addrvec, AddrType};
use ceph_proto_host::proto::wire::Encoder;
use kernel::prelude::*;

const ADD: [&str; 6] = [
    "1.2.3.4:6789 name=admin,secret=AQBAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA== rbd img -",
    "[::1]:3300,10.0.0.1 ms_mode=prefer-crc,nocrc,noshare,ro,lock_on_read rbd img snap",
    "1.2.3.4 fsid=01234567-89ab-cdef-0123-456789abcdef,ip=1.2.3.5,key=k,_pool_ns=ns p i",
    "1.2.3.4 mount_timeout=30,osd_idle_ttl=0x10,osdkeepalive=07,osd_request_timeout=5 p i",
    "1.2.3.4 crush_location=host:a|rack:b,read_from_replica=localize,rxbounce,abort_on_full p i",
    "1.2.3.4 queue_depth=64,alloc_size=4096,lock_timeout=9,exclusive,notrim,compression_hint=none p i",
];

pub fn put(s: &Seeds) {
    for (n, text) in ADD.iter().enumerate() {
        s.put("map_strings", &n.to_string(), text.as_bytes());
    }
    s.put("map_strings", "remove", b"17 full-force");

    let addrs = [
        addr(AddrType::LEGACY, 1, "10.1.2.3:6789"),
        addr(AddrType::MSGR2, 2, "[fe80::1]:3300"),
    ];
    for (n, addr) in addrs.iter().enumerate() {
        let mut out = KVec::new();
        addr.encode(&mut Encoder::new(&mut out)).expect("memory");
        s.put("addrs", &format!("{n}"), &out);
        out.clear();
        addr.encode_legacy(&mut Encoder::new(&mut out))
            .expect("memory");
        s.put("addrs", &format!("{n}-legacy"), &out);
    }
    let mut out = KVec::new();
    addrvec::encode(&addrs, &mut Encoder::new(&mut out)).expect("memory");
    s.put("addrs", "vector", &out);
    s.put("addrs", "key", &s.vector("cephx/mon_key"));
    s.put("addrs", "fsid", b"01234567-89ab-cdef-0123-456789abcdef");

    for order in 3..14u8 {
        let script = [
            &[order, 1, order & 7, 3][..],
            &[order; 8],
            &[200, 8, 4],
            b"rbd_data.10",
        ];
        s.put("striper", &format!("{order}"), &script.concat());
    }
    let names = [
        counted(b"rbd"),
        counted(b"get_size"),
        counted(b""),
        counted(b"rbd_header.1"),
    ];
    let ops: Vec<u8> = (0..10).flat_map(|op| [16, 32, op, 0]).collect();
    s.put(
        "osd_request",
        "all",
        &[&names.concat()[..], &counted(&[5, 3]), &ops].concat(),
    );
    let many = |step: &[u8], n: usize| step.repeat(n);
    s.put(
        "mon_client",
        "questions",
        &many(&[1, 0, 0, 1, 7, 1, 2, 5, 1, 4, 9, 6, 3, 5, 1, 7, 1], 9),
    );
    s.put(
        "mon_client",
        "maps",
        &many(&[0, 8, 1, 4, 0, 0, 10, 9, 0, 9, 1, 5, 0, 11, 8, 1], 9),
    );
    s.put(
        "osd_session_tables",
        "table",
        &many(&[0, 1, 3, 1, 0, 2, 0, 1, 3, 1, 3, 5, 3], 20),
    );
    s.put(
        "osd_session_tables",
        "ring",
        &many(&[6, 20, 7, 6, 20, 8, 7, 9], 20),
    );
    for want in 0..4u8 {
        for entry in 0..4u8 {
            let (offset, length) = ([0, 0], [0xff, 0x0f]);
            let start = [&[want][..], &offset, &length, &[entry, 2, entry & 1, 0]].concat();
            let name = format!("{want}-{entry}");
            s.put(
                "object_steps",
                &name,
                &[&start[..], &[180, 0, 0, 0, 0, 0, 0, 0]].concat(),
            );
        }
    }
    for exclusive in 0..2u8 {
        let free = many(&[5, 1, 0], 12);
        let taken = [&[5, 1, 255, 5], &many(&[5, 1, 0, 3], 20)[..]].concat();
        s.put(
            "exclusive_lock",
            &format!("free-{exclusive}"),
            &[&[exclusive, 1], &free[..]].concat(),
        );
        s.put(
            "exclusive_lock",
            &format!("taken-{exclusive}"),
            &[&[exclusive, 1], &taken[..]].concat(),
        );
    }
    s.put(
        "waiting_rooms",
        "turns",
        &[&[1], &many(&[0, 1, 8, 1, 0, 1, 1, 0], 20)[..]].concat(),
    );
    s.put(
        "waiting_rooms",
        "queue",
        &[&[0, 5], &many(&[0, 7, 9, 0, 8, 9, 200], 20)[..]].concat(),
    );
}
