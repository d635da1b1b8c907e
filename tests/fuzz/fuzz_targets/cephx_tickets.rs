// SPDX-License-Identifier: GPL-2.0-only

//! Ticket replies, envelopes and connection secrets, unencrypted.

#![no_main]

use ceph_proto_fuzz::plain::Plain;
use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::auth::SessionKey;
use ceph_proto_host::proto::cephx::seal;
use ceph_proto_host::proto::cephx::ticket::{decode_connection_secret, TicketStore};
use ceph_proto_host::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

const KEY: SessionKey = SessionKey([0; 16]);

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let expected = i.u32();
    let now = i.u64();
    let mut store = TicketStore::new();
    // A second reply may have blobs sealed with the first one's keys.
    let first = i.bytes();
    for reply in [first, i.rest()] {
        let mut d = Decoder::new(reply);
        let _ = store.take_reply(&Plain, &KEY, expected, &mut d, now);
        for service in (0..32).map(|bit| 1 << bit) {
            let Some(ticket) = store.get(service) else {
                continue;
            };
            assert_eq!(ticket.service(), service);
            assert_ne!(service & expected, 0, "a ticket nobody asked for");
            if ticket.usable(now) {
                assert!(!ticket.usable(u64::MAX));
            }
            let mut out = KVec::new();
            ticket.blob().encode(&mut Encoder::new(&mut out)).unwrap();
        }
        let _ = seal::open(&Plain, &KEY, &mut Decoder::new(reply), "fuzz");
        if let Ok(opened) = seal::open_bare(&Plain, &KEY, reply, "fuzz") {
            let contents = opened.decoder().rest();
            let mut out = KVec::new();
            let put = |e: &mut Encoder<'_>| e.bytes(contents);
            seal::seal(&Plain, &KEY, &mut Encoder::new(&mut out), put).unwrap();
            let again = seal::open(&Plain, &KEY, &mut Decoder::new(&out), "fuzz").unwrap();
            assert_eq!(again.decoder().rest(), contents);
        }
        if let Ok(secret) = decode_connection_secret(&mut Decoder::new(reply)) {
            assert!(secret.len() <= 64);
        }
    }
});
