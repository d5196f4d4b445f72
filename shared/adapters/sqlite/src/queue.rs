//! The `Queue` port in an SQLite file of its own, and its consuming side.
//!
//! A message that is received is leased: nobody else gets it until the lease ends. [`SqliteQueue::settle`] removes it or
//! gives it back. One whose consumer died comes again when its lease has ended, counted as one more delivery. A lease
//! has a token of its own, so that a consumer that was too slow cannot remove what another one is working on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use souk_core::queue::{Backlog, Delivery, Outcome, QueueError, check};
use souk_core::{Clock, Lane, Message, Queue};
use souk_sql::{SqlDriver as _, SqlError, Statement, Value};
use tokio::sync::Notify;

use crate::SqliteDriver;

const MIGRATIONS: &[(&str, &str)] = &[(
    "0001_messages.sql",
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, lane TEXT NOT NULL, due INTEGER NOT NULL, message TEXT NOT NULL, \
     deliveries INTEGER NOT NULL DEFAULT 0, lease TEXT) STRICT; \
     CREATE INDEX messages_due ON messages (lane, due); \
     CREATE INDEX messages_lease ON messages (lease) WHERE lease IS NOT NULL;",
)];

/// Queues in a file.
pub struct SqliteQueue {
    driver: SqliteDriver,
    clock: Arc<dyn Clock>,
    news: [Notify; Lane::ALL.len()],
    leases: AtomicU64,
}

/// A delivery that someone works on.
#[derive(Clone, Debug)]
pub struct Leased {
    row: i64,
    lease: String,
    /// What is delivered.
    pub delivery: Delivery,
}

impl SqliteQueue {
    /// Opens or creates the file.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Ok(Self {
            driver: SqliteDriver::open(path, MIGRATIONS)?,
            clock,
            news: Default::default(),
            leases: AtomicU64::default(),
        })
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Resolves when something was sent to the lane, also if that was before the call.
    pub async fn news(&self, lane: Lane) {
        if let Some(notify) = self.news.get(lane as usize) {
            notify.notified().await;
        }
    }

    /// Up to `limit` messages that are due, leased for `seconds`.
    pub async fn receive(&self, lane: Lane, limit: usize, seconds: u32) -> Result<Vec<Leased>, QueueError> {
        let now = self.now();
        // Unlike any other lease, in this process and in any other.
        let count = self.leases.fetch_add(1, Ordering::Relaxed);
        let lease = format!("{}-{now}-{count}", std::process::id());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let take = "UPDATE messages SET lease = ?1, due = ?2, deliveries = deliveries + 1 WHERE id IN \
                    (SELECT id FROM messages WHERE lane = ?3 AND due <= ?4 ORDER BY due LIMIT +?5)";
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
                // It comes again with each lease that ends, for somebody to look at, and keeps no other.
                Err(error) => {
                    tracing::error!(%error, row, "a message cannot be read");
                    None
                }
            }
        });
        Ok(leased.collect())
    }

    /// Removes what is done and gives back the rest.
    pub async fn settle(&self, settled: &[(Leased, Outcome)]) -> Result<(), QueueError> {
        let now = self.now();
        let statements = settled.iter().map(|(leased, outcome)| {
            let mut args: Vec<Value> = vec![leased.row.into(), leased.lease.as_str().into()];
            match outcome {
                Outcome::Done => Statement::new("DELETE FROM messages WHERE id = ?1 AND lease = ?2", args),
                Outcome::Again(seconds) => {
                    args.push((now + i64::from(*seconds) * 1000).into());
                    let give_back = "UPDATE messages SET lease = NULL, due = ?3 WHERE id = ?1 AND lease = ?2";
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

    /// Ends all leases: for the only consumer, when it starts, after a crash.
    pub async fn release(&self) -> Result<(), QueueError> {
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
        let statements = messages.iter().zip(texts).map(|(message, text)| {
            let due = now.as_millisecond() + message.delay_seconds(now) * 1000;
            let args = vec![message.lane.name().into(), due.into(), text.into()];
            Statement::new("INSERT INTO messages (lane, due, message) VALUES (?1, ?2, ?3)", args)
        });
        self.driver.write(statements.collect()).await.map_err(failed)?;
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

fn failed(error: SqlError) -> QueueError {
    match error {
        SqlError::Failed(why) => QueueError::Unavailable(why),
        SqlError::Guard(_) => QueueError::Unavailable("a guard failed where there is none".into()),
    }
}
