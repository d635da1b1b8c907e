// SPDX-License-Identifier: GPL-2.0-only

//! `/sys/kernel/debug/rbd/<id>/`: what a mapped device is doing.

use crate::{
    abstractions::{
        debugfs::OwnText,
        disk::{Disk, Requests},
    },
    Image,
};
use kernel::{fmt, prelude::*, str::CString};
use net_ceph::abstractions::debugfs::{Dir, File};

/// The directory `rbd`.
pub(crate) struct DebugDir(Dir);

impl DebugDir {
    /// Makes it, if debugfs is there. Sleeps.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Dir::new(c"rbd")?))
    }
}

/// The files of one device; they go with it.
pub(crate) struct DebugFiles {
    _requests: File<OwnText<Requests<Image>>>,
    _dir: Dir,
}

impl DebugFiles {
    /// Makes them for the device `id`. Sleeps.
    pub(crate) fn new(root: &DebugDir, id: u32, disk: &Disk<Image>) -> Result<Self> {
        let dir = root.0.subdir(&CString::try_from_fmt(fmt!("{id}"))?)?;
        let text = OwnText {
            value: disk.requests(),
            show: requests,
        };
        Ok(Self {
            _requests: dir.file(c"requests", text)?,
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
