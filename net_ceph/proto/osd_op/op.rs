// SPDX-License-Identifier: GPL-2.0-only

//! One operation of a request.
//!
//! On the wire 38 bytes: `u16 op`, `u32 flags`, 28 bytes whose shape depends on `op`,
//! `u32 payload_len`: how many of the request's data bytes are its input
//! (`struct ceph_osd_op`, Ceph `src/include/rados.h`).

use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::wire::{Decoder, Encoder, Sink};
use kernel::prelude::*;

/// Bytes an operation takes.
pub const OP_LEN: usize = 38;
/// Bytes of the part that depends on the operation.
const UNION_LEN: usize = 28;

/// Operation codes (`CEPH_OSD_OP_*`).
mod code {
    pub(super) const READ: u16 = 0x1201;
    pub(super) const STAT: u16 = 0x1202;
    pub(super) const SPARSE_READ: u16 = 0x1205;
    pub(super) const NOTIFY: u16 = 0x1206;
    pub(super) const NOTIFY_ACK: u16 = 0x1207;
    pub(super) const ASSERT_VER: u16 = 0x1208;
    pub(super) const LIST_WATCHERS: u16 = 0x1209;
    pub(super) const CMPEXT: u16 = 0x1220;
    pub(super) const WRITE: u16 = 0x2201;
    pub(super) const WRITEFULL: u16 = 0x2202;
    pub(super) const TRUNCATE: u16 = 0x2203;
    pub(super) const ZERO: u16 = 0x2204;
    pub(super) const DELETE: u16 = 0x2205;
    pub(super) const CREATE: u16 = 0x220d;
    pub(super) const WATCH: u16 = 0x220f;
    pub(super) const SETALLOCHINT: u16 = 0x2223;
    pub(super) const CALL: u16 = 0x1401;
}

/// What a [`Op::Watch`] does (`CEPH_OSD_WATCH_OP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WatchOp {
    /// End the watch.
    Unwatch = 0,
    /// Begin it.
    Watch = 3,
    /// Go on with it on a new connection; `gen` counts these.
    Reconnect = 5,
    /// Keep it alive.
    Ping = 7,
}

