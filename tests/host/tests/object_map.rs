// SPDX-License-Identifier: GPL-2.0-only

//! Object maps: those of a real cluster, inputs that its OSDs took, the entries in memory, and turns at objects.

use ceph_proto_host::object_map_bits::Bits;
use ceph_proto_host::object_map_turns::{Claim, Room, Turns};
use ceph_proto_host::proto::cls::{
    lock,
    object_map::{
        bytes_for, object_name, set_flags_input, update_input, MapReply, ObjectState, MAX_OBJECTS,
        MAX_OUTPUT,
    },
    rbd,
};
use ceph_proto_host::proto::osd_op::NOSNAP;
use ceph_proto_host::proto::types::{EntityName, EntityType};
use kernel::prelude::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use ObjectState::{Exists, ExistsClean, Nonexistent, Pending};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../vectors/object_map/", $name)).as_slice()
    };
}

fn kvec(bytes: &[u8]) -> KVVec<u8> {
    let mut v = KVVec::new();
    v.extend_from_slice(bytes, GFP_KERNEL).unwrap();
    v
}

fn load(output: &[u8]) -> Bits {
    Bits::new(kvec(output)).unwrap()
}

/// The objects that are not absent.
fn present(bits: &Bits) -> Vec<(u64, ObjectState)> {
    (0..bits.objects())
        .map(|object| (object, bits.get(object).unwrap()))
        .filter(|&(_, state)| state != Nonexistent)
        .collect()
}

/// A map as an OSD would send it.
fn encode(states: &[u8]) -> Vec<u8> {
    let mut out = vec![14, 0, 0, 0, 1, 1, 8, 0, 0, 0];
    out.extend((states.len() as u64).to_le_bytes());
    for four in states.chunks(4) {
        let mut byte = 0;
        for (i, state) in four.iter().enumerate() {
            byte |= state << (6 - 2 * i);
        }
        out.push(byte);
    }
    out.extend([0; 4]);
    out
}

#[test]
fn maps_of_a_real_cluster() {
    let small = load(vector!("small"));
    assert_eq!(small.objects(), 21);
    assert_eq!(
        present(&small),
        [
            (1, ExistsClean),
            (2, Exists),
            (12, ExistsClean),
            (15, Exists),
            (20, ExistsClean)
        ]
    );
    assert_eq!(small.get(21), None);
    let snap = load(vector!("small.snap"));
    assert_eq!(
        present(&snap),
        [1, 2, 6, 12, 20].map(|object| (object, Exists))
    );
    let big = load(vector!("big"));
    assert_eq!(big.objects(), 20_001);
    assert_eq!(
        present(&big),
        [0, 16383, 16384, 20000].map(|object| (object, Exists))
    );
    // What is stored is the same, with checksums.
    assert_eq!(present(&load(vector!("small.stored"))), present(&small));
    assert_eq!(present(&load(vector!("big.stored"))), present(&big));
}

#[test]
fn updates_do_to_the_copy_what_they_did_at_the_osd() {
    let mut bits = load(vector!("small"));
    for (object, to, only, input) in [
        (0, Exists, None, vector!("update")),
        (12, Pending, Some(Exists), vector!("update_if")),
    ] {
        let mut out = KVec::new();
        update_input(object, to, only, &mut out).unwrap();
        assert_eq!(&out[..], input);
        assert!(bits.get(object).unwrap().passes(only));
        bits.set(object, to);
    }
    assert_eq!(present(&bits), present(&load(vector!("small.after"))));
}

#[test]
fn which_states_an_update_applies_to() {
    let all = [Nonexistent, Exists, Pending, ExistsClean];
    for state in all {
        assert!(state.passes(None));
        for only in all {
            let clean = state == ExistsClean && only == Exists;
            assert_eq!(state.passes(Some(only)), state == only || clean);
        }
        assert_eq!(ObjectState::from_bits(state as u8), Some(state));
    }
    assert_eq!(ObjectState::from_bits(4), None);
}

