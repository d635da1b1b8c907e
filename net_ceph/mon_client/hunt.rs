// SPDX-License-Identifier: GPL-2.0-only

//! Hunting: which monitor to try, and for how long. A monitor that does not answer is given up for another,
//! with longer patience from one to the next once there had been a session, so that a cluster coming back
//! is not overrun.
//!
//! Times and factors are those of the C client (Linux `include/linux/ceph/libceph.h`, `CEPH_MONC_*`).

/// How long one monitor is given, in milliseconds.
const INTERVAL_MS: u64 = 3_000;
/// By how much patience grows.
const BACKOFF: u64 = 2;
/// How much it grows at most.
const MAX_MULTIPLE: u64 = 10;

/// How the hunt goes.
pub(super) struct Hunt {
    hunting: bool,
    had_session: bool,
    multiple: u64,
    current: Option<usize>,
}

impl Hunt {
    /// Before the first attempt.
    pub(super) const fn new() -> Self {
        Self {
            hunting: false,
            had_session: false,
            multiple: 1,
            current: None,
        }
    }

    /// Whether no session stands.
    pub(super) fn is_hunting(&self) -> bool {
        self.hunting
    }

    /// Which of the monitors is tried or has the session; `None` before the first attempt.
    pub(super) fn current(&self) -> Option<usize> {
        self.current
    }

    /// Chooses one of `count` monitors by `random`, another than the current one if there are several.
    /// `None` if there are none.
    pub(super) fn next(&mut self, count: usize, random: u64) -> Option<usize> {
        let old = self.current.filter(|i| *i < count);
        let choices = match old {
            Some(_) if count > 1 => count.checked_sub(1)?,
            _ => count,
        };
        let n = usize::try_from(random.checked_rem(u64::try_from(choices).ok()?)?).ok()?;
        let n = match old {
            Some(old) if count > 1 && n >= old => n.saturating_add(1),
            _ => n,
        };
        self.current = Some(n);
        self.hunting = true;
        if self.had_session {
            self.multiple = self.multiple.saturating_mul(BACKOFF).min(MAX_MULTIPLE);
        }
        Some(n)
    }

    /// How long to wait for the current monitor, in milliseconds.
    pub(super) fn patience_ms(&self) -> u64 {
        INTERVAL_MS.saturating_mul(self.multiple)
    }

    /// A session stands.
    pub(super) fn found(&mut self) {
        if self.hunting {
            self.hunting = false;
            self.had_session = true;
            self.calm();
        }
    }

    /// The session held for a while: the next hunt may be impatient again.
    pub(super) fn calm(&mut self) {
        self.multiple = (self.multiple / 2).max(1);
    }
}
