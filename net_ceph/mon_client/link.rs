// SPDX-License-Identifier: GPL-2.0-only

//! The connection that a session runs over, and its queue. Each session has its own.
//!
//! The messenger calls a connection's owner with the connection's lock held, so nothing here waits for that
//! lock: what is sent goes through a queue, and a link is given up without waiting for its connection.

use super::MonClient;
use crate::abstractions::errno::ENOTCONN;
use crate::abstractions::time::boot_ns;
use crate::auth::MonAuthenticator;
use crate::messenger::{
    Connection, ConnectionOps, DataTarget, Incoming, Outgoing, PlainMessage, Recovery,
};
use crate::proto::auth::ConnectionAuth;
use crate::proto::error::ProtoResult;
use crate::proto::msg::MsgHeader;
use crate::proto::types::{EntityAddr, EntityType, Timespec};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};

/// Oldest version a reader must know of the messages sent here.
const COMPAT: u16 = 1;

/// A session's end of its connection; at first, and when given up, there is none.
pub(super) struct Link(Option<Open>);

struct Open {
    ops: Arc<LinkOps>,
    con: Arc<Connection>,
    addr: EntityAddr,
    /// When it was opened, in ns since boot.
    since: u64,
}

impl Link {
    /// No connection.
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Connects to the monitor at `addr` for the session of this number. Does not wait.
    pub(super) fn open(
        &mut self,
        client: &Arc<MonClient>,
        session: u64,
        addr: EntityAddr,
    ) -> Result {
        let auth = MonAuthenticator::new(client.auth.clone(), session);
        let auth: KBox<dyn ConnectionAuth + Send> = KBox::new(auth, GFP_KERNEL)?;
        let ops = Arc::pin_init(
            pin_init!(LinkOps {
                client: client.clone(),
                session,
                queue <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )?;
        let con = Connection::new(client.messenger.clone(), EntityType::MON, ops.clone(), auth)?;
        con.open(addr, client.auth.global_id());
        self.0 = Some(Open {
            ops,
            con,
            addr,
            since: boot_ns(),
        });
        Ok(())
    }

    /// Takes the connection out.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Gives the connection up without waiting for what it does at the moment.
    pub(super) fn give_up(self) {
        if let Some(open) = self.0 {
            open.con.shutdown();
        }
    }

    /// Closes the connection and waits until its owner will not be called any more. Not from an event, nor
    /// with a lock that events take.
    pub(super) fn close(self) {
        if let Some(open) = self.0 {
            open.con.close();
        }
    }

    /// Whether this is the link of the session of this number.
    pub(super) fn is(&self, session: u64) -> bool {
        self.0.as_ref().is_some_and(|o| o.ops.session == session)
    }

    /// Where it leads.
    pub(super) fn addr(&self) -> EntityAddr {
        self.0.as_ref().map_or(EntityAddr::BLANK, |o| o.addr)
    }

    /// Queues a message. `ENOTCONN` if there is no connection.
    pub(super) fn send(&self, typ: u16, version: u16, tid: u64, front: KVec<u8>) -> Result {
        let open = self.0.as_ref().ok_or(ENOTCONN)?;
        let message = PlainMessage::shared(typ, version, COMPAT, tid, front)?;
        open.ops.queue.lock().push(message, GFP_KERNEL)?;
        open.con.kick_later();
        Ok(())
    }

    /// The connection, for what must not be done with locks held.
    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        self.0.as_ref().map(|o| o.con.clone())
    }

    /// For how long nothing was heard of the monitor, in ns.
    pub(super) fn silence(&self, now: u64) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |o| now.saturating_sub(o.con.last_heard().max(o.since)))
    }
}

/// What the connection knows of its owner.
#[pin_data]
struct LinkOps {
    client: Arc<MonClient>,
    session: u64,
    /// Messages not sent yet, oldest first. Nothing is taken inside.
    #[pin]
    queue: Mutex<KVec<Arc<dyn Outgoing>>>,
}

impl ConnectionOps for LinkOps {
    fn next_message(&self) -> Option<Arc<dyn Outgoing>> {
        self.queue.lock().remove(0).ok()
    }

    fn data_target(&self, _header: &MsgHeader, _front: &[u8]) -> DataTarget {
        // Only answers to commands carry data, which say nothing we ask for. They are received all the
        // same, since a message that is passed over is not verified.
        DataTarget::Buffer
    }

    fn dispatch(&self, msg: Incoming<'_>) -> ProtoResult {
        self.client
            .on_message(self.session, msg.con, msg.header, msg.front);
        Ok(())
    }

    fn opened(&self, con: &Arc<Connection>, _global_id: u64) {
        self.client.on_open(self.session, con);
    }

    fn keepalive_acked(&self, _sent: Timespec) {
        // Silence is measured by any bytes received.
    }

    fn fault(&self, error: Error, step: &'static str) -> Recovery {
        // What was to be said belonged to the handshake that failed.
        self.queue.lock().clear();
        self.client.on_fault(self.session, error, step)
    }
}
