// SPDX-License-Identifier: GPL-2.0-only

//! A TCP connection to a peer, made and used without waiting.
//!
//! A [`Socket`] belongs to whoever drives it, one task at a time as far as the order of bytes goes;
//! the network stack tells a [`SocketEvents`] when there is something to do. Nothing here waits for
//! the network: calls that cannot go on fail with `EAGAIN`, and an event follows.
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h),
//! [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{bindings, data::DataCursor, netns::NetNs, sock_addr::RawAddr, trailers::Trailers};
use core::{net::SocketAddr, ptr, ptr::NonNull};
use kernel::{
    error::{to_result, Error},
    prelude::*,
    sync::Arc,
};

/// The most buffers that one [`Socket::send`] gathers; the rest waits for the next call.
const MAX_GATHER: usize = 16;

/// The most bvecs that one [`Socket::send_whole`] sends.
const MAX_SPLICE: usize = 8;

/// Flags of every call: neither wait nor raise `SIGPIPE`.
const FLAGS: u32 = bindings::MSG_DONTWAIT | bindings::MSG_NOSIGNAL;

/// What a socket tells its user.
///
/// Methods are called by the network stack, often in softirq context and with the socket locked.
/// They must not sleep, must not use the socket and must not drop it: they note and queue work.
pub trait SocketEvents: Send + Sync + 'static {
    /// Bytes, or the end of the stream, can be received.
    fn data_ready(&self);

    /// There is room again after a send failed with `EAGAIN` (or sent less than asked).
    fn write_space(&self);

    /// The connection was made, or is ending.
    fn state_changed(&self, state: SocketState);
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// The peer has not answered.
    Connecting,
    /// Bytes can flow.
    Connected,
    /// The peer sends no more.
    PeerClosed,
    /// It is over; [`Socket::take_error`] may say why.
    Closed,
}

impl SocketState {
    /// From a state of TCP (`include/net/tcp_states.h`).
    fn from_tcp(state: i32) -> Self {
        match state {
            bindings::NET_CEPH_TCP_SYN_SENT | bindings::NET_CEPH_TCP_SYN_RECV => Self::Connecting,
            bindings::NET_CEPH_TCP_ESTABLISHED => Self::Connected,
            bindings::NET_CEPH_TCP_CLOSE_WAIT => Self::PeerClosed,
            _ => Self::Closed,
        }
    }
}

/// A TCP connection.
///
/// It holds a reference to its events; drop it when the connection ends, or the two keep each other.
///
/// # Invariants
///
/// - `sock` is a TCP socket with a `sock`, that this value owns.
/// - The callbacks of the socket are ours, and its user data is a reference from
///   `Arc::<E>::into_raw`, until [`Drop`] puts back `saved`.
pub struct Socket<E: SocketEvents> {
    sock: NonNull<bindings::socket>,
    saved: bindings::net_ceph_sk_callbacks,
    events: NonNull<E>,
}

// SAFETY: A socket may be used and released from any task; `E` is `Send` and `Sync`.
unsafe impl<E: SocketEvents> Send for Socket<E> {}
// SAFETY: The socket layer locks each call; `E` is `Send` and `Sync`.
unsafe impl<E: SocketEvents> Sync for Socket<E> {}

