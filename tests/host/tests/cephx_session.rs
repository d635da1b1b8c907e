// SPDX-License-Identifier: GPL-2.0-only

//! cephx: a recorded session with a real monitor and a real OSD, word for word (the test's randomness
//! repeats, so what we say must be what they accepted then), and what forged or broken answers give.
//!
//! The vectors are of a cluster thrown away; made by `cargo test --test live` with `CEPH_LIVE_RECORD`.

use ceph_proto_host::proto::auth::{ConnectionAuth, AUTH_CEPHX, AUTH_NONE};
use ceph_proto_host::proto::cephx::{
    AuthClient, Credentials, MonAuth, Progress, ServiceAuth, SERVICE_MON, SERVICE_OSD,
};
use ceph_proto_host::proto::error::Reason;
use ceph_proto_host::proto::key::CryptoKey;
use ceph_proto_host::proto::mon_msg::AuthReply;
use ceph_proto_host::proto::wire::Encoder;
use ceph_proto_host::rust_crypto::RustCrypto;
use kernel::alloc::fail_after;
use kernel::prelude::*;
use proptest::prelude::*;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../vectors/cephx/", $name)).as_slice()
    };
}

const NOW: u64 = 1000;
/// The life of a service ticket by Ceph's defaults (`auth_service_ticket_ttl`), in seconds.
const SERVICE_TTL: u64 = 3600;
/// That of the AUTH ticket (`auth_mon_ticket_ttl`).
const AUTH_TTL: u64 = 72 * 3600;

fn key() -> CryptoKey {
    CryptoKey::from_base64(vector!("mon_key")).unwrap()
}

fn client() -> AuthClient {
    AuthClient::new(b"admin", Some(key()), SERVICE_OSD).unwrap()
}

/// Splits what was recorded of `AUTH_DONE`.
fn done(recorded: &[u8]) -> (u64, &[u8]) {
    let (gid, payload) = recorded.split_first_chunk().unwrap();
    (u64::from_le_bytes(*gid), payload)
}

/// The monitor's side of the talk, up to where `AUTH_DONE` would be taken.
fn asked(client: &mut AuthClient, crypto: &RustCrypto) {
    let mut auth = MonAuth {
        client,
        crypto,
        now: NOW,
    };
    let mut out = KVec::new();
    assert_eq!(auth.auth_request(&mut out).unwrap(), AUTH_CEPHX);
    assert_eq!(&out[..], vector!("mon_1_request"));
    out.clear();
    auth.auth_reply_more(vector!("mon_2_challenge"), &mut out)
        .unwrap();
    assert_eq!(&out[..], vector!("mon_3_answer"));
}

fn authenticated() -> AuthClient {
    let crypto = RustCrypto::seeded(1);
    let mut client = client();
    asked(&mut client, &crypto);
    let (gid, payload) = done(vector!("mon_4_done"));
    let mut auth = MonAuth {
        client: &mut client,
        crypto: &crypto,
        now: NOW,
    };
    let done = auth.auth_done(gid, 1, payload).unwrap();
    assert!(done.session_key.is_some());
    assert!(done.connection_secret.is_empty());
    client
}

#[test]
fn the_monitor_gives_tickets() {
    let client = authenticated();
    assert!(client.is_authenticated());
    assert_eq!(client.global_id(), done(vector!("mon_4_done")).0);
    let usable = |now| client.credentials(SERVICE_OSD, now).is_ok();
    assert!(usable(NOW) && usable(NOW + SERVICE_TTL - 1));
    assert!(!usable(NOW + SERVICE_TTL));
    assert!(client.credentials(SERVICE_MON, NOW).is_err());
}

#[test]
fn tickets_are_renewed_after_three_quarters() {
    let crypto = RustCrypto::seeded(5);
    let renewal = |now: u64| {
        let mut client = authenticated();
        let mut out = KVec::new();
        let due = client.renewal(&crypto, now, &mut out).unwrap();
        assert_eq!(due, !out.is_empty());
        out.get(1).copied()
    };
    assert_eq!(renewal(NOW), None);
    assert_eq!(renewal(NOW + SERVICE_TTL * 3 / 4 - 1), None);
    assert_eq!(renewal(NOW + SERVICE_TTL * 3 / 4), Some(2), "OSD ticket");
    assert_eq!(renewal(NOW + AUTH_TTL * 3 / 4 - 1), Some(2), "OSD ticket");
    assert_eq!(renewal(NOW + AUTH_TTL * 3 / 4), Some(1), "AUTH ticket");
    let mut client = authenticated();
    client.invalidate(SERVICE_OSD);
    assert!(client.credentials(SERVICE_OSD, NOW).is_err());
    let mut out = KVec::new();
    assert!(client.renewal(&crypto, NOW, &mut out).unwrap());
    assert_eq!(out[1], 1, "a refused ticket makes the AUTH ticket due too");
    // A request is under way: no second one.
    assert!(client.is_authenticated());
    assert!(!client.renewal(&crypto, NOW, &mut out).unwrap());
}

