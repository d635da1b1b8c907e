// SPDX-License-Identifier: GPL-2.0-only

//! The C items that `kernel::bindings` lacks (`bindgen_parameters` names them), on top of all that it
//! has. For the abstractions alone.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

pub(crate) use kernel::bindings::*;
use kernel::ffi;
use pin_init::{MaybeZeroable, Zeroable};

include!(env!("RUST_BINDINGS_net_ceph"));
