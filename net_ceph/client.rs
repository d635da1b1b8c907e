// SPDX-License-Identifier: GPL-2.0-only

//! A client instance: one entity's session with one cluster, shared by the mappings whose configuration
//! is identical.

use crate::abstractions::module_slot::{Filled, ModuleSlot};
use crate::abstractions::netns::NetNs;
use crate::abstractions::workqueue::Queue;
use crate::auth::Auth;
use crate::debugfs::{DebugDir, DebugFiles};
use crate::messenger::{Messenger, MessengerConfig};
use crate::mon_client::{Always, MonClient, MonConfig, Patience};
use crate::options::Options;
use crate::osd_client::{Group, OsdClient, OsdConfig};
use crate::proto::auth::CON_MODE_CRC;
use crate::proto::osdmap::OsdMap;
use crate::proto::types::{AddrType, EntityAddr, Fsid};
use core::net::SocketAddr;
use core::ops::Deref;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Full},
        Arc, Mutex,
    },
};

/// The instances there are, while the module is loaded.
static CLIENTS: ModuleSlot<Clients> = ModuleSlot::new();

/// A client instance.
#[pin_data]
pub struct Client {
    options: Options,
    netns: ARef<NetNs>,
    messenger: Arc<Messenger>,
    auth: Arc<Auth>,
    mon: Arc<MonClient>,
    osd: Arc<OsdClient>,
    /// Present while the client has a cluster. Nothing is taken inside.
    #[pin]
    debug: Mutex<Option<DebugFiles>>,
}

/// All instances, and what they share. The module's exit drops it.
#[pin_data]
pub struct Clients {
    queue: SharedQueue,
    debug: DebugDir,
    /// Held while an instance is made, which allocates. An instance's monitor map lock is taken inside.
    #[pin]
    list: Mutex<KVec<Entry>>,
}

struct Entry {
    client: Arc<Client>,
    users: usize,
}

/// The queue of all instances. Items of connections that were given up may have a reference, but not the last.
struct SharedQueue(Arc<Queue>);

impl Drop for SharedQueue {
    fn drop(&mut self) {
        self.0.flush();
    }
}

impl Clients {
    /// Makes [`Client::get`] work until what this returns is dropped.
    pub fn register() -> Result<Filled<Clients>> {
        let clients = Arc::pin_init(
            try_pin_init!(Self {
                queue: SharedQueue(Messenger::new_queue()?),
                debug: DebugDir::new()?,
                list <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )?;
        CLIENTS.fill(clients)
    }

    /// An instance with this configuration in this namespace: one in use already, or a new one, which is
    /// to be started (`true`).
    fn find_or_add(&self, options: Options, netns: ARef<NetNs>) -> Result<(ClientRef, bool)> {
        let mut list = self.list.lock();
        let found = list
            .iter_mut()
            .find(|e| *e.client.netns == *netns && e.client.serves(&options));
        if let Some(entry) = found {
            entry.users = entry.users.saturating_add(1);
            return Ok((ClientRef::new(entry.client.clone()), false));
        }
        list.reserve(1, GFP_KERNEL)?;
        let client = Client::new(options, netns, self.queue.0.clone())?;
        let entry = Entry {
            client: client.clone(),
            users: 1,
        };
        list.push(entry, GFP_KERNEL)?;
        Ok((ClientRef::new(client), true))
    }

    /// One user less; says whether it was the last.
    fn put(&self, client: &Arc<Client>) -> bool {
        let mut list = self.list.lock();
        let Some(at) = list.iter().position(|e| Arc::ptr_eq(&e.client, client)) else {
            return false;
        };
        if let Some(entry) = list.get_mut(at) {
            entry.users = entry.users.saturating_sub(1);
            if entry.users > 0 {
                return false;
            }
        }
        // The entry's reference is not the last: the caller has one.
        list.remove(at).is_ok()
    }
}

/// A user's hold on an instance; the last one to let go ends it.
pub struct ClientRef {
    client: Arc<Client>,
    released: Atomic<u32>,
}

impl ClientRef {
    fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            released: Atomic::new(0),
        }
    }

    /// Lets go of the instance, as dropping this does, while others may still look at it. Sleeps, but
    /// for nobody outside of this machine.
    pub fn release(&self) {
        if self.released.xchg(1, Full) == 0
            && CLIENTS
                .get()
                .is_some_and(|clients| clients.put(&self.client))
        {
            self.client.shutdown();
        }
    }
}

impl Deref for ClientRef {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for ClientRef {
    fn drop(&mut self) {
        self.release();
    }
}

impl Client {
    /// The instance for `options`, of the current task's network namespace: one that exists and has the
    /// same configuration, or a new one. Waits until it has a cluster's maps, at most the mount timeout.
    ///
    /// `ETIMEDOUT`; `EINTR`; `EINVAL` for a cluster with another id; what monitors answer to the key.
    pub fn get(options: Options) -> Result<ClientRef> {
        let clients = CLIENTS.get().ok_or(ENODEV)?;
        let netns = NetNs::current();
        let timeout = options.mount_timeout;
        let (client, new) = clients.find_or_add(options, netns)?;
        if !new {
            client.mon.wait_ready(timeout)?;
            // The mapping may be of a pool that the instance's map does not have yet.
            client.mon.catch_up(timeout, &Always)?;
            return Ok(client);
        }
        client.start()?;
        client.mon.wait_ready(timeout).inspect_err(|e| {
            pr_err!("no session with the monitors: {}\n", e.to_errno());
        })?;
        let files = DebugFiles::new(&clients.debug, &client.client)?;
        *client.debug.lock() = Some(files);
        if let Some(fsid) = client.mon.fsid() {
            pr_info!("client{} fsid {}\n", client.global_id(), fsid);
        }
        Ok(client)
    }

