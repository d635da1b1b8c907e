// SPDX-License-Identifier: GPL-2.0-only

//! `/sys/kernel/debug/ceph/<fsid>.client<id>/`: the files that the C client has there, in its format
//! (Linux `net/ceph/debugfs.c`).

use crate::abstractions::debugfs::{Dir, File, OwnText};
use crate::client::Client;
use crate::options::ClientOptions;
use crate::proto::osdmap::{pg_mask, OsdMap, PgId};
use crate::proto::types::{AddrType, EntityAddr};
use kernel::{fmt, prelude::*, str::CString, sync::Arc};

/// The directory `ceph`.
pub struct DebugDir(Dir);

impl DebugDir {
    /// Makes it, if debugfs is there. Sleeps.
    pub fn new() -> Result<Self> {
        Ok(Self(Dir::new(c"ceph")?))
    }
}

type DebugFile = File<OwnText<Arc<Client>>>;

/// The files of one instance; they go with it.
pub struct DebugFiles {
    _files: [DebugFile; 6],
    _dir: Dir,
}

impl DebugFiles {
    /// Makes them for an instance that has a cluster. Sleeps.
    pub fn new(root: &DebugDir, client: &Arc<Client>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}.client{}", client.fsid(), client.global_id()))?;
        let dir = root.0.subdir(&name)?;
        let file = |name: &CStr, show| {
            let value = client.clone();
            dir.file(name, OwnText { value, show })
        };
        let files = [
            file(c"monmap", |c, f| monmap(c, f))?,
            file(c"osdmap", |c, f| osdmap(c, f))?,
            file(c"monc", |c, f| c.mon().show(f))?,
            file(c"osdc", |c, f| c.osd().show(f))?,
            file(c"client_options", |c, f| client_options(c, f))?,
            file(c"status", |c, f| status(c, f))?,
        ];
        Ok(Self {
            _files: files,
            _dir: dir,
        })
    }
}

fn monmap(client: &Client, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let monmap = client.mon().monmap();
    writeln!(f, "epoch {}", monmap.epoch())?;
    for (rank, mon) in monmap.mons().iter().enumerate() {
        write!(f, "\tmon{rank}\t")?;
        show_addr(mon.addr(client.options().speaks_msgr2()), f)?;
        writeln!(f)?;
    }
    Ok(())
}

fn osdmap(client: &Client, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(map) = client.osdmap() else {
        return Ok(());
    };
    writeln!(
        f,
        "epoch {} barrier 0 flags 0x{:x}",
        map.epoch(),
        map.flags()
    )?;
    for pool in map.pools() {
        writeln!(
            f,
            "pool {} '{}' type {} size {} min_size {} pg_num {} pg_num_mask {} flags 0x{:x} lfor {} \
             read_tier {} write_tier {}",
            pool.id,
            pool.name(),
            pool.kind as u8,
            pool.size,
            pool.min_size,
            pool.pg_num,
            pg_mask(pool.pg_num),
            pool.flags,
            pool.last_force_op_resend,
            Tier(pool.read_tier).id(),
            Tier(pool.write_tier).id()
        )?;
    }
    for osd in 0..map.max_osd() {
        show_osd(client, &map, osd, f)?;
    }
    for (pg, osds) in map.pg_temp() {
        show_pg("pg_temp", pg, osds, f)?;
    }
    for (pg, osds) in map.primary_temp() {
        for osd in osds {
            writeln!(f, "primary_temp {}.{:x} {osd}", pg.pool, pg.seed)?;
        }
    }
    for (pg, osds) in map.pg_upmap() {
        show_pg("pg_upmap", pg, osds, f)?;
    }
    for (pg, pairs) in map.pg_upmap_items() {
        write!(f, "pg_upmap_items {}.{:x} [", pg.pool, pg.seed)?;
        let mut comma = "";
        for pair in pairs.chunks_exact(2) {
            if let [from, to] = pair {
                write!(f, "{comma}{from}->{to}")?;
                comma = ",";
            }
        }
        writeln!(f, "]")?;
    }
    Ok(())
}

fn show_pg(what: &str, pg: PgId, osds: &[i32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{what} {}.{:x} [", pg.pool, pg.seed)?;
    let mut comma = "";
    for osd in osds {
        write!(f, "{comma}{osd}")?;
        comma = ",";
    }
    writeln!(f, "]")
}

/// An address as the C client prints it: `(type)ip:port`.
fn show_addr(addr: Option<EntityAddr>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match addr.and_then(|a| a.sock.map(|sock| (a.kind, sock))) {
        Some((kind, sock)) => write!(f, "({}){}", kind.0, sock),
        None => write!(f, "(0)(unrecognized address family 0)"),
    }
}

/// A pool's cache tier; the C client shows -1 for none.
struct Tier(Option<u64>);

impl Tier {
    fn id(&self) -> i64 {
        self.0.and_then(|id| i64::try_from(id).ok()).unwrap_or(-1)
    }
}

fn show_osd(client: &Client, map: &OsdMap, osd: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "osd{osd}\t")?;
    show_addr(map.osd_addr(osd, client.options().speaks_msgr2()), f)?;
    // 16.16 fixed point, as a percentage.
    let percent = |v: u32| (u64::from(v).saturating_mul(100) >> 16) as u32;
    let state = match (map.osd_exists(osd), map.osd_is_up(osd)) {
        (true, true) => "(exists, up)",
        (true, false) => "(exists)",
        (false, _) => "(doesn't exist)",
    };
    writeln!(
        f,
        "\t{:3}%\t{}\t{:3}%\t{:2}",
        percent(map.osd_weight(osd)),
        state,
        percent(map.osd_affinity(osd)),
        map.locality(osd).map_or(-1, i64::from)
    )
}

fn client_options(client: &Client, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    fmt::Display::fmt(&ClientOptions(client.options()), f)?;
    writeln!(f)
}

fn status(client: &Client, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let addr = client.my_addr();
    write!(f, "instance: client{} ", client.global_id())?;
    if let Some(sock) = addr.sock {
        write!(f, "({}){}", AddrType::LEGACY.0, sock)?;
    }
    writeln!(f, "/{}", addr.nonce)?;
    let blocklisted = client.osdmap().is_some_and(|map| map.is_blocklisted(&addr));
    writeln!(f, "blocklisted: {blocklisted}")
}
