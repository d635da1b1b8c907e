// SPDX-License-Identifier: GPL-2.0-only

//! Evaluation of a rule (Ceph `src/crush/mapper.c`, `crush_do_rule`).
//!
//! Every draw, and every retry, is paid for from a budget, so that a map with cycles, giant buckets or
//! absurd retry counts ends in an error and not in a long loop.

use super::super::error::{ProtoError, ProtoResult, Reason};
use super::hash::hash2;
use super::{Algorithm, Bucket, ChooseArg, CrushMap, Step, ITEM_NONE, MAX_RESULT};

/// What one evaluation may cost: one for each item looked at, a few tens of nanoseconds. A replicated pool
/// on a flat root of 10,000 devices costs some 30,000, and a rule that finds nothing in 50 descents
/// 1.5 million.
const BUDGET: u32 = 1 << 24;

/// What a step of a search costs beside the items looked at.
const STEP_COST: u32 = 16;

/// A place of an `indep` result that is still open (Ceph `CRUSH_ITEM_UNDEF`).
const OPEN: i32 = 0x7fff_fffe;

/// The weight of a device that is fully in, 16.16.
const FULLY_IN: u32 = 0x1_0000;

/// Kinds of rule that retry across several steps at once (Ceph `CRUSH_RULE_TYPE_MSR_*`).
const KIND_MSR: [u8; 2] = [4, 5];

/// Operations of rule steps (Ceph `src/crush/crush.h`, `crush_opcodes`).
mod op {
    pub(super) const NOOP: u32 = 0;
    pub(super) const TAKE: u32 = 1;
    pub(super) const CHOOSE_FIRSTN: u32 = 2;
    pub(super) const CHOOSE_INDEP: u32 = 3;
    pub(super) const EMIT: u32 = 4;
    pub(super) const CHOOSELEAF_FIRSTN: u32 = 6;
    pub(super) const CHOOSELEAF_INDEP: u32 = 7;
    pub(super) const SET_CHOOSE_TRIES: u32 = 8;
    pub(super) const SET_CHOOSELEAF_TRIES: u32 = 9;
    pub(super) const SET_CHOOSE_LOCAL_TRIES: u32 = 10;
    pub(super) const SET_CHOOSE_LOCAL_FALLBACK_TRIES: u32 = 11;
    pub(super) const SET_CHOOSELEAF_VARY_R: u32 = 12;
    pub(super) const SET_CHOOSELEAF_STABLE: u32 = 13;
}

/// A list of at most [`MAX_RESULT`] items.
#[derive(Clone, Copy)]
struct List {
    items: [i32; MAX_RESULT],
    len: usize,
}

impl List {
    const EMPTY: Self = Self {
        items: [ITEM_NONE; MAX_RESULT],
        len: 0,
    };

    fn as_slice(&self) -> &[i32] {
        self.items.get(..self.len).unwrap_or(&[])
    }

    /// Appends an item; one too many is dropped.
    fn push(&mut self, item: i32) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = item;
            self.len += 1;
        }
    }
}

/// The retry knobs in force at a step of a rule.
#[derive(Clone, Copy)]
struct Tries {
    choose: u32,
    /// 0 if the rule does not set it.
    leaf: u32,
    local: u32,
    local_fallback: u32,
    vary_r: u32,
    stable: bool,
}

/// What one choose step asks for.
#[derive(Clone, Copy)]
struct Choose {
    /// How many items.
    count: u32,
    /// Of which type.
    kind: i32,
    /// Whether to go on to a device under each.
    to_leaf: bool,
    /// Attempts at each item.
    tries: u32,
    /// Attempts at the device under it.
    leaf_tries: u32,
}

/// Where a draw led.
enum Draw<'m> {
    /// To a bucket of another type: draw again, there.
    Down(&'m Bucket),
    /// To an item of the wanted type.
    Found(i32),
    /// Nowhere: the bucket is empty, or its tables contradict its size.
    Empty,
    /// To something that can never become the wanted type.
    Dead,
}

