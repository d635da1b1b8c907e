// SPDX-License-Identifier: GPL-2.0-only

//! CRUSH: the map of buckets, rules and devices, and the placement function over it.
//!
//! [`CrushMap`] is the decoded map in flat tables (a few allocations however large the cluster is, and a
//! clone that is a few copies). [`CrushMap::do_rule`] turns a placement seed into a list of devices. It
//! neither allocates nor sleeps, and its work is bounded whatever the map says.
//!
//! The algorithm is described in Weil et al., "CRUSH: Controlled, Scalable, Decentralized Placement of
//! Replicated Data" (2006), its encoding and its later bucket types and tunables in Ceph's
//! `src/crush/{CrushWrapper,mapper}.c*`.

mod bucket;
mod decode;
pub mod hash;
mod ln;
mod mapper;
mod names;

use super::error::ProtoResult;
use super::table::copy_of;
use kernel::prelude::*;
use names::Names;

pub use names::Localities;

/// A position of a result that holds no device (Ceph `CRUSH_ITEM_NONE`).
pub const ITEM_NONE: i32 = 0x7fff_ffff;

/// The most devices that one rule evaluation returns.
pub const MAX_RESULT: usize = 32;

/// The index of the weight sets that every pool without its own uses
/// (Ceph `CrushWrapper::DEFAULT_CHOOSE_ARGS`).
const DEFAULT_CHOOSE_ARGS: i64 = -1;

/// How a bucket picks one of its items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Algorithm {
    Uniform,
    List,
    Tree,
    Straw,
    Straw2,
}

/// An inner node of the hierarchy.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Negative; the bucket's place in the table is `-1 - id`.
    id: i32,
    /// What kind of node it is (host, rack, …); never 0, which is a device.
    kind: u16,
    algorithm: Algorithm,
    /// Number of items.
    size: u32,
    /// Where its items start in [`CrushMap::items`].
    items: u32,
    /// Where its words start in [`CrushMap::words`]: item weights (straw2), straw lengths (straw), item
    /// and prefix-sum weight pairs (list), node weights (tree).
    words: u32,
    /// How many words it has.
    word_count: u32,
}

/// One step of a rule.
#[derive(Clone, Copy, Debug)]
struct Step {
    op: u32,
    arg1: i32,
    arg2: i32,
}

/// A rule: a run of [`CrushMap::steps`].
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Replicated (1), erasure (3), or a multi-step-retry kind (4, 5).
    kind: u8,
    first: u32,
    count: u32,
}

/// Weights and ids that replace a straw2 bucket's own while it draws.
#[derive(Clone, Copy, Debug)]
struct ChooseArg {
    /// The bucket's place in the table.
    bucket: u32,
    /// Where the replacement ids start in [`CrushMap::arg_words`], if there are any.
    ids: Option<u32>,
    /// How many weight sets there are, one per result position; the last one serves all later positions.
    positions: u32,
    /// Where the first weight set starts in [`CrushMap::arg_words`].
    weights: u32,
}

/// A named group of [`ChooseArg`]s: a run of [`CrushMap::args`], ascending by bucket.
#[derive(Clone, Copy, Debug)]
struct ArgGroup {
    /// A pool id, or [`DEFAULT_CHOOSE_ARGS`].
    index: i64,
    first: u32,
    count: u32,
}

/// Knobs that changed meaning over the releases (Ceph "CRUSH tunables").
#[derive(Clone, Copy, Debug)]
struct Tunables {
    local_tries: u32,
    local_fallback_tries: u32,
    total_tries: u32,
    descend_once: u32,
    vary_r: u8,
    stable: u8,
}

impl Tunables {
    /// What a map that does not say means (the `legacy` profile).
    const LEGACY: Self = Self {
        local_tries: 2,
        local_fallback_tries: 5,
        total_tries: 19,
        descend_once: 0,
        vary_r: 0,
        stable: 0,
    };
}

/// A decoded CRUSH map.
pub struct CrushMap {
    max_devices: i32,
    tunables: Tunables,
    buckets: KVVec<Option<Bucket>>,
    items: KVVec<i32>,
    words: KVVec<u32>,
    rules: KVVec<Option<Rule>>,
    steps: KVVec<Step>,
    groups: KVVec<ArgGroup>,
    args: KVVec<ChooseArg>,
    arg_words: KVVec<u32>,
    type_names: Names,
    /// Without those of devices.
    bucket_names: Names,
}

impl CrushMap {
    /// Copies the map. May sleep.
    pub fn try_clone(&self) -> ProtoResult<Self> {
        Ok(Self {
            max_devices: self.max_devices,
            tunables: self.tunables,
            buckets: copy_of(&self.buckets)?,
            items: copy_of(&self.items)?,
            words: copy_of(&self.words)?,
            rules: copy_of(&self.rules)?,
            steps: copy_of(&self.steps)?,
            groups: copy_of(&self.groups)?,
            args: copy_of(&self.args)?,
            arg_words: copy_of(&self.arg_words)?,
            type_names: self.type_names.try_clone()?,
            bucket_names: self.bucket_names.try_clone()?,
        })
    }

    /// The bucket with the (negative) `id`.
    #[inline]
    fn bucket(&self, id: i32) -> Option<&Bucket> {
        let at = usize::try_from(-1i64 - i64::from(id)).ok()?;
        self.buckets.get(at)?.as_ref()
    }

    /// The steps of a rule.
    fn rule_steps(&self, rule: &Rule) -> &[Step] {
        run(&self.steps, rule.first, rule.count)
    }

    /// The replacement weights for a pool: its own, else the default ones, else none.
    fn args_for(&self, pool: i64) -> &[ChooseArg] {
        let group = |index| self.groups.iter().find(|g| g.index == index);
        match group(pool).or_else(|| group(DEFAULT_CHOOSE_ARGS)) {
            Some(g) => run(&self.args, g.first, g.count),
            None => &[],
        }
    }
}

/// The `count` entries of `table` from `first` on; empty if there are not that many.
#[inline]
fn run<T>(table: &[T], first: u32, count: u32) -> &[T] {
    let first = first as usize;
    first
        .checked_add(count as usize)
        .and_then(|end| table.get(first..end))
        .unwrap_or(&[])
}
