// SPDX-License-Identifier: GPL-2.0-only

//! What daemons sent to the kernel's C client (`msgr/krbd.streams`), as scripts for sessions: the
//! frames, without their checksums.

use super::{counted, Seeds};
use ceph_proto_fuzz::session::{frame_v2, message_v1};

/// Steps of a script.
const CONNECT: [u8; 2] = [0, 0];
const FEED: u8 = 2;
const CONTROL: u8 = 3;
const MESSAGE: u8 = 5;
/// A message of ours, a keepalive, an acknowledgement.
const OURS: [u8; 16] = [7, 1, 2, 0, b'h', b'i', 0, 0, 9, 0, 8, 1, 0, 0, 0, 0];
const ACK: [u8; 4] = [0, 0, 0, 9];

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0u32, |bits, c| {
            let digit = DIGITS.iter().position(|d| d == c).expect("base64");
            bits << 6 | digit as u32
        });
        let bits = bits << (6 * (4 - group.len()));
        out.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    out
}

/// What the server sent over each connection.
fn streams(s: &Seeds) -> Vec<Vec<u8>> {
    let text = String::from_utf8(s.vector("msgr/krbd.streams")).expect("text");
    let mut streams = Vec::new();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("connection", _)) => streams.push(Vec::new()),
            Some(("<", bytes)) => streams
                .last_mut()
                .expect("a connection")
                .extend(base64(bytes)),
            _ => {}
        }
    }
    streams
}

fn le32(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize
}

pub fn put(s: &Seeds) {
    for (n, stream) in streams(s).iter().enumerate() {
        if stream.starts_with(b"ceph v2\n") {
            v2(s, n, stream);
        } else {
            v1(s, n, stream);
        }
    }
    made(s);
}

/// Cuts what does not fit into a session's limits short.
fn cut(segment: &[u8], most: usize) -> &[u8] {
    &segment[..segment.len().min(most)]
}

fn message(front: &[u8], middle: &[u8], data: &[u8]) -> Vec<u8> {
    let mut script = vec![MESSAGE, 0, 9];
    script.extend(counted(cut(front, 4096)));
    script.extend(counted(cut(middle, 512)));
    script.extend(counted(cut(data, 4096)));
    script
}

fn v2(s: &Seeds, n: usize, stream: &[u8]) {
    let banner = 10 + usize::from(u16::from_le_bytes([stream[8], stream[9]]));
    let (banner, mut rest) = stream.split_at(banner);
    // The peer that sessions of the target expect: an OSD, known by its address.
    let mut script = [&[0][..], &CONNECT, &[FEED], &counted(banner)].concat();
    let mut frames = 0;
    while rest.len() >= 32 {
        let (tag, count) = (rest[0], usize::from(rest[1]));
        let lens: Vec<_> = (0..4).map(|i| le32(&rest[2 + 6 * i..])).collect();
        let crc = if lens[0] > 0 { 4 } else { 0 };
        let epilogue = if count > 1 { 13 } else { 0 };
        let total = 32 + lens.iter().sum::<usize>() + crc + epilogue;
        let Some(frame) = rest.get(..total) else {
            break;
        };
        rest = &rest[total..];
        let mut at = 32;
        let segments: Vec<_> = (0..4)
            .map(|i| {
                let segment = &frame[at..at + lens[i]];
                at += lens[i] + if i == 0 { crc } else { 0 };
                segment
            })
            .collect();
        let segments = [segments[0], segments[1], segments[2], segments[3]];
        frames += 1;
        if frames < 40 {
            let short = segments.map(|seg| cut(seg, 1024));
            s.put(
                "msgr2_frame",
                &format!("{n}-{frames}"),
                &frame_v2(tag, &short),
            );
        }
        if frames < 30 {
            script.extend(match tag {
                17 => message(segments[1], segments[2], segments[3]),
                _ => [&[CONTROL, tag], &counted(segments[0])[..]].concat(),
            });
        }
    }
    s.put("msgr2_frame", &format!("{n}-banner"), banner);
    script.extend(OURS);
    s.put("msgr2_session", &n.to_string(), &script);
}

fn v1(s: &Seeds, n: usize, stream: &[u8]) {
    const HELLO: usize = 9 + 2 * 136;
    let (hello, rest) = stream.split_at(HELLO);
    s.put(
        "msgr1_payload",
        &format!("{n}-hello"),
        &[&[0], hello].concat(),
    );
    let reply = &rest[..26];
    s.put(
        "msgr1_payload",
        &format!("{n}-reply"),
        &[&[1], reply].concat(),
    );
    let mut script = [&[0][..], &CONNECT, &[FEED], &counted(hello)].concat();
    script.push(FEED);
    script.extend(counted(cut(rest, 4096)));
    script.extend(OURS);
    s.put("msgr1_session", &n.to_string(), &script);
}

