// SPDX-License-Identifier: GPL-2.0-only

//! One connection: its socket, its state, and the work item that drives both.
//!
//! All of a connection's state belongs to whoever holds [`Connection`]'s lock: the work item, or a task
//! that sends in place. Others say what they want through [`Control`] or the kick mark, and the holder
//! looks at both before and after it lets go of the lock.

use super::ops::{ConnectionOps, Recovery};
use super::receive::Receive;
use super::transmit::Transmit;
use super::Messenger;
use crate::abstractions::crc32c::crc32c;
use crate::abstractions::errno::ECONNRESET;
use crate::abstractions::socket::{Socket, SocketEvents, SocketState};
use crate::abstractions::task::NoIoScope;
use crate::abstractions::time::boot_ns;
use crate::abstractions::workqueue::cancel_sync;
use crate::proto::auth::ConnectionAuth;
use crate::proto::error::ProtoError;
use crate::proto::session::{Limits, Protocol, Session, SessionConfig};
use crate::proto::types::{features, AddrType, EntityAddr, EntityType};
use kernel::{
    fmt, impl_has_delayed_work, new_delayed_work, new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc, Mutex, MutexGuard,
    },
    workqueue::{DelayedWork, WorkItem},
};

/// First pause before connecting again, in milliseconds (`BASE_DELAY_INTERVAL`, Linux
/// `include/linux/ceph/messenger.h`).
const BACKOFF_MIN_MS: u64 = 250;
/// Longest pause (`MAX_DELAY_INTERVAL`).
const BACKOFF_MAX_MS: u64 = 15_000;
/// Nanoseconds in a millisecond.
pub(super) const NSEC_PER_MSEC: u64 = 1_000_000;

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not to be opened.
    Closed,
    /// To be opened, after a pause if it failed before.
    Preopen,
    /// The socket is connecting.
    Connecting,
    /// The handshake is in progress.
    Negotiating,
    /// Messages pass.
    Open,
    /// Failed, and opened again once there is something to send.
    Standby,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Preopen => "PREOPEN",
            Self::Connecting => "CONNECTING",
            Self::Negotiating => "NEGOTIATING",
            Self::Open => "OPEN",
            Self::Standby => "STANDBY",
        }
    }
}

/// What the owner wants of the connection.
enum Control {
    Nothing,
    Open { addr: EntityAddr, global_id: u64 },
    Shutdown,
}

/// Why a connection failed.
pub(super) struct Fault {
    error: Error,
    step: &'static str,
    /// What the peer did wrong, if that is why.
    wrong: Option<ProtoError>,
}

impl Fault {
    pub(super) fn new(error: Error, step: &'static str) -> Self {
        Self {
            error,
            step,
            wrong: None,
        }
    }
}

impl From<ProtoError> for Fault {
    fn from(e: ProtoError) -> Self {
        Self {
            wrong: Some(e),
            ..Self::new(e.to_errno(), e.step)
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wrong {
            Some(e) => e.fmt(f),
            None => f.write_str(self.step),
        }
    }
}

/// What the connection's lock guards.
pub(super) struct Core {
    pub(super) state: State,
    pub(super) ops: Option<Arc<dyn ConnectionOps>>,
    pub(super) auth: KBox<dyn ConnectionAuth + Send>,
    /// Present from `Preopen` on.
    pub(super) session: Option<Session>,
    pub(super) socket: Option<Socket<Events>>,
    pub(super) rx: Receive,
    pub(super) tx: Transmit,
    pub(super) peer: EntityAddr,
    /// The pause before the next attempt, in milliseconds; 0 after a success.
    pub(super) backoff_ms: u64,
    /// When the next attempt is due, or the handshake must be done, in ns since boot.
    pub(super) deadline: u64,
}

/// A connection to one peer.
#[pin_data]
pub struct Connection {
    pub(super) messenger: Arc<Messenger>,
    pub(super) peer_type: EntityType,
    #[pin]
    work: DelayedWork<Connection>,
    /// Guards what is wanted. Nothing is taken inside.
    #[pin]
    control: Mutex<Control>,
    /// "The connection's lock". Inside, the owner's locks are taken.
    #[pin]
    core: Mutex<Core>,
    /// Set when there is something to do for the holder of the lock.
    kicked: Atomic<u32>,
    /// Set when there is something to send and the connection is not open.
    pub(super) wake: Atomic<u32>,
    /// Set when a keepalive is to be sent.
    pub(super) keepalive: Atomic<u32>,
    pub(super) open: Atomic<u32>,
    pub(super) last_heard: Atomic<u64>,
    pub(super) global_id: Atomic<u64>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Connection { self.work }
}

impl WorkItem for Connection {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _noio = NoIoScope::enter();
        let core = this.core.lock();
        this.process(core, Self::work);
    }
}

/// Tells the connection of what happens to its socket.
pub(super) struct Events(pub(super) Arc<Connection>);

impl SocketEvents for Events {
    fn data_ready(&self) {
        self.0.socket_ready();
    }

