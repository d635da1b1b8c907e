// SPDX-License-Identifier: GPL-2.0-only

//! Reading along a chain of clones that was opened some time ago, while others flatten some of them and remove those
//! that nobody needs any more: in whatever order the two sides take their steps, what is read is what always
//! showed.

use ceph_proto_host::io::{
    plan::{ObjectOp, Want},
    step::{Action, Event, Scene, Steps},
};
use kernel::prelude::*;
use std::collections::HashSet;

const READ: ObjectOp = ObjectOp::Read {
    offset: 0,
    length: 512,
};

/// Stands for `ESTALE`.
const GONE: Error = EIO;

/// One object's part in each image, from the one that is mapped to its last ancestor: none, zeroes, or what is in it.
type Contents = Vec<Option<u8>>;

/// One image's part of the read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Part {
    image: usize,
    state: String,
    got: u8,
    /// What came of asking whether it is there, if it was asked.
    there: Option<bool>,
    /// What came of reading its parent, if that ended.
    parent: Option<bool>,
}

/// A read, and what others have done by now.
#[derive(Clone)]
struct Chain {
    contents: Contents,
    /// Of each image: whether what it shows is in it, since it was flattened.
    flat: Vec<bool>,
    /// Whether its header names a parent.
    linked: Vec<bool>,
    /// Whether the snapshot that its child was made from is in the trash, without clones.
    going: Vec<bool>,
    /// Whether what is in that is there.
    kept: Vec<bool>,
    /// Whether its header names the snapshot.
    there: Vec<bool>,
    /// Which images have a parent, as far as the reader knows.
    known: Vec<bool>,
    parts: Vec<(Part, Steps, Action)>,
}

impl Chain {
    fn new(contents: &Contents) -> Self {
        let n = contents.len();
        let linked: Vec<_> = (0..n).map(|k| k + 1 < n).collect();
        let mut chain = Self {
            contents: contents.clone(),
            flat: vec![false; n],
            going: vec![false; n],
            kept: vec![true; n],
            there: vec![true; n],
            known: linked.clone(),
            linked,
            parts: Vec::new(),
        };
        chain.begin(0);
        chain
    }

    /// Tells states apart.
    fn key(&self) -> String {
        let parts: Vec<_> = self.parts.iter().map(|(part, ..)| part).collect();
        let Self {
            contents,
            flat,
            linked,
            going,
            kept,
            there,
            known,
            ..
        } = self;
        format!("{contents:?}{flat:?}{linked:?}{going:?}{kept:?}{there:?}{known:?}{parts:?}")
    }

    fn begin(&mut self, image: usize) {
        let scene = Scene {
            behind: if self.known[image] { 4096 } else { 0 },
            snaps: false,
            entry: None,
            ancestor: image > 0,
        };
        let (steps, action) = Steps::begin(Want::Read, READ, scene);
        let part = Part {
            image,
            state: steps.state().to_string(),
            got: 0,
            there: None,
            parent: None,
        };
        self.parts.push((part, steps, action));
    }

    /// What an image shows.
    fn shows(&self, image: usize) -> u8 {
        match self.contents[image] {
            Some(content) => content,
            None if self.linked[image] && !self.flat[image] => self.shows(image + 1),
            None => 0,
        }
    }

    /// All that others may do next.
    fn others(&self) -> Vec<Self> {
        let mut next = Vec::new();
        let mut may = |change: &dyn Fn(&mut Self)| {
            let mut chain = self.clone();
            change(&mut chain);
            next.push(chain);
        };
        for k in 0..self.contents.len() {
            let parent = k + 1;
            if self.linked[k] && !self.flat[k] && !self.going[k] {
                // Nothing is made of zeroes.
                may(&|c| {
                    c.contents[k] = c.contents[k].or(Some(c.shows(k)).filter(|v| *v != 0));
                    c.flat[k] = true;
                });
            }
            if !self.flat[k] {
                continue;
            }
            // A parent in the trash goes before its name.
            if self.linked[k] {
                may(&|c| c.linked[k] = false);
            }
            if !self.going[parent] {
                may(&|c| c.going[parent] = true);
            } else if self.kept[parent] {
                may(&|c| {
                    c.kept[parent] = false;
                    c.contents[parent] = None;
                });
            } else if self.there[parent] {
                may(&|c| c.there[parent] = false);
            }
        }
        next
    }

