// SPDX-License-Identifier: GPL-2.0-only

//! What the holder of a connection's lock does: connects, shakes hands, receives and sends.

use super::connection::{Connection, Core, Events, Fault, State, NSEC_PER_MSEC};
use super::ops::{DataTarget, Incoming};
use super::receive::DataState;
use crate::abstractions::crypto::KernelCrypto;
use crate::abstractions::errno::{ECONNREFUSED, ECONNRESET, ESHUTDOWN};
use crate::abstractions::socket::{Socket, SocketState};
use crate::abstractions::time::{boot_ns, msecs, wall_time};
use crate::proto::session::Rx;
use crate::proto::types::Timespec;
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc},
};

/// How long a handshake may take, in milliseconds.
const HANDSHAKE_MS: u64 = 30_000;
/// How long to wait before a socket that had no memory for us is tried again, in milliseconds.
const MEMORY_MS: u64 = 20;
/// Messages taken before sending has its turn.
const RECEIVE_BUDGET: u32 = 256;

impl Connection {
    pub(super) fn advance(self: &Arc<Self>, core: &mut Core) -> Result<(), Fault> {
        loop {
            match core.state {
                State::Closed => return Ok(()),
                State::Standby => {
                    if self.wake.xchg(0, Relaxed) == 0 {
                        return Ok(());
                    }
                    core.state = State::Preopen;
                    core.deadline = 0;
                }
                State::Preopen => {
                    if !self.due(core) {
                        return Ok(());
                    }
                    self.connect(core)?;
                }
                State::Connecting => {
                    let socket = core.socket.as_ref();
                    match socket.map(Socket::state) {
                        Some(SocketState::Connecting) => return self.in_time(core),
                        Some(SocketState::Connected) => self.begin_handshake(core)?,
                        _ => {
                            let error = socket.and_then(Socket::take_error);
                            return Err(Fault::new(error.unwrap_or(ECONNREFUSED), "connect"));
                        }
                    }
                }
                State::Negotiating | State::Open => {
                    let more = self.receive(core)?;
                    // What has to be sent may have to be tried again sooner than time is over.
                    self.transmit(core)?;
                    if core.state == State::Negotiating {
                        self.in_time(core)?;
                    }
                    if more {
                        self.kick_later();
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Whether the pause before the next attempt is over; if not, comes back then.
    fn due(self: &Arc<Self>, core: &Core) -> bool {
        let left = core.deadline.saturating_sub(boot_ns());
        if left > 0 {
            let ms = (left / NSEC_PER_MSEC).saturating_add(1);
            // A run that somebody asked for meanwhile must not be put off: it comes back here.
            let _ = self
                .messenger
                .queue()
                .enqueue_delayed(self.clone(), msecs(ms));
        }
        left == 0
    }

    /// Fails once connecting has taken too long; comes back then.
    fn in_time(self: &Arc<Self>, core: &Core) -> Result<(), Fault> {
        if self.due(core) {
            return Err(Fault::new(ETIMEDOUT, "handshake took too long"));
        }
        Ok(())
    }

    fn connect(self: &Arc<Self>, core: &mut Core) -> Result<(), Fault> {
        core.state = State::Connecting;
        core.deadline = boot_ns().saturating_add(HANDSHAKE_MS.saturating_mul(NSEC_PER_MSEC));
        let addr = core
            .peer
            .sock
            .ok_or(Fault::new(EINVAL, "peer has no address"))?;
        let config = &self.messenger.config;
        let connected = Arc::new(Events(self.clone()), GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|events| Socket::connect(&config.netns, &addr, config.nodelay, events));
        core.socket = Some(connected.map_err(|e| Fault::new(e, "connect"))?);
        Ok(())
    }

    fn begin_handshake(&self, core: &mut Core) -> Result<(), Fault> {
        core.state = State::Negotiating;
        let seq = self.messenger.next_global_seq();
        if let Some(session) = core.session.as_mut() {
            session.set_global_id(self.global_id.load(Relaxed));
            session.connected(seq, core.tx.end())?;
        }
        Ok(())
    }

    /// Sends what is queued and what the owner has, as far as the socket takes it.
    pub(super) fn transmit(self: &Arc<Self>, core: &mut Core) -> Result<(), Fault> {
        let Core {
            state,
            ops: Some(ops),
            session: Some(session),
            socket: Some(socket),
            tx,
            ..
        } = core
        else {
            return Ok(());
        };
        if *state == State::Open && self.keepalive.xchg(0, Relaxed) != 0 {
            let now = wall_time();
            let stamp = Timespec {
                sec: now.sec as u32,
                nsec: now.nsec,
            };
            session.encode_keepalive(stamp, tx.end())?;
        }
        loop {
            while *state == State::Open && tx.has_room() {
                let Some(message) = ops.next_message() else {
                    break;
                };
                tx.add(session, &*message)
                    .map_err(|e| Fault::new(e, "encoding a message"))?;
            }
            if tx.is_empty() && *state == State::Open && session.ack_due() {
                session.encode_ack(tx.end())?;
            }
            if tx.is_empty() {
                return Ok(());
            }
            if !tx.flush(socket).map_err(|e| Fault::new(e, "send"))? {
                // Room is announced when the peer acknowledges something. If it has nothing to acknowledge,
                // memory was missing, and nobody need tell when there is some again.
                // A run that is due already is not put off: what it receives may be in that memory.
                if !socket.has_unacknowledged() {
                    let queue = self.messenger.queue();
                    let _ = queue.enqueue_delayed(self.clone(), msecs(MEMORY_MS));
                }
                return Ok(());
            }
        }
    }

    /// Takes what has arrived. `Ok(true)`: there may be more.
    fn receive(self: &Arc<Self>, core: &mut Core) -> Result<bool, Fault> {
        core.rx.wake();
        for _ in 0..RECEIVE_BUDGET {
            let Some(socket) = core.socket.as_ref() else {
                return Ok(false);
            };
            match core.rx.data(socket).map_err(|e| Fault::new(e, "receive"))? {
                DataState::Blocked => {
                    self.heard();
                    return Ok(false);
                }
                DataState::Complete(crc) => {
                    self.heard();
                    if let Some(session) = core.session.as_mut() {
                        session.data_received(crc)?;
                    }
                }
                DataState::Idle => {}
            }
            if let Some(total) = self.parse(core)? {
                if core.rx.is_drained() {
                    return Ok(false);
                }
                let Some(socket) = core.socket.as_ref() else {
                    return Ok(false);
                };
                match core.rx.fill(socket, total) {
                    Ok(0) => return Err(Fault::new(ECONNRESET, "socket closed")),
                    Ok(_) => self.heard(),
                    Err(e) if e == EAGAIN => return Ok(false),
                    Err(e) => return Err(Fault::new(e, "receive")),
                }
            }
        }
        Ok(true)
    }

    fn heard(&self) {
        self.last_heard.store(boot_ns(), Relaxed);
    }

    /// Lets the session look at the input once. `Some(total)`: it needs as many bytes.
    fn parse(self: &Arc<Self>, core: &mut Core) -> Result<Option<usize>, Fault> {
        let Core {
            ops: Some(ops),
            session: Some(session),
            auth,
            rx,
            tx,
            ..
        } = core
        else {
            return Err(Fault::new(ESHUTDOWN, "connection closed"));
        };
        let input = rx.input();
        let (consumed, event) = session.receive(input, &mut **auth, &KernelCrypto, tx.end())?;
        match event {
            Rx::NeedMore { total } => {
                rx.consume(consumed);
                return Ok(Some(total));
            }
            // What was sent and not answered is the owner's, who has it sent again once the session is open.
            Rx::Progress | Rx::Acked { .. } | Rx::SessionReset => rx.consume(consumed),
            Rx::Opened { .. } => {
                rx.consume(consumed);
                self.messenger.learn_my_addr(session.my_addr());
                self.messenger.raise_global_seq(session.global_seq());
                core.state = State::Open;
                core.backoff_ms = 0;
                self.open.store(1, Relaxed);
                // The end of the time for the handshake must not be waited for: see `socket_ready`.
                self.kick_later();
                ops.opened(self, session.global_id());
            }
            Rx::KeepaliveAck { stamp } => {
                rx.consume(consumed);
                ops.keepalive_acked(stamp);
            }
            Rx::Message { header, front, .. } if header.data_len == 0 => {
                ops.dispatch(Incoming {
                    header: &header,
                    front,
                    data: KVVec::new(),
                    con: self,
                })?;
                rx.consume(consumed);
                rx.begin_plain();
            }
            Rx::Message {
                header,
                front,
                data_crc_seed: seed,
                ..
            } => {
                let place = rx.range_of(front);
                let target = ops.data_target(&header, front);
                rx.consume(consumed);
                if let DataTarget::Skip = target {
                    session.skip_data()?;
                } else {
                    let checked = session.wants_data_crc();
                    rx.begin(consumed, header, place, target, seed, checked)
                        .map_err(|e| Fault::new(e, "more data than asked for"))?;
                }
            }
            Rx::MessageEnd => {
                rx.consume(consumed);
                let taken = rx.finish(|header, front, data| {
                    ops.dispatch(Incoming {
                        header,
                        front,
                        data,
                        con: self,
                    })
                });
                taken.unwrap_or(Ok(()))?;
            }
            Rx::Closed => return Err(Fault::new(ECONNRESET, "peer closed the session")),
            Rx::Retry => return Err(Fault::new(ECONNRESET, "peer asks to connect again")),
        }
        Ok(None)
    }
}
