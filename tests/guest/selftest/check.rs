// SPDX-License-Identifier: GPL-2.0-only

//! What tests check with.

/// Fails the test unless `$cond`, naming the place.
#[macro_export]
macro_rules! check {
    ($cond:expr) => {
        if !$cond {
            pr_err!("{}:{}: {}\n", file!(), line!(), stringify!($cond));
            return Err(net_ceph::abstractions::errno::EPROTO);
        }
    };
}
