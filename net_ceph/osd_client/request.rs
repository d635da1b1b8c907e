// SPDX-License-Identifier: GPL-2.0-only

//! A request: made once, then prepared, submitted and completed as often as its owner likes.
//!
//! From submission to completion it is at one place at a time ([`At`]); whoever takes it from there, under
//! the lock of that place, completes it or puts it somewhere else.

use super::group::Group;
use super::params::Params;
use super::placed::PlacedMap;
use super::placement::{must_resend, place, Refusal, Target, Why};
use super::replica;
use super::session::Session;
use super::waiting::Seat;
use super::OsdClient;
use crate::abstractions::data::DataCursor;
use crate::abstractions::task::NoIoScope;
use crate::messenger::{DataTarget, OutParts, Outgoing, COPY_MAX};
use crate::proto::error::ProtoError;
use crate::proto::msg::PRIO_DEFAULT;
use crate::proto::osd_op::{flags, HObject, Locator, Op, OsdOpRequest, SnapContext, SpgId, NOSNAP};
use crate::proto::osdmap::{map_flag, OsdMap, Pool};
use crate::proto::types::Timespec;
use kernel::{
    alloc::Flags,
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex, MutexGuard},
};

/// Bytes of a front that has few snapshots to preserve, with names of usual length.
const FRONT_USUAL: usize = 512;

/// Who is told of a request's end.
pub trait Completion: Send + Sync {
    /// Called once for each submission, possibly before `submit` returns and possibly with a
    /// connection's lock held: must not wait for the network; may submit requests.
    ///
    /// `Ok` is how many bytes of output arrived; an error is the OSD's answer, or ours.
    fn complete(&self, req: &Arc<OsdRequest>, result: Result<usize>);
}

/// Where a request is.
pub(super) enum At {
    /// With its owner.
    Idle,
    /// With its owner, ready to be submitted.
    Prepared,
    /// On its way to a place.
    Between,
    /// In a session.
    Session(Arc<Session>),
    /// In the waiting room.
    Waiting,
}

/// What a request's lock guards.
pub(super) struct Inner {
    pub(super) params: Params,
    pub(super) at: At,
    pub(super) tid: u64,
    /// When it was submitted, in ns since boot.
    pub(super) submitted: u64,
    pub(super) target: Option<Target>,
    /// All it is sent with but `RETRY`.
    pub(super) flags: u32,
    /// Whether its data are the operations' input.
    sends: bool,
    /// The pool an OSD redirected it to.
    redirect: Option<u64>,
    /// How often it was encoded.
    pub(super) attempts: i32,
    /// To be ended with this once it gets anywhere.
    cancelled: Option<Error>,
    /// The session that it was sent by before it came to where it is: it may not have left the machine yet.
    left: Option<Arc<Session>>,
    /// That session is not in the middle of sending or receiving it.
    released: bool,
    /// Why it waits.
    pub(super) why: Why,
    /// The OSD that answered last, and the incarnation of its session.
    answered: (u32, u64),
    /// When its pool was found missing first, in ns since boot; 0: never.
    pool_missed: u64,
    /// What was encoded last, and behind it what was of longer ones.
    front: KVec<u8>,
    output: KVVec<u8>,
    completion: Option<Arc<dyn Completion>>,
}

/// A request to the OSD that is responsible for an object.
#[pin_data]
pub struct OsdRequest {
    _seat: Seat,
    group: Arc<Group>,
    /// Taken inside the locks of connections, sessions and the waiting room. Nothing is taken inside.
    #[pin]
    inner: Mutex<Inner>,
}

impl OsdRequest {
    /// A request of `client`, one of `group`. Allocates; sleeps.
    pub(super) fn new(
        client: &Arc<OsdClient>,
        group: &Arc<Group>,
        flags: Flags,
    ) -> Result<Arc<Self>> {
        let seat = Seat::take(client, flags)?;
        let mut inner = Inner::new();
        inner.front.reserve(FRONT_USUAL, flags)?;
        Arc::pin_init(
            pin_init!(Self {
                _seat: seat,
                group: group.clone(),
                inner <- new_mutex!(inner, "net_ceph::OsdRequest"),
            }),
            flags,
        )
    }

    /// Says what to do next: `f` fills in the parameters, which are empty at first; `completion` is told
    /// of the end. `EBUSY` while the request is submitted; otherwise what `f` says, or `EINVAL` if the data
    /// are not as long as the operations' inputs. Takes no allocation when names are short and
    /// the request was as large before.
    pub fn prepare(
        &self,
        completion: Arc<dyn Completion>,
        f: impl FnOnce(&mut Params) -> Result,
    ) -> Result {
        // The lock is taken on the way of block requests.
        let _noio = NoIoScope::enter();
        let mut inner = self.inner.lock();
        if !matches!(inner.at, At::Idle | At::Prepared) {
            return Err(EBUSY);
        }
        inner.reset();
        if let Err(e) = inner.fill(f) {
            // They may keep what is to end because of this from ending.
            let data = inner.params.data.take();
            drop(inner);
            drop(data);
            return Err(e);
        }
        inner.completion = Some(completion);
        inner.at = At::Prepared;
        Ok(())
    }

