// SPDX-License-Identifier: GPL-2.0-only

//! The whole protocol against a real cluster, over both messengers: authentication, maps, questions to
//! the monitor. Wants `CEPH_LIVE_CONF`, a `ceph.conf` with the admin's keyring beside it.

mod live;

use ceph_proto_host::proto::auth::{AuthDone, ConnectionAuth, SessionKey, AUTH_CEPHX};
use ceph_proto_host::proto::cephx::{AuthClient, MonAuth, Progress, SERVICE_OSD};
use ceph_proto_host::proto::error::{ProtoError, ProtoResult, Reason};
use ceph_proto_host::proto::key::CryptoKey;
use ceph_proto_host::proto::message::Reply;
use ceph_proto_host::proto::mon_msg::{
    encode_blocklist_add, Auth, AuthReply, CommandAck, GetVersion, GetVersionReply, MonCommand,
    MonMapReply, OsdMaps, Statfs, StatfsReply, Subscribe, Subscription,
};
use ceph_proto_host::proto::session::Protocol;
use ceph_proto_host::proto::types::{EntityType, Fsid};
use ceph_proto_host::rust_crypto::RustCrypto;
use kernel::prelude::*;
use live::{Conf, Connection};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The shared state of a client, as several connections hold it.
#[derive(Clone)]
struct Shared {
    client: Arc<Mutex<AuthClient>>,
    crypto: Arc<RustCrypto>,
    start: Instant,
}

// RustCrypto counts in a Cell: each test keeps its own to one thread.
impl Shared {
    fn new(id: &str, key: Option<CryptoKey>) -> Self {
        Self {
            client: Arc::new(Mutex::new(AuthClient::new(id, key, SERVICE_OSD).unwrap())),
            crypto: Arc::new(RustCrypto::seeded(std::process::id().into())),
            start: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_secs() + 1
    }

    fn with<T>(&self, f: impl FnOnce(&mut MonAuth<'_>) -> T) -> T {
        f(&mut MonAuth {
            client: &mut self.client.lock().unwrap(),
            crypto: &*self.crypto,
            now: self.now(),
        })
    }
}

impl ConnectionAuth for Shared {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.with(|a| a.auth_request(out))
    }
    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.with(|a| a.auth_reply_more(payload, out))
    }
    fn auth_done(&mut self, gid: u64, mode: u32, payload: &[u8]) -> ProtoResult<AuthDone> {
        self.with(|a| a.auth_done(gid, mode, payload))
    }
    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        methods: &[u32],
        modes: &[u32],
    ) -> ProtoResult {
        self.with(|a| a.auth_bad_method(method, result, methods, modes))
    }
    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.with(|a| a.authorizer(out))
    }
    fn authorizer_challenge(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.with(|a| a.authorizer_challenge(payload, out))
    }
    fn authorizer_reply(&mut self, payload: &[u8]) -> ProtoResult {
        self.with(|a| a.authorizer_reply(payload))
    }
    fn authorizer_rejected(&mut self) {
        self.with(|a| a.authorizer_rejected())
    }
    fn session_key(&self) -> Option<SessionKey> {
        self.with(|a| a.session_key())
    }
}

/// A monitor session, authenticated.
fn open_mon(conf: &Conf, protocol: Protocol, shared: &Shared) -> ProtoResult<Connection<Shared>> {
    let addr = match protocol {
        Protocol::Msgr1 => conf.mon_v1,
        Protocol::Msgr2 => conf.mon_v2,
    };
    let gid = shared.client.lock().unwrap().global_id();
    let mut con = Connection::open(protocol, addr, EntityType::MON, gid, shared.clone())?;
    if protocol == Protocol::Msgr1 {
        let mut payload = KVec::new();
        shared.client.lock().unwrap().hello(&mut payload)?;
        let mut auth_protocol = 0;
        loop {
            con.send(
                &Auth {
                    protocol: auth_protocol,
                    payload: &payload,
                },
                0,
            );
            match take_auth_reply(&mut con, shared, &mut payload)? {
                Progress::Send(p) => auth_protocol = p,
                Progress::Done => break,
            }
        }
    }
    assert!(shared.client.lock().unwrap().is_authenticated());
    assert_ne!(shared.client.lock().unwrap().global_id(), 0);
    Ok(con)
}

