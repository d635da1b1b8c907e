// SPDX-License-Identifier: GPL-2.0-only

//! Requests in flight: runs the steps of each, with messages that are executed, and answers that
//! arrive, in any order but that of one object (or object map) itself.

use crate::{
    cluster::ParentLink,
    osd::{ObjectId, OsdOp, SnapContext, SnapId},
    world::World,
    Grain, GRAIN,
};
use ceph_proto_host::{
    io::{
        plan::{ObjectOp, Want},
        step::{Action, Event, Scene, State, Steps},
    },
    object_map_turns::{Claim, Room, Turns},
    proto::cls::object_map::ObjectState,
};
use kernel::prelude::*;
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};

/// What an object request is for.
#[derive(Clone, Debug)]
pub struct Job {
    pub image: usize,
    /// Read this snapshot.
    pub snap: Option<SnapId>,
    pub want: Want,
    pub object: u64,
    /// Grains of the object.
    pub range: Range<usize>,
    /// What to write.
    pub data: Vec<Grain>,
}

/// An object request.
pub struct Request {
    pub job: Job,
    turn: Option<Claim>,
    steps: Steps,
    op: ObjectOp,
    pub scene: Scene,
    parent: Option<ParentLink>,
    generation: u64,
    pub snapc: SnapContext,
    /// What was read.
    pub got: Vec<Grain>,
    /// What the parent has of the object.
    buffer: Vec<Grain>,
    /// Answers that the step still waits for.
    waiting: usize,
    /// An error was made up on its way.
    failed: bool,
    /// Values that its cells may have besides: a read's, and of writes beside a write.
    pub beside: HashMap<usize, Vec<Grain>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Object(ObjectId),
    Map(usize, Option<SnapId>),
    Parent(usize),
    /// The driver itself, which takes its time.
    Driver(usize),
}

#[derive(Debug)]
enum Message {
    Write(SnapContext, Vec<OsdOp>),
    Read(Option<SnapId>, Range<usize>),
    Update(u64, ObjectState, Option<ObjectState>),
    /// Read this range of the object from the parent.
    Parent(Range<usize>),
    /// Do this at last.
    Do(Action),
}

#[derive(Debug)]
enum Answer {
    Done(Result),
    Updated(u64, ObjectState, Option<ObjectState>),
    Data(Vec<Grain>),
}

/// Messages to one target, and its answers, in order.
struct Channel {
    target: Target,
    to: VecDeque<(usize, Message)>,
    from: VecDeque<(usize, Answer)>,
}

#[derive(Default)]
pub struct Flight {
    pub requests: HashMap<usize, Request>,
    /// They wait for a turn at an object.
    waiting: HashMap<usize, Job>,
    /// Of each image.
    turns: HashMap<usize, Turns<usize>>,
    channels: Vec<Channel>,
    last: usize,
}

impl Flight {
    fn send(&mut self, target: Target, request: usize, message: Message) {
        let found = self.channels.iter_mut().find(|c| c.target == target);
        match found {
            Some(channel) => channel.to.push_back((request, message)),
            None => self.channels.push(Channel {
                target,
                to: [(request, message)].into(),
                from: VecDeque::new(),
            }),
        }
    }

    /// The requests to an image; only those that write, if `writes`.
    pub fn count(&self, image: usize, writes: bool) -> usize {
        let requests = self.requests.values().map(|r| &r.job);
        let of = |job: &&Job| job.image == image && (!writes || job.want != Want::Read);
        requests.chain(self.waiting.values()).filter(of).count()
    }
}

/// In grains.
pub fn grains(bytes: u64) -> usize {
    assert_eq!(bytes % GRAIN, 0);
    (bytes / GRAIN) as usize
}

/// The grains of the object that the operation concerns.
fn range_of(op: ObjectOp, object_size: usize) -> Range<usize> {
    match op {
        ObjectOp::Read { offset, length }
        | ObjectOp::Write { offset, length }
        | ObjectOp::Zero { offset, length } => grains(offset)..grains(offset + length),
        ObjectOp::Truncate { size } => grains(size)..object_size,
        ObjectOp::WriteFull { .. } | ObjectOp::Delete | ObjectOp::Hide => 0..object_size,
    }
}