    /// Whose it is.
    pub(super) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Undoes [`prepare`](Self::prepare), when submitting failed: lets go of the completion and the data.
    pub fn unprepare(&self) {
        let _noio = NoIoScope::enter();
        let mut inner = self.inner.lock();
        if !matches!(inner.at, At::Prepared) {
            return;
        }
        let held = (inner.completion.take(), inner.params.data.take());
        inner.at = At::Idle;
        drop(inner);
        drop(held);
    }

    /// The output of the last submission, of requests whose data have no place of their own.
    pub fn take_output(&self) -> KVVec<u8> {
        core::mem::take(&mut self.inner.lock().output)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Submits. `EBUSY` unless prepared; what the group was cancelled with.
    pub(super) fn begin(&self, tid: u64, now: u64) -> Result {
        let mut inner = self.inner.lock();
        if !matches!(inner.at, At::Prepared) {
            return Err(EBUSY);
        }
        self.group.enter()?;
        inner.at = At::Between;
        inner.tid = tid;
        inner.submitted = now;
        Ok(())
    }

    /// Finds out which OSD to send it to by `map`.
    pub(super) fn place(&self, map: &PlacedMap, abort_on_full: bool) -> Result<u32, Refusal> {
        let mut inner = self.inner.lock();
        let target = inner.placed_by(map, abort_on_full, None)?;
        inner.target = Some(target);
        Ok(target.osd())
    }

    /// Whether it must leave its session by `map`; if not, it is known to belong there by this map.
    pub(super) fn must_leave(&self, map: &PlacedMap, abort_on_full: bool) -> bool {
        let mut inner = self.inner.lock();
        let new = inner.placed_by(map, abort_on_full, inner.target.as_ref());
        match (&inner.target, new) {
            (Some(old), Ok(new)) if !must_resend(map.map(), old, &new) => {
                inner.target = Some(new);
                false
            }
            _ => true,
        }
    }

    /// Whether OSDs that have `map` may have dropped it, and expect it to be sent again once that is over.
    pub(super) fn may_be_dropped(&self, map: &OsdMap) -> bool {
        let inner = self.inner.lock();
        let pool = inner.target.as_ref().map(|target| target.pg.pool);
        let is_full = || {
            map.has_flag(map_flag::FULL | map_flag::PAUSEWR)
                || pool.and_then(|id| map.pool(id)).is_some_and(Pool::is_full)
        };
        map.has_flag(map_flag::PAUSERD) || inner.is_write() && is_full()
    }

    /// Whether `object`'s request is held back by `f`, which says so of a group and an object. Ranges are of heads, whatever
    /// snapshot is asked for (Ceph `src/osd/PrimaryLogPG.cc`, `do_op`).
    pub(super) fn is_held(&self, f: impl FnOnce(SpgId, &HObject<'_>) -> bool) -> bool {
        let inner = self.inner.lock();
        let Some(target) = &inner.target else {
            return false;
        };
        let object = HObject {
            key: &[],
            object: inner.params.object.get(),
            snapid: NOSNAP,
            hash: target.raw.seed,
            max: false,
            namespace: inner.params.namespace.get(),
            pool: i64::try_from(target.pg.pool).unwrap_or(i64::MAX),
        };
        f(target.spg(), &object)
    }

    /// Puts it into a place, unless it was cancelled. Called with the lock of that place held.
    pub(super) fn arrive(&self, at: At, why: Why) -> Result {
        let mut inner = self.inner.lock();
        if let Some(e) = inner.cancelled {
            return Err(e);
        }
        inner.at = at;
        inner.why = why;
        Ok(())
    }

    /// Takes it out of a place, whose lock is held. `left`: the session it was sent by.
    pub(super) fn depart(&self, left: Option<Arc<Session>>) {
        let mut inner = self.inner.lock();
        inner.at = At::Between;
        if left.is_some() {
            inner.left = left;
            inner.released = false;
        }
    }

    /// The session that has to let go of it before it is sent anew. Once.
    pub(super) fn release(&self) -> Option<Arc<Session>> {
        let mut inner = self.inner.lock();
        let released = core::mem::replace(&mut inner.released, true);
        inner.left.clone().filter(|_| !released)
    }

    /// The session that it was sent by before it came to where it is.
    pub(super) fn take_left(&self) -> Option<Arc<Session>> {
        self.inner.lock().left.take()
    }

    /// Whether a reply to `attempt` of `tid` is what we wait for.
    pub(super) fn awaits(&self, tid: u64, attempt: i32) -> bool {
        let inner = self.inner.lock();
        inner.tid == tid && (attempt < 0 || attempt == inner.attempts.saturating_sub(1))
    }

    /// Where `len` bytes of a reply go.
    pub(super) fn data_target(&self, len: usize) -> DataTarget {
        let inner = self.inner.lock();
        match inner.place_of(len) {
            Some(data) => DataTarget::Cursor(data.take(len)),
            None if len <= inner.params.max_output => DataTarget::Buffer,
            // More than was asked for: the request fails.
            None => DataTarget::Discard,
        }
    }

    /// Takes in `len` bytes of output: `data`, unless they went to their own place. `EIO` if there were more
    /// than asked for. What the operations of a write say is passed over unless it was asked for: OSDs
    /// send it only when nothing had to be changed.
    pub(super) fn take_in(&self, len: usize, data: KVVec<u8>) -> Result {
        let mut inner = self.inner.lock();
        if inner.place_of(len).is_some() {
            return Ok(());
        }
        if inner.params.max_output == 0 && inner.flags & flags::WRITE != 0 {
            return Ok(());
        }
        if data.len() != len {
            return Err(EIO);
        }
        inner.output = data;
        Ok(())
    }

    /// Notes who answered it: an OSD, in this incarnation of its session.
    pub(super) fn answered_by(&self, osd: u32, incarnation: u64) {
        self.inner.lock().answered = (osd, incarnation);
    }

    /// Who answered it last.
    pub(super) fn answered(&self) -> (u32, u64) {
        self.inner.lock().answered
    }

    /// Whether the network may hold what must not get out once it has ended: pages of its data, which get other
    /// contents then, or the message of a write, which others may have overtaken.
    pub(super) fn may_be_queued(&self) -> bool {
        let inner = self.inner.lock();
        let len = inner.params.data.as_ref().map_or(0, DataCursor::remaining);
        inner.attempts > 0 && (inner.is_write() || inner.sends && len > COPY_MAX)
    }

    /// Whether it changes what the object is, other than who watches it.
    pub(super) fn is_write(&self) -> bool {
        self.inner.lock().is_write()
    }

    /// Since when it is submitted, in ns since boot, if it [is a write](Self::is_write).
    pub(super) fn write_since(&self) -> Option<u64> {
        let inner = self.inner.lock();
        inner.is_write().then_some(inner.submitted)
    }

    /// Whether it is not submitted.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.inner.lock().at, At::Idle | At::Prepared)
    }

    /// Sends it to another pool, as a new transaction.
    pub(super) fn redirect(&self, pool: u64, tid: u64) {
        let mut inner = self.inner.lock();
        inner.redirect = Some(pool);
        inner.flags |= flags::REDIRECTED | flags::IGNORE_OVERLAY;
        inner.tid = tid;
        inner.attempts = 0;
    }

    /// Whether it was sent to a replica, which may not be able to answer.
    pub(super) fn is_at_replica(&self) -> bool {
        let inner = self.inner.lock();
        inner.target.is_some_and(|target| target.replica.is_some())
    }

    /// Has it go to the primary, as a new transaction.
    pub(super) fn prefer_primary(&self, tid: u64) {
        let mut inner = self.inner.lock();
        inner.flags &= !replica::ANY;
        inner.tid = tid;
        inner.attempts = 0;
    }

    /// When its pool was found missing first; `now` if that is only known since now.
    pub(super) fn miss_pool(&self, now: u64) -> u64 {
        let mut inner = self.inner.lock();
        if inner.pool_missed == 0 {
            inner.pool_missed = now;
        }
        inner.pool_missed
    }

    /// Ends it: called by whoever took it from its place, with no lock of this client held.
    pub(super) fn finish(self: &Arc<Self>, result: Result<usize>) {
        let mut inner = self.inner.lock();
        inner.at = At::Idle;
        let cancelled = inner.cancelled.take().or_else(|| self.group.cancelled());
        let result = match cancelled {
            Some(e) => Err(e),
            None => result,
        };
        let completion = inner.completion.take();
        let data = inner.params.data.take();
        let left = inner.left.take();
        drop(inner);
        drop((data, left));
        if let Some(completion) = completion {
            completion.complete(self, result);
        }
        self.group.leave();
    }
}

impl Inner {
    /// Has `f` fill in the parameters, and looks whether they make sense.
    fn fill(&mut self, f: impl FnOnce(&mut Params) -> Result) -> Result {
        f(&mut self.params)?;
        let input_len = self.params.input_len().map_err(ProtoError::to_errno)?;
        let have = self.params.data.as_ref().map_or(0, DataCursor::remaining);
        if input_len > 0 && input_len != have as u64 {
            return Err(EINVAL);
        }
        self.sends = input_len > 0;
        self.flags = self.params.all_flags();
        self.reserve_front()
    }

