// SPDX-License-Identifier: GPL-2.0-only

//! Notifications of our own, and who hears them.
//!
//! The OSD answers the request that begins a notification at once, and tells of its end by a message of
//! its own. It forgets a notification with the connection or the group's interval, as it does watches:
//! then it is begun anew, under another number, and watchers may hear it twice.

use super::group::Group;
use super::io_ctx::IoCtx;
use super::name::NameBuf;
use super::OsdClient;
use crate::abstractions::data::DataBuf;
use crate::abstractions::task::NoIoScope;
use crate::abstractions::time::{boot_ns, msecs};
use crate::abstractions::wait::Event;
use crate::proto::error::ProtoError;
use crate::proto::osd_op::{flags, Op};
use crate::proto::osdmap::{Interval, OsdMap, PgId};
use crate::proto::watch::{
    decode_notify_id, encode_notify, NotifyReplies, NotifyReply, WatchNotify, Watcher, Watchers,
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    time::Jiffies,
};

/// Nanoseconds in a millisecond.
const NSEC_PER_MSEC: u64 = 1_000_000;
/// What a notification may take longer than its watchers have, in milliseconds: its way there and back, and
/// again after a failure.
const MARGIN_MS: u64 = 10_000;
/// Longest payload.
const PAYLOAD_MAX: usize = 64 << 10;
/// Most bytes of answers that are taken: those about images have some dozen bytes each.
pub(super) const REPLIES_MAX: usize = 1 << 20;
/// Longest list of watchers that is taken, in bytes.
const WATCHERS_MAX: usize = 1 << 20;

/// What the watchers answered to a notification.
pub struct Replies {
    bytes: KVVec<u8>,
    timed_out: bool,
}

impl Replies {
    fn new(bytes: KVVec<u8>, timed_out: bool) -> Result<Self> {
        NotifyReplies::decode(&bytes).map_err(bad_message)?;
        Ok(Self { bytes, timed_out })
    }

    /// The answers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = NotifyReply<'_>> {
        // It was decoded before.
        NotifyReplies::decode(&self.bytes).into_iter().flatten()
    }

    /// Whether some watchers did not answer in time.
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }
}

/// A notification under way.
#[pin_data]
pub(super) struct Notifying {
    io: IoCtx,
    object: NameBuf<128>,
    cookie: u64,
    /// The group and its interval when it was sent.
    interval: Option<(PgId, Interval)>,
    #[pin]
    done: Event,
    /// Taken inside connections' locks; inside, those of sessions and what is below them are taken.
    #[pin]
    inner: Mutex<Inner>,
}

struct Inner {
    /// The OSD that has it, once that said so, and the incarnation of the session.
    home: Option<(u32, u64)>,
    /// The number the OSD gave it.
    id: Option<u64>,
    end: Option<End>,
}

/// How it ended.
enum End {
    Answered(Replies),
    /// The OSD has forgotten it.
    Lost,
    Failed(Error),
}

impl Notifying {
    fn finish(&self, inner: &mut Inner, end: End) {
        if inner.end.is_none() {
            inner.end = Some(end);
            self.done.complete_all();
        }
    }

    /// The OSD has taken it on.
    fn begun(&self, home: (u32, u64), id: Option<u64>) {
        let mut inner = self.inner.lock();
        inner.home = Some(home);
        inner.id = id;
    }

    /// The OSD tells of the end: `len` bytes of answers, which are in `data` if they are not too many.
    fn on_complete(&self, n: &WatchNotify<'_>, len: usize, data: KVVec<u8>) {
        let mut inner = self.inner.lock();
        if inner.id.is_some_and(|id| id != n.notify_id) {
            return;
        }
        let timed_out = n.result == ETIMEDOUT.to_errno();
        let replies = match n.result {
            result if result < 0 && !timed_out => Err(Error::from_errno(result.max(-MAX_ERRNO))),
            _ if data.len() != len => Err(E2BIG),
            _ => Replies::new(data, timed_out),
        };
        let end = replies.map_or_else(End::Failed, End::Answered);
        self.finish(&mut inner, end);
    }

    /// Looks whether the OSD has forgotten it.
    fn look_after(&self, map: &OsdMap) {
        let mut inner = self.inner.lock();
        let object = self.object.get();
        let lost = |home| {
            self.io
                .is_forgotten(object, flags::READ, home, &self.interval, map)
        };
        if inner.home.is_some_and(lost) {
            self.finish(&mut inner, End::Lost);
        }
    }
}

/// The greatest errno there is (Linux `include/linux/err.h`).
const MAX_ERRNO: i32 = 4095;

/// A notification in the client's list, as long as this lives.
struct Listed<'a> {
    client: &'a Arc<OsdClient>,
    notifying: Arc<Notifying>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let mut list = self.client.notifying.lock();
        list.retain(|n| !Arc::ptr_eq(n, &self.notifying));
    }
}

