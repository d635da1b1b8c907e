// SPDX-License-Identifier: GPL-2.0-only

//! A stand-in for the Linux `kernel` crate: just the names that `net_ceph/proto` uses, with the same
//! signatures, on top of `std`. Allocation failure can be injected with [`alloc::fail_after`].

pub mod alloc;
pub mod error;

pub mod prelude {
    //! The names a kernel file gets from `use kernel::prelude::*`.
    pub use crate::alloc::{flags::*, KBox, KVVec, KVec};
    pub use crate::error::{code::*, Error, Result};
}

/// Formatting, as `kernel::fmt`.
pub mod fmt {
    pub use core::fmt::{Debug, Display, Formatter, Result, Write};
}
