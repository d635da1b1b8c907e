// SPDX-License-Identifier: GPL-2.0-only

//! An open image: its metadata, and how they are kept up to date.

mod head;
mod header;
mod locking;
mod names;
mod open;
mod parent;
mod reopen;
mod source;
mod watch;

pub(crate) use head::Head;
use head::{Ancestors, InUse};
pub(crate) use parent::{Parent, ParentImage, CHAIN_MAX};
pub(crate) use source::Source;

use crate::{
    abstractions::{disk::DiskSize, limits::Limits, tag_set::TagCount, text::Text},
    control::{
        map_spec::{MapOptions, MapSpec},
        Id, ImageNames, Mapping, ParentNames, Queues,
    },
    io::{ImageMap, Reserve},
    lock::ExclusiveLock,
};

use core::fmt::Write;
use header::Header;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc, Mutex, SpinLock,
    },
};
use names::Names;
use net_ceph::{
    abstractions::{
        errno::{ECANCELED, ESHUTDOWN},
        task::NoIoScope,
        workqueue::Queue,
    },
    client::ClientRef,
    proto::cls::rbd::feature,
};
use reopen::Reopening;
use watch::Watching;

/// Features of images that we can map.
pub(crate) const SUPPORTED_FEATURES: u64 = feature::LAYERING
    | feature::STRIPINGV2
    | feature::EXCLUSIVE_LOCK
    | feature::OBJECT_MAP
    | feature::FAST_DIFF
    | feature::DEEP_FLATTEN
    | feature::DATA_POOL
    | feature::OPERATIONS;

/// What stands for a snapshot's name where there is none.
const NO_SNAP: &[u8] = b"-";

/// An open image.
#[pin_data]
pub(crate) struct Image {
    id: Id,
    names: Names,
    options: MapOptions,
    tags: TagCount,
    read_only: bool,
    header: Header,
    source: Source,
    queues: Queues,
    /// Held for a moment, by every request.
    #[pin]
    head: SpinLock<Arc<Head>>,
    /// Held while the header is read: a later answer must not be replaced by an earlier one.
    #[pin]
    refreshing: Mutex<()>,
    /// The heads before this one that may be in use.
    #[pin]
    history: Mutex<KVec<InUse>>,
    /// What became of the last attempt to read the header.
    trust: Atomic<u32>,
    /// We were shut out, and are not told of changes.
    unwatched: Atomic<bool>,
    /// Unless it is mapped read-only.
    lock: Option<Arc<ExclusiveLock<Self>>>,
    /// While it is used. Held for a moment, by every request.
    #[pin]
    object_map: SpinLock<Option<Arc<ImageMap>>>,
    /// What goes on without memory.
    #[pin]
    reserve: Reserve,
    reopening: Arc<Reopening>,
    /// Told when the size changes.
    #[pin]
    disk: Mutex<Option<Arc<DiskSize>>>,
    /// `None` for a read-only mapping.
    #[pin]
    watching: Mutex<Option<Watching>>,
    // Behind all that uses the client.
    client: ClientRef,
}

/// Values of [`Image::trust`]: the header says how things are;
const TRUSTED: u32 = 0;
/// it changed, and we do not understand it, so writes might be for snapshots that they do not belong to;
const UNKNOWN: u32 = 1;
/// what is mapped was removed.
const REMOVED: u32 = 2;

impl Image {
    /// Where its bytes are.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The image as it is now.
    pub(crate) fn head(&self) -> Arc<Head> {
        self.head.lock().clone()
    }

    /// What runs the I/O that is not done in place.
    pub(crate) fn io_queue(&self) -> &Arc<Queue> {
        &self.queues.io
    }

    /// What goes on without memory.
    pub(crate) fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// How it is mapped.
    pub(crate) fn options(&self) -> &MapOptions {
        &self.options
    }

    /// Whether it was given up: all that needs the cluster fails.
    pub(crate) fn is_aborted(&self) -> bool {
        self.header.io().group().cancelled().is_some()
    }

    /// Whether I/O cannot be done, as the header is not what it was: then it would do damage, or show zeroes in the
    /// place of data. To be asked before the I/O takes the [`head`](Self::head) to go by.
    pub(crate) fn refuses(&self, writes: bool) -> bool {
        match self.trust.load(Acquire) {
            TRUSTED => false,
            UNKNOWN => writes,
            _ => true,
        }
    }

    /// We are not told of changes any more, for now: writes might be for snapshots that they do not belong to.
    fn distrust(&self) {
        self.unwatched.store(true, Release);
        self.trust.store(UNKNOWN, Release);
    }

    /// We are told of changes again; the header has to be read.
    fn is_told_again(&self) {
        self.unwatched.store(false, Release);
    }

    /// Whether I/O is under way that goes by what the header said before it was read last, or without the
    /// exclusive lock, which the image has got.
    fn has_old_io(&self) -> bool {
        if self.lock.as_ref().is_some_and(|lock| lock.is_required()) {
            return true;
        }
        let mut history = self.history.lock();
        history.retain(|old| old.get());
        !history.is_empty()
    }

    /// Whether writes are refused.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether data is checksummed on its way, so that it must not change meanwhile.
    fn checksums_data(&self) -> bool {
        let options = self.client.options();
        options.crc || options.speaks_msgr2()
    }

