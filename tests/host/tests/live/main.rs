// SPDX-License-Identifier: GPL-2.0-only

//! The whole protocol against a real cluster, over both messengers.
//!
//! Ignored unless asked for (`cargo test --test live -- --ignored`): they want `CEPH_LIVE_CONF`, the name of a
//! `ceph.conf` with the admin's keyring beside it, and in that cluster what [`osd`] says. With
//! `CEPH_LIVE_RECORD`, the name of a folder, they keep what they receive there as test vectors.

mod connection;
mod mon;
mod osd;
mod recorded;
mod shared;
mod watch;

/// Makes of each function two tests, one for each messenger.
macro_rules! on_both {
    ($($name:ident: $f:ident),* $(,)?) => {
        mod msgr1 {
            $(#[test]
            #[ignore = "wants a cluster: CEPH_LIVE_CONF"]
            fn $name() {
                super::$f(super::Protocol::Msgr1);
            })*
        }
        mod msgr2 {
            $(#[test]
            #[ignore = "wants a cluster: CEPH_LIVE_CONF"]
            fn $name() {
                super::$f(super::Protocol::Msgr2);
            })*
        }
    };
}
use on_both;