fn authorizer() -> ServiceAuth<RustCrypto> {
    let credentials = authenticated().credentials(SERVICE_OSD, NOW).unwrap();
    assert!(matches!(credentials, Credentials::Cephx(_)));
    ServiceAuth::new(credentials, RustCrypto::seeded(2))
}

#[test]
fn the_osd_takes_the_authorizer_and_proves_itself() {
    let (_, payload) = done(vector!("osd_4_done"));
    let mut auth = authorizer();
    let mut out = KVec::new();
    assert_eq!(auth.auth_request(&mut out).unwrap(), AUTH_CEPHX);
    assert_eq!(&out[..], vector!("osd_1_request"));
    out.clear();
    auth.auth_reply_more(vector!("osd_2_challenge"), &mut out)
        .unwrap();
    assert_eq!(&out[..], vector!("osd_3_answer"));
    assert!(auth.session_key().is_none(), "not verified yet");
    let done = auth.auth_done(0, 1, payload).unwrap();
    assert!(done.session_key.is_some() && done.session_key == auth.session_key());

    // msgr1 has the same payloads.
    let mut auth = authorizer();
    out.clear();
    assert_eq!(auth.authorizer(&mut out).unwrap(), AUTH_CEPHX);
    assert_eq!(&out[..], vector!("osd_1_request"));
    out.clear();
    auth.authorizer_challenge(vector!("osd_2_challenge"), &mut out)
        .unwrap();
    assert_eq!(&out[..], vector!("osd_3_answer"));
    auth.authorizer_reply(payload).unwrap();
    assert!(auth.session_key().is_some());
    auth.authorizer_rejected();
    assert!(auth.session_key().is_none());
}

#[test]
fn a_replayed_reply_proves_nothing() {
    let credentials = authenticated().credentials(SERVICE_OSD, NOW).unwrap();
    let mut auth = ServiceAuth::new(credentials, RustCrypto::seeded(3));
    auth.auth_request(&mut KVec::new()).unwrap();
    let Err(e) = auth.auth_done(0, 1, done(vector!("osd_4_done")).1) else {
        panic!("another session's reply was taken");
    };
    assert_eq!(e.reason, Reason::BadAuth);
}

#[test]
fn a_wrong_key_does_not_open_the_ticket() {
    let crypto = RustCrypto::seeded(1);
    let key = CryptoKey::from_secret([9; 16]);
    let mut client = AuthClient::new(b"admin", Some(key), SERVICE_OSD).unwrap();
    let mut auth = MonAuth {
        client: &mut client,
        crypto: &crypto,
        now: NOW,
    };
    let mut out = KVec::new();
    auth.auth_request(&mut out).unwrap();
    auth.auth_reply_more(vector!("mon_2_challenge"), &mut out)
        .unwrap();
    let (gid, payload) = done(vector!("mon_4_done"));
    let Err(e) = auth.auth_done(gid, 1, payload) else {
        panic!("opened with a wrong key");
    };
    assert_eq!(e.reason, Reason::BadAuth);
    assert!(!client.is_authenticated());
}

#[test]
fn answers_out_of_order_are_refused() {
    let crypto = RustCrypto::seeded(1);
    let mut client = client();
    let (gid, payload) = done(vector!("mon_4_done"));
    let mut auth = MonAuth {
        client: &mut client,
        crypto: &crypto,
        now: NOW,
    };
    let mut out = KVec::new();
    assert!(auth.auth_done(gid, 1, payload).is_err());
    assert!(auth
        .auth_reply_more(vector!("mon_2_challenge"), &mut out)
        .is_err());
    auth.auth_request(&mut out).unwrap();
    assert!(auth.auth_done(gid, 1, payload).is_err());
    auth.auth_reply_more(vector!("mon_2_challenge"), &mut out)
        .unwrap();
    assert!(auth
        .auth_reply_more(vector!("mon_2_challenge"), &mut out)
        .is_err());
    assert!(auth.auth_done(0, 1, payload).is_err(), "no global id");
    let bad = auth.auth_bad_method(AUTH_CEPHX, -13, &[AUTH_CEPHX], &[1]);
    assert_eq!(bad.unwrap_err().reason, Reason::Refused(-13));
    let tickets = client.credentials(SERVICE_OSD, NOW);
    assert!(tickets.is_err(), "tickets without a global id");
}

