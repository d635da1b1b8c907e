// SPDX-License-Identifier: GPL-2.0-only

//! Sorting in place, without a panic in it.
//!
//! `core`'s sorts panic when an order contradicts itself, from a function of which objtool does not know
//! that it never returns. A heap sort ends for any order, and needs no memory.

/// Sorts by a key. Not stable; at most about 2 n log n comparisons.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let len = items.len();
    for root in (0..len / 2).rev() {
        sift_down(items, root, len, &key);
    }
    for end in (1..len).rev() {
        items.swap(0, end);
        sift_down(items, 0, end, &key);
    }
}

/// Sorts by the items' own order.
pub fn sort<T: Ord + Copy>(items: &mut [T]) {
    sort_by_key(items, |item| *item);
}

/// Moves the item at `root` down to where no child, of those below `end`, is greater.
fn sift_down<T, K: Ord>(items: &mut [T], mut root: usize, end: usize, key: &impl Fn(&T) -> K) {
    let Some(heap) = items.get_mut(..end) else {
        return;
    };
    loop {
        let left = root.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let child = match (heap.get(left), heap.get(right)) {
            (Some(l), Some(r)) if key(l) < key(r) => right,
            (Some(_), _) => left,
            (None, _) => return,
        };
        match (heap.get(root), heap.get(child)) {
            (Some(parent), Some(greatest)) if key(parent) < key(greatest) => {}
            _ => return,
        }
        heap.swap(root, child);
        root = child;
    }
}
