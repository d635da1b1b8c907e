// SPDX-License-Identifier: GPL-2.0-only

//! Clocks: jiffies for timers, boot time for intervals, wall time for what goes on the wire.
//!
//! C headers: [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h),
//! [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use super::bindings;
use kernel::time::{msecs_to_jiffies, Jiffies, Msecs};

/// A wait without a bound, in jiffies: the longest that timers take.
pub const FOREVER: Jiffies = Jiffies::MAX >> 1;

/// The current value of the tick counter. It wraps: compare by wrapping subtraction.
pub fn jiffies_now() -> Jiffies {
    // SAFETY: `jiffies` is an aligned word that is always valid for a volatile read.
    unsafe { core::ptr::read_volatile(&raw const bindings::jiffies) }
}

/// `ms` milliseconds as jiffies, rounded up; a span too long for a timer becomes the longest one.
pub fn msecs(ms: u64) -> Jiffies {
    msecs_to_jiffies(Msecs::try_from(ms).unwrap_or(i32::MAX as Msecs))
}

/// `s` seconds as jiffies; saturates as [`msecs`] does.
pub fn secs(s: u64) -> Jiffies {
    msecs(s.saturating_mul(1000))
}

/// How long an option that is given in seconds allows to wait, in jiffies; 0 is for ever.
pub fn patience(s: u32) -> Jiffies {
    match s {
        0 => FOREVER,
        s => secs(s.into()),
    }
}

/// Nanoseconds since boot, time spent in suspend included. It never goes back.
pub fn boot_ns() -> u64 {
    // SAFETY: Always safe to call.
    let ns = unsafe { bindings::ktime_get_boottime() };
    u64::try_from(ns).unwrap_or(0)
}

/// A point in wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallTime {
    /// Seconds since 1970.
    pub sec: u64,
    /// Nanoseconds within the second.
    pub nsec: u32,
}

/// The current wall-clock time.
pub fn wall_time() -> WallTime {
    let mut ts = bindings::timespec64::default();
    // SAFETY: `ts` is valid for writes.
    unsafe { bindings::ktime_get_real_ts64(&mut ts) };
    WallTime {
        sec: u64::try_from(ts.tv_sec).unwrap_or(0),
        nsec: u32::try_from(ts.tv_nsec).unwrap_or(0),
    }
}
