// SPDX-License-Identifier: GPL-2.0-only

//! Waiting for something to happen, with a bound.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use super::bindings;
use kernel::{prelude::*, time::Jiffies, types::Opaque};

/// An event that happens once: tasks wait until someone says that it is complete.
///
/// Wraps the kernel's `struct completion`.
#[pin_data]
pub struct Event {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A `struct completion` may be used from any task.
unsafe impl Send for Event {}
// SAFETY: A `struct completion` synchronises its own accesses.
unsafe impl Sync for Event {}

impl Event {
    /// An event that has not happened.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writes.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// It happened: wakes all who wait, and all who will. Any context.
    pub fn complete_all(&self) {
        // SAFETY: `inner` was initialised by `new`.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// Whether it happened. Any context.
    pub fn is_complete(&self) -> bool {
        // SAFETY: `inner` was initialised by `new`.
        unsafe { bindings::completion_done(self.inner.get()) }
    }

    /// Waits without a bound and without heeding signals. Sleeps.
    pub fn wait(&self) {
        // SAFETY: `inner` was initialised by `new`.
        unsafe { bindings::wait_for_completion(self.inner.get()) };
    }

    /// Waits for at most `timeout`, without heeding signals; says whether it happened. Sleeps.
    pub fn wait_timeout(&self, timeout: Jiffies) -> bool {
        // SAFETY: `inner` was initialised by `new`.
        unsafe { bindings::wait_for_completion_timeout(self.inner.get(), timeout) != 0 }
    }

    /// Waits for at most `timeout` or until a fatal signal (`EINTR`); says whether it happened.
    /// Sleeps.
    pub fn wait_killable(&self, timeout: Jiffies) -> Result<bool> {
        // SAFETY: `inner` was initialised by `new`.
        outcome(unsafe {
            bindings::wait_for_completion_killable_timeout(self.inner.get(), timeout)
        })
    }

    /// Waits for at most `timeout` or until a signal (`EINTR`); says whether it happened. Sleeps.
    pub fn wait_interruptible(&self, timeout: Jiffies) -> Result<bool> {
        // SAFETY: `inner` was initialised by `new`.
        outcome(unsafe {
            bindings::wait_for_completion_interruptible_timeout(self.inner.get(), timeout)
        })
    }
}

/// The kernel's answer: time left, 0 when it ran out, or a negative errno for a signal.
fn outcome(left: isize) -> Result<bool> {
    if left < 0 {
        return Err(EINTR);
    }
    Ok(left != 0)
}

/// Sleeps for at least `ms` milliseconds, without heeding signals.
pub fn sleep_ms(ms: u32) {
    // SAFETY: May be called wherever sleeping is allowed.
    unsafe { bindings::msleep(ms) };
}
