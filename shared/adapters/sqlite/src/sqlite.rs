//! SQLite in WAL mode, `synchronous=FULL`: what was acknowledged is on the disk.
//!
//! **Writes** go to one thread that owns the only writing connection. It takes all the batches that wait, up to
//! [`GROUP`], and commits them as one transaction with a savepoint around each: one `fsync` serves many callers, and a
//! batch that fails undoes itself alone. Callers hear only after the commit, so a crash at any moment loses nothing
//! that was acknowledged.
//!
//! **Reads** run on the calling thread, on a connection from a small pool: they take microseconds from the page cache,
//! less than handing them to another thread would. In WAL mode readers and the writer do not wait for each other.
//!
//! To begin and end a read transaction takes SQLite two file locks under a mutex of the whole process, more than all the
//! rest of a small read. So a connection keeps its transaction open, and the next read goes on in it if nobody has
//! committed since: then the beginning of the WAL index (`-shm`), which every commit of any process rewrites before it
//! is acknowledged, is as it was. It does so from the second read on that finds nothing new. After each commit, and each
//! [`REST`] without one, the writing thread ends the transactions of idle connections, so that none keeps the log of this
//! process or of another from being moved into the database.
//!
//! At rest the writing thread moves the log itself: with an empty log a read need not look for each page in it first, and
//! takes pages from the mapped file without a copy.
//!
//! **A file that is removed** under its driver, or that another has taken the place of, would take writes that nobody finds
//! again after the next start. The writing thread looks before each commit and at rest; from then on every call fails.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, params_from_iter};
use simdutf8::basic::from_utf8;
use souk_sql::{SqlDriver, SqlError, Statement, Value};
use tokio::sync::oneshot;

use crate::wal_index::{Header, WalIndex};

/// How many batches one transaction takes at most.
const GROUP: usize = 64;
/// How long an idle connection may keep its transaction open at most.
const REST: Duration = Duration::from_secs(1);
/// How many batches may wait; more are refused at once.
const WAITING: usize = 4096;

type Reply = oneshot::Sender<Result<(), SqlError>>;

/// A database file.
pub struct SqliteDriver {
    place: Arc<Place>,
    /// Outlives the connections, which `drop` closes.
    index: WalIndex,
    readers: Readers,
    /// `None` when it is closing.
    writer: Option<SyncSender<(Vec<Statement>, Reply)>>,
    thread: Option<JoinHandle<()>>,
}

/// Where the file is, as long as it is there.
struct Place {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    is_left: AtomicBool,
}

impl Place {
    fn of(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            file: (file.dev(), file.ino()),
            is_left: AtomicBool::new(false),
        })
    }

    /// Looks whether the file is still there.
    fn look(&self) {
        let is_left = match std::fs::metadata(&self.path) {
            Ok(file) => (file.dev(), file.ino()) != self.file,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if is_left {
            self.is_left.store(true, Ordering::Relaxed);
        }
    }

    /// What was seen when it was last looked.
    fn is_there(&self) -> Result<(), SqlError> {
        if self.is_left.load(Ordering::Relaxed) {
            let path = self.path.display();
            return Err(SqlError::Failed(format!(
                "{path} was removed or replaced since it was opened: start anew"
            )));
        }
        Ok(())
    }
}

/// The idle ones.
type Readers = Arc<Mutex<Vec<Reader>>>;

/// A connection that reads.
struct Reader {
    connection: Connection,
    /// The header of the WAL index before its open transaction began.
    seen: Option<Header>,
    /// The header at its last read.
    last: Option<Header>,
}

impl Reader {
    /// Sees to an open transaction that sees all that was committed when `now` was read.
    fn go_on(&mut self, now: Header) -> rusqlite::Result<()> {
        if self.seen == Some(now) {
            return Ok(());
        }
        self.end()?;
        // Only where nobody has committed since the last read: a reader of a busy market, such as a process that only
        // looks on, would else keep the log from starting anew.
        if self.last.replace(now) == Some(now) {
            self.connection.prepare_cached("BEGIN")?.execute([])?;
            self.seen = Some(now);
        }
        Ok(())
    }

