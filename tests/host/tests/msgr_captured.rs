// SPDX-License-Identifier: GPL-2.0-only

//! Our sessions against what the kernel's C client and real daemons said to each other
//! (`vectors/msgr/krbd.streams`, made by `vectors/msgr/capture`).
//!
//! The daemons' bytes are replayed into a session that has the captured credentials. Signatures of
//! the handshake and of messages only verify if the session sends, byte for byte, what the C
//! client sent; the rest of what it sends is compared directly.

mod msgr_common;

use ceph_proto_host::proto::auth::SessionKey;
use ceph_proto_host::proto::crypto::Crypto;
use ceph_proto_host::proto::msg::OutMessage;
use ceph_proto_host::proto::session::{Limits, Protocol, SessionConfig};
use ceph_proto_host::proto::types::{features, AddrType, EntityAddr, EntityType, Timespec};
use ceph_proto_host::proto::wire::Decoder;
use ceph_proto_host::rust_crypto::RustCrypto;
use kernel::prelude::*;
use msgr_common::*;
use std::collections::BTreeMap;

const STREAMS: &str = include_str!("../vectors/msgr/krbd.streams");

#[derive(Clone, Copy, PartialEq, Debug)]
enum Side {
    Client,
    Server,
}

struct Connection {
    peer: String,
    chunks: Vec<(Side, Vec<u8>)>,
}

impl Connection {
    fn all(&self, side: Side) -> Vec<u8> {
        let of_side = self.chunks.iter().filter(|(s, _)| *s == side);
        of_side.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

struct Capture {
    secret: [u8; 16],
    connections: Vec<Connection>,
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("not base64: {c}"),
    };
    let mut out = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group
            .iter()
            .fold(0u32, |bits, &c| bits << 6 | u32::from(digit(c)));
        let bits = bits << (6 * (4 - group.len()));
        out.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    out
}

fn capture() -> Capture {
    let mut secret = [0; 16];
    let mut connections: Vec<Connection> = Vec::new();
    for line in STREAMS.lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        let mut chunk = |side| {
            let chunks = &mut connections.last_mut().unwrap().chunks;
            chunks.push((side, base64(rest)));
        };
        match word {
            // A key is u16 type, a time, u16 length and the secret.
            "secret" => secret.copy_from_slice(&base64(rest)[12..]),
            "connection" => connections.push(Connection {
                peer: rest.into(),
                chunks: Vec::new(),
            }),
            ">" => chunk(Side::Client),
            "<" => chunk(Side::Server),
            _ => panic!("{line}"),
        }
    }
    Capture {
        secret,
        connections,
    }
}

impl Capture {
    fn connection(&self, peer: &str) -> &Connection {
        self.connections.iter().find(|c| c.peer == peer).unwrap()
    }
}

/// Decrypts a blob of cephx: `u32 len`, then AES-CBC of `u8 1, u64 magic` and the content.
fn decrypt(d: &mut Decoder<'_>, key: &[u8; 16]) -> Vec<u8> {
    let mut blob = d.blob(1 << 16, "blob").unwrap().to_vec();
    RustCrypto::default()
        .aes_cbc_decrypt(key, b"cephsageyudagreg", &mut blob)
        .unwrap();
    assert_eq!(blob[1..9], 0xff00_9cad_8826_aa55u64.to_le_bytes());
    blob[9..].to_vec()
}

type Keys = BTreeMap<u32, SessionKey>;

/// Reads a reply with tickets, encrypted with `key`, and keeps the session key of each.
fn tickets(d: &mut Decoder<'_>, key: &[u8; 16], keys: &mut Keys) {
    assert_eq!(d.u8("version").unwrap(), 1);
    for _ in 0..d.u32("tickets").unwrap() {
        let service = d.u32("service").unwrap();
        d.u8("version").unwrap();
        let plain = decrypt(d, key);
        // u8 version, then the key: u16 type, a time, u16 length, secret.
        assert_eq!(plain[11..13], [16, 0]);
        keys.insert(service, SessionKey(plain[13..29].try_into().unwrap()));
        d.u8("is the ticket encrypted").unwrap();
        d.skip_blob("ticket").unwrap();
    }
}

