// SPDX-License-Identifier: GPL-2.0-only

//! Operations on objects: the messages between a client and an OSD.
//!
//! - [`op`]: one operation ([`Op`]) and its 38 bytes
//! - [`request`]: `MOSDOp`, a request of several operations on one object
//! - [`reply`]: `MOSDOpReply`, what came of it
//! - [`backoff`]: `MOSDBackoff`, by which an OSD holds requests back
//! - [`hobject`]: object names with their place in the sort order, as back-offs use them
//!
//! Encoding a request into a buffer that has the capacity allocates nothing.

pub mod backoff;
pub mod flags;
pub mod hobject;
pub mod op;
pub mod reply;
pub mod request;

pub use backoff::{BackoffAck, BackoffOp, OsdBackoff};
pub use hobject::{HObject, HObjectBuf};
pub use op::{encode_call_input, Op, OsdOp};
pub use reply::{OpResult, OsdOpReply, Redirect};
pub use request::{Locator, OsdOpRequest, SnapContext, SpgId};

/// `CEPH_NOSNAP`: the head of an object, not a snapshot (Ceph `src/include/rados.h`).
pub const NOSNAP: u64 = u64::MAX - 1;
/// `CEPH_SNAPDIR`: an object's snapshots as a whole.
pub const SNAPDIR: u64 = u64::MAX;
