// SPDX-License-Identifier: GPL-2.0-only

//! Little-endian wire encoding: a bounded [`Decoder`], an [`Encoder`], and versioned sections.
//!
//! Ceph encodes integers little-endian, a string or blob as `u32 len` and its bytes, a container as
//! `u32 count` and its items, and an extensible struct as `u8 struct_v, u8 struct_compat,
//! u32 struct_len` and that many bytes (Ceph `src/include/encoding.h`, `ENCODE_START`).

use super::error::{ProtoError, ProtoResult, Reason};
use kernel::prelude::*;

/// A cursor over received bytes. Every read is checked against what is left.
#[derive(Clone, Copy)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

macro_rules! decode_int {
    ($($name:ident: $ty:ty),* $(,)?) => {$(
        #[doc = concat!("Reads a little-endian `", stringify!($ty), "`.")]
        #[inline]
        pub fn $name(&mut self, step: &'static str) -> ProtoResult<$ty> {
            Ok(<$ty>::from_le_bytes(self.array(step)?))
        }
    )*};
}

impl<'a> Decoder<'a> {
    /// Reads from `buf`.
    #[inline]
    pub const fn new(buf: &'a [u8]) -> Self {
        Self { rest: buf }
    }

    /// Bytes not read yet.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was read.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not read yet; reads nothing.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes `n` bytes.
    #[inline]
    pub fn bytes(&mut self, n: usize, step: &'static str) -> ProtoResult<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(self.short(n, step)),
        }
    }

    /// Takes a fixed-size array.
    #[inline]
    pub fn array<const N: usize>(&mut self, step: &'static str) -> ProtoResult<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(self.short(N, step)),
        }
    }

    #[cold]
    fn short(&self, need: usize, step: &'static str) -> ProtoError {
        ProtoError::new(
            step,
            Reason::Short {
                need,
                have: self.rest.len(),
            },
        )
    }

    decode_int!(u8: u8, u16: u16, u32: u32, u64: u64, i8: i8, i16: i16, i32: i32, i64: i64);

    /// Reads a `u8` that stands for a truth value; any non-zero byte is true.
    pub fn bool(&mut self, step: &'static str) -> ProtoResult<bool> {
        Ok(self.u8(step)? != 0)
    }

    /// Passes over `n` bytes.
    pub fn skip(&mut self, n: usize, step: &'static str) -> ProtoResult {
        self.bytes(n, step).map(|_| ())
    }

    /// Reads `u32 len` and that many bytes, at most `max`.
    pub fn blob(&mut self, max: usize, step: &'static str) -> ProtoResult<&'a [u8]> {
        let len = self.u32(step)? as usize;
        if len > max {
            return Err(too_long(len, max, step));
        }
        self.bytes(len, step)
    }

    /// Reads a [`blob`](Self::blob) that must be UTF-8.
    pub fn string(&mut self, max: usize, step: &'static str) -> ProtoResult<&'a str> {
        core::str::from_utf8(self.blob(max, step)?)
            .map_err(|_| ProtoError::new(step, Reason::NotText))
    }

    /// Passes over a blob of any length that fits.
    pub fn skip_blob(&mut self, step: &'static str) -> ProtoResult {
        let len = self.u32(step)? as usize;
        self.skip(len, step)
    }

    /// Reads a container's `u32 count`: at most `max`, and no more than what is left can hold when
    /// each item takes at least `item_size` bytes on the wire. An allocation of `count` items is
    /// then bounded by the bytes really received.
    pub fn count(
        &mut self,
        max: usize,
        item_size: usize,
        step: &'static str,
    ) -> ProtoResult<usize> {
        let n = self.u32(step)? as usize;
        let fit = self.rest.len() / item_size.max(1);
        if n > max {
            return Err(too_long(n, max, step));
        }
        if n > fit {
            return Err(self.short(n.saturating_mul(item_size), step));
        }
        Ok(n)
    }

    /// Opens a versioned section: reads its header and returns its `struct_v` and a decoder of its
    /// body. Fails if its `struct_compat` exceeds `supported`. The outer decoder stands behind the
    /// section, so fields of newer versions are passed over.
    pub fn section(&mut self, supported: u8, step: &'static str) -> ProtoResult<(u8, Decoder<'a>)> {
        let struct_v = self.u8(step)?;
        let compat = self.u8(step)?;
        if compat > supported {
            return Err(ProtoError::new(
                step,
                Reason::Incompatible { compat, supported },
            ));
        }
        let len = self.u32(step)? as usize;
        Ok((struct_v, Decoder::new(self.bytes(len, step)?)))
    }

    /// Passes over a versioned section, whatever its version.
    pub fn skip_section(&mut self, step: &'static str) -> ProtoResult {
        self.skip(2, step)?;
        self.skip_blob(step)
    }

    /// Fails unless everything was read.
    pub fn finish(&self, step: &'static str) -> ProtoResult {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(too_long(self.rest.len(), 0, step))
        }
    }
}

#[cold]
fn too_long(len: usize, max: usize, step: &'static str) -> ProtoError {
    ProtoError::new(
        step,
        Reason::TooLong {
            len: len as u64,
            max: max as u64,
        },
    )
}

