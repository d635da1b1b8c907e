// SPDX-License-Identifier: GPL-2.0-only

//! Finds libFuzzer, which comes with clang's runtime libraries, and links it to every target.

use std::path::PathBuf;
use std::{env, fs};

/// Where Debian's clang keeps it: the newest one, unless `LIBFUZZER` names another.
fn library() -> Option<PathBuf> {
    if let Some(path) = env::var_os("LIBFUZZER") {
        return Some(path.into());
    }
    let mut found = Vec::new();
    for llvm in entries("/usr/lib".into()) {
        for version in entries(llvm.join("lib/clang")) {
            for dir in entries(version.join("lib")) {
                found.extend(entries(dir).into_iter().filter(|file| {
                    let name = file.file_name().unwrap_or_default();
                    name == "libclang_rt.fuzzer-x86_64.a" || name == "libclang_rt.fuzzer.a"
                }));
            }
        }
    }
    found.sort();
    found.pop()
}

fn entries(dir: PathBuf) -> Vec<PathBuf> {
    let Ok(read) = fs::read_dir(dir) else {
        return Vec::new();
    };
    read.flatten().map(|entry| entry.path()).collect()
}

fn main() {
    println!("cargo:rerun-if-env-changed=LIBFUZZER");
    println!("cargo:rerun-if-changed=build.rs");
    let library = library().expect(
        "libFuzzer not found: install clang's runtime libraries (libclang-rt-19-dev on Debian 13), \
         or name the archive in LIBFUZZER",
    );
    println!("cargo:rustc-link-arg-bins={}", library.display());
    // The linker looks at libraries in order, and rustc named these before.
    for library in ["stdc++", "m", "gcc_s", "c"] {
        println!("cargo:rustc-link-arg-bins=-l{library}");
    }
}
