//! The outbox: events and messages that are committed but not yet sent to the queue.
//!
//! A commit writes one record, in one of [`SHARDS`] partitions to spread the writes. The process that committed sends
//! the messages of the record at once ([`Platform::flush_outbox`]) and then deletes the record. If it crashes in
//! between, or if the queue is unavailable, the sweeper sends the record later. Both may send the same messages: they
//! have the same ids, so the inbox prevents a second effect.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use souk_core::queue::{MAX_MESSAGE, MAX_SEND, QueueError};
use souk_core::{
    Change, Commit, Condition, Consistency, Event, Key, Lane, Message, Query, StoreError, Tenant, Timestamp, id, random,
};

use super::fold::{Fold, Folding};
use super::{Home, Platform, count};

/// The number of partitions.
const SHARDS: u8 = 8;
/// How many records the sweeper sends at a time; one commit deletes them.
const STEP: usize = 50;
/// How many records may wait in memory. The sweeper sends any others, so that a queue outage does not use up the
/// memory.
const PENDING: usize = 10_000;
/// How long a measurement of the backlog is used, in milliseconds.
const LOOK_EVERY: i64 = 5_000;

/// The events and messages of one commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    at: Timestamp,
    /// Whose they are.
    #[serde(default = "Tenant::main", skip_serializing_if = "Tenant::is_main")]
    tenant: Tenant,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
}

/// The id of the message of an event to a job.
pub(crate) fn message_id(event: &str, job: &str) -> String {
    format!("{event}.{job}")
}

/// Whether a clock that ran ahead has written the record: nobody waits for that moment.
fn is_from_future(record: &Record, now: i64) -> bool {
    record.at.as_millisecond() > now.saturating_add(60_000)
}

/// The part of the outbox in memory: records that this instance has committed and not yet sent.
#[derive(Default)]
pub(crate) struct Outbox {
    pending: Mutex<Vec<(Home, Key, Record)>>,
    /// Best-effort messages, which are not part of a commit.
    best_effort: Mutex<Vec<Message>>,
    /// Whether the backlog was full at the last measurement, and the time of that measurement.
    full: AtomicBool,
    looked_at: AtomicI64,
    folding: Mutex<Folding>,
}

impl Platform {
    /// Commits `changes`, events and messages atomically.
    pub async fn commit(
        &self,
        changes: Vec<Change>,
        events: Vec<Event>,
        messages: Vec<Message>,
    ) -> Result<(), StoreError> {
        self.check_format().await?;
        if events.is_empty() && messages.is_empty() {
            return self.documents.commit(Commit::new(changes)).await;
        }
        let record = Record {
            at: self.now(),
            tenant: self.tenant.clone(),
            events,
            messages,
        };
        let key = self.outbox_key();
        let body = serde_json::to_string(&record).map_err(|e| StoreError::Refused(e.to_string()))?;
        // There is one outbox in each database, and not one of each tenant, so that one sweeper finds what any has left.
        let mut commit = self.tenant.commit(Commit::new(changes));
        commit.changes.push(Change::create(key.clone(), body, Vec::new()));
        self.store(&self.home)?.commit(commit).await?;
        let mut pending = self.outbox.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < PENDING {
            pending.push((self.home.clone(), key, record));
        }
        Ok(())
    }

    fn outbox_key(&self) -> Key {
        let [byte] = random::bytes::<1>(&*self.random);
        let shard = byte.checked_rem(SHARDS).unwrap_or(0);
        Key::new(format!("outbox/{shard}"), id::new("out", &*self.clock, &*self.random))
    }

    /// Whether this instance has committed events or messages that it has not sent.
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

    /// Sends a message after the response, without a commit: for work that may be lost if the instance ends or the
    /// queue is unavailable.
    pub fn send_best_effort(&self, message: Message) {
        let mut best_effort = self.outbox.best_effort.lock().unwrap_or_else(PoisonError::into_inner);
        if best_effort.len() < MAX_SEND {
            best_effort.push(message);
        }
    }

