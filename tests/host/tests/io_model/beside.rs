// SPDX-License-Identifier: GPL-2.0-only

//! What requests beside each other may see and leave.

use crate::{
    exec::{grains, Request},
    osd::SnapId,
    world::World,
    Grain,
};
use ceph_proto_host::io::plan::Want;
use kernel::prelude::*;

impl World {
    /// What a new request means to what others may see, and they to it.
    pub fn expect_begin(&mut self, request: &mut Request) {
        let job = &request.job;
        let image = &mut self.cluster.images[job.image];
        if job.want == Want::Read {
            let expected = match job.snap {
                None => &image.expected,
                Some(id) => &image.snap(id).expect("a snapshot").expected,
            };
            for at in job.range.clone() {
                let cell = image.cell(job.object, at);
                request.beside.insert(at, expected.values(cell).collect());
            }
        } else {
            // A snapshot that the request does not know of yet may have it, or not.
            for at in job.range.clone() {
                let (cell, value) = (image.cell(job.object, at), request.value(at));
                for snap in &mut image.snaps {
                    if !request.snapc.snaps.contains(&snap.id) && cell < snap.size {
                        snap.expected.allow(cell, value);
                    }
                }
            }
        }
        for other in self.flight.requests.values_mut() {
            let beside = (&other.job.image, &other.job.object) == (&job.image, &job.object);
            if !beside || (other.job.want == Want::Read && job.want == Want::Read) {
                continue;
            }
            for at in job.range.clone().filter(|at| other.job.range.contains(at)) {
                let sees = |s: SnapId| !request.snapc.snaps.contains(&s);
                if job.want != Want::Read && other.job.snap.is_none_or(sees) {
                    let value = request.value(at);
                    other.beside.entry(at).or_default().push(value);
                }
                if other.job.want != Want::Read && job.snap.is_none() {
                    let value = other.value(at);
                    request.beside.entry(at).or_default().push(value);
                }
            }
        }
    }

    /// What a request that ended has left, or should have read.
    pub fn expect_end(&mut self, request: Request, result: Result) {
        let job = &request.job;
        let image = &mut self.cluster.images[job.image];
        self.counts.done[job.want as usize] += 1;
        for at in job.range.clone() {
            let cell = (job.image, job.object, at);
            let beside = request.beside.get(&at).map_or(&[][..], |b| b);
            if job.want == Want::Read {
                let got = request.got.get(at - job.range.start).copied().unwrap_or(0);
                assert!(
                    result.is_err() || beside.contains(&got),
                    "read of {cell:?} at {:?} gave {got}, not of {beside:?}",
                    job.snap
                );
                continue;
            }
            let cell = image.cell(job.object, at);
            // A discard of what the parent may have is free to do nothing.
            let maybe =
                result.is_err() || (job.want == Want::Discard && at < grains(request.scene.behind));
            if !maybe {
                image.expected.set(cell, request.value(at));
            }
            image.expected.allow(cell, request.value(at));
            for value in beside {
                image.expected.allow(cell, *value);
            }
        }
    }
}

impl Request {
    /// What it leaves in a grain of the object.
    pub fn value(&self, at: usize) -> Grain {
        match self.job.want {
            Want::Write => self.job.data[at - self.job.range.start],
            _ => 0,
        }
    }
}
