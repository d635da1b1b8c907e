// SPDX-License-Identifier: GPL-2.0-only

//! The authentication state of one client: who it is, its key, its tickets, and how far the talk with
//! the monitor has come.
//!
//! msgr2 carries that talk in the connection's handshake ([`MonAuth`](super::MonAuth)), msgr1 in `MAuth`
//! and `MAuthReply` messages once the connection stands; renewal goes by messages in both. The payloads
//! are the same.

use super::mon_auth::EOPNOTSUPP;
use super::service_auth::encode_authorizer;
use super::ticket::{
    decode_connection_secret, Credentials, ServiceTicket, TicketBlob, TicketStore,
};
use super::{encode_client_name, seal, AUTH_MODE_MON, SERVICE_AUTH};
use crate::proto::auth::{AuthDone, SessionKey, AUTH_CEPHX, AUTH_NONE};
use crate::proto::crypto::Crypto;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use crate::proto::key::CryptoKey;
use crate::proto::mon_msg::AuthReply;
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// `CEPHX_GET_AUTH_SESSION_KEY` (Ceph `src/auth/cephx/CephxProtocol.h`).
const GET_AUTH_SESSION_KEY: u16 = 0x0100;
/// `CEPHX_GET_PRINCIPAL_SESSION_KEY` (same place).
const GET_PRINCIPAL_SESSION_KEY: u16 = 0x0200;
/// `struct_v` of `CephXAuthenticate` since nautilus: service tickets are asked for at once.
const AUTHENTICATE_V: u8 = 3;

/// How far the talk with the monitor has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was said yet.
    Start,
    /// We named ourselves; a challenge (cephx) or the end (none) comes next.
    Named,
    /// We asked for tickets.
    Asked,
    /// We are authenticated.
    Ready,
}

/// What comes next after an `MAuthReply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send the payload that was appended, in an `MAuth` of this protocol.
    Send(u32),
    /// Nothing more to say: authenticated, tickets are in.
    Done,
}

/// The state all connections of one client share. The owner guards it with a lock; methods may sleep
/// (crypto), none waits.
pub struct AuthClient {
    id: KVec<u8>,
    key: Option<CryptoKey>,
    services: u32,
    method: u32,
    phase: Phase,
    /// The monitor session in progress got as far as `Ready` once.
    authenticated: bool,
    server_challenge: u64,
    global_id: u64,
    tickets: TicketStore,
}

impl AuthClient {
    /// A client `client.<id>` with its key (none: it can only use clusters that ask for none), which
    /// needs tickets for `services` (a mask of `SERVICE_*`).
    pub fn new(id: &[u8], key: Option<CryptoKey>, services: u32) -> ProtoResult<Self> {
        let mut name = KVec::with_capacity(id.len(), GFP_KERNEL)?;
        name.extend_from_slice(id, GFP_KERNEL)?;
        let method = if key.is_some() { AUTH_CEPHX } else { AUTH_NONE };
        Ok(Self {
            id: name,
            key,
            services,
            method,
            phase: Phase::Start,
            authenticated: false,
            server_challenge: 0,
            global_id: 0,
            tickets: TicketStore::new(),
        })
    }

    /// The number the monitors gave us, kept over reconnects; 0 before the first authentication.
    pub fn global_id(&self) -> u64 {
        self.global_id
    }

    /// `AUTH_NONE` or `AUTH_CEPHX`: what we speak, or what the monitor chose.
    pub fn method(&self) -> u32 {
        self.method
    }

    /// Whether the monitor session in progress is authenticated; stays so while tickets are renewed.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// A new monitor session begins: the talk starts over. Tickets stay, the old AUTH ticket proves
    /// that the global id is ours.
    pub fn reset(&mut self) {
        self.phase = Phase::Start;
        self.authenticated = false;
        self.server_challenge = 0;
    }

    /// msgr1: appends the payload of the first `MAuth` (protocol 0): `u8 1`, the methods we can use,
    /// name, global id (Ceph `src/mon/MonClient.cc`, `_authenticate`).
    pub fn hello(&mut self, out: &mut KVec<u8>) -> ProtoResult {
        self.reset();
        let mut e = Encoder::new(out);
        e.u8(1)?;
        if self.key.is_some() {
            e.count(2)?;
            e.u32(AUTH_CEPHX)?;
            e.u32(AUTH_NONE)?;
        } else {
            e.count(1)?;
            e.u32(AUTH_NONE)?;
        }
        encode_client_name(&mut e, &self.id)?;
        e.u64(self.global_id)?;
        self.phase = Phase::Named;
        Ok(())
    }

