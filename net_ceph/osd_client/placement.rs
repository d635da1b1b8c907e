// SPDX-License-Identifier: GPL-2.0-only

//! Where a request goes by a map, and whether another map sends it elsewhere (Ceph
//! `src/osdc/Objecter.cc`, `_calc_target`).

use super::params::Params;
use super::placed::PlacedMap;
use super::replica::{choose, Replica};
use crate::proto::error::ProtoError;
use crate::proto::osd_op::{flags, SpgId};
use crate::proto::osdmap::{map_flag, OsdMap, PgId, Pool, Primary, RawPg};
use kernel::prelude::*;

/// Where a request was sent, or would be.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The map's epoch.
    pub(super) epoch: u32,
    /// The object's group at full precision; its pool is a cache tier's if there is one.
    pub(super) raw: RawPg,
    /// The group.
    pub(super) pg: PgId,
    /// Groups of the pool.
    pub(super) pg_num: u32,
    /// The group's primary.
    pub(super) primary: Primary,
    /// Where it goes instead.
    pub(super) replica: Option<Replica>,
}

impl Target {
    /// The OSD that it goes to.
    pub(super) fn osd(&self) -> u32 {
        self.replica.map_or(self.primary.osd, |replica| replica.osd)
    }

    /// The group as messages name it.
    pub(super) fn spg(&self) -> SpgId {
        SpgId {
            pool: self.pg.pool,
            seed: self.pg.seed,
            shard: self.primary.shard,
        }
    }
}

/// Why a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No map has come yet.
    Map,
    /// The map has no such pool.
    Pool,
    /// The group has no primary.
    Osd,
    /// The primary has no address for the messenger protocol that we speak.
    Address,
    /// The cluster or the pool is full, or paused.
    Paused,
    /// There is no session with the OSD.
    Session,
    /// Memory ran out.
    Memory,
    /// It was sent to a session that is no longer the right one.
    Moved,
    /// It is so old that we may have been shut out meanwhile: the newest map must come first.
    Unconfirmed,
}

impl Why {
    /// In a word, for debugfs.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Map => "no-map",
            Self::Pool => "no-pool",
            Self::Osd => "no-osd",
            Self::Address => "no-address",
            Self::Paused => "paused",
            Self::Session => "no-session",
            Self::Memory => "no-memory",
            Self::Moved => "moved",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// Why a request cannot be sent by a map.
pub(super) enum Refusal {
    /// Not now.
    Wait(Why),
    /// Never.
    Fail(Error),
}

/// Says where `params` goes by `placed`. `request_flags`: all of them. `redirect`: the pool an OSD sent it to.
/// `before`: where it went before, if it is not to go elsewhere without need.
pub(super) fn place(
    placed: &PlacedMap,
    params: &Params,
    request_flags: u32,
    redirect: Option<u64>,
    abort_on_full: bool,
    before: Option<&Target>,
) -> Result<Target, Refusal> {
    let map = placed.map();
    let writes = request_flags & flags::WRITE != 0;
    let Some(pool) = pool_of(map, params.pool, redirect, request_flags) else {
        return Err(Refusal::Wait(Why::Pool));
    };
    if pool.is_eio() {
        return Err(Refusal::Fail(EIO));
    }
    let exempt = request_flags & (flags::FULL_TRY | flags::FULL_FORCE) != 0;
    if writes && !exempt && (map.has_flag(map_flag::FULL) || pool.is_full()) {
        return if abort_on_full {
            Err(Refusal::Fail(ENOSPC))
        } else {
            Err(Refusal::Wait(Why::Paused))
        };
    }
    // To OSDs a ping is no write.
    let pause = if writes && !params.is_ping() {
        map_flag::PAUSEWR
    } else {
        map_flag::PAUSERD
    };
    if map.has_flag(pause) {
        return Err(Refusal::Wait(Why::Paused));
    }
    let raw = pool.hash_name(params.namespace.get(), params.object.get());
    let pg = pool.raw_to_pg(raw);
    let failed = |e: ProtoError| Refusal::Fail(e.to_errno());
    let Some(primary) = placed.primary(pool, pg).map_err(failed)? else {
        return Err(Refusal::Wait(Why::Osd));
    };
    let kept = before.and_then(|before| before.replica);
    let replica = if before.is_some() && kept.is_none() {
        None
    } else {
        choose(map, (pool, pg, primary.osd), request_flags, kept).map_err(failed)?
    };
    Ok(Target {
        epoch: map.epoch(),
        raw,
        pg,
        pg_num: pool.pg_num,
        primary,
        replica,
    })
}

/// The pool to use: where the request was redirected, else its own or the cache tier before it.
pub(super) fn pool_of(
    map: &OsdMap,
    id: u64,
    redirect: Option<u64>,
    request_flags: u32,
) -> Option<&Pool> {
    if let Some(id) = redirect {
        return map.pool(id);
    }
    let pool = map.pool(id)?;
    if request_flags & flags::IGNORE_OVERLAY != 0 {
        return Some(pool);
    }
    let tier = if request_flags & flags::WRITE != 0 {
        pool.write_tier
    } else {
        pool.read_tier
    };
    match tier {
        Some(tier) => map.pool(tier),
        None => Some(pool),
    }
}

/// Whether a request sent to `old` must be sent again by `map`, given that it would go to `new`.
pub(super) fn must_resend(map: &OsdMap, old: &Target, new: &Target) -> bool {
    let forced = map
        .pool(new.pg.pool)
        .is_some_and(|pool| pool.last_force_op_resend > old.epoch);
    forced
        || old.primary != new.primary
        || old.replica != new.replica
        || old.raw != new.raw
        || old.pg != new.pg
        || old.pg.is_split(old.pg_num, new.pg_num)
        || old.pg.is_merged(old.pg_num, new.pg_num)
}
