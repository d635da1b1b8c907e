// SPDX-License-Identifier: GPL-2.0-only

//! What the control segments of handshake frames say: written for those a client sends, read for
//! those it receives (Ceph `src/msg/async/frames_v2.h` and the msgr2 document).

use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::types::{addrvec, EntityAddr, EntityType};
use super::super::wire::{Decoder, Encoder, Sink};
use super::frame::MAX_CONTROL_LEN;
use kernel::prelude::*;

/// What both sides send first; the length of what follows comes next.
pub const BANNER: &[u8; 8] = b"ceph v2\n";
/// Bytes of the banner and the `u16` length after it.
pub const BANNER_PREFIX_LEN: usize = 10;
/// More than any banner has after its prefix; two feature words in fact.
const BANNER_MAX_LEN: usize = 1024;
/// What a msgr1 peer sends first (Ceph `CEPH_BANNER`, `src/include/msgr.h`).
const BANNER_V1: &[u8] = b"ceph v0";

/// Messenger feature: frames of revision 1, which we require (`CEPH_MSGR2_FEATURE_REVISION_1`,
/// Ceph `src/include/msgr.h`). We have no other; compression would be 2.
pub const FEATURE_REVISION_1: u64 = 1;

/// Methods or modes a peer may list when it refuses ours.
const MAX_ALLOWED: usize = 16;

/// Flag of `SERVER_IDENT`: the session goes with the TCP connection (`CEPH_MSG_CONNECT_LOSSY`).
pub const FLAG_LOSSY: u64 = 1;

/// Appends our banner.
pub fn put_banner(e: &mut Encoder<'_>) -> ProtoResult {
    e.bytes(BANNER)?;
    e.u16(16)?;
    e.u64(FEATURE_REVISION_1)?;
    e.u64(FEATURE_REVISION_1)
}

/// Looks at the prefix of the peer's banner, and returns the length of all of it.
pub fn banner_len(prefix: &[u8; BANNER_PREFIX_LEN]) -> ProtoResult<usize> {
    if prefix.starts_with(BANNER_V1) {
        return Err(ProtoError::new(
            "msgr2: banner (the peer speaks msgr1)",
            Reason::Unsupported,
        ));
    }
    let mut d = Decoder::new(prefix);
    if d.bytes(BANNER.len(), "msgr2: banner")? != BANNER {
        return Err(ProtoError::value("msgr2: banner", 0));
    }
    let len = usize::from(d.u16("msgr2: banner")?);
    if len > BANNER_MAX_LEN {
        return Err(ProtoError::value("msgr2: banner length", len as u64));
    }
    Ok(BANNER_PREFIX_LEN.saturating_add(len))
}

/// Checks the feature words of the peer's banner.
pub fn check_banner(payload: &[u8]) -> ProtoResult {
    let mut d = Decoder::new(payload);
    let supported = d.u64("msgr2: banner features")?;
    let required = d.u64("msgr2: banner features")?;
    if supported & FEATURE_REVISION_1 == 0 {
        return Err(ProtoError::new(
            "msgr2: banner (the peer lacks revision 1)",
            Reason::Unsupported,
        ));
    }
    if required & !FEATURE_REVISION_1 != 0 {
        return Err(ProtoError::value(
            "msgr2: banner features required by the peer",
            required,
        ));
    }
    Ok(())
}

/// `HELLO`: who speaks, and how it sees the other's address.
pub struct Hello {
    /// What the sender is.
    pub entity_type: EntityType,
    /// The receiver's address as the sender sees it.
    pub peer_addr: EntityAddr,
}

impl Hello {
    /// Appends the payload.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.u8(self.entity_type.0)?;
        self.peer_addr.encode(e)
    }

    /// Reads the payload.
    pub fn decode(control: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(control);
        Ok(Self {
            entity_type: EntityType(d.u8("msgr2: HELLO entity type")?),
            peer_addr: EntityAddr::decode(&mut d, "msgr2: HELLO address")?,
        })
    }
}

