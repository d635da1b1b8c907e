// SPDX-License-Identifier: GPL-2.0-only

//! What an image keeps for when there is no memory: object requests for one request of the block layer.
//!
//! Most tags never see a request, so they have no object requests until they need some. When they cannot
//! be made then, the tag borrows those of the reserve until its request has ended. Whoever comes meanwhile
//! is told that the device is busy, and comes again when a request has ended. So there is always one that goes
//! on, which may be the one that frees memory.

use super::object_request::ObjectRequest;
use crate::{control::Mapping, image::Image};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Release},
        Arc, SpinLock,
    },
};
use net_ceph::osd_client::ExpectedRequests;

/// Most object requests in the reserve. A request of more objects, which there are on striped images alone, has
/// to wait for memory.
const COUNT_MAX: u64 = 32;

/// The reserve of an image.
#[pin_data]
pub(crate) struct Reserve {
    /// The first; there is one from [`fill`](Self::fill) to [`drain`](Self::drain). Nothing is taken inside.
    #[pin]
    first: SpinLock<Option<Arc<ObjectRequest>>>,
    /// How many there are.
    count: Atomic<usize>,
    lent: Atomic<bool>,
    /// Room for as many requests to OSDs as there are likely to be.
    #[pin]
    expected: SpinLock<Option<ExpectedRequests>>,
}

impl Reserve {
    /// None yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            first <- new_spinlock!(None, "rbd::Reserve::first"),
            count: Atomic::new(0),
            lent: Atomic::new(false),
            expected <- new_spinlock!(None, "rbd::Reserve::expected"),
        })
    }

    /// Makes what one request to `image` needs, however long it is. Allocates; sleeps.
    pub(crate) fn fill(&self, image: &Arc<Image>) -> Result {
        let mut generations = 0;
        let head = image.head();
        let mut parent = head.parent.as_ref();
        while let Some(next) = parent {
            generations += 1;
            parent = next.image.parent();
        }
        let count = image.source().layout().objects_max().min(COUNT_MAX) as usize;
        let first = ObjectRequest::new(image.clone(), GFP_KERNEL)?;
        first.provide_for_parents(generations)?;
        let mut last = first.clone();
        for _ in 1..count {
            last = last.next(GFP_KERNEL)?;
            last.provide_for_parents(generations)?;
        }
        // A request in each tag, and what those of several objects need on top.
        let likely = image.tags().requests().saturating_mul(2);
        let expected = image.source().data().osd().expect_requests(likely)?;
        *self.expected.lock() = Some(expected);
        *self.first.lock() = Some(first);
        self.count.store(count, Release);
        Ok(())
    }

    /// Lets go of them, and through them of the image. Nobody borrows any more.
    pub(crate) fn drain(&self) {
        self.count.store(0, Release);
        let first = self.first.lock().take();
        let expected = self.expected.lock().take();
        drop((first, expected));
    }

    /// Lends them to a request that needs `count`, if there are so many, and they are there. Any context.
    pub(super) fn lend(&self, count: usize) -> bool {
        count <= self.count.load(Acquire) && self.lent.cmpxchg(false, true, Full).is_ok()
    }

    /// The first of them. Any context.
    pub(super) fn first(&self) -> Option<Arc<ObjectRequest>> {
        self.first.lock().clone()
    }

    /// They are not used any more. Any context.
    pub(super) fn take_back(&self) {
        self.lent.store(false, Release);
    }
}
