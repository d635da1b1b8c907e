// SPDX-License-Identifier: GPL-2.0-only

//! What a copy-up sends: the bytes that the parent has of an object, and the write that made the copy
//! necessary.
//!
//! The data of a request lie one behind the other, with the names of the class method in front
//! (`encode_call_input`). So there is one buffer: the names, the parent's bytes, the write's.

use kernel::{prelude::*, sync::Arc};
use net_ceph::{
    abstractions::data::{DataBuf, DataCursor},
    proto::cls::rbd::{method, CLASS},
};

/// Bytes copied at a time.
const CHUNK: usize = 256;

/// Bytes that the names of the method take.
const NAMES: usize = CLASS.len() + method::COPYUP.len();

/// The data of a copy-up.
pub(super) struct CopyUpBuffer {
    buf: Arc<DataBuf>,
    /// Bytes of the parent, 0 if all are zeroes.
    parent: usize,
    /// Bytes of room for the parent's.
    room: usize,
}

impl CopyUpBuffer {
    /// Room for `parent` bytes of the parent and `write` bytes to be written. Allocates.
    pub(super) fn new(parent: usize, write: usize) -> Result<Self> {
        let len = parent.checked_add(write).and_then(|n| n.checked_add(NAMES));
        let buf = DataBuf::zeroed(len.ok_or(EINVAL)?)?;
        let this = Self {
            buf,
            parent,
            room: parent,
        };
        put_names(this.buf.cursor());
        Ok(this)
    }

    /// Where the parent's bytes belong.
    pub(super) fn parent_room(&self) -> DataCursor {
        let mut at = self.buf.cursor();
        at.advance(NAMES);
        at.take(self.room)
    }

    /// Says whether all bytes of the parent are zeroes; if so they are left out from now on.
    pub(super) fn find_zeroes(&mut self) -> bool {
        let zero = self.parent_room().is_zero(self.room);
        if zero {
            self.parent = 0;
            // In front of the write's bytes.
            let mut at = self.buf.cursor();
            at.advance(self.room);
            put_names(at);
        }
        zero
    }

    /// The data of a copy-up alone, and the length of the method's input.
    pub(super) fn alone(&self) -> (DataCursor, u32) {
        let mut at = self.buf.cursor();
        at.advance(self.room.saturating_sub(self.parent));
        let len = self.parent.saturating_add(NAMES);
        (at.take(len), u32::try_from(self.parent).unwrap_or(u32::MAX))
    }

    /// The data of a copy-up followed by a write of `write`, and the length of the method's input.
    pub(super) fn with_write(&self, write: Option<&DataCursor>) -> (DataCursor, u32) {
        let (alone, input_len) = self.alone();
        let Some(write) = write else {
            return (alone, input_len);
        };
        let mut to = self.buf.cursor();
        to.advance(self.room.saturating_add(NAMES));
        let mut from = write.clone();
        let mut chunk = [0; CHUNK];
        loop {
            let n = from.copy_to(&mut chunk);
            match chunk.get(..n) {
                Some(bytes) if n > 0 => to.copy_from(bytes),
                _ => break,
            };
        }
        let mut at = self.buf.cursor();
        at.advance(self.room.saturating_sub(self.parent));
        let len = alone.remaining().saturating_add(write.remaining());
        (at.take(len), input_len)
    }
}

fn put_names(mut at: DataCursor) {
    at.copy_from(CLASS.as_bytes());
    at.copy_from(method::COPYUP.as_bytes());
}
