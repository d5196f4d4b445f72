//! The outbox: events and messages that are committed and not yet with the queue.
//!
//! One document per commit, in one of [`SHARDS`] partitions so that no partition takes all writes. The process that
//! committed hands it over at once ([`Platform::flush_outbox`]) and then deletes it. What remains, because of a crash in
//! between or because the queue did not answer, gets old, and the sweeper sends it. Both may send the same: the messages
//! have the same ids then, and the inbox keeps their effects from happening twice.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use souk_core::queue::{MAX_MESSAGE, MAX_SEND, QueueError};
use souk_core::{
    Change, Commit, Condition, Consistency, Event, Key, Lane, Message, Query, StoreError, Timestamp, id, random,
};

use super::{Platform, count};

/// How many partitions it has.
const SHARDS: u8 = 8;
/// How many records one step of the sweeper takes: all their messages, and one commit that removes them.
const STEP: usize = 50;
/// How many records wait in memory at most; what is beyond that is the sweeper's, so that a queue that does not answer
/// costs no more memory than this.
const PENDING: usize = 10_000;
/// How often the backlog is looked at, in milliseconds.
const LOOK_EVERY: i64 = 5_000;

/// What one commit had to say.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
}

/// The part of the outbox that lives in memory: what this instance has committed and not yet handed over.
#[derive(Default)]
pub(crate) struct Outbox {
    pending: Mutex<Vec<(Key, Record)>>,
    /// Messages that stand in no commit.
    best_effort: Mutex<Vec<Message>>,
    /// Whether there was too much waiting when last looked at, and when that was.
    full: AtomicBool,
    looked_at: AtomicI64,
}

impl Platform {
    /// Commits `changes` together with what follows from them; all of it or nothing.
    pub async fn commit(
        &self,
        mut changes: Vec<Change>,
        events: Vec<Event>,
        messages: Vec<Message>,
    ) -> Result<(), StoreError> {
        if events.is_empty() && messages.is_empty() {
            return self.documents.commit(Commit::new(changes)).await;
        }
        let record = Record {
            at: self.now(),
            events,
            messages,
        };
        let key = self.outbox_key();
        let body = serde_json::to_string(&record).map_err(|e| StoreError::Refused(e.to_string()))?;
        changes.push(Change::create(key.clone(), body, Vec::new()));
        self.documents.commit(Commit::new(changes)).await?;
        let mut pending = self.outbox.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < PENDING {
            pending.push((key, record));
        }
        Ok(())
    }

    fn outbox_key(&self) -> Key {
        let [byte] = random::bytes::<1>(&*self.random);
        let shard = byte.checked_rem(SHARDS).unwrap_or(0);
        Key::new(format!("outbox/{shard}"), id::new("out", &*self.clock, &*self.random))
    }

    /// Whether this instance has committed something that it has not handed over.
    pub(crate) fn has_pending(&self) -> bool {
        let is_empty = self
            .outbox
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty();
        !is_empty
            || !self
                .outbox
                .best_effort
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
    }

    /// Sends a message after the response, without a commit: for work that may be lost, with the instance or because the
    /// queue does not answer, and that nobody waits for.
    pub fn send_best_effort(&self, message: Message) {
        let mut best_effort = self.outbox.best_effort.lock().unwrap_or_else(PoisonError::into_inner);
        if best_effort.len() < MAX_SEND {
            best_effort.push(message);
        }
    }

    /// Hands over what this instance has committed. What fails stays in the outbox, for the sweeper.
    pub(crate) async fn flush_outbox(&self) -> Result<usize, QueueError> {
        let best_effort = std::mem::take(&mut *self.outbox.best_effort.lock().unwrap_or_else(PoisonError::into_inner));
        let mut sent = best_effort.len();
        if !best_effort.is_empty()
            && let Err(error) = self.send(best_effort).await
        {
            tracing::warn!(%error, "best-effort messages are lost");
        }
        loop {
            let mut pending = std::mem::take(&mut *self.outbox.pending.lock().unwrap_or_else(PoisonError::into_inner));
            if pending.is_empty() {
                return Ok(sent);
            }
            sent += pending.len();
            while !pending.is_empty() {
                let rest = pending.split_off(pending.len().min(STEP));
                self.hand_over(pending).await?;
                pending = rest;
            }
        }
    }

    /// Sends what has been in the outbox for `age_ms` and more: what a crash or a dead queue has left there. Says how
    /// many commits that was.
    pub async fn sweep(&self, age_ms: i64) -> Result<usize, SweepError> {
        let mut sent = 0;
        let newest = self.now().as_millisecond().saturating_sub(age_ms);
        for shard in 0..SHARDS {
            let mut query = Query::partition(format!("outbox/{shard}"), STEP);
            loop {
                let page = self.documents.query(&query, Consistency::Strong).await?;
                let mut old = Vec::with_capacity(page.items.len());
                let mut all_new = true;
                for item in page.items {
                    match item.document.parse::<Record>() {
                        Ok(record) if record.at.as_millisecond() <= newest => {
                            old.push((item.document.key, record));
                            all_new = false;
                        }
                        Ok(_) => {}
                        // It stays, for somebody to look at, and keeps no other.
                        Err(error) => {
                            tracing::error!(%error, "a record of the outbox cannot be read");
                            all_new = false;
                        }
                    }
                }
                if !old.is_empty() {
                    sent += old.len();
                    self.hand_over(old).await?;
                }
                // They are in the order of time: behind a new one there are only newer ones.
                match page.next {
                    Some(next) if !all_new => query.after = Some(next),
                    _ => break,
                }
            }
        }
        Ok(sent)
    }

