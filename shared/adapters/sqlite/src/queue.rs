//! The `Queue` port in an SQLite file of its own, and its consuming side.
//!
//! `receive` leases a message: no other consumer gets it until the lease expires (SQS: visibility timeout).
//! [`SqliteQueue::settle`] deletes it or gives it back. If the consumer dies, the message is delivered again after the lease
//! has expired, which counts as one more delivery. Each lease has a token of its own, so a consumer that was too slow cannot
//! delete a message that another consumer has leased meanwhile.
//!
//! Messages that are due are delivered in the order of their turns ([`Shares`]). The space of those that are done is given back
//! to the system when nothing is due ([`SqliteQueue::shrink`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use souk_core::queue::{Backlog, Delivery, MAX_DELAY_SECONDS, MAX_TURN_MS, Outcome, QueueError, Shares, check};
use souk_core::{Clock, Lane, Message, Queue};
use souk_sql::{SqlDriver as _, SqlError, Statement, Value};
use tokio::sync::Notify;

use crate::SqliteDriver;

const MIGRATIONS: &[(&str, &str)] = &[
    (
        "0001_messages.sql",
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, lane TEXT NOT NULL, due INTEGER NOT NULL, message TEXT NOT NULL, \
         deliveries INTEGER NOT NULL DEFAULT 0, lease TEXT) STRICT; \
         CREATE INDEX messages_due ON messages (lane, due); \
         CREATE INDEX messages_lease ON messages (lease) WHERE lease IS NOT NULL;",
    ),
    (
        "0002_turns.sql",
        "ALTER TABLE messages ADD COLUMN turn INTEGER NOT NULL DEFAULT 0; \
         CREATE INDEX messages_turn ON messages (lane, turn, due);",
    ),
];

/// How many free pages are kept for the next messages: 4 MB.
const SPARE_PAGES: u32 = 1_000;
/// How many pages one transaction gives back, and how many one call: 100 MB.
const STEP_PAGES: u32 = 1_000;
const MAX_PAGES: u32 = 25_000;
/// How long another process may hold the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// All lanes of the queue in one file.
pub struct SqliteQueue {
    path: PathBuf,
    driver: SqliteDriver,
    clock: Arc<dyn Clock>,
    news: [Notify; Lane::ALL.len()],
    leases: AtomicU64,
    shares: Mutex<Shares>,
}

/// A delivery and the lease on its message.
#[derive(Clone, Debug)]
pub struct Leased {
    row: i64,
    lease: String,
    /// The message and how often it was delivered.
    pub delivery: Delivery,
}

impl SqliteQueue {
    /// Opens or creates the file.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, String> {
        if let Err(error) = make_shrinkable(path) {
            tracing::warn!(%error, "the queue's file keeps its size until a later start");
        }
        Ok(Self {
            path: path.to_owned(),
            driver: SqliteDriver::open(path, MIGRATIONS)?,
            clock,
            news: Default::default(),
            leases: AtomicU64::default(),
            shares: Mutex::default(),
        })
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Resolves after a message was sent to the lane in this process; at once if that happened since the last call.
    pub async fn message_sent(&self, lane: Lane) {
        if let Some(notify) = self.news.get(lane as usize) {
            notify.notified().await;
        }
    }

