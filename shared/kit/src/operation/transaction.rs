//! Transactions: changes with conditions, events and messages in one commit.
//!
//! [`Context::commit`] runs a closure that reads, decides and adds changes to the transaction. Each condition states
//! what its failure means: run the closure again ([`or_retry`](Step::or_retry)) or return an error of the operation
//! ([`or_fail`](Step::or_fail)). If a condition fails, nothing is written. All decisions that depend on stored state
//! must be made in the closure.
//!
//! **Idempotency.** The result of the closure is stored under the request's idempotency key in the same commit, so the
//! effect never exists without the record. A retry gets the stored result, and its closure does not run. Of two
//! concurrent requests with the same key, one commits; the commit of the other fails on the record, and it returns the
//! stored result.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::clock;
use souk_core::kind::{Renaming, owner_of};
use souk_core::{Change, Condition, Document, Entry, Event, EventData, Key, Kind, Message, Timestamp};

use super::context::to_json;
use super::{Context, Failure, IfMatch, Stored};

/// How long a name that a document had before is reserved for it, if it does not lead on for good.
const RESERVED_DAYS: i64 = 90;
/// How many names that a document had before are reserved for it.
const MAX_RESERVED: usize = 5;
/// How many names that a document had before lead on to it for good.
const MAX_LEADING_ON: usize = 20;

/// The names that a document had before, the latest last.
#[derive(Serialize, Deserialize)]
struct FormerNames {
    names: Vec<String>,
}

fn former_key(kind: Kind, id: &str) -> Key {
    Key::of(&format!("{}-former", kind.name), id)
}

/// A transaction in progress. Dereferences to the [`Context`], for reading.
pub struct Transaction<E> {
    cx: Context,
    attempt: usize,
    now: Timestamp,
    pending: Arc<Mutex<Pending<E>>>,
}

/// What the closure has added so far.
pub(crate) struct Pending<E> {
    pub(crate) changes: Vec<Change>,
    /// For each change, the error to return if its condition fails; `None` to run the closure again.
    pub(crate) on_conflict: Vec<Option<E>>,
    /// The bodies of documents that are changed, for the audit log.
    pub(crate) before: Vec<(Key, String)>,
    /// Documents that are changed and of which earlier states are kept, and when.
    pub(crate) replaced: Vec<(Document, Timestamp)>,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: Vec<Message>,
    /// Whether the result holds secrets and is stored encrypted.
    pub(crate) is_secret: bool,
    /// The first change that could not be serialized.
    failed: Option<Failure>,
}

