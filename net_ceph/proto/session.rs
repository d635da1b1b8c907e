// SPDX-License-Identifier: GPL-2.0-only

//! One front for both messenger protocols: a session with one peer, without any I/O.
//!
//! The connection that owns a [`Session`] brings it received bytes and sends what it appends. It
//! calls [`Session::connected`] for each TCP connection, [`Session::receive`] until that asks for
//! more, [`Session::encode_message`] once the session is open, and [`Session::disconnected`] when
//! the TCP connection is gone.
//!
//! Received bytes are looked at in place. A message's data segment does not pass through here: the
//! connection is told how long it is, puts it where it belongs, and reports its CRC.

use super::auth::ConnectionAuth;
use super::crypto::{Crc32c, Crypto};
use super::error::{ProtoError, ProtoResult, Reason};
use super::msg::{MsgHeader, OutMessage};
use super::types::{EntityAddr, EntityType, Timespec};
use super::{msgr1, msgr2};
use kernel::prelude::*;

/// Which messenger protocol to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The protocol of port 6789, `ms_mode=legacy`.
    Msgr1,
    /// Messenger v2.1 of port 3300.
    Msgr2,
}

/// The longest segments we accept, in bytes. Buffers still grow only with the bytes that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Front segment.
    pub front: u32,
    /// Middle segment.
    pub middle: u32,
    /// Data segment.
    pub data: u32,
}

impl Limits {
    /// Enough for any OSD map and for any object a block device reads at once.
    pub const DEFAULT: Self = Self {
        front: 64 << 20,
        middle: 16 << 20,
        data: 64 << 20,
    };
}

/// What a session needs to know from the start.
#[derive(Clone, Copy)]
pub struct SessionConfig {
    /// Our global id; 0 when it is not known yet: on msgr2 the one in `AUTH_DONE` is taken then.
    pub global_id: u64,
    /// Our address with our nonce; without an IP address it is learnt from the peer.
    pub my_addr: EntityAddr,
    /// What the peer must be.
    pub peer_type: EntityType,
    /// Where it must be.
    pub peer_addr: EntityAddr,
    /// Feature bits we advertise.
    pub supported_features: u64,
    /// Feature bits without which we do not talk to the peer.
    pub required_features: u64,
    /// msgr2: connection modes to ask for (`CON_MODE_*`), best first.
    pub con_modes: &'static [u32],
    /// msgr1: protect data segments by CRC (not with the `nocrc` option). msgr2 always does.
    pub data_crc: bool,
    /// msgr1: sign messages and check signatures where the peer can.
    pub sign_messages: bool,
    /// Longest segments accepted.
    pub limits: Limits,
    /// CRC-32C.
    pub crc32c: Crc32c,
}

/// What became of a session whose TCP connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It goes on with the next TCP connection: send the messages not acknowledged again, each
    /// with its number.
    Replay,
    /// It is gone with all its messages (lossy peers); the next TCP connection begins a new one.
    Session,
}

/// What [`Session::receive`] found in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rx<'i> {
    /// Nothing more can be done with fewer than `total` bytes from the start of the input.
    NeedMore {
        /// Bytes needed, from the start of the input; more than it holds now.
        total: usize,
    },
    /// A step was taken that concerns nobody else. There may be bytes to send.
    Progress,
    /// Messages can be sent from now on.
    Opened {
        /// The peer's feature bits.
        peer_features: u64,
        /// The session existed before, and goes on.
        reconnected: bool,
        /// The peer has all messages up to this number: do not send them again.
        acked_seq: u64,
    },
    /// The peer has all messages up to `seq`.
    Acked {
        /// Number of the last one.
        seq: u64,
    },
    /// The peer answered a keepalive.
    KeepaliveAck {
        /// When that keepalive was sent, by our clock.
        stamp: Timespec,
    },
    /// A message begins. The consumed bytes reach up to its data.
    ///
    /// Without data the message was verified already. With data, only its header was: the front may
    /// be used to choose where the data go, but nothing else may come of it before
    /// [`Rx::MessageEnd`].
    Message {
        /// Header; `data_len` bytes of data follow the consumed bytes.
        header: MsgHeader,
        /// Front segment.
        front: &'i [u8],
        /// Middle segment.
        middle: &'i [u8],
        /// msgr2: the peer has all our messages up to this number; 0 says nothing.
        acked_seq: u64,
        /// Begin of the CRC that [`Session::data_received`] wants.
        data_crc_seed: u32,
    },
    /// The message announced last is complete and verified. Consumes nothing if it has no data.
    MessageEnd,
    /// The peer does not know our session any more; the handshake has begun a new one. What was
    /// sent is to be dropped, or sent again with new numbers.
    SessionReset,
    /// This TCP connection leads nowhere; make another, after a pause.
    Retry,
    /// The peer closes the TCP connection.
    Closed,
}

