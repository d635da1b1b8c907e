// SPDX-License-Identifier: GPL-2.0-only

//! The owner of a connection, and what it is told.

use super::{Connection, Outgoing};
use crate::abstractions::data::DataCursor;
use crate::proto::error::ProtoResult;
use crate::proto::msg::MsgHeader;
use crate::proto::types::Timespec;
use kernel::{prelude::*, sync::Arc};

/// What a connection does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Connect again, after a pause that grows with each failure.
    Reconnect,
    /// Connect again once there is something to send.
    Standby,
    /// Stay closed until the owner opens it anew.
    Close,
}

/// Where the data segment of a message goes.
pub enum DataTarget {
    /// Nobody wants the message.
    Skip,
    /// Nowhere: the message is wanted without its data.
    Discard,
    /// Into memory that the messenger allocates as bytes arrive.
    Buffer,
    /// Straight into the owner's memory, which must hold the whole segment.
    Cursor(DataCursor),
}

/// A verified message.
pub struct Incoming<'a> {
    /// Its header.
    pub header: &'a MsgHeader,
    /// Front segment.
    pub front: &'a [u8],
    /// Data segment, if it went to [`DataTarget::Buffer`].
    pub data: KVVec<u8>,
    /// The connection it came by.
    pub con: &'a Arc<Connection>,
}

/// The owner of a connection.
///
/// All methods are called in a no-I/O scope with the connection's lock held, by its work item or by a
/// task that sends in place. They may take locks and sleep on memory, but not wait for a peer; and they
/// must not call [`Connection::close`] or [`Connection::withdraw`] of any connection.
pub trait ConnectionOps: Send + Sync {
    /// The next message to send, taken from the owner's queue.
    fn next_message(&self) -> Option<Arc<dyn Outgoing>>;

    /// Where the data of a message go. On msgr2 header and front are not verified yet: they may be
    /// looked at to find the place, nothing else.
    fn data_target(&self, header: &MsgHeader, front: &[u8]) -> DataTarget;

    /// A message arrived. After an error the connection is dropped, as by a [`fault`](Self::fault).
    fn dispatch(&self, msg: Incoming<'_>) -> ProtoResult;

    /// The handshake is done. What was sent over the connection before is lost. `global_id` is our
    /// number, as far as the handshake told it.
    fn opened(&self, con: &Arc<Connection>, global_id: u64);

    /// The peer answered the keepalive that was sent at `sent`.
    fn keepalive_acked(&self, sent: Timespec);

    /// The connection or its handshake failed at `step`. What was sent before is lost.
    fn fault(&self, error: Error, step: &'static str) -> Recovery;
}
