// SPDX-License-Identifier: GPL-2.0-only

//! What the watchers of an image's header tell each other (Ceph `src/librbd/WatchNotifyTypes.h`).
//!
//! A message is a section of `u32 op` and what the op brings; for those about the exclusive lock, since
//! version 2, the owner's `u64 gid`, `u64 handle`. An empty notification means a header update.

use crate::proto::error::ProtoResult;
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// A watcher of an image: the client's global id, and the cookie of its watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId {
    /// Global id.
    pub gid: u64,
    /// Cookie.
    pub handle: u64,
}

/// A notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// This client has the exclusive lock now.
    AcquiredLock(Option<ClientId>),
    /// This client gave it up.
    ReleasedLock(Option<ClientId>),
    /// This client wants it; the owner answers with a [`result`](encode_response).
    RequestLock(Option<ClientId>),
    /// The header changed: size, snapshots, features.
    HeaderUpdate,
    /// Another op, for the owner of the lock, which a client that does not own it acknowledges
    /// without an answer.
    Other(u32),
}

const ACQUIRED_LOCK: u32 = 0;
const RELEASED_LOCK: u32 = 1;
const REQUEST_LOCK: u32 = 2;
const HEADER_UPDATE: u32 = 3;

impl Notification {
    /// Reads a notification's payload.
    pub fn decode(payload: &[u8]) -> ProtoResult<Self> {
        if payload.is_empty() {
            return Ok(Self::HeaderUpdate);
        }
        let (struct_v, mut d) = Decoder::new(payload).section(1, "image notification")?;
        let op = d.u32("image notification: op")?;
        if !matches!(op, ACQUIRED_LOCK | RELEASED_LOCK | REQUEST_LOCK) {
            return Ok(match op {
                HEADER_UPDATE => Self::HeaderUpdate,
                other => Self::Other(other),
            });
        }
        let id = if struct_v >= 2 {
            Some(ClientId {
                gid: d.u64("image notification: client")?,
                handle: d.u64("image notification: client")?,
            })
        } else {
            None
        };
        Ok(match op {
            ACQUIRED_LOCK => Self::AcquiredLock(id),
            RELEASED_LOCK => Self::ReleasedLock(id),
            _ => Self::RequestLock(id),
        })
    }

    /// Appends the payload of a notification.
    pub fn encode(&self, out: &mut KVec<u8>) -> ProtoResult {
        let (op, id) = match *self {
            Self::AcquiredLock(id) => (ACQUIRED_LOCK, id),
            Self::ReleasedLock(id) => (RELEASED_LOCK, id),
            Self::RequestLock(id) => (REQUEST_LOCK, id),
            Self::HeaderUpdate => (HEADER_UPDATE, None),
            Self::Other(op) => (op, None),
        };
        // Version 1 has no client id.
        let struct_v = if id.is_none() && op <= REQUEST_LOCK {
            1
        } else {
            2
        };
        Encoder::new(out).section(struct_v, 1, |e| {
            e.u32(op)?;
            if let Some(id) = id {
                e.u64(id.gid)?;
                e.u64(id.handle)?;
            }
            Ok(())
        })
    }
}

/// Appends an answer (`ResponseMessage`): a section (v1) of `i32 result`.
pub fn encode_response(result: i32, out: &mut KVec<u8>) -> ProtoResult {
    Encoder::new(out).section(1, 1, |e| e.i32(result))
}

/// Reads an answer; `None` if it is empty: that watcher has nothing to say.
pub fn decode_response(answer: &[u8]) -> ProtoResult<Option<i32>> {
    if answer.is_empty() {
        return Ok(None);
    }
    let (_, mut d) = Decoder::new(answer).section(1, "image answer")?;
    d.i32("image answer: result").map(Some)
}
