// SPDX-License-Identifier: GPL-2.0-only

//! Decoding of the binary CRUSH map (Ceph `src/crush/CrushWrapper.cc`, `CrushWrapper::decode`).
//!
//! The map has no version: newer fields follow older ones, and a map may end before any group of them.

use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::table::{offset, skip_each};
use super::super::wire::Decoder;
use super::names::Names;
use super::{Algorithm, ArgGroup, Bucket, ChooseArg, CrushMap, Rule, Step, Tunables};
use kernel::prelude::*;

/// First word of the map (Ceph `src/crush/crush.h`, `CRUSH_MAGIC`).
const MAGIC: u32 = 0x0001_0000;
/// The only hash function there is (Ceph `src/crush/hash.h`, `CRUSH_HASH_RJENKINS1`).
const HASH_RJENKINS1: u8 = 0;
/// More items than any map has; what is allocated is bounded by the bytes received.
const MAX_COUNT: usize = 1 << 28;
/// More buckets than any map has, with a shadow tree for each device class. One that is absent takes four bytes
/// of the map, and eight times that here.
const MAX_BUCKETS: usize = 1 << 20;
/// The most rules a map may have (Ceph `src/crush/crush.h`, `CRUSH_MAX_RULES`).
const MAX_RULES: usize = 1 << 8;

impl CrushMap {
    /// Decodes a map. Names of devices and rules, device classes and shadow-tree links are passed over. May sleep.
    pub fn decode(buf: &[u8]) -> ProtoResult<Self> {
        let d = &mut Decoder::new(buf);
        let magic = d.u32("crush: magic")?;
        if magic != MAGIC {
            return Err(ProtoError::value("crush: magic", magic.into()));
        }
        // Even an absent bucket or rule takes four bytes.
        let max_buckets = d.count(MAX_BUCKETS, 4, "crush: bucket count")?;
        let max_rules = d.count(MAX_RULES, 4, "crush: rule count")?;
        let max_devices = d.i32("crush: device count")?;

        let mut map = Self {
            max_devices,
            tunables: Tunables::LEGACY,
            buckets: KVVec::with_capacity(max_buckets, GFP_KERNEL)?,
            items: KVVec::new(),
            words: KVVec::new(),
            rules: KVVec::with_capacity(max_rules, GFP_KERNEL)?,
            steps: KVVec::new(),
            groups: KVVec::new(),
            args: KVVec::new(),
            arg_words: KVVec::new(),
            type_names: Names::default(),
            bucket_names: Names::default(),
        };
        for index in 0..max_buckets {
            map.decode_bucket(d, index)?;
        }
        for _ in 0..max_rules {
            map.decode_rule(d)?;
        }
        map.type_names = Names::decode(d, "crush: type names", |_| true)?;
        map.bucket_names = Names::decode(d, "crush: item names", |id| id < 0)?;
        skip_named(d, "crush: rule names")?;
        map.decode_tunables(d)?;
        if !d.is_empty() {
            skip_each(d, "crush: item classes", |d| d.skip(8, "crush: item class"))?;
            skip_named(d, "crush: class names")?;
            skip_each(d, "crush: class buckets", |d| {
                d.skip(4, "crush: class bucket")?;
                skip_each(d, "crush: class bucket", |d| {
                    d.skip(8, "crush: class bucket")
                })
            })?;
        }
        if !d.is_empty() {
            map.decode_choose_args(d)?;
        }
        // What may follow (tunables of multi-step-retry rules, and whatever comes) serves rules that
        // are refused when a pool uses them.
        Ok(map)
    }

