// SPDX-License-Identifier: GPL-2.0-only

//! msgr2.1 sessions against a scripted server.

mod msgr_common;

use ceph_proto_host::proto::error::Reason;
use ceph_proto_host::proto::session::{Lost, Protocol, Rx};
use ceph_proto_host::proto::types::{features, Timespec};
use kernel::prelude::*;
use msgr_common::server::*;
use msgr_common::*;

const V2: Protocol = Protocol::Msgr2;

/// A resumable session that lost its TCP connection, had two messages in and three out, and has
/// sent `SESSION_RECONNECT` over a new one.
fn reconnecting() -> (Client, ServerV2) {
    let (mut client, mut server) = ServerV2::open(false);
    for _ in 0..3 {
        client.send(0, b"request", b"", b"");
    }
    client.feed(&message_v2(1, 0, b"", b"", b"")).unwrap();
    client.feed(&message_v2(2, 0, b"", b"", b"")).unwrap();
    assert_eq!(client.disconnect(), Lost::Replay);
    assert!(!client.session.is_open());
    client.events();
    client.connect(5);
    server.bring(&mut client, "SESSION_RECONNECT");
    (client, server)
}

#[test]
fn handshake_bytes() {
    let mut client = Client::new(V2);
    client.connect(0x1_0000_0002);
    let mut server = ServerV2::new(true);
    server.bring(&mut client, "OPEN");

    let banner = Put::default().bytes(b"ceph v2\n").u16(16).u64(1).u64(1);
    assert_eq!(server.from_client[..BANNER_V2_LEN], banner.0);
    let hello = Put::default().u8(8).addr4(2, 7, [10, 1, 2, 3], 6800);
    let request = Put::default().u32(2).u32(1).u32(1).blob(b"first");
    let more = Put::default().blob(b"second");
    let auth_done_end =
        server.to_client.len() - server.server_ident().len() - frame(7, &[&[0; 32]]).len();
    let signature = server.sign(&server.to_client[..auth_done_end]);
    let cookie = {
        let frames = server.frames();
        let ident = &frames.last().unwrap().segments[0];
        u64::from_le_bytes(ident[ident.len() - 8..].try_into().unwrap())
    };
    assert_ne!(cookie, 0);
    let ident = Put::default()
        .u8(2)
        .u32(1)
        .addr4(3, NONCE, [192, 168, 0, 9], 0)
        .addr4(2, 7, [10, 1, 2, 3], 6800)
        .u64(GLOBAL_ID)
        .u64(0x1_0000_0002)
        .u64(features::SUPPORTED_DEFAULT)
        .u64(0)
        .u64(0)
        .u64(cookie);
    let expected: [(u8, &[u8]); 5] = [
        (1, &hello.0),
        (2, &request.0),
        (5, &more.0),
        (7, &signature),
        (8, &ident.0),
    ];
    let frames = server.frames();
    assert_eq!(frames.len(), expected.len());
    for (f, (tag, payload)) in frames.iter().zip(expected) {
        assert_eq!((f.tag, &f.segments[0][..]), (tag, payload));
        assert_eq!(f.raw, frame(tag, &[payload]));
    }
    assert_eq!(
        client.auth.asked,
        [
            "request".to_string(),
            format!("more {:?}", b"challenge"),
            format!("done {GLOBAL_ID} 1 {:?}", b"tickets"),
        ]
    );
    assert_eq!(
        client.events(),
        [Ev::Opened {
            reconnected: false,
            acked_seq: 0
        }]
    );
    let session = &client.session;
    assert!(session.is_open() && session.is_lossy());
    assert_eq!(session.peer_features(), u64::MAX);
    assert_eq!(session.global_id(), GLOBAL_ID);
    assert_eq!(
        session.my_addr().to_string(),
        format!("any:192.168.0.9:0/{NONCE}")
    );
}

#[test]
fn without_authentication_signatures_are_zero() {
    let mut client = Client::new(V2);
    client.auth.key = None;
    client.connect(1);
    let mut server = ServerV2::new(true);
    server.key = None;
    server.bring(&mut client, "OPEN");
    assert_eq!(server.frames()[3].segments[0], [0; 32]);
}

#[test]
fn messages_out() {
    let (mut client, _) = ServerV2::open(true);
    let segments: [&[u8]; 2] = [b"", b"some bytes"];
    let mut seq = 0;
    for front in segments {
        for middle in segments {
            for data in segments {
                let (number, bytes) = client.send(0, front, middle, data);
                seq += 1;
                assert_eq!(number, seq);
                let header = Put::default()
                    .u64(seq)
                    .u64(99)
                    .u16(42)
                    .u16(127)
                    .u16(8)
                    .u32(0)
                    .u16(512)
                    .u64(0)
                    .u8(0)
                    .u16(3)
                    .u16(0);
                assert_eq!(bytes, frame(17, &[&header.0, front, middle, data]));
            }
        }
    }
    // A message sent again keeps its number and does not move the count.
    assert_eq!(client.send(3, b"x", b"", b"").0, 3);
    assert_eq!(client.send(0, b"x", b"", b"").0, seq + 1);
}

