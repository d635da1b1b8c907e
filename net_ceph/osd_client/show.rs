// SPDX-License-Identifier: GPL-2.0-only

//! The client's state as text, laid out as in the C client's debugfs file `osdc` (Linux
//! `net/ceph/debugfs.c`).

use super::backoff::show_bytes;
use super::linger::Linger;
use super::request::OsdRequest;
use super::OsdClient;
use crate::proto::osd_op::{op::WatchOp, Op};
use crate::proto::osdmap::{OsdMap, Placement};
use kernel::fmt;

impl OsdClient {
    /// Writes requests, watches and back-offs. Sleeps on locks.
    pub fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.session_slots();
        let mut count = self.waiting.len();
        for osd in 0..slots {
            count += self.session(osd).map_or(0, |s| s.lock().inflight.len());
        }
        writeln!(f, "REQUESTS {count} homeless {}", self.waiting.len())?;
        let map = self.osdmap();
        let mut result = Ok(());
        for osd in 0..slots {
            if let Some(session) = self.session(osd) {
                for (_, req) in session.lock().inflight.iter() {
                    result = result.and_then(|()| show_request(req, Some(osd), map.as_deref(), f));
                }
            }
        }
        self.waiting.for_each(|req| {
            result = result.and_then(|()| show_request(req, None, map.as_deref(), f))
        });
        result?;

        writeln!(f, "LINGER REQUESTS")?;
        for linger in self.each_linger() {
            show_linger(&linger, map.as_deref(), f)?;
        }

        writeln!(f, "BACKOFFS")?;
        for osd in 0..slots {
            if let Some(session) = self.session(osd) {
                session.lock().backoffs.show(osd, f)?;
            }
        }
        Ok(())
    }
}

fn show_request(
    req: &OsdRequest,
    osd: Option<u32>,
    map: Option<&OsdMap>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let inner = req.lock();
    write!(f, "{}\t", inner.tid)?;
    match osd {
        Some(osd) => write!(f, "osd{osd}\t")?,
        None => write!(f, "osd-1\t")?,
    }
    let target = inner.target.as_ref();
    let placement = target.and_then(|t| map?.pg_to_up_acting(t.pg).ok());
    if let (Some(target), Some(placement)) = (target, placement) {
        write!(f, "{}.{:x}\t", target.pg.pool, target.pg.seed)?;
        show_placement(&placement, f)?;
        write!(f, "e{}\t", target.epoch)?;
    } else {
        write!(f, "{}.-\t[]/-1\t[]/-1\te0\t", inner.params.pool)?;
    }
    show_name(inner.params.namespace.get(), inner.params.object.get(), f)?;
    let flags = inner.flags;
    write!(f, "\t{flags:#x}\t{}\t", inner.attempts)?;
    if osd.is_none() {
        write!(f, "{}\t", inner.why.text())?;
    }
    for (i, op) in inner.params.ops().iter().enumerate() {
        write!(f, "{}", if i > 0 { "," } else { "" })?;
        show_op(&op.op, f)?;
    }
    writeln!(f)
}

/// Writes an operation by Ceph's name (Linux `net/ceph/ceph_strings.c`).
fn show_op(op: &Op<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = match op {
        Op::Stat => "stat",
        Op::Read { .. } => "read",
        Op::SparseRead { .. } => "sparse-read",
        Op::Write { .. } => "write",
        Op::WriteFull { .. } => "writefull",
        Op::Zero { .. } => "zero",
        Op::Truncate { .. } => "truncate",
        Op::Create => "create",
        Op::Delete => "delete",
        Op::CmpExt { .. } => "cmpext",
        Op::Call { class, method, .. } => return write!(f, "call-{class}/{method}"),
        Op::Watch { op, .. } => match op {
            WatchOp::Unwatch => "watch-unwatch",
            WatchOp::Watch => "watch-watch",
            WatchOp::Reconnect => "watch-reconnect",
            WatchOp::Ping => "watch-ping",
        },
        Op::Notify { .. } => "notify",
        Op::NotifyAck { .. } => "notify-ack",
        Op::ListWatchers => "list-watchers",
        Op::AssertVer { .. } => "assert-version",
        Op::SetAllocHint { .. } => "set-alloc-hint",
    };
    write!(f, "{name}")
}

fn show_linger(linger: &Linger, map: Option<&OsdMap>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}\t", linger.cookie)?;
    match map.and_then(|map| linger.interval(map)) {
        Some((pg, interval)) => {
            match interval.placement.acting_primary {
                Some(osd) => write!(f, "osd{osd}\t")?,
                None => write!(f, "osd-1\t")?,
            }
            write!(f, "{}.{:x}\t", pg.pool, pg.seed)?;
            show_placement(&interval.placement, f)?;
            write!(f, "e{}\t", map.map_or(0, OsdMap::epoch))?;
        }
        None => write!(f, "osd-1\t{}.-\t[]/-1\t[]/-1\te0\t", linger.io.pool())?,
    }
    show_name(linger.io.namespace(), linger.object.get(), f)?;
    let (registered, generation) = linger.status();
    let mark = if registered { "WC/0" } else { "W/0" };
    writeln!(f, "\t{generation}\t{mark}")
}

fn show_placement(placement: &Placement, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sets = [
        (&placement.up, placement.up_primary),
        (&placement.acting, placement.acting_primary),
    ];
    for (set, primary) in sets {
        write!(f, "[")?;
        for (i, osd) in set.iter().enumerate() {
            write!(f, "{}{osd}", if i > 0 { "," } else { "" })?;
        }
        match primary {
            Some(osd) => write!(f, "]/{osd}\t")?,
            None => write!(f, "]/-1\t")?,
        }
    }
    Ok(())
}

fn show_name(namespace: &[u8], object: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !namespace.is_empty() {
        show_bytes(namespace, f)?;
        write!(f, "/")?;
    }
    show_bytes(object, f)
}
