// SPDX-License-Identifier: GPL-2.0-only

//! Option values, and what is said about bad ones.

use kernel::{alloc::AllocError, fmt, prelude::*};

/// Largest number of seconds an option takes: more would overflow a count of milliseconds.
const SECONDS_MAX: u32 = (i32::MAX / 1000) as u32;

/// An option that was refused: the errno for the writer and the words for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionError<'a> {
    /// What the write fails with.
    pub errno: Error,
    what: &'static str,
    subject: &'a [u8],
}

impl<'a> OptionError<'a> {
    /// `what` is wrong with `subject`.
    pub const fn new(errno: Error, what: &'static str, subject: &'a [u8]) -> Self {
        Self {
            errno,
            what,
            subject,
        }
    }

    /// The same with `EINVAL`.
    pub const fn invalid(what: &'static str, subject: &'a [u8]) -> Self {
        Self::new(EINVAL, what, subject)
    }
}

impl From<Error> for OptionError<'_> {
    fn from(errno: Error) -> Self {
        Self::new(errno, "cannot take option", b"")
    }
}

impl From<AllocError> for OptionError<'_> {
    fn from(_: AllocError) -> Self {
        Self::new(ENOMEM, "out of memory", b"")
    }
}

impl fmt::Display for OptionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject.is_empty() {
            return write!(f, "{}", self.what);
        }
        write!(f, "{} '{}'", self.what, self.subject.escape_ascii())
    }
}

/// Splits `key[=value]` at its first `=`.
pub fn split_key_value(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&c| c == b'=') {
        Some(at) => (
            text.get(..at).unwrap_or_default(),
            text.get(at.saturating_add(1)..),
        ),
        None => (text, None),
    }
}

/// Reads a number as the kernel's `kstrtouint(…, 0, …)` does: decimal, or hexadecimal after `0x`,
/// or octal after `0`, with an optional `+` in front.
pub fn decimal<'a>(key: &'a [u8], value: Option<&[u8]>) -> Result<u32, OptionError<'a>> {
    let number = || {
        let text = core::str::from_utf8(value?).ok()?;
        let text = text.strip_prefix('+').unwrap_or(text);
        let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
            Some(hex) => (hex, 16),
            None if text.len() > 1 && text.starts_with('0') => (text, 8),
            None => (text, 10),
        };
        // from_str_radix() takes signs of its own.
        if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(digits, radix).ok()
    };
    number().ok_or(OptionError::invalid("bad value for", key))
}

/// Reads a number of seconds, at least `min`.
pub(super) fn seconds<'a>(
    key: &'a [u8],
    value: Option<&[u8]>,
    min: u32,
) -> Result<u32, OptionError<'a>> {
    match decimal(key, value)? {
        s if (min..=SECONDS_MAX).contains(&s) => Ok(s),
        _ => Err(OptionError::invalid("out of range:", key)),
    }
}

/// Reads a cluster id: 32 hexadecimal digits, punctuation between pairs passed over.
pub(super) fn fsid(text: &[u8]) -> Result<[u8; 16], ()> {
    let mut digits = text.iter().filter(|c| !c.is_ascii_punctuation());
    let mut id = [0; 16];
    for byte in &mut id {
        let mut nibble = || (*digits.next()? as char).to_digit(16);
        match (nibble(), nibble()) {
            (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
            _ => return Err(()),
        }
    }
    match digits.next() {
        None => Ok(id),
        Some(_) => Err(()),
    }
}
