// SPDX-License-Identifier: GPL-2.0-only

//! An image's metadata, as the `rbd` class keeps it in the image's header object.

use super::{head::Head, names::Names, objects::Objects, SUPPORTED_FEATURES};
use kernel::{fmt, prelude::*, sync::Arc};
use net_ceph::abstractions::errno::EOPNOTSUPP;
use net_ceph::osd_client::Snapshots;
use net_ceph::proto::{
    cls::rbd::{
        decode_parent_legacy, decode_parent_overlap, decode_string, decode_u64, feature,
        features_input, method, snap_input, Features, ImageSize, ParentSpec, SnapContextReply,
        HEADER_PREFIX, ID_PREFIX, MAX_ID, MAX_NAME, MAX_PREFIX,
    },
    error::ProtoError,
    osd_op::NOSNAP,
    striper::Layout,
};

/// Largest object size, as a power of two: the messenger takes no longer data segment. librbd makes no
/// objects above 2^25 bytes (Ceph `src/librbd/internal.cc`, `create`).
const MAX_ORDER: u8 = 26;

/// What of an image never changes while it is mapped.
pub(super) struct Fixed {
    /// What the names of its data objects begin with.
    pub(super) prefix: KVec<u8>,
    /// How it is cut into objects.
    pub(super) layout: Layout,
}

/// Says which step of the protocol failed, and reduces it to an errno.
fn bad_reply(e: ProtoError) -> Error {
    pr_warn!("bad answer about an image: {e}\n");
    e.to_errno()
}

/// The id of the image `name`. `ENOENT` if there is no image of format 2 of that name. May sleep.
pub(super) fn image_id(objects: &Objects, name: &[u8]) -> Result<KVec<u8>> {
    let object = concat(ID_PREFIX.as_bytes(), name)?;
    let output = objects.call(&object, method::GET_ID, &[])?;
    copy(decode_string(&output, MAX_ID, "image id").map_err(bad_reply)?)
}

/// The name of the header object of the image `id`.
pub(super) fn header_name(id: &[u8]) -> Result<KVec<u8>> {
    concat(HEADER_PREFIX.as_bytes(), id)
}

/// The name of the header object that an image `name` of format 1 has
/// (Ceph `src/include/rbd_types.h`, `RBD_SUFFIX`).
pub(super) fn format_1_header(name: &[u8]) -> Result<KVec<u8>> {
    concat(name, b".rbd")
}

/// Reads what never changes of the image with this header, called `names` in the log. `ENXIO` if it has
/// features that we do not have; those that only matter to writers are let pass when `read_only`. May
/// sleep.
pub(super) fn fixed(
    objects: &Objects,
    names: &Names,
    header: &[u8],
    read_only: bool,
) -> Result<Fixed> {
    let call = |method: &'static str, input: &[u8]| objects.call(header, method, input);

    let size = ImageSize::decode(&call(method::GET_SIZE, &snap_input(NOSNAP))?);
    let order = size.map_err(bad_reply)?.order;
    let prefix = call(method::GET_OBJECT_PREFIX, &[])?;
    let prefix = copy(decode_string(&prefix, MAX_PREFIX, "object prefix").map_err(bad_reply)?)?;
    let features = Features::decode(&call(method::GET_FEATURES, &features_input(read_only))?);
    let features = features.map_err(bad_reply)?;
    let missing = features.incompatible & !SUPPORTED_FEATURES;
    if missing != 0 {
        pr_warn!(
            "image {}: not supported yet: {}\n",
            names,
            FeatureNames(missing)
        );
        return Err(ENXIO);
    }
    if order > MAX_ORDER {
        pr_warn!("image {names}: objects of 2^{order} bytes are too large\n");
        return Err(ENXIO);
    }
    let layout = Layout::new(order, 0, 0).map_err(|e| {
        pr_warn!("image {names}: {e}\n");
        ENXIO
    })?;
    Ok(Fixed { prefix, layout })
}

/// Shows feature bits by name, and as a number.
struct FeatureNames(u64);

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

