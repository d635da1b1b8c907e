// SPDX-License-Identifier: GPL-2.0-only

//! Requests of the block layer.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use super::{bindings, disk::Driver, limits::SECTOR_SIZE};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    prelude::*,
    sync::{
        aref::{ARef, AlwaysRefCounted},
        atomic::{ordering, Atomic},
    },
    types::Opaque,
};
use net_ceph::abstractions::data::{DataCursor, Owner};

/// `Pdu::result` of a request that nobody has finished.
const UNFINISHED: i32 = 1;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Fill the data from the device.
    Read,
    /// Write the data.
    Write,
    /// The range is not needed any more.
    Discard,
    /// Make the range read as zeroes.
    WriteZeroes,
    /// Anything else; we ask for none of it.
    Other(u32),
}

/// A started request.
///
/// It ends when its last [`ARef`] goes, with the result given to [`finish`](Self::finish), or with
/// `EIO` if there was none. A [`DataCursor`] of its data holds a reference too: the pages are there
/// for as long as anything may touch them.
///
/// # Invariants
///
/// The request is ours, and its private data is an initialised `Pdu<D>`.
#[repr(transparent)]
pub(crate) struct Request<D: Driver>(Opaque<bindings::request>, PhantomData<D>);

// SAFETY: A request belongs to no thread, and nothing is changed through `&Request` but atomics and
// what `D::Tag: Send + Sync` allows.
unsafe impl<D: Driver> Send for Request<D> {}
// SAFETY: As above.
unsafe impl<D: Driver> Sync for Request<D> {}

impl<D: Driver> Request<D> {
    /// Starts a request.
    ///
    /// # Safety
    ///
    /// The block layer must just have handed it to us, with initialised private data.
    pub(super) unsafe fn start(rq: *mut bindings::request) -> ARef<Self> {
        // SAFETY: By the requirement of this function.
        unsafe { bindings::blk_mq_start_request(rq) };
        // SAFETY: By the requirement of this function.
        let pdu = unsafe { &*Pdu::<D>::of(rq) };
        pdu.result.store(UNFINISHED, ordering::Relaxed);
        pdu.refs.store(1, ordering::Relaxed);
        // INVARIANT: By the requirement of this function.
        // SAFETY: The pointer is valid, and the only reference is the one just made.
        unsafe { ARef::from_raw(NonNull::new_unchecked(rq.cast())) }
    }

    /// Returns a request to the block layer as if it had not been started; `false` if others refer to
    /// it, so that it ends when they let go.
    pub(super) fn give_back(rq: ARef<Self>) -> bool {
        // `rq` is one reference, so where there is one there is nobody who could make more.
        let only = rq.pdu().refs.load(ordering::Acquire) == 1;
        if only {
            core::mem::forget(rq);
        }
        only
    }

    fn raw(&self) -> *mut bindings::request {
        self.0.get()
    }

    fn pdu(&self) -> &Pdu<D> {
        // SAFETY: By the type invariant.
        unsafe { &*Pdu::<D>::of(self.raw()) }
    }

    /// The driver's data of this request's tag: left as the tag's last request left it.
    pub(crate) fn tag(&self) -> &D::Tag {
        &self.pdu().tag
    }

    /// What is asked for.
    pub(crate) fn op(&self) -> Op {
        // SAFETY: By the type invariant; the field does not change while the request is ours.
        match unsafe { (*self.raw()).cmd_flags } & bindings::RBD_REQ_OP_MASK {
            bindings::req_op_REQ_OP_READ => Op::Read,
            bindings::req_op_REQ_OP_WRITE => Op::Write,
            bindings::req_op_REQ_OP_DISCARD => Op::Discard,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Op::WriteZeroes,
            other => Op::Other(other),
        }
    }

    /// Where it starts on the device, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        // SAFETY: As in `op`.
        unsafe { (*self.raw()).__sector }.wrapping_mul(SECTOR_SIZE.into())
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: As in `op`.
        unsafe { (*self.raw()).__data_len }
    }

    /// The data to write, or room for the data to read: [`len`](Self::len) bytes.
    pub(crate) fn data(&self) -> DataCursor {
        // SAFETY: The request's bios stay as they are until it ends, which the reference given to
        // the cursor prevents.
        unsafe {
            DataCursor::from_bios((*self.raw()).bio.cast(), Owner::from_aref(ARef::from(self)))
        }
    }

    /// Sets the result, unless an error was set before. The request ends with its last reference.
    pub(crate) fn finish(&self, result: Result) {
        let result = result.map_or_else(Error::to_errno, |()| 0);
        let pdu = self.pdu();
        let mut old = pdu.result.load(ordering::Relaxed);
        // Parts of a request may end at once: an error must not be lost to a success.
        while old == UNFINISHED || old == 0 && result != 0 {
            match pdu.result.cmpxchg(old, result, ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
    }
}

// SAFETY: The block layer leaves the request alone until we end it, which happens when the count
// reaches zero.
unsafe impl<D: Driver> AlwaysRefCounted for Request<D> {
    fn inc_ref(&self) {
        self.pdu().refs.add(1, ordering::Relaxed);
    }

    unsafe fn dec_ref(this: NonNull<Self>) {
        let rq: *mut bindings::request = this.as_ptr().cast();
        // SAFETY: By the requirement of this function there is a reference, so the request is ours.
        let pdu = unsafe { &*Pdu::<D>::of(rq) };
        if pdu.refs.fetch_sub(1, ordering::Full) != 1 {
            return;
        }
        let result = match pdu.result.load(ordering::Relaxed) {
            UNFINISHED => EIO.to_errno(),
            result => result,
        };
        // SAFETY: `Disk` makes the driver its queue's data, and holds a reference to it for as long as the queue
        // exists, which a request of it sees to.
        unsafe { (*(*(*rq).q).queuedata.cast::<D>()).ended(&pdu.tag) };
        // SAFETY: Ours, started, and referenced by nobody any more.
        unsafe { bindings::blk_mq_end_request(rq, bindings::errno_to_blk_status(result)) };
    }
}

/// The private data of a request.
pub(super) struct Pdu<D: Driver> {
    refs: Atomic<i32>,
    result: Atomic<i32>,
    tag: D::Tag,
}

impl<D: Driver> Pdu<D> {
    /// Where the private data of `rq` lies.
    pub(super) fn of(rq: *mut bindings::request) -> *mut Self {
        const { assert!(align_of::<Self>() <= align_of::<bindings::request>()) };
        // As `blk_mq_rq_to_pdu()` has it.
        rq.wrapping_add(1).cast()
    }

    /// The driver's data of the tag.
    pub(super) fn tag(&self) -> &D::Tag {
        &self.tag
    }

    /// Private data of a new request.
    pub(super) fn new() -> Self {
        Self {
            refs: Atomic::new(0),
            result: Atomic::new(UNFINISHED),
            tag: D::Tag::default(),
        }
    }
}
