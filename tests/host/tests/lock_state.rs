// SPDX-License-Identifier: GPL-2.0-only

//! The exclusive lock's state machine: every event in every state that can be reached.

use ceph_proto_host::lock::{
    event::{Action, Announcement, Done, Look, Notice, Reply},
    owner::{Foreign, Found, Locker},
    state::Machine,
};
use ceph_proto_host::proto::cls::rbd_notify::{ClientId, Notification};
use ceph_proto_host::proto::types::{AddrType, EntityAddr, EntityName, EntityType};
use kernel::prelude::*;
use std::collections::{HashSet, VecDeque};

const US: u64 = 10;
const OTHER: u64 = 20;
const LATER: u64 = 1_000_000;

fn locker(gid: u64, handle: u64) -> Locker {
    Locker {
        name: EntityName::new(EntityType::CLIENT, gid),
        handle,
        addr: EntityAddr::new(AddrType::ANY, gid as u32, ([10, 0, 0, gid as u8], 0).into()),
    }
}

fn id(gid: u64, handle: u64) -> Option<ClientId> {
    Some(ClientId { gid, handle })
}

fn look(now: u64, wanted: bool, drained: bool) -> Look {
    Look {
        now,
        wanted,
        drained,
    }
}

/// What a driver knows about its machine.
#[derive(Clone, Debug)]
struct Node {
    machine: Machine,
    /// What was to be done last, if that has a result that is not told yet.
    pending: Option<Action>,
    watch: Option<u64>,
    /// The lock op succeeded, the unlock op was not done.
    locked: bool,
    had: bool,
    prepared: bool,
    open: bool,
    gone: bool,
    ending: bool,
    required: bool,
}

impl Node {
    fn new(exclusive: bool, required: bool) -> Self {
        Self {
            machine: Machine::new(US, 1, exclusive, required),
            pending: None,
            watch: Some(1),
            locked: false,
            had: false,
            prepared: false,
            open: false,
            gone: false,
            ending: false,
            required,
        }
    }

    fn check(&self) {
        assert_eq!(self.machine.owns(), self.locked, "{self:?}");
        let free = self.machine.is_free();
        assert!(!self.open || self.prepared || free, "{self:?}");
        assert!(!free || !self.locked, "{self:?}");
        assert!(!self.prepared || self.locked, "{self:?}");
        assert!(!self.machine.has_ended() || !self.locked, "{self:?}");
    }

    fn next(&mut self, look: Look) -> Action {
        let before = self.clone();
        let action = self.machine.next(look);
        let over = self.gone || self.ending;
        let was_free = before.machine.is_free();
        if was_free && !self.machine.is_free() {
            // Nothing goes on without the lock any more, and it was a reason to end that.
            assert!(!self.open && look.drained && (self.required || self.ending));
        }
        let ok = match action {
            Action::Rest { until } => {
                assert!(until.is_none_or(|until| until > look.now || look.now == u64::MAX));
                true
            }
            Action::Lock(handle) => {
                !self.locked && !over && look.wanted_by(&before) && self.watch == Some(handle)
            }
            Action::LookUp | Action::FindWatcher(_) | Action::Blocklist(_) | Action::Break(_) => {
                !self.locked && !over && look.wanted_by(&before)
            }
            Action::Ask(handle) => !self.locked && !over && self.watch == Some(handle),
            Action::Prepare => self.locked && !self.prepared && !over,
            Action::Open => {
                let ok = (self.prepared || was_free) && !self.open;
                self.open = true;
                ok
            }
            Action::Announce(Announcement::Acquired, _) => self.open,
            Action::Announce(Announcement::Released, _) => !self.locked && !self.gone,
            // Also while I/O ends.
            Action::Renew { from, to } => self.prepared && from != to && !over,
            Action::Close => {
                let ok = self.open;
                self.open = false;
                ok
            }
            Action::Conclude => self.prepared && !self.open && look.drained,
            // Unlocking what is not locked: cleaning up.
            Action::Unlock(_) => !self.prepared,
            Action::Fail(_) => !self.open,
        };
        assert!(ok, "{action:?} in {before:?} at {look:?}");
        self.pending = has_result(action).then_some(action);
        action
    }