/// Appends `u32 len` and what `f` appends, whose length it is.
pub fn put_sized<T>(
    out: &mut KVec<u8>,
    f: impl FnOnce(&mut KVec<u8>) -> ProtoResult<T>,
) -> ProtoResult<T> {
    let at = out.len();
    Encoder::new(out).u32(0)?;
    let result = f(out)?;
    let len = out.len().saturating_sub(at.saturating_add(4));
    let len = u32::try_from(len)
        .map_err(|_| ProtoError::value("msgr2: authentication payload", len as u64))?;
    Encoder::new(out).patch(at, &len.to_le_bytes())?;
    Ok(result)
}

/// Appends the payload of `AUTH_REQUEST`: the method, the connection modes we would take, and what
/// `f` appends for the method that it returns.
pub fn put_auth_request(
    modes: &[u32],
    out: &mut KVec<u8>,
    f: impl FnOnce(&mut KVec<u8>) -> ProtoResult<u32>,
) -> ProtoResult {
    let at = out.len();
    let mut e = Encoder::new(out);
    e.u32(0)?;
    e.count(modes.len())?;
    for &mode in modes {
        e.u32(mode)?;
    }
    let method = put_sized(out, f)?;
    Encoder::new(out).patch(at, &method.to_le_bytes())
}

/// A list of `u32`, as `AUTH_BAD_METHOD` has two.
pub struct Allowed {
    items: [u32; MAX_ALLOWED],
    len: usize,
}

impl Allowed {
    fn decode(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        let mut items = [0; MAX_ALLOWED];
        let len = d.count(MAX_ALLOWED, 4, step)?;
        for item in items.iter_mut().take(len) {
            *item = d.u32(step)?;
        }
        Ok(Self { items, len })
    }

    /// The items.
    pub fn as_slice(&self) -> &[u32] {
        self.items.get(..self.len).unwrap_or_default()
    }
}

/// `AUTH_BAD_METHOD`: the peer refuses, and says what it would take.
pub struct AuthBadMethod {
    /// The method we tried.
    pub method: u32,
    /// Why not: a negative errno.
    pub result: i32,
    /// Methods it takes.
    pub allowed_methods: Allowed,
    /// Connection modes it takes.
    pub allowed_modes: Allowed,
}

impl AuthBadMethod {
    /// Reads the payload.
    pub fn decode(control: &[u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(control);
        Ok(Self {
            method: d.u32("msgr2: AUTH_BAD_METHOD method")?,
            result: d.i32("msgr2: AUTH_BAD_METHOD result")?,
            allowed_methods: Allowed::decode(&mut d, "msgr2: AUTH_BAD_METHOD methods")?,
            allowed_modes: Allowed::decode(&mut d, "msgr2: AUTH_BAD_METHOD modes")?,
        })
    }
}

/// `AUTH_DONE`: we are who we say.
pub struct AuthDone<'i> {
    /// Our global id.
    pub global_id: u64,
    /// Connection mode from here on.
    pub con_mode: u32,
    /// For the authentication method.
    pub payload: &'i [u8],
}

impl<'i> AuthDone<'i> {
    /// Reads the payload.
    pub fn decode(control: &'i [u8]) -> ProtoResult<Self> {
        let mut d = Decoder::new(control);
        Ok(Self {
            global_id: d.u64("msgr2: AUTH_DONE global id")?,
            con_mode: d.u32("msgr2: AUTH_DONE mode")?,
            payload: d.blob(MAX_CONTROL_LEN as usize, "msgr2: AUTH_DONE payload")?,
        })
    }
}

/// `CLIENT_IDENT`: opens a session.
pub struct ClientIdent {
    /// Our address.
    pub my_addr: EntityAddr,
    /// Whom we mean to reach.
    pub target_addr: EntityAddr,
    /// Our global id.
    pub global_id: u64,
    /// Counts our connections.
    pub global_seq: u64,
    /// Feature bits we have.
    pub supported_features: u64,
    /// Feature bits the peer must have.
    pub required_features: u64,
    /// Names the session, on our side.
    pub cookie: u64,
}

impl ClientIdent {
    /// Appends the payload.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        addrvec::encode(&[self.my_addr], e)?;
        self.target_addr.encode(e)?;
        e.u64(self.global_id)?;
        e.u64(self.global_seq)?;
        e.u64(self.supported_features)?;
        e.u64(self.required_features)?;
        // Flags: we never ask for a lossy session, the server decides.
        e.u64(0)?;
        e.u64(self.cookie)
    }
}

