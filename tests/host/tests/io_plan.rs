// SPDX-License-Identifier: GPL-2.0-only

//! Which object operation serves which piece of an image request.

use ceph_proto_host::io::plan::{ObjectOp, Want};
use ceph_proto_host::proto::striper::ObjectExtent;
use proptest::prelude::*;

const M: u64 = 1 << 20;
const K: u64 = 1 << 10;

fn plan(want: Want, offset: u64, length: u64, alloc_size: u64) -> Option<ObjectOp> {
    plan_clone(want, offset, length, alloc_size, 0, false)
}

fn plan_clone(
    want: Want,
    offset: u64,
    length: u64,
    alloc_size: u64,
    behind: u64,
    snaps: bool,
) -> Option<ObjectOp> {
    let extent = ObjectExtent {
        object: 7,
        offset,
        length,
        image_offset: 0,
    };
    ObjectOp::plan(want, &extent, 4 * M, alloc_size, behind, snaps)
}

#[test]
fn writes() {
    assert_eq!(
        plan(Want::Write, 0, 4 * M, 64 * K),
        Some(ObjectOp::WriteFull { length: 4 * M })
    );
    assert_eq!(
        plan(Want::Write, 0, M, 64 * K),
        Some(ObjectOp::Write {
            offset: 0,
            length: M
        })
    );
    assert_eq!(
        plan(Want::Write, M, 3 * M, 64 * K),
        Some(ObjectOp::Write {
            offset: M,
            length: 3 * M
        })
    );
}

#[test]
fn zeroes_are_exact() {
    assert_eq!(plan(Want::Zero, 0, 4 * M, 64 * K), Some(ObjectOp::Delete));
    assert_eq!(
        plan(Want::Zero, 512, 512, 64 * K),
        Some(ObjectOp::Zero {
            offset: 512,
            length: 512
        })
    );
    assert_eq!(
        plan(Want::Zero, 512, 4 * M - 512, 64 * K),
        Some(ObjectOp::Truncate { size: 512 })
    );
    assert_eq!(
        plan(Want::Zero, 0, 512, 64 * K),
        Some(ObjectOp::Zero {
            offset: 0,
            length: 512
        })
    );
}

#[test]
fn discards_are_rounded_inwards() {
    assert_eq!(
        plan(Want::Discard, 0, 4 * M, 64 * K),
        Some(ObjectOp::Delete)
    );
    assert_eq!(
        plan(Want::Discard, K, 4 * M - K, 64 * K),
        Some(ObjectOp::Truncate { size: 64 * K })
    );
    assert_eq!(
        plan(Want::Discard, K, 129 * K, 64 * K),
        Some(ObjectOp::Zero {
            offset: 64 * K,
            length: 64 * K
        })
    );
    for small in [
        (0, 64 * K - 512),
        (512, 64 * K),
        (K, 126 * K),
        (4 * M - 512, 512),
    ] {
        assert_eq!(
            plan(Want::Discard, small.0, small.1, 64 * K),
            None,
            "{small:?}"
        );
    }
    // The object as unit of allocation.
    assert_eq!(plan(Want::Discard, 0, 4 * M, 4 * M), Some(ObjectOp::Delete));
    assert_eq!(
        plan(Want::Discard, M, 3 * M, 4 * M),
        Some(ObjectOp::Truncate { size: M })
    );
    assert_eq!(plan(Want::Discard, 0, 3 * M, 4 * M), None);
}

#[test]
fn objects_of_a_clone_are_hidden_not_deleted() {
    for behind in [1, 4 * M] {
        for snaps in [false, true] {
            assert_eq!(
                plan_clone(Want::Discard, 0, 4 * M, 64 * K, behind, snaps),
                Some(ObjectOp::Truncate { size: 0 })
            );
            assert_eq!(
                plan_clone(Want::Discard, 0, 4 * M, 4 * M, behind, snaps),
                Some(ObjectOp::Truncate { size: 0 })
            );
            assert_eq!(
                plan_clone(Want::Zero, 0, 4 * M, 64 * K, behind, snaps),
                Some(if snaps {
                    ObjectOp::Truncate { size: 0 }
                } else {
                    ObjectOp::Hide
                })
            );
            assert_eq!(
                plan_clone(Want::Zero, M, 3 * M, 64 * K, behind, snaps),
                Some(ObjectOp::Truncate { size: M })
            );
            assert_eq!(
                plan_clone(Want::Write, 0, 4 * M, 64 * K, behind, snaps),
                Some(ObjectOp::WriteFull { length: 4 * M })
            );
        }
    }
    assert_eq!(
        plan_clone(Want::Zero, 0, 4 * M, 64 * K, 0, true),
        Some(ObjectOp::Delete)
    );
}

proptest! {
    /// A discard stays within its range, and leaves out less than a unit at each end.
    #[test]
    fn discard_bounds(offset in 0u64..8192, length in 1u64..8192, shift in 9u32..22) {
        let (offset, alloc) = (offset * 512, 1u64 << shift);
        let length = (length * 512).min((4 * M).saturating_sub(offset));
        prop_assume!(length > 0);
        let (from, to) = match plan(Want::Discard, offset, length, alloc) {
            Some(ObjectOp::Delete) => (0, 4 * M),
            Some(ObjectOp::Truncate { size }) => (size, 4 * M),
            Some(ObjectOp::Zero { offset, length }) => (offset, offset + length),
            Some(other) => panic!("{other:?}"),
            None => {
                prop_assert!(length < 2 * alloc);
                return Ok(());
            }
        };
        prop_assert!(from >= offset && from - offset < alloc);
        prop_assert!(to <= offset + length && offset + length - to < alloc);
    }
}
