// SPDX-License-Identifier: GPL-2.0-only

//! RustCrypto behind the protocol's crypto trait, and CRC-32C in the kernel's convention.

use crate::proto::crypto::Crypto;
use crate::proto::error::{ProtoError, ProtoResult, Reason};
use aes::cipher::{block_padding::NoPadding, BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use hmac::{Hmac, Mac};
use std::cell::Cell;

/// `crc32c(seed, data)` without inversions, as the kernel's and Ceph's. The crate inverts at both
/// ends, so its state is the complement of ours.
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    !::crc32c::crc32c_append(!seed, data)
}

/// Ciphers and MACs, with "randomness" that repeats: a counter mixed by SplitMix64.
#[derive(Default)]
pub struct RustCrypto {
    state: Cell<u64>,
}

impl RustCrypto {
    /// The sequence of randomness that `seed` stands for.
    pub fn seeded(seed: u64) -> Self {
        Self {
            state: Cell::new(seed),
        }
    }
}

fn bad_length(len: usize) -> ProtoError {
    ProtoError::new("cbc without padding", Reason::Value(len as u64))
}

impl Crypto for RustCrypto {
    fn aes_cbc_encrypt(&self, key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) -> ProtoResult {
        let len = data.len();
        cbc::Encryptor::<aes::Aes128>::new(key.into(), iv.into())
            .encrypt_padded_mut::<NoPadding>(data, len)
            .map(|_| ())
            .map_err(|_| bad_length(len))
    }

    fn aes_cbc_decrypt(&self, key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) -> ProtoResult {
        let len = data.len();
        cbc::Decryptor::<aes::Aes128>::new(key.into(), iv.into())
            .decrypt_padded_mut::<NoPadding>(data)
            .map(|_| ())
            .map_err(|_| bad_length(len))
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> ProtoResult<[u8; 32]> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key)
            .map_err(|_| ProtoError::new("hmac key", Reason::Value(key.len() as u64)))?;
        for part in parts {
            mac.update(part);
        }
        Ok(mac.finalize().into_bytes().into())
    }

    fn random(&self, out: &mut [u8]) -> ProtoResult {
        for chunk in out.chunks_mut(8) {
            let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.state.set(state);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}
