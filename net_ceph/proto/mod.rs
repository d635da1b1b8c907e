// SPDX-License-Identifier: GPL-2.0-only

//! The Ceph protocol, pure: bytes in, values and bytes out. No I/O, no FFI, no clock, no locks.
//!
//! The same files compile into `net_ceph.ko` and, against a stand-in `kernel` crate, into the host
//! tests. Nothing here calls anything but `core`, `kernel`'s allocation and error types, and itself.

pub mod auth;
pub mod cephx;
pub mod cls;
pub mod crush;
pub mod crypto;
pub mod error;
pub mod key;
mod link;
pub mod message;
pub mod mon_msg;
pub mod monmap;
pub mod msg;
pub mod msgr1;
pub mod msgr2;
pub mod osd_op;
pub mod osdmap;
pub mod session;
pub mod sort;
pub mod striper;
mod table;
pub mod types;
pub mod watch;
pub mod wire;