#[test]
fn other_inputs_that_osds_took() {
    assert_eq!(
        set_flags_input(
            rbd::FLAG_OBJECT_MAP_INVALID | rbd::FLAG_FAST_DIFF_INVALID,
            NOSNAP
        ),
        vector!("set_flags")
    );
    let (name, kind) = (lock::RBD_LOCK_NAME, lock::LockType::Exclusive);
    let (cookie, tag, description) = (&b""[..], &b""[..], &b""[..]);
    let mut out = KVec::new();
    lock::Lock {
        name,
        kind,
        cookie,
        tag,
        description,
        flags: 0,
    }
    .encode(&mut out)
    .unwrap();
    assert_eq!(&out[..], vector!("lock"));
    out.clear();
    lock::AssertLocked {
        name,
        kind,
        cookie,
        tag,
    }
    .encode(&mut out)
    .unwrap();
    assert_eq!(&out[..], vector!("assert_locked"));
    out.clear();
    lock::Unlock { name, cookie }.encode(&mut out).unwrap();
    assert_eq!(&out[..], vector!("unlock"));
    // Whom librbd's lock belongs to is whom the recorder broke its own of: they share a client.
    let info = lock::LockInfo::decode(vector!("lock_get_info")).unwrap();
    let locker = info.lockers().next().unwrap();
    assert_eq!((info.kind, info.tag, locker.cookie), (kind, tag, cookie));
    assert_eq!(locker.name.kind, EntityType::CLIENT);
    out.clear();
    lock::BreakLock {
        name,
        locker: EntityName::new(EntityType::CLIENT, locker.name.num),
        cookie,
    }
    .encode(&mut out)
    .unwrap();
    assert_eq!(&out[..], vector!("break_lock"));
}

#[test]
fn names() {
    let name = |id: &[u8], snapid| {
        let mut out = KVec::new();
        object_name(id, snapid, &mut out).map(|()| out.to_vec())
    };
    assert_eq!(
        name(b"1019e31be934", NOSNAP).unwrap(),
        b"rbd_object_map.1019e31be934"
    );
    assert_eq!(
        name(b"10", 0x4).unwrap(),
        b"rbd_object_map.10.0000000000000004"
    );
    assert_eq!(
        name(b"10", 0xfedc_ba98_7654_3210).unwrap(),
        b"rbd_object_map.10.fedcba9876543210"
    );
    assert!(name(&[b'a'; 256], NOSNAP).is_err());
}

#[test]
fn limits() {
    let head = |objects: u64| {
        let mut out = encode(&[]);
        out[10..18].copy_from_slice(&objects.to_le_bytes());
        out
    };
    assert!(MapReply::decode(&head(0)).is_ok());
    for objects in [1, MAX_OBJECTS, MAX_OBJECTS + 1, u64::MAX] {
        assert!(MapReply::decode(&head(objects)).is_err());
    }
    let mut whole = head(MAX_OBJECTS);
    whole.resize(MAX_OUTPUT, 0);
    assert_eq!(MapReply::decode(&whole).unwrap().start, 18);
    for output in [vector!("small"), vector!("small.stored")] {
        for n in 0..output.len() {
            assert!(MapReply::decode(&output[..n]).is_err());
        }
    }
    assert!(update_input(u64::MAX, Exists, None, &mut KVec::new()).is_err());
    // A header that later versions made longer.
    let mut longer = encode(&[1, 2, 3]);
    longer.splice(18..18, [9, 9]);
    (longer[0], longer[6]) = (16, 10);
    assert_eq!(
        present(&load(&longer)),
        [(0, Exists), (1, Pending), (2, ExistsClean)]
    );
}

