// SPDX-License-Identifier: GPL-2.0-only

//! Small values that every part of the protocol shares: addresses, names, ids, times, feature bits.

pub mod addrvec;
mod entity_addr;
mod entity_name;
pub mod features;
mod fsid;
mod timespec;

pub use entity_addr::{AddrType, EntityAddr};
pub use entity_name::{EntityName, EntityType};
pub use fsid::Fsid;
pub use timespec::Timespec;
