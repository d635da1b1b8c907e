// SPDX-License-Identifier: GPL-2.0-only

//! A session over messenger v2.1: its state, and the frames of an open session.

use super::super::auth::{ConnectionAuth, CON_MODE_CRC};
use super::super::crypto::Crypto;
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::link::{Body, Link, SeqOrder};
use super::super::msg::{MsgHeader, OutMessage};
use super::super::session::{check_unsent, segment_len, Lost, Rx, SessionConfig};
use super::super::types::Timespec;
use super::super::wire::{Decoder, Encoder, Fixed};
use super::frame::{CrcFraming, Head, Look, SegmentCrcs, Tag, EPILOGUE_LEN};
use super::handshake::Transcript;
use super::payload::{self, Header2};
use kernel::prelude::*;

/// Where the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No TCP connection.
    Idle,
    /// Our banner is out, the peer's is awaited.
    Banner,
    /// `HELLO` is awaited.
    Hello,
    /// Authentication goes to and fro.
    Auth,
    /// The peer's signature of the handshake is awaited.
    AuthSignature,
    /// `CLIENT_IDENT` is out.
    SessionConnect,
    /// `SESSION_RECONNECT` is out.
    SessionReconnect,
    /// Messages flow.
    Open,
    /// The TCP connection is to be dropped: the peer said so, or broke the protocol.
    Closed,
}

/// A message that was announced and is not complete.
#[derive(Clone, Copy)]
pub(in crate::proto) struct Pending {
    seq: u64,
    data_len: u32,
    crcs: SegmentCrcs,
}

/// A session over messenger v2.1. See [`super::super::session::Session`] for its methods.
pub struct Session {
    pub(in crate::proto) cfg: SessionConfig,
    pub(in crate::proto) link: Link<Pending>,
    pub(super) state: State,
    pub(super) framing: CrcFraming,
    /// What was sent and received so far, for the signatures.
    pub(super) transcript: Transcript,
    /// Names the session on our side; 0 before the first `CLIENT_IDENT`.
    pub(super) client_cookie: u64,
    /// Names the session on the peer's side; 0 if there is none to resume.
    pub(super) server_cookie: u64,
    /// Counts the TCP connections of this session.
    pub(super) connect_seq: u64,
    /// Steps of this handshake that the peer had us repeat.
    pub(super) rounds: u32,
}

impl Session {
    /// A session that has never been connected.
    pub fn new(cfg: SessionConfig) -> Self {
        Self {
            cfg,
            link: Link::new(0),
            state: State::Idle,
            framing: CrcFraming { crc32c: cfg.crc32c },
            transcript: Transcript::default(),
            client_cookie: 0,
            server_cookie: 0,
            connect_seq: 0,
            rounds: 0,
        }
    }

    pub(in crate::proto) fn connected(
        &mut self,
        global_seq: u64,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        if self.cfg.con_modes.iter().any(|&mode| mode != CON_MODE_CRC) {
            return Err(ProtoError::new("msgr2: secure mode", Reason::Unsupported));
        }
        self.link.global_seq = global_seq;
        if self.server_cookie != 0 {
            self.connect_seq = self.connect_seq.saturating_add(1);
        }
        self.transcript = Transcript::default();
        self.rounds = 0;
        self.link.body = Body::Head;
        self.state = State::Banner;
        let at = out.len();
        payload::put_banner(&mut Encoder::new(out))?;
        self.transcript.sent(out, at)
    }

    pub(in crate::proto) fn disconnected(&mut self) -> Lost {
        self.state = State::Idle;
        self.link.body = Body::Head;
        self.transcript = Transcript::default();
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
        self.client_cookie = 0;
        self.server_cookie = 0;
        self.connect_seq = 0;
    }

