// SPDX-License-Identifier: GPL-2.0-only

//! The block driver's steps of object requests on a model of a cluster: random sequences of I/O with
//! several requests in flight, snapshots, clones of clones, resizing and flattening, compared with plain
//! arrays; and object maps, compared with the objects.
//!
//! `IO_MODEL_SEQUENCES` says how many sequences, `IO_MODEL_SEED` runs a single one and tells its steps
//! (with `-- --nocapture`).

mod admin;
mod beside;
mod cluster;
mod exec;
mod expect;
mod osd;
mod rng;
mod world;

use ceph_proto_host::io::step::State;
use std::{
    panic::{catch_unwind, resume_unwind},
    thread,
};
use world::{Counts, World};

/// Bytes that the model holds as one value.
pub const GRAIN: u64 = 128;

/// What is in so many bytes; 0 stands for zeroes.
pub type Grain = u32;

/// What nobody wrote and nobody may read.
pub const POISON: Grain = u32::MAX;

/// Sequences without a wish.
const SEQUENCES: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

fn sequence(seed: u64, verbose: bool) -> Counts {
    let result = catch_unwind(|| {
        let mut world = World::new(seed, verbose);
        world.run();
        world.counts
    });
    result.unwrap_or_else(|panic| {
        eprintln!("the sequence again: IO_MODEL_SEED={seed}");
        resume_unwind(panic)
    })
}

/// Runs sequences on all processors.
fn run(sequences: u64) -> Counts {
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let part = |first| (first..sequences).step_by(threads as usize);
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let run = |first| {
            scope.spawn(move || {
                let mut counts = Counts::default();
                part(first).for_each(|seed| counts.add(&sequence(seed, false)));
                counts
            })
        };
        let all: Vec<_> = (0..threads).map(run).collect();
        for one in all {
            let one = one.join().unwrap_or_else(|panic| resume_unwind(panic));
            counts.add(&one);
        }
    });
    counts
}

#[test]
fn random_sequences_read_as_plain_arrays() {
    if let Some(seed) = number("IO_MODEL_SEED") {
        sequence(seed, true);
        return;
    }
    let sequences = number("IO_MODEL_SEQUENCES").unwrap_or(SEQUENCES);
    let counts = run(sequences);
    println!(
        "requests: {:?} (read, write, discard, zero)\nin states: {:?}\nbegun again: {:?}",
        counts.done, counts.visited, counts.restarted
    );
    // A test that does not get everywhere tests less than it says.
    if sequences >= SEQUENCES {
        for state in State::Read as usize..=State::Done as usize {
            assert!(counts.visited[state] > 100, "too little of state {state}");
        }
        for state in State::Read as usize..State::PostMap as usize {
            assert!(counts.restarted[state] > 10, "none again from {state}");
        }
    }
}
