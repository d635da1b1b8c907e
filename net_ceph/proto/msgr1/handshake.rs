// SPDX-License-Identifier: GPL-2.0-only

//! From a TCP connection to an open session over messenger v1.

use super::super::auth::{ConnectionAuth, AUTH_CEPHX};
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::session::Rx;
use super::super::types::{features, AddrType, EntityAddr};
use super::super::wire::{Decoder, Encoder};
use super::payload::{
    self, tag, Connect, ConnectReply, ServerHello, BANNER, CONNECT_LOSSY, CONNECT_REPLY_LEN,
    SERVER_HELLO_LEN,
};
use super::session::{Session, State};
use kernel::prelude::*;

/// How often a peer may have us repeat `CONNECT` within one TCP connection. Honest ones do once or
/// twice.
const MAX_ROUNDS: u32 = 8;

impl Session {
    /// Takes the peer's banner and addresses; answers with `CONNECT`.
    pub(super) fn on_banner<'i>(
        &mut self,
        input: &'i [u8],
        auth: &mut dyn ConnectionAuth,
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        let total = SERVER_HELLO_LEN;
        let Some(hello) = input.get(..total) else {
            payload::check_banner(input.get(..BANNER.len()).unwrap_or(input))?;
            return Ok((0, Rx::NeedMore { total }));
        };
        let hello = ServerHello::decode(hello)?;
        // A peer that does not know its own address yet is known by its nonce.
        let unsure =
            hello.peer_addr.is_blank() && hello.peer_addr.nonce == self.cfg.peer_addr.nonce;
        if !unsure && !hello.peer_addr.same_endpoint(&self.cfg.peer_addr) {
            return Err(ProtoError::value("msgr1: another peer at this address", 0));
        }
        if self.cfg.my_addr.is_blank() {
            self.cfg.my_addr = EntityAddr {
                kind: AddrType::ANY,
                nonce: self.cfg.my_addr.nonce,
                ..hello.my_addr.without_port()
            };
        }
        self.put_connect(auth, out)?;
        self.state = State::Connect;
        Ok((total, Rx::Progress))
    }

    fn put_connect(&mut self, auth: &mut dyn ConnectionAuth, out: &mut KVec<u8>) -> ProtoResult {
        let mut authorizer = KVec::new();
        self.authorizer_protocol = auth.authorizer(&mut authorizer)?;
        self.put_connect_with(&authorizer, out)
    }

    fn put_connect_with(&self, authorizer: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        let connect = Connect {
            features: self.cfg.supported_features,
            global_seq: self.link.global_seq,
            connect_seq: self.connect_seq,
            protocol_version: payload::protocol_version(self.cfg.peer_type)?,
            authorizer_protocol: self.authorizer_protocol,
        };
        connect.encode(authorizer, out)
    }

    /// Takes the answer to `CONNECT`.
    pub(super) fn on_connect_reply<'i>(
        &mut self,
        input: &'i [u8],
        auth: &mut dyn ConnectionAuth,
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        let Some((reply, rest)) = input.split_first_chunk::<CONNECT_REPLY_LEN>() else {
            let total = CONNECT_REPLY_LEN;
            return Ok((0, Rx::NeedMore { total }));
        };
        let reply = ConnectReply::decode(reply)?;
        let total = CONNECT_REPLY_LEN.saturating_add(reply.authorizer_len);
        let Some(authorizer_reply) = rest.get(..reply.authorizer_len) else {
            return Ok((0, Rx::NeedMore { total }));
        };
        let rx = self.take_connect_reply(&reply, authorizer_reply, auth, out)?;
        Ok((total, rx))
    }

    fn take_connect_reply<'i>(
        &mut self,
        reply: &ConnectReply,
        authorizer_reply: &[u8],
        auth: &mut dyn ConnectionAuth,
        out: &mut KVec<u8>,
    ) -> ProtoResult<Rx<'i>> {
        if reply.tag == tag::CHALLENGE_AUTHORIZER {
            self.count_round()?;
            if self.authorizer_protocol == 0 {
                return Err(ProtoError::new(
                    "msgr1: challenge without an authorizer",
                    Reason::Unexpected(reply.tag.into()),
                ));
            }
            let mut authorizer = KVec::new();
            auth.authorizer_challenge(authorizer_reply, &mut authorizer)?;
            self.put_connect_with(&authorizer, out)?;
            return Ok(Rx::Progress);
        }
        if self.authorizer_protocol != 0 && !authorizer_reply.is_empty() {
            auth.authorizer_reply(authorizer_reply)?;
        }
        match reply.tag {
            tag::READY | tag::SEQ => {
                if self.authorizer_protocol == AUTH_CEPHX && authorizer_reply.is_empty() {
                    return Err(ProtoError::new(
                        "msgr1: no authorizer reply",
                        Reason::BadAuth,
                    ));
                }
                self.on_ready(reply, auth, out)
            }
            tag::RESETSESSION => {
                self.count_round()?;
                self.forget();
                self.put_connect(auth, out)?;
                Ok(Rx::SessionReset)
            }
            tag::RETRY_SESSION => {
                self.count_round()?;
                self.connect_seq = reply.connect_seq;
                self.put_connect(auth, out)?;
                Ok(Rx::Progress)
            }
            tag::RETRY_GLOBAL => {
                self.count_round()?;
                let seq = self.link.global_seq.max(reply.global_seq.into());
                self.link.global_seq = seq.saturating_add(1);
                self.put_connect(auth, out)?;
                Ok(Rx::Progress)
            }
            tag::WAIT => {
                self.state = State::Closed;
                Ok(Rx::Retry)
            }
            tag::BADAUTHORIZER => {
                auth.authorizer_rejected();
                Err(ProtoError::new(
                    "msgr1: authorizer was rejected",
                    Reason::BadAuth,
                ))
            }
            tag::FEATURES => Err(ProtoError::value(
                "msgr1: features that the peer wants us to have",
                reply.features & !self.cfg.supported_features,
            )),
            tag::BADPROTOVER => Err(ProtoError::value(
                "msgr1: the peer has another protocol version",
                reply.protocol_version.into(),
            )),
            other => Err(ProtoError::new(
                "msgr1: tag of connect reply",
                Reason::Unexpected(other.into()),
            )),
        }
    }

    /// The peer agrees: opens the session, or first exchanges the numbers of the last messages
    /// received. Peers with `RECONNECT_SEQ` want that for new sessions too.
    fn on_ready<'i>(
        &mut self,
        reply: &ConnectReply,
        auth: &mut dyn ConnectionAuth,
        out: &mut KVec<u8>,
    ) -> ProtoResult<Rx<'i>> {
        let lacking = self.cfg.required_features & !reply.features;
        if lacking != 0 {
            return Err(ProtoError::value(
                "msgr1: features that the peer lacks",
                lacking,
            ));
        }
        self.seal.wide = features::has(reply.features, features::MSG_AUTH);
        self.seal.key = None;
        if self.cfg.sign_messages && self.seal.wide && self.authorizer_protocol != 0 {
            self.seal.key = auth.session_key();
        }
        if self.seal.key.is_some() && !features::has(reply.features, features::CEPHX_V2) {
            return Err(ProtoError::new(
                "msgr1: message signatures of a peer without CEPHX_V2",
                Reason::Unsupported,
            ));
        }
        self.connect_seq = self.connect_seq.wrapping_add(1);
        self.link.peer_features = reply.features;
        self.link.lossy = reply.flags & CONNECT_LOSSY != 0;
        if reply.tag == tag::SEQ {
            Encoder::new(out).u64(self.link.in_seq)?;
            self.link.in_seq_acked = self.link.in_seq;
            self.state = State::Seq;
            return Ok(Rx::Progress);
        }
        Ok(self.open(0))
    }

    /// Takes the number of the last message that the peer has.
    pub(super) fn on_seq<'i>(&mut self, input: &'i [u8]) -> ProtoResult<(usize, Rx<'i>)> {
        let total = 8;
        if input.len() < total {
            return Ok((0, Rx::NeedMore { total }));
        }
        let acked_seq = Decoder::new(input).u64("msgr1: number of the last message")?;
        Ok((total, self.open(acked_seq)))
    }

    fn open<'i>(&mut self, acked_seq: u64) -> Rx<'i> {
        self.state = State::Open;
        Rx::Opened {
            peer_features: self.link.peer_features,
            reconnected: self.connect_seq > 1,
            acked_seq,
        }
    }

    /// Bounds how often a peer can send us back.
    fn count_round(&mut self) -> ProtoResult {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > MAX_ROUNDS {
            return Err(ProtoError::new(
                "msgr1: handshake does not end",
                Reason::TooLong {
                    len: self.rounds.into(),
                    max: MAX_ROUNDS.into(),
                },
            ));
        }
        Ok(())
    }
}
