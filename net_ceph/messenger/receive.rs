// SPDX-License-Identifier: GPL-2.0-only

//! The receiving half of a connection: a buffer that takes several small messages per call, and the
//! data segment in progress, which goes straight to its place, or by a bounce buffer.

use super::connection::Events;
use super::DataTarget;
use crate::abstractions::crc32c::crc32c;
use crate::abstractions::data::DataCursor;
use crate::abstractions::errno::{EBADMSG, ECONNRESET};
use crate::abstractions::socket::{Socket, SocketState};
use crate::proto::msg::MsgHeader;
use core::ops::Range;
use kernel::prelude::*;

/// Size of the buffer, but for a message whose front does not fit.
const BUFFER: usize = 16 * 1024;
/// Least room for which the socket is asked.
const ROOM: usize = 512;
/// Data of more bytes than this are worth a call of their own, so that they are not copied twice.
const APART: usize = 1024;
/// A data segment in memory of ours grows by at most this much ahead of the bytes received.
const DATA_STEP: usize = 64 * 1024;
/// Size of the bounce buffer, where there is one.
const BOUNCE: usize = 32 * 1024;

/// Where the bytes of the data segment in progress go.
enum Place {
    Buffer(KVVec<u8>),
    /// Nowhere; the buffer is for what was received last.
    Discard(KVVec<u8>),
    Cursor(DataCursor),
}

impl Place {
    /// The bytes, if they are here. Lets go of any other place.
    fn into_buffer(self) -> KVVec<u8> {
        match self {
            Place::Buffer(buf) => buf,
            Place::Cursor(_) | Place::Discard(_) => KVVec::new(),
        }
    }
}

/// A message announced, whose end is not verified yet.
pub(super) struct Pending {
    pub(super) header: MsgHeader,
    front: Range<usize>,
    place: Place,
    /// Bytes of data still to come.
    left: usize,
    crc: u32,
    /// Whether `crc` is kept.
    checked: bool,
}

/// Received bytes and the message in progress.
pub(super) struct Receive {
    buf: KVVec<u8>,
    start: usize,
    end: usize,
    pending: Option<Pending>,
    /// Where data for others' memory are received and checked before they are copied there, so that it
    /// does not matter who writes to that memory meanwhile. Empty: they are received in place.
    bounce: KVVec<u8>,
    /// Length of what went before the data of the last message, if these are read apart: then no more than
    /// as much is read of the next. 0: as much as there is room for is read.
    head: usize,
    /// The socket gave less than it was asked for: it has no more for now.
    drained: bool,
}

/// What became of reading data.
pub(super) enum DataState {
    /// None is due.
    Idle,
    /// The segment is complete, with this CRC.
    Complete(u32),
    /// The socket has no more for now.
    Blocked,
}

impl Receive {
    /// With a bounce buffer, if `bounce`. Allocates.
    pub(super) fn new(bounce: bool) -> Result<Self> {
        let bounce = if bounce { BOUNCE } else { 0 };
        Ok(Self {
            buf: KVVec::from_elem(0, BUFFER, GFP_KERNEL)?,
            start: 0,
            end: 0,
            pending: None,
            bounce: KVVec::from_elem(0, bounce, GFP_KERNEL)?,
            head: 0,
            drained: false,
        })
    }

