// SPDX-License-Identifier: GPL-2.0-only

//! Tags: the requests a device can have under way, each with room for the driver's data.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use super::{
    bindings,
    disk::{Busy, Driver},
    request::{Pdu, Request},
};
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    ffi,
    prelude::*,
    sync::{Arc, ArcBorrow},
    types::Opaque,
};
use net_ceph::abstractions::task::NoIoScope;

/// How many tags a device has. A value: CPUs that come later change nothing.
#[derive(Clone, Copy)]
pub(crate) struct TagCount {
    /// In each hardware queue.
    depth: u32,
    queues: u32,
}

impl TagCount {
    /// One hardware queue per CPU, with `depth` tags each, or as many as the block layer takes.
    pub(crate) fn new(depth: u32) -> Self {
        Self {
            depth: depth.min(bindings::BLK_MQ_MAX_DEPTH),
            // SAFETY: Only counts.
            queues: unsafe { bindings::rbd_num_present_cpus() },
        }
    }

    /// How many requests can be under way at once.
    pub(crate) fn requests(self) -> usize {
        (self.depth as usize).saturating_mul(self.queues as usize)
    }
}

/// A set of tags that `D` serves.
///
/// # Invariants
///
/// `raw` was set up by `blk_mq_alloc_tag_set()`.
#[pin_data(PinnedDrop)]
pub(super) struct TagSet<D: Driver> {
    #[pin]
    raw: Opaque<bindings::blk_mq_tag_set>,
    driver: Arc<D>,
}

// SAFETY: A `struct blk_mq_tag_set` belongs to no thread; the driver is `Send` and `Sync`.
unsafe impl<D: Driver> Send for TagSet<D> {}
// SAFETY: As above. It is changed by no function called with `&TagSet` but those of the block layer, which
// do their own locking.
unsafe impl<D: Driver> Sync for TagSet<D> {}

impl<D: Driver> TagSet<D> {
    /// So many tags. May sleep.
    pub(super) fn new(driver: Arc<D>, tags: TagCount) -> impl PinInit<Self, Error> {
        // INVARIANT: As set up here.
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(move |slot: *mut bindings::blk_mq_tag_set| {
                let mut set: bindings::blk_mq_tag_set = pin_init::zeroed();
                set.ops = &Callbacks::<D>::OPS;
                set.nr_hw_queues = tags.queues;
                set.queue_depth = tags.depth;
                set.numa_node = bindings::NUMA_NO_NODE;
                set.cmd_size = size_of::<Pdu<D>>() as u32;
                // Submission may sleep: it takes the client's locks and writes to sockets.
                set.flags = bindings::BLK_MQ_F_BLOCKING;
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(set) };
                // SAFETY: `slot` was initialised above and is pinned.
                to_result(unsafe { bindings::blk_mq_alloc_tag_set(slot) })
            }),
            driver,
        })
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::blk_mq_tag_set {
        self.raw.get()
    }

    pub(super) fn driver(&self) -> &Arc<D> {
        &self.driver
    }

    /// Shows `f` the tags whose requests are under way, each at some moment meanwhile. May sleep.
    pub(super) fn for_each_under_way(&self, mut f: &mut dyn FnMut(&D::Tag)) {
        // SAFETY: By the type invariant; `visit` gets back the pointer it expects, which lives as long as
        // this call.
        unsafe {
            bindings::blk_mq_tagset_busy_iter(
                self.raw.get(),
                Some(Callbacks::<D>::visit),
                (&raw mut f).cast(),
            )
        };
    }
}

#[pinned_drop]
impl<D: Driver> PinnedDrop for TagSet<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. No disk uses the set any more: `Disk` drops its disk first.
        unsafe { bindings::blk_mq_free_tag_set(self.raw.get()) };
    }
}

/// What the block layer calls.
struct Callbacks<D>(PhantomData<D>);

impl<D: Driver> Callbacks<D> {
    const OPS: bindings::blk_mq_ops = bindings::blk_mq_ops {
        queue_rq: Some(Self::queue_rq),
        commit_rqs: Some(Self::commit_rqs),
        init_request: Some(Self::init_request),
        exit_request: Some(Self::exit_request),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `hctx` belongs to a disk whose tag set is a live `TagSet<D>`.
    unsafe fn driver<'a>(hctx: *mut bindings::blk_mq_hw_ctx) -> ArcBorrow<'a, D> {
        // SAFETY: `Disk` makes the driver its queue's data, and holds a reference to it for as long
        // as the queue exists.
        unsafe { ArcBorrow::from_raw((*(*hctx).queue).queuedata.cast::<D>()) }
    }

    /// # Safety
    ///
    /// For the block layer alone, with the queue of a disk that uses a [`TagSet<D>`].
    unsafe extern "C" fn queue_rq(
        hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // What is submitted here may be the write-out that frees memory.
        let _noio = NoIoScope::enter();
        // SAFETY: The block layer passes valid pointers, and hands us the request, whose private
        // data `init_request` has set up.
        let (driver, rq, last) =
            unsafe { (Self::driver(hctx), Request::start((*bd).rq), (*bd).last) };
        let given_back = match D::queue_rq(driver, rq, last) {
            Ok(()) => false,
            Err(Busy(rq)) => Request::give_back(rq),
        };
        if given_back {
            bindings::RBD_BLK_STS_RESOURCE as bindings::blk_status_t
        } else {
            bindings::BLK_STS_OK as bindings::blk_status_t
        }
    }

    /// # Safety
    ///
    /// As for [`queue_rq`](Self::queue_rq).
    unsafe extern "C" fn commit_rqs(hctx: *mut bindings::blk_mq_hw_ctx) {
        let _noio = NoIoScope::enter();
        // SAFETY: The block layer passes a valid pointer.
        D::commit_rqs(unsafe { Self::driver(hctx) });
    }

    /// # Safety
    ///
    /// For the block layer alone, with a [`TagSet<D>`] and one of its requests.
    unsafe extern "C" fn init_request(
        _set: *mut bindings::blk_mq_tag_set,
        rq: *mut bindings::request,
        _hctx: ffi::c_uint,
        _node: ffi::c_int,
    ) -> ffi::c_int {
        // SAFETY: The private data of a new request is ours to initialise.
        unsafe { Pdu::<D>::of(rq).write(Pdu::new()) };
        0
    }

    /// # Safety
    ///
    /// For [`TagSet::for_each_under_way`] alone.
    unsafe extern "C" fn visit(rq: *mut bindings::request, f: *mut ffi::c_void) -> bool {
        // SAFETY: The pointer is the one that was passed on. The request was started and is held, so
        // its private data are initialised and stay, even if it ends meanwhile.
        unsafe { (*f.cast::<&mut dyn FnMut(&D::Tag)>())((*Pdu::<D>::of(rq)).tag()) };
        true
    }

    /// # Safety
    ///
    /// As for [`init_request`](Self::init_request), which was called before.
    unsafe extern "C" fn exit_request(
        _set: *mut bindings::blk_mq_tag_set,
        rq: *mut bindings::request,
        _hctx: ffi::c_uint,
    ) {
        // SAFETY: `init_request` has initialised it; nobody uses it any more.
        unsafe { Pdu::<D>::of(rq).drop_in_place() };
    }
}
