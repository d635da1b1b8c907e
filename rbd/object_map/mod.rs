// SPDX-License-Identifier: GPL-2.0-only

//! The object map of an image.

pub mod bits;
pub mod turns;
