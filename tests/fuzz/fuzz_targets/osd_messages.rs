// SPDX-License-Identifier: GPL-2.0-only

//! What OSDs say: replies, back-offs, notifications, and outputs of operations around watches.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::message::{Reply, Request};
use ceph_proto_host::proto::osd_op::{
    BackoffAck, BackoffOp, HObject, HObjectBuf, OsdBackoff, OsdOpReply,
};
use ceph_proto_host::proto::watch::{decode_notify_id, NotifyReplies, WatchNotify, Watchers};
use ceph_proto_host::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;
use std::cmp::Ordering;

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let version = i.u16();
    let front = i.rest();
    if let Ok(reply) = OsdOpReply::decode(version, front) {
        assert!(reply.results().count() <= 256);
        let _ = format!("{reply:?}");
    }
    if let Ok(b) = OsdBackoff::decode(version, front) {
        backoff(&b);
    }
    let mut d = Decoder::new(front);
    if let (Ok(a), Ok(b)) = (HObject::decode(&mut d, "a"), HObject::decode(&mut d, "b")) {
        order(&a, &b);
    }
    if let Ok(n) = WatchNotify::decode(version, front) {
        assert!(n.payload.len() <= front.len());
    }
    let _ = decode_notify_id(front);
    if let Ok(replies) = NotifyReplies::decode(front) {
        let bytes: usize = replies.map(|r| r.answer.len() + 20).sum();
        assert!(bytes <= front.len());
    }
    if let Ok(watchers) = Watchers::decode(front) {
        let results: Vec<_> = watchers.collect();
        let errors = results.iter().filter(|r| r.is_err()).count();
        assert!(errors <= 1 && results.len() * 27 <= front.len() + 27);
    }
});

fn backoff(b: &OsdBackoff<'_>) {
    let mut out = KVec::new();
    b.begin.encode(&mut Encoder::new(&mut out)).unwrap();
    let again = HObject::decode(&mut Decoder::new(&out), "again").unwrap();
    assert_eq!(again, b.begin);
    assert_eq!(HObjectBuf::new(&b.end).unwrap().get(), b.end);
    assert!(b.covers(&b.begin));
    assert!(b.begin == b.end || !b.covers(&b.end));
    order(&b.begin, &b.end);
    let ack = BackoffAck {
        spg: b.spg,
        epoch: b.epoch,
        id: b.id,
        begin: b.begin,
        end: b.end,
    };
    // Our answer is a back-off with another operation, which is the byte after section and epoch.
    let mut front = ack.to_front().unwrap();
    front[6 + 18 + 4] = 3;
    let again = OsdBackoff::decode(0, &front).unwrap();
    let asked = OsdBackoff {
        op: BackoffOp::Unblock,
        ..*b
    };
    assert_eq!(again, asked);
}

fn order(a: &HObject<'_>, b: &HObject<'_>) {
    assert_eq!(a.cmp(b), b.cmp(a).reverse());
    assert_eq!(a.cmp(a), Ordering::Equal);
    if a == b {
        assert_eq!(a.cmp(b), Ordering::Equal);
    }
}
