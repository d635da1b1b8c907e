// SPDX-License-Identifier: GPL-2.0-only

//! An open image: its metadata, and how they are kept up to date.

// Used as soon as clones are served.
#[allow(dead_code)]
mod head;
mod header;
mod names;
mod objects;
mod open;
#[allow(dead_code)]
mod parent;
mod source;
mod watch;

pub(crate) use head::Head;
pub(crate) use objects::Objects;
#[allow(unused_imports)]
pub(crate) use parent::{Parent, ParentImage};
pub(crate) use source::Source;

use crate::{
    abstractions::{disk::DiskSize, limits::Limits, text::Text},
    control::{
        map_spec::{MapOptions, MapSpec},
        Id, ImageNames, Mapping,
    },
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    sync::{Arc, Mutex, SpinLock},
};
use names::Names;
use net_ceph::{abstractions::workqueue::Queue, proto::cls::rbd::feature};
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
    /// The pool with the header object.
    header_io: Arc<Objects>,
    image_id: KVec<u8>,
    /// Name of the header object.
    header: KVec<u8>,
    source: Source,
    /// Held for a moment, by every request.
    #[pin]
    head: SpinLock<Arc<Head>>,
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
    /// Where its bytes are.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The image as it is now.
    pub(crate) fn head(&self) -> Arc<Head> {
        self.head.lock().clone()
    }

    /// How it is mapped.
    pub(crate) fn options(&self) -> &MapOptions {
        &self.options
    }

    /// Whether writes are refused.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The pool with the header object.
    pub(crate) fn header_io(&self) -> &Objects {
        &self.header_io
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
        let layout = self.source.layout();
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
            stable_writes: self.header_io.checksums_data(),
        }
    }

    fn queue_depth(&self) -> u32 {
        self.options.queue_depth
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn size(&self) -> u64 {
        self.head().size
    }

    fn features(&self) -> u64 {
        self.head().features
    }

    fn names(&self) -> ImageNames<'_> {
        ImageNames {
            pool: &self.names.pool,
            pool_id: self.header_io.io().pool(),
            pool_ns: self.names.namespace(),
            image: &self.names.image,
            image_id: &self.image_id,
            snap: self.names.snap.as_deref().unwrap_or(NO_SNAP),
            snap_id: self.source.snap_id(),
        }
    }

    fn client_id(&self) -> u64 {
        self.header_io.client_id()
    }

    fn client_addr(&self, out: &mut Text<'_>) -> Result {
        match self.header_io.client_addr() {
            (Some(addr), nonce) => Ok(write!(out, "{addr}/{nonce}")?),
            (None, nonce) => Ok(write!(out, "(none)/{nonce}")?),
        }
    }

    fn cluster_fsid(&self) -> [u8; 16] {
        self.header_io.cluster_fsid()
    }

    fn refresh(&self) -> Result {
        let _order = self.refreshing.lock();
        let head = header::head(&self.header_io, &self.header, self.source.snap_id())?;
        let size = head.size;
        let old = core::mem::replace(&mut *self.head.lock(), head);
        if old.size != size {
            if let Some(disk) = &*self.disk.lock() {
                disk.set(size);
            }
        }
        Ok(())
    }
}
