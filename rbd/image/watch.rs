// SPDX-License-Identifier: GPL-2.0-only

//! Watching an image's header object, so as to learn of changes from whoever makes them.
//!
//! Whoever changes an image notifies its watchers, and waits until they have answered or some seconds
//! are over. So the header is read anew first, and the answer given then: a parent that was detached, for
//! one, may be deleted as soon as nobody knows it any more, and a snapshot is not to change once whoever took
//! it was told that it is there. For the same reasons I/O that began before has to end first. If the header cannot be read it is tried
//! again, and there is no answer until then. A watch that broke (its OSD did not hear from us for long, or
//! we were shut out for a while) is begun anew, and as changes may have been missed meanwhile the
//! header is read anew then, too; and when one was renewed, as notifications get lost while a connection is down.
//! While we are shut out, and cannot watch, writes are refused.

use super::{header::Header, Image};
use kernel::{
    impl_has_delayed_work, new_delayed_work, new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    workqueue::{DelayedWork, WorkItem},
};
use net_ceph::{
    abstractions::{
        errno::ESHUTDOWN,
        task::NoIoScope,
        time::msecs,
        workqueue::{cancel_sync, Queue},
    },
    osd_client::{Watch, WatchEvents},
    proto::cls::rbd_notify::Notification,
};

/// Milliseconds until what failed is tried again (Linux `drivers/block/rbd.c`, `RBD_RETRY_DELAY`).
const RETRY_DELAY: u64 = 1000;
/// Milliseconds until it is looked again whether I/O has ended, at first; then twice as many each time, up to
/// [`RETRY_DELAY`].
const LOOK_DELAY: u64 = 20;

/// Notifications that may wait for an answer. Those on top get none, and their senders go on when
/// their time is over.
const UNANSWERED_MAX: usize = 64;

/// A watch on an image's header. Dropping it ends the watch, which may sleep.
pub(super) struct Watching(Arc<Watcher>);

#[pin_data]
struct Watcher {
    /// The module has a reference, too: this one is never the last.
    queue: Arc<Queue>,
    #[pin]
    work: DelayedWork<Self>,
    /// Held for moments; taken by what the OSD client calls.
    #[pin]
    state: Mutex<State>,
    /// Held while a watch is begun or ended. `state` may be taken inside.
    #[pin]
    watch: Mutex<Option<Watch>>,
}

#[derive(Default)]
struct State {
    /// Whose header it is, from when it is open until it is closed.
    image: Option<Arc<Image>>,
    /// Notifications to be answered, by number, and what they say if we know that.
    unanswered: KVec<(u64, Option<Notification>)>,
    /// Those that are to be answered when the header was read.
    updates: KVec<u64>,
    /// How long that was put off last, as I/O had not ended, in milliseconds.
    put_off: u64,
    /// The header changed.
    stale: bool,
    /// It could not be read the last time.
    failing: bool,
    /// The watch is gone.
    broken: bool,
    /// It could not be begun anew the last time.
    unwatched: bool,
    /// It is to stay so.
    ending: bool,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Watcher { self.work }
}

