// SPDX-License-Identifier: GPL-2.0-only

//! Error codes that the kernel crate names only since Linux 7.3. Import them by name: a name wins over
//! the same one from `kernel::prelude::*`.
//!
//! C headers: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use super::bindings;
use core::num::NonZeroI32;
use kernel::error::Error;

macro_rules! declare {
    ($($name:ident $doc:literal;)*) => {$(
        #[doc = $doc]
        pub const $name: Error = from_number(bindings::$name);
    )*};
}

declare! {
    EAFNOSUPPORT "Address family not supported by protocol.";
    EBADMSG "Not a data message.";
    ECANCELED "Operation canceled.";
    ECONNREFUSED "Connection refused.";
    ECONNRESET "Connection reset by peer.";
    EDQUOT "Disk quota exceeded.";
    EHOSTUNREACH "No route to host.";
    EINPROGRESS "Operation now in progress.";
    EKEYEXPIRED "Key has expired.";
    EKEYREVOKED "Key has been revoked.";
    ENAMETOOLONG "File name too long.";
    ENODATA "No data available.";
    ENOKEY "Required key not available.";
    ENOTCONN "Transport endpoint is not connected.";
    EOPNOTSUPP "Operation not supported on transport endpoint.";
    EPROTO "Protocol error.";
    ESHUTDOWN "Cannot send after transport endpoint shutdown.";
    ESTALE "Stale file handle.";
}

/// The error `-number`. In a constant, so that it can be matched on; a number that is no errno fails
/// to compile.
const fn from_number(number: u32) -> Error {
    assert!(number > 0 && number <= bindings::MAX_ERRNO);
    let Some(errno) = NonZeroI32::new(-(number as i32)) else {
        unreachable!();
    };
    // SAFETY: An `Error` is a struct of one `NonZeroI32`, which is an errno; it is of the same size,
    // which `transmute` checks, so there is room for nothing else.
    unsafe { core::mem::transmute::<NonZeroI32, Error>(errno) }
}
