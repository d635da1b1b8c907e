// SPDX-License-Identifier: GPL-2.0-only

//! How a bucket of each kind draws one of its items (Ceph `src/crush/mapper.c`, `bucket_*_choose`).
//!
//! A draw is a pure function of the bucket, the seed `x` and the attempt `r`. Weights are 16.16 fixed
//! point.

use super::hash::{hash3, hash4};
use super::ln::log2_fixed;
use super::{run, Algorithm, Bucket, ChooseArg, CrushMap};

/// `2^48`: what [`log2_fixed`] gives for the largest draw, so that the difference is at most zero.
const LN_ONE: i64 = 1 << 48;

impl CrushMap {
    /// The items of a bucket.
    #[inline]
    pub(super) fn items_of(&self, b: &Bucket) -> &[i32] {
        run(&self.items, b.items, b.size)
    }

    fn words_of(&self, b: &Bucket) -> &[u32] {
        run(&self.words, b.words, b.word_count)
    }

    /// Draws an item. `position` is the place in the result, which selects the weight set of `args`.
    /// `None` if the bucket is empty or its tables do not fit its size.
    pub(super) fn draw(
        &self,
        b: &Bucket,
        x: u32,
        r: u32,
        args: &[ChooseArg],
        position: usize,
    ) -> Option<i32> {
        match b.algorithm {
            Algorithm::Uniform => self.draw_permuted(b, x, r),
            Algorithm::List => self.draw_list(b, x, r),
            Algorithm::Tree => self.draw_tree(b, x, r),
            Algorithm::Straw => self.draw_straw(b, x, r),
            Algorithm::Straw2 => self.draw_straw2(b, x, r, args, position),
        }
    }

    /// The item at place `r` of a pseudo-random permutation of the bucket.
    ///
    /// The permutation is a Fisher-Yates shuffle whose step `p` exchanges places `p` and
    /// `p + hash(x, id, p) % (size - p)`. Only one place is wanted, so instead of shuffling an array its
    /// content is traced backwards through the exchanges: no memory, and as many hashes as `r`.
    pub(super) fn draw_permuted(&self, b: &Bucket, x: u32, r: u32) -> Option<i32> {
        let place = r.checked_rem(b.size)?;
        let partner = |p: u32| {
            let left = b.size.checked_sub(p)?;
            let i = hash3(x, b.id as u32, p).checked_rem(left)?;
            p.checked_add(i)
        };
        // Step `place` is the last that touches this place; the final place is never exchanged.
        let mut at = partner(place)?;
        for p in (0..place).rev() {
            if partner(p)? == at {
                at = p;
            }
        }
        self.items_of(b).get(at as usize).copied()
    }

    /// From the newest item to the oldest: stop at an item with the probability of its share of all
    /// that were there when it was added.
    fn draw_list(&self, b: &Bucket, x: u32, r: u32) -> Option<i32> {
        let items = self.items_of(b);
        for (&item, pair) in items.iter().zip(self.words_of(b).chunks_exact(2)).rev() {
            let &[weight, sum] = pair else { continue };
            let draw = u64::from(hash4(x, item as u32, r, b.id as u32) & 0xffff);
            if (draw * u64::from(sum)) >> 16 < u64::from(weight) {
                return Some(item);
            }
        }
        items.first().copied()
    }

    /// Down a binary tree whose leaves are the odd nodes, weighted by subtree.
    fn draw_tree(&self, b: &Bucket, x: u32, r: u32) -> Option<i32> {
        let nodes = self.words_of(b);
        let mut n = nodes.len() >> 1;
        while n & 1 == 0 {
            if n == 0 {
                return None;
            }
            // The lowest set bit of a node is its height; its children lie half of that away.
            let reach = (n & n.wrapping_neg()) >> 1;
            let weight = u64::from(*nodes.get(n)?);
            let draw = (u64::from(hash4(x, n as u32, r, b.id as u32)) * weight) >> 32;
            let left = n.checked_sub(reach)?;
            n = if draw < u64::from(*nodes.get(left)?) {
                left
            } else {
                n.checked_add(reach)?
            };
        }
        self.items_of(b).get(n >> 1).copied()
    }

    /// Every item draws a straw of random length, scaled by its own; the first of the longest wins.
    fn draw_straw(&self, b: &Bucket, x: u32, r: u32) -> Option<i32> {
        let mut best: Option<(u64, i32)> = None;
        for (&item, &straw) in self.items_of(b).iter().zip(self.words_of(b)) {
            let draw = u64::from(hash3(x, item as u32, r) & 0xffff) * u64::from(straw);
            if best.is_none_or(|(high, _)| draw > high) {
                best = Some((draw, item));
            }
        }
        best.map(|(_, item)| item)
    }

    /// As straw, with exponentially distributed draws: changing one weight moves no data between the
    /// other items.
    fn draw_straw2(
        &self,
        b: &Bucket,
        x: u32,
        r: u32,
        args: &[ChooseArg],
        position: usize,
    ) -> Option<i32> {
        let items = self.items_of(b);
        let (mut ids, mut weights) = (None, self.words_of(b));
        let place = u32::try_from(-1i64 - i64::from(b.id)).ok()?;
        if let Ok(i) = args.binary_search_by_key(&place, |a| a.bucket) {
            let arg = args.get(i)?;
            ids = arg.ids.map(|at| run(&self.arg_words, at, b.size));
            if let Some(last) = arg.positions.checked_sub(1) {
                let set = u32::try_from(position).unwrap_or(last).min(last);
                let at = arg.weights.checked_add(set.checked_mul(b.size)?)?;
                weights = run(&self.arg_words, at, b.size);
            }
        }
        let mut best: Option<(i64, i32)> = None;
        for (i, (&item, &weight)) in items.iter().zip(weights).enumerate() {
            let id = match ids {
                Some(ids) => *ids.get(i)?,
                None => item as u32,
            };
            let draw = if weight == 0 {
                i64::MIN
            } else {
                let u = (hash3(x, id, r) & 0xffff) as u16;
                (log2_fixed(u) as i64 - LN_ONE) / i64::from(weight)
            };
            if best.is_none_or(|(high, _)| draw > high) {
                best = Some((draw, item));
            }
        }
        best.map(|(_, item)| item)
    }
}