    fn decode_bucket(&mut self, d: &mut Decoder<'_>, index: usize) -> ProtoResult {
        let code = d.u32("crush: bucket algorithm")?;
        if code == 0 {
            return Ok(self.buckets.push(None, GFP_KERNEL)?);
        }
        let id = d.i32("crush: bucket id")?;
        if i64::from(id) != -1 - index as i64 {
            return Err(ProtoError::value("crush: bucket id", id as u64));
        }
        let kind = d.u16("crush: bucket type")?;
        let code_again = d.u8("crush: bucket algorithm")?;
        if kind == 0 || u32::from(code_again) != code {
            return Err(ProtoError::value("crush: bucket type", kind.into()));
        }
        if d.u8("crush: bucket hash")? != HASH_RJENKINS1 {
            return Err(ProtoError::new("crush: bucket hash", Reason::Unsupported));
        }
        d.skip(4, "crush: bucket weight")?;
        let size = d.count(MAX_COUNT, 4, "crush: bucket size")?;
        let items = offset(self.items.len(), "crush: items")?;
        self.items.reserve(size, GFP_KERNEL)?;
        for _ in 0..size {
            self.items.push(d.i32("crush: item")?, GFP_KERNEL)?;
        }
        let words = offset(self.words.len(), "crush: weights")?;
        let algorithm = match code {
            1 => {
                // All items weigh the same, so the weight decides nothing.
                d.skip(4, "crush: uniform weight")?;
                Algorithm::Uniform
            }
            2 => {
                self.decode_words(d, size, 0..2)?;
                Algorithm::List
            }
            3 => {
                let nodes = d.u8("crush: tree nodes")?;
                for _ in 0..nodes {
                    self.words.push(d.u32("crush: tree node")?, GFP_KERNEL)?;
                }
                Algorithm::Tree
            }
            4 => {
                self.decode_words(d, size, 1..2)?;
                Algorithm::Straw
            }
            5 => {
                for _ in 0..size {
                    self.words.push(d.u32("crush: item weight")?, GFP_KERNEL)?;
                }
                Algorithm::Straw2
            }
            _ => {
                return Err(ProtoError::new(
                    "crush: bucket algorithm",
                    Reason::Unsupported,
                ))
            }
        };
        let word_count = offset(self.words.len(), "crush: weights")?.saturating_sub(words);
        let bucket = Bucket {
            id,
            kind,
            algorithm,
            size: offset(size, "crush: bucket size")?,
            items,
            words,
            word_count,
        };
        Ok(self.buckets.push(Some(bucket), GFP_KERNEL)?)
    }

    /// Reads a pair of words for each of `size` items and keeps those in `keep` of each pair.
    fn decode_words(
        &mut self,
        d: &mut Decoder<'_>,
        size: usize,
        keep: core::ops::Range<usize>,
    ) -> ProtoResult {
        for _ in 0..size {
            for place in 0..2 {
                let word = d.u32("crush: item weight")?;
                if keep.contains(&place) {
                    self.words.push(word, GFP_KERNEL)?;
                }
            }
        }
        Ok(())
    }

    fn decode_rule(&mut self, d: &mut Decoder<'_>) -> ProtoResult {
        if d.u32("crush: rule")? == 0 {
            return Ok(self.rules.push(None, GFP_KERNEL)?);
        }
        let len = d.u32("crush: rule length")?;
        // The other three bytes (rule set, smallest and largest size) have had no meaning since
        // Luminous, when the rule set became the rule's own number.
        let [_, kind, _, _] = d.array("crush: rule mask")?;
        let first = offset(self.steps.len(), "crush: rule steps")?;
        for _ in 0..len {
            let step = Step {
                op: d.u32("crush: rule step")?,
                arg1: d.i32("crush: rule step")?,
                arg2: d.i32("crush: rule step")?,
            };
            self.steps.push(step, GFP_KERNEL)?;
        }
        let rule = Rule {
            kind,
            first,
            count: len,
        };
        Ok(self.rules.push(Some(rule), GFP_KERNEL)?)
    }