impl<E: SocketEvents> Socket<E> {
    /// Begins to connect to `addr` from `net`, with Nagle's algorithm off if `nodelay`.
    ///
    /// Events may come before it returns. Sleeps (allocates).
    pub fn connect(net: &NetNs, addr: &SocketAddr, nodelay: bool, events: Arc<E>) -> Result<Self> {
        let (raw, len) = RawAddr::from_addr(addr);
        let mut sock = ptr::null_mut();
        // SAFETY: `net` is a valid namespace, `sock` is valid for writes.
        to_result(unsafe {
            bindings::sock_create_kern(
                net.as_raw(),
                raw.family(),
                bindings::sock_type_SOCK_STREAM as i32,
                bindings::NET_CEPH_IPPROTO_TCP,
                &mut sock,
            )
        })?;
        let sock = NonNull::new(sock).ok_or(EINVAL)?;

        let mut saved = bindings::net_ceph_sk_callbacks::default();
        let events = Arc::into_raw(events).cast_mut();
        let ours = bindings::net_ceph_sk_callbacks {
            data_ready: Some(data_ready::<E>),
            write_space: Some(write_space::<E>),
            state_change: Some(state_change::<E>),
        };
        // SAFETY: The new socket is valid and nobody else knows it.
        unsafe {
            let sk = (*sock.as_ptr()).sk;
            // What a kernel socket has not sent when it is released is dropped with its timers, or
            // kept for ever; one that refers to its namespace ends as any other does.
            bindings::sk_net_refcnt_upgrade(sk);
            bindings::net_ceph_sk_setup(sk);
            bindings::net_ceph_sk_set_callbacks(sk, events.cast(), &ours, &mut saved);
            if nodelay {
                bindings::tcp_sock_set_nodelay(sk);
            }
        }
        // INVARIANT: The socket was created for us, and its callbacks set. From here on
        // `drop` undoes all of it.
        let socket = Self {
            sock,
            saved,
            // SAFETY: An `Arc` is never null.
            events: unsafe { NonNull::new_unchecked(events) },
        };
        // SAFETY: The socket is valid; `raw` holds an address of `len` bytes.
        let ret = unsafe {
            bindings::kernel_connect(
                sock.as_ptr(),
                raw.as_ptr().cast_mut().cast(),
                len as i32,
                bindings::O_NONBLOCK as i32,
            )
        };
        if ret != -(bindings::EINPROGRESS as i32) {
            to_result(ret)?;
        }
        Ok(socket)
    }

    /// The C object of the network layer.
    fn sk(&self) -> *mut bindings::sock {
        // SAFETY: The socket is valid by the type invariant.
        unsafe { (*self.sock.as_ptr()).sk }
    }

    /// How far the connection is.
    pub fn state(&self) -> SocketState {
        // SAFETY: The socket is valid by the type invariant.
        SocketState::from_tcp(unsafe { bindings::net_ceph_sk_state(self.sk()) })
    }

    /// Takes the error that the socket keeps, e.g. why it could not connect.
    pub fn take_error(&self) -> Option<Error> {
        // SAFETY: The socket is valid by the type invariant.
        to_result(unsafe { bindings::net_ceph_sk_error(self.sk()) }).err()
    }

    /// Whether bytes that were sent are not acknowledged by the peer: their pages may be read again.
    pub fn has_unacknowledged(&self) -> bool {
        // SAFETY: The socket is valid by the type invariant.
        unsafe { bindings::net_ceph_sk_has_unacknowledged(self.sk()) }
    }

    /// Has what is not acknowledged by then dropped with the socket: else the network goes on sending it
    /// for some time. May sleep.
    pub fn drop_unsent(&self) {
        // SAFETY: The socket is valid by the type invariant.
        unsafe { bindings::sock_no_linger(self.sk()) };
    }

    /// Receives into `buf` what is there, 0 bytes at the end of the stream. `EAGAIN` if there is
    /// nothing now: [`SocketEvents::data_ready`] follows.
    pub fn recv(&self, buf: &mut [u8]) -> Result<usize> {
        let kvec = bindings::kvec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        let mut msg = bindings::msghdr::default();
        // SAFETY: `kvec` describes `buf`, and both outlive the call below.
        unsafe {
            bindings::iov_iter_kvec(&mut msg.msg_iter, bindings::ITER_DEST, &kvec, 1, buf.len())
        };
        self.recv_msg(&mut msg)
    }

    /// Receives at most `max` bytes into the memory of `dst` and moves it on. Else as
    /// [`recv`](Self::recv). It may stop before `max` where more is there: call it again. `EINVAL` if
    /// that is room for nothing.
    pub fn recv_data(&self, dst: &mut DataCursor, max: usize) -> Result<usize> {
        let n = dst.with_iter(bindings::ITER_DEST, max, |iter, len, _| {
            if len == 0 {
                return Err(EINVAL);
            }
            let mut msg = bindings::msghdr {
                msg_iter: iter,
                ..Default::default()
            };
            self.recv_msg(&mut msg)
        })?;
        dst.advance(n);
        Ok(n)
    }

