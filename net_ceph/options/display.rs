// SPDX-License-Identifier: GPL-2.0-only

//! The options as debugfs shows them (`client_options`): those that differ from the defaults, the
//! secret hidden.

use super::{
    CrushLocation, MsMode, Options, ReadFromReplica, MOUNT_TIMEOUT_DEFAULT, OSD_IDLE_TTL_DEFAULT,
    OSD_KEEPALIVE_DEFAULT,
};
use kernel::fmt;

/// Displays options, comma-separated, in the order and with the words of the C client
/// (Linux `net/ceph/ceph_common.c`, `ceph_print_client_options`).
pub struct ClientOptions<'a>(pub &'a Options);

/// Puts a comma before everything but the first.
struct List<'f, 'g> {
    f: &'f mut fmt::Formatter<'g>,
    first: bool,
}

impl List<'_, '_> {
    fn next(&mut self) -> fmt::Result {
        if core::mem::replace(&mut self.first, false) {
            return Ok(());
        }
        self.f.write_str(",")
    }

    fn word(&mut self, on: bool, word: &str) -> fmt::Result {
        if on {
            self.next()?;
            self.f.write_str(word)?;
        }
        Ok(())
    }

    fn seconds(&mut self, name: &str, value: u32, default: u32) -> fmt::Result {
        if value != default {
            self.next()?;
            write!(self.f, "{name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ClientOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = self.0;
        let mut list = List { f, first: true };
        if let Some(name) = &o.name {
            list.next()?;
            list.f.write_str("name=")?;
            escaped(list.f, name)?;
        }
        list.word(o.secret.is_some(), "secret=<hidden>")?;
        crush_location(&mut list, &o.crush_location)?;
        match o.read_from_replica {
            ReadFromReplica::No => {}
            ReadFromReplica::Balance => list.word(true, "read_from_replica=balance")?,
            ReadFromReplica::Localize => list.word(true, "read_from_replica=localize")?,
        }
        match o.ms_mode {
            MsMode::Legacy => {}
            MsMode::Crc => list.word(true, "ms_mode=crc")?,
            MsMode::Secure => list.word(true, "ms_mode=secure")?,
            MsMode::PreferCrc => list.word(true, "ms_mode=prefer-crc")?,
            MsMode::PreferSecure => list.word(true, "ms_mode=prefer-secure")?,
        }
        if let Some(id) = &o.fsid {
            list.next()?;
            list.f.write_str("fsid=")?;
            for (i, byte) in id.iter().enumerate() {
                if matches!(i, 4 | 6 | 8 | 10) {
                    list.f.write_str("-")?;
                }
                write!(list.f, "{byte:02x}")?;
            }
        }
        list.word(!o.share, "noshare")?;
        list.word(!o.crc, "nocrc")?;
        list.word(!o.sign_messages, "nocephx_sign_messages")?;
        list.word(!o.tcp_nodelay, "notcp_nodelay")?;
        list.word(o.abort_on_full, "abort_on_full")?;
        list.word(o.rxbounce, "rxbounce")?;
        list.seconds("mount_timeout", o.mount_timeout, MOUNT_TIMEOUT_DEFAULT)?;
        list.seconds("osd_idle_ttl", o.osd_idle_ttl, OSD_IDLE_TTL_DEFAULT)?;
        list.seconds(
            "osdkeepalivetimeout",
            o.osd_keepalive,
            OSD_KEEPALIVE_DEFAULT,
        )?;
        list.seconds("osd_request_timeout", o.osd_request_timeout, 0)
    }
}

fn crush_location(list: &mut List<'_, '_>, locations: &[CrushLocation]) -> fmt::Result {
    for (i, l) in locations.iter().enumerate() {
        if i == 0 {
            list.next()?;
            list.f.write_str("crush_location=")?;
        } else {
            list.f.write_str("|")?;
        }
        escaped(list.f, &l.bucket_type)?;
        list.f.write_str(":")?;
        escaped(list.f, &l.bucket)?;
    }
    Ok(())
}

/// Writes user bytes; separators, and what is not printable, as octal escapes.
fn escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for &b in bytes {
        match b {
            b',' | b'\\' => write!(f, "\\{b:03o}")?,
            _ if b.is_ascii_graphic() => write!(f, "{}", char::from(b))?,
            _ => write!(f, "\\{b:03o}")?,
        }
    }
    Ok(())
}
