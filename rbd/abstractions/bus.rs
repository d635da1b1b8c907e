// SPDX-License-Identifier: GPL-2.0-only

//! A bus in sysfs: its control files and, through [`Device`](super::device::Device), its devices.
//!
//! C header: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h)

use super::{
    bindings,
    device::{release, DeviceAttribute},
    module::THIS_MODULE,
    text::Text,
};
use core::{marker::PhantomData, ptr};
use kernel::{
    error::{from_err_ptr, to_result},
    ffi,
    prelude::*,
    sync::{Arc, ArcBorrow, UniqueArc},
};

/// What a bus carries.
pub(crate) trait BusType: Sized + Send + Sync + 'static {
    /// The name of the bus, and of the device that is the parent of all its devices.
    const NAME: &'static CStr;
    /// What each of its devices carries.
    type Device: Send + Sync + 'static;
}

/// A control file that can be read.
pub(crate) trait Show<T: BusType> {
    /// Fills `out`. May sleep.
    fn show(bus: ArcBorrow<'_, BusHandle<T>>, out: &mut Text<'_>) -> Result;
}

/// A control file that can be written.
pub(crate) trait Store<T: BusType> {
    /// Acts on what was written. May sleep.
    fn store(bus: ArcBorrow<'_, BusHandle<T>>, text: &[u8]) -> Result;
}

/// A control file. To be put into a `static`, as sysfs needs a place that lasts.
#[repr(transparent)]
pub(crate) struct BusAttribute<T>(bindings::bus_attribute, PhantomData<fn(T)>);

// SAFETY: Never changed; what it points to is constant.
unsafe impl<T> Sync for BusAttribute<T> {}

impl<T: BusType> BusAttribute<T> {
    /// A file that everybody may read.
    pub(crate) const fn readable<H: Show<T>>(name: &'static CStr) -> Self {
        let mut raw: bindings::bus_attribute = pin_init::zeroed();
        raw.attr.name = name.to_bytes_with_nul().as_ptr().cast();
        raw.attr.mode = 0o444;
        raw.show = Some(show::<T, H>);
        Self(raw, PhantomData)
    }

    /// A file that root may write.
    pub(crate) const fn writable<H: Store<T>>(name: &'static CStr) -> Self {
        let mut raw: bindings::bus_attribute = pin_init::zeroed();
        raw.attr.name = name.to_bytes_with_nul().as_ptr().cast();
        raw.attr.mode = 0o200;
        raw.store = Some(store::<T, H>);
        Self(raw, PhantomData)
    }
}

/// # Safety
///
/// For sysfs alone, as a callback of a [`BusAttribute<T>`] in a [`Bus<T>`].
unsafe extern "C" fn show<T: BusType, H: Show<T>>(
    bus: *const bindings::bus_type,
    page: *mut ffi::c_char,
) -> isize {
    // SAFETY: A `BusAttribute<T>` is a file of a `BusHandle<T>` alone, which is held by its `Bus`
    // until the files are gone. sysfs passes a page of its own.
    let (bus, mut out) = unsafe { (ArcBorrow::from_raw(bus.cast()), Text::from_page(page)) };
    match H::show(bus, &mut out) {
        Ok(()) => out.len() as isize,
        Err(e) => e.to_errno() as isize,
    }
}

/// # Safety
///
/// As for [`show`].
unsafe extern "C" fn store<T: BusType, H: Store<T>>(
    bus: *const bindings::bus_type,
    text: *const ffi::c_char,
    len: usize,
) -> isize {
    // SAFETY: As in `show`; sysfs passes the bytes written.
    let (bus, text) = unsafe {
        (
            ArcBorrow::from_raw(bus.cast()),
            core::slice::from_raw_parts(text.cast(), len),
        )
    };
    match H::store(bus, text) {
        Ok(()) => len as isize,
        Err(e) => e.to_errno() as isize,
    }
}

/// A list of attributes in the form that sysfs wants.
struct Attributes {
    // Ends with a null pointer.
    pointers: KVec<*const bindings::attribute>,
    group: bindings::attribute_group,
    groups: [*const bindings::attribute_group; 2],
}

impl Attributes {
    fn new(attributes: impl Iterator<Item = *const bindings::attribute>) -> Result<Self> {
        let mut pointers = KVec::new();
        for attribute in attributes {
            pointers.push(attribute, GFP_KERNEL)?;
        }
        pointers.push(ptr::null(), GFP_KERNEL)?;
        Ok(Self {
            pointers,
            group: pin_init::zeroed(),
            groups: [ptr::null(); 2],
        })
    }

    /// The list of groups, valid while `self` stays in place.
    fn link(&mut self) -> *mut *const bindings::attribute_group {
        self.group.__bindgen_anon_2.attrs = self.pointers.as_mut_ptr().cast();
        self.groups = [&raw const self.group, ptr::null()];
        self.groups.as_mut_ptr()
    }
}

/// A bus as its files and devices see it: all that the kernel points to while it is registered or
/// one of its devices exists.
#[repr(C)]
pub(crate) struct BusHandle<T: BusType> {
    // First, so that a pointer to it is a pointer to the whole.
    pub(super) bus: bindings::bus_type,
    pub(super) device_type: bindings::device_type,
    pub(super) root: *mut bindings::device,
    files: Attributes,
    device_files: Attributes,
    data: T,
}

// SAFETY: Nothing is changed once it is set up; the pointers are to itself and to statics.
unsafe impl<T: BusType> Send for BusHandle<T> {}
// SAFETY: As above.
unsafe impl<T: BusType> Sync for BusHandle<T> {}

impl<T: BusType> core::ops::Deref for BusHandle<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.data
    }
}

/// A bus that is registered until this is dropped.
pub(crate) struct Bus<T: BusType>(Arc<BusHandle<T>>);

impl<T: BusType> Bus<T> {
    /// Registers a bus that carries `data`, has `files`, and whose devices have `device_files`. May
    /// sleep.
    pub(crate) fn register(
        data: T,
        files: [&'static [BusAttribute<T>]; 2],
        device_files: &'static [DeviceAttribute<T::Device>],
    ) -> Result<Self> {
        let mut bus = UniqueArc::new(
            BusHandle {
                bus: pin_init::zeroed(),
                device_type: pin_init::zeroed(),
                root: ptr::null_mut(),
                files: Attributes::new(files.into_iter().flatten().map(|f| &raw const f.0.attr))?,
                device_files: Attributes::new(device_files.iter().map(DeviceAttribute::as_ptr))?,
                data,
            },
            GFP_KERNEL,
        )?;
        let name = T::NAME.as_char_ptr();
        bus.bus.name = name;
        bus.bus.bus_groups = bus.files.link();
        bus.device_type.name = name;
        bus.device_type.groups = bus.device_files.link();
        bus.device_type.release = Some(release::<T>);
        // SAFETY: The name is a C string, copied by the callee.
        bus.root = from_err_ptr(unsafe { bindings::__root_device_register(name, THIS_MODULE) })?;
        let bus: Arc<BusHandle<T>> = bus.into();
        // SAFETY: The bus is set up, and stays in place until `drop`.
        if let Err(e) = to_result(unsafe { bindings::bus_register(&bus.bus) }) {
            // SAFETY: Registered above.
            unsafe { bindings::root_device_unregister(bus.root) };
            return Err(e);
        }
        Ok(Self(bus))
    }
}

impl<T: BusType> Drop for Bus<T> {
    fn drop(&mut self) {
        // SAFETY: Both were registered by `register`.
        unsafe {
            bindings::bus_unregister(&self.0.bus);
            bindings::root_device_unregister(self.0.root);
        }
    }
}
