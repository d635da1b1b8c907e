// SPDX-License-Identifier: GPL-2.0-only

//! What a client asks an OSD map.

use ceph_proto_host::proto::error::ProtoResult;
use ceph_proto_host::proto::osdmap::{Interval, OsdMap, PgId, MAX_PG_SIZE};
use ceph_proto_host::proto::types::{AddrType, EntityAddr};

/// How many pools are looked at: a placement in a hostile map may cost a tenth of a second.
const POOLS: usize = 2;

/// The placement of an object in some of the pools, as `seed` chooses.
pub fn look_at(map: &OsdMap, seed: u32) -> Vec<(PgId, ProtoResult<Interval>)> {
    assert!(map.pools().is_sorted_by_key(|p| p.id));
    for (table, exact) in [
        (map.pg_temp().collect::<Vec<_>>(), None),
        (map.pg_upmap().collect(), None),
        (map.primary_temp().collect(), Some(1)),
        (map.pg_upmap_primaries().collect(), Some(1)),
    ] {
        assert!(table.is_sorted_by_key(|(pg, _)| *pg));
        for (_, osds) in table {
            assert!(exact.is_none_or(|n| osds.len() == n));
        }
    }
    for (_, pairs) in map.pg_upmap_items() {
        assert_eq!(pairs.len() % 2, 0);
    }
    let me = EntityAddr::new(AddrType::ANY, seed, ([10, 0, 0, seed as u8], 0).into());
    let _ = map.is_blocklisted(&me);
    for osd in [0, seed, map.max_osd()] {
        assert!(!map.osd_is_up(osd) || map.osd_exists(osd));
        assert!(osd < map.max_osd() || !map.osd_exists(osd));
        let _ = (map.osd_addr(osd, true), map.osd_addr(osd, false));
        let _ = (map.osd_is_in(osd), map.osd_affinity(osd));
    }
    let first = (seed >> 8) as usize % map.pools().len().max(1);
    let some = map.pools().iter().cycle().skip(first);
    some.take(POOLS.min(map.pools().len()))
        .map(|pool| {
            let name = seed.to_le_bytes();
            let raw = pool.hash_name(&name[..(seed & 3) as usize], &name);
            let pg = pool.raw_to_pg(raw);
            assert!(pg.seed < pool.pg_num.max(1), "{pg} of {}", pool.pg_num);
            let interval = map.interval(pg);
            if let Ok(i) = &interval {
                let p = &i.placement;
                assert!(p.up.len() <= MAX_PG_SIZE && p.acting.len() <= MAX_PG_SIZE);
                let primary = p.primary(pool);
                assert_eq!(primary, p.primary(pool));
                if let Some(osd) = p.up_primary {
                    assert!(map.osd_is_up(osd) && p.up.contains(&(osd as i32)));
                }
                assert!(!i.is_new(i, pg));
            }
            (pg, interval)
        })
        .collect()
}
