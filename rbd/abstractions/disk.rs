// SPDX-License-Identifier: GPL-2.0-only

//! Disks: a block device, its queue and who has it open.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{
    bindings,
    device::Device,
    limits::{Limits, SECTOR_SIZE},
    module::{ModuleRef, THIS_MODULE},
    request::Request,
    tag_set::{TagCount, TagSet},
};
use core::{fmt::Write, marker::PhantomData};
use kernel::{
    error::{from_err_ptr, from_result, to_result},
    ffi, fmt, new_mutex, new_spinlock,
    prelude::*,
    str::NullTerminatedFormatter,
    sync::{aref::ARef, Arc, ArcBorrow, Mutex, SpinLock},
};

/// What stands behind a disk.
pub(crate) trait Driver: Sized + Send + Sync + 'static {
    /// What a tag keeps from one of its requests to the next. Its default must be small and cheap: there
    /// are very many tags, most of which never see a request.
    type Tag: Default + Send + Sync;

    /// Takes a request on. May sleep, in a scope where allocations do no I/O. With `last` unset
    /// more requests follow at once, or else [`commit_rqs`](Self::commit_rqs).
    fn queue_rq(
        this: ArcBorrow<'_, Self>,
        rq: ARef<Request<Self>>,
        last: bool,
    ) -> Result<(), Busy<Self>>;

    /// The request of the tag ends, and is the block layer's again at once: nothing of it is under way. Any
    /// context in which requests end; must not sleep.
    fn ended(&self, tag: &Self::Tag);

    /// No request follows the last one after all. May sleep, as above.
    fn commit_rqs(this: ArcBorrow<'_, Self>);
}

/// A request that cannot be taken on now, for lack of memory: it is handed over again when another
/// request of the disk has ended, or else in some milliseconds.
///
/// Nothing of it may be under way: a request to which there are other references ends with the last of
/// these instead, as any other does.
pub(crate) struct Busy<D: Driver>(pub(crate) ARef<Request<D>>);

/// How a disk is to be.
pub(crate) struct DiskParams<'a> {
    /// Its name in `/dev`.
    pub(crate) name: fmt::Arguments<'a>,
    /// Its major number, which must stay registered.
    pub(crate) major: u32,
    /// Its first minor number.
    pub(crate) first_minor: u32,
    /// Minor numbers for it and its partitions.
    pub(crate) minors: u32,
    /// How many tags it has.
    pub(crate) tags: TagCount,
    /// What it can do.
    pub(crate) limits: Limits,
    /// Size in bytes; a broken sector at the end is left out.
    pub(crate) size: u64,
    /// Refuse writes.
    pub(crate) read_only: bool,
}

/// A disk that nobody can see yet.
///
/// # Invariants
///
/// `raw` is valid, uses `tags`, and has a reference to `shared` as its private data.
pub(crate) struct Disk<D: Driver> {
    raw: *mut bindings::gendisk,
    shared: Arc<Shared<D>>,
    size: Arc<DiskSize>,
    tags: Arc<TagSet<D>>,
    added: bool,
    size_is_final: bool,
}

// SAFETY: A `struct gendisk` belongs to no thread.
unsafe impl<D: Driver> Send for Disk<D> {}
// SAFETY: The functions called with `&Disk` do their own locking.
unsafe impl<D: Driver> Sync for Disk<D> {}

/// The requests of a disk, to be looked at.
pub(crate) struct Requests<D: Driver>(Arc<TagSet<D>>);

impl<D: Driver> Requests<D> {
    /// Shows `f` the tags whose requests are under way, each at some moment meanwhile. May sleep.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&D::Tag)) {
        self.0.for_each_under_way(&mut f);
    }
}

/// What lives as long as anyone has the disk open, and longer than [`Disk`] if it is torn from
/// under its users.
#[pin_data]
struct Shared<D> {
    #[pin]
    users: SpinLock<Users>,
    // Lives as long, and so does what it owns, e.g. the minor number.
    _driver: Arc<D>,
    _module: ModuleRef,
}

struct Users {
    open: usize,
    removing: bool,
}

/// The size of a disk, for whoever learns that it changed.
#[pin_data]
pub(crate) struct DiskSize {
    // `None` once the disk is being removed.
    #[pin]
    disk: Mutex<Option<DiskPtr>>,
}

struct DiskPtr(*mut bindings::gendisk);

// SAFETY: A `struct gendisk` belongs to no thread.
unsafe impl Send for DiskPtr {}

impl DiskSize {
    /// Sets the size in bytes and tells user space; does nothing when the disk is going. May sleep.
    pub(crate) fn set(&self, size: u64) {
        if let Some(DiskPtr(raw)) = *self.disk.lock() {
            let sectors = size / u64::from(SECTOR_SIZE);
            // SAFETY: The disk is valid, or this would be `None`.
            unsafe { bindings::set_capacity_and_notify(raw, sectors) };
        }
    }
}

