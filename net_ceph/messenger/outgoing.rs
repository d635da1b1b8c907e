// SPDX-License-Identifier: GPL-2.0-only

//! Messages to be sent.

use crate::abstractions::data::DataCursor;
use crate::proto::msg::PRIO_DEFAULT;
use kernel::{prelude::*, sync::Arc};

/// The parts of a message, shown to the connection that sends it.
pub struct OutParts<'a> {
    /// `CEPH_MSG_*`.
    pub typ: u16,
    /// Higher goes first at the receiver.
    pub priority: u16,
    /// Version of the front's encoding.
    pub version: u16,
    /// Oldest version a reader must know.
    pub compat_version: u16,
    /// Transaction.
    pub tid: u64,
    /// Offset of the data in the first page.
    pub data_off: u16,
    /// Front segment.
    pub front: &'a [u8],
    /// Data segment: all that remains in the cursor.
    pub data: Option<&'a DataCursor>,
}

/// A message to be sent. Shared, so that its owner keeps it until it is answered.
pub trait Outgoing: Send + Sync {
    /// Shows the message to `send`, for a peer with these features. Called with the connection's lock
    /// held. A message that is not wanted any more returns without calling `send`.
    fn encode(&self, features: u64, send: &mut dyn FnMut(&OutParts<'_>) -> Result) -> Result;
}

/// A message that is its front.
pub struct PlainMessage {
    typ: u16,
    version: u16,
    compat_version: u16,
    tid: u64,
    front: KVec<u8>,
}

impl PlainMessage {
    /// A message of this type and encoding. Allocates.
    pub fn shared(
        typ: u16,
        version: u16,
        compat_version: u16,
        tid: u64,
        front: KVec<u8>,
    ) -> Result<Arc<dyn Outgoing>> {
        let message: Arc<dyn Outgoing> = Arc::new(
            Self {
                typ,
                version,
                compat_version,
                tid,
                front,
            },
            GFP_KERNEL,
        )?;
        Ok(message)
    }
}

impl Outgoing for PlainMessage {
    fn encode(&self, _features: u64, send: &mut dyn FnMut(&OutParts<'_>) -> Result) -> Result {
        send(&OutParts {
            typ: self.typ,
            priority: PRIO_DEFAULT,
            version: self.version,
            compat_version: self.compat_version,
            tid: self.tid,
            data_off: 0,
            front: &self.front,
            data: None,
        })
    }
}
