// SPDX-License-Identifier: GPL-2.0-only

//! Safe faces for the kernel facilities that the block driver stands on.
//!
//! This folder is the only place in the crate with `unsafe` and foreign functions.

mod bindings;

pub(crate) mod bus;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod disk;
pub(crate) mod limits;
pub(crate) mod major;
pub(crate) mod module;
pub(crate) mod request;
pub(crate) mod tag_set;
pub(crate) mod text;