impl<E> Default for Pending<E> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            on_conflict: Vec::new(),
            before: Vec::new(),
            replaced: Vec::new(),
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
        let now = cx.platform().now();
        let tx = Self {
            cx,
            attempt,
            now,
            pending,
        };
        (tx, shared)
    }

    /// The time of the transaction: the same whenever it is asked for, in milliseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether the closure runs again because a condition with `or_retry` failed.
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

    /// Keeps what a document is before its change, if the audit log has to say it or earlier states are kept.
    fn note_before(&self, document: &Document) {
        if self.cx.keeps_history(&document.key) {
            self.pending().replaced.push((document.clone(), self.now));
        }
        if !self.cx.uses().is_empty() {
            let before = (document.key.clone(), document.body.clone());
            self.pending().before.push(before);
        }
    }

    fn step(&self, change: Change) -> Step<'_, E> {
        Step { tx: self, change }
    }

    /// Creates a document. Condition: it does not exist.
    pub fn create<T: Serialize>(&self, key: Key, value: T) -> Put<'_, E, T> {
        Put::new(self, key, value, Condition::Absent, "{}", 0)
    }

    /// Replaces the body of a document. Condition: the document is still at the version that was read.
    pub fn update<T: Serialize>(&self, document: &Document, value: T) -> Put<'_, E, T> {
        self.note_before(document);
        let condition = Condition::Version(document.version);
        let (key, counters) = (document.key.clone(), &document.counters);
        let mut put = Put::new(self, key, value, condition, counters, document.version);
        put.expires_at = document.expires_at;
        put
    }

    /// [`update`](Self::update) if the document was found, else [`create`](Self::create).
    pub fn create_or_update<T: Serialize>(&self, key: Key, found: Option<&Document>, value: T) -> Put<'_, E, T> {
        match found {
            Some(document) => self.update(document, value),
            None => self.create(key, value),
        }
    }

    /// Creates or replaces a document without a condition. Finish it with [`always`](Put::always).
    pub fn put<T: Serialize>(&self, key: Key, value: T) -> Put<'_, E, T> {
        Put::new(self, key, value, Condition::Any, "{}", 0)
    }

    /// Deletes a document with all its index entries. Condition: it is still at the version that was read.
    pub fn delete(&self, document: &Document, entries: Vec<Entry>) -> Step<'_, E> {
        self.note_before(document);
        self.step(Change::Delete {
            key: document.key.clone(),
            condition: Condition::Version(document.version),
            stale: entries,
        })
    }

    /// Deletes a document that has no index entries, if it exists.
    pub fn remove(&self, key: Key) {
        self.remove_with(key, Vec::new());
    }

    /// Deletes a document with these index entries, if it exists.
    pub fn remove_with(&self, key: Key, entries: Vec<Entry>) {
        let change = Change::Delete {
            key,
            condition: Condition::Any,
            stale: entries,
        };
        self.add_change(change, None);
    }

    /// Claims a name for the document `id`. Condition: the name is not claimed.
    pub fn claim(&self, name: Key, id: &str) -> Step<'_, E> {
        self.step(Change::claim(name, id))
    }

    /// Releases a name. Condition: the name is claimed.
    pub fn release(&self, name: Key) -> Step<'_, E> {
        self.step(Change::Delete {
            key: name,
            condition: Condition::Exists,
            stale: Vec::new(),
        })
    }

    /// Claims the new name of a document, unless it is the old one. The old name still belongs to the document: lookups by
    /// it find the document, and no other document can claim it. So an old link never leads to another document. It belongs
    /// to it for 90 days or until the document has had five other names; or, if names of the [kind](Renaming) lead on, until
    /// the document is deleted or has had twenty other names.
    pub async fn rename(&self, kind: Kind, old: &str, new: &str, id: &str, taken: E) -> Result<(), Failure> {
        if old == new {
            return Ok(());
        }
        let claim = json!({ "id": id });
        match self.get(kind.name_key(new)).await? {
            Some(former) if owner_of(Some(&former))?.as_deref() == Some(id) => {
                let mut own = self.update(&former, claim.clone());
                own.expires_at = None;
                own.or_retry();
            }
            _ => self.claim(kind.name_key(new), id).or_fail(taken),
        }
        let (until, max) = match kind.renaming {
            Renaming::LeadsOn => (None, MAX_LEADING_ON),
            Renaming::Never | Renaming::Reserves => {
                let until = clock::after(self.clock.now(), RESERVED_DAYS * 24 * 3600);
                (Some(until), MAX_RESERVED)
            }
        };
        let mut former = Put::new(self, kind.name_key(old), claim, Condition::Exists, "{}", 0);
        former.expires_at = until;
        former.or_retry();
        // A document holds a few names only, or one account could hold any number.
        let key = former_key(kind, id);
        let found = self.read::<FormerNames>(key.clone()).await?;
        let mut names = found.as_ref().map(|found| found.names.clone()).unwrap_or_default();
        names.retain(|name| name != old && name != new);
        names.push(old.to_owned());
        let released: Vec<String> = names.drain(..names.len().saturating_sub(max)).collect();
        self.release_former(kind, &released, id).await?;
        let found = found.as_ref().map(|found| &found.document);
        let mut list = self.create_or_update(key, found, FormerNames { names });
        list.expires_at = until;
        list.or_retry();
        Ok(())
    }

    /// Releases the names that a document had before, when it is deleted.
    pub async fn release_former_names(&self, kind: Kind, id: &str) -> Result<(), Failure> {
        let key = former_key(kind, id);
        if let Some(found) = self.read::<FormerNames>(key.clone()).await? {
            self.release_former(kind, &found.names, id).await?;
            self.delete(&found.document, Vec::new()).or_retry();
        }
        Ok(())
    }

    /// Releases former names, but for those that have expired and belong to other documents.
    async fn release_former(&self, kind: Kind, names: &[String], id: &str) -> Result<(), Failure> {
        let keys: Vec<Key> = names.iter().map(|name| kind.name_key(name)).collect();
        for claim in self.get_all(&keys).await?.into_iter().flatten() {
            if owner_of(Some(&claim))?.as_deref() == Some(id) {
                self.delete(&claim, Vec::new()).or_retry();
            }
        }
        Ok(())
    }

    /// Changes nothing. Condition: a document is still at the version that was read.
    pub fn require(&self, document: &Document) -> Step<'_, E> {
        self.step(Change::Require {
            key: document.key.clone(),
            condition: Condition::Version(document.version),
        })
    }

    /// Adds to a counter. Condition: the document exists.
    pub fn add(&self, key: Key, counter: &str, delta: i64) -> Step<'_, E> {
        self.step(Change::Add {
            key,
            counter: counter.to_owned(),
            delta,
        })
    }

    /// Emits an event of type `name`, with the principal and the trace of the context. Returns its id.
    pub fn emit<D: EventData>(&self, name: &str, data: &D) -> String {
        match Event::new(name, data, &self.cx.cause(), &*self.cx.clock, &*self.cx.random) {
            Ok(event) => {
                let id = event.id.clone();
                self.pending().events.push(event);
                id
            }
            Err(error) => {
                // The commit fails.
                self.fail(error.into());
                String::new()
            }
        }
    }

    /// Sends a message to a job.
    pub fn send(&self, message: Message) {
        self.pending().messages.push(message);
    }

    /// Marks the result as secret: it is encrypted where it is stored for an idempotency key.
    pub fn seal_result(&self) {
        self.pending().is_secret = true;
    }

    /// The result of an edit that changes nothing: the stored document as it is. Drops what was added to the transaction, so
    /// nothing is written, sent or announced.
    pub fn unchanged<T>(&self, stored: Stored<T>) -> Stored<T> {
        *self.pending() = Pending::default();
        stored
    }

    /// The number of changes so far.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.pending().changes.len()
    }

    fn fail(&self, failure: Failure) {
        self.pending().failed.get_or_insert(failure);
    }
}