    fn recv_msg(&self, msg: &mut bindings::msghdr) -> Result<usize> {
        // SAFETY: The socket is valid by the type invariant; `msg` names memory that is valid
        // during the call.
        let ret = unsafe { bindings::sock_recvmsg(self.sock.as_ptr(), msg, FLAGS as i32) };
        to_len(ret)
    }

    /// Sends bytes of `bufs`, one after the other, as far as there is room; returns how many.
    /// `more` says that other bytes follow at once. `EAGAIN` if there is no room now:
    /// [`SocketEvents::write_space`] follows.
    pub fn send(&self, bufs: &[&[u8]], more: bool) -> Result<usize> {
        let mut kvecs = [bindings::kvec::default(); MAX_GATHER];
        let mut len = 0usize;
        let mut count = 0;
        for (kvec, buf) in kvecs.iter_mut().zip(bufs) {
            kvec.iov_base = buf.as_ptr().cast_mut().cast();
            kvec.iov_len = buf.len();
            len = len.saturating_add(buf.len());
            count += 1;
        }
        let more = more || bufs.len() > count;
        let mut msg = bindings::msghdr::default();
        // SAFETY: `kvecs` describes slices of `bufs`, and both outlive the call below, which only
        // reads the bytes.
        unsafe {
            bindings::iov_iter_kvec(
                &mut msg.msg_iter,
                bindings::ITER_SOURCE,
                kvecs.as_ptr(),
                count,
                len,
            )
        };
        self.send_msg(&mut msg, more, false)
    }

    /// Sends at most `max` bytes from the memory of `src`, without copying them where that can be,
    /// and moves it on. Else as [`send`](Self::send). Pages sent so are read until the peer has
    /// acknowledged them.
    pub fn send_data(&self, src: &mut DataCursor, max: usize, more: bool) -> Result<usize> {
        let wanted = max.min(src.remaining());
        let n = src.with_iter(bindings::ITER_SOURCE, max, |iter, len, spliceable| {
            let mut msg = bindings::msghdr {
                msg_iter: iter,
                ..Default::default()
            };
            self.send_msg(&mut msg, more || len < wanted, spliceable)
        })?;
        src.advance(n);
        Ok(n)
    }

    /// Sends all that lies ahead of `src`, without copying it, and `tail` behind it, as far as there is room:
    /// in one call, so that TCP need not make two packets of it. Moves `src` on and returns how many bytes
    /// went. `Ok(None)`: they cannot be sent so. Else as [`send_data`](Self::send_data).
    pub fn send_whole(
        &self,
        src: &mut DataCursor,
        tail: &[u8],
        trailers: &mut Trailers,
    ) -> Result<Option<usize>> {
        let mut bvecs = [bindings::bio_vec::default(); MAX_SPLICE + 1];
        let Some(count) = src.bvecs(&mut bvecs[..MAX_SPLICE]) else {
            return Ok(None);
        };
        let (Some(slot), Ok(bv)) = (bvecs.get_mut(count), trailers.put(tail)) else {
            return Ok(None);
        };
        *slot = bv;
        let mut msg = bindings::msghdr::default();
        // SAFETY: The bvecs hold the bytes ahead of `src`, which are valid, and those of `tail`; they
        // outlive the call below, which only reads.
        unsafe {
            bindings::iov_iter_bvec(
                &mut msg.msg_iter,
                bindings::ITER_SOURCE,
                bvecs.as_ptr(),
                count + 1,
                src.remaining() + tail.len(),
            )
        };
        let n = self.send_msg(&mut msg, false, true)?;
        src.advance(n);
        Ok(Some(n))
    }

    fn send_msg(&self, msg: &mut bindings::msghdr, more: bool, splice: bool) -> Result<usize> {
        msg.msg_flags = FLAGS;
        if more {
            msg.msg_flags |= bindings::MSG_MORE;
        }
        if splice {
            msg.msg_flags |= bindings::MSG_SPLICE_PAGES;
        }
        // SAFETY: The socket is valid by the type invariant; `msg` names memory that is valid
        // during the call, and spliced pages are ones that can be referenced.
        to_len(unsafe { bindings::sock_sendmsg(self.sock.as_ptr(), msg) })
    }

