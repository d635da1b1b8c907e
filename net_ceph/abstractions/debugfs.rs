// SPDX-License-Identifier: GPL-2.0-only

//! Files in debugfs, whose text is made when they are read.
//!
//! The kernel crate has such files, too. But nothing keeps a module loaded while one of them is open, and
//! to close it takes what the module has.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::bindings;
use core::{marker::PhantomData, ptr};
use kernel::{
    fmt,
    prelude::*,
    seq_file::{seq_print, SeqFile},
    sync::Arc,
};

#[cfg(CONFIG_DEBUG_FS)]
use bindings::{debugfs_create_dir, debugfs_create_file_full, debugfs_remove};

/// What there is in a kernel without debugfs.
#[cfg(not(CONFIG_DEBUG_FS))]
mod none {
    use super::bindings::{dentry, file_operations, umode_t};
    use core::ptr;
    use kernel::ffi::{c_char, c_void};

    /// # Safety
    ///
    /// None is needed.
    pub(super) unsafe fn debugfs_create_dir(_: *const c_char, _: *mut dentry) -> *mut dentry {
        ptr::null_mut()
    }

    /// # Safety
    ///
    /// None is needed.
    pub(super) unsafe fn debugfs_create_file_full(
        _: *const c_char,
        _: umode_t,
        _: *mut dentry,
        _: *mut c_void,
        _: *const c_void,
        _: *const file_operations,
    ) -> *mut dentry {
        ptr::null_mut()
    }

    /// # Safety
    ///
    /// None is needed.
    pub(super) unsafe fn debugfs_remove(_: *mut dentry) {}
}
#[cfg(not(CONFIG_DEBUG_FS))]
use none::{debugfs_create_dir, debugfs_create_file_full, debugfs_remove};

/// Root may read them.
const MODE: bindings::umode_t = 0o400;

/// What a file shows.
///
/// # Safety
///
/// `MODULE` is the module that this is implemented in.
pub unsafe trait Text: Send + Sync + 'static {
    /// The module that stays while the file is open.
    const MODULE: *mut bindings::module;

    /// Writes the text. May sleep.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A file or a directory, which goes with it.
///
/// # Invariants
///
/// The pointer is what debugfs gave for an entry that is there, or an error, of which its functions make nothing.
struct Entry {
    dentry: *mut bindings::dentry,
    // One that goes takes all below it along, so it goes last.
    _parent: Option<Arc<Entry>>,
}

// SAFETY: debugfs takes its entries from any task.
unsafe impl Send for Entry {}
// SAFETY: As above; all of its functions may be called at once.
unsafe impl Sync for Entry {}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits for those who read.
        unsafe { debugfs_remove(self.dentry) };
    }
}

/// A directory. It goes when it and all that is in it were dropped.
pub struct Dir(Arc<Entry>);

impl Dir {
    /// One at the top, empty if there is no debugfs. Allocates; may sleep.
    pub fn new(name: &CStr) -> Result<Self> {
        Self::make(name, None)
    }

    /// One in this one. As [`new`](Self::new).
    pub fn subdir(&self, name: &CStr) -> Result<Self> {
        Self::make(name, Some(self.0.clone()))
    }

    fn make(name: &CStr, parent: Option<Arc<Entry>>) -> Result<Self> {
        let above = parent.as_ref().map_or(ptr::null_mut(), |p| p.dentry);
        // SAFETY: `name` is a C string, and `above` the parent's entry, which the new one keeps.
        let dentry = unsafe { debugfs_create_dir(name.as_char_ptr(), above) };
        // INVARIANT: It was just made.
        let entry = Entry {
            dentry,
            _parent: parent,
        };
        Ok(Self(Arc::new(entry, GFP_KERNEL)?))
    }

    /// A file in it that shows `text`. Allocates; may sleep.
    pub fn file<T: Text>(&self, name: &CStr, text: T) -> Result<File<T>> {
        let text = Arc::new(text, GFP_KERNEL)?;
        let data = Arc::as_ptr(&text).cast_mut().cast();
        // SAFETY: `name` is a C string, and the directory is there. `data` is a `T`, as the operations want it, and
        // stays until the entry is gone; the operations are there as long as the module.
        let dentry = unsafe {
            debugfs_create_file_full(
                name.as_char_ptr(),
                MODE,
                self.0.dentry,
                data,
                ptr::null(),
                &Operations::<T>::TABLE,
            )
        };
        // INVARIANT: It was just made.
        let entry = Entry {
            dentry,
            _parent: Some(self.0.clone()),
        };
        Ok(File {
            _entry: entry,
            _text: text,
        })
    }
}

/// A file that shows a [`Text`].
pub struct File<T: Text> {
    // Goes before what it shows.
    _entry: Entry,
    _text: Arc<T>,
}

/// The operations on a file that shows a `T`.
struct Operations<T>(PhantomData<T>);

impl<T: Text> Operations<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        owner: T::MODULE,
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// To be called by debugfs, for a file that was made by [`Dir::file`].
    unsafe extern "C" fn open(
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        // SAFETY: The inode is that of the file, and has what `Dir::file` gave.
        let text = unsafe { (*inode).i_private };
        // SAFETY: `file` is being opened.
        unsafe { bindings::single_open(file, Some(Self::show), text) }
    }

    /// # Safety
    ///
    /// To be called for a `seq` that was opened by [`open`](Self::open), while the entry is there.
    unsafe extern "C" fn show(
        seq: *mut bindings::seq_file,
        _: *mut kernel::ffi::c_void,
    ) -> kernel::ffi::c_int {
        // SAFETY: `single_open` was given a pointer to a `T`, which is there as long as the entry.
        let text = unsafe { &*(*seq).private.cast::<T>() };
        // SAFETY: `seq` is ours until we return.
        let out = unsafe { SeqFile::from_raw(seq) };
        seq_print!(out, "{}", Shown(text));
        0
    }
}

/// A text, to be printed.
struct Shown<'a, T>(&'a T);

impl<T: Text> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

/// A value of this module, shown as `show` says.
pub(crate) struct OwnText<T> {
    pub(crate) value: T,
    pub(crate) show: fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
}

// SAFETY: It can only be made, and so be shown, by this module.
unsafe impl<T: Send + Sync + 'static> Text for OwnText<T> {
    const MODULE: *mut bindings::module = &raw mut bindings::__this_module;

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.show)(&self.value, f)
    }
}
