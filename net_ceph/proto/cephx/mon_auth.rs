// SPDX-License-Identifier: GPL-2.0-only

//! The shared client state, as the handshake of a monitor connection sees it.
//!
//! With msgr2 all of the authentication happens here; with msgr1 a monitor connection carries no
//! authorizer, and the talk follows in messages.

use super::client::AuthClient;
use crate::proto::auth::{AuthDone, ConnectionAuth, SessionKey};
use crate::proto::crypto::Crypto;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use kernel::prelude::*;

/// `-EOPNOTSUPP` on the wire: the method or mode is not allowed.
pub(super) const EOPNOTSUPP: i32 = -95;

/// A short-lived view: made under the lock that guards `client`, for one call.
pub struct MonAuth<'a> {
    /// The state, exclusively ours for this call.
    pub client: &'a mut AuthClient,
    /// The crypto provider.
    pub crypto: &'a dyn Crypto,
    /// Seconds of the clock that tickets are measured with.
    pub now: u64,
}

impl ConnectionAuth for MonAuth<'_> {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.client.mon_request(out)
    }

    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.client.take_challenge(self.crypto, payload, out)
    }

    fn auth_done(
        &mut self,
        global_id: u64,
        _con_mode: u32,
        payload: &[u8],
    ) -> ProtoResult<AuthDone> {
        self.client
            .take_reply(self.crypto, global_id, payload, self.now)
    }

    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        allowed_methods: &[u32],
        allowed_modes: &[u32],
    ) -> ProtoResult {
        let refusal = refusal(method, result, allowed_methods, allowed_modes);
        Err(self.client.explain(refusal))
    }

    fn authorizer(&mut self, _out: &mut KVec<u8>) -> ProtoResult<u32> {
        Ok(0)
    }

    fn authorizer_challenge(&mut self, payload: &[u8], _out: &mut KVec<u8>) -> ProtoResult {
        Err(ProtoError::new(
            "auth: a monitor challenges an authorizer",
            Reason::Unexpected(payload.len() as u64),
        ))
    }

    fn authorizer_reply(&mut self, _payload: &[u8]) -> ProtoResult {
        // Monitors answer with an empty one: there was nothing to verify.
        Ok(())
    }

    fn authorizer_rejected(&mut self) {}

    fn session_key(&self) -> Option<SessionKey> {
        None
    }
}

/// What a refusal means: which of method, mode and credentials the peer did not like.
pub(super) fn refusal(
    method: u32,
    result: i32,
    allowed_methods: &[u32],
    allowed_modes: &[u32],
) -> ProtoError {
    let step = if result != EOPNOTSUPP {
        "auth: credentials"
    } else if !allowed_methods.contains(&method) {
        "auth: method"
    } else if allowed_modes.is_empty() {
        "auth: no mode is allowed"
    } else {
        "auth: mode"
    };
    // A peer that refuses without an error is refusing all the same.
    let result = if result < 0 { result } else { EOPNOTSUPP };
    ProtoError::new(step, Reason::Refused(result))
}