    /// msgr2: appends the first request's payload: `u8 mode`, name, global id; returns the method.
    pub(super) fn mon_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.reset();
        self.method = self.preferred_method();
        let mut e = Encoder::new(out);
        e.u8(AUTH_MODE_MON)?;
        encode_client_name(&mut e, &self.id)?;
        e.u64(self.global_id)?;
        self.phase = Phase::Named;
        Ok(self.method)
    }

    fn preferred_method(&self) -> u32 {
        if self.key.is_some() {
            AUTH_CEPHX
        } else {
            AUTH_NONE
        }
    }

    /// Answers the monitor's challenge (`u8 struct_v`, `u64 challenge`): appends the request for
    /// tickets.
    pub(super) fn take_challenge(
        &mut self,
        crypto: &dyn Crypto,
        payload: &[u8],
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        if self.phase != Phase::Named || self.method != AUTH_CEPHX {
            return Err(ProtoError::new(
                "auth: challenge",
                Reason::Unexpected(payload.len() as u64),
            ));
        }
        let mut d = Decoder::new(payload);
        d.u8("auth: challenge version")?;
        self.server_challenge = d.u64("auth: challenge")?;
        d.finish("auth: challenge end")?;
        self.ask_for_auth_ticket(crypto, out)
    }

    /// Takes the reply to our request: `u16 op`, `i32 result`, and what `op` brings.
    pub(super) fn take_reply(
        &mut self,
        crypto: &dyn Crypto,
        global_id: u64,
        payload: &[u8],
        now: u64,
    ) -> ProtoResult<AuthDone> {
        let mut done = AuthDone {
            session_key: None,
            connection_secret: KVec::new(),
        };
        match (self.method, self.phase) {
            (AUTH_NONE, Phase::Named) => {
                check_global_id(global_id)?;
                self.global_id = global_id;
            }
            (AUTH_CEPHX, Phase::Asked) => {
                let mut d = Decoder::new(payload);
                let op = d.u16("auth: reply op")?;
                let result = d.i32("auth: reply result")?;
                if result < 0 {
                    return Err(ProtoError::new("auth: reply", Reason::Refused(result)));
                }
                match op {
                    GET_AUTH_SESSION_KEY => {
                        // Before any ticket is taken: with one, we would be somebody without a number.
                        check_global_id(global_id)?;
                        done.connection_secret = self.take_auth_ticket(crypto, &mut d, now)?;
                        self.global_id = global_id;
                    }
                    GET_PRINCIPAL_SESSION_KEY => {
                        // A reply that failed half-way may have left a ticket, and no number.
                        check_global_id(self.global_id)?;
                        let key = self.auth_key()?;
                        self.tickets
                            .take_reply(crypto, &key, self.services, &mut d, now)?;
                    }
                    op => return Err(ProtoError::value("auth: reply op", op.into())),
                }
                done.session_key = Some(self.auth_key()?);
            }
            _ => {
                return Err(ProtoError::new(
                    "auth: reply",
                    Reason::Unexpected(payload.len() as u64),
                ))
            }
        }
        self.phase = Phase::Ready;
        self.authenticated = true;
        Ok(done)
    }

    /// The refusal as it is to be reported: to a client without a key, a method that is not allowed says that
    /// the cluster wants one.
    pub(super) fn explain(&self, refusal: ProtoError) -> ProtoError {
        if self.key.is_none() && refusal.reason == Reason::Refused(EOPNOTSUPP) {
            ProtoError::new(
                "auth: no key was given, and the cluster wants one",
                Reason::Refused(EACCES.to_errno()),
            )
        } else {
            refusal
        }
    }

    /// Takes an `MAuthReply`; if more is to be said, appends its payload to `out`.
    ///
    /// A refusal (wrong key, unknown client, method not allowed) is [`Reason::Refused`].
    pub fn handle_auth_reply(
        &mut self,
        crypto: &dyn Crypto,
        reply: &AuthReply<'_>,
        now: u64,
        out: &mut KVec<u8>,
    ) -> ProtoResult<Progress> {
        if reply.result < 0 {
            return Err(self.explain(ProtoError::new(
                "auth: monitor's reply",
                Reason::Refused(reply.result),
            )));
        }
        if self.phase == Phase::Named {
            match reply.protocol {
                AUTH_NONE => self.method = AUTH_NONE,
                AUTH_CEPHX if self.key.is_some() => {
                    self.method = AUTH_CEPHX;
                    self.take_challenge(crypto, reply.payload, out)?;
                    return Ok(Progress::Send(AUTH_CEPHX));
                }
                other => {
                    return Err(ProtoError::value(
                        "auth: method the monitor chose",
                        other.into(),
                    ))
                }
            }
        }
        let asked_for_all = self.asked_for_services(reply.payload);
        self.take_reply(crypto, reply.global_id, reply.payload, now)?;
        // A monitor before nautilus, or one asked so, sends the AUTH ticket alone.
        if !asked_for_all && self.method == AUTH_CEPHX && self.wanted(now) != 0 {
            self.ask_for_service_tickets(crypto, self.wanted(now), out)?;
            return Ok(Progress::Send(AUTH_CEPHX));
        }
        Ok(Progress::Done)
    }

    /// Whether a reply is one to a request for service tickets alone: then nothing more is asked
    /// for, should the monitor have granted fewer.
    fn asked_for_services(&self, payload: &[u8]) -> bool {
        payload.starts_with(&GET_PRINCIPAL_SESSION_KEY.to_le_bytes())
    }

    /// Appends an `MAuth` payload that renews what needs renewing, if anything does; returns whether
    /// there is something to send. To be asked regularly while the monitor session is up.
    pub fn renewal(
        &mut self,
        crypto: &dyn Crypto,
        now: u64,
        out: &mut KVec<u8>,
    ) -> ProtoResult<bool> {
        if self.phase != Phase::Ready || self.method != AUTH_CEPHX {
            return Ok(false);
        }
        let auth_due = self
            .tickets
            .get(SERVICE_AUTH)
            .is_none_or(|t| t.wants_renewal(now));
        if auth_due {
            self.ask_for_auth_ticket(crypto, out)?;
            return Ok(true);
        }
        let due = self.due(now);
        if due == 0 {
            return Ok(false);
        }
        self.ask_for_service_tickets(crypto, due, out)?;
        Ok(true)
    }

    /// A service refused our ticket. A good new one needs a good AUTH ticket, so that is renewed too.
    pub fn invalidate(&mut self, service: u32) {
        for service in [service, SERVICE_AUTH] {
            if let Some(ticket) = self.tickets.get_mut(service) {
                ticket.invalidate();
            }
        }
    }

    /// What a connection to `service` presents now. Fails with [`Reason::BadAuth`] when there is no
    /// usable ticket: the monitor did not grant one, or its renewal is due.
    pub fn credentials(&self, service: u32, now: u64) -> ProtoResult<Credentials> {
        if self.method == AUTH_NONE {
            let mut id = KVec::with_capacity(self.id.len(), GFP_KERNEL)?;
            id.extend_from_slice(&self.id, GFP_KERNEL)?;
            return Ok(Credentials::None {
                id,
                global_id: self.global_id,
            });
        }
        match self.tickets.get(service) {
            Some(t) if t.usable(now) => {
                Ok(Credentials::Cephx(ServiceTicket::of(t, self.global_id)?))
            }
            _ => Err(ProtoError::new(
                "auth: no usable ticket for the service",
                Reason::BadAuth,
            )),
        }
    }

    /// Services without a usable ticket.
    fn wanted(&self, now: u64) -> u32 {
        self.services_where(|store, s| !store.get(s).is_some_and(|t| t.usable(now)))
    }

    /// Services whose ticket is missing, refused or growing old.
    fn due(&self, now: u64) -> u32 {
        self.services_where(|store, s| store.get(s).is_none_or(|t| t.wants_renewal(now)))
    }

    fn services_where(&self, f: impl Fn(&TicketStore, u32) -> bool) -> u32 {
        (0..u32::BITS)
            .map(|i| 1 << i)
            .filter(|bit| self.services & bit != 0 && f(&self.tickets, *bit))
            .fold(0, |mask, bit| mask | bit)
    }

    fn auth_key(&self) -> ProtoResult<SessionKey> {
        self.tickets
            .get(SERVICE_AUTH)
            .map(|t| t.key())
            .ok_or(ProtoError::new("auth: no AUTH ticket", Reason::BadAuth))
    }

    /// Appends `CEPHX_GET_AUTH_SESSION_KEY`: the op and a `CephXAuthenticate`, which proves that we
    /// hold the key and carries the old ticket.
    fn ask_for_auth_ticket(&mut self, crypto: &dyn Crypto, out: &mut KVec<u8>) -> ProtoResult {
        let key = self
            .key
            .as_ref()
            .ok_or(ProtoError::new("auth: no secret key", Reason::BadAuth))?;
        let mut challenge = [0; 8];
        crypto.random(&mut challenge)?;
        let challenge = u64::from_le_bytes(challenge);
        let proof = prove(crypto, key, self.server_challenge, challenge)?;

        let mut e = Encoder::new(out);
        e.u16(GET_AUTH_SESSION_KEY)?;
        e.u8(AUTHENTICATE_V)?;
        e.u64(challenge)?;
        e.u64(proof)?;
        match self.tickets.get(SERVICE_AUTH) {
            Some(ticket) => ticket.blob().encode(&mut e)?,
            None => TicketBlob::empty().encode(&mut e)?,
        }
        e.u32(self.services)?;
        self.phase = Phase::Asked;
        Ok(())
    }

    /// Appends `CEPHX_GET_PRINCIPAL_SESSION_KEY`: the op, an authorizer made of the AUTH ticket, and
    /// `u8 struct_v`, `u32 services`.
    fn ask_for_service_tickets(
        &mut self,
        crypto: &dyn Crypto,
        services: u32,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        let ticket = self
            .tickets
            .get(SERVICE_AUTH)
            .ok_or(ProtoError::new("auth: no AUTH ticket", Reason::BadAuth))?;
        let ticket = ServiceTicket::of(ticket, self.global_id)?;
        let mut nonce = [0; 8];
        crypto.random(&mut nonce)?;

        let mut e = Encoder::new(out);
        e.u16(GET_PRINCIPAL_SESSION_KEY)?;
        encode_authorizer(crypto, &ticket, u64::from_le_bytes(nonce), None, &mut e)?;
        e.u8(1)?;
        e.u32(services)?;
        self.phase = Phase::Asked;
        Ok(())
    }

    /// The contents of a `CEPHX_GET_AUTH_SESSION_KEY` reply: the AUTH ticket sealed with our key; since
    /// nautilus also a blob with the sealed connection secret, and a blob with the service tickets
    /// sealed with the AUTH ticket's key. Returns the connection secret.
    fn take_auth_ticket(
        &mut self,
        crypto: &dyn Crypto,
        d: &mut Decoder<'_>,
        now: u64,
    ) -> ProtoResult<KVec<u8>> {
        let key = self
            .key
            .as_ref()
            .ok_or(ProtoError::new("auth: no secret key", Reason::BadAuth))?
            .session_key();
        self.tickets
            .take_reply(crypto, &key, SERVICE_AUTH, d, now)?;
        let key = self.auth_key()?;

        let mut secret = KVec::new();
        if d.is_empty() {
            return Ok(secret);
        }
        let mut part = sub_blob(d, "auth: connection secret")?;
        if !part.is_empty() {
            let opened = seal::open(crypto, &key, &mut part, "auth: connection secret")?;
            secret = decode_connection_secret(&mut opened.decoder())?;
        }
        let mut part = sub_blob(d, "auth: service tickets")?;
        if !part.is_empty() {
            self.tickets
                .take_reply(crypto, &key, self.services, &mut part, now)?;
        }
        Ok(secret)
    }
}

