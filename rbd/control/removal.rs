// SPDX-License-Identifier: GPL-2.0-only

//! How a device goes: a work item tears it down, and whoever asked for that waits.
//!
//! Tearing down may have to wait for I/O. With a work item, those who wait can give up, and others can end
//! the I/O meanwhile. Nothing is allocated, as this may be what gets a machine out of trouble.

use super::{
    devices::{Devices, Mapped},
    map_spec::Force,
};
use kernel::{
    impl_has_work, new_mutex, new_work,
    prelude::*,
    sync::{Arc, Mutex},
    workqueue::{Work, WorkItem},
};
use net_ceph::abstractions::{time::patience, wait::Event, workqueue::Queue};

/// The removal of one device, to come or under way.
#[pin_data]
pub(super) struct Removal {
    devices: Arc<Devices>,
    id: u32,
    #[pin]
    work: Work<Self>,
    /// What is to be torn down, and whether users lose it.
    #[pin]
    mapped: Mutex<Option<(Mapped, bool)>>,
    /// The device is gone, and off the list.
    #[pin]
    gone: Event,
}

impl_has_work! {
    impl HasWork<Self> for Removal { self.work }
}

impl Removal {
    /// Of the device `id` on the list `devices`.
    pub(super) fn new(devices: Arc<Devices>, id: u32) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                devices,
                id,
                work <- new_work!("rbd::Removal::work"),
                mapped <- new_mutex!(None),
                gone <- Event::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The list that the device is on.
    pub(super) fn devices(&self) -> &Arc<Devices> {
        &self.devices
    }

    /// The number of the device.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Has `mapped` torn down by an item of `queue`.
    pub(super) fn start(self: &Arc<Self>, queue: &Queue, mapped: Mapped, force: Force) {
        *self.mapped.lock() = Some((mapped, force != Force::No));
        // Not queued before: a device goes once.
        let _ = queue.enqueue(self.clone());
    }

    /// Nothing is left of the device but its place on the list.
    pub(super) fn end(&self) {
        self.devices.strike(self.id);
        self.gone.complete_all();
    }

    /// Waits until the device is gone, `seconds` at most; 0 is for ever. Returns whether it is. `EINTR` for a
    /// fatal signal: then the device goes on going.
    pub(super) fn wait(&self, seconds: u32) -> Result<bool> {
        self.gone.wait_killable(patience(seconds))
    }
}

impl WorkItem for Removal {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mapped = this.mapped.lock().take();
        if let Some((mut mapped, force)) = mapped {
            if force {
                mapped.disk.mark_dead();
            }
            drop(mapped);
            this.end();
        }
    }
}
