// SPDX-License-Identifier: GPL-2.0-only

//! The blocklist: clients that the cluster no longer serves (Ceph `src/osd/OSDMap.cc`,
//! `OSDMap::is_blocklisted`).
//!
//! An entry names one client instance, or a whole host (port and nonce zero), or a range of
//! addresses whose prefix length stands in the nonce. The protocol of an address does not matter.

use super::super::error::ProtoResult;
use super::super::table::copy_of;
use super::super::types::EntityAddr;
use super::super::wire::Decoder;
use crate::proto::sort::sort;
use core::net::{IpAddr, SocketAddr};
use kernel::prelude::*;

/// The fewest bytes of an address on the wire.
const ADDR_MIN_LEN: usize = 1 + 6 + 12;

/// An IP address as a number, by family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ip {
    V4(u32),
    V6(u128),
}

impl Ip {
    fn of(sock: &SocketAddr) -> Self {
        match sock.ip() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6(ip.to_bits()),
        }
    }

    /// Whether both agree in their first `bits` bits.
    fn same_prefix(self, other: Self, bits: u32) -> bool {
        let differing = match (self, other) {
            (Self::V4(a), Self::V4(b)) => u128::from(a ^ b) << 96,
            (Self::V6(a), Self::V6(b)) => a ^ b,
            _ => return false,
        };
        differing.leading_zeros() >= bits.min(128)
    }
}

/// One entry, in either list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    ip: Ip,
    port: u16,
    /// The nonce, or a range's prefix length.
    nonce: u32,
}

impl Entry {
    fn of(addr: &EntityAddr) -> Option<Self> {
        let sock = addr.sock?;
        Some(Self {
            ip: Ip::of(&sock),
            port: sock.port(),
            nonce: addr.nonce,
        })
    }
}

/// Reads a container of addresses, each followed by `skip` bytes, as sorted entries. May sleep.
pub(super) fn decode_entries(
    d: &mut Decoder<'_>,
    skip: usize,
    step: &'static str,
) -> ProtoResult<KVVec<Entry>> {
    let count = d.count(usize::MAX, ADDR_MIN_LEN.saturating_add(skip), step)?;
    let mut entries = KVVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        let addr = EntityAddr::decode(d, step)?;
        d.skip(skip, step)?;
        // An address without an IP address can match nobody.
        if let Some(entry) = Entry::of(&addr) {
            entries.push(entry, GFP_KERNEL)?;
        }
    }
    sort(&mut entries);
    Ok(entries)
}

/// A sorted list of entries.
pub(super) struct List(KVVec<Entry>);

impl List {
    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    pub(super) const fn from_sorted(entries: KVVec<Entry>) -> Self {
        Self(entries)
    }

    /// Copies the list. May sleep.
    pub(super) fn try_clone(&self) -> ProtoResult<Self> {
        Ok(Self(copy_of(&self.0)?))
    }

    /// Adds `new` entries, then takes `old` ones away; both are sorted. May sleep.
    pub(super) fn apply(&mut self, new: &[Entry], old: &[Entry]) -> ProtoResult {
        let list = &mut self.0;
        if !new.is_empty() {
            // Extended entries are listed again, with a later end.
            list.retain(|e| new.binary_search(e).is_err());
            list.extend_from_slice(new, GFP_KERNEL)?;
            sort(list);
        }
        if !old.is_empty() {
            list.retain(|e| old.binary_search(e).is_err());
        }
        Ok(())
    }

    /// Whether the list names this client or its host.
    pub(super) fn names(&self, addr: &EntityAddr) -> bool {
        let Some(entry) = Entry::of(addr) else {
            return false;
        };
        let host = Entry {
            port: 0,
            nonce: 0,
            ..entry
        };
        self.0.binary_search(&entry).is_ok() || self.0.binary_search(&host).is_ok()
    }

    /// Whether the list, read as ranges, covers this client.
    pub(super) fn covers(&self, addr: &EntityAddr) -> bool {
        Entry::of(addr).is_some_and(|e| self.0.iter().any(|r| r.ip.same_prefix(e.ip, r.nonce)))
    }
}
