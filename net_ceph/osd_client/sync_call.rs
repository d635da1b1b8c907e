// SPDX-License-Identifier: GPL-2.0-only

//! Requests whose caller waits for the answer. All sleep, for at most the mount timeout; a fatal signal ends
//! the wait (`EINTR`).

use super::params::Params;
use super::request::{Completion, OsdRequest};
use super::OsdClient;
use crate::abstractions::data::DataBuf;
use crate::abstractions::time::secs;
use crate::abstractions::wait::Event;
use crate::proto::error::ProtoError;
use crate::proto::osd_op::{encode_call_input, Op};
use crate::proto::wire::Decoder;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    time::Jiffies,
};

/// Longest read.
const READ_MAX: usize = 1 << 20;
/// Jiffies of a wait without a bound: the longest that timers take.
const FOREVER: Jiffies = Jiffies::MAX >> 1;

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

impl OsdClient {
    /// Has class method `class.method` work on an object with `input`; returns its output, at most
    /// `max_output` bytes. `EIO` if there is more. Otherwise as the method says, or `ENOENT`, `ETIMEDOUT`…
    #[allow(clippy::too_many_arguments)]
    pub fn call(
        self: &Arc<Self>,
        pool: u64,
        namespace: &[u8],
        object: &[u8],
        class: &str,
        method: &str,
        input: &[u8],
        max_output: usize,
    ) -> Result<KVec<u8>> {
        let mut payload = KVec::new();
        encode_call_input(class, method, input, &mut payload).map_err(ProtoError::to_errno)?;
        let data = copy(&payload)?;
        let input_len = u32::try_from(input.len())?;
        self.run(|p| {
            p.address(pool, namespace, object)?;
            p.push_call(class, method, input_len)?;
            p.data = Some(data.cursor());
            p.max_output = max_output;
            Ok(())
        })
    }

    /// The size of an object in bytes. `ENOENT` if there is none.
    pub fn stat(self: &Arc<Self>, pool: u64, namespace: &[u8], object: &[u8]) -> Result<u64> {
        let output = self.run(|p| {
            p.address(pool, namespace, object)?;
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
    pub fn read(
        self: &Arc<Self>,
        pool: u64,
        namespace: &[u8],
        object: &[u8],
        offset: u64,
        len: usize,
    ) -> Result<KVec<u8>> {
        if len > READ_MAX {
            return Err(EINVAL);
        }
        self.run(|p| {
            p.address(pool, namespace, object)?;
            p.push_op(Op::Read {
                offset,
                length: len as u64,
            })?;
            p.max_output = len;
            Ok(())
        })
    }

    /// Submits a request that `f` prepares, waits for its end, and returns its output.
    pub(super) fn run(self: &Arc<Self>, f: impl FnOnce(&mut Params) -> Result) -> Result<KVec<u8>> {
        let req = OsdRequest::new(self)?;
        self.run_with(&req, f)?;
        Ok(req.take_output())
    }

    /// Submits `req`, which `f` prepares, and waits for its end.
    pub(super) fn run_with(
        self: &Arc<Self>,
        req: &Arc<OsdRequest>,
        f: impl FnOnce(&mut Params) -> Result,
    ) -> Result<usize> {
        self.submit_and_wait(req, true, f)
    }

    /// Submits a request that `f` prepares, and waits for its end whatever signal comes.
    pub(super) fn run_uninterruptible(
        self: &Arc<Self>,
        f: impl FnOnce(&mut Params) -> Result,
    ) -> Result<usize> {
        let req = OsdRequest::new(self)?;
        self.submit_and_wait(&req, false, f)
    }

    fn submit_and_wait(
        self: &Arc<Self>,
        req: &Arc<OsdRequest>,
        killable: bool,
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
        self.submit(req, true)?;
        let bound = match self.config.mount_timeout {
            0 => FOREVER,
            s => secs(s.into()),
        };
        let done = match killable {
            true => waiter.done.wait_killable(bound),
            false => Ok(waiter.done.wait_timeout(bound)),
        };
        match done {
            Ok(true) => {}
            Ok(false) => {
                self.cancel(req, ETIMEDOUT);
            }
            Err(e) => {
                self.cancel(req, e);
            }
        }
        // If it was not cancelled just now, its end is in progress.
        waiter.done.wait();
        let result = waiter.result.lock().take();
        result.unwrap_or(Err(EIO))
    }
}

impl Params {
    /// Says which object.
    pub(super) fn address(&mut self, pool: u64, namespace: &[u8], object: &[u8]) -> Result {
        self.pool = pool;
        self.namespace.set(namespace)?;
        self.object.set(object)
    }
}

/// A copy that cursors can stand in.
pub(super) fn copy(bytes: &[u8]) -> Result<Arc<DataBuf>> {
    let mut copy = KVVec::with_capacity(bytes.len(), GFP_KERNEL)?;
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    DataBuf::new(copy)
}
