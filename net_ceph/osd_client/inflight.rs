// SPDX-License-Identifier: GPL-2.0-only

//! What was sent and is not answered yet, found by transaction id: a hash table with linear probing
//! that allocates only in [`Table::reserve`].

use kernel::prelude::*;

/// Slots of the first allocation.
const FIRST: usize = 16;

/// Values by transaction id. At most half of the slots are in use, so probes are short and end.
pub(super) struct Table<T> {
    /// None, or a power of two.
    slots: KVVec<Option<(u64, T)>>,
    len: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            slots: KVVec::new(),
            len: 0,
        }
    }
}

impl<T> Table<T> {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// Where the search for `tid` begins: bits of its product with 2^64 over the golden ratio.
    fn home(&self, tid: u64) -> usize {
        (tid.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask()
    }

    fn next(&self, i: usize) -> usize {
        i.wrapping_add(1) & self.mask()
    }

    fn key(&self, i: usize) -> Option<u64> {
        self.slots.get(i)?.as_ref().map(|(tid, _)| *tid)
    }

    fn find(&self, tid: u64) -> Option<usize> {
        let mut i = self.home(tid);
        while let Some(key) = self.key(i) {
            if key == tid {
                return Some(i);
            }
            i = self.next(i);
        }
        None
    }

    /// Makes room for one more. Allocates.
    pub(super) fn reserve(&mut self) -> Result {
        let need = self.len.saturating_add(1).saturating_mul(2);
        if need <= self.slots.len() {
            return Ok(());
        }
        self.grow()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result {
        let size = self.slots.len().saturating_mul(2).max(FIRST);
        let mut slots = KVVec::with_capacity(size, GFP_KERNEL)?;
        for _ in 0..size {
            slots.push(None, GFP_KERNEL)?;
        }
        let old = core::mem::replace(&mut self.slots, slots);
        self.len = 0;
        for (tid, value) in old.into_iter().flatten() {
            self.insert(tid, value);
        }
        Ok(())
    }

    /// Adds a value, for which [`reserve`](Self::reserve) made room; gives it back if it did not.
    pub(super) fn insert(&mut self, tid: u64, value: T) -> Option<T> {
        if self.len.saturating_add(1).saturating_mul(2) > self.slots.len() {
            return Some(value);
        }
        let mut i = self.home(tid);
        while self.key(i).is_some() {
            i = self.next(i);
        }
        match self.slots.get_mut(i) {
            Some(slot) => {
                *slot = Some((tid, value));
                self.len += 1;
                None
            }
            None => Some(value),
        }
    }

    /// The value of `tid`.
    pub(super) fn get(&self, tid: u64) -> Option<&T> {
        let slot = self.slots.get(self.find(tid)?)?;
        slot.as_ref().map(|(_, value)| value)
    }

    /// Takes the value of `tid` out.
    pub(super) fn remove(&mut self, tid: u64) -> Option<T> {
        let at = self.find(tid)?;
        self.remove_at(at).map(|(_, value)| value)
    }

    /// Empties a slot, and moves back what its being in use had pushed on.
    fn remove_at(&mut self, at: usize) -> Option<(u64, T)> {
        let taken = self.slots.get_mut(at)?.take()?;
        self.len -= 1;
        let mut hole = at;
        let mut i = self.next(at);
        while let Some(tid) = self.key(i) {
            let pushed_by = i.wrapping_sub(self.home(tid)) & self.mask();
            if pushed_by >= i.wrapping_sub(hole) & self.mask() {
                let moved = self.slots.get_mut(i).and_then(Option::take);
                if let Some(slot) = self.slots.get_mut(hole) {
                    *slot = moved;
                }
                hole = i;
            }
            i = self.next(i);
        }
        Some(taken)
    }

    /// Takes out the next value that `which` picks; `cursor` begins at 0 and is where to go on.
    pub(super) fn take_next(
        &mut self,
        cursor: &mut usize,
        mut which: impl FnMut(u64, &T) -> bool,
    ) -> Option<(u64, T)> {
        while let Some(slot) = self.slots.get(*cursor) {
            if slot.as_ref().is_some_and(|(tid, value)| which(*tid, value)) {
                // The slot may be filled again, so the cursor stays.
                return self.remove_at(*cursor);
            }
            *cursor += 1;
        }
        None
    }

    /// All values, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots
            .iter()
            .flatten()
            .map(|(tid, value)| (*tid, value))
    }
}
