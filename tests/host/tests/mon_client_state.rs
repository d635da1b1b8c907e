// SPDX-License-Identifier: GPL-2.0-only

//! The monitor client's state without I/O: which monitor, which maps, which questions.

#![allow(dead_code)]

use ceph_proto_host::proto;

#[path = "../../../net_ceph/mon_client/hunt.rs"]
mod hunt;
#[path = "../../../net_ceph/mon_client/requests.rs"]
mod requests;
#[path = "../../../net_ceph/mon_client/subs.rs"]
mod subs;

use hunt::Hunt;
use kernel::prelude::*;
use proptest::prelude::*;
use proto::wire::Decoder;
use requests::{Answer, Matched, Question, Requests};
use subs::{Map, Subs};

#[test]
fn patience_grows_after_a_session_was_had() {
    let mut hunt = Hunt::new();
    for random in 0..5 {
        hunt.next(3, random).unwrap();
        assert!(hunt.is_hunting());
        assert_eq!(hunt.patience_ms(), 3000, "the first hunt is impatient");
    }
    hunt.found();
    assert!(!hunt.is_hunting());
    let patience = |hunt: &mut Hunt| {
        hunt.next(3, 0).unwrap();
        hunt.patience_ms()
    };
    let seen: Vec<u64> = (0..6).map(|_| patience(&mut hunt)).collect();
    assert_eq!(seen, [6000, 12000, 24000, 30000, 30000, 30000]);
    hunt.found();
    assert_eq!(hunt.patience_ms(), 15000);
    for expected in [6000, 3000, 3000] {
        hunt.calm();
        assert_eq!(hunt.patience_ms(), expected);
    }
}

#[test]
fn no_monitor_is_no_choice() {
    assert_eq!(Hunt::new().next(0, 5), None);
}

proptest! {
    #[test]
    fn another_monitor_each_time(count in 1usize..9, randoms: Vec<u64>) {
        let mut hunt = Hunt::new();
        let mut last = None;
        for random in randoms {
            let next = hunt.next(count, random).unwrap();
            prop_assert!(next < count);
            prop_assert!(count == 1 || last != Some(next));
            prop_assert_eq!(hunt.current(), Some(next));
            last = Some(next);
        }
    }

    #[test]
    fn a_map_with_fewer_monitors(old in 0u64..9, random: u64) {
        let mut hunt = Hunt::new();
        hunt.next(9, old).unwrap();
        prop_assert!(hunt.next(2, random).unwrap() < 2);
    }
}

/// What is subscribed to: name, start, once.
fn wanted(subs: &mut Subs, now: u64) -> Vec<(String, u64, bool)> {
    let Some(front) = subs.request(now).unwrap() else {
        return Vec::new();
    };
    let mut d = Decoder::new(&front);
    let n = d.u32("").unwrap();
    let items = (0..n)
        .map(|_| {
            let what = d.string(100, "").unwrap().to_string();
            (what, d.u64("").unwrap(), d.bool("").unwrap())
        })
        .collect();
    assert!(d.is_empty());
    items
}

#[test]
fn subscriptions_follow_what_is_had() {
    let mut subs = Subs::new();
    assert!(wanted(&mut subs, 0).is_empty());
    subs.want(Map::Mon, 0, false);
    subs.want(Map::Osd, 0, true);
    // Until it is had it is asked for, as often as one likes.
    for _ in 0..2 {
        assert_eq!(
            wanted(&mut subs, 0),
            [("monmap".into(), 0, false), ("osdmap".into(), 0, true)]
        );
    }
    subs.got(Map::Mon, 4);
    subs.got(Map::Osd, 30);
    assert_eq!((subs.have(Map::Mon), subs.have(Map::Osd)), (4, 30));
    assert_eq!(wanted(&mut subs, 0), [("monmap".into(), 5, false)]);
    subs.want(Map::Osd, 31, false);
    subs.got(Map::Osd, 33);
    assert_eq!(wanted(&mut subs, 0)[1], ("osdmap".into(), 34, false));
}

#[test]
fn a_forgetful_monitor_is_reminded() {
    let second = 1_000_000_000;
    let mut subs = Subs::new();
    subs.want(Map::Mon, 0, false);
    wanted(&mut subs, 5 * second);
    assert!(!subs.renewal_due(u64::MAX), "the monitor keeps them");
    subs.acknowledged(300);
    assert!(!subs.renewal_due(154 * second) && subs.renewal_due(155 * second));
    wanted(&mut subs, 155 * second);
    subs.acknowledged(300);
    assert!(!subs.renewal_due(304 * second) && subs.renewal_due(305 * second));
    subs.reset();
    assert!(!subs.renewal_due(u64::MAX));
}

fn front(tid: u64) -> proto::error::ProtoResult<KVec<u8>> {
    let mut v = KVec::new();
    v.push(tid as u8, GFP_KERNEL)?;
    Ok(v)
}

#[test]
fn questions_have_one_answer() {
    let mut r = Requests::new();
    let a = r.add(Question::Version, false, front).unwrap();
    let b = r.add(Question::Command, false, front).unwrap();
    let c = r.add(Question::Version, true, front).unwrap();
    assert_eq!(r.unanswered().count(), 3);
    assert!(r.unanswered().all(|p| p.front[..] == [p.tid as u8]));

    assert!(matches!(r.answer(99, Answer::Version(1)), Matched::Nothing));
    assert!(matches!(r.answer(b, Answer::Version(1)), Matched::Nothing));
    assert!(matches!(r.answer(a, Answer::Version(7)), Matched::Waiter));
    assert!(matches!(r.answer(a, Answer::Version(8)), Matched::Nothing));
    assert!(matches!(r.answer(c, Answer::Version(9)), Matched::Detached));
    assert_eq!(r.unanswered().map(|p| p.tid).collect::<Vec<_>>(), [b]);
    assert_eq!(r.take(b), None);
    assert_eq!(r.take(a), Some(Answer::Version(7)));
    assert_eq!(r.take(a), None);
    r.remove(b);
    assert_eq!(r.unanswered().count(), 0);
    let d = r.add(Question::Command, false, front).unwrap();
    assert!(d > c, "transaction ids are not used twice");

    // One that nobody waits for makes room for the next of its kind; the answer to it comes too late.
    let e = r.add(Question::Version, true, front).unwrap();
    let f = r.add(Question::Version, false, front).unwrap();
    r.remove_detached(Question::Command);
    assert_eq!(r.unanswered().count(), 3);
    r.remove_detached(Question::Version);
    assert_eq!(r.unanswered().map(|p| p.tid).collect::<Vec<_>>(), [d, f]);
    assert!(matches!(r.answer(e, Answer::Version(1)), Matched::Nothing));
}

#[test]
fn questions_are_bounded() {
    let mut r = Requests::new();
    let added = (0..5000).map_while(|_| r.add(Question::Version, false, front).ok());
    assert_eq!(added.count(), 1024);
}
