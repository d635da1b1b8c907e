// SPDX-License-Identifier: GPL-2.0-only

//! What of an image changes while it is mapped.

use super::{header::Header, parent::Parent, source::unwritable};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc,
    },
};
use net_ceph::{
    abstractions::errno::ESTALE,
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
    /// Those of them with which we cannot write.
    pub(crate) unwritable: u64,
    users: Users,
}

/// What has a [`Head`] told on that goes with it.
struct Users(Arc<Atomic<bool>>);

impl Drop for Users {
    fn drop(&mut self) {
        self.0.store(true, Release);
    }
}

/// Tells whether any I/O still goes by a [`Head`].
pub(super) struct InUse(Arc<Atomic<bool>>);

impl InUse {
    /// Whether it does.
    pub(super) fn get(&self) -> bool {
        !self.0.load(Acquire)
    }
}

/// What a refresh does about the ancestors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ancestors {
    /// They stay as they are, if the image still has the same parent.
    Kept,
    /// They are opened anew.
    Reopened,
}

impl Head {
    /// Reads the image as it is now, its snapshot `snap_id` mapped, or itself with
    /// [`NOSNAP`](net_ceph::proto::osd_op::NOSNAP). `old`: as it was, and what to do about its ancestors.
    ///
    /// Size, snapshots and parent are of the same moment, features of an earlier one: who
    /// changes any of them tells us afterwards, and then they are read again.
    ///
    /// `ENOENT` if there is no such image or snapshot; as [`Parent::open`], but with an `old` one `ESTALE` if it is the
    /// parent that is missing, or cannot be used. May sleep.
    pub(super) fn read(
        header: &Header,
        client: &Client,
        snap_id: u64,
        old: Option<(&Self, Ancestors)>,
    ) -> Result<Arc<Self>> {
        let features = header.features()?;
        let users = Users(Arc::new(Atomic::new(false), GFP_KERNEL)?);
        header.state(snap_id, |state| {
            let ImageState {
                size,
                snaps: SnapContextReply { seq, snaps },
                parent,
            } = state;
            let refreshes = old.is_some();
            let kept = old.filter(|(_, ancestors)| *ancestors == Ancestors::Kept);
            let without = kept.is_some_and(|(old, _)| old.parent.is_none());
            let old = kept.and_then(|(old, _)| old.parent.as_ref());
            let parent = match parent {
                Some((spec, overlap)) => {
                    let group = header.io().group();
                    match Parent::open(spec, overlap, old, client, group) {
                        // I/O found before that it goes, and the header is about to do so, too.
                        Err(ENOENT) if without => None,
                        Err(ENOENT | ENXIO) if refreshes => return Err(ESTALE),
                        opened => opened?,
                    }
                }
                None => None,
            };
            let head = Self {
                size,
                snapc: Arc::new(Snapshots { seq, snaps }, GFP_KERNEL)?,
                parent,
                features: features.features,
                unwritable: unwritable(&features),
                users,
            };
            Ok(Arc::new(head, GFP_KERNEL)?)
        })
    }

    /// What tells when this one is no longer used.
    pub(super) fn in_use(&self) -> InUse {
        InUse(self.users.0.clone())
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
