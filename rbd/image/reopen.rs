// SPDX-License-Identifier: GPL-2.0-only

//! Opening the ancestors of an image anew, when one of them turned out to be gone.
//!
//! An image's parent changes when it is flattened, and its children, or theirs, are not told. The ancestors that we
//! have open are then more than there are. A read that comes across one that is gone has them opened anew, and is
//! done again when the [`Head`](super::Head) is another one.
//!
//! That may fail for as long as the header names a parent that is gone: librbd removes one from the trash before
//! it takes its name out of the header of the child that was flattened (Ceph
//! `src/librbd/operation/FlattenRequest.cc`, `src/librbd/image/DetachChildRequest.cc`).

use super::Image;
use kernel::{
    impl_has_delayed_work, new_delayed_work, new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    workqueue::{DelayedWork, WorkItem},
};
use net_ceph::abstractions::{
    task::NoIoScope,
    time::msecs,
    workqueue::{cancel_sync, Queue},
};

/// Milliseconds by which each attempt after one that failed comes later, and the most of them.
const RETRY_DELAY: u64 = 1000;
const RETRY_DELAY_MAX: u64 = 10_000;

/// What opens the ancestors anew.
#[pin_data]
pub(super) struct Reopening {
    queue: Arc<Queue>,
    #[pin]
    work: DelayedWork<Self>,
    /// Held for moments.
    #[pin]
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whose ancestors, while that is wanted.
    image: Option<Arc<Image>>,
    /// Attempts that failed since the last one that did not.
    failures: u32,
    /// No more of it.
    ended: bool,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Reopening { self.work }
}

impl Reopening {
    /// Nothing is wanted yet; it will be done by `queue`.
    pub(super) fn new(queue: &Arc<Queue>) -> Result<Arc<Self>> {
        let queue = queue.clone();
        Arc::pin_init(
            pin_init!(Self {
                queue,
                work <- new_delayed_work!("rbd::Reopening::work"),
                state <- new_mutex!(State::default()),
            }),
            GFP_KERNEL,
        )
    }

    /// Has the ancestors of `image` opened anew, soon, should that not be under way. Returns how many attempts have
    /// failed. Sleeps, but for nothing.
    pub(super) fn want(self: &Arc<Self>, image: &Arc<Image>) -> u32 {
        let mut state = self.state.lock();
        if state.image.is_none() && !state.ended {
            state.image = Some(image.clone());
            let delay = u64::from(state.failures).saturating_mul(RETRY_DELAY);
            let delay = msecs(delay.min(RETRY_DELAY_MAX));
            let _ = self.queue.enqueue_delayed(self.clone(), delay);
        }
        state.failures
    }

    /// Ends it. Waits for an attempt that is under way.
    pub(super) fn end(self: &Arc<Self>) {
        self.state.lock().ended = true;
        cancel_sync(self);
        let image = self.state.lock().image.take();
        drop(image);
    }
}

impl WorkItem for Reopening {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // I/O waits for us.
        let _noio = NoIoScope::enter();
        let Some(image) = this.state.lock().image.clone() else {
            return;
        };
        let result = image.reopen_parents();
        if let Ok(()) = result {
            pr_info!("rbd{}: an ancestor was removed\n", image.device());
        }
        let mut state = this.state.lock();
        state.failures = match result {
            Ok(()) => 0,
            Err(_) => state.failures.saturating_add(1),
        };
        let wanted = state.image.take();
        drop(state);
        drop(wanted);
    }
}