/// An `indep` draw of one place.
enum Place {
    /// An item of the wanted type, and the attempt number that gave it.
    Found(i32, u32),
    /// Nothing this time.
    Retry,
    /// Nothing, ever.
    Dead,
}

struct Mapper<'m> {
    map: &'m CrushMap,
    x: u32,
    weights: &'m [u32],
    args: &'m [ChooseArg],
    tries: Tries,
    budget: u32,
}

impl CrushMap {
    /// Evaluates rule number `rule` for the seed `x` and fills `out` from its start with the devices, best
    /// first. Returns how many there are. With an `indep` rule a device may be [`ITEM_NONE`].
    ///
    /// `weights` gives each device its 16.16 probability of being accepted (`0x10000` is always); a device
    /// beyond it is out. `pool` selects replacement weights. An unknown rule gives no devices.
    ///
    /// Fails if `out` is longer than [`MAX_RESULT`], if the rule has steps that we do not know, or if the
    /// map makes the search explode. Does not sleep.
    pub fn do_rule(
        &self,
        rule: u32,
        x: u32,
        weights: &[u32],
        pool: i64,
        out: &mut [i32],
    ) -> ProtoResult<usize> {
        if out.len() > MAX_RESULT {
            let (len, max) = (out.len() as u64, MAX_RESULT as u64);
            return Err(ProtoError::new(
                "crush: result size",
                Reason::TooLong { len, max },
            ));
        }
        let Some(Some(rule)) = self.rules.get(rule as usize) else {
            return Ok(0);
        };
        if KIND_MSR.contains(&rule.kind) {
            return Err(ProtoError::new(
                "crush: multi-step-retry rule",
                Reason::Unsupported,
            ));
        }
        let t = &self.tunables;
        let mut mapper = Mapper {
            map: self,
            x,
            weights,
            args: self.args_for(pool),
            tries: Tries {
                // The tunable counts retries after the first try.
                choose: t.total_tries.saturating_add(1),
                leaf: 0,
                local: t.local_tries,
                local_fallback: t.local_fallback_tries,
                vary_r: t.vary_r.into(),
                stable: t.stable != 0,
            },
            budget: BUDGET,
        };
        mapper.run(self.rule_steps(rule), out)
    }

    /// The type of an item: 0 for a device, that of the bucket otherwise. `None` if it does not exist.
    fn kind_of(&self, item: i32) -> Option<i32> {
        if item >= 0 {
            (item < self.max_devices).then_some(0)
        } else {
            self.bucket(item).map(|b| b.kind.into())
        }
    }
}

impl<'m> Mapper<'m> {
    fn run(&mut self, steps: &[Step], out: &mut [i32]) -> ProtoResult<usize> {
        let mut work = List::EMPTY;
        let mut done = 0;
        for step in steps {
            match step.op {
                op::NOOP => {}
                op::TAKE => {
                    if self.map.kind_of(step.arg1).is_some() {
                        work = List::EMPTY;
                        work.push(step.arg1);
                    }
                }
                op::CHOOSE_FIRSTN | op::CHOOSELEAF_FIRSTN => {
                    let leaf_tries = match self.tries.leaf {
                        0 if self.map.tunables.descend_once != 0 => 1,
                        0 => self.tries.choose,
                        n => n,
                    };
                    let what = self.choose(step, leaf_tries, out.len());
                    work = self.choose_firstn(&work, &what, out.len())?;
                }
                op::CHOOSE_INDEP | op::CHOOSELEAF_INDEP => {
                    let what = self.choose(step, self.tries.leaf.max(1), out.len());
                    work = self.choose_indep(&work, &what, out.len())?;
                }
                op::EMIT => {
                    for (slot, &item) in out.iter_mut().skip(done).zip(work.as_slice()) {
                        *slot = item;
                        done += 1;
                    }
                    work = List::EMPTY;
                }
                _ => self.set_tries(step)?,
            }
        }
        Ok(done)
    }

