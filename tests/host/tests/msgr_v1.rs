// SPDX-License-Identifier: GPL-2.0-only

//! msgr1 sessions against a scripted server.

mod msgr_common;

use ceph_proto_host::proto::error::{ProtoError, Reason};
use ceph_proto_host::proto::session::{Lost, Protocol};
use ceph_proto_host::proto::types::{features, EntityType, Timespec};
use kernel::prelude::*;
use msgr_common::server::*;
use msgr_common::*;

const V1: Protocol = Protocol::Msgr1;

fn connect_msg(global_seq: u32, connect_seq: u32, authorizer: &[u8]) -> Vec<u8> {
    Put::default()
        .u64(features::SUPPORTED_DEFAULT)
        .u32(8)
        .u32(global_seq)
        .u32(connect_seq)
        .u32(24)
        .u32(if authorizer.is_empty() { 0 } else { 2 })
        .u32(authorizer.len() as u32)
        .u8(0)
        .bytes(authorizer)
        .0
}

#[test]
fn handshake_bytes() {
    let (mut client, server) = ServerV1::connecting("OPEN", true);
    let mut blank = legacy_addr(NONCE, [0; 4], 0);
    blank[9] = 0;
    let expected = [
        b"ceph v027".to_vec(),
        blank,
        connect_msg(2, 0, b"authorizer"),
        connect_msg(2, 0, b"second"),
        vec![0; 8],
    ];
    assert_eq!(server.from_client, expected.concat());
    assert_eq!(
        client.auth.asked,
        [
            "authorizer".to_string(),
            format!("challenge {:?}", b"challenge"),
            format!("reply {:?}", b"proof"),
        ]
    );
    let opened = Ev::Opened {
        reconnected: false,
        acked_seq: 0,
    };
    assert_eq!(client.events(), [opened]);
    assert!(client.session.is_lossy());
    assert_eq!(
        client.session.my_addr().to_string(),
        format!("any:192.168.0.9:0/{NONCE}")
    );
}

