// SPDX-License-Identifier: GPL-2.0-only

//! Images in a cluster: headers, object maps, and reading along a chain of parents.

use crate::{
    expect::Expected,
    osd::{Osd, SnapContext, SnapId},
    Grain, GRAIN, POISON,
};
use ceph_proto_host::{
    io::{
        plan::{ObjectOp, Want},
        step::{Action, Event, Scene, Steps},
    },
    proto::{
        cls::object_map::ObjectState,
        striper::{Layout, ObjectExtent},
    },
};
use kernel::prelude::*;
use std::ops::Range;

/// Where an image continues, for its first `overlap` grains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentLink {
    pub image: usize,
    pub snap: SnapId,
    pub overlap: usize,
}

pub struct Snapshot {
    pub id: SnapId,
    pub size: usize,
    pub parent: Option<ParentLink>,
    pub map: Vec<ObjectState>,
    pub map_valid: bool,
    pub expected: Expected,
}

/// What a client knows of a header.
#[derive(Clone, Default)]
pub struct View {
    pub size: usize,
    pub snapc: SnapContext,
    pub parent: Option<ParentLink>,
    /// Snapshots and their parents.
    pub snaps: Vec<(SnapId, usize, Option<ParentLink>)>,
    /// Changes with any of the parents.
    pub generation: u64,
}

/// `rbd flatten` under way.
pub struct Flatten {
    pub object: u64,
    /// What it read from the parent and has not written yet.
    pub copy: Option<Vec<Grain>>,
}

pub struct Image {
    pub layout: Layout,
    pub alloc_size: u64,
    pub size: usize,
    pub parent: Option<ParentLink>,
    /// Oldest first.
    pub snaps: Vec<Snapshot>,
    pub snap_seq: SnapId,
    /// The head's object map. With one there is an exclusive lock, too.
    pub map: Option<Vec<ObjectState>>,
    pub map_valid: bool,
    pub fast_diff: bool,
    pub deep_flatten: bool,
    pub flatten: Option<Flatten>,
    pub expected: Expected,
    /// Of the driver.
    pub view: View,
    /// The driver's copy of the head's map.
    pub loaded: Vec<ObjectState>,
}

impl Image {
    pub fn object_size(&self) -> usize {
        (self.layout.object_size() / GRAIN) as usize
    }

    pub fn objects(&self, size: usize) -> u64 {
        self.layout.object_count(size as u64 * GRAIN)
    }

    /// How much of `object` an image of `size` has.
    pub fn prefix(&self, object: u64, size: usize) -> usize {
        (self.layout.object_prefix(object, size as u64 * GRAIN) / GRAIN) as usize
    }

    /// The image's grain that is grain `at` of `object`.
    pub fn cell(&self, object: u64, at: usize) -> usize {
        let offset = self.layout.image_offset(object, at as u64 * GRAIN);
        (offset.unwrap() / GRAIN) as usize
    }

    /// How much of `object` the parent has.
    pub fn behind(&self, object: u64, parent: &Option<ParentLink>) -> usize {
        let overlap = parent.as_ref().map_or(0, |p| p.overlap);
        self.prefix(object, overlap)
    }

    /// The objects of a range of the image, and the range of each.
    pub fn extents(&self, range: Range<usize>) -> Vec<(u64, Range<usize>)> {
        let (from, length) = (range.start as u64 * GRAIN, range.len() as u64 * GRAIN);
        let extents = self.layout.object_extents(from, length);
        let grains = |e: ObjectExtent| e.offset / GRAIN..(e.offset + e.length) / GRAIN;
        extents
            .map(|e| (e.object, grains(e)))
            .map(|(object, range)| (object, range.start as usize..range.end as usize))
            .collect()
    }

    /// The extent, in bytes, that grains of an object are.
    pub fn extent(&self, object: u64, range: &Range<usize>) -> ObjectExtent {
        let offset = range.start as u64 * GRAIN;
        ObjectExtent {
            object,
            offset,
            length: range.len() as u64 * GRAIN,
            image_offset: self.layout.image_offset(object, offset).unwrap(),
        }
    }

    /// Of a range of the image the grains that are a range of an object.
    pub fn gather(&self, object: u64, range: &Range<usize>, from: &[Grain]) -> Vec<Grain> {
        let stride = self.layout.stride(&self.extent(object, range));
        let grains = |bytes: usize| bytes / GRAIN as usize;
        let (mut from, mut run) = (from, grains(stride.first));
        let mut out = Vec::new();
        while out.len() < range.len() {
            let length = run.min(range.len() - out.len());
            out.extend_from_slice(&from[..length]);
            from = from.get(run + grains(stride.skip)..).unwrap_or_default();
            run = grains(stride.run);
        }
        out
    }