proptest! {
    #[test]
    fn like_a_plain_vector(
        mut states in proptest::collection::vec(0u8..4, 0..200),
        changes in proptest::collection::vec((0u64..250, 0u8..4), 0..100),
    ) {
        let mut bits = load(&encode(&states));
        for (object, state) in changes {
            bits.set(object, ObjectState::from_bits(state).unwrap());
            if let Some(slot) = states.get_mut(object as usize) {
                *slot = state;
            }
        }
        prop_assert_eq!(bits.objects(), states.len() as u64);
        prop_assert_eq!(bytes_for(bits.objects()), states.len().div_ceil(4));
        let now: Vec<_> = (0..bits.objects()).map(|o| bits.get(o).unwrap() as u8).collect();
        prop_assert_eq!(&now, &states);
        for beyond in [bits.objects(), bits.objects() + 1, u64::MAX] {
            prop_assert_eq!(bits.get(beyond), None);
        }
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>, object: u64) {
        // As they are, and behind the lengths that a map of a size has.
        let mut states = encode(&vec![0; bytes.len()]);
        for (to, from) in states.iter_mut().skip(18).zip(&bytes) {
            *to = *from;
        }
        for bytes in [&bytes, &states] {
            if let Ok(mut bits) = Bits::new(kvec(bytes)) {
                bits.set(object, Exists);
                prop_assert!(bits.get(object).is_none_or(|state| state == Exists));
            }
        }
    }

    #[test]
    fn real_maps_changed(at in 0usize..40, to: u8) {
        for output in [vector!("small"), vector!("small.stored"), vector!("big")] {
            let mut output = kvec(output);
            if let Some(byte) = output.get_mut(at) {
                *byte = to;
            }
            if let Ok(bits) = Bits::new(output) {
                prop_assert!(bits.get(bits.objects().saturating_sub(1)).is_some() || bits.objects() == 0);
            }
        }
    }
}

/// Takes a turn, or waits for one with whatever room it takes.
fn enter<T>(turns: &mut Turns<T>, claim: Claim, item: T) -> bool {
    if turns.take(claim) {
        return true;
    }
    let mut spare = Room::none();
    let mut item = item;
    loop {
        match turns.wait(claim, item, &mut spare) {
            Ok(()) => return false,
            Err((again, count)) => {
                item = again;
                spare = Room::new(count).unwrap();
            }
        }
    }
}

#[test]
fn deletions_exclude_others() {
    let mut turns = Turns::default();
    let (write, delete) = (Claim::new(7, false), Claim::new(7, true));
    assert!(turns.take(write) && turns.take(write));
    assert!(!enter(&mut turns, delete, "delete"));
    // Behind the deletion, though it could go on as far as the writes are concerned.
    assert!(!enter(&mut turns, write, "write"));
    assert!(!enter(&mut turns, write, "another"));
    // Another object.
    assert!(turns.take(Claim::new(8, true)));
    turns.give_back(write);
    assert!(turns.next(write).is_none());
    turns.give_back(write);
    assert_eq!(turns.next(write), Some((delete, "delete")));
    assert_eq!(turns.next(write), None);
    assert!(!turns.take(write) && !turns.take(delete));
    turns.give_back(delete);
    assert_eq!(turns.next(delete), Some((write, "write")));
    assert_eq!(turns.next(delete), Some((write, "another")));
    assert_eq!(turns.next(delete), None);
    assert!(turns.take(write));
}

#[test]
fn nothing_is_allocated_under_the_lock() {
    let mut turns = Turns::default();
    let mut room = Room::new(16).unwrap();
    kernel::alloc::fail_after(Some(0));
    let (write, delete) = (Claim::new(3, false), Claim::new(3, true));
    assert!(turns.take(delete));
    for i in 0..16 {
        assert!(turns.wait(write, i, &mut room).is_ok());
    }
    assert_eq!(turns.wait(write, 16, &mut room), Err((16, 32)));
    turns.give_back(delete);
    let mut served = 0;
    while let Some((_, item)) = turns.next(delete) {
        assert_eq!(item, served);
        served += 1;
    }
    kernel::alloc::fail_after(None);
    assert_eq!(served, 16);
}

/// One who changes an object by the rules, a step at a time.
struct Actor {
    claim: Claim,
    deletes: bool,
    step: u32,
}

/// An object and its entry at the OSDs.
#[derive(Default)]
struct World {
    entry: u8,
    exists: bool,
    /// Our copy of the entry.
    copy: u8,
}

impl World {
    fn update(&mut self, to: ObjectState, only: Option<ObjectState>) {
        for entry in [&mut self.entry, &mut self.copy] {
            if ObjectState::from_bits(*entry).unwrap().passes(only) {
                *entry = to as u8;
            }
        }
    }
}

