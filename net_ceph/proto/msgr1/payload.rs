// SPDX-License-Identifier: GPL-2.0-only

//! The structures of messenger v1 (Ceph `src/include/msgr.h`): all packed, all little-endian, none
//! versioned.

use super::super::auth::SessionKey;
use super::super::crypto::{Crc32c, Crypto};
use super::super::error::{ProtoError, ProtoResult, Reason};
use super::super::msg::MsgHeader;
use super::super::session::{check_crc, check_len, Limits};
use super::super::types::{EntityAddr, EntityName, EntityType};
use super::super::wire::{Decoder, Encoder, Fixed, Sink};
use super::CRC_SEED;
use kernel::prelude::*;

/// What both sides send first (`CEPH_BANNER`).
pub const BANNER: &[u8; 9] = b"ceph v027";
/// What a msgr2 peer sends first.
const BANNER_V2: &[u8] = b"ceph v2\n";
/// Bytes of an address in the legacy encoding.
const ADDR_LEN: usize = 136;
/// Bytes that a server sends first: banner, its address, and ours as it sees it.
pub const SERVER_HELLO_LEN: usize = BANNER.len() + 2 * ADDR_LEN;
/// Bytes of a [`ConnectReply`] without the authorizer reply.
pub const CONNECT_REPLY_LEN: usize = 26;
/// Bytes of a message header.
pub const HEADER_LEN: usize = 53;
/// Bytes of a message header that its CRC covers.
const HEADER_CRC_AT: usize = 49;
/// Bytes of a footer with room for a signature.
pub const FOOTER_LEN: usize = 21;
/// Bytes of a footer between peers one of which lacks `MSG_AUTH`.
pub const OLD_FOOTER_LEN: usize = 13;
/// The longest authorizer reply or challenge we accept; those of cephx have about 40 bytes.
const MAX_AUTHORIZER_REPLY: u32 = 4096;

/// Footer flag: the message was sent whole (`CEPH_MSG_FOOTER_COMPLETE`).
const FOOTER_COMPLETE: u8 = 1;
/// Footer flag: there is no data CRC (`CEPH_MSG_FOOTER_NOCRC`).
const FOOTER_NOCRC: u8 = 2;
/// Footer flag: the message is signed (`CEPH_MSG_FOOTER_SIGNED`).
const FOOTER_SIGNED: u8 = 4;

/// Initialization vector of everything that cephx encrypts (`CEPH_AES_IV`, Ceph
/// `src/auth/Crypto.h`).
const AES_IV: &[u8; 16] = b"cephsageyudagreg";

/// What follows (`CEPH_MSGR_TAG_*`).
#[allow(missing_docs)]
pub mod tag {
    pub const READY: u8 = 1;
    pub const RESETSESSION: u8 = 2;
    pub const WAIT: u8 = 3;
    pub const RETRY_SESSION: u8 = 4;
    pub const RETRY_GLOBAL: u8 = 5;
    pub const CLOSE: u8 = 6;
    pub const MSG: u8 = 7;
    pub const ACK: u8 = 8;
    pub const KEEPALIVE: u8 = 9;
    pub const BADPROTOVER: u8 = 10;
    pub const BADAUTHORIZER: u8 = 11;
    pub const FEATURES: u8 = 12;
    pub const SEQ: u8 = 13;
    pub const KEEPALIVE2: u8 = 14;
    pub const KEEPALIVE2_ACK: u8 = 15;
    pub const CHALLENGE_AUTHORIZER: u8 = 16;
}

/// Flag of a connect reply: the session goes with the TCP connection (`CEPH_MSG_CONNECT_LOSSY`).
pub const CONNECT_LOSSY: u8 = 1;

/// Version of the protocol spoken with a kind of daemon (`CEPH_MONC_PROTOCOL` and its like, Ceph
/// `src/include/ceph_fs.h`).
pub fn protocol_version(peer: EntityType) -> ProtoResult<u32> {
    match peer {
        EntityType::MON => Ok(15),
        EntityType::OSD => Ok(24),
        EntityType::MDS => Ok(32),
        other => Err(ProtoError::value(
            "msgr1: protocol of this kind of peer",
            other.0.into(),
        )),
    }
}

/// Appends our banner and address.
pub fn put_banner(my_addr: &EntityAddr, out: &mut KVec<u8>) -> ProtoResult {
    let mut e = Encoder::new(out);
    e.bytes(BANNER)?;
    my_addr.encode_legacy(&mut e)
}

/// What a server sends first.
pub struct ServerHello {
    /// Its address.
    pub peer_addr: EntityAddr,
    /// Ours as it sees it.
    pub my_addr: EntityAddr,
}

impl ServerHello {
    /// Reads banner and addresses.
    pub fn decode(bytes: &[u8]) -> ProtoResult<Self> {
        const STEP: &str = "msgr1: banner address";
        let mut d = Decoder::new(bytes);
        check_banner(d.bytes(BANNER.len(), "msgr1: banner")?)?;
        Ok(Self {
            peer_addr: EntityAddr::decode(&mut d, STEP)?,
            my_addr: EntityAddr::decode(&mut d, STEP)?,
        })
    }
}

