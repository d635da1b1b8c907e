// SPDX-License-Identifier: GPL-2.0-only

//! Tickets: a session key for us, and an opaque blob that tells the service the same key.

use super::seal;
use crate::proto::auth::SessionKey;
use crate::proto::crypto::Crypto;
use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::key::CryptoKey;
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// The largest ticket blob kept.
const MAX_BLOB: usize = 64 * 1024;
/// The most tickets one reply may carry: there is one for each kind of service.
const MAX_TICKETS: u32 = 32;
/// The largest connection secret (`CEPH_MAX_CON_SECRET_LEN`).
const MAX_SECRET: usize = 64;

/// A blob that only the service can read, and which of its keys sealed it.
pub struct TicketBlob {
    secret_id: u64,
    blob: KVec<u8>,
}

impl TicketBlob {
    /// The blob of a ticket we do not have.
    pub const fn empty() -> Self {
        Self {
            secret_id: 0,
            blob: KVec::new(),
        }
    }

    /// `CephXTicketBlob`: `u8 struct_v`, `u64 secret_id`, `blob`.
    fn decode(d: &mut Decoder<'_>) -> ProtoResult<Self> {
        version_1(d, "cephx: ticket blob version")?;
        let secret_id = d.u64("cephx: ticket secret id")?;
        let bytes = d.blob(MAX_BLOB, "cephx: ticket blob")?;
        let mut blob = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
        blob.extend_from_slice(bytes, GFP_KERNEL)?;
        Ok(Self { secret_id, blob })
    }

    /// Appends a `CephXTicketBlob`.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.u8(1)?;
        e.u64(self.secret_id)?;
        e.blob(&self.blob)
    }

    fn try_clone(&self) -> ProtoResult<Self> {
        let mut blob = KVec::with_capacity(self.blob.len(), GFP_KERNEL)?;
        blob.extend_from_slice(&self.blob, GFP_KERNEL)?;
        Ok(Self {
            secret_id: self.secret_id,
            blob,
        })
    }
}

/// What we hold for one service. Times are seconds of the caller's clock.
pub struct Ticket {
    service: u32,
    key: SessionKey,
    blob: TicketBlob,
    expires: u64,
    renew_after: u64,
    /// False once the service refused it: to be renewed, whatever its age.
    valid: bool,
}

impl Ticket {
    /// The service mask bit.
    pub fn service(&self) -> u32 {
        self.service
    }

    /// The key shared with the service.
    pub fn key(&self) -> SessionKey {
        self.key
    }

    /// The opaque part.
    pub fn blob(&self) -> &TicketBlob {
        &self.blob
    }

    /// Whether it may still be used.
    pub fn usable(&self, now: u64) -> bool {
        self.valid && now < self.expires
    }

    /// Whether a new one should be asked for: after three quarters of its life, or when refused.
    pub fn wants_renewal(&self, now: u64) -> bool {
        !self.valid || now >= self.renew_after
    }

    /// The service refused it.
    pub fn invalidate(&mut self) {
        self.valid = false;
    }
}

/// The tickets of one client, at most one for each service.
pub struct TicketStore {
    tickets: KVec<Ticket>,
}

impl TicketStore {
    /// No tickets.
    pub const fn new() -> Self {
        Self {
            tickets: KVec::new(),
        }
    }

    /// The ticket for `service`, usable or not.
    pub fn get(&self, service: u32) -> Option<&Ticket> {
        self.tickets.iter().find(|t| t.service == service)
    }

    /// As [`get`](Self::get), to change it.
    pub fn get_mut(&mut self, service: u32) -> Option<&mut Ticket> {
        self.tickets.iter_mut().find(|t| t.service == service)
    }

    fn put(&mut self, ticket: Ticket) -> ProtoResult {
        match self.get_mut(ticket.service) {
            Some(slot) => *slot = ticket,
            None => self.tickets.push(ticket, GFP_KERNEL)?,
        }
        Ok(())
    }

