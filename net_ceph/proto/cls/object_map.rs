// SPDX-License-Identifier: GPL-2.0-only

//! Object maps: what is known of each object of an image (Ceph `src/cls/rbd/cls_rbd.cc`,
//! `src/include/rbd/object_map_types.h`).

/// What an object map says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectState {
    /// It does not exist (`OBJECT_NONEXISTENT`).
    Nonexistent = 0,
    /// It may exist (`OBJECT_EXISTS`).
    Exists = 1,
    /// It is being deleted (`OBJECT_PENDING`).
    Pending = 2,
    /// It exists and did not change since the last snapshot (`OBJECT_EXISTS_CLEAN`).
    ExistsClean = 3,
}
