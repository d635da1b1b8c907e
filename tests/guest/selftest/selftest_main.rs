// SPDX-License-Identifier: GPL-2.0-only

//! Tests of `net_ceph/abstractions` in a running kernel, against `serve.py` on the loopback.
//!
//! A KUnit suite, which runs when the module has been loaded. But the keys are looked for while it is
//! loaded, which fails with `EPROTO` then: they are in the keyring of the task that loads it.

use kernel::prelude::*;

#[macro_use]
mod check;
#[macro_use]
#[path = "abstractions/kunit.rs"]
mod kunit;

mod bios;
mod peer;
mod small;
mod sockets;
mod strided;
mod work;

module! {
    type: SelfTest,
    name: "ceph_selftest",
    authors: ["The rbd-rs authors"],
    description: "Tests of the abstractions of net_ceph",
    license: "GPL",
}

struct SelfTest;

kunit_suite!(net_ceph_abstractions {
    crc32c: small::crc32c_vector,
    aes_cbc: small::aes_cbc_vectors,
    hmac: small::hmac_vectors,
    clocks: small::clocks,
    wait: small::wait,
    netns: small::netns,
    buffer_cursor: small::buffer_cursor,
    bio_cursor: bios::cursor,
    strided_bios: strided::bios,
    strided_buffer: strided::buffer,
    queue: work::queue,
    queue_cancel: work::cancel,
    queue_storm: work::storm,
    echo_v4: sockets::echo_v4,
    echo_v6: sockets::echo_v6,
    echo_bios: sockets::echo_bios,
    echo_strided: strided::echo,
    backpressure: sockets::backpressure,
    refused: sockets::refused,
    peer_closes: sockets::peer_closes,
    peer_resets: sockets::peer_resets,
    drop_while_busy: sockets::drop_while_busy,
});

impl kernel::Module for SelfTest {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        small::keyring()?;
        Ok(Self)
    }
}
