// SPDX-License-Identifier: GPL-2.0-only

//! Watch and notify: what travels in `MWatchNotify` and in the operations around it.
//!
//! A client watches an object under a cookie of its choice; a notification reaches every watcher as an
//! `MWatchNotify`, each answers with a [`NotifyAck`](super::osd_op::Op::NotifyAck), and the notifier is
//! told when all have, or the time is over.

use super::error::{ProtoError, ProtoResult};
use super::message::Reply;
use super::types::{EntityAddr, EntityName};
use super::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// The longest payload taken.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// The most watchers taken from a list.
const MAX_WATCHERS: usize = 64 * 1024;

/// What an `MWatchNotify` tells (`CEPH_WATCH_EVENT_*`, Ceph `src/include/ceph_fs.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// Someone notifies the watchers; to be acknowledged.
    Notify,
    /// Our notification is done; the data segment holds the answers ([`NotifyReplies`]).
    NotifyComplete,
    /// The watch ended: the OSD heard nothing from us for too long, or the object is gone.
    Disconnect,
}

/// `MWatchNotify` (Ceph `src/messages/MWatchNotify.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchNotify<'a> {
    /// What happened.
    pub event: WatchEvent,
    /// Of the watch, or of our notification.
    pub cookie: u64,
    /// The notification's number, for the acknowledgement.
    pub notify_id: u64,
    /// What the notifier says.
    pub payload: &'a [u8],
    /// With [`WatchEvent::NotifyComplete`]: 0, or `-ETIMEDOUT` if some did not answer.
    pub result: i32,
    /// Global id of the notifier; 0 before version 3.
    pub notifier: u64,
}

impl<'a> Reply<'a> for WatchNotify<'a> {
    const TYPE: u16 = 44;

    fn decode(version: u16, front: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        let inner = d.u8("watch notify: inner version")?;
        let event = match d.u8("watch notify: event")? {
            1 => WatchEvent::Notify,
            2 => WatchEvent::NotifyComplete,
            3 => WatchEvent::Disconnect,
            other => return Err(ProtoError::value("watch notify: event", other.into())),
        };
        let cookie = d.u64("watch notify: cookie")?;
        d.u64("watch notify: version")?;
        let notify_id = d.u64("watch notify: id")?;
        Ok(Self {
            event,
            cookie,
            notify_id,
            payload: if inner >= 1 {
                d.blob(MAX_PAYLOAD, "watch notify: payload")?
            } else {
                &[]
            },
            result: if version >= 2 {
                d.i32("watch notify: result")?
            } else {
                0
            },
            notifier: if version >= 3 {
                d.u64("watch notify: notifier")?
            } else {
                0
            },
        })
    }
}

/// Appends the input of an [`Op::Notify`](super::osd_op::Op::Notify): `u32 1`, `u32 timeout` in seconds,
/// the payload as a blob.
pub fn encode_notify(timeout: u32, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
    let mut e = Encoder::new(out);
    e.u32(1)?;
    e.u32(timeout)?;
    e.blob(payload)
}

/// Appends the input of an [`Op::NotifyAck`](super::osd_op::Op::NotifyAck): `u64 notify_id`,
/// `u64 cookie`, the answer as a blob.
pub fn encode_notify_ack(
    notify_id: u64,
    cookie: u64,
    answer: &[u8],
    out: &mut KVec<u8>,
) -> ProtoResult {
    let mut e = Encoder::new(out);
    e.u64(notify_id)?;
    e.u64(cookie)?;
    e.blob(answer)
}

/// Reads the output of an [`Op::Notify`](super::osd_op::Op::Notify): the notification's number, which
/// the [`WatchEvent::NotifyComplete`] will carry. Old OSDs send none.
pub fn decode_notify_id(output: &[u8]) -> ProtoResult<Option<u64>> {
    if output.is_empty() {
        return Ok(None);
    }
    Decoder::new(output).u64("notify: id").map(Some)
}

/// The answers to a notification: `map<(u64 gid, u64 cookie), blob>`, then who did not answer. Iterates
/// over the answers.
#[derive(Clone, Copy, Debug)]
pub struct NotifyReplies<'a> {
    left: usize,
    bytes: &'a [u8],
}

/// One watcher's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyReply<'a> {
    /// The watcher's global id.
    pub gid: u64,
    /// The cookie of its watch.
    pub cookie: u64,
    /// What it says.
    pub answer: &'a [u8],
}

impl<'a> NotifyReplies<'a> {
    /// Checks the data segment of a [`WatchEvent::NotifyComplete`]. An empty one holds no answers.
    pub fn decode(data: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(data);
        if d.is_empty() {
            return Ok(Self {
                left: 0,
                bytes: &[],
            });
        }
        let left = d.count(MAX_WATCHERS, 20, "notify replies: count")?;
        let bytes = d.rest();
        for _ in 0..left {
            d.skip(16, "notify replies: watcher")?;
            d.skip_blob("notify replies: answer")?;
        }
        Ok(Self { left, bytes })
    }
}

impl<'a> Iterator for NotifyReplies<'a> {
    type Item = NotifyReply<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut d = Decoder::new(self.bytes);
        let reply = NotifyReply {
            gid: d.u64("notify reply").ok()?,
            cookie: d.u64("notify reply").ok()?,
            answer: d.blob(self.bytes.len(), "notify reply").ok()?,
        };
        self.bytes = d.rest();
        Some(reply)
    }
}

/// Who watches an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// The client.
    pub name: EntityName,
    /// The cookie of its watch.
    pub cookie: u64,
    /// Where it connected from.
    pub addr: EntityAddr,
}

/// The watchers of an object: the output of an
/// [`Op::ListWatchers`](super::osd_op::Op::ListWatchers) (`obj_list_watch_response_t`, Ceph
/// `src/osd/osd_types.h`). Iterates over them; one that does not decode ends it with an error.
pub struct Watchers<'a> {
    left: usize,
    d: Decoder<'a>,
}

impl<'a> Watchers<'a> {
    /// Reads the head of the list.
    pub fn decode(output: &'a [u8]) -> ProtoResult<Self> {
        let (_, mut d) = Decoder::new(output).section(1, "watchers")?;
        let left = d.count(MAX_WATCHERS, 6 + 21, "watchers: count")?;
        Ok(Self { left, d })
    }

    /// `watch_item_t`: a section (v2) of name, `u64 cookie`, `u32 timeout`, address.
    fn decode_one(&mut self) -> ProtoResult<Watcher> {
        let (struct_v, mut d) = self.d.section(2, "watcher")?;
        let name = EntityName::decode(&mut d, "watcher: name")?;
        let cookie = d.u64("watcher: cookie")?;
        d.u32("watcher: timeout")?;
        let addr = if struct_v >= 2 {
            EntityAddr::decode(&mut d, "watcher: address")?
        } else {
            EntityAddr::BLANK
        };
        Ok(Watcher { name, cookie, addr })
    }
}

impl Iterator for Watchers<'_> {
    type Item = ProtoResult<Watcher>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let watcher = self.decode_one();
        if watcher.is_err() {
            self.left = 0;
        }
        Some(watcher)
    }
}
