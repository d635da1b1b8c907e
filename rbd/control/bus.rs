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
use kernel::{
    prelude::*,
    str::{BStr, CString},
    sync::ArcBorrow,
};
use net_ceph::{
    abstractions::{key_type::CephKeyType, task::capable_admin},
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
        let name = CString::try_from_fmt(fmt!("{}", BStr::from_bytes(name)))?;
        CephKeyType::request(&name).map_err(|_| EPERM)
    }
}
