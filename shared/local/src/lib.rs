//! Adapters for the local host: documents, queues and the search index in SQLite files, and the system's own clock and randomness.

mod file;
mod queue;
mod sqlite;
mod system;
mod wal_index;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use souk_core::Clock;
use souk_sql::{MIGRATIONS, SEARCH_MIGRATIONS, SqlDocuments, SqlKeyValue, SqlSearch, VALUE_MIGRATIONS};

pub use file::SqliteFile;
pub use queue::{Leased, SqliteQueue};
pub use sqlite::SqliteDriver;
pub use system::{SystemClock, SystemRandom};

/// The `Documents` port over an SQLite file.
pub type SqliteDocuments = SqlDocuments<SqliteDriver>;

/// Opens, creates or migrates the database at `path`.
pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteDocuments, String> {
    Ok(SqlDocuments::new(SqliteDriver::open(path, MIGRATIONS)?, clock))
}

/// The `KeyValue` port over an SQLite file.
pub type SqliteKeyValue = SqlKeyValue<SqliteDriver>;

/// Opens, creates or migrates the database of values at `path`.
pub fn open_values(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteKeyValue, String> {
    Ok(SqlKeyValue::new(SqliteDriver::open(path, VALUE_MIGRATIONS)?, clock))
}

/// The `Search` port over an SQLite file.
pub type SqliteSearch = SqlSearch<SqliteDriver>;

/// Opens, creates or migrates the search index at `path`. A file that is damaged is set aside, as `….damaged`, and a new one
/// takes its place: the index can be made anew.
pub fn open_search(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteSearch, String> {
    if sqlite::is_damaged(path) {
        for part in ["", "-wal", "-shm"] {
            let file = |end: &str| {
                let mut name = path.as_os_str().to_owned();
                name.push(end);
                name
            };
            match std::fs::rename(file(part), file(&format!(".damaged{part}"))) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(format!(
                        "{} is damaged and cannot be set aside: {error}",
                        path.display()
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(SqlSearch::new(SqliteDriver::open(path, SEARCH_MIGRATIONS)?, clock))
}
