// SPDX-License-Identifier: GPL-2.0-only

//! A queue of transaction ids that allocates only in [`Ring::reserve`].

use crate::proto::sort::sort;
use kernel::prelude::*;

/// Entries of the first allocation.
const FIRST: usize = 16;

/// First in, first out.
#[derive(Default)]
pub(super) struct Ring {
    slots: KVVec<u64>,
    head: usize,
    len: usize,
}

impl Ring {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes room for `capacity` in all. Allocates.
    pub(super) fn reserve(&mut self, capacity: usize) -> Result {
        if capacity <= self.slots.len() {
            return Ok(());
        }
        self.grow(capacity)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, capacity: usize) -> Result {
        let size = self.slots.len().saturating_mul(2).max(FIRST).max(capacity);
        let mut slots = KVVec::from_elem(0, size, GFP_KERNEL)?;
        let count = self.len;
        for slot in slots.iter_mut().take(count) {
            *slot = self.pop().unwrap_or_default();
        }
        *self = Self {
            slots,
            head: 0,
            len: count,
        };
        Ok(())
    }

    /// Appends; `false` if there is no room.
    pub(super) fn push(&mut self, tid: u64) -> bool {
        if self.len >= self.slots.len() {
            return false;
        }
        let at = self.wrap(self.head.wrapping_add(self.len));
        match self.slots.get_mut(at) {
            Some(slot) => {
                *slot = tid;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// Takes the first.
    pub(super) fn pop(&mut self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let tid = self.slots.get(self.head).copied();
        self.head = self.wrap(self.head.wrapping_add(1));
        self.len -= 1;
        tid
    }

    /// An index that went beyond the end by less than a turn.
    fn wrap(&self, at: usize) -> usize {
        if at >= self.slots.len() {
            at.wrapping_sub(self.slots.len())
        } else {
            at
        }
    }

    /// Puts `tids`, in ascending order, in place of all there is. Those beyond the capacity are lost.
    pub(super) fn refill(&mut self, tids: impl Iterator<Item = u64>) {
        self.head = 0;
        self.len = 0;
        for tid in tids {
            self.push(tid);
        }
        if let Some(used) = self.slots.get_mut(..self.len) {
            sort(used);
        }
    }
}
