// SPDX-License-Identifier: GPL-2.0-only

//! The exclusive lock of an image: one client at a time writes. Images without the feature have it, too, as they
//! may get the feature: their I/O goes on without.
//!
//! - this file: the lock as the block driver uses it
//! - [`state`]: the protocol, without I/O, in the words of [`event`]
//! - [`owner`]: who holds the lock, and whether they live
//! - [`header`]: the lock in the header object; [`announcer`] tells the object's watchers
//! - [`gate`]: how I/O goes on while we have it; [`waiting`]: where it waits while we do not
//!
//! Locks, from the outside in: [`ExclusiveLock::waiting`], the gate's; the monitor client's, [`ExclusiveLock::machine`]. The
//! others are taken alone.

mod announcer;
pub mod event;
mod gate;
mod header;
pub mod owner;
pub mod state;
pub mod waiting;

pub use gate::Pass;

use announcer::Announcer;
use event::{Action, Done, Look, Notice, Reply};
use gate::{Gate, Keeper, LOOK_EVERY};
use header::Header;
use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{Arc, Mutex, SpinLock},
};
use net_ceph::{
    abstractions::{
        time::{boot_ns, msecs, patience},
        wait::{sleep_ms, Event},
        workqueue::Queue,
    },
    mon_client::{MonClient, Patience},
    osd_client::IoCtx,
    proto::cls::rbd_notify::{encode_response, Notification},
};
use owner::Found;
use state::Machine;
use waiting::Waiting;

const NSEC_PER_MSEC: u64 = 1_000_000;
const MSEC_PER_SEC: u64 = 1_000;
/// How long the end waits for I/O that goes on under the lock, in milliseconds. There should be none.
const DRAIN_MAX: u32 = 5_000;

/// Whoever needs the lock.
pub trait LockUser: Send + Sync + 'static {
    /// An I/O that waits for the lock. One that is dropped has failed.
    type Io: Send;

    /// The lock is held: `io` goes on, and needs it until `pass` and its clones are dropped. In order
    /// of arrival. Sleeps.
    fn resume(&self, io: Self::Io, pass: Pass);

    /// There is no lock for `io`. Sleeps.
    fn fail(&self, io: Self::Io, err: Error);

    /// The lock was just taken, and nothing was resumed yet: makes ready what it protects. If this
    /// fails, the lock is released, and what waits fails or waits on. Sleeps, for a bounded time.
    fn acquired(&self) -> Result;

    /// The lock is about to be released, and there is no [`Pass`] any more: lets go of what it
    /// protects. Not called if [`acquired`](Self::acquired) failed. Unless it is `sure`, the lock may be that of
    /// another mapping by now, and what it protects, too. Sleeps, for a bounded time.
    fn releasing(&self, sure: bool);
}

/// What a lock is made of.
pub struct LockConfig {
    /// Number of the device, for messages.
    pub device: u32,
    /// Where the header object is.
    pub io: IoCtx,
    /// The monitors of that cluster.
    pub mon: Arc<MonClient>,
    /// Global id of our client.
    pub gid: u64,
    /// The header object's name.
    pub header: KVec<u8>,
    /// The cookie of our watch on it.
    pub watch: u64,
    /// The image has it; else I/O goes on without, until [`ExclusiveLock::require`] is called.
    pub required: bool,
    /// Never give it up while mapped.
    pub exclusive: bool,
    /// Seconds that I/O waits for it; 0: no bound.
    pub timeout: u32,
    /// How many I/Os can be under way at once, at most.
    pub capacity: usize,
}

/// The exclusive lock of a mapping's image.
#[pin_data]
pub struct ExclusiveLock<U: LockUser> {
    device: u32,
    /// Milliseconds; 0: no bound.
    timeout: u64,
    header: Arc<Header>,
    announcer: Arc<Announcer>,
    gate: Arc<Gate>,
    #[pin]
    machine: Mutex<Machine>,
    #[pin]
    waiting: SpinLock<Waiting<U::Io>>,
    /// A caller who waits for the lock.
    #[pin]
    caller: Mutex<Option<Arc<Caller>>>,
    /// From `attach` to `close`.
    #[pin]
    user: Mutex<Option<Arc<U>>>,
}

/// A caller of [`ExclusiveLock::acquire_now`].
#[pin_data]
struct Caller {
    #[pin]
    done: Event,
    #[pin]
    result: Mutex<Result>,
}

/// Milliseconds since boot.
fn now() -> u64 {
    boot_ns() / NSEC_PER_MSEC
}

