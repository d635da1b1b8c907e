// SPDX-License-Identifier: GPL-2.0-only

//! Authentication, maps, and questions to the monitor.

use super::connection::{record, Conf};
use super::on_both;
use super::shared::{MonConnection, Shared};
use ceph_proto_host::proto::auth::AUTH_CEPHX;
use ceph_proto_host::proto::cephx::{Progress, SERVICE_OSD};
use ceph_proto_host::proto::error::{ProtoError, ProtoResult, Reason};
use ceph_proto_host::proto::key::CryptoKey;
use ceph_proto_host::proto::message::Reply;
use ceph_proto_host::proto::mon_msg::{
    encode_blocklist_add, Auth, CommandAck, GetVersion, GetVersionReply, MonCommand, MonMapReply,
    OsdMaps, Statfs, StatfsReply, Subscribe, Subscription,
};
use ceph_proto_host::proto::session::Protocol;
use ceph_proto_host::proto::types::Fsid;
use kernel::prelude::*;

/// Subscribes to both maps and asks all questions.
fn talk_to_mon(protocol: Protocol) {
    let conf = Conf::load();
    let shared = Shared::admin(&conf);
    let mut con = shared.open_mon(&conf, protocol).unwrap();
    assert_eq!(shared.client().method(), AUTH_CEPHX);

    con.send(
        &Subscribe {
            items: &[
                Subscription {
                    what: "monmap",
                    start: 0,
                    onetime: false,
                },
                Subscription {
                    what: "osdmap",
                    start: 0,
                    onetime: true,
                },
            ],
        },
        0,
    );
    let m = con.receive_type(MonMapReply::TYPE);
    record("mon/monmap", &m.front);
    assert!(!MonMapReply::decode(m.header.version, &m.front)
        .unwrap()
        .monmap
        .is_empty());
    let m = con.receive_type(OsdMaps::TYPE);
    record("mon/osdmaps", &m.front);
    let maps = OsdMaps::decode(m.header.version, &m.front).unwrap();
    assert_ne!(maps.fsid, Fsid::default());
    let (epoch, _) = maps.full.last().expect("a whole map");
    assert!(epoch <= maps.newest && maps.oldest <= epoch);

    con.send(
        &GetVersion {
            handle: 7,
            what: "osdmap",
        },
        7,
    );
    let m = con.receive_type(GetVersionReply::TYPE);
    record("mon/get_version_reply", &m.front);
    let reply = GetVersionReply::decode(m.header.version, &m.front).unwrap();
    assert_eq!(reply.handle, 7);
    assert!(reply.version >= u64::from(epoch));

    con.send(
        &Statfs {
            fsid: maps.fsid,
            pool: None,
        },
        8,
    );
    let m = con.receive_type(StatfsReply::TYPE);
    record("mon/statfs_reply", &m.front);
    let reply = StatfsReply::decode(m.header.version, &m.front).unwrap();
    assert_eq!(reply.fsid, maps.fsid);
    assert!(reply.kb >= reply.kb_avail);

    let mut json = KVec::new();
    encode_blocklist_add("192.0.2.1:0/4711", false, &mut json).unwrap();
    con.send(
        &MonCommand {
            fsid: maps.fsid,
            json: &json,
        },
        9,
    );
    let m = con.receive_type(CommandAck::TYPE);
    record("mon/command_ack", &m.front);
    let ack = CommandAck::decode(m.header.version, &m.front).unwrap();
    assert_eq!(ack.result, 0, "{}", String::from_utf8_lossy(ack.text));
    assert!(String::from_utf8_lossy(ack.text).contains("192.0.2.1"));

    // A refused ticket makes both tickets due; the renewal goes by message on either messenger.
    let now = shared.now();
    assert!(shared.client().credentials(SERVICE_OSD, now).is_ok());
    let mut payload = KVec::new();
    let due = |p: &mut KVec<u8>| shared.client().renewal(&*shared.crypto, now, p).unwrap();
    assert!(!due(&mut payload));
    shared.client().invalidate(SERVICE_OSD);
    assert!(shared.client().credentials(SERVICE_OSD, now).is_err());
    assert!(due(&mut payload));
    let m = Auth {
        protocol: AUTH_CEPHX,
        payload: &payload,
    };
    con.send(&m, 0);
    let done = shared.take_auth_reply(&mut con, now, &mut payload);
    assert_eq!(done.unwrap(), Progress::Done);
    assert!(shared.client().credentials(SERVICE_OSD, now).is_ok());
}

/// Renewal of the service ticket alone, as happens when three quarters of its life are over.
fn renew_by_age(protocol: Protocol) {
    let conf = Conf::load();
    let shared = Shared::admin(&conf);
    let mut con = shared.open_mon(&conf, protocol).unwrap();
    let mut payload = KVec::new();
    // The AUTH ticket lives 12 h, that of a service 1 h: at 50 minutes only the second is due.
    let later = shared.now() + 3000;
    let due = |p: &mut KVec<u8>| shared.client().renewal(&*shared.crypto, later, p).unwrap();
    assert!(due(&mut payload));
    assert_eq!(&payload[..2], &0x200u16.to_le_bytes());
    let m = Auth {
        protocol: AUTH_CEPHX,
        payload: &payload,
    };
    con.send(&m, 0);
    let done = shared.take_auth_reply(&mut con, later, &mut payload);
    assert_eq!(done.unwrap(), Progress::Done);
    assert!(!due(&mut payload));
    let client = shared.client();
    assert!(client.credentials(SERVICE_OSD, later + 3000).is_ok());
    assert!(client.credentials(SERVICE_OSD, later + 4000).is_err());
}

/// A second session of the same client keeps its global id, proven with the old ticket.
fn reclaim_global_id(protocol: Protocol) {
    let conf = Conf::load();
    let shared = Shared::admin(&conf);
    drop(shared.open_mon(&conf, protocol).unwrap());
    let first = shared.client().global_id();
    drop(shared.open_mon(&conf, protocol).unwrap());
    assert_eq!(shared.client().global_id(), first);
}

fn refused(result: ProtoResult<MonConnection>) -> i32 {
    match result {
        Err(ProtoError {
            reason: Reason::Refused(e),
            ..
        }) => e,
        Err(e) => panic!("failed otherwise: {e}"),
        Ok(_) => panic!("was let in"),
    }
}

/// A wrong key, and a client that does not exist.
fn wrong_credentials(protocol: Protocol) {
    let conf = Conf::load();
    let wrong = Shared::new(&conf.id, Some(CryptoKey::from_secret([7; 16])));
    assert_eq!(refused(wrong.open_mon(&conf, protocol)), -13);
    let key = CryptoKey::from_base64(conf.key.as_bytes()).unwrap();
    let nobody = Shared::new("nobody-of-this-name", Some(key));
    assert!([-13, -1, -2].contains(&refused(nobody.open_mon(&conf, protocol))));
    let keyless = Shared::new(&conf.id, None);
    assert!([-13, -95].contains(&refused(keyless.open_mon(&conf, protocol))));
}

on_both! {
    mon_session: talk_to_mon,
    ticket_renewal: renew_by_age,
    global_id_survives: reclaim_global_id,
    refusals: wrong_credentials,
}
