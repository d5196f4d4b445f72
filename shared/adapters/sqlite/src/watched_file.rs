//! [`WatchedFile`]: notices that a database file was removed or replaced while it is open.
//!
//! Writes to such a file would be lost at the next start. The writing thread checks before each commit and while it is idle;
//! after that every call fails.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use souk_sql::SqlError;

pub(crate) struct WatchedFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
    is_gone: AtomicBool,
}

impl WatchedFile {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            device_and_inode: device_and_inode(path)?,
            is_gone: AtomicBool::new(false),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file system. A file that was found gone once stays gone.
    pub(crate) fn check(&self) {
        let is_gone = match device_and_inode(&self.path) {
            Ok(found) => found != self.device_and_inode,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if is_gone {
            self.is_gone.store(true, Ordering::Relaxed);
        }
    }

    /// Fails if a [`check`](Self::check) has found the file gone.
    pub(crate) fn ensure_present(&self) -> Result<(), SqlError> {
        if self.is_gone.load(Ordering::Relaxed) {
            let path = self.path.display();
            return Err(SqlError::Failed(format!(
                "{path} was removed or replaced since it was opened: restart the server"
            )));
        }
        Ok(())
    }
}

fn device_and_inode(path: &Path) -> io::Result<(u64, u64)> {
    let file = std::fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}
