// SPDX-License-Identifier: GPL-2.0-only

//! The messages between a client and a monitor.
//!
//! - [`session`]: authentication and subscriptions
//! - [`maps`]: monitor map and OSD map deliveries
//! - [`query`]: version, statfs and command requests
//!
//! Requests that a monitor may forward to another start with a `PaxosServiceMessage` header
//! (Ceph `src/messages/PaxosServiceMessage.h`).

mod maps;
mod query;
mod session;

pub use maps::{MapBlobs, MonMapReply, OsdMaps};
pub use query::{
    encode_blocklist_add, CommandAck, GetVersion, GetVersionReply, MonCommand, Statfs, StatfsReply,
};
pub use session::{Auth, AuthReply, Subscribe, SubscribeAck, Subscription};

use super::error::ProtoResult;
use super::wire::{Decoder, Encoder};

/// Appends a `PaxosServiceMessage` header: `u64 have_version = 0`, `i16 session_mon = -1`,
/// `u64 session_mon_tid = 0`.
fn encode_paxos(e: &mut Encoder<'_>) -> ProtoResult {
    e.u64(0)?;
    e.i16(-1)?;
    e.u64(0)
}

/// Passes over a `PaxosServiceMessage` header.
fn skip_paxos(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult {
    d.skip(8 + 2 + 8, step)
}
