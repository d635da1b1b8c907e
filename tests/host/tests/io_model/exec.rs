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
    proto::cls::object_map::ObjectState,
};
use kernel::prelude::*;
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};

/// What an object request is for.
#[derive(Clone)]
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
    steps: Steps,
    op: ObjectOp,
    scene: Scene,
    parent: Option<ParentLink>,
    generation: u64,
    pub snapc: SnapContext,
    /// What was read.
    got: Vec<Grain>,
    /// What the parent has of the object.
    buffer: Vec<Grain>,
    /// Answers that the step still waits for.
    waiting: usize,
    /// An error was made up on its way.
    failed: bool,
    /// Values that its cells may have besides: a read's, and of writes beside a write.
    beside: HashMap<usize, Vec<Grain>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Object(ObjectId),
    Map(usize, Option<SnapId>),
    Parent(usize),
}

#[derive(Debug)]
enum Message {
    Write(SnapContext, Vec<OsdOp>),
    Read(Option<SnapId>, Range<usize>),
    Update(u64, ObjectState, Option<ObjectState>),
    /// Read this range of the object from the parent.
    Parent(Range<usize>),
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
        let of = |r: &&Request| r.job.image == image && (!writes || r.job.want != Want::Read);
        self.requests.values().filter(of).count()
    }
}

/// In grains.
fn grains(bytes: u64) -> usize {
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
    /// Begins a request, if there is anything to do.
    pub fn submit(&mut self, mut job: Job) {
        let image = &self.cluster.images[job.image];
        let snapc = image.view.snapc.clone();
        let parent = self.parent_of(&job);
        let behind = image.behind(job.object, &parent) as u64 * GRAIN;
        let extent = image.extent(job.object, &job.range);
        let Some(op) = ObjectOp::plan(
            job.want,
            &extent,
            image.layout.object_size(),
            image.alloc_size,
            behind,
            !snapc.snaps.is_empty(),
        ) else {
            self.trace(|| format!("{:?} of {extent:?}: nothing", job.want));
            return;
        };
        let planned = range_of(op, image.object_size());
        assert!(job.range.start <= planned.start && planned.end <= job.range.end);
        job.range = planned;
        let scene = self.scene(&job, &snapc, &parent);
        let (steps, action) = Steps::begin(job.want, op, scene);
        let id = self.flight.last;
        self.flight.last += 1;
        self.trace(|| {
            format!(
                "request {id}: image {} object {} {op:?} for {:?} {scene:?} snap {:?} {snapc:?} data {:?}",
                job.image, job.object, job.want, job.snap, job.data
            )
        });
        let mut request = Request {
            generation: image.view.generation,
            job,
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
        self.restarted[request.steps.state() as usize] += 1;
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
            self.visited[state as usize] += 1;
            if !matches!(action, Action::ReadParent | Action::ReadWholeParent) {
                break;
            }
            let Some(scene) = self.restarts(id) else {
                break;
            };
            let request = self.flight.requests.get_mut(&id).unwrap();
            action = request.steps.next(Event::Restart(scene));
        }
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
                self.expect_end(request, result);
            }
        }
    }

    fn update_snap_maps(&mut self, id: usize) {
        let request = self.flight.requests.get_mut(&id).unwrap();
        let (index, object) = (request.job.image, request.job.object);
        let image = &self.cluster.images[index];
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
                self.check_entry(object, id);
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
                _ => image.map_valid = false,
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

    /// What a new request means to what others may see, and they to it.
    fn expect_begin(&mut self, request: &mut Request) {
        let job = &request.job;
        let image = &mut self.cluster.images[job.image];
        if job.want == Want::Read {
            let expected = match job.snap {
                None => &image.expected,
                Some(id) => &image.snap(id).expect("a snapshot").expected,
            };
            for at in job.range.clone() {
                let cell = image.cell(job.object, at);
                request.beside.insert(at, expected.values(cell).collect());
            }
        } else {
            // A snapshot that the request does not know of yet may have it, or not.
            for at in job.range.clone() {
                let (cell, value) = (image.cell(job.object, at), request.value(at));
                for snap in &mut image.snaps {
                    if !request.snapc.snaps.contains(&snap.id) && cell < snap.size {
                        snap.expected.allow(cell, value);
                    }
                }
            }
        }
        for other in self.flight.requests.values_mut() {
            let beside = (&other.job.image, &other.job.object) == (&job.image, &job.object);
            if !beside || (other.job.want == Want::Read && job.want == Want::Read) {
                continue;
            }
            for at in job.range.clone().filter(|at| other.job.range.contains(at)) {
                let sees = |s: SnapId| !request.snapc.snaps.contains(&s);
                if job.want != Want::Read && other.job.snap.is_none_or(sees) {
                    let value = request.value(at);
                    other.beside.entry(at).or_default().push(value);
                }
                if other.job.want != Want::Read && job.snap.is_none() {
                    let value = other.value(at);
                    request.beside.entry(at).or_default().push(value);
                }
            }
        }
    }

    fn expect_end(&mut self, request: Request, result: Result) {
        let job = &request.job;
        let image = &mut self.cluster.images[job.image];
        self.done[job.want as usize] += 1;
        for at in job.range.clone() {
            let cell = (job.image, job.object, at);
            let beside = request.beside.get(&at).map_or(&[][..], |b| b);
            if job.want == Want::Read {
                let got = request.got.get(at - job.range.start).copied().unwrap_or(0);
                assert!(
                    result.is_err() || beside.contains(&got),
                    "read of {cell:?} at {:?} gave {got}, not of {beside:?}",
                    job.snap
                );
                continue;
            }
            let cell = image.cell(job.object, at);
            // A discard of what the parent may have is free to do nothing.
            let maybe =
                result.is_err() || (job.want == Want::Discard && at < grains(request.scene.behind));
            if !maybe {
                image.expected.set(cell, request.value(at));
            }
            image.expected.allow(cell, request.value(at));
            for value in beside {
                image.expected.allow(cell, *value);
            }
        }
    }
}

impl Request {
    /// Whether no other writes to the same grains.
    pub fn is_alone(&self) -> bool {
        self.beside.is_empty()
    }

    /// What it leaves in a grain of the object.
    pub fn value(&self, at: usize) -> Grain {
        match self.job.want {
            Want::Write => self.job.data[at - self.job.range.start],
            _ => 0,
        }
    }

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
