// SPDX-License-Identifier: GPL-2.0-only

//! The exclusive lock among clients that write, crash, lose their watches and get late answers, or none,
//! on a model of the header object.
//!
//! Whatever happens in whatever order: what an OSD writes is written by the holder of the lock, or by
//! nobody; and when the accidents end, everybody who waits gets their turn, or an error.

use ceph_proto_host::lock::{
    event::{Action, Done, Look, Notice, Reply},
    owner::{Found, Locker},
    state::Machine,
};
use ceph_proto_host::proto::cls::rbd_notify::{ClientId, Notification};
use ceph_proto_host::proto::types::{AddrType, EntityAddr, EntityName, EntityType};
use kernel::prelude::*;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX generator; its upper bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// What the cluster knows.
#[derive(Default, Debug)]
struct Cluster {
    /// Global id and handle of the holder.
    lock: Option<(u64, u64)>,
    /// Global id and handle.
    watchers: Vec<(u64, u64)>,
    blocklist: Vec<u64>,
    notifications: Vec<Notify>,
    last_notification: u64,
}

/// A notification under way.
#[derive(Debug)]
struct Notify {
    id: u64,
    what: Notification,
    /// Whom it has not reached.
    left: Vec<(u64, u64)>,
    answers: Vec<i32>,
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
enum Pending {
    /// Not at the OSD yet.
    Sent(Action),
    /// A notification that is not complete.
    Notified(u64),
    /// The answer.
    Answered(Done),
}

#[derive(Debug)]
struct Client {
    gid: u64,
    machine: Machine,
    handle: u64,
    alive: bool,
    watching: bool,
    ended: bool,
    exclusive: bool,
    open: bool,
    prepared: bool,
    waiting: u32,
    passes: u32,
    pending: Option<Pending>,
    rest: Option<u64>,
    written: u32,
    failed: u32,
}

struct World {
    dice: Dice,
    /// Whether there are accidents.
    stormy: bool,
    /// Whether they are mappings by one client, which keep their watches.
    siblings: bool,
    now: u64,
    last_gid: u64,
    last_handle: u64,
    cluster: Cluster,
    clients: Vec<Client>,
}

fn locker((gid, handle): (u64, u64)) -> Locker {
    Locker {
        name: EntityName::new(EntityType::CLIENT, gid),
        handle,
        addr: EntityAddr::new(AddrType::ANY, gid as u32, ([10, 0, 0, 1], 0).into()),
    }
}

impl Cluster {
    fn notify(&mut self, what: Notification) -> u64 {
        self.last_notification += 1;
        self.notifications.push(Notify {
            id: self.last_notification,
            what,
            left: self.watchers.clone(),
            answers: vec![],
        });
        self.last_notification
    }

    /// What an OSD or a monitor does.
    fn execute(&mut self, gid: u64, action: Action) -> Done {
        if self.blocklist.contains(&gid) {
            return match action {
                Action::LookUp => Done::Found(Err(ESHUTDOWN)),
                Action::FindWatcher(_) => Done::Watched(Err(ESHUTDOWN)),
                _ => Done::Result(Err(ESHUTDOWN)),
            };
        }
        match action {
            Action::Lock(handle) => Done::Result(match self.lock {
                None => {
                    self.lock = Some((gid, handle));
                    Ok(())
                }
                Some(holder) if holder == (gid, handle) => Err(EEXIST),
                Some(_) => Err(EBUSY),
            }),
            Action::LookUp => Done::Found(Ok(match self.lock {
                None => Found::Nobody,
                Some(holder) => Found::Locker(locker(holder)),
            })),
            Action::FindWatcher(l) => {
                Done::Watched(Ok(self.watchers.contains(&(l.name.num, l.handle))))
            }
            Action::Blocklist(l) => {
                self.blocklist.push(l.name.num);
                self.watchers.retain(|w| w.0 != l.name.num);
                Done::Result(Ok(()))
            }
            Action::Break(l) => Done::Result(self.unlock((l.name.num, l.handle))),
            Action::Unlock(handle) => Done::Result(self.unlock((gid, handle))),
            Action::Renew { from, to } => Done::Result(match &mut self.lock {
                Some(holder) if *holder == (gid, from) => {
                    holder.1 = to;
                    Ok(())
                }
                _ => Err(EBUSY),
            }),
            Action::Prepare | Action::Conclude => Done::Result(Ok(())),
            other => panic!("{other:?}"),
        }
    }

