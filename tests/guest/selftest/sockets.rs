// SPDX-License-Identifier: GPL-2.0-only

//! Sockets against `serve.py`: bytes arrive as sent, events come, and end with the socket.

use crate::{
    bios::{self, Chain},
    check,
    peer::{Peer, PORT},
    work::{self, Item},
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc},
};
use net_ceph::abstractions::{
    data::DataBuf, errno::ECONNREFUSED, socket::SocketState, wait::sleep_ms,
};

fn echo(ip: IpAddr) -> Result {
    let mut peer = Peer::connect(ip, b'E')?;
    check!(peer.socket.peer_addr()? == SocketAddr::new(ip, PORT));
    check!(peer.socket.local_addr()?.ip() == ip);
    let mut buf = [0u8; 64];
    check!(peer.socket.recv(&mut buf).err() == Some(EAGAIN));
    check!(
        peer.socket
            .send(&[b"one", b"", b", two", b", three"], true)?
            == 15
    );
    check!(peer.socket.send(&[b"."], false)? == 1);
    peer.recv_all(&mut buf[..16])?;
    check!(buf[..16] == *b"one, two, three.");
    // More pieces than one call takes.
    let piece: &[u8] = b"ab";
    check!(peer.socket.send(&[piece; 40], false)? == 32);
    peer.recv_all(&mut buf[..32])?;
    // Through buffers.
    let bytes = DataBuf::zeroed(100_000)?;
    let mut cursor = bytes.cursor();
    for i in 0..50_000u32 {
        cursor.copy_from(&(i as u16).to_le_bytes());
    }
    peer.send_data(bytes.cursor())?;
    let back = DataBuf::zeroed(100_000)?;
    peer.recv_data(back.cursor())?;
    check!(bytes.cursor().crc32c(0, usize::MAX) == back.cursor().crc32c(0, usize::MAX));
    check!(peer.socket.take_error().is_none());
    peer.socket.shutdown();
    check!(peer.recv(&mut buf)? == 0);
    Ok(())
}

pub(crate) fn echo_v4() -> Result {
    echo(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

pub(crate) fn echo_v6() -> Result {
    echo(IpAddr::V6(Ipv6Addr::LOCALHOST))
}

/// Pages of bios, spliced out and received into others, in windows across every border.
pub(crate) fn echo_bios() -> Result {
    let mut peer = Peer::local(b'E')?;
    let from = Chain::new()?;
    for (start, len) in [
        (0, bios::LEN),
        (4000, 2000),
        (5119, 2),
        (5120, 30_000),
        (35_119, 3),
        (36_000, 10_000),
    ] {
        let to = Chain::new()?;
        to.cursor().zero_fill(usize::MAX);
        let (mut out, mut back) = (from.cursor(), to.cursor());
        out.advance(start);
        back.advance(start);
        let sum = out.crc32c(0, len);
        peer.send_data(out.take(len))?;
        peer.recv_data(back.take(len))?;
        check!(back.crc32c(0, len) == sum);
        // What lies around is untouched.
        check!(
            to.cursor().crc32c(0, start)
                == DataBuf::zeroed(start.max(1))?.cursor().crc32c(0, start)
        );
    }
    drop(peer);
    check!(Arc::into_unique_or_drop(from).is_some());
    Ok(())
}

/// A peer that reads late: sends run out of room, and go on when told.
pub(crate) fn backpressure() -> Result {
    let mut peer = Peer::local(b'S')?;
    let bytes = DataBuf::zeroed(32 << 20)?;
    let mut cursor = bytes.cursor();
    let mut i = 0u32;
    while !cursor.is_empty() {
        cursor.copy_from(&i.to_le_bytes());
        i += 1;
    }
    peer.send_data(bytes.cursor())?;
    check!(peer.waits > 0);
    // The peer answers with how many bytes came, and their sum modulo 2^32.
    let mut answer = [0u8; 8];
    peer.recv_all(&mut answer)?;
    check!(answer[..4] == (32u32 << 20).to_le_bytes());
    let mut sum = 0u32;
    let vec = DataBuf::into_vec({
        drop(cursor);
        bytes
    })
    .ok_or(EBUSY)?;
    for b in vec.iter() {
        sum = sum.wrapping_add((*b).into());
    }
    check!(answer[4..] == sum.to_le_bytes());
    Ok(())
}

pub(crate) fn refused() -> Result {
    let peer = Peer::begin(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT + 1, None)?;
    peer.wait_state(SocketState::Closed)?;
    check!(peer.socket.take_error() == Some(ECONNREFUSED));
    check!(peer.socket.take_error().is_none());
    check!(peer.socket.peer_addr().is_err());
    check!(peer.socket.send(&[b"x"], false).is_err());
    Ok(())
}

pub(crate) fn peer_closes() -> Result {
    let mut peer = Peer::local(b'C')?;
    peer.wait_state(SocketState::PeerClosed)?;
    check!(peer.recv(&mut [0; 8])? == 0);
    Ok(())
}

pub(crate) fn peer_resets() -> Result {
    let mut peer = Peer::local(b'R')?;
    peer.wait_state(SocketState::Closed)?;
    check!(peer.recv(&mut [0; 8]).is_err());
    Ok(())
}

/// Sockets that go away while bytes pour in: no event after the drop, no reference left.
pub(crate) fn drop_while_busy() -> Result {
    let queue = Arc::new(work::new_queue()?, GFP_KERNEL)?;
    let item = Item::new()?;
    for i in 0..200 {
        let poke = Some((queue.clone(), item.clone()));
        let mut peer = Peer::begin(Ipv4Addr::LOCALHOST.into(), PORT, poke)?.start(b'F')?;
        let mut buf = [0u8; 1000];
        if i % 2 == 0 {
            peer.recv_all(&mut buf)?;
        }
        if i % 16 == 0 {
            sleep_ms(5);
        }
        let Peer { socket, events, .. } = peer;
        drop(socket);
        check!(Arc::into_unique_or_drop(events).is_some());
    }
    check!(item.runs.load(Relaxed) > 0);
    check!(Arc::into_unique_or_drop(queue).is_some());
    check!(Arc::into_unique_or_drop(item).is_some());
    Ok(())
}
