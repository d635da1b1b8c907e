// SPDX-License-Identifier: GPL-2.0-only

//! What the messenger tests share: a client that drives a session as a connection does, mock
//! credentials, and msgr2 frames made and taken apart without the code under test.

#![allow(dead_code)]

use ceph_proto_host::proto::auth::{AuthDone, ConnectionAuth, SessionKey, CON_MODE_CRC};
use ceph_proto_host::proto::error::{ProtoError, ProtoResult, Reason};
use ceph_proto_host::proto::msg::{MsgHeader, OutMessage};
use ceph_proto_host::proto::session::{Limits, Protocol, Rx, Session, SessionConfig};
use ceph_proto_host::proto::types::{features, AddrType, EntityAddr, EntityType, Timespec};
use ceph_proto_host::rust_crypto::{crc32c, RustCrypto};
use kernel::prelude::*;

pub mod server;

pub const KEY: [u8; 16] = *b"0123456789abcdef";
pub const NONCE: u32 = 0xabcd_1234;
pub const GLOBAL_ID: u64 = 4242;

pub fn addr(kind: AddrType, nonce: u32, text: &str) -> EntityAddr {
    EntityAddr::new(kind, nonce, text.parse().unwrap())
}

pub fn peer_addr(protocol: Protocol) -> EntityAddr {
    match protocol {
        Protocol::Msgr1 => addr(AddrType::LEGACY, 7, "10.1.2.3:6801"),
        Protocol::Msgr2 => addr(AddrType::MSGR2, 7, "10.1.2.3:6800"),
    }
}

pub fn config(protocol: Protocol) -> SessionConfig {
    SessionConfig {
        global_id: 0,
        my_addr: EntityAddr {
            kind: AddrType::ANY,
            nonce: NONCE,
            sock: None,
        },
        peer_type: EntityType::OSD,
        peer_addr: peer_addr(protocol),
        supported_features: features::SUPPORTED_DEFAULT,
        required_features: 0,
        con_modes: &[CON_MODE_CRC],
        data_crc: true,
        sign_messages: true,
        limits: Limits {
            front: 1 << 16,
            middle: 1 << 12,
            data: 1 << 20,
        },
        crc32c,
    }
}

/// Credentials that say what a test wants, and remember what they were asked.
pub struct Mock {
    pub key: Option<SessionKey>,
    pub method: u32,
    pub request: Vec<u8>,
    pub more: Vec<u8>,
    pub authorizer: Vec<u8>,
    pub asked: Vec<String>,
    pub refuse: bool,
}

impl Default for Mock {
    fn default() -> Self {
        Self {
            key: Some(SessionKey(KEY)),
            method: 2,
            request: b"first".to_vec(),
            more: b"second".to_vec(),
            authorizer: b"authorizer".to_vec(),
            asked: Vec::new(),
            refuse: false,
        }
    }
}

fn put(out: &mut KVec<u8>, bytes: &[u8]) -> ProtoResult {
    Ok(out.extend_from_slice(bytes, GFP_KERNEL)?)
}

impl Mock {
    fn verdict(&self) -> ProtoResult {
        match self.refuse {
            true => Err(ProtoError::new("mock", Reason::BadAuth)),
            false => Ok(()),
        }
    }
}

impl ConnectionAuth for Mock {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.asked.push("request".into());
        put(out, &self.request)?;
        Ok(self.method)
    }
    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.asked.push(format!("more {payload:?}"));
        put(out, &self.more)
    }
    fn auth_done(&mut self, global_id: u64, mode: u32, payload: &[u8]) -> ProtoResult<AuthDone> {
        self.asked
            .push(format!("done {global_id} {mode} {payload:?}"));
        self.verdict()?;
        Ok(AuthDone {
            session_key: self.key,
            connection_secret: KVec::new(),
        })
    }
    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        methods: &[u32],
        modes: &[u32],
    ) -> ProtoResult {
        self.asked
            .push(format!("bad {method} {result} {methods:?} {modes:?}"));
        self.verdict()
    }
    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.asked.push("authorizer".into());
        if self.authorizer.is_empty() {
            return Ok(0);
        }
        put(out, &self.authorizer)?;
        Ok(self.method)
    }
    fn authorizer_challenge(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.asked.push(format!("challenge {payload:?}"));
        put(out, &self.more)
    }
    fn authorizer_reply(&mut self, payload: &[u8]) -> ProtoResult {
        self.asked.push(format!("reply {payload:?}"));
        self.verdict()
    }
    fn authorizer_rejected(&mut self) {
        self.asked.push("rejected".into());
    }
    fn session_key(&self) -> Option<SessionKey> {
        self.key
    }
}