fn take_auth_reply(
    con: &mut Connection<Shared>,
    shared: &Shared,
    payload: &mut KVec<u8>,
) -> ProtoResult<Progress> {
    let m = con.receive_type(AuthReply::TYPE);
    let reply = AuthReply::decode(m.header.version, &m.front)?;
    payload.clear();
    let now = shared.now();
    let mut client = shared.client.lock().unwrap();
    client.handle_auth_reply(&*shared.crypto, &reply, now, payload)
}

fn key(conf: &Conf) -> CryptoKey {
    CryptoKey::from_base64(conf.key.as_bytes()).unwrap()
}

/// Subscribes to both maps and asks all questions.
fn talk_to_mon(protocol: Protocol) {
    let conf = Conf::load();
    let shared = Shared::new(&conf.id, Some(key(&conf)));
    let mut con = open_mon(&conf, protocol, &shared).unwrap();
    assert_eq!(shared.client.lock().unwrap().method(), AUTH_CEPHX);

    con.send(
        &Subscribe {
            items: &[
                Subscription {
                    what: "monmap",
                    start: 0,
                    onetime: false,
                },
                Subscription {
                    what: "osdmap",
                    start: 0,
                    onetime: true,
                },
            ],
        },
        0,
    );
    let m = con.receive_type(MonMapReply::TYPE);
    assert!(!MonMapReply::decode(m.header.version, &m.front)
        .unwrap()
        .monmap
        .is_empty());
    let m = con.receive_type(OsdMaps::TYPE);
    let maps = OsdMaps::decode(m.header.version, &m.front).unwrap();
    assert_ne!(maps.fsid, Fsid::default());
    let (epoch, _) = maps.full.last().expect("a whole map");
    assert!(epoch <= maps.newest && maps.oldest <= epoch);

    con.send(
        &GetVersion {
            handle: 7,
            what: "osdmap",
        },
        7,
    );
    let m = con.receive_type(GetVersionReply::TYPE);
    let reply = GetVersionReply::decode(m.header.version, &m.front).unwrap();
    assert_eq!(reply.handle, 7);
    assert!(reply.version >= u64::from(epoch));

    con.send(
        &Statfs {
            fsid: maps.fsid,
            pool: None,
        },
        8,
    );
    let m = con.receive_type(StatfsReply::TYPE);
    let reply = StatfsReply::decode(m.header.version, &m.front).unwrap();
    assert_eq!(reply.fsid, maps.fsid);
    assert!(reply.kb >= reply.kb_avail);

    let mut json = KVec::new();
    encode_blocklist_add("192.0.2.1:0/4711", false, &mut json).unwrap();
    con.send(
        &MonCommand {
            fsid: maps.fsid,
            json: &json,
        },
        9,
    );
    let m = con.receive_type(CommandAck::TYPE);
    let ack = CommandAck::decode(m.header.version, &m.front).unwrap();
    assert_eq!(ack.result, 0, "{}", String::from_utf8_lossy(ack.text));
    assert!(String::from_utf8_lossy(ack.text).contains("192.0.2.1"));

    // A refused ticket makes both tickets due; the renewal goes by message on either messenger.
    let credentials_before = shared.client.lock().unwrap();
    assert!(credentials_before
        .credentials(SERVICE_OSD, shared.now())
        .is_ok());
    drop(credentials_before);
    let mut payload = KVec::new();
    {
        let mut client = shared.client.lock().unwrap();
        assert!(!client
            .renewal(&*shared.crypto, shared.now(), &mut payload)
            .unwrap());
        client.invalidate(SERVICE_OSD);
        assert!(client.credentials(SERVICE_OSD, shared.now()).is_err());
        assert!(client
            .renewal(&*shared.crypto, shared.now(), &mut payload)
            .unwrap());
    }
    con.send(
        &Auth {
            protocol: AUTH_CEPHX,
            payload: &payload,
        },
        0,
    );
    assert_eq!(
        take_auth_reply(&mut con, &shared, &mut payload).unwrap(),
        Progress::Done
    );
    let client = shared.client.lock().unwrap();
    assert!(client.credentials(SERVICE_OSD, shared.now()).is_ok());
}