    fn unlock(&mut self, holder: (u64, u64)) -> Result {
        if self.lock != Some(holder) {
            return Err(ENOENT);
        }
        self.lock = None;
        Ok(())
    }
}

impl World {
    fn new(seed: u64, siblings: bool) -> Self {
        let mut world = Self {
            dice: Dice(seed),
            stormy: true,
            siblings,
            now: 0,
            last_gid: 0,
            last_handle: 0,
            cluster: Cluster::default(),
            clients: vec![],
        };
        for _ in 0..2 + world.dice.roll(2) {
            world.join();
        }
        world
    }

    fn join(&mut self) {
        if !self.siblings || self.last_gid == 0 {
            self.last_gid += 1;
        }
        self.last_handle += 1;
        let (gid, handle) = (self.last_gid, self.last_handle);
        let exclusive = self.dice.one_in(8);
        self.cluster.watchers.push((gid, handle));
        self.clients.push(Client {
            gid,
            machine: Machine::new(gid, handle, exclusive, true),
            handle,
            alive: true,
            watching: true,
            ended: false,
            exclusive,
            open: false,
            prepared: false,
            waiting: 0,
            passes: 0,
            pending: None,
            rest: None,
            written: 0,
            failed: 0,
        });
    }

    /// Something happens.
    fn tick(&mut self) {
        let at = self.dice.roll(self.clients.len() as u64) as usize;
        match self.dice.roll(if self.stormy { 40 } else { 32 }) {
            0..=2 => self.arrive(at),
            3..=6 => self.write(at),
            7..=20 => self.drive(at),
            21..=26 => self.deliver(),
            27 => self.now += 1 + self.dice.roll(600),
            28..=31 => self.watch_again(at),
            32 => self.lose_watch(at),
            33 if self.dice.one_in(3) => self.crash(at),
            34 if self.clients.len() < 4 && self.dice.one_in(4) => self.join(),
            35 => self.tell_lost(at),
            36 => self.expire(at),
            37 if self.dice.one_in(20) => self.end(at),
            _ => {}
        }
        // Clients that are forgotten by all.
        let watchers = &self.cluster.watchers;
        self.clients
            .retain(|c| c.alive || c.passes > 0 || watchers.iter().any(|&(gid, _)| gid == c.gid));
        if self.clients.is_empty() {
            self.join();
        }
    }

    fn arrive(&mut self, at: usize) {
        let c = &mut self.clients[at];
        if !c.alive || c.ended || c.waiting + c.passes >= 4 {
            return;
        }
        if c.open {
            c.passes += 1;
        } else {
            c.waiting += 1;
        }
    }

    /// The OSD writes, also what a client sent before it crashed.
    fn write(&mut self, at: usize) {
        let c = &mut self.clients[at];
        if c.passes == 0 {
            return;
        }
        c.passes -= 1;
        if self.cluster.blocklist.contains(&c.gid) {
            c.machine.notice(Notice::Gone(ESHUTDOWN));
            return;
        }
        let ours = |(gid, handle)| gid == c.gid && (handle == c.handle || !self.siblings);
        assert!(
            self.cluster.lock.is_some_and(ours),
            "{:?} {:?}",
            self.cluster,
            self.clients
        );
        self.clients[at].written += 1;
    }

