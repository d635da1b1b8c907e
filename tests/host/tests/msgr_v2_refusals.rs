// SPDX-License-Identifier: GPL-2.0-only

//! msgr2.1 sessions against servers that refuse, lie, or break the protocol.

mod msgr_common;

use ceph_proto_host::proto::auth::{CON_MODE_CRC, CON_MODE_SECURE};
use ceph_proto_host::proto::error::{ProtoError, Reason};
use ceph_proto_host::proto::session::Protocol;
use ceph_proto_host::proto::types::{features, EntityType};
use msgr_common::server::*;
use msgr_common::*;

const V2: Protocol = Protocol::Msgr2;

#[test]
fn peer_refuses() {
    let bad = Put::default()
        .u32(2)
        .u32(-13i32 as u32)
        .u32(2)
        .u32(1)
        .u32(2)
        .u32(1)
        .u32(1);
    let (mut client, _) = ServerV2::connecting("AUTH", true);
    client.feed(&frame(3, &[&bad.0])).unwrap();
    assert_eq!(client.events(), [Ev::Retry]);
    assert_eq!(client.auth.asked.last().unwrap(), "bad 2 -13 [1, 2] [1]");
    assert!(client.feed(b"").is_err());

    let (mut client, _) = ServerV2::connecting("AUTH", true);
    client.auth.refuse = true;
    assert_eq!(
        fails(&mut client, &frame(3, &[&bad.0])).reason,
        Reason::BadAuth
    );

    let (mut client, _) = ServerV2::connecting("SESSION_CONNECT", true);
    client.feed(&frame(16, &[&[]])).unwrap();
    assert_eq!(client.events(), [Ev::Retry]);

    let (mut client, _) = ServerV2::connecting("SESSION_CONNECT", true);
    let missing = (1u64 << 62).to_le_bytes();
    let error = fails(&mut client, &frame(10, &[&missing]));
    assert_eq!(error.reason, Reason::Value(1 << 62));
}

#[test]
fn authentication_must_verify() {
    let (mut client, _) = ServerV2::connecting("AUTH_SIGNATURE", true);
    let error = fails(&mut client, &frame(7, &[&[0; 32]]));
    assert_eq!(
        error,
        ProtoError::new("msgr2: AUTH_SIGNATURE", Reason::BadAuth)
    );

    let (mut client, _) = ServerV2::connecting("AUTH", true);
    client.auth.refuse = true;
    let error = fails(&mut client, &ServerV2::auth_done(1));
    assert_eq!(error.step, "mock");
    // Nothing is sent after a refusal of ours.
    assert!(client.sent().is_empty());
}

#[test]
fn secure_mode_is_refused() {
    let mut cfg = config(V2);
    cfg.con_modes = &[CON_MODE_CRC, CON_MODE_SECURE];
    let mut client = Client::with(cfg, V2);
    let error = client.session.connected(1, &mut client.out).unwrap_err();
    assert_eq!(error.reason, Reason::Unsupported);
    let (mut client, _) = ServerV2::connecting("AUTH", true);
    let error = fails(&mut client, &ServerV2::auth_done(2));
    assert_eq!(error.reason, Reason::Unsupported);
    let (mut client, _) = ServerV2::connecting("AUTH", true);
    let error = fails(&mut client, &ServerV2::auth_done(9));
    assert_eq!(error.step, "msgr2: AUTH_DONE mode");
}

#[test]
fn wrong_peer() {
    let (mut client, _) = ServerV2::connecting("BANNER", true);
    let error = fails(&mut client, &ServerV1::banner());
    assert_eq!(error.step, "msgr2: banner (the peer speaks msgr1)");

    let (mut client, _) = ServerV2::connecting("BANNER", true);
    let old = Put::default().bytes(b"ceph v2\n").u16(16).u64(0).u64(0);
    assert_eq!(fails(&mut client, &old.0).reason, Reason::Unsupported);

    let (mut client, _) = ServerV2::connecting("BANNER", true);
    let new = Put::default().bytes(b"ceph v2\n").u16(16).u64(3).u64(2);
    assert_eq!(fails(&mut client, &new.0).reason, Reason::Value(2));

    let mut cfg = config(V2);
    cfg.peer_type = EntityType::MON;
    let mut client = Client::with(cfg, V2);
    client.connect(1);
    client.feed(&banner_v2()).unwrap();
    let error = fails(&mut client, &ServerV2::hello());
    assert_eq!(error.step, "msgr2: HELLO from another kind of peer");
}

