// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the OSD client in a running kernel, against a cluster.
//!
//! What is written to the debugfs file `ceph_osdtest/run` is done, step by step, so that the cluster can
//! be stopped between two steps: `open MONITORS OPTIONS`, `api`, `begin`, `cancel` (while no OSD answers),
//! `end`. The write fails when the step does.

use kernel::{
    debugfs, new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
    uaccess::UserSliceReader,
};

#[macro_use]
mod check;
#[path = "osd/api.rs"]
mod api;
#[path = "osd/cancel.rs"]
mod cancel;
#[path = "osd/cluster.rs"]
mod cluster;

use cancel::Doomed;
use cluster::Cluster;

module! {
    type: OsdTest,
    name: "ceph_osdtest",
    authors: ["The rbd-rs authors"],
    description: "Tests of the OSD client of net_ceph",
    license: "GPL",
}

/// What steps leave to those that follow.
#[pin_data]
struct State {
    #[pin]
    inner: Mutex<Inner>,
}

/// Dropped in this order.
#[derive(Default)]
struct Inner {
    doomed: Option<Doomed>,
    cluster: Option<Arc<Cluster>>,
}

struct OsdTest {
    _file: Pin<KBox<debugfs::File<State>>>,
    _dir: debugfs::Dir,
}

impl Inner {
    fn cluster(&self) -> Result<&Arc<Cluster>> {
        self.cluster.as_ref().ok_or(ENODEV)
    }

    fn step(&mut self, text: &[u8]) -> Result {
        let mut words = text
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        let mut word = || words.next().ok_or(EINVAL);
        match word()? {
            b"open" => {
                let (monitors, options) = (word()?, word()?);
                self.cluster = Some(Cluster::open(monitors, options)?);
            }
            b"api" => api::test(self.cluster()?)?,
            b"begin" => self.doomed = Some(Doomed::begin(self.cluster()?)?),
            b"cancel" => self.doomed.as_mut().ok_or(ENODEV)?.cancel()?,
            b"end" => {
                self.doomed.take().ok_or(ENODEV)?.end()?;
                self.cluster = None;
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

fn run(state: &State, reader: &mut UserSliceReader) -> Result {
    let mut text = KVec::new();
    let mut chunk = [0u8; 64];
    while !reader.is_empty() {
        let n = reader.len().min(chunk.len());
        reader.read_slice(&mut chunk[..n])?;
        text.extend_from_slice(&chunk[..n], GFP_KERNEL)?;
    }
    let result = state.inner.lock().step(&text);
    if let Err(e) = result {
        pr_err!("the step failed: {}\n", e.to_errno());
    }
    result
}

impl kernel::Module for OsdTest {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let dir = debugfs::Dir::new(c"ceph_osdtest");
        let state = pin_init!(State {
            inner <- new_mutex!(Inner::default()),
        });
        let file = KBox::pin_init(dir.write_callback_file(c"run", state, &run), GFP_KERNEL)?;
        Ok(Self {
            _file: file,
            _dir: dir,
        })
    }
}