/// Renewal of the service ticket alone, as happens when three quarters of its life are over.
fn renew_by_age(protocol: Protocol) {
    let conf = Conf::load();
    let shared = Shared::new(&conf.id, Some(key(&conf)));
    let mut con = open_mon(&conf, protocol, &shared).unwrap();
    let mut payload = KVec::new();
    // The AUTH ticket lives 12 h, that of a service 1 h: at 50 minutes only the second is due.
    let later = shared.now() + 3000;
    assert!(shared
        .client
        .lock()
        .unwrap()
        .renewal(&*shared.crypto, later, &mut payload)
        .unwrap());
    assert_eq!(&payload[..2], &0x200u16.to_le_bytes());
    con.send(
        &Auth {
            protocol: AUTH_CEPHX,
            payload: &payload,
        },
        0,
    );
    let m = con.receive_type(AuthReply::TYPE);
    let reply = AuthReply::decode(m.header.version, &m.front).unwrap();
    payload.clear();
    let mut client = shared.client.lock().unwrap();
    let done = client.handle_auth_reply(&*shared.crypto, &reply, later, &mut payload);
    assert_eq!(done.unwrap(), Progress::Done);
    assert!(!client
        .renewal(&*shared.crypto, later, &mut payload)
        .unwrap());
    assert!(client.credentials(SERVICE_OSD, later + 3000).is_ok());
    assert!(client.credentials(SERVICE_OSD, later + 4000).is_err());
}

/// A second session of the same client keeps its global id, proven with the old ticket.
fn reclaim_global_id(protocol: Protocol) {
    let conf = Conf::load();
    let shared = Shared::new(&conf.id, Some(key(&conf)));
    drop(open_mon(&conf, protocol, &shared).unwrap());
    let first = shared.client.lock().unwrap().global_id();
    drop(open_mon(&conf, protocol, &shared).unwrap());
    assert_eq!(shared.client.lock().unwrap().global_id(), first);
}

fn refused(result: ProtoResult<Connection<Shared>>) -> i32 {
    match result {
        Err(ProtoError {
            reason: Reason::Refused(e),
            ..
        }) => e,
        Err(e) => panic!("failed otherwise: {e}"),
        Ok(_) => panic!("was let in"),
    }
}

/// A wrong key, and a client that does not exist.
fn wrong_credentials(protocol: Protocol) {
    let conf = Conf::load();
    let wrong = Shared::new(&conf.id, Some(CryptoKey::from_secret([7; 16])));
    assert_eq!(refused(open_mon(&conf, protocol, &wrong)), -13);
    let nobody = Shared::new("nobody-of-this-name", Some(key(&conf)));
    assert!([-13, -1, -2].contains(&refused(open_mon(&conf, protocol, &nobody))));
    let keyless = Shared::new(&conf.id, None);
    assert!([-13, -95].contains(&refused(open_mon(&conf, protocol, &keyless))));
}

macro_rules! on_both {
    ($($name:ident: $f:ident),* $(,)?) => {
        mod msgr1 {
            $(#[test]
            #[ignore = "wants a cluster: CEPH_LIVE_CONF"]
            fn $name() {
                super::$f(super::Protocol::Msgr1);
            })*
        }
        mod msgr2 {
            $(#[test]
            #[ignore = "wants a cluster: CEPH_LIVE_CONF"]
            fn $name() {
                super::$f(super::Protocol::Msgr2);
            })*
        }
    };
}

on_both! {
    mon_session: talk_to_mon,
    ticket_renewal: renew_by_age,
    global_id_survives: reclaim_global_id,
    refusals: wrong_credentials,
}
