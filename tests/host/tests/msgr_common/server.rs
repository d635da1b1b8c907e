// SPDX-License-Identifier: GPL-2.0-only

//! The daemon's side of both handshakes, scripted from the protocol's description.

use super::*;
use ceph_proto_host::proto::crypto::Crypto;
use ceph_proto_host::proto::session::Lost;

/// One daemon's side, step by step.
pub trait Scripted: Sized + 'static {
    const PROTOCOL: Protocol;
    /// What it says in a handshake, one after the other.
    const STEPS: &'static [fn(&Self) -> Vec<u8>];

    fn new(lossy: bool) -> Self;

    /// What came from the client and went to it over the last TCP connection.
    fn traffic(&mut self) -> [&mut Vec<u8>; 2];

    fn say(&mut self, client: &mut Client, bytes: &[u8]) {
        let [from_client, to_client] = self.traffic();
        to_client.extend(bytes);
        client.feed(bytes).unwrap();
        from_client.extend(client.sent());
    }

    /// Brings the client from a new TCP connection to `state`.
    fn bring(&mut self, client: &mut Client, state: &str) {
        let [from_client, to_client] = self.traffic();
        *from_client = client.sent();
        to_client.clear();
        for step in Self::STEPS {
            if client.session.state_name() == state {
                return;
            }
            let bytes = step(self);
            self.say(client, &bytes);
        }
        assert_eq!(client.session.state_name(), state);
    }

    /// A client with this configuration in `state`, and the server that brought it there.
    fn connecting_with(cfg: SessionConfig, state: &str, lossy: bool) -> (Client, Self) {
        let mut client = Client::with(cfg, Self::PROTOCOL);
        let mut server = Self::new(lossy);
        client.connect(2);
        server.bring(&mut client, state);
        (client, server)
    }

    /// A client in `state`, and the server that brought it there.
    fn connecting(state: &str, lossy: bool) -> (Client, Self) {
        Self::connecting_with(config(Self::PROTOCOL), state, lossy)
    }

    /// A client whose session is open, and its server.
    fn open(lossy: bool) -> (Client, Self) {
        let (mut client, server) = Self::connecting("OPEN", lossy);
        client.events();
        (client, server)
    }
}

/// One of the two daemons' sides, for tests that do with either.
pub enum Server {
    V1(ServerV1),
    V2(ServerV2),
}

impl Server {
    pub fn new(protocol: Protocol, lossy: bool) -> Self {
        match protocol {
            Protocol::Msgr1 => Server::V1(ServerV1::new(lossy)),
            Protocol::Msgr2 => Server::V2(ServerV2::new(lossy)),
        }
    }

    /// Brings the client from a new TCP connection to `state`.
    pub fn bring(&mut self, client: &mut Client, state: &str) {
        match self {
            Server::V1(s) => s.bring(client, state),
            Server::V2(s) => s.bring(client, state),
        }
    }

    /// Everything sent over the last TCP connection.
    pub fn sent(&self) -> &[u8] {
        match self {
            Server::V1(s) => &s.to_client,
            Server::V2(s) => &s.to_client,
        }
    }

    pub fn message(&self, seq: u64, front: &[u8], middle: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Server::V1(s) => s.message(seq, front, middle, data),
            Server::V2(_) => message_v2(seq, 0, front, middle, data),
        }
    }

    pub fn ack(&self, seq: u64) -> Vec<u8> {
        match self {
            Server::V1(_) => Put::default().u8(8).u64(seq).0,
            Server::V2(_) => frame(20, &[&seq.to_le_bytes()]),
        }
    }
}

/// States of a session that has a TCP connection, with those of a resumed session.
pub fn states(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Msgr1 => &["BANNER", "CONNECT", "SEQ", "OPEN"],
        Protocol::Msgr2 => &[
            "BANNER",
            "HELLO",
            "AUTH",
            "AUTH_SIGNATURE",
            "SESSION_CONNECT",
            "SESSION_RECONNECT",
            "OPEN",
        ],
    }
}

/// A client in `state`, and the server that brought it there.
pub fn client_in(protocol: Protocol, state: &str) -> (Client, Server) {
    let mut client = Client::new(protocol);
    let mut server = Server::new(protocol, false);
    if state == "SESSION_RECONNECT" {
        client.connect(1);
        server.bring(&mut client, "OPEN");
        assert_eq!(client.disconnect(), Lost::Replay);
    }
    client.connect(2);
    server.bring(&mut client, state);
    client.events();
    (client, server)
}

pub struct ServerV2 {
    pub key: Option<[u8; 16]>,
    pub lossy: bool,
    pub cookie: u64,
    pub features: u64,
    /// What came and went over the last TCP connection.
    pub from_client: Vec<u8>,
    pub to_client: Vec<u8>,
}

impl Scripted for ServerV2 {
    const PROTOCOL: Protocol = Protocol::Msgr2;
    const STEPS: &'static [fn(&Self) -> Vec<u8>] = &[
        |_| banner_v2(),
        |_| Self::hello(),
        |_| frame(4, &[&Put::default().blob(b"challenge").0]),
        |_| Self::auth_done(1),
        |s| {
            // What the client sent before its own signature.
            let signature = s.frames().last().unwrap().raw.len();
            let signed = &s.from_client[..s.from_client.len() - signature];
            frame(7, &[&s.sign(signed)])
        },
        |s| match s.frames().last().unwrap().tag {
            8 => s.server_ident(),
            _ => frame(15, &[&0u64.to_le_bytes()]),
        },
    ];

    fn new(lossy: bool) -> Self {
        Self {
            key: Some(KEY),
            lossy,
            cookie: if lossy { 0 } else { 0x5e55 },
            features: u64::MAX,
            from_client: Vec::new(),
            to_client: Vec::new(),
        }
    }

    fn traffic(&mut self) -> [&mut Vec<u8>; 2] {
        [&mut self.from_client, &mut self.to_client]
    }
}