impl<U: LockUser> ExclusiveLock<U> {
    /// A lock that nobody has taken. `queue` runs what it does in the background. Allocates.
    pub fn new(config: LockConfig, queue: &Arc<Queue>) -> Result<Arc<Self>> {
        let LockConfig { device, gid, .. } = config;
        let machine = Machine::new(gid, config.watch, config.exclusive, config.required);
        let timeout = u64::from(config.timeout).saturating_mul(MSEC_PER_SEC);
        let waiting = Waiting::new(config.capacity)?;
        let header = Header {
            io: config.io,
            mon: config.mon,
            object: config.header,
            gid,
        };
        let header = Arc::new(header, GFP_KERNEL)?;
        let announcer = Announcer::new(queue, &header, device)?;
        let gate = Gate::new(queue)?;
        Arc::pin_init(
            pin_init!(Self {
                device,
                timeout,
                header,
                announcer,
                gate,
                machine <- new_mutex!(machine, "rbd::lock::ExclusiveLock::machine"),
                waiting <- new_spinlock!(waiting, "rbd::lock::ExclusiveLock::waiting"),
                caller <- new_mutex!(None, "rbd::lock::ExclusiveLock::caller"),
                user <- new_mutex!(None, "rbd::lock::ExclusiveLock::user"),
            }),
            GFP_KERNEL,
        )
    }

    /// It works for `user` from now on, until [`close`](Self::close).
    pub fn attach(self: &Arc<Self>, user: Arc<U>) {
        *self.user.lock() = Some(user);
        self.gate.attach(self.clone());
        // What came meanwhile.
        self.gate.kick();
    }

    /// Lets `io` go on if we have the lock. `None`: it was kept, and is resumed or failed later. Does
    /// not allocate or sleep.
    pub fn enter(&self, io: U::Io) -> Option<(U::Io, Pass)> {
        if let Some(pass) = self.gate.pass() {
            return Some((io, pass));
        }
        let mut waiting = self.waiting.lock();
        // As long as anything waits the gate stays shut, or is opened with the lock held.
        if let Some(pass) = self.gate.pass() {
            drop(waiting);
            return Some((io, pass));
        }
        let kept = waiting.push(io, now());
        drop(waiting);
        match kept {
            Ok(true) => {
                self.gate.kick();
                self.watch_time();
            }
            Ok(false) => {}
            Err(refused) => drop(refused),
        }
        None
    }

    /// Lets a read go on that does well under the lock, but need not wait for it. Does not allocate or sleep.
    pub fn pass(&self) -> Option<Pass> {
        self.gate.pass()
    }

    /// Takes the lock, and waits for it at most `timeout` seconds (0: no bound) or until a fatal
    /// signal: `ETIMEDOUT`, `EINTR`. `EROFS` if its owner will not release it, `EBUSY` if that is no
    /// client as we are one; else why it could not be taken or used. Sleeps.
    ///
    /// The lock may be taken in spite of an error; [`close`](Self::close) releases it.
    pub fn acquire_now(&self, timeout: u32) -> Result {
        let caller = Arc::pin_init(
            pin_init!(Caller {
                done <- Event::new(),
                result <- new_mutex!(Ok(()), "rbd::lock::Caller::result"),
            }),
            GFP_KERNEL,
        )?;
        *self.caller.lock() = Some(caller.clone());
        self.gate.kick();
        let done = caller.done.wait_killable(patience(timeout));
        *self.caller.lock() = None;
        match done? {
            true => *caller.result.lock(),
            false => Err(ETIMEDOUT),
        }
    }

    /// Somebody told the header's watchers. Returns what they are to be answered; `None`: nothing, but
    /// the notification is to be acknowledged. Sleeps for moments; allocates.
    pub fn notification(&self, n: &Notification) -> Option<KVec<u8>> {
        let result = self.machine.lock().notice(Notice::Heard(*n));
        if *n != Notification::HeaderUpdate {
            self.gate.kick();
        }
        let mut answer = KVec::new();
        encode_response(result?, &mut answer).ok()?;
        Some(answer)
    }

    /// The watch on the header is gone. Until there is a new one, the lock is kept but not taken.
    pub fn watch_lost(&self) {
        self.notice(Notice::WatchLost);
    }

    /// The header is watched anew, with another cookie.
    pub fn watch_renewed(&self, cookie: u64) {
        self.notice(Notice::Watching(cookie));
    }

    /// The header cannot be watched any more, as we are shut out of the cluster (`ESHUTDOWN`), or
    /// there is no such image any more: all I/O that needs the lock fails with `err` from now on.
    pub fn watch_failed(&self, err: Error) {
        self.notice(Notice::Gone(err));
    }

