// SPDX-License-Identifier: GPL-2.0-only

//! The monitor client: keeps one session with one of the monitors, and gets from it maps, tickets and answers.
//!
//! - this file: what the rest of the client asks of it, and the waits, each with a bound
//! - [`session`]: opening sessions, keeping them alive, what arrives
//! - [`link`]: the connection the session runs over
//! - [`hunt`], [`subs`], [`requests`]: which monitor, which maps, which questions; state without I/O

mod hunt;
mod link;
mod requests;
mod session;
mod subs;

use crate::abstractions::errno::ESHUTDOWN;
use crate::abstractions::task::NoIoScope;
use crate::abstractions::time::secs;
use crate::abstractions::workqueue::disable_sync;
use crate::auth::{Auth, Renewer};
use crate::messenger::Messenger;
use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::message::Request;
use crate::proto::mon_msg::{encode_blocklist_add, GetVersion, MonCommand, OsdMaps};
use crate::proto::monmap::MonMap;
use crate::proto::types::{AddrType, EntityAddr, Fsid};
use hunt::Hunt;
use kernel::{
    fmt, impl_has_delayed_work, new_condvar, new_delayed_work, new_mutex,
    prelude::*,
    sync::{Arc, CondVar, CondVarTimeoutResult, Mutex, MutexGuard},
    time::Jiffies,
    workqueue::{DelayedWork, WorkItem},
};
use link::Link;
use requests::{Answer, Question, Requests};
use subs::{Map, Subs};

/// Who is told of OSD maps. Called by the connection's work item, in a no-I/O scope, with no lock held.
pub trait MonEvents: Send + Sync {
    /// Maps arrived. They may be old, or leave a gap.
    fn osd_maps(&self, maps: &OsdMaps<'_>);

    /// The answer to [`MonClient::ask_newest_osdmap`].
    fn newest_osdmap(&self, epoch: u32);
}

/// What a monitor client is made of.
pub struct MonConfig {
    /// Monitors to begin with, as the user gave them; their kind says which protocol is spoken.
    pub monitors: KVec<EntityAddr>,
    /// The cluster that must be found; `None`: any.
    pub fsid: Option<Fsid>,
}

/// The monitor client of one client instance.
#[pin_data]
pub struct MonClient {
    auth: Arc<Auth>,
    messenger: Arc<Messenger>,
    msgr2: bool,
    /// Guards all that changes. Inside, the locks of [`Auth`] and of the link's queue are taken. The
    /// connection's events take it, so what allocates under it is in a no-I/O scope.
    #[pin]
    state: Mutex<State>,
    /// Something that is waited for may have happened: an answer, a map, a refusal, the end.
    #[pin]
    changed: CondVar,
    #[pin]
    tick: DelayedWork<MonClient>,
}

/// What the monitor client's lock guards.
struct State {
    monmap: Arc<MonMap>,
    fsid: Option<Fsid>,
    hunt: Hunt,
    subs: Subs,
    requests: Requests,
    link: Link,
    /// When the current monitor is given up, in ns since boot; while hunting.
    deadline: u64,
    /// The connection failed since the last tick.
    lost: bool,
    /// An `MAuth` was sent whose answer is out,
    auth_pending: bool,
    /// since then, in ns since boot.
    auth_sent: u64,
    /// Why there will be no session, for whoever waits for the first one.
    error: Option<Error>,
    stopped: bool,
    events: Option<Arc<dyn MonEvents>>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for MonClient { self.tick }
}

impl WorkItem for MonClient {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _noio = NoIoScope::enter();
        this.on_tick();
    }
}

impl MonClient {
    /// A client that does nothing before [`start`](Self::start). Sleeps.
    pub fn new(config: MonConfig, auth: Arc<Auth>, messenger: Arc<Messenger>) -> Result<Arc<Self>> {
        let monmap = MonMap::initial(&config.monitors).map_err(ProtoError::to_errno)?;
        let monmap = Arc::new(monmap, GFP_KERNEL)?;
        let msgr2 = config
            .monitors
            .iter()
            .any(|addr| addr.kind == AddrType::MSGR2);
        Arc::pin_init(
            pin_init!(Self {
                auth,
                messenger,
                msgr2,
                state <- new_mutex!(State {
                    monmap,
                    fsid: config.fsid,
                    hunt: Hunt::new(),
                    subs: Subs::new(),
                    requests: Requests::new(),
                    link: Link::new(),
                    deadline: 0,
                    lost: false,
                    auth_pending: false,
                    auth_sent: 0,
                    error: None,
                    stopped: false,
                    events: None,
                }),
                changed <- new_condvar!(),
                tick <- new_delayed_work!("net_ceph::MonClient::tick"),
            }),
            GFP_KERNEL,
        )
    }