    /// The client's driver goes on, or what it waits for does.
    fn drive(&mut self, at: usize) {
        let c = &mut self.clients[at];
        if !c.alive {
            return;
        }
        let gid = c.gid;
        match c.pending {
            None => self.next(at),
            Some(Pending::Answered(done)) => {
                c.pending = None;
                match done {
                    _ if c.machine.state_name() == "acquired" => {
                        c.prepared = done == Done::Result(Ok(()));
                    }
                    _ => {}
                }
                c.machine.done(self.now, done);
            }
            Some(Pending::Sent(Action::Ask(handle))) => {
                if self.cluster.blocklist.contains(&gid) {
                    c.pending = Some(Pending::Answered(Done::Asked(Err(ESHUTDOWN))));
                    return;
                }
                let what = Notification::RequestLock(Some(ClientId { gid, handle }));
                let id = self.cluster.notify(what);
                self.clients[at].pending = Some(Pending::Notified(id));
            }
            Some(Pending::Sent(action)) => {
                let lost = self.stormy && self.dice.one_in(25);
                let late = self.stormy && self.dice.one_in(25);
                let timeout = match action {
                    Action::LookUp => Done::Found(Err(ETIMEDOUT)),
                    Action::FindWatcher(_) => Done::Watched(Err(ETIMEDOUT)),
                    _ => Done::Result(Err(ETIMEDOUT)),
                };
                let done = match (lost, late) {
                    (true, _) => timeout,
                    (false, late) => match self.cluster.execute(gid, action) {
                        _ if late => timeout,
                        done => done,
                    },
                };
                self.clients[at].pending = Some(Pending::Answered(done));
            }
            Some(Pending::Notified(id)) => {
                let timeout = self.dice.one_in(40);
                let notifications = &mut self.cluster.notifications;
                let Some(i) = notifications.iter().position(|n| n.id == id) else {
                    panic!("{notifications:?}");
                };
                if !notifications[i].left.is_empty() && !timeout {
                    return;
                }
                let n = notifications.remove(i);
                let reply = match n.answers[..] {
                    [] => Reply::Silence,
                    [result] => Reply::Of(result),
                    _ => Reply::Several,
                };
                self.clients[at].pending = Some(Pending::Answered(Done::Asked(Ok(reply))));
            }
        }
    }

    fn next(&mut self, at: usize) {
        let c = &mut self.clients[at];
        let action = c.machine.next(Look {
            now: self.now,
            wanted: c.waiting > 0,
            drained: c.passes == 0,
        });
        c.rest = None;
        let gid = c.gid;
        match action {
            Action::Rest { until } => c.rest = until,
            Action::Open => {
                assert!(c.prepared);
                c.open = true;
                c.passes += core::mem::take(&mut c.waiting);
            }
            Action::Close => c.open = false,
            Action::Fail(_) => c.failed += core::mem::take(&mut c.waiting),
            Action::Announce(a, handle) => {
                let id = Some(ClientId { gid, handle });
                if !self.cluster.blocklist.contains(&gid) {
                    self.cluster.notify(match a {
                        ceph_proto_host::lock::event::Announcement::Acquired => {
                            Notification::AcquiredLock(id)
                        }
                        ceph_proto_host::lock::event::Announcement::Released => {
                            Notification::ReleasedLock(id)
                        }
                    });
                }
            }
            Action::Conclude => {
                assert!(c.passes == 0 && c.prepared);
                c.prepared = false;
                c.pending = Some(Pending::Sent(action));
            }
            _ => c.pending = Some(Pending::Sent(action)),
        }
    }

    /// A notification reaches a watcher, or is lost with its watch.
    fn deliver(&mut self) {
        let count = self.cluster.notifications.len() as u64;
        if count == 0 {
            return;
        }
        let i = self.dice.roll(count) as usize;
        let n = &mut self.cluster.notifications[i];
        if n.left.is_empty() {
            if !matches!(n.what, Notification::RequestLock(_)) || self.dice.one_in(50) {
                let id = n.id;
                let waited_for = |c: &Client| matches!(c.pending, Some(Pending::Notified(x)) if x == id && c.alive);
                if !self.clients.iter().any(waited_for) {
                    self.cluster.notifications.remove(i);
                }
            }
            return;
        }
        let to = self.dice.roll(n.left.len() as u64) as usize;
        let (gid, handle) = n.left.swap_remove(to);
        let lost = !self.cluster.watchers.contains(&(gid, handle));
        let to = |c: &&mut Client| (c.gid, c.handle, c.alive) == (gid, handle, true);
        let Some(c) = self.clients.iter_mut().find(to) else {
            return;
        };
        if lost || c.ended || !c.watching {
            return;
        }
        n.answers.extend(c.machine.notice(Notice::Heard(n.what)));
    }

