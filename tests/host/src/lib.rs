// SPDX-License-Identifier: GPL-2.0-only

//! The protocol code of the kernel modules, compiled for the host.
//!
//! [`proto`] is the very folder that goes into `net_ceph.ko`; [`kernel`] is a stand-in for the kernel
//! crate; [`rust_crypto`] puts RustCrypto behind the protocol's crypto trait.

#![deny(unsafe_code)]

#[path = "../../../net_ceph/proto/mod.rs"]
pub mod proto;

pub mod rust_crypto;

#[path = "../../../net_ceph/options/mod.rs"]
pub mod options;

#[path = "../../../rbd/control/map_spec/mod.rs"]
pub mod map_spec;

/// The block driver's pure part of an object request.
#[path = "../../../rbd/io"]
pub mod io {
    pub mod plan;
    pub mod step;
}

#[path = "../../../rbd/object_map/bits.rs"]
pub mod object_map_bits;

#[path = "../../../rbd/object_map/turns.rs"]
pub mod object_map_turns;

/// The pure part of the block driver's exclusive lock.
#[path = "../../../rbd/lock"]
pub mod lock {
    pub mod event;
    pub mod owner;
    pub mod state;
    pub mod waiting;
}

// The name by which the block driver knows the client's crate.
extern crate self as net_ceph;