/// Session keys from what a monitor hands out when authentication is done.
fn session_keys(secret: &[u8; 16], payload: &[u8]) -> Keys {
    const AUTH: u32 = 0x20;
    let mut keys = Keys::new();
    let mut d = Decoder::new(payload);
    assert_eq!(d.u16("operation").unwrap(), 0x100);
    assert_eq!(d.i32("result").unwrap(), 0);
    tickets(&mut d, secret, &mut keys);
    let key = keys[&AUTH].0;
    if d.blob(1 << 16, "connection secret").is_ok() && !d.is_empty() {
        let mut extra = Decoder::new(d.blob(1 << 16, "extra tickets").unwrap());
        tickets(&mut extra, &key, &mut keys);
    }
    keys
}

fn parsed_v2(stream: &[u8]) -> Vec<Frame> {
    let banner = 10 + usize::from(u16::from_le_bytes(stream[8..10].try_into().unwrap()));
    parse_frames(&stream[banner..])
}

fn payloads(frames: &[Frame], tag: u8) -> Vec<Vec<u8>> {
    let of_tag = frames.iter().filter(|f| f.tag == tag);
    of_tag.map(|f| f.segments[0].clone()).collect()
}

/// A session configured as the captured client was.
fn config_of(cap: &Connection, protocol: Protocol, nonces: (u32, u32)) -> SessionConfig {
    let (my_nonce, peer_nonce) = nonces;
    let kind = match protocol {
        Protocol::Msgr1 => AddrType::LEGACY,
        Protocol::Msgr2 => AddrType::MSGR2,
    };
    let mut cfg = config(protocol);
    cfg.limits = Limits::DEFAULT;
    // The C client asks for it while message signatures are on.
    cfg.required_features = features::MSG_AUTH;
    cfg.peer_addr = addr(kind, peer_nonce, &cap.peer);
    cfg.my_addr.nonce = my_nonce;
    cfg.peer_type = match cap.peer.starts_with("10.77.0.1:") {
        true => EntityType::MON,
        false => EntityType::OSD,
    };
    cfg
}

/// A session and what it has yet to receive of the captured server.
///
/// Bytes crossed on the wire, so their order in the capture does not tell what the C client knew
/// when it sent something. But it says so: by the number up to which it has received messages.
struct Replay {
    client: Client,
    held: std::vec::IntoIter<u8>,
}

impl Replay {
    fn new(client: Client, cap: &Connection) -> Self {
        let held = cap.all(Side::Server).into_iter();
        Self { client, held }
    }

    /// Receives until something is so.
    fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let byte = self.held.next().expect("the server says no more");
            self.client.feed(&[byte]).unwrap();
        }
    }

    fn until_open(&mut self) {
        self.until(|r| r.client.session.is_open());
        assert!(self.client.session.is_lossy());
    }

    /// Receives until message `seq` is complete, which is to be acknowledged next.
    fn until_received(&mut self, seq: u64) {
        let messages = |r: &Self| {
            let is_message = |e: &&Ev| matches!(e, Ev::Message(_));
            r.client.events.iter().filter(is_message).count() as u64
        };
        self.until(|r| messages(r) >= seq);
        assert_eq!(messages(self), seq);
    }

    /// Receives the rest, and returns all events.
    fn finish(mut self) -> Vec<Ev> {
        self.client.feed(self.held.as_slice()).unwrap();
        assert!(self.client.input.is_empty() && self.client.sent().is_empty());
        self.client.events()
    }
}

