//! One commit: changes, the conditions that they rest on, events and messages.
//!
//! [`Context::commit`] runs a closure that reads, decides and says what to change. Every condition says, where it is
//! written, what its failure means: look again ([`or_retry`](Step::or_retry)) or fail with an error of the operation
//! ([`or_fail`](Step::or_fail)). When a condition fails, nothing was written, and the closure runs again or the error is
//! returned. Everything that depends on stored state belongs into the closure.
//!
//! **Idempotency.** The result of the closure is kept in the same commit for the request's idempotency key, so there is no
//! moment at which the effect exists and the record does not. A repeat gets the first result before its closure runs. Of
//! two that run at once one commits; the commit of the other fails on the record, and it gets the first one's result.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use souk_core::{Change, Condition, Document, Entry, Event, EventData, Key, Kind, Message, StoreError, Timestamp};

use super::context::to_json;
use super::{Context, Failure, IfMatch, Stored};

/// How often a closure runs before the operation gives up. More often than jobs run at once (16), since all of them may write
/// one document.
const ATTEMPTS: usize = 20;

/// What is to be committed. Dereferences to the [`Context`], for reading.
pub struct Transaction<E> {
    cx: Context,
    attempt: usize,
    pending: Arc<Mutex<Pending<E>>>,
}

/// What the closure has asked for so far.
pub(crate) struct Pending<E> {
    pub(crate) changes: Vec<Change>,
    /// What the failure of each change's condition means: `None` to look again.
    pub(crate) on_conflict: Vec<Option<E>>,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: Vec<Message>,
    /// Whether the result holds secrets.
    is_secret: bool,
    /// The first thing that could not be written down.
    failed: Option<Failure>,
}

impl<E> Default for Pending<E> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            on_conflict: Vec::new(),
            events: Vec::new(),
            messages: Vec::new(),
            is_secret: false,
            failed: None,
        }
    }
}

impl<E> Deref for Transaction<E> {
    type Target = Context;
    fn deref(&self) -> &Context {
        &self.cx
    }
}

impl<E> Transaction<E> {
    pub(crate) fn new(cx: Context, attempt: usize) -> (Self, Arc<Mutex<Pending<E>>>) {
        let shared = Arc::new(Mutex::new(Pending::default()));
        let pending = shared.clone();
        (Self { cx, attempt, pending }, shared)
    }

