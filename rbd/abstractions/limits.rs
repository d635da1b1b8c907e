// SPDX-License-Identifier: GPL-2.0-only

//! What a block device can do: its queue limits.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::bindings;

/// Bytes in a sector, the unit of the block layer.
pub(crate) const SECTOR_SIZE: u32 = 512;

/// Queue limits, in bytes. Zero is "none" or the block layer's default.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Largest request.
    pub(crate) max_request: u32,
    /// Smallest size worth a request of its own.
    pub(crate) io_min: u32,
    /// Size that works best.
    pub(crate) io_opt: u32,
    /// Unit of discarding.
    pub(crate) discard_granularity: u32,
    /// Largest discard; 0 if there are none.
    pub(crate) max_discard: u32,
    /// Largest write of zeroes; 0 if there are none.
    pub(crate) max_write_zeroes: u32,
    /// Pages under write-out must not change, for they are checksummed.
    pub(crate) stable_writes: bool,
}

impl Limits {
    pub(super) fn to_queue_limits(self) -> bindings::queue_limits {
        let mut lim: bindings::queue_limits = pin_init::zeroed();
        lim.max_hw_sectors = self.max_request / SECTOR_SIZE;
        lim.io_min = self.io_min;
        lim.io_opt = self.io_opt;
        // Requests are not mapped for DMA: segments cost nothing.
        lim.max_segments = u16::MAX;
        lim.max_segment_size = u32::MAX;
        lim.discard_granularity = self.discard_granularity;
        lim.max_hw_discard_sectors = self.max_discard / SECTOR_SIZE;
        lim.max_write_zeroes_sectors = self.max_write_zeroes / SECTOR_SIZE;
        if self.stable_writes {
            lim.features = bindings::RBD_BLK_FEAT_STABLE_WRITES;
        }
        lim
    }
}
