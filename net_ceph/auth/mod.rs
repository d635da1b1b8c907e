// SPDX-License-Identifier: GPL-2.0-only

//! The authentication of one client instance: the protocol's state behind a lock, and what each
//! connection holds of it.
//!
//! - [`Auth`]: the shared state, and the clock it is measured with
//! - [`MonAuthenticator`]: for the connection to a monitor
//! - [`OsdAuthenticator`]: for a connection to an OSD; takes a fresh ticket for each attempt to connect

mod mon;
mod osd;

pub use mon::MonAuthenticator;
pub use osd::OsdAuthenticator;

use crate::abstractions::{crypto::KernelCrypto, time::boot_ns};
use crate::proto::cephx::{AuthClient, Credentials, MonAuth, Progress, SERVICE_OSD};
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use crate::proto::key::CryptoKey;
use crate::proto::mon_msg::AuthReply;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};

/// Nanoseconds in a second.
const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Who gets new tickets when an OSD refused one, or ours ran out: the monitor client.
pub trait Renewer: Send + Sync {
    /// Asks for a renewal soon. Any context that may take a spinlock; does not wait.
    fn renew_tickets(&self);
}

struct State {
    client: AuthClient,
    /// Counts monitor sessions, so that a connection given up cannot meddle with the next one's talk.
    session: u64,
}

/// The shared state. Methods sleep (mutex, allocation), none waits for a peer.
#[pin_data]
pub struct Auth {
    /// Guards all of the protocol's state. Nothing is taken inside.
    #[pin]
    state: Mutex<State>,
    /// Why a monitor refused us last, until it is asked for. Nothing is taken inside.
    #[pin]
    refusal: Mutex<Option<ProtoError>>,
}

impl Auth {
    /// The state of `client.<id>`; without a key it works with clusters that ask for none.
    pub fn new(id: &[u8], key: Option<CryptoKey>) -> Result<Arc<Self>> {
        let client = AuthClient::new(id, key, SERVICE_OSD).map_err(ProtoError::to_errno)?;
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(State { client, session: 0 }),
                refusal <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }

    /// The number the monitors gave us; 0 before the first authentication.
    pub fn global_id(&self) -> u64 {
        self.state.lock().client.global_id()
    }

    /// Whether the monitor session in progress is authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.state.lock().client.is_authenticated()
    }

    /// The method in use, for `MAuth`.
    pub fn method(&self) -> u32 {
        self.state.lock().client.method()
    }

    /// A new monitor session begins; returns its number, for its [`MonAuthenticator`].
    pub fn begin_session(&self) -> u64 {
        *self.refusal.lock() = None;
        let mut state = self.state.lock();
        state.client.reset();
        state.session = state.session.wrapping_add(1);
        state.session
    }

    /// msgr1: appends the payload of the first `MAuth`.
    pub fn hello(&self, out: &mut KVec<u8>) -> ProtoResult {
        self.state.lock().client.hello(out)
    }

    /// Takes an `MAuthReply`; appends what is to be said next, if anything.
    pub fn handle_reply(&self, reply: &AuthReply<'_>, out: &mut KVec<u8>) -> ProtoResult<Progress> {
        self.state
            .lock()
            .client
            .handle_auth_reply(&KernelCrypto, reply, now(), out)
    }

    /// Appends the payload of an `MAuth` that renews tickets, if some are due; says whether.
    pub fn renewal(&self, out: &mut KVec<u8>) -> ProtoResult<bool> {
        self.state.lock().client.renewal(&KernelCrypto, now(), out)
    }

    /// Why a monitor refused us in a handshake, once.
    pub fn take_refusal(&self) -> Option<ProtoError> {
        self.refusal.lock().take()
    }

    fn credentials(&self) -> ProtoResult<Credentials> {
        self.state.lock().client.credentials(SERVICE_OSD, now())
    }

    fn invalidate_osd_ticket(&self) {
        self.state.lock().client.invalidate(SERVICE_OSD);
    }

    /// Does `f` as the monitor session of this number; an error if that was given up. Keeps why `f` fails
    /// for whoever waits for the session.
    fn as_monitor<T>(
        &self,
        session: u64,
        f: impl FnOnce(&mut MonAuth<'_>) -> ProtoResult<T>,
    ) -> ProtoResult<T> {
        let mut state = self.state.lock();
        if state.session != session {
            return Err(ProtoError::new(
                "auth: session given up",
                Reason::Unexpected(session),
            ));
        }
        let result = f(&mut MonAuth {
            client: &mut state.client,
            crypto: &KernelCrypto,
            now: now(),
        });
        drop(state);
        if let Err(e) = &result {
            *self.refusal.lock() = Some(*e);
        }
        result
    }
}

/// Seconds of the clock that tickets are measured with; it goes on in suspend, as the peers' do.
fn now() -> u64 {
    boot_ns() / NSEC_PER_SEC
}
