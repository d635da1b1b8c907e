// SPDX-License-Identifier: GPL-2.0-only

//! Class calls in one transaction, watches, notifications, large outputs, and pieces.

use crate::cluster::{create, submit, unique, Cluster, Listener};
use kernel::{prelude::*, sync::Arc};
use net_ceph::{
    abstractions::{data::DataBuf, time::boot_ns},
    osd_client::{ClassCall, IoCtx},
    proto::{
        cls::lock::{self, AssertLocked, Lock, LockInfo, LockType, SetCookie},
        osd_op::Op,
        types::{EntityName, EntityType},
    },
};

const NAME: &[u8] = b"osdtest_lock";
const TAG: &[u8] = b"t";

pub(crate) fn test(cluster: &Arc<Cluster>) -> Result {
    let io = cluster.user()?;
    calls(cluster, &io)?;
    notifications(cluster, &io)?;
    outputs(&io)
}

fn take(cookie: &[u8]) -> Result<KVec<u8>> {
    let mut input = KVec::new();
    let op = Lock {
        name: NAME,
        kind: LockType::Exclusive,
        cookie,
        tag: TAG,
        description: b"",
        flags: 0,
    };
    op.encode(&mut input).map_err(|e| e.to_errno())?;
    Ok(input)
}

fn held(cookie: &[u8]) -> Result<KVec<u8>> {
    let mut input = KVec::new();
    let op = AssertLocked {
        name: NAME,
        kind: LockType::Exclusive,
        cookie,
        tag: TAG,
    };
    op.encode(&mut input).map_err(|e| e.to_errno())?;
    Ok(input)
}

fn call<'a>(method: &'static str, input: &'a [u8]) -> ClassCall<'a> {
    ClassCall {
        class: lock::CLASS,
        method,
        input,
    }
}

fn calls(cluster: &Cluster, io: &IoCtx) -> Result {
    let object = unique("calls")?;
    let (one, two) = (take(b"auto 1")?, take(b"auto 2")?);
    let one_held = held(b"auto 1")?;
    let lock = |input| call(lock::method::LOCK, input);
    io.call_write(&object, &[lock(&one)])?;
    // Either both or none: the second is refused, so the first has no effect.
    let mut rename = KVec::new();
    let op = SetCookie {
        name: NAME,
        kind: LockType::Exclusive,
        old_cookie: b"auto 1",
        tag: TAG,
        new_cookie: b"auto 3",
    };
    op.encode(&mut rename).map_err(|e| e.to_errno())?;
    let rename = call(lock::method::SET_COOKIE, &rename);
    check!(io.call_write(&object, &[rename, lock(&two)]) == Err(EBUSY));
    let mut input = KVec::new();
    lock::get_info_input(NAME, &mut input).map_err(|e| e.to_errno())?;
    let info = |io: &IoCtx| io.call(&object, lock::CLASS, lock::method::GET_INFO, &input, 4096);

    let asserted = call(lock::method::ASSERT_LOCKED, &one_held);
    io.call_write(&object, &[asserted, asserted, asserted, asserted])?;
    check!(io.call_write(&object, &[asserted; 5]) == Err(E2BIG));
    let output = info(io)?;
    let info = LockInfo::decode(&output).map_err(|e| e.to_errno())?;
    let mut lockers = info.lockers();
    let locker = lockers.next().ok_or(ENOENT)?;
    let me = EntityName::new(EntityType::CLIENT, cluster.global_id());
    check!(locker.name == me && locker.cookie == b"auto 1" && lockers.next().is_none());
    // An output that is longer than allowed is refused.
    let short = io.call(&object, lock::CLASS, lock::method::GET_INFO, &input, 10);
    check!(matches!(short, Err(EIO)));
    // A call between other operations, in order.
    let mut payload = KVVec::new();
    for part in [lock::CLASS, lock::method::ASSERT_LOCKED] {
        payload.extend_from_slice(part.as_bytes(), GFP_KERNEL)?;
    }
    payload.extend_from_slice(&one_held, GFP_KERNEL)?;
    payload.extend_from_slice(b"some data", GFP_KERNEL)?;
    let data = DataBuf::new(payload)?;
    submit(io, &object, |p| {
        p.push_op(Op::Create)?;
        p.push_call(
            lock::CLASS,
            lock::method::ASSERT_LOCKED,
            u32::try_from(one_held.len())?,
        )?;
        p.push_op(Op::Write {
            offset: 3,
            length: 9,
        })?;
        p.data = Some(data.cursor());
        Ok(())
    })?
    .wait()?;
    let read = io.read(&object, 0, 100)?;
    check!(read[..] == *b"\0\0\0some data");
    Ok(())
}

