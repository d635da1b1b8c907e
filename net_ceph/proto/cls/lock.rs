// SPDX-License-Identifier: GPL-2.0-only

//! The `lock` class: advisory locks on an object (Ceph `src/cls/lock/cls_lock_ops.h`,
//! `src/cls/lock/cls_lock_types.h`).
//!
//! A locker is a client and a cookie of its choice.

use crate::proto::error::{ProtoError, ProtoResult};
use crate::proto::types::{EntityAddr, EntityName, Timespec};
use crate::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

/// The name of the class.
pub const CLASS: &str = "lock";
/// The longest name, cookie, tag or description taken.
const MAX_TEXT: usize = 4096;
/// The most lockers taken.
const MAX_LOCKERS: usize = 64 * 1024;

/// Name of the lock on an image's header (`RBD_LOCK_NAME`, Ceph `src/include/rbd_types.h`).
pub const RBD_LOCK_NAME: &[u8] = b"rbd_lock";
/// Tag of the locks that librbd and the kernel take (`RBD_LOCK_TAG`).
pub const RBD_LOCK_TAG: &[u8] = b"internal";
/// What their cookies begin with; a space and the watch's cookie in decimal follow.
pub const RBD_LOCK_COOKIE_PREFIX: &[u8] = b"auto";

/// Names of methods.
pub mod method {
    /// Input [`Lock`](super::Lock).
    pub const LOCK: &str = "lock";
    /// Input [`Unlock`](super::Unlock).
    pub const UNLOCK: &str = "unlock";
    /// Input [`BreakLock`](super::BreakLock).
    pub const BREAK_LOCK: &str = "break_lock";
    /// Input [`SetCookie`](super::SetCookie).
    pub const SET_COOKIE: &str = "set_cookie";
    /// Input [`AssertLocked`](super::AssertLocked).
    pub const ASSERT_LOCKED: &str = "assert_locked";
    /// Input [`get_info_input`](super::get_info_input), output [`LockInfo`](super::LockInfo).
    pub const GET_INFO: &str = "get_info";
}

/// Of what kind a lock is (`ClsLockType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LockType {
    /// Not locked.
    None = 0,
    /// One locker.
    Exclusive = 1,
    /// Many lockers.
    Shared = 2,
    /// One locker, for a moment.
    ExclusiveEphemeral = 3,
}

impl LockType {
    fn decode(d: &mut Decoder<'_>) -> ProtoResult<Self> {
        Ok(match d.u8("lock: type")? {
            0 => Self::None,
            1 => Self::Exclusive,
            2 => Self::Shared,
            3 => Self::ExclusiveEphemeral,
            other => return Err(ProtoError::value("lock: type", other.into())),
        })
    }
}

/// Takes a lock, for good. Locking again what one holds fails with `-EEXIST`, unless `flags` say otherwise.
pub struct Lock<'a> {
    /// Which lock.
    pub name: &'a [u8],
    /// Kind.
    pub kind: LockType,
    /// The locker's cookie.
    pub cookie: &'a [u8],
    /// All lockers of one lock must use the same.
    pub tag: &'a [u8],
    /// For people.
    pub description: &'a [u8],
    /// `LOCK_FLAG_*`: 1: renew if held, 2: must be held.
    pub flags: u8,
}

impl Lock<'_> {
    /// Appends a section (v1) of `string name`, `u8 type`, `string cookie`, `string tag`,
    /// `string description`, the duration (0: no end), `u8 flags`.
    pub fn encode(&self, out: &mut KVec<u8>) -> ProtoResult {
        Encoder::new(out).section(1, 1, |e| {
            e.blob(self.name)?;
            e.u8(self.kind as u8)?;
            e.blob(self.cookie)?;
            e.blob(self.tag)?;
            e.blob(self.description)?;
            Timespec::default().encode(e)?;
            e.u8(self.flags)
        })
    }
}

/// Gives a lock back.
pub struct Unlock<'a> {
    /// Which lock.
    pub name: &'a [u8],
    /// The locker's cookie.
    pub cookie: &'a [u8],
}

impl Unlock<'_> {
    /// Appends a section (v1) of `string name`, `string cookie`.
    pub fn encode(&self, out: &mut KVec<u8>) -> ProtoResult {
        Encoder::new(out).section(1, 1, |e| {
            e.blob(self.name)?;
            e.blob(self.cookie)
        })
    }
}

/// Takes someone's lock away.
pub struct BreakLock<'a> {
    /// Which lock.
    pub name: &'a [u8],
    /// Whose.
    pub locker: EntityName,
    /// The locker's cookie.
    pub cookie: &'a [u8],
}

