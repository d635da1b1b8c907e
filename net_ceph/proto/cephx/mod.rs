// SPDX-License-Identifier: GPL-2.0-only

//! cephx: how a client proves itself to monitors and OSDs without sending its key.
//!
//! A client proves to a monitor that it has its secret key and gets the AUTH ticket; with that it gets
//! one ticket for each service (here: OSDs); with a service ticket it builds an authorizer for each
//! connection. Tickets expire and are renewed over the monitor session.
//!
//! - [`seal`]: the encryption envelope all of it travels in
//! - [`ticket`]: tickets and how replies deliver them
//! - [`client`]: [`AuthClient`], the state one client shares between its connections
//! - [`mon_auth`]: [`MonAuth`], that state as a monitor connection's handshake sees it
//! - [`service_auth`]: [`ServiceAuth`], one ticket as an OSD connection's handshake sees it
//!
//! Source: Ceph documents `dev/cephx_protocol` and `dev/msgr2`, Ceph `src/auth/cephx/CephxProtocol.h`.

pub mod client;
pub mod mon_auth;
pub mod seal;
pub mod service_auth;
pub mod ticket;

pub use client::{AuthClient, Progress};
pub use mon_auth::MonAuth;
pub use service_auth::ServiceAuth;
pub use ticket::Credentials;

use super::error::ProtoResult;
use super::wire::Encoder;

/// `CEPH_ENTITY_TYPE_MON` as a service mask bit (Ceph `src/include/msgr.h`).
pub const SERVICE_MON: u32 = 0x01;
/// `CEPH_ENTITY_TYPE_OSD` as a service mask bit.
pub const SERVICE_OSD: u32 = 0x04;
/// `CEPH_ENTITY_TYPE_AUTH` as a service mask bit.
pub const SERVICE_AUTH: u32 = 0x20;

/// `CEPH_ENTITY_TYPE_CLIENT` (Ceph `src/include/msgr.h`).
const ENTITY_CLIENT: u32 = 0x08;
/// `AUTH_MODE_MON`: the handshake is with a monitor (Ceph `src/auth/Auth.h`).
const AUTH_MODE_MON: u8 = 10;

/// Appends an `EntityName` of a client: `u32 type`, `string id` (Ceph `src/common/entity_name.h`).
fn encode_client_name(e: &mut Encoder<'_>, id: &[u8]) -> ProtoResult {
    e.u32(ENTITY_CLIENT)?;
    e.blob(id)
}
