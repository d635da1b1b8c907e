// SPDX-License-Identifier: GPL-2.0-only

//! `entity_addrvec_t`: the addresses of one process, one for each protocol it speaks.
//!
//! On the wire `u8 2, u32 count` and the addresses; a single address in either encoding stands for
//! itself (Ceph `src/msg/msg_types.cc`). Nothing is stored: readers are handed each address.

use super::super::error::{ProtoError, ProtoResult};
use super::super::wire::{Decoder, Encoder};
use super::{AddrType, EntityAddr};

/// First byte of a vector; 0 and 1 are the markers of a single address.
const MARKER_VECTOR: u8 = 2;
/// The fewest bytes an address takes: marker, section header, type, nonce, length.
const ADDR_MIN_LEN: usize = 1 + 6 + 12;
/// More addresses than any daemon binds.
const MAX_ADDRS: usize = 64;

/// Appends a vector of `addrs`.
pub fn encode(addrs: &[EntityAddr], e: &mut Encoder<'_>) -> ProtoResult {
    e.u8(MARKER_VECTOR)?;
    e.count(addrs.len())?;
    for addr in addrs {
        addr.encode(e)?;
    }
    Ok(())
}

/// Reads a vector and hands each address to `f`.
pub fn for_each(
    d: &mut Decoder<'_>,
    step: &'static str,
    mut f: impl FnMut(EntityAddr),
) -> ProtoResult {
    match d.u8(step)? {
        0 => f(EntityAddr::decode_legacy_body(d, step)?),
        1 => f(EntityAddr::decode_versioned_body(d, step)?),
        MARKER_VECTOR => {
            for _ in 0..d.count(MAX_ADDRS, ADDR_MIN_LEN, step)? {
                f(EntityAddr::decode(d, step)?);
            }
        }
        other => return Err(ProtoError::value(step, other.into())),
    }
    Ok(())
}

/// Reads a vector and returns its first address of `kind`; the first counts in Ceph too.
pub fn pick(
    d: &mut Decoder<'_>,
    kind: AddrType,
    step: &'static str,
) -> ProtoResult<Option<EntityAddr>> {
    let mut found = None;
    for_each(d, step, |addr| {
        if addr.kind == kind && found.is_none() {
            found = Some(addr);
        }
    })?;
    Ok(found)
}
