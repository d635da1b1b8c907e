// SPDX-License-Identifier: GPL-2.0-only

//! Flags of requests (`CEPH_OSD_FLAG_*`) and of single operations (`CEPH_OSD_OP_FLAG_*`)
//! (Ceph `src/include/rados.h`).

/// Answer when the operation is committed (in replies: it is).
pub const ONDISK: u32 = 0x0004;
/// This is not the first attempt.
pub const RETRY: u32 = 0x0008;
/// The request reads.
pub const READ: u32 = 0x0010;
/// The request writes.
pub const WRITE: u32 = 0x0020;
/// Fail with `-EOLDSNAPC` when the snapshot context is older than the object's.
pub const ORDERSNAP: u32 = 0x0040;
/// Any replica may serve the read.
pub const BALANCE_READS: u32 = 0x0100;
/// The nearest replica may serve the read.
pub const LOCALIZE_READS: u32 = 0x2000;
/// Order with respect to concurrent reads.
pub const RWORDERED: u32 = 0x4000;
/// Pass over a cache tier.
pub const IGNORE_OVERLAY: u32 = 0x20000;
/// Use the snapshot context given even if the pool has snapshots of its own.
pub const ENFORCE_SNAPC: u32 = 0x100000;
/// The request was redirected.
pub const REDIRECTED: u32 = 0x200000;
/// `REDIRECTED` being unset says that it was not.
pub const KNOWN_REDIR: u32 = 0x400000;
/// Try although the pool is full (deletes free space).
pub const FULL_TRY: u32 = 0x800000;
/// Do it although the pool is full.
pub const FULL_FORCE: u32 = 0x1000000;

/// Operation: create fails if the object exists.
pub const OP_EXCL: u32 = 0x1;
/// Operation: go on with the next one should this one fail.
pub const OP_FAILOK: u32 = 0x2;
/// Operation: the data will not be needed soon.
pub const OP_FADVISE_DONTNEED: u32 = 0x20;
/// Operation: do not cache the data.
pub const OP_FADVISE_NOCACHE: u32 = 0x40;
