// SPDX-License-Identifier: GPL-2.0-only

//! The control files `/sys/bus/rbd/{add,remove,add_single_major,remove_single_major}` and
//! `supported_features`.

use super::{
    attributes::ATTRIBUTES,
    map_spec::{MapSpec, RemoveSpec},
    registry::Rbd,
};
use crate::{
    abstractions::{
        bus::{Bus, BusAttribute, BusHandle, Show, Store},
        text::Text,
    },
    image::SUPPORTED_FEATURES,
};
use core::fmt::Write;
use kernel::{prelude::*, sync::ArcBorrow};
use net_ceph::{
    abstractions::{key_type, task::capable_admin},
    options::{KeyStore, OptionError},
    proto::key::CryptoKey,
};

type Handle<'a> = ArcBorrow<'a, BusHandle<Rbd>>;

/// Always there.
static FILES: [BusAttribute<Rbd>; 3] = [
    BusAttribute::writable::<Add>(c"add"),
    BusAttribute::writable::<Remove>(c"remove"),
    BusAttribute::readable::<SupportedFeatures>(c"supported_features"),
];

/// There when devices share a major number. User space takes these when it sees them.
static SINGLE_MAJOR_FILES: [BusAttribute<Rbd>; 2] = [
    BusAttribute::writable::<AddSingleMajor>(c"add_single_major"),
    BusAttribute::writable::<RemoveSingleMajor>(c"remove_single_major"),
];

/// Registers the bus.
pub(super) fn register(rbd: Rbd, single_major: bool) -> Result<Bus<Rbd>> {
    let more: &[_] = if single_major {
        &SINGLE_MAJOR_FILES
    } else {
        &[]
    };
    Bus::register(rbd, [&FILES, more], &ATTRIBUTES)
}

struct Add;
struct AddSingleMajor;
struct Remove;
struct RemoveSingleMajor;
struct SupportedFeatures;

impl Store<Rbd> for Add {
    fn store(bus: Handle<'_>, text: &[u8]) -> Result {
        if bus.single_major() {
            return Err(EINVAL);
        }
        add(bus, text)
    }
}

impl Store<Rbd> for AddSingleMajor {
    fn store(bus: Handle<'_>, text: &[u8]) -> Result {
        add(bus, text)
    }
}

impl Store<Rbd> for Remove {
    fn store(bus: Handle<'_>, text: &[u8]) -> Result {
        if bus.single_major() {
            return Err(EINVAL);
        }
        remove(bus, text)
    }
}

impl Store<Rbd> for RemoveSingleMajor {
    fn store(bus: Handle<'_>, text: &[u8]) -> Result {
        remove(bus, text)
    }
}

impl Show<Rbd> for SupportedFeatures {
    fn show(_bus: Handle<'_>, out: &mut Text<'_>) -> Result {
        Ok(writeln!(out, "{SUPPORTED_FEATURES:#x}")?)
    }
}

fn add(bus: Handle<'_>, text: &[u8]) -> Result {
    if !capable_admin() {
        return Err(EPERM);
    }
    let spec = MapSpec::parse(text, &KernelKeys).map_err(log)?;
    spec.client.check_supported().map_err(log)?;
    Rbd::add(bus, spec, text)
}

fn remove(bus: Handle<'_>, text: &[u8]) -> Result {
    if !capable_admin() {
        return Err(EPERM);
    }
    bus.remove(RemoveSpec::parse(text).map_err(log)?)
}

/// Says what is wrong, and reduces it to an errno.
fn log(e: OptionError<'_>) -> Error {
    pr_err!("{e}\n");
    e.errno
}

/// Keys of the kernel's keyrings, as the writer of the control file sees them.
struct KernelKeys;

impl KeyStore for KernelKeys {
    fn ceph_key(&self, name: &[u8]) -> Result<CryptoKey> {
        let mut description = KVec::with_capacity(name.len().saturating_add(1), GFP_KERNEL)?;
        description.extend_from_slice(name, GFP_KERNEL)?;
        description.push(0, GFP_KERNEL)?;
        let description = CStr::from_bytes_with_nul(&description).map_err(|_| EINVAL)?;
        // What keyrings say does not fit the control file: the log has it.
        key_type::request(description).map_err(|e| {
            pr_err!("keyring: {}\n", e.to_errno());
            EPERM
        })
    }
}
