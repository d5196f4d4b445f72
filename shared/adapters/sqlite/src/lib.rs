//! Adapters for the local host: documents, queues and the search index in SQLite files, and the system's clock and randomness.

pub mod backup;
mod connection;
mod driver;
mod file;
mod queue;
mod rate_limit;
mod system;
mod watched_file;
mod writer;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use souk_core::Clock;
use souk_sql::{MIGRATIONS, SEARCH_MIGRATIONS, SqlDocuments, SqlKeyValue, SqlSearch, VALUE_MIGRATIONS};

pub use driver::SqliteDriver;
pub use file::SqliteFile;
pub use queue::{Leased, SqliteQueue};
pub use rate_limit::SqliteRateLimit;
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

/// Opens, creates or migrates the search index at `path`.
pub fn open_search(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteSearch, String> {
    Ok(SqlSearch::new(SqliteDriver::open(path, SEARCH_MIGRATIONS)?, clock))
}

/// Renames a damaged database to `….damaged`, so that a new one can take its name; says whether it was damaged. For values and
/// the search index, which can be rebuilt.
pub fn set_damaged_aside(path: &Path) -> Result<bool, String> {
    if !connection::is_damaged(path) {
        return Ok(false);
    }
    let with_suffix = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name
    };
    for part in ["", "-wal", "-shm"] {
        match std::fs::rename(with_suffix(part), with_suffix(&format!(".damaged{part}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = path.display();
                return Err(format!("{path} is damaged and cannot be set aside: {error}"));
            }
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_that_can_be_rebuilt_is_set_aside() {
        let folder = std::env::temp_dir().join(format!("souk-damaged-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let open_both = |name: &str| {
            let path = folder.join(name);
            let (values, search) = (path.with_extension("values"), path.with_extension("search"));
            set_damaged_aside(&values).unwrap();
            set_damaged_aside(&search).unwrap();
            open_values(&values, Arc::new(SystemClock)).unwrap();
            open_search(&search, Arc::new(SystemClock)).unwrap();
            [values, search]
        };
        for path in open_both("market") {
            let mut aside = path.clone().into_os_string();
            aside.push(".damaged");
            assert!(!Path::new(&aside).exists(), "a sound file stays");
            std::fs::write(&path, "no database ".repeat(1000)).unwrap();
            open_both("market");
            assert!(std::fs::read(&aside).unwrap().starts_with(b"no database"));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
