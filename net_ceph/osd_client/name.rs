// SPDX-License-Identifier: GPL-2.0-only

//! Names that requests own: short ones in place, long ones in memory of their own.

use crate::abstractions::errno::ENAMETOOLONG;
use kernel::prelude::*;

/// Longest name that is sent.
const MAX: usize = 4096;

/// A name, of which up to `N` bytes take no allocation.
pub struct NameBuf<const N: usize> {
    inline: [u8; N],
    /// Of `inline`; the name is in `long` if that is not empty.
    len: usize,
    long: KVec<u8>,
}

impl<const N: usize> Default for NameBuf<N> {
    fn default() -> Self {
        Self {
            inline: [0; N],
            len: 0,
            long: KVec::new(),
        }
    }
}

impl<const N: usize> NameBuf<N> {
    /// Becomes empty. Keeps its memory.
    pub(super) fn clear(&mut self) {
        self.long.clear();
        self.len = 0;
    }

    /// Becomes `name`. Allocates if that is longer than `N` bytes. `ENAMETOOLONG`, `ENOMEM`.
    pub fn set(&mut self, name: &[u8]) -> Result {
        self.clear();
        if let Some(room) = self.inline.get_mut(..name.len()) {
            room.copy_from_slice(name);
            self.len = name.len();
            return Ok(());
        }
        if name.len() > MAX {
            return Err(ENAMETOOLONG);
        }
        Ok(self.long.extend_from_slice(name, GFP_KERNEL)?)
    }

    /// The name.
    pub fn get(&self) -> &[u8] {
        if self.long.is_empty() {
            self.inline.get(..self.len).unwrap_or_default()
        } else {
            &self.long
        }
    }
}
