// SPDX-License-Identifier: GPL-2.0-only

//! `utime_t`: a moment or a span.

use super::super::error::ProtoResult;
use super::super::wire::{Decoder, Encoder, Sink};

/// Seconds and nanoseconds; as a moment, since 1970 (UTC). On the wire `u32 sec, u32 nsec`
/// (Ceph `src/include/utime.h`, `ceph_timespec`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespec {
    /// Seconds.
    pub sec: u32,
    /// Nanoseconds, below 10^9 when honest; a peer's value is not checked.
    pub nsec: u32,
}

impl Timespec {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    /// Appends the time.
    pub fn encode<S: Sink>(&self, e: &mut Encoder<'_, S>) -> ProtoResult {
        e.u32(self.sec)?;
        e.u32(self.nsec)
    }

    /// Reads a time.
    pub fn decode(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        Ok(Self {
            sec: d.u32(step)?,
            nsec: d.u32(step)?,
        })
    }
}
