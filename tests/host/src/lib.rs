// SPDX-License-Identifier: GPL-2.0-only

//! The protocol code of the kernel modules, compiled for the host.
//!
//! [`proto`] is the very folder that goes into `net_ceph.ko`; [`kernel`] is a stand-in for the kernel
//! crate; [`rust_crypto`] puts RustCrypto behind the protocol's crypto trait.

#![deny(unsafe_code)]

#[path = "../../../net_ceph/proto/mod.rs"]
pub mod proto;
