// SPDX-License-Identifier: GPL-2.0-only

//! A small blocking client over the protocol code: sockets, and the messages that tests exchange.

use ceph_proto_host::proto::auth::{ConnectionAuth, CON_MODE_CRC};
use ceph_proto_host::proto::error::ProtoError;
use ceph_proto_host::proto::message::Request;
use ceph_proto_host::proto::msg::{MsgHeader, OutMessage, PRIO_DEFAULT};
use ceph_proto_host::proto::session::{Limits, Protocol, Rx, Session, SessionConfig};
use ceph_proto_host::proto::types::{features, AddrType, EntityAddr, EntityType};
use ceph_proto_host::rust_crypto::{crc32c, RustCrypto};
use kernel::prelude::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How long to wait for any bytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the cluster is and who we are, read from a `ceph.conf` and the admin's keyring beside it.
pub struct Conf {
    pub mon_v1: SocketAddr,
    pub mon_v2: SocketAddr,
    pub id: String,
    pub key: String,
}

impl Conf {
    /// From the file that `CEPH_LIVE_CONF` names.
    pub fn load() -> Self {
        let path = std::env::var("CEPH_LIVE_CONF").expect("CEPH_LIVE_CONF names a ceph.conf");
        let conf = std::fs::read_to_string(&path).expect("the configuration is readable");
        let host = conf
            .lines()
            .find_map(|l| l.trim().strip_prefix("mon_host"))
            .expect("a mon_host line");
        let addr = |proto: &str| {
            let at = host.find(proto).expect("both protocols") + proto.len();
            let rest = &host[at..];
            let end = rest.find([',', ']', '/']).unwrap_or(rest.len());
            rest[..end].trim().parse().expect("an address")
        };
        let keyring = Path::new(&path).with_file_name("ceph.client.admin.keyring");
        let keyring = std::fs::read_to_string(keyring).expect("the keyring is readable");
        let key = keyring
            .lines()
            .find_map(|l| l.trim().strip_prefix("key ="))
            .expect("a key")
            .trim();
        Self {
            mon_v1: addr("v1:"),
            mon_v2: addr("v2:"),
            id: "admin".into(),
            key: key.into(),
        }
    }
}

