// SPDX-License-Identifier: GPL-2.0-only

//! The string written to `/sys/bus/rbd/remove` and `remove_single_major`: `<id> [force | full-force]`.

use super::add::words;
use kernel::prelude::*;
use net_ceph::options::OptionError;

/// What may be lost when a device is unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Force {
    /// Nothing: not if it is open.
    No,
    /// Its users lose it; what is under way is waited for.
    Open,
    /// What is under way fails, too.
    Full,
}

/// A remove string, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoveSpec {
    /// Which mapping.
    pub id: u32,
    /// By which means.
    pub force: Force,
}

impl RemoveSpec {
    /// Parses `text`. Fails with `EINVAL`.
    pub fn parse(text: &[u8]) -> Result<Self, OptionError<'_>> {
        let mut words = words(text);
        let id = words.next().unwrap_or_default();
        let id = core::str::from_utf8(id)
            .ok()
            .and_then(|id| id.parse::<u32>().ok())
            .filter(|&id| id <= i32::MAX as u32)
            .ok_or(OptionError::invalid("not a device id:", id))?;
        let force = match words.next() {
            None => Force::No,
            Some(b"force") => Force::Open,
            Some(b"full-force") => Force::Full,
            Some(other) => return Err(OptionError::invalid("bad remove option", other)),
        };
        Ok(Self { id, force })
    }
}
