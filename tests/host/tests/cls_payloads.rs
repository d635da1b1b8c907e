// SPDX-License-Identifier: GPL-2.0-only

//! Class method payloads: the outputs of a real OSD, and what any other bytes give.

use ceph_proto_host::proto::cls::rbd_notify::{
    decode_response, encode_response, ClientId, Notification,
};
use ceph_proto_host::proto::cls::{lock, rbd};
use ceph_proto_host::proto::osd_op::NOSNAP;
use ceph_proto_host::proto::types::{EntityName, EntityType};
use kernel::prelude::*;
use proptest::prelude::*;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../vectors/cls/", $name)).as_slice()
    };
}

#[test]
fn the_header_of_a_real_image() {
    let id = rbd::decode_string(vector!("rbd_get_id"), rbd::MAX_ID, "").unwrap();
    assert_eq!(
        rbd::decode_string(vector!("rbd_dir_get_id"), rbd::MAX_ID, "").unwrap(),
        id
    );
    let name = rbd::decode_string(vector!("rbd_dir_get_name"), rbd::MAX_NAME, "").unwrap();
    assert_eq!(name, b"host-live");
    let prefix = rbd::decode_string(vector!("rbd_get_object_prefix"), rbd::MAX_PREFIX, "").unwrap();
    assert_eq!(prefix, [b"rbd_data.", id].concat());
    let f = rbd::Features::decode(vector!("rbd_get_features")).unwrap();
    assert_eq!(f.features, rbd::feature::LAYERING);
    let snaps = rbd::SnapContextReply::decode(vector!("rbd_get_snapcontext")).unwrap();
    assert_eq!(snaps.snaps[..], [snaps.seq]);
    let size = rbd::ImageSize::decode(vector!("rbd_get_size")).unwrap();
    assert_eq!((size.order, size.size), (22, 64 << 20));
    let name = rbd::decode_string(vector!("rbd_get_snapshot_name"), rbd::MAX_NAME, "").unwrap();
    assert_eq!(name, b"one");
    assert_eq!(
        rbd::ParentSpec::decode(vector!("rbd_parent_get")).unwrap(),
        None
    );
    assert_eq!(
        rbd::decode_parent_overlap(vector!("rbd_parent_overlap_get")).unwrap(),
        None
    );
    assert_eq!(
        rbd::decode_parent_legacy(vector!("rbd_get_parent")).unwrap(),
        None
    );
    assert!(
        rbd::decode_timestamp(vector!("rbd_get_create_timestamp"))
            .unwrap()
            .sec
            > 1 << 30
    );
}

#[test]
fn snapshots_that_stay_and_go() {
    let stays = rbd::SnapshotInfo::decode(vector!("rbd_snapshot_get")).unwrap();
    assert_eq!((stays.namespace, stays.children), (0, 1));
    assert!(!stays.is_going());
    let goes = rbd::SnapshotInfo::decode(vector!("rbd_snapshot_get_removed")).unwrap();
    assert_eq!((goes.namespace, goes.children), (2, 0));
    assert!(goes.is_going());
    let linked = rbd::SnapshotInfo {
        children: 1,
        ..goes
    };
    assert!(!linked.is_going());
}

#[test]
fn a_parent() {
    let output = b"\x01\x01\x1d\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0ns\x03\0\0\0abc\x07\0\0\0\0\0\0\0";
    let expected = rbd::ParentSpec {
        pool: 3,
        namespace: b"ns",
        image: b"abc",
        snapid: 7,
    };
    assert_eq!(rbd::ParentSpec::decode(output).unwrap(), Some(expected));
    assert!(rbd::ParentSpec::decode(&output[..34]).is_err());
    assert_eq!(
        rbd::decode_parent_overlap(b"\x01\x09\0\0\0\0\0\0\0").unwrap(),
        Some(9)
    );
    let legacy = b"\x03\0\0\0\0\0\0\0\x03\0\0\0abc\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0";
    let expected = rbd::ParentSpec {
        namespace: b"",
        ..expected
    };
    assert_eq!(
        rbd::decode_parent_legacy(legacy).unwrap(),
        Some((expected, 9))
    );
}

#[test]
fn a_state_from_several_outputs() {
    let start = [vector!("rbd_get_size"), vector!("rbd_get_snapcontext")].concat();
    let none = [
        &start[..],
        vector!("rbd_parent_get"),
        vector!("rbd_parent_overlap_get"),
    ]
    .concat();
    let state = rbd::ImageState::decode(&none).unwrap();
    assert_eq!(state.size, 64 << 20);
    assert_eq!(state.snaps.snaps[..], [state.snaps.seq]);
    assert_eq!(state.parent, None);
    let legacy = [&start[..], vector!("rbd_get_parent")].concat();
    assert_eq!(rbd::ImageState::decode_legacy(&legacy).unwrap(), state);

    let spec = b"\x01\x01\x1d\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0ns\x03\0\0\0abc\x04\0\0\0\0\0\0\0";
    let clone = [&start[..], spec, b"\x01\x09\0\0\0\0\0\0\0"].concat();
    let (parent, overlap) = rbd::ImageState::decode(&clone).unwrap().parent.unwrap();
    assert_eq!((parent.namespace, parent.image), (&b"ns"[..], &b"abc"[..]));
    assert_eq!((parent.pool, parent.snapid, overlap), (2, 4, 9));
    // Detached: the specification alone does not make a parent.
    let detached = [&start[..], spec, b"\0"].concat();
    assert_eq!(rbd::ImageState::decode(&detached).unwrap().parent, None);
    for len in 0..clone.len() {
        assert!(rbd::ImageState::decode(&clone[..len]).is_err());
    }
}

