// SPDX-License-Identifier: GPL-2.0-only

//! What the user asks of a client instance: the options of a map or mount string.
//!
//! Names, defaults, ranges and errnos are those of the C client (Linux `net/ceph/ceph_common.c`,
//! `ceph_parameters`), so that strings made for it work here. [`Options::set`] takes one option;
//! [`Options::same_client`] decides whether two mappings may share an instance.

mod addr;
mod display;
mod value;

pub use addr::parse_monitors;
pub use display::ClientOptions;
pub use value::{decimal, split_key_value, OptionError};

use crate::proto::error::{ProtoError, Reason};
use crate::proto::key::CryptoKey;
use core::cmp::Ordering;
use core::net::{IpAddr, SocketAddr};
use kernel::prelude::*;
use value::{fsid, seconds};

/// Seconds to wait for the monitors and the first maps (`CEPH_MOUNT_TIMEOUT_DEFAULT`).
pub const MOUNT_TIMEOUT_DEFAULT: u32 = 60;
/// Seconds of silence after which an OSD connection is probed (`CEPH_OSD_KEEPALIVE_DEFAULT`).
pub const OSD_KEEPALIVE_DEFAULT: u32 = 5;
/// Seconds after which an unused OSD connection is closed (`CEPH_OSD_IDLE_TTL_DEFAULT`).
pub const OSD_IDLE_TTL_DEFAULT: u32 = 60;
/// Who we are when `name=` is not given (`CEPH_AUTH_NAME_DEFAULT`).
pub const NAME_DEFAULT: &[u8] = b"guest";

/// The wire protocol, and how data travels (`ms_mode=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MsMode {
    /// msgr1.
    #[default]
    Legacy,
    /// msgr2, checksums.
    Crc,
    /// msgr2, encrypted.
    Secure,
    /// msgr2, checksums if the peer allows them, else encrypted.
    PreferCrc,
    /// msgr2, encrypted if the peer allows it, else checksums.
    PreferSecure,
}

/// Which OSD of a placement group serves reads (`read_from_replica=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReadFromReplica {
    /// The primary.
    #[default]
    No,
    /// Any.
    Balance,
    /// The nearest, by `crush_location=`.
    Localize,
}

/// One `type:name` pair of `crush_location=`.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CrushLocation {
    /// Bucket type name, e.g. `rack`.
    pub bucket_type: Bytes,
    /// Bucket name.
    pub bucket: Bytes,
}

/// Where `key=` finds its secret.
pub trait KeyStore {
    /// The secret held by the key of type `ceph` called `name`. May sleep. `EPERM` if it cannot be
    /// had.
    fn ceph_key(&self, name: &[u8]) -> Result<CryptoKey>;
}

/// Bytes as the user gave them.
#[derive(PartialEq, Eq, Debug)]
pub struct Bytes(KVec<u8>);

impl Bytes {
    /// A copy of `v`.
    pub fn new(v: &[u8]) -> Result<Self> {
        let mut b = KVec::with_capacity(v.len(), GFP_KERNEL)?;
        b.extend_from_slice(v, GFP_KERNEL)?;
        Ok(Self(b))
    }
}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0[..].cmp(&other.0[..])
    }
}

impl core::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The configuration of a client instance.
pub struct Options {
    /// Monitor addresses to start from, in the order given.
    pub monitors: KVec<SocketAddr>,
    /// Refuse a cluster with another id.
    pub fsid: Option<[u8; 16]>,
    /// Our own address, as announced to peers.
    pub my_ip: Option<IpAddr>,
    /// Seconds; 0 waits for ever.
    pub mount_timeout: u32,
    /// Seconds.
    pub osd_idle_ttl: u32,
    /// Seconds.
    pub osd_keepalive: u32,
    /// Seconds; 0 waits for ever.
    pub osd_request_timeout: u32,
    /// Wire protocol.
    pub ms_mode: MsMode,
    /// Where reads go.
    pub read_from_replica: ReadFromReplica,
    /// Sorted by type, then name.
    pub crush_location: KVec<CrushLocation>,
    /// Entity name without its type, `None` for [`NAME_DEFAULT`].
    pub name: Option<Bytes>,
    /// Our secret; `None` with authentication off.
    pub secret: Option<CryptoKey>,
    /// May be shared with other mappings.
    pub share: bool,
    /// Checksum data (msgr1).
    pub crc: bool,
    /// Sign messages (msgr1).
    pub sign_messages: bool,
    /// Set `TCP_NODELAY`.
    pub tcp_nodelay: bool,
    /// Fail writes to a full cluster with `ENOSPC` rather than wait.
    pub abort_on_full: bool,
    /// Receive into a private buffer, so that a reader which scribbles over its own buffer does
    /// not break checksums.
    pub rxbounce: bool,
}

