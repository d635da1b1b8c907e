// SPDX-License-Identifier: GPL-2.0-only

//! Socket addresses between Rust's form and C's.
//!
//! C header: [`include/linux/socket.h`](srctree/include/linux/socket.h)

use super::{bindings, errno::EAFNOSUPPORT};
use core::{
    mem::size_of,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};
use kernel::prelude::*;

/// An address as the socket layer takes and gives it, with room for any.
///
/// # Invariants
///
/// All bytes are initialised.
#[repr(C)]
pub(super) union RawAddr {
    storage: bindings::__kernel_sockaddr_storage,
    v4: bindings::sockaddr_in,
    v6: bindings::sockaddr_in6,
}

impl Default for RawAddr {
    fn default() -> Self {
        // INVARIANT: All zero.
        Self {
            storage: Default::default(),
        }
    }
}

impl RawAddr {
    /// From Rust's form; returns the length in bytes with it.
    pub(super) fn from_addr(addr: &SocketAddr) -> (Self, usize) {
        let mut raw = Self::default();
        match addr {
            SocketAddr::V4(a) => {
                raw.v4 = bindings::sockaddr_in {
                    sin_family: bindings::AF_INET as u16,
                    sin_port: a.port().to_be(),
                    sin_addr: bindings::in_addr {
                        s_addr: u32::from_ne_bytes(a.ip().octets()),
                    },
                    ..Default::default()
                };
                (raw, size_of::<bindings::sockaddr_in>())
            }
            SocketAddr::V6(a) => {
                let mut v6 = bindings::sockaddr_in6 {
                    sin6_family: bindings::AF_INET6 as u16,
                    sin6_port: a.port().to_be(),
                    sin6_flowinfo: a.flowinfo().to_be(),
                    sin6_scope_id: a.scope_id(),
                    ..Default::default()
                };
                v6.sin6_addr.in6_u.u6_addr8 = a.ip().octets();
                raw.v6 = v6;
                (raw, size_of::<bindings::sockaddr_in6>())
            }
        }
    }

    /// To Rust's form, when `len` bytes were filled in. `EAFNOSUPPORT` for other families.
    pub(super) fn to_addr(&self, len: usize) -> Result<SocketAddr> {
        match self.family() as u32 {
            bindings::AF_INET if len >= size_of::<bindings::sockaddr_in>() => {
                // SAFETY: All bytes are initialised, and the family says which address it is.
                let a = unsafe { &self.v4 };
                let ip = Ipv4Addr::from(a.sin_addr.s_addr.to_ne_bytes());
                Ok(SocketAddrV4::new(ip, u16::from_be(a.sin_port)).into())
            }
            bindings::AF_INET6 if len >= size_of::<bindings::sockaddr_in6>() => {
                // SAFETY: All bytes are initialised, and the family says which address it is.
                let a = unsafe { &self.v6 };
                // SAFETY: All forms of an address are plain bytes.
                let ip = Ipv6Addr::from(unsafe { a.sin6_addr.in6_u.u6_addr8 });
                Ok(SocketAddrV6::new(
                    ip,
                    u16::from_be(a.sin6_port),
                    u32::from_be(a.sin6_flowinfo),
                    a.sin6_scope_id,
                )
                .into())
            }
            _ => Err(EAFNOSUPPORT),
        }
    }

    /// `AF_INET`, `AF_INET6`...
    pub(super) fn family(&self) -> i32 {
        // SAFETY: All bytes are initialised, and each form begins with the family.
        unsafe { self.v4.sin_family }.into()
    }

    pub(super) fn as_ptr(&self) -> *const Self {
        self
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut Self {
        self
    }
}
