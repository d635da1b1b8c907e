// SPDX-License-Identifier: GPL-2.0-only

//! What goes with the exclusive lock: the header as the last owner left it, and the object map.

use super::{source::FeatureNames, Head, Image};
use crate::{
    io::ImageMap,
    lock::ExclusiveLock,
    object_map::{NoMap, ObjectMap, SnapMap},
};
use kernel::{prelude::*, sync::Arc};
use net_ceph::proto::{cls::rbd::feature, osd_op::NOSNAP};

impl Image {
    /// The exclusive lock, of an image that is not mapped read-only.
    pub(crate) fn lock(&self) -> Option<&Arc<ExclusiveLock<Self>>> {
        self.lock.as_ref()
    }

    /// The object map, while it is open.
    pub(crate) fn object_map(&self) -> Option<Arc<ImageMap>> {
        self.object_map.lock().clone()
    }

    /// The map of the image's snapshot `snapid`; `None` if the image has no object maps by `head`.
    pub(crate) fn snap_map(&self, head: &Head, snapid: u64) -> Option<SnapMap<'_>> {
        (head.features & feature::OBJECT_MAP != 0).then(|| SnapMap {
            io: self.header.io(),
            header: self.header.object(),
            image_id: self.header.id(),
            snapid,
            fast_diff: head.features & feature::FAST_DIFF != 0,
        })
    }

    /// Whether a snapshot is mapped.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.source.snap_id() != NOSNAP
    }

    /// The lock was taken: whoever had it before may have changed anything. `EROFS` if the image got features
    /// that it would not have been mapped with. Sleeps.
    pub(crate) fn lock_acquired(&self) -> Result {
        self.read_header()?;
        let came = self.head().unwritable;
        if came != 0 {
            let device = self.device();
            pr_warn!("rbd{device}: not written with {}\n", FeatureNames(came));
            return Err(EROFS);
        }
        self.open_object_map()
    }

    /// The lock is about to be released, and no I/O is under way. Unless it is `sure` that the lock is ours the map's
    /// may be that of another mapping of our client by now. Sleeps.
    pub(crate) fn lock_releasing(&self, sure: bool) {
        let map = self.object_map.lock().take();
        if let Some(map) = map {
            if sure {
                map.close();
            } else {
                map.distrust();
            }
        }
    }

    /// Opens the object map, if the image has one. An error means that there is one, to be kept up to date,
    /// and that we cannot do that. Sleeps.
    pub(super) fn open_object_map(&self) -> Result {
        let head = self.head();
        if head.features & feature::OBJECT_MAP == 0 {
            return Ok(());
        }
        if self.is_snapshot() && head.parent.is_some() {
            // Whoever flattens the image copies up into its snapshots, and then the parent may be deleted.
            // What the map said before of an object would have us look for it there.
            return Ok(());
        }
        let opened = ObjectMap::open(
            self.header.io(),
            self.header.object(),
            self.header.id(),
            Some(self.source.snap_id()).filter(|&snap| snap != NOSNAP),
            self.source.layout().object_count(head.size),
            head.features & feature::FAST_DIFF != 0,
        );
        match opened {
            Ok(map) => {
                let before = self.object_map.lock().replace(map);
                // Not under the lock: freeing it may sleep.
                drop(before);
            }
            Err(NoMap::Invalid) => {}
            Err(NoMap::Failed(e)) => return Err(e),
        }
        Ok(())
    }
}