#[test]
fn without_a_key_there_is_no_cephx() {
    let crypto = RustCrypto::seeded(1);
    let mut client = AuthClient::new(b"x", None, SERVICE_OSD).unwrap();
    let mut out = KVec::new();
    client.hello(&mut out).unwrap();
    let mut reply = AuthReply {
        protocol: AUTH_CEPHX,
        result: 0,
        global_id: 4,
        payload: vector!("mon_2_challenge"),
        text: b"",
    };
    assert!(client
        .handle_auth_reply(&crypto, &reply, NOW, &mut out)
        .is_err());
    // A cluster that asks for none.
    client.hello(&mut out).unwrap();
    reply.protocol = AUTH_NONE;
    reply.payload = b"";
    let done = client.handle_auth_reply(&crypto, &reply, NOW, &mut out);
    assert_eq!(done.unwrap(), Progress::Done);
    assert!(client.is_authenticated());
    assert!(!client.renewal(&crypto, NOW, &mut out).unwrap());
    let mut auth = ServiceAuth::new(client.credentials(SERVICE_OSD, NOW).unwrap(), crypto);
    out.clear();
    assert_eq!(auth.auth_request(&mut out).unwrap(), AUTH_NONE);
    assert_eq!(&out[..], b"\x01\x08\0\0\0\x01\0\0\0x\x04\0\0\0\0\0\0\0");
    assert!(auth.auth_done(0, 1, b"").unwrap().session_key.is_none());
}

#[test]
fn allocation_failures_leave_an_error() {
    for n in 0..200 {
        let crypto = RustCrypto::seeded(1);
        let mut client = client();
        asked(&mut client, &crypto);
        let (gid, payload) = done(vector!("mon_4_done"));
        let mut auth = MonAuth {
            client: &mut client,
            crypto: &crypto,
            now: NOW,
        };
        fail_after(Some(n));
        let result = auth.auth_done(gid, 1, payload);
        fail_after(None);
        match result {
            Err(e) => assert_eq!(e.reason, Reason::NoMemory),
            Ok(_) => return assert!(n > 3),
        }
    }
    panic!("allocates without end");
}

/// The text form of `bytes`, made by rules of our own.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            text.push(if i <= chunk.len() {
                DIGITS[(n >> (18 - 6 * i)) as usize & 63].into()
            } else {
                '='
            });
        }
    }
    text
}

#[test]
fn keys() {
    let mut bytes = KVec::new();
    key().encode(&mut Encoder::new(&mut bytes)).unwrap();
    assert_eq!(base64(&bytes).as_bytes(), vector!("mon_key"));
    assert!(CryptoKey::from_bytes(&bytes).unwrap() == key());
    assert!(CryptoKey::from_bytes(&[&bytes[..], b"x"].concat()).is_err());
    assert!(CryptoKey::from_bytes(&bytes[..27]).is_err());

    bytes[0] = 2;
    let krb5 = CryptoKey::from_base64(base64(&bytes).as_bytes());
    let Err(e) = krb5 else {
        panic!("type 2 was taken");
    };
    assert_eq!(e.reason, Reason::Unsupported);
    for bad in [
        "",
        "A",
        "AQ",
        "AQ==",
        "AQ=A",
        "!!!!",
        "AQAAAAAAAAAAAAAAAA==",
    ] {
        assert!(CryptoKey::from_base64(bad.as_bytes()).is_err(), "{bad}");
    }
    let text = vector!("mon_key");
    assert!(CryptoKey::from_base64(&[&text[..20], b"\n", &text[20..], b"\n"].concat()).is_ok());
    assert!(CryptoKey::from_base64(&text[..39]).is_err());
}

proptest! {
    #[test]
    fn base64_reads_what_was_written(secret: [u8; 16], sec: u32, nsec: u32) {
        let bytes = [&1u16.to_le_bytes()[..], &sec.to_le_bytes(), &nsec.to_le_bytes(),
            &16u16.to_le_bytes(), &secret].concat();
        let key = CryptoKey::from_base64(base64(&bytes).as_bytes()).unwrap();
        prop_assert_eq!(key.session_key().0, secret);
        let mut out = KVec::new();
        key.encode(&mut Encoder::new(&mut out)).unwrap();
        prop_assert_eq!(&out[..], &bytes[..]);
    }

    #[test]
    fn any_text_is_no_panic(text: Vec<u8>) {
        let _ = CryptoKey::from_base64(&text);
        let _ = CryptoKey::from_bytes(&text);
    }

    /// A reply changed anywhere is refused or changes nothing that matters; never a panic.
    #[test]
    fn broken_replies(at: usize, bits in 1u8.., cut: usize) {
        let crypto = RustCrypto::seeded(1);
        let (gid, payload) = done(vector!("mon_4_done"));
        let mut broken = payload.to_vec();
        let at = at % broken.len();
        broken[at] ^= bits;
        broken.truncate(cut % (2 * payload.len()));
        let mut client = client();
        asked(&mut client, &crypto);
        let mut auth = MonAuth { client: &mut client, crypto: &crypto, now: NOW };
        let _ = auth.auth_done(gid, 1, &broken);

        let (_, payload) = done(vector!("osd_4_done"));
        let mut broken = payload.to_vec();
        let at = at % broken.len();
        broken[at] ^= bits;
        let mut auth = authorizer();
        auth.auth_request(&mut KVec::new()).unwrap();
        prop_assert!(auth.auth_done(0, 1, &broken).is_err() || at > 40);
        let mut auth = authorizer();
        let _ = auth.auth_reply_more(&broken, &mut KVec::new());
    }
}
