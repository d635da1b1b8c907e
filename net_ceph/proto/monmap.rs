// SPDX-License-Identifier: GPL-2.0-only

//! The monitor map: which monitors there are, and where (Ceph `src/mon/MonMap.cc`).

use super::error::{ProtoError, ProtoResult, Reason};
use super::types::{addrvec, AddrType, EntityAddr, Fsid, Timespec};
use super::wire::Decoder;
use crate::proto::sort::sort_by_key;
use kernel::prelude::*;

/// `compat` of the newest encoding (Nautilus and later).
const SUPPORTED: u8 = 6;
/// The oldest encoding that is a versioned section.
const OLDEST_VERSION: u8 = 3;
/// `compat` of the newest encoding of a monitor's entry.
const INFO_SUPPORTED: u8 = 6;
/// The smallest entry: a name's length and an address's marker.
const INFO_MIN_LEN: usize = 4 + 1;
/// More monitors than any cluster has.
const MAX_MONS: usize = 1024;
/// Longer than any monitor's name.
const MAX_NAME_LEN: usize = 4096;

/// One monitor.
#[derive(Debug)]
pub struct MonInfo {
    name: KVec<u8>,
    v1: EntityAddr,
    v2: EntityAddr,
}

impl MonInfo {
    fn new(name: &[u8]) -> ProtoResult<Self> {
        let mut mon = Self {
            name: KVec::new(),
            v1: EntityAddr::BLANK,
            v2: EntityAddr::BLANK,
        };
        mon.name.extend_from_slice(name, GFP_KERNEL)?;
        Ok(mon)
    }

    /// Keeps an address if it is the first of its protocol.
    fn add(&mut self, addr: EntityAddr) {
        let slot = match addr.kind {
            AddrType::LEGACY => &mut self.v1,
            AddrType::MSGR2 => &mut self.v2,
            _ => return,
        };
        if slot.sock.is_none() {
            *slot = addr;
        }
    }

    /// Its name, e.g. `a`; empty in an initial map or if it is not UTF-8.
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.name).unwrap_or("")
    }

    /// Where it serves msgr2 (`want_v2`) or msgr1; `None` if it does not.
    pub fn addr(&self, want_v2: bool) -> Option<EntityAddr> {
        let addr = if want_v2 { self.v2 } else { self.v1 };
        addr.sock.is_some().then_some(addr)
    }
}

/// The monitors of one cluster at one epoch.
#[derive(Debug)]
pub struct MonMap {
    fsid: Fsid,
    epoch: u32,
    min_mon_release: u8,
    mons: KVec<MonInfo>,
}

impl MonMap {
    /// A map of what a user configured, until a monitor sends the true one: epoch 0, one nameless monitor
    /// for each address, in the given order. An address of neither protocol's type counts for both.
    pub fn initial(addrs: &[EntityAddr]) -> ProtoResult<Self> {
        let mut mons = KVec::with_capacity(addrs.len(), GFP_KERNEL)?;
        for addr in addrs {
            let mut mon = MonInfo::new(b"")?;
            match addr.kind {
                AddrType::LEGACY | AddrType::MSGR2 => mon.add(*addr),
                _ => {
                    for kind in [AddrType::LEGACY, AddrType::MSGR2] {
                        mon.add(EntityAddr { kind, ..*addr });
                    }
                }
            }
            mons.push(mon, GFP_KERNEL)?;
        }
        Ok(Self {
            fsid: Fsid::default(),
            epoch: 0,
            min_mon_release: 0,
            mons,
        })
    }

    /// Decodes a map. May sleep.
    pub fn decode(buf: &[u8]) -> ProtoResult<Self> {
        if buf.first().is_none_or(|&v| v < OLDEST_VERSION) {
            return Err(ProtoError::new("monmap: version", Reason::Unsupported));
        }
        let (v, mut body) = Decoder::new(buf).section(SUPPORTED, "monmap")?;
        let d = &mut body;
        let mut map = Self {
            fsid: Fsid::decode(d, "monmap: fsid")?,
            epoch: d.u32("monmap: epoch")?,
            min_mon_release: 0,
            mons: KVec::new(),
        };
        if v < 6 {
            // Name and address only.
            let step = "monmap: addresses";
            map.decode_mons(d, |d, mon| addrvec::for_each(d, step, |a| mon.add(a)))?;
        }
        d.skip(2 * Timespec::LEN, "monmap: times")?;
        if v >= 4 {
            // Each feature set is a section.
            d.skip_section("monmap: persistent features")?;
            d.skip_section("monmap: optional features")?;
        }
        if v >= 5 {
            map.decode_mons(d, decode_info)?;
        }
        if v >= 6 {
            map.order(d)?;
        } else {
            // Before there were ranks on the wire they followed from the addresses.
            sort_by_key(&mut map.mons, |m| m.v1.sock);
        }
        if v >= 7 {
            map.min_mon_release = d.u8("monmap: min_mon_release")?;
        }
        Ok(map)
    }

    /// Reads a map from name to what `rest` reads. May sleep.
    fn decode_mons(
        &mut self,
        d: &mut Decoder<'_>,
        rest: impl Fn(&mut Decoder<'_>, &mut MonInfo) -> ProtoResult,
    ) -> ProtoResult {
        let count = d.count(MAX_MONS, INFO_MIN_LEN, "monmap: monitors")?;
        self.mons = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            let mut mon = MonInfo::new(d.blob(MAX_NAME_LEN, "monmap: name")?)?;
            rest(d, &mut mon)?;
            self.mons.push(mon, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Reads the names in order of rank and sorts the monitors, which come in order of name, by it.
    fn order(&mut self, d: &mut Decoder<'_>) -> ProtoResult {
        let mut place = 0usize;
        for _ in 0..d.count(MAX_MONS, 4, "monmap: ranks")? {
            let name = d.blob(MAX_NAME_LEN, "monmap: rank")?;
            let rest = self.mons.get_mut(place..).unwrap_or(&mut []);
            if let Some(found) = rest.iter().position(|m| &*m.name == name) {
                rest.swap(0, found);
                place += 1;
            }
        }
        Ok(())
    }

    /// Copies the map. May sleep.
    pub fn try_clone(&self) -> ProtoResult<Self> {
        let mut mons = KVec::with_capacity(self.mons.len(), GFP_KERNEL)?;
        for mon in &self.mons {
            let mut copy = MonInfo::new(&mon.name)?;
            (copy.v1, copy.v2) = (mon.v1, mon.v2);
            mons.push(copy, GFP_KERNEL)?;
        }
        Ok(Self { mons, ..*self })
    }

    /// The cluster; zero in an initial map.
    pub const fn fsid(&self) -> &Fsid {
        &self.fsid
    }

    /// The epoch; 0 in an initial map.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The oldest release that a monitor may run (17 is Quincy); 0 if the map does not say.
    pub const fn min_mon_release(&self) -> u8 {
        self.min_mon_release
    }

    /// The monitors, by rank.
    pub fn mons(&self) -> &[MonInfo] {
        &self.mons
    }
}

/// Reads a monitor's own entry (Ceph `mon_info_t`), which says its name again.
fn decode_info(d: &mut Decoder<'_>, mon: &mut MonInfo) -> ProtoResult {
    let (_, mut info) = d.section(INFO_SUPPORTED, "monmap: monitor")?;
    info.skip_blob("monmap: monitor name")?;
    // One address before version 3, a vector since. Priority, weight and location follow.
    addrvec::for_each(&mut info, "monmap: monitor address", |a| mon.add(a))
}
