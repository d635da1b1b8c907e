// SPDX-License-Identifier: GPL-2.0-only

//! A session over messenger v1: its state, and what follows the tags of an open session.

use super::super::auth::ConnectionAuth;
use super::super::crypto::Crypto;
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::link::{Body, Link, SeqOrder};
use super::super::msg::{MsgHeader, OutMessage};
use super::super::session::{check_unsent, segment_len, Lost, Rx, SessionConfig};
use super::super::types::{features, EntityName, EntityType, Timespec};
use super::super::wire::{Decoder, Encoder};
use super::payload::{self, tag, Seal, Sealed, HEADER_LEN};
use super::CRC_SEED;
use kernel::prelude::*;

/// Where the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No TCP connection.
    Idle,
    /// Our banner is out, the peer's is awaited.
    Banner,
    /// `CONNECT` is out.
    Connect,
    /// The peer agreed; the number of the last message it has is awaited.
    Seq,
    /// Messages flow.
    Open,
    /// The TCP connection is to be dropped: the peer said so, or broke the protocol.
    Closed,
}

/// A session over messenger v1. See [`super::super::session::Session`] for its methods.
pub struct Session {
    pub(in crate::proto) cfg: SessionConfig,
    pub(in crate::proto) link: Link<Sealed>,
    pub(super) state: State,
    /// Counts the TCP connections of this session.
    pub(super) connect_seq: u32,
    /// Method of the authorizer sent last; 0 if there was none.
    pub(super) authorizer_protocol: u32,
    /// Steps of this handshake that the peer had us repeat.
    pub(super) rounds: u32,
    /// How messages are sealed.
    pub(super) seal: Seal,
}

impl Session {
    /// A session that has never been connected.
    pub fn new(cfg: SessionConfig) -> Self {
        Self {
            cfg,
            link: Link::new(0),
            state: State::Idle,
            connect_seq: 0,
            authorizer_protocol: 0,
            rounds: 0,
            seal: Seal {
                wide: false,
                key: None,
                data_crc: cfg.data_crc,
            },
        }
    }

    pub(in crate::proto) fn connected(
        &mut self,
        global_seq: u64,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        self.link.global_seq = global_seq;
        self.authorizer_protocol = 0;
        self.rounds = 0;
        self.seal.key = None;
        self.link.body = Body::Head;
        self.state = State::Banner;
        payload::put_banner(&self.cfg.my_addr, out)
    }

    pub(in crate::proto) fn disconnected(&mut self) -> Lost {
        self.state = State::Idle;
        self.link.body = Body::Head;
        self.seal.key = None;
        if self.link.lossy {
            self.forget();
            Lost::Session
        } else {
            Lost::Replay
        }
    }

    /// Forgets the session, so that the next handshake begins one.
    pub(super) fn forget(&mut self) {
        self.link.reset();
        self.connect_seq = 0;
    }