impl World {
    /// Begins a request, or has it wait for its turn at the object: who deletes one is alone there.
    pub fn submit(&mut self, job: Job) {
        self.flight.last += 1;
        let id = self.flight.last;
        let writes = job.want != Want::Read;
        let claim = self.op(&job).and_then(|op| self.claim(&job, op));
        let Some(claim) = claim.filter(|_| writes) else {
            return self.begin(id, job, None);
        };
        let turns = self.flight.turns.entry(job.image).or_default();
        if turns.take(claim) {
            return self.begin(id, job, Some(claim));
        }
        let mut room = Room::new(64).expect("room");
        let kept = turns.wait(claim, id, &mut room).is_ok();
        assert!(kept, "no room to wait in");
        self.trace(|| format!("request {id} waits: {job:?}"));
        self.flight.waiting.insert(id, job);
    }

    /// The turn that the driver wants.
    fn claim(&self, job: &Job, op: ObjectOp) -> Option<Claim> {
        let image = &self.cluster.images[job.image];
        let claim = Claim::new(job.object, op == ObjectOp::Delete);
        image.has_map().then_some(claim)
    }

    fn op(&self, job: &Job) -> Option<ObjectOp> {
        let image = &self.cluster.images[job.image];
        let behind = image.behind(job.object, &self.parent_of(job)) as u64 * GRAIN;
        ObjectOp::plan(
            job.want,
            &image.extent(job.object, &job.range),
            image.layout.object_size(),
            image.alloc_size,
            behind,
            !image.view.snapc.snaps.is_empty(),
        )
    }

    /// Begins a request, if there is anything to do.
    fn begin(&mut self, id: usize, mut job: Job, turn: Option<Claim>) {
        let image = &self.cluster.images[job.image];
        let snapc = image.view.snapc.clone();
        let parent = self.parent_of(&job);
        let Some(op) = self.op(&job) else {
            self.trace(|| format!("request {id}: nothing to do: {job:?}"));
            assert_eq!(turn, None, "a turn at nothing");
            return;
        };
        let planned = range_of(op, image.object_size());
        assert!(job.range.start <= planned.start && planned.end <= job.range.end);
        job.range = planned;
        let scene = self.scene(&job, &snapc, &parent);
        let (steps, action) = Steps::begin(job.want, op, scene);
        self.trace(|| {
            format!(
                "request {id}: image {} object {} {op:?} for {:?} {scene:?} snap {:?} {snapc:?} data {:?}",
                job.image, job.object, job.want, job.snap, job.data
            )
        });
        let mut request = Request {
            generation: image.view.generation,
            job,
            turn,
            steps,
            op,
            scene,
            parent,
            snapc,
            got: Vec::new(),
            buffer: Vec::new(),
            waiting: 0,
            failed: false,
            beside: HashMap::new(),
        };
        self.expect_begin(&mut request);
        self.flight.requests.insert(id, request);
        self.perform(id, action);
    }

    fn parent_of(&self, job: &Job) -> Option<ParentLink> {
        let view = &self.cluster.images[job.image].view;
        match job.snap {
            None => view.parent.clone(),
            Some(id) => view.snaps.iter().find(|s| s.0 == id)?.2.clone(),
        }
    }

    fn scene(&self, job: &Job, snapc: &SnapContext, parent: &Option<ParentLink>) -> Scene {
        let image = &self.cluster.images[job.image];
        Scene {
            behind: image.behind(job.object, parent) as u64 * GRAIN,
            snaps: !snapc.snaps.is_empty(),
            entry: image.entry(job.object, job.snap),
            ancestor: false,
        }
    }