/// Brings a session to where `CLIENT_IDENT` was sent, and returns it with what the C client sent
/// after that.
fn open_v2(cap: &Connection, keys: &Keys) -> (Replay, Vec<Frame>) {
    let theirs = parsed_v2(&cap.all(Side::Client));
    let ident = &payloads(&theirs, 8)[0];
    // addrvec: u8, u32, then marker 1, section 6, type 4, nonce; the target's follows.
    let nonce_at = |at: usize| u32::from_le_bytes(ident[at..at + 4].try_into().unwrap());
    let mut cfg = config_of(cap, Protocol::Msgr2, (nonce_at(16), nonce_at(16 + 35)));
    let service = if cfg.peer_type == EntityType::MON {
        0x20
    } else {
        // The monitor told our global id before.
        cfg.global_id = u64::from_le_bytes(ident[75..83].try_into().unwrap());
        0x04
    };
    let mut client = Client::with(cfg, Protocol::Msgr2);
    let request = &payloads(&theirs, 2)[0];
    client.auth = Mock {
        key: Some(keys[&service]),
        method: u32::from_le_bytes(request[..4].try_into().unwrap()),
        request: request[16..].to_vec(),
        more: payloads(&theirs, 5)[0][4..].to_vec(),
        ..Mock::default()
    };
    client.connect(u64::from_le_bytes(ident[83..91].try_into().unwrap()));

    let handshake = theirs.iter().take_while(|f| f.tag <= 8);
    let handshake_len = BANNER_V2_LEN + handshake.map(|f| f.raw.len()).sum::<usize>();
    let theirs = cap.all(Side::Client);
    let mut replay = Replay::new(client, cap);
    replay.until(|r| r.client.out.len() >= handshake_len);
    let ours = replay.client.sent();
    assert_eq!(replay.client.session.state_name(), "SESSION_CONNECT");
    // The cookie at the end of CLIENT_IDENT is random, and a CRC follows it.
    let (compared, _) = ours.split_at(handshake_len - 12);
    assert_eq!(compared, &theirs[..handshake_len - 12]);
    assert_eq!(ours.len(), handshake_len);
    (replay, parse_frames(&theirs[handshake_len..]))
}

/// What the C client sent in the open session.
fn replay_v2((mut replay, frames): (Replay, Vec<Frame>)) -> Vec<Ev> {
    let mut compared = 0;
    replay.until_open();
    for frame in frames {
        let control = &frame.segments[0];
        let segment = |i: usize| frame.segments.get(i).map_or(&[][..], |s| s);
        let number_at = |at: usize| u64::from_le_bytes(control[at..at + 8].try_into().unwrap());
        match frame.tag {
            17 => replay.until_received(number_at(28)),
            20 => replay.until_received(number_at(0)),
            _ => {}
        }
        let client = &mut replay.client;
        let ours = match frame.tag {
            17 => {
                let mut d = Decoder::new(control);
                let seq = d.u64("seq").unwrap();
                let data = segment(3);
                let msg = OutMessage {
                    tid: d.u64("tid").unwrap(),
                    typ: d.u16("type").unwrap(),
                    priority: d.u16("priority").unwrap(),
                    version: d.u16("version").unwrap(),
                    data_off: {
                        d.u32("padding").unwrap();
                        d.u16("offset").unwrap()
                    },
                    compat_version: {
                        d.skip(9, "ack").unwrap();
                        d.u16("compat").unwrap()
                    },
                    ..out_message(0, segment(1), segment(2), data, !0)
                };
                let (mut head, mut tail) = (KVec::new(), KVec::new());
                let sent = client
                    .session
                    .encode_message(&msg, &client.crypto, &mut head, &mut tail)
                    .unwrap();
                assert_eq!(sent, seq);
                compared += 1;
                [&head[..], data, &tail[..]].concat()
            }
            18 => {
                let stamp = Timespec::decode(&mut Decoder::new(control), "stamp").unwrap();
                let mut out = KVec::new();
                client.session.encode_keepalive(stamp, &mut out).unwrap();
                out.to_vec()
            }
            20 => {
                // The C client acknowledges also to peers that forget. We do not.
                assert!(client.session.is_lossy() && !client.session.ack_due());
                continue;
            }
            other => panic!("tag {other}"),
        };
        assert_eq!(ours, frame.raw);
    }
    assert!(compared > 1);
    replay.finish()
}

fn v2_keys(cap: &Capture) -> Keys {
    let mon = cap.connection("10.77.0.1:3300");
    let done = &payloads(&parsed_v2(&mon.all(Side::Server)), 6)[0];
    // u64 global id, u32 mode, u32 length.
    session_keys(&cap.secret, &done[16..])
}

fn count(events: &[Ev], typ: u16) -> usize {
    let is = |e: &&Ev| matches!(e, Ev::Message(m) if m.header.typ == typ);
    events.iter().filter(is).count()
}

#[test]
fn msgr2_monitor() {
    let cap = capture();
    let events = replay_v2(open_v2(cap.connection("10.77.0.1:3300"), &v2_keys(&cap)));
    assert!(matches!(events[0], Ev::Opened { .. }));
    // Monitor map and OSD map came, and keepalives were answered.
    assert!(count(&events, 4) > 0 && count(&events, 41) > 0);
    assert!(events.iter().any(|e| matches!(e, Ev::KeepaliveAck(_))));
}

