// SPDX-License-Identifier: GPL-2.0-only

//! Safe faces for the kernel facilities that the block driver stands on.
//!
//! This folder is the only place in the crate with `unsafe` and foreign functions.

mod bindings;
