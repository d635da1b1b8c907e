// SPDX-License-Identifier: GPL-2.0-only

//! The object map of an image: which of its objects exist.
//!
//! A copy is in memory while we have the image's exclusive lock, or, of a snapshot, as long as that is mapped.
//! The map at the OSD is changed before an object comes into being, and after it was deleted, so it never
//! says that an object is absent that is there, whenever the machine stops (Ceph
//! `src/librbd/ObjectMap.cc`).
//!
//! # How to change an object
//! 1. [`usable`](ObjectMap::usable): if not, go without the map, as if the image had none.
//! 2. [`begin`](ObjectMap::begin): get a [`Turn`], or be resumed with one later.
//! 3. [`state`](ObjectMap::state): only now may the entry be looked at.
//! 4. For each update: send what [`fill_update`](ObjectMap::fill_update) makes; if it was done, call
//!    [`applied`](ObjectMap::applied). If it failed, call [`invalidate`](ObjectMap::invalidate) from
//!    a work item, and go on if that is `Ok`. An update that is due when the map is no longer
//!    usable is not sent.
//! 5. Drop the turn after the last update.
//!
//! Readers need a map that is usable and [`state`](ObjectMap::state), and no turn.

pub mod bits;
mod guard;
mod snap_map;
pub mod turns;

pub use snap_map::SnapMap;

use bits::Bits;
use kernel::{
    fmt, new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, Mutex, SpinLock,
    },
};
use net_ceph::{
    abstractions::errno::{EDQUOT, ESHUTDOWN},
    osd_client::{ClassCall, IoCtx, Params},
    proto::{
        cls::{
            lock,
            object_map::{
                method, object_name, set_flags_input, update_input, ObjectState, MAX_OUTPUT,
            },
            rbd::{self, decode_u64, snap_input, FLAG_FAST_DIFF_INVALID, FLAG_OBJECT_MAP_INVALID},
        },
        error::ProtoError,
        osd_op::{flags, NOSNAP},
    },
};
use turns::{Claim, Room, Turns};

/// Why there is no map to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMap {
    /// There is none that can be trusted, and the image's header says so: go on without one.
    Invalid,
    /// That could neither be found out nor be changed. Who opens the map because of the exclusive lock
    /// must give that back: writing without the map would make a valid one wrong.
    Failed(Error),
}

impl From<Error> for NoMap {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// An I/O that may have to wait for its turn at an object.
pub trait Waiter: Sized + Send {
    /// It is its turn. Called where another one drops its turn, possibly with a connection's lock held: is to
    /// put the I/O on a work queue, not to run it.
    fn resume(self, turn: Turn<Self>);
}

/// What [`ObjectMap::begin`] says.
pub enum Entrance<W: Waiter> {
    /// Go on.
    Now(W, Turn<W>),
    /// It was kept, and will be [resumed](Waiter::resume).
    Later,
    /// There is no memory to keep it.
    Failed(W, Error),
}

/// A turn at an object, see [`turns`]. Dropping it lets others have theirs.
pub struct Turn<W: Waiter> {
    map: Arc<ObjectMap<W>>,
    claim: Claim,
}

/// A change of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Whose.
    pub object: u64,
    /// To this.
    pub to: ObjectState,
    /// If it is this, see [`ObjectState::passes`].
    pub only: Option<ObjectState>,
}

/// The object map of an image, or of a snapshot of it.
#[pin_data]
pub struct ObjectMap<W: Waiter> {
    /// Where the image's header and its maps are.
    io: IoCtx,
    /// Name of the header object.
    header: KVec<u8>,
    snapid: u64,
    /// Name of the map.
    name: KVec<u8>,
    /// Flags that mean that it is invalid.
    invalid_flags: u64,
    usable: Atomic<bool>,
    /// Held while flags in the header are changed. How the last attempt failed.
    #[pin]
    invalidating: Mutex<Option<Error>>,
    /// How many attempts to flag the map have ended.
    attempts: Atomic<u32>,
    /// Held for moments; nothing is taken inside, nothing is allocated.
    #[pin]
    inner: SpinLock<Inner<W>>,
}

struct Inner<W> {
    bits: Bits,
    turns: Turns<W>,
}

