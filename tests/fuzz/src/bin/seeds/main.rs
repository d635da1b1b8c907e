// SPDX-License-Identifier: GPL-2.0-only

//! Writes what each target begins with, made of the vectors of the host tests: what real daemons said.
//!
//! usage: seeds VECTORS OUT      OUT gets a folder for each target

use std::fs;
use std::path::{Path, PathBuf};

mod cephx;
mod maps;
mod scripts;
mod sessions;

/// Where the vectors are, and where seeds go.
struct Seeds {
    vectors: PathBuf,
    out: PathBuf,
}

impl Seeds {
    /// A vector by its path.
    fn vector(&self, name: &str) -> Vec<u8> {
        let path = self.vectors.join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The files of a folder of vectors, with their names.
    fn folder(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let path = self.vectors.join(name);
        let entries = fs::read_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut found: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read(entry.path()).expect("a file"))
            })
            .collect();
        found.sort();
        found
    }

    /// Writes a seed.
    fn put(&self, target: &str, name: &str, data: &[u8]) {
        let folder = self.out.join(target);
        fs::create_dir_all(&folder).expect("a folder for seeds");
        fs::write(folder.join(name), data).expect("a seed");
    }
}

/// A string of a script: its length in two bytes first.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a short string");
    [&len.to_le_bytes(), bytes].concat()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(vectors), Some(out)) = (args.next(), args.next()) else {
        eprintln!("usage: seeds VECTORS OUT");
        std::process::exit(2);
    };
    let seeds = Seeds {
        vectors: Path::new(&vectors).into(),
        out: Path::new(&out).into(),
    };
    maps::put(&seeds);
    cephx::put(&seeds);
    sessions::put(&seeds);
    scripts::put(&seeds);
}
