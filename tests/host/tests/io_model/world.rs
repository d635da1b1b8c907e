// SPDX-License-Identifier: GPL-2.0-only

//! A cluster with a driver and others at it: one random sequence.

use crate::{
    cluster::Cluster,
    exec::{Flight, Job},
    osd::{ObjectId, SnapId},
    rng::Rng,
    Grain,
};
use ceph_proto_host::{io::plan::Want, proto::cls::object_map::ObjectState};
use std::ops::Range;

/// How many states a request can be in.
const STATES: usize = 11;

pub struct World {
    pub rng: Rng,
    pub cluster: Cluster,
    pub flight: Flight,
    /// Messages may fail.
    pub errors: bool,
    /// Tell of every step.
    pub verbose: bool,
    last_value: Grain,
    pub counts: Counts,
}

/// How often requests were in each state, began again from it, and ended, by what they wanted.
#[derive(Default)]
pub struct Counts {
    pub visited: [u64; STATES],
    pub restarted: [u64; STATES],
    pub done: [u64; 4],
}

impl Counts {
    pub fn add(&mut self, of: &Self) {
        let add = |sum: &mut [u64], of: &[u64]| sum.iter_mut().zip(of).for_each(|(s, n)| *s += n);
        add(&mut self.visited, &of.visited);
        add(&mut self.restarted, &of.restarted);
        add(&mut self.done, &of.done);
    }
}

