//! Simulates a power loss for tests: what SQLite has written but not synced is lost when this process dies.
//!
//! It is compiled with the feature `testing` only, and active only if `SOUK_TEST_POWER_LOSS` is set. It wraps SQLite's
//! default VFS, whose locks and shared memory stay in use. Writes to a file are kept in this process until the file is
//! synced; all connections of the process see them at once. After `kill -9` the files hold what the disk of a machine
//! would hold after a power loss, if its operating system had written nothing back by itself.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a VFS for tests, called by SQLite and calling it in C; a panic ends the test"
)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;
use std::slice;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use rusqlite::ffi;

/// The content of a file as this process sees it.
struct Image {
    bytes: Vec<u8>,
    /// Changes that have not been passed to the operating system, in order.
    unsynced: Vec<Step>,
}

enum Step {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// An open file: its image, and the default VFS's methods for it.
struct Open {
    image: Arc<Mutex<Image>>,
    system: &'static ffi::sqlite3_io_methods,
}

/// By path.
static IMAGES: LazyLock<Mutex<HashMap<CString, Arc<Mutex<Image>>>>> = LazyLock::new(Mutex::default);
/// By the address of SQLite's file handle.
static FILES: LazyLock<Mutex<HashMap<usize, Open>>> = LazyLock::new(Mutex::default);
/// SQLite's default VFS.
static SYSTEM: OnceLock<System> = OnceLock::new();

#[derive(Clone, Copy)]
struct System(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite registers its default VFS once for all threads and never frees it.
unsafe impl Send for System {}
// SAFETY: as above.
unsafe impl Sync for System {}

/// Makes the wrapper the default VFS if `SOUK_TEST_POWER_LOSS` is set.
pub(crate) fn install() {
    if std::env::var_os("SOUK_TEST_POWER_LOSS").is_none() {
        return;
    }
    // SAFETY: the default VFS is never freed; ours is a copy of it and leaked, so it is not freed either.
    unsafe {
        let system = ffi::sqlite3_vfs_find(ptr::null());
        assert!(SYSTEM.set(System(system)).is_ok());
        let mut own = ptr::read(system);
        own.zName = c"power-loss".as_ptr();
        own.pNext = ptr::null_mut();
        own.xOpen = Some(open);
        own.xDelete = Some(delete);
        assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(own)), 1), ffi::SQLITE_OK);
    }
}

/// Opens the file with the default VFS, then replaces the methods that read, write and sync.
unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let system = SYSTEM.get().unwrap().0;
    // SAFETY: SQLite's arguments are passed on to SQLite's default VFS; the handle is valid after it returned
    // `SQLITE_OK`.
    unsafe {
        let result = (*system).xOpen.unwrap()(system, name, file, flags, out);
        if result != ffi::SQLITE_OK || name.is_null() {
            return result;
        }
        let path = CStr::from_ptr(name).to_owned();
        let mut images = IMAGES.lock().unwrap();
        let image = images.entry(path).or_insert_with_key(|path| {
            let bytes = std::fs::read(OsStr::from_bytes(path.to_bytes())).unwrap();
            let unsynced = Vec::new();
            Arc::new(Mutex::new(Image { bytes, unsynced }))
        });
        let image = image.clone();
        let system: &'static ffi::sqlite3_io_methods = &*(*file).pMethods;
        let mut own = ptr::read(system);
        // Version 2 has no memory mapping, which would bypass the image.
        own.iVersion = own.iVersion.min(2);
        own.xRead = Some(read);
        own.xWrite = Some(write);
        own.xTruncate = Some(truncate);
        own.xSync = Some(sync);
        own.xFileSize = Some(size);
        own.xClose = Some(close);
        (*file).pMethods = Box::leak(Box::new(own));
        FILES.lock().unwrap().insert(file as usize, Open { image, system });
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    let system = SYSTEM.get().unwrap().0;
    // SAFETY: as in `open`.
    unsafe {
        IMAGES.lock().unwrap().remove(CStr::from_ptr(name));
        (*system).xDelete.unwrap()(system, name, sync_folder)
    }
}

fn with<T>(file: *mut ffi::sqlite3_file, act: impl FnOnce(&mut Image, &'static ffi::sqlite3_io_methods) -> T) -> T {
    let (image, system) = {
        let files = FILES.lock().unwrap();
        let open = &files[&(file as usize)];
        (open.image.clone(), open.system)
    };
    let mut image = image.lock().unwrap();
    act(&mut image, system)
}

fn to_usize(number: impl TryInto<usize>) -> usize {
    number.try_into().ok().unwrap()
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, offset: i64) -> c_int {
    with(file, |image, _| {
        // SAFETY: SQLite passes a buffer of `amount` bytes.
        let into = unsafe { slice::from_raw_parts_mut(into.cast::<u8>(), to_usize(amount)) };
        let from = to_usize(offset).min(image.bytes.len());
        let have = into.len().min(image.bytes.len() - from);
        into[..have].copy_from_slice(&image.bytes[from..from + have]);
        into[have..].fill(0);
        if have == into.len() {
            ffi::SQLITE_OK
        } else {
            ffi::SQLITE_IOERR_SHORT_READ
        }
    })
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    with(file, |image, _| {
        // SAFETY: SQLite passes a buffer of `amount` bytes.
        let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), to_usize(amount)) };
        let (start, end) = (to_usize(offset), to_usize(offset) + bytes.len());
        if image.bytes.len() < end {
            image.bytes.resize(end, 0);
        }
        image.bytes[start..end].copy_from_slice(bytes);
        image.unsynced.push(Step::Write(start, bytes.to_vec()));
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    with(file, |image, _| {
        image.bytes.truncate(to_usize(size));
        image.unsynced.push(Step::Truncate(to_usize(size)));
        ffi::SQLITE_OK
    })
}

/// Passes the changes to the operating system. No `fsync` is needed: the tests kill the process, not the machine.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    with(file, |image, system| {
        for step in image.unsynced.drain(..) {
            // SAFETY: the default VFS opened this handle, and these are its methods.
            let result = unsafe {
                match step {
                    Step::Write(start, bytes) => {
                        let (amount, offset) = (c_int::try_from(bytes.len()).unwrap(), i64::try_from(start).unwrap());
                        system.xWrite.unwrap()(file, bytes.as_ptr().cast(), amount, offset)
                    }
                    Step::Truncate(size) => system.xTruncate.unwrap()(file, i64::try_from(size).unwrap()),
                }
            };
            if result != ffi::SQLITE_OK {
                return result;
            }
        }
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, into: *mut i64) -> c_int {
    with(file, |image, _| {
        // SAFETY: SQLite passes a pointer to an `i64`.
        unsafe { *into = i64::try_from(image.bytes.len()).unwrap() };
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let open = FILES.lock().unwrap().remove(&(file as usize)).unwrap();
    // SAFETY: the default VFS opened this handle, and this is its method.
    unsafe { open.system.xClose.unwrap()(file) }
}
