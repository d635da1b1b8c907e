// SPDX-License-Identifier: GPL-2.0-only

//! The cluster, and what tests of several kinds need.

use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{Arc, Mutex},
};
use net_ceph::{
    abstractions::{
        time::{boot_ns, secs},
        wait::Event,
    },
    client::{Client, ClientRef},
    options::{parse_monitors, split_key_value, KeyStore, Options},
    osd_client::{Completion, Group, IoCtx, OsdRequest, Params, Watch, WatchEvents},
    proto::{key::CryptoKey, osd_op::Op},
};

/// A client of the cluster.
pub(crate) struct Cluster {
    client: ClientRef,
    pool: u64,
}

/// No keys: options name the secret.
struct NoKeys;

impl KeyStore for NoKeys {
    fn ceph_key(&self, _name: &[u8]) -> Result<CryptoKey> {
        Err(EPERM)
    }
}

impl Cluster {
    pub(crate) fn open(monitors: &[u8], options: &[u8]) -> Result<Arc<Self>> {
        let mut parsed = Options::new(parse_monitors(monitors).map_err(|_| EINVAL)?);
        for option in options.split(|&c| c == b',') {
            let (key, value) = split_key_value(option);
            check!(parsed.set(key, value, &NoKeys).map_err(|_| EINVAL)?);
        }
        let client = Client::get(parsed)?;
        let pool = client.pool_id("rbd")?;
        Ok(Arc::new(Self { client, pool }, GFP_KERNEL)?)
    }

    /// The pool, for the requests of a group of its own.
    pub(crate) fn user(&self) -> Result<IoCtx> {
        IoCtx::new(self.client.osd(), &Group::new()?, self.pool, b"")
    }

    pub(crate) fn global_id(&self) -> u64 {
        self.client.global_id()
    }
}

/// A name no other run uses.
pub(crate) fn unique(what: &str) -> Result<KVec<u8>> {
    let text = CString::try_from_fmt(fmt!("osdtest.{}.{}", what, boot_ns()))?;
    let mut name = KVec::new();
    name.extend_from_slice(text.to_bytes(), GFP_KERNEL)?;
    Ok(name)
}

/// A request and its end.
#[pin_data]
pub(crate) struct Ended {
    #[pin]
    done: Event,
    #[pin]
    result: Mutex<Option<Result<usize>>>,
}

impl Completion for Ended {
    fn complete(&self, _req: &Arc<OsdRequest>, result: Result<usize>) {
        *self.result.lock() = Some(result);
        self.done.complete_all();
    }
}

impl Ended {
    /// What came of it, waiting at most two minutes.
    pub(crate) fn wait(&self) -> Result<usize> {
        if !self.done.wait_timeout(secs(120)) {
            return Err(ETIMEDOUT);
        }
        self.result.lock().take().unwrap_or(Err(EIO))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.done.is_complete()
    }
}

/// Submits a request that `f` fills in.
pub(crate) fn submit(
    io: &IoCtx,
    object: &[u8],
    f: impl FnOnce(&mut Params) -> Result,
) -> Result<Arc<Ended>> {
    let ended = Arc::pin_init(
        pin_init!(Ended {
            done <- Event::new(),
            result <- new_mutex!(None),
        }),
        GFP_KERNEL,
    )?;
    let req = io.request()?;
    req.prepare(ended.clone(), |p| {
        io.address(p, object)?;
        p.set_mtime();
        f(p)
    })?;
    io.osd().submit(&req, true)?;
    Ok(ended)
}

/// Makes an object that is empty.
pub(crate) fn create(io: &IoCtx, object: &[u8]) -> Result {
    submit(io, object, |p| p.push_op(Op::Create))?.wait()?;
    Ok(())
}

/// Someone who watches, and answers or does not.
#[pin_data]
pub(crate) struct Listener {
    /// What notifications are answered with.
    answer: Option<&'static [u8]>,
    #[pin]
    pub(crate) heard: Event,
    #[pin]
    watch: Mutex<Option<Watch>>,
}

impl Listener {
    pub(crate) fn watch(
        io: &IoCtx,
        object: &[u8],
        answer: Option<&'static [u8]>,
    ) -> Result<Arc<Self>> {
        let listener = Arc::pin_init(
            pin_init!(Self {
                answer,
                heard <- Event::new(),
                watch <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )?;
        let watch = io.watch(object, listener.clone())?;
        *listener.watch.lock() = Some(watch);
        Ok(listener)
    }

    pub(crate) fn cookie(&self) -> u64 {
        self.watch.lock().as_ref().map_or(0, Watch::cookie)
    }

    pub(crate) fn end(&self) {
        let watch = self.watch.lock().take();
        drop(watch);
    }
}

impl WatchEvents for Listener {
    fn notify(&self, notify_id: u64, _notifier: u64, _payload: &[u8]) {
        if let (Some(answer), Some(watch)) = (self.answer, &*self.watch.lock()) {
            if let Err(e) = watch.ack(notify_id, answer) {
                pr_err!("ack: {}\n", e.to_errno());
            }
        }
        self.heard.complete_all();
    }

    fn renewed(&self) {}

    fn error(&self, err: Error) {
        pr_info!("watch: {}\n", err.to_errno());
    }
}
