// SPDX-License-Identifier: GPL-2.0-only

//! What others do to an image while the driver uses it, as librbd does it: snapshots, clones, resizing,
//! flattening (Ceph `src/librbd/operation`, `src/cls/rbd/cls_rbd.cc`). With an object map there is an
//! exclusive lock, which the driver gives up only when none of its writes is in flight.

use crate::{
    cluster::{Flatten, Image, ParentLink, Snapshot, View},
    expect::Expected,
    osd::{OsdOp, SnapContext, SnapId},
    world::World,
    Grain, GRAIN,
};
use ceph_proto_host::{
    io::plan::Want,
    proto::{
        cls::object_map::ObjectState::{self, Exists, ExistsClean, Nonexistent, Pending},
        striper::Layout,
    },
};

impl World {
    /// A new image, or a clone of a snapshot.
    pub fn create(&mut self, size: usize, parent: Option<(usize, SnapId)>) {
        let rng = &mut self.rng;
        let order = rng.one_of(&[12, 12, 12, 13]);
        let (unit, count) =
            rng.one_of(&[(0, 0), (0, 0), (1024, 3), (512, 2), (2048, 5), (4096, 3)]);
        let alloc_size = rng.one_of(&[512, 1024, 4096, 1 << order]).min(1 << order);
        let has_map = rng.percent(50);
        let mut image = Image {
            layout: Layout::new(order, unit, count).unwrap(),
            alloc_size,
            size,
            parent: None,
            snaps: Vec::new(),
            snap_seq: 0,
            map: None,
            map_valid: true,
            fast_diff: rng.percent(70),
            deep_flatten: rng.percent(60),
            flatten: None,
            expected: Expected::new(size),
            view: View::default(),
            loaded: Vec::new(),
        };
        if let Some((of, id)) = parent {
            // What the snapshot has is settled first.
            self.refresh(of);
            self.drain(of, false);
            self.verify(of, Some(id));
            let snap = self.cluster.images[of].snap(id).expect("a snapshot");
            image.size = snap.size;
            image.expected = snap.expected.clone();
            image.parent = (snap.size > 0).then_some(ParentLink {
                image: of,
                snap: id,
                overlap: snap.size,
            });
        }
        if has_map {
            image.map = Some(vec![Nonexistent; image.objects(image.size) as usize]);
        }
        image.refresh();
        image.load_map();
        self.trace(|| {
            format!(
                "image {}: {:?} {:?} alloc {} size {} parent {:?} map {} fast {} deep {}",
                self.cluster.images.len(),
                image.layout,
                parent,
                image.alloc_size,
                image.size,
                image.parent,
                has_map,
                image.fast_diff,
                image.deep_flatten
            )
        });
        self.cluster.images.push(image);
    }

    /// Takes the lock from the driver, where there is one.
    fn lock(&mut self, image: usize) {
        if self.cluster.images[image].map.is_some() {
            self.drain(image, true);
        }
    }

    /// The driver hears of a change: at once if it needs the lock again, and else some time later.
    fn unlock(&mut self, image: usize) {
        let locks = self.cluster.images[image].map.is_some();
        if locks || self.rng.percent(30) {
            self.refresh(image);
        }
        if locks {
            self.cluster.images[image].load_map();
        }
    }

    pub fn refresh(&mut self, image: usize) {
        self.trace(|| format!("image {image}: refresh"));
        self.cluster.images[image].refresh();
    }

    pub fn create_snap(&mut self, index: usize) {
        self.refresh(index);
        self.lock(index);
        self.cluster.last_snap += 1;
        let id = self.cluster.last_snap;
        self.trace(|| format!("image {index}: snapshot {id}"));
        let image = &mut self.cluster.images[index];
        let mut expected = image.expected.clone();
        for request in self.flight.requests.values() {
            if request.job.image == index && request.job.want != Want::Read {
                for at in request.job.range.clone() {
                    expected.allow(image.cell(request.job.object, at), request.value(at));
                }
            }
        }
        image.snaps.push(Snapshot {
            id,
            size: image.size,
            parent: image.parent.clone(),
            map: image.map.clone().unwrap_or_default(),
            map_valid: image.map_valid,
            expected,
        });
        image.snap_seq = id;
        if let (Some(map), true) = (&mut image.map, image.fast_diff) {
            for entry in map.iter_mut().filter(|e| **e == Exists) {
                *entry = ExistsClean;
            }
        }
        self.unlock(index);
    }

