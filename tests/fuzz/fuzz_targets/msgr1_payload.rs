// SPDX-License-Identifier: GPL-2.0-only

//! The structures of messenger v1.

#![no_main]

use ceph_proto_fuzz::plain::{crc32c, Plain};
use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::auth::SessionKey;
use ceph_proto_host::proto::msgr1::payload::{
    check_banner, header, put_header, ConnectReply, Seal, Sealed, ServerHello, CONNECT_REPLY_LEN,
    HEADER_LEN,
};
use ceph_proto_host::proto::session::Limits;
use ceph_proto_host::proto::types::{EntityName, EntityType};
use kernel::prelude::*;

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    match i.u8() % 4 {
        0 => {
            let bytes = i.rest();
            if ServerHello::decode(bytes).is_ok() {
                check_banner(&bytes[..9]).unwrap();
            }
            let _ = check_banner(bytes);
        }
        1 => {
            if let Some(bytes) = i.rest().first_chunk::<CONNECT_REPLY_LEN>() {
                if let Ok(reply) = ConnectReply::decode(bytes) {
                    assert!(reply.authorizer_len <= 4096);
                }
            }
        }
        2 => {
            let limits = Limits {
                front: i.u32(),
                middle: i.u32(),
                data: i.u32(),
            };
            let Some(bytes) = i.rest().first_chunk::<HEADER_LEN>() else {
                return;
            };
            let Ok((read, _)) = header(bytes, crc32c, &limits) else {
                return;
            };
            assert!(read.front_len <= limits.front);
            assert!(read.middle_len <= limits.middle && read.data_len <= limits.data);
            let mut out = KVec::new();
            let src = EntityName::new(EntityType(bytes[34]), 0);
            put_header(&read, src, crc32c, &mut out).unwrap();
            let again = header(out.first_chunk().unwrap(), crc32c, &limits);
            assert_eq!(again.unwrap().0, read);
        }
        _ => {
            // Only wide footers have room for a signature.
            let (wide, signs) = (i.bool(), i.bool());
            let seal = Seal {
                wide,
                key: (wide && signs).then_some(SessionKey([1; 16])),
                data_crc: i.bool(),
            };
            let mut sealed = Sealed {
                seq: i.u64(),
                header_crc: i.u32(),
                lens: [i.u32(), i.u32(), i.u32()],
                crcs: [i.u32(), i.u32(), i.u32()],
            };
            if sealed.lens[2] == 0 {
                sealed.crcs[2] = 0;
            }
            let mut out = KVec::new();
            seal.put_footer(&sealed, &Plain, &mut out).unwrap();
            assert_eq!(out.len(), seal.footer_len());
            seal.check_footer(&out, &sealed, &Plain).unwrap();
            let _ = seal.check_footer(i.rest(), &sealed, &Plain);
        }
    }
});