    fn new(options: Options, netns: ARef<NetNs>, queue: Arc<Queue>) -> Result<Arc<Self>> {
        let msgr2 = options.speaks_msgr2();
        let config = MessengerConfig {
            my_ip: options.my_ip.map(|ip| SocketAddr::new(ip, 0)),
            nodelay: options.tcp_nodelay,
            data_crc: options.crc,
            sign_messages: options.sign_messages,
            rx_bounce: options.rxbounce,
            con_modes: &[CON_MODE_CRC],
            netns: netns.clone(),
        };
        let messenger = Messenger::new(config, queue)?;
        let auth = Auth::new(options.entity_name(), options.secret.clone())?;
        let mut monitors = KVec::with_capacity(options.monitors.len(), GFP_KERNEL)?;
        let kind = if msgr2 {
            AddrType::MSGR2
        } else {
            AddrType::LEGACY
        };
        for &addr in &options.monitors {
            monitors.push(EntityAddr::new(kind, 0, addr), GFP_KERNEL)?;
        }
        let fsid = options.fsid.map(Fsid);
        let mon = MonClient::new(
            MonConfig { monitors, fsid },
            auth.clone(),
            messenger.clone(),
        )?;
        let config = OsdConfig {
            msgr2,
            keepalive: options.osd_keepalive,
            idle_ttl: options.osd_idle_ttl,
            request_timeout: options.osd_request_timeout,
            mount_timeout: options.mount_timeout,
            abort_on_full: options.abort_on_full,
            read_from: options.read_from_replica,
            location: options.copy_of_location()?,
        };
        let osd = OsdClient::new(config, messenger.clone(), mon.clone(), auth.clone())?;
        Arc::pin_init(
            pin_init!(Self {
                options,
                netns,
                messenger,
                auth,
                mon,
                osd,
                debug <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }

    fn start(&self) -> Result {
        self.mon.start(self.osd.mon_events()?);
        Ok(())
    }

    /// Ends the instance: what is outstanding fails with `ESHUTDOWN`.
    fn shutdown(&self) {
        let files = self.debug.lock().take();
        drop(files);
        self.mon.stop();
        self.osd.stop();
    }

    /// Whether this instance is what somebody with `options` would get.
    fn serves(&self, options: &Options) -> bool {
        if self.options.same_client(options) {
            return true;
        }
        let monmap = self.mon.monmap();
        let msgr2 = self.options.speaks_msgr2();
        let known = |addr: &SocketAddr| {
            monmap
                .mons()
                .iter()
                .any(|mon| mon.addr(msgr2).is_some_and(|a| a.sock == Some(*addr)))
        };
        self.options.same_settings(options) && options.monitors.iter().any(known)
    }

    /// The configuration.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The cluster's id; zeros before the first monitor map.
    pub fn fsid(&self) -> Fsid {
        self.mon.fsid().unwrap_or(Fsid([0; 16]))
    }

    /// The number the monitors gave us.
    pub fn global_id(&self) -> u64 {
        self.auth.global_id()
    }

    /// Our address as the cluster sees it.
    pub fn my_addr(&self) -> EntityAddr {
        self.messenger.my_addr()
    }

    /// The newest OSD map we have.
    pub fn osdmap(&self) -> Option<Arc<OsdMap>> {
        self.osd.osdmap()
    }

    /// The id of the pool called `name`. If our map has none, asks for the newest one first. Sleeps, for
    /// the mount timeout at most. `ENOENT`.
    pub fn pool_id(&self, name: &str) -> Result<u64> {
        let map = self.osdmap_where(&Always, |map| map.pool_by_name(name).is_some())?;
        map.pool_by_name(name).ok_or(ENOENT)
    }

    /// A map that has the pool with this id, as for [`pool_id`](Self::pool_id), for the user whose requests
    /// are `group`.
    pub fn osdmap_with_pool(&self, id: u64, group: &Group) -> Result<Arc<OsdMap>> {
        self.osdmap_where(group, |map| map.pool(id).is_some())
    }

    /// Our map, or else the newest one, of which `holds` must be true.
    fn osdmap_where(
        &self,
        patience: &dyn Patience,
        holds: impl Fn(&OsdMap) -> bool,
    ) -> Result<Arc<OsdMap>> {
        let suitable = || self.osdmap().filter(|map| holds(map));
        if let Some(map) = suitable() {
            return Ok(map);
        }
        self.mon.catch_up(self.options.mount_timeout, patience)?;
        suitable().ok_or(ENOENT)
    }

    /// The OSD client.
    pub fn osd(&self) -> &Arc<OsdClient> {
        &self.osd
    }

    /// The monitor client.
    pub fn mon(&self) -> &Arc<MonClient> {
        &self.mon
    }
}
