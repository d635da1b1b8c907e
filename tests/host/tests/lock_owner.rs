// SPDX-License-Identifier: GPL-2.0-only

//! Who holds an image's lock, from what a real OSD answered, and from what it could; and who waits.

use ceph_proto_host::lock::owner::{Address, Foreign, Found, LockCookie};
use ceph_proto_host::lock::waiting::Waiting;
use ceph_proto_host::proto::cls::lock::LockInfo;
use ceph_proto_host::proto::types::{AddrType, EntityAddr, EntityType};
use ceph_proto_host::proto::watch::Watcher;
use std::collections::VecDeque;

const REAL: &[u8] = include_bytes!("../vectors/cls/lock_get_info");

fn found(bytes: &[u8]) -> Found {
    Found::new(&LockInfo::decode(bytes).unwrap())
}

/// The real answer, with one place of it changed.
fn changed(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = REAL
        .windows(from.len())
        .position(|w| w == from)
        .expect("not there");
    let mut bytes = REAL.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn cookies() {
    for handle in [0, 1, 9, 10, 12345, u64::MAX] {
        let cookie = LockCookie::new(handle);
        assert_eq!(cookie.as_bytes(), format!("auto {handle}").as_bytes());
        assert_eq!(LockCookie::handle(cookie.as_bytes()), Some(handle));
    }
    for other in [
        "",
        "auto",
        "auto ",
        "auto x",
        "auto -1",
        "auto +1",
        "auto 01",
        "auto 1 ",
        "auto  1",
        "Auto 1",
        "auto 18446744073709551616",
        "auto1",
        "1",
    ] {
        assert_eq!(LockCookie::handle(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn the_holder_of_a_real_lock() {
    let Found::Locker(locker) = found(REAL) else {
        panic!("{:?}", found(REAL));
    };
    assert_eq!((locker.handle, locker.name.kind), (3, EntityType::CLIENT));
    let watcher = Watcher {
        name: locker.name,
        cookie: 3,
        addr: locker.addr,
    };
    assert!(locker.is_among([watcher].iter()));
    let mut other = watcher;
    other.cookie = 4;
    assert!(!locker.is_among([other].iter()));
    let mut other = watcher;
    other.addr.nonce ^= 1;
    assert!(!locker.is_among([other].iter()));
    assert!(!locker.is_among([].iter()));
}

#[test]
fn locks_of_others() {
    assert_eq!(
        found(&changed(b"internal", b"external")),
        Found::Foreign(Foreign::Tag)
    );
    assert_eq!(
        found(&changed(b"auto 3", b"auto x")),
        Found::Foreign(Foreign::Cookie)
    );
    // The kind stands in front of the tag.
    assert_eq!(
        found(&changed(
            b"\x01\x08\0\0\0internal",
            b"\x02\x08\0\0\0internal"
        )),
        Found::Foreign(Foreign::Kind)
    );
    let nobody = b"\x01\x01\x11\0\0\0\0\0\0\0\x01\x08\0\0\0internal";
    assert_eq!(found(nobody), Found::Nobody);
}

#[test]
fn addresses_for_block_lists() {
    let v4 = EntityAddr::new(AddrType::MSGR2, 7, ([10, 0, 0, 1], 0).into());
    assert_eq!(Address(v4).to_string(), "10.0.0.1:0/7");
    let v6 = EntityAddr::new(AddrType::LEGACY, 9, "[fe80::1]:12".parse().unwrap());
    assert_eq!(Address(v6).to_string(), "[fe80::1]:12/9");
}

#[test]
fn waiting_in_order() {
    let mut queue = Waiting::new(5).unwrap();
    let mut model: VecDeque<(u64, u64)> = VecDeque::new();
    for n in 0..1000u64 {
        if n % 7 < 4 {
            let pushed = queue.push(n, 10 * n);
            if model.len() == 5 {
                assert_eq!(pushed, Err(n));
            } else {
                assert_eq!(pushed, Ok(model.is_empty()));
                model.push_back((n, 10 * n));
            }
        } else {
            assert_eq!(queue.pop(), model.pop_front().map(|(n, _)| n));
        }
        assert_eq!(queue.len(), model.len());
        assert_eq!(queue.is_empty(), model.is_empty());
        assert_eq!(queue.oldest(), model.front().map(|&(_, at)| at));
    }
    queue.refuse();
    assert_eq!(queue.push(1, 0), Err(1));
    while let Some((n, _)) = model.pop_front() {
        assert_eq!(queue.pop(), Some(n));
    }
    assert_eq!(queue.pop(), None);
    // Without room nothing is kept.
    assert_eq!(Waiting::new(0).unwrap().push(1, 0), Err(1));
}
