// SPDX-License-Identifier: GPL-2.0-only

//! The `rjenkins1` hash of CRUSH: Robert Jenkins' 96-bit mix over a few 32-bit words.
//!
//! The mix is public domain (<https://burtleburtle.net/bob/hash/evahash.html>); the seed, the two filler
//! words and the order in which words are mixed are Ceph's (`src/crush/hash.c`).

/// The seed of every CRUSH hash (Ceph `src/crush/hash.c`, `crush_hash_seed`).
const SEED: u32 = 1_315_423_911;
/// The first filler word that stands in for a missing input.
const X: u32 = 231_232;
/// The second filler word.
const Y: u32 = 1_232;

/// Mixes three words into each other, reversibly (`mix()` of Jenkins' `evahash`).
#[inline]
pub(in crate::proto) fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    // One row of the mix: `p` loses both others and is then stirred with a shifted `r`.
    #[inline(always)]
    fn row(p: u32, q: u32, r: u32, stir: u32) -> u32 {
        p.wrapping_sub(q).wrapping_sub(r) ^ stir
    }
    *a = row(*a, *b, *c, *c >> 13);
    *b = row(*b, *c, *a, *a << 8);
    *c = row(*c, *a, *b, *b >> 13);
    *a = row(*a, *b, *c, *c >> 12);
    *b = row(*b, *c, *a, *a << 16);
    *c = row(*c, *a, *b, *b >> 5);
    *a = row(*a, *b, *c, *c >> 3);
    *b = row(*b, *c, *a, *a << 10);
    *c = row(*c, *a, *b, *b >> 15);
}

/// Hashes two words.
#[inline]
pub fn hash2(mut a: u32, mut b: u32) -> u32 {
    let mut h = SEED ^ a ^ b;
    let (mut x, mut y) = (X, Y);
    mix(&mut a, &mut b, &mut h);
    mix(&mut x, &mut a, &mut h);
    mix(&mut b, &mut y, &mut h);
    h
}

/// Hashes three words.
#[inline]
pub fn hash3(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    let mut h = SEED ^ a ^ b ^ c;
    let (mut x, mut y) = (X, Y);
    mix(&mut a, &mut b, &mut h);
    mix(&mut c, &mut x, &mut h);
    mix(&mut y, &mut a, &mut h);
    mix(&mut b, &mut x, &mut h);
    mix(&mut y, &mut c, &mut h);
    h
}

/// Hashes four words.
#[inline]
pub fn hash4(mut a: u32, mut b: u32, mut c: u32, mut d: u32) -> u32 {
    let mut h = SEED ^ a ^ b ^ c ^ d;
    let (mut x, mut y) = (X, Y);
    mix(&mut a, &mut b, &mut h);
    mix(&mut c, &mut d, &mut h);
    mix(&mut a, &mut x, &mut h);
    mix(&mut y, &mut b, &mut h);
    mix(&mut c, &mut x, &mut h);
    mix(&mut y, &mut d, &mut h);
    h
}
