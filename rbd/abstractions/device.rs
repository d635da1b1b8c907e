// SPDX-License-Identifier: GPL-2.0-only

//! Devices on a [`Bus`], each with the driver's data and a folder of attributes in sysfs.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use super::{
    bindings,
    bus::{BusHandle, BusType},
    module::ModuleRef,
    text::Text,
};
use core::ptr::NonNull;
use kernel::{error::to_result, ffi, prelude::*, sync::Arc, types::Opaque};

/// Fills `out` with what an attribute of a device shows. May sleep.
pub(crate) type ShowFn<D> = fn(&D, out: &mut Text<'_>) -> Result;
/// Acts on what was written to an attribute. May sleep.
pub(crate) type StoreFn<D> = fn(&D, text: &[u8]) -> Result;

/// An attribute of a device. To be put into a `static`, as sysfs needs a place that lasts.
#[repr(C)]
pub(crate) struct DeviceAttribute<D: 'static> {
    raw: bindings::device_attribute,
    show: Option<ShowFn<D>>,
    store: Option<StoreFn<D>>,
}

// SAFETY: Never changed; what it points to is constant.
unsafe impl<D> Sync for DeviceAttribute<D> {}

impl<D: Send + Sync + 'static> DeviceAttribute<D> {
    /// A file to read, with its permissions.
    pub(crate) const fn readable(name: &'static CStr, mode: u16, show: ShowFn<D>) -> Self {
        let mut raw = Self::named(name, mode);
        raw.__bindgen_anon_1.show = Some(show_callback::<D>);
        Self {
            raw,
            show: Some(show),
            store: None,
        }
    }

    /// A file to write, with its permissions.
    pub(crate) const fn writable(name: &'static CStr, mode: u16, store: StoreFn<D>) -> Self {
        let mut raw = Self::named(name, mode);
        raw.__bindgen_anon_2.store = Some(store_callback::<D>);
        Self {
            raw,
            show: None,
            store: Some(store),
        }
    }

    const fn named(name: &'static CStr, mode: u16) -> bindings::device_attribute {
        let mut raw: bindings::device_attribute = pin_init::zeroed();
        raw.attr.name = name.to_bytes_with_nul().as_ptr().cast();
        raw.attr.mode = mode;
        raw
    }

    pub(super) fn as_ptr(&self) -> *const bindings::attribute {
        &raw const self.raw.attr
    }
}

/// # Safety
///
/// For sysfs alone, as a callback of a [`DeviceAttribute<D>`] of a [`Device<D>`].
unsafe extern "C" fn show_callback<D: Send + Sync + 'static>(
    dev: *mut bindings::device,
    attribute: *mut bindings::device_attribute,
    page: *mut ffi::c_char,
) -> isize {
    // SAFETY: A `DeviceAttribute<D>` belongs to devices that carry a `D` alone. sysfs keeps the
    // device while this runs, and passes a page of its own.
    let (attribute, data, mut out) = unsafe {
        (
            &*attribute.cast::<DeviceAttribute<D>>(),
            data::<D>(dev),
            Text::from_page(page),
        )
    };
    match attribute.show.map(|show| show(data, &mut out)) {
        Some(Ok(())) => out.len() as isize,
        Some(Err(e)) => e.to_errno() as isize,
        None => EIO.to_errno() as isize,
    }
}

/// # Safety
///
/// As for [`show_callback`].
unsafe extern "C" fn store_callback<D: Send + Sync + 'static>(
    dev: *mut bindings::device,
    attribute: *mut bindings::device_attribute,
    text: *const ffi::c_char,
    len: usize,
) -> isize {
    // SAFETY: As in `show_callback`; sysfs passes the bytes written.
    let (attribute, data, text) = unsafe {
        (
            &*attribute.cast::<DeviceAttribute<D>>(),
            data::<D>(dev),
            core::slice::from_raw_parts(text.cast(), len),
        )
    };
    match attribute.store.map(|store| store(data, text)) {
        Some(Ok(())) => len as isize,
        Some(Err(e)) => e.to_errno() as isize,
        None => EIO.to_errno() as isize,
    }
}

