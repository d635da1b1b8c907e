// SPDX-License-Identifier: GPL-2.0-only

//! The `rbd` class: images of format 2 (Ceph `src/cls/rbd/cls_rbd.cc`, `src/cls/rbd/cls_rbd_client.cc`).
//!
//! An image has an id object (`rbd_id.<name>`) and a header object (`rbd_header.<id>`); `rbd_directory`
//! lists all images of a pool. Each method here names the object it is called on.

use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::osd_op::NOSNAP;
use crate::proto::types::Timespec;
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// The name of the class.
pub const CLASS: &str = "rbd";
/// The object that lists a pool's images.
pub const DIRECTORY: &str = "rbd_directory";
/// Prefix of the id object's name; the image's name follows.
pub const ID_PREFIX: &str = "rbd_id.";
/// Prefix of the header object's name; the image's id follows.
pub const HEADER_PREFIX: &str = "rbd_header.";
/// Prefix of an object map's name; the image's id follows.
pub const OBJECT_MAP_PREFIX: &str = "rbd_object_map.";

/// The longest image id (`RBD_MAX_IMAGE_ID_SIZE`, Ceph `src/include/rbd_types.h`).
pub const MAX_ID: usize = 255;
/// The longest image or snapshot name (`RBD_MAX_IMAGE_NAME_SIZE`, same place).
pub const MAX_NAME: usize = 4096;
/// The longest prefix of data objects (`RBD_MAX_BLOCK_NAME_SIZE`, same place).
pub const MAX_PREFIX: usize = 64;
/// The most snapshots an image may have for us: what the C driver takes, so that a snapshot context
/// fits a request (Linux `drivers/block/rbd.c`, `RBD_MAX_SNAP_COUNT`).
pub const MAX_SNAPS: usize = 510;

/// Names of methods.
pub mod method {
    /// On the id object: no input; output [`decode_string`](super::decode_string) with `MAX_ID`.
    pub const GET_ID: &str = "get_id";
    /// On the header: input [`snap_input`](super::snap_input); output [`ImageSize`](super::ImageSize).
    pub const GET_SIZE: &str = "get_size";
    /// On the header: no input; output [`decode_string`](super::decode_string) with `MAX_PREFIX`.
    pub const GET_OBJECT_PREFIX: &str = "get_object_prefix";
    /// On the header: input [`features_input`](super::features_input); output
    /// [`Features`](super::Features).
    pub const GET_FEATURES: &str = "get_features";
    /// On the header: no input; output [`Striping`](super::Striping). Only with the feature
    /// `STRIPINGV2`.
    pub const GET_STRIPE_UNIT_COUNT: &str = "get_stripe_unit_count";
    /// On the header: no input; output [`decode_u64`](super::decode_u64), a pool. Only with the feature
    /// `DATA_POOL`.
    pub const GET_DATA_POOL: &str = "get_data_pool";
    /// On the header: no input; output [`SnapContextReply`](super::SnapContextReply).
    pub const GET_SNAPCONTEXT: &str = "get_snapcontext";
    /// On the header: input [`snap_input`](super::snap_input); output
    /// [`decode_string`](super::decode_string) with `MAX_NAME`.
    pub const GET_SNAPSHOT_NAME: &str = "get_snapshot_name";
    /// On the header: input [`snap_input`](super::snap_input); output [`SnapshotInfo`](super::SnapshotInfo). Fails with
    /// `-EOPNOTSUPP` before Ceph 13.
    pub const SNAPSHOT_GET: &str = "snapshot_get";
    /// On the header: input [`snap_input`](super::snap_input); output
    /// [`decode_u64`](super::decode_u64), of `FLAG_*`.
    pub const GET_FLAGS: &str = "get_flags";
    /// On a data object: input the bytes it is to have; does nothing if the object exists.
    pub const COPYUP: &str = "copyup";
    /// On the header: no input; output [`decode_timestamp`](super::decode_timestamp).
    pub const GET_CREATE_TIMESTAMP: &str = "get_create_timestamp";
    /// On the header: input [`snap_input`](super::snap_input); output
    /// [`ParentSpec`](super::ParentSpec). Fails with `-EOPNOTSUPP` before Ceph 14, then
    /// `GET_PARENT` is to be used.
    pub const PARENT_GET: &str = "parent_get";
    /// On the header: input [`snap_input`](super::snap_input); output
    /// [`decode_parent_overlap`](super::decode_parent_overlap).
    pub const PARENT_OVERLAP_GET: &str = "parent_overlap_get";
    /// On the header: input [`snap_input`](super::snap_input); output
    /// [`decode_parent_legacy`](super::decode_parent_legacy).
    pub const GET_PARENT: &str = "get_parent";
    /// On the directory: input [`string_input`](super::string_input), a name; output
    /// [`decode_string`](super::decode_string), the id.
    pub const DIR_GET_ID: &str = "dir_get_id";
    /// On the directory: input [`string_input`](super::string_input), an id; output
    /// [`decode_string`](super::decode_string), the name.
    pub const DIR_GET_NAME: &str = "dir_get_name";
}

