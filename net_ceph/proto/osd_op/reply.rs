// SPDX-License-Identifier: GPL-2.0-only

//! `MOSDOpReply`: what came of a request (Ceph `src/messages/MOSDOpReply.h`).

use super::op::{decode_payload_len, OP_LEN};
use crate::proto::error::ProtoResult;
use crate::proto::message::Reply;
use crate::proto::wire::Decoder;

/// The most operations in one request (an OSD accepts far fewer: `osd_max_write_op_reply_len` and the
/// like bound their size, not their number).
const MAX_OPS: usize = 256;
/// The longest name accepted.
const MAX_NAME: usize = 4096;

/// A reply. It borrows from the front segment; outputs follow one another in the data segment.
#[derive(Clone, Copy, Debug)]
pub struct OsdOpReply<'a> {
    /// The object.
    pub object: &'a [u8],
    /// `flags::*`.
    pub flags: u64,
    /// Result of the whole: 0, a positive number some operations give, or a negative errno.
    pub result: i32,
    /// The OSD's map epoch.
    pub epoch: u32,
    /// Which attempt this answers; -1: the sender did not say.
    pub attempt: i32,
    /// The object's version after this request, as its users see it.
    pub user_version: u64,
    /// The request is to go elsewhere.
    pub redirect: Option<Redirect<'a>>,
    ops: &'a [u8],
    rvals: &'a [u8],
}

/// What came of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpResult {
    /// Its result.
    pub rval: i32,
    /// How many bytes of the data segment are its output.
    pub output_len: u32,
}

impl OsdOpReply<'_> {
    /// The results of the operations, in order.
    pub fn results(&self) -> impl Iterator<Item = OpResult> + '_ {
        self.ops
            .chunks_exact(OP_LEN)
            .zip(self.rvals.chunks_exact(4))
            .filter_map(|(op, rval)| {
                Some(OpResult {
                    rval: i32::from_le_bytes(rval.try_into().ok()?),
                    output_len: decode_payload_len(&mut Decoder::new(op), "op result").ok()?,
                })
            })
    }
}

impl<'a> Reply<'a> for OsdOpReply<'a> {
    const TYPE: u16 = 43;

    fn decode(version: u16, front: &'a [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(front);
        let object = d.blob(MAX_NAME, "osd reply: object name")?;
        // The placement group: `u8`, `u64 pool`, `u32 seed`, `i32 preferred`.
        d.skip(1 + 8 + 4 + 4, "osd reply: pg")?;
        let flags = d.u64("osd reply: flags")?;
        let result = d.i32("osd reply: result")?;
        let old_version = d.u64("osd reply: version")?;
        d.u32("osd reply: version's epoch")?;
        let epoch = d.u32("osd reply: epoch")?;
        let count = d.count(MAX_OPS, OP_LEN + 4, "osd reply: op count")?;
        let ops = d.bytes(count * OP_LEN, "osd reply: ops")?;
        let attempt = d.i32("osd reply: attempt")?;
        let rvals = d.bytes(count * 4, "osd reply: op results")?;
        let user_version = if version >= 5 {
            d.skip(8 + 4, "osd reply: replay version")?;
            d.u64("osd reply: user version")?
        } else {
            old_version
        };
        let redirected = match version {
            0..=5 => false,
            6 => true,
            _ => d.bool("osd reply: redirected")?,
        };
        let redirect = if redirected {
            Redirect::decode(&mut d)?
        } else {
            None
        };
        Ok(Self {
            object,
            flags,
            result,
            epoch,
            attempt,
            user_version,
            redirect,
            ops,
            rvals,
        })
    }
}

/// Where to go instead (`request_redirect_t`, Ceph `src/osd/osd_types.h`): a section (v1) of an
/// `object_locator_t` and `string object`. Only cache tiers and the like send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect<'a> {
    /// Pool; all ones: unchanged.
    pub pool: u64,
    /// Locator key that replaces the object's name in placement; empty: none.
    pub key: &'a [u8],
    /// Namespace.
    pub namespace: &'a [u8],
    /// Hash that replaces the computed one; negative: none.
    pub hash: i64,
    /// Object; empty: unchanged.
    pub object: &'a [u8],
}

impl<'a> Redirect<'a> {
    /// `None` if it names neither a pool nor an object, which means there is no redirection
    /// (`request_redirect_t::empty`).
    fn decode(d: &mut Decoder<'a>) -> ProtoResult<Option<Self>> {
        let (_, mut d) = d.section(1, "osd reply: redirect")?;
        let (struct_v, mut l) = d.section(6, "osd reply: redirect locator")?;
        let pool = l.u64("osd reply: redirect pool")?;
        l.i32("osd reply: redirect locator")?;
        let key = l.blob(MAX_NAME, "osd reply: redirect key")?;
        let namespace = if struct_v >= 5 {
            l.blob(MAX_NAME, "osd reply: redirect namespace")?
        } else {
            &[]
        };
        let hash = if struct_v >= 6 {
            l.i64("osd reply: redirect hash")?
        } else {
            -1
        };
        let object = d.blob(MAX_NAME, "osd reply: redirect object")?;
        let empty = pool == u64::MAX && key.is_empty() && hash < 0 && object.is_empty();
        Ok((!empty).then_some(Self {
            pool,
            key,
            namespace,
            hash,
            object,
        }))
    }
}