    /// Up to `limit` messages that are due, leased for `seconds`.
    pub async fn receive(&self, lane: Lane, limit: usize, seconds: u32) -> Result<Vec<Leased>, QueueError> {
        let now = self.now();
        // Unique among all processes that open the file.
        let count = self.leases.fetch_add(1, Ordering::Relaxed);
        let lease = format!("{}-{now}-{count}", std::process::id());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let take = "UPDATE messages SET lease = ?1, due = ?2, deliveries = deliveries + 1 WHERE id IN \
                    (SELECT id FROM messages INDEXED BY messages_turn WHERE lane = ?3 AND due <= ?4 ORDER BY turn LIMIT +?5)";
        let until = now + i64::from(seconds) * 1000;
        let args = vec![
            lease.as_str().into(),
            until.into(),
            lane.name().into(),
            now.into(),
            limit.into(),
        ];
        self.driver
            .write(vec![Statement::new(take, args)])
            .await
            .map_err(failed)?;
        let read = "SELECT id, message, deliveries FROM messages WHERE lease = ?1";
        let rows = self
            .driver
            .read(Statement::new(read, vec![lease.as_str().into()]))
            .await
            .map_err(failed)?;
        let leased = rows.into_iter().filter_map(|row| {
            let mut row = row.into_iter();
            let (Some(Value::Integer(row)), Some(Value::Text(text)), Some(Value::Integer(deliveries))) =
                (row.next(), row.next(), row.next())
            else {
                return None;
            };
            match serde_json::from_str(&text) {
                Ok(message) => Some(Leased {
                    row,
                    lease: lease.clone(),
                    delivery: Delivery {
                        message,
                        deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
                    },
                }),
                // It stays in the queue for an operator to look at and does not block other messages.
                Err(error) => {
                    tracing::error!(%error, row, "a message cannot be read");
                    None
                }
            }
        });
        Ok(leased.collect())
    }

    /// Deletes the messages that are done and gives back the others after their delay.
    pub async fn settle(&self, settled: &[(Leased, Outcome)]) -> Result<(), QueueError> {
        let now = self.now();
        let statements = settled.iter().map(|(leased, outcome)| {
            let mut args: Vec<Value> = vec![leased.row.into(), leased.lease.as_str().into()];
            match outcome {
                Outcome::Done => Statement::new("DELETE FROM messages WHERE id = ?1 AND lease = ?2", args),
                Outcome::Retry(seconds) => {
                    args.push((now + i64::from(*seconds) * 1000).into());
                    let give_back = "UPDATE messages SET lease = NULL, due = ?3, turn = max(turn, ?3) \
                                     WHERE id = ?1 AND lease = ?2";
                    Statement::new(give_back, args)
                }
            }
        });
        let statements: Vec<_> = statements.collect();
        if statements.is_empty() {
            return Ok(());
        }
        self.driver.write(statements).await.map_err(failed)
    }

    /// Makes messages due that are further in the future than a delay or a lease can put them: the clock was wrong.
    pub async fn mend_due(&self) -> Result<(), QueueError> {
        let now = self.now();
        let statements = Lane::ALL.iter().flat_map(|lane| {
            let due = "UPDATE messages SET lease = NULL, due = ?2, turn = min(turn, ?2) WHERE lane = ?1 AND due > ?3";
            let turn = "UPDATE messages SET turn = ?2 WHERE lane = ?1 AND turn > ?3";
            [(due, MAX_DELAY_SECONDS * 1000), (turn, MAX_TURN_MS)].map(|(mend, most)| {
                let latest = now + most + 1000;
                Statement::new(mend, vec![lane.name().into(), now.into(), latest.into()])
            })
        });
        self.driver.write(statements.collect()).await.map_err(failed)
    }

    /// Gives space back to the system, unless there is something to do.
    pub async fn shrink(&self) -> Result<(), QueueError> {
        for lane in Lane::ALL {
            if self.backlog(lane).await?.ready != Some(0) {
                return Ok(());
            }
        }
        let path = self.path.clone();
        let shrink = tokio::task::spawn_blocking(move || shrink(&path)).await;
        let failed = |why: String| QueueError::Unavailable(why);
        shrink
            .map_err(|e| failed(e.to_string()))?
            .map_err(|e| failed(e.to_string()))
    }

