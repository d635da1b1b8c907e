// SPDX-License-Identifier: GPL-2.0-only

//! What an OSD is told to do to an object.

use super::plan::ObjectOp;
use crate::{
    control::map_spec::CompressionHint,
    image::{Image, Source},
};
use kernel::{prelude::*, sync::Arc};
use net_ceph::{
    abstractions::time::wall_time,
    osd_client::{Params, Snapshots},
    proto::{
        cls::rbd::{method, CLASS},
        osd_op::{flags, Op, OsdOp},
        striper::ObjectName,
        types::Timespec,
    },
};

/// The data of an object is likely to compress (`CEPH_OSD_ALLOC_HINT_FLAG_COMPRESSIBLE`, Linux
/// `include/linux/ceph/rados.h`).
const HINT_COMPRESSIBLE: u32 = 256;
/// It is not (`CEPH_OSD_ALLOC_HINT_FLAG_INCOMPRESSIBLE`).
const HINT_INCOMPRESSIBLE: u32 = 512;

/// Output of a `Stat` that nobody reads: `u64 size`, `u32 sec`, `u32 nsec`.
const STAT_OUTPUT: usize = 16;

/// What OSDs are told about objects that are written.
#[derive(Clone, Copy)]
pub(super) struct Hint {
    object_size: u64,
    flags: u32,
}

impl Hint {
    /// For the objects of `image`.
    pub(super) fn of(image: &Image) -> Self {
        Self {
            object_size: image.source().layout().object_size(),
            flags: match image.options().compression_hint {
                CompressionHint::None => 0,
                CompressionHint::Compressible => HINT_COMPRESSIBLE,
                CompressionHint::Incompressible => HINT_INCOMPRESSIBLE,
            },
        }
    }
}

/// Says which object.
pub(super) fn address(p: &mut Params, source: &Source, object: u64) -> Result {
    let name = ObjectName::new(source.prefix(), object).map_err(|e| e.to_errno())?;
    source.data().address(p, name.as_bytes())
}

/// Makes it a write, which preserves `snapc`; `None`: no snapshot, as if there never had been one.
pub(super) fn stamp(p: &mut Params, snapc: Option<Arc<Snapshots>>) {
    let now = wall_time();
    p.snapc = snapc;
    // A class call does not say by itself that it writes.
    p.flags |= flags::WRITE;
    // Seconds have 32 bits on the wire.
    p.mtime = Timespec {
        sec: now.sec as u32,
        nsec: now.nsec,
    };
}

/// Makes everything that follows fail with `ENOENT` when there is no object.
pub(super) fn push_guard(p: &mut Params) -> Result {
    p.max_output = STAT_OUTPUT;
    p.push_op(Op::Stat)
}

/// Has the class `rbd` fill the object with `len` bytes of data, unless it exists (Ceph
/// `src/cls/rbd/cls_rbd.cc`, `copyup`).
pub(super) fn push_copyup(p: &mut Params, len: u32) -> Result {
    p.push_call(CLASS, method::COPYUP, len)
}

/// Makes it a read, as of `source`'s snapshot, from a replica if the user wants that.
pub(super) fn stamp_read(p: &mut Params, source: &Source) {
    p.snapid = source.snap_id();
    p.flags |= source.data().osd().read_flags();
}

/// Does `op`.
pub(super) fn push(p: &mut Params, op: ObjectOp, hint: Hint) -> Result {
    if matches!(op, ObjectOp::Write { .. } | ObjectOp::WriteFull { .. }) {
        // An OSD that cannot take the hint goes on without it.
        p.push_op(OsdOp {
            op: Op::SetAllocHint {
                object_size: hint.object_size,
                write_size: hint.object_size,
                flags: hint.flags,
            },
            flags: flags::OP_FAILOK,
        })?;
    }
    if op == ObjectOp::Hide {
        p.push_op(Op::Create)?;
    }
    p.push_op(match op {
        ObjectOp::Read { offset, length } => Op::Read { offset, length },
        ObjectOp::Write { offset, length } => Op::Write { offset, length },
        ObjectOp::WriteFull { length } => Op::WriteFull { length },
        ObjectOp::Zero { offset, length } => Op::Zero { offset, length },
        ObjectOp::Truncate { size } => Op::Truncate { size },
        ObjectOp::Hide => Op::Truncate { size: 0 },
        ObjectOp::Delete => Op::Delete,
    })
}