#[test]
fn messages_in() {
    let (mut client, _) = ServerV2::open(true);
    let segments: [&[u8]; 2] = [b"", b"some bytes"];
    let mut seq = 0;
    for front in segments {
        for middle in segments {
            for data in segments {
                seq += 1;
                client
                    .feed(&message_v2(seq, 5, front, middle, data))
                    .unwrap();
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
                assert_eq!(m.acked_seq, 5);
            }
        }
    }
}

#[test]
fn acknowledgements() {
    let (mut client, _) = ServerV2::open(false);
    let mut out = KVec::new();
    assert!(!client.session.encode_ack(&mut out).unwrap() && out.is_empty());
    client.feed(&message_v2(1, 0, b"f", b"", b"")).unwrap();
    client.feed(&message_v2(2, 0, b"", b"", b"d")).unwrap();
    assert!(client.session.ack_due());
    assert!(client.session.encode_ack(&mut out).unwrap());
    assert_eq!(out[..], frame(20, &[&2u64.to_le_bytes()]));
    assert!(!client.session.ack_due());
    // A message tells it too.
    client.feed(&message_v2(3, 0, b"", b"", b"")).unwrap();
    let (_, bytes) = client.send(0, b"f", b"", b"");
    assert_eq!(bytes[32 + 28..][..8], 3u64.to_le_bytes());
    assert!(!client.session.ack_due());
    client.events();
    client.feed(&frame(20, &[&1u64.to_le_bytes()])).unwrap();
    assert_eq!(client.events(), [Ev::Acked(1)]);

    // Who forgets the session with the connection does not want to know.
    let (mut forgetful, _) = ServerV2::open(true);
    forgetful.feed(&message_v2(1, 0, b"f", b"", b"")).unwrap();
    let mut none = KVec::new();
    assert!(!forgetful.session.encode_ack(&mut none).unwrap() && none.is_empty());
}

#[test]
fn keepalives() {
    let (mut client, _) = ServerV2::open(true);
    let stamp = Timespec { sec: 1, nsec: 2 };
    let payload = Put::default().u32(1).u32(2).0;
    let mut out = KVec::new();
    client.session.encode_keepalive(stamp, &mut out).unwrap();
    assert_eq!(out[..], frame(18, &[&payload]));
    client.feed(&frame(19, &[&payload])).unwrap();
    assert_eq!(client.events(), [Ev::KeepaliveAck(stamp)]);
    client.feed(&frame(18, &[&payload])).unwrap();
    assert_eq!(client.sent(), frame(19, &[&payload]));
}

#[test]
fn resumes() {
    let (mut client, server) = reconnecting();
    let frames = server.frames();
    let reconnect = &frames.last().unwrap().segments[0];
    let cookie = &reconnect[40..48];
    let expected = Put::default()
        .u8(2)
        .u32(1)
        .addr4(3, NONCE, [192, 168, 0, 9], 0)
        .bytes(cookie)
        .u64(0x5e55)
        .u64(5)
        .u64(1)
        .u64(2);
    assert_eq!(*reconnect, expected.0);
    assert!(!client.session.is_open());
    client.feed(&frame(15, &[&2u64.to_le_bytes()])).unwrap();
    let opened = Ev::Opened {
        reconnected: true,
        acked_seq: 2,
    };
    assert_eq!(client.events(), [opened]);
    assert_eq!(client.send(3, b"again", b"", b"").0, 3);
    assert_eq!(client.send(0, b"new", b"", b"").0, 4);
    // What we have already is passed over, then comes the next.
    let again = message_v2(2, 0, b"front", b"middle", b"data");
    client.feed(&again).unwrap();
    client.feed(&message_v2(1, 0, b"", b"", b"")).unwrap();
    assert_eq!(client.events(), []);
    client.feed(&message_v2(3, 0, b"", b"", b"")).unwrap();
    assert!(matches!(&client.events()[..], [Ev::Message(m)] if m.header.seq == 3));
}

#[test]
fn retries_with_higher_numbers() {
    let (mut client, mut server) = reconnecting();
    server.say(&mut client, &frame(13, &[&41u64.to_le_bytes()]));
    server.say(&mut client, &frame(14, &[&100u64.to_le_bytes()]));
    let frames = server.frames();
    let numbers = |f: &Frame| {
        assert_eq!(f.tag, 11);
        let at = |i: usize| u64::from_le_bytes(f.segments[0][i..i + 8].try_into().unwrap());
        (at(56), at(64))
    };
    let [.., a, b] = &frames[..] else { panic!() };
    assert_eq!((numbers(a), numbers(b)), ((5, 42), (101, 42)));
    assert_eq!(client.session.global_seq(), 101);
    // Not without end.
    let retry = frame(13, &[&41u64.to_le_bytes()]);
    let error = (0..20).find_map(|_| client.feed(&retry).err()).unwrap();
    assert_eq!(error.step, "msgr2: handshake does not end");
}

