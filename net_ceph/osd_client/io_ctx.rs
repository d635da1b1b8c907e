// SPDX-License-Identifier: GPL-2.0-only

//! I/O contexts: a pool, or a namespace of it, as one user of a client sees it.

use super::group::Group;
use super::params::Params;
use super::placement::pool_of;
use super::request::OsdRequest;
use super::OsdClient;
use crate::proto::osdmap::{Interval, OsdMap, PgId};
use kernel::{alloc::Flags, prelude::*, sync::Arc};

/// A pool and a namespace, seen through a client by one user. Clones are cheap. The client works only as
/// long as its [`ClientRef`](crate::client::ClientRef) exists.
#[derive(Clone)]
pub struct IoCtx(Arc<Inner>);

struct Inner {
    client: Arc<OsdClient>,
    group: Arc<Group>,
    pool: u64,
    namespace: KVec<u8>,
}

impl IoCtx {
    /// `namespace` (empty: the default one) of the pool with the id `pool`, for the user whose requests
    /// are `group`. Allocates.
    pub fn new(
        client: &Arc<OsdClient>,
        group: &Arc<Group>,
        pool: u64,
        namespace: &[u8],
    ) -> Result<Self> {
        let mut name = KVec::with_capacity(namespace.len(), GFP_KERNEL)?;
        name.extend_from_slice(namespace, GFP_KERNEL)?;
        let inner = Inner {
            client: client.clone(),
            group: group.clone(),
            pool,
            namespace: name,
        };
        Ok(Self(Arc::new(inner, GFP_KERNEL)?))
    }

    /// The client.
    pub fn osd(&self) -> &Arc<OsdClient> {
        &self.0.client
    }

    /// The group of all requests made here.
    pub fn group(&self) -> &Arc<Group> {
        &self.0.group
    }

    /// Id of the pool.
    pub fn pool(&self) -> u64 {
        self.0.pool
    }

    /// Namespace in the pool, empty for the default one.
    pub fn namespace(&self) -> &[u8] {
        &self.0.namespace
    }

    /// A request of the group. Allocates; sleeps.
    pub fn request(&self) -> Result<Arc<OsdRequest>> {
        self.request_with(GFP_KERNEL)
    }

    /// The same with memory as by `flags`. Sleeps on locks.
    pub fn request_with(&self, flags: Flags) -> Result<Arc<OsdRequest>> {
        OsdRequest::new(self.osd(), self.group(), flags)
    }

    /// Says that `p` is about `object`. Allocates for long names.
    pub fn address(&self, p: &mut Params, object: &[u8]) -> Result {
        p.pool = self.pool();
        p.namespace.set(self.namespace())?;
        p.object.set(object)
    }

    /// The placement group where requests of these flags about an object go, and the interval that it is in.
    pub(super) fn interval(
        &self,
        object: &[u8],
        request_flags: u32,
        map: &OsdMap,
    ) -> Option<(PgId, Interval)> {
        let pool = pool_of(map, self.pool(), None, request_flags)?;
        let pg = pool.object_to_pg(self.namespace(), object);
        Some((pg, map.interval(pg).ok()?))
    }

    /// Whether there is no such session with an OSD any more; `home`: the OSD, and the session's incarnation.
    pub(super) fn has_lost_session(&self, home: (u32, u64)) -> bool {
        let (osd, incarnation) = home;
        let session = self.osd().session(osd);
        // 0 is that of no session.
        incarnation == 0 || session.map_or(0, |s| s.incarnation()) != incarnation
    }

    /// Whether an OSD has forgotten what lasts only as long as the session and the interval do, as far as we
    /// can tell. `home`: the OSD that had it, and the incarnation of the session; `interval`: the object's
    /// then.
    pub(super) fn is_forgotten(
        &self,
        object: &[u8],
        request_flags: u32,
        home: (u32, u64),
        interval: &Option<(PgId, Interval)>,
        map: &OsdMap,
    ) -> bool {
        if self.has_lost_session(home) {
            return true;
        }
        match (interval, self.interval(object, request_flags, map)) {
            (Some((pg, old)), Some((now_pg, now))) => *pg != now_pg || old.is_new(&now, *pg),
            _ => true,
        }
    }
}