    fn end(&mut self) -> rusqlite::Result<()> {
        if self.seen.take().is_some() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

/// The last connection to close moves the log into the database, so that the file alone is the whole market.
impl Drop for SqliteDriver {
    fn drop(&mut self) {
        lock(&self.readers).clear();
        self.writer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl SqliteDriver {
    /// Opens the file, creates it if there is none, and applies the migrations (name, SQL) that it has not had.
    pub fn open(path: &Path, migrations: &[(&str, &str)]) -> Result<Self, String> {
        let failed = |e: rusqlite::Error| format!("{}: {e}", path.display());
        let mut connection = Connection::open(path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        migrate(&mut connection, migrations).map_err(failed)?;
        let index = WalIndex::open(path).map_err(|e| format!("{}-shm: {e}", path.display()))?;
        let place = Arc::new(Place::of(path).map_err(|e| format!("{}: {e}", path.display()))?);
        let (writer, waiting) = sync_channel(WAITING);
        let readers = Readers::default();
        let (idle, at) = (readers.clone(), place.clone());
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write_all(&connection, &at, &waiting, &idle))
            .map_err(|e| e.to_string())?;
        Ok(Self {
            place,
            index,
            readers,
            writer: Some(writer),
            thread: Some(thread),
        })
    }

    fn reader(&self) -> rusqlite::Result<Reader> {
        if let Some(reader) = lock(&self.readers).pop() {
            return Ok(reader);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.place.path, flags)?;
        configure(&connection)?;
        Ok(Reader {
            connection,
            seen: None,
            last: None,
        })
    }

    fn rows(&self, statement: &Statement, limit: usize) -> Result<(Vec<Vec<Value>>, bool), SqlError> {
        self.place.is_there()?;
        let read = || {
            let mut reader = self.reader()?;
            // Read before the transaction begins: at worst it sees more than this says, and is renewed for nothing.
            reader.go_on(self.index.header())?;
            let found = rows(&reader.connection, statement, limit)?;
            lock(&self.readers).push(reader);
            Ok(found)
        };
        read().map_err(failed)
    }
}

fn lock(readers: &Readers) -> MutexGuard<'_, Vec<Reader>> {
    readers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqlDriver for SqliteDriver {
    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        self.rows(&statement, usize::MAX).map(|(rows, _)| rows)
    }

    async fn read_page(&self, statement: Statement, limit: usize) -> Result<(Vec<Vec<Value>>, bool), SqlError> {
        self.rows(&statement, limit)
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || Err(SqlError::Failed("the writer has stopped".into()));
        let Some(writer) = &self.writer else { return stopped() };
        match writer.try_send((batch, reply)) {
            Ok(()) => answer
                .await
                .unwrap_or_else(|_| Err(SqlError::Failed("the writer has stopped".into()))),
            Err(TrySendError::Full(_)) => Err(SqlError::Failed("too many writes are waiting".into())),
            Err(TrySendError::Disconnected(_)) => Err(SqlError::Failed("the writer has stopped".into())),
        }
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    // Without it SQLite plans a statement anew for each value that is bound to a range: a quarter of a list's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA cache_size = -65536; PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY;",
    )?;
    // So that the crash test can show what less than `FULL` would lose.
    #[cfg(feature = "testing")]
    if let Ok(level) = std::env::var("SOUK_TEST_SYNCHRONOUS") {
        connection.pragma_update(None, "synchronous", level)?;
    }
    Ok(())
}

/// Whether the file is there and no sound database. Reads all of it.
pub(crate) fn is_damaged(path: &Path) -> bool {
    if !path.exists() {
        return false;
    }
    let check = || {
        let connection = Connection::open(path)?;
        connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0))
    };
    match check() {
        Ok(found) => found != "ok",
        Err(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
    }
}

/// Applies the migrations that the file has not had; `user_version` counts them.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[(&str, &str)]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let done: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (number, (_, sql)) in (1_u32..).zip(migrations) {
        if number > done {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    transaction.commit()
}

/// The first rows of a statement, `limit` at most, and whether there are more, of which nothing is copied.
pub(crate) fn rows(
    connection: &Connection,
    statement: &Statement,
    limit: usize,
) -> rusqlite::Result<(Vec<Vec<Value>>, bool)> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(params_from_iter(statement.args.iter().map(Argument)))?;
    // A page of a list; a larger one grows.
    let mut out = Vec::with_capacity(limit.min(24));
    while let Some(row) = rows.next()? {
        if out.len() == limit {
            return Ok((out, true));
        }
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(match row.get_ref(column)? {
                ValueRef::Integer(number) => Value::Integer(number),
                // Nothing but text of ours was ever written.
                ValueRef::Text(text) => from_utf8(text).map_or(Value::Null, |text| Value::Text(text.to_owned())),
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
            });
        }
        out.push(values);
    }
    Ok((out, false))
}

