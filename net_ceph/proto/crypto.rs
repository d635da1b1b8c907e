// SPDX-License-Identifier: GPL-2.0-only

//! What the protocol needs of a cryptographic library.
//!
//! The kernel crypto API stands behind these traits in the module, RustCrypto in the host tests.

use super::error::ProtoResult;

/// CRC-32C without pre- or post-inversion: `crc32c(seed, data)` as Ceph's `ceph_crc32c()` and the
/// kernel's `crc32c()` compute it.
pub type Crc32c = fn(seed: u32, data: &[u8]) -> u32;

/// Ciphers, MACs and randomness. Methods may sleep.
pub trait Crypto {
    /// AES-128-CBC without padding, in place. `data` is a multiple of 16 bytes.
    fn aes_cbc_encrypt(&self, key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) -> ProtoResult;

    /// The inverse of [`aes_cbc_encrypt`](Self::aes_cbc_encrypt).
    fn aes_cbc_decrypt(&self, key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) -> ProtoResult;

    /// HMAC-SHA-256 over the concatenation of `parts`.
    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> ProtoResult<[u8; 32]>;

    /// Fills `out` with random bytes fit for keys and challenges.
    fn random(&self, out: &mut [u8]) -> ProtoResult;
}