/// A change with a condition. It is added to the transaction when the meaning of a failed condition is given.
#[must_use = "say what the failure of its condition means"]
pub struct Step<'t, E> {
    tx: &'t Transaction<E>,
    change: Change,
}

impl<E> Step<'_, E> {
    /// If the condition fails, the closure runs again, with new reads.
    pub fn or_retry(self) {
        self.tx.add_change(self.change, None);
    }

    /// If the condition fails, the operation returns this error.
    pub fn or_fail(self, error: E) {
        self.tx.add_change(self.change, Some(error));
    }
}

impl<E: From<Failure>> Step<'_, E> {
    /// If the condition fails: the precondition has failed if the client sent `If-Match`, else the closure runs again.
    pub fn or_precondition(self, if_match: &IfMatch) {
        let error = if_match.is_given().then(|| Failure::VersionMismatch.into());
        self.tx.add_change(self.change, error);
    }
}

/// A document to write. It is added to the transaction when the meaning of a failed condition is given.
#[must_use = "say what the failure of its condition means"]
pub struct Put<'t, E, T> {
    tx: &'t Transaction<E>,
    key: Key,
    value: T,
    condition: Condition,
    counters: Vec<String>,
    /// The counters of the replaced document, as JSON text.
    kept_counters: String,
    /// The version of the replaced document.
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

    /// Sets the index entries of a new document.
    pub fn entries(mut self, entries: Vec<Entry>) -> Self {
        self.entries = entries;
        self
    }

    /// Sets the index entries that the document had before and those that it has after the write.
    pub fn moved(mut self, before: &[Entry], after: Vec<Entry>) -> Self {
        self.stale = before.iter().filter(|entry| !after.contains(entry)).cloned().collect();
        self.entries = after.into_iter().filter(|entry| !before.contains(entry)).collect();
        self
    }

    /// Sets the counters of a new document, which start at zero.
    pub fn counters(mut self, names: &[&str]) -> Self {
        self.counters = names.iter().map(|&name| name.to_owned()).collect();
        let zeros: serde_json::Map<_, _> = names.iter().map(|&name| (name.to_owned(), json!(0))).collect();
        self.kept_counters = serde_json::Value::Object(zeros).to_string();
        self
    }

    /// Sets when the document expires.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// If the condition fails, the closure runs again, with new reads.
    pub fn or_retry(self) -> Stored<T> {
        self.finish(None)
    }

    /// If the condition fails, the operation returns this error.
    pub fn or_fail(self, error: E) -> Stored<T> {
        self.finish(Some(error))
    }

    /// Finishes a [`put`](Transaction::put), which has no condition.
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
    /// If the condition fails: the precondition has failed if the client sent `If-Match`, else the closure runs again.
    pub fn or_precondition(self, if_match: &IfMatch) -> Stored<T> {
        let error = if_match.is_given().then(|| Failure::VersionMismatch.into());
        self.finish(error)
    }
}

/// Takes the contents of the transaction.
pub(crate) fn take<E>(pending: &Mutex<Pending<E>>) -> Result<Pending<E>, Failure> {
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    let mut taken = std::mem::take(&mut *pending);
    match taken.failed.take() {
        Some(failure) => Err(failure),
        None => Ok(taken),
    }
}
