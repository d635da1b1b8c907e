// SPDX-License-Identifier: GPL-2.0-only

//! The state that several connections of one client share, and how each opens.

use super::connection::{record, Conf, Connection};
use super::recorded::Recorded;
use ceph_proto_host::proto::auth::{AuthDone, ConnectionAuth, SessionKey};
use ceph_proto_host::proto::cephx::{AuthClient, MonAuth, Progress, ServiceAuth, SERVICE_OSD};
use ceph_proto_host::proto::error::ProtoResult;
use ceph_proto_host::proto::key::CryptoKey;
use ceph_proto_host::proto::message::Reply;
use ceph_proto_host::proto::mon_msg::{Auth, AuthReply};
use ceph_proto_host::proto::session::Protocol;
use ceph_proto_host::proto::types::{AddrType, EntityAddr, EntityType};
use ceph_proto_host::rust_crypto::RustCrypto;
use kernel::prelude::*;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Peers tell our clients, which have the same IP address, apart by their nonces.
static CLIENTS: AtomicU32 = AtomicU32::new(1);

/// A connection to a monitor.
pub type MonConnection = Connection<Recorded<Shared>>;
/// A connection to an OSD.
pub type OsdConnection = Connection<Recorded<ServiceAuth<RustCrypto>>>;

/// A client's authentication, held by all of its connections.
#[derive(Clone)]
pub struct Shared {
    client: Rc<RefCell<AuthClient>>,
    pub crypto: Rc<RustCrypto>,
    start: Instant,
    nonce: u32,
}

impl Shared {
    pub fn new(id: &str, key: Option<CryptoKey>) -> Self {
        Self {
            client: Rc::new(RefCell::new(
                AuthClient::new(id.as_bytes(), key, SERVICE_OSD).unwrap(),
            )),
            crypto: Rc::new(RustCrypto::seeded(1)),
            start: Instant::now(),
            nonce: CLIENTS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The admin, as the configuration has it.
    pub fn admin(conf: &Conf) -> Self {
        let key = CryptoKey::from_base64(conf.key.as_bytes()).unwrap();
        Self::new(&conf.id, Some(key))
    }

    pub fn client(&self) -> RefMut<'_, AuthClient> {
        self.client.borrow_mut()
    }

    /// Seconds; not 0, as no kernel's clock is.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_secs() + 1
    }

    fn with<T>(&self, f: impl FnOnce(&mut MonAuth<'_>) -> T) -> T {
        f(&mut MonAuth {
            client: &mut self.client(),
            crypto: &*self.crypto,
            now: self.now(),
        })
    }

    /// A monitor session, authenticated.
    pub fn open_mon(&self, conf: &Conf, protocol: Protocol) -> ProtoResult<MonConnection> {
        let addr = match protocol {
            Protocol::Msgr1 => EntityAddr::new(AddrType::LEGACY, 0, conf.mon_v1),
            Protocol::Msgr2 => EntityAddr::new(AddrType::MSGR2, 0, conf.mon_v2),
        };
        let gid = self.client().global_id();
        record("cephx/mon_key", conf.key.as_bytes());
        let mut con = Connection::open(
            protocol,
            addr,
            EntityType::MON,
            self.nonce,
            gid,
            Recorded::new("mon", self.clone()),
        )?;
        if protocol == Protocol::Msgr1 {
            let mut payload = KVec::new();
            self.client().hello(&mut payload)?;
            let mut protocol = 0;
            loop {
                let m = Auth {
                    protocol,
                    payload: &payload,
                };
                con.send(&m, 0);
                match self.take_auth_reply(&mut con, self.now(), &mut payload)? {
                    Progress::Send(p) => protocol = p,
                    Progress::Done => break,
                }
            }
        }
        assert!(self.client().is_authenticated());
        assert_ne!(self.client().global_id(), 0);
        Ok(con)
    }

    /// Waits for an `MAuthReply` and takes it.
    pub fn take_auth_reply(
        &self,
        con: &mut MonConnection,
        now: u64,
        payload: &mut KVec<u8>,
    ) -> ProtoResult<Progress> {
        let m = con.receive_type(AuthReply::TYPE);
        record("mon/auth_reply", &m.front);
        let reply = AuthReply::decode(m.header.version, &m.front)?;
        payload.clear();
        self.client()
            .handle_auth_reply(&*self.crypto, &reply, now, payload)
    }

    /// An OSD session, authorized by the ticket we have now.
    pub fn open_osd(&self, addr: EntityAddr, protocol: Protocol) -> ProtoResult<OsdConnection> {
        let credentials = self.client().credentials(SERVICE_OSD, self.now())?;
        let gid = self.client().global_id();
        let auth = Recorded::new("osd", ServiceAuth::new(credentials, RustCrypto::seeded(2)));
        Connection::open(protocol, addr, EntityType::OSD, self.nonce, gid, auth)
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