    fn done(&mut self, done: Done) {
        let Some(action) = self.pending.take() else {
            panic!("{self:?}");
        };
        match (action, done) {
            (Action::Lock(_), Done::Result(Ok(()) | Err(EEXIST))) => {
                (self.locked, self.had) = (true, true);
            }
            (Action::Prepare, Done::Result(Ok(()))) => self.prepared = true,
            (Action::Conclude, _) => self.prepared = false,
            (Action::Unlock(_), _) => self.locked = false,
            _ => {}
        }
        if self.pending_error(done) == Some(ESHUTDOWN) && action != Action::Conclude {
            self.gone = true;
        }
        self.machine.done(0, done);
    }

    fn pending_error(&self, done: Done) -> Option<Error> {
        match done {
            Done::Result(r) => r.err(),
            Done::Found(r) => r.err(),
            Done::Watched(r) => r.err(),
            Done::Asked(r) => r.err(),
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::WatchLost => self.watch = None,
            Notice::Watching(handle) => {
                self.watch = Some(handle);
                // There was no lock to lose.
                self.gone &= self.had;
            }
            Notice::Gone(_) => self.gone = true,
            Notice::End(_) => self.ending = true,
            Notice::Required => self.required = true,
            Notice::Heard(_) => {}
        }
        let answer = self.machine.notice(notice);
        match notice {
            Notice::Heard(Notification::RequestLock(id)) if id.is_none_or(|id| id.gid != US) => {
                assert_eq!(answer.is_some(), self.locked, "{self:?}");
                assert!(matches!(answer, None | Some(0) | Some(-30)));
            }
            Notice::Heard(Notification::Other(_)) => {
                assert_eq!(answer, self.locked.then_some(-95));
            }
            // A former handle of ours may be a sibling's as well.
            Notice::Heard(Notification::RequestLock(id)) => {
                let ours = id.is_some_and(|id| Some(id.handle) == self.watch);
                assert!(!ours || answer.is_none());
            }
            _ => assert_eq!(answer, None),
        }
    }
}

trait WantedBy {
    fn wanted_by(&self, node: &Node) -> bool;
}

impl WantedBy for Look {
    fn wanted_by(&self, node: &Node) -> bool {
        self.wanted || format!("{:?}", node.machine).contains("exclusive: true")
    }
}

fn has_result(action: Action) -> bool {
    !matches!(
        action,
        Action::Rest { .. } | Action::Open | Action::Announce(..) | Action::Close | Action::Fail(_)
    )
}

/// Everything that an action may come to.
fn outcomes(action: Action) -> Vec<Done> {
    let errors = [ETIMEDOUT, ESHUTDOWN, EPERM];
    let mut all: Vec<Done> = match action {
        Action::LookUp => vec![
            Done::Found(Ok(Found::Nobody)),
            Done::Found(Ok(Found::Locker(locker(OTHER, 5)))),
            Done::Found(Ok(Found::Locker(locker(OTHER, 6)))),
            Done::Found(Ok(Found::Foreign(Foreign::Tag))),
        ],
        Action::FindWatcher(_) => vec![Done::Watched(Ok(true)), Done::Watched(Ok(false))],
        Action::Ask(_) => vec![
            Done::Asked(Ok(Reply::Silence)),
            Done::Asked(Ok(Reply::Of(0))),
            Done::Asked(Ok(Reply::Of(-30))),
            Done::Asked(Ok(Reply::Of(-95))),
            Done::Asked(Ok(Reply::Several)),
        ],
        Action::Lock(_) => vec![
            Done::Result(Ok(())),
            Done::Result(Err(EEXIST)),
            Done::Result(Err(EBUSY)),
        ],
        Action::Break(_) | Action::Unlock(_) => {
            vec![Done::Result(Ok(())), Done::Result(Err(ENOENT))]
        }
        _ => vec![Done::Result(Ok(()))],
    };
    all.extend(errors.map(|e| match action {
        Action::LookUp => Done::Found(Err(e)),
        Action::FindWatcher(_) => Done::Watched(Err(e)),
        Action::Ask(_) => Done::Asked(Err(e)),
        _ => Done::Result(Err(e)),
    }));
    all
}

