// SPDX-License-Identifier: GPL-2.0-only

//! What a request asks for.

use super::name::NameBuf;
use crate::abstractions::data::{DataBuf, DataCursor};
use crate::abstractions::time::wall_time;
use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::osd_op::op::WatchOp;
use crate::proto::osd_op::{encode_call_input, flags, Op, OsdOp, NOSNAP};
use crate::proto::types::Timespec;
use kernel::{prelude::*, sync::Arc};

/// Most operations in a request: a hint, a guard, a class call and an operation of a copy-up.
pub const MAX_OPS: usize = 4;

/// A call of a method of an object class.
#[derive(Clone, Copy)]
pub struct ClassCall<'a> {
    /// Name of the class.
    pub class: &'static str,
    /// Name of the method.
    pub method: &'static str,
    /// What the method is given.
    pub input: &'a [u8],
}

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
    ops: [OsdOp<'static>; MAX_OPS],
    op_count: usize,
    /// Outputs up to this size are kept for [`take_output`](super::OsdRequest::take_output).
    pub max_output: usize,
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
            ops: [OsdOp {
                op: Op::Stat,
                flags: 0,
            }; MAX_OPS],
            op_count: 0,
            max_output: 0,
        }
    }
}

impl Params {
    /// Becomes what [`default`](Self::default) makes, in place: it is large, and mostly room that is not used.
    pub(super) fn reset(&mut self) {
        let Self {
            pool,
            namespace,
            object,
            snapid,
            snapc,
            data,
            flags,
            mtime,
            ops: _,
            op_count,
            max_output,
        } = self;
        *pool = 0;
        namespace.clear();
        object.clear();
        *snapid = NOSNAP;
        *snapc = None;
        *data = None;
        *flags = 0;
        *mtime = Timespec::default();
        *op_count = 0;
        *max_output = 0;
    }

    /// Adds an operation behind those there are. `E2BIG` if there are [`MAX_OPS`] already.
    pub fn push_op(&mut self, op: impl Into<OsdOp<'static>>) -> Result {
        *self.ops.get_mut(self.op_count).ok_or(E2BIG)? = op.into();
        self.op_count += 1;
        Ok(())
    }

    /// Adds a call of a class method, whose input has `input_len` bytes. Its part of
    /// [`data`](Self::data) is what [`encode_call_input`](crate::proto::osd_op::encode_call_input) makes.
    /// Whoever calls a method that writes sets [`flags::WRITE`]. `E2BIG` as with
    /// [`push_op`](Self::push_op).
    pub fn push_call(
        &mut self,
        class: &'static str,
        method: &'static str,
        input_len: u32,
    ) -> Result {
        self.push_op(Op::Call {
            class,
            method,
            input_len,
        })
    }

    /// Adds calls of class methods, which are the request's only operations with [`data`](Self::data), and
    /// their inputs. Errors as with [`push_call`](Self::push_call), or `ENOMEM`. May sleep.
    pub fn push_calls(&mut self, calls: &[ClassCall<'_>]) -> Result {
        let mut data = KVec::new();
        for call in calls {
            self.push_call(call.class, call.method, u32::try_from(call.input.len())?)?;
            encode_call_input(call.class, call.method, call.input, &mut data)
                .map_err(ProtoError::to_errno)?;
        }
        self.data = Some(DataBuf::copy_of(&data)?.cursor());
        Ok(())
    }

    /// Has writes leave the time it is now.
    pub fn set_mtime(&mut self) {
        let now = wall_time();
        self.mtime = Timespec {
            // Seconds have 32 bits on the wire.
            sec: now.sec as u32,
            nsec: now.nsec,
        };
    }

    /// The operations.
    pub(super) fn ops(&self) -> &[OsdOp<'static>] {
        self.ops.get(..self.op_count).unwrap_or_default()
    }

    /// Whether it only tells that a watcher lives.
    pub(super) fn is_ping(&self) -> bool {
        let is_ping = |op: &OsdOp<'_>| {
            let Op::Watch { op, .. } = op.op else {
                return false;
            };
            op == WatchOp::Ping
        };
        matches!(self.ops(), [op] if is_ping(op))
    }

    /// All flags the request is sent with, but those of a repetition.
    pub(super) fn all_flags(&self) -> u32 {
        let mut all = self.flags;
        for op in self.ops() {
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
    }

    /// How many bytes the operations take as input.
    pub(super) fn input_len(&self) -> ProtoResult<u64> {
        let mut sum = 0u64;
        for op in self.ops() {
            sum = sum.saturating_add(op.op.input_len()?.into());
        }
        Ok(sum)
    }
}
