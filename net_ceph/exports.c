// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exports the symbols of the Rust crate `net_ceph` to the modules that use it. The list is made from
 * the compiled crate, as the kernel does for its own crates (rust/exports.c).
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
