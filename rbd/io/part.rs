// SPDX-License-Identifier: GPL-2.0-only

//! One object's part of a request.

use super::plan::ObjectOp;
use crate::{abstractions::request::Request, control::map_spec::CompressionHint, image::Image};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{aref::ARef, Arc, SpinLock},
};
use net_ceph::{
    abstractions::data::DataCursor,
    osd_client::{Completion, OsdRequest, Params},
    proto::{
        osd_op::{flags, Op, OsdOp},
        striper::ObjectName,
    },
};

/// The data of an object is likely to compress (`CEPH_OSD_ALLOC_HINT_FLAG_COMPRESSIBLE`, Linux
/// `include/linux/ceph/rados.h`).
const HINT_COMPRESSIBLE: u32 = 256;
/// It is not (`CEPH_OSD_ALLOC_HINT_FLAG_INCOMPRESSIBLE`).
const HINT_INCOMPRESSIBLE: u32 = 512;

/// Room for one object's part of a request, used again and again.
pub(super) struct Part {
    osd: Arc<OsdRequest>,
    under_way: Arc<UnderWay>,
}

/// The part under way, if there is one.
#[pin_data]
struct UnderWay {
    #[pin]
    work: SpinLock<Option<Work>>,
}

/// What is left to do when the OSD has answered. Dropping it hands its result to the request.
struct Work {
    rq: ARef<Request<Image>>,
    device: u32,
    op: ObjectOp,
    object: u64,
    /// Where a read goes.
    data: Option<DataCursor>,
    result: Result,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.rq.finish(self.result);
    }
}

impl Part {
    /// Makes room. May sleep.
    pub(super) fn new(image: &Image) -> Result<Self> {
        Ok(Self {
            osd: image.source().data().request()?,
            under_way: Arc::pin_init(
                pin_init!(UnderWay {
                    work <- new_spinlock!(None),
                }),
                GFP_KERNEL,
            )?,
        })
    }

    /// Sends off `op` on `object` as a part of `rq`. `last`: nothing follows at once.
    pub(super) fn submit(
        &self,
        image: &Image,
        rq: &ARef<Request<Image>>,
        op: ObjectOp,
        object: u64,
        data: Option<DataCursor>,
        last: bool,
    ) -> Result {
        *self.under_way.work.lock() = Some(Work {
            rq: rq.clone(),
            device: image.device(),
            op,
            object,
            data: data.clone().filter(|_| !op.writes()),
            // Until the OSD says otherwise.
            result: Err(EIO),
        });
        self.send(image, op, object, data, last).inspect_err(|&e| {
            let work = self.under_way.work.lock().take();
            if let Some(mut work) = work {
                work.result = Err(e);
            }
        })
    }

    fn send(
        &self,
        image: &Image,
        op: ObjectOp,
        object: u64,
        data: Option<DataCursor>,
        last: bool,
    ) -> Result {
        let io = image.source().data();
        let name = ObjectName::new(image.source().prefix(), object).map_err(|e| e.to_errno())?;
        self.osd.prepare(self.under_way.clone(), |p: &mut Params| {
            io.address(p, name.as_bytes())?;
            p.data = data;
            if op.writes() {
                p.snapc = Some(image.head().snapc.clone());
                p.set_mtime();
            } else {
                p.snapid = image.source().snap_id();
            }
            push_ops(image, op, p)
        })?;
        io.osd().submit(&self.osd, last)
    }
}

/// Appends what an OSD is to do for `op`.
fn push_ops(image: &Image, op: ObjectOp, p: &mut Params) -> Result {
    let object_size = image.source().layout().object_size();
    if matches!(op, ObjectOp::Write { .. } | ObjectOp::WriteFull { .. }) {
        // An OSD that cannot take the hint goes on without it.
        p.push_op(OsdOp {
            op: Op::SetAllocHint {
                object_size,
                write_size: object_size,
                flags: match image.options().compression_hint {
                    CompressionHint::None => 0,
                    CompressionHint::Compressible => HINT_COMPRESSIBLE,
                    CompressionHint::Incompressible => HINT_INCOMPRESSIBLE,
                },
            },
            flags: flags::OP_FAILOK,
        })?;
    }
    if op == ObjectOp::Hide {
        p.push_op(Op::Create)?;
    }
    p.push_op(match op {
        ObjectOp::Read { offset, length } => Op::Read { offset, length },
        ObjectOp::Write { offset, length } => Op::Write { offset, length },
        ObjectOp::WriteFull { length } => Op::WriteFull { length },
        ObjectOp::Zero { offset, length } => Op::Zero { offset, length },
        ObjectOp::Truncate { size } => Op::Truncate { size },
        ObjectOp::Delete => Op::Delete,
        ObjectOp::Hide => Op::Truncate { size: 0 },
    })
}

impl Completion for UnderWay {
    fn complete(&self, _osd: &Arc<OsdRequest>, result: Result<usize>) {
        let work = self.work.lock().take();
        if let Some(mut work) = work {
            work.result = work.outcome(result);
        }
    }
}

impl Work {
    /// What an OSD's answer means to the request.
    fn outcome(&mut self, result: Result<usize>) -> Result {
        let got = match result {
            Ok(got) => got,
            // What is not there reads as zeroes.
            Err(ENOENT) if self.op.absent_is_fine() => 0,
            Err(e) => {
                pr_warn!(
                    "rbd{}: object {:016x}: {:?}: {e:?}\n",
                    self.device,
                    self.object,
                    self.op
                );
                return Err(e);
            }
        };
        if let Some(data) = &mut self.data {
            data.advance(got);
            let left = data.remaining();
            data.zero_fill(left);
        }
        Ok(())
    }
}