    /// An OSD forgets a watch.
    fn lose_watch(&mut self, at: usize) {
        let c = &self.clients[at];
        self.cluster.watchers.retain(|w| *w != (c.gid, c.handle));
    }

    /// A client is told that its watch is gone.
    fn tell_lost(&mut self, at: usize) {
        let c = &mut self.clients[at];
        let there = self.cluster.watchers.contains(&(c.gid, c.handle));
        if c.alive && c.watching && !there {
            c.watching = false;
            c.machine.notice(Notice::WatchLost);
        }
    }

    fn watch_again(&mut self, at: usize) {
        if !self.stormy {
            self.tell_lost(at);
        }
        let c = &mut self.clients[at];
        if !c.alive || c.watching {
            return;
        }
        if self.cluster.blocklist.contains(&c.gid) {
            c.machine.notice(Notice::Gone(ESHUTDOWN));
            return;
        }
        self.last_handle += 1;
        c.handle = self.last_handle;
        c.watching = true;
        self.cluster.watchers.push((c.gid, c.handle));
        c.machine.notice(Notice::Watching(c.handle));
    }

    fn crash(&mut self, at: usize) {
        let c = &mut self.clients[at];
        c.alive = false;
        // What it had sent may still arrive.
        if let Some(Pending::Sent(action)) = c.pending {
            if self.dice.one_in(2) && !matches!(action, Action::Ask(_)) {
                let gid = c.gid;
                self.cluster.execute(gid, action);
            }
        }
    }

    /// The watch of a dead client comes to its end.
    fn expire(&mut self, at: usize) {
        if !self.clients[at].alive {
            self.lose_watch(at);
        }
    }

    /// A client unmaps the image.
    fn end(&mut self, at: usize) {
        let c = &mut self.clients[at];
        if c.alive && !c.ended {
            c.ended = true;
            c.machine.notice(Notice::End(EIO));
        }
    }

    /// No accidents any more; everybody goes on until nobody waits.
    fn calm_down(&mut self) {
        self.stormy = false;
        for at in 0..self.clients.len() {
            self.expire(at);
        }
        for at in 0..self.clients.len() {
            self.arrive(at);
        }
        for _ in 0..200_000 {
            let idle = |c: &Client| {
                !c.alive || c.waiting == 0 && c.passes == 0 && (!c.ended || c.machine.has_ended())
            };
            if self.clients.iter().all(idle) {
                return;
            }
            let at = self.dice.roll(self.clients.len() as u64) as usize;
            match self.dice.roll(30) {
                0..=6 => self.write(at),
                7..=20 => self.drive(at),
                21..=26 => self.deliver(),
                27 => self.now += 1 + self.dice.roll(600),
                _ => self.watch_again(at),
            }
        }
        panic!("no progress: {:#?} {:#?}", self.cluster, self.clients);
    }
}

#[test]
fn clients_that_crash() {
    let (mut written, mut failed, mut blocked) = (0u64, 0u64, 0usize);
    for seed in 0..3000 {
        let mut world = World::new(seed, false);
        for _ in 0..3 {
            world.stormy = true;
            for _ in 0..400 {
                world.tick();
            }
            world.calm_down();
            for c in world.clients.iter().filter(|c| c.ended && c.alive) {
                assert!(!c.machine.owns());
            }
        }
        for c in &world.clients {
            written += u64::from(c.written);
            failed += u64::from(c.failed);
        }
        blocked += world.cluster.blocklist.len();
    }
    println!("written {written} failed {failed} blocked {blocked}");
    assert!(written > 10_000 && failed > 100 && blocked > 100);
}

/// Without accidents nobody's writes fail, and everybody writes.
#[test]
fn clients_that_share() {
    for seed in 0..500 {
        let mut world = World::new(seed, seed % 2 == 0);
        world.stormy = false;
        if world.clients.iter().any(|c| c.exclusive) {
            continue;
        }
        for _ in 0..4000 {
            world.tick();
        }
        world.calm_down();
        assert!(world.cluster.blocklist.is_empty());
        for c in &world.clients {
            assert_eq!(c.failed, 0);
            assert!(c.written > 5, "{c:?}");
        }
    }
}
