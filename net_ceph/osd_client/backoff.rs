// SPDX-License-Identifier: GPL-2.0-only

//! The ranges of objects for which an OSD wants no requests for now (Ceph document
//! `dev/osd_internals/backoff`). They end with the connection.

use super::request::OsdRequest;
use crate::messenger::{Outgoing, PlainMessage};
use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::message::Request;
use crate::proto::osd_op::{BackoffAck, HObject, HObjectBuf, OsdBackoff, SpgId};
use kernel::{fmt, prelude::*, sync::Arc};

/// The most ranges kept. An OSD has some hundreds of placement groups, and asks once for each, or for each object
/// that it cannot find.
const RANGES_MAX: usize = 4096;

/// One such range.
struct Range {
    id: u64,
    spg: SpgId,
    begin: HObjectBuf,
    end: HObjectBuf,
}

/// Those of one session.
#[derive(Default)]
pub(super) struct Backoffs(KVec<Range>);

impl Backoffs {
    /// Adds a range. One too many is not kept: what is sent meanwhile the OSD drops, and whatever was in the range is sent
    /// again when it ends. Allocates.
    pub(super) fn add(&mut self, b: &OsdBackoff<'_>) -> ProtoResult {
        self.remove(b.id);
        if self.0.len() >= RANGES_MAX {
            return Ok(());
        }
        let range = Range {
            id: b.id,
            spg: b.spg,
            begin: HObjectBuf::new(&b.begin)?,
            end: HObjectBuf::new(&b.end)?,
        };
        Ok(self.0.push(range, GFP_KERNEL)?)
    }

    /// Forgets a range.
    pub(super) fn remove(&mut self, id: u64) {
        self.0.retain(|range| range.id != id);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a request must not be sent.
    pub(super) fn hold(&self, req: &OsdRequest) -> bool {
        !self.0.is_empty() && req.is_held(|spg, object| self.0.iter().any(|r| r.has(spg, object)))
    }

    /// Writes one line for each, as the C client's debugfs file `osdc` has them.
    pub(super) fn show(&self, osd: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for range in &self.0 {
            let SpgId { pool, seed, shard } = range.spg;
            write!(f, "osd{osd}\t{pool}.{seed:x}")?;
            if shard >= 0 {
                write!(f, "s{shard}")?;
            }
            write!(f, "\t{}\t", range.id)?;
            show_object(&range.begin.get(), f)?;
            write!(f, "\t")?;
            show_object(&range.end.get(), f)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Range {
    fn has(&self, spg: SpgId, object: &HObject<'_>) -> bool {
        let (begin, end) = (self.begin.get(), self.end.get());
        self.spg == spg && (*object == begin || (*object > begin && *object < end))
    }
}

/// The answer to a range that was taken note of. Allocates.
pub(super) fn acknowledgement(b: &OsdBackoff<'_>, epoch: u32) -> Result<Arc<dyn Outgoing>> {
    let front = BackoffAck {
        spg: b.spg,
        epoch,
        id: b.id,
        begin: b.begin,
        end: b.end,
    }
    .to_front()
    .map_err(ProtoError::to_errno)?;
    PlainMessage::shared(
        BackoffAck::TYPE,
        BackoffAck::VERSION,
        BackoffAck::COMPAT,
        0,
        front,
    )
}

fn show_object(o: &HObject<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if o.max {
        return write!(f, "MAX");
    }
    write!(f, "{}:{:08x}:", o.pool, o.hash.reverse_bits())?;
    show_bytes(o.namespace, f)?;
    write!(f, ":")?;
    show_bytes(o.key, f)?;
    write!(f, ":")?;
    show_bytes(o.object, f)?;
    write!(f, ":{:x}", o.snapid)
}

/// Writes a name; bytes that are not printable ASCII are escaped.
pub(super) fn show_bytes(name: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in name {
        if byte.is_ascii_graphic() || byte == b' ' {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}
