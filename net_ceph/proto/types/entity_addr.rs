// SPDX-License-Identifier: GPL-2.0-only

//! `entity_addr_t`: where a Ceph process listens or connects from, and which process it is.

use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::wire::{Decoder, Encoder};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use kernel::fmt;

/// `AF_INET` as Ceph sends it, which is Linux's number.
const AF_INET: u16 = 2;
/// `AF_INET6` as Ceph sends it, which is Linux's number.
const AF_INET6: u16 = 10;
/// `sizeof(struct sockaddr_in)`.
const SOCKADDR_IN_LEN: usize = 16;
/// `sizeof(struct sockaddr_in6)`, also what an address without a family takes.
const SOCKADDR_IN6_LEN: usize = 28;
/// `sizeof(struct sockaddr_storage)`: the most an address may take.
const SOCKADDR_STORAGE_LEN: usize = 128;
/// First byte of an address in the encoding without a type (before `MSG_ADDR2`).
const MARKER_LEGACY: u8 = 0;
/// First byte of an address in the versioned encoding (`MSG_ADDR2`).
const MARKER_VERSIONED: u8 = 1;

/// Which messenger protocol an address speaks (Ceph `entity_addr_t::type_t`,
/// `src/msg/msg_types.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddrType(pub u32);

impl AddrType {
    /// No address.
    pub const NONE: Self = Self(0);
    /// msgr1.
    pub const LEGACY: Self = Self(1);
    /// msgr2.
    pub const MSGR2: Self = Self(2);
    /// Either; what a client that listens nowhere calls its own address.
    pub const ANY: Self = Self(3);

    /// The word Ceph prints before the address.
    const fn name(self) -> &'static str {
        match self {
            Self::NONE => "none",
            Self::LEGACY => "v1",
            Self::MSGR2 => "v2",
            Self::ANY => "any",
            _ => "???",
        }
    }
}

/// An address, and the nonce that tells one process at it from the next.
///
/// On the wire, versioned: `u8 1`, a section (v1) of `u32 type, u32 nonce, u32 len` and `len` bytes
/// of a Linux `sockaddr` whose family is little-endian. Legacy: `u8 0`, three bytes, `u32 nonce` and
/// a 128-byte `sockaddr_storage` whose family is big-endian (Ceph `src/msg/msg_types.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntityAddr {
    /// Protocol.
    pub kind: AddrType,
    /// Chosen by the process, e.g. its pid; 0 for monitors.
    pub nonce: u32,
    /// IP address and port; `None` when the family is neither IPv4 nor IPv6.
    pub sock: Option<SocketAddr>,
}

impl EntityAddr {
    /// No address at all.
    pub const BLANK: Self = Self {
        kind: AddrType::NONE,
        nonce: 0,
        sock: None,
    };

    /// An address of `kind`.
    pub const fn new(kind: AddrType, nonce: u32, sock: SocketAddr) -> Self {
        Self {
            kind,
            nonce,
            sock: Some(sock),
        }
    }

    /// Whether no IP address is known: none given, or the unspecified one.
    pub fn is_blank(&self) -> bool {
        self.sock.is_none_or(|s| s.ip().is_unspecified())
    }

    /// Whether both name the same process, whatever protocol is spoken: IP, port and nonce.
    pub fn same_endpoint(&self, other: &Self) -> bool {
        let ends = |a: &Self| a.sock.map(|s| (s.ip(), s.port()));
        self.nonce == other.nonce && ends(self) == ends(other)
    }

    /// The same address with port 0, as a client that listens nowhere gives it.
    pub fn without_port(mut self) -> Self {
        if let Some(sock) = self.sock.as_mut() {
            sock.set_port(0);
        }
        self
    }

    /// Appends the versioned encoding.
    pub fn encode(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.u8(MARKER_VERSIONED)?;
        e.section(1, 1, |e| {
            e.u32(self.kind.0)?;
            e.u32(self.nonce)?;
            e.sized(|e| {
                e.u16(self.family())?;
                self.encode_sockaddr_rest(e)
            })
        })
    }

    /// Appends the legacy encoding, 136 bytes; the type is lost.
    pub fn encode_legacy(&self, e: &mut Encoder<'_>) -> ProtoResult {
        e.u32(0)?;
        e.u32(self.nonce)?;
        let start = e.len();
        e.bytes(&self.family().to_be_bytes())?;
        self.encode_sockaddr_rest(e)?;
        let written = e.len().saturating_sub(start);
        e.zeros(SOCKADDR_STORAGE_LEN.saturating_sub(written))
    }

