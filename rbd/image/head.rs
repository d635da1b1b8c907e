// SPDX-License-Identifier: GPL-2.0-only

//! What of an image changes while it is mapped.

use super::parent::Parent;
use kernel::sync::Arc;
use net_ceph::osd_client::Snapshots;

/// An image as it is now. A value: a refresh replaces it whole, and an I/O goes by the one that it
/// found when it began. Whoever must not miss a change compares the one he has with
/// [`Image::head`](super::Image::head) ([`Head::same_parent`]).
pub(crate) struct Head {
    /// Bytes of what is mapped: of the image, or of its snapshot.
    pub(crate) size: u64,
    /// The image's snapshots: ids, newest first, and the newest id given out.
    pub(crate) snapc: Arc<Snapshots>,
    /// What shows where the image has nothing itself.
    pub(crate) parent: Option<Parent>,
    /// Feature bits.
    pub(crate) features: u64,
    /// `FLAG_*` of [`cls::rbd`](net_ceph::proto::cls::rbd), of what is mapped.
    pub(crate) flags: u64,
}

impl Head {
    /// Whether what shows through is the same as by `other`: the same parent, to the same extent.
    pub(crate) fn same_parent(&self, other: &Self) -> bool {
        match (&self.parent, &other.parent) {
            (None, None) => true,
            (Some(a), Some(b)) => a.overlap == b.overlap && Arc::ptr_eq(&a.image, &b.image),
            _ => false,
        }
    }
}
