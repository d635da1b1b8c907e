// SPDX-License-Identifier: GPL-2.0-only

//! Where the bytes of an image are: in which pool, cut into which objects, in which state.

use super::{
    header::{Constants, Header},
    SUPPORTED_FEATURES,
};
use kernel::{fmt, prelude::*};
use net_ceph::{
    client::Client,
    osd_client::IoCtx,
    proto::{
        cls::rbd::{feature, Features, Striping},
        striper::Layout,
    },
};

/// Largest object size, as a power of two: librbd makes none above 32 MiB (Ceph
/// `src/librbd/internal.cc`, `create`), and a data segment holds such an object and what belongs to it.
const MAX_ORDER: u8 = 25;

/// Features without which not even reading is right, whatever the cluster says of them: while an image
/// is migrating, what it lacks is in another one that its header does not name as a parent.
const NEVER: u64 = feature::MIGRATING;

/// Where the bytes of a mapped image, or of an ancestor of it, are. It never changes.
pub(crate) struct Source {
    data: IoCtx,
    layout: Layout,
    prefix: KVec<u8>,
    snap_id: u64,
}

impl Source {
    /// Reads where the image with this header, called `name` in the log, keeps its bytes as of the
    /// snapshot `snap_id`.
    ///
    /// `ENXIO` if it has features that we do not have (those that only matter to writers are let pass for
    /// a `reader`), or objects of a size that no image has; `EIO` if its pool for data does not
    /// exist. May sleep.
    pub(super) fn read(
        header: &Header,
        client: &Client,
        name: &dyn fmt::Display,
        snap_id: u64,
        reader: bool,
    ) -> Result<Self> {
        let Constants {
            order,
            prefix,
            features,
        } = header.constants(snap_id, reader)?;
        let missing = features.incompatible & !SUPPORTED_FEATURES | features.features & NEVER;
        if missing != 0 {
            pr_warn!("image {name}: not supported: {}\n", FeatureNames(missing));
            return Err(ENXIO);
        }
        let striping = if features.features & feature::STRIPINGV2 != 0 {
            header.striping()?
        } else {
            Striping { unit: 0, count: 0 }
        };
        if order > MAX_ORDER {
            pr_warn!("image {name}: objects of 2^{order} bytes are too large\n");
            return Err(ENXIO);
        }
        let layout = Layout::new(order, striping.unit, striping.count).map_err(|e| {
            pr_warn!("image {name}: {e}\n");
            ENXIO
        })?;
        let data = if features.features & feature::DATA_POOL != 0 {
            let pool = header.data_pool()?;
            client
                .osdmap_with_pool(pool, header.io().group())
                .map_err(|e| {
                    if e != ENOENT {
                        return e;
                    }
                    pr_warn!("image {name}: its data pool {pool} does not exist\n");
                    EIO
                })?;
            let io = header.io();
            IoCtx::new(io.osd(), io.group(), pool, io.namespace())?
        } else {
            header.io().clone()
        };
        Ok(Self {
            data,
            layout,
            prefix,
            snap_id,
        })
    }

    /// The pool with the data objects.
    pub(crate) fn data(&self) -> &IoCtx {
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

/// Features that writers must keep to, and we cannot: what is written without a journal is missing at the
/// other site, an image that is not the primary one is that site's to write, and what a cache beside an image
/// holds is newer than the image.
const UNWRITABLE: u64 =
    feature::JOURNALING | feature::MIGRATING | feature::NON_PRIMARY | feature::DIRTY_CACHE;

/// The features with which we cannot write an image, of those that it got since it was mapped. `features`: as a
/// writer is told of them.
pub(super) fn unwritable(features: &Features) -> u64 {
    features.incompatible & !SUPPORTED_FEATURES | features.features & UNWRITABLE
}

/// Shows feature bits by name, and as a number.
pub(super) struct FeatureNames(pub(super) u64);

impl fmt::Display for FeatureNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, name) in feature::NAMES {
            if self.0 & bit != 0 {
                write!(f, "{name}, ")?;
            }
        }
        write!(f, "features {:#x}", self.0)
    }
}
