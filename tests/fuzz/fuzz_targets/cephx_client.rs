// SPDX-License-Identifier: GPL-2.0-only

//! The cephx client as a whole: what a monitor and an OSD say, in any order, while tickets grow old.

#![no_main]

use ceph_proto_fuzz::plain::{Plain, RANDOM};
use ceph_proto_fuzz::{fuzz_target, Budget, Input};
use ceph_proto_host::proto::auth::{ConnectionAuth, AUTH_CEPHX, AUTH_NONE};
use ceph_proto_host::proto::cephx::{
    AuthClient, Credentials, MonAuth, Progress, ServiceAuth, SERVICE_AUTH, SERVICE_OSD,
};
use ceph_proto_host::proto::key::CryptoKey;
use ceph_proto_host::proto::mon_msg::AuthReply;
use kernel::prelude::*;

/// Each step may copy a ticket, of at most 64 KiB, several times.
const BUDGET: Budget = Budget {
    base: 64 << 10,
    per_byte: 1024,
};

struct World {
    client: AuthClient,
    has_key: bool,
    now: u64,
    service: Option<ServiceAuth<Plain>>,
    is_none: bool,
    out: KVec<u8>,
}

impl World {
    fn mon(&mut self) -> (MonAuth<'_>, &mut KVec<u8>) {
        let mon = MonAuth {
            client: &mut self.client,
            crypto: &Plain,
            now: self.now,
        };
        (mon, &mut self.out)
    }

    fn step(&mut self, i: &mut Input<'_>) {
        self.out.clear();
        match i.u8() % 15 {
            0 => {
                let (mut mon, out) = self.mon();
                let method = mon.auth_request(out).unwrap();
                assert!(!self.client.is_authenticated());
                assert_eq!(method == AUTH_CEPHX, self.has_key);
            }
            1 => {
                let (mut mon, out) = self.mon();
                let _ = mon.auth_reply_more(i.bytes(), out);
            }
            2 => {
                let gid = i.number();
                let (mut mon, _) = self.mon();
                if let Ok(done) = mon.auth_done(gid, 1, i.bytes()) {
                    assert!(self.client.is_authenticated());
                    assert_eq!(
                        done.session_key.is_some(),
                        self.client.method() == AUTH_CEPHX
                    );
                    assert!(done.connection_secret.len() <= 64);
                }
            }
            3 => {
                self.client.hello(&mut self.out).unwrap();
                assert!(!self.client.is_authenticated());
            }
            4 => {
                let reply = AuthReply {
                    protocol: i.u8().into(),
                    result: -i32::from(i.u8() & 3),
                    global_id: i.number(),
                    payload: i.bytes(),
                    text: b"",
                };
                let before = self.client.is_authenticated();
                let progress =
                    self.client
                        .handle_auth_reply(&Plain, &reply, self.now, &mut self.out);
                match progress {
                    Ok(Progress::Send(protocol)) => {
                        assert_eq!(protocol, AUTH_CEPHX);
                        assert!(self.has_key && !self.out.is_empty());
                    }
                    Ok(Progress::Done) => {
                        assert!(self.client.is_authenticated() && self.out.is_empty())
                    }
                    Err(_) => assert_eq!(self.client.is_authenticated(), before),
                }
            }
            5 => {
                let due = self.client.renewal(&Plain, self.now, &mut self.out);
                if let Ok(due) = due {
                    assert_eq!(due, !self.out.is_empty());
                    self.out.clear();
                    let again = self.client.renewal(&Plain, self.now, &mut self.out);
                    assert!(!due || again == Ok(false), "asks twice");
                }
            }
            6 => {
                let service = 1 << (i.u8() & 31);
                self.client.invalidate(service);
                for service in [service, SERVICE_AUTH] {
                    let now = self.client.credentials(service, self.now);
                    assert!(!matches!(now, Ok(Credentials::Cephx(_))));
                }
            }
            7 => self.client.reset(),
            8 => self.now = self.now.saturating_add(i.number()),
            9 => {
                let service = i.pick(&[SERVICE_OSD, SERVICE_AUTH, 1]);
                if let Ok(credentials) = self.client.credentials(service, self.now) {
                    self.is_none = matches!(credentials, Credentials::None { .. });
                    assert_eq!(self.is_none, self.client.method() == AUTH_NONE);
                    self.service = Some(ServiceAuth::new(credentials, Plain));
                }
            }
            step => {
                if let Some(mut service) = self.service.take() {
                    self.with_service(&mut service, step, i);
                    self.service = Some(service);
                } else {
                    self.without_service(i);
                }
            }
        }
        assert!(self.out.len() <= (64 << 10) + 512, "sends too much");
        assert!(
            !self.client.is_authenticated() || self.client.global_id() != 0,
            "authenticated as nobody"
        );
    }

    /// What a monitor's connection does beside.
    fn without_service(&mut self, i: &mut Input<'_>) {
        let (mut mon, out) = self.mon();
        assert_eq!(mon.authorizer(out), Ok(0));
        assert!(out.is_empty() && mon.session_key().is_none());
        assert!(mon.authorizer_challenge(i.bytes(), out).is_err());
        mon.authorizer_rejected();
        let methods = [i.u8().into()];
        let refusal = mon.auth_bad_method(2, i.u8() as i8 as i32, &methods, &[1]);
        assert!(refusal.is_err_and(|e| e.to_errno().to_errno() < 0));
    }

    fn with_service(&mut self, s: &mut ServiceAuth<Plain>, step: u8, i: &mut Input<'_>) {
        let out = &mut self.out;
        let flip = i.bool();
        match step {
            10 => {
                let method = if flip {
                    s.authorizer(out)
                } else {
                    s.auth_request(out)
                };
                assert_eq!(method == Ok(AUTH_NONE), self.is_none);
                assert!(s.session_key().is_none(), "not verified yet");
            }
            11 => {
                let payload = i.bytes();
                let _ = match flip {
                    true => s.authorizer_challenge(payload, out),
                    false => s.auth_reply_more(payload, out),
                };
            }
            12 => {
                let payload = i.bytes();
                let done = match flip {
                    true => s.authorizer_reply(payload),
                    false => s.auth_done(1, 1, payload).map(|_| ()),
                };
                if done.is_ok() && !self.is_none {
                    // Who answers must have seen the nonce.
                    let proof = [RANDOM; 8].map(|b| b);
                    let nonce = u64::from_le_bytes(proof) + 1;
                    let unsent = 1u64.to_le_bytes();
                    let seen = |n: [u8; 8]| payload.windows(8).any(|w| w == n);
                    assert!(seen(nonce.to_le_bytes()) || seen(unsent));
                    assert!(s.session_key().is_some());
                }
            }
            13 => {
                s.authorizer_rejected();
                assert!(s.session_key().is_none());
            }
            _ => {
                let modes = [i.u8().into()];
                let refusal = s.auth_bad_method(i.u8().into(), i.u8() as i8 as i32, &[2], &modes);
                assert!(refusal.is_err_and(|e| e.to_errno().to_errno() < 0));
            }
        }
    }
}

fuzz_target!(BUDGET, |data| {
    let mut i = Input::new(data);
    let has_key = !i.bool();
    let key = has_key.then(|| CryptoKey::from_secret([3; 16]));
    let mut world = World {
        client: AuthClient::new(b"admin", key, SERVICE_OSD).unwrap(),
        has_key,
        now: 1000,
        service: None,
        is_none: false,
        out: KVec::new(),
    };
    while !i.is_empty() {
        world.step(&mut i);
    }
});
