// SPDX-License-Identifier: GPL-2.0-only

//! Hashes of object names (Ceph `src/common/ceph_hash.cc`).
//!
//! Both take a name in parts, so that a namespace and a name need not be joined first.

use super::super::crush::hash::mix;

/// How a pool hashes the names of its objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectHash {
    /// The old Linux dcache hash.
    Linux,
    /// Robert Jenkins' string hash; what every pool uses by default.
    RJenkins,
    /// One that neither Ceph nor we know.
    Unknown,
}

impl ObjectHash {
    /// From the number on the wire (Ceph `src/include/ceph_hash.h`, `CEPH_STR_HASH_*`).
    pub const fn from_wire(v: u8) -> Self {
        match v {
            1 => Self::Linux,
            2 => Self::RJenkins,
            _ => Self::Unknown,
        }
    }

    /// Hashes the concatenation of `parts`. Does not allocate.
    pub fn hash(self, parts: &[&[u8]]) -> u32 {
        match self {
            Self::Linux => linux(parts),
            Self::RJenkins => rjenkins(parts),
            Self::Unknown => u32::MAX,
        }
    }
}

fn linux(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|p| p.iter().copied().map(u32::from));
    bytes.fold(0u32, |hash, c| {
        hash.wrapping_add(c << 4)
            .wrapping_add(c >> 4)
            .wrapping_mul(11)
    })
}

/// The words of a 12-byte block.
fn words(block: &[u8; 12]) -> [u32; 3] {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = *block;
    [
        u32::from_le_bytes([a0, a1, a2, a3]),
        u32::from_le_bytes([b0, b1, b2, b3]),
        u32::from_le_bytes([c0, c1, c2, c3]),
    ]
}

/// Jenkins' `evahash`: blocks of 12 bytes are added to the state and mixed; the last, partial one
/// leaves the lowest byte of its third word to the total length.
fn rjenkins(parts: &[&[u8]]) -> u32 {
    /// The golden ratio; an arbitrary start.
    const START: u32 = 0x9e37_79b9;
    let (mut a, mut b, mut c) = (START, START, 0u32);
    let mut add = |block: &[u8; 12], length: u32| {
        let [x, y, z] = words(block);
        a = a.wrapping_add(x);
        b = b.wrapping_add(y);
        c = c.wrapping_add(z).wrapping_add(length);
        mix(&mut a, &mut b, &mut c);
        c
    };
    let (mut block, mut filled, mut total) = ([0u8; 12], 0usize, 0u32);
    for part in parts {
        total = total.wrapping_add(part.len() as u32);
        let mut rest = *part;
        while !rest.is_empty() {
            let room = block.get_mut(filled..).unwrap_or(&mut []);
            let n = room.len().min(rest.len());
            let (head, tail) = rest.split_at(n);
            for (to, from) in room.iter_mut().zip(head) {
                *to = *from;
            }
            rest = tail;
            filled += n;
            if filled == block.len() {
                add(&block, 0);
                (block, filled) = ([0; 12], 0);
            }
        }
    }
    // At most 11 bytes are left; those of the third word move up by one.
    block.copy_within(8..11, 9);
    if let Some(low) = block.get_mut(8) {
        *low = 0;
    }
    add(&block, total)
}
