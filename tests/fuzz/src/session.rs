// SPDX-License-Identifier: GPL-2.0-only

//! A messenger session as a whole: a script says what the peer sends and what the client does meanwhile.
//!
//! The driver is that of a connection: it keeps the input until it is consumed, and takes data apart from
//! the rest. Whatever comes, messages are delivered in order and once each, one at a time; nothing is
//! asked for that is there already; what is sent is bounded; and each step consumes something or changes
//! something.

use crate::plain::{self, Plain};
use crate::Input;
use ceph_proto_host::proto::auth::{AuthDone, ConnectionAuth, SessionKey, CON_MODE_CRC};
use ceph_proto_host::proto::error::{ProtoError, ProtoResult, Reason};
use ceph_proto_host::proto::msg::{MsgHeader, OutMessage};
use ceph_proto_host::proto::session::{Limits, Lost, Protocol, Rx, Session, SessionConfig};
use ceph_proto_host::proto::types::{features, AddrType, EntityAddr, EntityType, Timespec};
use kernel::prelude::*;

/// Longest segments accepted.
const LIMITS: Limits = Limits {
    front: 1 << 14,
    middle: 1 << 10,
    data: 1 << 16,
};
/// More than a session may want to see at once: all of a message but its data, and headers.
const MOST_NEEDED: usize = (1 << 14) + (1 << 10) + (1 << 18) + 256;
/// The most that one step may send.
const MOST_SENT: usize = 1 << 10;
/// Steps in a row that consume nothing: a message without data ends in one of its own.
const MOST_IDLE: u32 = 2;

/// Credentials that say what the script says.
struct Auth {
    method: u32,
    refuses: bool,
    key: Option<SessionKey>,
}

impl Auth {
    fn verdict(&self) -> ProtoResult {
        match self.refuses {
            true => Err(ProtoError::new("fuzz", Reason::BadAuth)),
            false => Ok(()),
        }
    }

    fn say(&self, out: &mut KVec<u8>) -> ProtoResult {
        self.verdict()?;
        Ok(out.extend_from_slice(b"says", GFP_KERNEL)?)
    }
}

impl ConnectionAuth for Auth {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.say(out)?;
        Ok(self.method)
    }
    fn auth_reply_more(&mut self, _: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.say(out)
    }
    fn auth_done(&mut self, _: u64, _: u32, _: &[u8]) -> ProtoResult<AuthDone> {
        self.verdict()?;
        Ok(AuthDone {
            session_key: self.key,
            connection_secret: KVec::new(),
        })
    }
    fn auth_bad_method(&mut self, _: u32, _: i32, _: &[u32], _: &[u32]) -> ProtoResult {
        self.verdict()
    }
    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        if self.method == 0 {
            return Ok(0);
        }
        self.say(out)?;
        Ok(self.method)
    }
    fn authorizer_challenge(&mut self, _: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.say(out)
    }
    fn authorizer_reply(&mut self, _: &[u8]) -> ProtoResult {
        self.verdict()
    }
    fn authorizer_rejected(&mut self) {}
    fn session_key(&self) -> Option<SessionKey> {
        self.key
    }
}

/// A message of which the beginning came.
struct Begun {
    header: MsgHeader,
    front: Vec<u8>,
    middle: Vec<u8>,
    data: Vec<u8>,
}

/// A message that the script made, and that must arrive as it is.
struct Expected {
    seq: u64,
    tid: u64,
    front: Vec<u8>,
    middle: Vec<u8>,
    data: Vec<u8>,
}

struct World {
    protocol: Protocol,
    session: Session,
    auth: Auth,
    connected: bool,
    input: Vec<u8>,
    out: KVec<u8>,
    begun: Option<Begun>,
    /// Messages are not wanted.
    picky: bool,
    /// The session may be passing over a message, of which what comes next would be a part.
    passing: bool,
    /// The last message received whole.
    received: u64,
    /// The last message sent, and whether that is known: a session that was reset counts anew.
    sent: u64,
    global_seq: u64,
    expected: Option<Expected>,
}