    /// A step that overrides a tunable for the rest of the rule.
    fn set_tries(&mut self, step: &Step) -> ProtoResult {
        let t = &mut self.tries;
        let (value, positive) = match u32::try_from(step.arg1) {
            Ok(v) => (v, v > 0),
            // A negative value leaves the tunable as it is.
            Err(_) => return Ok(()),
        };
        match step.op {
            op::SET_CHOOSE_TRIES if positive => t.choose = value,
            op::SET_CHOOSELEAF_TRIES if positive => t.leaf = value,
            op::SET_CHOOSE_TRIES | op::SET_CHOOSELEAF_TRIES => {}
            op::SET_CHOOSE_LOCAL_TRIES => t.local = value,
            op::SET_CHOOSE_LOCAL_FALLBACK_TRIES => t.local_fallback = value,
            op::SET_CHOOSELEAF_VARY_R => t.vary_r = value,
            op::SET_CHOOSELEAF_STABLE => t.stable = value != 0,
            _ => return Err(ProtoError::new("crush: rule step", Reason::Unsupported)),
        }
        Ok(())
    }

    /// What a choose step asks for. The number of items it wants is relative to the result's size if it is
    /// zero or less.
    fn choose(&self, step: &Step, leaf_tries: u32, result_max: usize) -> Choose {
        let relative = if step.arg1 > 0 { 0 } else { result_max as i64 };
        Choose {
            count: u32::try_from(relative + i64::from(step.arg1)).unwrap_or(0),
            kind: step.arg2,
            to_leaf: matches!(step.op, op::CHOOSELEAF_FIRSTN | op::CHOOSELEAF_INDEP),
            tries: self.tries.choose,
            leaf_tries,
        }
    }

    /// A depth-first step: as many items under each of `from` as there are, in order, without holes.
    fn choose_firstn(
        &mut self,
        from: &List,
        what: &Choose,
        result_max: usize,
    ) -> ProtoResult<List> {
        let mut result = List::EMPTY;
        for &id in from.as_slice() {
            // What is not a bucket (a hole, a device) has nothing under it.
            let Some(root) = self.map.bucket(id) else {
                continue;
            };
            let (mut chosen, mut leaves) = (List::EMPTY, List::EMPTY);
            let mut rep = 0;
            while rep < what.count && result.len + chosen.len < result_max {
                if let Some((item, leaf)) = self.firstn_one(root, what, rep, &chosen, &leaves)? {
                    chosen.push(item);
                    leaves.push(leaf);
                }
                rep += 1;
                self.pay(0)?;
            }
            let found = if what.to_leaf { &leaves } else { &chosen };
            for &item in found.as_slice() {
                result.push(item);
            }
        }
        Ok(result)
    }

    /// Looks for one more item under `root` that is not yet among `chosen`, and for a device under it
    /// that is not yet among `leaves`, if the step goes to leaves.
    fn firstn_one(
        &mut self,
        root: &'m Bucket,
        what: &Choose,
        rep: u32,
        chosen: &List,
        leaves: &List,
    ) -> ProtoResult<Option<(i32, i32)>> {
        let (map, t) = (self.map, self.tries);
        let position = chosen.len;
        self.firstn_search(root, what.kind, what.tries, rep, chosen, |m, item, r| {
            if item >= 0 || !what.to_leaf {
                let out = item >= 0 && m.is_out(item);
                return Ok((!out).then_some(item));
            }
            let Some(under) = map.bucket(item) else {
                return Ok(None);
            };
            // The device's own attempt numbers start where the tunables say.
            let parent_r = match t.vary_r.checked_sub(1) {
                Some(shift) => r.checked_shr(shift).unwrap_or(0),
                None => 0,
            };
            let rep = if t.stable { 0 } else { position as u32 };
            let rep = rep.wrapping_add(parent_r);
            m.firstn_search(under, 0, what.leaf_tries, rep, leaves, |m, device, _| {
                Ok((!m.is_out(device)).then_some(device))
            })
            .map(|found| found.map(|(_, device)| device))
        })
    }

