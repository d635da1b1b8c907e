// SPDX-License-Identifier: GPL-2.0-only

//! What the fuzz targets share.
//!
//! A target is a file of `fuzz_targets/`: it says how much memory its code may ask for, and what to do with
//! an input. A panic is a finding, and so is a decoder that asks for more memory than the bytes received
//! explain. libFuzzer, which is linked to each target, limits time and memory besides.

use kernel::alloc::take_asked;

mod input;
pub mod maps;
pub mod plain;
pub mod session;

pub use input::Input;

/// The most that the slab allocator gives in one piece (`KMALLOC_MAX_SIZE` with pages of 4 KiB, Linux
/// `include/linux/slab.h`); the kernel warns of whoever asks for more.
const KMALLOC_MAX: u64 = 4 << 20;

/// How many bytes the code under test may ask for in the course of one input.
#[derive(Clone, Copy)]
pub struct Budget {
    /// Whatever the input is.
    pub base: u64,
    /// For each byte of the input.
    pub per_byte: u64,
}

impl Budget {
    /// A decoder that keeps what it reads: tables take more memory than wire than bytes, and grow in steps.
    pub const DECODER: Self = Self {
        base: 16 << 10,
        per_byte: 64,
    };
}

/// Runs a target on one input.
pub fn one_input(data: &[u8], budget: Budget, f: impl FnOnce(&[u8])) {
    take_asked();
    f(data);
    let asked = take_asked();
    let most = budget.base + budget.per_byte * data.len() as u64;
    assert!(
        asked.total <= most,
        "{asked:?} for an input of {} bytes: more than {most}",
        data.len()
    );
    assert!(asked.largest_kmalloc <= KMALLOC_MAX, "{asked:?}");
}

/// The bytes that libFuzzer hands over.
///
/// # Safety
///
/// `size` bytes at `data` live as long as the result is used.
pub unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: By this function's own requirement.
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// Makes a program of what is to be done with an input.
#[macro_export]
macro_rules! fuzz_target {
    ($budget:expr, $f:expr) => {
        /// libFuzzer's entry point.
        #[no_mangle]
        pub extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
            // SAFETY: libFuzzer's buffer outlives the call.
            let data = unsafe { $crate::bytes(data, size) };
            $crate::one_input(data, $budget, $f);
            0
        }
    };
}