    fn notice(&self, notice: Notice) {
        let mut machine = self.machine.lock();
        let _ = machine.notice(notice);
        let over = machine.over();
        drop(machine);
        if over.is_some() {
            self.header.mon.wake();
        }
        self.gate.kick();
    }

    /// The image has the lock from now on, as others know or will be told: what goes on without it comes to
    /// its end, which [`is_required`](Self::is_required) tells of.
    pub fn require(&self) {
        if self.machine.lock().is_free() {
            self.notice(Notice::Required);
        }
    }

    /// Whether the image has got the lock, and I/O goes on without it still.
    pub fn is_required(&self) -> bool {
        self.machine.lock().is_fencing()
    }

    /// Waits until that is not so, or the mapping ends. Sleeps, for as long as that takes; not from a work item of
    /// the driver's queues.
    pub fn wait_required(&self) {
        let given_up =
            || self.header.io.group().cancelled().is_some() || self.user.lock().is_none();
        while self.is_required() && !given_up() {
            sleep_ms(LOOK_EVERY);
        }
    }

    /// Whether we have the lock, as far as we know.
    pub fn is_owned(&self) -> bool {
        self.machine.lock().owns()
    }

    /// A word for what it is doing.
    pub fn state_name(&self) -> &'static str {
        self.machine.lock().state_name()
    }

    /// The mapping ends: what waits fails, and the lock is released if there is a way to do so. To be
    /// called when no I/O is under way, while the header is still watched. Calls
    /// [`LockUser::releasing`]. Sleeps, for a bounded time: at once if the group of its I/O context
    /// is cancelled.
    pub fn close(&self) {
        let err = self.header.io.group().cancelled().unwrap_or(EIO);
        self.notice(Notice::End(err));
        self.waiting.lock().refuse();
        self.gate.end();
        // Nobody else drives any more.
        self.drive();
        self.gate.wait_drained(DRAIN_MAX);
        self.drive();
        if !self.machine.lock().has_ended() {
            pr_warn!("rbd{}: I/O outlived its lock\n", self.device);
        }
        self.announcer.finish();
        let user = self.user.lock().take();
        drop(user);
    }

    /// What the machine wants to know.
    fn look(&self) -> Look {
        let waiting = !self.waiting.lock().is_empty();
        let called = self.caller.lock().is_some();
        Look {
            now: now(),
            wanted: waiting || called,
            drained: self.gate.is_drained(),
        }
    }

    /// Has the next that may wait for too long looked after in time.
    fn watch_time(&self) {
        let oldest = self.waiting.lock().oldest();
        if let Some(arrived) = oldest.filter(|_| self.timeout != 0) {
            let end = arrived.saturating_add(self.timeout);
            self.gate.alarm_after(msecs(end.saturating_sub(now())));
        }
    }

    /// Has the work item run again at the time `until`.
    fn rest(&self, until: Option<u64>) {
        if self.gate.is_open() {
            let _ = self.answer_caller(Ok(()));
        }
        if let Some(until) = until {
            self.gate.kick_after(msecs(until.saturating_sub(now())));
        }
    }

    /// Tells who waits for the lock how it went; says whether there is somebody.
    fn answer_caller(&self, result: Result) -> bool {
        let caller = self.caller.lock().take();
        if let Some(caller) = &caller {
            *caller.result.lock() = result;
            caller.done.complete_all();
        }
        caller.is_some()
    }

    /// Lets what waits go on, and what comes.
    fn open(&self, user: &U) {
        let mut resumed = 0;
        loop {
            let mut waiting = self.waiting.lock();
            let io = waiting.pop();
            // What comes meanwhile goes to the end of the queue, but not for ever.
            if io.is_none() || resumed >= waiting.capacity() {
                self.gate.open();
            }
            drop(waiting);
            let Some(io) = io else {
                return;
            };
            user.resume(io, self.gate.side_pass());
            resumed += 1;
        }
    }

    /// Fails what waits.
    fn fail(&self, user: &U, err: Error) {
        let count = self.waiting.lock().len();
        let called = self.answer_caller(Err(err));
        if count != 0 || called {
            pr_warn!(
                "rbd{}: no exclusive lock: {}\n",
                self.device,
                err.to_errno()
            );
        }
        for _ in 0..count {
            let io = self.waiting.lock().pop();
            if let Some(io) = io {
                user.fail(io, err);
            }
        }
    }

    /// Does what the machine wants; `None` if that has no result.
    fn act(&self, user: &U, action: Action) -> Option<Done> {
        let header = &self.header;
        let result = match action {
            Action::Rest { until } => {
                self.rest(until);
                return None;
            }
            Action::Open => {
                self.open(user);
                return None;
            }
            Action::Close => {
                self.gate.shut();
                return None;
            }
            Action::Announce(what, handle) => {
                self.announcer.say(what, handle);
                return None;
            }
            Action::Fail(err) => {
                self.fail(user, err);
                return None;
            }
            Action::LookUp => return Some(Done::Found(header.look_up())),
            Action::FindWatcher(locker) => {
                return Some(Done::Watched(header.is_watched_by(&locker)))
            }
            Action::Ask(handle) => return Some(Done::Asked(header.ask(handle))),
            Action::Lock(handle) => header.lock(handle),
            Action::Blocklist(locker) => {
                pr_warn!("rbd{}: shutting out {}\n", self.device, locker.name);
                header.blocklist(&locker, &Need(self))
            }
            Action::Break(locker) => {
                pr_warn!("rbd{}: breaking the lock of {}\n", self.device, locker.name);
                header.break_lock(&locker)
            }
            Action::Renew { from, to } => header.renew(from, to),
            Action::Unlock(handle) => header.unlock(handle),
            Action::Prepare => user.acquired(),
            Action::Conclude => {
                let sure = !self.machine.lock().is_unsure();
                user.releasing(sure);
                Ok(())
            }
        };
        Some(Done::Result(result))
    }

    /// Whether nothing is asked of the cluster any more.
    fn is_cut_off(&self) -> bool {
        self.header.io.group().cancelled().is_some()
    }

    /// Says what a user may want to know.
    fn log(&self, action: Action, done: Done) {
        let device = self.device;
        match (action, done) {
            (_, Done::Found(Ok(Found::Foreign(why)))) => {
                pr_warn!("rbd{device}: locked by another mechanism: {why}\n");
            }
            (_, Done::Asked(Ok(Reply::Several))) => {
                pr_warn!("rbd{device}: more than one owner of the lock answered\n");
            }
            (_, Done::Asked(Ok(Reply::Of(result)))) if result != 0 => {
                pr_warn!("rbd{device}: the lock's owner will not release it: {result}\n");
            }
            (Action::Lock(_), Done::Result(Err(EBUSY | EEXIST))) => {}
            (Action::Unlock(_), Done::Result(Err(_))) if self.is_cut_off() => {
                // Writes may be under way still. Whoever takes the lock next must shut us out before.
                pr_warn!(
                    "rbd{device}: the exclusive lock is left behind by client{}, which its next owner will blocklist\n",
                    self.header.gid
                );
            }
            (
                _,
                Done::Result(Err(e))
                | Done::Found(Err(e))
                | Done::Watched(Err(e))
                | Done::Asked(Err(e)),
            ) if !self.is_cut_off() => {
                pr_warn!("rbd{device}: lock: {action:?}: {}\n", e.to_errno());
            }
            _ => {}
        }
    }
}