    /// Whether something continues in this snapshot.
    pub fn has_children(&self, of: usize, id: SnapId) -> bool {
        self.cluster.images.iter().any(|image| {
            let snaps = image.snaps.iter().map(|s| &s.parent);
            let seen = image.view.snaps.iter().map(|s| &s.2);
            [&image.parent, &image.view.parent]
                .into_iter()
                .chain(snaps)
                .chain(seen)
                .flatten()
                .any(|link| (link.image, link.snap) == (of, id))
        })
    }

    pub fn remove_snap(&mut self, index: usize, id: SnapId) {
        let reads = |r: &crate::exec::Request| r.job.image == index && r.job.snap.is_some();
        if self.has_children(index, id) || self.flight.requests.values().any(reads) {
            return;
        }
        self.refresh(index);
        self.lock(index);
        self.trace(|| format!("image {index}: remove snapshot {id}"));
        let image = &mut self.cluster.images[index];
        let at = image.snaps.iter().position(|s| s.id == id).unwrap();
        let removed = image.snaps.remove(at);
        if let Some(head) = image.map.as_mut().filter(|_| image.fast_diff) {
            // What changed up to the removed one changed up to the one after it.
            let (next, valid) = match image.snaps.get_mut(at) {
                Some(next) => (&mut next.map, &mut next.map_valid),
                None => (head, &mut image.map_valid),
            };
            *valid &= removed.map_valid;
            for (was, entry) in removed.map.iter().zip(next) {
                if *was == Exists && *entry == ExistsClean {
                    *entry = Exists;
                }
            }
        }
        self.cluster.osd.remove_snap(index, id);
        self.unlock(index);
    }

    /// Copies up for an operation on the whole image: below all snapshots.
    fn copy_up(&mut self, index: usize, object: u64, data: Vec<Grain>) {
        let image = &mut self.cluster.images[index];
        let snapc = match image.snaps.is_empty() {
            true => image.snap_context(),
            false => SnapContext::default(),
        };
        if let Some(map) = &mut image.map {
            map[object as usize] = Exists;
            for (i, snap) in image.snaps.iter_mut().enumerate() {
                snap.map[object as usize] = match i > 0 && image.fast_diff {
                    true => ExistsClean,
                    false => Exists,
                };
            }
        }
        let ops = [OsdOp::CopyUp { data }];
        self.trace(|| format!("image {index}: object {object}: {snapc:?} {ops:?}"));
        self.cluster
            .osd
            .write((index, object), &snapc, &ops)
            .unwrap();
    }

    pub fn resize(&mut self, index: usize, size: usize) {
        let old = self.cluster.images[index].size;
        if size >= old {
            self.refresh(index);
            self.lock(index);
        } else {
            self.drain_from(index, size);
            self.refresh(index);
            self.lock(index);
            self.trim(index, size);
        }
        self.trace(|| format!("image {index}: size {size}"));
        let image = &mut self.cluster.images[index];
        let objects = image.objects(size) as usize;
        image.size = size;
        if let Some(parent) = &mut image.parent {
            parent.overlap = parent.overlap.min(size);
        }
        image.parent.take_if(|p| p.overlap == 0);
        image.expected.resize(size);
        if let Some(map) = &mut image.map {
            map.resize(objects, Nonexistent);
        }
        if size < old {
            self.refresh(index);
        }
        self.unlock(index);
    }

    /// Waits for the requests that concern what an image of `size` does not have, or shares an object
    /// set with that.
    fn drain_from(&mut self, index: usize, size: usize) {
        let image = &self.cluster.images[index];
        let set = image.layout.object_size() * image.layout.stripe_count();
        let first = size as u64 * GRAIN / set * image.layout.stripe_count();
        let hit = |r: &crate::exec::Request| r.job.image == index && r.job.object >= first;
        if self.flight.requests.values().any(hit) {
            self.drain(index, false);
        }
    }