/// What it comes to if all goes well.
fn best_outcome(action: Action) -> Done {
    match action {
        Action::LookUp => Done::Found(Ok(Found::Nobody)),
        _ => outcomes(action)[0],
    }
}

fn notices() -> Vec<Notice> {
    vec![
        Notice::Heard(Notification::AcquiredLock(id(OTHER, 5))),
        Notice::Heard(Notification::ReleasedLock(None)),
        Notice::Heard(Notification::ReleasedLock(id(US, 1))),
        Notice::Heard(Notification::RequestLock(id(OTHER, 5))),
        Notice::Heard(Notification::RequestLock(None)),
        Notice::Heard(Notification::RequestLock(id(US, 1))),
        Notice::Heard(Notification::HeaderUpdate),
        Notice::Heard(Notification::Other(7)),
        Notice::WatchLost,
        Notice::Watching(1),
        Notice::Watching(2),
        Notice::Required,
        Notice::Gone(ESHUTDOWN),
        Notice::End(EIO),
    ]
}

/// From wherever it is, the machine gets to where `goal` says if all goes well.
fn must_reach(mut node: Node, wanted: bool, goal: impl Fn(&Node) -> bool) {
    let start = node.clone();
    for _ in 0..40 {
        if let Some(action) = node.pending {
            node.done(best_outcome(action));
        }
        if goal(&node) {
            return;
        }
        node.next(look(u64::MAX, wanted, true));
    }
    panic!("no progress: {start:?}");
}

fn explore(exclusive: bool, required: bool) -> usize {
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([Node::new(exclusive, required)]);
    let mut add = |node: Node, queue: &mut VecDeque<Node>| {
        node.check();
        if seen.insert(format!("{node:?}")) {
            queue.push_back(node);
        }
        seen.len()
    };
    let mut count = 0;
    while let Some(node) = queue.pop_front() {
        let mut ended = node.clone();
        ended.notice(Notice::End(EIO));
        must_reach(ended, true, |n| n.machine.has_ended());
        if !node.gone && !node.ending {
            let mut watching = node.clone();
            watching.notice(Notice::Watching(1));
            must_reach(watching.clone(), true, |n| n.open);
            watching.notice(Notice::Required);
            must_reach(watching, true, |n| n.open && n.locked);
            let mut asked = node.clone();
            let n = Notification::RequestLock(id(OTHER, 5));
            if asked.machine.notice(Notice::Heard(n)) == Some(0) {
                must_reach(asked, true, |n| !n.locked);
            }
        }
        let mut after = vec![];
        match node.pending {
            Some(action) => after.extend(outcomes(action).into_iter().map(|done| {
                let mut node = node.clone();
                node.done(done);
                node
            })),
            None => {
                for now in [0, LATER, u64::MAX] {
                    for (wanted, drained) in
                        [(false, false), (false, true), (true, false), (true, true)]
                    {
                        let mut node = node.clone();
                        node.next(look(now, wanted, drained));
                        after.push(node);
                    }
                }
            }
        }
        after.extend(notices().into_iter().map(|notice| {
            let mut node = node.clone();
            node.notice(notice);
            node
        }));
        for node in after {
            count = add(node, &mut queue);
        }
    }
    count
}

#[test]
fn every_event_in_every_state() {
    let count = explore(false, true);
    assert!(count > 1000, "{count}");
}

