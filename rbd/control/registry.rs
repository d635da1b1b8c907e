// SPDX-License-Identifier: GPL-2.0-only

//! The devices there are: how one comes and goes.

use super::{
    attributes::Shown,
    bus,
    devices::{Begun, Devices, OpenMapping},
    ids::{Id, Ids},
    map_spec::{Force, MapSpec, RemoveSpec},
    mapping::{Mapping, OwnQueues},
};
use crate::{
    abstractions::{
        bus::{Bus, BusHandle, BusType},
        device::Device,
        disk::{Disk, DiskParams},
        major::Major,
        module::ModuleRef,
    },
    debugfs::{DebugDir, DebugFiles},
    Image,
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{Arc, ArcBorrow},
};
use net_ceph::abstractions::workqueue::{Queue, QueueFlags};

/// Minor numbers of a device with a major number of its own
/// (Linux `drivers/block/rbd.c`, `RBD_MINORS_PER_MAJOR`).
const MINORS_PER_MAJOR: u32 = 256;

/// Seconds for which a remover waits at most until a device is gone whose I/O was made to fail. It has to
/// wait for nothing but this machine: file systems that give up, and tasks that find out.
const ABORTED_SECONDS: u32 = 10;

/// The driver: what the bus carries.
pub(crate) struct Rbd {
    ids: Arc<Ids>,
    // The major number of all devices, unless each has its own.
    shared_major: Option<Major>,
    devices: Arc<Devices>,
    debug: DebugDir,
    // Runs removals. Not a queue for memory reclaim: they wait for others that are not. It ends first.
    removals: Queue,
    queues: OwnQueues,
}

impl BusType for Rbd {
    const NAME: &'static CStr = c"rbd";
    type Device = Shown<Image>;
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
            devices: Devices::new()?,
            debug: DebugDir::new()?,
            removals: Queue::without_rescuer(c"rbd-remove", QueueFlags::UNBOUND, 0)?,
            queues: OwnQueues::new()?,
        };
        bus::register(rbd, single_major)
    }

    /// Whether all devices share a major number.
    pub(super) fn single_major(&self) -> bool {
        self.shared_major.is_some()
    }

    /// Maps what `spec`, made from `text`, says. May sleep, for the mount timeout at most.
    pub(super) fn add(bus: ArcBorrow<'_, BusHandle<Self>>, spec: MapSpec, text: &[u8]) -> Result {
        // The module must not go while this may wait for the cluster.
        let module = ModuleRef::get()?;
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

        let mapping = OpenMapping::new(Image::open(spec, id, bus.queues.get())?, module);
        let coming = bus.devices.announce(number, mapping)?;
        let image = coming.image()?;
        let mut disk = Disk::new(
            image.clone(),
            DiskParams {
                name: fmt!("rbd{number}"),
                major,
                first_minor,
                minors,
                tags: image.tags(),
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
        let debug = DebugFiles::new(&bus.debug, number, &disk)?;
        let device = Device::new(bus.into(), number, shown)?.add()?;
        disk.add(&device)?;
        pr_info!(
            "rbd{}: capacity {} features {:#x}\n",
            number,
            image.size(),
            image.features()
        );
        coming.arrive(debug, disk, device, own_major)
    }

    /// Unmaps a device, as [`Devices::begin_removal`] says. `EINTR` for a fatal signal, `ETIMEDOUT` if the device
    /// is not gone when it should be; then it goes on going. May sleep: by force until what is under way has
    /// ended, but no longer than the mapping waits for its cluster (`mount_timeout`).
    pub(super) fn remove(&self, spec: RemoveSpec) -> Result {
        let Begun {
            removal,
            mapped,
            image,
        } = self.devices.begin_removal(spec)?;
        if spec.force == Force::Full {
            pr_warn!("rbd{}: full force: all I/O fails\n", spec.id);
            image.abort();
        }
        if let Some(mapped) = mapped {
            removal.start(&self.removals, mapped, spec.force);
        }
        match spec.force {
            Force::No => {
                removal.wait(0)?;
                return Ok(());
            }
            Force::Open => {
                let patience = image.mount_timeout();
                if removal.wait(patience)? {
                    return Ok(());
                }
                pr_warn!(
                    "rbd{}: force: not gone after {} s: what is under way fails\n",
                    spec.id,
                    patience
                );
                image.abort();
            }
            Force::Full => {}
        }
        match removal.wait(ABORTED_SECONDS)? {
            true => Ok(()),
            false => Err(ETIMEDOUT),
        }
    }
}