/// `SERVER_IDENT`: the session is open.
pub struct ServerIdent {
    /// Whether the address we meant is among the server's.
    pub is_target: bool,
    /// Feature bits the server has.
    pub supported_features: u64,
    /// Feature bits it wants us to have.
    pub required_features: u64,
    /// [`FLAG_LOSSY`].
    pub flags: u64,
    /// Names the session, on the server's side; 0 if it cannot be resumed.
    pub cookie: u64,
}

impl ServerIdent {
    /// Reads the payload of a server that should be `target`.
    pub fn decode(control: &[u8], target: &EntityAddr) -> ProtoResult<Self> {
        let mut d = Decoder::new(control);
        let mut is_target = false;
        addrvec::for_each(&mut d, "msgr2: SERVER_IDENT addresses", |addr| {
            is_target |= addr.same_endpoint(target);
        })?;
        d.skip(16, "msgr2: SERVER_IDENT global id and seq")?;
        Ok(Self {
            is_target,
            supported_features: d.u64("msgr2: SERVER_IDENT features")?,
            required_features: d.u64("msgr2: SERVER_IDENT required features")?,
            flags: d.u64("msgr2: SERVER_IDENT flags")?,
            cookie: d.u64("msgr2: SERVER_IDENT cookie")?,
        })
    }
}

/// `SESSION_RECONNECT`: resumes a session.
pub struct SessionReconnect {
    /// Our address.
    pub my_addr: EntityAddr,
    /// The session on our side.
    pub client_cookie: u64,
    /// The session on the server's side.
    pub server_cookie: u64,
    /// Counts our connections.
    pub global_seq: u64,
    /// Counts the connections of this session.
    pub connect_seq: u64,
    /// Number of the last message we received.
    pub in_seq: u64,
}

impl SessionReconnect {
    /// Appends the payload.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        addrvec::encode(&[self.my_addr], e)?;
        e.u64(self.client_cookie)?;
        e.u64(self.server_cookie)?;
        e.u64(self.global_seq)?;
        e.u64(self.connect_seq)?;
        e.u64(self.in_seq)
    }
}

/// Header of a message in a `MESSAGE` frame (Ceph `ceph_msg_header2`, `src/include/msgr.h`).
pub struct Header2 {
    /// Number of the message.
    pub seq: u64,
    /// Transaction.
    pub tid: u64,
    /// `CEPH_MSG_*`.
    pub typ: u16,
    /// Priority.
    pub priority: u16,
    /// Version of the front.
    pub version: u16,
    /// Offset of the data in a page.
    pub data_off: u16,
    /// The sender has all messages up to this number.
    pub ack_seq: u64,
    /// Oldest version a reader must know.
    pub compat_version: u16,
}

impl Header2 {
    /// Bytes on the wire.
    pub const LEN: usize = 41;

    /// Appends the header.
    pub fn encode<S: Sink>(&self, e: &mut Encoder<'_, S>) -> ProtoResult {
        e.u64(self.seq)?;
        e.u64(self.tid)?;
        e.u16(self.typ)?;
        e.u16(self.priority)?;
        e.u16(self.version)?;
        // Padding before the data: none.
        e.u32(0)?;
        e.u16(self.data_off)?;
        e.u64(self.ack_seq)?;
        // Flags: none are defined.
        e.u8(0)?;
        e.u16(self.compat_version)?;
        e.u16(0)
    }

    /// Reads the header.
    pub fn decode(control: &[u8]) -> ProtoResult<Self> {
        const STEP: &str = "msgr2: MESSAGE header";
        let mut d = Decoder::new(control);
        let seq = d.u64(STEP)?;
        let tid = d.u64(STEP)?;
        let typ = d.u16(STEP)?;
        let priority = d.u16(STEP)?;
        let version = d.u16(STEP)?;
        d.skip(4, STEP)?;
        let data_off = d.u16(STEP)?;
        let ack_seq = d.u64(STEP)?;
        d.skip(1, STEP)?;
        let compat_version = d.u16(STEP)?;
        d.skip(2, STEP)?;
        Ok(Self {
            seq,
            tid,
            typ,
            priority,
            version,
            data_off,
            ack_seq,
            compat_version,
        })
    }
}
