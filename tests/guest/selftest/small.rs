// SPDX-License-Identifier: GPL-2.0-only

//! What needs no peer: sums, ciphers, clocks, waiting, keys, cursors in buffers.

use crate::check;
use kernel::prelude::*;
use net_ceph::{
    abstractions::{
        crc32c::crc32c, crypto::KernelCrypto, data::DataBuf, errno::ENOKEY, key_type, netns::NetNs,
        time, wait::Event,
    },
    proto::crypto::Crypto,
};

/// The check value of CRC-32C (RFC 3720, B.4 gives more).
pub(crate) fn crc32c_vector() -> Result {
    check!(!crc32c(!0, b"123456789") == 0xe306_9283);
    check!(crc32c(crc32c(7, b"1234"), b"56789") == crc32c(7, b"123456789"));
    Ok(())
}

/// NIST SP 800-38A, F.2.1 and F.2.2: the first two blocks.
pub(crate) fn aes_cbc_vectors() -> Result {
    let key = [
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f,
        0x3c,
    ];
    let iv = core::array::from_fn(|i| i as u8);
    let plain = [
        0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17,
        0x2a, 0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf,
        0x8e, 0x51,
    ];
    let cipher = [
        0x76, 0x49, 0xab, 0xac, 0x81, 0x19, 0xb2, 0x46, 0xce, 0xe9, 0x8e, 0x9b, 0x12, 0xe9, 0x19,
        0x7d, 0x50, 0x86, 0xcb, 0x9b, 0x50, 0x72, 0x19, 0xee, 0x95, 0xdb, 0x11, 0x3a, 0x91, 0x76,
        0x78, 0xb2,
    ];
    let mut data = plain;
    let c = KernelCrypto;
    c.aes_cbc_encrypt(&key, &iv, &mut data)
        .map_err(|e| e.to_errno())?;
    check!(data == cipher);
    c.aes_cbc_decrypt(&key, &iv, &mut data)
        .map_err(|e| e.to_errno())?;
    check!(data == plain);
    check!(c.aes_cbc_encrypt(&key, &iv, &mut data[..17]).is_err());
    Ok(())
}

/// RFC 4231, test cases 2 (in pieces) and 6 (a key longer than a block).
pub(crate) fn hmac_vectors() -> Result {
    let c = KernelCrypto;
    let two = c
        .hmac_sha256(b"Jefe", &[b"what do ya ", b"", b"want for nothing?"])
        .map_err(|e| e.to_errno())?;
    check!(two[..8] == [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
    check!(two[24..] == [0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43]);
    let six = c
        .hmac_sha256(
            &[0xaa; 131],
            &[b"Test Using Larger Than Block-Size Key - Hash Key First"],
        )
        .map_err(|e| e.to_errno())?;
    check!(six[..8] == [0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f]);
    let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
    c.random(&mut a).map_err(|e| e.to_errno())?;
    c.random(&mut b).map_err(|e| e.to_errno())?;
    check!(a != b);
    Ok(())
}

pub(crate) fn clocks() -> Result {
    let (ns, ticks) = (time::boot_ns(), time::jiffies_now());
    net_ceph::abstractions::wait::sleep_ms(30);
    let passed = time::boot_ns().wrapping_sub(ns);
    check!(passed >= 30_000_000 && passed < 20_000_000_000);
    check!(time::jiffies_now().wrapping_sub(ticks) >= time::msecs(20));
    check!(time::wall_time().sec > 1_700_000_000 && time::wall_time().nsec < 1_000_000_000);
    check!(time::secs(1) == time::msecs(1000));
    check!(time::secs(u64::MAX) > time::secs(1000));
    Ok(())
}

pub(crate) fn wait() -> Result {
    let event = KBox::pin_init(Event::new(), GFP_KERNEL)?;
    let before = time::boot_ns();
    check!(!event.is_complete());
    check!(!event.wait_timeout(time::msecs(20)));
    check!(!event.wait_killable(time::msecs(20))?);
    check!(time::boot_ns() - before >= 30_000_000);
    event.complete_all();
    check!(event.is_complete());
    event.wait();
    check!(event.wait_timeout(1));
    check!(event.wait_interruptible(1)?);
    check!(event.wait_killable(1)?);
    Ok(())
}

pub(crate) fn netns() -> Result {
    let (a, b) = (NetNs::current(), NetNs::current());
    check!(a == b);
    Ok(())
}

/// `run` adds the key before it loads the module: AES, bytes 1 to 16.
pub(crate) fn keyring() -> Result {
    let key = key_type::request(c"client.selftest")?;
    check!(key.session_key().0 == core::array::from_fn(|i| i as u8 + 1));
    check!(key_type::request(c"client.nobody").err() == Some(ENOKEY));
    Ok(())
}

pub(crate) fn buffer_cursor() -> Result {
    let mut bytes = KVVec::new();
    for i in 0..10_000u32 {
        bytes.push((i * 7) as u8, GFP_KERNEL)?;
    }
    let sum = crc32c(1, &bytes[3..9000]);
    let buf = DataBuf::new(bytes)?;
    let mut cursor = buf.cursor();
    check!(cursor.remaining() == 10_000);
    cursor.advance(3);
    check!(cursor.crc32c(1, 8997) == sum);
    check!(cursor.take(5).remaining() == 5);
    let mut out = [0u8; 4];
    check!(cursor.copy_to(&mut out) == 4 && out == [21, 28, 35, 42]);
    check!(cursor.copy_from(&[1, 2, 3]) == 3);
    cursor.zero_fill(2);
    check!(cursor.remaining() == 10_000 - 12);
    cursor.advance(usize::MAX);
    check!(cursor.is_empty() && cursor.copy_to(&mut out) == 0);
    drop(cursor);
    let bytes = DataBuf::into_vec(buf).ok_or(EBUSY)?;
    check!(bytes[7..13] == [1, 2, 3, 0, 0, 84]);
    let buf = DataBuf::zeroed(10)?;
    let cursor = buf.cursor();
    check!(DataBuf::into_vec(buf).is_none());
    check!(cursor.remaining() == 10);
    Ok(())
}
