// SPDX-License-Identifier: GPL-2.0-only

//! Banners and frames of messenger v2, and what their control segments say.

#![no_main]

use ceph_proto_fuzz::plain::{addr, crc32c};
use ceph_proto_fuzz::{fuzz_target, Budget};
use ceph_proto_host::proto::msgr2::frame::{CrcFraming, Look, MAX_CONTROL_LEN};
use ceph_proto_host::proto::msgr2::payload::{
    banner_len, check_banner, AuthBadMethod, AuthDone, Header2, Hello, ServerIdent,
};
use ceph_proto_host::proto::session::Limits;
use ceph_proto_host::proto::types::AddrType;
use ceph_proto_host::proto::wire::Encoder;
use kernel::prelude::*;

const LIMITS: Limits = Limits {
    front: 1 << 20,
    middle: 1 << 10,
    data: 1 << 22,
};

fuzz_target!(Budget::DECODER, |data| {
    if let Some(prefix) = data.first_chunk() {
        if let Ok(len) = banner_len(prefix) {
            assert!(len <= 1034);
            let _ = check_banner(data.get(prefix.len()..len).unwrap_or(&[]));
        }
    }
    let framing = CrcFraming { crc32c };
    match framing.head(data, &LIMITS) {
        Ok(Look::NeedMore(total)) => {
            assert!(total > data.len() && total <= MAX_CONTROL_LEN as usize + 36);
        }
        Ok(Look::Found(head)) => {
            assert!(head.len <= data.len());
            let [control, front, middle, tail] = head.preamble.lens;
            assert_eq!(head.control.len(), control as usize);
            assert!(front <= LIMITS.front && middle <= LIMITS.middle && tail <= LIMITS.data);
            payloads(head.control);
            // Written again, it is the same but for alignments.
            let mut out = KVec::new();
            let put = |out: &mut KVec<u8>| Encoder::new(out).bytes(head.control);
            let further = [front, middle, tail];
            let at = framing.put_head(head.preamble.tag, further, &mut out, put);
            assert_eq!(at, Ok(0));
            let Ok(Look::Found(again)) = framing.head(&out, &LIMITS) else {
                panic!("cannot read what was written");
            };
            assert_eq!((again.len, again.control), (out.len(), head.control));
            assert_eq!(again.preamble, head.preamble);
        }
        Err(_) => {}
    }
    payloads(data);
});

fn payloads(control: &[u8]) {
    let mut out = KVec::new();
    if let Ok(hello) = Hello::decode(control) {
        hello.encode(&mut Encoder::new(&mut out)).unwrap();
        let again = Hello::decode(&out).unwrap();
        assert_eq!(again.entity_type, hello.entity_type);
        assert_eq!(again.peer_addr, hello.peer_addr);
    }
    if let Ok(bad) = AuthBadMethod::decode(control) {
        assert!(bad.allowed_methods.as_slice().len() <= 16);
        assert!(bad.allowed_modes.as_slice().len() <= 16);
    }
    if let Ok(done) = AuthDone::decode(control) {
        assert!(done.payload.len() < control.len());
    }
    let _ = ServerIdent::decode(control, &addr(AddrType::MSGR2, 7, "10.1.2.3:6800"));
    if let Ok(header) = Header2::decode(control) {
        out.clear();
        header.encode(&mut Encoder::new(&mut out)).unwrap();
        let again = Header2::decode(&out).unwrap();
        assert_eq!(
            (again.seq, again.tid, again.typ),
            (header.seq, header.tid, header.typ)
        );
        assert_eq!(
            (again.ack_seq, again.data_off),
            (header.ack_seq, header.data_off)
        );
    }
}