    pub fn snap(&self, id: SnapId) -> Option<&Snapshot> {
        self.snaps.iter().find(|s| s.id == id)
    }

    pub fn snap_context(&self) -> SnapContext {
        SnapContext {
            seq: self.snap_seq,
            snaps: self.snaps.iter().rev().map(|s| s.id).collect(),
        }
    }

    /// The driver reads the header.
    pub fn refresh(&mut self) {
        let snaps: Vec<_> = self
            .snaps
            .iter()
            .map(|s| (s.id, s.size, s.parent.clone()))
            .collect();
        let lost = |old: &(SnapId, usize, Option<ParentLink>)| {
            snaps.iter().any(|new| new.0 == old.0 && new.2 != old.2)
        };
        let changed = self.parent != self.view.parent || self.view.snaps.iter().any(lost);
        self.view = View {
            size: self.size,
            snapc: self.snap_context(),
            parent: self.parent.clone(),
            snaps,
            generation: self.view.generation + u64::from(changed),
        };
    }

    /// The driver loads the head's map.
    pub fn load_map(&mut self) {
        self.loaded = self.map.clone().unwrap_or_default();
    }

    /// Whether the driver trusts the head's object map.
    pub fn has_map(&self) -> bool {
        self.map.is_some() && self.map_valid
    }

    /// What the driver's map says of an object, of the head or of a snapshot.
    pub fn entry(&self, object: u64, snap: Option<SnapId>) -> Option<ObjectState> {
        let (map, valid) = match snap {
            None if self.flatten.is_some() => return None,
            None => (&self.loaded, self.map_valid),
            Some(id) => {
                let snap = self.snap(id)?;
                (&snap.map, snap.map_valid)
            }
        };
        let entry = map.get(object as usize).copied();
        (self.map.is_some() && valid).then(|| entry.unwrap_or(ObjectState::Exists))
    }
}

#[derive(Default)]
pub struct Cluster {
    pub osd: Osd,
    pub images: Vec<Image>,
    pub last_snap: SnapId,
}

impl Cluster {
    /// Reads grains of the head or of a snapshot, step by step as the driver does, but all at once.
    pub fn read(&self, image: usize, snap: Option<SnapId>, cells: Range<usize>) -> Vec<Grain> {
        let at = &self.images[image];
        let parent = match snap {
            None => &at.parent,
            Some(id) => match at.snap(id) {
                Some(snap) => &snap.parent,
                // Whoever reads this has missed that the parent is gone.
                None => return vec![POISON; cells.len()],
            },
        };
        let mut out = vec![0; cells.len()];
        for (object, range) in at.extents(cells.clone()) {
            let scene = Scene {
                behind: at.behind(object, parent) as u64 * GRAIN,
                snaps: false,
                entry: at.entry(object, snap),
                ancestor: snap.is_some(),
            };
            let op = ObjectOp::Read {
                offset: range.start as u64 * GRAIN,
                length: range.len() as u64 * GRAIN,
            };
            let mut got = Vec::new();
            let (mut steps, mut action) = Steps::begin(Want::Read, op, scene);
            loop {
                action = match action {
                    Action::Send { op: sent, guard } if sent == op && !guard => {
                        match self.osd.read((image, object), snap) {
                            Some(data) => {
                                let end = range.end.min(data.len());
                                got = data[range.start.min(end)..end].to_vec();
                                steps.next(Event::Done(Ok(())))
                            }
                            None => steps.next(Event::Done(Err(ENOENT))),
                        }
                    }
                    Action::ReadParent => {
                        got = self.read_parent(image, object, range.clone(), parent);
                        steps.next(Event::Done(Ok(())))
                    }
                    Action::Finish(Ok(())) => break,
                    other => panic!("reading: {other:?}"),
                }
            }
            for (at_object, value) in range.zip(got) {
                out[at.cell(object, at_object) - cells.start] = value;
            }
        }
        out
    }

    /// What the parent has of a range of an object.
    pub fn read_parent(
        &self,
        image: usize,
        object: u64,
        range: Range<usize>,
        parent: &Option<ParentLink>,
    ) -> Vec<Grain> {
        let Some(link) = parent else {
            return Vec::new();
        };
        let at = &self.images[image];
        let end = range.end.min(at.behind(object, parent));
        let mut out = Vec::new();
        if range.start < end {
            let extent = at.extent(object, &(range.start..end));
            for piece in at.layout.pieces(&extent) {
                let from = (piece.image_offset / GRAIN) as usize;
                let to = from + (piece.length / GRAIN) as usize;
                out.extend(self.read(link.image, Some(link.snap), from..to));
            }
            assert_eq!(out.len(), end - range.start);
        }
        out
    }
}
