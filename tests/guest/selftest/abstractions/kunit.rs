// SPDX-License-Identifier: GPL-2.0-only

//! A KUnit suite of tests that return a [`Result`].
//!
//! `#[kunit_tests]` of the `kernel` crate serves a KUnit that is built in, and only that.

use kernel::{bindings, prelude::*};

/// Tells KUnit how a case ended.
///
/// # Safety
///
/// `test` is what KUnit handed to the case that runs, and is used by nobody else meanwhile.
pub(crate) unsafe fn ended(test: *mut bindings::kunit, name: &str, result: Result) {
    if let Err(e) = result {
        pr_err!("{name}: {}\n", e.to_errno());
        // SAFETY: As the caller promises.
        unsafe { (*test).status = bindings::kunit_status_KUNIT_FAILURE };
    }
}

/// Defines the suite `$suite`, whose cases are run, one after the other, once the module is loaded.
#[macro_export]
macro_rules! kunit_suite {
    ($suite:ident { $($case:ident: $test:path,)* }) => {
        $(
            // What KUnit calls; the test itself may have the same name elsewhere.
            extern "C" fn $case(test: *mut ::kernel::bindings::kunit) {
                // SAFETY: KUnit runs a case with a `kunit` that is the case's own until it returns.
                unsafe { $crate::kunit::ended(test, stringify!($case), $test()) };
            }
        )*

        static mut CASES: [::kernel::bindings::kunit_case; [$(stringify!($case)),*].len() + 1] = [
            $(::kernel::kunit::kunit_case(::kernel::c_str!(stringify!($case)), $case),)*
            ::pin_init::zeroed(),
        ];

        ::kernel::kunit_unsafe_test_suite!($suite, CASES);
    };
}