    /// The number of its device.
    pub(crate) fn device(&self) -> u32 {
        self.id.number()
    }
}

impl Mapping for Image {
    fn open(spec: MapSpec, id: Id, queues: &Queues) -> Result<Arc<Self>> {
        open::open(spec, id, queues)
    }

    fn attach(&self, disk: Arc<DiskSize>) {
        let mut attached = self.disk.lock();
        disk.set(self.size());
        *attached = Some(disk);
    }

    fn close(&self) {
        *self.disk.lock() = None;
        self.reserve.drain();
        // The lock is released while we still watch.
        if let Some(lock) = &self.lock {
            lock.close();
        }
        let watching = self.watching.lock().take();
        drop(watching);
        self.reopening.end();
        // Whoever has the device open still must not keep the client instance: it could be one whose
        // cluster is gone, and would be given to the next who maps.
        self.client.release();
    }

    fn mount_timeout(&self) -> u32 {
        self.client.options().mount_timeout
    }

    fn abort(&self) {
        let io = self.header.io();
        io.osd().cancel_group(io.group(), ESHUTDOWN);
        if let Some(lock) = &self.lock {
            lock.watch_failed(ESHUTDOWN);
        }
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
            stable_writes: self.checksums_data(),
        }
    }

    fn tags(&self) -> TagCount {
        self.tags
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
            pool_id: self.header.io().pool(),
            pool_ns: self.names.namespace(),
            image: &self.names.image,
            image_id: self.header.id(),
            snap: self.names.snap.as_deref().unwrap_or(NO_SNAP),
            snap_id: self.source.snap_id(),
        }
    }

    fn each_parent(&self, f: &mut dyn FnMut(ParentNames<'_>) -> Result) -> Result {
        let head = self.head();
        let mut next = head.parent.as_ref();
        while let Some(parent) = next {
            f(parent.names())?;
            next = parent.image.parent();
        }
        Ok(())
    }

    fn client_id(&self) -> u64 {
        self.client.global_id()
    }

    fn client_addr(&self, out: &mut Text<'_>) -> Result {
        let addr = self.client.my_addr();
        match addr.sock {
            Some(sock) => write!(out, "{sock}/{}", addr.nonce)?,
            // No peer told us yet.
            None => write!(out, "(none)/{}", addr.nonce)?,
        }
        Ok(())
    }

    fn cluster_fsid(&self) -> [u8; 16] {
        self.client.fsid().0
    }

    fn refresh(&self) -> Result {
        self.read_header()?;
        if let Some(lock) = &self.lock {
            lock.wait_required();
        }
        Ok(())
    }
}

impl Image {
    /// An ancestor that I/O came across is gone: has them opened anew, and the head replaced. That takes its time,
    /// and may fail; returns how often it did. Sleeps, but for nothing.
    pub(crate) fn doubt_parents(self: &Arc<Self>) -> u32 {
        self.reopening.want(self)
    }

    /// Reads the header as it is now, and opens all ancestors. If that fails the image is as it was. Sleeps.
    fn reopen_parents(&self) -> Result {
        self.read_header_and(Ancestors::Reopened)
    }

    /// Reads the header as it is now. Sleeps.
    fn read_header(&self) -> Result {
        self.read_header_and(Ancestors::Kept)
    }

    fn read_header_and(&self, ancestors: Ancestors) -> Result {
        // Whoever is about to use the exclusive lock reads the header, too.
        let _noio = NoIoScope::enter();
        let read = |old: (&Head, Ancestors)| {
            let snap_id = self.source.snap_id();
            Head::read(&self.header, &self.client, snap_id, Some(old))
        };
        // That may take long, and refreshes must not wait for it.
        let reopened = match ancestors {
            Ancestors::Reopened => {
                let head = self.head();
                Some(read((&head, ancestors))?)
            }
            Ancestors::Kept => None,
        };
        let order = self.refreshing.lock();
        let old = self.head();
        let known = reopened.as_ref().unwrap_or(&old);
        let head = read((known, Ancestors::Kept));
        let head = head.inspect_err(|&e| {
            if e == ENOENT {
                self.trust.store(REMOVED, Release);
            } else if reopened.is_none() && !is_passing(e) {
                self.trust.store(UNKNOWN, Release);
            }
        })?;
        {
            let mut history = self.history.lock();
            history.retain(|old| old.get());
            history.push(old.in_use(), GFP_KERNEL)?;
        }
        let size = head.size;
        if old.parent.is_some() && head.parent.is_none() {
            pr_info!("rbd{}: clone has been flattened\n", self.device());
        }
        let locked = head.features & feature::EXCLUSIVE_LOCK != 0;
        let replaced = core::mem::replace(&mut *self.head.lock(), head);
        drop(replaced);
        // Whoever sees this sees the new one.
        if !self.unwatched.load(Acquire) {
            self.trust.store(TRUSTED, Release);
        }
        if old.size != size {
            if let Some(disk) = &*self.disk.lock() {
                disk.set(size);
            }
        }
        drop(order);
        if let Some(lock) = self.lock.as_ref().filter(|_| locked) {
            lock.require();
        }
        Ok(())
    }
}

/// Whether an attempt to read the header failed without anything being wrong with it.
fn is_passing(e: Error) -> bool {
    [ETIMEDOUT, ESHUTDOWN, ECANCELED, EAGAIN, EINTR, ENOMEM].contains(&e)
}
