// SPDX-License-Identifier: GPL-2.0-only

//! What a mapped image must offer, so that it can be shown as a device.

use super::{ids::Id, map_spec::MapSpec};
use crate::abstractions::{
    disk::{DiskSize, Driver},
    limits::Limits,
    tag_set::TagCount,
    text::Text,
};
use kernel::{prelude::*, sync::Arc};
use net_ceph::abstractions::workqueue::{Queue, QueueFlags};

/// What a mapping is a mapping of.
pub(crate) struct ImageNames<'a> {
    /// Pool name.
    pub(crate) pool: &'a [u8],
    /// Pool id.
    pub(crate) pool_id: u64,
    /// Namespace in the pool, empty for the default one.
    pub(crate) pool_ns: &'a [u8],
    /// Image name.
    pub(crate) image: &'a [u8],
    /// Image id.
    pub(crate) image_id: &'a [u8],
    /// Snapshot name, `-` for the image itself.
    pub(crate) snap: &'a [u8],
    /// Snapshot id, all ones for the image itself.
    pub(crate) snap_id: u64,
}

/// What a clone was made from.
pub(crate) struct ParentNames<'a> {
    /// Pool name.
    pub(crate) pool: &'a [u8],
    /// Pool id.
    pub(crate) pool_id: u64,
    /// Namespace in the pool, empty for the default one.
    pub(crate) pool_ns: &'a [u8],
    /// Image name.
    pub(crate) image: &'a [u8],
    /// Image id.
    pub(crate) image_id: &'a [u8],
    /// Snapshot name.
    pub(crate) snap: &'a [u8],
    /// Snapshot id.
    pub(crate) snap_id: u64,
    /// How many bytes of it show through.
    pub(crate) overlap: u64,
}

/// What all mappings queue their work on.
#[derive(Clone)]
pub(crate) struct Queues {
    /// For what may wait for the cluster.
    pub(crate) control: Arc<Queue>,
    /// For I/O, which waits for what the other one runs only where a clone's ancestor is gone.
    pub(crate) io: Arc<Queue>,
}

impl Queues {
    fn new() -> Result<Self> {
        let queue = |name| Queue::new(name, QueueFlags::UNBOUND, 0);
        Ok(Self {
            control: Arc::new(queue(c"rbd")?, GFP_KERNEL)?,
            io: Arc::new(queue(c"rbd_io")?, GFP_KERNEL)?,
        })
    }
}

/// The module's references to the queues, which are the last ones: dropping them waits for what runs. Only to be
/// dropped, by the module's exit, when no image is mapped.
pub(super) struct OwnQueues(Queues);

impl OwnQueues {
    /// Makes them. Sleeps.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Queues::new()?))
    }

    /// For those who map.
    pub(super) fn get(&self) -> &Queues {
        &self.0
    }
}

impl Drop for OwnQueues {
    fn drop(&mut self) {
        // Whoever ended the last request of the last image may be on its way out of here, with a reference.
        self.0.control.flush();
        self.0.io.flush();
    }
}

/// An open image that serves a disk.
pub(crate) trait Mapping: Driver {
    /// Opens what `spec` says, for the device `id`. `queues` run what it has to do in the background.
    /// May sleep, for the mount timeout at most.
    fn open(spec: MapSpec, id: Id, queues: &Queues) -> Result<Arc<Self>>;

    /// The disk stands: from now on `disk` is to be told when the size changes.
    fn attach(&self, disk: Arc<DiskSize>);

    /// The disk is gone: let go of everything in the cluster. Called once. May sleep.
    fn close(&self);

    /// How long the cluster is waited for where somebody waits, in seconds: the option `mount_timeout`.
    /// 0 is for ever.
    fn mount_timeout(&self) -> u32;

    /// Gives the cluster up: what is under way ends with an error, and so does, at once, whatever comes,
    /// until the mapping is closed and beyond. On return no data of requests is in use. Sleeps, but for
    /// nobody outside of this machine.
    fn abort(&self);

    /// What the disk can do.
    fn limits(&self) -> Limits;
    /// How many requests it can have under way.
    fn tags(&self) -> TagCount;
    /// Whether writes are refused.
    fn read_only(&self) -> bool;
    /// Size in bytes.
    fn size(&self) -> u64;
    /// Feature bits of the image.
    fn features(&self) -> u64;
    /// What it is.
    fn names(&self) -> ImageNames<'_>;
    /// Hands its ancestors to `f`, the nearest first.
    fn each_parent(&self, f: &mut dyn FnMut(ParentNames<'_>) -> Result) -> Result;
    /// Id that the cluster gave our client.
    fn client_id(&self) -> u64;
    /// Writes our client's address as `ip:port/nonce`.
    fn client_addr(&self, out: &mut Text<'_>) -> Result;
    /// Id of the cluster.
    fn cluster_fsid(&self) -> [u8; 16];
    /// Reads the image's header anew. May sleep.
    fn refresh(&self) -> Result;
}
