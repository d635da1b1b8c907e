// SPDX-License-Identifier: GPL-2.0-only

//! The RADOS block device driver.

#![deny(unsafe_code)]

use kernel::prelude::*;

#[allow(unsafe_code)]
mod abstractions;

module! {
    type: Rbd,
    name: "rbd",
    authors: ["The rbd-rs authors"],
    description: "Ceph block device",
    license: "GPL",
}

struct Rbd;

impl kernel::Module for Rbd {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("crc {:#x}\n", net_ceph::abstractions::crc32c::crc32c(0, b"abc"));
        Ok(Self)
    }
}