/// Fails if a monitor gives out the number that stands for none.
fn check_global_id(global_id: u64) -> ProtoResult {
    match global_id {
        0 => Err(ProtoError::value("auth: global id", 0)),
        _ => Ok(()),
    }
}

/// A blob to be decoded further; its length is bounded by the message it is part of.
fn sub_blob<'a>(d: &mut Decoder<'a>, step: &'static str) -> ProtoResult<Decoder<'a>> {
    let len = d.u32(step)? as usize;
    Ok(Decoder::new(d.bytes(len, step)?))
}

/// The proof that we hold `key`: both challenges sealed with it, length in front, folded to 64 bits by
/// XOR of the whole words (Ceph `src/auth/cephx/CephxProtocol.cc`, `cephx_calc_client_server_challenge`).
fn prove(
    crypto: &dyn Crypto,
    key: &CryptoKey,
    server_challenge: u64,
    client_challenge: u64,
) -> ProtoResult<u64> {
    let mut sealed = KVec::new();
    seal::seal(
        crypto,
        &key.session_key(),
        &mut Encoder::new(&mut sealed),
        |e| {
            e.u64(server_challenge)?;
            e.u64(client_challenge)
        },
    )?;
    Ok(sealed
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
        .fold(0, |folded, word| folded ^ word))
}
