// SPDX-License-Identifier: GPL-2.0-only

//! The seam between a messenger session and whoever holds the credentials.
//!
//! msgr2 carries authentication in its handshake frames; msgr1 carries an authorizer in its connect
//! message. Both sessions drive a [`ConnectionAuth`]; the monitor client and the OSD client each
//! provide one (`proto/cephx`).

use super::error::ProtoResult;
use kernel::prelude::*;

/// `CEPH_AUTH_NONE`: the peer asks for no authentication (Ceph `src/include/ceph_fs.h`).
pub const AUTH_NONE: u32 = 1;
/// `CEPH_AUTH_CEPHX` (Ceph `src/include/ceph_fs.h`).
pub const AUTH_CEPHX: u32 = 2;

/// `CEPH_CON_MODE_CRC`: plain with checksums (Ceph `src/include/ceph_fs.h`).
pub const CON_MODE_CRC: u32 = 1;
/// `CEPH_CON_MODE_SECURE`: encrypted (Ceph `src/include/ceph_fs.h`).
pub const CON_MODE_SECURE: u32 = 2;

/// A 16-byte cephx session key (`CEPH_CRYPTO_AES`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey(pub [u8; 16]);

/// What a finished msgr2 authentication yields.
pub struct AuthDone {
    /// Key that signs the handshake transcript; `None` with [`AUTH_NONE`].
    pub session_key: Option<SessionKey>,
    /// Secret for the secure mode's keys; empty in crc mode.
    pub connection_secret: KVec<u8>,
}

/// Authentication as one connection sees it. Methods may sleep (crypto), none waits.
pub trait ConnectionAuth {
    /// msgr2: appends the payload of the first `AUTH_REQUEST`; returns the auth method.
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32>;

    /// msgr2: answers an `AUTH_REPLY_MORE`; appends the payload of `AUTH_REQUEST_MORE`.
    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult;

    /// msgr2: takes the payload of `AUTH_DONE`.
    fn auth_done(&mut self, global_id: u64, con_mode: u32, payload: &[u8])
        -> ProtoResult<AuthDone>;

    /// msgr2: the peer refused `method` with `result` (negative errno), and named what it allows.
    /// `Ok` means: reconnect and try again (credentials were renewed or will be); an error is final
    /// for this attempt.
    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        allowed_methods: &[u32],
        allowed_modes: &[u32],
    ) -> ProtoResult;

    /// msgr1: appends the authorizer for the connect message; returns its protocol
    /// (0 with nothing appended for a monitor, where authentication follows in messages).
    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32>;

    /// msgr1: takes a `CHALLENGE_AUTHORIZER` payload; appends the new authorizer.
    fn authorizer_challenge(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult;

    /// msgr1: verifies the peer's authorizer reply.
    fn authorizer_reply(&mut self, payload: &[u8]) -> ProtoResult;

    /// msgr1: the peer said `BADAUTHORIZER`: forget the ticket, so that a fresh one is fetched.
    fn authorizer_rejected(&mut self);

    /// msgr1: key that signs messages, once the authorizer was verified.
    fn session_key(&self) -> Option<SessionKey>;
}