#[test]
fn msgr2_osd() {
    let cap = capture();
    let events = replay_v2(open_v2(cap.connection("10.77.0.10:6800"), &v2_keys(&cap)));
    // Replies, acknowledgements in message headers, and data read back.
    assert!(count(&events, 43) > 20);
    let data = |e: &Ev| match e {
        Ev::Message(m) if m.header.data_len == 4096 => m.data.starts_with(b"1\n2\n3\n"),
        _ => false,
    };
    assert!(events.iter().any(data));
}

#[test]
fn msgr2_every_frame_of_both_sides() {
    let cap = capture();
    for peer in ["10.77.0.1:3300", "10.77.0.10:6800"] {
        let connection = cap.connection(peer);
        for side in [Side::Client, Side::Server] {
            let frames = parsed_v2(&connection.all(side));
            assert!(frames.len() > 8);
            // Our own frames are the same bytes.
            for f in &frames {
                let segments: Vec<_> = f.segments.iter().map(|s| &s[..]).collect();
                assert_eq!(frame(f.tag, &segments), f.raw);
            }
        }
    }
}

/// Walks a msgr1 stream in its open part: the length of what each tag begins.
fn step_len_v1(stream: &[u8]) -> usize {
    let at = |i: usize| u32::from_le_bytes(stream[i..i + 4].try_into().unwrap()) as usize;
    match stream[0] {
        7 => 1 + 53 + at(23) + at(27) + at(31) + 21,
        8 | 14 | 15 => 9,
        9 => 1,
        other => panic!("tag {other}"),
    }
}

/// `ceph_msg_connect` and the authorizer.
type Connect = (Vec<u8>, Vec<u8>);

/// The connects that the C client sent, and what follows them.
fn connects_v1(mut stream: &[u8]) -> (Vec<Connect>, &[u8]) {
    let mut connects = Vec::new();
    stream = &stream[145..];
    // Its first word is the feature bits, no tag.
    while stream.starts_with(&features::SUPPORTED_DEFAULT.to_le_bytes()) {
        let len = u32::from_le_bytes(stream[28..32].try_into().unwrap()) as usize;
        connects.push((stream[..33].to_vec(), stream[33..33 + len].to_vec()));
        stream = &stream[33 + len..];
    }
    // The server asks for the number of the last message received: none.
    assert_eq!(stream[..8], [0; 8]);
    (connects, &stream[8..])
}

/// Session keys from the authentication messages of a msgr1 monitor session.
fn v1_keys(cap: &Capture) -> Keys {
    let mon = cap.connection("10.77.0.1:6789");
    let server = mon.all(Side::Server);
    // Banner and addresses, a reply without an authorizer, a number.
    let mut stream = &server[281 + 26 + 8..];
    while !stream.is_empty() {
        let len = step_len_v1(stream);
        // CEPH_MSG_AUTH_REPLY: u32 method, i32 result, u64 global id, u32 length.
        if stream[0] == 7 && stream[17..19] == [18, 0] && stream[54 + 20..54 + 22] == [0, 1] {
            return session_keys(&cap.secret, &stream[54 + 20..len]);
        }
        stream = &stream[len..];
    }
    panic!("no tickets");
}

