// SPDX-License-Identifier: GPL-2.0-only

//! What user space writes: add strings, options, remove strings.

#![no_main]

use ceph_proto_fuzz::{fuzz_target, Budget};
use ceph_proto_host::map_spec::{MapSpec, RemoveSpec};
use ceph_proto_host::options::{decimal, ClientOptions, KeyStore};
use ceph_proto_host::proto::key::CryptoKey;
use kernel::prelude::*;

/// Has some keys.
struct Keys;

impl KeyStore for Keys {
    fn ceph_key(&self, name: &[u8]) -> Result<CryptoKey> {
        match name.len() {
            0..8 => Ok(CryptoKey::from_secret([name.len() as u8; 16])),
            _ => Err(EPERM),
        }
    }
}

fuzz_target!(Budget::DECODER, |data| {
    match MapSpec::parse(data, &Keys) {
        Ok(spec) => {
            assert!((1..=31).contains(&spec.client.monitors.len()));
            assert!(!spec.pool.is_empty() && !spec.image.is_empty());
            assert!(spec.snap.as_ref().is_none_or(|s| s.len() <= 250));
            assert!(spec.options.queue_depth > 0);
            assert!(spec.options.alloc_size.is_power_of_two());
            assert!(spec.options.alloc_size >= 512);
            assert!(spec.snap.is_none() || spec.read_only());
            assert!(spec.client.osd_keepalive > 0 && spec.client.osd_idle_ttl > 0);
            assert!(spec.client.crush_location.is_sorted());
            assert!(spec.client.same_settings(&spec.client) == spec.client.share);
            let _ = spec.client.check_supported();
            let shown = ClientOptions(&spec.client).to_string();
            assert!(shown.bytes().all(|c| c.is_ascii_graphic()), "{shown}");
            // What is shown can be asked for, but for the secret and a word that differs.
            let shown = shown
                .replace("osdkeepalivetimeout", "osdkeepalive")
                .replace("secret=<hidden>", "");
            if !shown.contains('\\') && !shown.is_empty() {
                let text = format!("1.2.3.4 {shown} p i");
                let again =
                    MapSpec::parse(text.as_bytes(), &Keys).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(again.client.fsid, spec.client.fsid);
                assert_eq!(again.client.name, spec.client.name);
                assert_eq!(again.client.crush_location, spec.client.crush_location);
                assert_eq!(again.client.ms_mode, spec.client.ms_mode);
                assert_eq!(again.client.mount_timeout, spec.client.mount_timeout);
            }
        }
        Err(e) => {
            assert!(e.errno.to_errno() < 0);
            assert!(e.to_string().len() <= 128 + 4 * data.len());
        }
    }
    match RemoveSpec::parse(data) {
        Ok(spec) => assert!(spec.id <= i32::MAX as u32),
        Err(e) => assert!(!e.to_string().is_empty()),
    }
    let _ = decimal(b"key", Some(data));
});
