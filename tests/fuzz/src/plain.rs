// SPDX-License-Identifier: GPL-2.0-only

//! Cryptography that stands in nobody's way: ciphers that leave everything as it is, checksums and MACs
//! that are zero. A fuzzer can guess those, and gets to what is behind them.

use ceph_proto_host::proto::crypto::Crypto;
use ceph_proto_host::proto::error::ProtoResult;
use ceph_proto_host::proto::types::{AddrType, EntityAddr};

/// A CRC-32C of anything.
pub fn crc32c(_seed: u32, _data: &[u8]) -> u32 {
    0
}

/// Ciphers and MACs.
#[derive(Clone, Copy, Default)]
pub struct Plain;

/// All random bytes are this one.
pub const RANDOM: u8 = 7;

impl Crypto for Plain {
    fn aes_cbc_encrypt(&self, _: &[u8; 16], _: &[u8; 16], data: &mut [u8]) -> ProtoResult {
        assert_eq!(data.len() % 16, 0);
        Ok(())
    }

    fn aes_cbc_decrypt(&self, _: &[u8; 16], _: &[u8; 16], data: &mut [u8]) -> ProtoResult {
        assert_eq!(data.len() % 16, 0);
        Ok(())
    }

    fn hmac_sha256(&self, _: &[u8], _: &[&[u8]]) -> ProtoResult<[u8; 32]> {
        Ok([0; 32])
    }

    fn random(&self, out: &mut [u8]) -> ProtoResult {
        out.fill(RANDOM);
        Ok(())
    }
}

/// An address to use.
pub fn addr(kind: AddrType, nonce: u32, text: &str) -> EntityAddr {
    EntityAddr::new(kind, nonce, text.parse().expect("an address"))
}
