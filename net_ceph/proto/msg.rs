// SPDX-License-Identifier: GPL-2.0-only

//! A message as both messenger protocols carry it: a header and the segments front, middle, data.

/// `CEPH_MSG_PRIO_LOW` (Ceph `src/include/msgr.h`).
pub const PRIO_LOW: u16 = 64;
/// `CEPH_MSG_PRIO_DEFAULT`: what clients send with (Ceph `src/include/msgr.h`).
pub const PRIO_DEFAULT: u16 = 127;
/// `CEPH_MSG_PRIO_HIGH` (Ceph `src/include/msgr.h`).
pub const PRIO_HIGH: u16 = 196;
/// `CEPH_MSG_PRIO_HIGHEST` (Ceph `src/include/msgr.h`).
pub const PRIO_HIGHEST: u16 = 255;

/// Header of a received message, with what both protocols say of it (Ceph `ceph_msg_header` and
/// `ceph_msg_header2`, `src/include/msgr.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsgHeader {
    /// Number of the message within the session, from 1.
    pub seq: u64,
    /// Transaction: a reply bears its request's.
    pub tid: u64,
    /// `CEPH_MSG_*`.
    pub typ: u16,
    /// Higher goes first at the receiver.
    pub priority: u16,
    /// Version of the front's encoding.
    pub version: u16,
    /// Oldest version a reader must know.
    pub compat_version: u16,
    /// Bytes in the front segment.
    pub front_len: u32,
    /// Bytes in the middle segment.
    pub middle_len: u32,
    /// Bytes in the data segment.
    pub data_len: u32,
    /// Offset of the data within a page, as the sender would have it aligned.
    pub data_off: u16,
}

/// A message to send. The data segment stays with the caller, who computed its CRC.
#[derive(Clone, Copy)]
pub struct OutMessage<'a> {
    /// 0 for a new message, which gets the next number; else the number it was sent with before.
    pub seq: u64,
    /// Transaction.
    pub tid: u64,
    /// `CEPH_MSG_*`.
    pub typ: u16,
    /// Higher goes first at the receiver; [`PRIO_DEFAULT`] unless there is a reason.
    pub priority: u16,
    /// Version of the front's encoding.
    pub version: u16,
    /// Oldest version a reader must know.
    pub compat_version: u16,
    /// Offset of the data within a page.
    pub data_off: u16,
    /// Front segment.
    pub front: &'a [u8],
    /// Middle segment, mostly empty.
    pub middle: &'a [u8],
    /// Bytes in the data segment.
    pub data_len: u32,
    /// CRC-32C of the data segment, begun with the session's `data_crc_seed()`. Not looked at when
    /// there are no data or the session's `wants_data_crc()` is false.
    pub data_crc: u32,
}