/// A session with one peer.
pub enum Session {
    /// msgr1.
    V1(msgr1::Session),
    /// msgr2.
    V2(msgr2::Session),
}

macro_rules! both {
    ($self:expr, $session:ident => $e:expr) => {
        match $self {
            Session::V1($session) => $e,
            Session::V2($session) => $e,
        }
    };
}

impl Session {
    /// A session that has never been connected.
    pub fn new(cfg: SessionConfig, protocol: Protocol) -> Self {
        match protocol {
            Protocol::Msgr1 => Session::V1(msgr1::Session::new(cfg)),
            Protocol::Msgr2 => Session::V2(msgr2::Session::new(cfg)),
        }
    }

    /// A TCP connection was made: appends the first bytes to send. `global_seq` counts the
    /// connections of all sessions of this client, and must be higher each time.
    pub fn connected(&mut self, global_seq: u64, out: &mut KVec<u8>) -> ProtoResult {
        both!(self, s => s.connected(global_seq, out))
    }

    /// The `global_seq` in use; the peer may have made it higher than what was given.
    pub fn global_seq(&self) -> u64 {
        both!(self, s => s.link.global_seq)
    }

    /// The TCP connection is gone. Also after an error of any other method.
    pub fn disconnected(&mut self) -> Lost {
        both!(self, s => s.disconnected())
    }

    /// Looks at `input`, the bytes received and not consumed yet. Returns how many of them were
    /// consumed, and what they meant. Answers to the peer are appended to `out`.
    ///
    /// To be called until it returns [`Rx::NeedMore`]; after an error, not before the next
    /// [`Session::connected`]. May sleep where the crypto does.
    pub fn receive<'i>(
        &mut self,
        input: &'i [u8],
        auth: &mut dyn ConnectionAuth,
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult<(usize, Rx<'i>)> {
        both!(self, s => s.receive(input, auth, crypto, out))
    }

    /// The data of the message announced last were received, with this CRC-32C. (Any value if
    /// [`Session::wants_data_crc`] is false.)
    pub fn data_received(&mut self, crc: u32) -> ProtoResult {
        both!(self, s => s.data_received(crc))
    }

    /// The message announced last is not wanted: [`Session::receive`] is to pass over its data and
    /// what follows them. There will be no [`Rx::MessageEnd`] for it.
    pub fn skip_data(&mut self) -> ProtoResult {
        both!(self, s => s.skip_data())
    }

    /// Encodes a message around its data: `head` gets what goes before them, `tail` what goes
    /// after; without data, `head` gets everything. Returns the number it was sent with. On error
    /// nothing has changed.
    ///
    /// Allocates only where `head` and `tail` lack capacity. May sleep where the crypto does.
    pub fn encode_message(
        &mut self,
        msg: &OutMessage<'_>,
        crypto: &dyn Crypto,
        head: &mut KVec<u8>,
        tail: &mut KVec<u8>,
    ) -> ProtoResult<u64> {
        if !self.is_open() {
            return Err(ProtoError::new("send before open", Reason::Unexpected(0)));
        }
        let (head_len, tail_len) = (head.len(), tail.len());
        let sent = both!(self, s => s.encode_message(msg, crypto, head, tail));
        if sent.is_err() {
            head.truncate(head_len);
            tail.truncate(tail_len);
        }
        sent
    }

