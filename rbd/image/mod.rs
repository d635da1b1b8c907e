// SPDX-License-Identifier: GPL-2.0-only

//! An open image: its metadata, and how they are kept up to date.

mod header;
mod names;
mod objects;
mod open;
mod watch;

use crate::{
    abstractions::{disk::DiskSize, limits::Limits, text::Text},
    control::{
        map_spec::{MapOptions, MapSpec},
        Id, ImageNames, Mapping,
    },
};
use core::fmt::Write;
use header::{Fixed, Head};
use kernel::{
    prelude::*,
    sync::{Arc, Mutex, SpinLock},
};
use names::Names;
use net_ceph::{
    abstractions::workqueue::Queue,
    osd_client::Snapshots,
    proto::{cls::rbd::feature, osd_op::NOSNAP, striper::Layout},
};
pub(crate) use objects::Objects;
use watch::Watching;

/// Features of images that we can map.
pub(crate) const SUPPORTED_FEATURES: u64 = feature::LAYERING;

/// What stands for a snapshot's name where there is none.
const NO_SNAP: &[u8] = b"-";

/// An open image.
#[pin_data]
pub(crate) struct Image {
    id: Id,
    names: Names,
    options: MapOptions,
    read_only: bool,
    objects: Objects,
    fixed: Fixed,
    /// The snapshot that is mapped, and its size.
    snap: Option<(u64, u64)>,
    /// Held for a moment, by every write.
    #[pin]
    head: SpinLock<Head>,
    /// Held while the header is read: a later answer must not be replaced by an earlier one.
    #[pin]
    refreshing: Mutex<()>,
    /// Told when the size changes.
    #[pin]
    disk: Mutex<Option<Arc<DiskSize>>>,
    /// `None` for a read-only mapping.
    #[pin]
    watching: Mutex<Option<Watching>>,
}

impl Image {
    /// How it is cut into objects.
    pub(crate) fn layout(&self) -> &Layout {
        &self.fixed.layout
    }

    /// What the names of its data objects begin with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.fixed.prefix
    }

    /// How it is mapped.
    pub(crate) fn options(&self) -> &MapOptions {
        &self.options
    }

    /// Which snapshot is read, [`NOSNAP`] for the image itself.
    pub(crate) fn snap_id(&self) -> u64 {
        self.snap.map_or(NOSNAP, |(id, _)| id)
    }

    /// What writes tell the OSDs about the image's snapshots.
    pub(crate) fn snap_context(&self) -> Arc<Snapshots> {
        self.head.lock().snapc.clone()
    }

    /// Whether writes are refused.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Where its objects are.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The number of its device.
    pub(crate) fn device(&self) -> u32 {
        self.id.number()
    }
}

impl Mapping for Image {
    fn open(spec: MapSpec, id: Id, queue: &Arc<Queue>) -> Result<Arc<Self>> {
        open::open(spec, id, queue)
    }

    fn attach(&self, disk: Arc<DiskSize>) {
        let mut attached = self.disk.lock();
        disk.set(self.size());
        *attached = Some(disk);
    }

    fn close(&self) {
        *self.disk.lock() = None;
        let watching = self.watching.lock().take();
        drop(watching);
    }

    fn limits(&self) -> Limits {
        let layout = self.layout();
        // The objects of a set: no request is worth more.
        let set = layout.object_size().saturating_mul(layout.stripe_count());
        let set = u32::try_from(set).unwrap_or(u32::MAX);
        let trim = |limit| if self.options.trim { limit } else { 0 };
        Limits {
            max_request: set,
            io_min: self.options.alloc_size,
            io_opt: set,
            discard_granularity: trim(self.options.alloc_size),
            max_discard: trim(set),
            max_write_zeroes: trim(set),
            stable_writes: self.objects.checksums_data(),
        }
    }

    fn queue_depth(&self) -> u32 {
        self.options.queue_depth
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn size(&self) -> u64 {
        match self.snap {
            Some((_, size)) => size,
            None => self.head.lock().size,
        }
    }

    fn features(&self) -> u64 {
        self.fixed.features
    }

    fn names(&self) -> ImageNames<'_> {
        ImageNames {
            pool: &self.names.pool,
            pool_id: self.objects.pool(),
            pool_ns: self.names.namespace(),
            image: &self.names.image,
            image_id: &self.fixed.id,
            snap: self.names.snap.as_deref().unwrap_or(NO_SNAP),
            snap_id: self.snap_id(),
        }
    }

    fn client_id(&self) -> u64 {
        self.objects.client_id()
    }

    fn client_addr(&self, out: &mut Text<'_>) -> Result {
        match self.objects.client_addr() {
            (Some(addr), nonce) => Ok(write!(out, "{addr}/{nonce}")?),
            (None, nonce) => Ok(write!(out, "(none)/{nonce}")?),
        }
    }

    fn cluster_fsid(&self) -> [u8; 16] {
        self.objects.cluster_fsid()
    }

    fn refresh(&self) -> Result {
        let _order = self.refreshing.lock();
        let head = header::head(&self.objects, &self.fixed.header)?;
        let size = head.size;
        let old = core::mem::replace(&mut *self.head.lock(), head);
        if old.size != size && self.snap.is_none() {
            if let Some(disk) = &*self.disk.lock() {
                disk.set(size);
            }
        }
        Ok(())
    }
}
