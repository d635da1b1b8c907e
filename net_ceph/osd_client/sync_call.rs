// SPDX-License-Identifier: GPL-2.0-only

//! Requests whose caller waits for the answer. All sleep, for at most the mount timeout; a fatal signal ends
//! the wait (`EINTR`), but not for class calls that write, and the end of their group does for all.

use super::io_ctx::IoCtx;
use super::params::{ClassCall, Params};
use super::request::{Completion, OsdRequest};
use crate::abstractions::time::patience;
use crate::abstractions::wait::Event;
use crate::proto::error::ProtoError;
use crate::proto::osd_op::{flags, Op};
use crate::proto::wire::Decoder;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    time::Jiffies,
};

/// Longest read.
const READ_MAX: usize = 1 << 20;

/// A caller who waits.
#[pin_data]
struct Waiter {
    #[pin]
    done: Event,
    /// Nothing is taken inside.
    #[pin]
    result: Mutex<Option<Result<usize>>>,
}

impl Completion for Waiter {
    fn complete(&self, _req: &Arc<OsdRequest>, result: Result<usize>) {
        *self.result.lock() = Some(result);
        self.done.complete_all();
    }
}

impl IoCtx {
    /// Has class method `class.method`, which only reads, work on an object with `input`; returns its
    /// output, at most `max_output` bytes. `EIO` if there is more. Otherwise as the method says, or
    /// `ENOENT`, `ETIMEDOUT`…
    pub fn call(
        &self,
        object: &[u8],
        class: &'static str,
        method: &'static str,
        input: &[u8],
        max_output: usize,
    ) -> Result<KVVec<u8>> {
        let call = ClassCall {
            class,
            method,
            input,
        };
        self.call_read(object, &[call], max_output)
    }

    /// Has class methods that only read work on an object as it is at one moment; returns their outputs one
    /// behind the other, all in all at most `max_output` bytes. Errors as with
    /// [`call`](Self::call), of the first that fails; `E2BIG` for more than
    /// [`MAX_OPS`](super::MAX_OPS).
    pub fn call_read(
        &self,
        object: &[u8],
        calls: &[ClassCall<'_>],
        max_output: usize,
    ) -> Result<KVVec<u8>> {
        self.run(|p| {
            self.address(p, object)?;
            p.max_output = max_output;
            p.push_calls(calls)
        })
    }

    /// Has class methods, which may write, work on an object one after the other, in one transaction: if
    /// one fails, with its error, none has an effect. `E2BIG` for more than
    /// [`MAX_OPS`](super::MAX_OPS).
    pub fn call_write(&self, object: &[u8], calls: &[ClassCall<'_>]) -> Result {
        self.call_write_with(object, calls, flags::WRITE)
    }

    /// The same where there is no space left: `ENOSPC` or `EDQUOT` if they need some.
    pub fn call_write_when_full(&self, object: &[u8], calls: &[ClassCall<'_>]) -> Result {
        self.call_write_with(object, calls, flags::WRITE | flags::FULL_TRY)
    }

    /// Goes on whatever signal comes: who is killed gives back what it has, and that takes such calls.
    fn call_write_with(&self, object: &[u8], calls: &[ClassCall<'_>], flags: u32) -> Result {
        self.run_uninterruptible(|p| {
            self.address(p, object)?;
            p.flags = flags;
            p.set_mtime();
            p.push_calls(calls)
        })?;
        Ok(())
    }

    /// The size of an object in bytes. `ENOENT` if there is none.
    pub fn stat(&self, object: &[u8]) -> Result<u64> {
        let output = self.run(|p| {
            self.address(p, object)?;
            p.push_op(Op::Stat)?;
            // `u64 size`, `u32 sec`, `u32 nsec`
            p.max_output = 16;
            Ok(())
        })?;
        Decoder::new(&output)
            .u64("stat: size")
            .map_err(ProtoError::to_errno)
    }

    /// Reads from an object, at most 1 MiB (`EINVAL`); less at its end.
    pub fn read(&self, object: &[u8], offset: u64, len: usize) -> Result<KVVec<u8>> {
        if len > READ_MAX {
            return Err(EINVAL);
        }
        self.run(|p| {
            self.address(p, object)?;
            p.push_op(Op::Read {
                offset,
                length: len as u64,
            })?;
            p.max_output = len;
            Ok(())
        })
    }

    /// Submits a request that `f` prepares, waits for its end, and returns its output.
    pub(super) fn run(&self, f: impl FnOnce(&mut Params) -> Result) -> Result<KVVec<u8>> {
        let req = self.request()?;
        self.run_with(&req, f)?;
        Ok(req.take_output())
    }

    /// Submits `req`, which `f` prepares, and waits for its end.
    pub(super) fn run_with(
        &self,
        req: &Arc<OsdRequest>,
        f: impl FnOnce(&mut Params) -> Result,
    ) -> Result<usize> {
        self.submit_and_wait(req, true, self.bound(), f)
    }

    /// Submits `req`, which `f` prepares, and waits for its end, at most for `bound`.
    pub(super) fn run_until(
        &self,
        req: &Arc<OsdRequest>,
        bound: Jiffies,
        f: impl FnOnce(&mut Params) -> Result,
    ) -> Result<usize> {
        self.submit_and_wait(req, true, bound, f)
    }

    /// Submits a request that `f` prepares, and waits for its end whatever signal comes.
    pub(super) fn run_uninterruptible(
        &self,
        f: impl FnOnce(&mut Params) -> Result,
    ) -> Result<usize> {
        self.submit_and_wait(&self.request()?, false, self.bound(), f)
    }

    /// How long synchronous calls wait.
    fn bound(&self) -> Jiffies {
        patience(self.osd().config.mount_timeout)
    }

    fn submit_and_wait(
        &self,
        req: &Arc<OsdRequest>,
        killable: bool,
        bound: Jiffies,
        f: impl FnOnce(&mut Params) -> Result,
    ) -> Result<usize> {
        let waiter = Arc::pin_init(
            pin_init!(Waiter {
                done <- Event::new(),
                result <- new_mutex!(None, "net_ceph::osd_client::Waiter"),
            }),
            GFP_KERNEL,
        )?;
        req.prepare(waiter.clone(), f)?;
        let client = self.osd();
        client.submit(req, true)?;
        let done = match killable {
            true => waiter.done.wait_killable(bound),
            false => Ok(waiter.done.wait_timeout(bound)),
        };
        match done {
            Ok(true) => {}
            Ok(false) => {
                client.cancel(req, ETIMEDOUT);
            }
            Err(e) => {
                client.cancel(req, e);
            }
        }
        // If it was not cancelled just now, its end is in progress.
        waiter.done.wait();
        let result = waiter.result.lock().take();
        result.unwrap_or(Err(EIO))
    }
}