    /// Reads either encoding. A legacy one becomes [`AddrType::LEGACY`].
    pub fn decode(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        match d.u8(step)? {
            MARKER_LEGACY => Self::decode_legacy_body(d, step),
            MARKER_VERSIONED => Self::decode_versioned_body(d, step),
            other => Err(ProtoError::value(step, other.into())),
        }
    }

    /// Reads what follows the legacy marker.
    pub(super) fn decode_legacy_body(d: &mut Decoder<'_>, step: &'static str) -> ProtoResult<Self> {
        d.skip(3, step)?;
        let nonce = d.u32(step)?;
        let mut raw = Decoder::new(d.bytes(SOCKADDR_STORAGE_LEN, step)?);
        let family = u16::from_be_bytes(raw.array(step)?);
        Ok(Self {
            kind: AddrType::LEGACY,
            nonce,
            sock: decode_sockaddr_rest(family, &raw),
        })
    }

    /// Reads what follows the versioned marker.
    pub(super) fn decode_versioned_body(
        d: &mut Decoder<'_>,
        step: &'static str,
    ) -> ProtoResult<Self> {
        let (_, mut body) = d.section(1, step)?;
        let kind = AddrType(body.u32(step)?);
        let nonce = body.u32(step)?;
        let len = body.u32(step)? as usize;
        if len > SOCKADDR_STORAGE_LEN {
            return Err(ProtoError::new(
                step,
                Reason::TooLong {
                    len: len as u64,
                    max: SOCKADDR_STORAGE_LEN as u64,
                },
            ));
        }
        let mut raw = Decoder::new(body.bytes(len, step)?);
        let sock = if raw.is_empty() {
            None
        } else {
            let family = raw.u16(step)?;
            decode_sockaddr_rest(family, &raw)
        };
        Ok(Self { kind, nonce, sock })
    }

    const fn family(&self) -> u16 {
        match self.sock {
            Some(SocketAddr::V4(_)) => AF_INET,
            Some(SocketAddr::V6(_)) => AF_INET6,
            None => 0,
        }
    }

    /// Appends a `sockaddr` without its family, at its natural length.
    fn encode_sockaddr_rest(&self, e: &mut Encoder<'_>) -> ProtoResult {
        match self.sock {
            Some(SocketAddr::V4(v4)) => {
                e.bytes(&v4.port().to_be_bytes())?;
                e.bytes(&v4.ip().octets())?;
                e.zeros(SOCKADDR_IN_LEN - 8)
            }
            Some(SocketAddr::V6(v6)) => {
                e.bytes(&v6.port().to_be_bytes())?;
                e.bytes(&v6.flowinfo().to_be_bytes())?;
                e.bytes(&v6.ip().octets())?;
                e.u32(v6.scope_id())
            }
            None => e.zeros(SOCKADDR_IN6_LEN - 2),
        }
    }
}

/// Reads a `sockaddr` behind its family; missing bytes count as zero.
fn decode_sockaddr_rest(family: u16, raw: &Decoder<'_>) -> Option<SocketAddr> {
    let mut padded = [0u8; SOCKADDR_IN6_LEN];
    for (to, from) in padded.iter_mut().zip(raw.rest()) {
        *to = *from;
    }
    let mut d = Decoder::new(&padded);
    let step = "sockaddr";
    let port = u16::from_be_bytes(d.array(step).ok()?);
    match family {
        AF_INET => {
            let ip = Ipv4Addr::from(d.array::<4>(step).ok()?);
            Some(SocketAddr::V4(SocketAddrV4::new(ip, port)))
        }
        AF_INET6 => {
            let flowinfo = u32::from_be_bytes(d.array(step).ok()?);
            let ip = Ipv6Addr::from(d.array::<16>(step).ok()?);
            let scope_id = d.u32(step).ok()?;
            Some(SocketAddr::V6(SocketAddrV6::new(
                ip, port, flowinfo, scope_id,
            )))
        }
        _ => None,
    }
}

impl fmt::Display for EntityAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sock {
            Some(sock) => write!(f, "{}:{}/{}", self.kind.name(), sock, self.nonce),
            None => write!(f, "-"),
        }
    }
}
