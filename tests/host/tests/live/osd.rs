// SPDX-License-Identifier: GPL-2.0-only

//! Requests to OSDs: data, class methods, locks, watch and notify.
//!
//! The cluster needs the pool `rbd` with an image made by
//! `rbd create rbd/host-live --size 64M --image-feature layering`, `rbd snap create rbd/host-live@one` and
//! `rbd resize rbd/host-live --size 128M`.

use super::connection::{record, Conf};
use super::on_both;
use super::shared::{OsdConnection, Shared};
use ceph_proto_host::proto::cephx::SERVICE_OSD;
use ceph_proto_host::proto::cls::{lock, rbd};
use ceph_proto_host::proto::message::Reply;
use ceph_proto_host::proto::mon_msg::{OsdMaps, Subscribe, Subscription};
use ceph_proto_host::proto::osd_op::{
    encode_call_input, flags, Locator, Op, OsdOp, OsdOpReply, OsdOpRequest, SnapContext, SpgId,
    NOSNAP,
};
use ceph_proto_host::proto::osdmap::OsdMap;
use ceph_proto_host::proto::session::Protocol;
use ceph_proto_host::proto::striper::ObjectName;
use ceph_proto_host::proto::types::{EntityName, EntityType, Timespec};
use ceph_proto_host::rust_crypto::crc32c;
use kernel::prelude::*;
use std::collections::BTreeMap;

const ENOENT: i32 = -2;
const EBUSY: i32 = -16;
const EEXIST: i32 = -17;

/// A client with the map and its connections to OSDs.
pub(super) struct Client {
    pub(super) shared: Shared,
    pub(super) protocol: Protocol,
    pub(super) map: OsdMap,
    pub(super) pool: u64,
    pub(super) osds: BTreeMap<u32, OsdConnection>,
    pub(super) tid: u64,
}

/// What came of a request: its result, and each operation's result and output.
pub(super) struct Outcome {
    pub(super) result: i32,
    pub(super) ops: Vec<(i32, Vec<u8>)>,
}

impl Outcome {
    /// The output of the only operation of a request that went well.
    pub(super) fn output(mut self) -> Vec<u8> {
        assert!(self.result >= 0, "failed with {}", self.result);
        self.ops.pop().unwrap().1
    }
}

impl Client {
    pub(super) fn open(protocol: Protocol) -> Self {
        let conf = Conf::load();
        let shared = Shared::admin(&conf);
        let mut mon = shared.open_mon(&conf, protocol).unwrap();
        let items = &[Subscription {
            what: "osdmap",
            start: 0,
            onetime: true,
        }];
        mon.send(&Subscribe { items }, 0);
        let m = mon.receive_type(OsdMaps::TYPE);
        let maps = OsdMaps::decode(m.header.version, &m.front).unwrap();
        let (_, map) = maps.full.last().expect("a whole map");
        let map = OsdMap::decode(map, crc32c).unwrap();
        let pool = map.pool_by_name("rbd").expect("a pool named rbd");
        Self {
            shared,
            protocol,
            map,
            pool,
            osds: BTreeMap::new(),
            tid: 0,
        }
    }

