// SPDX-License-Identifier: GPL-2.0-only

//! Names of bucket types and of buckets, and how near devices are to places so named (Linux
//! `net/ceph/osdmap.c`, "CRUSH locations").
//!
//! A place is a bucket, as `host:ceph1`. The locality of a device is the type of the nearest bucket above it
//! that is one of the places: types are numbered from the leaves on, so less is nearer.

use super::super::error::{ProtoError, ProtoResult};
use super::super::table::{copy_of, offset};
use super::super::wire::Decoder;
use super::CrushMap;
use kernel::prelude::*;

/// Levels above a device that are looked at: a broken map may be a circle.
const LEVELS_MAX: usize = 64;

/// The locality of a device that has none of the places above it.
const FAR: u32 = u32::MAX;

/// What has a name, and where that lies in the text.
#[derive(Clone, Copy)]
struct Name {
    id: i32,
    start: u32,
    end: u32,
}

/// Names by number, ascending.
#[derive(Default)]
pub(super) struct Names {
    entries: KVVec<Name>,
    text: KVVec<u8>,
}

impl Names {
    /// Reads a map from number to name, and takes those for which `keep` holds. May sleep.
    pub(super) fn decode(
        d: &mut Decoder<'_>,
        step: &'static str,
        keep: impl Fn(i32) -> bool,
    ) -> ProtoResult<Self> {
        let mut names = Self::default();
        for _ in 0..d.u32(step)? {
            let id = d.i32(step)?;
            let name = d.blob(usize::MAX, step)?;
            if !keep(id) {
                continue;
            }
            if names.entries.last().is_some_and(|last| last.id >= id) {
                return Err(ProtoError::value(step, id as u64));
            }
            let start = offset(names.text.len(), step)?;
            names.text.extend_from_slice(name, GFP_KERNEL)?;
            let end = offset(names.text.len(), step)?;
            names.entries.push(Name { id, start, end }, GFP_KERNEL)?;
        }
        Ok(names)
    }

    pub(super) fn try_clone(&self) -> ProtoResult<Self> {
        Ok(Self {
            entries: copy_of(&self.entries)?,
            text: copy_of(&self.text)?,
        })
    }

    fn get(&self, id: i32) -> Option<&[u8]> {
        let at = self
            .entries
            .binary_search_by_key(&id, |name| name.id)
            .ok()?;
        let name = self.entries.get(at)?;
        self.text.get(name.start as usize..name.end as usize)
    }
}

/// Whether a bucket is one that users made. The shadow trees of device classes have names with a `~` (Ceph
/// `src/crush/CrushWrapper.cc`, `is_valid_crush_name`).
fn is_valid(name: &[u8]) -> bool {
    let fits = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    !name.is_empty() && name.iter().all(fits)
}

/// How near each device is to some places.
#[derive(Default)]
pub struct Localities(KVVec<u32>);

impl Localities {
    /// The locality of a device; `None`: it is not near. Not near either is one that was not looked at.
    pub fn of(&self, device: u32) -> Option<u32> {
        let locality = self.0.get(device as usize).copied();
        locality.filter(|&locality| locality != FAR)
    }

    /// A copy. May sleep.
    pub fn try_clone(&self) -> ProtoResult<Self> {
        Ok(Self(copy_of(&self.0)?))
    }
}

impl CrushMap {
    /// How near the devices 0 to `devices` are to the places for which `is_place` holds, of the name of a
    /// bucket's type and its own. Goes through the map once, and up from each device. May sleep.
    pub fn localities(
        &self,
        devices: u32,
        is_place: impl Fn(&[u8], &[u8]) -> bool,
    ) -> ProtoResult<Localities> {
        let mut places = KVVec::from_elem(false, self.buckets.len(), GFP_KERNEL)?;
        // Places in the table of buckets, plus one; 0: nothing is above.
        let mut above_buckets = KVVec::from_elem(0u32, self.buckets.len(), GFP_KERNEL)?;
        let mut above_devices = KVVec::from_elem(0u32, devices as usize, GFP_KERNEL)?;
        for (i, bucket) in self.buckets.iter().enumerate() {
            let Some(bucket) = bucket else { continue };
            let (Some(kind), Some(name)) = (
                self.type_names.get(bucket.kind.into()),
                self.bucket_names.get(bucket.id).filter(|n| is_valid(n)),
            ) else {
                continue;
            };
            if let Some(place) = places.get_mut(i) {
                *place = is_place(kind, name);
            }
            let this = offset(i, "crush: buckets")?.saturating_add(1);
            for &item in super::run(&self.items, bucket.items, bucket.size) {
                let above = match usize::try_from(item) {
                    Ok(device) => above_devices.get_mut(device),
                    Err(_) => above_buckets.get_mut(table_place(item)),
                };
                if let Some(above) = above.filter(|above| **above == 0) {
                    *above = this;
                }
            }
        }
        for above in &mut above_devices {
            let mut at = *above;
            *above = FAR;
            for _ in 0..LEVELS_MAX {
                let Some(i) = at.checked_sub(1).map(|i| i as usize) else {
                    break;
                };
                if places.get(i) == Some(&true) {
                    let bucket = self.buckets.get(i).and_then(Option::as_ref);
                    *above = bucket.map_or(FAR, |b| b.kind.into());
                    break;
                }
                at = above_buckets.get(i).copied().unwrap_or(0);
            }
        }
        Ok(Localities(above_devices))
    }
}

/// Where the bucket with a negative id is in the table.
fn table_place(id: i32) -> usize {
    usize::try_from(-1i64 - i64::from(id)).unwrap_or(usize::MAX)
}
