// SPDX-License-Identifier: GPL-2.0-only

//! From a TCP connection to an open session over messenger v2.1.

use super::super::auth::{ConnectionAuth, SessionKey, CON_MODE_SECURE};
use super::super::crypto::Crypto;
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::session::Rx;
use super::super::types::{AddrType, EntityAddr, EntityType};
use super::super::wire::{Decoder, Encoder};
use super::frame::{Head, Tag, MAX_CONTROL_LEN};
use super::payload::{
    self, AuthBadMethod, AuthDone, ClientIdent, Hello, ServerIdent, SessionReconnect,
    BANNER_PREFIX_LEN, FLAG_LOSSY,
};
use super::session::{Session, State};
use kernel::prelude::*;

/// Bytes of an `AUTH_SIGNATURE`.
const SIGNATURE_LEN: usize = 32;
/// How often a peer may have us repeat a step within one handshake. Honest ones do once or twice.
const MAX_ROUNDS: u32 = 8;

/// Every byte of the handshake up to the signatures, which sign it: each side signs what it
/// received (the msgr2 document, "auth signature").
#[derive(Default)]
pub(super) struct Transcript {
    sent: KVec<u8>,
    received: KVec<u8>,
    /// The signature that the peer must send.
    expected: [u8; SIGNATURE_LEN],
}

impl Transcript {
    /// The bytes of `out` from `at` on are sent.
    pub(super) fn sent(&mut self, out: &[u8], at: usize) -> ProtoResult {
        let bytes = out.get(at..).unwrap_or_default();
        Ok(self.sent.extend_from_slice(bytes, GFP_KERNEL)?)
    }

    fn received(&mut self, bytes: &[u8]) -> ProtoResult {
        Ok(self.received.extend_from_slice(bytes, GFP_KERNEL)?)
    }

    /// Returns our signature, remembers what the peer's must be, and drops the bytes. Without a
    /// key (no authentication) signatures are zero.
    fn sign(
        &mut self,
        key: Option<&SessionKey>,
        crypto: &dyn Crypto,
    ) -> ProtoResult<[u8; SIGNATURE_LEN]> {
        let mut ours = [0; SIGNATURE_LEN];
        if let Some(SessionKey(key)) = key {
            ours = crypto.hmac_sha256(key, &[&self.received])?;
            self.expected = crypto.hmac_sha256(key, &[&self.sent])?;
        }
        self.sent = KVec::new();
        self.received = KVec::new();
        Ok(ours)
    }

    /// Compares in constant time.
    fn is_expected(&self, signature: &[u8; SIGNATURE_LEN]) -> bool {
        let differing = signature
            .iter()
            .zip(&self.expected)
            .fold(0, |bits, (a, b)| bits | (a ^ b));
        differing == 0
    }
}