/// Handshakes with the peer that the target's sessions expect, through to messages.
fn made(s: &Seeds) {
    let addr4 = |kind: u8, port: u16| {
        let head = [
            1, 1, 1, 28, 0, 0, 0, kind, 0, 0, 0, 7, 0, 0, 0, 16, 0, 0, 0, 2, 0,
        ];
        [&head[..], &port.to_be_bytes(), &[10, 1, 2, 3], &[0; 8]].concat()
    };
    let control = |tag: u8, payload: &[u8]| [&[CONTROL, tag][..], &counted(payload)].concat();
    let ident = |lossy: u8| {
        [
            &[2, 1, 0, 0, 0][..],
            &addr4(2, 6800),
            &[3; 16],
            &[0xff; 8],
            &[0; 8],
            &[lossy, 0, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat()
    };
    let banner = [
        &b"ceph v2\n"[..],
        &[16, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[0; 8],
    ]
    .concat();
    let hello = [&[4][..], &addr4(2, 51234)].concat();
    let more = [&[3, 0, 0, 0][..], b"abc"].concat();
    let done = [&[8; 8][..], &[1, 0, 0, 0], &[0; 4]].concat();
    let authenticated = [
        &CONNECT[..],
        &[FEED],
        &counted(&banner),
        &control(1, &hello),
        &control(4, &more),
        &control(6, &done),
        &control(7, &[0; 32]),
    ]
    .concat();
    let traffic = [
        &message(b"front", b"", b"")[..],
        &message(b"", b"middle", b"data"),
        &OURS,
        &ACK,
        &control(20, &[1, 0, 0, 0, 0, 0, 0, 0]),
        &control(18, &[1; 8]),
        &control(19, &[1; 8]),
        &[10, 4],
        &message(b"unwanted", b"", b"data"),
    ]
    .concat();
    for lossy in 0..2 {
        let script = [
            &[0][..],
            &authenticated,
            &control(9, &ident(lossy)),
            &traffic,
            &[1],
            &authenticated,
            &control(14, &[9, 0, 0, 0, 0, 0, 0, 0]),
            &control(13, &[9, 0, 0, 0, 0, 0, 0, 0]),
            &control(15, &[0; 8]),
            &traffic,
        ]
        .concat();
        s.put("msgr2_session", &format!("made-{lossy}"), &script);
    }
    let script = [
        &[0][..],
        &authenticated,
        &control(9, &ident(0)),
        &[1],
        &authenticated,
        &control(12, &[1]),
        &control(9, &ident(0)),
        &traffic,
    ]
    .concat();
    s.put("msgr2_session", "made-reset", &script);
    let refused = [
        &CONNECT[..],
        &[FEED],
        &counted(&banner),
        &control(1, &hello),
    ]
    .concat();
    let bad = [
        &[2, 0, 0, 0, 0xf3, 0xff, 0xff, 0xff][..],
        &[1, 0, 0, 0, 2, 0, 0, 0],
        &[0; 4],
    ];
    let script = [&[0][..], &refused, &control(3, &bad.concat())].concat();
    s.put("msgr2_session", "made-refused", &script);

    let legacy = |port: u16| {
        let mut out = vec![0; 136];
        out[4] = 7;
        out[9] = 2;
        out[10..12].copy_from_slice(&port.to_be_bytes());
        out[12..16].copy_from_slice(&[10, 1, 2, 3]);
        out
    };
    let reply = |tag: u8, proof: &[u8]| {
        let mut out = vec![tag];
        out.extend([0xff; 8]);
        out.extend([7, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0]);
        out.extend((proof.len() as u32).to_le_bytes());
        out.push(0);
        out.extend(proof);
        [&[FEED][..], &counted(&out)].concat()
    };
    let hello = [&b"ceph v027"[..], &legacy(6801), &legacy(1)].concat();
    let seq = [&[FEED][..], &counted(&[0; 8])].concat();
    let begin = [
        &CONNECT[..],
        &[FEED],
        &counted(&hello),
        &reply(16, b"challenge"),
    ]
    .concat();
    let traffic = [
        &message(b"front", b"", b"")[..],
        &message(b"", b"middle", b"data"),
        &OURS,
        &ACK,
        &control(8, &[1, 0, 0, 0, 0, 0, 0, 0]),
        &control(14, &[1; 8]),
        &control(15, &[1; 8]),
        &control(9, &[]),
        &[10, 4],
        &message(b"unwanted", b"", b"data"),
    ]
    .concat();
    let signed = [
        &[FEED][..],
        &counted(&message_v1(1, 5, [b"f", b"", b""], true)),
    ]
    .concat();
    for (name, flags, tags) in [
        ("ready", 0, &[1u8][..]),
        ("seq", 0, &[13]),
        ("reset", 0, &[3, 4, 5, 13]),
        ("signed", 4 | 32, &[13]),
        ("bad", 0, &[11]),
        ("reset-session", 0, &[2, 13]),
    ] {
        let mut script = [&[flags][..], &begin].concat();
        for &tag in tags {
            script.extend(reply(tag, b"proof"));
        }
        script.extend(&seq);
        script.extend(if flags == 0 { &traffic } else { &signed });
        script.extend([1]);
        script.extend(&begin);
        script.extend(reply(13, b"proof"));
        script.extend(&seq);
        script.extend(&traffic);
        s.put("msgr1_session", &format!("made-{name}"), &script);
    }
    let header = &message_v1(1, 5, [b"f", b"", b""], true)[1..54];
    let limits = [0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0];
    s.put(
        "msgr1_payload",
        "header",
        &[&[2], &limits[..], header].concat(),
    );
    s.put(
        "msgr1_payload",
        "footer",
        &[3, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7],
    );
}
