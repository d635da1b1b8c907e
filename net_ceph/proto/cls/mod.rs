// SPDX-License-Identifier: GPL-2.0-only

//! Inputs and outputs of object class methods: what goes into an
//! [`Op::Call`](super::osd_op::Op::Call) and comes back.
//!
//! - [`rbd`]: image headers and the image directory
//! - [`rbd_notify`]: what watchers of an image tell each other
//! - [`lock`]: advisory locks
//! - [`object_map`]: which objects of an image exist

pub mod lock;
pub mod object_map;
pub mod rbd;
pub mod rbd_notify;
