// SPDX-License-Identifier: GPL-2.0-only

//! What an image is called.

use kernel::{fmt, prelude::*};
use net_ceph::options::Bytes;

/// The names of an image, as the user gave them. Shown as `pool/[namespace/]image[@snapshot]`.
pub(super) struct Names {
    /// Pool.
    pub(super) pool: Bytes,
    /// Namespace in the pool; `None` for the default one.
    pub(super) pool_ns: Option<Bytes>,
    /// Image.
    pub(super) image: Bytes,
    /// Snapshot; `None` for the image itself.
    pub(super) snap: Option<Bytes>,
}

impl Names {
    /// Namespace in the pool, empty for the default one.
    pub(super) fn namespace(&self) -> &[u8] {
        self.pool_ns.as_deref().unwrap_or_default()
    }
}

/// Shows bytes, what is not printable as escapes.
pub(super) struct Printable<'a>(pub(super) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.pool.escape_ascii())?;
        if let Some(ns) = &self.pool_ns {
            write!(f, "{}/", ns.escape_ascii())?;
        }
        write!(f, "{}", self.image.escape_ascii())?;
        match &self.snap {
            Some(snap) => write!(f, "@{}", snap.escape_ascii()),
            None => Ok(()),
        }
    }
}

/// A copy of `bytes`.
pub(super) fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
    concat(bytes, &[])
}

/// `a` and `b` in one.
pub(super) fn concat(a: &[u8], b: &[u8]) -> Result<KVec<u8>> {
    let mut out = KVec::with_capacity(a.len().saturating_add(b.len()), GFP_KERNEL)?;
    out.extend_from_slice(a, GFP_KERNEL)?;
    out.extend_from_slice(b, GFP_KERNEL)?;
    Ok(out)
}
