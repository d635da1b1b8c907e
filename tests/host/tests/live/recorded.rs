// SPDX-License-Identifier: GPL-2.0-only

//! What was said during an authentication, kept as test vectors.

use super::connection::record;
use ceph_proto_host::proto::auth::{AuthDone, ConnectionAuth, SessionKey};
use ceph_proto_host::proto::error::ProtoResult;
use kernel::prelude::*;

/// An authentication that is recorded under a prefix.
pub struct Recorded<A> {
    peer: &'static str,
    inner: A,
}

impl<A> Recorded<A> {
    pub fn new(peer: &'static str, inner: A) -> Self {
        Self { peer, inner }
    }

    fn keep(&self, what: &str, bytes: &[u8]) {
        record(&format!("cephx/{}_{what}", self.peer), bytes);
    }
}

impl<A: ConnectionAuth> ConnectionAuth for Recorded<A> {
    fn auth_request(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        let start = out.len();
        let method = self.inner.auth_request(out)?;
        self.keep("1_request", &out[start..]);
        Ok(method)
    }
    fn auth_reply_more(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        let start = out.len();
        self.inner.auth_reply_more(payload, out)?;
        self.keep("2_challenge", payload);
        self.keep("3_answer", &out[start..]);
        Ok(())
    }
    fn auth_done(&mut self, global_id: u64, mode: u32, payload: &[u8]) -> ProtoResult<AuthDone> {
        self.keep("4_done", &[&global_id.to_le_bytes(), payload].concat());
        self.inner.auth_done(global_id, mode, payload)
    }
    fn auth_bad_method(
        &mut self,
        method: u32,
        result: i32,
        methods: &[u32],
        modes: &[u32],
    ) -> ProtoResult {
        self.inner.auth_bad_method(method, result, methods, modes)
    }
    fn authorizer(&mut self, out: &mut KVec<u8>) -> ProtoResult<u32> {
        self.inner.authorizer(out)
    }
    fn authorizer_challenge(&mut self, payload: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        self.inner.authorizer_challenge(payload, out)
    }
    fn authorizer_reply(&mut self, payload: &[u8]) -> ProtoResult {
        self.inner.authorizer_reply(payload)
    }
    fn authorizer_rejected(&mut self) {
        self.inner.authorizer_rejected();
    }
    fn session_key(&self) -> Option<SessionKey> {
        self.inner.session_key()
    }
}