/// Runs a script.
pub fn run(protocol: Protocol, data: &[u8]) {
    let mut i = Input::new(data);
    let mut w = World::new(protocol, &mut i);
    while !i.is_empty() {
        w.step(&mut i);
        let open = w.session.state_name() == "OPEN";
        assert_eq!(w.session.is_open(), open);
        assert!(w.connected || !open);
    }
}

impl World {
    fn new(protocol: Protocol, i: &mut Input<'_>) -> Self {
        let flags = i.u8();
        let peer_type = match flags & 1 {
            0 => EntityType::OSD,
            _ => EntityType::MON,
        };
        let (kind, text) = match protocol {
            Protocol::Msgr1 => (AddrType::LEGACY, "10.1.2.3:6801"),
            Protocol::Msgr2 => (AddrType::MSGR2, "10.1.2.3:6800"),
        };
        let cfg = SessionConfig {
            global_id: 0,
            my_addr: EntityAddr {
                kind: AddrType::ANY,
                nonce: 9,
                sock: None,
            },
            peer_type,
            peer_addr: plain::addr(kind, 7, text),
            supported_features: features::SUPPORTED_DEFAULT,
            required_features: 0,
            con_modes: &[CON_MODE_CRC],
            data_crc: flags & 2 == 0,
            sign_messages: flags & 4 != 0,
            limits: LIMITS,
            crc32c: plain::crc32c,
        };
        Self {
            protocol,
            session: Session::new(cfg, protocol),
            auth: Auth {
                method: [2, 1, 0, 77][usize::from(flags >> 3 & 3)],
                refuses: false,
                key: (flags & 32 != 0).then_some(SessionKey([1; 16])),
            },
            connected: false,
            input: Vec::new(),
            out: KVec::new(),
            begun: None,
            picky: false,
            passing: false,
            received: 0,
            sent: 0,
            global_seq: 0,
            expected: None,
        }
    }

    fn step(&mut self, i: &mut Input<'_>) {
        match i.u8() % 12 {
            0 => self.connect(i.u8()),
            1 => self.disconnect(),
            2 => self.feed(i.bytes()),
            3 | 4 => {
                let frame = self.control(i);
                self.feed(&frame);
            }
            5 | 6 => self.peer_sends(i),
            7 => self.send(i),
            8 => {
                let stamp = Timespec {
                    sec: i.u32(),
                    nsec: i.u32(),
                };
                let sent = self.session.encode_keepalive(stamp, &mut self.out);
                assert_eq!(sent.is_ok(), self.session.is_open());
            }
            9 => {
                let due = self.session.ack_due();
                assert_eq!(self.session.encode_ack(&mut self.out), Ok(due));
                assert!(!self.session.ack_due());
            }
            10 => {
                let flags = i.u8();
                self.auth.refuses = flags & 3 == 3;
                self.picky = flags & 4 != 0;
            }
            _ => self.session.set_global_id(i.number()),
        }
    }

    fn connect(&mut self, ahead: u8) {
        if self.connected {
            self.disconnect();
        }
        // A peer may have asked for the highest there is: the messenger's counter wraps, too.
        let known = self.session.global_seq().max(self.global_seq);
        self.global_seq = known.wrapping_add(u64::from(ahead) + 1);
        self.session
            .connected(self.global_seq, &mut self.out)
            .expect("a connection");
        self.connected = true;
    }

    fn disconnect(&mut self) {
        self.input.clear();
        self.out.clear();
        self.begun = None;
        self.expected = None;
        (self.connected, self.passing) = (false, false);
        if self.session.disconnected() == Lost::Session {
            (self.received, self.sent) = (0, 0);
        }
        assert_eq!(self.session.state_name(), "IDLE");
    }