impl<W: Waiter> ObjectMap<W> {
    /// Opens the map of the image `image_id`, whose header object is `header` in `io`, or of its snapshot
    /// `snap`. `objects` is how many the image has, `fast_diff` whether the image has that feature.
    ///
    /// The image's own map is locked; the caller has its exclusive lock, so whoever had the map locked
    /// before is gone, and is forced off. A map that is missing, broken or too small is
    /// flagged invalid, unless it is a snapshot's: then we may have no right to. Sleeps.
    pub fn open(
        io: &IoCtx,
        header: &[u8],
        image_id: &[u8],
        snap: Option<u64>,
        objects: u64,
        fast_diff: bool,
    ) -> Result<Arc<Self>, NoMap> {
        let snapid = snap.unwrap_or(NOSNAP);
        let flags = io.call(
            header,
            rbd::CLASS,
            rbd::method::GET_FLAGS,
            &snap_input(snapid),
            size_of::<u64>(),
        )?;
        let mut name = KVec::new();
        object_name(image_id, snapid, &mut name).map_err(ProtoError::to_errno)?;
        if decode_u64(&flags, "image flags").map_err(ProtoError::to_errno)?
            & FLAG_OBJECT_MAP_INVALID
            != 0
        {
            pr_info!("{}: invalid, not used\n", Shown(&name));
            return Err(NoMap::Invalid);
        }
        let invalid_flags = invalid_flags(fast_diff);
        if snap.is_none() {
            guard::lock(io, &name)?;
        }
        let bits = load(io, &name, objects).map_err(|e| {
            let e = give_up(io, header, snapid, invalid_flags, e);
            if snap.is_none() {
                guard::unlock(io, &name);
            }
            e
        })?;
        Ok(Arc::pin_init(
            try_pin_init!(Self {
                io: io.clone(),
                header: copy(header)?,
                snapid,
                name,
                invalid_flags,
                usable: Atomic::new(true),
                invalidating <- new_mutex!(None, "rbd::ObjectMap::invalidating"),
                attempts: Atomic::new(0),
                inner <- new_spinlock!(Inner {
                    bits,
                    turns: Turns::default(),
                }, "rbd::ObjectMap::inner"),
            }),
            GFP_KERNEL,
        )?)
    }

    /// Unlocks the image's own map, when nothing that changes it is under way any more. Sleeps.
    pub fn close(&self) {
        self.distrust();
        if self.snapid == NOSNAP {
            guard::unlock(&self.io, &self.name);
        }
    }

    /// Whether it is to be trusted and kept up to date. Never again once it is not. Any context.
    pub fn usable(&self) -> bool {
        self.usable.load(Acquire)
    }

    /// Makes it unusable without telling anybody: of a snapshot that lost its parent, for one, the objects
    /// that were copied up meanwhile are not known. Any context.
    pub fn distrust(&self) {
        self.usable.store(false, Release);
    }

    /// What is known of `object`; beyond the end it may exist. Any context.
    pub fn state(&self, object: u64) -> ObjectState {
        let entry = self.inner.lock().bits.get(object);
        entry.unwrap_or(ObjectState::Exists)
    }

    /// Gets `waiter` a turn at `object`, which it is going to write to or, with `deletes`, may delete.
    /// Allocates only if it has to wait; may sleep then.
    pub fn begin(self: &Arc<Self>, object: u64, deletes: bool, waiter: W) -> Entrance<W> {
        let claim = Claim::new(object, deletes);
        let mut waiter = waiter;
        let mut spare = Room::none();
        loop {
            let wanted = {
                let mut inner = self.inner.lock();
                if inner.turns.take(claim) {
                    drop(inner);
                    return Entrance::Now(
                        waiter,
                        Turn {
                            map: self.clone(),
                            claim,
                        },
                    );
                }
                match inner.turns.wait(claim, waiter, &mut spare) {
                    Ok(()) => return Entrance::Later,
                    Err((again, wanted)) => {
                        waiter = again;
                        wanted
                    }
                }
            };
            spare = match Room::new(wanted) {
                Ok(spare) => spare,
                Err(e) => return Entrance::Failed(waiter, e),
            };
        }
    }

    /// Fills in a request that does `u`, and fails with `EBUSY` if the map is no longer locked by us.
    /// Allocates.
    pub fn fill_update(&self, p: &mut Params, u: Update) -> Result {
        let mut assertion = KVec::new();
        guard::assertion(&mut assertion)?;
        let mut input = KVec::new();
        update_input(u.object, u.to, u.only, &mut input).map_err(ProtoError::to_errno)?;
        update_request(&self.io, p, &self.name, Some(&assertion), &input)
    }

    /// Takes down that the OSD did `u`. Any context.
    pub fn applied(&self, u: Update) {
        let mut inner = self.inner.lock();
        if inner
            .bits
            .get(u.object)
            .is_some_and(|state| state.passes(u.only))
        {
            inner.bits.set(u.object, u.to);
        }
    }

