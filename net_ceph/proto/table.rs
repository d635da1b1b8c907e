// SPDX-License-Identifier: GPL-2.0-only

//! Small helpers for large tables: fallible copies, and the sizes a map may reach.

use super::error::{ProtoError, ProtoResult, Reason};
use super::wire::Decoder;
use kernel::prelude::*;

/// A copy of a table. May sleep.
pub(super) fn copy_of<T: Copy>(table: &[T]) -> ProtoResult<KVVec<T>> {
    let mut copy = KVVec::with_capacity(table.len(), GFP_KERNEL)?;
    copy.extend_from_slice(table, GFP_KERNEL)?;
    Ok(copy)
}

/// A table's length as an offset that fits 32 bits.
pub(super) fn offset(len: usize, step: &'static str) -> ProtoResult<u32> {
    u32::try_from(len).map_err(|_| {
        ProtoError::new(
            step,
            Reason::TooLong {
                len: len as u64,
                max: u64::from(u32::MAX),
            },
        )
    })
}

/// Passes over a container whose items `skip` passes over.
pub(super) fn skip_each(
    d: &mut Decoder<'_>,
    step: &'static str,
    mut skip: impl FnMut(&mut Decoder<'_>) -> ProtoResult,
) -> ProtoResult {
    for _ in 0..d.u32(step)? {
        skip(d)?;
    }
    Ok(())
}
