// SPDX-License-Identifier: GPL-2.0-only

//! Peers that would have us allocate: more than a slab gives in one piece (the kernel warns of that), many
//! times what they sent, or more and more while they read nothing. What they send is made here.

mod msgr_common;

use ceph_proto_host::proto::crush::CrushMap;
use ceph_proto_host::proto::error::Reason;
use ceph_proto_host::proto::osdmap::{Incremental, OsdMap};
use ceph_proto_host::proto::session::Protocol;
use ceph_proto_host::rust_crypto::crc32c;
use kernel::alloc::take_asked;
use msgr_common::server::client_in;
use msgr_common::{frame, Put};

/// What a slab gives in one piece at most.
const KMALLOC_MAX: u64 = 4 << 20;

fn section(v: u8, compat: u8, body: &[u8]) -> Put {
    Put::default().u8(v).u8(compat).blob(body)
}

/// A full map or incremental of these sections, with a good checksum.
fn wrapped(client: &[u8], osd: &[u8]) -> Vec<u8> {
    let body = section(9, 1, client).bytes(&section(9, 1, osd).0);
    let len = body.0.len() as u32 + 4;
    let front = Put::default().u8(8).u8(7).u32(len).bytes(&body.0);
    let crc = crc32c(!0, &front.0);
    front.u32(crc).0
}

/// Fsid, epoch, and two times.
fn head() -> Put {
    Put::default().bytes(&[1; 16]).u32(5).u64(0).u64(0)
}

#[test]
fn a_count_of_pools() {
    let pools = 300_000u32;
    // Fourteen bytes each are there, so that only a limit can help.
    let client = head().u32(pools).bytes(&vec![0; 14 * pools as usize]);
    take_asked();
    let Err(e) = OsdMap::decode(&wrapped(&client.0, &[]), crc32c) else {
        panic!("took them");
    };
    assert_eq!(e.step, "osdmap: pools");
    assert!(matches!(e.reason, Reason::TooLong { .. }), "{e}");
    assert!(take_asked().total < 4096);
}

#[test]
fn names_of_pools_that_come_and_go() {
    // No change of pool_max and flags, no full map, no CRUSH map, no change of max_osd, no pools.
    let mut client = Put::default().bytes(&[1; 16]).u32(5).u64(0);
    client = client.bytes(&[0xff; 8 + 4]).u32(0).u32(0).u32(!0).u32(0);
    let count = 400_000u32;
    client = client.u32(count).bytes(&vec![0; 12 * count as usize]);
    client = client.u32(count).bytes(&vec![0; 8 * count as usize]);
    take_asked();
    // It ends there, but those were read.
    let Err(e) = Incremental::decode(&wrapped(&client.0, &[]), crc32c) else {
        panic!("took it");
    };
    assert_eq!(e.step, "osdmap incremental: OSDs");
    let asked = take_asked();
    assert!(asked.largest_kmalloc <= KMALLOC_MAX, "{asked:?}");
}

#[test]
fn counts_of_buckets_and_rules() {
    let zeros = vec![0; 8 << 20];
    for (buckets, rules, step) in [
        ((1 << 20) + 1, 0, "crush: bucket count"),
        (0, 257, "crush: rule count"),
    ] {
        let map = Put::default().u32(0x10000).u32(buckets).u32(rules);
        take_asked();
        let Err(e) = CrushMap::decode(&map.bytes(&zeros).0) else {
            panic!("took it");
        };
        assert_eq!(e.step, step);
        assert!(matches!(e.reason, Reason::TooLong { .. }), "{e}");
        assert_eq!(take_asked().total, 0);
    }
}

#[test]
fn keepalives_whose_answers_nobody_reads() {
    for protocol in [Protocol::Msgr1, Protocol::Msgr2] {
        let (mut client, _) = client_in(protocol, "OPEN");
        let stamp = [7; 8];
        let keepalive = match protocol {
            Protocol::Msgr1 => [&[14], &stamp[..]].concat(),
            Protocol::Msgr2 => frame(18, &[&stamp]),
        };
        // A peer that reads may ask as often as it likes.
        for _ in 0..200_000 {
            client.feed(&keepalive).unwrap();
            assert!(!client.sent().is_empty());
        }
        let error = loop {
            if let Err(e) = client.feed(&keepalive) {
                break e;
            }
            assert!(client.out.len() < 2 << 20, "answers pile up");
        };
        assert!(matches!(error.reason, Reason::TooLong { .. }), "{error}");
        assert_eq!(client.session.state_name(), "CLOSED");
    }
}
