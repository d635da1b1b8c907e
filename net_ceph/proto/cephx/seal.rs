// SPDX-License-Identifier: GPL-2.0-only

//! The cephx envelope: AES-128-CBC with a fixed IV and PKCS#7 padding around
//! `u8 struct_v = 1`, `u64 magic` and the contents; usually behind a `u32` length.
//!
//! Source: Ceph `src/auth/cephx/CephxProtocol.h` (`encode_encrypt`, `decode_decrypt`), `src/auth/Crypto.cc`.

use crate::proto::auth::SessionKey;
use crate::proto::crypto::Crypto;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// `CEPH_AES_IV` (Ceph `src/include/ceph_fs.h`).
pub const IV: &[u8; 16] = b"cephsageyudagreg";
/// `AUTH_ENC_MAGIC` (Ceph `src/auth/cephx/CephxProtocol.h`).
const MAGIC: u64 = 0xff00_9cad_8826_aa55;
const BLOCK: usize = 16;
/// The largest envelope opened. Tickets carry a user's capabilities, so they can have some length.
const MAX_SEALED: usize = 256 * 1024;

/// Appends a sealed blob, length first: what `f` writes is its contents.
pub fn seal(
    crypto: &dyn Crypto,
    key: &SessionKey,
    out: &mut Encoder<'_>,
    f: impl FnOnce(&mut Encoder<'_>) -> ProtoResult,
) -> ProtoResult {
    let mut plain = KVec::new();
    let mut e = Encoder::new(&mut plain);
    e.u8(1)?;
    e.u64(MAGIC)?;
    f(&mut e)?;
    let pad = BLOCK - plain.len() % BLOCK;
    plain.extend_with(pad, pad as u8, GFP_KERNEL)?;
    crypto.aes_cbc_encrypt(&key.0, IV, &mut plain)?;
    out.blob(&plain)
}

/// Opens an envelope that stands behind its `u32` length in `d`; returns its contents.
pub fn open(
    crypto: &dyn Crypto,
    key: &SessionKey,
    d: &mut Decoder<'_>,
    step: &'static str,
) -> ProtoResult<Opened> {
    open_bare(crypto, key, d.blob(MAX_SEALED, step)?, step)
}

/// Opens an envelope that is all of `sealed`; returns its contents.
///
/// A wrong key shows as padding or a magic that do not verify: [`Reason::BadAuth`].
pub fn open_bare(
    crypto: &dyn Crypto,
    key: &SessionKey,
    sealed: &[u8],
    step: &'static str,
) -> ProtoResult<Opened> {
    if sealed.is_empty()
        || !sealed.chunks_exact(BLOCK).remainder().is_empty()
        || sealed.len() > MAX_SEALED
    {
        return Err(ProtoError::value(step, sealed.len() as u64));
    }
    let mut plain = KVec::with_capacity(sealed.len(), GFP_KERNEL)?;
    plain.extend_from_slice(sealed, GFP_KERNEL)?;
    crypto.aes_cbc_decrypt(&key.0, IV, &mut plain)?;

    let bad = ProtoError::new(step, Reason::BadAuth);
    let pad = usize::from(*plain.last().ok_or(bad)?);
    if pad == 0 || pad > BLOCK {
        return Err(bad);
    }
    plain.truncate(plain.len().saturating_sub(pad));
    let opened = Opened { plain };
    let mut d = Decoder::new(&opened.plain);
    let _struct_v = d.u8(step)?;
    if d.u64(step)? != MAGIC {
        return Err(bad);
    }
    Ok(opened)
}

/// Contents of an opened envelope; wiped when dropped, for they hold keys.
pub struct Opened {
    plain: KVec<u8>,
}

impl Opened {
    /// Bytes of the envelope's own header.
    const HEADER: usize = 9;

    /// A decoder of the contents.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder::new(self.plain.get(Self::HEADER..).unwrap_or(&[]))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.plain.fill(0);
        core::hint::black_box(&self.plain);
    }
}