    fn is_write(&self) -> bool {
        let mut ops = self.params.ops().iter();
        self.flags & flags::WRITE != 0 && !ops.any(|op| matches!(op.op, Op::Watch { .. }))
    }

    /// Has it end with `e` wherever it gets next, as it is on its way.
    pub(super) fn cancel_arrival(&mut self, e: Error) {
        self.cancelled = Some(e);
    }

    fn new() -> Self {
        Self {
            params: Params::default(),
            at: At::Idle,
            tid: 0,
            submitted: 0,
            target: None,
            flags: 0,
            sends: false,
            redirect: None,
            attempts: 0,
            cancelled: None,
            left: None,
            released: true,
            why: Why::Map,
            answered: (0, 0),
            pool_missed: 0,
            front: KVec::new(),
            output: KVVec::new(),
            completion: None,
        }
    }

    fn placed_by(
        &self,
        map: &PlacedMap,
        abort_on_full: bool,
        before: Option<&Target>,
    ) -> Result<Target, Refusal> {
        place(
            map,
            &self.params,
            self.flags,
            self.redirect,
            abort_on_full,
            before,
        )
    }

    /// The place of its own that `len` bytes of output have.
    fn place_of(&self, len: usize) -> Option<&DataCursor> {
        let data = self.params.data.as_ref().filter(|_| !self.sends)?;
        (len <= data.remaining()).then_some(data)
    }

