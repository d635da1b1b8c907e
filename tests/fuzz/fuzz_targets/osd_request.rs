// SPDX-License-Identifier: GPL-2.0-only

//! Requests as they are written: within the length that was reserved, and no more data than is announced.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::osd_op::{
    op::WatchOp, Locator, Op, OsdOp, OsdOpRequest, SnapContext, SpgId,
};
use ceph_proto_host::proto::types::Timespec;
use kernel::alloc::take_asked;
use kernel::prelude::*;

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let names: Vec<&str> = [i.bytes(), i.bytes()]
        .into_iter()
        .map(|name| std::str::from_utf8(name).unwrap_or("name"))
        .collect();
    let (namespace, object) = (i.bytes(), i.bytes());
    let snaps: Vec<u64> = i.bytes().iter().map(|&s| s.into()).collect();
    let mut ops = Vec::new();
    let mut expected = 0u64;
    while !i.is_empty() && ops.len() < 40 {
        let (offset, length) = (i.number(), i.number());
        let input_len = length as u32;
        let (op, input) = match i.u8() % 10 {
            0 => (Op::Stat, 0),
            1 => (Op::Read { offset, length }, 0),
            2 => (Op::Write { offset, length }, length),
            3 => (Op::WriteFull { length }, length),
            4 => (Op::CmpExt { offset, length }, length),
            5 => {
                let (class, method) = (names[0], names[1]);
                let names = class.len() as u64 + method.len() as u64;
                (
                    Op::Call {
                        class,
                        method,
                        input_len,
                    },
                    names + u64::from(input_len),
                )
            }
            6 => (
                Op::Watch {
                    cookie: offset,
                    op: WatchOp::Ping,
                    generation: 1,
                },
                0,
            ),
            7 => (
                Op::Notify {
                    cookie: offset,
                    input_len,
                },
                input_len.into(),
            ),
            8 => (Op::Truncate { size: offset }, 0),
            _ => (
                Op::SetAllocHint {
                    object_size: offset,
                    write_size: length,
                    flags: 1,
                },
                0,
            ),
        };
        expected = expected.saturating_add(input);
        ops.push(OsdOp {
            op,
            flags: i.u8().into(),
        });
    }
    let request = OsdOpRequest {
        spg: SpgId {
            pool: 1,
            seed: 2,
            shard: -1,
        },
        hash: 3,
        epoch: 4,
        flags: 5,
        mtime: Timespec::default(),
        locator: Locator { pool: 1, namespace },
        object,
        ops: &ops,
        snapid: 6,
        snapc: SnapContext {
            seq: 7,
            snaps: &snaps,
        },
        attempt: 0,
        features: 0,
    };
    let mut out = KVec::with_capacity(request.front_len(), GFP_KERNEL).unwrap();
    take_asked();
    let encoded = request.encode(&mut out);
    assert_eq!(take_asked().total, 0, "not all was reserved");
    match encoded {
        Ok(data_len) => {
            assert_eq!(u64::from(data_len), expected);
            assert_eq!(out.len(), request.front_len());
        }
        Err(_) => assert!(expected > u32::MAX.into() || names.iter().any(|name| name.len() > 255)),
    }
});
