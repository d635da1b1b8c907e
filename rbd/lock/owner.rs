// SPDX-License-Identifier: GPL-2.0-only

//! Who holds an image's exclusive lock, as the header object has it, and whether that client lives.
//!
//! Pure: the host tests compile this file too. librbd and the C driver hold the lock in one way
//! (Ceph `src/librbd/managed_lock/`, Linux `drivers/block/rbd.c`): exclusive, with a tag of their own,
//! and a cookie that names the holder's watch on the header. A lock held in any other way is somebody's
//! private matter and left alone.

use kernel::{fmt, prelude::*};
use net_ceph::proto::{
    cls::lock::{LockInfo, LockType, Locker as Holder, RBD_LOCK_COOKIE_PREFIX, RBD_LOCK_TAG},
    types::{EntityAddr, EntityName},
    watch::Watcher,
};

/// `auto `, and the digits of a `u64`.
const COOKIE_MAX: usize = 5 + 20;

/// The cookie of a lock, made of the cookie of its holder's watch: `auto <decimal>`.
#[derive(Clone, Copy)]
pub struct LockCookie {
    // From the end.
    text: [u8; COOKIE_MAX],
    start: usize,
}

impl LockCookie {
    /// For the watch with the cookie `handle`.
    pub fn new(handle: u64) -> Self {
        let mut cookie = Self {
            text: [0; COOKIE_MAX],
            start: COOKIE_MAX,
        };
        let mut left = handle;
        loop {
            // A digit fits.
            cookie.prepend(b'0' + (left % 10) as u8);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        cookie.prepend(b' ');
        for &byte in RBD_LOCK_COOKIE_PREFIX.iter().rev() {
            cookie.prepend(byte);
        }
        cookie
    }

    fn prepend(&mut self, byte: u8) {
        self.start = self.start.saturating_sub(1);
        if let Some(place) = self.text.get_mut(self.start) {
            *place = byte;
        }
    }

    /// The cookie's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// The watch's cookie in a lock's cookie; `None` if that is none of this form.
    pub fn handle(cookie: &[u8]) -> Option<u64> {
        let digits = cookie.strip_prefix(RBD_LOCK_COOKIE_PREFIX)?;
        let digits = core::str::from_utf8(digits.strip_prefix(b" ")?).ok()?;
        let handle = digits.parse().ok()?;
        // Not with a sign, or with zeroes in front: that would not be the same cookie.
        (Self::new(handle).as_bytes() == cookie).then_some(handle)
    }
}

/// A client that holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locker {
    /// Its name.
    pub name: EntityName,
    /// The cookie of its watch on the header.
    pub handle: u64,
    /// Where it connected from.
    pub addr: EntityAddr,
}

impl Locker {
    /// Whether one of the header's watchers is this client with this watch.
    pub fn is_among<'a>(&self, mut watchers: impl Iterator<Item = &'a Watcher>) -> bool {
        // The address is that of the same connection; only the words for its kind may differ.
        watchers.any(|w| w.cookie == self.handle && w.addr.same_endpoint(&self.addr))
    }
}

/// Shows an address as block lists have it: `ip:port/nonce`.
pub struct Address(pub EntityAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.sock {
            Some(sock) => write!(f, "{}/{}", sock, self.0.nonce),
            None => f.write_str("-"),
        }
    }
}

/// What is the matter with a lock that is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Another tag.
    Tag,
    /// Not exclusive.
    Kind,
    /// The cookie names no watch.
    Cookie,
    /// There is no address that could be shut out.
    Address,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tag => "its tag is not ours",
            Self::Kind => "it is not exclusive",
            Self::Cookie => "its cookie names no watch",
            Self::Address => "its holder has no address",
        })
    }
}

/// What was found in the header object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody holds the lock.
    Nobody,
    /// A client as we are one does.
    Locker(Locker),
    /// Somebody does, for reasons of their own.
    Foreign(Foreign),
}

impl Found {
    /// What `info` tells.
    pub fn new(info: &LockInfo<'_>) -> Self {
        let Some(holder) = info.lockers().next() else {
            return Self::Nobody;
        };
        let judge = || {
            if info.tag != RBD_LOCK_TAG {
                return Err(Foreign::Tag);
            }
            if info.kind != LockType::Exclusive {
                return Err(Foreign::Kind);
            }
            Self::locker(&holder)
        };
        match judge() {
            Ok(locker) => Self::Locker(locker),
            Err(foreign) => Self::Foreign(foreign),
        }
    }

    fn locker(holder: &Holder<'_>) -> Result<Locker, Foreign> {
        if holder.addr.is_blank() {
            return Err(Foreign::Address);
        }
        Ok(Locker {
            name: holder.name,
            handle: LockCookie::handle(holder.cookie).ok_or(Foreign::Cookie)?,
            addr: holder.addr,
        })
    }
}