#[test]
fn server_ident_is_checked() {
    // Another process at the address.
    let mut cfg = config(V2);
    cfg.peer_addr.nonce = 8;
    let (mut client, _) = ServerV2::connecting_with(cfg, "SESSION_CONNECT", true);
    let error = fails(&mut client, &ServerV2::new(true).server_ident());
    assert_eq!(error.step, "msgr2: another peer at this address");

    // A peer without a feature that we require.
    let mut cfg = config(V2);
    cfg.required_features = features::MSG_AUTH;
    let (mut client, _) = ServerV2::connecting_with(cfg, "SESSION_CONNECT", true);
    let mut poor = ServerV2::new(true);
    poor.features = !features::MSG_AUTH;
    let error = fails(&mut client, &poor.server_ident());
    assert_eq!(error.reason, Reason::Value(features::MSG_AUTH));

    // A session that is neither lossy nor resumable.
    let (mut client, mut server) = ServerV2::connecting("SESSION_CONNECT", false);
    server.cookie = 0;
    let error = fails(&mut client, &server.server_ident());
    assert_eq!(error.step, "msgr2: SERVER_IDENT cookie");
}

#[test]
fn lost_messages_are_noticed() {
    let (mut client, _) = ServerV2::open(true);
    let error = fails(&mut client, &message_v2(2, 0, b"", b"", b""));
    assert_eq!(error, ProtoError::value("msgr2: message number", 2));
}

#[test]
fn lengths_are_checked_before_anything_is_awaited() {
    for (lens, step) in [
        ([41, 1 << 17, 0, 0], "msgr2: front length"),
        ([41, 1, 1 << 13, 0], "msgr2: middle length"),
        ([41, 1, 0, (1 << 20) + 1], "msgr2: data length"),
        ([1 << 19, 0, 0, 0], "msgr2: control length"),
    ] {
        let (mut client, _) = ServerV2::open(true);
        let count = 1 + lens.iter().rposition(|&l| l > 0).unwrap();
        let mut preamble = Put::default().u8(17).u8(count as u8);
        for len in lens {
            preamble = preamble.u32(len).u16(0);
        }
        let preamble = preamble.u16(0);
        let crc = crc(&preamble.0);
        let error = fails(&mut client, &preamble.u32(crc).0);
        assert_eq!(error.step, step);
        assert!(matches!(error.reason, Reason::TooLong { .. }));
    }
}

fn crc(bytes: &[u8]) -> u32 {
    ceph_proto_host::rust_crypto::crc32c(0, bytes)
}

#[test]
fn malformed_preambles() {
    let mut good = frame(17, &[&header2(1, 0), b"front"]);
    good.truncate(28);
    let changes: [(usize, u8, &str); 5] = [
        (1, 0, "msgr2: preamble segment count"),
        (1, 5, "msgr2: preamble segment count"),
        // Counts the empty third segment; does not count the second.
        (1, 3, "msgr2: preamble segment length"),
        (1, 1, "msgr2: preamble segment length"),
        (26, 1, "msgr2: preamble flags"),
    ];
    for (at, value, step) in changes {
        let mut bytes = good.clone();
        bytes[at] = value;
        let crc = crc(&bytes);
        bytes.extend(crc.to_le_bytes());
        let (mut client, _) = ServerV2::open(true);
        assert_eq!(fails(&mut client, &bytes).step, step);
    }
    // A control frame is one segment.
    let (mut client, _) = ServerV2::open(true);
    let error = fails(&mut client, &frame(20, &[&[0; 8], b"more"]));
    assert_eq!(error.step, "msgr2: control frame with segments");
}

#[test]
fn every_flipped_byte_is_noticed() {
    let messages = [
        message_v2(1, 0, b"front", b"middle", b"data"),
        message_v2(1, 0, b"front", b"", b""),
        message_v2(1, 0, b"", b"", b"data"),
        message_v2(1, 0, b"", b"middle", b""),
        message_v2(1, 0, b"", b"", b""),
    ];
    for message in &messages {
        for at in 0..message.len() {
            let (mut client, _) = ServerV2::open(true);
            let mut bytes = message.clone();
            bytes[at] ^= 1;
            let error = fails(&mut client, &bytes);
            // The late status of an epilogue is no CRC.
            let expected = matches!(error.reason, Reason::BadCrc { .. })
                || error.step == "msgr2: epilogue late status";
            assert!(expected, "byte {at}: {error:?}");
            assert_eq!(client.events(), []);
        }
    }
}

/// Every tag in every state: an error that names it, unless the state expects the tag.
#[test]
fn every_tag_in_every_state() {
    let expected = |state: &str| -> &[u8] {
        match state {
            "HELLO" => &[1],
            "AUTH" => &[3, 4, 6],
            "AUTH_SIGNATURE" => &[7],
            "SESSION_CONNECT" => &[9, 10, 16],
            "SESSION_RECONNECT" => &[12, 13, 14, 15, 16],
            "OPEN" => &[17, 18, 19, 20],
            other => panic!("{other}"),
        }
    };
    for state in &states(V2)[1..] {
        for tag in (0..=24).chain([255]) {
            let (mut client, _) = client_in(V2, state);
            // Long enough for any of them.
            let result = client.feed(&frame(tag, &[&[1; 300]]));
            let unexpected = matches!(
                result,
                Err(ProtoError { reason: Reason::Unexpected(t), .. }) if t == u64::from(tag)
            );
            assert_eq!(
                unexpected,
                !expected(state).contains(&tag),
                "tag {tag} in {state}: {result:?}"
            );
        }
    }
}
