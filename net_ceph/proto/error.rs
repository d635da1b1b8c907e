// SPDX-License-Identifier: GPL-2.0-only

//! Protocol errors: which step failed, and why.
//!
//! A [`ProtoError`] is made where bytes are looked at and becomes an errno once, at the edge
//! ([`ProtoError::to_errno`]). It is small and `Copy`, so passing it up costs nothing.

use kernel::{alloc::AllocError, fmt, prelude::*};

// Linux `include/uapi/asm-generic/errno.h`; the kernel crate names them only since 7.3.
const EBADMSG: i32 = 74;
const EOPNOTSUPP: i32 = 95;

/// Why a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `need` bytes were wanted, `have` were left.
    Short {
        /// Bytes wanted.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// A length or count exceeds what we accept.
    TooLong {
        /// What the peer said.
        len: u64,
        /// The most we accept.
        max: u64,
    },
    /// A field holds a value that makes no sense here.
    Value(u64),
    /// The encoding is newer than we can read: its `compat` exceeds `supported`.
    Incompatible {
        /// Oldest version whose readers can read this.
        compat: u8,
        /// The version we read up to.
        supported: u8,
    },
    /// A checksum differs.
    BadCrc {
        /// As received.
        expected: u32,
        /// As computed over what was received.
        computed: u32,
    },
    /// A signature, authorizer or decrypted magic does not verify.
    BadAuth,
    /// The peer refused us with this (negative) errno.
    Refused(i32),
    /// An event arrived that the state does not expect (the tag, or the message type).
    Unexpected(u64),
    /// Valid, but not built (named by the step).
    Unsupported,
    /// Bytes are not UTF-8.
    NotText,
    /// Memory ran out.
    NoMemory,
    /// The crypto layer failed with this errno.
    Crypto(i32),
}

/// A failed protocol step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtoError {
    /// The step in words, e.g. `"osdmap: pool count"`.
    pub step: &'static str,
    /// What was wrong.
    pub reason: Reason,
}

/// Result of a protocol step.
pub type ProtoResult<T = ()> = core::result::Result<T, ProtoError>;

impl ProtoError {
    /// An error of `step` for `reason`.
    pub const fn new(step: &'static str, reason: Reason) -> Self {
        Self { step, reason }
    }

    /// A field of `step` holds the impossible `value`.
    pub const fn value(step: &'static str, value: u64) -> Self {
        Self::new(step, Reason::Value(value))
    }

    /// The errno a caller outside the protocol sees.
    pub fn to_errno(self) -> Error {
        match self.reason {
            Reason::NoMemory => ENOMEM,
            Reason::BadCrc { .. } => Error::from_errno(-EBADMSG),
            Reason::BadAuth => EACCES,
            Reason::Refused(e) | Reason::Crypto(e) => Error::from_errno(e),
            Reason::Unsupported | Reason::Incompatible { .. } => Error::from_errno(-EOPNOTSUPP),
            Reason::Short { .. }
            | Reason::TooLong { .. }
            | Reason::Value(_)
            | Reason::Unexpected(_)
            | Reason::NotText => EINVAL,
        }
    }
}

impl From<AllocError> for ProtoError {
    fn from(_: AllocError) -> Self {
        Self::new("allocation", Reason::NoMemory)
    }
}

impl fmt::Display for ProtoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        match self.reason {
            Reason::Short { need, have } => write!(f, "need {need} bytes, have {have}"),
            Reason::TooLong { len, max } => write!(f, "{len} exceeds the limit of {max}"),
            Reason::Value(v) => write!(f, "bad value {v:#x}"),
            Reason::Incompatible { compat, supported } => {
                write!(
                    f,
                    "encoding needs version {compat}, we read up to {supported}"
                )
            }
            Reason::BadCrc { expected, computed } => {
                write!(f, "crc {computed:#010x}, expected {expected:#010x}")
            }
            Reason::BadAuth => write!(f, "does not verify"),
            Reason::Refused(e) => write!(f, "refused by peer with {e}"),
            Reason::Unexpected(v) => write!(f, "unexpected {v}"),
            Reason::Unsupported => write!(f, "not supported"),
            Reason::NotText => write!(f, "not UTF-8"),
            Reason::NoMemory => write!(f, "out of memory"),
            Reason::Crypto(e) => write!(f, "crypto error {e}"),
        }
    }
}
