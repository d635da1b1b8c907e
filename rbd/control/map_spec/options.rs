// SPDX-License-Identifier: GPL-2.0-only

//! The options of one mapping.
//!
//! Names, defaults, ranges and errnos as in Linux `drivers/block/rbd.c` (`rbd_parameters`) and
//! `Documentation/ABI/testing/sysfs-bus-rbd`.

use kernel::prelude::*;
use net_ceph::options::{decimal, Bytes, OptionError};

/// Tags per hardware queue (`BLKDEV_DEFAULT_RQ`).
const QUEUE_DEPTH_DEFAULT: u32 = 128;
/// Bytes.
const ALLOC_SIZE_DEFAULT: u32 = 64 * 1024;
/// Bytes in a sector, the least that can be allocated.
const ALLOC_SIZE_MIN: u32 = 512;
/// Largest number of seconds: more would overflow a count of milliseconds.
const LOCK_TIMEOUT_MAX: u32 = (i32::MAX / 1000) as u32;

/// What OSDs are told about how the data compresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CompressionHint {
    /// Nothing.
    #[default]
    None,
    /// It does.
    Compressible,
    /// It does not.
    Incompressible,
}

/// How one image is mapped.
#[derive(Debug)]
pub struct MapOptions {
    /// Tags per hardware queue, at least 1.
    pub queue_depth: u32,
    /// Smallest unit worth discarding in bytes: a power of two, at least a sector.
    pub alloc_size: u32,
    /// Seconds to wait for the exclusive lock; 0 waits for ever.
    pub lock_timeout: u32,
    /// No writes.
    pub read_only: bool,
    /// Take the exclusive lock for reads too.
    pub lock_on_read: bool,
    /// Take the exclusive lock at once and never give it up.
    pub exclusive: bool,
    /// Pass on discards and write-zeroes.
    pub trim: bool,
    /// Hint sent with writes.
    pub compression_hint: CompressionHint,
    /// Namespace within the pool; `None` for the default one.
    pub pool_ns: Option<Bytes>,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            queue_depth: QUEUE_DEPTH_DEFAULT,
            alloc_size: ALLOC_SIZE_DEFAULT,
            lock_timeout: 0,
            read_only: false,
            lock_on_read: false,
            exclusive: false,
            trim: true,
            compression_hint: CompressionHint::None,
            pool_ns: None,
        }
    }
}

impl MapOptions {
    /// Takes the option `key`, with the `value` behind its `=` if there is one. Fails with `EINVAL`,
    /// also when no option has this name.
    pub fn set<'a>(
        &mut self,
        key: &'a [u8],
        value: Option<&'a [u8]>,
    ) -> Result<(), OptionError<'a>> {
        if self.set_flag(key) {
            return match value {
                None => Ok(()),
                Some(_) => Err(OptionError::invalid("unexpected value for", key)),
            };
        }
        let range = Err(OptionError::invalid("out of range:", key));
        match key {
            b"queue_depth" => match decimal(key, value)? {
                0 => return range,
                n => self.queue_depth = n,
            },
            b"alloc_size" => match decimal(key, value)? {
                n if n < ALLOC_SIZE_MIN => return range,
                n if !n.is_power_of_two() => {
                    return Err(OptionError::invalid("must be a power of 2:", key))
                }
                n => self.alloc_size = n,
            },
            b"lock_timeout" => match decimal(key, value)? {
                n if n > LOCK_TIMEOUT_MAX => return range,
                n => self.lock_timeout = n,
            },
            b"_pool_ns" => match value {
                Some(ns) if !ns.is_empty() => self.pool_ns = Some(Bytes::new(ns)?),
                _ => return Err(OptionError::invalid("bad value for", key)),
            },
            b"compression_hint" => {
                self.compression_hint = match value {
                    Some(b"none") => CompressionHint::None,
                    Some(b"compressible") => CompressionHint::Compressible,
                    Some(b"incompressible") => CompressionHint::Incompressible,
                    _ => return Err(OptionError::invalid("bad value for", key)),
                }
            }
            _ => return Err(OptionError::invalid("unknown option", key)),
        }
        Ok(())
    }

    fn set_flag(&mut self, key: &[u8]) -> bool {
        match key {
            b"ro" | b"read_only" => self.read_only = true,
            b"rw" | b"read_write" => self.read_only = false,
            b"lock_on_read" => self.lock_on_read = true,
            b"exclusive" => self.exclusive = true,
            b"notrim" => self.trim = false,
            _ => return false,
        }
        true
    }
}
