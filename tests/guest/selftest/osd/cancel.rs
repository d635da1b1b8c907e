// SPDX-License-Identifier: GPL-2.0-only

//! A group that is cancelled while no OSD answers, beside one that is not.

use crate::cluster::{create, submit, unique, Cluster, Ended, Listener};
use kernel::{
    impl_has_delayed_work, new_delayed_work, new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    workqueue::{DelayedWork, WorkItem},
};
use net_ceph::{
    abstractions::{
        data::DataBuf,
        errno::ESHUTDOWN,
        time::{boot_ns, secs},
        wait::{sleep_ms, Event},
        workqueue::{Queue, QueueFlags},
    },
    osd_client::IoCtx,
    proto::osd_op::Op,
};

/// Requests under way when the group is cancelled.
const COUNT: usize = 48;
/// Bytes of each: sent page by page.
const LEN: usize = 64 << 10;
/// How long cancelling may take, in ns: full force has 10 s, and a debug kernel that is emulated needs longer for its own work.
const BOUND: u64 = 30_000_000_000;
/// How long to wait for others, in ns.
const PATIENCE: u64 = 90_000_000_000;

/// Somebody whose synchronous call is under way.
#[pin_data]
struct Caller {
    #[pin]
    work: DelayedWork<Caller>,
    io: IoCtx,
    object: KVec<u8>,
    /// Notifies, else reads.
    notifies: bool,
    #[pin]
    done: Event,
    #[pin]
    result: Mutex<Option<Result>>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Caller { self.work }
}

impl WorkItem for Caller {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let result = if this.notifies {
            this.io.notify(&this.object, b"wait", 300).map(|_| ())
        } else {
            this.io.stat(&this.object).map(|_| ())
        };
        *this.result.lock() = Some(result);
        this.done.complete_all();
    }
}