#[test]
fn inputs_as_documented() {
    assert_eq!(
        rbd::snap_input(NOSNAP),
        *b"\xfe\xff\xff\xff\xff\xff\xff\xff"
    );
    assert_eq!(
        rbd::features_input(true),
        *b"\xfe\xff\xff\xff\xff\xff\xff\xff\x01"
    );
    assert_eq!(rbd::features_input(false)[8], 0);
    let mut out = KVec::new();
    lock::Lock {
        name: b"n",
        kind: lock::LockType::Exclusive,
        cookie: b"c",
        tag: b"t",
        description: b"",
        flags: 2,
    }
    .encode(&mut out)
    .unwrap();
    let fields = b"\x01\0\0\0n\x01\x01\0\0\0c\x01\0\0\0t\0\0\0\0\0\0\0\0\0\0\0\0\x02";
    assert_eq!(
        out[..],
        [&[1, 1, fields.len() as u8, 0, 0, 0], &fields[..]].concat()
    );
    out.clear();
    lock::BreakLock {
        name: b"n",
        locker: EntityName::new(EntityType::CLIENT, 4),
        cookie: b"c",
    }
    .encode(&mut out)
    .unwrap();
    assert_eq!(&out[6..], b"\x01\0\0\0n\x08\x04\0\0\0\0\0\0\0\x01\0\0\0c");
}

#[test]
fn the_state_of_a_real_lock() {
    let info = lock::LockInfo::decode(vector!("lock_get_info")).unwrap();
    assert_eq!(
        (info.kind, info.tag),
        (lock::LockType::Exclusive, lock::RBD_LOCK_TAG)
    );
    let lockers: Vec<_> = info.lockers().collect();
    assert_eq!(lockers.len(), 1);
    assert_eq!(
        (lockers[0].cookie, lockers[0].name.kind),
        (&b"auto 3"[..], EntityType::CLIENT)
    );
    assert!(lockers[0].addr.sock.is_some());
    for n in 0..vector!("lock_get_info").len() {
        assert!(lock::LockInfo::decode(&vector!("lock_get_info")[..n]).is_err());
    }
}

#[test]
fn what_watchers_say() {
    assert_eq!(
        Notification::decode(b"").unwrap(),
        Notification::HeaderUpdate
    );
    let id = Some(ClientId { gid: 3, handle: 4 });
    for n in [
        Notification::AcquiredLock(id),
        Notification::ReleasedLock(None),
        Notification::RequestLock(id),
        Notification::HeaderUpdate,
        Notification::Other(7),
    ] {
        let mut out = KVec::new();
        n.encode(&mut out).unwrap();
        assert_eq!(Notification::decode(&out).unwrap(), n);
    }
    let mut out = KVec::new();
    Notification::RequestLock(id).encode(&mut out).unwrap();
    assert_eq!(
        &out[..],
        b"\x02\x01\x14\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0"
    );
    out.clear();
    encode_response(-30, &mut out).unwrap();
    assert_eq!(decode_response(&out).unwrap(), Some(-30));
    assert_eq!(decode_response(b"").unwrap(), None);
}

#[test]
fn limits() {
    let many = [
        &[0; 8][..],
        &(rbd::MAX_SNAPS as u32 + 1).to_le_bytes(),
        &[0; 8 * (rbd::MAX_SNAPS + 1)],
    ]
    .concat();
    assert!(rbd::SnapContextReply::decode(&many).is_err());
    let lie = [&[0; 8][..], &500u32.to_le_bytes()].concat();
    assert!(rbd::SnapContextReply::decode(&lie).is_err());
    let snaps = |seq: u64, ids: &[u64]| {
        let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let count = (ids.len() as u32 / 8).to_le_bytes();
        rbd::SnapContextReply::decode(&[&seq.to_le_bytes(), &count[..], &ids].concat()).is_ok()
    };
    assert!(snaps(5, &[5, 3, 1]) && snaps(9, &[2]) && snaps(0, &[]));
    assert!(!snaps(4, &[5, 3]) && !snaps(5, &[3, 5]) && !snaps(5, &[3, 3]));
    assert!(rbd::decode_string(&[5, 0, 0, 0, 1, 2, 3, 4, 5], 4, "").is_err());
}

fn try_all(bytes: &[u8]) {
    let _ = rbd::ImageSize::decode(bytes);
    let _ = rbd::Features::decode(bytes);
    let _ = rbd::Striping::decode(bytes);
    let _ = rbd::SnapContextReply::decode(bytes);
    let _ = rbd::ParentSpec::decode(bytes);
    let _ = rbd::decode_parent_overlap(bytes);
    let _ = rbd::decode_parent_legacy(bytes);
    let _ = rbd::decode_timestamp(bytes);
    let _ = rbd::ImageState::decode(bytes);
    let _ = rbd::ImageState::decode_legacy(bytes);
    if let Ok(info) = lock::LockInfo::decode(bytes) {
        assert!(info.lockers().count() <= bytes.len());
    }
    let _ = Notification::decode(bytes);
    let _ = decode_response(bytes);
}

proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        try_all(&bytes);
    }

    #[test]
    fn real_outputs_changed(at: usize, to: u8) {
        for output in [vector!("lock_get_info"), vector!("rbd_parent_get"), vector!("rbd_get_snapcontext")] {
            let mut output = output.to_vec();
            let at = at % output.len();
            output[at] = to;
            try_all(&output);
        }
    }
}
