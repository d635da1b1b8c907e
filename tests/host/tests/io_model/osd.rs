// SPDX-License-Identifier: GPL-2.0-only

//! Objects as OSDs keep them, with self-managed snapshots (Ceph `src/osd/PrimaryLogPG.cc`: `make_writeable`,
//! `find_object_context`, `do_osd_ops`) and the class method `rbd.copyup` (`src/cls/rbd/cls_rbd.cc`).

use crate::Grain;
use kernel::prelude::*;
use std::collections::{HashMap, HashSet};

pub type SnapId = u64;

/// An image and an object's number.
pub type ObjectId = (usize, u64);

#[derive(Clone, Default, Debug)]
pub struct SnapContext {
    pub seq: SnapId,
    /// Newest first.
    pub snaps: Vec<SnapId>,
}

/// What an object was when it was first changed after a snapshot.
struct Preserved {
    snaps: Vec<SnapId>,
    data: Vec<Grain>,
}

#[derive(Default)]
struct Object {
    /// The newest snapshot that the object knows of.
    seq: SnapId,
    /// `None` with snapshots' content beside it is what an OSD calls a whiteout.
    head: Option<Vec<Grain>>,
    /// Oldest first.
    preserved: Vec<Preserved>,
}

/// Offsets and lengths are grains.
#[derive(Clone, Debug)]
pub enum OsdOp {
    Stat,
    Create,
    Write { offset: usize, data: Vec<Grain> },
    WriteFull { data: Vec<Grain> },
    Zero { offset: usize, length: usize },
    Truncate { size: usize },
    Delete,
    CopyUp { data: Vec<Grain> },
}

#[derive(Default)]
pub struct Osd {
    objects: HashMap<ObjectId, Object>,
    removed: HashSet<SnapId>,
}

impl Osd {
    /// One transaction: all of it or, on an error, nothing.
    pub fn write(&mut self, id: ObjectId, snapc: &SnapContext, ops: &[OsdOp]) -> Result {
        let object = self.objects.entry(id).or_default();
        let mut head = object.head.clone();
        let mut changed = false;
        let mut failed = None;
        for op in ops {
            match apply(op, &mut head) {
                Ok(did) => changed |= did,
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
        }
        if failed.is_none() && changed {
            let snaps: Vec<_> = snapc
                .snaps
                .iter()
                .copied()
                .filter(|s| *s > object.seq && !self.removed.contains(s))
                .collect();
            let before = std::mem::replace(&mut object.head, head);
            if let (Some(data), false) = (before, snaps.is_empty()) {
                object.preserved.push(Preserved { snaps, data });
            }
            object.seq = object.seq.max(snapc.seq);
        }
        if object.head.is_none() && object.preserved.is_empty() {
            self.objects.remove(&id);
        }
        failed.map_or(Ok(()), Err)
    }

    /// The object, or what it was at a snapshot; `None` if it does not exist.
    pub fn read(&self, id: ObjectId, snap: Option<SnapId>) -> Option<&[Grain]> {
        let object = self.objects.get(&id)?;
        match snap {
            Some(snap) if snap <= object.seq => {
                let newest = |p: &&Preserved| p.snaps.iter().any(|s| *s >= snap);
                let preserved = object.preserved.iter().find(newest)?;
                preserved.snaps.contains(&snap).then_some(&preserved.data)
            }
            _ => object.head.as_deref(),
        }
    }

    /// Removes a snapshot and what was kept for it alone.
    pub fn remove_snap(&mut self, image: usize, snap: SnapId) {
        self.removed.insert(snap);
        self.objects.retain(|id, object| {
            if id.0 == image {
                for preserved in &mut object.preserved {
                    preserved.snaps.retain(|s| *s != snap);
                }
                object.preserved.retain(|p| !p.snaps.is_empty());
            }
            object.head.is_some() || !object.preserved.is_empty()
        });
    }
}

/// Applies one operation; says whether it changed anything.
fn apply(op: &OsdOp, head: &mut Option<Vec<Grain>>) -> Result<bool> {
    match op {
        OsdOp::Stat => return head.as_ref().map(|_| false).ok_or(ENOENT),
        OsdOp::Create => {
            if head.is_some() {
                return Ok(false);
            }
            *head = Some(Vec::new());
        }
        OsdOp::Write { offset, data } => {
            let object = head.get_or_insert_with(Vec::new);
            let end = offset + data.len();
            if !data.is_empty() && object.len() < end {
                object.resize(end, 0);
            }
            if !data.is_empty() {
                object[*offset..end].copy_from_slice(data);
            }
        }
        OsdOp::WriteFull { data } => *head = Some(data.clone()),
        OsdOp::Zero { offset, length } => {
            let Some(object) = head else {
                return Ok(false);
            };
            let end = (offset + length).min(object.len());
            if *offset < end {
                object[*offset..end].fill(0);
            }
        }
        OsdOp::Truncate { size } => {
            let Some(object) = head else {
                return Ok(false);
            };
            object.resize(*size, 0);
        }
        OsdOp::Delete => {
            head.take().ok_or(ENOENT)?;
        }
        OsdOp::CopyUp { data } => {
            if head.is_some() {
                return Ok(false);
            }
            *head = Some(data.clone());
        }
    }
    Ok(true)
}
