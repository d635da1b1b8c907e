// SPDX-License-Identifier: GPL-2.0-only

//! What is to be mapped, as user space writes it: the add string, rbd's own options, the remove
//! string.
//!
//! Pure: the host tests compile this folder too.

mod add;
mod options;
mod remove;

pub use add::MapSpec;
pub use options::{CompressionHint, MapOptions};
pub use remove::{Force, RemoveSpec};
