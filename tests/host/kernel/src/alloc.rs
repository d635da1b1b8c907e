// SPDX-License-Identifier: GPL-2.0-only

//! Fallible `KVec` and `KBox` with the kernel's signatures.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use std::cell::Cell;

/// An allocation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocError;

/// Allocation flags; meaningless here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u32);

pub mod flags {
    //! Flag names.
    use super::Flags;
    /// May sleep.
    pub const GFP_KERNEL: Flags = Flags(1);
    /// May not sleep.
    pub const GFP_ATOMIC: Flags = Flags(2);
    /// May not reclaim.
    pub const GFP_NOWAIT: Flags = Flags(3);
}

/// What was asked for since [`take_asked`] looked last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// Bytes in all, whether they were given back or not.
    pub total: u64,
    /// Bytes of the largest `KVec` or `KBox`. The kernel warns of those that no slab can have.
    pub largest_kmalloc: u64,
}

thread_local! {
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static ASKED: Cell<Asked> = const { Cell::new(Asked { total: 0, largest_kmalloc: 0 }) };
}

/// What this thread asked for since the last call.
pub fn take_asked() -> Asked {
    ASKED.with(|c| c.take())
}

/// Makes every allocation of this thread fail once `n` more have succeeded; `None` ends it.
pub fn fail_after(n: Option<u64>) {
    LEFT.with(|c| c.set(n));
}

fn allocate<A: Allocator>(bytes: usize) -> Result<(), AllocError> {
    ASKED.with(|c| {
        let mut asked = c.get();
        asked.total = asked.total.saturating_add(bytes as u64);
        if A::IS_KMALLOC {
            asked.largest_kmalloc = asked.largest_kmalloc.max(bytes as u64);
        }
        c.set(asked);
    });
    LEFT.with(|c| match c.get() {
        None => Ok(()),
        Some(0) => Err(AllocError),
        Some(n) => {
            c.set(Some(n - 1));
            Ok(())
        }
    })
}

/// Where memory comes from.
pub trait Allocator {
    /// From a slab, and so in one piece.
    const IS_KMALLOC: bool;
}

/// `kmalloc()`.
#[derive(PartialEq, Eq, Debug)]
pub struct Kmalloc;

/// `kvmalloc()`.
#[derive(PartialEq, Eq, Debug)]
pub struct KVmalloc;

impl Allocator for Kmalloc {
    const IS_KMALLOC: bool = true;
}

impl Allocator for KVmalloc {
    const IS_KMALLOC: bool = false;
}

/// A vector whose growth can fail.
#[derive(PartialEq, Eq, Debug)]
pub struct Vec<T, A: Allocator>(std::vec::Vec<T>, PhantomData<A>);

/// A vector for small things.
pub type KVec<T> = Vec<T, Kmalloc>;

/// A vector for things of any size.
pub type KVVec<T> = Vec<T, KVmalloc>;

impl<T, A: Allocator> Vec<T, A> {
    pub const fn new() -> Self {
        Self(std::vec::Vec::new(), PhantomData)
    }
    pub fn with_capacity(n: usize, _: Flags) -> Result<Self, AllocError> {
        allocate::<A>(n.saturating_mul(size_of::<T>()))?;
        Ok(Self(std::vec::Vec::with_capacity(n), PhantomData))
    }
    pub fn from_elem(v: T, n: usize, _: Flags) -> Result<Self, AllocError>
    where
        T: Clone,
    {
        allocate::<A>(n.saturating_mul(size_of::<T>()))?;
        Ok(Self(vec![v; n], PhantomData))
    }
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }
    pub fn reserve(&mut self, n: usize, _: Flags) -> Result<(), AllocError> {
        if self.0.capacity() - self.0.len() < n {
            let wanted = self.0.len().saturating_add(n);
            let capacity = wanted.max(self.0.capacity().saturating_mul(2));
            allocate::<A>(capacity.saturating_mul(size_of::<T>()))?;
        }
        self.0.reserve(n);
        Ok(())
    }
    pub fn push(&mut self, v: T, f: Flags) -> Result<(), AllocError> {
        self.reserve(1, f)?;
        self.0.push(v);
        Ok(())
    }
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }
    pub fn remove(&mut self, i: usize) -> Result<T, RemoveError> {
        if i < self.0.len() {
            Ok(self.0.remove(i))
        } else {
            Err(RemoveError)
        }
    }
    pub fn insert_within_capacity(&mut self, i: usize, v: T) -> Result<(), InsertError<T>> {
        if i > self.0.len() {
            Err(InsertError::IndexOutOfBounds(v))
        } else if self.0.len() == self.0.capacity() {
            Err(InsertError::OutOfCapacity(v))
        } else {
            self.0.insert(i, v);
            Ok(())
        }
    }
    pub fn clear(&mut self) {
        self.0.clear()
    }
    pub fn truncate(&mut self, n: usize) {
        self.0.truncate(n)
    }
    pub fn retain(&mut self, f: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(f)
    }
    pub fn drain_all(&mut self) -> std::vec::Drain<'_, T> {
        self.0.drain(..)
    }
    pub fn extend_with(&mut self, n: usize, v: T, f: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        self.reserve(n, f)?;
        self.0.resize(self.0.len() + n, v);
        Ok(())
    }
    pub fn extend_from_slice(&mut self, o: &[T], f: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        self.reserve(o.len(), f)?;
        self.0.extend_from_slice(o);
        Ok(())
    }
    pub fn resize(&mut self, n: usize, v: T, f: Flags) -> Result<(), AllocError>
    where
        T: Clone,
    {
        self.reserve(n.saturating_sub(self.0.len()), f)?;
        self.0.resize(n, v);
        Ok(())
    }
}

impl<T, A: Allocator> Default for Vec<T, A> {
    fn default() -> Self {
        Self::new()
    }
}

/// Index out of bounds.
#[derive(Debug)]
pub struct RemoveError;

/// Why an insertion failed.
#[derive(Debug)]
pub enum InsertError<T> {
    IndexOutOfBounds(T),
    OutOfCapacity(T),
}

impl<T, A: Allocator> Deref for Vec<T, A> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, A: Allocator> DerefMut for Vec<T, A> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, A: Allocator> IntoIterator for Vec<T, A> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a Vec<T, A> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a mut Vec<T, A> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

/// A box whose allocation can fail.
#[derive(PartialEq, Eq, Debug)]
pub struct KBox<T: ?Sized>(Box<T>);

impl<T> KBox<T> {
    pub fn new(v: T, _: Flags) -> Result<Self, AllocError> {
        allocate::<Kmalloc>(size_of::<T>())?;
        Ok(Self(Box::new(v)))
    }
    pub fn into_inner(b: Self) -> T {
        *b.0
    }
}

impl<T: ?Sized> Deref for KBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