    /// Sends a request; returns which OSD has it.
    pub(super) fn send(&mut self, object: &[u8], mode: u32, ops: &[OsdOp<'_>], data: &[u8]) -> u32 {
        let pool = self.map.pool(self.pool).unwrap();
        let raw = pool.hash_name(b"", object);
        let pg = pool.raw_to_pg(raw);
        let placement = self.map.pg_to_up_acting(pg).unwrap();
        let osd = placement.acting_primary.expect("the group is active");
        self.tid += 1;
        let (shared, protocol, map) = (&self.shared, self.protocol, &self.map);
        let con = self.osds.entry(osd).or_insert_with(|| {
            let addr = map.osd_addr(osd, protocol == Protocol::Msgr2).unwrap();
            shared.open_osd(addr, protocol).unwrap()
        });
        let request = OsdOpRequest {
            spg: SpgId {
                pool: pg.pool,
                seed: pg.seed,
                shard: placement.primary(pool).unwrap().shard,
            },
            hash: raw.seed,
            epoch: map.epoch(),
            flags: mode | flags::ONDISK | flags::KNOWN_REDIR,
            mtime: Timespec {
                sec: if mode & flags::WRITE != 0 {
                    1_700_000_000
                } else {
                    0
                },
                nsec: 0,
            },
            locator: Locator {
                pool: pg.pool,
                namespace: b"",
            },
            object,
            ops,
            snapid: NOSNAP,
            snapc: SnapContext::default(),
            attempt: 0,
            features: con.session.peer_features(),
        };
        let mut front = KVec::with_capacity(request.front_len(), GFP_KERNEL).unwrap();
        let data_len = request.encode(&mut front).unwrap();
        assert_eq!(front.len(), request.front_len());
        assert_eq!(data_len as usize, data.len());
        con.send_raw(
            OsdOpRequest::TYPE,
            OsdOpRequest::VERSION,
            OsdOpRequest::COMPAT,
            self.tid,
            &front,
            data,
        );
        osd
    }

    /// Waits for the reply to the last request.
    pub(super) fn wait(&mut self, osd: u32, name: &str) -> Outcome {
        let con = self.osds.get_mut(&osd).unwrap();
        let m = con.receive_type(OsdOpReply::TYPE);
        assert_eq!(m.header.tid, self.tid);
        record(
            &format!("osd_op/reply_v{}_{name}", m.header.version),
            &m.front,
        );
        let reply = OsdOpReply::decode(m.header.version, &m.front).unwrap();
        assert!(reply.attempt <= 0 && reply.redirect.is_none());
        let mut data = &m.data[..];
        let ops = reply
            .results()
            .map(|r| {
                let (output, rest) = data.split_at(r.output_len as usize);
                data = rest;
                (r.rval, output.to_vec())
            })
            .collect();
        assert!(data.is_empty());
        Outcome {
            result: reply.result,
            ops,
        }
    }

    pub(super) fn run(
        &mut self,
        object: &[u8],
        mode: u32,
        ops: &[OsdOp<'_>],
        data: &[u8],
    ) -> Outcome {
        let osd = self.send(object, mode, ops, data);
        self.wait(osd, "data")
    }

    pub(super) fn call(
        &mut self,
        object: &[u8],
        mode: u32,
        class: &str,
        method: &str,
        input: &[u8],
    ) -> Outcome {
        let op = Op::Call {
            class,
            method,
            input_len: input.len() as u32,
        };
        let mut data = KVec::new();
        encode_call_input(class, method, input, &mut data).unwrap();
        let osd = self.send(object, mode, &[op.into()], &data);
        let outcome = self.wait(osd, &format!("{class}_{method}"));
        if let Some((0.., output)) = outcome.ops.first() {
            record(&format!("cls/{class}_{method}"), output);
        }
        outcome
    }
}

/// A name no other run uses.
pub(super) fn unique(what: &str, protocol: Protocol) -> Vec<u8> {
    format!("{what}.{}.{protocol:?}", std::process::id()).into_bytes()
}

/// Data operations: what was written is read, over whatever was there.
fn data(protocol: Protocol) {
    let mut c = Client::open(protocol);
    for i in 0..8u64 {
        let object = ObjectName::new(&unique("data", protocol), i).unwrap();
        let object = object.as_bytes();
        let text: Vec<u8> = (0..70_000u32).map(|n| (n * 7 + i as u32) as u8).collect();
        let write = |offset, length| OsdOp::from(Op::Write { offset, length });
        let read = |offset, length| [OsdOp::from(Op::Read { offset, length })];

        assert_eq!(c.run(object, flags::READ, &read(0, 10), &[]).result, ENOENT);
        let hint = OsdOp {
            op: Op::SetAllocHint {
                object_size: 1 << 22,
                write_size: 1 << 22,
                flags: 0,
            },
            flags: flags::OP_FAILOK,
        };
        let done = c.run(object, flags::WRITE, &[hint, write(0, 70_000)], &text);
        assert_eq!((done.result, done.ops.len()), (0, 2));
        assert_eq!(
            c.run(object, flags::READ, &read(0, 70_000), &[]).output(),
            text
        );
        assert_eq!(
            c.run(object, flags::READ, &read(69_990, 100), &[]).output(),
            text[69_990..]
        );

        let zero = Op::Zero {
            offset: 100,
            length: 50,
        };
        assert_eq!(c.run(object, flags::WRITE, &[zero.into()], &[]).result, 0);
        let mut expected = text.clone();
        expected[100..150].fill(0);
        assert_eq!(
            c.run(object, flags::READ, &read(0, 1000), &[]).output(),
            expected[..1000]
        );

        let sparse = Op::SparseRead {
            offset: 0,
            length: 1000,
        };
        let output = c.run(object, flags::READ, &[sparse.into()], &[]).output();
        assert!(output.ends_with(&expected[150..1000]));

        let compare = Op::CmpExt {
            offset: 0,
            length: 200,
        };
        let done = c.run(
            object,
            flags::READ | flags::WRITE,
            &[compare.into(), write(0, 3)],
            &[&text[..200], b"abc"].concat(),
        );
        assert_eq!(done.result, -(4095 + 100), "differs at 100");
        let done = c.run(
            object,
            flags::READ | flags::WRITE,
            &[compare.into(), write(0, 3)],
            &[&expected[..200], b"abc"].concat(),
        );
        assert_eq!(done.result, 0);
        expected[..3].copy_from_slice(b"abc");

        let cut = Op::Truncate { size: 120 };
        assert_eq!(c.run(object, flags::WRITE, &[cut.into()], &[]).result, 0);
        assert_eq!(
            c.run(object, flags::READ, &read(0, 1000), &[]).output(),
            expected[..120]
        );
        let stat = c.run(object, flags::READ, &[Op::Stat.into()], &[]).output();
        assert_eq!(
            stat[..12],
            [&120u64.to_le_bytes()[..], &1_700_000_000u32.to_le_bytes()].concat()
        );

        // Two outputs in one reply.
        let both = [
            Op::Stat.into(),
            Op::Read {
                offset: 0,
                length: 4,
            }
            .into(),
        ];
        let done = c.run(object, flags::READ, &both, &[]);
        assert_eq!(
            (&done.ops[0].1, &done.ops[1].1[..]),
            (&stat, &expected[..4])
        );

        let wrong = Op::AssertVer { version: u64::MAX };
        assert!(
            c.run(object, flags::READ, &[wrong.into(), Op::Stat.into()], &[])
                .result
                < 0
        );

        let create = OsdOp {
            op: Op::Create,
            flags: flags::OP_EXCL,
        };
        assert_eq!(c.run(object, flags::WRITE, &[create], &[]).result, -17);
        let all = Op::WriteFull { length: 5 };
        assert_eq!(
            c.run(object, flags::WRITE, &[all.into()], b"whole").result,
            0
        );
        assert_eq!(
            c.run(object, flags::READ, &read(0, 0), &[]).output(),
            b"whole"
        );
        assert_eq!(
            c.run(object, flags::WRITE, &[Op::Delete.into()], &[])
                .result,
            0
        );
        assert_eq!(
            c.run(object, flags::READ, &[Op::Stat.into()], &[]).result,
            ENOENT
        );
    }
    assert!(
        c.osds.len() > 1 || c.map.max_osd() < 2,
        "objects are spread"
    );
}

/// What the driver asks of an image when it maps it.
fn image(protocol: Protocol) {
    let mut c = Client::open(protocol);
    let id = c
        .call(
            b"rbd_id.host-live",
            flags::READ,
            rbd::CLASS,
            rbd::method::GET_ID,
            &[],
        )
        .output();
    let id = rbd::decode_string(&id, rbd::MAX_ID, "id").unwrap();
    let header = [rbd::HEADER_PREFIX.as_bytes(), id].concat();
    let mut get =
        |method: &str, input: &[u8]| c.call(&header, flags::READ, rbd::CLASS, method, input);
    let head = rbd::snap_input(NOSNAP);

    let size = rbd::ImageSize::decode(&get(rbd::method::GET_SIZE, &head).output()).unwrap();
    assert_eq!((size.order, size.size), (22, 128 << 20));
    let prefix = get(rbd::method::GET_OBJECT_PREFIX, &[]).output();
    let prefix = rbd::decode_string(&prefix, rbd::MAX_PREFIX, "prefix").unwrap();
    assert_eq!(prefix, [b"rbd_data.", id].concat());
    let f = get(rbd::method::GET_FEATURES, &rbd::features_input(false)).output();
    let f = rbd::Features::decode(&f).unwrap();
    assert_eq!(f.features, rbd::feature::LAYERING);
    assert_eq!(f.incompatible & !f.features, 0);
    let snaps = get(rbd::method::GET_SNAPCONTEXT, &[]).output();
    let snaps = rbd::SnapContextReply::decode(&snaps).unwrap();
    assert_eq!((snaps.snaps.len(), snaps.snaps[0]), (1, snaps.seq));
    let one = rbd::snap_input(snaps.seq);
    let name = get(rbd::method::GET_SNAPSHOT_NAME, &one).output();
    assert_eq!(
        rbd::decode_string(&name, rbd::MAX_NAME, "snap").unwrap(),
        b"one"
    );
    let size = rbd::ImageSize::decode(&get(rbd::method::GET_SIZE, &one).output()).unwrap();
    assert_eq!(size.size, 64 << 20);
    let image_flags = get(rbd::method::GET_FLAGS, &head).output();
    assert_eq!(rbd::decode_u64(&image_flags, "flags").unwrap(), 0);
    let born = get(rbd::method::GET_CREATE_TIMESTAMP, &[]).output();
    assert!(rbd::decode_timestamp(&born).unwrap().sec > 1_700_000_000);
    let parent = get(rbd::method::PARENT_GET, &head).output();
    assert_eq!(rbd::ParentSpec::decode(&parent).unwrap(), None);
    let overlap = get(rbd::method::PARENT_OVERLAP_GET, &head).output();
    assert_eq!(rbd::decode_parent_overlap(&overlap).unwrap(), None);
    let parent = get(rbd::method::GET_PARENT, &head).output();
    assert_eq!(rbd::decode_parent_legacy(&parent).unwrap(), None);
    // Without the feature there is nothing to tell.
    assert!(get(rbd::method::GET_STRIPE_UNIT_COUNT, &[]).result < 0);

    let mut input = KVec::new();
    rbd::string_input(b"host-live", &mut input).unwrap();
    let dir = rbd::DIRECTORY.as_bytes();
    let found = c
        .call(
            dir,
            flags::READ,
            rbd::CLASS,
            rbd::method::DIR_GET_ID,
            &input,
        )
        .output();
    assert_eq!(rbd::decode_string(&found, rbd::MAX_ID, "id").unwrap(), id);
    input.clear();
    rbd::string_input(id, &mut input).unwrap();
    let found = c
        .call(
            dir,
            flags::READ,
            rbd::CLASS,
            rbd::method::DIR_GET_NAME,
            &input,
        )
        .output();
    assert_eq!(
        rbd::decode_string(&found, rbd::MAX_NAME, "name").unwrap(),
        b"host-live"
    );
}

/// An advisory lock, from taking it to breaking it.
fn locking(protocol: Protocol) {
    let mut c = Client::open(protocol);
    let object = unique("lock", protocol);
    let (name, tag) = (lock::RBD_LOCK_NAME, lock::RBD_LOCK_TAG);
    let kind = lock::LockType::Exclusive;
    let take = |cookie: &'static [u8]| {
        let mut input = KVec::new();
        let op = lock::Lock {
            name,
            kind,
            cookie,
            tag,
            description: b"test",
            flags: 0,
        };
        op.encode(&mut input).unwrap();
        input
    };
    let mut rw = |method: &str, input: &[u8]| {
        c.call(
            &object,
            flags::READ | flags::WRITE,
            lock::CLASS,
            method,
            input,
        )
    };
    assert_eq!(rw(lock::method::LOCK, &take(b"auto 1")).result, 0);
    assert_eq!(rw(lock::method::LOCK, &take(b"auto 2")).result, EBUSY);
    // What tells a client that an earlier request of its was served.
    assert_eq!(rw(lock::method::LOCK, &take(b"auto 1")).result, EEXIST);

    let mut input = KVec::new();
    let op = lock::SetCookie {
        name,
        kind,
        old_cookie: b"auto 1",
        tag,
        new_cookie: b"auto 3",
    };
    op.encode(&mut input).unwrap();
    assert_eq!(rw(lock::method::SET_COOKIE, &input).result, 0);
    assert_eq!(rw(lock::method::SET_COOKIE, &input).result, EBUSY);

    for (cookie, result) in [(&b"auto 3"[..], 0), (b"auto 1", EBUSY)] {
        input.clear();
        let op = lock::AssertLocked {
            name,
            kind,
            cookie,
            tag,
        };
        op.encode(&mut input).unwrap();
        assert_eq!(rw(lock::method::ASSERT_LOCKED, &input).result, result);
    }

    input.clear();
    lock::get_info_input(name, &mut input).unwrap();
    let info = rw(lock::method::GET_INFO, &input).output();
    let info = lock::LockInfo::decode(&info).unwrap();
    assert_eq!((info.kind, info.tag), (kind, tag));
    let lockers: Vec<_> = info.lockers().collect();
    assert_eq!(lockers.len(), 1);
    let gid = c.shared.client().global_id();
    assert_eq!(lockers[0].name, EntityName::new(EntityType::CLIENT, gid));
    assert_eq!(
        (lockers[0].cookie, lockers[0].description),
        (&b"auto 3"[..], &b"test"[..])
    );
    assert!(!lockers[0].addr.is_blank());

    let mut rw = |method: &str, input: &[u8]| {
        c.call(
            &object,
            flags::READ | flags::WRITE,
            lock::CLASS,
            method,
            input,
        )
        .result
    };
    let mut unlock = KVec::new();
    let op = lock::Unlock {
        name,
        cookie: b"auto 3",
    };
    op.encode(&mut unlock).unwrap();
    assert_eq!(rw(lock::method::UNLOCK, &unlock), 0);
    assert_eq!(rw(lock::method::UNLOCK, &unlock), ENOENT);
    assert_eq!(rw(lock::method::LOCK, &take(b"auto 4")), 0);
    input.clear();
    let op = lock::BreakLock {
        name,
        locker: EntityName::new(EntityType::CLIENT, gid),
        cookie: b"auto 4",
    };
    op.encode(&mut input).unwrap();
    assert_eq!(rw(lock::method::BREAK_LOCK, &input), 0);
    assert_eq!(rw(lock::method::BREAK_LOCK, &input), ENOENT);
}

/// Several class calls and a write in one request: all have an effect, or none has.
fn transaction(protocol: Protocol) {
    let mut c = Client::open(protocol);
    let object = unique("transaction", protocol);
    let (name, tag) = (lock::RBD_LOCK_NAME, lock::RBD_LOCK_TAG);
    let kind = lock::LockType::Exclusive;
    let take = |cookie: &'static [u8]| {
        let mut input = KVec::new();
        let op = lock::Lock {
            name,
            kind,
            cookie,
            tag,
            description: b"",
            flags: 0,
        };
        op.encode(&mut input).unwrap();
        input
    };
    let call = |method: &'static str, input: &[u8], data: &mut KVec<u8>| {
        encode_call_input(lock::CLASS, method, input, data).unwrap();
        OsdOp::from(Op::Call {
            class: lock::CLASS,
            method,
            input_len: input.len() as u32,
        })
    };
    let write = OsdOp::from(Op::Write {
        offset: 2,
        length: 3,
    });
    let (one, two) = (take(b"auto 1"), take(b"auto 2"));
    let mut data = KVec::new();
    let ops = [call(lock::method::LOCK, &one, &mut data)];
    assert_eq!(c.run(&object, flags::WRITE, &ops, &data).result, 0);

    // Methods see the object as it was before the request: it is the lock above that is in the way.
    let mut rename = KVec::new();
    let op = lock::SetCookie {
        name,
        kind,
        old_cookie: b"auto 1",
        tag,
        new_cookie: b"auto 3",
    };
    op.encode(&mut rename).unwrap();
    let mut data = KVec::new();
    let first = call(lock::method::SET_COOKIE, &rename, &mut data);
    // The inputs lie in the order of the operations.
    data.extend_from_slice(b"abc", GFP_KERNEL).unwrap();
    let ops = [first, write, call(lock::method::LOCK, &two, &mut data)];
    assert_eq!(c.run(&object, flags::WRITE, &ops, &data).result, EBUSY);
    let stat = [OsdOp::from(Op::Stat)];
    let stat = c.run(&object, flags::READ, &stat, &[]).output();
    assert_eq!(stat[..8], [0; 8]);

    let mut input = KVec::new();
    let held = lock::AssertLocked {
        name,
        kind,
        cookie: b"auto 1",
        tag,
    };
    held.encode(&mut input).unwrap();
    let mut data = KVec::new();
    let ops = [
        call(lock::method::ASSERT_LOCKED, &input, &mut data),
        call(lock::method::SET_COOKIE, &rename, &mut data),
        write,
    ];
    data.extend_from_slice(b"abc", GFP_KERNEL).unwrap();
    assert_eq!(c.run(&object, flags::WRITE, &ops, &data).result, 0);
    let read = [OsdOp::from(Op::Read {
        offset: 0,
        length: 10,
    })];
    assert_eq!(c.run(&object, flags::READ, &read, &[]).output(), b"\0\0abc");

    // What a guard says comes back only if the write behind it changed nothing.
    let zero = |offset| [Op::Stat.into(), OsdOp::from(Op::Zero { offset, length: 2 })];
    let changed = c.run(&object, flags::WRITE, &zero(2), &[]);
    assert_eq!((changed.result, changed.ops[0].1.len()), (0, 0));
    let unchanged = c.run(&object, flags::WRITE, &zero(100), &[]);
    assert_eq!((unchanged.result, unchanged.ops[0].1.len()), (0, 16));
}

/// An OSD refuses an authorizer whose ticket is not the one it was made for.
fn stale_ticket(protocol: Protocol) {
    let mut c = Client::open(protocol);
    let object = unique("stale", protocol);
    assert_eq!(
        c.run(&object, flags::READ, &[Op::Stat.into()], &[]).result,
        ENOENT
    );
    c.shared.client().invalidate(SERVICE_OSD);
    let osd = *c.osds.keys().next().unwrap();
    let addr = c.map.osd_addr(osd, protocol == Protocol::Msgr2).unwrap();
    assert!(c.shared.open_osd(addr, protocol).is_err());
}

on_both! {
    data_operations: data,
    image_header: image,
    locks: locking,
    transactions: transaction,
    no_ticket_no_session: stale_ticket,
}