    /// Whether the closure ran before and a condition that it can look at again has failed.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.attempt > 0
    }

    fn pending(&self) -> MutexGuard<'_, Pending<E>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_change(&self, change: Change, on_conflict: Option<E>) {
        let mut pending = self.pending();
        pending.changes.push(change);
        pending.on_conflict.push(on_conflict);
    }

    fn step(&self, change: Change) -> Step<'_, E> {
        Step { tx: self, change }
    }

    /// Writes a new document; its condition is that there is none.
    pub fn create<T: Serialize>(&self, key: Key, value: T) -> Put<'_, E, T> {
        Put::new(self, key, value, Condition::Absent, "{}", 0)
    }

    /// Writes a new body for a document; its condition is that the document is still at the version that was read.
    pub fn update<T: Serialize>(&self, document: &Document, value: T) -> Put<'_, E, T> {
        let condition = Condition::Version(document.version);
        let (key, counters) = (document.key.clone(), &document.counters);
        let mut put = Put::new(self, key, value, condition, counters, document.version);
        put.expires_at = document.expires_at;
        put
    }

    /// [`update`](Self::update) of what was read, or [`create`](Self::create) if nothing was.
    pub fn create_or_update<T: Serialize>(&self, key: Key, found: Option<&Document>, value: T) -> Put<'_, E, T> {
        match found {
            Some(document) => self.update(document, value),
            None => self.create(key, value),
        }
    }

    /// Writes a document, whether or not there is one. Has no condition: ends with [`always`](Put::always).
    pub fn put<T: Serialize>(&self, key: Key, value: T) -> Put<'_, E, T> {
        Put::new(self, key, value, Condition::Any, "{}", 0)
    }

    /// Deletes a document with all its index entries; its condition is that it is still at the version that was read.
    pub fn delete(&self, document: &Document, entries: Vec<Entry>) -> Step<'_, E> {
        self.step(Change::Delete {
            key: document.key.clone(),
            condition: Condition::Version(document.version),
            stale: entries,
        })
    }

    /// Deletes a document without index entries, if there is one.
    pub fn remove(&self, key: Key) {
        self.remove_with(key, Vec::new());
    }

    /// Deletes a document with these index entries, if there is one.
    pub fn remove_with(&self, key: Key, entries: Vec<Entry>) {
        let change = Change::Delete {
            key,
            condition: Condition::Any,
            stale: entries,
        };
        self.add_change(change, None);
    }

    /// Claims a name for the document `id`; its condition is that nobody has it.
    pub fn claim(&self, name: Key, id: &str) -> Step<'_, E> {
        self.step(Change::claim(name, id))
    }

    /// Gives a claimed name back; its condition is that it is claimed.
    pub fn release(&self, name: Key) -> Step<'_, E> {
        self.step(Change::Delete {
            key: name,
            condition: Condition::Exists,
            stale: Vec::new(),
        })
    }

    /// Claims the new name of a document and gives the old one back, unless they are the same.
    pub fn rename(&self, kind: Kind, old: &str, new: &str, id: &str, taken: E) {
        if old != new {
            self.claim(kind.name_key(new), id).or_fail(taken);
            self.release(kind.name_key(old)).or_retry();
        }
    }

    /// Requires that a document is still at the version that was read.
    pub fn require(&self, document: &Document) -> Step<'_, E> {
        self.step(Change::Require {
            key: document.key.clone(),
            condition: Condition::Version(document.version),
        })
    }

    /// Adds to a counter; its condition is that the document exists.
    pub fn add(&self, key: Key, counter: &str, delta: i64) -> Step<'_, E> {
        self.step(Change::Add {
            key,
            counter: counter.to_owned(),
            delta,
        })
    }

    /// Emits the event of type `name`, due to the principal and the trace of the context.
    pub fn emit<D: EventData>(&self, name: &str, data: &D) {
        match Event::new(name, data, &self.cx.cause(), &*self.cx.clock, &*self.cx.random) {
            Ok(event) => self.pending().events.push(event),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Sends a message to a job.
    pub fn send(&self, message: Message) {
        self.pending().messages.push(message);
    }

    /// Encrypts the result where it is kept for an idempotency key.
    pub fn seal_result(&self) {
        self.pending().is_secret = true;
    }

    /// How many changes there are so far.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.pending().changes.len()
    }

    fn fail(&self, failure: Failure) {
        self.pending().failed.get_or_insert(failure);
    }
}

/// A change with a condition. It is part of the transaction once it says what the failure of the condition means.
#[must_use = "say what the failure of its condition means"]
pub struct Step<'t, E> {
    tx: &'t Transaction<E>,
    change: Change,
}

impl<E> Step<'_, E> {
    /// If the condition fails, something was changed meanwhile: the closure runs again.
    pub fn or_retry(self) {
        self.tx.add_change(self.change, None);
    }

    /// If the condition fails, the operation fails with this error.
    pub fn or_fail(self, error: E) {
        self.tx.add_change(self.change, Some(error));
    }
}

impl<E: From<Failure>> Step<'_, E> {
    /// If the condition fails, the client's precondition has failed if it named a version; else the closure runs again.
    pub fn or_precondition(self, if_match: &IfMatch) {
        let error = if_match.is_given().then(|| Failure::VersionMismatch.into());
        self.tx.add_change(self.change, error);
    }
}

/// A document to be written. It is part of the transaction once it says what the failure of its condition means.
#[must_use = "say what the failure of its condition means"]
pub struct Put<'t, E, T> {
    tx: &'t Transaction<E>,
    key: Key,
    value: T,
    condition: Condition,
    counters: Vec<String>,
    /// The counters of the document that is replaced, as text.
    kept_counters: String,
    /// The version that is replaced.
    version: u64,
    expires_at: Option<Timestamp>,
    entries: Vec<Entry>,
    stale: Vec<Entry>,
}

impl<'t, E, T: Serialize> Put<'t, E, T> {
    fn new(tx: &'t Transaction<E>, key: Key, value: T, condition: Condition, counters: &str, version: u64) -> Self {
        Self {
            tx,
            key,
            value,
            condition,
            counters: Vec::new(),
            kept_counters: counters.to_owned(),
            version,
            expires_at: None,
            entries: Vec::new(),
            stale: Vec::new(),
        }
    }

    /// The index entries of a new document.
    pub fn entries(mut self, entries: Vec<Entry>) -> Self {
        self.entries = entries;
        self
    }

