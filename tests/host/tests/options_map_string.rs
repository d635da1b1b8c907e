// SPDX-License-Identifier: GPL-2.0-only

//! Map strings: what is accepted, and the errno of what is not.

use ceph_proto_host::map_spec::{CompressionHint, Force, MapSpec, RemoveSpec};
use ceph_proto_host::options::{ClientOptions, KeyStore, MsMode, Options, ReadFromReplica};
use ceph_proto_host::proto::key::CryptoKey;
use kernel::prelude::*;
use proptest::prelude::*;

/// A key made by `ceph-authtool --gen-print-key` (18.2.7).
const SECRET: &str = "AQDR4VpnAAAAABAAq2Jw8C5gM0lQ0Y7y1mKe9A==";

/// A keyring with one key, `client.admin`.
struct Ring;

impl KeyStore for Ring {
    fn ceph_key(&self, name: &[u8]) -> Result<CryptoKey> {
        match name {
            b"client.admin" => Ok(CryptoKey::from_base64(SECRET.as_bytes()).unwrap()),
            _ => Err(EPERM),
        }
    }
}

fn parse(text: &str) -> Result<MapSpec> {
    MapSpec::parse(text.as_bytes(), &Ring).map_err(|e| e.errno)
}

fn options(text: &str) -> Result<MapSpec> {
    parse(&format!("1.2.3.4 {text} rbd img"))
}

fn shown(spec: &MapSpec) -> String {
    struct Core<'a>(&'a Options);
    impl std::fmt::Display for Core<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            kernel::fmt::Display::fmt(&ClientOptions(self.0), f)
        }
    }
    Core(&spec.client).to_string()
}

#[test]
fn what_rbd_map_writes() {
    let s = parse("10.77.0.1:6789 name=admin,key=client.admin,queue_depth=64 rbd img -").unwrap();
    assert_eq!(s.client.monitors.len(), 1);
    assert_eq!(s.client.monitors[0], "10.77.0.1:6789".parse().unwrap());
    assert_eq!(s.client.entity_name(), b"admin");
    assert!(s.client.secret.is_some());
    assert_eq!(s.client.ms_mode, MsMode::Legacy);
    assert_eq!(s.options.queue_depth, 64);
    assert_eq!((&*s.pool, &*s.image), (&b"rbd"[..], &b"img"[..]));
    assert!(s.snap.is_none());
    assert!(!s.read_only());
}

#[test]
fn defaults() {
    let s = parse("1.2.3.4 share rbd img").unwrap();
    let (c, o) = (&s.client, &s.options);
    assert_eq!(
        (
            c.mount_timeout,
            c.osd_idle_ttl,
            c.osd_keepalive,
            c.osd_request_timeout
        ),
        (60, 60, 5, 0)
    );
    assert!(c.share && c.crc && c.sign_messages && c.tcp_nodelay);
    assert!(!c.abort_on_full && !c.rxbounce);
    assert_eq!(c.entity_name(), b"guest");
    assert_eq!(
        (o.queue_depth, o.alloc_size, o.lock_timeout),
        (128, 65536, 0)
    );
    assert!(o.trim && !o.read_only && !o.exclusive && !o.lock_on_read);
    assert_eq!(shown(&s), "");
}

#[test]
fn monitors() {
    let ok = |text: &str| parse(&format!("{text} share rbd img")).map(|s| s.client.monitors);
    let many = |n| vec!["1.2.3.4"; n].join(",");
    assert_eq!(
        ok("1.2.3.4,[::1]:3300,[fe80::2],::3,[5.6.7.8]:1")
            .unwrap()
            .as_slice(),
        [
            "1.2.3.4:6789".parse().unwrap(),
            "[::1]:3300".parse().unwrap(),
            "[fe80::2]:6789".parse().unwrap(),
            "[::3]:6789".parse().unwrap(),
            "5.6.7.8:1".parse().unwrap(),
        ]
    );
    assert_eq!(ok("1.2.3.4:0,1.2.3.4:").unwrap()[1].port(), 6789);
    assert_eq!(ok("1.2.3.4:65535").unwrap()[0].port(), 65535);
    assert_eq!(ok(&many(31)).unwrap().len(), 31);
    for bad in [
        "1.2.3.4:65536",
        "1.2.3.4,",
        ",1.2.3.4",
        "1.2.3",
        "1.2.3.4.5",
        "mon.example.org",
        "[::1",
        "[::1]]",
        "1.2.3.4:x",
        "1.2.3.4;5.6.7.8",
        "[::1]3300",
        "[]",
        ":6789",
    ] {
        assert_eq!(ok(bad).err(), Some(EINVAL), "{bad}");
    }
    assert_eq!(ok(&many(32)).err(), Some(EINVAL));
}