    fn write_space(&self) {
        self.0.socket_ready();
    }

    fn state_changed(&self, state: SocketState) {
        if state != SocketState::Connecting {
            self.0.kick_later();
        }
    }
}

impl Connection {
    /// A closed connection for `ops`, which it keeps until [`close`](Self::close). Sleeps.
    pub fn new(
        messenger: Arc<Messenger>,
        peer_type: EntityType,
        ops: Arc<dyn ConnectionOps>,
        auth: KBox<dyn ConnectionAuth + Send>,
    ) -> Result<Arc<Self>> {
        let core = Core {
            state: State::Closed,
            ops: Some(ops),
            auth,
            session: None,
            socket: None,
            rx: Receive::new(messenger.config.rx_bounce)?,
            tx: Transmit::new()?,
            peer: EntityAddr::BLANK,
            backoff_ms: 0,
            deadline: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                messenger,
                peer_type,
                work <- new_delayed_work!("net_ceph::Connection::work"),
                control <- new_mutex!(Control::Nothing, "net_ceph::Connection::control"),
                core <- new_mutex!(core, "net_ceph::Connection::core"),
                kicked: Atomic::new(0),
                wake: Atomic::new(0),
                keepalive: Atomic::new(0),
                open: Atomic::new(0),
                last_heard: Atomic::new(0),
                global_id: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Wants a connection to `addr`, whose kind says which protocol is spoken, as the client of this
    /// number (0: not known yet). One that exists is dropped. Does not wait; any process context.
    pub fn open(self: &Arc<Self>, addr: EntityAddr, global_id: u64) {
        self.want(Control::Open { addr, global_id });
    }

    /// Wants the connection closed for good. Does not wait: calls in progress may still reach the owner.
    pub fn shutdown(self: &Arc<Self>) {
        self.want(Control::Shutdown);
    }

    fn want(self: &Arc<Self>, control: Control) {
        *self.control.lock() = control;
        self.kick_later();
    }

    /// Closes the connection for good: afterwards the owner is not called, and is let go of. Waits for a
    /// call in progress. Not with a lock held that the owner takes when called, nor from such a call.
    pub fn close(self: &Arc<Self>) {
        let _noio = NoIoScope::enter();
        *self.control.lock() = Control::Shutdown;
        let mut core = self.core.lock();
        let ops = self.obey(&mut core);
        drop(core);
        drop(ops);
        cancel_sync(self);
    }

    /// The owner has something to send: sends it from here if the connection is open and nobody is busy
    /// with it, else whoever is will. Does not wait for the lock, but may sleep on memory. Not with a lock
    /// held that the owner takes when called.
    pub fn kick(self: &Arc<Self>) {
        self.kicked.xchg(1, Full);
        if self.open.load(Relaxed) == 0 {
            self.wake.store(1, Relaxed);
            self.kick_later();
        } else if let Some(core) = self.core.try_lock() {
            let _noio = NoIoScope::enter();
            self.process(core, Self::send);
        }
    }

    /// As [`kick`](Self::kick), by the work item. Any context.
    pub fn kick_later(self: &Arc<Self>) {
        self.messenger.queue().mod_delayed(self, 0);
    }

    /// The socket has input or room. While the connection is open the work item is never put off, so one that
    /// is pending need not be moved, which costs more than to leave it.
    fn socket_ready(self: &Arc<Self>) {
        if self.open.load(Relaxed) == 0 {
            return self.kick_later();
        }
        // It is pending already if this fails.
        let _ = self.messenger.queue().enqueue_delayed(self.clone(), 0);
    }

    /// Sends a keepalive soon. Any context.
    pub fn send_keepalive(self: &Arc<Self>) {
        self.keepalive.store(1, Relaxed);
        self.kick_later();
    }

    /// Drops the TCP connection if it is in the middle of this transaction's message, in either direction, or,
    /// if its message may be `queued`, there is any that has not left or is not acknowledged: afterwards no page of its
    /// data is in use, and it does not get to the peer if it has not by now. Sleeps; not from a call to the owner.
    pub fn withdraw(self: &Arc<Self>, tid: u64, queued: bool) {
        let _noio = NoIoScope::enter();
        let mut core = self.core.lock();
        let on_its_way = |socket: &Socket<_>| !core.tx.is_empty() || socket.has_unacknowledged();
        if core.rx.is_busy_with(tid)
            || core.tx.is_busy_with(tid)
            || queued && core.state == State::Open && core.socket.as_ref().is_some_and(on_its_way)
        {
            if let Some(socket) = &core.socket {
                socket.drop_unsent();
            }
            self.fail(&mut core, Fault::new(ECONNRESET, "request withdrawn"));
        }
        self.process(core, Self::nothing);
        // Who had something to send found the lock taken, and relies on us.
        self.kick_later();
    }

    /// When bytes were received last, in ns since boot; 0 if never.
    pub fn last_heard(&self) -> u64 {
        self.last_heard.load(Relaxed)
    }

    /// Our number, learnt from the peer by a message.
    pub fn set_global_id(&self, global_id: u64) {
        self.global_id.store(global_id, Relaxed);
    }

    /// Does `f` with the lock, and again for as long as somebody wanted something meanwhile.
    fn process<'a>(
        self: &'a Arc<Self>,
        mut core: MutexGuard<'a, Core>,
        f: impl Fn(&Arc<Self>, &mut Core),
    ) {
        loop {
            self.kicked.store(0, Relaxed);
            // Let go of outside the lock: the owner may be the last to hold much.
            let released = self.obey(&mut core);
            f(self, &mut core);
            drop(core);
            drop(released);
            if self.kicked.xchg(0, Full) == 0 {
                return;
            }
            // Before the lock is looked at: whoever has it then sees this when they have let go of it.
            self.kicked.xchg(1, Full);
            match self.core.try_lock() {
                Some(again) => core = again,
                None => return,
            }
        }
    }

    fn nothing(self: &Arc<Self>, _core: &mut Core) {}

    /// Does what the owner wants; returns what is to be dropped outside the lock.
    fn obey(self: &Arc<Self>, core: &mut Core) -> Option<Arc<dyn ConnectionOps>> {
        let control = core::mem::replace(&mut *self.control.lock(), Control::Nothing);
        match control {
            Control::Nothing => None,
            Control::Shutdown => {
                self.disconnect(core);
                core.session = None;
                core.state = State::Closed;
                core.ops.take()
            }
            Control::Open { addr, global_id } => {
                if core.ops.is_some() {
                    self.disconnect(core);
                    self.global_id.store(global_id, Relaxed);
                    core.session = self.new_session(addr, global_id);
                    core.peer = addr;
                    core.backoff_ms = 0;
                    core.deadline = 0;
                    core.state = State::Preopen;
                    self.kick_later();
                }
                None
            }
        }
    }

    fn new_session(&self, peer_addr: EntityAddr, global_id: u64) -> Option<Session> {
        let config = &self.messenger.config;
        let protocol = if peer_addr.kind == AddrType::LEGACY {
            Protocol::Msgr1
        } else {
            Protocol::Msgr2
        };
        let session = SessionConfig {
            global_id,
            my_addr: self.messenger.my_addr(),
            peer_type: self.peer_type,
            peer_addr,
            supported_features: features::SUPPORTED_DEFAULT,
            required_features: self.messenger.required_features(),
            con_modes: config.con_modes,
            data_crc: config.data_crc,
            sign_messages: config.sign_messages,
            limits: Limits::DEFAULT,
            crc32c,
        };
        Some(Session::new(session, protocol))
    }

    fn disconnect(&self, core: &mut Core) {
        self.open.store(0, Relaxed);
        if let Some(socket) = core.socket.take() {
            // Nobody could end what the network would go on sending, of pages that are not ours any more.
            if socket.has_unacknowledged() {
                socket.drop_unsent();
            }
        }
        core.rx.reset();
        core.tx.reset();
        if let Some(session) = core.session.as_mut() {
            session.disconnected();
        }
    }

    /// The connection failed: the owner says what next.
    fn fail(self: &Arc<Self>, core: &mut Core, fault: Fault) {
        let state = core.state;
        self.disconnect(core);
        core.state = State::Closed;
        let Some(ops) = core.ops.clone() else {
            return;
        };
        // Only the first of a row of failures is worth a line.
        if core.backoff_ms == 0 {
            pr_info!(
                "{} {}: {} ({}, con state {})\n",
                self.peer_name(),
                core.peer,
                fault,
                fault.error.to_errno(),
                state.name()
            );
        }
        match ops.fault(fault.error, fault.step) {
            Recovery::Close => {}
            Recovery::Standby => core.state = State::Standby,
            Recovery::Reconnect => {
                core.backoff_ms = core
                    .backoff_ms
                    .saturating_mul(2)
                    .clamp(BACKOFF_MIN_MS, BACKOFF_MAX_MS);
                self.reopen_in(core, core.backoff_ms);
            }
        }
    }

    fn peer_name(&self) -> &'static str {
        match self.peer_type {
            EntityType::MON => "mon",
            EntityType::OSD => "osd",
            _ => "peer",
        }
    }

    fn reopen_in(self: &Arc<Self>, core: &mut Core, ms: u64) {
        core.state = State::Preopen;
        core.deadline = boot_ns().saturating_add(ms.saturating_mul(NSEC_PER_MSEC));
        // The work item sees how long it has to wait.
        self.kick_later();
    }

    /// The work item's part: everything there is to do.
    fn work(self: &Arc<Self>, core: &mut Core) {
        if let Err(fault) = self.advance(core) {
            self.fail(core, fault);
        }
    }

    /// A sender's part: only sending, over an open connection.
    fn send(self: &Arc<Self>, core: &mut Core) {
        if core.state != State::Open {
            self.wake.store(1, Relaxed);
            self.kick_later();
        } else if let Err(fault) = self.transmit(core) {
            self.fail(core, fault);
        }
    }
}
