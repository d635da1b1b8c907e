// SPDX-License-Identifier: GPL-2.0-only

//! What a clone was made from.

use super::{
    header::{image_name, Header},
    names::copy,
    source::Source,
};
use crate::control::ParentNames;
use kernel::{fmt, prelude::*, sync::Arc};
use net_ceph::{
    abstractions::{data::DataBuf, errno::EOPNOTSUPP},
    client::Client,
    osd_client::{Group, IoCtx, Params},
    proto::{
        cls::rbd::{method, snap_input, ParentSpec, SnapshotInfo, CLASS},
        error::ProtoError,
        osd_op::encode_call_input,
    },
};

/// The most ancestors an image may have (Linux `drivers/block/rbd.c`, `RBD_MAX_PARENT_CHAIN_LEN`).
pub(crate) const CHAIN_MAX: usize = 16;

/// Input of the methods that ask about a snapshot: `u64 snapid`.
const SNAP_INPUT: u32 = 8;
/// Longest answer to whether a snapshot is there: names are the longest part.
const PRESENCE_MAX: usize = 8192;

/// What an image's name is given as when it has none.
const NO_NAME: &[u8] = b"(unknown)";

/// What shows where an image has nothing itself.
#[derive(Clone)]
pub(crate) struct Parent {
    /// How many bytes, from the image's beginning, show; no more than the parent has.
    pub(crate) overlap: u64,
    /// What is shown.
    pub(crate) image: Arc<ParentImage>,
}

/// A snapshot that an image was cloned from, open for reading. What it shows never changes; but it may be flattened, and
/// then have a parent no longer, or be removed, when its child was flattened. Nobody tells us.
pub(crate) struct ParentImage {
    spec: Spec,
    header: Header,
    presence: Presence,
    pool: KVec<u8>,
    // `None`: it has none, or we may not know.
    image: Option<KVec<u8>>,
    snap: Option<KVec<u8>>,
    source: Source,
    size: u64,
    parent: Option<Parent>,
}

impl ParentImage {
    /// Where its bytes are.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Its own parent.
    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// Makes `p` ask whether the snapshot is still there: to be answered with `ENOENT`, or with what
    /// [`is_confirmed`](Self::is_confirmed) looks at.
    pub(crate) fn fill_confirmation(&self, p: &mut Params) -> Result {
        self.header.io().address(p, self.header.object())?;
        p.max_output = PRESENCE_MAX;
        p.push_call(CLASS, self.presence.method, SNAP_INPUT)?;
        p.data = Some(self.presence.call.cursor());
        Ok(())
    }

    /// Whether it is, by the output of that request. `EBADMSG` if it is not understood.
    pub(crate) fn is_confirmed(&self, output: &[u8]) -> Result<bool> {
        if self.presence.method == method::GET_SIZE {
            return Ok(true);
        }
        stays(output)
    }
}

/// How it is asked whether a snapshot is there.
struct Presence {
    method: &'static str,
    call: Arc<DataBuf>,
}

impl Presence {
    /// Of the snapshot `snap_id` of the image with this header; `None` if it is going. `ENOENT` if it is not there. May
    /// sleep.
    // Keeps its frame off the stack of whoever goes on to other calls.
    #[inline(never)]
    fn ask(header: &Header, snap_id: u64) -> Result<Option<Self>> {
        let input = snap_input(snap_id);
        let answer = header.io().call(
            header.object(),
            CLASS,
            method::SNAPSHOT_GET,
            &input,
            PRESENCE_MAX,
        );
        let method = match answer {
            // Before Ceph 13 a snapshot that goes is not told from one that stays.
            Err(EOPNOTSUPP) => method::GET_SIZE,
            answer => {
                if !stays(&answer?)? {
                    return Ok(None);
                }
                method::SNAPSHOT_GET
            }
        };
        let mut call = KVec::new();
        encode_call_input(CLASS, method, &input, &mut call).map_err(ProtoError::to_errno)?;
        Ok(Some(Self {
            method,
            call: DataBuf::copy_of(&call)?,
        }))
    }
}

/// Whether a snapshot stays, by the output of `snapshot_get`.
fn stays(output: &[u8]) -> Result<bool> {
    let info = SnapshotInfo::decode(output).inspect_err(|e| pr_warn!("{e}\n"));
    Ok(!info.map_err(ProtoError::to_errno)?.is_going())
}

