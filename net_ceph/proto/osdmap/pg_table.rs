// SPDX-License-Identifier: GPL-2.0-only

//! A sorted table from PG to a short list of OSDs: `pg_temp`, `primary_temp`, and the upmaps.

use super::super::error::ProtoResult;
use super::super::table::{copy_of, offset};
use super::super::wire::Decoder;
use super::pg::PG_WIRE_LEN;
use super::PgId;
use crate::proto::sort::sort_by_key;
use kernel::prelude::*;

/// What a table's value is on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing: a set of PGs.
    Key,
    /// One OSD.
    One,
    /// `u32 count` and that many OSDs.
    List,
    /// `u32 count` and that many pairs of OSDs.
    Pairs,
}

impl Shape {
    /// The fewest bytes of an entry.
    const fn min_len(self) -> usize {
        match self {
            Self::Key => PG_WIRE_LEN,
            _ => PG_WIRE_LEN + 4,
        }
    }
}

#[derive(Clone, Copy)]
struct Entry {
    pg: PgId,
    /// Where the value starts in [`PgTable::values`].
    at: u32,
    len: u32,
}

/// A table; ascending by PG.
pub(super) struct PgTable {
    entries: KVVec<Entry>,
    values: KVVec<i32>,
}

impl PgTable {
    /// A table without entries.
    pub(super) const fn new() -> Self {
        Self {
            entries: KVVec::new(),
            values: KVVec::new(),
        }
    }

    /// Reads a table. May sleep.
    pub(super) fn decode(
        d: &mut Decoder<'_>,
        shape: Shape,
        step: &'static str,
    ) -> ProtoResult<Self> {
        let count = d.count(usize::MAX, shape.min_len(), step)?;
        let mut table = Self::new();
        table.entries.reserve(count, GFP_KERNEL)?;
        for _ in 0..count {
            let pg = PgId::decode(d, step)?;
            let len = match shape {
                Shape::Key => 0,
                Shape::One => 1,
                Shape::List => d.count(usize::MAX, 4, step)?,
                Shape::Pairs => d.count(usize::MAX / 2, 8, step)? * 2,
            };
            let entry = Entry {
                pg,
                at: offset(table.values.len(), step)?,
                len: offset(len, step)?,
            };
            table.values.reserve(len, GFP_KERNEL)?;
            for _ in 0..len {
                table.values.push(d.i32(step)?, GFP_KERNEL)?;
            }
            table.entries.push(entry, GFP_KERNEL)?;
        }
        // Daemons send it sorted.
        if !table.entries.is_sorted_by_key(|e| e.pg) {
            sort_by_key(&mut table.entries, |e| (e.pg, e.at));
        }
        Ok(table)
    }

    /// Copies the table. May sleep.
    pub(super) fn try_clone(&self) -> ProtoResult<Self> {
        Ok(Self {
            entries: copy_of(&self.entries)?,
            values: copy_of(&self.values)?,
        })
    }

    fn value(&self, e: &Entry) -> &[i32] {
        let at = e.at as usize;
        at.checked_add(e.len as usize)
            .and_then(|end| self.values.get(at..end))
            .unwrap_or(&[])
    }

    /// The value of a PG.
    pub(super) fn get(&self, pg: PgId) -> Option<&[i32]> {
        let i = self.entries.binary_search_by_key(&pg, |e| e.pg).ok()?;
        self.entries.get(i).map(|e| self.value(e))
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PgId, &[i32])> {
        self.entries.iter().map(|e| (e.pg, self.value(e)))
    }

    fn append(&mut self, pg: PgId, value: &[i32]) -> ProtoResult {
        let entry = Entry {
            pg,
            at: offset(self.values.len(), "osdmap: pg table")?,
            len: offset(value.len(), "osdmap: pg table")?,
        };
        self.values.extend_from_slice(value, GFP_KERNEL)?;
        Ok(self.entries.push(entry, GFP_KERNEL)?)
    }

    /// Replaces the entries of the PGs in `changes` by those there, or by nothing where `removes` says
    /// so of the new value. One pass over both. May sleep.
    pub(super) fn apply(
        &mut self,
        changes: &Self,
        removes: impl Fn(&[i32]) -> bool,
    ) -> ProtoResult {
        if changes.entries.is_empty() {
            return Ok(());
        }
        let mut merged = Self {
            entries: KVVec::with_capacity(self.entries.len(), GFP_KERNEL)?,
            values: KVVec::with_capacity(self.values.len(), GFP_KERNEL)?,
        };
        let mut old = self.iter().peekable();
        for (pg, value) in changes.iter() {
            while let Some((before, value)) = old.next_if(|(o, _)| *o < pg) {
                merged.append(before, value)?;
            }
            while old.next_if(|(o, _)| *o == pg).is_some() {}
            if !removes(value) {
                merged.append(pg, value)?;
            }
        }
        for (pg, value) in old {
            merged.append(pg, value)?;
        }
        *self = merged;
        Ok(())
    }
}