    /// The index entries that the document had and that it has from now on.
    pub fn moved(mut self, before: &[Entry], after: Vec<Entry>) -> Self {
        self.stale = before.iter().filter(|entry| !after.contains(entry)).cloned().collect();
        self.entries = after.into_iter().filter(|entry| !before.contains(entry)).collect();
        self
    }

    /// The counters that a new document starts with, at zero.
    pub fn counters(mut self, names: &[&str]) -> Self {
        self.counters = names.iter().map(|&name| name.to_owned()).collect();
        let zeros: serde_json::Map<_, _> = names.iter().map(|&name| (name.to_owned(), json!(0))).collect();
        self.kept_counters = serde_json::Value::Object(zeros).to_string();
        self
    }

    /// When the document ceases to exist.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// If the condition fails, something was changed meanwhile: the closure runs again.
    pub fn or_retry(self) -> Stored<T> {
        self.finish(None)
    }

    /// If the condition fails, the operation fails with this error.
    pub fn or_fail(self, error: E) -> Stored<T> {
        self.finish(Some(error))
    }

    /// For a [`put`](Transaction::put), which has no condition.
    pub fn always(self) -> Stored<T> {
        self.finish(None)
    }

    fn finish(self, on_conflict: Option<E>) -> Stored<T> {
        let body = to_json(&self.value).unwrap_or_else(|failure| {
            self.tx.fail(failure);
            String::new()
        });
        let change = Change::Put {
            key: self.key.clone(),
            body: body.clone(),
            counters: self.counters,
            expires_at: self.expires_at,
            condition: self.condition,
            entries: self.entries,
            stale: self.stale,
        };
        self.tx.add_change(change, on_conflict);
        let document = Document {
            key: self.key,
            version: self.version.saturating_add(1),
            body,
            counters: self.kept_counters,
            expires_at: self.expires_at,
        };
        Stored {
            value: self.value,
            document,
        }
    }
}

impl<E: From<Failure>, T: Serialize> Put<'_, E, T> {
    /// If the condition fails, the client's precondition has failed if it named a version; else the closure runs again.
    pub fn or_precondition(self, if_match: &IfMatch) -> Stored<T> {
        let error = if_match.is_given().then(|| Failure::VersionMismatch.into());
        self.finish(error)
    }
}

/// Takes what a closure has asked for.
pub(crate) fn take<E>(pending: &Mutex<Pending<E>>) -> Result<Pending<E>, Failure> {
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    let mut taken = std::mem::take(&mut *pending);
    match taken.failed.take() {
        Some(failure) => Err(failure),
        None => Ok(taken),
    }
}

impl Context {
    /// Runs `build` and commits what it asks for, in one commit; see the [module](self).
    pub async fn commit<T, E, F, R>(&self, mut build: F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Failure>,
        F: FnMut(Transaction<E>) -> R,
        R: Future<Output = Result<T, E>>,
    {
        if let Some(first) = self.kept_result().await? {
            return Ok(first);
        }
        for attempt in 0..ATTEMPTS {
            let (tx, pending) = Transaction::new(self.clone(), attempt);
            let result = build(tx).await?;
            let Pending {
                changes,
                on_conflict,
                events,
                messages,
                is_secret,
                ..
            } = take(&pending)?;
            let record = self.record(&result, is_secret)?;
            let Some(step) = self.write(changes, record, events, messages).await? else {
                return Ok(result);
            };
            if let Some(first) = self.kept_result().await? {
                return Ok(first);
            }
            match on_conflict.into_iter().nth(step) {
                Some(Some(error)) => return Err(error),
                Some(None) => {}
                // The record was the obstacle and is gone again: it expired at this very moment.
                None => return Err(Failure::from(StoreError::Unavailable("the record expired".into())).into()),
            }
        }
        Err(Failure::Contention.into())
    }

    /// Commits; `Some` is the change whose condition failed.
    async fn write(
        &self,
        mut changes: Vec<Change>,
        record: Option<Change>,
        events: Vec<Event>,
        messages: Vec<Message>,
    ) -> Result<Option<usize>, Failure> {
        changes.extend(record);
        if changes.is_empty() && events.is_empty() && messages.is_empty() {
            return Ok(None);
        }
        match self.platform().commit(changes, events, messages).await {
            Ok(()) => Ok(None),
            Err(StoreError::Conflict(step)) => Ok(Some(step)),
            Err(error) => Err(error.into()),
        }
    }
}
