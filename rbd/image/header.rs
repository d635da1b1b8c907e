// SPDX-License-Identifier: GPL-2.0-only

//! An image's header object, where the `rbd` class keeps what there is to know of the image.

use super::names::{concat, copy};
use kernel::prelude::*;
use net_ceph::{
    abstractions::errno::EOPNOTSUPP,
    osd_client::{ClassCall, IoCtx},
    proto::{
        cls::rbd::{
            decode_string, features_input, method, snap_input, string_input, Features, ImageSize,
            ImageState, SnapContextReply, Striping, CLASS, DIRECTORY, HEADER_PREFIX, ID_PREFIX,
            MAX_ID, MAX_NAME, MAX_PREFIX,
        },
        error::ProtoError,
        wire::Decoder,
    },
};

/// Longest output of a request: one with a snapshot context is the longest there is.
const OUTPUT_MAX: usize = 8192;

/// A header object. All questions to it sleep, for the mount timeout at most.
pub(super) struct Header {
    io: IoCtx,
    id: KVec<u8>,
    object: KVec<u8>,
}

/// What never changes of an image.
pub(super) struct Constants {
    /// Objects have `1 << order` bytes.
    pub(super) order: u8,
    /// What the names of its data objects begin with.
    pub(super) prefix: KVec<u8>,
    /// Its features, of which some may be disabled and enabled.
    pub(super) features: Features,
}

/// Says which step of the protocol failed, and reduces it to an errno.
fn bad_reply(e: ProtoError) -> Error {
    pr_warn!("bad answer about an image: {e}\n");
    e.to_errno()
}

/// The id of the image `name`. `ENOENT` if there is no image of format 2 of that name. May sleep.
pub(super) fn image_id(io: &IoCtx, name: &[u8]) -> Result<KVec<u8>> {
    let object = concat(ID_PREFIX.as_bytes(), name)?;
    let output = io.call(&object, CLASS, method::GET_ID, &[], OUTPUT_MAX)?;
    copy(decode_string(&output, MAX_ID, "image id").map_err(bad_reply)?)
}

/// The name of the image with this id. `ENOENT` if it has none: it may be in the trash. May sleep.
pub(super) fn image_name(io: &IoCtx, id: &[u8]) -> Result<KVec<u8>> {
    let mut input = KVec::new();
    string_input(id, &mut input).map_err(ProtoError::to_errno)?;
    let directory = DIRECTORY.as_bytes();
    let output = io.call(directory, CLASS, method::DIR_GET_NAME, &input, OUTPUT_MAX)?;
    copy(decode_string(&output, MAX_NAME, "image name").map_err(bad_reply)?)
}

/// Whether there is an image `name` of format 1, whose header has this name
/// (Ceph `src/include/rbd_types.h`, `RBD_SUFFIX`). May sleep.
pub(super) fn is_format_1(io: &IoCtx, name: &[u8]) -> Result<bool> {
    match io.stat(&concat(name, b".rbd")?) {
        Ok(_) => Ok(true),
        Err(ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

impl Header {
    /// The header of the image `id` in `io`.
    pub(super) fn new(io: IoCtx, id: KVec<u8>) -> Result<Self> {
        let object = concat(HEADER_PREFIX.as_bytes(), &id)?;
        Ok(Self { io, id, object })
    }

    /// The pool it is in.
    pub(super) fn io(&self) -> &IoCtx {
        &self.io
    }

    /// The image's id.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// The object's name.
    pub(super) fn object(&self) -> &[u8] {
        &self.object
    }

    /// Calls several methods in one request, so that no change comes between them. Their outputs follow
    /// one another.
    fn ask(&self, questions: &[(&'static str, &[u8])]) -> Result<KVVec<u8>> {
        let mut calls = KVec::with_capacity(questions.len(), GFP_KERNEL)?;
        for &(method, input) in questions {
            let call = ClassCall {
                class: CLASS,
                method,
                input,
            };
            calls.push(call, GFP_KERNEL)?;
        }
        self.io.call_read(&self.object, &calls, OUTPUT_MAX)
    }

    /// What never changes. Of the features, those that only matter to writers do not count as
    /// incompatible for a `reader`.
    pub(super) fn constants(&self, snap_id: u64, reader: bool) -> Result<Constants> {
        let outputs = self.ask(&[
            (method::GET_SIZE, &snap_input(snap_id)),
            (method::GET_OBJECT_PREFIX, &[]),
            (method::GET_FEATURES, &features_input(reader)),
        ])?;
        let mut d = Decoder::new(&outputs);
        let order = ImageSize::read(&mut d).map_err(bad_reply)?.order;
        let prefix = copy(d.blob(MAX_PREFIX, "object prefix").map_err(bad_reply)?)?;
        let features = Features::read(&mut d).map_err(bad_reply)?;
        Ok(Constants {
            order,
            prefix,
            features,
        })
    }

    /// Its striping, to be asked with the feature `STRIPINGV2` alone.
    pub(super) fn striping(&self) -> Result<Striping> {
        let output = self.ask(&[(method::GET_STRIPE_UNIT_COUNT, &[])])?;
        Striping::decode(&output).map_err(bad_reply)
    }

    /// The pool with its data objects, to be asked with the feature `DATA_POOL` alone.
    pub(super) fn data_pool(&self) -> Result<u64> {
        let output = self.ask(&[(method::GET_DATA_POOL, &[])])?;
        Decoder::new(&output).u64("data pool").map_err(bad_reply)
    }

    /// The features, and those that a writer must know.
    pub(super) fn features(&self) -> Result<Features> {
        let output = self.ask(&[(method::GET_FEATURES, &features_input(false))])?;
        Features::decode(&output).map_err(bad_reply)
    }

    /// Hands to `f` what changes of a snapshot or of the image itself. `ENOENT` if there is no such
    /// snapshot.
    pub(super) fn state<T>(
        &self,
        snap_id: u64,
        f: impl FnOnce(ImageState<'_>) -> Result<T>,
    ) -> Result<T> {
        let input = snap_input(snap_id);
        match self.ask(&ImageState::METHODS.map(|method| (method, &input[..]))) {
            // Before Ceph 14.
            Err(EOPNOTSUPP) => {
                let methods = ImageState::LEGACY_METHODS;
                let outputs = self.ask(&methods.map(|method| (method, &input[..])))?;
                f(ImageState::decode_legacy(&outputs).map_err(bad_reply)?)
            }
            outputs => f(ImageState::decode(&outputs?).map_err(bad_reply)?),
        }
    }

    /// The name of a snapshot. `ENOENT` if there is none with this id.
    pub(super) fn snap_name(&self, snap_id: u64) -> Result<KVec<u8>> {
        let output = self.ask(&[(method::GET_SNAPSHOT_NAME, &snap_input(snap_id))])?;
        copy(decode_string(&output, MAX_NAME, "snapshot name").map_err(bad_reply)?)
    }

    /// The id of the snapshot `name`. `ENOENT` if there is none.
    pub(super) fn find_snap(&self, name: &[u8]) -> Result<u64> {
        let output = self.ask(&[(method::GET_SNAPCONTEXT, &[])])?;
        for &snap in &SnapContextReply::decode(&output).map_err(bad_reply)?.snaps {
            match self.snap_name(snap) {
                Ok(found) if found[..] == *name => return Ok(snap),
                // Another one, or deleted since.
                Ok(_) | Err(ENOENT) => {}
                Err(e) => return Err(e),
            }
        }
        Err(ENOENT)
    }
}