impl<D: Driver> Disk<D> {
    /// Makes a disk served by `driver`. May sleep.
    pub(crate) fn new(driver: Arc<D>, params: DiskParams<'_>) -> Result<Self> {
        let (driver_ref, module) = (driver.clone(), ModuleRef::get()?);
        let shared = Arc::pin_init(
            pin_init!(Shared {
                users <- new_spinlock!(Users { open: 0, removing: false }),
                _driver: driver_ref,
                _module: module,
            }),
            GFP_KERNEL,
        )?;
        let tags = Arc::pin_init(TagSet::new(driver, params.tags), GFP_KERNEL)?;
        let mut lim = params.limits.to_queue_limits();
        let size = Arc::pin_init(pin_init!(DiskSize { disk <- new_mutex!(None) }), GFP_KERNEL)?;
        let data = Arc::as_ptr(tags.driver()).cast_mut();
        // SAFETY: The tag set and the limits are initialised. The driver outlives the queue: the
        // latter ends in `drop` below, the former after it.
        let raw = from_err_ptr(unsafe {
            bindings::rbd_alloc_disk(tags.as_ptr(), &mut lim, data.cast())
        })?;
        // SAFETY: Nobody else knows the disk yet.
        unsafe {
            (*raw).fops = &Callbacks::<D>::FOPS;
            (*raw).private_data = Arc::into_raw(shared.clone()).cast_mut().cast();
            (*raw).major = i32::try_from(params.major)?;
            (*raw).first_minor = i32::try_from(params.first_minor)?;
            (*raw).minors = i32::try_from(params.minors)?;
        }
        // INVARIANT: As set up above.
        let disk = Self {
            raw,
            shared,
            size,
            tags,
            added: false,
            size_is_final: false,
        };
        // SAFETY: Nobody else knows the disk yet.
        let name = unsafe { &mut (*raw).disk_name };
        NullTerminatedFormatter::new(name)
            .ok_or(EINVAL)?
            .write_fmt(params.name)?;
        // SAFETY: The disk is valid.
        unsafe {
            bindings::set_capacity(raw, params.size / u64::from(SECTOR_SIZE));
            bindings::set_disk_ro(raw, params.read_only);
        }
        *disk.size.disk.lock() = Some(DiskPtr(raw));
        Ok(disk)
    }

    /// Shows the disk to the world, as a child of `parent`; reads its partition table. May sleep.
    pub(crate) fn add<T: Send + Sync>(&mut self, parent: &Device<T>) -> Result {
        // SAFETY: The disk is valid and was not added before: this is called once, by whoever made
        // it. The parent is a registered device.
        to_result(unsafe {
            bindings::device_add_disk(parent.as_ptr(), self.raw, core::ptr::null_mut())
        })?;
        self.added = true;
        Ok(())
    }

    /// Its size, to be set when it changes.
    pub(crate) fn size(&self) -> &Arc<DiskSize> {
        &self.size
    }

    /// Its requests.
    pub(crate) fn requests(&self) -> Requests<D> {
        Requests(self.tags.clone())
    }

    /// Keeps further users out. `EBUSY` if there are some, unless `force`d. Any context.
    pub(crate) fn begin_removal(&self, force: bool) -> Result {
        let mut users = self.shared.users.lock();
        if users.open > 0 && !force {
            return Err(EBUSY);
        }
        users.removing = true;
        Ok(())
    }

    /// Nobody changes its size any more.
    fn let_go_of_size(&mut self) {
        if !core::mem::replace(&mut self.size_is_final, true) {
            *self.size.disk.lock() = None;
        }
    }

    /// Fails what comes from now on; what is under way goes on, and is waited for when the disk goes.
    /// To be called by the task that drops the disk. May sleep, also on I/O of those who use the disk.
    pub(crate) fn mark_dead(&mut self) {
        // First, as a dead disk counts as frozen: with it, nothing may be locked that others hold while
        // they allocate.
        self.let_go_of_size();
        // The C driver freezes the queue around this. The freeze that marking begins then counts as
        // nested in that one and lockdep takes it to be held, until it meets the locks of deletion.
        // SAFETY: The disk is valid.
        unsafe { bindings::blk_mark_disk_dead(self.raw) };
    }
}

impl<D: Driver> Drop for Disk<D> {
    fn drop(&mut self) {
        self.let_go_of_size();
        // SAFETY: The disk is valid. Once it is deleted no request reaches the tag set, and nothing
        // but the open files that may be left uses it; those it stays for until `free_disk`. One
        // that was never added does not call that.
        unsafe {
            if self.added {
                bindings::del_gendisk(self.raw);
            } else {
                drop(Arc::from_raw(
                    (*self.raw).private_data.cast::<Shared<D>>().cast_const(),
                ));
            }
            bindings::put_disk(self.raw);
        }
    }
}

/// What the block layer calls.
struct Callbacks<D>(PhantomData<D>);

impl<D: Driver> Callbacks<D> {
    const FOPS: bindings::block_device_operations = bindings::block_device_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        free_disk: Some(Self::free_disk),
        owner: THIS_MODULE,
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `disk` must be the disk of a [`Disk`], and not freed.
    unsafe fn shared<'a>(disk: *mut bindings::gendisk) -> &'a Shared<D> {
        // SAFETY: By the type invariant of `Disk`, until `free_disk`.
        unsafe { &*(*disk).private_data.cast::<Shared<D>>() }
    }

    /// # Safety
    ///
    /// For the block layer alone, with the disk of a [`Disk<D>`]. So are the others.
    unsafe extern "C" fn open(
        disk: *mut bindings::gendisk,
        _mode: bindings::blk_mode_t,
    ) -> ffi::c_int {
        // SAFETY: The block layer passes a live disk.
        let shared = unsafe { Self::shared(disk) };
        from_result(|| {
            let mut users = shared.users.lock();
            if users.removing {
                return Err(ENOENT);
            }
            users.open += 1;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for [`open`](Self::open).
    unsafe extern "C" fn release(disk: *mut bindings::gendisk) {
        // SAFETY: The block layer passes a live disk.
        let shared = unsafe { Self::shared(disk) };
        shared.users.lock().open -= 1;
    }

    /// # Safety
    ///
    /// As for [`open`](Self::open).
    unsafe extern "C" fn free_disk(disk: *mut bindings::gendisk) {
        // SAFETY: The block layer calls this once, last; the reference is the one from `new`.
        drop(unsafe { Arc::from_raw((*disk).private_data.cast::<Shared<D>>().cast_const()) });
    }
}