impl Options {
    /// The defaults, with `monitors` to start from.
    pub fn new(monitors: KVec<SocketAddr>) -> Self {
        Self {
            monitors,
            fsid: None,
            my_ip: None,
            mount_timeout: MOUNT_TIMEOUT_DEFAULT,
            osd_idle_ttl: OSD_IDLE_TTL_DEFAULT,
            osd_keepalive: OSD_KEEPALIVE_DEFAULT,
            osd_request_timeout: 0,
            ms_mode: MsMode::Legacy,
            read_from_replica: ReadFromReplica::No,
            crush_location: KVec::new(),
            name: None,
            secret: None,
            share: true,
            crc: true,
            sign_messages: true,
            tcp_nodelay: true,
            abort_on_full: false,
            rxbounce: false,
        }
    }

    /// Entity name without its type, e.g. `admin`.
    pub fn entity_name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or(NAME_DEFAULT)
    }

    /// Takes the option `key`, with the `value` behind its `=` if there is one. `Ok(false)` means
    /// that no client option has this name. `keys` is asked for what `key=` names.
    ///
    /// May sleep. `EINVAL` for a bad value, `EEXIST` for a bucket type named twice in
    /// `crush_location=`, `EPERM` for a key that cannot be had.
    pub fn set<'a>(
        &mut self,
        key: &'a [u8],
        value: Option<&'a [u8]>,
        keys: &dyn KeyStore,
    ) -> Result<bool, OptionError<'a>> {
        if self.set_flag(key, value)? {
            return Ok(true);
        }
        let text = || match value {
            Some(v) if !v.is_empty() => Ok(v),
            _ => Err(OptionError::invalid("bad value for", key)),
        };
        let bad = |()| OptionError::invalid("bad value for", key);
        match key {
            b"fsid" => self.fsid = Some(fsid(text()?).map_err(bad)?),
            b"ip" => self.my_ip = Some(addr::parse_one(text()?)?.ip()),
            b"name" => self.name = Some(Bytes::new(text()?)?),
            b"secret" => {
                self.secret = Some(
                    CryptoKey::from_base64(text()?)
                        .map_err(|e| OptionError::new(e.to_errno(), e.step, b""))?,
                )
            }
            b"key" => {
                let name = text()?;
                self.secret =
                    Some(keys.ceph_key(name).map_err(|e| {
                        OptionError::new(e, "cannot get from the keyring key", name)
                    })?);
            }
            b"crush_location" => self.crush_location = parse_crush_location(text()?)?,
            b"read_from_replica" => {
                self.read_from_replica = match text()? {
                    b"no" => ReadFromReplica::No,
                    b"balance" => ReadFromReplica::Balance,
                    b"localize" => ReadFromReplica::Localize,
                    _ => return Err(bad(())),
                }
            }
            b"ms_mode" => {
                self.ms_mode = match text()? {
                    b"legacy" => MsMode::Legacy,
                    b"crc" => MsMode::Crc,
                    b"secure" => MsMode::Secure,
                    b"prefer-crc" => MsMode::PreferCrc,
                    b"prefer-secure" => MsMode::PreferSecure,
                    _ => return Err(bad(())),
                }
            }
            b"mount_timeout" => self.mount_timeout = seconds(key, value, 0)?,
            b"osd_request_timeout" => self.osd_request_timeout = seconds(key, value, 0)?,
            b"osd_idle_ttl" => self.osd_idle_ttl = seconds(key, value, 1)?,
            b"osdkeepalive" => self.osd_keepalive = seconds(key, value, 1)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a flag; those that `no` negates are negated without a value only.
    fn set_flag<'a>(
        &mut self,
        key: &'a [u8],
        value: Option<&[u8]>,
    ) -> Result<bool, OptionError<'a>> {
        let (name, on) = match (key.strip_prefix(b"no"), value) {
            (Some(rest), None) if Self::negatable(rest) => (rest, false),
            _ => (key, true),
        };
        let mut ignored = false;
        let flag = match name {
            b"share" => &mut self.share,
            b"crc" => &mut self.crc,
            b"cephx_sign_messages" => &mut self.sign_messages,
            b"tcp_nodelay" => &mut self.tcp_nodelay,
            b"abort_on_full" => &mut self.abort_on_full,
            b"rxbounce" => &mut self.rxbounce,
            // Without effect in the C client since 2019, where it logs that it ignores it.
            b"cephx_require_signatures" => &mut ignored,
            _ => return Ok(false),
        };
        if value.is_some() {
            return Err(OptionError::invalid("unexpected value for", key));
        }
        *flag = on;
        Ok(true)
    }

    fn negatable(name: &[u8]) -> bool {
        matches!(
            name,
            b"share"
                | b"crc"
                | b"cephx_sign_messages"
                | b"cephx_require_signatures"
                | b"tcp_nodelay"
        )
    }

    /// Fails with `EOPNOTSUPP` if something is asked for that the client cannot do yet.
    pub fn check_supported(&self) -> Result<(), OptionError<'static>> {
        let errno = ProtoError::new("options", Reason::Unsupported).to_errno();
        let refuse = |what| Err(OptionError::new(errno, "not supported yet:", what));
        match self.ms_mode {
            // With prefer-crc a peer that allows crc gets what the user prefers; one that allows
            // only encryption is refused when it says so.
            MsMode::Legacy | MsMode::Crc | MsMode::PreferCrc => {}
            MsMode::Secure => return refuse(b"ms_mode=secure"),
            MsMode::PreferSecure => return refuse(b"ms_mode=prefer-secure"),
        }
        Ok(())
    }

    /// Whether peers are spoken to by msgr2.
    pub fn speaks_msgr2(&self) -> bool {
        self.ms_mode != MsMode::Legacy
    }

    /// A copy of where we are. Allocates.
    pub fn copy_of_location(&self) -> Result<KVec<CrushLocation>> {
        let mut copy = KVec::with_capacity(self.crush_location.len(), GFP_KERNEL)?;
        for location in &self.crush_location {
            let location = CrushLocation {
                bucket_type: Bytes::new(&location.bucket_type)?,
                bucket: Bytes::new(&location.bucket)?,
            };
            copy.push(location, GFP_KERNEL)?;
        }
        Ok(copy)
    }

    /// Whether a mapping that asks for `self` may use an instance made for `other`: all settings
    /// alike, both willing to share, and a monitor address in common.
    ///
    /// The network namespaces must be compared by the caller.
    pub fn same_client(&self, other: &Self) -> bool {
        self.same_settings(other) && self.monitors.iter().any(|a| other.monitors.contains(a))
    }

    /// [`same_client`](Self::same_client), monitor addresses left aside.
    pub fn same_settings(&self, other: &Self) -> bool {
        // Taken apart so that a new field cannot be forgotten here.
        let Self {
            monitors: _,
            fsid,
            my_ip,
            mount_timeout,
            osd_idle_ttl,
            osd_keepalive,
            osd_request_timeout,
            ms_mode,
            read_from_replica,
            crush_location,
            name,
            secret,
            share,
            crc,
            sign_messages,
            tcp_nodelay,
            abort_on_full,
            rxbounce,
        } = other;
        self.share
            && *share
            && self.fsid == *fsid
            && self.my_ip == *my_ip
            && self.mount_timeout == *mount_timeout
            && self.osd_idle_ttl == *osd_idle_ttl
            && self.osd_keepalive == *osd_keepalive
            && self.osd_request_timeout == *osd_request_timeout
            && self.ms_mode == *ms_mode
            && self.read_from_replica == *read_from_replica
            && self.crush_location == *crush_location
            && self.name == *name
            && self.secret == *secret
            && self.crc == *crc
            && self.sign_messages == *sign_messages
            && self.tcp_nodelay == *tcp_nodelay
            && self.abort_on_full == *abort_on_full
            && self.rxbounce == *rxbounce
    }
}

