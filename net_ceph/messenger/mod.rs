// SPDX-License-Identifier: GPL-2.0-only

//! The messenger: connections to monitors and OSDs.
//!
//! - this file: what all connections of one client instance share
//! - [`ops`]: what the owner of a connection provides, and what it is told
//! - [`outgoing`]: messages to be sent
//! - [`connection`]: one connection: socket, state, work item
//! - [`advance`]: what the holder of its lock does with it
//! - [`receive`] and [`transmit`]: the two directions of a connection
//!
//! The protocol itself is a state machine without I/O, `proto::session`.

mod advance;
mod connection;
mod ops;
mod outgoing;
mod receive;
mod transmit;

pub use connection::Connection;
pub use ops::{ConnectionOps, DataTarget, Incoming, Recovery};
pub use outgoing::{OutParts, Outgoing, PlainMessage};

pub(crate) use transmit::COPY_MAX;

use crate::abstractions::crypto::random_u64;
use crate::abstractions::netns::NetNs;
use crate::abstractions::workqueue::{Queue, QueueFlags};
use crate::proto::types::{features, AddrType, EntityAddr};
use core::net::SocketAddr;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        Arc, Mutex,
    },
};

/// What the options say about connections.
pub struct MessengerConfig {
    /// Our address as others shall see it (the `ip` option); otherwise it is learnt.
    pub my_ip: Option<SocketAddr>,
    /// Send small segments at once.
    pub nodelay: bool,
    /// Protect data by CRC where that is a choice (msgr1).
    pub data_crc: bool,
    /// Sign messages where the peer can (msgr1), and require that it can.
    pub sign_messages: bool,
    /// Receive data into a buffer of the connection first, so that whoever writes to the memory that they
    /// are for does not break their checksum.
    pub rx_bounce: bool,
    /// msgr2: connection modes, best first (`CON_MODE_*`).
    pub con_modes: &'static [u32],
    /// Where the sockets live.
    pub netns: ARef<NetNs>,
}

/// What the connections of one client instance share.
#[pin_data]
pub struct Messenger {
    config: MessengerConfig,
    queue: Arc<Queue>,
    /// Our address as far as it is known. Nothing is taken inside.
    #[pin]
    my_addr: Mutex<EntityAddr>,
    global_seq: Atomic<u64>,
}

impl Messenger {
    /// A messenger with a random nonce. Sleeps.
    pub fn new(config: MessengerConfig, queue: Arc<Queue>) -> Result<Arc<Self>> {
        // Half of a random number; the nonce tells instances behind one address apart.
        let nonce = (random_u64() >> 32) as u32;
        let my_addr = EntityAddr {
            kind: AddrType::ANY,
            nonce,
            sock: config.my_ip,
        };
        Arc::pin_init(
            pin_init!(Self {
                config,
                queue,
                my_addr <- new_mutex!(my_addr),
                global_seq: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// The queue that the work items of connections and clients run on: `WQ_MEM_RECLAIM`.
    pub fn new_queue() -> Result<Arc<Queue>> {
        let queue = Queue::new(c"ceph-msgr", QueueFlags::PER_CPU, 0)?;
        Ok(Arc::new(queue, GFP_KERNEL)?)
    }

    /// The work queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Our address: the nonce at first, the IP address once a peer told it.
    pub fn my_addr(&self) -> EntityAddr {
        *self.my_addr.lock()
    }

    fn learn_my_addr(&self, addr: EntityAddr) {
        let mut mine = self.my_addr.lock();
        if mine.is_blank() && !addr.is_blank() {
            *mine = addr;
        }
    }

    fn next_global_seq(&self) -> u64 {
        self.global_seq.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// A peer knows of `seq` already: the next must be higher.
    fn raise_global_seq(&self, seq: u64) {
        let mut now = self.global_seq.load(Relaxed);
        while now < seq {
            match self.global_seq.cmpxchg(now, seq, Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
    }

    fn required_features(&self) -> u64 {
        if self.config.sign_messages {
            features::REQUIRED_DEFAULT | features::MSG_AUTH
        } else {
            features::REQUIRED_DEFAULT
        }
    }
}