impl BreakLock<'_> {
    /// Appends a section (v1) of `string name`, the locker's name, `string cookie`.
    pub fn encode(&self, out: &mut KVec<u8>) -> ProtoResult {
        Encoder::new(out).section(1, 1, |e| {
            e.blob(self.name)?;
            self.locker.encode(e)?;
            e.blob(self.cookie)
        })
    }
}

/// Gives the lock one holds another cookie.
pub struct SetCookie<'a> {
    /// Which lock.
    pub name: &'a [u8],
    /// Kind.
    pub kind: LockType,
    /// The cookie it has.
    pub old_cookie: &'a [u8],
    /// The lock's tag.
    pub tag: &'a [u8],
    /// The cookie it gets.
    pub new_cookie: &'a [u8],
}

impl SetCookie<'_> {
    /// Appends a section (v1) of `string name`, `u8 type`, `string old`, `string tag`, `string new`.
    pub fn encode(&self, out: &mut KVec<u8>) -> ProtoResult {
        Encoder::new(out).section(1, 1, |e| {
            e.blob(self.name)?;
            e.u8(self.kind as u8)?;
            e.blob(self.old_cookie)?;
            e.blob(self.tag)?;
            e.blob(self.new_cookie)
        })
    }
}

/// Makes a request fail (`-EBUSY`) unless one holds the lock.
pub struct AssertLocked<'a> {
    /// Which lock.
    pub name: &'a [u8],
    /// Kind.
    pub kind: LockType,
    /// The locker's cookie.
    pub cookie: &'a [u8],
    /// The lock's tag.
    pub tag: &'a [u8],
}

impl AssertLocked<'_> {
    /// Appends a section (v1) of `string name`, `u8 type`, `string cookie`, `string tag`.
    pub fn encode(&self, out: &mut KVec<u8>) -> ProtoResult {
        Encoder::new(out).section(1, 1, |e| {
            e.blob(self.name)?;
            e.u8(self.kind as u8)?;
            e.blob(self.cookie)?;
            e.blob(self.tag)
        })
    }
}

/// Appends the input of `get_info`: a section (v1) of `string name`.
pub fn get_info_input(name: &[u8], out: &mut KVec<u8>) -> ProtoResult {
    Encoder::new(out).section(1, 1, |e| e.blob(name))
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locker<'a> {
    /// The client.
    pub name: EntityName,
    /// Its cookie.
    pub cookie: &'a [u8],
    /// Where it connected from.
    pub addr: EntityAddr,
    /// For people.
    pub description: &'a [u8],
}

/// The state of a lock: the output of `get_info`, a section (v1) of `map<locker, info>`, `u8 type`,
/// `string tag`.
#[derive(Clone, Copy)]
pub struct LockInfo<'a> {
    /// Kind.
    pub kind: LockType,
    /// Tag.
    pub tag: &'a [u8],
    count: usize,
    lockers: Decoder<'a>,
}

impl<'a> LockInfo<'a> {
    /// Reads and checks it.
    pub fn decode(output: &'a [u8]) -> ProtoResult<Self> {
        let (_, mut d) = Decoder::new(output).section(1, "lock info")?;
        let count = d.count(MAX_LOCKERS, 2 * 6, "lock info: count")?;
        let lockers = d;
        for _ in 0..count {
            decode_locker(&mut d)?;
        }
        Ok(Self {
            kind: LockType::decode(&mut d)?,
            tag: d.blob(MAX_TEXT, "lock info: tag")?,
            count,
            lockers,
        })
    }

    /// Who holds it.
    pub fn lockers(&self) -> impl Iterator<Item = Locker<'a>> + '_ {
        let mut d = self.lockers;
        (0..self.count).map_while(move |_| decode_locker(&mut d).ok())
    }
}

/// `locker_id_t`: a section (v1) of the name, `string cookie`; `locker_info_t`: a section (v1) of the
/// expiration, the address, `string description`.
fn decode_locker<'a>(d: &mut Decoder<'a>) -> ProtoResult<Locker<'a>> {
    let (_, mut id) = d.section(1, "locker")?;
    let name = EntityName::decode(&mut id, "locker: name")?;
    let cookie = id.blob(MAX_TEXT, "locker: cookie")?;
    let (_, mut info) = d.section(1, "locker info")?;
    Timespec::decode(&mut info, "locker info: expiration")?;
    let addr = EntityAddr::decode(&mut info, "locker info: address")?;
    let description = info.blob(MAX_TEXT, "locker info: description")?;
    Ok(Locker {
        name,
        cookie,
        addr,
        description,
    })
}