impl Parent {
    /// Opens what a header names as its image's parent, and all the ancestors of that, with `overlap` bytes
    /// to be shown; unless `old` is that already. `group` is that of the mapping.
    ///
    /// An image whose parent goes needs it no longer: a clone is taken off the list of clones when all that shows is in
    /// it, and only then the snapshot may go, while the clone's header names it still (Ceph
    /// `src/librbd/operation/FlattenRequest.cc`). There the ancestors end; `None`: there are none.
    ///
    /// `EINVAL` if there are too many ancestors, `EIO` if a pool does not exist, otherwise as
    /// [`Source::read`], or `ENOENT` for a snapshot that does not exist. May sleep.
    pub(super) fn open(
        spec: ParentSpec<'_>,
        overlap: u64,
        old: Option<&Self>,
        client: &Client,
        group: &Arc<Group>,
    ) -> Result<Option<Self>> {
        if let Some(old) = old.filter(|old| old.image.spec.is(&spec)) {
            return Ok(Some(Self::new(overlap, old.image.clone())));
        }
        // From the nearest on, as only they know the next; each begun before the one before is done.
        let mut chain = KVec::new();
        let mut next = Some((Spec::new(&spec)?, overlap));
        while let Some((spec, overlap)) = next {
            if chain.len() >= CHAIN_MAX {
                pr_warn!("more than {CHAIN_MAX} ancestors\n");
                return Err(EINVAL);
            }
            let Some(begun) = Begun::open(spec, client, group)? else {
                break;
            };
            next = begun.parent;
            chain.push((begun.image, overlap), GFP_KERNEL)?;
        }
        let mut parent = None;
        while let Some((mut image, overlap)) = chain.pop() {
            image.parent = parent;
            parent = Some(Self::new(overlap, Arc::new(image, GFP_KERNEL)?));
        }
        Ok(parent)
    }

    fn new(overlap: u64, image: Arc<ParentImage>) -> Self {
        Self {
            overlap: overlap.min(image.size),
            image,
        }
    }

    /// What it is, for the device's attribute.
    pub(super) fn names(&self) -> ParentNames<'_> {
        let image = &self.image;
        ParentNames {
            pool: &image.pool,
            pool_id: image.spec.pool,
            pool_ns: &image.spec.namespace,
            image: image.image.as_deref().unwrap_or(NO_NAME),
            image_id: &image.spec.image_id,
            snap: image.snap.as_deref().unwrap_or(NO_NAME),
            snap_id: image.source.snap_id(),
            overlap: self.overlap,
        }
    }
}

/// An ancestor whose own ancestors are not open yet.
struct Begun {
    image: ParentImage,
    parent: Option<(Spec, u64)>,
}

impl Begun {
    /// Opens `spec` alone; `None` if it is going. May sleep.
    // Keeps its frame off the stack of whoever goes on to other calls.
    #[inline(never)]
    fn open(spec: Spec, client: &Client, group: &Arc<Group>) -> Result<Option<Self>> {
        let map = client.osdmap_with_pool(spec.pool, group).map_err(|e| {
            if e != ENOENT {
                return e;
            }
            pr_warn!("parent {spec}: its pool does not exist\n");
            EIO
        })?;
        let pool = copy(map.pool_name(spec.pool).unwrap_or_default().as_bytes())?;
        let io = IoCtx::new(client.osd(), group, spec.pool, &spec.namespace)?;
        let header = Header::new(io, copy(&spec.image_id)?)?;
        let failed = |e: &Error| pr_warn!("parent {spec}: cannot be opened: {}\n", e.to_errno());
        let source =
            Source::read(&header, client, &spec, spec.snap_id, true).inspect_err(failed)?;
        let (size, parent) = header
            .state(spec.snap_id, |state| {
                let parent = match state.parent {
                    Some((spec, overlap)) => Some((Spec::new(&spec)?, overlap)),
                    None => None,
                };
                Ok((state.size, parent))
            })
            .inspect_err(failed)?;
        let Some(presence) = Presence::ask(&header, spec.snap_id).inspect_err(failed)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            image: ParentImage {
                pool,
                // They are for the eye alone.
                image: image_name(header.io(), &spec.image_id).ok(),
                snap: header.snap_name(spec.snap_id).ok(),
                presence,
                spec,
                header,
                source,
                size,
                parent: None,
            },
            parent,
        }))
    }
}

/// Which snapshot of which image a clone was made from. Shown as `pool/[namespace/]image@snapshot`, by ids.
struct Spec {
    pool: u64,
    namespace: KVec<u8>,
    image_id: KVec<u8>,
    snap_id: u64,
}

impl Spec {
    fn new(spec: &ParentSpec<'_>) -> Result<Self> {
        Ok(Self {
            pool: spec.pool,
            namespace: copy(spec.namespace)?,
            image_id: copy(spec.image)?,
            snap_id: spec.snapid,
        })
    }

    /// Whether it is the same.
    fn is(&self, spec: &ParentSpec<'_>) -> bool {
        self.pool == spec.pool
            && self.namespace[..] == *spec.namespace
            && self.image_id[..] == *spec.image
            && self.snap_id == spec.snapid
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.pool)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace.escape_ascii())?;
        }
        write!(f, "{}@{}", self.image_id.escape_ascii(), self.snap_id)
    }
}