    /// Whether the request is to begin again; if so, the scene is made anew.
    fn restarts(&mut self, id: usize) -> Option<Scene> {
        let (for_nothing, keep) = (self.rng.percent(3), self.rng.percent(50));
        let request = &self.flight.requests[&id];
        let view = &self.cluster.images[request.job.image].view;
        let generation = view.generation;
        if request.scene.behind == 0 || (request.generation == generation && !for_nothing) {
            return None;
        }
        // The driver may keep the snapshot context that it began with, or take the new one.
        let snapc = if keep { &request.snapc } else { &view.snapc }.clone();
        let parent = self.parent_of(&request.job);
        let scene = self.scene(&request.job, &snapc, &parent);
        self.trace(|| format!("request {id}: again, {scene:?}"));
        self.counts.restarted[request.steps.state() as usize] += 1;
        let request = self.flight.requests.get_mut(&id).unwrap();
        (request.snapc, request.parent) = (snapc, parent);
        (request.scene, request.generation) = (scene, generation);
        request.got.clear();
        request.buffer.clear();
        request.waiting = 0;
        Some(scene)
    }

    fn perform(&mut self, id: usize, mut action: Action) {
        loop {
            let state = self.flight.requests[&id].steps.state();
            self.trace(|| format!("request {id}: {state}: {action:?}"));
            self.counts.visited[state as usize] += 1;
            if !matches!(action, Action::ReadParent | Action::ReadWholeParent) {
                break;
            }
            let Some(scene) = self.restarts(id) else {
                break;
            };
            let request = self.flight.requests.get_mut(&id).unwrap();
            action = request.steps.next(Event::Restart(scene));
        }
        // Without turns it must be done at once: a deletion may overtake it otherwise.
        let may_wait = self.flight.requests[&id].turn.is_some();
        if may_wait && !matches!(action, Action::Finish(_)) && self.rng.percent(30) {
            let message = Message::Do(action);
            return self.flight.send(Target::Driver(id), id, message);
        }
        self.carry_out(id, action);
    }

    fn carry_out(&mut self, id: usize, action: Action) {
        let request = &self.flight.requests[&id];
        let object = Target::Object((request.job.image, request.job.object));
        let range = &request.job.range;
        let behind = grains(request.scene.behind);
        match action {
            Action::UpdateMap { to, only } => {
                let message = Message::Update(request.job.object, to, only);
                let map = Target::Map(request.job.image, None);
                self.flight.send(map, id, message);
            }
            Action::UpdateSnapMaps => self.update_snap_maps(id),
            Action::Send {
                op: ObjectOp::Read { .. },
                ..
            } => {
                let message = Message::Read(request.job.snap, range.clone());
                self.flight.send(object, id, message);
            }
            Action::Send { op, guard } => {
                let stat = guard.then_some(OsdOp::Stat);
                let ops = stat.into_iter().chain(request.ops(op)).collect();
                let message = Message::Write(request.snapc.clone(), ops);
                self.flight.send(object, id, message);
            }
            Action::ReadParent => {
                let message = Message::Parent(range.start..range.end.min(behind));
                self.flight.send(Target::Parent(id), id, message);
            }
            Action::ReadWholeParent => {
                let message = Message::Parent(0..behind);
                self.flight.send(Target::Parent(id), id, message);
            }
            Action::CopyUpBelow => {
                let data = request.buffer.clone();
                let ops = vec![OsdOp::CopyUp { data }];
                let message = Message::Write(SnapContext::default(), ops);
                self.flight.send(object, id, message);
            }
            Action::CopyUp { op } => {
                let data = match request.buffer.iter().all(|v| *v == 0) {
                    true => Vec::new(),
                    false => request.buffer.clone(),
                };
                let copy = [OsdOp::CopyUp { data }];
                let ops = copy.into_iter().chain(request.ops(op)).collect();
                let message = Message::Write(request.snapc.clone(), ops);
                self.flight.send(object, id, message);
            }
            Action::Finish(result) => {
                let request = self.flight.requests.remove(&id).unwrap();
                match result {
                    Ok(()) => {}
                    Err(EIO) if request.failed => {}
                    Err(e) => panic!("request {id} ended with {e:?}"),
                }
                let (image, turn) = (request.job.image, request.turn);
                self.expect_end(request, result);
                if let Some(turn) = turn {
                    self.give_back(image, turn);
                }
            }
        }
    }