fn replay_v1(cap: &Connection, keys: &Keys) -> Vec<Ev> {
    let theirs = cap.all(Side::Client);
    let (connects, opened) = connects_v1(&theirs);
    let handshake_len = theirs.len() - opened.len();
    let server = cap.all(Side::Server);
    let nonce = |bytes: &[u8]| u32::from_le_bytes(bytes[13..17].try_into().unwrap());
    let mut cfg = config_of(cap, Protocol::Msgr1, (nonce(&theirs), nonce(&server)));
    let connect = |i: usize| &connects[i];
    let word = |i: usize| u32::from_le_bytes(connects[0].0[i..i + 4].try_into().unwrap());
    // Whether it had learnt its address from an earlier connection.
    let mut banner = Decoder::new(&theirs[9..145]);
    cfg.my_addr.sock = EntityAddr::decode(&mut banner, "address").unwrap().sock;
    if cfg.peer_type == EntityType::OSD {
        // It stands in the authorizer.
        cfg.global_id = u64::from_le_bytes(connect(0).1[1..9].try_into().unwrap());
    }
    let mut client = Client::with(cfg, Protocol::Msgr1);
    client.auth = Mock {
        key: keys.get(&4).copied(),
        method: word(24),
        authorizer: connect(0).1.clone(),
        more: connects.get(1).map_or(Vec::new(), |c| c.1.clone()),
        ..Mock::default()
    };
    client.connect(word(12).into());
    let mut replay = Replay::new(client, cap);
    replay.until(|r| r.client.out.len() >= handshake_len);
    assert_eq!(replay.client.sent(), theirs[..handshake_len]);
    replay.until_open();
    let mut compared = 0;
    let mut stream = opened;
    while !stream.is_empty() {
        // An acknowledgement goes before a message if one is due.
        let mut len = step_len_v1(stream);
        if stream[0] == 8 && stream.get(len) == Some(&7) {
            len += step_len_v1(&stream[len..]);
        }
        let (step, rest) = stream.split_at(len);
        stream = rest;
        let at = if step.len() > 9 && step[0] == 8 { 9 } else { 0 };
        let body = &step[at..];
        if step[0] == 8 {
            replay.until_received(u64::from_le_bytes(step[1..9].try_into().unwrap()));
        }
        let client = &mut replay.client;
        let sent = match body[0] {
            7 => {
                let mut d = Decoder::new(&body[1..]);
                let seq = d.u64("seq").unwrap();
                let tid = d.u64("tid").unwrap();
                let typ = d.u16("type").unwrap();
                let priority = d.u16("priority").unwrap();
                let version = d.u16("version").unwrap();
                let lens = [0; 3].map(|_| d.u32("len").unwrap() as usize);
                let data_off = d.u16("offset").unwrap();
                d.skip(1, "source").unwrap();
                client.session.set_global_id(d.u64("source").unwrap());
                let compat_version = d.u16("compat").unwrap();
                d.skip(6, "crc").unwrap();
                let [front, middle, data] = lens.map(|len| d.bytes(len, "segment").unwrap());
                let msg = OutMessage {
                    tid,
                    typ,
                    priority,
                    version,
                    compat_version,
                    data_off,
                    ..out_message(0, front, middle, data, 0)
                };
                let (mut head, mut tail) = (KVec::new(), KVec::new());
                let number = client
                    .session
                    .encode_message(&msg, &client.crypto, &mut head, &mut tail)
                    .unwrap();
                assert_eq!(number, seq);
                compared += 1;
                if data.is_empty() {
                    assert!(tail.is_empty());
                }
                [&head[..], data, &tail[..]].concat()
            }
            8 => {
                // The C client acknowledges also to peers that forget. We do not.
                assert!(client.session.is_lossy() && !client.session.ack_due());
                continue;
            }
            _ => {
                let stamp = Timespec::decode(&mut Decoder::new(&body[1..]), "stamp").unwrap();
                let mut out = KVec::new();
                client.session.encode_keepalive(stamp, &mut out).unwrap();
                out.to_vec()
            }
        };
        // Without the acknowledgement that goes before it.
        let (mut sent, mut step) = (sent, body.to_vec());
        if body[0] == 7 && body[37] == 0 {
            // The C client does not call itself a client before it is authenticated. We do.
            for bytes in [&mut sent, &mut step] {
                bytes.splice(37..54, []);
            }
        }
        assert_eq!(sent, step);
    }
    assert!(compared > 1);
    replay.finish()
}

#[test]
fn msgr1_monitor() {
    let cap = capture();
    // No authorizer, and no key: monitors do not sign.
    let events = replay_v1(cap.connection("10.77.0.1:6789"), &Keys::new());
    assert!(count(&events, 18) > 0 && count(&events, 41) > 0);
    assert!(events.iter().any(|e| matches!(e, Ev::KeepaliveAck(_))));
}

#[test]
fn msgr1_osd_with_signatures() {
    let cap = capture();
    let events = replay_v1(cap.connection("10.77.0.10:6801"), &v1_keys(&cap));
    assert!(count(&events, 43) > 20);
}
