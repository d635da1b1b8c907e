// SPDX-License-Identifier: GPL-2.0-only

//! What monitors say, one type of message after the other.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::message::Reply;
use ceph_proto_host::proto::mon_msg::{
    encode_blocklist_add, AuthReply, CommandAck, GetVersionReply, MonMapReply, OsdMaps,
    StatfsReply, SubscribeAck,
};
use ceph_proto_host::proto::monmap::MonMap;
use kernel::prelude::*;

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let version = i.u16();
    let front = i.rest();
    if let Ok(reply) = AuthReply::decode(version, front) {
        assert!(reply.payload.len() + reply.text.len() <= front.len());
    }
    if let Ok(reply) = CommandAck::decode(version, front) {
        assert!(reply.text.len() <= front.len());
        let mut out = KVec::new();
        let text = String::from_utf8_lossy(reply.text);
        encode_blocklist_add(&text, version & 1 == 0, &mut out).unwrap();
    }
    let _ = GetVersionReply::decode(version, front);
    let _ = StatfsReply::decode(version, front);
    let _ = SubscribeAck::decode(version, front);
    if let Ok(reply) = MonMapReply::decode(version, front) {
        let _ = MonMap::decode(reply.monmap);
    }
    if let Ok(maps) = OsdMaps::decode(version, front) {
        for blobs in [maps.incrementals, maps.full] {
            let (count, mut seen) = (blobs.len(), 0);
            let bytes: usize = blobs
                .map(|(_, blob)| {
                    seen += 1;
                    blob.len() + 8
                })
                .sum();
            assert_eq!(count, seen, "a checked list has all of its items");
            assert!(bytes <= front.len());
        }
    }
});