    /// An update failed with `why`: flags the map invalid in the image's header, and makes it unusable. On
    /// `Ok` the I/O goes on without the map; on an error it must fail, because the map at the OSD
    /// is still taken for valid: the map was taken from us, with the lock of the image, or the
    /// cluster does not answer.
    ///
    /// The map is used until the flag is set, not only until an update fails: who found it unusable
    /// before would write, and be told that it was done, and if we stopped then the map would be wrong
    /// and nobody would know. Sleeps; one after the other.
    pub fn invalidate(&self, why: Error) -> Result {
        let attempts = self.attempts.load(Relaxed);
        let mut last = self.invalidating.lock();
        if !self.usable() {
            return Ok(());
        }
        if !blames_map(why) {
            return Err(why);
        }
        // Each attempt may take as long as the cluster is given to answer; whoever waited for one need not make another.
        if let Some(e) = last.filter(|_| self.attempts.load(Relaxed) != attempts) {
            return Err(e);
        }
        let flagged = flag_invalid(&self.io, &self.header, self.snapid, self.invalid_flags);
        *last = flagged.err();
        self.attempts.add(1, Relaxed);
        flagged?;
        pr_warn!(
            "{}: an update failed ({}): flagged invalid\n",
            Shown(&self.name),
            why.to_errno()
        );
        self.distrust();
        Ok(())
    }
}

impl<W: Waiter> Drop for Turn<W> {
    fn drop(&mut self) {
        let mut next = {
            let mut inner = self.map.inner.lock();
            inner.turns.give_back(self.claim);
            inner.turns.next(self.claim)
        };
        while let Some((claim, waiter)) = next {
            let map = self.map.clone();
            waiter.resume(Turn { map, claim });
            next = self.map.inner.lock().turns.next(self.claim);
        }
    }
}

/// Shows the name of an object, what is not printable as escapes.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Fills in a request that changes an entry of the map `name`, if what `assertion` says holds. May sleep.
fn update_request(
    io: &IoCtx,
    p: &mut Params,
    name: &[u8],
    assertion: Option<&[u8]>,
    input: &[u8],
) -> Result {
    io.address(p, name)?;
    p.flags |= flags::WRITE;
    p.set_mtime();
    let update = ClassCall {
        class: rbd::CLASS,
        method: method::UPDATE,
        input,
    };
    match assertion {
        Some(input) => {
            let assertion = ClassCall {
                class: lock::CLASS,
                method: lock::method::ASSERT_LOCKED,
                input,
            };
            p.push_calls(&[assertion, update])
        }
        None => p.push_calls(&[update]),
    }
}

/// Flags that mean that a map is invalid.
fn invalid_flags(fast_diff: bool) -> u64 {
    if fast_diff {
        FLAG_OBJECT_MAP_INVALID | FLAG_FAST_DIFF_INVALID
    } else {
        FLAG_OBJECT_MAP_INVALID
    }
}

/// Loads the map `name` of an image of so many objects. A larger one is fine: whoever made the image
/// smaller may not have come to the map. Sleeps.
fn load(io: &IoCtx, name: &[u8], objects: u64) -> Result<Bits> {
    let output = io
        .call(name, rbd::CLASS, method::LOAD, &[], MAX_OUTPUT)
        .inspect_err(|e| pr_warn!("{}: cannot be loaded: {}\n", Shown(name), e.to_errno()))?;
    let bits = Bits::new(output).map_err(|e| {
        pr_warn!("{}: {e}\n", Shown(name));
        e.to_errno()
    })?;
    if bits.objects() < objects {
        pr_warn!(
            "{}: has {} objects, the image has {objects}\n",
            Shown(name),
            bits.objects()
        );
        return Err(EINVAL);
    }
    Ok(bits)
}

/// The map could not be loaded because of `why`: flags it invalid, if that is the map's fault. Sleeps.
fn give_up(io: &IoCtx, header: &[u8], snapid: u64, invalid_flags: u64, why: Error) -> NoMap {
    if !blames_map(why) || io.group().cancelled().is_some() {
        return NoMap::Failed(why);
    }
    if snapid != NOSNAP {
        return NoMap::Invalid;
    }
    match flag_invalid(io, header, snapid, invalid_flags) {
        Ok(()) => NoMap::Invalid,
        Err(e) => NoMap::Failed(e),
    }
}

/// Whether an error tells something about the map. Others do about us, the network, or the lock.
fn blames_map(why: Error) -> bool {
    !matches!(
        why,
        EBUSY | EDQUOT | EINTR | ENOMEM | ENOSPC | ESHUTDOWN | ETIMEDOUT
    )
}

/// Sets flags of the image, or of one of its snapshots. Sleeps.
fn flag_invalid(io: &IoCtx, header: &[u8], snapid: u64, invalid_flags: u64) -> Result {
    io.call_write(
        header,
        &[ClassCall {
            class: rbd::CLASS,
            method: method::SET_FLAGS,
            input: &set_flags_input(invalid_flags, snapid),
        }],
    )
    .inspect_err(|e| {
        pr_warn!(
            "{}: object map cannot be flagged invalid: {}\n",
            Shown(header),
            e.to_errno()
        )
    })
}

fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}
