// SPDX-License-Identifier: GPL-2.0-only

//! Addresses, names, ids and keys: what is read is written, and read again as it was.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget};
use ceph_proto_host::proto::key::CryptoKey;
use ceph_proto_host::proto::types::{addrvec, AddrType, EntityAddr, EntityName, Fsid};
use ceph_proto_host::proto::wire::{Decoder, Encoder};
use kernel::prelude::*;

fuzz_target!(Budget::DECODER, |data| {
    let mut out = KVec::new();
    if let Ok(addr) = EntityAddr::decode(&mut Decoder::new(data), "fuzz") {
        addr.encode(&mut Encoder::new(&mut out)).unwrap();
        let again = EntityAddr::decode(&mut Decoder::new(&out), "fuzz").unwrap();
        assert_eq!(addr, again);
        assert!(again.same_endpoint(&addr));
        assert!(addr.to_string().len() < 128);
        out.clear();
        addr.encode_legacy(&mut Encoder::new(&mut out)).unwrap();
        assert_eq!(out.len(), 136);
        let again = EntityAddr::decode(&mut Decoder::new(&out), "fuzz").unwrap();
        assert_eq!((again.kind, again.nonce), (AddrType::LEGACY, addr.nonce));
        assert_eq!(again.sock, addr.sock);
    }

    let mut addrs = Vec::new();
    if addrvec::for_each(&mut Decoder::new(data), "fuzz", |a| addrs.push(a)).is_ok() {
        assert!(addrs.len() <= 64);
        out.clear();
        addrvec::encode(&addrs, &mut Encoder::new(&mut out)).unwrap();
        let mut again = Vec::new();
        addrvec::for_each(&mut Decoder::new(&out), "fuzz", |a| again.push(a)).unwrap();
        assert_eq!(addrs, again);
        for kind in [AddrType::LEGACY, AddrType::MSGR2] {
            let picked = addrvec::pick(&mut Decoder::new(data), kind, "fuzz").unwrap();
            assert_eq!(picked, addrs.iter().copied().find(|a| a.kind == kind));
        }
    }

    if let Ok(name) = EntityName::decode(&mut Decoder::new(data), "fuzz") {
        out.clear();
        name.encode(&mut Encoder::new(&mut out)).unwrap();
        assert_eq!(out[..], data[..9]);
        let _ = name.to_string();
    }
    if let Ok(id) = Fsid::decode(&mut Decoder::new(data), "fuzz") {
        assert_eq!(Fsid::parse(&id.to_string()), Ok(id));
    }
    if let Ok(id) = std::str::from_utf8(data)
        .map_err(|_| ())
        .and_then(|t| Fsid::parse(t).map_err(|_| ()))
    {
        assert_eq!(id.to_string().as_bytes(), data.to_ascii_lowercase());
    }
    for key in [CryptoKey::from_bytes(data), CryptoKey::from_base64(data)]
        .into_iter()
        .flatten()
    {
        out.clear();
        key.encode(&mut Encoder::new(&mut out)).unwrap();
        assert!(CryptoKey::from_bytes(&out) == Ok(key));
    }
});