fn notifications(cluster: &Cluster, io: &IoCtx) -> Result {
    let object = unique("notify")?;
    check!(io.notify(&object, b"x", 1).err() == Some(ENOENT));
    create(io, &object)?;
    check!(io.list_watchers(&object)?.is_empty());
    let replies = io.notify(&object, b"nobody", 5)?;
    check!(replies.iter().count() == 0 && !replies.timed_out());

    let polite = Listener::watch(io, &object, Some(b"here"))?;
    let replies = io.notify(&object, b"hello", 60)?;
    let mut answers = replies.iter();
    let answer = answers.next().ok_or(ENOENT)?;
    check!(answer.gid == cluster.global_id() && answer.cookie == polite.cookie());
    check!(answer.answer == b"here" && answers.next().is_none() && !replies.timed_out());

    let rude = Listener::watch(io, &object, None)?;
    check!(rude.cookie() != polite.cookie());
    let watchers = io.list_watchers(&object)?;
    check!(watchers.len() == 2);
    let me = EntityName::new(EntityType::CLIENT, cluster.global_id());
    for watcher in &watchers {
        check!(watcher.name == me && !watcher.addr.is_blank());
        check!(watcher.cookie == polite.cookie() || watcher.cookie == rude.cookie());
    }
    let begin = boot_ns();
    // Time enough for the other one.
    let replies = io.notify(&object, b"hello", 8)?;
    check!(replies.timed_out() && replies.iter().count() == 1);
    check!(boot_ns() - begin > 1_000_000_000);
    rude.end();
    polite.end();
    check!(io.list_watchers(&object)?.is_empty());
    Ok(())
}

fn outputs(io: &IoCtx) -> Result {
    let object = unique("pieces")?;
    // Every second 4 KiB of a buffer, there and back.
    const UNIT: usize = 4096;
    let mut from = KVVec::new();
    for i in 0..16 * UNIT {
        from.push((i / 7 + i / UNIT) as u8, GFP_KERNEL)?;
    }
    let copy = {
        let mut copy = KVVec::with_capacity(from.len(), GFP_KERNEL)?;
        copy.extend_from_slice(&from, GFP_KERNEL)?;
        copy
    };
    let from = DataBuf::new(from)?;
    let pieces = |buf: &Arc<DataBuf>| buf.cursor().strided(UNIT, UNIT, UNIT, 8 * UNIT);
    submit(io, &object, |p| {
        p.push_op(Op::Write {
            offset: 0,
            length: 8 * UNIT as u64,
        })?;
        p.data = Some(pieces(&from));
        Ok(())
    })?
    .wait()?;
    let to = DataBuf::zeroed(16 * UNIT)?;
    let got = submit(io, &object, |p| {
        p.push_op(Op::Read {
            offset: 0,
            length: 8 * UNIT as u64,
        })?;
        p.data = Some(pieces(&to));
        Ok(())
    })?
    .wait()?;
    check!(got == 8 * UNIT);
    let to = DataBuf::into_vec(to).ok_or(EBUSY)?;
    let plain = io.read(&object, 0, 8 * UNIT)?;
    for unit in 0..16 {
        let range = unit * UNIT..(unit + 1) * UNIT;
        if unit % 2 == 0 {
            check!(to[range.clone()] == copy[range.clone()]);
            check!(plain[unit / 2 * UNIT..(unit / 2 + 1) * UNIT] == copy[range]);
        } else {
            check!(to[range].iter().all(|b| *b == 0));
        }
    }
    check!(io.stat(&object)? == 8 * UNIT as u64);
    Ok(())
}
