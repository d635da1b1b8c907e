// SPDX-License-Identifier: GPL-2.0-only

//! Bits of an OSD map: of the map, of its pools, of its OSDs.

/// Flags of the whole map (Ceph `src/include/rados.h`, `CEPH_OSDMAP_*`).
pub mod map_flag {
    /// The cluster is nearly full.
    pub const NEARFULL: u32 = 1 << 0;
    /// The cluster is full: no writes.
    pub const FULL: u32 = 1 << 1;
    /// Reads are paused.
    pub const PAUSERD: u32 = 1 << 2;
    /// Writes are paused.
    pub const PAUSEWR: u32 = 1 << 3;
    /// Recovery is paused.
    pub const PAUSEREC: u32 = 1 << 4;
    /// OSDs may not come up.
    pub const NOUP: u32 = 1 << 5;
    /// OSDs are not marked down.
    pub const NODOWN: u32 = 1 << 6;
    /// OSDs are not marked out.
    pub const NOOUT: u32 = 1 << 7;
    /// OSDs are not marked in.
    pub const NOIN: u32 = 1 << 8;
    /// No backfill.
    pub const NOBACKFILL: u32 = 1 << 9;
    /// No recovery.
    pub const NORECOVER: u32 = 1 << 10;
    /// No scrubbing.
    pub const NOSCRUB: u32 = 1 << 11;
    /// No deep scrubbing.
    pub const NODEEP_SCRUB: u32 = 1 << 12;
    /// No tiering.
    pub const NOTIERAGENT: u32 = 1 << 13;
    /// No backfill of healthy PGs.
    pub const NOREBALANCE: u32 = 1 << 14;
    /// Objects are sorted bitwise.
    pub const SORTBITWISE: u32 = 1 << 15;
    /// Deletes are made during recovery.
    pub const RECOVERY_DELETES: u32 = 1 << 19;
}

/// Flags of a pool (Ceph `src/osd/osd_types.h`, `pg_pool_t::FLAG_*`).
pub mod pool_flag {
    /// Placement seeds are hashed with the pool's id.
    pub const HASHPSPOOL: u64 = 1 << 0;
    /// The pool is full.
    pub const FULL: u64 = 1 << 1;
    /// An erasure-coded pool whose objects may be overwritten.
    pub const EC_OVERWRITES: u64 = 1 << 2;
    /// The pool reached its quota.
    pub const FULL_QUOTA: u64 = 1 << 10;
    /// The pool is nearly full.
    pub const NEARFULL: u64 = 1 << 11;
    /// Snapshots are made by clients, as block images do.
    pub const SELFMANAGED_SNAPS: u64 = 1 << 13;
    /// Snapshots are made of the whole pool.
    pub const POOL_SNAPS: u64 = 1 << 14;
    /// The pool's first PGs are being made.
    pub const CREATING: u64 = 1 << 15;
    /// Every client operation fails with `EIO`.
    pub const EIO: u64 = 1 << 16;
    /// An erasure-coded pool in which not every shard can be the primary (Ceph 20).
    pub const EC_OPTIMIZATIONS: u64 = 1 << 19;
}

/// State bits of an OSD (Ceph `src/include/rados.h`, `CEPH_OSD_*`).
pub mod osd_state {
    /// The id is in use.
    pub const EXISTS: u32 = 1 << 0;
    /// The daemon runs.
    pub const UP: u32 = 1 << 1;
    /// It was marked out by the monitors, not by a person.
    pub const AUTOOUT: u32 = 1 << 2;
    /// It was never in.
    pub const NEW: u32 = 1 << 3;
}

/// The weight of an OSD that is fully in, 16.16 (Ceph `CEPH_OSD_IN`).
pub const WEIGHT_IN: u32 = 0x1_0000;

/// The primary affinity of an OSD that does not say, 16.16: it may be the primary of everything
/// (Ceph `CEPH_OSD_DEFAULT_PRIMARY_AFFINITY`, also the greatest value).
pub const AFFINITY_DEFAULT: u32 = 0x1_0000;