/// Features of an image (`RBD_FEATURE_*`, Ceph `src/include/rbd/features.h`).
pub mod feature {
    /// Clones.
    pub const LAYERING: u64 = 1 << 0;
    /// Stripe unit and count of its own.
    pub const STRIPINGV2: u64 = 1 << 1;
    /// One writer at a time.
    pub const EXCLUSIVE_LOCK: u64 = 1 << 2;
    /// A map of which objects exist.
    pub const OBJECT_MAP: u64 = 1 << 3;
    /// The map also knows what changed since the last snapshot.
    pub const FAST_DIFF: u64 = 1 << 4;
    /// Clones can be detached together with their snapshots.
    pub const DEEP_FLATTEN: u64 = 1 << 5;
    /// Changes are journaled.
    pub const JOURNALING: u64 = 1 << 6;
    /// Data objects in a pool of their own.
    pub const DATA_POOL: u64 = 1 << 7;
    /// Operations in progress that older clients do not know.
    pub const OPERATIONS: u64 = 1 << 8;
    /// The image is being moved.
    pub const MIGRATING: u64 = 1 << 9;
    /// Parts of the image are not primary.
    pub const NON_PRIMARY: u64 = 1 << 10;
    /// A cache beside the image holds changes.
    pub const DIRTY_CACHE: u64 = 1 << 11;

    /// Each feature with Ceph's word for it.
    pub const NAMES: [(u64, &str); 12] = [
        (LAYERING, "layering"),
        (STRIPINGV2, "striping"),
        (EXCLUSIVE_LOCK, "exclusive-lock"),
        (OBJECT_MAP, "object-map"),
        (FAST_DIFF, "fast-diff"),
        (DEEP_FLATTEN, "deep-flatten"),
        (JOURNALING, "journaling"),
        (DATA_POOL, "data-pool"),
        (OPERATIONS, "operations"),
        (MIGRATING, "migrating"),
        (NON_PRIMARY, "non-primary"),
        (DIRTY_CACHE, "dirty-cache"),
    ];
}

/// Of `get_flags`: the object map is out of date (`RBD_FLAG_OBJECT_MAP_INVALID`).
pub const FLAG_OBJECT_MAP_INVALID: u64 = 1 << 0;
/// Of `get_flags`: its fast-diff part is out of date.
pub const FLAG_FAST_DIFF_INVALID: u64 = 1 << 1;

/// Input of the methods that ask about a snapshot, or about the head with
/// [`NOSNAP`](crate::proto::osd_op::NOSNAP): `u64 snapid`.
pub fn snap_input(snapid: u64) -> [u8; 8] {
    snapid.to_le_bytes()
}

/// Input of `get_features`: `u64 snapid` of the head, and whether the caller will only read, `u8`.
/// Features that only matter to writers are not among the incompatible ones then.
pub fn features_input(read_only: bool) -> [u8; 9] {
    let mut input = [0; 9];
    if let Some((snapid, ro)) = input.split_first_chunk_mut::<8>() {
        *snapid = NOSNAP.to_le_bytes();
        ro.fill(read_only.into());
    }
    input
}

/// Appends the input of the methods that take one string.
pub fn string_input(s: &[u8], out: &mut KVec<u8>) -> ProtoResult {
    Encoder::new(out).blob(s)
}

/// Reads an output of one string, at most `max` bytes long.
pub fn decode_string<'a>(
    output: &'a [u8],
    max: usize,
    step: &'static str,
) -> ProtoResult<&'a [u8]> {
    Decoder::new(output).blob(max, step)
}

/// Reads an output of one `u64`.
pub fn decode_u64(output: &[u8], step: &'static str) -> ProtoResult<u64> {
    Decoder::new(output).u64(step)
}

/// Reads an output of one time.
pub fn decode_timestamp(output: &[u8]) -> ProtoResult<Timespec> {
    Timespec::decode(&mut Decoder::new(output), "image creation time")
}

