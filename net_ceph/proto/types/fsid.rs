// SPDX-License-Identifier: GPL-2.0-only

//! The id of a cluster.

use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::wire::{Decoder, Encoder};
use kernel::fmt;

/// A cluster's UUID. On the wire 16 bytes in the order of its text form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fsid(pub [u8; 16]);

/// Bytes of the UUID before which its text form has a dash.
const DASHES: [usize; 4] = [4, 6, 8, 10];

impl Fsid {
    /// Appends the id.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.bytes(&self.0)
    }

    /// Reads an id.
    pub fn decode(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        Ok(Self(d.array(step)?))
    }

    /// Reads the text form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, in either case.
    pub fn parse(text: &str) -> ProtoResult<Self> {
        let bad = ProtoError::new("fsid", Reason::NotText);
        let mut chars = text.chars();
        let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16)).ok_or(bad);
        let mut id = [0u8; 16];
        for (i, byte) in id.iter_mut().enumerate() {
            if DASHES.contains(&i) && chars.next() != Some('-') {
                return Err(bad);
            }
            let high = digit(chars.next())?;
            let low = digit(chars.next())?;
            *byte = ((high << 4) | low) as u8;
        }
        match chars.next() {
            None => Ok(Self(id)),
            Some(_) => Err(bad),
        }
    }
}

impl fmt::Display for Fsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if DASHES.contains(&i) {
                write!(f, "-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