    /// To the queue, then out of the outbox.
    async fn hand_over(&self, records: Vec<(Key, Record)>) -> Result<(), QueueError> {
        let mut messages = Vec::new();
        let mut changes = Vec::with_capacity(records.len());
        for (key, record) in records {
            for event in &record.events {
                self.address(event, &mut messages);
            }
            messages.extend(record.messages);
            changes.push(Change::Delete {
                key,
                condition: Condition::Any,
                stale: Vec::new(),
            });
        }
        self.send(messages).await?;
        // If this fails the sweeper sends them once more, which does no harm.
        if let Err(error) = self.documents.commit(Commit::new(changes)).await {
            tracing::warn!(%error, "sent messages stay in the outbox");
        }
        Ok(())
    }

    /// One message for each job that subscribes to the event.
    fn address(&self, event: &Event, messages: &mut Vec<Message>) {
        for subscription in self.registry.subscriptions.iter().filter(|s| s.matches(&event.name)) {
            messages.push(Message {
                id: format!("{}.{}", event.id, subscription.job),
                job: subscription.job.to_owned(),
                lane: subscription.lane,
                body: serde_json::to_value(event).unwrap_or_default(),
                trace: event.trace.clone(),
                created_at: event.time,
                not_before: None,
                expires_at: None,
                attempts: Vec::new(),
                tracked: false,
            });
        }
    }

    /// A message that is not due to an event.
    #[must_use]
    pub fn message(&self, job: &str, lane: Lane, body: serde_json::Value, trace: Option<String>) -> Message {
        Message {
            id: id::new("job", &*self.clock, &*self.random),
            job: job.to_owned(),
            lane,
            body,
            trace,
            created_at: self.now(),
            not_before: None,
            expires_at: None,
            attempts: Vec::new(),
            tracked: false,
        }
    }

    /// Sends messages, less those for `low` when too much waits already. Only what may be lost is sent without an outbox.
    pub async fn send(&self, mut messages: Vec<Message>) -> Result<(), QueueError> {
        if messages.iter().any(|message| message.lane == Lane::Low) && self.backlog_is_full().await {
            let before = messages.len();
            messages.retain(|message| message.lane != Lane::Low);
            let shed = before.saturating_sub(messages.len());
            tracing::warn!(shed, "the backlog is full");
            count(self, Lane::Low, &[("shed", shed)]).await;
        }
        for chunk in messages.chunks(MAX_SEND) {
            match self.queue.send(chunk).await {
                // One that is too large must not keep the others; it can only be a job's own fault.
                Err(QueueError::Refused(_)) => {
                    for message in chunk {
                        match self.queue.send(std::slice::from_ref(message)).await {
                            Err(QueueError::Refused(why)) => tracing::error!(
                                job = message.job,
                                message_id = message.id,
                                why,
                                limit = MAX_MESSAGE,
                                "message refused"
                            ),
                            // All of them again, from the outbox.
                            other => other?,
                        }
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Whether more waits than the operator allows (`SOUK_BACKLOG`); looked at every few seconds.
    async fn backlog_is_full(&self) -> bool {
        let now = self.now().as_millisecond();
        let last = self.outbox.looked_at.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= LOOK_EVERY {
            self.outbox.looked_at.store(now, Ordering::Relaxed);
            let mut waiting = 0_u64;
            for lane in Lane::ALL {
                // A queue that does not answer takes nothing either; that is for `send` to say.
                let backlog = self.queue.backlog(lane).await.unwrap_or_default();
                waiting = waiting.saturating_add(backlog.ready.unwrap_or(0));
            }
            self.outbox
                .full
                .store(waiting >= self.settings.backlog, Ordering::Relaxed);
        }
        self.outbox.full.load(Ordering::Relaxed)
    }
}

/// Why the outbox could not be swept.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Record;

    /// What a version before this one has left behind is sent by this one.
    #[test]
    fn records_stay_readable() {
        let event = json!({
            "id": "evt_1", "type": "upvote.added", "version": 1, "time": "2025-01-31T12:00:00Z", "actor": null,
            "trace": null, "data": { "product": "prd_1" },
        });
        let message = json!({
            "id": "job_1", "job": "jobs.replay", "lane": "low", "body": {}, "created_at": "2025-01-31T12:00:00Z",
        });
        for stored in [
            json!({ "at": "2025-01-31T12:00:00.123Z", "events": [event], "messages": [message] }),
            json!({ "at": "2025-01-31T12:00:00Z", "messages": [message] }),
            json!({ "at": "2025-01-31T12:00:00Z", "events": [event] }),
        ] {
            let record: Record = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!(serde_json::to_value(&record).unwrap(), stored);
        }
    }
}