    /// Cuts off what an image of `size` does not have.
    fn trim(&mut self, index: usize, size: usize) {
        let image = &self.cluster.images[index];
        let parent = image.parent.clone();
        for object in 0..image.objects(image.size) {
            let image = &self.cluster.images[index];
            let keep = image.prefix(object, size);
            if keep == image.prefix(object, image.size) {
                continue;
            }
            let behind = image.behind(object, &parent);
            let has_snaps = !image.snaps.is_empty();
            let absent = self.cluster.osd.read((index, object), None).is_none();
            if absent && behind > 0 && (has_snaps || self.rng.percent(50)) {
                let data = self.cluster.read_parent(index, object, 0..behind, &parent);
                if data.iter().any(|v| *v != 0) {
                    self.copy_up(index, object, data);
                }
            }
            let exists = self.cluster.osd.read((index, object), None).is_some();
            let image = &mut self.cluster.images[index];
            if let (Some(map), true) = (&mut image.map, exists) {
                map[object as usize] = Exists;
            }
            if exists {
                let op = match keep {
                    0 => OsdOp::Delete,
                    _ => OsdOp::Truncate { size: keep },
                };
                let snapc = image.snap_context();
                self.trace(|| format!("image {index}: object {object}: {op:?}"));
                self.cluster
                    .osd
                    .write((index, object), &snapc, &[op])
                    .unwrap();
            }
        }
    }

    /// One step of `rbd flatten`; begins it if need be.
    pub fn flatten(&mut self, index: usize) {
        let Some(parent) = self.cluster.images[index].parent.clone() else {
            return;
        };
        if self.cluster.images[index].flatten.is_none() {
            self.refresh(index);
            self.lock(index);
            self.trace(|| format!("image {index}: flatten"));
        }
        let image = &mut self.cluster.images[index];
        let objects = image.objects(parent.overlap);
        let flatten = image.flatten.get_or_insert(Flatten {
            object: 0,
            copy: None,
        });
        let object = flatten.object;
        if let Some(data) = flatten.copy.take() {
            flatten.object += 1;
            if data.iter().any(|v| *v != 0) {
                self.copy_up(index, object, data);
            }
        } else if object < objects {
            if self.cluster.osd.read((index, object), None).is_some() {
                flatten.object += 1;
                return;
            }
            let behind = image.behind(object, &Some(parent.clone()));
            let data = self
                .cluster
                .read_parent(index, object, 0..behind, &Some(parent));
            let image = &mut self.cluster.images[index];
            image.flatten.as_mut().expect("flattening").copy = Some(data);
        } else {
            image.flatten = None;
            image.parent = None;
            if image.deep_flatten {
                for snap in &mut image.snaps {
                    snap.parent = None;
                }
            }
            self.trace(|| format!("image {index}: flattened"));
            self.unlock(index);
        }
    }

    /// What must hold of an image's object maps when nothing is in flight.
    pub fn check_maps(&self, index: usize) {
        let image = &self.cluster.images[index];
        let Some(head) = image.map.as_ref() else {
            return;
        };
        if image.map_valid && image.flatten.is_none() {
            assert_eq!(head, &image.loaded, "image {index}: the driver's map");
        }
        let snaps = image
            .snaps
            .iter()
            .map(|s| (Some(s.id), &s.map, s.map_valid));
        let mut before: Option<(Option<SnapId>, &Vec<ObjectState>)> = None;
        for (snap, map, valid) in snaps.chain([(None, head, image.map_valid)]) {
            if !valid {
                before = None;
                continue;
            }
            for (object, entry) in map.iter().enumerate() {
                let at = |snap| self.cluster.osd.read((index, object as u64), snap);
                let of = format!("image {index} object {object} at {snap:?}");
                match entry {
                    Nonexistent => assert!(at(snap).is_none(), "{of} exists"),
                    ExistsClean => {
                        // The map of the one before may be invalid.
                        let Some((earlier, states)) = before else {
                            assert!(self.errors, "clean since no snapshot");
                            continue;
                        };
                        assert_eq!(at(snap), at(earlier), "{of}: clean, yet changed");
                        assert_ne!(states[object], Nonexistent, "{of}: clean, and new");
                    }
                    // A deletion that failed leaves it, as nobody knows whether it happened.
                    Pending => assert!(self.errors, "{of}: pending"),
                    Exists => {}
                }
            }
            before = Some((snap, map)).filter(|_| image.fast_diff);
        }
    }
}
