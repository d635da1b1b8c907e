// SPDX-License-Identifier: GPL-2.0-only

//! What of an image changes while it is mapped.

use super::{header::Header, parent::Parent};
use kernel::{prelude::*, sync::Arc};
use net_ceph::{
    client::Client,
    osd_client::Snapshots,
    proto::cls::rbd::{ImageState, SnapContextReply},
};

/// An image as it is now. A value: a refresh replaces it whole, and an I/O goes by the one that it
/// found when it began. Whoever must not miss a change compares the one he has with
/// [`Image::head`](super::Image::head), see [`same_parent`](Self::same_parent).
pub(crate) struct Head {
    /// Bytes of what is mapped: of the image, or of its snapshot.
    pub(crate) size: u64,
    /// The image's snapshots: ids, newest first, and the newest id given out.
    pub(crate) snapc: Arc<Snapshots>,
    /// What shows where the image has nothing itself.
    pub(crate) parent: Option<Parent>,
    /// Feature bits.
    pub(crate) features: u64,
}

impl Head {
    /// Reads the image as it is now, its snapshot `snap_id` mapped, or itself with
    /// [`NOSNAP`](net_ceph::proto::osd_op::NOSNAP). The ancestors of `old` are not opened again.
    ///
    /// Size, snapshots and parent are of the same moment, features of an earlier one: who
    /// changes any of them tells us afterwards, and then they are read again.
    ///
    /// `ENOENT` if there is no such snapshot; as [`Parent::open`]. May sleep.
    pub(super) fn read(
        header: &Header,
        client: &Client,
        snap_id: u64,
        old: Option<&Self>,
    ) -> Result<Arc<Self>> {
        let features = header.features()?;
        header.state(snap_id, |state| {
            let ImageState {
                size,
                snaps: SnapContextReply { seq, snaps },
                parent,
            } = state;
            let old = old.and_then(|old| old.parent.as_ref());
            let parent = match parent {
                Some((spec, overlap)) => {
                    let group = header.io().group();
                    Some(Parent::open(spec, overlap, old, client, group)?)
                }
                None => None,
            };
            let head = Self {
                size,
                snapc: Arc::new(Snapshots { seq, snaps }, GFP_KERNEL)?,
                parent,
                features,
            };
            Ok(Arc::new(head, GFP_KERNEL)?)
        })
    }

    /// Whether what shows through is the same as by `other`: the same parent, to the same extent.
    pub(crate) fn same_parent(&self, other: &Self) -> bool {
        match (&self.parent, &other.parent) {
            (None, None) => true,
            (Some(a), Some(b)) => a.overlap == b.overlap && Arc::ptr_eq(&a.image, &b.image),
            _ => false,
        }
    }
}