/// Checks the first bytes of what a server sends, as many as there are.
pub fn check_banner(start: &[u8]) -> ProtoResult {
    if start.starts_with(BANNER_V2) {
        return Err(ProtoError::new(
            "msgr1: banner (the peer speaks msgr2)",
            Reason::Unsupported,
        ));
    }
    if start.iter().zip(BANNER).any(|(a, b)| a != b) && !BANNER_V2.starts_with(start) {
        return Err(ProtoError::value("msgr1: banner", 0));
    }
    Ok(())
}

/// `ceph_msg_connect`: asks for a session. The authorizer follows it.
pub struct Connect {
    /// Feature bits we have.
    pub features: u64,
    /// Counts our connections.
    pub global_seq: u64,
    /// Counts the connections of this session.
    pub connect_seq: u32,
    /// See [`protocol_version`].
    pub protocol_version: u32,
    /// Method of the authorizer (`AUTH_*`); 0 without one.
    pub authorizer_protocol: u32,
}

impl Connect {
    /// Appends the structure and the authorizer.
    pub fn encode(&self, authorizer: &[u8], out: &mut KVec<u8>) -> ProtoResult {
        let mut e = Encoder::new(out);
        e.u64(self.features)?;
        e.u32(EntityType::CLIENT.0.into())?;
        e.u32(self.global_seq as u32)?;
        e.u32(self.connect_seq)?;
        e.u32(self.protocol_version)?;
        e.u32(self.authorizer_protocol)?;
        e.count(authorizer.len())?;
        // Flags: we never ask for a lossy session, the server decides.
        e.u8(0)?;
        e.bytes(authorizer)
    }
}

/// `ceph_msg_connect_reply`: what the server makes of it. An authorizer reply follows it.
pub struct ConnectReply {
    /// See [`tag`].
    pub tag: u8,
    /// Feature bits both have.
    pub features: u64,
    /// Counts the server's connections.
    pub global_seq: u32,
    /// Counts the connections of this session.
    pub connect_seq: u32,
    /// The server's protocol version.
    pub protocol_version: u32,
    /// Bytes of the authorizer reply.
    pub authorizer_len: usize,
    /// [`CONNECT_LOSSY`].
    pub flags: u8,
}

impl ConnectReply {
    /// Reads the structure.
    pub fn decode(bytes: &[u8; CONNECT_REPLY_LEN]) -> ProtoResult<Self> {
        const STEP: &str = "msgr1: connect reply";
        let mut d = Decoder::new(bytes);
        let tag = d.u8(STEP)?;
        let features = d.u64(STEP)?;
        let global_seq = d.u32(STEP)?;
        let connect_seq = d.u32(STEP)?;
        let protocol_version = d.u32(STEP)?;
        let authorizer_len = d.u32(STEP)?;
        let flags = d.u8(STEP)?;
        check_len(
            authorizer_len,
            MAX_AUTHORIZER_REPLY,
            "msgr1: authorizer reply length",
        )?;
        Ok(Self {
            tag,
            features,
            global_seq,
            connect_seq,
            protocol_version,
            authorizer_len: authorizer_len as usize,
            flags,
        })
    }
}

/// Appends a header from `src`, and returns its CRC.
pub fn put_header(
    header: &MsgHeader,
    src: EntityName,
    crc32c: Crc32c,
    out: &mut KVec<u8>,
) -> ProtoResult<u32> {
    let mut bytes = [0; HEADER_CRC_AT];
    let mut fixed = Fixed::new(&mut bytes);
    let mut e = Encoder::new(&mut fixed);
    e.u64(header.seq)?;
    e.u64(header.tid)?;
    e.u16(header.typ)?;
    e.u16(header.priority)?;
    e.u16(header.version)?;
    e.u32(header.front_len)?;
    e.u32(header.middle_len)?;
    e.u32(header.data_len)?;
    e.u16(header.data_off)?;
    src.encode(&mut e)?;
    e.u16(header.compat_version)?;
    e.u16(0)?;
    let crc = crc32c(CRC_SEED, &bytes);
    out.append(&bytes)?;
    out.append(&crc.to_le_bytes())?;
    Ok(crc)
}

/// Reads a header and returns it with its CRC, verified.
pub fn header(
    bytes: &[u8; HEADER_LEN],
    crc32c: Crc32c,
    limits: &Limits,
) -> ProtoResult<(MsgHeader, u32)> {
    const STEP: &str = "msgr1: header";
    let mut d = Decoder::new(bytes);
    let covered = d.bytes(HEADER_CRC_AT, STEP)?;
    let crc = d.u32(STEP)?;
    check_crc(crc32c(CRC_SEED, covered), crc, "msgr1: header crc")?;

    let mut d = Decoder::new(covered);
    let seq = d.u64(STEP)?;
    let tid = d.u64(STEP)?;
    let typ = d.u16(STEP)?;
    let priority = d.u16(STEP)?;
    let version = d.u16(STEP)?;
    let front_len = d.u32(STEP)?;
    let middle_len = d.u32(STEP)?;
    let data_len = d.u32(STEP)?;
    let data_off = d.u16(STEP)?;
    EntityName::decode(&mut d, STEP)?;
    let compat_version = d.u16(STEP)?;
    check_len(front_len, limits.front, "msgr1: front length")?;
    check_len(middle_len, limits.middle, "msgr1: middle length")?;
    check_len(data_len, limits.data, "msgr1: data length")?;
    let header = MsgHeader {
        seq,
        tid,
        typ,
        priority,
        version,
        compat_version,
        front_len,
        middle_len,
        data_len,
        data_off,
    };
    Ok((header, crc))
}