    /// The chain as the headers tell of it, to the first parent that goes; `None` while one names a parent that is gone.
    fn opened(&self) -> Option<Vec<bool>> {
        let mut known = vec![false; self.contents.len()];
        let mut image = 0;
        while self.linked[image] {
            let parent = image + 1;
            if !self.there[parent] {
                return None;
            }
            if self.going[parent] {
                break;
            }
            known[image] = true;
            image = parent;
        }
        Some(known)
    }

    /// Ways in which the read may go on: the chains then, and what was read if it is done. Without `asks` all that
    /// is absent is taken for absent.
    fn read_on(&self, asks: bool) -> Vec<(Self, Option<Result<u8>>)> {
        let mut ways = Vec::new();
        let at = self.parts.len() - 1;
        let (part, _, action) = &self.parts[at];
        match action {
            Action::Send { .. } => {
                let content = self.contents[part.image];
                let mut chain = self.clone();
                chain.parts[at].0.got = content.unwrap_or(0);
                chain.next(Event::Done(content.map(drop).ok_or(ENOENT)));
                ways.push((chain, None));
            }
            Action::ReadParent => {
                // An ancestor is asked, and its parent read, in any order.
                for (waiting, below) in self.parts.iter().map(|(p, ..)| p).enumerate() {
                    if below.there.is_none() && self.parts[waiting].2 == Action::ReadParent {
                        let mut chain = self.clone();
                        let image = below.image;
                        chain.parts[waiting].0.there = Some(
                            image == 0 || !asks || (chain.there[image] && !chain.going[image]),
                        );
                        ways.push((chain, None));
                    }
                }
                let mut chain = self.clone();
                if part.parent.is_none() && self.known[part.image] {
                    chain.begin(part.image + 1);
                    ways.push((chain, None));
                } else if let Some(there) = part.there {
                    let well = there && part.parent != Some(false);
                    chain.next(Event::Done(well.then_some(()).ok_or(GONE)));
                    ways.push((chain, None));
                }
            }
            Action::Finish(result) => {
                let mut chain = self.clone();
                let (done, ..) = chain.parts.pop().expect("it");
                match (chain.parts.last_mut(), result) {
                    (Some((child, ..)), result) => {
                        child.parent = Some(result.is_ok());
                        child.got = done.got;
                        ways.push((chain, None));
                    }
                    (None, Ok(())) => ways.push((chain, Some(Ok(done.got)))),
                    // The mapped image: all ancestors are opened anew, if they can be.
                    (None, Err(_)) => {
                        if let Some(known) = self.opened() {
                            chain.known = known;
                            chain.begin(0);
                            ways.push((chain, None));
                        }
                    }
                }
            }
            other => panic!("{other:?}"),
        }
        ways
    }

    fn next(&mut self, event: Event) {
        let (part, steps, action) = self.parts.last_mut().expect("one");
        *action = steps.next(event);
        part.state = steps.state().to_string();
    }
}

/// All that may be read, over all orders of steps.
fn outcomes(contents: &Contents, asks: bool) -> HashSet<u8> {
    let (mut seen, mut outcomes) = (HashSet::new(), HashSet::new());
    let mut left = vec![Chain::new(contents)];
    while let Some(chain) = left.pop() {
        if !seen.insert(chain.key()) {
            continue;
        }
        left.extend(chain.others());
        for (chain, got) in chain.read_on(asks) {
            match got {
                Some(got) => {
                    outcomes.insert(got.expect("no error"));
                }
                None => left.push(chain),
            }
        }
    }
    outcomes
}

/// All contents of chains of `n` images.
fn all_contents(n: usize) -> Vec<Contents> {
    let of = |kinds: usize| {
        let content = |k: usize| match kinds / 3usize.pow(k as u32) % 3 {
            0 => None,
            1 => Some(0),
            _ => Some(k as u8 + 1),
        };
        (0..n).map(content).collect()
    };
    (0..3usize.pow(n as u32)).map(of).collect()
}

#[test]
fn what_shows_is_read_whatever_others_do() {
    for n in 1..=4 {
        for contents in all_contents(n) {
            let shows = Chain::new(&contents).shows(0);
            assert_eq!(outcomes(&contents, true), [shows].into(), "{contents:?}");
        }
    }
}

#[test]
fn without_asking_it_would_be_wrong() {
    let wrong = |contents: &[Option<u8>]| outcomes(&contents.to_vec(), false);
    // Zeroes in the place of what was there, and what was hidden by zeroes.
    assert_eq!(wrong(&[None, None, Some(3)]), [0, 3].into());
    assert_eq!(wrong(&[None, None, Some(0), Some(4)]), [0, 4].into());
}
