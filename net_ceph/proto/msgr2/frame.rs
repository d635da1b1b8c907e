// SPDX-License-Identifier: GPL-2.0-only

//! Frames of messenger v2.1 in crc mode.
//!
//! A frame is a preamble, one to four segments, and a trailer (Ceph `src/msg/async/frames_v2.h`,
//! revision 1):
//!
//! ```text
//! preamble   u8 tag, u8 segments, 4 x { u32 len, u16 align }, u8 flags, u8 0, u32 crc    32 bytes
//! segment 0  "control", and its u32 crc if it is not empty
//! segments 1 to 3, without gaps: front, middle, data of a message
//! epilogue   u8 late status, 3 x u32 crc; only if there is more than one segment         13 bytes
//! ```
//!
//! Empty segments at the end are not counted. The secure mode has the same preamble and segments,
//! padded and encrypted: it would be a sibling of [`CrcFraming`].

use super::super::crypto::Crc32c;
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::session::{check_crc, check_len, Limits};
use super::super::wire::{Decoder, Encoder, Fixed, Sink};
use kernel::prelude::*;

/// Bytes of a preamble.
pub const PREAMBLE_LEN: usize = 32;
/// Bytes of a preamble that its CRC covers.
const PREAMBLE_CRC_AT: usize = 28;
/// Bytes of a CRC.
pub const CRC_LEN: usize = 4;
/// Bytes of an epilogue.
pub const EPILOGUE_LEN: usize = 13;
/// Segments a frame can have.
pub const MAX_SEGMENTS: usize = 4;
/// What segment CRCs begin with; the preamble's begins with 0.
pub const CRC_SEED: u32 = u32::MAX;
/// The longest control segment we accept. The largest ones in use carry tickets, a few KiB.
pub const MAX_CONTROL_LEN: u32 = 1 << 18;

/// Low half of the late status of a frame that was sent whole (`FRAME_LATE_STATUS_COMPLETE`).
const LATE_STATUS_COMPLETE: u8 = 0xe;
/// The half of the late status that tells (`FRAME_LATE_STATUS_ABORTED_MASK`).
const LATE_STATUS_MASK: u8 = 0xf;
/// Alignment that control, front and middle ask for (`segment_t::DEFAULT_ALIGNMENT`).
const ALIGN_DEFAULT: u16 = 8;
/// Alignment that data ask for (`segment_t::PAGE_SIZE_ALIGNMENT`).
const ALIGN_PAGE: u16 = 4096;

/// What a frame is (Ceph `ceph::msgr::v2::Tag`, `src/msg/async/frames_v2.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub u8);

#[allow(missing_docs)]
impl Tag {
    pub const HELLO: Self = Self(1);
    pub const AUTH_REQUEST: Self = Self(2);
    pub const AUTH_BAD_METHOD: Self = Self(3);
    pub const AUTH_REPLY_MORE: Self = Self(4);
    pub const AUTH_REQUEST_MORE: Self = Self(5);
    pub const AUTH_DONE: Self = Self(6);
    pub const AUTH_SIGNATURE: Self = Self(7);
    pub const CLIENT_IDENT: Self = Self(8);
    pub const SERVER_IDENT: Self = Self(9);
    pub const IDENT_MISSING_FEATURES: Self = Self(10);
    pub const SESSION_RECONNECT: Self = Self(11);
    pub const SESSION_RESET: Self = Self(12);
    pub const SESSION_RETRY: Self = Self(13);
    pub const SESSION_RETRY_GLOBAL: Self = Self(14);
    pub const SESSION_RECONNECT_OK: Self = Self(15);
    pub const WAIT: Self = Self(16);
    pub const MESSAGE: Self = Self(17);
    pub const KEEPALIVE2: Self = Self(18);
    pub const KEEPALIVE2_ACK: Self = Self(19);
    pub const ACK: Self = Self(20);
}

/// A preamble: the kind of the frame and the lengths of its segments, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// What the frame is.
    pub tag: Tag,
    /// How many of the segments are there.
    pub segments: u8,
    /// Length of each segment; 0 for those not there.
    pub lens: [u32; MAX_SEGMENTS],
}

impl Preamble {
    /// The preamble of a frame with segments of these lengths.
    pub fn new(tag: Tag, lens: [u32; MAX_SEGMENTS]) -> Self {
        let last = lens.iter().rposition(|&len| len != 0).unwrap_or(0);
        Self {
            tag,
            segments: (last as u8).saturating_add(1),
            lens,
        }
    }