/// [`Rx`] with everything owned; a message is there when it is complete.
#[derive(Clone, Debug, PartialEq)]
pub enum Ev {
    Progress,
    Opened { reconnected: bool, acked_seq: u64 },
    Acked(u64),
    KeepaliveAck(Timespec),
    Message(Box<Msg>),
    SessionReset,
    Retry,
    Closed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Msg {
    pub header: MsgHeader,
    pub front: Vec<u8>,
    pub middle: Vec<u8>,
    pub data: Vec<u8>,
    pub acked_seq: u64,
}

/// A session with its buffers, driven as the kernel's connection drives it.
pub struct Client {
    pub session: Session,
    pub auth: Mock,
    pub crypto: RustCrypto,
    pub input: Vec<u8>,
    pub out: KVec<u8>,
    pub events: Vec<Ev>,
    /// Messages of this type are not wanted.
    pub unwanted: Option<u16>,
    message: Option<Msg>,
}

impl Client {
    pub fn new(protocol: Protocol) -> Self {
        Self::with(config(protocol), protocol)
    }

    pub fn with(cfg: SessionConfig, protocol: Protocol) -> Self {
        Self {
            session: Session::new(cfg, protocol),
            auth: Mock::default(),
            crypto: RustCrypto::seeded(1),
            input: Vec::new(),
            out: KVec::new(),
            events: Vec::new(),
            unwanted: None,
            message: None,
        }
    }

    pub fn connect(&mut self, global_seq: u64) {
        self.session.connected(global_seq, &mut self.out).unwrap();
    }

    /// The TCP connection is lost: buffers are gone with it.
    pub fn disconnect(&mut self) -> ceph_proto_host::proto::session::Lost {
        self.input.clear();
        self.out.clear();
        self.message = None;
        self.session.disconnected()
    }

    /// What is to be sent, taken.
    pub fn sent(&mut self) -> Vec<u8> {
        let sent = self.out.to_vec();
        self.out.clear();
        sent
    }

    /// Events so far, taken; steps that concern nobody are left out.
    pub fn events(&mut self) -> Vec<Ev> {
        let mut events = std::mem::take(&mut self.events);
        events.retain(|e| *e != Ev::Progress);
        events
    }

    /// `bytes` arrive.
    pub fn feed(&mut self, bytes: &[u8]) -> ProtoResult {
        self.input.extend_from_slice(bytes);
        loop {
            if let Some(msg) = self.message.as_mut() {
                let missing = msg.header.data_len as usize - msg.data.len();
                if missing > 0 {
                    let n = missing.min(self.input.len());
                    msg.data.extend(self.input.drain(..n));
                    if n < missing {
                        return Ok(());
                    }
                    let crc = crc32c(self.session.data_crc_seed(), &msg.data);
                    self.session.data_received(crc)?;
                }
            }
            let (n, rx) =
                self.session
                    .receive(&self.input, &mut self.auth, &self.crypto, &mut self.out)?;
            assert!(n <= self.input.len());
            let event = match rx {
                Rx::NeedMore { total } => {
                    assert_eq!(n, 0);
                    assert!(total > self.input.len(), "asks for what is there");
                    assert!(total < 1 << 19, "asks for {total} bytes");
                    return Ok(());
                }
                Rx::Progress => Ev::Progress,
                Rx::Opened {
                    reconnected,
                    acked_seq,
                    ..
                } => Ev::Opened {
                    reconnected,
                    acked_seq,
                },
                Rx::Acked { seq } => Ev::Acked(seq),
                Rx::KeepaliveAck { stamp } => Ev::KeepaliveAck(stamp),
                Rx::Message {
                    header,
                    front,
                    middle,
                    acked_seq,
                    data_crc_seed,
                } => {
                    assert_eq!(data_crc_seed, self.session.data_crc_seed());
                    assert!(self.message.is_none(), "a message within a message");
                    if self.unwanted == Some(header.typ) {
                        self.session.skip_data()?;
                    } else {
                        self.message = Some(Msg {
                            header,
                            front: front.to_vec(),
                            middle: middle.to_vec(),
                            data: Vec::new(),
                            acked_seq,
                        });
                    }
                    self.input.drain(..n);
                    continue;
                }
                Rx::MessageEnd => Ev::Message(Box::new(self.message.take().unwrap())),
                Rx::SessionReset => Ev::SessionReset,
                Rx::Retry => Ev::Retry,
                Rx::Closed => Ev::Closed,
            };
            let over = matches!(event, Ev::Retry | Ev::Closed);
            self.input.drain(..n);
            self.events.push(event);
            if over {
                return Ok(());
            }
        }
    }

    /// Sends a message with these segments, and returns its number and bytes.
    pub fn send(&mut self, seq: u64, front: &[u8], middle: &[u8], data: &[u8]) -> (u64, Vec<u8>) {
        let (mut head, mut tail) = (KVec::new(), KVec::new());
        let msg = out_message(seq, front, middle, data, self.session.data_crc_seed());
        let seq = self
            .session
            .encode_message(&msg, &self.crypto, &mut head, &mut tail)
            .unwrap();
        (seq, [&head[..], data, &tail[..]].concat())
    }
}

/// The error with which the client takes `bytes`, and nothing any more.
pub fn fails(client: &mut Client, bytes: &[u8]) -> ProtoError {
    let error = client.feed(bytes).unwrap_err();
    assert!(client.feed(b"").is_err());
    assert_eq!(client.session.state_name(), "CLOSED");
    error
}

pub fn out_message<'a>(
    seq: u64,
    front: &'a [u8],
    middle: &'a [u8],
    data: &[u8],
    seed: u32,
) -> OutMessage<'a> {
    OutMessage {
        seq,
        tid: 99,
        typ: 42,
        priority: 127,
        version: 8,
        compat_version: 3,
        data_off: 512,
        front,
        middle,
        data_len: data.len() as u32,
        data_crc: crc32c(seed, data),
    }
}

