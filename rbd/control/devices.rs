// SPDX-License-Identifier: GPL-2.0-only

//! The list of devices, and how far each of them has come: it is announced while it is set up, then it is
//! there, then it is on its way out. Its number is in use all the while.

use super::{
    attributes::Shown,
    map_spec::{Force, RemoveSpec},
    mapping::Mapping,
    removal::Removal,
};
use crate::{
    abstractions::{device::AddedDevice, disk::Disk, major::Major, module::ModuleRef},
    debugfs::DebugFiles,
    Image,
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};
use net_ceph::abstractions::{
    errno::{EINPROGRESS, ESHUTDOWN},
    task::NoIoScope,
};

/// The devices there are.
#[pin_data]
pub(super) struct Devices {
    // Ascending by id. Guards the list alone: a device is opened and torn down outside.
    #[pin]
    list: Mutex<KVec<Entry>>,
}

struct Entry {
    id: u32,
    image: Arc<Image>,
    removal: Arc<Removal>,
    state: State,
}

enum State {
    /// Being set up.
    Coming,
    /// Being set up, in vain.
    Doomed,
    /// In use.
    Here(Mapped),
    /// Being torn down.
    Going,
}

/// A device. The fields are dropped in this order.
pub(super) struct Mapped {
    _debug: DebugFiles,
    pub(super) disk: Disk<Image>,
    _device: AddedDevice<Shown<Image>>,
    _own_major: Option<Major>,
    _mapping: OpenMapping,
}

/// Closes a mapping when it goes. Until that is done the module stays: who removed it would have to wait, and nobody
/// could force anything any more.
pub(super) struct OpenMapping {
    image: Arc<Image>,
    _module: ModuleRef,
}

impl OpenMapping {
    pub(super) fn new(image: Arc<Image>, module: ModuleRef) -> Self {
        Self {
            image,
            _module: module,
        }
    }
}

impl Drop for OpenMapping {
    fn drop(&mut self) {
        self.image.close();
    }
}

/// What a removal begins with.
pub(super) struct Begun {
    /// What is waited for.
    pub(super) removal: Arc<Removal>,
    /// What is to be torn down, unless others are at it.
    pub(super) mapped: Option<Mapped>,
    /// Whose requests are in the way.
    pub(super) image: Arc<Image>,
}

/// A device that is being set up. Unless it [arrives](Self::arrive) it is taken off the list again.
pub(super) struct Coming {
    removal: Arc<Removal>,
    mapping: Option<OpenMapping>,
    arrived: bool,
}

impl Devices {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self { list <- new_mutex!(KVec::new()) }),
            GFP_KERNEL,
        )
    }

    /// Puts the device `id` on the list, which is to show `mapping`.
    pub(super) fn announce(self: &Arc<Self>, id: u32, mapping: OpenMapping) -> Result<Coming> {
        let removal = Removal::new(self.clone(), id)?;
        let entry = Entry {
            id,
            image: mapping.image.clone(),
            removal: removal.clone(),
            state: State::Coming,
        };
        // Full force takes the lock: memory must not be waited for that a device has to write back first.
        let _noio = NoIoScope::enter();
        let mut list = self.list.lock();
        list.reserve(1, GFP_KERNEL)?;
        let at = list.partition_point(|e| e.id < id);
        list.insert_within_capacity(at, entry).map_err(|_| ENOMEM)?;
        drop(list);
        Ok(Coming {
            removal,
            mapping: Some(mapping),
            arrived: false,
        })
    }

    /// Takes a device that is gone off the list, and with that its number back.
    pub(super) fn strike(&self, id: u32) {
        let mut list = self.list.lock();
        let at = list.binary_search_by_key(&id, |e| e.id);
        let entry = at.and_then(|at| list.remove(at).map_err(|_| at));
        drop(list);
        drop(entry);
    }

    /// Begins to remove a device. `ENOENT` if there is none, `EBUSY` if it is open and not forced,
    /// `EINPROGRESS` if that is being done, unless it is to be hurried by full force.
    pub(super) fn begin_removal(&self, spec: RemoveSpec) -> Result<Begun> {
        let full = spec.force == Force::Full;
        let mut list = self.list.lock();
        let at = list
            .binary_search_by_key(&spec.id, |e| e.id)
            .map_err(|_| ENOENT)?;
        let entry = list.get_mut(at).ok_or(ENOENT)?;
        let mapped = match core::mem::replace(&mut entry.state, State::Going) {
            State::Here(mapped) => {
                if let Err(e) = mapped.disk.begin_removal(spec.force != Force::No) {
                    entry.state = State::Here(mapped);
                    return Err(e);
                }
                Some(mapped)
            }
            State::Going if full => None,
            State::Going => return Err(EINPROGRESS),
            state @ (State::Coming | State::Doomed) => {
                entry.state = if full { State::Doomed } else { state };
                if !full {
                    return Err(ENOENT);
                }
                None
            }
        };
        Ok(Begun {
            removal: entry.removal.clone(),
            mapped,
            image: entry.image.clone(),
        })
    }
}

impl Coming {
    /// The image it is to show.
    pub(super) fn image(&self) -> Result<&Arc<Image>> {
        Ok(&self.mapping.as_ref().ok_or(ENODEV)?.image)
    }

    /// It is set up. `ESHUTDOWN` if it was removed by full force meanwhile.
    pub(super) fn arrive(
        mut self,
        debug: DebugFiles,
        disk: Disk<Image>,
        device: AddedDevice<Shown<Image>>,
        own_major: Option<Major>,
    ) -> Result {
        let mapped = Mapped {
            _debug: debug,
            disk,
            _device: device,
            _own_major: own_major,
            _mapping: self.mapping.take().ok_or(ENODEV)?,
        };
        let mut list = self.removal.devices().list.lock();
        let entry = list.iter_mut().find(|e| e.id == self.removal.id());
        match entry {
            Some(entry) if matches!(entry.state, State::Coming) => {
                entry.state = State::Here(mapped);
                drop(list);
                self.arrived = true;
                Ok(())
            }
            _ => {
                drop(list);
                drop(mapped);
                Err(ESHUTDOWN)
            }
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if !self.arrived {
            drop(self.mapping.take());
            self.removal.end();
        }
    }
}