    fn encode(&self, crc32c: Crc32c) -> [u8; PREAMBLE_LEN] {
        let mut out = [0; PREAMBLE_LEN];
        let (covered, crc) = out.split_at_mut(PREAMBLE_CRC_AT);
        let mut slots = covered.iter_mut();
        let mut put = |bytes: &[u8]| {
            for (byte, slot) in bytes.iter().zip(slots.by_ref()) {
                *slot = *byte;
            }
        };
        put(&[self.tag.0, self.segments]);
        let aligns = [ALIGN_DEFAULT, ALIGN_DEFAULT, ALIGN_DEFAULT, ALIGN_PAGE];
        for (len, align) in self.lens.iter().zip(aligns).take(self.segments.into()) {
            put(&len.to_le_bytes());
            put(&align.to_le_bytes());
        }
        crc.copy_from_slice(&crc32c(0, covered).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; PREAMBLE_LEN], crc32c: Crc32c, limits: &Limits) -> ProtoResult<Self> {
        let mut d = Decoder::new(bytes);
        let covered = d.bytes(PREAMBLE_CRC_AT, "msgr2: preamble")?;
        check_crc(
            crc32c(0, covered),
            d.u32("msgr2: preamble")?,
            "msgr2: preamble crc",
        )?;

        let mut d = Decoder::new(covered);
        let tag = Tag(d.u8("msgr2: preamble tag")?);
        let segments = d.u8("msgr2: preamble segment count")?;
        if segments < 1 || usize::from(segments) > MAX_SEGMENTS {
            return Err(ProtoError::value(
                "msgr2: preamble segment count",
                segments.into(),
            ));
        }
        let mut lens = [0; MAX_SEGMENTS];
        for (i, len) in lens.iter_mut().enumerate() {
            *len = d.u32("msgr2: preamble segment length")?;
            d.skip(2, "msgr2: preamble segment alignment")?;
            let last = i.checked_add(1) == Some(usize::from(segments));
            // A frame may be empty as a whole (WAIT is), but must not count empty segments at its
            // end, nor have lengths in segments that it does not count.
            if last && i > 0 && *len == 0 || i >= usize::from(segments) && *len != 0 {
                return Err(ProtoError::value(
                    "msgr2: preamble segment length",
                    (*len).into(),
                ));
            }
        }
        let flags = d.u8("msgr2: preamble flags")?;
        if flags != 0 {
            // The only flag is compression, which was not offered.
            return Err(ProtoError::value("msgr2: preamble flags", flags.into()));
        }
        let [control, front, middle, data] = lens;
        check_len(control, MAX_CONTROL_LEN, "msgr2: control length")?;
        check_len(front, limits.front, "msgr2: front length")?;
        check_len(middle, limits.middle, "msgr2: middle length")?;
        check_len(data, limits.data, "msgr2: data length")?;
        Ok(Self {
            tag,
            segments,
            lens,
        })
    }

    /// Bytes of preamble, control segment and its CRC.
    fn head_len(&self) -> usize {
        let [control, ..] = self.lens;
        match control {
            0 => PREAMBLE_LEN,
            n => PREAMBLE_LEN
                .saturating_add(CRC_LEN)
                .saturating_add(n as usize),
        }
    }
}

/// Front, middle and data CRCs of an epilogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentCrcs(pub [u32; 3]);

/// The head of a received frame, verified.
pub struct Head<'i> {
    /// Its preamble.
    pub preamble: Preamble,
    /// Its control segment.
    pub control: &'i [u8],
    /// Bytes up to its next segment.
    pub len: usize,
}

/// A look at incomplete input.
pub enum Look<T> {
    /// What was looked for.
    Found(T),
    /// It takes this many bytes from the start of the input.
    NeedMore(usize),
}

/// Frames in crc mode.
#[derive(Clone, Copy)]
pub struct CrcFraming {
    /// CRC-32C.
    pub crc32c: Crc32c,
}