    /// Begins to hunt for a monitor, and subscribes to both maps. `events` is told of OSD maps until
    /// [`stop`](Self::stop). Sleeps.
    pub fn start(self: &Arc<Self>, events: Arc<dyn MonEvents>) {
        let _noio = NoIoScope::enter();
        let mut state = self.state.lock();
        state.events = Some(events);
        state.subs.want(Map::Mon, 0, false);
        state.subs.want(Map::Osd, 0, true);
        self.open_session(&mut state);
        drop(state);
        self.kick(0);
    }

    /// Ends everything: waiters get `ESHUTDOWN`, no event is reported afterwards but one in progress.
    /// Sleeps; not from an event.
    pub fn stop(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.stopped = true;
        let events = state.events.take();
        let link = state.link.take();
        drop(state);
        self.changed.notify_all();
        link.close();
        disable_sync(self);
        drop(events);
    }

    /// Has those who wait look whether their [`Patience`] has ended. Sleeps.
    pub fn wake(&self) {
        // Whoever looked before sleeps by now, or holds the lock.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until there is a monitor map and an OSD map, at most `timeout` seconds (0: no bound).
    ///
    /// `ETIMEDOUT`; `EINTR` by a signal; else why the monitors refused us. Sleeps.
    pub fn wait_ready(&self, timeout: u32) -> Result {
        self.wait_for(timeout, &Always, |state| {
            if let Some(e) = state.error {
                return Some(Err(e));
            }
            let ready = state.subs.have(Map::Mon) > 0 && state.subs.have(Map::Osd) > 0;
            ready.then_some(Ok(()))
        })
    }

    /// Waits until there is an OSD map as new as the newest there is now; at most `timeout` seconds for the
    /// question and for the map (0: no bound). `ETIMEDOUT`, `EINTR`, `ESHUTDOWN`, or what ends `patience`.
    /// Sleeps.
    pub fn catch_up(&self, timeout: u32, patience: &dyn Patience) -> Result {
        let newest = self.newest_osdmap(timeout, patience)?;
        let newest = u32::try_from(newest).map_err(|_| EINVAL)?;
        let have = |state: &State| state.subs.have(Map::Osd) >= newest;
        let ours = self.state.lock().subs.have(Map::Osd);
        if ours >= newest {
            return Ok(());
        }
        // All that lead there.
        self.want_osdmap(ours.saturating_add(1), true);
        self.wait_for(timeout, patience, |state| have(state).then_some(Ok(())))
    }

    /// The cluster's id; `None` before the first monitor map.
    pub fn fsid(&self) -> Option<Fsid> {
        let state = self.state.lock();
        (state.subs.have(Map::Mon) > 0).then(|| *state.monmap.fsid())
    }

    /// The monitor map, at first one of the addresses the user gave.
    pub fn monmap(&self) -> Arc<MonMap> {
        self.state.lock().monmap.clone()
    }

    /// Wants the OSD map of `epoch` and later, or with `onetime` the next one only. Does not wait.
    pub fn want_osdmap(&self, epoch: u32, onetime: bool) {
        let _noio = NoIoScope::enter();
        let mut state = self.state.lock();
        state.subs.want(Map::Osd, epoch, onetime);
        // Also if it was asked for before: it may have come, and there was no memory for it.
        if !state.hunt.is_hunting() {
            state.subscribe();
        }
    }

    /// The OSD map of `epoch` is ours now.
    pub fn got_osdmap(&self, epoch: u32) {
        self.state.lock().subs.got(Map::Osd, epoch);
        self.changed.notify_all();
    }

    /// Asks for the newest epoch of the OSD map; [`MonEvents::newest_osdmap`] brings the answer. Does not
    /// wait.
    pub fn ask_newest_osdmap(&self) -> Result {
        let _noio = NoIoScope::enter();
        let mut state = self.state.lock();
        state.requests.remove_detached(Question::Version);
        let asked = state.ask(Question::Version, true, osdmap_version);
        asked.map(drop).map_err(ProtoError::to_errno)
    }

    /// The newest epoch of the OSD map, asked of a monitor.
    fn newest_osdmap(&self, timeout: u32, patience: &dyn Patience) -> Result<u64> {
        match self.ask_and_wait(Question::Version, timeout, patience, osdmap_version)? {
            Answer::Version(version) => Ok(version),
            Answer::Command(_) => Err(EINVAL),
        }
    }

    /// Puts the client at `address` (`ip:port/nonce`) on the block list, and waits for an OSD map that has
    /// it there; at most `timeout` seconds for each (0: no bound). Sleeps.
    pub fn blocklist_add(&self, address: &str, timeout: u32, patience: &dyn Patience) -> Result {
        let mut result = self.blocklist_command(address, false, timeout, patience)?;
        // Monitors before Ceph 16 do not know the word.
        if result == EINVAL.to_errno() {
            result = self.blocklist_command(address, true, timeout, patience)?;
        }
        if result < 0 {
            return Err(Error::from_errno(result));
        }
        self.catch_up(timeout, patience)
    }

    fn blocklist_command(
        &self,
        address: &str,
        legacy: bool,
        timeout: u32,
        patience: &dyn Patience,
    ) -> Result<i32> {
        let fsid = self.fsid().ok_or(ENODEV)?;
        let answer = self.ask_and_wait(Question::Command, timeout, patience, |_| {
            let mut json = KVec::new();
            encode_blocklist_add(address, legacy, &mut json)?;
            MonCommand { fsid, json: &json }.to_front()
        })?;
        match answer {
            Answer::Command(result) => Ok(result),
            Answer::Version(_) => Err(EINVAL),
        }
    }

    /// Who can ask for new tickets from anywhere.
    pub fn renewer(self: &Arc<Self>) -> Result<Arc<dyn Renewer>> {
        let renewer: Arc<dyn Renewer> = Arc::new(TicketRenewer(self.clone()), GFP_KERNEL)?;
        Ok(renewer)
    }

    /// Writes what the C client's debugfs file `monc` has.
    pub fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        state.subs.show(f)?;
        writeln!(f, "fs_cluster_id -1")?;
        state.requests.show(f)
    }

