// SPDX-License-Identifier: GPL-2.0-only

//! A recorded authentication, with everything in it decrypted, as the targets' cryptography has it.

use super::{counted, Seeds};
use ceph_proto_fuzz::plain::RANDOM;
use ceph_proto_host::proto::auth::SessionKey;
use ceph_proto_host::proto::cephx::seal::IV;
use ceph_proto_host::proto::crypto::Crypto;
use ceph_proto_host::proto::key::CryptoKey;
use ceph_proto_host::proto::wire::Decoder;
use ceph_proto_host::rust_crypto::RustCrypto;

/// `CEPH_ENTITY_TYPE_AUTH` and `CEPH_ENTITY_TYPE_OSD`, as services.
const AUTH: u32 = 0x20;
const OSD: u32 = 0x04;

fn open(sealed: &[u8], key: &SessionKey) -> Vec<u8> {
    let mut plain = sealed.to_vec();
    RustCrypto::default()
        .aes_cbc_decrypt(&key.0, IV, &mut plain)
        .expect("whole blocks");
    plain
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

/// A reply with tickets, decrypted, and the keys in it.
fn tickets(d: &mut Decoder<'_>, key: &SessionKey, keys: &mut Vec<(u32, SessionKey)>) -> Vec<u8> {
    let mut out = vec![d.u8("version").unwrap()];
    let count = d.u32("count").unwrap();
    out.extend(count.to_le_bytes());
    for _ in 0..count {
        let service = d.u32("service").unwrap();
        out.extend(service.to_le_bytes());
        out.push(d.u8("version").unwrap());
        let plain = open(d.blob(1 << 16, "sealed").unwrap(), key);
        // Behind the envelope's 9 bytes: a version, and the key's type, time and length.
        let secret = plain[22..38].try_into().expect("a key");
        keys.push((service, SessionKey(secret)));
        out.extend(blob(&plain));
        out.push(d.u8("is the ticket sealed").unwrap());
        out.extend(blob(d.blob(1 << 16, "ticket").unwrap()));
    }
    out
}

pub fn put(s: &Seeds) {
    let secret = CryptoKey::from_base64(&s.vector("cephx/mon_key")).expect("a key");
    let done = s.vector("cephx/mon_4_done");
    let (gid, payload) = done.split_at(8);
    let mut d = Decoder::new(payload);
    let mut keys = Vec::new();
    let mut reply = d.bytes(6, "op and result").unwrap().to_vec();
    let first = tickets(&mut d, &secret.session_key(), &mut keys);
    let auth_key = keys[0].1;
    reply.extend(&first);
    let connection_secret = d.blob(1 << 16, "connection secret").unwrap();
    reply.extend(blob(connection_secret));
    let mut extra = Decoder::new(d.blob(1 << 16, "service tickets").unwrap());
    let second = tickets(&mut extra, &auth_key, &mut keys);
    reply.extend(blob(&second));

    let script = [
        &(AUTH | OSD).to_le_bytes()[..],
        &[1; 8],
        &counted(&first),
        &second,
    ]
    .concat();
    s.put("cephx_tickets", "auth", &script);
    let script = [&OSD.to_le_bytes()[..], &[0; 8], &counted(&second), &first].concat();
    s.put("cephx_tickets", "service", &script);

    let osd_key = keys
        .iter()
        .find(|(service, _)| *service == OSD)
        .expect("a ticket")
        .1;
    let challenge = open(&s.vector("cephx/osd_2_challenge"), &osd_key);
    let osd_done = s.vector("cephx/osd_4_done");
    // A global id and a length first; behind the envelope's 9 bytes a version, and our nonce + 1.
    let mut proof = open(&osd_done[12..], &osd_key);
    let nonce = u64::from_le_bytes([RANDOM; 8]) + 1;
    proof[10..18].copy_from_slice(&nonce.to_le_bytes());

    let gid = [&[0xff], gid].concat();
    let mon_challenge = counted(&s.vector("cephx/mon_2_challenge"));
    let talk = [&[0, 0, 1][..], &mon_challenge, &[2], &gid, &counted(&reply)].concat();
    let with_osd = [
        &[9, 0, 10, 0][..],
        &[11, 0],
        &counted(&challenge),
        &[12, 0],
        &counted(&blob(&proof)),
    ]
    .concat();
    s.put("cephx_client", "msgr2", &[&talk[..], &with_osd].concat());
    let ages = [&[8, 0xfb, 0xe0, 0x2e, 5, 6, 2, 5, 7, 3][..]].concat();
    s.put("cephx_client", "renewal", &[&talk[..], &ages].concat());
    // A monitor that gives out no number, and then tickets.
    let principal = [&[0, 2, 0, 0, 0, 0][..], &second].concat();
    let talk = [
        &[0, 0, 1][..],
        &mon_challenge,
        &[2, 0],
        &counted(&reply),
        &[2, 0],
        &counted(&principal),
    ]
    .concat();
    s.put("cephx_client", "nobody", &talk);
    // The same in messages.
    let talk = [
        &[0, 3, 4, 2, 0][..],
        &gid,
        &mon_challenge,
        &[4, 2, 0],
        &gid,
        &counted(&reply),
    ]
    .concat();
    let with_osd = [
        &[9, 0, 10, 1][..],
        &[11, 1],
        &counted(&challenge),
        &[12, 1],
        &counted(&blob(&proof)),
        &[13, 0, 14, 0, 1, 2, 161],
    ]
    .concat();
    s.put("cephx_client", "msgr1", &[&talk[..], &with_osd].concat());
    s.put(
        "cephx_client",
        "none",
        &[1, 0, 2, 7, 0, 0, 9, 0, 10, 0, 12, 0, 0, 0],
    );
}
