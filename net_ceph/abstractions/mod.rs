// SPDX-License-Identifier: GPL-2.0-only

//! Safe faces for the kernel facilities that the client stands on.
//!
//! This folder is the only place in the crate with `unsafe` and foreign functions. Each file owns one
//! noun; nothing here knows the Ceph protocol.

mod bindings;

pub mod crc32c;