    fn ask_and_wait(
        &self,
        question: Question,
        timeout: u32,
        patience: &dyn Patience,
        encode: impl FnOnce(u64) -> ProtoResult<KVec<u8>>,
    ) -> Result<Answer> {
        let _noio = NoIoScope::enter();
        let tid = self
            .state
            .lock()
            .ask(question, false, encode)
            .map_err(ProtoError::to_errno)?;
        let answer = self.wait_for(timeout, patience, |state| state.requests.take(tid).map(Ok));
        if answer.is_err() {
            self.state.lock().requests.remove(tid);
        }
        answer
    }

    /// Waits until `f` gives a result, at most `timeout` seconds (0: no bound).
    fn wait_for<T>(
        &self,
        timeout: u32,
        patience: &dyn Patience,
        mut f: impl FnMut(&mut State) -> Option<Result<T>>,
    ) -> Result<T> {
        let mut left = secs(timeout.into());
        let mut state = self.state.lock();
        loop {
            if let Some(result) = f(&mut state) {
                return result;
            }
            if state.stopped {
                return Err(ESHUTDOWN);
            }
            if let Some(e) = patience.ended() {
                return Err(e);
            }
            left = self.wait_once(&mut state, timeout != 0, left)?;
        }
    }

    /// Waits for a change; returns how much is left of `left`.
    fn wait_once(
        &self,
        state: &mut MutexGuard<'_, State>,
        bounded: bool,
        left: Jiffies,
    ) -> Result<Jiffies> {
        if !bounded {
            return match self.changed.wait_interruptible(state) {
                true => Err(EINTR),
                false => Ok(left),
            };
        }
        match self.changed.wait_interruptible_timeout(state, left) {
            CondVarTimeoutResult::Woken { jiffies } => Ok(jiffies),
            CondVarTimeoutResult::Timeout => Err(ETIMEDOUT),
            CondVarTimeoutResult::Signal { .. } => Err(EINTR),
        }
    }
}

/// How long somebody goes on waiting, apart from time.
pub trait Patience {
    /// The error with which a wait ends now; `None`: it goes on. When this changes,
    /// [`MonClient::wake`] is to be called. Called with a lock held.
    fn ended(&self) -> Option<Error>;
}

/// Without end.
pub struct Always;

impl Patience for Always {
    fn ended(&self) -> Option<Error> {
        None
    }
}

/// Makes the message that asks for the newest OSD map.
fn osdmap_version(tid: u64) -> ProtoResult<KVec<u8>> {
    GetVersion {
        handle: tid,
        what: "osdmap",
    }
    .to_front()
}

/// Has the tick look at the tickets now.
struct TicketRenewer(Arc<MonClient>);

impl Renewer for TicketRenewer {
    fn renew_tickets(&self) {
        self.0.kick(0);
    }
}
