// SPDX-License-Identifier: GPL-2.0-only

//! Striping: against a model that deals out stripe units one by one, and against itself.

use ceph_proto_host::proto::striper::{Layout, ObjectExtent, ObjectName};
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
fn how_many_objects() {
    for (unit, count) in [(4096, 1), (1024, 3), (4096, 3), (512, 4), (2048, 2)] {
        let layout = Layout::new(12, unit, count).unwrap();
        let set = 4096 * count;
        let mut most = 0;
        for offset in (0..2 * set).step_by(512) {
            for length in (0..=set).step_by(512) {
                let objects = layout.objects_of(offset, length);
                let extents = layout.object_extents(offset, length).count();
                assert_eq!(objects.max(1), extents.max(1), "{offset} {length}");
                most = most.max(objects as u64);
            }
        }
        assert!(most <= layout.objects_max(), "{unit} {count}: {most}");
        // No more than are needed, but for the smallest sets.
        assert!(layout.objects_max() <= most + 1, "{unit} {count}: {most}");
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

    /// The object extents are what the pieces in the image's order add up to, and lead back to these.
    #[test]
    fn object_extents_are_merged_extents(
        (order, shift, count) in (12u8..=16, 0u8..6, 1u64..9),
        offset in 0u64..1 << 40,
        length in 0u64..1 << 20,
    ) {
        let layout = Layout::new(order, (1 << order) >> shift, count).unwrap();
        // By object: its first piece, and where the next one has to go on.
        let mut merged: Vec<ObjectExtent> = Vec::new();
        for e in layout.extents(offset, length) {
            match merged.iter_mut().find(|m| m.object == e.object) {
                Some(m) => {
                    prop_assert_eq!(m.offset + m.length, e.offset, "contiguous");
                    m.length += e.length;
                }
                None => merged.push(e),
            }
        }
        let found: Vec<_> = layout.object_extents(offset, length).collect();
        prop_assert_eq!(&found, &merged);

        let mut pieces = Vec::new();
        for e in &found {
            let stride = layout.stride(e);
            let mut expected = (e.image_offset, e.offset, stride.first as u64);
            let mut sum = 0;
            for piece in layout.pieces(e) {
                prop_assert_eq!(piece.object, e.object);
                // The last one may be shorter.
                prop_assert_eq!((piece.image_offset, piece.offset), (expected.0, expected.1));
                prop_assert!(piece.length == expected.2 || sum + piece.length == e.length);
                expected = (
                    piece.image_offset + piece.length + stride.skip as u64,
                    piece.offset + piece.length,
                    stride.run as u64,
                );
                sum += piece.length;
                pieces.push(piece);
            }
            prop_assert_eq!(sum, e.length);
        }
        pieces.sort_by_key(|p| p.image_offset);
        let extents: Vec<_> = layout.extents(offset, length).collect();
        prop_assert_eq!(pieces, extents);
    }

    #[test]
    fn prefixes_add_up((order, shift, count) in (12u8..=16, 0u8..6, 1u64..9), size in 0u64..1 << 20) {
        let layout = Layout::new(order, (1 << order) >> shift, count).unwrap();
        let mut sum = 0;
        for object in 0..layout.object_count(size) {
            let prefix = layout.object_prefix(object, size);
            prop_assert!(prefix > 0 && prefix <= layout.object_size());
            prop_assert!(layout.image_offset(object, prefix - 1).unwrap() < size);
            if prefix < layout.object_size() {
                prop_assert!(layout.image_offset(object, prefix).unwrap() >= size);
            }
            sum += prefix;
        }
        prop_assert_eq!(sum, size);
        prop_assert_eq!(layout.object_prefix(layout.object_count(size), size), 0);
    }

    /// Nothing overflows or goes on for ever, wherever it is asked for.
    #[test]
    fn far_away(order in 12u8..=30, shift in 0u8..6, count in 1u64..=u32::MAX.into(), offset: u64, length: u64) {
        let layout = Layout::new(order, (1 << order) >> shift, count).unwrap();
        for e in layout.object_extents(offset, length).take(100) {
            prop_assert!(e.length > 0 && e.offset + e.length <= layout.object_size());
            prop_assert_eq!(layout.image_offset(e.object, e.offset), Some(e.image_offset));
            prop_assert_eq!(layout.pieces(&e).next().unwrap().image_offset, e.image_offset);
            layout.stride(&e);
        }
        layout.object_prefix(offset, length);
        let beyond = ObjectExtent { object: offset, offset: length, length: offset, image_offset: 0 };
        layout.pieces(&beyond).take(100).for_each(drop);
        layout.stride(&beyond);
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