    pub(in crate::proto) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(in crate::proto) fn state_name(&self) -> &'static str {
        match self.state {
            State::Idle => "IDLE",
            State::Banner => "BANNER",
            State::Connect => "CONNECT",
            State::Seq => "SEQ",
            State::Open => "OPEN",
            State::Closed => "CLOSED",
        }
    }

    pub(in crate::proto) fn receive<'i>(
        &mut self,
        input: &'i [u8],
        auth: &mut dyn ConnectionAuth,
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        let result = match self.state {
            State::Idle | State::Closed => Err(ProtoError::new(
                "msgr1: input without a connection",
                Reason::Unexpected(input.len() as u64),
            )),
            State::Banner => self.on_banner(input, auth, out),
            State::Connect => self.on_connect_reply(input, auth, out),
            State::Seq => self.on_seq(input),
            State::Open => self.advance(input, crypto, out),
        };
        if result.is_err() {
            self.state = State::Closed;
        }
        result
    }

    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        match self.link.body {
            Body::Head => self.on_tag(input, crypto, out),
            Body::Data(_) => Err(ProtoError::new(
                "msgr1: input while data are awaited",
                Reason::Unexpected(input.len() as u64),
            )),
            Body::Tail(sealed) => {
                let total = self.seal.footer_len();
                let Some(footer) = input.get(..total) else {
                    return Ok((0, Rx::NeedMore { total }));
                };
                self.seal.check_footer(footer, &sealed, crypto)?;
                self.link.end_message(sealed.seq);
                Ok((total, Rx::MessageEnd))
            }
            Body::Ended { seq } => {
                self.link.end_message(seq);
                Ok((0, Rx::MessageEnd))
            }
            Body::Skip { left, seq } => Ok(self.link.skip(input, left, seq)),
        }
    }

    fn on_tag<'i>(
        &mut self,
        input: &'i [u8],
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        let Some((&tag, rest)) = input.split_first() else {
            return Ok((0, Rx::NeedMore { total: 1 }));
        };
        // Every other tag but these two has 8 bytes after it.
        match tag {
            tag::MSG => return self.on_message(input, crypto),
            tag::KEEPALIVE => return Ok((1, Rx::Progress)),
            tag::CLOSE => {
                self.state = State::Closed;
                return Ok((1, Rx::Closed));
            }
            tag::ACK | tag::KEEPALIVE2 | tag::KEEPALIVE2_ACK => {}
            other => {
                return Err(ProtoError::new(
                    "msgr1: tag in an open session",
                    Reason::Unexpected(other.into()),
                ))
            }
        }
        let total = 9;
        if input.len() < total {
            return Ok((0, Rx::NeedMore { total }));
        }
        let mut d = Decoder::new(rest);
        let rx = match tag {
            tag::ACK => Rx::Acked {
                seq: d.u64("msgr1: ACK")?,
            },
            tag::KEEPALIVE2_ACK => Rx::KeepaliveAck {
                stamp: Timespec::decode(&mut d, "msgr1: KEEPALIVE2_ACK")?,
            },
            _ => {
                let stamp = Timespec::decode(&mut d, "msgr1: KEEPALIVE2")?;
                check_unsent(out, "msgr1: answers to KEEPALIVE2")?;
                let mut e = Encoder::new(out);
                e.u8(tag::KEEPALIVE2_ACK)?;
                stamp.encode(&mut e)?;
                Rx::Progress
            }
        };
        Ok((total, rx))
    }

    /// Takes a message up to its data, or whole if it has none.
    fn on_message<'i>(
        &mut self,
        input: &'i [u8],
        crypto: &dyn Crypto,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        const HEAD_LEN: usize = 1 + HEADER_LEN;
        let Some(header) = input.get(1..).and_then(|i| i.first_chunk::<HEADER_LEN>()) else {
            return Ok((0, Rx::NeedMore { total: HEAD_LEN }));
        };
        let (header, header_crc) = payload::header(header, self.cfg.crc32c, &self.cfg.limits)?;
        let footer_len = self.seal.footer_len();
        let lens = [header.front_len, header.middle_len, header.data_len];
        if let SeqOrder::Duplicate = self.link.order(header.seq, "msgr1: message number")? {
            let left = lens.iter().fold(footer_len as u64, |sum, &len| {
                sum.saturating_add(len.into())
            });
            self.link.skip_later(left, None);
            return Ok((HEAD_LEN, Rx::Progress));
        }

        let mut total = HEAD_LEN
            .saturating_add(header.front_len as usize)
            .saturating_add(header.middle_len as usize);
        if header.data_len == 0 {
            total = total.saturating_add(footer_len);
        }
        let Some(message) = input.get(HEAD_LEN..total) else {
            return Ok((0, Rx::NeedMore { total }));
        };
        let mut d = Decoder::new(message);
        let front = d.bytes(header.front_len as usize, "msgr1: front")?;
        let middle = d.bytes(header.middle_len as usize, "msgr1: middle")?;
        let sealed = Sealed {
            seq: header.seq,
            header_crc,
            lens,
            crcs: [
                (self.cfg.crc32c)(CRC_SEED, front),
                (self.cfg.crc32c)(CRC_SEED, middle),
                0,
            ],
        };
        self.link.body = if header.data_len > 0 {
            Body::Data(sealed)
        } else {
            self.seal.check_footer(d.rest(), &sealed, crypto)?;
            Body::Ended { seq: header.seq }
        };
        let rx = Rx::Message {
            header,
            front,
            middle,
            acked_seq: 0,
            data_crc_seed: CRC_SEED,
        };
        Ok((total, rx))
    }

    pub(in crate::proto) fn data_received(&mut self, crc: u32) -> ProtoResult {
        self.link
            .data_received("msgr1: data without a message", |sealed| {
                let [front, middle, _] = sealed.crcs;
                sealed.crcs = [front, middle, crc];
            })
    }

    pub(in crate::proto) fn skip_data(&mut self) -> ProtoResult {
        let footer_len = self.seal.footer_len() as u64;
        self.link
            .skip_data("msgr1: skip without a message", |sealed| {
                let [_, _, data_len] = sealed.lens;
                (sealed.seq, u64::from(data_len).saturating_add(footer_len))
            })
    }

    pub(in crate::proto) fn encode_message(
        &mut self,
        msg: &OutMessage<'_>,
        crypto: &dyn Crypto,
        head: &mut KVec<u8>,
        tail: &mut KVec<u8>,
    ) -> ProtoResult<u64> {
        let seq = self.link.number(msg)?;
        let lens = [
            segment_len(msg.front, "msgr1: front to send")?,
            segment_len(msg.middle, "msgr1: middle to send")?,
            msg.data_len,
        ];
        let [front_len, middle_len, data_len] = lens;
        let header = MsgHeader {
            seq,
            tid: msg.tid,
            typ: msg.typ,
            priority: msg.priority,
            version: msg.version,
            compat_version: msg.compat_version,
            front_len,
            middle_len,
            data_len,
            data_off: msg.data_off,
        };
        if self.link.ack_due() {
            put_ack(self.link.in_seq, head)?;
        }
        Encoder::new(head).u8(tag::MSG)?;
        let src = EntityName::new(EntityType::CLIENT, self.cfg.global_id);
        let header_crc = payload::put_header(&header, src, self.cfg.crc32c, head)?;
        let mut e = Encoder::new(head);
        e.bytes(msg.front)?;
        e.bytes(msg.middle)?;
        let sealed = Sealed {
            seq,
            header_crc,
            lens,
            crcs: [
                (self.cfg.crc32c)(CRC_SEED, msg.front),
                (self.cfg.crc32c)(CRC_SEED, msg.middle),
                msg.data_crc,
            ],
        };
        let end = if data_len > 0 { tail } else { head };
        self.seal.put_footer(&sealed, crypto, end)?;
        self.link.sent(seq);
        Ok(seq)
    }

    pub(in crate::proto) fn encode_keepalive(
        &mut self,
        now: Timespec,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        if !self.is_open() {
            return Err(ProtoError::new(
                "msgr1: keepalive before open",
                Reason::Unexpected(0),
            ));
        }
        let mut e = Encoder::new(out);
        if features::has(self.link.peer_features, features::MSGR_KEEPALIVE2) {
            e.u8(tag::KEEPALIVE2)?;
            now.encode(&mut e)
        } else {
            e.u8(tag::KEEPALIVE)
        }
    }

    pub(in crate::proto) fn encode_ack(&mut self, out: &mut KVec<u8>) -> ProtoResult {
        put_ack(self.link.in_seq, out)?;
        self.link.in_seq_acked = self.link.in_seq;
        Ok(())
    }
}

fn put_ack(seq: u64, out: &mut KVec<u8>) -> ProtoResult {
    let mut e = Encoder::new(out);
    e.u8(tag::ACK)?;
    e.u64(seq)
}
