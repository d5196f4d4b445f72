//! The `RateLimit` port in an SQLite file of its own, which all processes on the data folder share. A crash of a process loses
//! nothing; a loss of power may lose the counts of the last seconds, which matter less than a sync for each of them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use souk_core::rate_limit::{Cell, Quota, Taken};
use souk_core::{Clock, RateLimit, StoreError};

use crate::connection::migrate;

const MIGRATIONS: &[(&str, &str)] = &[(
    "0001_limits.sql",
    "CREATE TABLE cell (key TEXT PRIMARY KEY, used INTEGER NOT NULL, ends_at INTEGER NOT NULL) STRICT, WITHOUT ROWID; \
     CREATE INDEX cell_ends_at ON cell (ends_at);",
)];
/// How many cells of past windows each new window deletes.
const SWEEP: u32 = 4;

/// Cells in a file.
pub struct SqliteRateLimit {
    connection: Arc<Mutex<Connection>>,
    clock: Arc<dyn Clock>,
}

impl SqliteRateLimit {
    /// Opens or creates the file.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.execute_batch(
                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1000;",
            )?;
            Ok(connection)
        };
        let failed = |why: String| format!("{}: {why}", path.display());
        let mut connection = open().map_err(|error| failed(error.to_string()))?;
        migrate(&mut connection, MIGRATIONS).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            clock,
        })
    }

    /// Runs `change` as one transaction, apart from the event loop: another process may hold the file.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = self.connection.clone();
        let write = move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        let written = tokio::task::spawn_blocking(write).await;
        let written = written.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        written.map_err(|error: rusqlite::Error| StoreError::Unavailable(error.to_string()))
    }
}

fn find(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<Cell>> {
    let mut select = transaction.prepare_cached("SELECT used, ends_at FROM cell WHERE key = ?1")?;
    let cell = |row: &rusqlite::Row<'_>| {
        Ok(Cell {
            used: row.get(0)?,
            ends_at: row.get(1)?,
        })
    };
    select.query_row([key], cell).optional()
}

fn put(transaction: &Transaction<'_>, key: &str, cell: Cell) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO cell VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET used = excluded.used, ends_at = excluded.ends_at",
    )?;
    put.execute(params![key, cell.used, cell.ends_at]).map(drop)
}

#[async_trait]
impl RateLimit for SqliteRateLimit {
    async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError> {
        let (key, now) = (key.to_owned(), self.clock.now().as_millisecond());
        self.write(move |transaction| {
            let mut cell = find(transaction, &key)?.unwrap_or_default();
            let before = cell;
            let taken = cell.take(quota, wanted, now);
            if cell.ends_at != before.ends_at {
                let mut sweep = transaction.prepare_cached(
                    "DELETE FROM cell WHERE key IN (SELECT key FROM cell WHERE ends_at <= ?1 LIMIT +?2)",
                )?;
                sweep.execute(params![now, SWEEP])?;
            }
            if cell != before {
                put(transaction, &key, cell)?;
            }
            Ok(taken)
        })
        .await
    }

    async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(move |transaction| {
            let Some(mut cell) = find(transaction, &key)? else {
                return Ok(());
            };
            cell.give_back(units, ends_at);
            put(transaction, &key, cell)
        })
        .await
    }

    async fn clear(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(move |transaction| transaction.execute("DELETE FROM cell WHERE key = ?1", [key]).map(drop))
            .await
    }
}