    fn decode_tunables(&mut self, d: &mut Decoder<'_>) -> ProtoResult {
        let t = &mut self.tunables;
        if !d.is_empty() {
            t.local_tries = d.u32("crush: choose_local_tries")?;
            t.local_fallback_tries = d.u32("crush: choose_local_fallback_tries")?;
            t.total_tries = d.u32("crush: choose_total_tries")?;
        }
        if !d.is_empty() {
            t.descend_once = d.u32("crush: chooseleaf_descend_once")?;
        }
        if !d.is_empty() {
            t.vary_r = d.u8("crush: chooseleaf_vary_r")?;
        }
        // How straw lengths are computed and which algorithms may be used concerns who makes a map.
        if !d.is_empty() {
            d.skip(1, "crush: straw_calc_version")?;
        }
        if !d.is_empty() {
            d.skip(4, "crush: allowed_bucket_algs")?;
        }
        if !d.is_empty() {
            t.stable = d.u8("crush: chooseleaf_stable")?;
        }
        Ok(())
    }

    fn decode_choose_args(&mut self, d: &mut Decoder<'_>) -> ProtoResult {
        let groups = d.count(MAX_COUNT, 12, "crush: choose_args count")?;
        for _ in 0..groups {
            let index = d.i64("crush: choose_args index")?;
            let first = offset(self.args.len(), "crush: choose_args")?;
            let count = d.count(MAX_COUNT, 12, "crush: choose_args buckets")?;
            let mut previous = None;
            for _ in 0..count {
                let arg = self.decode_choose_arg(d)?;
                // They are looked up by bisection.
                if previous >= Some(arg.bucket) {
                    return Err(ProtoError::value(
                        "crush: choose_args bucket",
                        arg.bucket.into(),
                    ));
                }
                previous = Some(arg.bucket);
                self.args.push(arg, GFP_KERNEL)?;
            }
            let count = offset(count, "crush: choose_args")?;
            let group = ArgGroup {
                index,
                first,
                count,
            };
            self.groups.push(group, GFP_KERNEL)?;
        }
        Ok(())
    }

    fn decode_choose_arg(&mut self, d: &mut Decoder<'_>) -> ProtoResult<ChooseArg> {
        let bucket = d.u32("crush: choose_args bucket")?;
        let size = match self.buckets.get(bucket as usize) {
            Some(Some(b)) => b.size as usize,
            Some(None) => 0,
            None => {
                return Err(ProtoError::value(
                    "crush: choose_args bucket",
                    bucket.into(),
                ))
            }
        };
        let positions = d.count(MAX_COUNT, 4, "crush: weight sets")?;
        let weights = offset(self.arg_words.len(), "crush: weight set")?;
        for _ in 0..positions {
            self.decode_arg_words(d, size, "crush: weight set")?;
        }
        let at = offset(self.arg_words.len(), "crush: choose_args ids")?;
        let mut peek = *d;
        let ids = match peek.u32("crush: choose_args ids")? {
            0 => {
                *d = peek;
                None
            }
            _ => {
                self.decode_arg_words(d, size, "crush: choose_args ids")?;
                Some(at)
            }
        };
        Ok(ChooseArg {
            bucket,
            ids,
            positions: offset(positions, "crush: weight sets")?,
            weights,
        })
    }

    /// Reads a counted list of words that must have one for each of a bucket's items.
    fn decode_arg_words(
        &mut self,
        d: &mut Decoder<'_>,
        size: usize,
        step: &'static str,
    ) -> ProtoResult {
        let count = d.count(MAX_COUNT, 4, step)?;
        if count != size {
            return Err(ProtoError::value(step, count as u64));
        }
        self.arg_words.reserve(count, GFP_KERNEL)?;
        for _ in 0..count {
            self.arg_words.push(d.u32(step)?, GFP_KERNEL)?;
        }
        Ok(())
    }
}

/// Passes over a map from a 32-bit id to a name.
fn skip_named(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult {
    skip_each(d, step, |d| {
        d.skip(4, step)?;
        d.skip_blob(step)
    })
}
