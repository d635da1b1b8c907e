// SPDX-License-Identifier: GPL-2.0-only

//! Safe faces for the kernel facilities that the client stands on.
//!
//! This folder is the only place in the crate with `unsafe` and foreign functions. Each file owns one
//! noun; none but `crypto` and `key_type` knows the Ceph protocol.

mod bindings;
mod bio_pos;

pub mod crc32c;
pub mod crypto;
pub mod data;
pub mod debugfs;
pub mod errno;
pub mod key_type;
pub mod module_slot;
pub mod netns;
mod owner;
mod sock_addr;
pub mod socket;
pub mod task;
pub mod time;
pub mod trailers;
pub mod wait;
pub mod workqueue;
