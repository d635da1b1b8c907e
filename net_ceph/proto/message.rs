// SPDX-License-Identifier: GPL-2.0-only

//! The contract every typed message fulfils: what the header says about it, and how its front
//! segment is written or read.

use super::error::ProtoResult;
use super::wire::Encoder;
use kernel::prelude::*;

/// A message we send.
pub trait Request {
    /// `CEPH_MSG_*` of the header (Ceph `src/include/msgr.h`, `src/msg/Message.h`).
    const TYPE: u16;
    /// Version of the front's encoding, for the header.
    const VERSION: u16 = 1;
    /// Oldest version a reader must know to make sense of it, for the header.
    const COMPAT: u16 = 1;

    /// Appends the front segment.
    fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult;

    /// The front segment in a buffer of its own.
    fn to_front(&self) -> ProtoResult<KVec<u8>> {
        let mut out = KVec::new();
        self.encode(&mut Encoder::new(&mut out))?;
        Ok(out)
    }
}

/// A message we receive. It borrows from the front segment.
pub trait Reply<'a>: Sized {
    /// `CEPH_MSG_*` of the header.
    const TYPE: u16;

    /// Reads a front segment that was encoded in `version` (of the message's header).
    fn decode(version: u16, front: &'a [u8]) -> ProtoResult<Self>;
}
