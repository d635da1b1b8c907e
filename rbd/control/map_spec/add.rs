// SPDX-License-Identifier: GPL-2.0-only

//! The string written to `/sys/bus/rbd/add` and `add_single_major`:
//! `<mons> <options> <pool> <image> [<snap>]`.

use super::options::MapOptions;
use kernel::prelude::*;
use net_ceph::options::{parse_monitors, split_key_value, Bytes, KeyStore, OptionError, Options};

/// Stands for the image itself where a snapshot name is expected.
const SNAP_HEAD: &[u8] = b"-";

/// Linux `include/uapi/asm-generic/errno.h`; the kernel crate names it only since 7.3.
const ENAMETOOLONG: i32 = 36;

/// Longest snapshot name: the name of a directory entry less `snap_`, from the days when
/// snapshots were such entries (Linux `drivers/block/rbd.c`, `RBD_MAX_SNAP_NAME_LEN`).
const SNAP_NAME_MAX: usize = 250;

/// An add string, taken apart.
pub struct MapSpec {
    /// For the client instance.
    pub client: Options,
    /// For the mapping.
    pub options: MapOptions,
    /// Pool name.
    pub pool: Bytes,
    /// Image name.
    pub image: Bytes,
    /// Snapshot name; `None` for the image itself.
    pub snap: Option<Bytes>,
}

impl MapSpec {
    /// Parses `text`; `keys` is asked for what `key=` names. May sleep.
    ///
    /// Fails with `EINVAL`, `ENAMETOOLONG` for the snapshot, and as [`Options::set`] does. What the
    /// options ask for may be unsupported: see [`Options::check_supported`].
    pub fn parse<'a>(text: &'a [u8], keys: &dyn KeyStore) -> Result<Self, OptionError<'a>> {
        let mut words = words(text);
        let mut word = |missing| words.next().ok_or(OptionError::invalid(missing, b""));
        let monitors = word("no monitor address(es) provided")?;
        let options = word("no options provided")?;
        let pool = word("no pool name provided")?;
        let image = word("no image name provided")?;
        let snap = match words.next() {
            None | Some(SNAP_HEAD) => None,
            Some(name) if name.len() > SNAP_NAME_MAX => {
                return Err(OptionError::new(
                    Error::from_errno(-ENAMETOOLONG),
                    "snapshot name too long:",
                    name,
                ))
            }
            Some(name) => Some(Bytes::new(name)?),
        };
        let mut spec = Self {
            client: Options::new(parse_monitors(monitors)?),
            options: MapOptions::default(),
            pool: Bytes::new(pool)?,
            image: Bytes::new(image)?,
            snap,
        };
        spec.set_options(options, keys)?;
        Ok(spec)
    }

    fn set_options<'a>(
        &mut self,
        text: &'a [u8],
        keys: &dyn KeyStore,
    ) -> Result<(), OptionError<'a>> {
        for option in text.split(|&c| c == b',') {
            let (key, value) = split_key_value(option);
            // Nothing before the '=', or nothing at all, is passed over, as filesystem option
            // strings have it.
            if !key.is_empty() && !self.client.set(key, value, keys)? {
                self.options.set(key, value)?;
            }
        }
        Ok(())
    }

    /// Whether writes are refused: asked for, or a snapshot.
    pub fn read_only(&self) -> bool {
        self.options.read_only || self.snap.is_some()
    }
}

/// The words of `text`; what separates them is what C's `isspace()` takes for space.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&c| c.is_ascii_whitespace() || c == b'\x0b')
        .filter(|word| !word.is_empty())
}
