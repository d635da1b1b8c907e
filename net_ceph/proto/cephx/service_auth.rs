// SPDX-License-Identifier: GPL-2.0-only

//! Authorizers: one ticket, as the handshake of a connection to its service sees it.
//!
//! We send the ticket blob, and a nonce sealed with the ticket's key; the service answers with a
//! challenge, we repeat ourselves with the challenge + 1, and it proves itself with the nonce + 1.

use super::encode_client_name;
use super::mon_auth::refusal;
use super::seal;
use super::ticket::{decode_connection_secret, Credentials, ServiceTicket};
use crate::proto::auth::{AuthDone, ConnectionAuth, SessionKey, AUTH_CEPHX, AUTH_NONE};
use crate::proto::crypto::Crypto;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// Since which `struct_v` an authorizer's reply carries a connection secret (nautilus).
const REPLY_WITH_SECRET: u8 = 2;
/// The longest challenge: a sealed `u8`, `u64`.
const MAX_CHALLENGE: usize = 64;

/// One connection's authorizer. Make a new one, of fresh [`Credentials`], for each attempt to connect.
pub struct ServiceAuth<C: Crypto> {
    credentials: Credentials,
    crypto: C,
    nonce: u64,
    verified: bool,
}

impl<C: Crypto> ServiceAuth<C> {
    /// An authorizer of `credentials`.
    pub fn new(credentials: Credentials, crypto: C) -> Self {
        Self {
            credentials,
            crypto,
            nonce: 0,
            verified: false,
        }
    }

    /// Appends the authorizer as it looks before the challenge; returns its protocol.
    fn first(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.verified = false;
        let mut e = Encoder::new(out);
        match &self.credentials {
            Credentials::None { id, global_id } => {
                // `AuthNoneAuthorizer` (Ceph `src/auth/none/AuthNoneProtocol.h`).
                e.u8(1)?;
                encode_client_name(&mut e, id)?;
                e.u64(*global_id)?;
                Ok(AUTH_NONE)
            }
            Credentials::Cephx(ticket) => {
                let mut nonce = [0; 8];
                self.crypto.random(&mut nonce)?;
                self.nonce = u64::from_le_bytes(nonce);
                encode_authorizer(&self.crypto, ticket, self.nonce, None, &mut e)?;
                Ok(AUTH_CEPHX)
            }
        }
    }

    /// Answers a `CephXAuthorizeChallenge`, sealed without a length: `u8 struct_v`, `u64 challenge`.
    fn answer(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        let Credentials::Cephx(ticket) = &self.credentials else {
            return Err(ProtoError::new(
                "authorizer: challenge without cephx",
                Reason::Unexpected(payload.len() as u64),
            ));
        };
        if payload.len() > MAX_CHALLENGE {
            return Err(ProtoError::value(
                "authorizer: challenge length",
                payload.len() as u64,
            ));
        }
        let opened = seal::open_bare(&self.crypto, &ticket.key, payload, "authorizer: challenge")?;
        let mut d = opened.decoder();
        d.u8("authorizer: challenge version")?;
        let challenge = d.u64("authorizer: challenge")?;
        encode_authorizer(
            &self.crypto,
            ticket,
            self.nonce,
            Some(challenge),
            &mut Encoder::new(out),
        )
    }

    /// Verifies a `CephXAuthorizeReply`: sealed `u8 struct_v`, `u64 nonce + 1`, and since version 2 the
    /// connection secret, which is returned.
    fn verify(&mut self, payload: &[u8]) -> ProtoResult<KVec<u8>> {
        let mut secret = KVec::new();
        if let Credentials::Cephx(ticket) = &self.credentials {
            let mut d = Decoder::new(payload);
            let opened = seal::open(&self.crypto, &ticket.key, &mut d, "authorizer: reply")?;
            let mut d = opened.decoder();
            let struct_v = d.u8("authorizer: reply version")?;
            if d.u64("authorizer: reply nonce")? != self.nonce.wrapping_add(1) {
                return Err(ProtoError::new(
                    "authorizer: the peer could not prove itself",
                    Reason::BadAuth,
                ));
            }
            if struct_v >= REPLY_WITH_SECRET {
                secret = decode_connection_secret(&mut d)?;
            }
        }
        self.verified = true;
        Ok(secret)
    }

    fn key(&self) -> Option<SessionKey> {
        match &self.credentials {
            Credentials::None { .. } => None,
            Credentials::Cephx(ticket) => Some(ticket.key),
        }
    }
}

impl<C: Crypto> ConnectionAuth for ServiceAuth<C> {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.first(out)
    }

    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.answer(payload, out)
    }

    fn auth_done(
        &mut self,
        _global_id: u64,
        _con_mode: u32,
        payload: &[u8],
    ) -> ProtoResult<AuthDone> {
        let connection_secret = self.verify(payload)?;
        Ok(AuthDone {
            session_key: self.key(),
            connection_secret,
        })
    }

    /// Always an error: whoever made this authorizer has to see to fresh credentials, and tells from
    /// the errno whether that can help (`-EOPNOTSUPP`: it cannot).
    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        allowed_methods: &[u32],
        allowed_modes: &[u32],
    ) -> ProtoResult {
        Err(refusal(method, result, allowed_methods, allowed_modes))
    }

    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.first(out)
    }

    fn authorizer_challenge(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.answer(payload, out)
    }

    fn authorizer_reply(&mut self, payload: &[u8]) -> ProtoResult {
        self.verify(payload).map(|_| ())
    }

    fn authorizer_rejected(&mut self) {
        self.verified = false;
    }

    fn session_key(&self) -> Option<SessionKey> {
        self.key().filter(|_| self.verified)
    }
}

/// Appends a `CephXAuthorizer`: `u8 1`, `u64 global_id`, `u32 service`, the ticket blob; then, sealed with
/// the ticket's key, a `CephXAuthorize`: `u8 2`, `u64 nonce`, `u8 have_challenge`, `u64 challenge + 1`
/// (Ceph `src/auth/cephx/CephxProtocol.h`).
pub(super) fn encode_authorizer(
    crypto: &dyn Crypto,
    ticket: &ServiceTicket,
    nonce: u64,
    challenge: Option<u64>,
    e: &mut Encoder<'_>,
) -> ProtoResult {
    e.u8(1)?;
    e.u64(ticket.global_id)?;
    e.u32(ticket.service)?;
    ticket.blob.encode(e)?;
    seal::seal(crypto, &ticket.key, e, |e| {
        e.u8(2)?;
        e.u64(nonce)?;
        e.bool(challenge.is_some())?;
        e.u64(challenge.map_or(0, |c| c.wrapping_add(1)))
    })
}