    /// Sends what this instance has committed. On failure the records stay in the outbox, for the sweeper.
    pub(crate) async fn flush_outbox(&self) -> Result<usize, QueueError> {
        let best_effort = std::mem::take(&mut *self.outbox.best_effort.lock().unwrap_or_else(PoisonError::into_inner));
        let mut sent = best_effort.len();
        if !best_effort.is_empty()
            && let Err(error) = self.send(best_effort).await
        {
            tracing::warn!(%error, "best-effort messages are lost");
        }
        loop {
            let pending = std::mem::take(&mut *self.outbox.pending.lock().unwrap_or_else(PoisonError::into_inner));
            if pending.is_empty() {
                return Ok(sent);
            }
            sent += pending.len();
            let mut by_home = BTreeMap::<Home, Vec<(Key, Record)>>::new();
            for (home, key, record) in pending {
                by_home.entry(home).or_default().push((key, record));
            }
            for (home, mut records) in by_home {
                while !records.is_empty() {
                    let rest = records.split_off(records.len().min(STEP));
                    self.hand_over(&home, records, true).await?;
                    records = rest;
                }
            }
        }
    }

    /// Sends the records that are at least `age_ms` old, which a crash or a queue outage has left behind. Returns their
    /// number. A database that does not answer does not keep it from the others.
    pub async fn sweep(&self, age_ms: i64) -> Result<usize, SweepError> {
        let (mut sent, mut failed) = (0, None);
        for home in self.homes() {
            match self.sweep_home(&home, age_ms).await {
                Ok(count) => sent += count,
                Err(error @ SweepError::Queue(_)) => return Err(error),
                Err(error @ SweepError::Store(_)) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(sent), Err)
    }

    async fn sweep_home(&self, home: &Home, age_ms: i64) -> Result<usize, SweepError> {
        let (mut sent, store) = (0, self.store(home)?);
        let now = self.now().as_millisecond();
        let newest = now.saturating_sub(age_ms);
        for shard in 0..SHARDS {
            let mut query = Query::partition(format!("outbox/{shard}"), STEP);
            loop {
                let page = store.query(&query, Consistency::Strong).await?;
                let mut old = Vec::with_capacity(page.items.len());
                let mut all_new = true;
                for item in page.items {
                    match item.document.parse::<Record>() {
                        Ok(record) if record.at.as_millisecond() <= newest || is_from_future(&record, now) => {
                            old.push((item.document.key, record));
                            all_new = false;
                        }
                        Ok(_) => {}
                        // The record stays for an operator to inspect, and does not block other records.
                        Err(error) => {
                            tracing::error!(%error, "a record of the outbox cannot be read");
                            all_new = false;
                        }
                    }
                }
                if !old.is_empty() {
                    sent += old.len();
                    // Some of them may have been sent before, and then no message follows.
                    self.hand_over(home, old, false).await?;
                }
                // Records are sorted by time: those after a recent one are more recent still.
                match page.next {
                    Some(next) if !all_new => query.after = Some(next),
                    _ => break,
                }
            }
        }
        Ok(sent)
    }

    /// Sends the messages of these records to the queue, then deletes the records. `folds` says whether events about one thing
    /// may share a message.
    async fn hand_over(&self, home: &Home, records: Vec<(Key, Record)>, folds: bool) -> Result<(), QueueError> {
        let mut messages = Vec::new();
        let mut changes = Vec::with_capacity(records.len());
        for (key, record) in records {
            for event in &record.events {
                self.address(&record.tenant, event, folds, &mut messages);
            }
            messages.extend(record.messages);
            changes.push(Change::Delete {
                key,
                condition: Condition::Any,
                stale: Vec::new(),
            });
        }
        self.send(messages).await?;
        // If the deletion fails, the sweeper sends the messages again, and the inbox drops the duplicates.
        let deleted = async { self.store(home)?.commit(Commit::new(changes)).await };
        if let Err(error) = deleted.await {
            tracing::warn!(%error, "sent messages stay in the outbox");
        }
        Ok(())
    }

    /// One message for each job that subscribes to the event, unless it is folded into another one.
    fn address(&self, tenant: &Tenant, event: &Event, folds: bool, messages: &mut Vec<Message>) {
        for subscription in self.registry.subscriptions.iter().filter(|s| s.matches(&event.name)) {
            let thing = subscription.fold.filter(|_| folds);
            let thing = thing.and_then(|field| event.data.get(field)?.as_str());
            let fold = thing.map_or(Fold::Send, |thing| {
                let mut folding = self.outbox.folding.lock().unwrap_or_else(PoisonError::into_inner);
                // Nobody's work waits in the queue of another account.
                let actor = event.actor.as_deref().unwrap_or_default();
                let what = format!("{} {} {} {actor} {thing}", tenant.name(), subscription.job, event.name);
                folding.next(what, self.now().as_millisecond())
            });
            if fold == Fold::Drop {
                continue;
            }
            let mut message = Message {
                id: message_id(&event.id, subscription.job),
                job: subscription.job.to_owned(),
                lane: subscription.lane,
                body: serde_json::to_value(event).unwrap_or_default(),
                trace: event.trace.clone(),
                created_at: event.timestamp,
                not_before: None,
                delayed_at: None,
                expires_at: None,
                attempts: Vec::new(),
                tracked: false,
                account: event.actor.clone(),
                tenant: tenant.clone(),
                seal: None,
            };
            if let Fold::Delay(delay) = fold {
                message.delay(self.now(), delay);
            }
            messages.push(message);
        }
    }

    /// A message that does not come from an event.
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
            delayed_at: None,
            expires_at: None,
            attempts: Vec::new(),
            tracked: false,
            account: None,
            tenant: self.tenant.clone(),
            seal: None,
        }
    }

    /// Sends messages. If the backlog is full, messages of the lane `low` are dropped. Call this directly only for
    /// messages that may be lost: they are not in the outbox.
    pub async fn send(&self, mut messages: Vec<Message>) -> Result<(), QueueError> {
        if messages.iter().any(|message| message.lane == Lane::Low) && self.backlog_is_full().await {
            let before = messages.len();
            messages.retain(|message| message.lane != Lane::Low);
            let shed = before.saturating_sub(messages.len());
            tracing::warn!(shed, "the backlog is full");
            count(self, Lane::Low, &[("shed", shed)]).await;
        }
        for message in &mut messages {
            message.seal = self.seal(message);
        }
        for chunk in messages.chunks(MAX_SEND) {
            match self.queue.send(chunk).await {
                // A message that is too large is a bug of its job, and must not block the others.
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
                            // The sweeper sends all of them again from the outbox.
                            other => other?,
                        }
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// What shows that a message belongs to its tenant: a digest of both under the key of the deployment. A message of the main
    /// market has none.
    fn seal(&self, message: &Message) -> Option<String> {
        (!message.tenant.is_main()).then(|| self.keys.digest(&sealed(message)))
    }

    /// Whether a message shows that it belongs to its tenant.
    pub(crate) fn is_sealed(&self, message: &Message) -> bool {
        match &message.seal {
            None => message.tenant.is_main(),
            Some(seal) => !message.tenant.is_main() && self.keys.is_digest(seal, &sealed(message)),
        }
    }

    /// Whether the backlog exceeds the limit of the operator (`SOUK_BACKLOG`); measured every few seconds.
    async fn backlog_is_full(&self) -> bool {
        let now = self.now().as_millisecond();
        let last = self.outbox.looked_at.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= LOOK_EVERY {
            self.outbox.looked_at.store(now, Ordering::Relaxed);
            let mut waiting = 0_u64;
            for lane in Lane::ALL {
                // If the queue is unavailable, `send` reports the failure.
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

/// What the seal of a message is of.
fn sealed(message: &Message) -> Vec<u8> {
    let (tenant, id, job) = (message.tenant.name(), &message.id, &message.job);
    format!("message\n{tenant}\n{job}\n{id}").into_bytes()
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

    /// Records written by an earlier version stay readable.
    #[test]
    fn records_stay_readable() {
        let event = json!({
            "id": "evt_1", "type": "upvote.added", "version": 1, "timestamp": "2025-01-31T12:00:00.000Z", "actor": null,
            "trace": null, "data": { "product": "prd_1" },
        });
        let message = json!({
            "id": "job_1", "job": "jobs.replay", "lane": "low", "body": {}, "created_at": "2025-01-31T12:00:00.000Z",
        });
        for stored in [
            json!({ "at": "2025-01-31T12:00:00.123Z", "events": [event], "messages": [message] }),
            json!({ "at": "2025-01-31T12:00:00.000Z", "messages": [message] }),
            json!({ "at": "2025-01-31T12:00:00.000Z", "events": [event] }),
        ] {
            let record: Record = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!(serde_json::to_value(&record).unwrap(), stored);
        }
    }
}