    /// Who waited for the turn has it now.
    fn give_back(&mut self, image: usize, turn: Claim) {
        let turns = self.flight.turns.entry(image).or_default();
        turns.give_back(turn);
        let mut next = Vec::new();
        while let Some(one) = turns.next(turn) {
            next.push(one);
        }
        for (claim, id) in next {
            let job = self.flight.waiting.remove(&id).expect("it waits");
            self.begin(id, job, Some(claim));
        }
    }

    fn update_snap_maps(&mut self, id: usize) {
        let request = self.flight.requests.get_mut(&id).unwrap();
        let (index, object) = (request.job.image, request.job.object);
        let image = &self.cluster.images[index];
        if image.map.is_none() {
            let action = request.steps.next(Event::Done(Ok(())));
            return self.perform(id, action);
        }
        let snaps = request.snapc.snaps.clone();
        request.waiting = snaps.len();
        let oldest = snaps.last().copied();
        for snap in snaps {
            let to = if image.fast_diff && Some(snap) != oldest {
                ObjectState::ExistsClean
            } else {
                ObjectState::Exists
            };
            let message = Message::Update(object, to, None);
            self.flight
                .send(Target::Map(index, Some(snap)), id, message);
        }
    }

    /// A message is executed, or an answer arrives. Says whether there was one.
    pub fn turn(&mut self) -> bool {
        if self.flight.channels.is_empty() {
            return false;
        }
        let i = self.rng.below(self.flight.channels.len());
        let coin = self.rng.percent(50);
        let channel = &mut self.flight.channels[i];
        let target = channel.target;
        if channel.to.is_empty() || (coin && !channel.from.is_empty()) {
            let answer = channel.from.pop_front();
            if channel.to.is_empty() && channel.from.is_empty() {
                self.flight.channels.swap_remove(i);
            }
            if let Some((id, answer)) = answer {
                self.answered(id, target, answer);
            }
        } else if matches!(target, Target::Driver(_)) {
            let channel = self.flight.channels.swap_remove(i);
            for (id, message) in channel.to {
                if let Message::Do(action) = message {
                    self.carry_out(id, action);
                }
            }
        } else if let Some((id, message)) = channel.to.pop_front() {
            let answer = self.execute(id, target, message);
            self.flight.channels[i].from.push_back((id, answer));
        }
        true
    }

    fn execute(&mut self, id: usize, target: Target, message: Message) -> Answer {
        if self.errors && self.rng.percent(2) {
            self.trace(|| format!("request {id}: {target:?}: {message:?}: made to fail"));
            if let Some(request) = self.flight.requests.get_mut(&id) {
                request.failed = true;
            }
            return Answer::Done(Err(EIO));
        }
        let answer = match (target, message) {
            (Target::Object(object), Message::Write(snapc, ops)) => {
                self.trace(|| format!("request {id}: OSD: {object:?} {snapc:?} {ops:?}"));
                let result = self.cluster.osd.write(object, &snapc, &ops);
                self.check_entry(object);
                Answer::Done(result)
            }
            (Target::Object(object), Message::Read(snap, range)) => {
                match self.cluster.osd.read(object, snap) {
                    Some(data) => {
                        let end = range.end.min(data.len());
                        Answer::Data(data[range.start.min(end)..end].to_vec())
                    }
                    None => Answer::Done(Err(ENOENT)),
                }
            }
            (Target::Map(image, snap), Message::Update(object, to, only)) => {
                let image = &mut self.cluster.images[image];
                let map = match snap {
                    None => image.map.as_mut(),
                    Some(id) => {
                        let snap = image.snaps.iter_mut().find(|s| s.id == id);
                        snap.map(|s| &mut s.map)
                    }
                };
                let entry = &mut map.expect("a map")[object as usize];
                change(entry, to, only);
                Answer::Updated(object, to, only)
            }
            (Target::Parent(_), Message::Parent(range)) => {
                let request = &self.flight.requests[&id];
                let (job, parent) = (&request.job, &request.parent);
                let data = self
                    .cluster
                    .read_parent(job.image, job.object, range, parent);
                Answer::Data(data)
            }
            other => panic!("{other:?}"),
        };
        self.trace(|| format!("request {id}: {target:?}: {answer:?}"));
        answer
    }

