// SPDX-License-Identifier: GPL-2.0-only

//! Who waits for a turn at an object, and what waits for the lock: in order, nobody twice, nobody for ever.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::lock::waiting::Waiting;
use ceph_proto_host::object_map_turns::{Claim, Room, Turns};
use std::collections::{BTreeMap, VecDeque};

/// Turns that somebody has: how many write at a place, or that one deletes.
#[derive(Default)]
struct Held(BTreeMap<u64, (u32, bool)>);

impl Held {
    fn take(&mut self, object: u64, deletes: bool) {
        let held = self.0.entry(object % 256).or_default();
        assert!(!held.1, "somebody deletes");
        assert!(!deletes || held.0 == 0, "somebody writes");
        match deletes {
            true => held.1 = true,
            false => held.0 += 1,
        }
    }

    fn give_back(&mut self, object: u64, deletes: bool) {
        let held = self.0.entry(object % 256).or_default();
        match deletes {
            true => held.1 = false,
            false => held.0 -= 1,
        }
    }
}

fn turns(i: &mut Input<'_>) {
    let mut turns = Turns::default();
    let mut held = Held::default();
    let mut having: Vec<(u64, bool)> = Vec::new();
    let mut waiting: VecDeque<(u64, bool)> = VecDeque::new();
    let give_back = |turns: &mut Turns<(u64, bool)>,
                     held: &mut Held,
                     having: &mut Vec<(u64, bool)>,
                     waiting: &mut VecDeque<(u64, bool)>,
                     at: usize| {
        let (object, deletes) = having.swap_remove(at);
        held.give_back(object, deletes);
        let claim = Claim::new(object, deletes);
        turns.give_back(claim);
        while let Some((_, next)) = turns.next(claim) {
            let first = waiting.iter().position(|w| w.0 % 256 == object % 256);
            let expected = first.and_then(|at| waiting.remove(at));
            assert_eq!(Some(next), expected, "out of order");
            held.take(next.0, next.1);
            having.push(next);
        }
    };
    while !i.is_empty() {
        let flags = i.u8();
        if flags & 1 == 0 || having.is_empty() {
            let (object, deletes) = (
                u64::from(i.u8() & 3) | u64::from(flags & 6) << 7,
                flags & 8 != 0,
            );
            let claim = Claim::new(object, deletes);
            if turns.take(claim) {
                held.take(object, deletes);
                having.push((object, deletes));
                continue;
            }
            let mut room = Room::none();
            loop {
                match turns.wait(claim, (object, deletes), &mut room) {
                    Ok(()) => break,
                    Err((_, wanted)) => room = Room::new(wanted).unwrap(),
                }
            }
            waiting.push_back((object, deletes));
        } else {
            let at = usize::from(i.u8()) % having.len();
            give_back(&mut turns, &mut held, &mut having, &mut waiting, at);
        }
    }
    while !having.is_empty() {
        give_back(&mut turns, &mut held, &mut having, &mut waiting, 0);
    }
    assert!(waiting.is_empty(), "somebody waits for ever");
}

fn queue(i: &mut Input<'_>) {
    let capacity = usize::from(i.u8() % 9);
    let mut room = Waiting::new(capacity).unwrap();
    let mut model = VecDeque::new();
    let mut refusing = false;
    while !i.is_empty() {
        match i.u8() {
            0..=119 => {
                let (item, now) = (i.u8(), i.u8().into());
                let expected = match model.len() {
                    n if n >= capacity || refusing => Err(item),
                    n => Ok(n == 0),
                };
                assert_eq!(room.push(item, now), expected);
                if expected.is_ok() {
                    model.push_back((item, now));
                }
            }
            250.. => {
                room.refuse();
                refusing = true;
            }
            _ => assert_eq!(room.pop(), model.pop_front().map(|(item, _)| item)),
        }
        assert_eq!(
            (room.len(), room.is_empty()),
            (model.len(), model.is_empty())
        );
        assert_eq!(room.oldest(), model.front().map(|(_, now)| *now));
    }
}

fuzz_target!(
    Budget {
        base: 64 << 10,
        per_byte: 512
    },
    |data| {
        let mut i = Input::new(data);
        match i.bool() {
            true => turns(&mut i),
            false => queue(&mut i),
        }
    }
);
