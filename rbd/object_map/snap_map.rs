// SPDX-License-Identifier: GPL-2.0-only

//! The map of a snapshot of a mapped image, as far as a copy below the snapshots concerns it.
//!
//! It has nothing to do with the map of the image itself: a copy makes an object of a snapshot that was not
//! there, so the snapshot's map has to know of it first, also while the image's own is invalid.

use super::{blames_map, flag_invalid, invalid_flags, update_request};
use kernel::prelude::*;
use net_ceph::{
    osd_client::{IoCtx, Params},
    proto::{
        cls::object_map::{object_name, update_input, ObjectState},
        error::ProtoError,
    },
};

/// The map of a snapshot. The exclusive lock of the image stands for a lock on it.
pub struct SnapMap<'a> {
    /// Where the image's header and the map are.
    pub io: &'a IoCtx,
    /// Name of the header object.
    pub header: &'a [u8],
    /// The image.
    pub image_id: &'a [u8],
    /// The snapshot.
    pub snapid: u64,
    /// Whether the image has that feature.
    pub fast_diff: bool,
}

impl SnapMap<'_> {
    /// Fills in a request that takes down that `object` is in the snapshot. It came into being with the
    /// `oldest` one there is, and is the same in all others (Linux `drivers/block/rbd.c`,
    /// `rbd_obj_copyup_object_maps`). Allocates.
    pub fn fill_copied_up(&self, p: &mut Params, object: u64, oldest: bool) -> Result {
        let to = if self.fast_diff && !oldest {
            ObjectState::ExistsClean
        } else {
            ObjectState::Exists
        };
        let mut name = KVec::new();
        object_name(self.image_id, self.snapid, &mut name).map_err(ProtoError::to_errno)?;
        let mut input = KVec::new();
        update_input(object, to, None, &mut input).map_err(ProtoError::to_errno)?;
        update_request(self.io, p, &name, None, &input)
    }

    /// The update failed with `why`: flags the map invalid. On an error nothing may be copied, see
    /// [`ObjectMap::invalidate`](super::ObjectMap::invalidate). Sleeps.
    pub fn invalidate(&self, why: Error) -> Result {
        if !blames_map(why) {
            return Err(why);
        }
        pr_warn!(
            "snapshot {}: its object map cannot be updated: {}\n",
            self.snapid,
            why.to_errno()
        );
        match flag_invalid(
            self.io,
            self.header,
            self.snapid,
            invalid_flags(self.fast_diff),
        ) {
            // The snapshot was deleted, and its map with it.
            Err(ENOENT) => Ok(()),
            result => result,
        }
    }
}