/// How large an image or snapshot is: `u8 order`, `u64 size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Objects have `1 << order` bytes.
    pub order: u8,
    /// Bytes.
    pub size: u64,
}

impl ImageSize {
    /// Reads the output of `get_size`.
    pub fn decode(output: &[u8]) -> ProtoResult<Self> {
        Self::read(&mut Decoder::new(output))
    }

    /// Reads the output of `get_size` from among others'.
    pub fn read(d: &mut Decoder<'_>) -> ProtoResult<Self> {
        Ok(Self {
            order: d.u8("image size: order")?,
            size: d.u64("image size: size")?,
        })
    }
}

/// An image's features: `u64` all, `u64` those one must know to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `feature::*`.
    pub features: u64,
    /// Those that make the image unusable to whoever does not know them.
    pub incompatible: u64,
}

impl Features {
    /// Reads the output of `get_features`.
    pub fn decode(output: &[u8]) -> ProtoResult<Self> {
        Self::read(&mut Decoder::new(output))
    }

    /// Reads the output of `get_features` from among others'.
    pub fn read(d: &mut Decoder<'_>) -> ProtoResult<Self> {
        Ok(Self {
            features: d.u64("image features")?,
            incompatible: d.u64("incompatible image features")?,
        })
    }
}

/// An image's striping: `u64 stripe_unit` (bytes), `u64 stripe_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Striping {
    /// Bytes.
    pub unit: u64,
    /// Objects in a set.
    pub count: u64,
}

impl Striping {
    /// Reads the output of `get_stripe_unit_count`.
    pub fn decode(output: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(output);
        Ok(Self {
            unit: d.u64("image stripe unit")?,
            count: d.u64("image stripe count")?,
        })
    }
}

/// An image's snapshots: `u64 seq`, `u32 count`, `u64` ids, newest first.
#[derive(Debug, PartialEq, Eq)]
pub struct SnapContextReply {
    /// The newest id given out.
    pub seq: u64,
    /// Ids, newest first.
    pub snaps: KVec<u64>,
}

impl SnapContextReply {
    /// Reads the output of `get_snapcontext`.
    pub fn decode(output: &[u8]) -> ProtoResult<Self> {
        Self::read(&mut Decoder::new(output))
    }

    /// Reads the output of `get_snapcontext` from among others'. Fails unless the ids descend from `seq`
    /// on: OSDs refuse a write with any other snapshot context.
    pub fn read(d: &mut Decoder<'_>) -> ProtoResult<Self> {
        let seq = d.u64("image snapshots: seq")?;
        let count = d.count(MAX_SNAPS, 8, "image snapshots: count")?;
        let mut snaps = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut last = None;
        for _ in 0..count {
            let id = d.u64("image snapshots: id")?;
            if last.map_or(id > seq, |last| id >= last) {
                return Err(ProtoError::value("image snapshots: order", id));
            }
            last = Some(id);
            snaps.push(id, GFP_KERNEL)?;
        }
        Ok(Self { seq, snaps })
    }
}

/// Which snapshot of which image a clone was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentSpec<'a> {
    /// The parent's pool; all ones: there is no parent.
    pub pool: u64,
    /// Its namespace; empty for the default one.
    pub namespace: &'a [u8],
    /// Its image id.
    pub image: &'a [u8],
    /// The snapshot.
    pub snapid: u64,
}

impl<'a> ParentSpec<'a> {
    /// Reads the output of `parent_get` (`cls::rbd::ParentImageSpec`): a section (v1) of `i64 pool`,
    /// `string namespace`, `string image`, `u64 snapid`. `None`: there is no parent.
    pub fn decode(output: &'a [u8]) -> ProtoResult<Option<Self>> {
        Self::read(&mut Decoder::new(output))
    }

    /// Reads the output of `parent_get` from among others'.
    pub fn read(d: &mut Decoder<'a>) -> ProtoResult<Option<Self>> {
        let (_, mut d) = d.section(1, "parent")?;
        let pool = d.u64("parent: pool")?;
        let namespace = d.blob(MAX_NAME, "parent: namespace")?;
        let image = d.blob(MAX_ID, "parent: image")?;
        let snapid = d.u64("parent: snapshot")?;
        Ok((pool != u64::MAX).then_some(Self {
            pool,
            namespace,
            image,
            snapid,
        }))
    }
}

