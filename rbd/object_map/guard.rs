// SPDX-License-Identifier: GPL-2.0-only

//! The lock on a map: who has the exclusive lock of an image has its map locked, too, so that an update which
//! was on its way while the image changed hands is refused.
//!
//! Its name is that of the lock on the header; cookie and tag are empty (Ceph
//! `src/librbd/object_map/LockRequest.cc`).

use super::Shown;
use kernel::prelude::*;
use net_ceph::{
    osd_client::{ClassCall, IoCtx},
    proto::{
        cls::lock::{
            get_info_input, method, AssertLocked, BreakLock, Lock, LockInfo, LockType, Unlock,
            CLASS, RBD_LOCK_NAME,
        },
        error::ProtoError,
    },
};

/// Longest answer to who has a map locked.
const INFO_MAX: usize = 64 * 1024;

/// How often locking is tried: once more after the lock was taken from whoever had it, and once more
/// should it have been given back just before that.
const TRIES: usize = 3;

/// Locks the map `name` for us. Whoever has it locked is forced off, once: without the exclusive lock
/// of the image it cannot be at work. `EBUSY` if it is locked again then. Sleeps.
pub(super) fn lock(io: &IoCtx, name: &[u8]) -> Result {
    let mut input = KVec::new();
    let lock = Lock {
        name: RBD_LOCK_NAME,
        kind: LockType::Exclusive,
        cookie: &[],
        tag: &[],
        description: &[],
        flags: 0,
    };
    lock.encode(&mut input).map_err(ProtoError::to_errno)?;
    let mut broken = false;
    for _ in 0..TRIES {
        match write(io, name, method::LOCK, &input) {
            Err(EBUSY) if !broken => broken = force_off(io, name)?,
            // We have it: an answer was lost, or it was not unlocked.
            Err(EEXIST) => return Ok(()),
            result => {
                return result.inspect_err(|e| {
                    pr_warn!("{}: cannot be locked: {}\n", Shown(name), e.to_errno())
                })
            }
        }
    }
    Err(EBUSY)
}

/// Breaks the lock on the map `name`; `false`: nobody has it. Sleeps.
fn force_off(io: &IoCtx, name: &[u8]) -> Result<bool> {
    let mut input = KVec::new();
    get_info_input(RBD_LOCK_NAME, &mut input).map_err(ProtoError::to_errno)?;
    let info = match io.call(name, CLASS, method::GET_INFO, &input, INFO_MAX) {
        Err(ENOENT) => return Ok(false),
        info => info?,
    };
    let info = LockInfo::decode(&info).map_err(|e| {
        pr_warn!("{}: {e}\n", Shown(name));
        e.to_errno()
    })?;
    // The lock is exclusive.
    let Some(locker) = info.lockers().next() else {
        return Ok(false);
    };
    pr_info!(
        "{}: breaking the lock of client{}\n",
        Shown(name),
        locker.name.num
    );
    input.clear();
    let locker = BreakLock {
        name: RBD_LOCK_NAME,
        locker: locker.name,
        cookie: locker.cookie,
    };
    locker.encode(&mut input).map_err(ProtoError::to_errno)?;
    match write(io, name, method::BREAK_LOCK, &input) {
        Ok(()) => Ok(true),
        Err(ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Unlocks the map `name`. If that fails, whoever comes next forces us off. Sleeps.
pub(super) fn unlock(io: &IoCtx, name: &[u8]) {
    let mut input = KVec::new();
    let unlock = Unlock {
        name: RBD_LOCK_NAME,
        cookie: &[],
    };
    let unlocked = unlock
        .encode(&mut input)
        .map_err(ProtoError::to_errno)
        .and_then(|()| write(io, name, method::UNLOCK, &input));
    match unlocked {
        // It was taken from us, or removed with the image.
        Ok(()) | Err(ENOENT) => {}
        Err(e) => pr_warn!("{}: cannot be unlocked: {}\n", Shown(name), e.to_errno()),
    }
}

/// Appends the input of `assert_locked`, which goes with each update.
pub(super) fn assertion(out: &mut KVec<u8>) -> Result {
    let assertion = AssertLocked {
        name: RBD_LOCK_NAME,
        kind: LockType::Exclusive,
        cookie: &[],
        tag: &[],
    };
    assertion.encode(out).map_err(ProtoError::to_errno)
}

fn write(io: &IoCtx, name: &[u8], method: &'static str, input: &[u8]) -> Result {
    io.call_write_when_full(
        name,
        &[ClassCall {
            class: CLASS,
            method,
            input,
        }],
    )
}