#[test]
fn monitors_get_no_authorizer() {
    let mut cfg = config(V1);
    cfg.peer_type = EntityType::MON;
    let mut client = Client::with(cfg, V1);
    client.auth.authorizer.clear();
    client.connect(2);
    client.sent();
    let mut server = ServerV1::new(true);
    server.key = None;
    server.say(&mut client, &ServerV1::banner());
    let mut connect = connect_msg(2, 0, b"");
    // CEPH_MONC_PROTOCOL.
    connect[20] = 15;
    assert_eq!(server.from_client, connect);
    let ready = server.reply(1, b"");
    server.say(&mut client, &ready);
    assert!(client.session.is_open());
    // There is a key, but only sessions with an authorizer are signed.
    let (_, bytes) = client.send(0, b"front", b"", b"");
    assert_eq!(bytes[bytes.len() - 9..], [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    client.feed(&server.message(1, b"f", b"", b"")).unwrap();
}

#[test]
fn messages_both_ways() {
    let (mut client, server) = ServerV1::open(false);
    let segments: [&[u8]; 2] = [b"", b"some bytes"];
    let mut seq = 0;
    for front in segments {
        for middle in segments {
            for data in segments {
                seq += 1;
                let theirs = server.message(seq, front, middle, data);
                client.feed(&theirs).unwrap();
                let events = client.events();
                let [Ev::Message(m)] = &events[..] else {
                    panic!("{events:?}");
                };
                assert_eq!(
                    (&m.front[..], &m.middle[..], &m.data[..]),
                    (front, middle, data)
                );
                let h = m.header;
                assert_eq!((h.seq, h.tid, h.typ, h.priority), (seq, 99, 43, 127));
                assert_eq!((h.version, h.compat_version, h.data_off), (8, 3, 512));

                // Ours, with an acknowledgement in front, differ in type and source only, and in
                // the CRC and signature over them.
                let (number, ours) = client.send(0, front, middle, data);
                assert_eq!(number, seq);
                assert_eq!(ours[..9], server_ack(seq));
                let mut header = theirs[1..50].to_vec();
                header[16] = 42;
                header[36..45].copy_from_slice(&Put::default().u8(8).u64(0).0);
                let crc = ceph_proto_host::rust_crypto::crc32c(0, &header);
                let end = theirs.len() - 9;
                let expected = [&[7], &header[..], &crc.to_le_bytes(), &theirs[54..end]].concat();
                assert_eq!(ours[9..ours.len() - 9], expected);
                assert_eq!(ours.last(), Some(&5));
            }
        }
    }
}

fn server_ack(seq: u64) -> Vec<u8> {
    Put::default().u8(8).u64(seq).0
}

#[test]
fn control_tags() {
    let (mut client, server) = ServerV1::open(false);
    let stamp = Timespec { sec: 1, nsec: 2 };
    let time = Put::default().u32(1).u32(2).0;
    let mut out = KVec::new();
    client.session.encode_keepalive(stamp, &mut out).unwrap();
    assert_eq!(out[..], [&[14], &time[..]].concat());
    let input = [&[15][..], &time, &[9], &[14], &time, &server_ack(4)].concat();
    client.feed(&input).unwrap();
    assert_eq!(client.events(), [Ev::KeepaliveAck(stamp), Ev::Acked(4)]);
    assert_eq!(client.sent(), [&[15], &time[..]].concat());

    let mut out = KVec::new();
    assert!(!client.session.encode_ack(&mut out).unwrap());
    client.feed(&server.message(1, b"f", b"", b"")).unwrap();
    assert!(client.session.encode_ack(&mut out).unwrap());
    assert_eq!(out[..], server_ack(1));
    client.events();

    // Who forgets the session with the connection does not want to know.
    let (mut forgetful, server) = ServerV1::open(true);
    forgetful.feed(&server.message(1, b"f", b"", b"")).unwrap();
    let mut none = KVec::new();
    assert!(!forgetful.session.encode_ack(&mut none).unwrap() && none.is_empty());
    assert_eq!(forgetful.send(0, b"", b"", b"").1[0], 7);

    client.feed(&[6]).unwrap();
    assert_eq!(client.events(), [Ev::Closed]);
    assert!(client.feed(b"").is_err());
}

#[test]
fn peers_without_features() {
    // No answered keepalives, no signatures, and shorter footers.
    let (mut client, mut server) = ServerV1::connecting("CONNECT", true);
    server.features = 0;
    server.key = None;
    let ready = server.reply(1, b"proof");
    server.say(&mut client, &ready);
    let mut out = KVec::new();
    let stamp = Timespec::default();
    client.session.encode_keepalive(stamp, &mut out).unwrap();
    assert_eq!(out[..], [9]);
    let (_, bytes) = client.send(0, b"front", b"", b"data");
    assert_eq!(bytes.len(), 54 + 9 + 13);
    client.feed(&server.message(1, b"f", b"m", b"d")).unwrap();
    assert!(matches!(&client.events()[..], [_, Ev::Message(_)]));

    // A feature that we require.
    let mut cfg = config(V1);
    cfg.required_features = features::MSG_AUTH;
    let (mut client, mut server) = ServerV1::connecting_with(cfg, "CONNECT", true);
    server.features = !features::MSG_AUTH;
    let error = fails(&mut client, &server.reply(1, b"proof"));
    assert_eq!(error.reason, Reason::Value(features::MSG_AUTH));

    // Signatures in the form of old peers are not built.
    let (mut client, mut server) = ServerV1::connecting("CONNECT", true);
    server.features = features::MSG_AUTH;
    let error = fails(&mut client, &server.reply(1, b"proof"));
    assert_eq!(error.reason, Reason::Unsupported);
}

#[test]
fn options() {
    // Without data CRCs, they are neither sent nor looked at.
    let mut cfg = config(V1);
    cfg.data_crc = false;
    let (mut client, mut server) = ServerV1::connecting_with(cfg, "OPEN", true);
    assert!(!client.session.wants_data_crc());
    let (_, bytes) = client.send(0, b"", b"", b"data");
    assert_eq!(bytes[bytes.len() - 13..][..4], [0; 4]);
    assert_eq!(bytes.last(), Some(&7));
    let mut message = server.message(1, b"front", b"", b"data");
    let data_at = 54 + 5;
    message[data_at] ^= 1;
    client.feed(&message).unwrap();

    // Without signatures.
    let mut cfg = config(V1);
    cfg.sign_messages = false;
    let (mut client, _) = ServerV1::connecting_with(cfg, "OPEN", true);
    server.key = None;
    let (_, bytes) = client.send(0, b"", b"", b"data");
    assert_eq!(bytes[bytes.len() - 9..], [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    client.feed(&server.message(1, b"f", b"", b"")).unwrap();
}

#[test]
fn unsigned_messages_are_refused() {
    let (mut client, mut server) = ServerV1::open(true);
    server.key = None;
    let error = fails(&mut client, &server.message(1, b"f", b"", b""));
    assert_eq!(
        error,
        ProtoError::new("msgr1: message signature", Reason::BadAuth)
    );
    let (mut client, mut server) = ServerV1::open(true);
    server.key = Some(*b"another key 1234");
    let error = fails(&mut client, &server.message(1, b"f", b"", b""));
    assert_eq!(error.reason, Reason::BadAuth);
}

#[test]
fn resumes() {
    let (mut client, mut server) = ServerV1::open(false);
    for _ in 0..3 {
        client.send(0, b"request", b"", b"");
    }
    client.feed(&server.message(1, b"f", b"", b"")).unwrap();
    assert_eq!(client.disconnect(), Lost::Replay);
    client.events();
    client.connect(5);
    client.sent();
    server.from_client.clear();
    server.say(&mut client, &ServerV1::banner());
    assert_eq!(server.from_client, connect_msg(5, 1, b"authorizer"));
    // The numbers are too low, twice.
    server.connect_seq = 8;
    server.from_client.clear();
    let retry = server.reply(4, b"proof");
    server.say(&mut client, &retry);
    assert_eq!(server.from_client, connect_msg(5, 8, b"authorizer"));
    server.from_client.clear();
    let retry = server.reply(5, b"proof");
    server.say(&mut client, &retry);
    assert_eq!(server.from_client, connect_msg(78, 8, b"authorizer"));
    assert_eq!(client.session.global_seq(), 78);
    server.from_client.clear();
    let seq = server.reply(13, b"proof");
    server.say(&mut client, &seq);
    assert_eq!(server.from_client, 1u64.to_le_bytes());
    assert_eq!(client.session.state_name(), "SEQ");
    server.say(&mut client, &2u64.to_le_bytes());
    let opened = Ev::Opened {
        reconnected: true,
        acked_seq: 2,
    };
    assert_eq!(client.events(), [opened]);
    assert_eq!(client.send(3, b"again", b"", b"").0, 3);
    assert_eq!(client.send(0, b"new", b"", b"").0, 4);
    let again = server.message(1, b"front", b"middle", b"data");
    client.feed(&again).unwrap();
    assert_eq!(client.events(), []);
    client.feed(&server.message(2, b"", b"", b"")).unwrap();
    assert!(matches!(&client.events()[..], [Ev::Message(_)]));
}

#[test]
fn peer_lost_the_session() {
    let (mut client, mut server) = ServerV1::open(false);
    client.send(0, b"request", b"", b"");
    client.disconnect();
    client.connect(5);
    client.sent();
    server.from_client.clear();
    server.say(&mut client, &ServerV1::banner());
    server.from_client.clear();
    let reset = server.reply(2, b"");
    server.say(&mut client, &reset);
    assert_eq!(client.events(), [Ev::SessionReset]);
    assert_eq!(server.from_client, connect_msg(5, 0, b"authorizer"));
    let ready = server.reply(1, b"proof");
    server.say(&mut client, &ready);
    assert_eq!(client.send(0, b"", b"", b"").0, 1);
    // Not without end.
    let (mut client, server) = ServerV1::connecting("CONNECT", false);
    let reset = server.reply(2, b"");
    let error = (0..20).find_map(|_| client.feed(&reset).err()).unwrap();
    assert_eq!(error.step, "msgr1: handshake does not end");
}

#[test]
fn lossy_sessions_begin_anew() {
    let (mut client, mut server) = ServerV1::open(true);
    client.send(0, b"", b"", b"");
    assert_eq!(client.disconnect(), Lost::Session);
    client.connect(3);
    server.bring(&mut client, "OPEN");
    let opened = Ev::Opened {
        reconnected: false,
        acked_seq: 0,
    };
    assert_eq!(client.events(), [opened]);
    assert_eq!(client.send(0, b"", b"", b"").0, 1);
}

#[test]
fn peer_refuses() {
    let (mut client, server) = ServerV1::connecting("CONNECT", true);
    let error = fails(&mut client, &server.reply(11, b""));
    assert_eq!(error.reason, Reason::BadAuth);
    assert_eq!(client.auth.asked.last().unwrap(), "rejected");

    let (mut client, server) = ServerV1::connecting("CONNECT", true);
    client.feed(&server.reply(3, b"")).unwrap();
    assert_eq!(client.events(), [Ev::Retry]);

    let (mut client, mut server) = ServerV1::connecting("CONNECT", true);
    server.features = features::SUPPORTED_DEFAULT | 1 << 62;
    let error = fails(&mut client, &server.reply(12, b""));
    assert_eq!(error.reason, Reason::Value(1 << 62));

    let (mut client, server) = ServerV1::connecting("CONNECT", true);
    let error = fails(&mut client, &server.reply(10, b""));
    assert_eq!(error.step, "msgr1: the peer has another protocol version");
}

#[test]
fn peer_must_prove_itself() {
    // No proof at all, though we sent an authorizer.
    for tag in [1, 13] {
        let (mut client, server) = ServerV1::connecting("CONNECT", true);
        let error = fails(&mut client, &server.reply(tag, b""));
        assert_eq!(
            error,
            ProtoError::new("msgr1: no authorizer reply", Reason::BadAuth)
        );
    }
    // A proof that does not verify.
    let (mut client, server) = ServerV1::connecting("CONNECT", true);
    client.auth.refuse = true;
    assert_eq!(fails(&mut client, &server.reply(1, b"proof")).step, "mock");
    // A proof of a size that none has.
    let (mut client, server) = ServerV1::connecting("CONNECT", true);
    let error = fails(&mut client, &server.reply(1, &[0; 4097])[..26]);
    assert_eq!(error.step, "msgr1: authorizer reply length");
    // Challenges without end, and one that nobody asked for.
    let (mut client, server) = ServerV1::connecting("CONNECT", true);
    let challenge = server.reply(16, b"challenge");
    let error = (0..20).find_map(|_| client.feed(&challenge).err()).unwrap();
    assert_eq!(error.step, "msgr1: handshake does not end");
    let mut client = Client::new(V1);
    client.auth.authorizer.clear();
    client.connect(1);
    client.feed(&ServerV1::banner()).unwrap();
    let error = fails(&mut client, &challenge);
    assert_eq!(error.step, "msgr1: challenge without an authorizer");
}

#[test]
fn wrong_peer() {
    let (mut client, _) = ServerV1::connecting("BANNER", true);
    let error = fails(&mut client, &banner_v2());
    assert_eq!(error.step, "msgr1: banner (the peer speaks msgr2)");

    let (mut client, _) = ServerV1::connecting("BANNER", true);
    assert_eq!(fails(&mut client, b"SSH-2.0-OpenSSH").step, "msgr1: banner");

    let mut cfg = config(V1);
    cfg.peer_addr.nonce = 8;
    let (mut client, _) = ServerV1::connecting_with(cfg, "BANNER", true);
    let error = fails(&mut client, &ServerV1::banner());
    assert_eq!(error.step, "msgr1: another peer at this address");

    // A daemon that does not know its address yet.
    let (mut client, _) = ServerV1::connecting("BANNER", true);
    let mut banner = ServerV1::banner();
    banner[9 + 8 + 2..][..6].fill(0);
    client.feed(&banner).unwrap();
    assert_eq!(client.session.state_name(), "CONNECT");
}

#[test]
fn every_flipped_byte_is_noticed() {
    let (_, server) = ServerV1::open(true);
    let messages = [
        server.message(1, b"front", b"middle", b"data"),
        server.message(1, b"front", b"", b""),
        server.message(1, b"", b"", b""),
    ];
    for message in &messages {
        // The tag and the flags are covered by nothing; the flag bits in use are tested elsewhere.
        for at in 1..message.len() - 1 {
            let (mut client, _) = ServerV1::open(true);
            let mut bytes = message.clone();
            bytes[at] ^= 1;
            let error = fails(&mut client, &bytes);
            let expected = matches!(error.reason, Reason::BadCrc { .. } | Reason::BadAuth);
            assert!(expected, "byte {at}: {error:?}");
            assert_eq!(client.events(), []);
        }
        let (mut client, _) = ServerV1::open(true);
        let mut bytes = message.clone();
        *bytes.last_mut().unwrap() = 4;
        assert_eq!(
            fails(&mut client, &bytes).step,
            "msgr1: message was aborted"
        );
    }
}

#[test]
fn lengths_are_checked_before_anything_is_awaited() {
    for (lens, step) in [
        ([1 << 17, 0, 0], "msgr1: front length"),
        ([0, 1 << 13, 0], "msgr1: middle length"),
        ([0, 0, (1 << 20) + 1], "msgr1: data length"),
    ] {
        let (mut client, _) = ServerV1::open(true);
        let mut header = Put::default().u64(1).u64(0).u16(0).u16(0).u16(0);
        for len in lens {
            header = header.u32(len);
        }
        header.0.resize(49, 0);
        let crc = ceph_proto_host::rust_crypto::crc32c(0, &header.0);
        let error = fails(&mut client, &[&[7], &header.u32(crc).0[..]].concat());
        assert_eq!(error.step, step);
        assert!(matches!(error.reason, Reason::TooLong { .. }));
    }
}

#[test]
fn lost_messages_are_noticed() {
    let (mut client, server) = ServerV1::open(true);
    let error = fails(&mut client, &server.message(2, b"", b"", b""));
    assert_eq!(error, ProtoError::value("msgr1: message number", 2));
}

#[test]
fn unwanted_data_are_passed_over() {
    let (mut client, server) = ServerV1::open(false);
    client.unwanted = Some(43);
    let mut stream = server.message(1, b"front", b"", &[7; 5000]);
    stream.extend(server.message(2, b"front", b"", b""));
    stream.extend(server_ack(9));
    client.feed(&stream).unwrap();
    assert_eq!(client.events(), [Ev::Acked(9)]);
    let mut out = KVec::new();
    client.session.encode_ack(&mut out).unwrap();
    assert_eq!(out[..], server_ack(2));
}

/// Every tag in every state: an error that names it, unless the state expects the tag.
#[test]
fn every_tag_in_every_state() {
    for state in ["CONNECT", "OPEN"] {
        let expected: &[u8] = match state {
            "CONNECT" => &[1, 2, 3, 4, 5, 10, 11, 12, 13, 16],
            _ => &[6, 7, 8, 9, 14, 15],
        };
        for tag in (0..=24).chain([255]) {
            let (mut client, mut server) = ServerV1::connecting(state, true);
            server.features |= features::MSG_AUTH;
            let result = client.feed(&match state {
                "CONNECT" => server.reply(tag, b"proof"),
                _ => [&[tag], &[0; 8][..]].concat(),
            });
            // The zeros that follow a short step are no tag, but then that is what is named.
            let unexpected = matches!(
                result,
                Err(ProtoError { reason: Reason::Unexpected(t), .. }) if t == u64::from(tag)
            );
            assert_eq!(
                unexpected,
                !expected.contains(&tag),
                "tag {tag} in {state}: {result:?}"
            );
        }
    }
}

#[test]
fn sending_and_receiving_do_not_allocate() {
    let (mut client, server) = ServerV1::open(true);
    let (mut head, mut tail) = (KVec::new(), KVec::new());
    head.reserve(4096, GFP_KERNEL).unwrap();
    tail.reserve(64, GFP_KERNEL).unwrap();
    let input = [
        server.message(1, b"front", b"middle", b""),
        server.message(2, b"front", b"", b"data"),
    ]
    .concat();
    let msg = out_message(0, b"front", b"middle", b"data", 0);
    kernel::alloc::fail_after(Some(0));
    let sent = client
        .session
        .encode_message(&msg, &client.crypto, &mut head, &mut tail);
    let received = client.feed(&input);
    kernel::alloc::fail_after(None);
    sent.unwrap();
    received.unwrap();
    assert_eq!(client.events().len(), 2);
}

#[test]
fn a_failed_allocation_leaves_no_trace() {
    let (mut client, server) = ServerV1::open(false);
    client.feed(&server.message(1, b"f", b"", b"")).unwrap();
    let (mut head, mut tail) = (KVec::new(), KVec::new());
    let msg = out_message(0, b"front", b"middle", b"data", 0);
    let mut failures = 0;
    loop {
        kernel::alloc::fail_after(Some(failures));
        let sent = client
            .session
            .encode_message(&msg, &client.crypto, &mut head, &mut tail);
        kernel::alloc::fail_after(None);
        match sent {
            Ok(seq) => {
                assert_eq!(seq, 1);
                break;
            }
            Err(error) => assert_eq!(error.reason, Reason::NoMemory),
        }
        assert!(head.is_empty() && tail.is_empty() && client.session.ack_due());
        (head, tail) = (KVec::new(), KVec::new());
        failures += 1;
    }
    assert!(failures > 1);
}
