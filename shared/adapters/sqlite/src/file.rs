//! [`SqliteFile`]: a database in a single file that no other process opens: a copy that is prepared before it is published, or
//! one that is only read.
//!
//! **Atomicity.** A batch is one transaction. It is in the file when `write` returns, so the file can be copied then. Nothing
//! is synced: a crash may leave the file damaged, so this is for files that are thrown away after a crash.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use souk_sql::{SqlDriver, SqlError, Statement, Value};

use crate::connection::{MigrationError, execute, migrate, rows, sql_error};

/// A database in a single file.
pub struct SqliteFile(Mutex<Connection>);

impl SqliteFile {
    /// Opens or creates the file and applies the migrations (name, SQL) that it lacks.
    pub fn open(path: &Path, migrations: &[(&str, &str)]) -> Result<Self, String> {
        let open = || {
            let mut connection = Connection::open(path)?;
            connection.set_prepared_statement_cache_capacity(64);
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; \
                 PRAGMA cache_size = -16384; PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY;",
            )?;
            migrate(&mut connection, migrations)?;
            Ok(Self(Mutex::new(connection)))
        };
        open().map_err(|e: MigrationError| format!("{}: {e}", path.display()))
    }

    /// Makes every later write fail.
    pub fn freeze(&self) -> Result<(), SqlError> {
        self.lock().execute_batch("PRAGMA query_only = ON").map_err(sql_error)
    }

    /// Shrinks the file by the space of deleted rows (`VACUUM`).
    pub fn compact(&self) -> Result<(), SqlError> {
        self.lock().execute_batch("VACUUM").map_err(sql_error)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqlDriver for SqliteFile {
    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        rows(&self.lock(), &statement, usize::MAX)
            .map(|(rows, _)| rows)
            .map_err(sql_error)
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        let mut connection = self.lock();
        let mut run = || {
            let transaction = connection.transaction()?;
            batch
                .iter()
                .try_for_each(|statement| execute(&transaction, statement))?;
            transaction.commit()
        };
        run().map_err(sql_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_of_the_file_has_what_was_written_and_no_failed_batch() {
        let folder = std::env::temp_dir().join(format!("souk-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("a.db"), folder.join("b.db"));
        let table = [("0001.sql", "CREATE TABLE t (n INTEGER CONSTRAINT step_7 CHECK (n < 3))")];
        let add = |n: i64| Statement::new("INSERT INTO t VALUES (?1)", vec![n.into()]);
        let file = SqliteFile::open(&path, &table).unwrap();
        file.write(vec![add(1), add(2)]).await.unwrap();
        assert_eq!(file.write(vec![add(2), add(3)]).await, Err(SqlError::Guard(7)));
        std::fs::copy(&path, &other).unwrap();
        file.write(vec![add(2)]).await.unwrap();
        let copy = SqliteFile::open(&other, &table).unwrap();
        let count = Statement::new("SELECT count(*) FROM t", Vec::new());
        assert_eq!(copy.read(count.clone()).await, Ok(vec![vec![Value::Integer(2)]]));
        assert_eq!(file.read(count).await, Ok(vec![vec![Value::Integer(3)]]));
        copy.compact().unwrap();
        copy.freeze().unwrap();
        assert!(matches!(copy.write(vec![add(1)]).await, Err(SqlError::Failed(_))));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