/// What a device carries.
///
/// # Safety
///
/// `dev` must be a device that carries a `D`, and live for `'a`.
unsafe fn data<'a, D>(dev: *mut bindings::device) -> &'a D {
    // SAFETY: By the requirement of this function: the part of `Inner` up to `data` is laid out
    // alike for all buses.
    unsafe { &(*dev.cast::<Front<D>>()).data }
}

/// The part of [`Inner`] that does not depend on the bus.
#[repr(C)]
struct Front<D> {
    raw: Opaque<bindings::device>,
    data: D,
}

/// A device and what it carries. Freed by [`release`].
#[repr(C)]
struct Inner<T: BusType> {
    front: Front<T::Device>,
    // The device points into it.
    bus: Arc<BusHandle<T>>,
    module: Option<ModuleRef>,
}

/// Called when the last reference to a device is gone.
///
/// # Safety
///
/// `dev` must be the device of an `Inner<T>` in a `KBox`.
pub(super) unsafe extern "C" fn release<T: BusType>(dev: *mut bindings::device) {
    // SAFETY: By the requirement of this function.
    let mut inner = unsafe { KBox::from_raw(dev.cast::<Inner<T>>()) };
    let module = inner.module.take();
    drop(inner);
    // The last thing done in this module's code, but for the return.
    drop(module);
}

/// A device.
///
/// # Invariants
///
/// Points to the initialised device of an [`Inner`], and owns a reference to it.
pub(crate) struct Device<D>(NonNull<Front<D>>);

// SAFETY: References are counted atomically, and what a device carries is `Send` and `Sync`.
unsafe impl<D: Send + Sync> Send for Device<D> {}
// SAFETY: As above.
unsafe impl<D: Send + Sync> Sync for Device<D> {}

impl<D: Send + Sync + 'static> Device<D> {
    /// Makes the device `id` on `bus`, that nobody can see yet. May sleep.
    pub(crate) fn new<T: BusType<Device = D>>(
        bus: Arc<BusHandle<T>>,
        id: u32,
        data: D,
    ) -> Result<Self> {
        let inner = KBox::new(
            Inner {
                front: Front {
                    raw: Opaque::zeroed(),
                    data,
                },
                bus,
                module: Some(ModuleRef::get()?),
            },
            GFP_KERNEL,
        )?;
        let raw = inner.front.raw.get();
        // SAFETY: The device is zeroed and ours; what it points to lives as long as it does.
        unsafe {
            (*raw).bus = &raw const inner.bus.bus;
            (*raw).type_ = &raw const inner.bus.device_type;
            (*raw).parent = inner.bus.root;
            bindings::device_initialize(raw);
        }
        // INVARIANT: Initialised above, which made the first reference.
        // SAFETY: A box is never null.
        let device = Self(unsafe { NonNull::new_unchecked(KBox::into_raw(inner).cast()) });
        // SAFETY: The device is initialised; the format takes one number.
        to_result(unsafe { bindings::dev_set_name(raw, c"%u".as_char_ptr(), id) })?;
        Ok(device)
    }

    /// Makes the device visible. May sleep.
    pub(crate) fn add(self) -> Result<AddedDevice<D>> {
        // SAFETY: By the type invariant; taking `self` keeps it from being added twice.
        to_result(unsafe { bindings::device_add(self.as_ptr()) })?;
        Ok(AddedDevice(self))
    }
}

impl<D> Device<D> {
    pub(super) fn as_ptr(&self) -> *mut bindings::device {
        self.0.as_ptr().cast()
    }
}

impl<D> Drop for Device<D> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::put_device(self.as_ptr()) };
    }
}

/// A device that is visible until this is dropped.
pub(crate) struct AddedDevice<D>(Device<D>);

impl<D> core::ops::Deref for AddedDevice<D> {
    type Target = Device<D>;
    fn deref(&self) -> &Device<D> {
        &self.0
    }
}

impl<D> Drop for AddedDevice<D> {
    fn drop(&mut self) {
        // SAFETY: Added by `Device::add`. Returns once no attribute is in use.
        unsafe { bindings::device_del(self.0.as_ptr()) };
    }
}
