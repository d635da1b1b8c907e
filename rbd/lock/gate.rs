// SPDX-License-Identifier: GPL-2.0-only

//! The gate: whether I/O may go on, and how much of it does; and the work items of whoever keeps it.
//!
//! On the way of I/O this is one atomic word.

use kernel::{
    impl_has_delayed_work, new_delayed_work, new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc, Mutex, SpinLock,
    },
    time::Jiffies,
    workqueue::{DelayedWork, WorkItem},
};
use net_ceph::abstractions::{
    task::NoIoScope,
    wait::sleep_ms,
    workqueue::{cancel_sync, Queue},
};

/// The gate is open; the other bits count passes.
const OPEN: u64 = 1 << 63;
/// How often the end of all I/O is looked for, in milliseconds.
pub(super) const LOOK_EVERY: u32 = 10;

/// Whoever works behind the gate.
pub(super) trait Keeper: Send + Sync {
    /// Something happened, or the time has come. Called by a work item in a no-I/O scope; sleeps.
    fn drive(&self);

    /// What waits may have waited for too long. Called by another work item, in the same way.
    fn expire(&self);
}

/// Tells the work item that looks for what has waited for too long from the other one.
const ALARM: u64 = 1;

/// A gate. Made shut.
#[pin_data]
pub(super) struct Gate {
    /// The module has a reference, too: this one is never the last.
    queue: Arc<Queue>,
    #[pin]
    work: DelayedWork<Self>,
    #[pin]
    alarm: DelayedWork<Self, ALARM>,
    /// There is one from `attach` to `end`. Held for moments.
    #[pin]
    keeper: Mutex<Option<Arc<dyn Keeper>>>,
    /// The work items are not to be queued any more. Held while they are.
    #[pin]
    ended: SpinLock<bool>,
    passes: Atomic<u64>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Gate { self.work }
    impl HasDelayedWork<Self, ALARM> for Gate { self.alarm }
}

impl WorkItem for Gate {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _noio = NoIoScope::enter();
        let keeper = this.keeper.lock().clone();
        if let Some(keeper) = keeper {
            keeper.drive();
        }
    }
}

impl WorkItem<ALARM> for Gate {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _noio = NoIoScope::enter();
        let keeper = this.keeper.lock().clone();
        if let Some(keeper) = keeper {
            keeper.expire();
        }
    }
}

impl Gate {
    /// A shut gate, whose keeper's work `queue` runs.
    pub(super) fn new(queue: &Arc<Queue>) -> Result<Arc<Self>> {
        let queue = queue.clone();
        Arc::pin_init(
            pin_init!(Self {
                queue,
                work <- new_delayed_work!("rbd::lock::Gate::work"),
                alarm <- new_delayed_work!("rbd::lock::Gate::alarm"),
                keeper <- new_mutex!(None, "rbd::lock::Gate::keeper"),
                ended <- new_spinlock!(false, "rbd::lock::Gate::ended"),
                passes: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Gives it its keeper.
    pub(super) fn attach(&self, keeper: Arc<dyn Keeper>) {
        *self.keeper.lock() = Some(keeper);
    }

    /// Has the keeper work now. Any context.
    pub(super) fn kick(self: &Arc<Self>) {
        let ended = self.ended.lock();
        if !*ended {
            self.queue.mod_delayed::<Self, 0>(self, 0);
        }
    }

    /// Has the keeper work after `delay`, unless it is about to anyway.
    pub(super) fn kick_after(self: &Arc<Self>, delay: Jiffies) {
        let ended = self.ended.lock();
        if !*ended {
            let _ = self
                .queue
                .enqueue_delayed::<Arc<Self>, 0>(self.clone(), delay);
        }
    }

    /// Has the keeper look after `delay` for what has waited for too long, unless it is about to
    /// earlier. Any context.
    pub(super) fn alarm_after(self: &Arc<Self>, delay: Jiffies) {
        let ended = self.ended.lock();
        if !*ended {
            let _ = self
                .queue
                .enqueue_delayed::<Arc<Self>, ALARM>(self.clone(), delay);
        }
    }

    /// The keeper works no more, and does not now. Sleeps; not from the keeper.
    pub(super) fn end(self: &Arc<Self>) {
        *self.ended.lock() = true;
        cancel_sync::<Self, 0>(self);
        cancel_sync::<Self, ALARM>(self);
        let keeper = self.keeper.lock().take();
        drop(keeper);
    }

    /// A pass, if the gate is open.
    pub(super) fn pass(self: &Arc<Self>) -> Option<Pass> {
        if self.passes.load(Relaxed) & OPEN == 0 {
            return None;
        }
        let before = self.passes.fetch_add(1, Full);
        let pass = Pass(self.clone());
        // Shut meanwhile: dropping the pass takes it back.
        (before & OPEN != 0).then_some(pass)
    }

    /// A pass, though the gate be shut.
    pub(super) fn side_pass(self: &Arc<Self>) -> Pass {
        self.passes.add(1, Relaxed);
        Pass(self.clone())
    }

    /// Opens it. The keeper alone does this.
    pub(super) fn open(&self) {
        if !self.is_open() {
            let _ = self.passes.fetch_add(OPEN, Full);
        }
    }

    /// Shuts it. The keeper alone does this.
    pub(super) fn shut(&self) {
        if self.is_open() {
            let _ = self.passes.fetch_sub(OPEN, Full);
        }
    }

    /// Whether it is open.
    pub(super) fn is_open(&self) -> bool {
        self.passes.load(Relaxed) & OPEN != 0
    }

    /// Whether it is shut and there are no passes.
    pub(super) fn is_drained(&self) -> bool {
        // What was done with a pass is to be over for us, too.
        self.passes.fetch_add(0, Full) == 0
    }

    /// Waits until there are no passes, for `ms` milliseconds at most. Sleeps.
    pub(super) fn wait_drained(&self, ms: u32) {
        let mut left = ms;
        while left > 0 && !self.is_drained() {
            sleep_ms(LOOK_EVERY);
            left = left.saturating_sub(LOOK_EVERY);
        }
    }
}

/// Permission to go on, for I/O that needs the lock: it is not released while there is one. May be
/// cloned and dropped in any context.
pub struct Pass(Arc<Gate>);

impl Clone for Pass {
    fn clone(&self) -> Self {
        self.0.side_pass()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // The last one while the gate is shut.
        if self.0.passes.fetch_sub(1, Full) == 1 {
            self.0.kick();
        }
    }
}
