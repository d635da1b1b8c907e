// SPDX-License-Identifier: GPL-2.0-only

//! Striping: every byte of an image extent is in exactly one piece, and found from there again.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::io::plan::{ObjectOp, Want};
use ceph_proto_host::proto::striper::{Layout, ObjectName};

/// Pieces looked at; there may be as many as there are bytes.
const MOST: usize = 40;

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let order = 9 + i.u8() % 24;
    // Mostly such as are allowed.
    let unit = match i.bool() {
        true => 1u64.checked_shl(order.into()).unwrap_or(0) / i.number().max(1),
        false => i.number() << (i.u8() & 31),
    };
    let count = i.number();
    let (offset, length) = (i.u64(), i.number() << (i.u8() & 31));
    let alloc_size = 512u64 << (i.u8() & 15);
    let prefix = i.rest();
    let Ok(layout) = Layout::new(order, unit, count) else {
        return;
    };
    let end = offset.saturating_add(length);

    let mut at = offset;
    for piece in layout.extents(offset, length).take(MOST) {
        assert_eq!(piece.image_offset, at);
        assert!(piece.length > 0 && piece.offset + piece.length <= layout.object_size());
        assert_eq!(layout.image_offset(piece.object, piece.offset), Some(at));
        assert!(piece.object < layout.object_count(at + piece.length));
        assert!(
            layout.object_prefix(piece.object, at + piece.length) >= piece.offset + piece.length
        );
        at += piece.length;
    }
    assert!(at <= end);

    let mut total = 0u64;
    for extent in layout.object_extents(offset, length).take(MOST) {
        assert!(extent.length > 0 && extent.offset + extent.length <= layout.object_size());
        let mut bytes = 0;
        for piece in layout.pieces(&extent).take(MOST) {
            assert!(piece.image_offset >= offset && piece.image_offset + piece.length <= end);
            bytes += piece.length;
        }
        assert!(bytes <= extent.length);
        total += extent.length;
        let stride = layout.stride(&extent);
        assert!(stride.first > 0 && stride.first <= stride.run);
        for want in [Want::Read, Want::Write, Want::Discard, Want::Zero] {
            for (behind, snaps) in [(0, false), (1, false), (layout.object_size(), true)] {
                let op = ObjectOp::plan(
                    want,
                    &extent,
                    layout.object_size(),
                    alloc_size,
                    behind,
                    snaps,
                );
                within(want, op, extent.offset, extent.length, layout.object_size());
                assert!(
                    behind == 0 || op != Some(ObjectOp::Delete),
                    "the parent's bytes would show"
                );
            }
        }
    }
    assert!(total <= end - offset);

    if let Ok(name) = ObjectName::new(prefix, offset) {
        assert!(name.as_bytes().starts_with(prefix));
        assert!(name
            .as_bytes()
            .ends_with(format!(".{offset:016x}").as_bytes()));
    }
});

/// What is done to an object stays within what was asked for.
fn within(want: Want, op: Option<ObjectOp>, from: u64, length: u64, size: u64) {
    let end = from + length;
    let (first, last) = match op {
        None => {
            assert_eq!(want, Want::Discard);
            return;
        }
        Some(ObjectOp::Read { offset, length } | ObjectOp::Write { offset, length }) => {
            assert_eq!((offset, length), (from, end - from), "{want:?}");
            (offset, offset + length)
        }
        Some(ObjectOp::WriteFull { length }) => (0, length),
        Some(ObjectOp::Zero { offset, length }) => {
            assert!(length > 0);
            (offset, offset + length)
        }
        Some(ObjectOp::Truncate { size: at }) => (at, size),
        Some(ObjectOp::Delete | ObjectOp::Hide) => (0, size),
    };
    assert!(
        first >= from && last <= end,
        "{want:?} {op:?} of {from}+{length}"
    );
}
