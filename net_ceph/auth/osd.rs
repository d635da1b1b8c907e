// SPDX-License-Identifier: GPL-2.0-only

//! The handshake of an OSD connection: an authorizer of the ticket we have when it begins.

use super::{Auth, Renewer};
use crate::abstractions::{crypto::KernelCrypto, errno::EOPNOTSUPP};
use crate::proto::auth::{AuthDone, ConnectionAuth, SessionKey};
use crate::proto::cephx::ServiceAuth;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use kernel::{prelude::*, sync::Arc};

/// What a connection to an OSD holds.
pub struct OsdAuthenticator {
    auth: Arc<Auth>,
    renewer: Arc<dyn Renewer>,
    attempt: Option<ServiceAuth<KernelCrypto>>,
}

impl OsdAuthenticator {
    /// For a connection of the client that `auth` is of; `renewer` is told when a ticket is no good.
    pub fn new(auth: Arc<Auth>, renewer: Arc<dyn Renewer>) -> Self {
        Self {
            auth,
            renewer,
            attempt: None,
        }
    }

    /// A new attempt to connect, with the ticket of now.
    fn begin(&mut self) -> ProtoResult<&mut ServiceAuth<KernelCrypto>> {
        let credentials = self.auth.credentials().inspect_err(|_| {
            self.renewer.renew_tickets();
        })?;
        Ok(self
            .attempt
            .insert(ServiceAuth::new(credentials, KernelCrypto)))
    }

    fn current(&mut self) -> ProtoResult<&mut ServiceAuth<KernelCrypto>> {
        self.attempt.as_mut().ok_or(ProtoError::new(
            "authorizer: answer before request",
            Reason::Unexpected(0),
        ))
    }

    /// The OSD does not like the ticket: it gets no second look at it.
    fn ticket_refused(&mut self) {
        self.attempt = None;
        self.auth.invalidate_osd_ticket();
        self.renewer.renew_tickets();
    }
}

impl ConnectionAuth for OsdAuthenticator {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.begin()?.auth_request(out)
    }

    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.current()?.auth_reply_more(payload, out)
    }

    fn auth_done(&mut self, global_id: u64, mode: u32, payload: &[u8]) -> ProtoResult<AuthDone> {
        self.current()?.auth_done(global_id, mode, payload)
    }

    /// A method or mode that is not allowed stays so; anything else a fresh ticket may cure.
    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        allowed_methods: &[u32],
        allowed_modes: &[u32],
    ) -> ProtoResult {
        let refusal =
            self.current()?
                .auth_bad_method(method, result, allowed_methods, allowed_modes);
        if result == EOPNOTSUPP.to_errno() {
            return refusal;
        }
        self.ticket_refused();
        Ok(())
    }

    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.begin()?.authorizer(out)
    }

    fn authorizer_challenge(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.current()?.authorizer_challenge(payload, out)
    }

    fn authorizer_reply(&mut self, payload: &[u8]) -> ProtoResult {
        self.current()?.authorizer_reply(payload)
    }

    fn authorizer_rejected(&mut self) {
        self.ticket_refused();
    }

    fn session_key(&self) -> Option<SessionKey> {
        self.attempt.as_ref()?.session_key()
    }
}