#[test]
fn every_event_in_every_state_of_an_image_that_gets_the_feature() {
    let count = explore(false, false);
    assert!(count > 1000, "{count}");
}

/// Without the feature everything goes on; with it, first what went on ends.
#[test]
fn required_later() {
    let mut m = Machine::new(US, 1, false, false);
    assert_eq!(m.next(look(0, false, true)), Action::Open);
    assert_eq!(m.next(look(0, true, false)), Action::Rest { until: None });
    assert_eq!(m.notice(request()), None);
    assert!(m.is_free() && !m.owns());
    assert_eq!(m.notice(Notice::Required), None);
    assert_eq!(m.next(look(0, true, false)), Action::Close);
    assert_eq!(m.next(look(0, true, false)), Action::Rest { until: None });
    assert!(m.is_free());
    assert_eq!(m.next(look(0, true, true)), Action::Lock(1));
    assert!(!m.is_free());
}

#[test]
fn every_event_in_every_state_of_an_exclusive_mapping() {
    let count = explore(true, true);
    assert!(count > 1000, "{count}");
}

/// However things go, the machine comes to rest: it does not do the same again and again while no time
/// passes and nobody wants anything.
#[test]
fn no_hurry() {
    for exclusive in [false, true] {
        let mut held = Node::new(exclusive, true);
        must_reach(held.clone(), true, |n| n.machine.state_name() == "locked");
        while !held.open {
            held.next(look(0, true, true));
            if let Some(action) = held.pending {
                held.done(best_outcome(action));
            }
        }
        held.notice(Notice::Watching(2));
        for start in [Node::new(exclusive, true), held] {
            let all = [
                Action::Lock(1),
                Action::LookUp,
                Action::FindWatcher(locker(OTHER, 5)),
                Action::Break(locker(OTHER, 5)),
                Action::Ask(1),
                Action::Prepare,
            ];
            let kinds = all.map(|action| outcomes(action).len());
            let total: usize = kinds.iter().product();
            for choice in 0..total {
                let mut node = start.clone();
                let mut wanted = true;
                let rested = (0..60).any(|_| {
                    match node.next(look(0, wanted, true)) {
                        Action::Rest { .. } => return true,
                        Action::Fail(_) => wanted = false,
                        _ => {}
                    }
                    if let Some(action) = node.pending {
                        let mut left = choice;
                        let mut done = Done::Result(Err(EBUSY));
                        for (kind, n) in all.iter().zip(kinds) {
                            if core::mem::discriminant(kind) == core::mem::discriminant(&action) {
                                done = outcomes(action)[left % n];
                            }
                            left /= n;
                        }
                        node.done(done);
                    }
                    false
                });
                assert!(rested, "{choice}: {node:?}");
            }
        }
    }
}

/// Does what the machine wants as long as it goes as `script` says; returns what it wants then.
fn follow(m: &mut Machine, l: Look, script: &[(Action, Done)]) -> Action {
    for &(action, done) in script {
        assert_eq!(m.next(l), action);
        m.done(l.now, done);
    }
    m.next(l)
}

const OK: Done = Done::Result(Ok(()));
const BUSY: Done = Done::Result(Err(EBUSY));

fn acquired(exclusive: bool) -> Machine {
    let mut m = Machine::new(US, 1, exclusive, true);
    let l = look(0, true, true);
    let script = [(Action::Lock(1), OK), (Action::Prepare, OK)];
    assert_eq!(follow(&mut m, l, &script), Action::Open);
    assert_eq!(m.next(l), Action::Announce(Announcement::Acquired, 1));
    assert_eq!(m.next(l), Action::Rest { until: None });
    m
}

fn request() -> Notice {
    Notice::Heard(Notification::RequestLock(id(OTHER, 5)))
}