#[test]
fn words() {
    for short in ["", " \n", "1.2.3.4", "1.2.3.4 share", "1.2.3.4 share rbd\n"] {
        assert_eq!(parse(short).err(), Some(EINVAL), "{short:?}");
    }
    let s = parse(" \t1.2.3.4\x0b share\x0crbd  img\r snap1\n").unwrap();
    assert_eq!(&**s.snap.as_ref().unwrap(), b"snap1");
    assert!(s.read_only());
    let name = |n| format!("1.2.3.4 share rbd img {}", "s".repeat(n));
    assert!(parse(&name(250)).is_ok());
    assert_eq!(parse(&name(251)).err(), Some(ENAMETOOLONG));
}

#[test]
fn every_option() {
    let s = options(&format!(
        "fsid=a0b1c2d3-e4f5-0617-2839-4a5b6c7d8e9f,ip=9.8.7.6,name=a,secret={SECRET},\
         ms_mode=prefer-crc,noshare,nocrc,nocephx_sign_messages,notcp_nodelay,mount_timeout=0x10,\
         osdkeepalive=+7,osd_idle_ttl=010,osd_request_timeout=9,crush_location=rack:r|host:h,\
         read_from_replica=localize,rxbounce,abort_on_full,,=x,cephx_require_signatures,\
         nocephx_require_signatures,alloc_size=4096,lock_timeout=3,ro,lock_on_read,exclusive,notrim,\
         compression_hint=compressible,_pool_ns=ns"
    ))
    .unwrap();
    let c = &s.client;
    assert_eq!(c.fsid.unwrap()[..4], [0xa0, 0xb1, 0xc2, 0xd3]);
    assert_eq!(c.my_ip, Some("9.8.7.6".parse().unwrap()));
    assert_eq!(
        (c.mount_timeout, c.osd_keepalive, c.osd_idle_ttl),
        (16, 7, 8)
    );
    assert_eq!(c.read_from_replica, ReadFromReplica::Localize);
    assert_eq!(&*c.crush_location[0].bucket_type, b"host");
    let o = &s.options;
    assert_eq!((o.alloc_size, o.lock_timeout), (4096, 3));
    assert!(o.read_only && o.lock_on_read && o.exclusive && !o.trim);
    assert_eq!(o.compression_hint, CompressionHint::Compressible);
    assert_eq!(&**o.pool_ns.as_ref().unwrap(), b"ns");
    assert_eq!(
        shown(&s),
        "name=a,secret=<hidden>,crush_location=host:h|rack:r,read_from_replica=localize,\
         ms_mode=prefer-crc,fsid=a0b1c2d3-e4f5-0617-2839-4a5b6c7d8e9f,noshare,nocrc,\
         nocephx_sign_messages,notcp_nodelay,abort_on_full,rxbounce,mount_timeout=16,\
         osd_idle_ttl=8,osdkeepalivetimeout=7,osd_request_timeout=9"
    );
    assert!(!options("ro,rw").unwrap().read_only());
    assert!(options("nocrc,crc,noshare,share").unwrap().client.share);
}

#[test]
fn bad_options() {
    let einval = [
        "bogus",
        "bogus=1",
        "fsid=",
        "fsid",
        "fsid=12",
        "fsid=zz",
        "ip=x",
        "ip=1.2.3.4,ip=::1]",
        "name=",
        "name",
        "secret=",
        "secret=AAA",
        "secret=!!!!",
        "secret=AQAAAA==",
        "ms_mode=",
        "ms_mode=v2",
        "ms_mode",
        "crc=1",
        "nocrc=0",
        "norxbounce",
        "noro",
        "share=yes",
        "mount_timeout=",
        "mount_timeout",
        "mount_timeout=-1",
        "mount_timeout=1s",
        "mount_timeout=2147484",
        "mount_timeout=4294967296",
        "mount_timeout=0x",
        "mount_timeout=08",
        "mount_timeout=++1",
        "osdkeepalive=0",
        "osd_idle_ttl=0",
        "crush_location=",
        "crush_location=x",
        "crush_location=:x",
        "crush_location=x:",
        "crush_location=a:b|",
        "read_from_replica=yes",
        "queue_depth=0",
        "queue_depth",
        "queue_depth=x",
        "alloc_size=511",
        "alloc_size=513",
        "alloc_size=0",
        "lock_timeout=2147484",
        "ro=1",
        "notrim=1",
        "compression_hint=",
        "compression_hint=zstd",
        "compression_hint",
        "_pool_ns=",
        "_pool_ns",
        "trim",
    ];
    for bad in einval {
        assert_eq!(options(bad).err(), Some(EINVAL), "{bad}");
    }
    assert_eq!(options("key=client.nobody").err(), Some(EPERM));
    assert_eq!(options("key=").err(), Some(EINVAL));
    assert_eq!(options("crush_location=a:b|a:b").err(), Some(EEXIST));
    for edge in [
        "mount_timeout=2147483",
        "alloc_size=512",
        "queue_depth=1",
        "osdkeepalive=1",
    ] {
        assert!(options(edge).is_ok(), "{edge}");
    }
}