impl Session {
    /// Takes the peer's banner; answers with `HELLO`.
    pub(super) fn on_banner<'i>(
        &mut self,
        input: &'i [u8],
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        let Some(prefix) = input.first_chunk::<BANNER_PREFIX_LEN>() else {
            let total = BANNER_PREFIX_LEN;
            return Ok((0, Rx::NeedMore { total }));
        };
        let total = payload::banner_len(prefix)?;
        let Some(banner) = input.get(..total) else {
            return Ok((0, Rx::NeedMore { total }));
        };
        payload::check_banner(banner.get(BANNER_PREFIX_LEN..).unwrap_or_default())?;
        self.transcript.received(banner)?;
        let hello = Hello {
            entity_type: EntityType::CLIENT,
            peer_addr: self.cfg.peer_addr,
        };
        let at = self.framing.put_head(Tag::HELLO, [0; 3], out, |out| {
            hello.encode(&mut Encoder::new(out))
        })?;
        self.transcript.sent(out, at)?;
        self.state = State::Hello;
        Ok((total, Rx::Progress))
    }

    /// Takes a control frame, `raw` being all its bytes, while the session is not open.
    pub(super) fn on_handshake<'i>(
        &mut self,
        raw: &[u8],
        head: &Head<'_>,
        auth: &mut dyn ConnectionAuth,
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult<Rx<'i>> {
        if let State::Hello | State::Auth = self.state {
            self.transcript.received(raw)?;
        }
        let control = head.control;
        match (self.state, head.preamble.tag) {
            (State::Hello, Tag::HELLO) => self.on_hello(control, auth, out)?,
            (State::Auth, Tag::AUTH_BAD_METHOD) => {
                let bad = AuthBadMethod::decode(control)?;
                auth.auth_bad_method(
                    bad.method,
                    bad.result,
                    bad.allowed_methods.as_slice(),
                    bad.allowed_modes.as_slice(),
                )?;
                self.state = State::Closed;
                return Ok(Rx::Retry);
            }
            (State::Auth, Tag::AUTH_REPLY_MORE) => self.on_auth_reply_more(control, auth, out)?,
            (State::Auth, Tag::AUTH_DONE) => self.on_auth_done(control, auth, crypto, out)?,
            (State::AuthSignature, Tag::AUTH_SIGNATURE) => {
                self.on_auth_signature(control, crypto, out)?
            }
            (State::SessionConnect, Tag::SERVER_IDENT) => return self.on_server_ident(control),
            (State::SessionConnect, Tag::IDENT_MISSING_FEATURES) => {
                let missing = Decoder::new(control).u64("msgr2: IDENT_MISSING_FEATURES")?;
                return Err(ProtoError::value(
                    "msgr2: features that the peer wants us to have",
                    missing,
                ));
            }
            (State::SessionReconnect, Tag::SESSION_RECONNECT_OK) => {
                let acked_seq = Decoder::new(control).u64("msgr2: SESSION_RECONNECT_OK")?;
                self.state = State::Open;
                return Ok(Rx::Opened {
                    peer_features: self.link.peer_features,
                    reconnected: true,
                    acked_seq,
                });
            }
            (State::SessionReconnect, Tag::SESSION_RETRY) => {
                let seq = Decoder::new(control).u64("msgr2: SESSION_RETRY")?;
                self.connect_seq = seq.saturating_add(1);
                self.count_round()?;
                self.put_session_reconnect(out)?;
            }
            (State::SessionReconnect, Tag::SESSION_RETRY_GLOBAL) => {
                let seq = Decoder::new(control).u64("msgr2: SESSION_RETRY_GLOBAL")?;
                self.link.global_seq = self.link.global_seq.max(seq).saturating_add(1);
                self.count_round()?;
                self.put_session_reconnect(out)?;
            }
            (State::SessionReconnect, Tag::SESSION_RESET) => {
                // A peer that keeps part of a session is one that calls us, and nobody does.
                if !Decoder::new(control).bool("msgr2: SESSION_RESET")? {
                    return Err(ProtoError::value("msgr2: SESSION_RESET, not full", 0));
                }
                self.forget();
                self.put_client_ident(crypto, out)?;
                return Ok(Rx::SessionReset);
            }
            (State::SessionConnect | State::SessionReconnect, Tag::WAIT) => {
                self.state = State::Closed;
                return Ok(Rx::Retry);
            }
            (_, tag) => return Err(self.unexpected(tag)),
        }
        Ok(Rx::Progress)
    }

    fn on_hello(
        &mut self,
        control: &[u8],
        auth: &mut dyn ConnectionAuth,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        let hello = Hello::decode(control)?;
        if hello.entity_type != self.cfg.peer_type {
            return Err(ProtoError::value(
                "msgr2: HELLO from another kind of peer",
                hello.entity_type.0.into(),
            ));
        }
        if self.cfg.my_addr.is_blank() {
            self.cfg.my_addr = EntityAddr {
                kind: AddrType::ANY,
                nonce: self.cfg.my_addr.nonce,
                ..hello.peer_addr.without_port()
            };
        }
        let modes = self.cfg.con_modes;
        let at = self
            .framing
            .put_head(Tag::AUTH_REQUEST, [0; 3], out, |out| {
                payload::put_auth_request(modes, out, |out| auth.auth_request(out))
            })?;
        self.transcript.sent(out, at)?;
        self.state = State::Auth;
        Ok(())
    }

    fn on_auth_reply_more(
        &mut self,
        control: &[u8],
        auth: &mut dyn ConnectionAuth,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        let reply =
            Decoder::new(control).blob(MAX_CONTROL_LEN as usize, "msgr2: AUTH_REPLY_MORE")?;
        self.count_round()?;
        let at = self
            .framing
            .put_head(Tag::AUTH_REQUEST_MORE, [0; 3], out, |out| {
                payload::put_sized(out, |out| auth.auth_reply_more(reply, out))
            })?;
        self.transcript.sent(out, at)
    }

    fn on_auth_done(
        &mut self,
        control: &[u8],
        auth: &mut dyn ConnectionAuth,
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        let done = AuthDone::decode(control)?;
        if done.con_mode == CON_MODE_SECURE {
            return Err(ProtoError::new(
                "msgr2: the peer wants the secure mode",
                Reason::Unsupported,
            ));
        }
        if !self.cfg.con_modes.contains(&done.con_mode) {
            return Err(ProtoError::value(
                "msgr2: AUTH_DONE mode",
                done.con_mode.into(),
            ));
        }
        let result = auth.auth_done(done.global_id, done.con_mode, done.payload)?;
        // The monitors give out global ids; an OSD only repeats what the ticket says.
        if self.cfg.peer_type == EntityType::MON || self.cfg.global_id == 0 {
            self.cfg.global_id = done.global_id;
        }
        let signature = self.transcript.sign(result.session_key.as_ref(), crypto)?;
        self.framing
            .put_head(Tag::AUTH_SIGNATURE, [0; 3], out, |out| {
                Encoder::new(out).bytes(&signature)
            })?;
        self.state = State::AuthSignature;
        Ok(())
    }

    fn on_auth_signature(
        &mut self,
        control: &[u8],
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        let signature = Decoder::new(control).array("msgr2: AUTH_SIGNATURE")?;
        if !self.transcript.is_expected(&signature) {
            return Err(ProtoError::new("msgr2: AUTH_SIGNATURE", Reason::BadAuth));
        }
        if self.server_cookie == 0 {
            self.put_client_ident(crypto, out)
        } else {
            self.put_session_reconnect(out)
        }
    }

    fn put_client_ident(&mut self, crypto: &dyn Crypto, out: &mut KVec<u8>) -> ProtoResult {
        if self.client_cookie == 0 {
            let mut cookie = [0; 8];
            crypto.random(&mut cookie)?;
            // 0 stands for "none".
            self.client_cookie = u64::from_le_bytes(cookie).max(1);
        }
        let ident = ClientIdent {
            my_addr: self.cfg.my_addr,
            target_addr: self.cfg.peer_addr,
            global_id: self.cfg.global_id,
            global_seq: self.link.global_seq,
            supported_features: self.cfg.supported_features,
            required_features: self.cfg.required_features,
            cookie: self.client_cookie,
        };
        self.framing
            .put_head(Tag::CLIENT_IDENT, [0; 3], out, |out| {
                ident.encode(&mut Encoder::new(out))
            })?;
        self.state = State::SessionConnect;
        Ok(())
    }

    fn put_session_reconnect(&mut self, out: &mut KVec<u8>) -> ProtoResult {
        let reconnect = SessionReconnect {
            my_addr: self.cfg.my_addr,
            client_cookie: self.client_cookie,
            server_cookie: self.server_cookie,
            global_seq: self.link.global_seq,
            connect_seq: self.connect_seq,
            in_seq: self.link.in_seq,
        };
        self.framing
            .put_head(Tag::SESSION_RECONNECT, [0; 3], out, |out| {
                reconnect.encode(&mut Encoder::new(out))
            })?;
        self.state = State::SessionReconnect;
        Ok(())
    }

    fn on_server_ident<'i>(&mut self, control: &[u8]) -> ProtoResult<Rx<'i>> {
        let ident = ServerIdent::decode(control, &self.cfg.peer_addr)?;
        if !ident.is_target {
            return Err(ProtoError::value("msgr2: another peer at this address", 0));
        }
        let lacking = self.cfg.required_features & !ident.supported_features;
        if lacking != 0 {
            return Err(ProtoError::value(
                "msgr2: features that the peer lacks",
                lacking,
            ));
        }
        let lacking = ident.required_features & !self.cfg.supported_features;
        if lacking != 0 {
            return Err(ProtoError::value(
                "msgr2: features that the peer wants us to have",
                lacking,
            ));
        }
        self.link.lossy = ident.flags & FLAG_LOSSY != 0;
        if self.link.lossy {
            self.server_cookie = 0;
        } else if ident.cookie != 0 {
            self.server_cookie = ident.cookie;
        } else {
            return Err(ProtoError::value("msgr2: SERVER_IDENT cookie", 0));
        }
        self.link.peer_features = ident.supported_features;
        self.state = State::Open;
        Ok(Rx::Opened {
            peer_features: ident.supported_features,
            reconnected: false,
            acked_seq: 0,
        })
    }

    /// Bounds how often a peer can send us back.
    fn count_round(&mut self) -> ProtoResult {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > MAX_ROUNDS {
            return Err(ProtoError::new(
                "msgr2: handshake does not end",
                Reason::TooLong {
                    len: self.rounds.into(),
                    max: MAX_ROUNDS.into(),
                },
            ));
        }
        Ok(())
    }
}
