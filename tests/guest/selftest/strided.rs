// SPDX-License-Identifier: GPL-2.0-only

//! Cursors over pieces, in bios and in buffers, against a list of the bytes they should have.

use crate::bios::{Chain, LEN};
use crate::check;
use crate::peer::Peer;
use kernel::prelude::*;
use net_ceph::abstractions::{
    crc32c::crc32c,
    data::{DataBuf, DataCursor},
};

/// First piece, the others, what lies between, and all of it.
const SHAPES: &[(usize, usize, usize, usize)] = &[
    (100, 512, 1024, 3000),
    (4096, 4096, 4096, 20_000),
    (1, 1, 1, 2000),
    (0, 700, 300, 5000),
    (3000, 4000, 9000, usize::MAX),
    (5000, 100, usize::MAX, 6000),
    (10, usize::MAX, 7, 30_000),
    (512, 512, 0, 10_000),
    (300, 0, 9, 400),
    (usize::MAX, 5, 5, 1000),
    (0, 10, LEN + 1, 10),
    (64, 64, 64, 0),
];

/// Where in `ahead` bytes the bytes of the pieces are.
fn places(
    ahead: usize,
    (first, run, skip, total): (usize, usize, usize, usize),
) -> Result<KVVec<usize>> {
    let mut places = KVVec::new();
    let (mut at, mut left) = (0usize, first);
    while at < ahead && places.len() < total {
        if left > 0 {
            places.push(at, GFP_KERNEL)?;
            left -= 1;
            at += 1;
        } else if run == 0 {
            break;
        } else {
            at = at.saturating_add(skip);
            left = run;
        }
    }
    Ok(places)
}

/// Checks what a cursor reads, which should be the bytes of `flat` at `places`.
fn check_reading(cursor: &DataCursor, flat: &[u8], places: &[usize]) -> Result {
    check!(cursor.remaining() == places.len());
    let mut expected = KVVec::with_capacity(places.len(), GFP_KERNEL)?;
    for place in places {
        expected.push(flat[*place], GFP_KERNEL)?;
    }
    let mut copy = KVVec::from_elem(0u8, places.len(), GFP_KERNEL)?;
    check!(cursor.clone().copy_to(&mut copy) == places.len());
    check!(copy == expected);
    for n in [0, 1, 99, 513, 4097, places.len(), usize::MAX] {
        let end = n.min(places.len());
        check!(cursor.crc32c(5, n) == crc32c(5, &expected[..end]));
        let mut rest = cursor.clone();
        rest.advance(n);
        check!(rest.remaining() == places.len() - end);
        check!(rest.crc32c(5, usize::MAX) == crc32c(5, &expected[end..]));
        let part = rest.take(n);
        let until = (end + n.min(places.len())).min(places.len());
        check!(part.crc32c(5, usize::MAX) == crc32c(5, &expected[end..until]));
    }
    Ok(())
}

/// Checks that writing through a cursor touches the bytes at `places`, and no others.
fn check_writing(
    cursor: &DataCursor,
    all: &DataCursor,
    flat: &[u8],
    start: usize,
    places: &[usize],
) -> Result {
    let mut expected = KVVec::with_capacity(flat.len(), GFP_KERNEL)?;
    expected.extend_from_slice(flat, GFP_KERNEL)?;
    let mut news = KVVec::with_capacity(places.len(), GFP_KERNEL)?;
    for (i, place) in places.iter().enumerate() {
        let byte = (i * 13 + 1) as u8 | 1;
        news.push(byte, GFP_KERNEL)?;
        expected[start + place] = byte;
    }
    let mut at = cursor.clone();
    check!(at.copy_from(&news) == places.len() && at.is_empty());
    let mut now = KVVec::from_elem(0u8, flat.len(), GFP_KERNEL)?;
    all.clone().copy_to(&mut now);
    check!(now == expected);

    check!(cursor.is_zero(0) && (places.is_empty() || !cursor.is_zero(1)));
    let half = places.len() / 2;
    let mut at = cursor.clone();
    at.zero_fill(half);
    check!(cursor.is_zero(half) && (half == places.len() || !cursor.is_zero(half + 1)));
    at.zero_fill(usize::MAX);
    check!(cursor.is_zero(usize::MAX));
    for place in places {
        expected[start + place] = 0;
    }
    all.clone().copy_to(&mut now);
    check!(now == expected);
    all.clone().copy_from(flat);
    Ok(())
}

fn check_all(all: &DataCursor) -> Result {
    let mut flat = KVVec::from_elem(0u8, all.remaining(), GFP_KERNEL)?;
    all.clone().copy_to(&mut flat);
    for start in [0, 1, 4090, 5120, 35_121, LEN - 1, LEN] {
        let mut base = all.clone();
        base.advance(start);
        for &shape in SHAPES {
            let (first, run, skip, total) = shape;
            let ahead = base.remaining();
            let places = places(ahead, shape)?;
            let cursor = base.strided(first, run, skip, total);
            check_reading(&cursor, &flat[start..], &places)?;
            check_writing(&cursor, all, &flat, start, &places)?;
            // Of what is cut short first.
            let cut = base.take(7000);
            let places = self::places(cut.remaining(), shape)?;
            check_reading(
                &cut.strided(first, run, skip, total),
                &flat[start..],
                &places,
            )?;
        }
    }
    Ok(())
}

/// In a chain of bios, where pieces go across bvecs and bios.
pub(crate) fn bios() -> Result {
    check_all(&Chain::new()?.cursor())
}

/// In a buffer.
pub(crate) fn buffer() -> Result {
    let buf = DataBuf::zeroed(LEN)?;
    let mut cursor = buf.cursor();
    let mut i = 0u32;
    while !cursor.is_empty() {
        cursor.copy_from(&[(i * 17 + i / 239) as u8 | 1]);
        i += 1;
    }
    check_all(&buf.cursor())
}

/// Pieces sent from one chain and received into the like pieces of another.
pub(crate) fn echo() -> Result {
    let mut peer = Peer::local(b'E')?;
    let from = Chain::new()?;
    let mut flat = KVVec::from_elem(0u8, LEN, GFP_KERNEL)?;
    from.cursor().copy_to(&mut flat);
    for &(first, run, skip, total) in SHAPES {
        // A piece of one byte is a call of its own: not too many of those.
        let total = total.min(if run == 1 { 200 } else { LEN });
        let places = places(LEN, (first, run, skip, total))?;
        if places.is_empty() {
            continue;
        }
        let to = Chain::new()?;
        to.cursor().zero_fill(usize::MAX);
        peer.send_data(from.cursor().strided(first, run, skip, total))?;
        peer.recv_data(to.cursor().strided(first, run, skip, total))?;
        let mut expected = KVVec::from_elem(0u8, LEN, GFP_KERNEL)?;
        for place in &places {
            expected[*place] = flat[*place];
        }
        let mut got = KVVec::from_elem(0u8, LEN, GFP_KERNEL)?;
        to.cursor().copy_to(&mut got);
        check!(got == expected);
    }
    Ok(())
}