/// Keeps `bytes` as a test vector, in the folder that `CEPH_LIVE_RECORD` names, if it does.
pub fn record(name: &str, bytes: &[u8]) {
    let Some(folder) = std::env::var_os("CEPH_LIVE_RECORD") else {
        return;
    };
    let path = Path::new(&folder).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A received message.
pub struct Received {
    pub header: MsgHeader,
    pub front: Vec<u8>,
    pub data: Vec<u8>,
}

/// A connection whose session is open, and its authentication.
pub struct Connection<A: ConnectionAuth> {
    stream: TcpStream,
    pub session: Session,
    pub auth: A,
    pub crypto: RustCrypto,
    input: Vec<u8>,
}

impl<A: ConnectionAuth> Connection<A> {
    /// Connects and waits until the session is open.
    pub fn open(
        protocol: Protocol,
        peer: EntityAddr,
        peer_type: EntityType,
        nonce: u32,
        global_id: u64,
        auth: A,
    ) -> Result<Self, ProtoError> {
        let sock = peer.sock.expect("an IP address");
        let stream = TcpStream::connect_timeout(&sock, PATIENCE).expect("the peer listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let session = Session::new(
            SessionConfig {
                global_id,
                my_addr: EntityAddr {
                    kind: if protocol == Protocol::Msgr1 {
                        AddrType::LEGACY
                    } else {
                        AddrType::ANY
                    },
                    nonce,
                    sock: None,
                },
                peer_type,
                peer_addr: peer,
                supported_features: features::SUPPORTED_DEFAULT,
                required_features: features::REQUIRED_DEFAULT,
                con_modes: &[CON_MODE_CRC],
                data_crc: true,
                sign_messages: true,
                limits: Limits::DEFAULT,
                crc32c,
            },
            protocol,
        );
        let mut con = Self {
            stream,
            session,
            auth,
            crypto: RustCrypto::seeded(u64::from(nonce) ^ global_id),
            input: Vec::new(),
        };
        let mut out = KVec::new();
        con.session.connected(1, &mut out)?;
        con.stream.write_all(&out).unwrap();
        while !con.session.is_open() {
            assert!(
                con.step()?.is_none(),
                "a message before the session is open"
            );
        }
        Ok(con)
    }

    /// Receives until a message is complete.
    pub fn receive(&mut self) -> Received {
        loop {
            if let Some(message) = self.step().expect("the session goes on") {
                return message;
            }
        }
    }

    /// Receives until a message of this type; others are dropped.
    pub fn receive_type(&mut self, typ: u16) -> Received {
        loop {
            let message = self.receive();
            if message.header.typ == typ {
                return message;
            }
        }
    }

    /// One event of the session, for which bytes are read when they are needed.
    fn step(&mut self) -> Result<Option<Received>, ProtoError> {
        let mut out = KVec::new();
        let (used, rx) =
            self.session
                .receive(&self.input, &mut self.auth, &self.crypto, &mut out)?;
        let mut message = None;
        let mut want = 0;
        match rx {
            Rx::NeedMore { total } => want = total,
            Rx::Message {
                header,
                front,
                data_crc_seed,
                ..
            } => message = Some((header, front.to_vec(), data_crc_seed)),
            Rx::Retry | Rx::Closed | Rx::SessionReset => panic!("the peer ends the session"),
            _ => {}
        }
        self.stream.write_all(&out).unwrap();
        self.input.drain(..used);
        if want > 0 {
            self.fill(want);
        }
        let Some((header, front, seed)) = message else {
            return Ok(None);
        };
        let len = header.data_len as usize;
        self.fill(len);
        let data: Vec<u8> = self.input.drain(..len).collect();
        if len > 0 {
            self.session.data_received(crc32c(seed, &data))?;
        }
        loop {
            let mut out = KVec::new();
            let (used, rx) =
                self.session
                    .receive(&self.input, &mut self.auth, &self.crypto, &mut out)?;
            let want = match rx {
                Rx::NeedMore { total } => total,
                _ => 0,
            };
            let ended = matches!(rx, Rx::MessageEnd);
            self.stream.write_all(&out).unwrap();
            self.input.drain(..used);
            if ended {
                return Ok(Some(Received {
                    header,
                    front,
                    data,
                }));
            }
            self.fill(want);
        }
    }

    /// Reads until there are `total` bytes of input.
    fn fill(&mut self, total: usize) {
        let mut chunk = [0; 65536];
        while self.input.len() < total {
            let n = self.stream.read(&mut chunk).expect("the peer answers");
            assert!(n > 0, "the peer closed the connection");
            self.input.extend_from_slice(&chunk[..n]);
        }
    }

    /// Sends a message.
    pub fn send<R: Request>(&mut self, request: &R, tid: u64) {
        let front = request.to_front().unwrap();
        self.send_raw(R::TYPE, R::VERSION, R::COMPAT, tid, &front, &[]);
    }

    /// Sends a message of these parts.
    pub fn send_raw(
        &mut self,
        typ: u16,
        version: u16,
        compat_version: u16,
        tid: u64,
        front: &[u8],
        data: &[u8],
    ) {
        let message = OutMessage {
            seq: 0,
            tid,
            typ,
            priority: PRIO_DEFAULT,
            version,
            compat_version,
            data_off: 0,
            front,
            middle: &[],
            data_len: data.len() as u32,
            data_crc: crc32c(self.session.data_crc_seed(), data),
        };
        let (mut head, mut tail) = (KVec::new(), KVec::new());
        self.session
            .encode_message(&message, &self.crypto, &mut head, &mut tail)
            .expect("the message is encoded");
        for part in [&head[..], data, &tail[..]] {
            self.stream.write_all(part).unwrap();
        }
    }
}
