// SPDX-License-Identifier: GPL-2.0-only

//! Addresses, names, ids and times on the wire and as text.

mod msgr_common;

use ceph_proto_host::proto::error::{ProtoResult, Reason};
use ceph_proto_host::proto::types::*;
use ceph_proto_host::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;
use msgr_common::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

fn encoded(f: impl FnOnce(&mut Encoder<'_>) -> ProtoResult) -> Vec<u8> {
    let mut out = KVec::new();
    f(&mut Encoder::new(&mut out)).unwrap();
    out.to_vec()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|d| (d[0] << 4 | d[1]) as u8).collect()
}

/// The addresses of monitors a and b in a map made by Ceph 18.2.7: `monmaptool --create --addv a
/// '[v2:10.1.2.3:3300/0,v1:10.1.2.3:6789/7]' --addv b '[v2:[fd77::1]:3300/9,v1:[fd77::1]:6789/9]'`.
const MONMAPTOOL: [(&str, [&str; 2]); 2] = [
    (
        "02 02000000
         01 0101 1c000000 02000000 00000000 10000000 0200 0ce4 0a010203 0000000000000000
         01 0101 1c000000 01000000 07000000 10000000 0200 1a85 0a010203 0000000000000000",
        ["v2:10.1.2.3:3300/0", "v1:10.1.2.3:6789/7"],
    ),
    (
        "02 02000000
         01 0101 28000000 02000000 09000000 1c000000
         0a00 0ce4 00000000 fd770000000000000000000000000001 00000000
         01 0101 28000000 01000000 09000000 1c000000
         0a00 1a85 00000000 fd770000000000000000000000000001 00000000",
        ["v2:[fd77::1]:3300/9", "v1:[fd77::1]:6789/9"],
    ),
];

#[test]
fn addresses_of_a_monitor_map() {
    for (bytes, texts) in MONMAPTOOL {
        let bytes = hex(bytes);
        let mut d = Decoder::new(&bytes);
        let mut addrs = Vec::new();
        addrvec::for_each(&mut d, "vector", |addr| addrs.push(addr)).unwrap();
        assert!(d.is_empty());
        assert_eq!(
            addrs.iter().map(|a| a.to_string()).collect::<Vec<_>>(),
            texts
        );
        assert_eq!(encoded(|e| addrvec::encode(&addrs, e)), bytes);
    }
}

#[test]
fn no_address() {
    // As long as an IPv6 address (Ceph `entity_addr_t::get_sockaddr_len()`).
    let mut bytes = hex("01 0101 28000000 00000000 00000000 1c000000");
    bytes.resize(7 + 40, 0);
    assert_eq!(encoded(|e| EntityAddr::BLANK.encode(e)), bytes);
    let read = EntityAddr::decode(&mut Decoder::new(&bytes), "address").unwrap();
    assert_eq!(read, EntityAddr::BLANK);
    assert_eq!(read.to_string(), "-");
}

#[test]
fn legacy_ipv6_address() {
    let addr = addr(AddrType::MSGR2, 9, "[fd77::1]:3300");
    let mut legacy = hex("00000000 09000000 000a 0ce4 00000000 fd770000000000000000000000000001");
    legacy.resize(136, 0);
    assert_eq!(encoded(|e| addr.encode_legacy(e)), legacy);
    let back = EntityAddr::decode(&mut Decoder::new(&legacy), "address").unwrap();
    assert_eq!(back.kind, AddrType::LEGACY);
    assert!(back.same_endpoint(&addr));
}

#[test]
fn blank_addresses() {
    assert!(EntityAddr::BLANK.is_blank());
    assert!(addr(AddrType::ANY, 1, "0.0.0.0:1").is_blank());
    assert!(addr(AddrType::ANY, 1, "[::]:1").is_blank());
    assert!(!addr(AddrType::ANY, 1, "0.0.0.1:0").is_blank());
    let a = addr(AddrType::ANY, 1, "1.2.3.4:5");
    assert_eq!(a.without_port(), addr(AddrType::ANY, 1, "1.2.3.4:0"));
    for other in ["1.2.3.4:6", "1.2.3.5:5"] {
        assert!(!a.same_endpoint(&addr(AddrType::ANY, 1, other)));
    }
    assert!(!a.same_endpoint(&addr(AddrType::ANY, 2, "1.2.3.4:5")));
}

#[test]
fn address_vectors() {
    let v1 = addr(AddrType::LEGACY, 5, "10.0.0.1:6801");
    let v2 = addr(AddrType::MSGR2, 5, "10.0.0.1:6800");
    let bytes = encoded(|e| addrvec::encode(&[v2, v1, addr(AddrType::LEGACY, 6, "1.1.1.1:1")], e));
    for (kind, expected) in [
        (AddrType::LEGACY, Some(v1)),
        (AddrType::MSGR2, Some(v2)),
        (AddrType::ANY, None),
    ] {
        let mut d = Decoder::new(&bytes);
        assert_eq!(addrvec::pick(&mut d, kind, "vector").unwrap(), expected);
        assert!(d.is_empty());
    }
    // A single address stands for a vector of one.
    for bytes in [encoded(|e| v1.encode(e)), encoded(|e| v1.encode_legacy(e))] {
        let mut d = Decoder::new(&bytes);
        assert_eq!(
            addrvec::pick(&mut d, AddrType::LEGACY, "vector").unwrap(),
            Some(v1)
        );
        assert!(d.is_empty());
    }
    // Not more than there are bytes for, and not more than anybody has.
    for count in [2u32, 65, u32::MAX] {
        let mut bytes = Put::default().u8(2).u32(count).0;
        bytes.extend(encoded(|e| v1.encode(e)));
        assert!(addrvec::for_each(&mut Decoder::new(&bytes), "vector", |_| ()).is_err());
    }
    assert!(addrvec::for_each(&mut Decoder::new(&[3]), "vector", |_| ()).is_err());
}

