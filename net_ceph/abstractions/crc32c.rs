// SPDX-License-Identifier: GPL-2.0-only

//! CRC-32C, accelerated by the CPU where it can be.
//!
//! C header: [`include/linux/crc32c.h`](srctree/include/linux/crc32c.h)

use super::bindings;

/// Updates `seed` with `data`, without pre- or post-inversion. Never sleeps.
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    // SAFETY: `data` is valid for reads of its length.
    unsafe { bindings::crc32c(seed, data.as_ptr().cast(), data.len()) }
}