    /// What the CRC of a data segment begins with.
    pub fn data_crc_seed(&self) -> u32 {
        match self {
            Session::V1(_) => msgr1::CRC_SEED,
            Session::V2(_) => msgr2::CRC_SEED,
        }
    }

    /// Whether anybody looks at the CRC of data segments.
    pub fn wants_data_crc(&self) -> bool {
        match self {
            Session::V1(s) => s.cfg.data_crc,
            Session::V2(_) => true,
        }
    }

    /// Appends a keepalive; the peer's answer repeats `now`.
    pub fn encode_keepalive(&mut self, now: Timespec, out: &mut KVec<u8>) -> ProtoResult {
        both!(self, s => s.encode_keepalive(now, out))
    }

    /// Whether messages were received that the peer does not know of yet, and wants to. Each message sent tells
    /// it too, so an acknowledgement of its own is for when nothing else is to be sent.
    pub fn ack_due(&self) -> bool {
        self.is_open() && both!(self, s => s.link.ack_due())
    }

    /// Appends an acknowledgement if one [is due](Self::ack_due), and says whether.
    pub fn encode_ack(&mut self, out: &mut KVec<u8>) -> ProtoResult<bool> {
        if !self.ack_due() {
            return Ok(false);
        }
        both!(self, s => s.encode_ack(out))?;
        Ok(true)
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        both!(self, s => s.is_open())
    }

    /// Whether the peer forgets the session with the TCP connection. Known once open.
    pub fn is_lossy(&self) -> bool {
        both!(self, s => s.link.lossy)
    }

    /// A word for the state, for logs.
    pub fn state_name(&self) -> &'static str {
        both!(self, s => s.state_name())
    }

    /// The peer's feature bits. Known once open.
    pub fn peer_features(&self) -> u64 {
        both!(self, s => s.link.peer_features)
    }

    /// Our address, as configured or learnt from the peer.
    pub fn my_addr(&self) -> EntityAddr {
        both!(self, s => s.cfg.my_addr)
    }

    /// Our global id: as configured, or learnt on msgr2.
    pub fn global_id(&self) -> u64 {
        both!(self, s => s.cfg.global_id)
    }

    /// Our global id became known or changed.
    pub fn set_global_id(&mut self, global_id: u64) {
        both!(self, s => s.cfg.global_id = global_id)
    }
}

/// Fails if `len` exceeds `max`.
pub(super) fn check_len(len: u32, max: u32, step: &'static str) -> ProtoResult {
    if len > max {
        return Err(ProtoError::new(
            step,
            Reason::TooLong {
                len: len.into(),
                max: max.into(),
            },
        ));
    }
    Ok(())
}

/// Fails unless a CRC has the value the peer says.
pub(super) fn check_crc(computed: u32, expected: u32, step: &'static str) -> ProtoResult {
    if computed != expected {
        return Err(ProtoError::new(step, Reason::BadCrc { expected, computed }));
    }
    Ok(())
}

/// Fails if more waits to be sent than a peer that reads what it is sent ever leaves: who asks for answers and
/// does not read them would have them pile up.
pub(super) fn check_unsent(out: &KVec<u8>, step: &'static str) -> ProtoResult {
    const MAX_UNSENT: usize = 1 << 20;
    if out.len() > MAX_UNSENT {
        return Err(ProtoError::new(
            step,
            Reason::TooLong {
                len: out.len() as u64,
                max: MAX_UNSENT as u64,
            },
        ));
    }
    Ok(())
}

/// The length of a segment we send.
pub(super) fn segment_len(segment: &[u8], step: &'static str) -> ProtoResult<u32> {
    u32::try_from(segment.len()).map_err(|_| ProtoError::value(step, segment.len() as u64))
}