impl CrcFraming {
    /// Reads preamble and control segment at the start of `input`.
    pub fn head<'i>(&self, input: &'i [u8], limits: &Limits) -> ProtoResult<Look<Head<'i>>> {
        let Some((preamble, rest)) = input.split_first_chunk::<PREAMBLE_LEN>() else {
            return Ok(Look::NeedMore(PREAMBLE_LEN));
        };
        let preamble = Preamble::decode(preamble, self.crc32c, limits)?;
        let len = preamble.head_len();
        if input.len() < len {
            return Ok(Look::NeedMore(len));
        }
        let [control_len, ..] = preamble.lens;
        let mut d = Decoder::new(rest);
        let control = d.bytes(control_len as usize, "msgr2: control")?;
        if !control.is_empty() {
            check_crc(
                (self.crc32c)(CRC_SEED, control),
                d.u32("msgr2: control")?,
                "msgr2: control crc",
            )?;
        }
        Ok(Look::Found(Head {
            preamble,
            control,
            len,
        }))
    }

    /// The CRCs of front and middle as an epilogue has them, and what it has for the data while
    /// they are not known: a segment that is empty but counted has the seed, one not counted 0.
    pub fn segment_crcs(&self, front: &[u8], middle: &[u8], data_len: u32) -> SegmentCrcs {
        let middle_crc = if middle.is_empty() && data_len == 0 {
            0
        } else {
            (self.crc32c)(CRC_SEED, middle)
        };
        let data_crc = if data_len == 0 { 0 } else { CRC_SEED };
        SegmentCrcs([(self.crc32c)(CRC_SEED, front), middle_crc, data_crc])
    }

    /// Reads an epilogue and compares its CRCs.
    pub fn check_epilogue(&self, epilogue: &[u8], crcs: &SegmentCrcs) -> ProtoResult {
        let mut d = Decoder::new(epilogue);
        let status = d.u8("msgr2: epilogue")?;
        if status & LATE_STATUS_MASK != LATE_STATUS_COMPLETE {
            return Err(ProtoError::value(
                "msgr2: epilogue late status",
                status.into(),
            ));
        }
        let [front, middle, data] = crcs.0;
        check_crc(front, d.u32("msgr2: epilogue")?, "msgr2: front crc")?;
        check_crc(middle, d.u32("msgr2: epilogue")?, "msgr2: middle crc")?;
        check_crc(data, d.u32("msgr2: epilogue")?, "msgr2: data crc")
    }

    /// Appends an epilogue.
    pub fn put_epilogue(&self, crcs: &SegmentCrcs, out: &mut KVec<u8>) -> ProtoResult {
        let mut epilogue = [0; EPILOGUE_LEN];
        let mut fixed = Fixed::new(&mut epilogue);
        let mut e = Encoder::new(&mut fixed);
        e.u8(LATE_STATUS_COMPLETE)?;
        for crc in crcs.0 {
            e.u32(crc)?;
        }
        out.append(&epilogue)
    }

    /// Appends the head of a frame with the control segment `control` and these further segments.
    pub fn put_head_of(
        &self,
        tag: Tag,
        control: &[u8],
        further: [u32; 3],
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        check_control_len(control.len())?;
        let [front, middle, data] = further;
        let preamble = Preamble::new(tag, [control.len() as u32, front, middle, data]);
        out.append(&preamble.encode(self.crc32c))?;
        if !control.is_empty() {
            out.append(control)?;
            out.append(&(self.crc32c)(CRC_SEED, control).to_le_bytes())?;
        }
        Ok(())
    }

    /// Appends the head of a frame whose control segment `f` appends, and which has these further
    /// segments. Returns where in `out` the frame begins.
    pub fn put_head(
        &self,
        tag: Tag,
        further: [u32; 3],
        out: &mut KVec<u8>,
        f: impl FnOnce(&mut KVec<u8>) -> ProtoResult,
    ) -> ProtoResult<usize> {
        let at = out.len();
        Encoder::new(out).zeros(PREAMBLE_LEN)?;
        f(out)?;
        let control = out
            .get(at.saturating_add(PREAMBLE_LEN)..)
            .unwrap_or_default();
        let control_len = control.len();
        check_control_len(control_len)?;
        let crc = (self.crc32c)(CRC_SEED, control);
        let [front, middle, data] = further;
        let preamble = Preamble::new(tag, [control_len as u32, front, middle, data]);
        let mut e = Encoder::new(out);
        e.patch(at, &preamble.encode(self.crc32c))?;
        if control_len > 0 {
            e.u32(crc)?;
        }
        Ok(at)
    }
}

/// Fails if a control segment is longer than a peer would take.
fn check_control_len(len: usize) -> ProtoResult {
    if len > MAX_CONTROL_LEN as usize {
        return Err(ProtoError::new(
            "msgr2: control length",
            Reason::TooLong {
                len: len as u64,
                max: MAX_CONTROL_LEN.into(),
            },
        ));
    }
    Ok(())
}
