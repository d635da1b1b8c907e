// SPDX-License-Identifier: GPL-2.0-only

//! The key type `ceph` of the kernel's keyrings: how user space hands us secret keys.
//!
//! `rbd map` adds a key of this type, whose payload is the binary form of a [`CryptoKey`], and names
//! its description in the `key=` option (Ceph `src/common/secret.c`, `src/krbd.cc`).
//!
//! C headers: [`include/linux/key-type.h`](srctree/include/linux/key-type.h),
//! [`include/linux/key.h`](srctree/include/linux/key.h)

use super::{bindings, errno::ENOKEY};
use crate::proto::{key::CryptoKey, wire::Decoder};
use core::{cell::UnsafeCell, ffi::c_int, mem::MaybeUninit, ptr};
use kernel::{
    error::{from_err_ptr, from_result, to_result},
    prelude::*,
    sync::atomic::{Atomic, Full, Relaxed},
    types::ForeignOwnable,
};

/// The longest payload looked at.
const MAX_PAYLOAD: usize = 32767;

/// The C object, which the key layer wants in static storage.
struct TypeCell(UnsafeCell<bindings::key_type>);

// SAFETY: After its initialisation the object belongs to the key layer, which locks it.
unsafe impl Sync for TypeCell {}

static KEY_TYPE: TypeCell = TypeCell(UnsafeCell::new(bindings::key_type {
    name: c"ceph".to_bytes_with_nul().as_ptr(),
    preparse: Some(preparse),
    free_preparse: Some(free_preparse),
    instantiate: Some(bindings::generic_key_instantiate),
    destroy: Some(destroy),
    // SAFETY: A `key_type` is made of integers, pointers and optional functions.
    ..unsafe { MaybeUninit::zeroed().assume_init() }
}));

/// Whether a [`KeyType`] exists.
static REGISTERED: Atomic<bool> = Atomic::new(false);

/// The registration of the key type; ends when dropped.
///
/// # Invariants
///
/// Only one exists, and while it does the type is registered.
pub struct KeyType(());

impl KeyType {
    /// Registers the type. `EEXIST` if there is one of that name (the C client's, for instance).
    /// Sleeps.
    pub fn register() -> Result<Self> {
        if REGISTERED.xchg(true, Full) {
            return Err(EEXIST);
        }
        // SAFETY: The object is static, and is not registered now.
        if let Err(e) = to_result(unsafe { bindings::register_key_type(KEY_TYPE.0.get()) }) {
            REGISTERED.xchg(false, Full);
            return Err(e);
        }
        // INVARIANT: It was just registered.
        Ok(Self(()))
    }
}

impl Drop for KeyType {
    fn drop(&mut self) {
        // SAFETY: It is registered by the type invariant. Keys that are left lose their payload.
        unsafe { bindings::unregister_key_type(KEY_TYPE.0.get()) };
        REGISTERED.xchg(false, Full);
    }
}

/// The key described by `description`, as the current task finds it in its keyrings. May call out to
/// user space; sleeps.
///
/// Fails with what the key layer says (`ENOKEY`, `EKEYEXPIRED`, `EKEYREVOKED`...), and with `ENOKEY`
/// unless the type is registered.
pub fn request(description: &CStr) -> Result<CryptoKey> {
    if !REGISTERED.load(Relaxed) {
        return Err(ENOKEY);
    }
    // SAFETY: The type is static, and was registered; no callout information is given.
    let key = from_err_ptr(unsafe {
        bindings::request_key_tag(
            KEY_TYPE.0.get(),
            description.as_char_ptr(),
            ptr::null_mut(),
            ptr::null(),
        )
    })?;
    // SAFETY: The reference that `request_key_tag` took keeps the key, and with it the payload,
    // which never changes, as the type has no `update`.
    let data = unsafe { bindings::net_ceph_key_data(key) };
    // SAFETY: An instantiated key of this type has the box that `preparse` made, or null.
    let secret = unsafe { data.cast::<CryptoKey>().as_ref() }
        .cloned()
        .ok_or(EINVAL);
    // SAFETY: Gives up the reference taken above.
    unsafe { bindings::key_put(key) };
    secret
}

/// Takes the payload that user space gave.
///
/// # Safety
///
/// Called by the key layer with a valid `prep`.
unsafe extern "C" fn preparse(prep: *mut bindings::key_preparsed_payload) -> c_int {
    from_result(|| {
        // SAFETY: `prep` is valid and ours during the call.
        let prep = unsafe { &mut *prep };
        if prep.data.is_null() || prep.datalen == 0 || prep.datalen > MAX_PAYLOAD {
            return Err(EINVAL);
        }
        // SAFETY: The key layer copied `datalen` bytes there.
        let bytes = unsafe { core::slice::from_raw_parts(prep.data.cast::<u8>(), prep.datalen) };
        // What is behind the key is not looked at: the tools of Ceph up to 14.2.4 hand over the whole of a larger buffer.
        let secret = CryptoKey::decode(&mut Decoder::new(bytes)).map_err(|e| {
            pr_err!("keyring: bad payload of a key of type ceph: {}\n", e);
            e.to_errno()
        })?;
        let boxed = KBox::new(secret, GFP_KERNEL)?;
        let data = KBox::into_foreign(boxed);
        prep.payload = bindings::key_payload {
            data: [data, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()],
        };
        prep.quotalen = prep.datalen;
        Ok(0)
    })
}

/// Drops a payload that no key took.
///
/// # Safety
///
/// Called by the key layer with what [`preparse`] has seen.
unsafe extern "C" fn free_preparse(prep: *mut bindings::key_preparsed_payload) {
    // SAFETY: `prep` is valid during the call.
    drop_payload(unsafe { (*prep).payload.data[0] });
}

/// Drops the payload of a key that goes away.
///
/// # Safety
///
/// Called by the key layer with a key of this type that nobody uses.
unsafe extern "C" fn destroy(key: *mut bindings::key) {
    // SAFETY: `key` is valid during the call.
    drop_payload(unsafe { bindings::net_ceph_key_data(key) });
}

/// Drops the box behind `data`, if there is one; `data` comes from [`preparse`], and is not used
/// again.
fn drop_payload(data: *mut core::ffi::c_void) {
    if !data.is_null() {
        // SAFETY: See above; `CryptoKey` wipes itself.
        drop(unsafe { <KBox<CryptoKey> as ForeignOwnable>::from_foreign(data) });
    }
}
