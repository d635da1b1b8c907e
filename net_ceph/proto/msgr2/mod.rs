// SPDX-License-Identifier: GPL-2.0-only

//! Messenger v2.1, the client's side, in crc mode.
//!
//! [`frame`] knows the bytes of a frame, [`payload`] those of control segments, `handshake` the way
//! from a TCP connection to an open session, and `session` what happens then.
//!
//! ```text
//! BANNER -> HELLO -> AUTH -> AUTH_SIGNATURE -+-> SESSION_CONNECT ------+-> OPEN
//!                                            +-> SESSION_RECONNECT ----+
//! ```
//!
//! A frame that its state does not expect is an error. The secure mode is not built, and refused;
//! it would be a second framing beside [`frame::CrcFraming`]. Compression is not offered.

pub mod frame;
mod handshake;
pub mod payload;
mod session;

pub use frame::CRC_SEED;
pub use session::Session;