    /// Descends from `root` until an item of type `kind` is met that is not among `chosen` and that
    /// `accept` turns into something; gives up after `tries` descents. `base` is the attempt number
    /// that the first draw uses.
    fn firstn_search(
        &mut self,
        root: &'m Bucket,
        kind: i32,
        tries: u32,
        base: u32,
        chosen: &List,
        mut accept: impl FnMut(&mut Self, i32, u32) -> ProtoResult<Option<i32>>,
    ) -> ProtoResult<Option<(i32, i32)>> {
        let t = self.tries;
        let mut failures = 0u32;
        'descent: loop {
            let mut here = root;
            let mut local_failures = 0u32;
            loop {
                let r = base.wrapping_add(failures);
                let shuffle = t.local_fallback > 0
                    && local_failures >= here.size >> 1
                    && local_failures > t.local_fallback;
                let mut collides = false;
                match self.draw(here, r, kind, chosen.len, shuffle)? {
                    Draw::Down(next) => {
                        here = next;
                        continue;
                    }
                    Draw::Dead => return Ok(None),
                    Draw::Empty => {}
                    Draw::Found(item) if chosen.as_slice().contains(&item) => collides = true,
                    Draw::Found(item) => {
                        if let Some(made) = accept(self, item, r)? {
                            return Ok(Some((item, made)));
                        }
                    }
                }
                failures = failures.saturating_add(1);
                local_failures = local_failures.saturating_add(1);
                let again_here = (collides && local_failures <= t.local)
                    || (t.local_fallback > 0
                        && local_failures <= here.size.saturating_add(t.local_fallback));
                if again_here {
                    continue;
                }
                if failures < tries {
                    continue 'descent;
                }
                return Ok(None);
            }
        }
    }

    /// A breadth-first step: each place of the result is drawn for itself and keeps its item whatever
    /// happens to the others; a place for which nothing is found is a hole.
    fn choose_indep(&mut self, from: &List, what: &Choose, result_max: usize) -> ProtoResult<List> {
        let mut result = List::EMPTY;
        for &id in from.as_slice() {
            let Some(root) = self.map.bucket(id) else {
                continue;
            };
            let room = result_max.saturating_sub(result.len);
            let places = room.min(what.count as usize);
            let mut chosen = [OPEN; MAX_RESULT];
            let mut leaves = [OPEN; MAX_RESULT];
            let (Some(chosen), Some(leaves)) = (chosen.get_mut(..places), leaves.get_mut(..places))
            else {
                continue;
            };
            self.indep_fill(root, what, chosen, leaves)?;
            let found = if what.to_leaf { leaves } else { chosen };
            for &item in found.iter() {
                result.push(if item == OPEN { ITEM_NONE } else { item });
            }
        }
        Ok(result)
    }

    /// Fills the open places of `chosen`, and of `leaves` beside it if the step goes to leaves.
    fn indep_fill(
        &mut self,
        root: &'m Bucket,
        what: &Choose,
        chosen: &mut [i32],
        leaves: &mut [i32],
    ) -> ProtoResult {
        for round in 0..what.tries {
            if !chosen.contains(&OPEN) {
                break;
            }
            self.pay(0)?;
            for place in 0..chosen.len() {
                if chosen.get(place) != Some(&OPEN) {
                    continue;
                }
                let rep = place as u32;
                let drawn = self.indep_draw(root, what.kind, rep, what.count, round, 0)?;
                let (item, leaf) = match drawn {
                    Place::Retry => continue,
                    Place::Dead => (Some(ITEM_NONE), ITEM_NONE),
                    Place::Found(item, _) if chosen.contains(&item) => continue,
                    Place::Found(item, r) => match self.indep_accept(what, item, place, r)? {
                        Some(leaf) => (Some(item), leaf),
                        // All of Ceph keeps a rejected device here: it is the answer if no later
                        // round finds a better one.
                        None if item >= 0 => (None, item),
                        None => continue,
                    },
                };
                if let Some(slot) = leaves.get_mut(place) {
                    *slot = leaf;
                }
                if let (Some(slot), Some(item)) = (chosen.get_mut(place), item) {
                    *slot = item;
                }
            }
        }
        Ok(())
    }

    /// The device for an item of an `indep` result (the item itself if the step does not go to leaves),
    /// or `None` if the item must be rejected.
    fn indep_accept(
        &mut self,
        what: &Choose,
        item: i32,
        place: usize,
        parent_r: u32,
    ) -> ProtoResult<Option<i32>> {
        if item >= 0 || !what.to_leaf {
            let out = item >= 0 && self.is_out(item);
            return Ok((!out).then_some(item));
        }
        let Some(under) = self.map.bucket(item) else {
            return Ok(None);
        };
        let rep = (place as u32).wrapping_add(parent_r);
        for round in 0..what.leaf_tries {
            self.pay(0)?;
            match self.indep_draw(under, 0, rep, what.count, round, place)? {
                Place::Found(device, _) if !self.is_out(device) => return Ok(Some(device)),
                Place::Found(..) | Place::Retry => {}
                Place::Dead => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Descends from `root` to an item of type `kind`. Each round gives every place new attempt numbers.
    fn indep_draw(
        &mut self,
        root: &'m Bucket,
        kind: i32,
        rep: u32,
        count: u32,
        round: u32,
        position: usize,
    ) -> ProtoResult<Place> {
        let mut here = root;
        loop {
            // In a uniform bucket whose size is a multiple of the count, attempts `count` apart would
            // meet the same items again and again.
            let aligned =
                here.algorithm == Algorithm::Uniform && here.size.checked_rem(count) == Some(0);
            let stride = count.wrapping_add(aligned.into());
            let r = rep.wrapping_add(stride.wrapping_mul(round));
            match self.draw(here, r, kind, position, false)? {
                Draw::Down(next) => here = next,
                Draw::Found(item) => return Ok(Place::Found(item, r)),
                Draw::Empty => return Ok(Place::Retry),
                Draw::Dead => return Ok(Place::Dead),
            }
        }
    }

    /// Draws from a bucket, by its algorithm or, as a last resort, from a shuffle of it.
    fn draw(
        &mut self,
        b: &Bucket,
        r: u32,
        kind: i32,
        position: usize,
        shuffle: bool,
    ) -> ProtoResult<Draw<'m>> {
        if b.size == 0 {
            self.pay(0)?;
            return Ok(Draw::Empty);
        }
        let shuffle = shuffle || b.algorithm == Algorithm::Uniform;
        let cost = if shuffle {
            r.checked_rem(b.size).unwrap_or(0).saturating_add(1)
        } else {
            b.size
        };
        self.pay(cost)?;
        let item = if shuffle {
            self.map.draw_permuted(b, self.x, r)
        } else {
            self.map.draw(b, self.x, r, self.args, position)
        };
        let Some(item) = item else {
            return Ok(Draw::Empty);
        };
        Ok(match self.map.kind_of(item) {
            Some(found) if found == kind => Draw::Found(item),
            _ => self.map.bucket(item).map_or(Draw::Dead, Draw::Down),
        })
    }

    /// Whether a device is rejected: always at weight 0, never at full weight, and in between by a
    /// hash, so that a reweighted device keeps the same part of its data for every seed.
    fn is_out(&self, device: i32) -> bool {
        let weight = usize::try_from(device)
            .ok()
            .and_then(|i| self.weights.get(i))
            .copied()
            .unwrap_or(0);
        weight < FULLY_IN && (hash2(self.x, device as u32) & 0xffff) >= weight
    }

    /// Pays for a step that looks at `cost` items.
    fn pay(&mut self, cost: u32) -> ProtoResult {
        match self.budget.checked_sub(cost.saturating_add(STEP_COST)) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(ProtoError::new(
                "crush: search of a malformed map",
                Reason::TooLong {
                    len: u64::from(BUDGET) + 1,
                    max: BUDGET.into(),
                },
            )),
        }
    }
}
