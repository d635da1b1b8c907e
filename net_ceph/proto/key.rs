// SPDX-License-Identifier: GPL-2.0-only

//! A Ceph secret key: what `secret=` holds, what a `ceph` key in the kernel's keyring holds, and what
//! the monitors hand out as session keys.
//!
//! Wire shape (Ceph `src/auth/Crypto.cc`, `CryptoKey::encode`): `u16 type`, `u32 sec`, `u32 nsec` of
//! its creation, `u16 len`, and the key's bytes. Text form: that, in base64.

use super::auth::SessionKey;
use super::error::{ProtoError, ProtoResult, Reason};
use super::wire::{Decoder, Encoder};

/// `CEPH_CRYPTO_AES`: AES-128 (Ceph `src/include/ceph_fs.h`).
const TYPE_AES: u16 = 1;
/// `CEPH_CRYPTO_AES256KRB5` (Ceph 20.2, `src/include/ceph_fs.h`).
const TYPE_AES256KRB5: u16 = 2;
/// Bytes in an AES-128 key.
const AES_LEN: usize = 16;
/// The longest text form accepted; an AES key's takes 40 characters.
const MAX_TEXT: usize = 256;

/// A secret key of type AES, with the time of its creation.
///
/// Not `Debug`, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoKey {
    secret: [u8; AES_LEN],
    created: (u32, u32),
}

impl CryptoKey {
    /// A key of these bytes, created at second 0.
    pub fn from_secret(secret: [u8; AES_LEN]) -> Self {
        Self {
            secret,
            created: (0, 0),
        }
    }

    /// Reads the text form: base64 as `ceph auth get-key` prints it. Line ends are passed over.
    ///
    /// Fails with [`Reason::Unsupported`] for a key of type AES256KRB5.
    pub fn from_base64(text: &[u8]) -> ProtoResult<Self> {
        let mut raw = [0u8; MAX_TEXT];
        let len = unarmor(text, &mut raw)?;
        let key = Self::from_bytes(raw.get(..len).unwrap_or(&[]));
        raw.fill(0);
        core::hint::black_box(&raw);
        key
    }

    /// Reads the binary form, and nothing behind it.
    pub fn from_bytes(bytes: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(bytes);
        let key = Self::decode(&mut d)?;
        d.finish("key: end")?;
        Ok(key)
    }

    /// Reads the binary form.
    pub fn decode(d: &mut Decoder<'_>) -> ProtoResult<Self> {
        let kind = d.u16("key: type")?;
        let created = (d.u32("key: creation time")?, d.u32("key: creation time")?);
        let len = usize::from(d.u16("key: length")?);
        let bytes = d.bytes(len, "key: bytes")?;
        match kind {
            TYPE_AES => {}
            TYPE_AES256KRB5 => {
                return Err(ProtoError::new(
                    "key: type 2 (AES256KRB5)",
                    Reason::Unsupported,
                ))
            }
            other => return Err(ProtoError::value("key: type", other.into())),
        }
        let secret = bytes
            .try_into()
            .map_err(|_| ProtoError::value("key: length of an AES key", len as u64))?;
        Ok(Self { secret, created })
    }

    /// Appends the binary form.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.u16(TYPE_AES)?;
        e.u32(self.created.0)?;
        e.u32(self.created.1)?;
        e.u16(AES_LEN as u16)?;
        e.bytes(&self.secret)
    }

    /// The key as a session uses it.
    pub fn session_key(&self) -> SessionKey {
        SessionKey(self.secret)
    }
}

impl Drop for CryptoKey {
    fn drop(&mut self) {
        self.secret.fill(0);
        core::hint::black_box(&self.secret);
    }
}

/// Decodes base64 into `out`, passing over line ends; returns how many bytes it made.
fn unarmor(text: &[u8], out: &mut [u8]) -> ProtoResult<usize> {
    let mut len = 0;
    let mut bits: u32 = 0;
    let mut have = 0u32;
    let mut padding = 0;
    for &c in text {
        let value = match c {
            b'A'..=b'Z' => c.wrapping_sub(b'A'),
            b'a'..=b'z' => c.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => c.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            b'\n' | b'\r' => continue,
            _ => return Err(ProtoError::value("key: base64 character", c.into())),
        };
        if padding > 0 {
            return Err(ProtoError::value("key: base64 after padding", c.into()));
        }
        bits = (bits << 6) | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            *out.get_mut(len)
                .ok_or(ProtoError::value("key: base64 too long", text.len() as u64))? =
                (bits >> have) as u8;
            len += 1;
            bits &= (1 << have) - 1;
        }
    }
    // A group of four characters makes three bytes; padding stands for what the last group lacks.
    let expected = match have {
        0 => 0,
        2 => 1,
        4 => 2,
        _ => return Err(ProtoError::value("key: base64 length", text.len() as u64)),
    };
    if padding != expected || bits != 0 {
        return Err(ProtoError::value("key: base64 padding", padding));
    }
    Ok(len)
}
