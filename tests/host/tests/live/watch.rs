// SPDX-License-Identifier: GPL-2.0-only

//! Watch and notify: two clients, one watching what the other notifies of.

use super::connection::record;
use super::on_both;
use super::osd::{unique, Client};
use ceph_proto_host::proto::cls::rbd_notify::{decode_response, encode_response, Notification};
use ceph_proto_host::proto::message::Reply;
use ceph_proto_host::proto::osd_op::op::WatchOp;
use ceph_proto_host::proto::osd_op::{flags, Op, OsdOp};
use ceph_proto_host::proto::session::Protocol;
use ceph_proto_host::proto::types::{EntityName, EntityType};
use ceph_proto_host::proto::watch::{
    decode_notify_id, encode_notify, encode_notify_ack, NotifyReplies, WatchEvent, WatchNotify,
    Watchers,
};
use kernel::prelude::*;

/// One client watches, another notifies; the answer comes back.
fn watching(protocol: Protocol) {
    let (mut watcher, mut notifier) = (Client::open(protocol), Client::open(protocol));
    let object = unique("watch", protocol);
    let create = OsdOp::from(Op::Create);
    assert_eq!(watcher.run(&object, flags::WRITE, &[create], &[]).result, 0);
    let watch = |op, generation| {
        [OsdOp::from(Op::Watch {
            cookie: 77,
            op,
            generation,
        })]
    };
    assert_eq!(
        watcher
            .run(&object, flags::WRITE, &watch(WatchOp::Watch, 0), &[])
            .result,
        0
    );
    assert_eq!(
        watcher
            .run(&object, flags::READ, &watch(WatchOp::Ping, 0), &[])
            .result,
        0
    );
    assert_eq!(
        watcher
            .run(&object, flags::WRITE, &watch(WatchOp::Reconnect, 1), &[])
            .result,
        0
    );

    let osd = notifier.send(&object, flags::READ, &[Op::ListWatchers.into()], &[]);
    let list = notifier.wait(osd, "list_watchers").output();
    record("osd_op/watchers", &list);
    let list: Vec<_> = Watchers::decode(&list)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(list.len(), 1);
    let gid = watcher.shared.client().global_id();
    assert_eq!(
        (list[0].cookie, list[0].name),
        (77, EntityName::new(EntityType::CLIENT, gid))
    );
    assert!(!list[0].addr.is_blank());

    let mut payload = KVec::new();
    Notification::HeaderUpdate.encode(&mut payload).unwrap();
    let mut input = KVec::new();
    encode_notify(10, &payload, &mut input).unwrap();
    let notify = Op::Notify {
        cookie: 99,
        input_len: input.len() as u32,
    };
    let osd = notifier.send(&object, flags::READ, &[notify.into()], &input);
    let id = decode_notify_id(&notifier.wait(osd, "notify").output())
        .unwrap()
        .unwrap();

    let m = watcher
        .osds
        .get_mut(&osd)
        .unwrap()
        .receive_type(WatchNotify::TYPE);
    record(
        &format!("osd_op/watch_notify_v{}", m.header.version),
        &m.front,
    );
    let event = WatchNotify::decode(m.header.version, &m.front).unwrap();
    assert_eq!(
        (event.event, event.cookie, event.notify_id),
        (WatchEvent::Notify, 77, id)
    );
    assert_eq!(event.notifier, notifier.shared.client().global_id());
    assert_eq!(
        Notification::decode(event.payload).unwrap(),
        Notification::HeaderUpdate
    );

    let mut answer = KVec::new();
    encode_response(-11, &mut answer).unwrap();
    input.clear();
    encode_notify_ack(event.notify_id, 77, &answer, &mut input).unwrap();
    let ack = Op::NotifyAck {
        input_len: input.len() as u32,
    };
    assert_eq!(
        watcher
            .run(&object, flags::READ, &[ack.into()], &input)
            .result,
        0
    );

    let m = notifier
        .osds
        .get_mut(&osd)
        .unwrap()
        .receive_type(WatchNotify::TYPE);
    record(
        &format!("osd_op/notify_complete_v{}", m.header.version),
        &m.front,
    );
    record("osd_op/notify_replies", &m.data);
    let event = WatchNotify::decode(m.header.version, &m.front).unwrap();
    assert_eq!(
        (event.event, event.cookie, event.result),
        (WatchEvent::NotifyComplete, 99, 0)
    );
    let replies: Vec<_> = NotifyReplies::decode(&m.data).unwrap().collect();
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0].gid, replies[0].cookie), (gid, 77));
    assert_eq!(decode_response(replies[0].answer).unwrap(), Some(-11));

    assert_eq!(
        watcher
            .run(&object, flags::WRITE, &watch(WatchOp::Unwatch, 0), &[])
            .result,
        0
    );
    let list = notifier
        .run(&object, flags::READ, &[Op::ListWatchers.into()], &[])
        .output();
    assert_eq!(Watchers::decode(&list).unwrap().count(), 0);
}

on_both! {
    watch_and_notify: watching,
}
