// SPDX-License-Identifier: GPL-2.0-only

//! The devices there are: how one comes and goes.

use super::{
    attributes::Shown,
    bus,
    ids::{Id, Ids},
    map_spec::{MapSpec, RemoveSpec},
    mapping::{Mapping, Queues},
};
use crate::{
    abstractions::{
        bus::{Bus, BusHandle, BusType},
        device::{AddedDevice, Device},
        disk::{Disk, DiskParams},
        major::Major,
    },
    Image,
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{Arc, ArcBorrow, Mutex},
};
use net_ceph::abstractions::errno::EINPROGRESS;

/// Minor numbers of a device with a major number of its own
/// (Linux `drivers/block/rbd.c`, `RBD_MINORS_PER_MAJOR`).
const MINORS_PER_MAJOR: u32 = 256;

/// The driver: what the bus carries.
pub(crate) struct Rbd {
    ids: Arc<Ids>,
    // The major number of all devices, unless each has its own.
    shared_major: Option<Major>,
    // Ascending by id. Guards the list alone: a device is opened and torn down outside.
    devices: Pin<KBox<Mutex<KVec<Entry>>>>,
    queues: Queues,
}

impl BusType for Rbd {
    const NAME: &'static CStr = c"rbd";
    type Device = Shown<Image>;
}

/// A device in the list; its number stays there while it is torn down.
struct Entry {
    id: u32,
    mapped: Option<Mapped>,
}

/// A device. The fields are dropped in this order.
struct Mapped {
    disk: Disk<Image>,
    _device: AddedDevice<Shown<Image>>,
    _own_major: Option<Major>,
    _mapping: OpenMapping,
}

/// Closes a mapping when it goes.
struct OpenMapping(Arc<Image>);

impl Drop for OpenMapping {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Rbd {
    /// Registers the bus, with one major number for all devices or one for each. May sleep.
    pub(crate) fn register(single_major: bool) -> Result<Bus<Self>> {
        let shared_major = if single_major {
            Some(Major::register(CString::try_from(Self::NAME)?)?)
        } else {
            None
        };
        match &shared_major {
            Some(major) => pr_info!("loaded (major {})\n", major.number()),
            None => pr_info!("loaded\n"),
        }
        let rbd = Self {
            ids: Ids::new()?,
            shared_major,
            devices: KBox::pin_init(new_mutex!(KVec::new()), GFP_KERNEL)?,
            queues: Queues::new()?,
        };
        bus::register(rbd, single_major)
    }

    /// Whether all devices share a major number.
    pub(super) fn single_major(&self) -> bool {
        self.shared_major.is_some()
    }

    /// Maps what `spec`, made from `text`, says. May sleep, for the mount timeout at most.
    pub(super) fn add(bus: ArcBorrow<'_, BusHandle<Self>>, spec: MapSpec, text: &[u8]) -> Result {
        let id = bus.ids.take()?;
        let number = id.number();
        let own_major = match bus.shared_major {
            Some(_) => None,
            None => Some(Major::register(CString::try_from_fmt(fmt!(
                "rbd{number}"
            ))?)?),
        };
        let (major, first_minor, minors) = match (&bus.shared_major, &own_major) {
            (Some(major), _) => (major.number(), id.first_minor(), Id::MINORS),
            (None, Some(major)) => (major.number(), 0, MINORS_PER_MAJOR),
            (None, None) => return Err(EINVAL),
        };
        let mut config = KVec::with_capacity(text.len(), GFP_KERNEL)?;
        config.extend_from_slice(text, GFP_KERNEL)?;

        let mapping = OpenMapping(Image::open(spec, id, &bus.queues)?);
        let image = &mapping.0;
        let mut disk = Disk::new(
            image.clone(),
            DiskParams {
                name: fmt!("rbd{number}"),
                major,
                first_minor,
                minors,
                queue_depth: image.queue_depth(),
                limits: image.limits(),
                size: image.size(),
                read_only: image.read_only(),
            },
        )?;
        image.attach(disk.size().clone());
        let shown = Shown {
            mapping: image.clone(),
            major,
            minor: first_minor,
            config,
        };
        let device = Device::new(bus.into(), number, shown)?.add()?;
        disk.add(&device)?;
        pr_info!(
            "rbd{}: capacity {} features {:#x}\n",
            number,
            image.size(),
            image.features()
        );
        bus.insert(Entry {
            id: number,
            mapped: Some(Mapped {
                disk,
                _device: device,
                _own_major: own_major,
                _mapping: mapping,
            }),
        })
    }

    fn insert(&self, entry: Entry) -> Result {
        let mut devices = self.devices.lock();
        devices.reserve(1, GFP_KERNEL)?;
        let at = devices.partition_point(|e| e.id < entry.id);
        devices
            .insert_within_capacity(at, entry)
            .map_err(|_| ENOMEM)
    }

    /// Unmaps a device. `ENOENT` if there is none, `EBUSY` if it is open and not `force`d,
    /// `EINPROGRESS` if that is being done. May sleep: what is under way is waited for.
    pub(super) fn remove(&self, spec: RemoveSpec) -> Result {
        let mapped = self.begin_removal(spec)?;
        if spec.force {
            mapped.disk.mark_dead();
        }
        drop(mapped);
        let mut devices = self.devices.lock();
        if let Ok(at) = devices.binary_search_by_key(&spec.id, |e| e.id) {
            let _ = devices.remove(at);
        }
        Ok(())
    }

    /// Takes a device out, its number left in the list.
    fn begin_removal(&self, spec: RemoveSpec) -> Result<Mapped> {
        let mut devices = self.devices.lock();
        let at = devices
            .binary_search_by_key(&spec.id, |e| e.id)
            .map_err(|_| ENOENT)?;
        let entry = devices.get_mut(at).ok_or(ENOENT)?;
        let mapped = entry.mapped.as_ref().ok_or(EINPROGRESS)?;
        mapped.disk.begin_removal(spec.force)?;
        entry.mapped.take().ok_or(EINPROGRESS)
    }
}