    fn answered(&mut self, id: usize, target: Target, answer: Answer) {
        let mut answer = answer;
        if let Target::Map(image, snap) = target {
            let image = &mut self.cluster.images[image];
            match answer {
                Answer::Updated(object, to, only) if snap.is_none() => {
                    change(&mut image.loaded[object as usize], to, only);
                }
                Answer::Updated(..) => {}
                // A map that cannot be changed is flagged invalid, and I/O goes on.
                _ => match snap {
                    None => image.map_valid = false,
                    Some(id) => {
                        let snap = image.snaps.iter_mut().find(|s| s.id == id);
                        snap.expect("it").map_valid = false;
                    }
                },
            }
            answer = Answer::Done(Ok(()));
        }
        let request = self.flight.requests.get_mut(&id).unwrap();
        request.waiting = request.waiting.saturating_sub(1);
        if request.waiting > 0 {
            return;
        }
        if let Some(scene) = self.restarts(id) {
            let request = self.flight.requests.get_mut(&id).unwrap();
            let action = request.steps.next(Event::Restart(scene));
            return self.perform(id, action);
        }
        let request = self.flight.requests.get_mut(&id).unwrap();
        let whole = request.steps.state() == State::CopyUpRead;
        let event = match answer {
            Answer::Done(Err(e)) if whole => Event::ParentRead(Err(e)),
            Answer::Done(result) => Event::Done(result),
            Answer::Data(data) if whole => {
                request.buffer = data;
                Event::ParentRead(Ok(request.buffer.iter().all(|v| *v == 0)))
            }
            Answer::Data(data) => {
                request.got = data;
                Event::Done(Ok(()))
            }
            Answer::Updated(..) => unreachable!(),
        };
        let action = request.steps.next(event);
        self.perform(id, action);
    }
}

impl Request {
    /// What an OSD is asked for.
    fn ops(&self, op: ObjectOp) -> Vec<OsdOp> {
        assert_eq!(op, self.op, "another operation than planned");
        let data = self.job.data.clone();
        match op {
            ObjectOp::Read { .. } => panic!("a read is no write"),
            ObjectOp::Write { offset, length } => {
                assert_eq!(grains(length), data.len());
                let offset = grains(offset);
                vec![OsdOp::Write { offset, data }]
            }
            ObjectOp::WriteFull { length } => {
                assert_eq!(grains(length), data.len());
                vec![OsdOp::WriteFull { data }]
            }
            ObjectOp::Zero { offset, length } => {
                let (offset, length) = (grains(offset), grains(length));
                vec![OsdOp::Zero { offset, length }]
            }
            ObjectOp::Truncate { size } => vec![OsdOp::Truncate { size: grains(size) }],
            ObjectOp::Delete => vec![OsdOp::Delete],
            ObjectOp::Hide => vec![OsdOp::Create, OsdOp::Truncate { size: 0 }],
        }
    }
}

/// The class method `object_map_update`, and what a client does to its copy (Ceph `cls_rbd.cc`): an
/// object that exists may be as it was at the last snapshot.
fn change(entry: &mut ObjectState, to: ObjectState, only: Option<ObjectState>) {
    let matches = match only {
        None => true,
        Some(ObjectState::Exists) => {
            matches!(entry, ObjectState::Exists | ObjectState::ExistsClean)
        }
        Some(only) => *entry == only,
    };
    if matches {
        *entry = to;
    }
}
