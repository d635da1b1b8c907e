// SPDX-License-Identifier: GPL-2.0-only

//! Work queues: items run, move, and are cancelled without a reference lost or left.

use crate::check;
use kernel::{
    impl_has_delayed_work, new_delayed_work,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
    workqueue::{DelayedWork, WorkItem},
};
use net_ceph::abstractions::{
    task::NoIoScope,
    time,
    wait::{sleep_ms, Event},
    workqueue::{self, Queue, QueueFlags},
};

#[pin_data]
pub(crate) struct Item {
    #[pin]
    work: DelayedWork<Item>,
    #[pin]
    ran: Event,
    pub(crate) runs: Atomic<i32>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Item { self.work }
}

impl WorkItem for Item {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _scope = NoIoScope::enter();
        this.runs.fetch_add(1, Relaxed);
        this.ran.complete_all();
    }
}

impl Item {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_delayed_work!("Item::work"),
                ran <- Event::new(),
                runs: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }
}

pub(crate) fn new_queue() -> Result<Queue> {
    Queue::new(c"ceph_selftest", QueueFlags::UNBOUND, 0)
}

/// Whether `item` is the last reference.
fn is_last(item: Arc<Item>) -> bool {
    Arc::into_unique_or_drop(item).is_some()
}

pub(crate) fn queue() -> Result {
    let queue = new_queue()?;
    let item = Item::new()?;
    queue.mod_delayed(&item, 0);
    check!(item.ran.wait_timeout(time::secs(60)));
    queue.flush();
    check!(item.runs.load(Relaxed) == 1);
    // Far away, then moved near: one run.
    let before = time::boot_ns();
    queue.mod_delayed(&item, time::secs(100));
    queue.mod_delayed(&item, time::secs(200));
    queue.mod_delayed(&item, time::msecs(20));
    while item.runs.load(Relaxed) == 1 {
        check!(time::boot_ns() - before < 60_000_000_000);
        sleep_ms(1);
    }
    queue.flush();
    check!(item.runs.load(Relaxed) == 2);
    check!(queue.enqueue(item.clone()).is_ok());
    queue.flush();
    check!(item.runs.load(Relaxed) == 3);
    drop(queue);
    check!(is_last(item));
    Ok(())
}

pub(crate) fn cancel() -> Result {
    let queue = new_queue()?;
    let item = Item::new()?;
    check!(!workqueue::cancel_sync(&item));
    queue.mod_delayed(&item, time::secs(100));
    check!(workqueue::cancel_sync(&item));
    check!(!workqueue::cancel_sync(&item));
    queue.mod_delayed(&item, time::secs(100));
    check!(workqueue::cancel(&item));
    check!(!workqueue::cancel(&item));
    check!(item.runs.load(Relaxed) == 0);
    check!(is_last(item));
    Ok(())
}

pub(crate) fn storm() -> Result {
    let queue = Queue::new(c"ceph_storm", QueueFlags::PER_CPU | QueueFlags::HIGHPRI, 0)?;
    let item = Item::new()?;
    for i in 0..20_000 {
        queue.mod_delayed(&item, i % 3);
        if i % 7 == 0 {
            workqueue::cancel(&item);
        }
        if i % 101 == 0 {
            workqueue::cancel_sync(&item);
        }
    }
    workqueue::cancel_sync(&item);
    check!(item.runs.load(Relaxed) > 0);
    check!(is_last(item));
    Ok(())
}
