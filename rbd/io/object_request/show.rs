// SPDX-License-Identifier: GPL-2.0-only

//! Object requests as text, for debugfs.

use super::ObjectRequest;
use crate::image::CHAIN_MAX;
use kernel::{fmt, prelude::*, sync::Arc};
use net_ceph::{abstractions::time::boot_ns, proto::striper::ObjectName};

/// Nanoseconds in a millisecond.
const NSEC_PER_MSEC: u64 = 1_000_000;

impl ObjectRequest {
    /// Writes a line about it if it is under way, and says whether it is: object, operation, step, and
    /// milliseconds since it began. A line for each that reads an ancestor for it follows, but not those that are
    /// not kept.
    pub(in super::super) fn show(&self, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
        if !self.show_line(f)? {
            return Ok(false);
        }
        // Of each generation, who comes next: the stack is not long enough to call ourselves.
        let mut next: [Option<Arc<Self>>; CHAIN_MAX] = [const { None }; CHAIN_MAX];
        let mut generation = 0;
        next[0] = self.parent.first().cloned();
        loop {
            let Some(part) = next.get_mut(generation).and_then(Option::take) else {
                match generation.checked_sub(1) {
                    Some(nearer) => generation = nearer,
                    None => return Ok(true),
                }
                continue;
            };
            let shown = part.show_line(f)?;
            if let Some(next) = next.get_mut(generation) {
                *next = part.following();
            }
            if let Some(further) = next.get_mut(generation + 1).filter(|_| shown) {
                *further = part.parent.first().cloned();
                generation += 1;
            }
        }
    }

    fn show_line(&self, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
        let (name, op, state, since) = {
            let slot = self.running.lock();
            let Some(running) = &slot.running else {
                return Ok(false);
            };
            let prefix = running.scope.source(&self.image).prefix();
            let Ok(name) = ObjectName::new(prefix, running.extent.object) else {
                return Ok(false);
            };
            (name, running.op, running.steps.state(), running.since)
        };
        let age = boot_ns().saturating_sub(since) / NSEC_PER_MSEC;
        let name = name.as_bytes().escape_ascii();
        write!(f, "{name}\t{op:?}\t")?;
        fmt::Display::fmt(&state, f)?;
        writeln!(f, "\t{age} ms")?;
        Ok(true)
    }
}