impl ServerV2 {
    pub fn frames(&self) -> Vec<Frame> {
        parse_frames(&self.from_client[BANNER_V2_LEN..])
    }

    pub fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        match &self.key {
            Some(key) => RustCrypto::default().hmac_sha256(key, &[bytes]).unwrap(),
            None => [0; 32],
        }
    }

    pub fn hello() -> Vec<u8> {
        let payload = Put::default()
            .u8(4)
            .addr4(2, 0xffff, [192, 168, 0, 9], 51234);
        frame(1, &[&payload.0])
    }

    pub fn auth_done(mode: u32) -> Vec<u8> {
        let payload = Put::default().u64(GLOBAL_ID).u32(mode).blob(b"tickets");
        frame(6, &[&payload.0])
    }

    pub fn server_ident(&self) -> Vec<u8> {
        let payload = Put::default()
            .u8(2)
            .u32(2)
            .addr4(2, 7, [10, 1, 2, 3], 6800)
            .addr4(1, 7, [10, 1, 2, 3], 6801)
            .u64(3)
            .u64(17)
            .u64(self.features)
            .u64(0)
            .u64(self.lossy.into())
            .u64(self.cookie);
        frame(9, &[&payload.0])
    }
}

pub struct ServerV1 {
    pub key: Option<[u8; 16]>,
    pub lossy: bool,
    pub features: u64,
    pub connect_seq: u32,
    pub from_client: Vec<u8>,
    pub to_client: Vec<u8>,
}

/// An IPv4 address in the legacy encoding.
pub fn legacy_addr(nonce: u32, ip: [u8; 4], port: u16) -> Vec<u8> {
    let mut out = Put::default()
        .u32(0)
        .u32(nonce)
        .bytes(&[0, 2])
        .bytes(&port.to_be_bytes())
        .bytes(&ip);
    out.0.resize(136, 0);
    out.0
}

impl Scripted for ServerV1 {
    const PROTOCOL: Protocol = Protocol::Msgr1;
    const STEPS: &'static [fn(&Self) -> Vec<u8>] = &[
        |_| Self::banner(),
        |s| s.reply(16, b"challenge"),
        |s| s.reply(13, b"proof"),
        |_| 0u64.to_le_bytes().to_vec(),
    ];

    fn new(lossy: bool) -> Self {
        Self {
            key: Some(KEY),
            lossy,
            features: features::SUPPORTED_DEFAULT,
            connect_seq: 0,
            from_client: Vec::new(),
            to_client: Vec::new(),
        }
    }

    fn traffic(&mut self) -> [&mut Vec<u8>; 2] {
        [&mut self.from_client, &mut self.to_client]
    }
}

impl ServerV1 {
    pub fn banner() -> Vec<u8> {
        [
            b"ceph v027".to_vec(),
            legacy_addr(7, [10, 1, 2, 3], 6801),
            legacy_addr(0, [192, 168, 0, 9], 51234),
        ]
        .concat()
    }

    pub fn reply(&self, tag: u8, authorizer_reply: &[u8]) -> Vec<u8> {
        Put::default()
            .u8(tag)
            .u64(self.features)
            .u32(77)
            .u32(self.connect_seq)
            .u32(24)
            .u32(authorizer_reply.len() as u32)
            .u8(self.lossy.into())
            .bytes(authorizer_reply)
            .0
    }

    /// A signed message.
    pub fn message(&self, seq: u64, front: &[u8], middle: &[u8], data: &[u8]) -> Vec<u8> {
        let header = Put::default()
            .u64(seq)
            .u64(99)
            .u16(43)
            .u16(127)
            .u16(8)
            .u32(front.len() as u32)
            .u32(middle.len() as u32)
            .u32(data.len() as u32)
            .u16(512)
            .u8(4)
            .u64(3)
            .u16(3)
            .u16(0);
        let header_crc = crc32c(0, &header.0);
        let crcs = [front, middle, data].map(|s| crc32c(0, s));
        let signed = Put::default()
            .u32(header_crc)
            .u32(crcs[0])
            .u32(front.len() as u32)
            .u32(crcs[1])
            .u32(middle.len() as u32)
            .u32(crcs[2])
            .u32(data.len() as u32)
            .u32(seq as u32);
        let (signature, flags) = match &self.key {
            None => (0, 1),
            Some(key) => {
                let mut block = signed.0;
                RustCrypto::default()
                    .aes_cbc_encrypt(key, b"cephsageyudagreg", &mut block)
                    .unwrap();
                let word = |c: &[u8]| u64::from_le_bytes(c.try_into().unwrap());
                (block.chunks(8).fold(0, |x, c| x ^ word(c)), 5)
            }
        };
        let mut out = Put::default()
            .u8(7)
            .bytes(&header.0)
            .u32(header_crc)
            .bytes(front)
            .bytes(middle)
            .bytes(data);
        for crc in crcs {
            out = out.u32(crc);
        }
        if self.features & features::MSG_AUTH != 0 {
            out = out.u64(signature);
        }
        out.u8(flags).0
    }
}
