// SPDX-License-Identifier: GPL-2.0-only

//! Telling the header's watchers who has the lock. As all are waited for, and some may be dead, it is
//! done beside everything else.

use super::{event::Announcement, header::Header};
use kernel::{
    impl_has_delayed_work, new_delayed_work, new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    workqueue::{DelayedWork, WorkItem},
};
use net_ceph::abstractions::{
    task::NoIoScope,
    workqueue::{cancel_sync, Queue},
};

/// Announces.
#[pin_data]
pub(super) struct Announcer {
    /// The module has a reference, too: this one is never the last.
    queue: Arc<Queue>,
    #[pin]
    work: DelayedWork<Self>,
    header: Arc<Header>,
    device: u32,
    /// What is to be announced. The newest alone is of interest. Held for moments.
    #[pin]
    next: Mutex<Option<(Announcement, u64)>>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Announcer { self.work }
}

impl WorkItem for Announcer {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _noio = NoIoScope::enter();
        this.announce();
    }
}

impl Announcer {
    /// For `header`, the image of the device number `device`.
    pub(super) fn new(queue: &Arc<Queue>, header: &Arc<Header>, device: u32) -> Result<Arc<Self>> {
        let (queue, header) = (queue.clone(), header.clone());
        Arc::pin_init(
            pin_init!(Self {
                queue,
                work <- new_delayed_work!("rbd::lock::Announcer::work"),
                header,
                device,
                next <- new_mutex!(None, "rbd::lock::Announcer::next"),
            }),
            GFP_KERNEL,
        )
    }

    /// Tells all watchers, soon.
    pub(super) fn say(self: &Arc<Self>, what: Announcement, handle: u64) {
        *self.next.lock() = Some((what, handle));
        self.queue.mod_delayed(self, 0);
    }

    /// Says what is left to say; nothing may follow. Sleeps, for a bounded time.
    pub(super) fn finish(self: &Arc<Self>) {
        cancel_sync(self);
        self.announce();
    }

    fn announce(&self) {
        let next = self.next.lock().take();
        let Some((what, handle)) = next else {
            return;
        };
        if let Err(e) = self.header.announce(what, handle) {
            // They will find out.
            pr_warn!(
                "rbd{}: lock {what:?}: not told: {}\n",
                self.device,
                e.to_errno()
            );
        }
    }
}