#[test]
fn unsupported_is_refused() {
    for (text, supported) in [
        ("share", true),
        ("ms_mode=legacy", true),
        ("ms_mode=crc", true),
        ("ms_mode=prefer-crc", true),
        ("ms_mode=secure", false),
        ("ms_mode=prefer-secure", false),
        ("read_from_replica=no", true),
        ("read_from_replica=balance", true),
        ("read_from_replica=localize", true),
        ("rxbounce", true),
    ] {
        let got = options(text)
            .unwrap()
            .client
            .check_supported()
            .map_err(|e| e.errno);
        assert_eq!(
            got,
            if supported { Ok(()) } else { Err(EOPNOTSUPP) },
            "{text}"
        );
    }
}

#[test]
fn sharing_is_strict() {
    let base = "name=a,key=client.admin,crush_location=rack:r";
    let one = options(base).unwrap().client;
    assert!(one.same_client(&options(base).unwrap().client));
    let other = "AQDR4VpnAAAAABAAq2Jw8C5gM0lQ0Y7y1mKe8A==";
    for change in [
        "noshare",
        "nocrc",
        "nocephx_sign_messages",
        "notcp_nodelay",
        "abort_on_full",
        "rxbounce",
        "ms_mode=crc",
        "mount_timeout=1",
        "osd_idle_ttl=1",
        "osdkeepalive=1",
        "osd_request_timeout=1",
        "fsid=00000000000000000000000000000001",
        "ip=1.1.1.1",
        "name=b",
        "crush_location=rack:q",
        "read_from_replica=balance",
        &format!("secret={other}"),
    ] {
        let two = options(&format!("{base},{change}")).unwrap().client;
        assert!(!one.same_client(&two), "{change}");
        assert!(!two.same_client(&one), "{change}");
    }
    let at = |mons: &str| parse(&format!("{mons} {base} rbd img")).unwrap().client;
    assert!(one.same_client(&at("9.9.9.9,1.2.3.4")));
    assert!(!one.same_client(&at("9.9.9.9")));
    assert!(!one.same_client(&at("1.2.3.4:3300")));
}

#[test]
fn remove_strings() {
    let remove = |text: &str| RemoveSpec::parse(text.as_bytes()).map_err(|e| e.errno);
    for (text, id, force) in [
        ("0\n", 0, Force::No),
        (" 12 force", 12, Force::Open),
        ("3 full-force\n", 3, Force::Full),
        ("2147483647\tfull-force ", 2147483647, Force::Full),
    ] {
        assert_eq!(remove(text), Ok(RemoveSpec { id, force }), "{text}");
    }
    for bad in [
        "",
        "\n",
        "x",
        "-1",
        "2147483648",
        "1 forced",
        "1 f",
        "rbd1",
        "1 full",
        "1 full-forced",
        "1 fullforce",
    ] {
        assert_eq!(remove(bad), Err(EINVAL), "{bad}");
    }
}

proptest! {
    /// No bytes make the parser panic, and what it takes it shows without control characters.
    #[test]
    fn any_bytes(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = MapSpec::parse(&text, &Ring);
        let _ = RemoveSpec::parse(&text);
        let mut line = b"1.2.3.4 name=".to_vec();
        line.extend(text.iter().filter(|c| !c.is_ascii_whitespace() && **c != 11 && **c != b','));
        line.extend(b"x p i");
        if let Ok(spec) = MapSpec::parse(&line, &Ring) {
            prop_assert!(shown(&spec).bytes().all(|c| c.is_ascii_graphic()));
        }
    }
}
