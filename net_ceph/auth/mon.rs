// SPDX-License-Identifier: GPL-2.0-only

//! The handshake of a monitor connection: each step under the lock of the shared state.

use super::Auth;
use crate::proto::auth::{AuthDone, ConnectionAuth, SessionKey};
use crate::proto::cephx::MonAuth;
use crate::proto::error::ProtoResult;
use kernel::{prelude::*, sync::Arc};

/// What the connection to a monitor holds.
pub struct MonAuthenticator {
    auth: Arc<Auth>,
    session: u64,
}

impl MonAuthenticator {
    /// For the connection of the session that [`Auth::begin_session`] began.
    pub fn new(auth: Arc<Auth>, session: u64) -> Self {
        Self { auth, session }
    }

    fn with<T>(&self, f: impl FnOnce(&mut MonAuth<'_>) -> ProtoResult<T>) -> ProtoResult<T> {
        self.auth.as_monitor(self.session, f)
    }
}

impl ConnectionAuth for MonAuthenticator {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.with(|a| a.auth_request(out))
    }

    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.with(|a| a.auth_reply_more(payload, out))
    }

    fn auth_done(&mut self, global_id: u64, mode: u32, payload: &[u8]) -> ProtoResult<AuthDone> {
        self.with(|a| a.auth_done(global_id, mode, payload))
    }

    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        allowed_methods: &[u32],
        allowed_modes: &[u32],
    ) -> ProtoResult {
        self.with(|a| a.auth_bad_method(method, result, allowed_methods, allowed_modes))
    }

    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.with(|a| a.authorizer(out))
    }

    fn authorizer_challenge(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.with(|a| a.authorizer_challenge(payload, out))
    }

    fn authorizer_reply(&mut self, payload: &[u8]) -> ProtoResult {
        self.with(|a| a.authorizer_reply(payload))
    }

    fn authorizer_rejected(&mut self) {
        // A monitor is shown no authorizer.
    }

    fn session_key(&self) -> Option<SessionKey> {
        None
    }
}
