// SPDX-License-Identifier: GPL-2.0-only

//! Striping: against a model that deals out stripe units one by one, and against itself.

use ceph_proto_host::proto::striper::{Layout, ObjectName};
use proptest::prelude::*;

/// Where each byte of an image of `size` bytes is, by the description in `dev/file-striping`: units are
/// dealt to the objects of a set in turn; when those are full, the next set begins.
fn model(object_size: u64, unit: u64, count: u64, size: u64) -> Vec<(u64, u64)> {
    let mut places = Vec::new();
    let mut fill = vec![0; count as usize];
    let (mut set, mut turn) = (0, 0);
    while (places.len() as u64) < size {
        if fill.iter().all(|f| *f == object_size) {
            set += 1;
            fill.fill(0);
        }
        for i in 0..unit {
            places.push((set * count + turn, fill[turn as usize] + i));
        }
        fill[turn as usize] += unit;
        turn = (turn + 1) % count;
    }
    places.truncate(size as usize);
    places
}

#[test]
fn every_byte_is_where_the_model_has_it() {
    for (unit, count) in [
        (4096, 1),
        (1024, 1),
        (1024, 3),
        (512, 4),
        (4096, 5),
        (2048, 2),
    ] {
        let layout = Layout::new(12, unit, count).unwrap();
        let size = 12 * 4096 + 1234;
        let model = model(4096, unit, count, size);
        for (at, &(object, offset)) in model.iter().enumerate() {
            let e = layout.map(at as u64, 1).unwrap();
            assert_eq!((e.object, e.offset, e.length), (object, offset, 1));
            assert_eq!(layout.image_offset(object, offset), Some(at as u64));
        }
        for size in (0..size).step_by(97) {
            let objects = model[..size as usize].iter().map(|p| p.0 + 1).max();
            assert_eq!(
                layout.object_count(size),
                objects.unwrap_or(0),
                "{size} bytes"
            );
        }
    }
}

#[test]
fn impossible_layouts() {
    assert!(Layout::new(22, 0, 0).unwrap().is_simple());
    for (order, unit, count) in [
        (11, 0, 0),
        (31, 0, 0),
        (255, 0, 0),
        (22, 3, 1),
        (22, 1 << 23, 1),
        (22, 0, 1 << 32),
    ] {
        assert!(Layout::new(order, unit, count).is_err());
    }
}

#[test]
fn names() {
    let name = ObjectName::new(b"rbd_data.103264e1f14f", 0x1f).unwrap();
    assert_eq!(name.as_bytes(), b"rbd_data.103264e1f14f.000000000000001f");
    assert!(ObjectName::new(&[b'x'; 64], u64::MAX).is_ok());
    assert!(ObjectName::new(&[b'x'; 65], 0).is_err());
}

proptest! {
    #[test]
    fn names_are_printf(prefix in "[a-z_.0-9]{0,64}", object: u64) {
        let name = ObjectName::new(prefix.as_bytes(), object).unwrap();
        let expected = format!("{prefix}.{object:016x}");
        prop_assert_eq!(name.as_bytes(), expected.as_bytes());
    }

    #[test]
    fn extents_cover_without_gaps(order in 12u8..=25, shift in 0u8..6, count in 1u64..9, offset: u64, length in 0u64..1 << 28) {
        let layout = Layout::new(order, (1 << order) >> shift, count).unwrap();
        let mut at = offset;
        for e in layout.extents(offset, length).take(1000) {
            prop_assert_eq!(e.image_offset, at);
            prop_assert!(e.length > 0 && e.offset + e.length <= layout.object_size());
            prop_assert!(e.length <= layout.contiguous());
            prop_assert_eq!(layout.image_offset(e.object, e.offset), Some(at));
            at += e.length;
        }
        prop_assert!(at <= offset.saturating_add(length));
    }
}
