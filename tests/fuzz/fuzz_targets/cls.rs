// SPDX-License-Identifier: GPL-2.0-only

//! Outputs of class methods, and what the watchers of an image tell each other.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget};
use ceph_proto_host::lock::owner::{Found, LockCookie};
use ceph_proto_host::proto::cls::lock::LockInfo;
use ceph_proto_host::proto::cls::rbd::{
    decode_parent_legacy, decode_parent_overlap, decode_string, decode_timestamp, decode_u64,
    Features, ImageSize, ImageState, ParentSpec, SnapContextReply, SnapshotInfo, Striping,
};
use ceph_proto_host::proto::cls::rbd_notify::{decode_response, encode_response, Notification};
use ceph_proto_host::proto::striper::Layout;
use kernel::prelude::*;

fuzz_target!(Budget::DECODER, |data| {
    let _ = decode_string(data, 64, "fuzz").map(|s| assert!(s.len() <= 64));
    let _ = decode_u64(data, "fuzz");
    let _ = decode_timestamp(data);
    let _ = Features::decode(data);
    if let (Ok(size), Ok(striping)) = (ImageSize::decode(data), Striping::decode(data)) {
        if let Ok(layout) = Layout::new(size.order, striping.unit, striping.count) {
            let _ = layout.object_count(size.size);
        }
    }
    if let Ok(snapc) = SnapContextReply::decode(data) {
        assert!(snapc.snaps.first().is_none_or(|&first| first <= snapc.seq));
        assert!(snapc.snaps.is_sorted_by(|a, b| a > b), "newest first");
    }
    let _ = ParentSpec::decode(data);
    let _ = decode_parent_overlap(data);
    let _ = decode_parent_legacy(data);
    let _ = ImageState::decode(data);
    let _ = SnapshotInfo::decode(data);
    let _ = ImageState::decode_legacy(data);
    if let Ok(info) = LockInfo::decode(data) {
        let lockers = info.lockers().count();
        assert!(lockers * 12 <= data.len());
        if let Found::Locker(locker) = Found::new(&info) {
            let cookie = info.lockers().next().map(|l| l.cookie);
            assert_eq!(cookie, Some(LockCookie::new(locker.handle).as_bytes()));
        }
    }
    if let Some(handle) = LockCookie::handle(data) {
        assert_eq!(LockCookie::new(handle).as_bytes(), data);
    }
    let mut out = KVec::new();
    if let Ok(n) = Notification::decode(data) {
        n.encode(&mut out).unwrap();
        assert_eq!(Notification::decode(&out), Ok(n));
    }
    if let Ok(Some(result)) = decode_response(data) {
        out.clear();
        encode_response(result, &mut out).unwrap();
        assert_eq!(decode_response(&out), Ok(Some(result)));
    }
});
