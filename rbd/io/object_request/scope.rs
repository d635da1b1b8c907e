// SPDX-License-Identifier: GPL-2.0-only

//! Which image the object of a request is of.

use super::super::{view::View, ImageMap};
use crate::image::{Image, Parent, ParentImage, Source};
use kernel::sync::Arc;

/// Which image the object is of.
pub(in super::super) enum Scope {
    /// The mapped one, as it was when the request came.
    Image(View),
    /// One of its ancestors.
    Ancestor(Arc<ParentImage>),
}

impl Scope {
    pub(super) fn source<'a>(&'a self, image: &'a Image) -> &'a Source {
        match self {
            Self::Image(_) => image.source(),
            Self::Ancestor(parent) => parent.source(),
        }
    }

    /// The ancestor, if it is one.
    pub(super) fn ancestor(&self) -> Option<&Arc<ParentImage>> {
        match self {
            Self::Image(_) => None,
            Self::Ancestor(image) => Some(image),
        }
    }

    /// The object map, if there is one to be used.
    pub(super) fn map(&self) -> Option<&Arc<ImageMap>> {
        match self {
            Self::Image(view) => view.map(),
            Self::Ancestor(_) => None,
        }
    }

    pub(super) fn parent(&self) -> Option<&Parent> {
        match self {
            Self::Image(view) => view.head.parent.as_ref(),
            Self::Ancestor(image) => image.parent(),
        }
    }
}
