// SPDX-License-Identifier: GPL-2.0-only

//! `entity_name_t`: the kind of a process and its number, e.g. `osd3`.

use super::super::error::ProtoResult;
use super::super::wire::{Decoder, Encoder, Sink};
use kernel::fmt;

/// What a process is (Ceph `CEPH_ENTITY_TYPE_*`, `src/include/msgr.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntityType(pub u8);

impl EntityType {
    /// Monitor.
    pub const MON: Self = Self(0x01);
    /// Metadata server.
    pub const MDS: Self = Self(0x02);
    /// Object storage daemon.
    pub const OSD: Self = Self(0x04);
    /// Client; we are one.
    pub const CLIENT: Self = Self(0x08);
    /// Manager.
    pub const MGR: Self = Self(0x10);
    /// The authentication service (of the monitors), as cephx names it.
    pub const AUTH: Self = Self(0x20);

    /// Ceph's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MON => "mon",
            Self::MDS => "mds",
            Self::OSD => "osd",
            Self::CLIENT => "client",
            Self::MGR => "mgr",
            Self::AUTH => "auth",
            _ => "unknown",
        }
    }
}

/// A process by name. On the wire `u8 type, u64 num`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntityName {
    /// What it is.
    pub kind: EntityType,
    /// Which one: the id of an OSD, the rank of a monitor, the global id of a client.
    pub num: u64,
}

impl EntityName {
    /// The process `num` of `kind`.
    pub const fn new(kind: EntityType, num: u64) -> Self {
        Self { kind, num }
    }

    /// Appends the name.
    pub fn encode<S: Sink>(&self, e: &mut Encoder<'_, S>) -> ProtoResult {
        e.u8(self.kind.0)?;
        e.u64(self.num)
    }

    /// Reads a name.
    pub fn decode(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        Ok(Self {
            kind: EntityType(d.u8(step)?),
            num: d.u64(step)?,
        })
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.name(), self.num)
    }
}