/// The writer's life: until every driver that could send to it is gone.
fn write_all(connection: &Connection, place: &Place, waiting: &Receiver<(Vec<Statement>, Reply)>, idle: &Readers) {
    // One that fails to end its transaction is of no more use.
    let end_idle = || lock(idle).retain_mut(|reader| reader.end().is_ok());
    loop {
        let first = match waiting.recv_timeout(REST) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                place.look();
                end_idle();
                // It waits for nobody: what a reader still needs stays until the next rest.
                let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(GROUP - 1));
        let (batches, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        place.look();
        let results = match place.is_there() {
            Ok(()) => commit_group(connection, &batches).unwrap_or_else(|error| {
                // Nothing of the group happened. A rollback fails only where SQLite has rolled back by itself.
                let _ = connection.execute_batch("ROLLBACK");
                vec![Err(failed(error)); batches.len()]
            }),
            Err(error) => vec![Err(error); batches.len()],
        };
        end_idle();
        for (reply, result) in replies.into_iter().zip(results) {
            // Whoever asked may be gone; what was written stays written.
            let _ = reply.send(result);
        }
    }
}

/// One transaction for the whole group, a savepoint for each batch. `Err` means that nothing was written.
fn commit_group(connection: &Connection, batches: &[Vec<Statement>]) -> rusqlite::Result<Vec<Result<(), SqlError>>> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        connection.prepare_cached("SAVEPOINT batch")?.execute([])?;
        let result = batch.iter().try_for_each(|statement| {
            let args = params_from_iter(statement.args.iter().map(Argument));
            connection.prepare_cached(&statement.sql)?.execute(args).map(drop)
        });
        match result {
            Ok(()) => results.push(Ok(())),
            // A failed constraint is this batch's own affair; a full disk or an I/O error ends the group.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                connection.prepare_cached("ROLLBACK TO batch")?.execute([])?;
                results.push(Err(failed(error)));
            }
            Err(error) => return Err(error),
        }
        connection.prepare_cached("RELEASE batch")?.execute([])?;
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(results)
}

pub(crate) fn failed(error: rusqlite::Error) -> SqlError {
    SqlError::from_message(error.to_string())
}

pub(crate) struct Argument<'a>(pub(crate) &'a Value);

impl ToSql for Argument<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
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

    /// POSIX takes away a process's locks on a file as soon as it closes any handle of it.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_locks_on_the_index_are_kept() {
        let dir = std::env::temp_dir().join(format!("souk-locks-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let driver = SqliteDriver::open(&dir.join("t.db"), TABLE).unwrap();
        count(&driver).await;
        let inode = std::fs::metadata(dir.join("t.db-shm")).unwrap().ino();
        // Some sandboxes have no such list.
        if let Ok(locks) = std::fs::read_to_string("/proc/locks") {
            assert!(locks.contains(&format!(":{inode} 128 128")), "{locks}");
        }
        drop(driver);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn nothing_is_written_to_a_file_that_is_gone() {
        let dir = std::env::temp_dir().join(format!("souk-gone-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("t.db");
        let statement = || Statement::new("INSERT INTO t VALUES (1)", Vec::new());
        let removed = SqliteDriver::open(&path, TABLE).unwrap();
        add(&removed).await;
        for part in ["t.db", "t.db-wal", "t.db-shm"] {
            std::fs::remove_file(dir.join(part)).unwrap();
        }
        // Another has come in its place.
        let other = SqliteDriver::open(&path, TABLE).unwrap();
        assert!(matches!(removed.write(vec![statement()]).await, Err(SqlError::Failed(why)) if why.contains("t.db")));
        let read = removed.read(Statement::new("SELECT n FROM t", Vec::new())).await;
        assert!(matches!(read, Err(SqlError::Failed(_))));
        add(&other).await;
        // Nor does the old one take the log of the new one away when it closes.
        drop(removed);
        assert!(dir.join("t.db-wal").exists());
        assert_eq!(count(&other).await, 1);
        drop(other);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn a_read_sees_every_commit_whoever_made_it() {
        let dir = std::env::temp_dir().join(format!("souk-sqlite-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("t.db");
        // Like two processes: nothing is shared between them but the files.
        let (one, other) = (
            SqliteDriver::open(&path, TABLE).unwrap(),
            SqliteDriver::open(&path, TABLE).unwrap(),
        );
        for n in 0..200 {
            assert_eq!(
                (count(&one).await, count(&one).await),
                (n, n),
                "an open transaction is used again"
            );
            add(if n % 3 == 0 { &one } else { &other }).await;
            assert_eq!((count(&one).await, count(&other).await), (n + 1, n + 1));
        }
        // What is idle after a commit keeps no log from being moved into the database.
        drop(other);
        add(&one).await;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = Connection::open(&path)
            .unwrap()
            .query_row(checkpoint, [], |row| row.get::<_, i64>(0));
        assert_eq!(busy.unwrap(), 0);
        drop(one);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