/// What a footer is about: the CRCs of a message, and what else its signature covers.
#[derive(Clone, Copy)]
pub struct Sealed {
    /// Number of the message.
    pub seq: u64,
    /// CRC of the header.
    pub header_crc: u32,
    /// Lengths of front, middle and data.
    pub lens: [u32; 3],
    /// CRCs of front, middle and data.
    pub crcs: [u32; 3],
}

/// How the messages of a session are sealed.
#[derive(Clone, Copy)]
pub struct Seal {
    /// Footers have room for a signature (both sides have `MSG_AUTH`).
    pub wide: bool,
    /// Signs, if there is a key.
    pub key: Option<SessionKey>,
    /// Data have CRCs.
    pub data_crc: bool,
}

impl Seal {
    /// Bytes of a footer.
    pub const fn footer_len(&self) -> usize {
        match self.wide {
            true => FOOTER_LEN,
            false => OLD_FOOTER_LEN,
        }
    }

    /// Appends the footer.
    pub fn put_footer(
        &self,
        sealed: &Sealed,
        crypto: &dyn Crypto,
        out: &mut KVec<u8>,
    ) -> ProtoResult {
        let mut sealed = *sealed;
        let mut flags = FOOTER_COMPLETE;
        let [front, middle, data] = sealed.crcs;
        let [_, _, data_len] = sealed.lens;
        if data_len == 0 {
            sealed.crcs = [front, middle, 0];
        } else if !self.data_crc {
            sealed.crcs = [front, middle, 0];
            flags |= FOOTER_NOCRC;
        } else {
            sealed.crcs = [front, middle, data];
        }
        let mut e = Encoder::new(out);
        for crc in sealed.crcs {
            e.u32(crc)?;
        }
        if self.wide {
            let signature = match &self.key {
                Some(key) => {
                    flags |= FOOTER_SIGNED;
                    sign(key, &sealed, crypto)?
                }
                None => 0,
            };
            e.u64(signature)?;
        }
        e.u8(flags)
    }

    /// Reads a footer, compares its CRCs and checks its signature.
    pub fn check_footer(&self, footer: &[u8], sealed: &Sealed, crypto: &dyn Crypto) -> ProtoResult {
        const STEP: &str = "msgr1: footer";
        let mut d = Decoder::new(footer);
        let [front, middle, data] = sealed.crcs;
        check_crc(front, d.u32(STEP)?, "msgr1: front crc")?;
        check_crc(middle, d.u32(STEP)?, "msgr1: middle crc")?;
        let sent_data_crc = d.u32(STEP)?;
        let signature = if self.wide { d.u64(STEP)? } else { 0 };
        let flags = d.u8(STEP)?;
        if flags & FOOTER_COMPLETE == 0 {
            return Err(ProtoError::value(
                "msgr1: message was aborted",
                flags.into(),
            ));
        }
        if self.data_crc && flags & FOOTER_NOCRC == 0 {
            check_crc(data, sent_data_crc, "msgr1: data crc")?;
        }
        if let Some(key) = &self.key {
            let sealed = Sealed {
                crcs: [front, middle, sent_data_crc],
                ..*sealed
            };
            if sign(key, &sealed, crypto)? != signature {
                return Err(ProtoError::new("msgr1: message signature", Reason::BadAuth));
            }
        }
        Ok(())
    }
}

/// The signature of a message: its CRCs, lengths and number, encrypted and folded into 64 bits
/// (Ceph `src/auth/cephx/CephxSessionHandler.cc`, the form for peers with `CEPHX_V2`).
fn sign(key: &SessionKey, sealed: &Sealed, crypto: &dyn Crypto) -> ProtoResult<u64> {
    let [front_len, middle_len, data_len] = sealed.lens;
    let [front_crc, middle_crc, data_crc] = sealed.crcs;
    let words = [
        sealed.header_crc,
        front_crc,
        front_len,
        middle_crc,
        middle_len,
        data_crc,
        data_len,
        sealed.seq as u32,
    ];
    let mut block = [0u8; 32];
    for (to, word) in block.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    crypto.aes_cbc_encrypt(&key.0, AES_IV, &mut block)?;
    let mut d = Decoder::new(&block);
    let mut signature = 0;
    for _ in 0..4 {
        signature ^= d.u64("msgr1: message signature")?;
    }
    Ok(signature)
}
