// SPDX-License-Identifier: GPL-2.0-only

//! The containers of an OSD session, against plain models of them.

#![allow(unreachable_pub)]

use ceph_proto_host::proto;

#[path = "../../../net_ceph/osd_client/inflight.rs"]
mod inflight;
#[path = "../../../net_ceph/osd_client/ring.rs"]
mod ring;

use inflight::Table;
use proptest::prelude::*;
use ring::Ring;
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Remove(u64),
    TakeMultiplesOf(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // Few ids, so that they meet; and large strides, so that some begin their search at the end.
    let tid = prop_oneof![0u64..200, (0u64..64).prop_map(|i| i << 40)];
    prop_oneof![
        4 => tid.clone().prop_map(Step::Insert),
        3 => tid.prop_map(Step::Remove),
        1 => (2u64..5).prop_map(Step::TakeMultiplesOf),
    ]
}

proptest! {
    #[test]
    fn table_is_a_map(steps in proptest::collection::vec(step(), 0..400)) {
        let mut table = Table::default();
        let mut model = BTreeMap::new();
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(tid) => {
                    if model.contains_key(&tid) {
                        continue;
                    }
                    table.reserve().unwrap();
                    prop_assert_eq!(table.insert(tid, i), None);
                    model.insert(tid, i);
                }
                Step::Remove(tid) => prop_assert_eq!(table.remove(tid), model.remove(&tid)),
                Step::TakeMultiplesOf(n) => {
                    let mut cursor = 0;
                    while let Some((tid, value)) = table.take_next(&mut cursor, |tid, _| tid % n == 0) {
                        prop_assert_eq!(model.remove(&tid), Some(value));
                    }
                    prop_assert!(!model.keys().any(|tid| tid % n == 0));
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.is_empty(), model.is_empty());
            for (tid, value) in &model {
                prop_assert_eq!(table.get(*tid), Some(value));
            }
            let mut all: Vec<_> = table.iter().map(|(tid, value)| (tid, *value)).collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(model.iter().map(|(tid, value)| (*tid, *value))));
        }
    }

    #[test]
    fn ring_is_a_queue(steps in proptest::collection::vec(any::<(bool, u64)>(), 0..400)) {
        let mut ring = Ring::default();
        let mut model = VecDeque::new();
        for (push, tid) in steps {
            if push {
                ring.reserve(model.len() + 1).unwrap();
                prop_assert!(ring.push(tid));
                model.push_back(tid);
            } else {
                prop_assert_eq!(ring.pop(), model.pop_front());
            }
            prop_assert_eq!(ring.len(), model.len());
            prop_assert_eq!(ring.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn ring_is_refilled_in_order(
        before in proptest::collection::vec(any::<u64>(), 0..40),
        popped in 0usize..40,
        mut tids in proptest::collection::vec(any::<u64>(), 0..40),
    ) {
        let mut ring = Ring::default();
        ring.reserve(before.len().max(tids.len())).unwrap();
        for &tid in &before {
            prop_assert!(ring.push(tid));
        }
        for _ in 0..popped {
            ring.pop();
        }
        ring.refill(tids.iter().copied());
        tids.sort_unstable();
        for tid in tids {
            prop_assert_eq!(ring.pop(), Some(tid));
        }
        prop_assert_eq!(ring.pop(), None);
    }
}

#[test]
fn nothing_is_taken_without_room() {
    let mut table = Table::default();
    assert_eq!(table.insert(1, "one"), Some("one"));
    assert_eq!(table.get(1), None);
    assert!(!Ring::default().push(1));
}
