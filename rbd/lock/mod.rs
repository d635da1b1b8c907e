// SPDX-License-Identifier: GPL-2.0-only

//! The exclusive lock of an image: one client at a time writes.
//!
//! - [`state`]: the protocol, without I/O, in the words of [`event`]
//! - [`owner`]: who holds the lock, and whether they live

pub mod event;
pub mod owner;
pub mod state;
