// SPDX-License-Identifier: GPL-2.0-only

//! The lock in the image's header object, and what the object's watchers tell each other about it.
//!
//! Names and values as librbd and the C driver have them (Ceph `src/include/rbd_types.h`, Linux
//! `drivers/block/rbd.c`). Everything here sleeps, for a bounded time.

use super::{
    event::{Announcement, Reply},
    owner::{Address, Found, LockCookie, Locker},
};
use kernel::{prelude::*, str::CString, sync::Arc};
use net_ceph::{
    mon_client::{MonClient, Patience},
    osd_client::{ClassCall, IoCtx},
    proto::{
        cls::{
            lock::{
                get_info_input, method, BreakLock, Lock, LockInfo, LockType, SetCookie, Unlock,
                CLASS, RBD_LOCK_NAME, RBD_LOCK_TAG,
            },
            rbd_notify::{decode_response, ClientId, Notification},
        },
        error::{ProtoError, ProtoResult},
    },
};

/// Seconds that watchers have to answer (Linux `drivers/block/rbd.c`, `RBD_NOTIFY_TIMEOUT`).
const NOTIFY_TIMEOUT: u32 = 5;
/// Seconds that the monitors have for each step of shutting out a client. What takes longer is tried
/// again, and has to wait for their next commit then: so it is long.
const BLOCKLIST_TIMEOUT: u32 = 60;
/// The longest answer about a lock: one with a few dozen lockers.
const INFO_MAX: usize = 8192;

/// An image's header object.
pub(super) struct Header {
    pub(super) io: IoCtx,
    pub(super) mon: Arc<MonClient>,
    pub(super) object: KVec<u8>,
    pub(super) gid: u64,
}

impl Header {
    /// Calls a method of the lock class that changes the lock. Who could not do so where there is no space would be
    /// taken for dead.
    fn change(
        &self,
        method: &'static str,
        encode: impl FnOnce(&mut KVec<u8>) -> ProtoResult,
    ) -> Result {
        let mut input = KVec::new();
        encode(&mut input).map_err(ProtoError::to_errno)?;
        self.io.call_write_when_full(
            &self.object,
            &[ClassCall {
                class: CLASS,
                method,
                input: &input,
            }],
        )
    }

    /// Takes the lock. `EBUSY` if somebody has it, `EEXIST` if we do.
    pub(super) fn lock(&self, handle: u64) -> Result {
        let cookie = LockCookie::new(handle);
        let input = Lock {
            name: RBD_LOCK_NAME,
            kind: LockType::Exclusive,
            cookie: cookie.as_bytes(),
            tag: RBD_LOCK_TAG,
            description: b"",
            flags: 0,
        };
        self.change(method::LOCK, |out| input.encode(out))
    }

    /// Gives our lock back. `ENOENT` if we do not have it.
    pub(super) fn unlock(&self, handle: u64) -> Result {
        let cookie = LockCookie::new(handle);
        let input = Unlock {
            name: RBD_LOCK_NAME,
            cookie: cookie.as_bytes(),
        };
        self.change(method::UNLOCK, |out| input.encode(out))
    }

    /// Takes `locker`'s lock from it. `ENOENT` if it does not have it.
    pub(super) fn break_lock(&self, locker: &Locker) -> Result {
        let cookie = LockCookie::new(locker.handle);
        let input = BreakLock {
            name: RBD_LOCK_NAME,
            locker: locker.name,
            cookie: cookie.as_bytes(),
        };
        self.change(method::BREAK_LOCK, |out| input.encode(out))
    }

    /// Changes the handle in our lock's cookie.
    pub(super) fn renew(&self, from: u64, to: u64) -> Result {
        let (old, new) = (LockCookie::new(from), LockCookie::new(to));
        let input = SetCookie {
            name: RBD_LOCK_NAME,
            kind: LockType::Exclusive,
            old_cookie: old.as_bytes(),
            tag: RBD_LOCK_TAG,
            new_cookie: new.as_bytes(),
        };
        self.change(method::SET_COOKIE, |out| input.encode(out))
    }

    /// Who has the lock.
    pub(super) fn look_up(&self) -> Result<Found> {
        let mut input = KVec::new();
        get_info_input(RBD_LOCK_NAME, &mut input).map_err(ProtoError::to_errno)?;
        let io = &self.io;
        let info = io.call(&self.object, CLASS, method::GET_INFO, &input, INFO_MAX)?;
        let info = LockInfo::decode(&info).map_err(ProtoError::to_errno)?;
        Ok(Found::new(&info))
    }

    /// Whether `locker` watches the header.
    pub(super) fn is_watched_by(&self, locker: &Locker) -> Result<bool> {
        let watchers = self.io.list_watchers(&self.object)?;
        Ok(locker.is_among(watchers.iter()))
    }

    /// Shuts `locker` out of the cluster, unless `patience` ends before.
    pub(super) fn blocklist(&self, locker: &Locker, patience: &dyn Patience) -> Result {
        let address = CString::try_from_fmt(fmt!("{}", Address(locker.addr)))?;
        let address = address.to_str().map_err(|_| EINVAL)?;
        self.mon.blocklist_add(address, BLOCKLIST_TIMEOUT, patience)
    }

    fn id(&self, handle: u64) -> Option<ClientId> {
        Some(ClientId {
            gid: self.gid,
            handle,
        })
    }

    /// Asks whoever has the lock to release it.
    pub(super) fn ask(&self, handle: u64) -> Result<Reply> {
        let mut payload = KVec::new();
        Notification::RequestLock(self.id(handle))
            .encode(&mut payload)
            .map_err(ProtoError::to_errno)?;
        let replies = self.io.notify(&self.object, &payload, NOTIFY_TIMEOUT)?;
        let mut result = Reply::Silence;
        for reply in replies.iter() {
            // Those who do not have the lock answer without a word.
            let Some(answer) = decode_response(reply.answer).map_err(ProtoError::to_errno)? else {
                continue;
            };
            result = match result {
                Reply::Silence => Reply::Of(answer),
                _ => Reply::Several,
            };
        }
        Ok(result)
    }

    /// Tells the watchers.
    pub(super) fn announce(&self, what: Announcement, handle: u64) -> Result {
        let id = self.id(handle);
        let what = match what {
            Announcement::Acquired => Notification::AcquiredLock(id),
            Announcement::Released => Notification::ReleasedLock(id),
        };
        let mut payload = KVec::new();
        what.encode(&mut payload).map_err(ProtoError::to_errno)?;
        self.io
            .notify(&self.object, &payload, NOTIFY_TIMEOUT)
            .map(|_| ())
    }
}
