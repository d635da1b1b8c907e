// SPDX-License-Identifier: GPL-2.0-only

//! CRC-32C, accelerated by the CPU where it can be.
//!
//! C header: [`include/linux/crc32c.h`](srctree/include/linux/crc32c.h)

use super::bindings;

/// Updates `seed` with `data`, without pre- or post-inversion. Any context.
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    // SAFETY: `data` is valid for reads of its length.
    unsafe { crc32c_raw(seed, data.as_ptr(), data.len()) }
}

/// [`crc32c`] of memory that others may write to meanwhile.
///
/// # Safety
///
/// `data` must be valid for reads of `len` bytes.
pub(super) unsafe fn crc32c_raw(seed: u32, data: *const u8, len: usize) -> u32 {
    // SAFETY: The caller says that the memory can be read.
    unsafe { bindings::crc32c(seed, data.cast(), len) }
}