impl Watching {
    /// Begins to watch `header`. `ENOENT` if there is no such object. May sleep.
    pub(super) fn begin(header: &Header, queue: &Arc<Queue>) -> Result<Self> {
        let queue = queue.clone();
        let watcher = Arc::pin_init(
            pin_init!(Watcher {
                queue,
                work <- new_delayed_work!("rbd::Watcher::work"),
                state <- new_mutex!(State::default()),
                watch <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )?;
        let watching = Self(watcher);
        watching.0.watch(header)?;
        Ok(watching)
    }

    /// The watch's number; `None` while there is none.
    pub(super) fn cookie(&self) -> Option<u64> {
        self.0.cookie()
    }

    /// The header is that of `image`, which is open now.
    pub(super) fn attach(&self, image: &Arc<Image>) {
        self.0.state.lock().image = Some(image.clone());
        // What came meanwhile.
        queue(&self.0, 0);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let image = {
            let mut state = self.0.state.lock();
            state.ending = true;
            state.image.take()
        };
        cancel_sync(&self.0);
        let watch = self.0.watch.lock().take();
        drop(watch);
        // What the OSD client queued up to now.
        cancel_sync(&self.0);
        drop(image);
    }
}

/// Runs the work in some milliseconds, unless it is about to run before.
fn queue(watcher: &Arc<Watcher>, ms: u64) {
    if ms == 0 {
        return watcher.queue.mod_delayed::<_, 0>(watcher, 0);
    }
    let _ = watcher.queue.enqueue_delayed(watcher.clone(), msecs(ms));
}

impl Watcher {
    /// Begins a watch, in place of one that may be there. May sleep.
    fn watch(self: &Arc<Self>, header: &Header) -> Result {
        let mut watch = self.watch.lock();
        drop(watch.take());
        let events = Arc::new(Events(self.clone()), GFP_KERNEL)?;
        *watch = Some(header.io().watch(header.object(), events)?);
        Ok(())
    }

    fn cookie(&self) -> Option<u64> {
        self.watch.lock().as_ref().map(Watch::cookie)
    }

    /// Begins the broken watch of `image` anew, or leaves it for later.
    fn watch_again(self: &Arc<Self>, image: &Image) {
        match self.watch(&image.header) {
            Ok(()) => {
                let mut state = self.state.lock();
                (state.stale, state.unwatched) = (true, false);
                drop(state);
                image.is_told_again();
                if let (Some(lock), Some(cookie)) = (image.lock(), self.cookie()) {
                    lock.watch_renewed(cookie);
                }
            }
            Err(e) => {
                let before = core::mem::replace(&mut self.state.lock().unwatched, true);
                if !before {
                    pr_warn!(
                        "rbd{}: failed to watch again: {}\n",
                        image.device(),
                        e.to_errno()
                    );
                }
                // What we are shut out by may end. Until then changes are missed.
                let shut_out = e == ESHUTDOWN && !image.is_aborted();
                if shut_out {
                    image.distrust();
                }
                if may_pass(e) || shut_out {
                    self.state.lock().broken = true;
                    queue(self, RETRY_DELAY);
                } else {
                    // If the image is gone its header tells.
                    self.state.lock().stale = true;
                }
                if let (false, Some(lock)) = (may_pass(e), image.lock()) {
                    lock.watch_failed(e);
                }
            }
        }
    }

    /// Reads the header of `image` if it changed; leaves it for later if that fails.
    fn refresh(self: &Arc<Self>, image: &Image) {
        if !core::mem::take(&mut self.state.lock().stale) {
            return;
        }
        let result = image.read_header();
        let mut state = self.state.lock();
        let failed_before = core::mem::replace(&mut state.failing, result.is_err());
        let Err(e) = result else {
            return;
        };
        if !failed_before {
            pr_warn!("rbd{}: refresh failed: {}\n", image.device(), e.to_errno());
        }
        if may_pass(e) {
            state.stale = true;
            queue(self, RETRY_DELAY);
        }
    }

    /// Answers what is not about updates.
    fn answer(&self, image: &Image) {
        let unanswered = core::mem::take(&mut self.state.lock().unanswered);
        for (notify_id, said) in &unanswered {
            let lock = image.lock().zip(said.as_ref());
            let answer = lock.and_then(|(lock, said)| lock.notification(said));
            self.ack(image, *notify_id, answer.as_deref().unwrap_or_default());
        }
    }

    /// Answers those who told us of updates, unless there is one that we have not read, or I/O goes by what was
    /// before.
    fn answer_updates(self: &Arc<Self>, image: &Image) {
        let mut state = self.state.lock();
        if state.stale || state.updates.is_empty() {
            return;
        }
        if image.has_old_io() {
            state.put_off = state
                .put_off
                .saturating_mul(2)
                .clamp(LOOK_DELAY, RETRY_DELAY);
            return queue(self, state.put_off);
        }
        state.put_off = 0;
        let updates = core::mem::take(&mut state.updates);
        drop(state);
        for &notify_id in &updates {
            self.ack(image, notify_id, &[]);
        }
    }

    fn ack(&self, image: &Image, notify_id: u64, answer: &[u8]) {
        if let Some(watch) = &*self.watch.lock() {
            if let Err(e) = watch.ack(notify_id, answer) {
                // Whoever notified us goes on when its time is over.
                pr_warn!("rbd{}: notification: {}\n", image.device(), e.to_errno());
            }
        }
    }
}

/// Whether it helps to try again: not if we are blocklisted, or the image or its pool is gone.
fn may_pass(e: Error) -> bool {
    e != ESHUTDOWN && e != ENOENT && e != ENXIO
}

impl WorkItem for Watcher {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // I/O that waits for the exclusive lock waits for us.
        let _noio = NoIoScope::enter();
        let (image, broken) = {
            let mut state = this.state.lock();
            match &state.image {
                Some(image) if !state.ending => (image.clone(), core::mem::take(&mut state.broken)),
                _ => return,
            }
        };
        if broken {
            if let Some(lock) = image.lock() {
                lock.watch_lost();
            }
            this.watch_again(&image);
        }
        this.answer(&image);
        this.refresh(&image);
        this.answer_updates(&image);
    }
}

/// What the OSD client tells a [`Watcher`].
struct Events(Arc<Watcher>);

impl WatchEvents for Events {
    fn notify(&self, notify_id: u64, _notifier: u64, payload: &[u8]) {
        let said = Notification::decode(payload)
            .inspect_err(|e| pr_warn!("{e}\n"))
            .ok();
        let mut state = self.0.state.lock();
        let changed = said == Some(Notification::HeaderUpdate);
        state.stale |= changed;
        // One that is not remembered gets no answer, see above.
        if changed && state.updates.len() < UNANSWERED_MAX {
            let _ = state.updates.push(notify_id, GFP_KERNEL);
        } else if !changed && state.unanswered.len() < UNANSWERED_MAX {
            let _ = state.unanswered.push((notify_id, said), GFP_KERNEL);
        }
        drop(state);
        queue(&self.0, 0);
    }

    fn renewed(&self) {
        self.0.state.lock().stale = true;
        queue(&self.0, 0);
    }

    fn error(&self, err: Error) {
        let mut state = self.0.state.lock();
        state.broken = true;
        if let Some(image) = &state.image {
            pr_warn!("rbd{}: watch: {}\n", image.device(), err.to_errno());
        }
        drop(state);
        queue(&self.0, 0);
    }
}
