// SPDX-License-Identifier: GPL-2.0-only

//! Sessions of both protocols and bytes that come in odd pieces, end early, or are hostile.

mod msgr_common;

use ceph_proto_host::proto::session::Protocol;
use msgr_common::server::*;
use msgr_common::*;
use proptest::prelude::*;

const PROTOCOLS: [Protocol; 2] = [Protocol::Msgr1, Protocol::Msgr2];

/// All that a server sends over one TCP connection, handshake, messages and acknowledgements, and
/// the events of a client that got it in one piece. The client repeats itself, so it fits others.
fn whole_stream(protocol: Protocol) -> (Vec<u8>, Vec<Ev>) {
    let (_, server) = client_in(protocol, "OPEN");
    let mut stream = server.sent().to_vec();
    stream.extend(server.message(1, b"", b"", b""));
    stream.extend(server.message(2, b"front", b"middle", &[9; 300]));
    stream.extend(server.ack(1));
    stream.extend(server.message(2, b"again", b"", b"again"));
    stream.extend(server.message(3, &[1; 700], b"", b""));
    stream.extend(server.message(4, b"", b"", b"d"));
    stream.extend(server.ack(2));
    let mut client = fresh(protocol);
    client.feed(&stream).unwrap();
    let events = client.events();
    assert_eq!(events.len(), 7, "{events:?}");
    (stream, events)
}

fn fresh(protocol: Protocol) -> Client {
    let mut client = Client::new(protocol);
    client.connect(2);
    client
}

#[test]
fn byte_by_byte() {
    for protocol in PROTOCOLS {
        let (stream, events) = whole_stream(protocol);
        let mut client = fresh(protocol);
        for byte in stream.chunks(1) {
            client.feed(byte).unwrap();
        }
        assert_eq!(client.events(), events);
        assert!(client.input.is_empty());
    }
}

#[test]
fn cut_short_at_each_byte() {
    for protocol in PROTOCOLS {
        let (stream, events) = whole_stream(protocol);
        for end in 0..stream.len() {
            let mut client = fresh(protocol);
            client.feed(&stream[..end]).unwrap();
            let seen = client.events();
            assert!(events.starts_with(&seen) && seen.len() < events.len());
            // And it goes on where it stopped.
            client.feed(&stream[end..]).unwrap();
            assert_eq!([seen, client.events()].concat(), events);
        }
    }
}

#[test]
fn reconnects_from_every_state() {
    for protocol in PROTOCOLS {
        for state in states(protocol) {
            let (mut client, mut server) = client_in(protocol, state);
            client.feed(b"\x01").ok();
            client.disconnect();
            assert_eq!(client.session.state_name(), "IDLE");
            assert!(client.feed(b"x").is_err());
            client.disconnect();
            client.connect(9);
            server.bring(&mut client, "OPEN");
            assert!(client.session.is_open());
        }
    }
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Msgr1), Just(Protocol::Msgr2)]
}

fn any_state() -> impl Strategy<Value = (Protocol, &'static str)> {
    any_protocol().prop_flat_map(|p| (Just(p), prop::sample::select(states(p))))
}

fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..len)
}

proptest! {
    #[test]
    fn in_any_pieces(
        protocol in any_protocol(),
        pieces in proptest::collection::vec(1usize..400, 1..200),
    ) {
        let (stream, events) = whole_stream(protocol);
        let mut client = fresh(protocol);
        let mut rest = &stream[..];
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            client.feed(now).unwrap();
            rest = later;
        }
        client.feed(rest).unwrap();
        prop_assert_eq!(client.events(), events);
    }

    /// [`Client::feed`] checks what is consumed and asked for; here nothing may panic.
    #[test]
    fn any_bytes_in_any_state((protocol, state) in any_state(), input in bytes(400)) {
        let (mut client, _) = client_in(protocol, state);
        let _ = client.feed(&input);
    }

    /// Frames and tags that are well-formed but say anything.
    #[test]
    fn any_payload_in_any_state(
        (protocol, state) in any_state(),
        tag in 0u8..22,
        control in bytes(200),
        front in bytes(20),
        data in bytes(20),
    ) {
        let (mut client, server) = client_in(protocol, state);
        let input = match (&server, state) {
            (Server::V2(_), _) => frame(tag, &[&control, &front, b"", &data]),
            (Server::V1(s), "CONNECT") => s.reply(tag, &control),
            (Server::V1(_), _) => [&[tag], &control[..]].concat(),
        };
        let _ = client.feed(&input);
        let alone = match server {
            Server::V2(_) => frame(tag, &[&control]),
            Server::V1(_) => control,
        };
        let (mut client, _) = client_in(protocol, state);
        let _ = client.feed(&alone);
    }

    /// Whatever happens to a stream, no message comes out of it that was not sent.
    #[test]
    fn damaged_streams(
        protocol in any_protocol(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let (mut stream, events) = whole_stream(protocol);
        for (at, bits) in damage {
            let at = at.index(stream.len());
            stream[at] ^= bits;
        }
        let mut client = fresh(protocol);
        let _ = client.feed(&stream);
        for event in client.events() {
            if let Ev::Message(_) = event {
                prop_assert!(events.contains(&event));
            }
        }
    }

    #[test]
    fn messages_of_any_shape(
        protocol in any_protocol(),
        messages in proptest::collection::vec((bytes(300), bytes(50), bytes(300)), 1..8),
    ) {
        let (mut client, server) = client_in(protocol, "OPEN");
        let mut stream = Vec::new();
        for (i, (front, middle, data)) in messages.iter().enumerate() {
            stream.extend(server.message(i as u64 + 1, front, middle, data));
        }
        client.feed(&stream).unwrap();
        let got: Vec<_> = client
            .events()
            .into_iter()
            .map(|e| match e {
                Ev::Message(m) => (m.front, m.middle, m.data),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(got, messages);
    }
}
