//! The beginning of SQLite's WAL index (`-shm`): every commit of any process rewrites it before it is acknowledged, so who
//! has seen it unchanged has seen every commit.
//!
//! It is mapped into memory, as SQLite does itself: to read it from the file would be a system call for each read.

#![expect(unsafe_code, reason = "to read what others write is unsafe; see below")]

use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr;

use memmap2::{MmapOptions, MmapRaw};

/// The first of the two copies of the header: counters, salts and checksums that no two commits have in common.
pub(crate) type Header = [u64; 6];

/// The index of an open database.
pub(crate) struct WalIndex {
    map: MmapRaw,
    /// Open for as long as connections are: to close any handle of it takes all locks away that this process has on it,
    /// SQLite's own included, and then another process may begin the index anew.
    _file: File,
}

impl WalIndex {
    /// The index of the database at `path`. It is there while a connection is open that has read or written; one must stay
    /// open until this is dropped, and be closed before.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut name = path.to_owned().into_os_string();
        name.push("-shm");
        let file = File::open(name)?;
        if file.metadata()?.len() < size_of::<Header>() as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let map = MmapOptions::new().len(size_of::<Header>()).map_raw_read_only(&file)?;
        Ok(Self { map, _file: file })
    }

    /// The header of this moment. One that is being written is like neither the one before nor the one after, or like the
    /// one before, as its commit is not acknowledged yet.
    pub(crate) fn header(&self) -> Header {
        // SAFETY: a mapping begins at a page, so it is aligned, and it is as long as a header. Nobody makes the file shorter
        // while a connection is open: SQLite maps it too, and begins it anew only where no connection has a lock on it.
        // What others write meanwhile is read word by word, each as it is.
        let word = |n: usize| unsafe { ptr::read_volatile(self.map.as_ptr().cast::<u64>().add(n)) };
        std::array::from_fn(word)
    }
}
