// SPDX-License-Identifier: GPL-2.0-only

//! The monitor client's state: the hunt for a monitor, subscriptions, and questions, of which each gets
//! its own answer, once.

#![no_main]
#![allow(dead_code)]

use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto;
use kernel::prelude::*;
use std::collections::BTreeMap;

#[path = "../../../net_ceph/mon_client/hunt.rs"]
mod hunt;
#[path = "../../../net_ceph/mon_client/requests.rs"]
mod requests;
#[path = "../../../net_ceph/mon_client/subs.rs"]
mod subs;

use hunt::Hunt;
use requests::{Answer, Matched, Question, Requests};
use subs::{Map, Subs};

/// Shows the questions as debugfs does.
struct Shown<'a>(&'a Requests, &'a Subs);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.show(f)?;
        self.1.show(f)
    }
}

/// What a question is, whether nobody waits, and its answer.
type Model = BTreeMap<u64, (Question, bool, Option<Answer>)>;

fn ask(requests: &mut Requests, model: &mut Model, i: &mut Input<'_>) {
    let question = i.pick(&[Question::Version, Question::Command]);
    let (detached, fails) = (i.bool(), i.u8() == 0xff);
    let asked = requests.add(question, detached, |tid| {
        let mut front = KVec::new();
        front.extend_from_slice(&tid.to_le_bytes(), GFP_KERNEL)?;
        match fails {
            true => Err(proto::error::ProtoError::value("fuzz", 0)),
            false => Ok(front),
        }
    });
    match asked {
        Ok(tid) => {
            assert!(!fails && model.len() < 1024);
            assert_eq!(
                model.insert(tid, (question, detached, None)),
                None,
                "a tid twice"
            );
        }
        Err(_) => assert!(fails || model.len() >= 1024),
    }
}

fn answer(requests: &mut Requests, model: &mut Model, tid: u64, answer: Answer) {
    let kind = match answer {
        Answer::Version(_) => Question::Version,
        Answer::Command(_) => Question::Command,
    };
    let fits = model
        .get(&tid)
        .filter(|(q, _, a)| *q == kind && a.is_none());
    let detached = fits.map(|(_, detached, _)| *detached);
    match (requests.answer(tid, answer), detached) {
        (Matched::Nothing, None) => {}
        (Matched::Detached, Some(true)) => {
            model.remove(&tid);
        }
        (Matched::Waiter, Some(false)) => {
            model.get_mut(&tid).unwrap().2 = Some(answer);
        }
        _ => panic!("an answer went to somebody else"),
    }
}

fuzz_target!(Budget::DECODER, |data| {
    let mut i = Input::new(data);
    let (mut hunt, mut subs, mut requests) = (Hunt::new(), Subs::new(), Requests::new());
    let mut model = Model::new();
    let mut now = 0u64;
    while !i.is_empty() {
        let tid = u64::from(i.u8());
        match i.u8() % 12 {
            0 | 1 => ask(&mut requests, &mut model, &mut i),
            2 => answer(&mut requests, &mut model, tid, Answer::Version(i.number())),
            3 => answer(
                &mut requests,
                &mut model,
                tid,
                Answer::Command(i.u8().into()),
            ),
            4 => {
                let expected = model.get(&tid).and_then(|(_, _, answer)| *answer);
                assert_eq!(requests.take(tid), expected);
                if expected.is_some() {
                    model.remove(&tid);
                }
            }
            5 if i.bool() => {
                requests.remove(tid);
                model.remove(&tid);
            }
            5 => {
                let question = i.pick(&[Question::Version, Question::Command]);
                requests.remove_detached(question);
                model.retain(|_, (q, detached, _)| !(*q == question && *detached));
            }
            6 => {
                let count = usize::from(i.u8() % 8);
                let before = hunt.current();
                let next = hunt.next(count, i.number());
                assert_eq!(next.is_none(), count == 0);
                assert!(next.is_none_or(|n| n < count && (count == 1 || before != Some(n))));
            }
            7 => match i.bool() {
                true => hunt.found(),
                false => hunt.calm(),
            },
            8 => {
                let map = i.pick(&[Map::Mon, Map::Osd]);
                let (epoch, onetime) = (i.number() as u32, i.bool());
                subs.want(map, epoch, onetime);
                assert!(subs.request(now).unwrap().is_some());
            }
            9 => {
                let (map, epoch) = (i.pick(&[Map::Mon, Map::Osd]), i.number() as u32);
                subs.got(map, epoch);
                assert_eq!(subs.have(map), epoch);
            }
            10 => {
                now = now.saturating_add(i.number() << 20);
                let front = subs.request(now).unwrap();
                assert!(front.is_none_or(|f| !f.is_empty() && f.len() < 64));
            }
            _ => {
                subs.acknowledged(i.number() as u32);
                let _ = subs.renewal_due(now);
                if i.u8() == 0 {
                    subs.reset();
                    assert!(!subs.renewal_due(u64::MAX));
                }
            }
        }
        assert!((3000..=30_000).contains(&hunt.patience_ms()));
        let unanswered: Vec<_> = requests.unanswered().map(|p| p.tid).collect();
        let expected = model.iter().filter(|(_, (_, _, a))| a.is_none());
        assert!(unanswered.iter().eq(expected.map(|(tid, _)| tid)));
    }
    let _ = Shown(&requests, &subs).to_string();
});
