// SPDX-License-Identifier: GPL-2.0-only

//! The objects of an image: the client, and where in the cluster they are.

use core::net::SocketAddr;
use kernel::{prelude::*, sync::Arc};
use net_ceph::{
    client::ClientRef,
    options::MsMode,
    osd_client::{Group, IoCtx, Watch, WatchEvents},
    proto::cls::rbd::CLASS,
};

/// Longest output of a method of the class `rbd`: a snapshot context is the longest there is.
const OUTPUT_MAX: usize = 8192;

/// A pool or one of its namespaces, as our client sees it.
pub(crate) struct Objects {
    client: ClientRef,
    io: IoCtx,
}

impl Objects {
    /// The objects in `namespace` of the pool with the id `pool`.
    pub(super) fn new(client: ClientRef, pool: u64, namespace: &[u8]) -> Result<Self> {
        let io = IoCtx::new(client.osd(), &Group::new()?, pool, namespace)?;
        Ok(Self { client, io })
    }

    /// The pool and its namespace.
    pub(crate) fn io(&self) -> &IoCtx {
        &self.io
    }

    /// Calls a method of the class `rbd` on `object`. May sleep.
    pub(super) fn call(
        &self,
        object: &[u8],
        method: &'static str,
        input: &[u8],
    ) -> Result<KVVec<u8>> {
        self.io.call(object, CLASS, method, input, OUTPUT_MAX)
    }

    /// Whether there is an object of this name. May sleep.
    pub(super) fn exists(&self, object: &[u8]) -> Result<bool> {
        match self.io.stat(object) {
            Ok(_) => Ok(true),
            Err(ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Begins to watch `object`. May sleep.
    pub(super) fn watch(&self, object: &[u8], events: Arc<dyn WatchEvents>) -> Result<Watch> {
        self.io.watch(object, events)
    }

    /// Whether data is checksummed on its way, so that it must not change meanwhile.
    pub(super) fn checksums_data(&self) -> bool {
        let options = self.client.options();
        options.crc || options.ms_mode != MsMode::Legacy
    }

    /// Id that the cluster gave our client.
    pub(super) fn client_id(&self) -> u64 {
        self.client.global_id()
    }

    /// Our client's address and nonce; no address as long as no peer told us.
    pub(super) fn client_addr(&self) -> (Option<SocketAddr>, u32) {
        let addr = self.client.my_addr();
        (addr.sock, addr.nonce)
    }

    /// Id of the cluster.
    pub(super) fn cluster_fsid(&self) -> [u8; 16] {
        self.client.fsid().0
    }
}
