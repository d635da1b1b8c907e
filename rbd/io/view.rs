// SPDX-License-Identifier: GPL-2.0-only

//! What a request goes by, from its beginning to its end.

use super::ImageMap;
use crate::{
    image::{Head, Image},
    lock::Pass,
};
use kernel::sync::Arc;

/// The mapped image as a request found it. While it lives, the exclusive lock is held if the request needed
/// it, and the object map is not closed.
#[derive(Clone)]
pub(super) struct View {
    pub(super) head: Arc<Head>,
    map: Option<Arc<ImageMap>>,
    _pass: Option<Pass>,
}

impl View {
    /// `image` as it is now, with the lock held if there is a `pass`.
    pub(super) fn new(image: &Image, pass: Option<Pass>) -> Self {
        Self {
            head: image.head(),
            // Without the lock others may change the map. A snapshot's changes only while it has a parent, and
            // is not opened then.
            map: match pass {
                None if !image.is_snapshot() => None,
                _ => image.object_map(),
            },
            _pass: pass,
        }
    }

    /// The object map, if there is one to be used.
    pub(super) fn map(&self) -> Option<&Arc<ImageMap>> {
        self.map.as_ref().filter(|map| map.usable())
    }

    /// The object map, usable or not: of an update that was begun.
    pub(super) fn any_map(&self) -> Option<&Arc<ImageMap>> {
        self.map.as_ref()
    }

    /// The same with the image as it is now.
    pub(super) fn anew(&self, image: &Image) -> Self {
        Self {
            head: image.head(),
            ..self.clone()
        }
    }
}
