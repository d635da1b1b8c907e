// SPDX-License-Identifier: GPL-2.0-only

//! The RADOS client: messenger, authentication, monitor client, OSD client.

#![deny(unsafe_code)]

use kernel::prelude::*;

#[allow(unsafe_code)]
pub mod abstractions;
pub mod auth;
pub mod client;
pub mod debugfs;
pub mod messenger;
pub mod mon_client;
pub mod options;
pub mod osd_client;
pub mod proto;

module! {
    type: NetCeph,
    name: "net_ceph",
    authors: ["The rbd-rs authors"],
    description: "Ceph RADOS client",
    license: "GPL",
}

struct NetCeph {
    _clients: abstractions::module_slot::Filled<client::Clients>,
    _key_type: abstractions::key_type::KeyType,
}

impl kernel::Module for NetCeph {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _clients: client::Clients::register()?,
            _key_type: abstractions::key_type::KeyType::register()?,
        })
    }
}
