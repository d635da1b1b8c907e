// SPDX-License-Identifier: GPL-2.0-only

//! Questions to the monitors that have one answer. They outlive sessions: each new one is asked what has not
//! been answered yet.

use crate::proto::error::{ProtoError, ProtoResult};
use kernel::{fmt, prelude::*};

/// The most questions at once; a client asks a handful.
const MAX_PENDING: usize = 1024;

/// What is asked; the number is the type of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The newest version of a map.
    Version,
    /// To run a command.
    Command,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To [`Question::Version`]: the version.
    Version(u64),
    /// To [`Question::Command`]: 0 or a negative errno.
    Command(i32),
}

/// A question, with what was sent to ask it.
pub(super) struct Pending {
    /// Transaction id.
    pub(super) tid: u64,
    /// What is asked.
    pub(super) question: Question,
    /// The message's front.
    pub(super) front: KVec<u8>,
    /// When it was sent last, in ns since boot; 0: never.
    pub(super) asked: u64,
    /// Nobody waits: the answer goes to whoever listens for maps.
    detached: bool,
    answer: Option<Answer>,
}

/// The questions in progress.
pub(super) struct Requests {
    last_tid: u64,
    pending: KVec<Pending>,
}

/// What an answer was for.
pub(super) enum Matched {
    /// No question of ours, or one that nobody waits for any more.
    Nothing,
    /// One that somebody waits for.
    Waiter,
    /// One that nobody waits for.
    Detached,
}

impl Requests {
    /// None.
    pub(super) const fn new() -> Self {
        Self {
            last_tid: 0,
            pending: KVec::new(),
        }
    }

    /// Adds a question, whose message `encode` makes when it knows the transaction id; returns that.
    pub(super) fn add(
        &mut self,
        question: Question,
        detached: bool,
        encode: impl FnOnce(u64) -> ProtoResult<KVec<u8>>,
    ) -> ProtoResult<u64> {
        if self.pending.len() >= MAX_PENDING {
            return Err(ProtoError::value(
                "monitor: too many questions",
                self.pending.len() as u64,
            ));
        }
        let tid = self.last_tid.wrapping_add(1);
        let front = encode(tid)?;
        self.pending.push(
            Pending {
                tid,
                question,
                front,
                asked: 0,
                detached,
                answer: None,
            },
            GFP_KERNEL,
        )?;
        self.last_tid = tid;
        Ok(tid)
    }

    /// The questions not answered yet.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().filter(|p| p.answer.is_none())
    }

    /// The same, to be changed.
    pub(super) fn unanswered_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.pending.iter_mut().filter(|p| p.answer.is_none())
    }

    /// Nobody wants to know the answers to detached questions of this kind any more.
    pub(super) fn remove_detached(&mut self, question: Question) {
        self.pending
            .retain(|p| !(p.detached && p.question == question));
    }

    /// Takes an answer; one of the wrong kind is none.
    pub(super) fn answer(&mut self, tid: u64, answer: Answer) -> Matched {
        let kind = match answer {
            Answer::Version(_) => Question::Version,
            Answer::Command(_) => Question::Command,
        };
        let Some(p) = self
            .pending
            .iter_mut()
            .find(|p| p.tid == tid && p.question == kind && p.answer.is_none())
        else {
            return Matched::Nothing;
        };
        if p.detached {
            self.remove(tid);
            return Matched::Detached;
        }
        p.answer = Some(answer);
        Matched::Waiter
    }

    /// The answer to `tid`, if it came; the question is done then.
    pub(super) fn take(&mut self, tid: u64) -> Option<Answer> {
        let answer = self.pending.iter().find(|p| p.tid == tid)?.answer?;
        self.remove(tid);
        Some(answer)
    }

    /// Nobody wants to know any more.
    pub(super) fn remove(&mut self, tid: u64) {
        self.pending.retain(|p| p.tid != tid);
    }

    /// Writes them as the C client's debugfs file `monc` has them.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for p in self.unanswered() {
            let name = match p.question {
                Question::Version => "mon_get_version",
                Question::Command => "unknown",
            };
            writeln!(f, "{} {name}", p.tid)?;
        }
        Ok(())
    }
}
