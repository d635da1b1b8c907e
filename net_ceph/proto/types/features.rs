// SPDX-License-Identifier: GPL-2.0-only

//! Feature bits: what two processes tell each other they understand.
//!
//! A bit that was used before for something else counts only together with the marker of its
//! incarnation, so each constant is a mask and is tested whole with [`has`] (Ceph
//! `src/include/ceph_features.h`).

/// Marks bits reused since Jewel.
const INCARNATION_2: u64 = 1 << 57;
/// Marks bits reused since Mimic.
const INCARNATION_3: u64 = INCARNATION_2 | 1 << 28;

/// Whether all bits of `mask` are in `features`.
#[inline]
pub const fn has(features: u64, mask: u64) -> bool {
    features & mask == mask
}

/// Message headers without the source's address.
pub const NOSRCADDR: u64 = 1 << 1;
/// Peer is Nautilus or newer.
pub const SERVER_NAUTILUS: u64 = 1 << 2 | INCARNATION_3;
/// File locks (file system only).
pub const FLOCK: u64 = 1 << 3;
/// Subscriptions with flags.
pub const SUBSCRIBE2: u64 = 1 << 4;
/// Monitors have names.
pub const MONNAMES: u64 = 1 << 5;
/// msgr1: sequence numbers are exchanged on reconnect.
pub const RECONNECT_SEQ: u64 = 1 << 6;
/// Directory layout hash (file system only).
pub const DIRLAYOUTHASH: u64 = 1 << 7;
/// Object locators in operations.
pub const OBJECTLOCATOR: u64 = 1 << 8;
/// 64-bit pool ids.
pub const PGID64: u64 = 1 << 9;
/// Third encoding of pools.
pub const PGPOOL3: u64 = 1 << 11;
/// Versioned encoding of OSD structures.
pub const OSDENC: u64 = 1 << 13;
/// Versioned encoding of monitor structures.
pub const MONENC: u64 = 1 << 15;
/// CRUSH tunables, first set.
pub const CRUSH_TUNABLES: u64 = 1 << 18;
/// Peer is Luminous or newer; also resend on split, back-off, upmap and `choose_args`.
pub const SERVER_LUMINOUS: u64 = 1 << 21 | INCARNATION_2;
/// msgr1: messages can be signed.
pub const MSG_AUTH: u64 = 1 << 23;
/// CRUSH tunables, second set.
pub const CRUSH_TUNABLES2: u64 = 1 << 25;
/// Create replies carry the inode (file system only).
pub const REPLY_CREATE_INODE: u64 = 1 << 27;
/// Peer is Mimic or newer.
pub const SERVER_MIMIC: u64 = 1 << 28 | INCARNATION_2;
/// Versioned encoding of metadata structures (file system only).
pub const MDSENC: u64 = 1 << 29;
/// Placement seeds mixed with the pool id.
pub const OSDHASHPSPOOL: u64 = 1 << 30;
/// Cache tiers.
pub const OSD_CACHEPOOL: u64 = 1 << 35;
/// CRUSH rules with more steps (for erasure coding).
pub const CRUSH_V2: u64 = 1 << 36;
/// Export targets (file system only).
pub const EXPORT_PEER: u64 = 1 << 37;
/// OSD maps in separate client and OSD sections.
pub const OSDMAP_ENC: u64 = 1 << 39;
/// Inline data (file system only).
pub const MDS_INLINE_DATA: u64 = 1 << 40;
/// CRUSH tunables, third set; also primary affinity.
pub const CRUSH_TUNABLES3: u64 = 1 << 41;
/// Keepalives that are answered.
pub const MSGR_KEEPALIVE2: u64 = 1 << 42;
/// Resend operations when a pool changes.
pub const OSD_POOLRESEND: u64 = 1 << 43;
/// Quotas (file system only).
pub const MDS_QUOTA: u64 = 1 << 47;
/// Straw2 buckets.
pub const CRUSH_V4: u64 = 1 << 48;
/// Operations encoded with the fields the OSD needs first.
pub const NEW_OSDOP_ENCODING: u64 = 1 << 56;
/// Peer is Jewel or newer; also subscriptions with state.
pub const SERVER_JEWEL: u64 = 1 << 57;
/// CRUSH tunables, fifth set; also the newer encoding of operation replies.
pub const CRUSH_TUNABLES5: u64 = 1 << 58;
/// Typed addresses and address vectors.
pub const MSG_ADDR2: u64 = 1 << 59;
/// cephx: authorizers with a challenge, and the wider message signature.
pub const CEPHX_V2: u64 = 1 << 61;

/// What we advertise: the bits a current C client advertises (Linux
/// `include/linux/ceph/ceph_features.h`), since servers choose encodings and behaviour by them.
pub const SUPPORTED_DEFAULT: u64 = NOSRCADDR
    | SERVER_NAUTILUS
    | FLOCK
    | SUBSCRIBE2
    | MONNAMES
    | RECONNECT_SEQ
    | DIRLAYOUTHASH
    | PGID64
    | PGPOOL3
    | OSDENC
    | MONENC
    | CRUSH_TUNABLES
    | SERVER_LUMINOUS
    | MSG_AUTH
    | CRUSH_TUNABLES2
    | REPLY_CREATE_INODE
    | SERVER_MIMIC
    | MDSENC
    | OSDHASHPSPOOL
    | OSD_CACHEPOOL
    | CRUSH_V2
    | EXPORT_PEER
    | OSDMAP_ENC
    | MDS_INLINE_DATA
    | CRUSH_TUNABLES3
    | MSGR_KEEPALIVE2
    | OSD_POOLRESEND
    | MDS_QUOTA
    | CRUSH_V4
    | NEW_OSDOP_ENCODING
    | SERVER_JEWEL
    | CRUSH_TUNABLES5
    | MSG_ADDR2
    | CEPHX_V2;

/// What a peer must have for us to talk to it.
pub const REQUIRED_DEFAULT: u64 = 0;
