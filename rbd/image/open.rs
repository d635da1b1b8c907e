// SPDX-License-Identifier: GPL-2.0-only

//! Opening an image: from names to objects.

use super::{
    head::Head,
    header::{self, Header},
    names::{copy, Names, Printable},
    reopen::Reopening,
    source::Source,
    watch::Watching,
    Image, TRUSTED,
};
use crate::{
    abstractions::tag_set::TagCount,
    control::{map_spec::MapSpec, Id, Mapping, Queues},
    io::Reserve,
    lock::{ExclusiveLock, LockConfig},
};
use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{atomic::Atomic, Arc},
};
use net_ceph::{
    client::Client,
    osd_client::{Group, IoCtx},
    proto::{cls::rbd::feature, osd_op::NOSNAP},
};

/// Opens what `spec` says, for the device `id`. May sleep, for the mount timeout at most.
pub(super) fn open(spec: MapSpec, id: Id, queues: &Queues) -> Result<Arc<Image>> {
    let read_only = spec.read_only();
    let MapSpec {
        client,
        mut options,
        pool,
        image,
        snap,
    } = spec;
    let names = Names {
        pool,
        pool_ns: options.pool_ns.take(),
        image,
        snap,
    };
    let client = Client::get(client)?;
    // Pools have names that are text.
    let pool_id = core::str::from_utf8(&names.pool)
        .map_err(|_| ENOENT)
        .and_then(|pool| client.pool_id(pool))
        .inspect_err(|&e| {
            if e == ENOENT {
                pr_info!("pool {} does not exist\n", Printable(&names.pool));
            }
        })?;
    let io = IoCtx::new(client.osd(), &Group::new()?, pool_id, names.namespace())?;

    let missing = |e: &Error| match *e {
        ENOENT => pr_info!("image {names} does not exist\n"),
        ETIMEDOUT => pr_info!("image {names}: no answer from the OSDs\n"),
        _ => {}
    };
    let image_id = match header::image_id(&io, &names.image) {
        Err(ENOENT) if header::is_format_1(&io, &names.image)? => {
            pr_warn!("image {names}: format 1 is not supported\n");
            return Err(ENXIO);
        }
        id => id.inspect_err(missing)?,
    };
    let header = Header::new(io, image_id)?;
    // From here on we are told of changes. A reader does without: it may not be allowed to watch.
    let watching = if read_only {
        None
    } else {
        Some(Watching::begin(&header, &queues.control).inspect_err(missing)?)
    };
    let snap_id = match &names.snap {
        Some(name) => header.find_snap(name).inspect_err(missing)?,
        None => NOSNAP,
    };
    let source = Source::read(&header, &client, &names, snap_id, read_only).inspect_err(missing)?;
    let head = Head::read(&header, &client, snap_id, None).inspect_err(missing)?;
    if (options.exclusive || options.lock_on_read) && head.features & feature::EXCLUSIVE_LOCK == 0 {
        pr_warn!("image {names}: exclusive-lock feature is not enabled\n");
        return Err(EINVAL);
    }
    if u64::from(options.alloc_size) > source.layout().object_size() {
        options.alloc_size = u32::try_from(source.layout().object_size())?;
        pr_warn!(
            "image {names}: alloc_size adjusted to {}\n",
            options.alloc_size
        );
    }

    let reopening = Reopening::new(&queues.control)?;
    let tags = TagCount::new(options.queue_depth);
    let lock = match &watching {
        Some(watching) => {
            let config = LockConfig {
                device: id.number(),
                io: header.io().clone(),
                mon: client.mon().clone(),
                gid: client.global_id(),
                header: copy(header.object())?,
                watch: watching.cookie().ok_or(EIO)?,
                required: head.features & feature::EXCLUSIVE_LOCK != 0,
                exclusive: options.exclusive,
                timeout: options.lock_timeout,
                capacity: tags.requests(),
            };
            Some(ExclusiveLock::new(config, &queues.control)?)
        }
        None => None,
    };

    let image = Arc::pin_init(
        pin_init!(Image {
            id,
            names,
            options,
            tags,
            read_only,
            header,
            source,
            queues: queues.clone(),
            client,
            head <- new_spinlock!(head),
            lock,
            object_map <- new_spinlock!(None),
            refreshing <- new_mutex!(()),
            history <- new_mutex!(KVec::new()),
            trust: Atomic::new(TRUSTED),
            unwatched: Atomic::new(false),
            reserve <- Reserve::new(),
            reopening,
            disk <- new_mutex!(None),
            watching <- new_mutex!(None),
        }),
        GFP_KERNEL,
    )?;
    if let Some(watching) = watching {
        watching.attach(&image);
        *image.watching.lock() = Some(watching);
    }
    if let Some(lock) = &image.lock {
        lock.attach(image.clone());
    }
    let close = |_: &Error| image.close();
    image.reserve.fill(&image).inspect_err(close)?;
    if let Some(lock) = &image.lock {
        if image.options.exclusive || image.options.lock_on_read {
            lock.acquire_now(image.options.lock_timeout)
                .inspect_err(|e| {
                    pr_warn!(
                        "rbd{}: failed to acquire exclusive lock: {}\n",
                        image.device(),
                        e.to_errno()
                    );
                })
                .inspect_err(close)?;
        }
    } else if image.is_snapshot() && image.head().parent.is_none() {
        // What is copied up to a snapshot, and when it loses its parent, we would not be told.
        if let Err(e) = image.open_object_map() {
            pr_warn!("rbd{}: object map: {}\n", image.device(), e.to_errno());
        }
    }
    Ok(image)
}
