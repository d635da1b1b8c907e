// SPDX-License-Identifier: GPL-2.0-only

//! What a clone was made from.

use super::source::Source;
use kernel::sync::Arc;

/// What shows where an image has nothing itself.
#[derive(Clone)]
pub(crate) struct Parent {
    /// How many bytes of the image, from its beginning, show it; no more than it has.
    pub(crate) overlap: u64,
    /// The image it is.
    pub(crate) image: Arc<ParentImage>,
}

/// A snapshot that an image was cloned from, open for reading. It never changes.
pub(crate) struct ParentImage {
    source: Source,
    size: u64,
    parent: Option<Parent>,
}

impl ParentImage {
    /// Where its bytes are.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Its own parent.
    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }
}
