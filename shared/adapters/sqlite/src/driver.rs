//! [`SqliteDriver`]: a database file in WAL mode.
//!
//! **Writes** go to the thread in `writer.rs`, which owns the only writing connection. A write returns after its commit was
//! synced to the disk (`synchronous=FULL`).
//!
//! **Reads** run on the calling thread, on a connection from a pool: a read takes microseconds from the page cache, less than
//! handing it to another thread. In WAL mode, readers and the writer do not wait for each other. Statements that may be long
//! run on threads of their own, on at most half of the cores, for at most [`MAX_STEPS`]; so they delay only each other.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use souk_sql::{SqlDriver, SqlError, Statement, Value};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinError;

use crate::connection::{migrate, rows, sql_error};
use crate::watched_file::WatchedFile;
use crate::writer::{self, Write};

/// How many writes may wait; more are refused at once.
const MAX_WAITING_WRITES: usize = 4096;

/// How many long reads may wait or run; more are refused at once.
const MAX_LONG_READS: usize = 32;
/// How many steps a long read may take, each of [`INSTRUCTIONS_PER_STEP`]: about two seconds.
const MAX_STEPS: u32 = 10_000;
/// Instructions of SQLite's virtual machine.
const INSTRUCTIONS_PER_STEP: i32 = 10_000;

/// A database file.
pub struct SqliteDriver {
    readers: Arc<Readers>,
    long_reads: Arc<Semaphore>,
    cores: Arc<Semaphore>,
    /// `None` while the driver is closing.
    writes: Option<SyncSender<Write>>,
    writer: Option<JoinHandle<()>>,
}

/// Closes every connection. The last one to close moves the log into the database, so that the file alone is complete.
impl Drop for SqliteDriver {
    fn drop(&mut self) {
        self.readers.idle().clear();
        self.writes = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl SqliteDriver {
    /// Opens or creates the file and applies the migrations (name, SQL) that it lacks.
    pub fn open(path: &Path, migrations: &[(&str, &str)]) -> Result<Self, String> {
        let failed = |e: rusqlite::Error| format!("{}: {e}", path.display());
        let mut connection = Connection::open(path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        migrate(&mut connection, migrations).map_err(|e| format!("{}: {e}", path.display()))?;
        let file = Arc::new(WatchedFile::new(path).map_err(|e| format!("{}: {e}", path.display()))?);
        let (writes, waiting) = sync_channel(MAX_WAITING_WRITES);
        let watched = file.clone();
        let writer = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || writer::run(&connection, &watched, &waiting))
            .map_err(|e| e.to_string())?;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2);
        Ok(Self {
            readers: Arc::new(Readers {
                file,
                idle: Mutex::default(),
            }),
            long_reads: Arc::new(Semaphore::new(MAX_LONG_READS)),
            cores: Arc::new(Semaphore::new(cores.max(1))),
            writes: Some(writes),
            writer: Some(writer),
        })
    }

    async fn read_long(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        let place = self.long_reads.clone().try_acquire_owned();
        let place = place.map_err(|_| SqlError::TooMany)?;
        let core = self.cores.clone().acquire_owned().await;
        let core = core.map_err(|_| SqlError::TooMany)?;
        let readers = self.readers.clone();
        let read = move || {
            // They are held until the read has ended, even if nobody waits for it any more.
            let _held = (place, core);
            readers.rows(&statement, usize::MAX, Some(MAX_STEPS))
        };
        let (rows, _) = blocking(read)
            .await
            .map_err(|error| SqlError::Failed(error.to_string()))??;
        Ok(rows)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(work).await
}

/// The connections that read.
struct Readers {
    file: Arc<WatchedFile>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        if let Some(connection) = self.idle().pop() {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.file.path(), flags)?;
        configure(&connection)?;
        Ok(connection)
    }

    fn rows(
        &self,
        statement: &Statement,
        limit: usize,
        max_steps: Option<u32>,
    ) -> Result<(Vec<Vec<Value>>, bool), SqlError> {
        self.file.ensure_present()?;
        let read = || {
            let mut connection = self.open()?;
            if let Some(max) = max_steps {
                let mut steps = 0;
                let is_over = move || {
                    steps += 1;
                    steps > max
                };
                connection.progress_handler(INSTRUCTIONS_PER_STEP, Some(is_over))?;
            }
            let found = rows(&connection, statement, limit)?;
            if max_steps.is_some() {
                connection.progress_handler(0, None::<fn() -> bool>)?;
            }
            self.idle().push(connection);
            Ok(found)
        };
        read().map_err(sql_error)
    }
}

impl SqlDriver for SqliteDriver {
    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        if statement.is_long {
            return self.read_long(statement).await;
        }
        self.readers.rows(&statement, usize::MAX, None).map(|(rows, _)| rows)
    }