    fn reset(&mut self) {
        self.params.reset();
        self.at = At::Idle;
        self.target = None;
        self.redirect = None;
        self.attempts = 0;
        self.cancelled = None;
        self.answered = (0, 0);
        self.pool_missed = 0;
        self.output = KVVec::new();
    }

    /// Calls `f` with the message as it would be sent now.
    fn with_message<T>(
        params: &Params,
        flags: u32,
        target: Option<&Target>,
        attempt: i32,
        features: u64,
        f: impl FnOnce(&OsdOpRequest<'_>) -> T,
    ) -> T {
        let snapc = params
            .snapc
            .as_ref()
            .map_or(SnapContext::default(), |s| SnapContext {
                seq: s.seq,
                snaps: &s.snaps,
            });
        let flags = match attempt {
            0 => flags,
            _ => flags | flags::RETRY,
        };
        let writes = flags & flags::WRITE != 0;
        f(&OsdOpRequest {
            spg: target.map_or(EMPTY_SPG, Target::spg),
            hash: target.map_or(0, |t| t.raw.seed),
            epoch: target.map_or(0, |t| t.epoch),
            flags,
            mtime: if writes {
                params.mtime
            } else {
                Timespec::default()
            },
            locator: Locator {
                pool: target.map_or(params.pool, |t| t.pg.pool),
                namespace: params.namespace.get(),
            },
            object: params.object.get(),
            ops: params.ops(),
            snapid: params.snapid,
            snapc,
            attempt,
            features,
        })
    }

    fn reserve_front(&mut self) -> Result {
        let len = Self::with_message(&self.params, self.flags, None, 0, 0, |m| m.front_len());
        if self.front.len() < len {
            self.front.resize(len, 0, GFP_KERNEL)?;
        }
        Ok(())
    }
}

/// Stands for a group while only a message's length is wanted.
const EMPTY_SPG: SpgId = SpgId {
    pool: 0,
    seed: 0,
    shard: SpgId::NO_SHARD,
};

impl Outgoing for OsdRequest {
    fn encode(&self, features: u64, send: &mut dyn FnMut(&OutParts<'_>) -> Result) -> Result {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        // It may have left, or been completed, since the connection took it from the queue.
        let (At::Session(_), Some(target)) = (&inner.at, &inner.target) else {
            return Ok(());
        };
        let front = &mut inner.front;
        let attempt = inner.attempts;
        let (front_len, data_len) = Inner::with_message(
            &inner.params,
            inner.flags,
            Some(target),
            attempt,
            features,
            |m| m.encode_into(front),
        )
        .map_err(ProtoError::to_errno)?;
        let data = inner.params.data.as_ref().filter(|_| data_len > 0);
        send(&OutParts {
            typ: OsdOpRequest::TYPE,
            priority: PRIO_DEFAULT,
            version: OsdOpRequest::VERSION,
            compat_version: OsdOpRequest::COMPAT,
            tid: inner.tid,
            data_off: 0,
            front: inner.front.get(..front_len).unwrap_or_default(),
            data,
        })?;
        inner.attempts = attempt.saturating_add(1);
        Ok(())
    }
}
