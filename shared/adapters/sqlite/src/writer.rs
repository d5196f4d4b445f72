//! The thread that commits all writes of a database.
//!
//! **Group commit.** It takes all batches that wait, up to [`MAX_GROUP`], and commits them as one transaction with a
//! savepoint around each: one `fsync` serves many callers, and a batch that fails undoes itself alone. Callers get their
//! result after the commit, so a crash at any moment loses nothing that was acknowledged.
//!
//! **Checkpoints.** After [`IDLE`] without a write the thread moves the log into the database itself: with an empty log, a
//! read need not look for each page in it first and takes pages from the mapped file without a copy.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use souk_sql::{SqlError, Statement};
use tokio::sync::oneshot;

use crate::connection::{execute, sql_error};
use crate::watched_file::WatchedFile;

/// How many batches one transaction takes at most.
const MAX_GROUP: usize = 256;
/// How long the thread waits for a write before it checkpoints.
const IDLE: Duration = Duration::from_secs(1);

/// A batch of statements, and where its result goes.
pub(crate) type Write = (Vec<Statement>, oneshot::Sender<Result<(), SqlError>>);

/// Commits what arrives until its sender is dropped.
pub(crate) fn run(connection: &Connection, file: &WatchedFile, waiting: &Receiver<Write>) {
    loop {
        let first = match waiting.recv_timeout(IDLE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                file.check();
                // `PASSIVE` waits for nobody: what a reader still needs stays in the log until the next time.
                let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(MAX_GROUP - 1));
        let (batches, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        file.check();
        let results = match file.ensure_present() {
            Ok(()) => commit_group(connection, &batches).unwrap_or_else(|error| {
                // Nothing of the group was committed. A rollback fails only where SQLite has rolled back by itself.
                let _ = connection.execute_batch("ROLLBACK");
                vec![Err(sql_error(error)); batches.len()]
            }),
            Err(error) => vec![Err(error); batches.len()],
        };
        for (reply, result) in replies.into_iter().zip(results) {
            // A caller that has gone away does not undo its write.
            let _ = reply.send(result);
        }
    }
}

/// One transaction for the whole group, with a savepoint for each batch. `Err` means that nothing was committed.
fn commit_group(connection: &Connection, batches: &[Vec<Statement>]) -> rusqlite::Result<Vec<Result<(), SqlError>>> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        connection.prepare_cached("SAVEPOINT batch")?.execute([])?;
        let result = batch.iter().try_for_each(|statement| execute(connection, statement));
        match result {
            Ok(()) => results.push(Ok(())),
            // A failed constraint concerns its batch alone; a full disk or an I/O error ends the group.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                connection.prepare_cached("ROLLBACK TO batch")?.execute([])?;
                results.push(Err(sql_error(error)));
            }
            Err(error) => return Err(error),
        }
        connection.prepare_cached("RELEASE batch")?.execute([])?;
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(results)
}
