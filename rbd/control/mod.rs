// SPDX-License-Identifier: GPL-2.0-only

//! The driver's face in sysfs: `/sys/bus/rbd` with its control files, and the attributes of mapped
//! devices.

mod attributes;
mod bus;
mod devices;
mod ids;
pub mod map_spec;
mod mapping;
mod registry;
mod removal;

pub(crate) use ids::Id;
pub(crate) use mapping::{ImageNames, Mapping, ParentNames, Queues};
pub(crate) use registry::Rbd;