    /// Ends all leases. The only consumer calls it when it starts, so that a crash delays no message.
    pub async fn release_leases(&self) -> Result<(), QueueError> {
        let release = "UPDATE messages SET lease = NULL, due = ?1 WHERE lease IS NOT NULL";
        let statement = Statement::new(release, vec![self.now().into()]);
        self.driver.write(vec![statement]).await.map_err(failed)
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        let texts = check(messages)?;
        let now = self.clock.now();
        let statements: Vec<Statement> = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            let insert = "INSERT INTO messages (lane, due, turn, message) VALUES (?1, ?2, ?3, ?4)";
            let statements = messages.iter().zip(texts).map(|(message, text)| {
                let due = now.as_millisecond() + message.delay_seconds(now) * 1000;
                // Not before it is due, so that `receive` passes over few that are not.
                let turn = shares.turn(message, now).max(due);
                Statement::new(
                    insert,
                    vec![message.lane.name().into(), due.into(), turn.into(), text.into()],
                )
            });
            statements.collect()
        };
        self.driver.write(statements).await.map_err(failed)?;
        for message in messages {
            if let Some(notify) = self.news.get(message.lane as usize) {
                notify.notify_one();
            }
        }
        Ok(())
    }

    async fn backlog(&self, lane: Lane) -> Result<Backlog, QueueError> {
        let count = "SELECT coalesce(sum(due <= ?2), 0), coalesce(sum(due > ?2), 0), \
                     (SELECT min(due) FROM messages WHERE lane = ?1) FROM messages WHERE lane = ?1";
        let now = self.now();
        let statement = Statement::new(count, vec![lane.name().into(), now.into()]);
        let row = self
            .driver
            .read(statement)
            .await
            .map_err(failed)?
            .pop()
            .unwrap_or_default();
        let number = |place: usize| match row.get(place) {
            Some(Value::Integer(n)) => u64::try_from(*n).ok(),
            _ => None,
        };
        let waits = |due: u64| u64::try_from(now).ok()?.checked_sub(due).map(|ms| ms / 1000);
        Ok(Backlog {
            ready: number(0),
            delayed: number(1),
            oldest_seconds: number(2).and_then(waits),
        })
    }
}

/// Sets SQLite's incremental vacuum, so that [`SqliteQueue::shrink`] works. A file from an earlier version is rewritten once.
fn make_shrinkable(path: &Path) -> rusqlite::Result<()> {
    const INCREMENTAL: u32 = 2;
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let mode: u32 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if mode == INCREMENTAL {
        return Ok(());
    }
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
}

fn shrink(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let free: u32 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let mut surplus = free.saturating_sub(SPARE_PAGES).min(MAX_PAGES);
    if surplus == 0 {
        return Ok(());
    }
    while surplus > 0 {
        let step = surplus.min(STEP_PAGES);
        // Each row is a page that was given back.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({step})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        surplus -= step;
    }
    // The file itself is cut when the log is moved into it.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn failed(error: SqlError) -> QueueError {
    match error {
        SqlError::TooMany => QueueError::Unavailable("too many reads are waiting".into()),
        SqlError::Failed(why) => QueueError::Unavailable(why),
        SqlError::Guard(_) => QueueError::Unavailable("a constraint failed".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::SystemClock;

    /// A backlog leaves no large file behind, whichever version has made it.
    #[tokio::test]
    async fn the_file_shrinks_when_there_is_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        drop(SqliteDriver::open(&path, MIGRATIONS).unwrap());
        let queue = SqliteQueue::open(&path, Arc::new(SystemClock)).unwrap();
        let size = || std::fs::metadata(&path).unwrap().len();
        let mut message = Message::unreadable("job_1".into(), Lane::Low, String::new(), SystemClock.now());
        message.body = json!("x".repeat(50_000));
        for _ in 0..10 {
            queue.send(&vec![message.clone(); 50]).await.unwrap();
        }
        queue.shrink().await.unwrap();
        assert_eq!(queue.backlog(Lane::Low).await.unwrap().ready, Some(500));
        let leased = queue.receive(Lane::Low, 1_000, 60).await.unwrap();
        assert_eq!(leased.len(), 500);
        let settled: Vec<_> = leased.into_iter().map(|leased| (leased, Outcome::Done)).collect();
        queue.settle(&settled).await.unwrap();
        queue.shrink().await.unwrap();
        assert!(size() < 5_000_000, "{} bytes", size());
        queue.send(&[message]).await.unwrap();
        assert_eq!(queue.receive(Lane::Low, 10, 60).await.unwrap().len(), 1);
    }
}
