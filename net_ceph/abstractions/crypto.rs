// SPDX-License-Identifier: GPL-2.0-only

//! The kernel's cryptographic library behind the protocol's [`Crypto`].
//!
//! Key schedules and hash states live on the stack and are wiped: nothing here allocates or sleeps.
//!
//! C headers: [`include/crypto/aes.h`](srctree/include/crypto/aes.h),
//! [`include/crypto/sha2.h`](srctree/include/crypto/sha2.h)

use super::bindings;
use crate::proto::{
    crypto::Crypto,
    error::{ProtoError, ProtoResult, Reason},
};

/// Bytes in an AES block.
const BLOCK: usize = 16;

/// The kernel's ciphers, MACs and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelCrypto;

/// A prepared AES key, wiped when dropped.
struct AesKey(bindings::aes_key);

impl AesKey {
    /// Prepares `key` for `f`. It stays where it is: what is moved leaves a copy that nobody wipes.
    fn with<R>(key: &[u8; 16], f: impl FnOnce(&Self) -> ProtoResult<R>) -> ProtoResult<R> {
        let mut this = Self(bindings::aes_key::default());
        // SAFETY: The key is valid for writes, `key` for reads of its length.
        let ret = unsafe { bindings::aes_preparekey(&mut this.0, key.as_ptr(), key.len()) };
        if ret != 0 {
            return Err(ProtoError::new("aes: key", Reason::Crypto(ret)));
        }
        f(&this)
    }

    fn encrypt(&self, block: &mut [u8; BLOCK]) {
        let block = block.as_mut_ptr();
        // SAFETY: The key is prepared; `block` is valid for a block and may be input and output.
        unsafe { bindings::net_ceph_aes_encrypt(&self.0, block, block) };
    }

    fn decrypt(&self, block: &mut [u8; BLOCK]) {
        let block = block.as_mut_ptr();
        // SAFETY: The key is prepared; `block` is valid for a block and may be input and output.
        unsafe { bindings::aes_decrypt(&self.0, block, block) };
    }
}

impl Drop for AesKey {
    fn drop(&mut self) {
        let len = core::mem::size_of::<bindings::aes_key>();
        // SAFETY: The key is valid for writes of its size, and zero is a valid value of its integers.
        unsafe { bindings::net_ceph_memzero(core::ptr::from_mut(&mut self.0).cast(), len) };
    }
}

/// Applies `f` to each block of `data`, which must be whole blocks.
fn for_blocks(data: &mut [u8], mut f: impl FnMut(&mut [u8; BLOCK])) -> ProtoResult {
    if data.len() % BLOCK != 0 {
        return Err(ProtoError::value("aes: data length", data.len() as u64));
    }
    for chunk in data.chunks_exact_mut(BLOCK) {
        if let Ok(block) = chunk.try_into() {
            f(block);
        }
    }
    Ok(())
}

fn xor(block: &mut [u8; BLOCK], with: &[u8; BLOCK]) {
    for (b, w) in block.iter_mut().zip(with) {
        *b ^= w;
    }
}

impl Crypto for KernelCrypto {
    fn aes_cbc_encrypt(&self, key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) -> ProtoResult {
        let mut previous = *iv;
        AesKey::with(key, |aes| {
            for_blocks(data, |block| {
                xor(block, &previous);
                aes.encrypt(block);
                previous = *block;
            })
        })
    }

    fn aes_cbc_decrypt(&self, key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) -> ProtoResult {
        let mut previous = *iv;
        AesKey::with(key, |aes| {
            for_blocks(data, |block| {
                let cipher = *block;
                aes.decrypt(block);
                xor(block, &previous);
                previous = cipher;
            })
        })
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> ProtoResult<[u8; 32]> {
        let mut ctx = bindings::hmac_sha256_ctx::default();
        let mut out = [0u8; 32];
        // SAFETY: `ctx` is valid for writes, `key` for reads of its length.
        unsafe { bindings::hmac_sha256_init_usingrawkey(&mut ctx, key.as_ptr(), key.len()) };
        for part in parts {
            // SAFETY: The context was initialised above; `part` is valid for reads of its length.
            unsafe {
                bindings::__sha256_update(&mut ctx.ctx.sha_ctx, part.as_ptr(), part.len());
            }
        }
        // SAFETY: The context was initialised above, `out` has room for a digest. The context is
        // wiped by the call.
        unsafe { bindings::hmac_sha256_final(&mut ctx, out.as_mut_ptr()) };
        Ok(out)
    }

    fn random(&self, out: &mut [u8]) -> ProtoResult {
        random_bytes(out);
        Ok(())
    }
}

/// Fills `out` with random bytes fit for keys and challenges. Any context.
pub fn random_bytes(out: &mut [u8]) {
    // SAFETY: `out` is valid for writes of its length.
    unsafe { bindings::get_random_bytes(out.as_mut_ptr().cast(), out.len()) };
}

/// A random number. Any context.
pub fn random_u64() -> u64 {
    // SAFETY: Always safe to call.
    unsafe { bindings::get_random_u64() }
}