    /// Takes the tickets of a service ticket reply, whose keys are sealed with `key`:
    /// `u8 struct_v`, `u32 count`, then each one: `u32 service`, `u8 struct_v`, a sealed
    /// `{u8 struct_v, CryptoKey, u32 sec, u32 nsec validity}`, `u8 sealed`, and the ticket blob, in that
    /// case sealed with the key of the ticket it replaces
    /// (Ceph `src/auth/cephx/CephxProtocol.cc`, `verify_service_ticket_reply`).
    ///
    /// With `expected`, tickets of other services are an error.
    pub fn take_reply(
        &mut self,
        crypto: &dyn Crypto,
        key: &SessionKey,
        expected: u32,
        d: &mut Decoder<'_>,
        now: u64,
    ) -> ProtoResult {
        version_1(d, "cephx: ticket reply version")?;
        let count = d.u32("cephx: ticket count")?;
        if count > MAX_TICKETS {
            return Err(ProtoError::value("cephx: ticket count", count.into()));
        }
        for _ in 0..count {
            let ticket = self.decode_one(crypto, key, d, now)?;
            if ticket.service & expected == 0 {
                return Err(ProtoError::value(
                    "cephx: ticket for a service not asked for",
                    ticket.service.into(),
                ));
            }
            self.put(ticket)?;
        }
        Ok(())
    }

    fn decode_one(
        &self,
        crypto: &dyn Crypto,
        key: &SessionKey,
        d: &mut Decoder<'_>,
        now: u64,
    ) -> ProtoResult<Ticket> {
        let service = d.u32("cephx: ticket service")?;
        version_1(d, "cephx: ticket version")?;

        let opened = seal::open(crypto, key, d, "cephx: ticket for us")?;
        let mut inner = opened.decoder();
        version_1(&mut inner, "cephx: ticket contents version")?;
        let session = CryptoKey::decode(&mut inner)?.session_key();
        let validity = u64::from(inner.u32("cephx: ticket validity")?);
        inner.u32("cephx: ticket validity")?;

        let blob = if d.bool("cephx: ticket blob sealed")? {
            let old = self.get(service).ok_or(ProtoError::value(
                "cephx: ticket blob sealed with a key we lack",
                service.into(),
            ))?;
            let opened = seal::open(crypto, &old.key, d, "cephx: sealed ticket blob")?;
            decode_sized_blob(&mut opened.decoder())?
        } else {
            decode_sized_blob(d)?
        };
        Ok(Ticket {
            service,
            key: session,
            blob,
            expires: now.saturating_add(validity),
            renew_after: now.saturating_add(validity - validity / 4),
            valid: true,
        })
    }
}

impl Default for TicketStore {
    fn default() -> Self {
        Self::new()
    }
}

/// A ticket blob travels as a blob whose contents are the `CephXTicketBlob`.
fn decode_sized_blob(d: &mut Decoder<'_>) -> ProtoResult<TicketBlob> {
    let bytes = d.blob(MAX_BLOB, "cephx: ticket blob")?;
    TicketBlob::decode(&mut Decoder::new(bytes))
}

/// A connection secret: `u32 len` and bytes; for the secure mode's keys.
pub fn decode_connection_secret(d: &mut Decoder<'_>) -> ProtoResult<KVec<u8>> {
    let bytes = d.blob(MAX_SECRET, "cephx: connection secret")?;
    let mut secret = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
    secret.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(secret)
}

/// Reads a `struct_v` that has always been 1.
fn version_1(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult {
    match d.u8(step)? {
        1 => Ok(()),
        v => Err(ProtoError::value(step, v.into())),
    }
}

/// What a connection to a service presents: a copy of the client's state at one moment.
pub enum Credentials {
    /// The cluster asks for none: who we are.
    None {
        /// The id of `client.<id>`.
        id: KVec<u8>,
        /// Our global id.
        global_id: u64,
    },
    /// A service ticket.
    Cephx(ServiceTicket),
}

/// A copy of a ticket, with what an authorizer needs besides.
pub struct ServiceTicket {
    pub(super) global_id: u64,
    pub(super) service: u32,
    pub(super) key: SessionKey,
    pub(super) blob: TicketBlob,
}

impl ServiceTicket {
    pub(super) fn of(ticket: &Ticket, global_id: u64) -> ProtoResult<Self> {
        Ok(Self {
            global_id,
            service: ticket.service,
            key: ticket.key,
            blob: ticket.blob.try_clone()?,
        })
    }
}