/// An operation. Offsets and lengths are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Size and modification time; output `u64 size`, `u32 sec`, `u32 nsec`.
    Stat,
    /// Read; output the data, short at the end of the object.
    Read {
        /// Where in the object.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Read; output `map<u64, u64>` of the extents that hold data, then a blob with them.
    SparseRead {
        /// Where in the object.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Write `length` bytes of input.
    Write {
        /// Where in the object.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Replace the object with `length` bytes of input.
    WriteFull {
        /// How many bytes.
        length: u64,
    },
    /// Make a range read as zeros.
    Zero {
        /// Where in the object.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Cut at `size` (or extend to it).
    Truncate {
        /// The size then.
        size: u64,
    },
    /// Create the object; an error if it exists with
    /// [`OP_EXCL`](super::flags::OP_EXCL).
    Create,
    /// Remove the object.
    Delete,
    /// Compare with `length` bytes of input; `-(4095 + offset of the first difference)` if they
    /// differ.
    CmpExt {
        /// Where in the object.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Call a method of an object class; input `class`, `method` and `input_len` bytes, one behind
    /// the other ([`encode_call_input`]); output what it returns.
    Call {
        /// Name of the class.
        class: &'a str,
        /// Name of the method.
        method: &'a str,
        /// Bytes of input, names not counted.
        input_len: u32,
    },
    /// Watch the object, under a number of our choice.
    Watch {
        /// The number of our choice.
        cookie: u64,
        /// What to do about the watch.
        op: WatchOp,
        /// How often it was reconnected.
        generation: u32,
    },
    /// Notify all watchers; input a payload of `input_len` bytes
    /// ([`encode_notify`](crate::proto::watch::encode_notify)), output `u64 notify_id`.
    Notify {
        /// The number of our choice.
        cookie: u64,
        /// Bytes of input.
        input_len: u32,
    },
    /// Answer a notification; input of `input_len` bytes
    /// ([`encode_notify_ack`](crate::proto::watch::encode_notify_ack)).
    NotifyAck {
        /// Bytes of input.
        input_len: u32,
    },
    /// Who watches; output for
    /// [`Watchers`](crate::proto::watch::Watchers).
    ListWatchers,
    /// Fail unless the object has this version.
    AssertVer {
        /// The version.
        version: u64,
    },
    /// Tell how large the object and its writes will be.
    SetAllocHint {
        /// Expected size of the object.
        object_size: u64,
        /// Expected size of a write.
        write_size: u64,
        /// `CEPH_OSD_ALLOC_HINT_FLAG_*`.
        flags: u32,
    },
}

impl Op<'_> {
    fn code(&self) -> u16 {
        match self {
            Op::Stat => code::STAT,
            Op::Read { .. } => code::READ,
            Op::SparseRead { .. } => code::SPARSE_READ,
            Op::Write { .. } => code::WRITE,
            Op::WriteFull { .. } => code::WRITEFULL,
            Op::Zero { .. } => code::ZERO,
            Op::Truncate { .. } => code::TRUNCATE,
            Op::Create => code::CREATE,
            Op::Delete => code::DELETE,
            Op::CmpExt { .. } => code::CMPEXT,
            Op::Call { .. } => code::CALL,
            Op::Watch { .. } => code::WATCH,
            Op::Notify { .. } => code::NOTIFY,
            Op::NotifyAck { .. } => code::NOTIFY_ACK,
            Op::ListWatchers => code::LIST_WATCHERS,
            Op::AssertVer { .. } => code::ASSERT_VER,
            Op::SetAllocHint { .. } => code::SETALLOCHINT,
        }
    }

    /// How many of the request's data bytes are this operation's input.
    pub fn input_len(&self) -> ProtoResult<u32> {
        let too_long = |len| ProtoError::value("osd op: input length", len);
        match *self {
            Op::Write { length, .. } | Op::WriteFull { length } | Op::CmpExt { length, .. } => {
                u32::try_from(length).map_err(|_| too_long(length))
            }
            Op::Call {
                class,
                method,
                input_len,
            } => (class.len() as u64)
                .checked_add(method.len() as u64)
                .and_then(|n| n.checked_add(input_len.into()))
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(too_long(input_len.into())),
            Op::Notify { input_len, .. } | Op::NotifyAck { input_len } => Ok(input_len),
            _ => Ok(0),
        }
    }

    /// Whether it needs the request's [`READ`](super::flags::READ) flag.
    pub fn reads(&self) -> bool {
        self.code() & 0x1000 != 0 && !matches!(self, Op::Call { .. })
    }

    /// Whether it needs the request's [`WRITE`](super::flags::WRITE) flag. What a class method
    /// does, its caller must know.
    pub fn writes(&self) -> bool {
        self.code() & 0x2000 != 0
    }
}

/// An operation with its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsdOp<'a> {
    /// What to do.
    pub op: Op<'a>,
    /// `flags::OP_*`.
    pub flags: u32,
}

impl<'a> From<Op<'a>> for OsdOp<'a> {
    fn from(op: Op<'a>) -> Self {
        Self { op, flags: 0 }
    }
}

impl OsdOp<'_> {
    /// Appends the 38 bytes; returns the length of the input.
    pub fn encode<S: Sink>(&self, e: &mut Encoder<'_, S>) -> ProtoResult<u32> {
        let input_len = self.op.input_len()?;
        e.u16(self.op.code())?;
        e.u32(self.flags)?;
        let start = e.len();
        match self.op {
            Op::Stat | Op::Create | Op::Delete | Op::ListWatchers | Op::NotifyAck { .. } => {}
            Op::Read { offset, length }
            | Op::SparseRead { offset, length }
            | Op::Write { offset, length }
            | Op::Zero { offset, length }
            | Op::CmpExt { offset, length } => {
                e.u64(offset)?;
                e.u64(length)?;
            }
            Op::WriteFull { length } => {
                e.u64(0)?;
                e.u64(length)?;
            }
            Op::Truncate { size } => e.u64(size)?,
            Op::Call {
                class,
                method,
                input_len,
            } => {
                e.u8(short_len(class)?)?;
                e.u8(short_len(method)?)?;
                e.u8(0)?;
                e.u32(input_len)?;
            }
            Op::Watch {
                cookie,
                op,
                generation,
            } => {
                e.u64(cookie)?;
                e.u64(0)?;
                e.u8(op as u8)?;
                e.u32(generation)?;
            }
            Op::Notify { cookie, .. } => e.u64(cookie)?,
            Op::AssertVer { version } => {
                e.u64(0)?;
                e.u64(version)?;
            }
            Op::SetAllocHint {
                object_size,
                write_size,
                flags,
            } => {
                e.u64(object_size)?;
                e.u64(write_size)?;
                e.u32(flags)?;
            }
        }
        let written = e.len().saturating_sub(start);
        e.zeros(UNION_LEN.saturating_sub(written))?;
        e.u32(input_len)?;
        Ok(input_len)
    }
}

/// Class and method names travel with a `u8` length.
fn short_len(name: &str) -> ProtoResult<u8> {
    u8::try_from(name.len())
        .map_err(|_| ProtoError::value("osd op: class or method name", name.len() as u64))
}

/// Appends what a [`Op::Call`] takes as its input: the names, then the method's own input.
pub fn encode_call_input(
    class: &str,
    method: &str,
    input: &[u8],
    out: &mut KVec<u8>,
) -> ProtoResult {
    let mut e = Encoder::new(out);
    e.bytes(class.as_bytes())?;
    e.bytes(method.as_bytes())?;
    e.bytes(input)
}

/// Passes over an operation's 38 bytes; returns its `payload_len`.
pub(super) fn decode_payload_len(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<u32> {
    d.skip(OP_LEN - 4, step)?;
    d.u32(step)
}