impl IoCtx {
    /// Notifies the watchers of an object, who have `timeout_s` seconds to answer, and waits for their answers.
    ///
    /// It takes `timeout_s` and some seconds at most: then it is `ETIMEDOUT`, as after a failure of OSDs
    /// that lasts. `ENOENT` if there is no such object; `EINTR`; what the group was cancelled with. Sleeps;
    /// not from the events of a watch.
    pub fn notify(&self, object: &[u8], payload: &[u8], timeout_s: u32) -> Result<Replies> {
        if payload.len() > PAYLOAD_MAX {
            return Err(E2BIG);
        }
        let ms = u64::from(timeout_s)
            .saturating_mul(1000)
            .saturating_add(MARGIN_MS);
        let deadline = boot_ns().saturating_add(ms.saturating_mul(NSEC_PER_MSEC));
        loop {
            match self.notify_once(object, payload, timeout_s, deadline)? {
                End::Answered(replies) => return Ok(replies),
                End::Lost => {}
                End::Failed(e) => return Err(e),
            }
        }
    }

    /// Begins a notification and waits for its end, at most until `deadline`, in ns since boot.
    fn notify_once(
        &self,
        object: &[u8],
        payload: &[u8],
        timeout_s: u32,
        deadline: u64,
    ) -> Result<End> {
        let client = self.osd();
        let mut name = NameBuf::default();
        name.set(object)?;
        let map = client.osdmap();
        let interval = map.and_then(|map| self.interval(object, flags::READ, &map));
        let notifying = Arc::pin_init(
            pin_init!(Notifying {
                io: self.clone(),
                object: name,
                cookie: client.new_cookie(),
                interval,
                done <- Event::new(),
                inner <- new_mutex!(Inner {
                    home: None,
                    id: None,
                    end: None,
                }, "net_ceph::osd_client::Notifying"),
            }),
            GFP_KERNEL,
        )?;
        let noio = NoIoScope::enter();
        client
            .notifying
            .lock()
            .push(notifying.clone(), GFP_KERNEL)?;
        drop(noio);
        let listed = Listed { client, notifying };
        let notifying = &listed.notifying;

        let mut input = KVec::new();
        encode_notify(timeout_s, payload, &mut input).map_err(ProtoError::to_errno)?;
        let input_len = u32::try_from(input.len())?;
        let data = DataBuf::copy_of(&input)?;
        let req = self.request()?;
        self.run_until(&req, left(deadline)?, |p| {
            self.address(p, object)?;
            p.push_op(Op::Notify {
                cookie: notifying.cookie,
                input_len,
            })?;
            p.data = Some(data.cursor());
            // `u64 notify_id`
            p.max_output = 8;
            Ok(())
        })?;
        let id = decode_notify_id(&req.take_output()).map_err(bad_message)?;
        notifying.begun(req.answered(), id);
        // What happened before is looked at here, what happens from now on by the work item.
        if let Some(map) = client.osdmap() {
            notifying.look_after(&map);
        }
        if !notifying.done.wait_killable(left(deadline)?)? {
            return Err(ETIMEDOUT);
        }
        let end = notifying.inner.lock().end.take();
        end.ok_or(EIO)
    }

    /// The watchers of an object. `ENOENT` if there is no such object, otherwise as other synchronous calls.
    /// Sleeps.
    pub fn list_watchers(&self, object: &[u8]) -> Result<KVec<Watcher>> {
        let output = self.run(|p| {
            self.address(p, object)?;
            p.push_op(Op::ListWatchers)?;
            p.max_output = WATCHERS_MAX;
            Ok(())
        })?;
        let mut list = KVec::new();
        for watcher in Watchers::decode(&output).map_err(bad_message)? {
            list.push(watcher.map_err(bad_message)?, GFP_KERNEL)?;
        }
        Ok(list)
    }
}

impl OsdClient {
    /// An OSD tells of the end of a notification of ours.
    pub(super) fn on_notify_complete(&self, n: &WatchNotify<'_>, len: usize, data: KVVec<u8>) {
        let list = self.notifying.lock();
        let found = list.iter().find(|x| x.cookie == n.cookie).cloned();
        drop(list);
        if let Some(notifying) = found {
            notifying.on_complete(n, len, data);
        }
    }

    /// Looks for notifications that have been forgotten. Called by the work item.
    pub(super) fn look_after_notifications(&self, map: &OsdMap) {
        for notifying in self.notifying.lock().iter() {
            notifying.look_after(map);
        }
    }

    /// Ends the notifications of a group that was cancelled.
    pub(super) fn cancel_notifications(&self, group: &Group, err: Error) {
        for n in self.notifying.lock().iter() {
            if core::ptr::eq(&**n.io.group(), group) {
                n.finish(&mut n.inner.lock(), End::Failed(err));
            }
        }
    }
}

/// Says which step of the protocol failed, and reduces it to an errno.
fn bad_message(e: ProtoError) -> Error {
    pr_warn!("{e}\n");
    e.to_errno()
}

/// Jiffies until `deadline`, in ns since boot. `ETIMEDOUT` if it is over.
fn left(deadline: u64) -> Result<Jiffies> {
    match deadline.saturating_sub(boot_ns()) / NSEC_PER_MSEC {
        0 => Err(ETIMEDOUT),
        ms => Ok(msecs(ms)),
    }
}