/// As long as the lock is wanted.
struct Need<'a, U: LockUser>(&'a ExclusiveLock<U>);

impl<U: LockUser> Patience for Need<'_, U> {
    fn ended(&self) -> Option<Error> {
        let lock = self.0;
        let cancelled = lock.header.io.group().cancelled();
        cancelled.or_else(|| lock.machine.lock().over())
    }
}

impl<U: LockUser> Keeper for ExclusiveLock<U> {
    fn drive(&self) {
        let user = self.user.lock().clone();
        let Some(user) = user else {
            return;
        };
        loop {
            let look = self.look();
            let mut machine = self.machine.lock();
            let action = machine.next(look);
            let presumes = machine.owns() || matches!(action, Action::Lock(_));
            drop(machine);
            // Before it is taken, so that no map on the way is missed.
            let io = &self.header.io;
            io.osd().presume_lock(io.group(), presumes);
            if let Some(done) = self.act(&user, action) {
                self.log(action, done);
                self.machine.lock().done(now(), done);
            } else if matches!(action, Action::Rest { .. }) {
                return;
            }
        }
    }

    fn expire(&self) {
        let user = self.user.lock().clone();
        let Some(user) = user else {
            return;
        };
        loop {
            let mut waiting = self.waiting.lock();
            let late = |arrived: u64| now() >= arrived.saturating_add(self.timeout);
            if !waiting.oldest().is_some_and(late) {
                break;
            }
            let io = waiting.pop();
            drop(waiting);
            if let Some(io) = io {
                pr_warn!("rbd{}: waited too long for the lock\n", self.device);
                user.fail(io, ETIMEDOUT);
            }
        }
        self.watch_time();
    }
}
