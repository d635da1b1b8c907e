// SPDX-License-Identifier: GPL-2.0-only

//! The attributes of a mapped device: `/sys/bus/rbd/devices/<id>/`.
//!
//! Names, permissions and formats are the ABI of the C driver (Linux
//! `Documentation/ABI/testing/sysfs-bus-rbd`, `drivers/block/rbd.c`), which `rbd device list` and
//! udev rules rely on.

use super::mapping::{Mapping, ParentNames};
use crate::{
    abstractions::{device::DeviceAttribute, text::Text},
    Image,
};
use core::fmt::Write;
use kernel::{prelude::*, sync::Arc};
use net_ceph::abstractions::task::capable_admin;

/// What the attributes show.
pub(crate) struct Shown<M> {
    pub(super) mapping: Arc<M>,
    pub(super) major: u32,
    pub(super) minor: u32,
    /// The string that made the mapping.
    pub(super) config: KVec<u8>,
}

type Attribute = DeviceAttribute<Shown<Image>>;

/// An attribute that everybody may read.
const fn readable(
    name: &'static CStr,
    show: fn(&Shown<Image>, &mut Text<'_>) -> Result,
) -> Attribute {
    Attribute::readable(name, 0o444, show)
}

pub(super) static ATTRIBUTES: [Attribute; 17] = [
    readable(c"size", |d, out| Ok(writeln!(out, "{}", d.mapping.size())?)),
    readable(c"features", |d, out| {
        Ok(writeln!(out, "{:#018x}", d.mapping.features())?)
    }),
    readable(c"major", |d, out| Ok(writeln!(out, "{}", d.major)?)),
    readable(c"minor", |d, out| Ok(writeln!(out, "{}", d.minor)?)),
    readable(c"client_addr", |d, out| {
        d.mapping.client_addr(out)?;
        Ok(writeln!(out)?)
    }),
    readable(c"client_id", |d, out| {
        Ok(writeln!(out, "client{}", d.mapping.client_id())?)
    }),
    readable(c"cluster_fsid", |d, out| {
        for (i, byte) in d.mapping.cluster_fsid().iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.write_str("-")?;
            }
            write!(out, "{byte:02x}")?;
        }
        Ok(writeln!(out)?)
    }),
    // It may hold a secret.
    Attribute::readable(c"config_info", 0o400, |d, out| {
        if !capable_admin() {
            return Err(EPERM);
        }
        out.line(&d.config);
        Ok(())
    }),
    readable(c"pool", |d, out| line(out, d.mapping.names().pool)),
    readable(c"pool_id", |d, out| {
        Ok(writeln!(out, "{}", d.mapping.names().pool_id)?)
    }),
    readable(c"pool_ns", |d, out| line(out, d.mapping.names().pool_ns)),
    readable(c"name", |d, out| line(out, d.mapping.names().image)),
    readable(c"image_id", |d, out| line(out, d.mapping.names().image_id)),
    readable(c"current_snap", |d, out| line(out, d.mapping.names().snap)),
    readable(c"snap_id", |d, out| {
        Ok(writeln!(out, "{}", d.mapping.names().snap_id)?)
    }),
    readable(c"parent", |d, out| {
        let mut any = false;
        d.mapping.each_parent(&mut |names| {
            if core::mem::replace(&mut any, true) {
                out.bytes(b"\n");
            }
            parent(out, &names)
        })?;
        if !any {
            out.line(b"(no parent image)");
        }
        Ok(())
    }),
    Attribute::writable(c"refresh", 0o200, |d, _| {
        if !capable_admin() {
            return Err(EPERM);
        }
        d.mapping.refresh()
    }),
];

fn line(out: &mut Text<'_>, bytes: &[u8]) -> Result {
    out.line(bytes);
    Ok(())
}

/// One of the paragraphs of `parent`.
fn parent(out: &mut Text<'_>, names: &ParentNames<'_>) -> Result {
    writeln!(out, "pool_id {}", names.pool_id)?;
    field(out, b"pool_name ", names.pool);
    field(out, b"pool_ns ", names.pool_ns);
    field(out, b"image_id ", names.image_id);
    field(out, b"image_name ", names.image);
    writeln!(out, "snap_id {}", names.snap_id)?;
    field(out, b"snap_name ", names.snap);
    Ok(writeln!(out, "overlap {}", names.overlap)?)
}

fn field(out: &mut Text<'_>, name: &[u8], value: &[u8]) {
    out.bytes(name);
    out.line(value);
}
