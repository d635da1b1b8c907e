// SPDX-License-Identifier: GPL-2.0-only

//! OSD messages: requests byte for byte as Ceph lays them out, replies and notifications as a real OSD sent
//! them, and what any other bytes give.

use ceph_proto_host::proto::message::{Reply, Request};
use ceph_proto_host::proto::osd_op::op::{WatchOp, OP_LEN};
use ceph_proto_host::proto::osd_op::{
    flags, BackoffAck, BackoffOp, HObject, HObjectBuf, Locator, Op, OsdBackoff, OsdOp, OsdOpReply,
    OsdOpRequest, SnapContext, SpgId, NOSNAP,
};
use ceph_proto_host::proto::types::{EntityType, Timespec};
use ceph_proto_host::proto::watch::{
    decode_notify_id, encode_notify, encode_notify_ack, NotifyReplies, WatchEvent, WatchNotify,
    Watchers,
};
use ceph_proto_host::proto::wire::{Decoder, Encoder};
use kernel::alloc::fail_after;
use kernel::prelude::*;
use proptest::prelude::*;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../vectors/osd_op/", $name)).as_slice()
    };
}

/// The 38 bytes of an operation: code, flags, what is particular to it, length of its input.
fn op_bytes(op: Op<'_>) -> (u16, Vec<u8>, u32) {
    let mut out = KVec::new();
    let len = OsdOp { op, flags: 0x55 }
        .encode(&mut Encoder::new(&mut out))
        .unwrap();
    assert_eq!(out.len(), OP_LEN);
    assert_eq!(out[2..6], 0x55u32.to_le_bytes());
    assert_eq!(out[34..], len.to_le_bytes());
    (
        u16::from_le_bytes([out[0], out[1]]),
        out[6..34].to_vec(),
        len,
    )
}

fn padded(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = parts.concat();
    bytes.resize(28, 0);
    bytes
}

#[test]
fn operations_as_documented() {
    let (offset, length) = (0x1122_3344_5566, 0x7788);
    let extent = padded(&[&0x1122_3344_5566u64.to_le_bytes(), &0x7788u64.to_le_bytes()]);
    let none = padded(&[]);
    for (op, expected) in [
        (Op::Stat, (0x1202, none.clone(), 0)),
        (Op::Read { offset, length }, (0x1201, extent.clone(), 0)),
        (
            Op::SparseRead { offset, length },
            (0x1205, extent.clone(), 0),
        ),
        (
            Op::Write { offset, length },
            (0x2201, extent.clone(), 0x7788),
        ),
        (Op::Zero { offset, length }, (0x2204, extent.clone(), 0)),
        (
            Op::CmpExt { offset, length },
            (0x1220, extent.clone(), 0x7788),
        ),
        (
            Op::WriteFull { length },
            (0x2202, padded(&[&[0; 8], &0x7788u64.to_le_bytes()]), 0x7788),
        ),
        (Op::Truncate { size: 9 }, (0x2203, padded(&[&[9]]), 0)),
        (Op::Create, (0x220d, none.clone(), 0)),
        (Op::Delete, (0x2205, none.clone(), 0)),
        (Op::ListWatchers, (0x1209, none.clone(), 0)),
        (Op::NotifyAck { input_len: 20 }, (0x1207, none.clone(), 20)),
        (
            Op::Notify {
                cookie: 5,
                input_len: 6,
            },
            (0x1206, padded(&[&[5]]), 6),
        ),
        (
            Op::AssertVer { version: 3 },
            (0x1208, padded(&[&[0; 8], &[3]]), 0),
        ),
        (
            Op::Call {
                class: "rbd",
                method: "get_id",
                input_len: 2,
            },
            (0x1401, padded(&[&[3, 6, 0, 2]]), 11),
        ),
        (
            Op::Watch {
                cookie: 4,
                op: WatchOp::Reconnect,
                generation: 2,
            },
            (0x220f, padded(&[&4u64.to_le_bytes(), &[0; 8], &[5, 2]]), 0),
        ),
        (
            Op::SetAllocHint {
                object_size: 1,
                write_size: 2,
                flags: 3,
            },
            (
                0x2223,
                padded(&[&1u64.to_le_bytes(), &2u64.to_le_bytes(), &[3]]),
                0,
            ),
        ),
    ] {
        assert_eq!(op_bytes(op), expected, "{op:?}");
    }
    let long = "x".repeat(256);
    for (class, method) in [(&long[..], "m"), ("c", &long[..])] {
        let op = Op::Call {
            class,
            method,
            input_len: 0,
        };
        assert!(OsdOp::from(op)
            .encode(&mut Encoder::new(&mut KVec::new()))
            .is_err());
    }
    let op = Op::Write {
        offset: 0,
        length: 1 << 32,
    };
    assert!(OsdOp::from(op)
        .encode(&mut Encoder::new(&mut KVec::new()))
        .is_err());
    assert!(Op::Stat.reads() && !Op::Stat.writes() && Op::Create.writes() && !Op::Create.reads());
}

