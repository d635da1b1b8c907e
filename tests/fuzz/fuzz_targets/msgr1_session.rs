// SPDX-License-Identifier: GPL-2.0-only

//! A session over messenger v1, from connections made to connections lost.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, session, Budget};
use ceph_proto_host::proto::session::Protocol;

fuzz_target!(Budget::DECODER, |data| session::run(Protocol::Msgr1, data));
