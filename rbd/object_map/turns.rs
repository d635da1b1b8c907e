// SPDX-License-Identifier: GPL-2.0-only

//! Turns at objects: who deletes an object does so while nobody else changes it.
//!
//! A deletion makes the object's entry `Pending`, deletes it, and makes the entry `Nonexistent` if it is
//! `Pending` still. A write that finds `Exists` has nothing to change in the map. So if both are under way
//! at once, the write may reach the object after the deletion, which then makes the entry `Nonexistent` all the
//! same: the map says that there is no object, and what was written is never read again. Hence a deletion
//! waits until those who write to the object have finished, and has the object for itself from before
//! it looks at the entry until its last update is done. Writes share an object.
//!
//! Who has to wait is served in the order of arrival, so none waits for ever. Objects share places in a
//! table of fixed size: now and then one waits for another object's sake, which does no harm, as
//! nobody waits while having a turn at something else.

use kernel::prelude::*;

/// Places in the table. Objects that are neighbours have different ones.
const SLOTS: usize = 256;
/// Room for those who wait is made for so many at first.
const ROOM_MIN: usize = 16;
/// In the table: somebody deletes. Otherwise it is how many write.
const DELETING: u32 = u32::MAX;

/// What a turn is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    slot: usize,
    deletes: bool,
}

impl Claim {
    /// A turn at `object`, to write to it or to delete it.
    pub fn new(object: u64, deletes: bool) -> Self {
        Self {
            // The remainder is less than `SLOTS`.
            slot: (object % SLOTS as u64) as usize,
            deletes,
        }
    }
}

/// One who waits for a turn.
struct Waiting<T> {
    claim: Claim,
    item: T,
}

/// Room for more who wait: what allocates is not done under the lock around [`Turns`].
pub struct Room<T>(KVec<Waiting<T>>);

impl<T> Room<T> {
    /// No room.
    pub fn none() -> Self {
        Self(KVec::new())
    }

    /// Room for `count`.
    pub fn new(count: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(count, GFP_KERNEL)?))
    }
}

/// Who has turns, and who waits for one. Nothing here allocates.
pub struct Turns<T> {
    slots: [u32; SLOTS],
    /// In order of arrival.
    waiting: KVec<Waiting<T>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            slots: [0; SLOTS],
            waiting: KVec::new(),
        }
    }
}

impl<T> Turns<T> {
    /// Takes a turn, if nobody is in the way and nobody waits for the place.
    pub fn take(&mut self, claim: Claim) -> bool {
        !self.waiting.iter().any(|w| w.claim.slot == claim.slot) && self.occupy(claim)
    }

    /// Has `item` wait for its turn, using the room in `spare` if there is none left. An error gives it
    /// back, with how much room is wanted.
    pub fn wait(&mut self, claim: Claim, item: T, spare: &mut Room<T>) -> Result<(), (T, usize)> {
        let count = self.waiting.len();
        if count == self.waiting.capacity() && spare.0.capacity() > count {
            core::mem::swap(&mut self.waiting, &mut spare.0);
            for w in spare.0.drain_all() {
                let end = self.waiting.len();
                // There is room, see above.
                let _ = self.waiting.insert_within_capacity(end, w);
            }
        }
        if count == self.waiting.capacity() {
            return Err((item, count.saturating_mul(2).max(ROOM_MIN)));
        }
        // There is room.
        let _ = self
            .waiting
            .insert_within_capacity(count, Waiting { claim, item });
        Ok(())
    }

    /// Gives back a turn that was taken. [`next`](Self::next) must be asked then, until it says `None`.
    pub fn give_back(&mut self, claim: Claim) {
        if let Some(slot) = self.slots.get_mut(claim.slot) {
            *slot = if claim.deletes {
                0
            } else {
                slot.saturating_sub(1)
            };
        }
    }

    /// One who waited for the place of `claim`, whose turn it is now, and has been taken.
    pub fn next(&mut self, claim: Claim) -> Option<(Claim, T)> {
        let first = self
            .waiting
            .iter()
            .position(|w| w.claim.slot == claim.slot)?;
        let claim = self.waiting.get(first)?.claim;
        if !self.occupy(claim) {
            return None;
        }
        let w = self.waiting.remove(first).ok()?;
        Some((w.claim, w.item))
    }

    fn occupy(&mut self, claim: Claim) -> bool {
        let Some(slot) = self.slots.get_mut(claim.slot) else {
            return false;
        };
        let after = match (*slot, claim.deletes) {
            (0, true) => DELETING,
            (_, true) | (DELETING, false) => return false,
            (count, false) => count.saturating_add(1),
        };
        // So many cannot write that their number would mean a deletion.
        if after == DELETING && !claim.deletes {
            return false;
        }
        *slot = after;
        true
    }
}