    /// Bytes of the peer.
    fn feed(&mut self, bytes: &[u8]) {
        if !self.connected {
            return;
        }
        self.input.extend_from_slice(bytes);
        let mut idle = 0;
        loop {
            if !self.take_data() {
                return;
            }
            let before = self.out.len();
            let result = self
                .session
                .receive(&self.input, &mut self.auth, &Plain, &mut self.out);
            let Ok((consumed, rx)) = result else {
                assert_eq!(self.session.state_name(), "CLOSED");
                let again =
                    self.session
                        .receive(&self.input, &mut self.auth, &Plain, &mut self.out);
                assert!(again.is_err(), "goes on after an error");
                assert!(self.expected.is_none(), "a good message was refused");
                self.disconnect();
                return;
            };
            assert!(self.out.len() - before <= MOST_SENT, "sends too much");
            assert!(consumed <= self.input.len());
            idle = if consumed == 0 { idle + 1 } else { 0 };
            assert!(idle <= MOST_IDLE, "{rx:?} and nothing changes");
            match rx {
                Rx::Progress => self.passing = true,
                Rx::NeedMore { .. } => {}
                _ => self.passing = false,
            }
            match rx {
                Rx::NeedMore { total } => {
                    assert_eq!(consumed, 0);
                    assert!(total > self.input.len(), "asks for what is there");
                    assert!(total <= MOST_NEEDED, "asks for {total} bytes");
                    return;
                }
                Rx::Message {
                    header,
                    front,
                    middle,
                    ..
                } => {
                    assert!(self.session.is_open());
                    assert!(self.begun.is_none(), "a message within a message");
                    assert_eq!(header.seq, self.received + 1, "out of order");
                    assert_eq!(header.front_len as usize, front.len());
                    assert_eq!(header.middle_len as usize, middle.len());
                    assert!(header.data_len <= LIMITS.data);
                    if self.picky {
                        self.session.skip_data().expect("not wanted");
                        self.received = header.seq;
                        self.passing = true;
                    } else {
                        self.begun = Some(Begun {
                            header,
                            front: front.to_vec(),
                            middle: middle.to_vec(),
                            data: Vec::new(),
                        });
                    }
                }
                Rx::MessageEnd => {
                    let begun = self.begun.take().expect("an end without a beginning");
                    self.received = begun.header.seq;
                    if let Some(e) = self.expected.take() {
                        assert_eq!((begun.header.seq, begun.header.tid), (e.seq, e.tid));
                        assert_eq!((begun.front, begun.middle), (e.front, e.middle));
                        assert_eq!(begun.data, e.data);
                    }
                }
                Rx::Opened { reconnected, .. } => {
                    assert!(self.session.is_open());
                    assert!(
                        reconnected || self.received == 0,
                        "forgot what was received"
                    );
                }
                Rx::SessionReset => (self.received, self.sent) = (0, 0),
                Rx::Retry | Rx::Closed => {
                    self.disconnect();
                    return;
                }
                Rx::Acked { .. } | Rx::KeepaliveAck { .. } | Rx::Progress => {}
            }
            self.input.drain(..consumed);
        }
    }

    /// Takes data that are awaited from the input; says whether all are there.
    fn take_data(&mut self) -> bool {
        let Some(begun) = &mut self.begun else {
            return true;
        };
        let missing = begun.header.data_len as usize - begun.data.len();
        if missing == 0 {
            return true;
        }
        let n = missing.min(self.input.len());
        begun.data.extend(self.input.drain(..n));
        if n == missing {
            self.session.data_received(0).expect("data were awaited");
        }
        n == missing
    }

    /// What a peer sends in the course of a handshake, or between messages.
    fn control(&self, i: &mut Input<'_>) -> Vec<u8> {
        let tag = i.u8();
        let payload = i.bytes();
        match self.protocol {
            Protocol::Msgr1 => [&[tag], payload].concat(),
            Protocol::Msgr2 => frame_v2(tag, &[payload]),
        }
    }