#[test]
fn peer_lost_the_session() {
    let (mut client, mut server) = reconnecting();
    let old = server.frames().last().unwrap().segments[0][40..48].to_vec();
    server.say(&mut client, &frame(12, &[&[1]]));
    assert_eq!(client.events(), [Ev::SessionReset]);
    assert_eq!(client.session.state_name(), "SESSION_CONNECT");
    let frames = server.frames();
    let ident = frames.last().unwrap();
    assert_eq!(ident.tag, 8);
    assert_ne!(ident.segments[0][ident.segments[0].len() - 8..], old);
    let ident = server.server_ident();
    server.say(&mut client, &ident);
    assert_eq!(client.send(0, b"", b"", b"").0, 1);
    client.feed(&message_v2(1, 0, b"", b"", b"")).unwrap();

    let (mut client, _) = reconnecting();
    let error = fails(&mut client, &frame(12, &[&[0]]));
    assert_eq!(error.step, "msgr2: SESSION_RESET, not full");
}

#[test]
fn lossy_sessions_begin_anew() {
    let (mut client, mut server) = ServerV2::open(true);
    client.send(0, b"", b"", b"");
    client.feed(&message_v2(1, 0, b"", b"", b"")).unwrap();
    assert_eq!(client.disconnect(), Lost::Session);
    client.events();
    client.connect(3);
    server.bring(&mut client, "OPEN");
    let opened = Ev::Opened {
        reconnected: false,
        acked_seq: 0,
    };
    assert_eq!(client.events(), [opened]);
    assert_eq!(client.send(0, b"", b"", b"").0, 1);
    client.feed(&message_v2(1, 0, b"", b"", b"")).unwrap();
    assert_eq!(client.events().len(), 1);
}

#[test]
fn unwanted_data_are_passed_over() {
    let (mut client, _) = ServerV2::open(false);
    client.unwanted = Some(43);
    let mut stream = message_v2(1, 0, b"front", b"", &[7; 5000]);
    stream.extend(message_v2(2, 0, b"front", b"", b""));
    stream.extend(message_v2(3, 0, b"", b"", b""));
    stream.extend(frame(20, &[&9u64.to_le_bytes()]));
    client.feed(&stream).unwrap();
    assert_eq!(client.events(), [Ev::Acked(9)]);
    let mut out = KVec::new();
    client.session.encode_ack(&mut out).unwrap();
    assert_eq!(out[..], frame(20, &[&3u64.to_le_bytes()]));
}

#[test]
fn calls_out_of_turn() {
    let (mut client, _) = ServerV2::open(true);
    assert!(client.session.data_received(0).is_err());
    assert!(client.session.skip_data().is_err());
    // Input before the data were reported.
    let bytes = message_v2(1, 0, b"", b"", b"data");
    let received =
        client
            .session
            .receive(&bytes, &mut client.auth, &client.crypto, &mut client.out);
    let (n, rx) = received.unwrap();
    assert!(matches!(rx, Rx::Message { header, .. } if header.data_len == 4));
    assert!(client.feed(&bytes[n..]).is_err());

    for state in states(V2) {
        let (mut client, _) = client_in(V2, state);
        let msg = out_message(0, b"", b"", b"", 0);
        let (mut head, mut tail) = (KVec::new(), KVec::new());
        let sent = client
            .session
            .encode_message(&msg, &client.crypto, &mut head, &mut tail);
        let stamp = Timespec::default();
        let kept = client.session.encode_keepalive(stamp, &mut head);
        assert_eq!(sent.is_ok(), *state == "OPEN");
        assert_eq!(kept.is_ok(), *state == "OPEN");
    }
}

#[test]
fn sending_and_receiving_do_not_allocate() {
    let (mut client, _) = ServerV2::open(true);
    let (mut head, mut tail) = (KVec::new(), KVec::new());
    head.reserve(4096, GFP_KERNEL).unwrap();
    tail.reserve(64, GFP_KERNEL).unwrap();
    let input = [
        message_v2(1, 0, b"front", b"middle", b""),
        message_v2(2, 0, b"front", b"", b"data"),
    ]
    .concat();
    let msg = out_message(0, b"front", b"middle", b"data", !0);
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
    let (mut client, _) = ServerV2::open(true);
    let (mut head, mut tail) = (KVec::new(), KVec::new());
    let msg = out_message(0, b"front", b"middle", b"data", !0);
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
        assert!(head.is_empty() && tail.is_empty());
        (head, tail) = (KVec::new(), KVec::new());
        failures += 1;
    }
    assert!(failures > 1);
}

#[test]
fn the_handshake_survives_failed_allocations() {
    let (_, server) = ServerV2::connecting("OPEN", true);
    for failures in 0..200 {
        let mut client = Client::new(V2);
        kernel::alloc::fail_after(Some(failures));
        let connected = client.session.connected(2, &mut client.out);
        let result = connected.and_then(|()| client.feed(&server.to_client));
        kernel::alloc::fail_after(None);
        match result {
            Ok(()) => {
                assert!(failures > 5 && client.session.is_open());
                return;
            }
            Err(error) => assert_eq!(error.reason, Reason::NoMemory),
        }
    }
    panic!("never succeeds");
}