    async fn read_page(&self, statement: Statement, limit: usize) -> Result<(Vec<Vec<Value>>, bool), SqlError> {
        self.readers.rows(&statement, limit, None)
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        let stopped = || SqlError::Failed("the writer has stopped".into());
        let (reply, answer) = oneshot::channel();
        let writes = self.writes.as_ref().ok_or_else(stopped)?;
        writes.try_send((batch, reply)).map_err(|error| match error {
            TrySendError::Full(_) => SqlError::Failed("too many writes are waiting".into()),
            TrySendError::Disconnected(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    // Without it SQLite plans a statement again for each value that is bound to a range: a quarter of a list's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA cache_size = -65536; PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY;",
    )?;
    // The crash test lowers it to show what less than `FULL` would lose.
    #[cfg(feature = "testing")]
    if let Ok(level) = std::env::var("SOUK_TEST_SYNCHRONOUS") {
        connection.pragma_update(None, "synchronous", level)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, &str)] = &[("0001.sql", "CREATE TABLE t (n INTEGER)")];

    async fn add(driver: &SqliteDriver) {
        driver
            .write(vec![Statement::new("INSERT INTO t SELECT count(*) FROM t", Vec::new())])
            .await
            .unwrap();
    }

    async fn count(driver: &SqliteDriver) -> i64 {
        match driver
            .read(Statement::new("SELECT count(*) FROM t", Vec::new()))
            .await
            .unwrap()[0][0]
        {
            Value::Integer(n) => n,
            _ => -1,
        }
    }

    #[tokio::test]
    async fn a_removed_or_replaced_database_fails_every_call() {
        let dir = std::env::temp_dir().join(format!("souk-gone-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("t.db");
        let statement = || Statement::new("INSERT INTO t VALUES (1)", Vec::new());
        let removed = SqliteDriver::open(&path, TABLE).unwrap();
        add(&removed).await;
        for part in ["t.db", "t.db-wal", "t.db-shm"] {
            std::fs::remove_file(dir.join(part)).unwrap();
        }
        let replacement = SqliteDriver::open(&path, TABLE).unwrap();
        assert!(matches!(removed.write(vec![statement()]).await, Err(SqlError::Failed(why)) if why.contains("t.db")));
        let read = removed.read(Statement::new("SELECT n FROM t", Vec::new())).await;
        assert!(matches!(read, Err(SqlError::Failed(_))));
        add(&replacement).await;
        // Closing the removed database leaves the log of the new one in place.
        drop(removed);
        assert!(dir.join("t.db-wal").exists());
        assert_eq!(count(&replacement).await, 1);
        drop(replacement);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn a_read_sees_the_commits_of_every_connection() {
        let dir = std::env::temp_dir().join(format!("souk-sqlite-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("t.db");
        // Like two processes: they share nothing but the files.
        let (one, other) = (
            SqliteDriver::open(&path, TABLE).unwrap(),
            SqliteDriver::open(&path, TABLE).unwrap(),
        );
        for n in 0..200 {
            assert_eq!((count(&one).await, count(&other).await), (n, n));
            add(if n % 3 == 0 { &one } else { &other }).await;
            assert_eq!((count(&one).await, count(&other).await), (n + 1, n + 1));
        }
        // Idle readers hold no transaction open, which would keep the log from being moved into the database.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = Connection::open(&path)
            .unwrap()
            .query_row(checkpoint, [], |row| row.get::<_, i64>(0));
        assert_eq!(busy.unwrap(), 0);
        drop((one, other));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
