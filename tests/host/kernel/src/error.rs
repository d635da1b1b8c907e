// SPDX-License-Identifier: GPL-2.0-only

//! Errno values, as `kernel::error`.

use crate::alloc::AllocError;

/// A negative errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error(i32);

/// Result with an errno.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

impl Error {
    /// From a negative errno; anything else becomes `EINVAL`.
    pub fn from_errno(e: i32) -> Self {
        if (-4095..0).contains(&e) {
            Error(e)
        } else {
            code::EINVAL
        }
    }

    /// The negative errno.
    pub fn to_errno(self) -> i32 {
        self.0
    }
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        code::ENOMEM
    }
}

pub mod code {
    //! Named errnos (Linux `include/uapi/asm-generic/errno*.h`).
    use super::Error;
    macro_rules! codes {
        ($($name:ident = $n:literal;)*) => {$(
            #[doc = stringify!($name)]
            pub const $name: Error = Error(-$n);
        )*};
    }
    codes! {
        EPERM = 1; ENOENT = 2; EIO = 5; ENXIO = 6; E2BIG = 7; EAGAIN = 11; ENOMEM = 12; EACCES = 13;
        EBUSY = 16; EEXIST = 17; ENODEV = 19; EINVAL = 22; ENOSPC = 28; EROFS = 30; ERANGE = 34;
        ENAMETOOLONG = 36; EPROTO = 71; EBADMSG = 74; EOVERFLOW = 75; EOPNOTSUPP = 95;
        ECONNRESET = 104; ESHUTDOWN = 108; ETIMEDOUT = 110; ECONNREFUSED = 111;
    }
}