impl Actor {
    /// Does the next step; `true`: it was the last.
    fn advance(&mut self, world: &mut World, saw: &mut u8) -> bool {
        self.step += 1;
        match (self.step, self.deletes) {
            (1, _) => *saw = world.copy,
            (2, true) if *saw != Nonexistent as u8 => world.update(Pending, None),
            (2, false) if *saw != Exists as u8 => world.update(Exists, None),
            (3, deletes) => world.exists = !deletes,
            (4, true) => world.update(Nonexistent, Some(Pending)),
            _ => {}
        }
        self.step >= 4
    }
}

#[test]
fn without_turns_an_object_gets_hidden() {
    let actor = |deletes| Actor {
        claim: Claim::new(0, deletes),
        deletes,
        step: 0,
    };
    let mut world = World {
        entry: Exists as u8,
        copy: Exists as u8,
        exists: true,
    };
    let (mut write, mut delete) = ((actor(false), 0), (actor(true), 0));
    for writes in [true, true, false, false, false, true, false] {
        let (actor, saw) = if writes { &mut write } else { &mut delete };
        actor.advance(&mut world, saw);
    }
    assert!(world.exists && world.entry == Nonexistent as u8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever comes between the steps of those who change one object, the map never says that it is absent
    /// while it is there, and is exact in the end.
    #[test]
    fn the_map_never_hides_an_object(
        actors in proptest::collection::vec(any::<bool>(), 1..8),
        choices in proptest::collection::vec(any::<u8>(), 200),
    ) {
        let mut world = World::default();
        let mut turns = Turns::default();
        let mut to_come: VecDeque<_> = actors
            .iter()
            .map(|&deletes| Actor { claim: Claim::new(0, deletes), deletes, step: 0 })
            .collect();
        let mut running: Vec<(Actor, u8)> = Vec::new();
        for choice in choices {
            if choice % 3 == 0 || running.is_empty() {
                if let Some(actor) = to_come.pop_front() {
                    let claim = actor.claim;
                    if turns.take(claim) {
                        running.push((actor, 0));
                    } else {
                        prop_assert!(turns.wait(claim, actor, &mut Room::new(16).unwrap()).is_ok());
                    }
                    continue;
                }
            }
            if running.is_empty() {
                continue;
            }
            let i = usize::from(choice) % running.len();
            let (actor, saw) = &mut running[i];
            if actor.advance(&mut world, saw) {
                let claim = running.remove(i).0.claim;
                turns.give_back(claim);
                while let Some((_, actor)) = turns.next(claim) {
                    running.push((actor, 0));
                }
            }
            prop_assert!(world.entry != Nonexistent as u8 || !world.exists);
        }
        prop_assert!(running.is_empty() && to_come.is_empty());
        let exact = if world.exists { Exists } else { Nonexistent };
        prop_assert_eq!((world.entry, world.copy), (exact as u8, exact as u8));
    }

    /// Nobody is forgotten, nobody is served twice, and turns exclude each other as they should.
    #[test]
    fn all_are_served(
        claims in proptest::collection::vec((0u64..6, any::<bool>()), 0..60),
        ends in proptest::collection::vec(any::<u8>(), 60),
    ) {
        let mut turns = Turns::default();
        let mut having: Vec<(u64, bool)> = Vec::new();
        let mut served = 0;
        // Two objects share a place.
        let claim = |(object, deletes)| Claim::new(object % 5 + object / 5 * 256, deletes);
        let mut all = claims.iter();
        let mut ends = ends.iter().cycle();
        loop {
            let one = all.next();
            if let Some(&one) = one {
                if enter(&mut turns, claim(one), one) {
                    having.push(one);
                    served += 1;
                }
            }
            let end = *ends.next().unwrap();
            if end % 2 == 0 || one.is_none() {
                if having.is_empty() {
                    break;
                }
                let ended = claim(having.swap_remove(usize::from(end) % having.len()));
                turns.give_back(ended);
                while let Some((_, next)) = turns.next(ended) {
                    having.push(next);
                    served += 1;
                }
            }
            for (i, a) in having.iter().enumerate() {
                for b in &having[..i] {
                    prop_assert!(a.0 != b.0 || !(a.1 || b.1));
                }
            }
            if having.is_empty() && one.is_none() {
                break;
            }
        }
        prop_assert_eq!(served, claims.len());
    }
}
