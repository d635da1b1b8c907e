// SPDX-License-Identifier: GPL-2.0-only

//! The part of a session's state that both messenger protocols have: which messages went and came, and what
//! the input continues with.

use super::error::{ProtoError, ProtoResult, Reason};
use super::msg::OutMessage;
use super::session::Rx;

/// What the input continues with, once messages flow.
#[derive(Clone, Copy)]
pub(super) enum Body<M> {
    /// Whatever the peer has to say next.
    Head,
    /// The data of a message; they do not pass through here.
    Data(M),
    /// What follows the data of a message, which came in.
    Tail(M),
    /// Nothing, but the end of message `seq` is still to be told.
    Ended { seq: u64 },
    /// `left` bytes that nobody wants; then message `seq` counts as received, if there is one.
    Skip { left: u64, seq: Option<u64> },
}

/// The state; `M` is what is kept of a message whose data are awaited.
pub(super) struct Link<M> {
    /// Counts connections of the whole client.
    pub(super) global_seq: u64,
    /// Number of the last message sent.
    pub(super) out_seq: u64,
    /// Number of the last message received whole.
    pub(super) in_seq: u64,
    /// Number of the last message acknowledged to the peer.
    pub(super) in_seq_acked: u64,
    /// The peer forgets the session with the TCP connection.
    pub(super) lossy: bool,
    /// The peer's feature bits.
    pub(super) peer_features: u64,
    /// What the input continues with.
    pub(super) body: Body<M>,
}

/// How a received message's number relates to those before it.
pub(super) enum SeqOrder {
    /// It is the next.
    Next,
    /// We had it before: the peer did not know, and sent it again.
    Duplicate,
}

impl<M: Copy> Link<M> {
    /// No session, and the connections of the client counted up to `global_seq`.
    pub(super) const fn new(global_seq: u64) -> Self {
        Self {
            global_seq,
            out_seq: 0,
            in_seq: 0,
            in_seq_acked: 0,
            lossy: false,
            peer_features: 0,
            body: Body::Head,
        }
    }

    /// Forgets the session but keeps the count of connections.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.global_seq);
    }

    /// Not to a peer that forgets the session with the connection: it keeps nothing of what it sent (Ceph
    /// `src/msg/async/ProtocolV1.cc` and `ProtocolV2.cc`, `write_event`), and sends no acknowledgements either.
    pub(super) fn ack_due(&self) -> bool {
        !self.lossy && self.in_seq > self.in_seq_acked
    }

    /// Judges the number of a message that begins. A gap is an error: messages were lost.
    pub(super) fn order(&self, seq: u64, step: &'static str) -> ProtoResult<SeqOrder> {
        if seq <= self.in_seq {
            Ok(SeqOrder::Duplicate)
        } else if seq.checked_sub(1) == Some(self.in_seq) {
            Ok(SeqOrder::Next)
        } else {
            Err(ProtoError::value(step, seq))
        }
    }

    /// The number for an outgoing message: its own, or the next one.
    pub(super) fn number(&self, msg: &OutMessage<'_>) -> ProtoResult<u64> {
        match msg.seq {
            0 => self
                .out_seq
                .checked_add(1)
                .ok_or(ProtoError::value("message number", self.out_seq)),
            seq => Ok(seq),
        }
    }

    /// A message with number `seq` was encoded, and told the peer what we received.
    pub(super) fn sent(&mut self, seq: u64) {
        self.out_seq = self.out_seq.max(seq);
        self.in_seq_acked = self.in_seq;
    }

    /// Message `seq` is complete, and the end of it told.
    pub(super) fn end_message(&mut self, seq: u64) {
        self.in_seq = seq;
        self.body = Body::Head;
    }

    /// Has `left` bytes passed over, after which message `seq` counts as received, if there is one.
    pub(super) fn skip_later(&mut self, left: u64, seq: Option<u64>) {
        if left > 0 {
            self.body = Body::Skip { left, seq };
        } else {
            self.end_message(seq.unwrap_or(self.in_seq));
        }
    }

    /// Passes over what `input` has of `left` bytes, as [`skip_later`](Self::skip_later) said.
    pub(super) fn skip<'i>(
        &mut self,
        input: &[u8],
        left: u64,
        seq: Option<u64>,
    ) -> (usize, Rx<'i>) {
        let n = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        if n == 0 {
            return (0, Rx::NeedMore { total: 1 });
        }
        self.skip_later(left.saturating_sub(n as u64), seq);
        (n, Rx::Progress)
    }

    /// Nobody wants the message announced last. `rest` says its number, and how many bytes there are from its
    /// data on. Fails at `step` if none was announced.
    pub(super) fn skip_data(
        &mut self,
        step: &'static str,
        rest: impl FnOnce(&M) -> (u64, u64),
    ) -> ProtoResult {
        match self.body {
            Body::Data(message) => {
                let (seq, left) = rest(&message);
                self.skip_later(left, Some(seq));
                Ok(())
            }
            Body::Ended { seq } => {
                self.end_message(seq);
                Ok(())
            }
            Body::Head | Body::Tail(_) | Body::Skip { .. } => {
                Err(ProtoError::new(step, Reason::Unexpected(0)))
            }
        }
    }

    /// The data of the message announced last came in: `f` adds what there is to check. Fails at `step` if none
    /// are awaited.
    pub(super) fn data_received(
        &mut self,
        step: &'static str,
        f: impl FnOnce(&mut M),
    ) -> ProtoResult {
        let Body::Data(mut message) = self.body else {
            return Err(ProtoError::new(step, Reason::Unexpected(0)));
        };
        f(&mut message);
        self.body = Body::Tail(message);
        Ok(())
    }
}