    /// Forgets everything: the connection was lost.
    pub(super) fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
        self.pending = None;
        self.head = 0;
    }

    /// The socket may have more.
    pub(super) fn wake(&mut self) {
        self.drained = false;
    }

    /// Whether the socket is known to have no more for now.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// A message without data begins.
    pub(super) fn begin_plain(&mut self) {
        self.head = 0;
    }

    /// The bytes not consumed yet.
    pub(super) fn input(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or(&[])
    }

    /// The first `n` bytes of the input were consumed.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
    }

    /// Whether the data of this transaction are being received.
    pub(super) fn is_busy_with(&self, tid: u64) -> bool {
        self.pending.as_ref().is_some_and(|p| p.header.tid == tid)
    }

    /// Where in the buffer a part of the input lies.
    pub(super) fn range_of(&self, part: &[u8]) -> Range<usize> {
        let at = (part.as_ptr() as usize).wrapping_sub(self.buf.as_ptr() as usize);
        at..at.wrapping_add(part.len())
    }

    /// A message with data begins, whose front lies at `front`, and which took `head` bytes up to here.
    /// `EBADMSG` if its place is too small.
    pub(super) fn begin(
        &mut self,
        head: usize,
        header: MsgHeader,
        front: Range<usize>,
        target: DataTarget,
        crc_seed: u32,
        checked: bool,
    ) -> Result {
        let left = header.data_len as usize;
        self.head = if left > APART { head } else { 0 };
        let place = match target {
            DataTarget::Cursor(cursor) if cursor.remaining() < left => return Err(EBADMSG),
            DataTarget::Cursor(cursor) => Place::Cursor(cursor),
            DataTarget::Buffer => Place::Buffer(KVVec::new()),
            DataTarget::Discard | DataTarget::Skip => Place::Discard(KVVec::new()),
        };
        self.pending = Some(Pending {
            header,
            front,
            place,
            left,
            crc: crc_seed,
            checked,
        });
        Ok(())
    }

    /// Moves data to their place, from the buffer first, then from the socket.
    pub(super) fn data(&mut self, socket: &Socket<Events>) -> Result<DataState> {
        let Some(pending) = self.pending.as_mut().filter(|p| p.left > 0) else {
            return Ok(DataState::Idle);
        };
        let n = pending.left.min(self.end.saturating_sub(self.start));
        if n > 0 {
            let until = self.start.saturating_add(n);
            let bytes = self.buf.get(self.start..until).unwrap_or(&[]);
            pending.take(bytes)?;
            self.start = until;
        }
        while pending.left > 0 {
            if self.drained {
                return Ok(DataState::Blocked);
            }
            match pending.receive(socket, &mut self.bounce) {
                Ok(0) => return Err(ECONNRESET),
                Ok(_) => {}
                Err(e) if e == EAGAIN => return Ok(DataState::Blocked),
                Err(e) => return Err(e),
            }
        }
        Ok(DataState::Complete(pending.crc))
    }

    /// The message is verified: shows `f` its header, front and data.
    pub(super) fn finish<R>(
        &mut self,
        f: impl FnOnce(&MsgHeader, &[u8], KVVec<u8>) -> R,
    ) -> Option<R> {
        let pending = self.pending.take()?;
        // A cursor into the owner's memory goes before the owner may let go of that memory.
        let buffer = pending.place.into_buffer();
        let front = self.buf.get(pending.front.clone()).unwrap_or(&[]);
        Some(f(&pending.header, front, buffer))
    }

    /// Reads from the socket: more bytes, so that in the end `total` are there. `Ok(0)`: the peer closed.
    pub(super) fn fill(&mut self, socket: &Socket<Events>, total: usize) -> Result<usize> {
        self.make_room(total)?;
        let have = self.end.saturating_sub(self.start);
        let wanted = match (self.head, &self.pending) {
            (0, _) => total.max(BUFFER),
            // The end of this message, and the head of the next.
            (head, Some(_)) => total.saturating_add(head),
            (head, None) => total.max(head),
        };
        let wanted = wanted.saturating_sub(have).max(1);
        let room = self.buf.get_mut(self.end..).unwrap_or(&mut []);
        let asked = wanted.min(room.len());
        let n = socket.recv(room.get_mut(..asked).unwrap_or(&mut []))?;
        self.end = self.end.saturating_add(n);
        // An end of the stream would not be told of again.
        self.drained = n < asked && socket.state() == SocketState::Connected;
        Ok(n)
    }

    /// Sees to it that there is room behind `end`. The buffer grows no faster than bytes arrive.
    fn make_room(&mut self, total: usize) -> Result {
        let keep = match &self.pending {
            Some(p) => p.front.start.min(self.start),
            None => self.start,
        };
        if keep == self.end {
            self.start = 0;
            self.end = 0;
            if self.buf.len() > BUFFER {
                self.buf = KVVec::from_elem(0, BUFFER, GFP_KERNEL)?;
            }
        }
        let tail = self.buf.len().saturating_sub(self.end);
        let wanted = total.saturating_sub(self.end.saturating_sub(self.start));
        if tail >= wanted.max(ROOM) {
            return Ok(());
        }
        if keep > 0 && keep < self.end {
            self.buf.copy_within(keep..self.end, 0);
            self.start = self.start.saturating_sub(keep);
            self.end = self.end.saturating_sub(keep);
            if let Some(p) = self.pending.as_mut() {
                p.front.start = p.front.start.saturating_sub(keep);
                p.front.end = p.front.end.saturating_sub(keep);
            }
        }
        if self.buf.len().saturating_sub(self.end) < ROOM {
            let len = self.buf.len().saturating_mul(2);
            self.buf.resize(len, 0, GFP_KERNEL)?;
        }
        Ok(())
    }
}

impl Pending {
    /// Takes bytes that were received already.
    fn take(&mut self, bytes: &[u8]) -> Result {
        if self.checked {
            self.crc = crc32c(self.crc, bytes);
        }
        match &mut self.place {
            Place::Buffer(buf) => buf.extend_from_slice(bytes, GFP_KERNEL)?,
            Place::Cursor(cursor) => {
                cursor.copy_from(bytes);
            }
            Place::Discard(_) => {}
        }
        self.left = self.left.saturating_sub(bytes.len());
        Ok(())
    }

    /// Receives straight into place, or through `bounce`.
    fn receive(&mut self, socket: &Socket<Events>, bounce: &mut [u8]) -> Result<usize> {
        let discard = matches!(self.place, Place::Discard(_));
        let n = match &mut self.place {
            Place::Cursor(_) if !bounce.is_empty() => {
                let len = bounce.len().min(self.left);
                let n = socket.recv(bounce.get_mut(..len).unwrap_or(&mut []))?;
                self.take(bounce.get(..n).unwrap_or(&[]))?;
                return Ok(n);
            }
            Place::Cursor(cursor) => {
                let before = cursor.clone();
                let n = socket.recv_data(cursor, self.left)?;
                if self.checked {
                    self.crc = before.crc32c(self.crc, n);
                }
                n
            }
            Place::Buffer(buf) | Place::Discard(buf) => {
                let at = buf.len();
                buf.resize(at.saturating_add(self.left.min(DATA_STEP)), 0, GFP_KERNEL)?;
                let got = socket.recv(buf.get_mut(at..).unwrap_or(&mut []));
                buf.truncate(at.saturating_add(*got.as_ref().unwrap_or(&0)));
                let n = got?;
                if self.checked {
                    self.crc = crc32c(self.crc, buf.get(at..).unwrap_or(&[]));
                }
                if discard {
                    buf.clear();
                }
                n
            }
        };
        self.left = self.left.saturating_sub(n);
        Ok(n)
    }
}