    /// Ends the connection both ways; [`SocketEvents::state_changed`] follows. May sleep.
    pub fn shutdown(&self) {
        // The only errors say that it is not connected.
        // SAFETY: The socket is valid by the type invariant.
        let _ = unsafe {
            bindings::kernel_sock_shutdown(
                self.sock.as_ptr(),
                bindings::sock_shutdown_cmd_SHUT_RDWR,
            )
        };
    }

    /// Our address.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        let mut raw = RawAddr::default();
        // SAFETY: The socket is valid by the type invariant; `raw` has room for any address.
        let ret =
            unsafe { bindings::kernel_getsockname(self.sock.as_ptr(), raw.as_mut_ptr().cast()) };
        raw.to_addr(to_len(ret)?)
    }

    /// The peer's address; fails with `ENOTCONN` unless connected.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        let mut raw = RawAddr::default();
        // SAFETY: The socket is valid by the type invariant; `raw` has room for any address.
        let ret =
            unsafe { bindings::kernel_getpeername(self.sock.as_ptr(), raw.as_mut_ptr().cast()) };
        raw.to_addr(to_len(ret)?)
    }
}

impl<E: SocketEvents> Drop for Socket<E> {
    fn drop(&mut self) {
        // Callbacks take the lock that this takes, so none uses the events any more when it
        // returns; one that comes late finds no user data. Releasing the socket then takes the
        // socket's own lock, under which callbacks run: none is still in our code after that.
        // SAFETY: The socket is valid and ours by the type invariant.
        unsafe {
            bindings::net_ceph_sk_set_callbacks(
                self.sk(),
                ptr::null_mut(),
                &self.saved,
                ptr::null_mut(),
            );
            bindings::sock_release(self.sock.as_ptr());
        }
        // SAFETY: The reference was given away in `connect`, and nobody uses it now.
        drop(unsafe { Arc::from_raw(self.events.as_ptr().cast_const()) });
    }
}

/// A count of bytes, or a negative errno.
fn to_len(ret: i32) -> Result<usize> {
    usize::try_from(ret).map_err(|_| Error::from_errno(ret))
}

/// Calls `f` with the events of `sk`, if it still has any.
///
/// # Safety
///
/// `sk` must be a socket whose user data is null or from `Arc::<E>::into_raw`.
unsafe fn with_events<E: SocketEvents>(sk: *mut bindings::sock, f: impl FnOnce(&E)) {
    // SAFETY: The caller vouches for `sk`.
    let events = unsafe { bindings::net_ceph_sk_lock(sk) }.cast::<E>();
    // SAFETY: While the lock is held the user data, if any, is a live `E`.
    if let Some(events) = unsafe { events.as_ref() } {
        f(events);
    }
    // SAFETY: Locked above.
    unsafe { bindings::net_ceph_sk_unlock(sk) };
}

/// # Safety
///
/// Called by the network stack, on a socket that `Socket::<E>::connect` set up.
unsafe extern "C" fn data_ready<E: SocketEvents>(sk: *mut bindings::sock) {
    // SAFETY: The socket is one of ours.
    unsafe { with_events(sk, E::data_ready) };
}

/// # Safety
///
/// Called by the network stack, on a socket that `Socket::<E>::connect` set up.
unsafe extern "C" fn write_space<E: SocketEvents>(sk: *mut bindings::sock) {
    // SAFETY: The socket is one of ours.
    unsafe {
        with_events(sk, |events: &E| {
            // Called again and again while room is made; only enough of it is news.
            if bindings::net_ceph_sk_take_space(sk) {
                events.write_space();
            }
        })
    };
}

/// # Safety
///
/// Called by the network stack, on a socket that `Socket::<E>::connect` set up.
unsafe extern "C" fn state_change<E: SocketEvents>(sk: *mut bindings::sock) {
    // SAFETY: The socket is one of ours.
    unsafe {
        with_events(sk, |events: &E| {
            events.state_changed(SocketState::from_tcp(bindings::net_ceph_sk_state(sk)));
        })
    };
}
