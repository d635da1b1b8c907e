// SPDX-License-Identifier: GPL-2.0-only

//! Monitor addresses: `ip[:port][,ip[:port]…]`, IPv6 in brackets when a port follows.

use super::value::OptionError;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use kernel::prelude::*;

/// Most monitors a map string may name (`CEPH_MAX_MON`, Linux `include/linux/ceph/ceph_fs.h`).
const MAX_MONITORS: usize = 31;

/// The msgr1 monitor port, taken when none is given (`CEPH_MON_PORT`).
const MONITOR_PORT: u16 = 6789;

/// Parses a comma-separated list of at least one and at most 31 monitor addresses. The port
/// defaults to 6789. Host names are not resolved. Fails with `EINVAL`.
pub fn parse_monitors(text: &[u8]) -> Result<KVec<SocketAddr>, OptionError<'_>> {
    let mut rest = text;
    let mut found = KVec::new();
    loop {
        if found.len() == MAX_MONITORS {
            return Err(OptionError::invalid(
                "more than 31 monitor addresses:",
                text,
            ));
        }
        let (addr, tail) = next(rest)?;
        found.push(addr, GFP_KERNEL)?;
        match tail.split_first() {
            None => return Ok(found),
            Some((b',', tail)) => rest = tail,
            Some(_) => return Err(OptionError::invalid("junk after address", tail)),
        }
    }
}

/// Parses one address.
pub(super) fn parse_one(text: &[u8]) -> Result<SocketAddr, OptionError<'_>> {
    match next(text)? {
        (addr, b"") => Ok(addr),
        (_, tail) => Err(OptionError::invalid("junk after address", tail)),
    }
}

/// Takes one address off the front of `text`.
fn next(text: &[u8]) -> Result<(SocketAddr, &[u8]), OptionError<'_>> {
    let (ip, tail) = host(text)?;
    let (port, tail) = match tail.strip_prefix(b":") {
        Some(digits) => port(digits)?,
        None => (MONITOR_PORT, tail),
    };
    Ok((SocketAddr::new(ip, port), tail))
}

/// Takes the host part: `[v4 or v6]`, `v4` or `v6`.
fn host(text: &[u8]) -> Result<(IpAddr, &[u8]), OptionError<'_>> {
    if let Some(inner) = text.strip_prefix(b"[") {
        let (name, tail) = split_before(inner, |c| c == b']');
        let tail = tail
            .strip_prefix(b"]")
            .ok_or(OptionError::invalid("no ']' in address", text))?;
        return match (v4(name), v6(name)) {
            (Some(ip), _) | (None, Some(ip)) => Ok((ip, tail)),
            (None, None) => Err(not_an_address(name)),
        };
    }
    let (name, tail) = split_before(text, |c| c == b',' || c == b':');
    if let Some(ip) = v4(name) {
        return Ok((ip, tail));
    }
    let (name, tail) = split_before(text, |c| c == b',');
    v6(name)
        .map(|ip| (ip, tail))
        .ok_or_else(|| not_an_address(name))
}

fn not_an_address(name: &[u8]) -> OptionError<'_> {
    OptionError::invalid("not an IP address (names are not resolved):", name)
}

/// Takes a port: digits, where none at all and 0 mean the default.
fn port(text: &[u8]) -> Result<(u16, &[u8]), OptionError<'_>> {
    let (digits, tail) = split_before(text, |c| !c.is_ascii_digit());
    let value = digits.iter().try_fold(0u16, |n, &d| {
        n.checked_mul(10)?
            .checked_add(u16::from(d.wrapping_sub(b'0')))
    });
    match value {
        Some(0) => Ok((MONITOR_PORT, tail)),
        Some(port) => Ok((port, tail)),
        None => Err(OptionError::invalid("port out of range:", digits)),
    }
}

fn split_before(text: &[u8], stop: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = text.iter().position(|&c| stop(c)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, b""))
}

fn v4(name: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(name).ok()?;
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

fn v6(name: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(name).ok()?;
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}
