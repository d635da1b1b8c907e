// SPDX-License-Identifier: GPL-2.0-only

//! `/sys/kernel/debug/rbd/<id>/`: what a mapped device is doing.

use crate::{
    abstractions::disk::{Disk, Requests},
    Image,
};
use kernel::{
    debugfs::{Dir, File},
    fmt,
    prelude::*,
    str::CString,
};

/// The directory `rbd`.
pub(crate) struct DebugDir(Dir);

impl DebugDir {
    /// Makes it, if debugfs is there.
    pub(crate) fn new() -> Self {
        Self(Dir::new(c"rbd"))
    }
}

/// The files of one device; they go with it.
pub(crate) struct DebugFiles {
    _requests: Pin<KBox<File<Requests<Image>>>>,
    _dir: Dir,
}

impl DebugFiles {
    /// Makes them for the device `id`. Sleeps.
    pub(crate) fn new(root: &DebugDir, id: u32, disk: &Disk<Image>) -> Result<Self> {
        let dir = root.0.subdir(&CString::try_from_fmt(fmt!("{id}"))?);
        let requests = dir.read_callback_file(c"requests", disk.requests(), &requests);
        Ok(Self {
            _requests: KBox::pin_init(requests, GFP_KERNEL)?,
            _dir: dir,
        })
    }
}

/// The requests to objects that are under way, a line each.
fn requests(requests: &Requests<Image>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut result = Ok(());
    requests.for_each(|tag| result = result.and_then(|()| tag.show(f)));
    result
}
