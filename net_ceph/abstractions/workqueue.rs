// SPDX-License-Identifier: GPL-2.0-only

//! Work queues of our own, and delayed items that can be moved and cancelled.
//!
//! Items are the kernel crate's ([`DelayedWork`](kernel::workqueue::DelayedWork), [`WorkItem`],
//! [`impl_has_delayed_work!`](kernel::workqueue::impl_has_delayed_work)). While an item is pending,
//! the queue holds one reference to the [`Arc`] it lives in.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::bindings;
use core::{
    ops::{BitOr, Deref},
    ptr::NonNull,
};
use kernel::{
    container_of,
    prelude::*,
    sync::Arc,
    time::Jiffies,
    workqueue::{HasDelayedWork, Work, WorkItem},
};

/// How often an item is taken off its queue and put there again before it is taken for one that is being
/// cancelled.
const MOD_TRIES: u32 = 16;

/// How a [`Queue`] runs its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFlags(u32);

impl QueueFlags {
    /// On the CPU that queued them.
    pub const PER_CPU: Self = Self(bindings::wq_flags_WQ_PERCPU);
    /// Wherever the scheduler likes.
    pub const UNBOUND: Self = Self(bindings::wq_flags_WQ_UNBOUND);
    /// By workers of high priority.
    pub const HIGHPRI: Self = Self(bindings::wq_flags_WQ_HIGHPRI);
}

impl BitOr for QueueFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A work queue, which makes progress under memory pressure (`WQ_MEM_RECLAIM`) unless it was made
/// [without a rescuer](Self::without_rescuer).
///
/// Dropping it runs what is queued, waits for it, and destroys the queue. So it must not be dropped
/// by an item of its own: keep queues where only the module's exit drops them.
///
/// # Invariants
///
/// `wq` is a work queue that this value owns.
pub struct Queue {
    wq: NonNull<bindings::workqueue_struct>,
}

// SAFETY: A work queue may be used and destroyed from any task.
unsafe impl Send for Queue {}
// SAFETY: A work queue synchronises its own accesses.
unsafe impl Sync for Queue {}

impl Queue {
    /// Creates the queue `name`, which runs at most `max_active` items at once (per CPU if
    /// [`QueueFlags::PER_CPU`]; 0 for the kernel's default). Sleeps.
    pub fn new(name: &CStr, flags: QueueFlags, max_active: i32) -> Result<Self> {
        Self::with_flags(
            name,
            flags.0 | bindings::wq_flags_WQ_MEM_RECLAIM,
            max_active,
        )
    }

    /// As [`new`](Self::new), for items that may wait for items of any other queue: it needs memory to make
    /// progress.
    pub fn without_rescuer(name: &CStr, flags: QueueFlags, max_active: i32) -> Result<Self> {
        Self::with_flags(name, flags.0, max_active)
    }

    fn with_flags(name: &CStr, flags: u32, max_active: i32) -> Result<Self> {
        // SAFETY: The format takes one string, and `name` is one.
        let wq = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                flags,
                max_active,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: The queue was just created for us.
        Ok(Self {
            wq: NonNull::new(wq).ok_or(ENOMEM)?,
        })
    }

    /// Makes `item` run after `delay` (0: now), whether it is pending already or not; not while
    /// [`cancel_sync`] waits for it. Any context but NMI.
    ///
    /// Not by `mod_delayed_work()`: what that answers does not tell whether the item was queued.
    pub fn mod_delayed<T, const ID: u64>(&self, item: &Arc<T>, delay: Jiffies)
    where
        T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID> + Send + Sync + 'static,
    {
        // Others may queue it between the two steps, but not time and again.
        for _ in 0..MOD_TRIES {
            cancel::<T, ID>(item);
            if self.enqueue_delayed::<_, ID>(item.clone(), delay).is_ok() {
                return;
            }
        }
    }

    /// Waits until everything queued so far has run. Sleeps; not from an item of this queue.
    pub fn flush(&self) {
        // SAFETY: The queue is valid by the type invariant.
        unsafe { bindings::__flush_workqueue(self.wq.as_ptr()) };
    }
}

impl Deref for Queue {
    type Target = kernel::workqueue::Queue;

    fn deref(&self) -> &Self::Target {
        // SAFETY: The queue is valid as long as `self`.
        unsafe { kernel::workqueue::Queue::from_raw(self.wq.as_ptr()) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: The type invariant says that the queue is ours to destroy; who would queue more
        // needs a reference to `self`.
        unsafe { bindings::destroy_workqueue(self.wq.as_ptr()) };
    }
}

/// The C object behind the item `ID` of `item`.
fn delayed_work<T, const ID: u64>(item: &Arc<T>) -> *mut bindings::delayed_work
where
    T: HasDelayedWork<T, ID>,
{
    // SAFETY: `item` points at a valid `T`; nothing is read or written through the pointer here.
    let work = unsafe { T::raw_get_work(Arc::as_ptr(item).cast_mut()) };
    // SAFETY: `work` is not dangling.
    let work = unsafe { Work::raw_get(work) };
    // SAFETY: By `HasDelayedWork`, `work` is in a `delayed_work`.
    unsafe { container_of!(work, bindings::delayed_work, work) }
}

/// Drops the reference that the queue held, when an item was taken off it.
fn release<T, const ID: u64>(item: &Arc<T>, was_pending: bool) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID>,
{
    if was_pending {
        // SAFETY: Queueing the item gave away a reference for its run, which will not happen now.
        drop(unsafe { Arc::from_raw(Arc::as_ptr(item)) });
    }
    was_pending
}

/// Takes `item` off its queue if it is pending, and waits for it if it runs; says whether it was
/// pending. Sleeps; not from the item itself. It may be queued again afterwards.
pub fn cancel_sync<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID> + Send + Sync + 'static,
{
    // SAFETY: The item is initialised, and `item` keeps it alive.
    let was_pending = unsafe { bindings::cancel_delayed_work_sync(delayed_work::<T, ID>(item)) };
    release::<T, ID>(item, was_pending)
}

/// As [`cancel_sync`], and it can never be queued again: whoever tries is refused.
pub fn disable_sync<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID> + Send + Sync + 'static,
{
    // SAFETY: The item is initialised, and `item` keeps it alive.
    let was_pending = unsafe { bindings::disable_delayed_work_sync(delayed_work::<T, ID>(item)) };
    release::<T, ID>(item, was_pending)
}

/// Takes `item` off its queue if it is pending, and does not wait for a run that has begun; says
/// whether it was pending. Any context but NMI.
pub fn cancel<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID> + Send + Sync + 'static,
{
    // SAFETY: The item is initialised, and `item` keeps it alive.
    let was_pending = unsafe { bindings::cancel_delayed_work(delayed_work::<T, ID>(item)) };
    release::<T, ID>(item, was_pending)
}
