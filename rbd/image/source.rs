// SPDX-License-Identifier: GPL-2.0-only

//! Where the bytes of an image are: in which pool, cut into which objects, in which state.

use super::objects::Objects;
use kernel::{prelude::*, sync::Arc};
use net_ceph::proto::striper::Layout;

/// Where the bytes of a mapped image, or of an ancestor of it, are.
pub(crate) struct Source {
    data: Arc<Objects>,
    layout: Layout,
    prefix: KVec<u8>,
    snap_id: u64,
}

impl Source {
    /// Objects of the pool `data`, cut as `layout` says, called `prefix` and a number, as of the
    /// snapshot `snap_id`.
    pub(super) fn new(data: Arc<Objects>, layout: Layout, prefix: KVec<u8>, snap_id: u64) -> Self {
        Self {
            data,
            layout,
            prefix,
            snap_id,
        }
    }

    /// The pool with the data objects.
    pub(crate) fn data(&self) -> &Objects {
        &self.data
    }

    /// How the image is cut into objects.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the names of the data objects begin with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Which snapshot is read, [`NOSNAP`](net_ceph::proto::osd_op::NOSNAP) for the image itself.
    pub(crate) fn snap_id(&self) -> u64 {
        self.snap_id
    }
}
