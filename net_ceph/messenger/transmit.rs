// SPDX-License-Identifier: GPL-2.0-only

//! The sending half of a connection: a byte buffer, at most one data segment that is sent from where it
//! lies, and the bytes that follow it.
//!
//! Small data segments are copied between their header and trailer, so that several messages leave in
//! one call; large ones are spliced into the socket page by page.

use super::connection::Events;
use super::{OutParts, Outgoing};
use crate::abstractions::crypto::KernelCrypto;
use crate::abstractions::data::DataCursor;
use crate::abstractions::socket::Socket;
use crate::abstractions::trailers::Trailers;
use crate::proto::error::ProtoError;
use crate::proto::msg::OutMessage;
use crate::proto::session::Session;
use kernel::alloc::flags::{GFP_NOWAIT, __GFP_NOWARN};
use kernel::prelude::*;

/// Data segments up to this many bytes are copied.
pub(crate) const COPY_MAX: usize = 1024;
/// Capacity of the buffer from the start: as much as there is to be had where memory is in pieces and
/// nothing may be moved (`PAGE_ALLOC_COSTLY_ORDER`, Linux `include/linux/mmzone.h`). Without I/O the kernel goes on looking for
/// that much for ever, and locks are held meanwhile; so it is had at once, or tried again later.
const CAPACITY: usize = 32 * 1024;
/// Bytes gathered before the socket is asked to take them.
const BATCH: usize = CAPACITY - COPY_MAX - 4096;
/// Capacity above which an idle buffer is given back.
const CAPACITY_MAX: usize = 4 * CAPACITY;

/// A data segment on its way from its own pages.
struct Splice {
    tid: u64,
    data: DataCursor,
}

/// What is to be sent.
pub(super) struct Transmit {
    /// Bytes to send first; `sent` of them are gone.
    out: KVec<u8>,
    sent: usize,
    splice: Option<Splice>,
    /// Bytes that follow the spliced data.
    after: KVec<u8>,
    trailers: Trailers,
}

impl Transmit {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            out: KVec::with_capacity(CAPACITY, GFP_NOWAIT | __GFP_NOWARN)?,
            sent: 0,
            splice: None,
            after: KVec::with_capacity(256, GFP_KERNEL)?,
            trailers: Trailers::default(),
        })
    }

    /// Forgets everything: the connection was lost.
    pub(super) fn reset(&mut self) {
        self.out.clear();
        self.sent = 0;
        self.splice = None;
        self.after.clear();
        if self.out.capacity() > CAPACITY_MAX {
            self.out = KVec::new();
        }
    }

    /// Where bytes are appended that shall leave after all that is queued.
    pub(super) fn end(&mut self) -> &mut KVec<u8> {
        if self.splice.is_some() {
            &mut self.after
        } else {
            &mut self.out
        }
    }

    /// Whether another message may be added. What was sent counts, too, as it stays until all is.
    pub(super) fn has_room(&self) -> bool {
        self.splice.is_none() && self.out.len() < BATCH
    }

    /// Whether everything has left.
    pub(super) fn is_empty(&self) -> bool {
        self.splice.is_none() && self.sent == self.out.len()
    }

    /// Whether the pages of this transaction's data are still needed.
    pub(super) fn is_busy_with(&self, tid: u64) -> bool {
        self.splice.as_ref().is_some_and(|s| s.tid == tid)
    }

    /// Adds a message. Only while [`has_room`](Self::has_room).
    pub(super) fn add(&mut self, session: &mut Session, message: &dyn Outgoing) -> Result {
        let features = session.peer_features();
        message.encode(features, &mut |parts| self.encode(session, parts))
    }

    fn encode(&mut self, session: &mut Session, parts: &OutParts<'_>) -> Result {
        let len = parts.data.map_or(0, DataCursor::remaining);
        let data_len = u32::try_from(len).map_err(|_| E2BIG)?;
        let data_crc = match parts.data {
            Some(data) if len > 0 && session.wants_data_crc() => {
                data.crc32c(session.data_crc_seed(), len)
            }
            _ => 0,
        };
        let message = OutMessage {
            seq: 0,
            tid: parts.tid,
            typ: parts.typ,
            priority: parts.priority,
            version: parts.version,
            compat_version: parts.compat_version,
            data_off: parts.data_off,
            front: parts.front,
            middle: &[],
            data_len,
            data_crc,
        };
        // Room for the copy is made before the message gets its number: nothing may fail after that.
        if len <= COPY_MAX {
            self.out.reserve(len.saturating_add(256), GFP_KERNEL)?;
        }
        session
            .encode_message(&message, &KernelCrypto, &mut self.out, &mut self.after)
            .map_err(ProtoError::to_errno)?;
        let Some(data) = parts.data.filter(|_| len > 0) else {
            return Ok(());
        };
        let mut data = data.clone();
        if len > COPY_MAX {
            self.splice = Some(Splice {
                tid: parts.tid,
                data,
            });
            return Ok(());
        }
        let at = self.out.len();
        self.out.extend_with(len, 0, GFP_KERNEL)?;
        if let Some(place) = self.out.get_mut(at..) {
            data.copy_to(place);
        }
        self.out.extend_from_slice(&self.after, GFP_KERNEL)?;
        self.after.clear();
        Ok(())
    }

    /// Sends as much as the socket takes. `Ok(true)`: there is room again, and what follows data may be left,
    /// so that it leaves with the next message.
    pub(super) fn flush(&mut self, socket: &Socket<Events>) -> Result<bool> {
        loop {
            if let Some(bytes) = self.out.get(self.sent..).filter(|b| !b.is_empty()) {
                match socket.send(&[bytes], self.splice.is_some()) {
                    Ok(n) => self.sent = self.sent.saturating_add(n),
                    Err(e) if e == EAGAIN => return Ok(false),
                    Err(e) => return Err(e),
                }
                continue;
            }
            self.out.clear();
            self.sent = 0;
            let Some(splice) = self.splice.as_mut() else {
                return Ok(true);
            };
            let left = splice.data.remaining();
            let mut after_sent = 0;
            if left > 0 {
                let whole = socket.send_whole(&mut splice.data, &self.after, &mut self.trailers);
                let sent = match whole {
                    Ok(None) => socket.send_data(&mut splice.data, left, true),
                    Ok(Some(n)) => Ok(n),
                    Err(e) => Err(e),
                };
                match sent {
                    Ok(n) if n >= left => after_sent = n.saturating_sub(left),
                    Ok(_) => continue,
                    Err(e) if e == EAGAIN => return Ok(false),
                    Err(e) => return Err(e),
                }
            }
            self.splice = None;
            // What follows is little; copying it keeps the large buffer in its place.
            let rest = self.after.get(after_sent..).unwrap_or_default();
            self.out.extend_from_slice(rest, GFP_KERNEL)?;
            self.after.clear();
            return Ok(true);
        }
    }
}
