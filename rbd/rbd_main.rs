// SPDX-License-Identifier: GPL-2.0-only

//! The RADOS block device driver.

#![deny(unsafe_code)]

use kernel::prelude::*;

#[allow(unsafe_code)]
mod abstractions;
pub mod control;
mod debugfs;
mod image;
pub mod io;
pub mod lock;
pub mod object_map;

use abstractions::{bus::Bus, module};
use control::Rbd;
use image::Image;

module! {
    type: RbdModule,
    name: "rbd",
    authors: ["The rbd-rs authors"],
    description: "RADOS Block Device (RBD) driver",
    license: "GPL",
}

struct RbdModule {
    _bus: Bus<Rbd>,
}

impl kernel::Module for RbdModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _bus: Rbd::register(module::single_major())?,
        })
    }
}
