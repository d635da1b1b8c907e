// SPDX-License-Identifier: GPL-2.0-only

//! What a request asks for.

use super::name::NameBuf;
use crate::abstractions::data::DataCursor;
use crate::proto::error::ProtoResult;
use crate::proto::osd_op::{flags, Op, OsdOp, NOSNAP};
use crate::proto::types::Timespec;
use kernel::{prelude::*, sync::Arc};

/// Most operations in a request.
pub const MAX_OPS: usize = 3;

/// The snapshots a write must preserve; shared by the requests of an image.
pub struct Snapshots {
    /// The newest snapshot id given out.
    pub seq: u64,
    /// The snapshots, newest first.
    pub snaps: KVec<u64>,
}

/// Which object, what to do, and with which data. Reset by each
/// [`prepare`](super::OsdRequest::prepare).
pub struct Params {
    /// The pool.
    pub pool: u64,
    /// Namespace in the pool; empty: the default one.
    pub namespace: NameBuf<64>,
    /// The object.
    pub object: NameBuf<128>,
    /// The snapshot read from, or [`NOSNAP`].
    pub snapid: u64,
    /// For writes; `None`: no snapshots.
    pub snapc: Option<Arc<Snapshots>>,
    /// What the operations send (all inputs in order, exactly), or where a single output goes.
    pub data: Option<DataCursor>,
    /// `flags::*` on top of those that follow from the operations.
    pub flags: u32,
    /// The modification time that writes leave.
    pub mtime: Timespec,
    ops: [Option<OsdOp<'static>>; MAX_OPS],
    call: Option<Call>,
    /// Outputs up to this size are kept for [`take_output`](super::OsdRequest::take_output).
    pub(super) max_output: usize,
}

/// The names of a class method. A class call stands behind all other operations.
#[derive(Default)]
struct Call {
    class: NameBuf<16>,
    method: NameBuf<48>,
    input_len: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            pool: 0,
            namespace: NameBuf::default(),
            object: NameBuf::default(),
            snapid: NOSNAP,
            snapc: None,
            data: None,
            flags: 0,
            mtime: Timespec::default(),
            ops: [None; MAX_OPS],
            call: None,
            max_output: 0,
        }
    }
}

impl Params {
    /// Adds an operation. `E2BIG` if there are [`MAX_OPS`] already.
    pub fn push_op(&mut self, op: impl Into<OsdOp<'static>>) -> Result {
        let slot = self.ops.iter_mut().find(|slot| slot.is_none());
        *slot.ok_or(E2BIG)? = Some(op.into());
        Ok(())
    }

    /// Adds a call of a class method as the last operation. Allocates for long names.
    pub fn push_call(&mut self, class: &str, method: &str, input_len: u32) -> Result {
        let mut call = Call::default();
        call.class.set(class.as_bytes())?;
        call.method.set(method.as_bytes())?;
        call.input_len = input_len;
        self.call = Some(call);
        Ok(())
    }

    /// Shows `f` the operations.
    pub(super) fn with_ops<T>(&self, f: impl FnOnce(&[OsdOp<'_>]) -> T) -> T {
        let mut ops: [OsdOp<'_>; MAX_OPS + 1] = [Op::Stat.into(); MAX_OPS + 1];
        let text = |name| core::str::from_utf8(name).unwrap_or("");
        let call = self.call.as_ref().map(|call| {
            OsdOp::from(Op::Call {
                class: text(call.class.get()),
                method: text(call.method.get()),
                input_len: call.input_len,
            })
        });
        let mut count = 0;
        let plain = self.ops.iter().flatten().copied();
        for (slot, op) in ops.iter_mut().zip(Iterator::chain(plain, call)) {
            *slot = op;
            count += 1;
        }
        f(ops.get(..count).unwrap_or_default())
    }

    /// All flags the request is sent with, but those of a repetition.
    pub(super) fn all_flags(&self) -> u32 {
        self.with_ops(|ops| {
            let mut all = self.flags;
            for op in ops {
                if op.op.reads() {
                    all |= flags::READ;
                }
                if op.op.writes() {
                    all |= flags::WRITE;
                }
            }
            if all & (flags::READ | flags::WRITE) == 0 {
                all |= flags::READ;
            }
            if all & flags::WRITE != 0 {
                all |= flags::ONDISK;
            }
            all | flags::KNOWN_REDIR
        })
    }

    /// How many bytes the operations take as input.
    pub(super) fn input_len(&self) -> ProtoResult<u64> {
        self.with_ops(|ops| {
            let mut sum = 0u64;
            for op in ops {
                sum = sum.saturating_add(op.op.input_len()?.into());
            }
            Ok(sum)
        })
    }
}
