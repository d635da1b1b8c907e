// SPDX-License-Identifier: GPL-2.0-only

//! Requests with one answer: the newest version of a map, statfs, commands.

use super::{encode_paxos, skip_paxos};
use crate::proto::error::ProtoResult;
use crate::proto::message::{Reply, Request};
use crate::proto::types::Fsid;
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// The longest text a monitor answers a command with, in bytes.
const MAX_TEXT: usize = 1024 * 1024;

/// `MMonGetVersion` (Ceph `src/messages/MMonGetVersion.h`).
pub struct GetVersion<'a> {
    /// Comes back in the reply.
    pub handle: u64,
    /// `monmap` or `osdmap`.
    pub what: &'a str,
}

impl Request for GetVersion<'_> {
    const TYPE: u16 = 19;

    fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.u64(self.handle)?;
        e.string(self.what)
    }
}

/// `MMonGetVersionReply` (Ceph `src/messages/MMonGetVersionReply.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetVersionReply {
    /// The request's.
    pub handle: u64,
    /// The newest epoch.
    pub version: u64,
    /// The oldest epoch kept; 0 before version 2.
    pub oldest: u64,
}

impl Reply<'_> for GetVersionReply {
    const TYPE: u16 = 20;

    fn decode(version: u16, front: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        Ok(Self {
            handle: d.u64("version reply: handle")?,
            version: d.u64("version reply: version")?,
            oldest: if version >= 2 {
                d.u64("version reply: oldest version")?
            } else {
                0
            },
        })
    }
}

/// `MMonCommand` with one JSON string (Ceph `src/messages/MMonCommand.h`).
pub struct MonCommand<'a> {
    /// The cluster.
    pub fsid: Fsid,
    /// The command, e.g. made by [`encode_blocklist_add`].
    pub json: &'a [u8],
}

impl Request for MonCommand<'_> {
    const TYPE: u16 = 50;

    fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        encode_paxos(e)?;
        self.fsid.encode(e)?;
        e.count(1)?;
        e.blob(self.json)
    }
}

/// `MMonCommandAck` (Ceph `src/messages/MMonCommandAck.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandAck<'a> {
    /// 0 or a negative errno; `-EINVAL` also for a command the monitor does not know.
    pub result: i32,
    /// What the monitor says about it; not always UTF-8.
    pub text: &'a [u8],
}

impl<'a> Reply<'a> for CommandAck<'a> {
    const TYPE: u16 = 51;

    fn decode(_version: u16, front: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        skip_paxos(&mut d, "command ack: header")?;
        Ok(Self {
            result: d.i32("command ack: result")?,
            text: d.blob(MAX_TEXT, "command ack: text")?,
        })
    }
}

/// Appends the JSON that puts the client at `address` (`ip:port/nonce`) on the block list:
/// `osd blocklist add`, or with `legacy` the name it had before Ceph 16, `osd blacklist add`.
pub fn encode_blocklist_add(address: &str, legacy: bool, out: &mut KVec<u8>) -> ProtoResult {
    let word = if legacy { "blacklist" } else { "blocklist" };
    for part in [
        "{\"prefix\": \"osd ",
        word,
        "\", \"",
        word,
        "op\": \"add\", \"addr\": \"",
        address,
        "\"}",
    ] {
        out.extend_from_slice(part.as_bytes(), GFP_KERNEL)?;
    }
    Ok(())
}

/// `MStatfs` version 2 (Ceph `src/messages/MStatfs.h`).
pub struct Statfs {
    /// The cluster.
    pub fsid: Fsid,
    /// Only this pool; none: all of the cluster.
    pub pool: Option<u64>,
}

impl Request for Statfs {
    const TYPE: u16 = 13;
    const VERSION: u16 = 2;

    fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        encode_paxos(e)?;
        self.fsid.encode(e)?;
        e.bool(self.pool.is_some())?;
        match self.pool {
            Some(pool) => e.u64(pool),
            None => Ok(()),
        }
    }
}

/// `MStatfsReply` (Ceph `src/messages/MStatfsReply.h`). Sizes are in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatfsReply {
    /// The cluster.
    pub fsid: Fsid,
    /// Of the monitors' statistics.
    pub version: u64,
    /// Size.
    pub kb: u64,
    /// Used.
    pub kb_used: u64,
    /// Free.
    pub kb_avail: u64,
    /// How many objects.
    pub objects: u64,
}

impl Reply<'_> for StatfsReply {
    const TYPE: u16 = 14;

    fn decode(_version: u16, front: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        Ok(Self {
            fsid: Fsid::decode(&mut d, "statfs reply: fsid")?,
            version: d.u64("statfs reply: version")?,
            kb: d.u64("statfs reply: size")?,
            kb_used: d.u64("statfs reply: used")?,
            kb_avail: d.u64("statfs reply: free")?,
            objects: d.u64("statfs reply: objects")?,
        })
    }
}
