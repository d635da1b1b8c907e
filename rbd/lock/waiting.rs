// SPDX-License-Identifier: GPL-2.0-only

//! I/O that waits for the lock, in order of arrival.
//!
//! Pure: the host tests compile this file too. Room is made once, for as much as there can be, so
//! that nothing is allocated on the way of I/O.

use kernel::prelude::*;

/// A queue of bounded length, which remembers when each arrived.
pub struct Waiting<T> {
    // A ring.
    slots: KVVec<Option<(T, u64)>>,
    first: usize,
    count: usize,
    refusing: bool,
}

impl<T> Waiting<T> {
    /// Room for `capacity` of them. Allocates.
    pub fn new(capacity: usize) -> Result<Self> {
        let mut slots = KVVec::with_capacity(capacity, GFP_KERNEL)?;
        for _ in 0..capacity {
            slots.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            slots,
            first: 0,
            count: 0,
            refusing: false,
        })
    }

    /// How many there is room for.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes none any more.
    pub fn refuse(&mut self) {
        self.refusing = true;
    }

    /// Appends `item`, which arrived at `now`. Says whether it is the only one. Hands it back if it is
    /// not to wait, or there is no room.
    pub fn push(&mut self, item: T, now: u64) -> Result<bool, T> {
        let last = self.first.wrapping_add(self.count);
        let slot = last.checked_rem(self.slots.len()).unwrap_or(0);
        match self.slots.get_mut(slot) {
            Some(slot) if slot.is_none() && !self.refusing => *slot = Some((item, now)),
            _ => return Err(item),
        }
        self.count = self.count.saturating_add(1);
        Ok(self.count == 1)
    }

    /// When the first arrived.
    pub fn oldest(&self) -> Option<u64> {
        let (_, arrived) = self.slots.get(self.first)?.as_ref()?;
        Some(*arrived)
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<T> {
        let (item, _) = self.slots.get_mut(self.first)?.take()?;
        self.first = self.first.wrapping_add(1);
        if self.first >= self.slots.len() {
            self.first = 0;
        }
        self.count = self.count.saturating_sub(1);
        Some(item)
    }
}