#[test]
fn given_up_and_taken_back() {
    let mut m = acquired(false);
    assert_eq!(m.notice(request()), Some(0));
    assert_eq!(m.next(look(0, true, false)), Action::Close);
    assert_eq!(m.next(look(0, true, false)), Action::Rest { until: None });
    let l = look(50, true, true);
    let script = [(Action::Conclude, OK), (Action::Unlock(1), OK)];
    assert_eq!(
        follow(&mut m, l, &script),
        Action::Announce(Announcement::Released, 1)
    );
    // Who asked comes first.
    assert_eq!(m.next(l), Action::Rest { until: Some(250) });
    let own = Notification::ReleasedLock(id(US, 1));
    assert_eq!(m.notice(Notice::Heard(own)), None);
    assert_eq!(m.next(l), Action::Rest { until: Some(250) });
    let news = Notification::AcquiredLock(id(OTHER, 5));
    assert_eq!(m.notice(Notice::Heard(news)), None);
    let found = Done::Found(Ok(Found::Locker(locker(OTHER, 5))));
    let script = [
        (Action::Lock(1), BUSY),
        (Action::LookUp, found),
        (
            Action::FindWatcher(locker(OTHER, 5)),
            Done::Watched(Ok(true)),
        ),
        (Action::Ask(1), Done::Asked(Ok(Reply::Of(0)))),
    ];
    assert_eq!(
        follow(&mut m, l, &script),
        Action::Rest { until: Some(1050) }
    );
    let news = Notification::ReleasedLock(id(OTHER, 5));
    assert_eq!(m.notice(Notice::Heard(news)), None);
    assert_eq!(m.next(l), Action::Lock(1));
}

#[test]
fn kept_by_an_exclusive_mapping() {
    let mut m = acquired(true);
    assert_eq!(m.notice(request()), Some(-30));
    let l = look(0, false, true);
    assert_eq!(m.next(l), Action::Rest { until: None });
    // Lost by accident, it is taken again without being wanted.
    m.notice(Notice::Watching(2));
    let script = [(Action::Renew { from: 1, to: 2 }, Done::Result(Err(EBUSY)))];
    assert_eq!(follow(&mut m, l, &script), Action::Close);
    let script = [(Action::Conclude, OK), (Action::Unlock(1), OK)];
    assert_eq!(
        follow(&mut m, l, &script),
        Action::Announce(Announcement::Released, 1)
    );
    assert_eq!(m.next(l), Action::Lock(2));
}

#[test]
fn refused() {
    let mut m = Machine::new(US, 1, false, true);
    let l = look(0, true, true);
    let found = Done::Found(Ok(Found::Locker(locker(OTHER, 5))));
    let script = [
        (Action::Lock(1), BUSY),
        (Action::LookUp, found),
        (
            Action::FindWatcher(locker(OTHER, 5)),
            Done::Watched(Ok(true)),
        ),
        (Action::Ask(1), Done::Asked(Ok(Reply::Of(-30)))),
    ];
    assert_eq!(follow(&mut m, l, &script), Action::Fail(EROFS));
    let found = Done::Found(Ok(Found::Foreign(Foreign::Cookie)));
    let script = [(Action::Lock(1), BUSY), (Action::LookUp, found)];
    assert_eq!(follow(&mut m, l, &script), Action::Fail(EBUSY));
}

#[test]
fn a_dead_owner() {
    let dead = locker(OTHER, 5);
    let mut m = Machine::new(US, 1, false, true);
    let l = look(0, true, true);
    let found = Done::Found(Ok(Found::Locker(dead)));
    let script = [
        (Action::Lock(1), BUSY),
        (Action::LookUp, found),
        (Action::FindWatcher(dead), Done::Watched(Ok(false))),
        (Action::LookUp, found),
        (Action::Blocklist(dead), OK),
        (Action::Break(dead), Done::Result(Err(ENOENT))),
    ];
    assert_eq!(follow(&mut m, l, &script), Action::Lock(1));
}