impl Caller {
    fn begin(queue: &Queue, io: &IoCtx, object: &[u8], notifies: bool) -> Result<Arc<Self>> {
        let mut name = KVec::new();
        name.extend_from_slice(object, GFP_KERNEL)?;
        let caller = Arc::pin_init(
            pin_init!(Self {
                work <- new_delayed_work!("Caller::work"),
                io: io.clone(),
                object: name,
                notifies,
                done <- Event::new(),
                result <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )?;
        queue.mod_delayed(&caller, 0);
        Ok(caller)
    }

    /// What came of it by now.
    fn ended_with(&self) -> Option<Result> {
        self.done.wait_timeout(secs(60));
        *self.result.lock()
    }
}

/// Two users of a client: one to be cancelled, one to live on.
pub(crate) struct Doomed {
    cluster: Arc<Cluster>,
    queue: Queue,
    io: IoCtx,
    object: KVec<u8>,
    watch: Arc<Listener>,
    notifier: Arc<Caller>,
    other: IoCtx,
    other_watch: Arc<Listener>,
    other_write: Option<Arc<Ended>>,
}

fn write(io: &IoCtx, object: &[u8], data: &Arc<DataBuf>) -> Result<Arc<Ended>> {
    submit(io, object, |p| {
        p.push_op(Op::WriteFull { length: LEN as u64 })?;
        p.data = Some(data.cursor());
        Ok(())
    })
}

/// Names of some objects, for any OSD.
fn nth(object: &[u8], n: usize) -> Result<KVec<u8>> {
    let mut name = KVec::new();
    name.extend_from_slice(object, GFP_KERNEL)?;
    name.push(b'a' + (n % 16) as u8, GFP_KERNEL)?;
    Ok(name)
}

impl Doomed {
    /// While the cluster works.
    pub(crate) fn begin(cluster: &Arc<Cluster>) -> Result<Self> {
        let (io, other) = (cluster.user()?, cluster.user()?);
        let object = unique("doomed")?;
        create(&io, &object)?;
        let data = DataBuf::zeroed(LEN)?;
        for n in 0..16 {
            write(&io, &nth(&object, n)?, &data)?.wait()?;
        }
        let watch = Listener::watch(&io, &object, None)?;
        let other_watch = Listener::watch(&other, &object, None)?;
        let queue = Queue::new(c"ceph_osdtest", QueueFlags::UNBOUND, 0)?;
        // Nobody answers it.
        let notifier = Caller::begin(&queue, &io, &object, true)?;
        check!(other_watch.heard.wait_timeout(secs(90)));
        Ok(Self {
            cluster: cluster.clone(),
            queue,
            io,
            object,
            watch,
            notifier,
            other,
            other_watch,
            other_write: None,
        })
    }

    /// While no OSD answers.
    pub(crate) fn cancel(&mut self) -> Result {
        let mut bufs = KVec::new();
        let mut ends = KVec::new();
        for n in 0..COUNT {
            let data = DataBuf::zeroed(LEN)?;
            let object = nth(&self.object, n)?;
            let end = if n % 4 == 3 {
                submit(&self.io, &object, |p| {
                    p.push_op(Op::Read {
                        offset: 0,
                        length: LEN as u64,
                    })?;
                    p.data = Some(data.cursor());
                    Ok(())
                })?
            } else {
                write(&self.io, &object, &data)?
            };
            bufs.push(data, GFP_KERNEL)?;
            ends.push(end, GFP_KERNEL)?;
        }
        let data = DataBuf::zeroed(LEN)?;
        let other = write(&self.other, &nth(&self.object, 1)?, &data)?;
        let caller = Caller::begin(&self.queue, &self.io, &self.object, false)?;
        // No pool has this id: it waits for being found there.
        let nowhere = IoCtx::new(self.io.osd(), self.io.group(), 1 << 40, b"")?;
        let lost = submit(&nowhere, b"x", |p| p.push_op(Op::Stat))?;
        sleep_ms(2000);
        check!(ends.iter().all(|e| !e.is_over()) && !other.is_over());
        // That one may have been found out about by the monitors meanwhile.
        let lost_early = lost.is_over();

        let begin = boot_ns();
        self.io.osd().cancel_group(self.io.group(), ESHUTDOWN);
        let took = boot_ns() - begin;
        pr_info!("cancelled in {} us\n", took / 1000);
        check!(took < BOUND);
        for end in &ends {
            check!(end.is_over() && end.wait() == Err(ESHUTDOWN));
        }
        check!(lost_early || lost.is_over());
        // The network has let go of all memory.
        for buf in bufs {
            check!(DataBuf::into_vec(buf).is_some());
        }
        check!(caller.ended_with() == Some(Err(ESHUTDOWN)));
        check!(self.notifier.ended_with() == Some(Err(ESHUTDOWN)));

        let begin = boot_ns();
        self.watch.end();
        check!(boot_ns() - begin < BOUND);
        check!(self.io.stat(&self.object) == Err(ESHUTDOWN));
        check!(write(&self.io, &self.object, &data).err() == Some(ESHUTDOWN));
        check!(Listener::watch(&self.io, &self.object, None).err() == Some(ESHUTDOWN));
        check!(self.io.notify(&self.object, b"x", 1).err() == Some(ESHUTDOWN));
        check!(!other.is_over());
        self.other_write = Some(other);
        Ok(())
    }

    /// The OSDs answer again: the other user has noticed nothing.
    pub(crate) fn end(self) -> Result {
        check!(self.other_write.ok_or(EIO)?.wait().is_ok());
        check!(self.other.stat(&nth(&self.object, 1)?)? == LEN as u64);
        // The watch that was left to the OSD's patience is still listed, or given up by now. So is, if the OSD stood
        // still for very long, the other one, until it is made again.
        let cookie = self.other_watch.cookie();
        let begin = boot_ns();
        loop {
            let watchers = self.other.list_watchers(&self.object)?;
            if watchers.iter().any(|w| w.cookie == cookie) {
                break;
            }
            check!(boot_ns() - begin < PATIENCE);
            sleep_ms(200);
        }
        self.other_watch.end();
        drop(self.cluster);
        Ok(())
    }
}