/// Parses `type:name[|type:name…]`, sorted (Linux `net/ceph/osdmap.c`, CRUSH locations).
fn parse_crush_location(text: &[u8]) -> Result<KVec<CrushLocation>, OptionError<'_>> {
    let mut locations: KVec<CrushLocation> = KVec::new();
    for pair in text.split(|&c| c == b'|') {
        let (bucket_type, bucket) = match pair.iter().position(|&c| c == b':') {
            Some(at) => (
                pair.get(..at).unwrap_or_default(),
                pair.get(at.saturating_add(1)..).unwrap_or_default(),
            ),
            None => return Err(OptionError::invalid("no ':' in crush_location", pair)),
        };
        if bucket_type.is_empty() || bucket.is_empty() {
            return Err(OptionError::invalid("empty name in crush_location", pair));
        }
        let location = CrushLocation {
            bucket_type: Bytes::new(bucket_type)?,
            bucket: Bytes::new(bucket)?,
        };
        match locations.binary_search(&location) {
            Ok(_) => {
                return Err(OptionError::new(
                    EEXIST,
                    "given twice: crush_location",
                    pair,
                ))
            }
            Err(at) => {
                locations.reserve(1, GFP_KERNEL)?;
                locations
                    .insert_within_capacity(at, location)
                    .map_err(|_| OptionError::new(ENOMEM, "no room for crush_location", pair))?;
            }
        }
    }
    Ok(locations)
}