impl World {
    pub fn new(seed: u64, verbose: bool) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            errors: rng.percent(25),
            rng,
            cluster: Cluster::default(),
            flight: Flight::default(),
            verbose,
            last_value: 0,
            counts: Counts::default(),
        }
    }

    pub fn trace(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            println!("{}", text());
        }
    }

    /// One sequence, with all that must hold at its end.
    pub fn run(&mut self) {
        let size = self.rng.below(400);
        self.create(size, None);
        for _ in 0..self.rng.below(20) {
            self.begin_io(0);
            self.turn();
        }
        if self.rng.percent(85) {
            self.drain(0, true);
            self.create_snap(0);
            self.clone_one(0);
        }
        for _ in 0..20 + self.rng.below(80) {
            self.step();
        }
        self.check_all();
    }

    fn step(&mut self) {
        let index = self.rng.below(self.cluster.images.len());
        match self.rng.below(100) {
            0..45 => self.begin_io(index),
            45..75 => {
                for _ in 0..1 + self.rng.below(8) {
                    self.turn();
                }
            }
            75..80 => self.refresh(index),
            80..88 => {
                for _ in 0..1 + self.rng.below(6) {
                    self.flatten(index);
                }
            }
            // The rest is not done while an image is flattened.
            _ if self.cluster.images[index].flatten.is_some() => self.flatten(index),
            88..92 => self.create_snap(index),
            92..94 => {
                if let Some(id) = self.some_snap(index) {
                    self.remove_snap(index, id);
                }
            }
            94..96 if self.cluster.images.len() < 4 => self.clone_one(index),
            94..98 => {
                let size = self.rng.below(400);
                self.resize(index, size);
            }
            98 => self.check(index),
            _ => self.drop_unused_parents(),
        }
    }

    fn some_snap(&mut self, index: usize) -> Option<SnapId> {
        let snaps = &self.cluster.images[index].snaps;
        (!snaps.is_empty()).then(|| snaps[self.rng.below(snaps.len())].id)
    }

    fn clone_one(&mut self, of: usize) {
        if let Some(id) = self.some_snap(of) {
            self.create(0, Some((of, id)));
            if self.rng.percent(50) {
                self.create_snap(self.cluster.images.len() - 1);
            }
        }
    }

    /// Removes snapshots that were cloned and have no children any more.
    fn drop_unused_parents(&mut self) {
        for index in 0..self.cluster.images.len() {
            if self.cluster.images[index].flatten.is_none() {
                if let Some(id) = self.some_snap(index) {
                    self.remove_snap(index, id);
                }
            }
        }
    }

    /// Begins a random request.
    fn begin_io(&mut self, index: usize) {
        let in_flight = self.flight.requests.len();
        let image = &self.cluster.images[index];
        // Who flattens has the lock.
        let locked_out = image.flatten.is_some() && image.map.is_some();
        let mut want = self.rng.one_of(&[
            Want::Read,
            Want::Write,
            Want::Write,
            Want::Write,
            Want::Discard,
            Want::Zero,
        ]);
        if locked_out {
            want = Want::Read;
        }
        let snaps = &image.view.snaps;
        let (mut snap, mut size) = (None, image.view.size);
        if want == Want::Read && !snaps.is_empty() && self.rng.percent(30) {
            let one = &snaps[self.rng.below(snaps.len())];
            // What is being removed is not read.
            if image.snap(one.0).is_some() {
                (snap, size) = (Some(one.0), one.1);
            }
        }
        if size == 0 || in_flight > 8 {
            return;
        }
        let mut whole = 0..0;
        let pieces = if self.rng.percent(50) {
            let object = self.rng.below(image.objects(size) as usize) as u64;
            let range = random_range(&mut self.rng, image.prefix(object, size));
            vec![(object, range)]
        } else {
            whole = random_range(&mut self.rng, size);
            whole.end = whole.end.min(whole.start + 2 * image.object_size());
            image.extents(whole.clone())
        };
        let of_image = self.new_values(whole.len());
        for (object, range) in pieces {
            let mut data = Vec::new();
            let image = &self.cluster.images[index];
            if want == Want::Write && whole.is_empty() {
                data = self.new_values(range.len());
            } else if want == Want::Write {
                let first = image.cell(object, range.start) - whole.start;
                data = image.gather(object, &range, &of_image[first..]);
                for (value, at) in data.iter().zip(range.clone()) {
                    let cell = image.cell(object, at);
                    assert_eq!(*value, of_image[cell - whole.start], "in another place");
                }
            }
            self.submit(Job {
                image: index,
                snap,
                want,
                object,
                range,
                data,
            });
        }
    }

    /// Values that nobody wrote before, or zeroes.
    fn new_values(&mut self, n: usize) -> Vec<Grain> {
        if self.rng.percent(15) {
            return vec![0; n];
        }
        let first = self.last_value + 1;
        self.last_value += n as Grain;
        (first..).take(n).collect()
    }

    /// Turns until no request to the image, or none that writes, is in flight.
    pub fn drain(&mut self, index: usize, writes: bool) {
        let mut turns = 0;
        while self.flight.count(index, writes) > 0 {
            assert!(self.turn(), "requests wait for nothing");
            turns += 1;
            assert!(turns < 100_000, "requests without end");
        }
    }

    /// An object that was just written may not be absent in the map.
    pub fn check_entry(&self, (index, object): ObjectId) {
        let image = &self.cluster.images[index];
        let Some(map) = image.map.as_ref().filter(|_| image.map_valid) else {
            return;
        };
        let absent = map[object as usize] == ObjectState::Nonexistent;
        if absent {
            let exists = self.cluster.osd.read((index, object), None).is_some();
            assert!(!exists, "image {index} object {object}: not in the map");
        }
    }

    /// Reads the head or a snapshot and compares.
    pub fn verify(&mut self, index: usize, snap: Option<SnapId>) {
        let size = match snap {
            None => self.cluster.images[index].size,
            Some(id) => self.cluster.images[index].snap(id).expect("it").size,
        };
        let got = self.cluster.read(index, snap, 0..size);
        let image = &mut self.cluster.images[index];
        let expected = match snap {
            None => &mut image.expected,
            Some(id) => {
                let snap = image.snaps.iter_mut().find(|s| s.id == id);
                &mut snap.expect("it").expected
            }
        };
        if let Err((cell, values, value)) = expected.check(&got) {
            panic!("image {index} at {snap:?}: grain {cell} is {value}, not of {values:?}");
        }
    }

    /// Waits for all requests to an image and compares all of it.
    fn check(&mut self, index: usize) {
        self.refresh(index);
        self.drain(index, false);
        self.trace(|| format!("image {index}: check"));
        self.verify(index, None);
        let ids: Vec<_> = self.cluster.images[index]
            .snaps
            .iter()
            .map(|s| s.id)
            .collect();
        for id in ids {
            self.verify(index, Some(id));
        }
        self.check_maps(index);
    }

    fn check_all(&mut self) {
        for index in 0..self.cluster.images.len() {
            self.check(index);
        }
        // Whatever was flattened must do without what it came from.
        for index in 0..self.cluster.images.len() {
            while self.cluster.images[index].flatten.is_some() {
                self.flatten(index);
            }
            self.refresh(index);
        }
        for _ in 0..8 {
            self.drop_unused_parents();
        }
        for index in 0..self.cluster.images.len() {
            self.check(index);
        }
    }
}

/// A range of up to `size` grains, which is not 0; often all of it, its head, or its tail.
fn random_range(rng: &mut Rng, size: usize) -> Range<usize> {
    let from = match rng.below(3) {
        0 => 0,
        _ => rng.below(size),
    };
    let to = match rng.below(3) {
        0 => size,
        _ => from + 1 + rng.below(size - from),
    };
    from..to
}