fn request<'a>(ops: &'a [OsdOp<'a>], snaps: &'a [u64], object: &'a [u8]) -> OsdOpRequest<'a> {
    OsdOpRequest {
        spg: SpgId {
            pool: 2,
            seed: 0x1f,
            shard: SpgId::NO_SHARD,
        },
        hash: 0x7fc1_f41f,
        epoch: 21,
        flags: flags::WRITE | flags::ONDISK | flags::KNOWN_REDIR,
        mtime: Timespec {
            sec: 0x6500_0000,
            nsec: 17,
        },
        locator: Locator {
            pool: 2,
            namespace: b"ns",
        },
        object,
        ops,
        snapid: NOSNAP,
        snapc: SnapContext { seq: 4, snaps },
        attempt: 1,
        features: 0x3f01_cfbf_fffd_ffff,
    }
}

#[test]
fn a_request_as_documented() {
    let write = [OsdOp::from(Op::Write {
        offset: 4096,
        length: 512,
    })];
    let mut out = KVec::new();
    let r = request(&write, &[4, 1], b"rbd_data.1.0000000000000000");
    assert_eq!(r.encode(&mut out).unwrap(), 512);
    let mut op = KVec::new();
    write[0].encode(&mut Encoder::new(&mut op)).unwrap();
    let expected: Vec<u8> = [
        // spg_t
        &b"\x01\x01\x12\0\0\0\x01\x02\0\0\0\0\0\0\0\x1f\0\0\0\xff\xff\xff\xff\xff"[..],
        b"\x1f\xf4\xc1\x7f\x15\0\0\0\x24\0\x40\0",
        // osd_reqid_t, trace, client_inc
        b"\x02\x02\x15\0\0\0",
        &[0; 21 + 24 + 4],
        b"\0\0\0\x65\x11\0\0\0",
        // object_locator_t
        b"\x05\x04\x16\0\0\0\x02\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\x02\0\0\0ns",
        b"\x1b\0\0\0rbd_data.1.0000000000000000",
        b"\x01\0",
        &op,
        b"\xfe\xff\xff\xff\xff\xff\xff\xff",
        b"\x04\0\0\0\0\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0",
        b"\x01\0\0\0",
        &0x3f01_cfbf_fffd_ffffu64.to_le_bytes(),
    ]
    .concat();
    assert_eq!(out[..], expected);
    assert_eq!(r.front_len(), expected.len());

    // In place, with what an earlier request left there.
    let mut place = vec![0xa5; expected.len() + 3];
    assert_eq!(r.encode_into(&mut place).unwrap(), (expected.len(), 512));
    assert_eq!(place[..expected.len()], expected);
    assert_eq!(place[expected.len()..], [0xa5; 3]);
    place.truncate(expected.len() - 1);
    assert!(r.encode_into(&mut place).is_err());
    assert_eq!(r.front_len(), expected.len());
}

#[test]
fn encoding_within_capacity_allocates_nothing() {
    let ops = [
        OsdOp::from(Op::SetAllocHint {
            object_size: 1 << 22,
            write_size: 1 << 22,
            flags: 0,
        }),
        OsdOp::from(Op::Write {
            offset: 0,
            length: 4096,
        }),
    ];
    let r = request(&ops, &[9, 8, 7], b"rbd_data.1.0000000000000000");
    let mut out = KVec::with_capacity(r.front_len(), GFP_KERNEL).unwrap();
    fail_after(Some(0));
    let result = r.encode(&mut out);
    fail_after(None);
    assert_eq!(result.unwrap(), 4096);
}

#[test]
fn replies_of_a_real_osd() {
    let reply = OsdOpReply::decode(8, vector!("reply_v8_data")).unwrap();
    // The last request asked for an object that was gone.
    assert_eq!((reply.result, reply.attempt), (-2, 0));
    assert!(reply.redirect.is_none());
    assert!(reply.object.ends_with(b".0000000000000007"));
    assert_eq!(reply.results().count(), 1);
    assert_eq!(reply.results().next().unwrap().output_len, 0);
    let reply = OsdOpReply::decode(8, vector!("reply_v8_notify")).unwrap();
    assert_eq!(
        (reply.result, reply.results().next().unwrap().output_len),
        (0, 8)
    );
    for front in [vector!("reply_v8_data"), vector!("reply_v8_notify")] {
        // All but the trace at the end is needed.
        for n in 0..front.len() - 24 {
            assert!(OsdOpReply::decode(8, &front[..n]).is_err(), "{n} bytes");
        }
    }
}

#[test]
fn a_redirection() {
    let locator = [
        &b"\x09\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\x02\0\0\0ns"[..],
        &[0xff; 8],
    ]
    .concat();
    let body = [&[6, 3, locator.len() as u8, 0, 0, 0], &locator[..], &[0; 4]].concat();
    // Version 7 ends with the redirect flag and the redirect, before the trace of version 8.
    let front = vector!("reply_v8_data");
    let front = [
        &front[..front.len() - 24 - 1],
        &[1, 1, 1, body.len() as u8, 0, 0, 0],
        &body,
    ]
    .concat();
    let r = OsdOpReply::decode(7, &front).unwrap().redirect.unwrap();
    assert_eq!((r.pool, r.namespace, r.hash), (9, &b"ns"[..], -1));
    assert!(r.object.is_empty() && r.key.is_empty());
}

#[test]
fn notifications_of_a_real_osd() {
    let n = WatchNotify::decode(3, vector!("watch_notify_v3")).unwrap();
    assert_eq!((n.event, n.cookie, n.result), (WatchEvent::Notify, 77, 0));
    assert!(n.notifier > 0 && n.notify_id > 0);
    let done = WatchNotify::decode(3, vector!("notify_complete_v3")).unwrap();
    assert_eq!((done.event, done.cookie), (WatchEvent::NotifyComplete, 99));
    assert_eq!((done.notify_id, done.result), (n.notify_id, 0));
    let replies: Vec<_> = NotifyReplies::decode(vector!("notify_replies"))
        .unwrap()
        .collect();
    assert_eq!((replies.len(), replies[0].cookie), (1, 77));
    assert_eq!(replies[0].answer, b"\x01\x01\x04\0\0\0\xf5\xff\xff\xff");
    let watchers: Vec<_> = Watchers::decode(vector!("watchers")).unwrap().collect();
    assert_eq!(watchers.len(), 1);
    let watcher = watchers[0].unwrap();
    assert_eq!(
        (watcher.cookie, watcher.name.kind),
        (77, EntityType::CLIENT)
    );
    assert_eq!(watcher.name.num, replies[0].gid);
    assert!(watcher.addr.sock.is_some());

    let old = WatchNotify::decode(1, &vector!("watch_notify_v3")[..40]).unwrap();
    assert_eq!((old.payload, old.notifier), (n.payload, 0));
    assert_eq!(decode_notify_id(&[]).unwrap(), None);
    assert!(decode_notify_id(&[1, 2, 3]).is_err());
    let mut out = KVec::new();
    encode_notify(5, b"hi", &mut out).unwrap();
    assert_eq!(&out[..], b"\x01\0\0\0\x05\0\0\0\x02\0\0\0hi");
    out.clear();
    encode_notify_ack(1, 2, b"", &mut out).unwrap();
    assert_eq!(&out[..], b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0");
}

fn hobject(hash: u32, object: &'static [u8]) -> HObject<'static> {
    HObject {
        key: b"",
        object,
        snapid: NOSNAP,
        hash,
        max: false,
        namespace: b"",
        pool: 2,
    }
}

#[test]
fn backoffs() {
    let (begin, end) = (hobject(0x8000_0000, b"b"), hobject(2, b"a"));
    // By their bits reversed: 1, then 0x4000_0000.
    assert!(begin < end);
    assert!(hobject(3, b"a") > end && hobject(2, b"b") > end);
    let last = HObject { max: true, ..begin };
    assert!(last > end && last > hobject(u32::MAX, b"z"));
    assert!(
        HObject {
            namespace: b"n",
            ..begin
        } > begin
    );
    assert!(HObject { pool: 1, ..end } < begin);
    assert!(HObject { snapid: 4, ..begin } < begin);
    assert!(
        HObject { key: b"a", ..begin } < begin,
        "the key goes before the name"
    );

    let spg = SpgId {
        pool: 2,
        seed: 1,
        shard: 3,
    };
    let mut front = BackoffAck {
        spg,
        epoch: 7,
        id: 9,
        begin,
        end,
    }
    .to_front()
    .unwrap();
    assert!(
        OsdBackoff::decode(1, &front).is_err(),
        "an OSD does not acknowledge"
    );
    for (op, expected) in [(1, BackoffOp::Block), (3, BackoffOp::Unblock)] {
        front[28] = op;
        let b = OsdBackoff::decode(1, &front).unwrap();
        assert_eq!((b.spg, b.epoch, b.op, b.id), (spg, 7, expected, 9));
        assert_eq!((b.begin, b.end), (begin, end));
        assert!(b.covers(&begin) && !b.covers(&end) && b.covers(&hobject(0x8000_0000, b"c")));
    }
    assert_eq!(HObjectBuf::new(&begin).unwrap().get(), begin);
}

fn try_all(version: u16, front: &[u8]) {
    if let Ok(reply) = OsdOpReply::decode(version, front) {
        assert!(reply.results().count() <= front.len());
    }
    if let Ok(b) = OsdBackoff::decode(version, front) {
        let _ = b.covers(&b.end);
    }
    let _ = WatchNotify::decode(version, front);
    if let Ok(replies) = NotifyReplies::decode(front) {
        let n = replies.size_hint().0;
        assert!(replies.count() >= n);
    }
    if let Ok(watchers) = Watchers::decode(front) {
        assert!(watchers.count() <= front.len());
    }
}

proptest! {
    #[test]
    fn any_bytes(version in 0u16..10, front: Vec<u8>) {
        try_all(version, &front);
    }

    #[test]
    fn real_messages_changed(at: usize, to: u8, version in 0u16..10) {
        for front in [vector!("reply_v8_data"), vector!("watchers"), vector!("notify_replies"), vector!("watch_notify_v3")] {
            let mut front = front.to_vec();
            let at = at % front.len();
            front[at] = to;
            try_all(version, &front);
        }
    }

    #[test]
    fn hobject_round_trip(key: Vec<u8>, object: Vec<u8>, snapid: u64, hash: u32, max: bool, namespace: Vec<u8>, pool: i64) {
        let o = HObject { key: &key, object: &object, snapid, hash, max, namespace: &namespace, pool };
        let mut out = KVec::new();
        o.encode(&mut Encoder::new(&mut out)).unwrap();
        let mut d = Decoder::new(&out);
        prop_assert_eq!(HObject::decode(&mut d, "").unwrap(), o);
        prop_assert!(d.is_empty());
    }

    #[test]
    fn any_request_fits_its_length(object: Vec<u8>, namespace: Vec<u8>, snaps: Vec<u64>, n in 0usize..20) {
        let ops = vec![OsdOp::from(Op::Stat); n];
        let mut r = request(&ops, &snaps, &object);
        r.locator.namespace = &namespace;
        let mut out = KVec::new();
        r.encode(&mut out).unwrap();
        prop_assert_eq!(out.len(), r.front_len());
    }
}
