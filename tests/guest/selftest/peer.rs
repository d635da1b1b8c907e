// SPDX-License-Identifier: GPL-2.0-only

//! A connection to `serve.py`, with waiting built on the socket's events, so that an event lost is a
//! test failed.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc,
    },
};
use net_ceph::abstractions::{
    data::DataCursor,
    errno::ECONNRESET,
    netns::NetNs,
    socket::{Socket, SocketEvents, SocketState},
    time,
    wait::sleep_ms,
    workqueue::Queue,
};

use crate::work::Item;

/// Where `serve.py` listens.
pub(crate) const PORT: u16 = 45678;

/// Counts of what happened.
#[derive(Default)]
pub(crate) struct Events {
    readable: Counter,
    writable: Counter,
    pub(crate) changes: Counter,
    /// Queued by each event, as a connection does with its work.
    poke: Option<(Arc<Queue>, Arc<Item>)>,
}

impl Events {
    fn poke(&self) {
        if let Some((queue, item)) = &self.poke {
            queue.mod_delayed(item, 0);
        }
    }
}

pub(crate) struct Counter(Atomic<i32>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    fn bump(&self) {
        self.0.fetch_add(1, Full);
    }

    fn now(&self) -> i32 {
        self.0.load(Relaxed)
    }

    /// Waits until it is not `seen`.
    fn wait(&self, seen: i32) -> Result {
        let start = time::boot_ns();
        while self.now() == seen {
            if time::boot_ns() - start > 90_000_000_000 {
                return Err(ETIMEDOUT);
            }
            sleep_ms(1);
        }
        Ok(())
    }
}

impl SocketEvents for Events {
    fn data_ready(&self) {
        self.readable.bump();
        self.poke();
    }

    fn write_space(&self) {
        self.writable.bump();
        self.poke();
    }

    fn state_changed(&self, _state: SocketState) {
        self.changes.bump();
        self.poke();
    }
}

pub(crate) struct Peer {
    pub(crate) socket: Socket<Events>,
    pub(crate) events: Arc<Events>,
    /// How often a call had to wait for an event.
    pub(crate) waits: usize,
}

impl Peer {
    pub(crate) fn begin(
        ip: IpAddr,
        port: u16,
        poke: Option<(Arc<Queue>, Arc<Item>)>,
    ) -> Result<Self> {
        let events = Arc::new(
            Events {
                poke,
                ..Default::default()
            },
            GFP_KERNEL,
        )?;
        let addr = SocketAddr::new(ip, port);
        let socket = Socket::connect(&NetNs::current(), &addr, true, events.clone())?;
        Ok(Self {
            socket,
            events,
            waits: 0,
        })
    }

    /// Waits for `state`.
    pub(crate) fn wait_state(&self, state: SocketState) -> Result {
        loop {
            let seen = self.events.changes.now();
            if self.socket.state() == state {
                return Ok(());
            }
            self.events.changes.wait(seen)?;
        }
    }

    /// Connects to `serve.py` at `ip` and sends what it shall do.
    pub(crate) fn connect(ip: IpAddr, mode: u8) -> Result<Self> {
        Self::begin(ip, PORT, None)?.start(mode)
    }

    /// Waits until connected, and sends what the peer shall do.
    pub(crate) fn start(mut self, mode: u8) -> Result<Self> {
        self.wait_state(SocketState::Connected)?;
        self.send_all(&[mode])?;
        Ok(self)
    }

    pub(crate) fn local(mode: u8) -> Result<Self> {
        Self::connect(IpAddr::V4(Ipv4Addr::LOCALHOST), mode)
    }

    fn sending(&mut self, mut f: impl FnMut(&Socket<Events>) -> Result<usize>) -> Result<usize> {
        loop {
            let seen = self.events.writable.now();
            match f(&self.socket) {
                Err(e) if e == EAGAIN => {
                    self.waits += 1;
                    self.events.writable.wait(seen)?;
                }
                other => return other,
            }
        }
    }

    fn receiving(&mut self, mut f: impl FnMut(&Socket<Events>) -> Result<usize>) -> Result<usize> {
        loop {
            let seen = self.events.readable.now();
            match f(&self.socket) {
                Err(e) if e == EAGAIN => {
                    self.waits += 1;
                    self.events.readable.wait(seen)?;
                }
                other => return other,
            }
        }
    }

    pub(crate) fn send_all(&mut self, mut bytes: &[u8]) -> Result {
        while !bytes.is_empty() {
            let n = self.sending(|s| s.send(&[bytes], false))?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    pub(crate) fn send_data(&mut self, mut data: DataCursor) -> Result {
        while !data.is_empty() {
            let max = data.remaining();
            self.sending(|s| s.send_data(&mut data, max, false))?;
        }
        Ok(())
    }

    /// Receives some bytes; 0 at the end.
    pub(crate) fn recv(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.receiving(|s| s.recv(buf))
    }

    pub(crate) fn recv_all(&mut self, mut buf: &mut [u8]) -> Result {
        while !buf.is_empty() {
            let n = self.recv(buf)?;
            if n == 0 {
                return Err(ECONNRESET);
            }
            buf = &mut buf[n..];
        }
        Ok(())
    }

    pub(crate) fn recv_data(&mut self, mut data: DataCursor) -> Result {
        while !data.is_empty() {
            let max = data.remaining();
            if self.receiving(|s| s.recv_data(&mut data, max))? == 0 {
                return Err(ECONNRESET);
            }
        }
        Ok(())
    }
}
