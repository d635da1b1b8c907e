// SPDX-License-Identifier: GPL-2.0-only

//! `MOSDBackoff`: an OSD asks to hold back requests to a range of objects of one placement group,
//! and later to send them again (Ceph `src/messages/MOSDBackoff.h`, document `dev/osd_internals/backoff`).

use super::hobject::HObject;
use super::request::SpgId;
use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::message::{Reply, Request};
use crate::proto::wire::{Decoder, Encoder};

const TYPE: u16 = 61;

/// What is asked (`CEPH_OSD_BACKOFF_OP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackoffOp {
    /// Hold back; to be acknowledged.
    Block,
    /// Send again what was held back.
    Unblock,
}

const BLOCK: u8 = 1;
const ACK_BLOCK: u8 = 2;
const UNBLOCK: u8 = 3;

/// A back-off as received. Applies to objects from `begin`, which it covers, to `end`, which it covers
/// only if that is `begin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsdBackoff<'a> {
    /// The placement group.
    pub spg: SpgId,
    /// The OSD's map epoch.
    pub epoch: u32,
    /// What is asked.
    pub op: BackoffOp,
    /// Its number, unique in the OSD's session with us.
    pub id: u64,
    /// First object.
    pub begin: HObject<'a>,
    /// End of the range.
    pub end: HObject<'a>,
}

impl OsdBackoff<'_> {
    /// Whether it holds back requests to `object`.
    pub fn covers(&self, object: &HObject<'_>) -> bool {
        *object == self.begin || (*object > self.begin && *object < self.end)
    }
}

impl<'a> Reply<'a> for OsdBackoff<'a> {
    const TYPE: u16 = TYPE;

    fn decode(_version: u16, front: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        Ok(Self {
            spg: SpgId::decode(&mut d, "backoff: pg")?,
            epoch: d.u32("backoff: epoch")?,
            op: match d.u8("backoff: op")? {
                BLOCK => BackoffOp::Block,
                UNBLOCK => BackoffOp::Unblock,
                other => return Err(ProtoError::value("backoff: op", other.into())),
            },
            id: d.u64("backoff: id")?,
            begin: HObject::decode(&mut d, "backoff: begin")?,
            end: HObject::decode(&mut d, "backoff: end")?,
        })
    }
}

/// The acknowledgement of a [`BackoffOp::Block`]: the same again.
pub struct BackoffAck<'a> {
    /// The placement group.
    pub spg: SpgId,
    /// Our map epoch.
    pub epoch: u32,
    /// The back-off's number.
    pub id: u64,
    /// First object.
    pub begin: HObject<'a>,
    /// End of the range.
    pub end: HObject<'a>,
}

impl Request for BackoffAck<'_> {
    const TYPE: u16 = TYPE;

    fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        self.spg.encode(e)?;
        e.u32(self.epoch)?;
        e.u8(ACK_BLOCK)?;
        e.u64(self.id)?;
        self.begin.encode(e)?;
        self.end.encode(e)
    }
}
