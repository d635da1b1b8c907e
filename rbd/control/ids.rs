// SPDX-License-Identifier: GPL-2.0-only

//! Numbers of devices: the lowest free one is given out, and comes back when the last user of the
//! device is gone.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};
use net_ceph::abstractions::task::NoIoScope;

/// How many there are: with 16 minor numbers each, they fill a major number.
const COUNT: u32 = 1 << (20 - PARTITION_BITS);

/// Minor numbers of a device and its partitions, as a power of two
/// (Linux `drivers/block/rbd.c`, `RBD_SINGLE_MAJOR_PART_SHIFT`).
const PARTITION_BITS: u32 = 4;

/// The numbers in use.
#[pin_data]
pub(super) struct Ids {
    // Ascending.
    #[pin]
    used: Mutex<KVec<u32>>,
}

impl Ids {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                used <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the lowest free number. `ENOMEM` if there is none.
    pub(super) fn take(self: &Arc<Self>) -> Result<Id> {
        // A number may be given back where I/O waits.
        let _noio = NoIoScope::enter();
        let mut used = self.used.lock();
        let at = used
            .iter()
            .zip(0u32..)
            .position(|(&used, n)| used != n)
            .unwrap_or(used.len());
        let number = u32::try_from(at)?;
        if number >= COUNT {
            return Err(ENOMEM);
        }
        used.reserve(1, GFP_KERNEL)?;
        used.insert_within_capacity(at, number)
            .map_err(|_| ENOMEM)?;
        Ok(Id {
            number,
            ids: self.clone(),
        })
    }
}

/// A number in use.
pub(crate) struct Id {
    number: u32,
    ids: Arc<Ids>,
}

impl Id {
    /// The number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The first minor number, under a major number shared with other devices.
    pub(super) fn first_minor(&self) -> u32 {
        self.number << PARTITION_BITS
    }

    /// Minor numbers under a shared major number.
    pub(super) const MINORS: u32 = 1 << PARTITION_BITS;
}

impl Drop for Id {
    fn drop(&mut self) {
        let mut used = self.ids.used.lock();
        if let Ok(at) = used.binary_search(&self.number) {
            let _ = used.remove(at);
        }
    }
}