#[test]
fn malformed_addresses() {
    let error = |bytes: &[u8]| EntityAddr::decode(&mut Decoder::new(bytes), "address").unwrap_err();
    assert_eq!(error(&[7]).reason, Reason::Value(7));
    // A sockaddr longer than any, one longer than the section, and half a family.
    for (section, len) in [(200, 129), (12, 16), (13, 1)] {
        let mut bytes = Put::default()
            .bytes(&[1, 1, 1])
            .u32(section)
            .u32(1)
            .u32(0)
            .u32(len)
            .0;
        bytes.resize(7 + section as usize, 0);
        error(&bytes);
    }
    // A section of a later version, with more at its end.
    let mut bytes = Put::default()
        .bytes(&[1, 2, 1])
        .u32(30)
        .u32(1)
        .u32(0)
        .u32(16)
        .0;
    bytes.extend(hex("0200 0001 01020304 0000000000000000 ffff"));
    let mut d = Decoder::new(&bytes);
    let read = EntityAddr::decode(&mut d, "address").unwrap();
    assert!(d.is_empty());
    assert_eq!(read.to_string(), "v1:1.2.3.4:1/0");
}

#[test]
fn names_ids_times() {
    let name = EntityName::new(EntityType::OSD, 3);
    let bytes = encoded(|e| name.encode(e));
    assert_eq!(bytes, Put::default().u8(4).u64(3).0);
    assert_eq!(
        EntityName::decode(&mut Decoder::new(&bytes), "name").unwrap(),
        name
    );
    assert_eq!(name.to_string(), "osd3");

    let text = "3d51aac9-e25b-4271-81f3-47a458dadf99";
    let fsid = Fsid::parse(text).unwrap();
    assert_eq!(fsid.to_string(), text);
    assert_eq!(Fsid::parse(&text.to_uppercase()).unwrap(), fsid);
    assert_eq!(encoded(|e| fsid.encode(e)), hex(text));
    let bad = [
        "",
        "3d51aac9",
        &text[1..],
        &text.replace('-', ""),
        &text.replace('3', "g"),
    ];
    for bad in bad {
        assert!(Fsid::parse(bad).is_err(), "{bad}");
    }
    assert!(Fsid::parse(&format!("{text}0")).is_err());

    let time = Timespec { sec: 1, nsec: 2 };
    let bytes = encoded(|e| time.encode(e));
    assert_eq!(bytes.len(), Timespec::LEN);
    assert_eq!(
        Timespec::decode(&mut Decoder::new(&bytes), "time").unwrap(),
        time
    );
}

#[test]
fn incarnations_of_feature_bits() {
    // Bit 21 alone meant something else before Luminous.
    assert!(!features::has(1 << 21, features::SERVER_LUMINOUS));
    assert!(features::has(1 << 21 | 1 << 57, features::SERVER_LUMINOUS));
}

fn any_addr() -> impl Strategy<Value = EntityAddr> {
    let v4 = (any::<[u8; 4]>(), any::<u16>())
        .prop_map(|(ip, port)| Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port)));
    let v6 = (any::<[u8; 16]>(), any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
        |(ip, port, flow, scope)| {
            let ip = Ipv6Addr::from(ip);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
        },
    );
    let sock = prop_oneof![v4, v6, Just(None)];
    (any::<u32>(), any::<u32>(), sock).prop_map(|(kind, nonce, sock)| EntityAddr {
        kind: AddrType(kind),
        nonce,
        sock,
    })
}

proptest! {
    #[test]
    fn addresses_survive(addr in any_addr()) {
        let bytes = encoded(|e| addr.encode(e));
        let mut d = Decoder::new(&bytes);
        prop_assert_eq!(EntityAddr::decode(&mut d, "address").unwrap(), addr);
        prop_assert!(d.is_empty());
        let bytes = encoded(|e| addr.encode_legacy(e));
        prop_assert_eq!(bytes.len(), 136);
        let back = EntityAddr::decode(&mut Decoder::new(&bytes), "address").unwrap();
        prop_assert_eq!(back, EntityAddr { kind: AddrType::LEGACY, ..addr });
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = EntityAddr::decode(&mut Decoder::new(&bytes), "address");
        let _ = addrvec::pick(&mut Decoder::new(&bytes), AddrType::ANY, "vector");
        let _ = core::str::from_utf8(&bytes).map(Fsid::parse);
    }
}