/// Reads the output of `parent_overlap_get`, an `optional<u64>`: how many bytes of the parent show
/// through; `None`: it was detached.
pub fn decode_parent_overlap(output: &[u8]) -> ProtoResult<Option<u64>> {
    read_parent_overlap(&mut Decoder::new(output))
}

fn read_parent_overlap(d: &mut Decoder<'_>) -> ProtoResult<Option<u64>> {
    if !d.bool("parent overlap: present")? {
        return Ok(None);
    }
    d.u64("parent overlap").map(Some)
}

/// Reads the output of `get_parent`: `i64 pool`, `string image`, `u64 snapid`, `u64 overlap` (bytes).
/// `None`: there is no parent.
pub fn decode_parent_legacy(output: &[u8]) -> ProtoResult<Option<(ParentSpec<'_>, u64)>> {
    let mut d = Decoder::new(output);
    let pool = d.u64("parent: pool")?;
    let image = d.blob(MAX_ID, "parent: image")?;
    let snapid = d.u64("parent: snapshot")?;
    let overlap = d.u64("parent: overlap")?;
    let spec = ParentSpec {
        pool,
        namespace: &[],
        image,
        snapid,
    };
    Ok((pool != u64::MAX).then_some((spec, overlap)))
}

/// What there is to know of whether a snapshot is there to stay (Ceph `src/cls/rbd/cls_rbd_types.h`,
/// `SnapshotInfo`): section 1 of `u64 id`, the namespace (section 1 of `u32 type` and more), `string name`,
/// `u64 size`, `utime`, `u32 child_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Which kind of snapshot it is.
    pub namespace: u32,
    /// How many clones of format 2 it has.
    pub children: u32,
}

impl SnapshotInfo {
    /// It was removed but for its clones (`SNAPSHOT_NAMESPACE_TYPE_TRASH`).
    const TRASH: u32 = 2;

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> ProtoResult<Self> {
        let step = "snapshot info";
        let (_, mut d) = Decoder::new(bytes).section(1, step)?;
        d.u64(step)?;
        let (_, mut kind) = d.section(1, step)?;
        let namespace = kind.u32(step)?;
        d.skip_blob(step)?;
        d.skip(16, step)?;
        let children = d.u32(step)?;
        Ok(Self {
            namespace,
            children,
        })
    }

    /// Whether it is being removed: librbd puts a snapshot into the trash before it gives up what is in it (Ceph
    /// `src/librbd/operation/SnapshotRemoveRequest.cc`).
    pub fn is_going(&self) -> bool {
        self.namespace == Self::TRASH && self.children == 0
    }
}

/// What of an image, or of a snapshot of it, changes together.
#[derive(Debug, PartialEq, Eq)]
pub struct ImageState<'a> {
    /// Bytes.
    pub size: u64,
    /// The image's snapshots.
    pub snaps: SnapContextReply,
    /// What it was cloned from, and how many bytes of that show through.
    pub parent: Option<(ParentSpec<'a>, u64)>,
}

impl<'a> ImageState<'a> {
    /// Methods to call in one request, so that no change comes between them. Each is given a
    /// [`snap_input`], which those that need none pass over.
    pub const METHODS: [&'static str; 4] = [
        method::GET_SIZE,
        method::GET_SNAPCONTEXT,
        method::PARENT_GET,
        method::PARENT_OVERLAP_GET,
    ];

    /// The same for OSDs that do not have them all.
    pub const LEGACY_METHODS: [&'static str; 3] = [
        method::GET_SIZE,
        method::GET_SNAPCONTEXT,
        method::GET_PARENT,
    ];

    /// Reads the outputs of [`METHODS`](Self::METHODS).
    pub fn decode(outputs: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(outputs);
        let (size, snaps) = Self::read_start(&mut d)?;
        let parent = ParentSpec::read(&mut d)?;
        let overlap = read_parent_overlap(&mut d)?;
        Ok(Self {
            size,
            snaps,
            parent: parent.zip(overlap),
        })
    }

    /// Reads the outputs of [`LEGACY_METHODS`](Self::LEGACY_METHODS).
    pub fn decode_legacy(outputs: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(outputs);
        let (size, snaps) = Self::read_start(&mut d)?;
        Ok(Self {
            size,
            snaps,
            parent: decode_parent_legacy(d.rest())?,
        })
    }

    fn read_start(d: &mut Decoder<'a>) -> ProtoResult<(u64, SnapContextReply)> {
        Ok((ImageSize::read(d)?.size, SnapContextReply::read(d)?))
    }
}
