// SPDX-License-Identifier: GPL-2.0-only

//! Monitor messages: as a real monitor sent them, as Ceph documents them, and as no one should.

use ceph_proto_host::proto::message::{Reply, Request};
use ceph_proto_host::proto::mon_msg::{
    encode_blocklist_add, Auth, AuthReply, CommandAck, GetVersion, GetVersionReply, MonCommand,
    MonMapReply, OsdMaps, Statfs, StatfsReply, Subscribe, SubscribeAck, Subscription,
};
use ceph_proto_host::proto::types::Fsid;
use kernel::prelude::*;
use proptest::prelude::*;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../vectors/mon/", $name)).as_slice()
    };
}

/// Decodes and forgets.
fn try_all(version: u16, front: &[u8]) {
    let _ = AuthReply::decode(version, front);
    let _ = CommandAck::decode(version, front);
    let _ = GetVersionReply::decode(version, front);
    let _ = MonMapReply::decode(version, front);
    let _ = StatfsReply::decode(version, front);
    let _ = SubscribeAck::decode(version, front);
    if let Ok(maps) = OsdMaps::decode(version, front) {
        assert_eq!(maps.full.len(), maps.full.count());
        assert_eq!(maps.incrementals.len(), maps.incrementals.count());
    }
}

#[test]
fn a_real_monitor() {
    let maps = OsdMaps::decode(4, vector!("osdmaps")).unwrap();
    assert_eq!((maps.full.len(), maps.incrementals.len()), (1, 0));
    let (epoch, map) = maps.full.clone().next().unwrap();
    assert_eq!(epoch, maps.newest);
    assert_eq!(map[..2], [8, 7], "an encoded OSDMap");
    assert!(maps.oldest >= 1 && maps.oldest <= maps.newest);

    let statfs = StatfsReply::decode(1, vector!("statfs_reply")).unwrap();
    assert_eq!(statfs.fsid, maps.fsid);
    assert!(statfs.kb >= statfs.kb_used && statfs.kb >= statfs.kb_avail);
    let version = GetVersionReply::decode(2, vector!("get_version_reply")).unwrap();
    assert_eq!((version.handle, version.oldest), (7, 1));
    assert!(version.version >= epoch.into());
    let ack = CommandAck::decode(1, vector!("command_ack")).unwrap();
    assert_eq!(ack.result, 0);
    assert!(ack.text.starts_with(b"blocklisting"));
    let monmap = MonMapReply::decode(1, vector!("monmap")).unwrap();
    assert_eq!(monmap.monmap.len() + 4, vector!("monmap").len());
}

#[test]
fn every_truncation_is_an_error() {
    fn check<'a, R: Reply<'a>>(version: u16, front: &'a [u8]) {
        assert!(R::decode(version, front).is_ok());
        for n in 0..front.len() {
            assert!(R::decode(version, &front[..n]).is_err(), "{n} bytes");
        }
    }
    check::<StatfsReply>(1, vector!("statfs_reply"));
    check::<GetVersionReply>(2, vector!("get_version_reply"));
    check::<MonMapReply>(1, vector!("monmap"));
}

#[test]
fn requests_as_documented() {
    const PAXOS: &[u8] = b"\0\0\0\0\0\0\0\0\xff\xff\0\0\0\0\0\0\0\0";
    let fsid = Fsid([7; 16]);
    let front = |r: &[&[u8]]| r.concat();

    let auth = Auth {
        protocol: 2,
        payload: b"abc",
    };
    let expected = front(&[PAXOS, b"\x02\0\0\0\x03\0\0\0abc"]);
    assert_eq!(auth.to_front().unwrap()[..], expected);

    let items = &[
        Subscription {
            what: "osdmap",
            start: 5,
            onetime: true,
        },
        Subscription {
            what: "monmap",
            start: 0,
            onetime: false,
        },
    ];
    let expected =
        b"\x02\0\0\0\x06\0\0\0osdmap\x05\0\0\0\0\0\0\0\x01\x06\0\0\0monmap\0\0\0\0\0\0\0\0\0";
    assert_eq!(Subscribe { items }.to_front().unwrap()[..], expected[..]);

    let version = GetVersion {
        handle: 9,
        what: "osdmap",
    };
    let expected = b"\x09\0\0\0\0\0\0\0\x06\0\0\0osdmap";
    assert_eq!(version.to_front().unwrap()[..], expected[..]);

    let statfs = |pool| Statfs { fsid, pool }.to_front().unwrap();
    assert_eq!(statfs(None)[..], front(&[PAXOS, &[7; 16], b"\0"]));
    let expected = front(&[PAXOS, &[7; 16], b"\x01\x03\0\0\0\0\0\0\0"]);
    assert_eq!(statfs(Some(3))[..], expected);

    let command = MonCommand { fsid, json: b"{}" };
    let expected = front(&[PAXOS, &[7; 16], b"\x01\0\0\0\x02\0\0\0{}"]);
    assert_eq!(command.to_front().unwrap()[..], expected);
}

#[test]
fn block_list_commands() {
    let json = |legacy| {
        let mut out = KVec::new();
        encode_blocklist_add("[fd00::1]:0/77", legacy, &mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(
        json(false),
        r#"{"prefix": "osd blocklist", "blocklistop": "add", "addr": "[fd00::1]:0/77"}"#
    );
    assert_eq!(json(true), json(false).replace("blocklist", "blacklist"));
}

#[test]
fn old_versions_lack_fields() {
    let front = vector!("get_version_reply");
    assert_eq!(GetVersionReply::decode(1, &front[..16]).unwrap().oldest, 0);
    let maps = OsdMaps::decode(1, vector!("osdmaps")).unwrap();
    assert_eq!((maps.oldest, maps.newest), (0, 0));
}

proptest! {
    #[test]
    fn any_bytes(version in 0u16..6, front: Vec<u8>) {
        try_all(version, &front);
    }

    #[test]
    fn real_messages_changed(at: usize, to: u8, version in 0u16..6) {
        for front in [vector!("osdmaps"), vector!("command_ack"), vector!("monmap"), vector!("statfs_reply")] {
            let mut front = front.to_vec();
            let at = at % front.len();
            front[at] = to;
            try_all(version, &front);
        }
    }

    #[test]
    fn auth_reply_round_trip(protocol: u32, result: i32, gid: u64, payload: Vec<u8>, text: Vec<u8>) {
        let front = [&protocol.to_le_bytes()[..], &result.to_le_bytes(), &gid.to_le_bytes(),
            &(payload.len() as u32).to_le_bytes(), &payload,
            &(text.len() as u32).to_le_bytes(), &text].concat();
        let reply = AuthReply::decode(1, &front).unwrap();
        prop_assert_eq!(reply, AuthReply { protocol, result, global_id: gid, payload: &payload, text: &text });
        prop_assert!(AuthReply::decode(1, &front[..front.len() - 1]).is_err());
    }
}