    /// The next message, whole.
    fn peer_sends(&mut self, i: &mut Input<'_>) {
        // The next one, mostly.
        let seq = (self.received + 1).wrapping_add(i.u8().saturating_sub(200).into());
        let tid = i.number();
        let (front, middle, data) = (i.bytes(), i.bytes(), i.bytes());
        let small = |s: &[u8], limit: u32| s.len() <= limit as usize;
        let good = self.session.is_open()
            && self.begun.is_none()
            && self.input.is_empty()
            && seq == self.received + 1
            && small(front, LIMITS.front)
            && small(middle, LIMITS.middle)
            && small(data, LIMITS.data);
        let message = match self.protocol {
            Protocol::Msgr1 => message_v1(seq, tid, [front, middle, data], self.is_wide()),
            Protocol::Msgr2 => frame_v2(17, &[&header_v2(seq, tid), front, middle, data]),
        };
        if good && !self.passing && !self.picky && !self.is_signed() {
            self.expected = Some(Expected {
                seq,
                tid,
                front: front.to_vec(),
                middle: middle.to_vec(),
                data: data.to_vec(),
            });
        }
        self.feed(&message);
        assert!(self.expected.is_none(), "a message did not arrive");
    }

    fn is_wide(&self) -> bool {
        features::has(self.session.peer_features(), features::MSG_AUTH)
    }

    fn is_signed(&self) -> bool {
        self.protocol == Protocol::Msgr1 && self.auth.key.is_some()
    }

    fn send(&mut self, i: &mut Input<'_>) {
        let again = i.u8() % 4 == 0 && self.sent > 0;
        let seq = if again { self.sent } else { 0 };
        let (front, middle) = (i.bytes(), i.bytes());
        let msg = OutMessage {
            seq,
            tid: i.number(),
            typ: 42,
            priority: 127,
            version: 8,
            compat_version: 3,
            data_off: 0,
            front,
            middle,
            data_len: i.number() as u32,
            data_crc: 0,
        };
        let (mut head, mut tail) = (KVec::new(), KVec::new());
        let result = self
            .session
            .encode_message(&msg, &Plain, &mut head, &mut tail);
        match result {
            Ok(number) => {
                assert!(self.session.is_open());
                assert_eq!(number, if again { self.sent } else { self.sent + 1 });
                self.sent = number;
                assert!(!self.session.ack_due(), "a message acknowledges");
                assert_eq!(tail.is_empty(), msg.data_len == 0);
                assert!(head.len() + tail.len() <= front.len() + middle.len() + 128);
            }
            Err(_) => {
                assert!(!self.session.is_open());
                assert!(head.is_empty() && tail.is_empty());
            }
        }
    }
}

/// A frame of messenger v2; every CRC is 0.
pub fn frame_v2(tag: u8, segments: &[&[u8]]) -> Vec<u8> {
    let count = segments
        .iter()
        .rposition(|s| !s.is_empty())
        .map_or(1, |last| last + 1);
    let mut out = vec![tag, count as u8];
    for i in 0..4 {
        let len = segments.get(i).map_or(0, |s| s.len()) as u32;
        out.extend(len.to_le_bytes());
        out.extend([0; 2]);
    }
    out.extend([0; 6]);
    out.extend_from_slice(segments[0]);
    if !segments[0].is_empty() {
        out.extend([0; 4]);
    }
    for segment in &segments[1..count] {
        out.extend_from_slice(segment);
    }
    if count > 1 {
        out.push(0xe);
        out.extend([0; 12]);
    }
    out
}

fn header_v2(seq: u64, tid: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(seq.to_le_bytes());
    out.extend(tid.to_le_bytes());
    out.extend([43, 0, 127, 0, 8, 0]);
    out.extend([0; 6 + 8 + 1]);
    out.extend([3, 0, 0, 0]);
    out
}

/// A message of messenger v1; every CRC is 0, and so is the signature.
pub fn message_v1(seq: u64, tid: u64, segments: [&[u8]; 3], wide: bool) -> Vec<u8> {
    let mut out = vec![7];
    out.extend(seq.to_le_bytes());
    out.extend(tid.to_le_bytes());
    out.extend([43, 0, 127, 0, 8, 0]);
    for segment in segments {
        out.extend((segment.len() as u32).to_le_bytes());
    }
    out.extend([0, 0, 4]);
    out.extend([0; 8]);
    out.extend([3, 0, 0, 0]);
    out.extend([0; 4]);
    for segment in segments {
        out.extend_from_slice(segment);
    }
    out.extend([0; 12]);
    if wide {
        out.extend([0; 8]);
    }
    out.push(1);
    out
}