#[test]
fn an_owner_in_our_own_client() {
    let sibling = locker(US, 7);
    let mut m = Machine::new(US, 1, false, true);
    let mut now = 0;
    let found = Done::Found(Ok(Found::Locker(sibling)));
    let script = [
        (Action::Lock(1), BUSY),
        (Action::LookUp, found),
        (Action::FindWatcher(sibling), Done::Watched(Ok(false))),
    ];
    // It has half a minute to come back, and is never shut out.
    for _ in 0..30 {
        let next = follow(&mut m, look(now, true, true), &script);
        assert_eq!(
            next,
            Action::Rest {
                until: Some(now + 1000)
            }
        );
        now += 1000;
    }
    assert_eq!(
        follow(&mut m, look(now, true, true), &script),
        Action::Break(sibling)
    );
}

#[test]
fn what_may_have_been_done_is_undone() {
    let timeout = Done::Result(Err(ETIMEDOUT));
    // The lock may be ours, though nobody wants it any more.
    let mut m = Machine::new(US, 1, false, true);
    assert_eq!(m.next(look(0, true, true)), Action::Lock(1));
    m.done(0, timeout);
    let l = look(0, false, true);
    assert_eq!(m.next(l), Action::Rest { until: Some(1000) });
    let l = look(1000, false, true);
    assert_eq!(m.next(l), Action::Unlock(1));
    m.done(1000, timeout);
    assert_eq!(m.next(l), Action::Rest { until: Some(2000) });
    let l = look(2000, true, true);
    assert_eq!(
        follow(&mut m, l, &[(Action::Unlock(1), OK)]),
        Action::Lock(1)
    );
    // Its cookie may have been changed.
    let mut m = acquired(false);
    m.notice(Notice::Watching(2));
    let l = look(0, false, true);
    let script = [(Action::Renew { from: 1, to: 2 }, timeout)];
    assert_eq!(follow(&mut m, l, &script), Action::Close);
    let script = [
        (Action::Conclude, OK),
        (Action::Unlock(1), Done::Result(Err(ENOENT))),
    ];
    assert_eq!(
        follow(&mut m, l, &script),
        Action::Announce(Announcement::Released, 1)
    );
    assert_eq!(
        follow(&mut m, l, &[(Action::Unlock(2), OK)]),
        Action::Rest { until: None }
    );
}

/// I/O takes long to end, and the watch is begun anew meanwhile: others must find it by the lock's cookie.
#[test]
fn a_new_watch_while_draining() {
    let (busy, idle) = (look(0, false, false), look(0, false, true));
    let mut m = acquired(false);
    assert_eq!(m.notice(request()), Some(0));
    assert_eq!(m.next(busy), Action::Close);
    m.notice(Notice::WatchLost);
    assert_eq!(m.next(busy), Action::Rest { until: None });
    m.notice(Notice::Watching(2));
    let script = [(Action::Renew { from: 1, to: 2 }, OK)];
    assert_eq!(follow(&mut m, busy, &script), Action::Rest { until: None });
    let script = [(Action::Conclude, OK), (Action::Unlock(2), OK)];
    assert_eq!(
        follow(&mut m, idle, &script),
        Action::Announce(Announcement::Released, 2)
    );
}

#[test]
fn shut_out() {
    let mut m = acquired(false);
    m.notice(Notice::Gone(ESHUTDOWN));
    let l = look(0, true, true);
    assert_eq!(m.next(l), Action::Close);
    // I/O that has the lock has not ended yet.
    assert_eq!(m.next(look(0, true, false)), Action::Fail(ESHUTDOWN));
    assert_eq!(m.next(look(0, false, false)), Action::Rest { until: None });
    let down = Done::Result(Err(ESHUTDOWN));
    let script = [(Action::Conclude, down), (Action::Unlock(1), down)];
    assert_eq!(follow(&mut m, l, &script), Action::Fail(ESHUTDOWN));
    assert_eq!(m.next(l), Action::Fail(ESHUTDOWN));
    m.notice(Notice::End(EIO));
    assert_eq!(m.next(l), Action::Fail(EIO));
    assert!(m.has_ended());
}