/// Little-endian bytes, appended one after the other.
#[derive(Default, Clone)]
pub struct Put(pub Vec<u8>);

impl Put {
    pub fn u8(mut self, v: u8) -> Self {
        self.0.push(v);
        self
    }
    pub fn u16(mut self, v: u16) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }
    pub fn u32(mut self, v: u32) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }
    pub fn u64(mut self, v: u64) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }
    pub fn bytes(mut self, v: &[u8]) -> Self {
        self.0.extend(v);
        self
    }
    pub fn blob(self, v: &[u8]) -> Self {
        self.u32(v.len() as u32).bytes(v)
    }
    /// An IPv4 address in the versioned encoding.
    pub fn addr4(self, kind: u32, nonce: u32, ip: [u8; 4], port: u16) -> Self {
        self.u8(1)
            .u8(1)
            .u8(1)
            .u32(28)
            .u32(kind)
            .u32(nonce)
            .u32(16)
            .u16(2)
            .bytes(&port.to_be_bytes())
            .bytes(&ip)
            .bytes(&[0; 8])
    }
}

/// A msgr2.1 frame in crc mode, as the msgr2 document has it.
pub fn frame(tag: u8, segments: &[&[u8]]) -> Vec<u8> {
    let count = segments
        .iter()
        .rposition(|s| !s.is_empty())
        .map_or(1, |last| last + 1);
    let mut preamble = Put::default().u8(tag).u8(count as u8);
    for i in 0..4 {
        let len = segments.get(i).map_or(0, |s| s.len());
        let align = match i {
            _ if i >= count => 0,
            3 => 4096,
            _ => 8,
        };
        preamble = preamble.u32(len as u32).u16(align);
    }
    let preamble = preamble.u16(0);
    let crc = crc32c(0, &preamble.0);
    let mut out = preamble.u32(crc);
    if !segments[0].is_empty() {
        out = out.bytes(segments[0]).u32(crc32c(!0, segments[0]));
    }
    if count > 1 {
        let mut crcs = [0; 3];
        for i in 1..count {
            out = out.bytes(segments[i]);
            crcs[i - 1] = crc32c(!0, segments[i]);
        }
        out = out.u8(0xe);
        for crc in crcs {
            out = out.u32(crc);
        }
    }
    out.0
}

/// A frame taken apart: its tag, its segments, and all its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub tag: u8,
    pub segments: Vec<Vec<u8>>,
    pub raw: Vec<u8>,
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

/// Takes a stream of frames apart and checks every CRC. The stream must end with a frame.
pub fn parse_frames(mut stream: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let start = stream;
        assert_eq!(crc32c(0, &stream[..28]), le32(&stream[28..]), "preamble");
        let (tag, count) = (stream[0], usize::from(stream[1]));
        assert!((1..=4).contains(&count));
        let lens: Vec<_> = (0..count)
            .map(|i| le32(&stream[2 + 6 * i..]) as usize)
            .collect();
        stream = &stream[32..];
        let mut segments = Vec::new();
        for (i, &len) in lens.iter().enumerate() {
            segments.push(stream[..len].to_vec());
            stream = &stream[len..];
            if i == 0 && len > 0 {
                assert_eq!(crc32c(!0, &segments[0]), le32(stream), "control");
                stream = &stream[4..];
            }
        }
        if count > 1 {
            assert_eq!(stream[0] & 0xf, 0xe);
            for i in 1..4 {
                let crc = segments.get(i).map_or(0, |s| crc32c(!0, s));
                assert_eq!(crc, le32(&stream[4 * i - 3..]), "segment {i}");
            }
            stream = &stream[13..];
        }
        let raw = start[..start.len() - stream.len()].to_vec();
        frames.push(Frame { tag, segments, raw });
    }
    frames
}

pub const BANNER_V2_LEN: usize = 26;

pub fn banner_v2() -> Vec<u8> {
    Put::default().bytes(b"ceph v2\n").u16(16).u64(3).u64(0).0
}

/// `ceph_msg_header2`.
pub fn header2(seq: u64, ack_seq: u64) -> Vec<u8> {
    Put::default()
        .u64(seq)
        .u64(99)
        .u16(43)
        .u16(127)
        .u16(8)
        .u32(0)
        .u16(512)
        .u64(ack_seq)
        .u8(0)
        .u16(3)
        .u16(0)
        .0
}

/// A `MESSAGE` frame.
pub fn message_v2(seq: u64, ack_seq: u64, front: &[u8], middle: &[u8], data: &[u8]) -> Vec<u8> {
    frame(17, &[&header2(seq, ack_seq), front, middle, data])
}
