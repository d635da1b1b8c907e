// SPDX-License-Identifier: GPL-2.0-only

//! Messenger v1, the client's side.
//!
//! [`payload`] knows the bytes of its structures, `handshake` the way from a TCP connection to an
//! open session, and `session` what happens then.
//!
//! ```text
//! BANNER -> CONNECT -+-------> OPEN
//!                    +-> SEQ ->
//! ```
//!
//! There are no frames: a tag byte tells what follows. Authorization is part of `CONNECT` (for
//! OSDs; towards monitors it happens in messages later).

mod handshake;
pub mod payload;
mod session;

pub use session::Session;

/// What the CRC of a data segment begins with.
pub const CRC_SEED: u32 = 0;
