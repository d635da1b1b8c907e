// SPDX-License-Identifier: GPL-2.0-only

//! The containers of an OSD session, against plain models: what was sent and is not answered, and what is to
//! be sent.

#![no_main]
#![allow(dead_code, unreachable_pub)]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto;
use std::collections::{BTreeMap, VecDeque};

#[path = "../../../net_ceph/osd_client/inflight.rs"]
mod inflight;
#[path = "../../../net_ceph/osd_client/ring.rs"]
mod ring;

use inflight::Table;
use ring::Ring;

/// Numbers that meet, and some that begin their search at the end of the table.
fn tid(i: &mut Input<'_>) -> u64 {
    let n = u64::from(i.u8());
    match i.u8() & 3 {
        0 => n << 40,
        1 => u64::MAX - n,
        2 => i.u64(),
        _ => n,
    }
}

fuzz_target!(
    Budget {
        base: 64 << 10,
        per_byte: 256
    },
    |data| {
        let mut i = Input::new(data);
        let mut table = Table::default();
        let mut model = BTreeMap::new();
        let mut ring = Ring::default();
        let mut queue = VecDeque::new();
        let mut room = 0;
        while !i.is_empty() {
            match i.u8() % 8 {
                0..=2 => {
                    let tid = tid(&mut i);
                    if model.contains_key(&tid) {
                        continue;
                    }
                    let reserved = i.u8() % 8 != 0;
                    if reserved {
                        table.reserve().unwrap();
                    }
                    match table.insert(tid, model.len()) {
                        None => {
                            model.insert(tid, model.len());
                        }
                        Some(_) => assert!(!reserved, "there was room"),
                    }
                }
                3 | 4 => {
                    let tid = tid(&mut i);
                    assert_eq!(table.get(tid), model.get(&tid));
                    assert_eq!(table.remove(tid), model.remove(&tid), "a wrong request");
                }
                5 => {
                    let n = u64::from(i.u8()).max(2);
                    let mut cursor = 0;
                    while let Some((tid, value)) =
                        table.take_next(&mut cursor, |tid, _| tid % n == 0)
                    {
                        assert_eq!(model.remove(&tid), Some(value));
                    }
                    assert!(!model.keys().any(|tid| tid % n == 0));
                }
                6 => {
                    let capacity = usize::from(i.u8());
                    ring.reserve(capacity).unwrap();
                    room = room.max(capacity);
                    let tid = i.u8().into();
                    let pushed = ring.push(tid);
                    assert!(pushed || queue.len() >= room, "there was room");
                    if pushed {
                        queue.push_back(tid);
                    }
                }
                _ => match i.u8() {
                    0..=3 => {
                        let mut tids: Vec<u64> = i.bytes().iter().map(|&t| t.into()).collect();
                        tids.truncate(room);
                        tids.sort_unstable();
                        ring.refill(tids.iter().rev().copied());
                        queue = tids.into();
                    }
                    _ => assert_eq!(ring.pop(), queue.pop_front()),
                },
            }
            assert_eq!(table.len(), model.len());
            assert_eq!(
                (table.is_empty(), ring.is_empty()),
                (model.is_empty(), queue.is_empty())
            );
            assert_eq!(ring.len(), queue.len());
        }
        let all: BTreeMap<u64, usize> = table.iter().map(|(tid, value)| (tid, *value)).collect();
        assert_eq!(all, model);
    }
);