    pub(in crate::proto) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(in crate::proto) fn state_name(&self) -> &'static str {
        match self.state {
            State::Idle => "IDLE",
            State::Banner => "BANNER",
            State::Hello => "HELLO",
            State::Auth => "AUTH",
            State::AuthSignature => "AUTH_SIGNATURE",
            State::SessionConnect => "SESSION_CONNECT",
            State::SessionReconnect => "SESSION_RECONNECT",
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
                "msgr2: input without a connection",
                Reason::Unexpected(input.len() as u64),
            )),
            State::Banner => self.on_banner(input, out),
            _ => self.advance(input, auth, crypto, out),
        };
        if result.is_err() {
            self.state = State::Closed;
        }
        result
    }

    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        auth: &mut dyn ConnectionAuth,
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        match self.link.body {
            Body::Head => match self.framing.head(input, &self.cfg.limits)? {
                Look::NeedMore(total) => Ok((0, Rx::NeedMore { total })),
                Look::Found(head) if head.preamble.tag == Tag::MESSAGE => {
                    self.on_message(input, &head)
                }
                Look::Found(head) => {
                    let rx = self.on_control(input, &head, auth, crypto, out)?;
                    Ok((head.len, rx))
                }
            },
            Body::Data(_) => Err(ProtoError::new(
                "msgr2: input while data are awaited",
                Reason::Unexpected(input.len() as u64),
            )),
            Body::Tail(pending) => {
                let Some(epilogue) = input.get(..EPILOGUE_LEN) else {
                    let total = EPILOGUE_LEN;
                    return Ok((0, Rx::NeedMore { total }));
                };
                self.framing.check_epilogue(epilogue, &pending.crcs)?;
                self.link.end_message(pending.seq);
                Ok((EPILOGUE_LEN, Rx::MessageEnd))
            }
            Body::Ended { seq } => {
                self.link.end_message(seq);
                Ok((0, Rx::MessageEnd))
            }
            Body::Skip { left, seq } => Ok(self.link.skip(input, left, seq)),
        }
    }

    /// Takes a control frame of an open session; others go to the handshake.
    fn on_control<'i>(
        &mut self,
        input: &[u8],
        head: &Head<'_>,
        auth: &mut dyn ConnectionAuth,
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult<Rx<'i>> {
        if head.preamble.segments != 1 {
            return Err(ProtoError::value(
                "msgr2: control frame with segments",
                head.preamble.segments.into(),
            ));
        }
        if self.state != State::Open {
            let raw = input.get(..head.len).unwrap_or_default();
            return self.on_handshake(raw, head, auth, crypto, out);
        }
        let mut d = Decoder::new(head.control);
        match head.preamble.tag {
            Tag::ACK => Ok(Rx::Acked {
                seq: d.u64("msgr2: ACK")?,
            }),
            Tag::KEEPALIVE2_ACK => Ok(Rx::KeepaliveAck {
                stamp: Timespec::decode(&mut d, "msgr2: KEEPALIVE2_ACK")?,
            }),
            Tag::KEEPALIVE2 => {
                let stamp = Timespec::decode(&mut d, "msgr2: KEEPALIVE2")?;
                check_unsent(out, "msgr2: answers to KEEPALIVE2")?;
                self.framing
                    .put_head(Tag::KEEPALIVE2_ACK, [0; 3], out, |out| {
                        stamp.encode(&mut Encoder::new(out))
                    })?;
                Ok(Rx::Progress)
            }
            _ => Err(self.unexpected(head.preamble.tag)),
        }
    }

    /// The error for a frame that the state does not expect.
    pub(super) fn unexpected(&self, tag: Tag) -> ProtoError {
        let step = match self.state {
            State::Hello => "msgr2: frame instead of HELLO",
            State::Auth => "msgr2: frame during authentication",
            State::AuthSignature => "msgr2: frame instead of AUTH_SIGNATURE",
            State::SessionConnect => "msgr2: frame instead of SERVER_IDENT",
            State::SessionReconnect => "msgr2: frame instead of SESSION_RECONNECT_OK",
            _ => "msgr2: frame in an open session",
        };
        ProtoError::new(step, Reason::Unexpected(tag.0.into()))
    }

    /// Takes a message up to its data, or whole if it has none.
    fn on_message<'i>(&mut self, input: &'i [u8], head: &Head<'i>) -> ProtoResult<(usize, Rx<'i>)> {
        if self.state != State::Open {
            return Err(self.unexpected(Tag::MESSAGE));
        }
        let [_, front_len, middle_len, data_len] = head.preamble.lens;
        let epilogue_len = match head.preamble.segments {
            1 => 0,
            _ => EPILOGUE_LEN,
        };
        let header = Header2::decode(head.control)?;
        if let SeqOrder::Duplicate = self.link.order(header.seq, "msgr2: message number")? {
            let left = [front_len, middle_len, data_len]
                .iter()
                .fold(epilogue_len as u64, |sum, &len| {
                    sum.saturating_add(len.into())
                });
            self.link.skip_later(left, None);
            return Ok((head.len, Rx::Progress));
        }

        let mut total = head
            .len
            .saturating_add(front_len as usize)
            .saturating_add(middle_len as usize);
        if data_len == 0 {
            total = total.saturating_add(epilogue_len);
        }
        let Some(message) = input.get(head.len..total) else {
            return Ok((0, Rx::NeedMore { total }));
        };
        let mut d = Decoder::new(message);
        let front = d.bytes(front_len as usize, "msgr2: front")?;
        let middle = d.bytes(middle_len as usize, "msgr2: middle")?;
        let crcs = self.framing.segment_crcs(front, middle, data_len);
        let seq = header.seq;
        self.link.body = if data_len > 0 {
            Body::Data(Pending {
                seq,
                data_len,
                crcs,
            })
        } else {
            if epilogue_len > 0 {
                self.framing.check_epilogue(d.rest(), &crcs)?;
            }
            Body::Ended { seq }
        };
        let rx = Rx::Message {
            header: MsgHeader {
                seq,
                tid: header.tid,
                typ: header.typ,
                priority: header.priority,
                version: header.version,
                compat_version: header.compat_version,
                front_len,
                middle_len,
                data_len,
                data_off: header.data_off,
            },
            front,
            middle,
            acked_seq: header.ack_seq,
            data_crc_seed: super::CRC_SEED,
        };
        Ok((total, rx))
    }

    pub(in crate::proto) fn data_received(&mut self, crc: u32) -> ProtoResult {
        self.link
            .data_received("msgr2: data without a message", |pending| {
                let [front, middle, _] = pending.crcs.0;
                pending.crcs = SegmentCrcs([front, middle, crc]);
            })
    }

    pub(in crate::proto) fn skip_data(&mut self) -> ProtoResult {
        self.link
            .skip_data("msgr2: skip without a message", |pending| {
                let left = u64::from(pending.data_len).saturating_add(EPILOGUE_LEN as u64);
                (pending.seq, left)
            })
    }

    pub(in crate::proto) fn encode_message(
        &mut self,
        msg: &OutMessage<'_>,
        _crypto: &dyn Crypto,
        head: &mut KVec<u8>,
        tail: &mut KVec<u8>,
    ) -> ProtoResult<u64> {
        let seq = self.link.number(msg)?;
        let front_len = segment_len(msg.front, "msgr2: front to send")?;
        let middle_len = segment_len(msg.middle, "msgr2: middle to send")?;
        let lens = [front_len, middle_len, msg.data_len];
        let header = Header2 {
            seq,
            tid: msg.tid,
            typ: msg.typ,
            priority: msg.priority,
            version: msg.version,
            data_off: msg.data_off,
            ack_seq: self.link.in_seq,
            compat_version: msg.compat_version,
        };
        let mut control = [0; Header2::LEN];
        header.encode(&mut Encoder::new(&mut Fixed::new(&mut control)))?;
        self.framing
            .put_head_of(Tag::MESSAGE, &control, lens, head)?;
        let mut e = Encoder::new(head);
        e.bytes(msg.front)?;
        e.bytes(msg.middle)?;
        if lens != [0; 3] {
            let mut crcs = self
                .framing
                .segment_crcs(msg.front, msg.middle, msg.data_len);
            let end = if msg.data_len > 0 {
                let [front, middle, _] = crcs.0;
                crcs = SegmentCrcs([front, middle, msg.data_crc]);
                tail
            } else {
                head
            };
            self.framing.put_epilogue(&crcs, end)?;
        }
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
                "msgr2: keepalive before open",
                Reason::Unexpected(0),
            ));
        }
        self.framing.put_head(Tag::KEEPALIVE2, [0; 3], out, |out| {
            now.encode(&mut Encoder::new(out))
        })?;
        Ok(())
    }

    pub(in crate::proto) fn encode_ack(&mut self, out: &mut KVec<u8>) -> ProtoResult {
        let seq = self.link.in_seq;
        self.framing
            .put_head(Tag::ACK, [0; 3], out, |out| Encoder::new(out).u64(seq))?;
        self.link.in_seq_acked = seq;
        Ok(())
    }
}