/// The image as it is now, its snapshot `snap_id` mapped, or itself with [`NOSNAP`]. `ENOENT` if there is
/// no such snapshot. May sleep.
pub(super) fn head(objects: &Objects, header: &[u8], snap_id: u64) -> Result<Arc<Head>> {
    let call = |method, input: &[u8]| objects.call(header, method, input);
    let snapc = snapshots(objects, header)?;
    let size = ImageSize::decode(&call(method::GET_SIZE, &snap_input(snap_id))?);
    // Which of them stand in the way was looked at when the image was opened.
    let features = Features::decode(&call(method::GET_FEATURES, &features_input(true))?);
    let flags = call(method::GET_FLAGS, &snap_input(snap_id))?;
    let head = Head {
        size: size.map_err(bad_reply)?.size,
        snapc,
        parent: None,
        features: features.map_err(bad_reply)?.features,
        flags: decode_u64(&flags, "image flags").map_err(bad_reply)?,
    };
    Ok(Arc::new(head, GFP_KERNEL)?)
}

/// The image's snapshots as they are now. May sleep.
pub(super) fn snapshots(objects: &Objects, header: &[u8]) -> Result<Arc<Snapshots>> {
    let snaps = objects.call(header, method::GET_SNAPCONTEXT, &[])?;
    let SnapContextReply { seq, snaps } = SnapContextReply::decode(&snaps).map_err(bad_reply)?;
    // OSDs refuse a write whose snapshots are not in descending order, none above `seq`.
    let mut above = seq.checked_add(1).ok_or(EINVAL)?;
    for &snap in &snaps {
        if snap >= above {
            pr_warn!("image has snapshots out of order\n");
            return Err(EINVAL);
        }
        above = snap;
    }
    Ok(Arc::new(Snapshots { seq, snaps }, GFP_KERNEL)?)
}

/// The id of the snapshot `name`. `ENOENT` if there is none. May sleep.
pub(super) fn find_snap(objects: &Objects, header: &[u8], name: &[u8]) -> Result<u64> {
    for &snap in &snapshots(objects, header)?.snaps {
        let output = match objects.call(header, method::GET_SNAPSHOT_NAME, &snap_input(snap)) {
            // Deleted since.
            Err(ENOENT) => continue,
            other => other?,
        };
        if decode_string(&output, MAX_NAME, "snapshot name").map_err(bad_reply)? == name {
            return Ok(snap);
        }
    }
    Err(ENOENT)
}

/// Refuses a clone with `ENXIO`: what it did not write itself would have to be read from its parent.
/// May sleep.
pub(super) fn check_parent(objects: &Objects, names: &Names, header: &[u8], snap: u64) -> Result {
    let has_parent = match objects.call(header, method::PARENT_GET, &[]) {
        // Before Ceph 14.
        Err(EOPNOTSUPP) => {
            let output = objects.call(header, method::GET_PARENT, &snap_input(snap))?;
            decode_parent_legacy(&output)
                .map_err(bad_reply)?
                .is_some_and(|(_, overlap)| overlap > 0)
        }
        output => {
            let output = output?;
            match ParentSpec::decode(&output).map_err(bad_reply)? {
                None => false,
                Some(_) => {
                    let overlap =
                        objects.call(header, method::PARENT_OVERLAP_GET, &snap_input(snap))?;
                    decode_parent_overlap(&overlap)
                        .map_err(bad_reply)?
                        .is_some_and(|overlap| overlap > 0)
                }
            }
        }
    };
    if has_parent {
        pr_warn!("image {names}: clones are not supported yet: flatten it first\n");
        return Err(ENXIO);
    }
    Ok(())
}

fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
    concat(bytes, &[])
}

fn concat(a: &[u8], b: &[u8]) -> Result<KVec<u8>> {
    let mut out = KVec::with_capacity(a.len().saturating_add(b.len()), GFP_KERNEL)?;
    out.extend_from_slice(a, GFP_KERNEL)?;
    out.extend_from_slice(b, GFP_KERNEL)?;
    Ok(out)
}