/// Where an [`Encoder`] puts bytes.
pub trait Sink {
    /// The bytes so far.
    fn written(&mut self) -> &mut [u8];

    /// How many there are.
    fn count(&self) -> usize;

    /// Appends `bytes`.
    fn append(&mut self, bytes: &[u8]) -> ProtoResult;
}

impl Sink for KVec<u8> {
    fn written(&mut self) -> &mut [u8] {
        self
    }

    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> ProtoResult {
        Ok(self.extend_from_slice(bytes, GFP_KERNEL)?)
    }
}

/// Memory of a fixed size that is filled from its start. For messages of the I/O path: field by field, this
/// costs a tenth of appending to a vector.
pub struct Fixed<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Fixed<'a> {
    /// Fills `bytes`.
    #[inline]
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    #[cold]
    fn full(&self, need: usize) -> ProtoError {
        ProtoError::new(
            "message longer than its place",
            Reason::Short {
                need,
                have: self.bytes.len().saturating_sub(self.len),
            },
        )
    }
}

impl Sink for Fixed<'_> {
    fn written(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    #[inline]
    fn count(&self) -> usize {
        self.len
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> ProtoResult {
        let end = self.len.saturating_add(bytes.len());
        match self.bytes.get_mut(self.len..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len = end;
                Ok(())
            }
            None => Err(self.full(bytes.len())),
        }
    }
}

/// A piece of zeroes.
const ZEROS: [u8; 32] = [0; 32];

/// Appends encoded values to a buffer. Within a vector's capacity nothing is allocated.
pub struct Encoder<'a, S: Sink = KVec<u8>> {
    out: &'a mut S,
}

macro_rules! encode_int {
    ($($name:ident: $ty:ty),* $(,)?) => {$(
        #[doc = concat!("Appends a little-endian `", stringify!($ty), "`.")]
        #[inline]
        pub fn $name(&mut self, v: $ty) -> ProtoResult {
            self.bytes(&v.to_le_bytes())
        }
    )*};
}

impl<'a, S: Sink> Encoder<'a, S> {
    /// Appends to `out`.
    #[inline]
    pub fn new(out: &'a mut S) -> Self {
        Self { out }
    }

    /// Bytes in the buffer so far, those before this encoder included.
    #[inline]
    pub fn len(&self) -> usize {
        self.out.count()
    }

    /// Whether the buffer is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.out.count() == 0
    }

    /// Appends raw bytes.
    #[inline]
    pub fn bytes(&mut self, v: &[u8]) -> ProtoResult {
        self.out.append(v)
    }

    encode_int!(u8: u8, u16: u16, u32: u32, u64: u64, i8: i8, i16: i16, i32: i32, i64: i64);

    /// Appends a truth value as one byte.
    pub fn bool(&mut self, v: bool) -> ProtoResult {
        self.u8(v.into())
    }

    /// Appends `n` zero bytes.
    #[inline]
    pub fn zeros(&mut self, n: usize) -> ProtoResult {
        let mut left = n;
        while left > 0 {
            let some = ZEROS.get(..left).unwrap_or(&ZEROS);
            self.bytes(some)?;
            left = left.saturating_sub(some.len());
        }
        Ok(())
    }

    /// Appends a container's count.
    pub fn count(&mut self, n: usize) -> ProtoResult {
        let n = u32::try_from(n).map_err(|_| too_long(n, u32::MAX as usize, "encoded count"))?;
        self.u32(n)
    }

    /// Appends `u32 len` and the bytes.
    pub fn blob(&mut self, v: &[u8]) -> ProtoResult {
        self.count(v.len())?;
        self.bytes(v)
    }

    /// Appends a string as a [`blob`](Self::blob).
    pub fn string(&mut self, v: &str) -> ProtoResult {
        self.blob(v.as_bytes())
    }

    /// Appends a versioned section whose body `f` writes.
    pub fn section(
        &mut self,
        struct_v: u8,
        compat: u8,
        f: impl FnOnce(&mut Encoder<'_, S>) -> ProtoResult,
    ) -> ProtoResult {
        self.u8(struct_v)?;
        self.u8(compat)?;
        self.sized(f)
    }

    /// Appends `u32 len` and what `f` writes, whose length it is.
    pub fn sized(&mut self, f: impl FnOnce(&mut Encoder<'_, S>) -> ProtoResult) -> ProtoResult {
        let at = self.out.count();
        self.u32(0)?;
        f(&mut Encoder { out: self.out })?;
        let len = self.out.count().saturating_sub(at.saturating_add(4));
        let len =
            u32::try_from(len).map_err(|_| too_long(len, u32::MAX as usize, "encoded section"))?;
        self.patch(at, &len.to_le_bytes())
    }

    /// Overwrites bytes that were appended before, `at` bytes from the buffer's start.
    pub fn patch(&mut self, at: usize, v: &[u8]) -> ProtoResult {
        let have = self.out.count();
        match at
            .checked_add(v.len())
            .and_then(|end| self.out.written().get_mut(at..end))
        {
            Some(slot) => {
                slot.copy_from_slice(v);
                Ok(())
            }
            None => Err(ProtoError::new(
                "patch",
                Reason::Short {
                    need: v.len(),
                    have: have.saturating_sub(at),
                },
            )),
        }
    }
}
