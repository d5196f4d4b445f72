//! Copies of what is read everywhere and changes seldom: categories, vendors, settings. For a moment in the memory of the
//! process, for two minutes in a [`KeyValue`] that all instances share, which is nearer than the store or costs it less.
//!
//! **Who gets one.** Only a `get` that is [relaxed](souk_core::freshness): made for an answer that everyone sees alike and
//! that caches may keep. What is done for a principal, what is decided and what is written reads the store, so no decision
//! rests on a copy. It stands below the watch of the cache in front of the router, which notes what is asked for, wherever
//! it comes from.
//!
//! **How old.** A copy expires [`LIFE`] after it began to be read from the newest state: no read is further behind the store
//! than that (and than clocks differ). Mostly it is much less: a commit removes what it changes from the `KeyValue` before
//! it is acknowledged, also in a process that reads no copies itself. The whole time passes if a process dies between the
//! two, if the `KeyValue` fails then or has just failed, or if somebody who read before the commit puts a copy after it. Workers KV may give for a minute what was removed; the memory of another process, for [`FRESH`].
//!
//! **Who wrote reads what it wrote.** From before a commit, so also if nobody sees how it ends, until every copy that was
//! read before its end has expired, this process reads what it changed from the store, and puts no copy of it.
//!
//! Copies are put after the answer ([`Copies::run`]) and nothing here is durable: when a process ends, some are not made. A
//! `KeyValue` that fails costs the way to it, and is left alone for a while. What is absent is not copied, so what is new
//! is seen at once.

mod near;
mod text;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use souk_core::documents::MAX_KEYS;
use souk_core::freshness::{is_relaxed, strict};
use souk_core::key_value::KeyValueError;
use souk_core::{
    Change, Clock, Commit, Condition, Document, Documents, Key, KeyValue, Page, Query, StoreError, Timestamp,
};

use near::Near;
use text::{is_copied, place, read, written};

/// How old a copy may be, in milliseconds.
pub(crate) const LIFE: i64 = 120_000;
/// For how long a process goes by what it has in memory, in milliseconds.
const FRESH: i64 = 3_000;
/// How far clocks may differ, and replicas be behind, in milliseconds.
const SLACK: i64 = 60_000;
/// How long a commit may be under way that nobody waits for any more, in milliseconds: D1 gives up after 30 s.
const DOUBT: i64 = 60_000;
/// For how long a process reads from the store what it has written: until all older copies have expired.
const WRITTEN: i64 = LIFE + SLACK + DOUBT;
/// For how long a `KeyValue` that failed is left alone, in milliseconds.
const REST: i64 = 10_000;
/// How many copies are asked for at most: each is a call, where the store gives any number of documents in one.
const FEW: usize = 4;
/// How many copies wait at most to be put.
const ERRANDS: usize = 20;

/// The documents, with copies of some of them.
pub(crate) struct Copies {
    documents: Arc<dyn Documents>,
    values: Arc<dyn KeyValue>,
    clock: Arc<dyn Clock>,
    /// Whether this process reads copies. It removes what it changes in any case: others read them.
    reads: bool,
    near: Mutex<Near>,
    /// Whether this process keeps copies in memory.
    remembers: AtomicBool,
    /// Until when the values are left alone, in milliseconds since 1970.
    rests_until: AtomicI64,
    errands: Mutex<Vec<(Document, i64)>>,
}

/// What [`Documents::get`] gives.
type Found<'a> = Pin<Box<dyn Future<Output = Result<Vec<Option<Document>>, StoreError>> + Send + 'a>>;

/// Where one of the documents that are asked for is to come from.
enum Slot {
    Found(Option<Document>),
    /// A copy will do.
    Copied,
    Stored,
}

impl Copies {
    /// The documents, with copies of some in `values`, from which this process reads or only removes.
    pub(crate) fn new(
        documents: Arc<dyn Documents>,
        values: Arc<dyn KeyValue>,
        clock: Arc<dyn Clock>,
        reads: bool,
    ) -> Self {
        Self {
            documents,
            values,
            clock,
            reads,
            near: Mutex::default(),
            remembers: false.into(),
            rests_until: 0.into(),
            errands: Mutex::default(),
        }
    }

    /// From now on copies are kept in memory too. Not for processes that are frozen between requests: to them a moment is
    /// as long as they are not asked.
    pub(crate) fn remember(&self) {
        self.remembers.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn near(&self) -> MutexGuard<'_, Near> {
        self.near.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn errands(&self) -> MutexGuard<'_, Vec<(Document, i64)>> {
        self.errands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self, now: i64) -> bool {
        now < self.rests_until.load(Ordering::Relaxed)
    }

    /// Leaves the values alone for a while.
    fn rest(&self, error: &KeyValueError) {
        let until = self.now().saturating_add(REST);
        if self.rests_until.swap(until, Ordering::Relaxed) < until {
            tracing::warn!(%error, "copies are out of reach: for a while they are neither read nor removed");
        }
    }

    /// What is in memory, and where the rest is to come from.
    fn look(&self, keys: &[Key]) -> Vec<Slot> {
        let (now, near) = (self.now(), self.near());
        let slot = |key: &Key| {
            if !is_copied(key) || near.is_written(key, now) {
                return Slot::Stored;
            }
            near.get(key, now)
                .map_or(Slot::Copied, |document| Slot::Found(Some(document)))
        };
        keys.iter().map(slot).collect()
    }

    /// The documents at these keys, of which some may be copies.
    async fn copied(&self, keys: &[Key]) -> Result<Vec<Option<Document>>, StoreError> {
        if !is_relaxed() || keys.len() > MAX_KEYS {
            return self.documents.get(keys).await;
        }
        let mut slots = self.look(keys);
        // Where the store must be asked anyway, it is asked for everything.
        let open = slots.iter().filter(|slot| !matches!(slot, Slot::Found(_))).count();
        let shared = open <= FEW && !slots.iter().any(|slot| matches!(slot, Slot::Stored)) && !self.rests(self.now());
        if shared {
            self.ask(keys, &mut slots).await;
        }
        let open = keys
            .iter()
            .zip(&slots)
            .filter(|(_, slot)| !matches!(slot, Slot::Found(_)));
        let missing: Vec<Key> = open.map(|(key, _)| key.clone()).collect();
        if !missing.is_empty() {
            let read_at = self.now();
            // A copy lives longer than a replica is behind.
            let mut read = strict(self.documents.get(&missing)).await?.into_iter();
            for slot in slots.iter_mut().filter(|slot| !matches!(slot, Slot::Found(_))) {
                let document = read.next().flatten();
                if let (Slot::Copied, Some(document)) = (&slot, &document)
                    && document.expires_at.is_none()
                {
                    self.keep(document, read_at);
                    if shared {
                        self.send(document.clone(), read_at);
                    }
                }
                *slot = Slot::Found(document);
            }
        }
        let found = slots.into_iter().map(|slot| match slot {
            Slot::Found(document) => document,
            Slot::Copied | Slot::Stored => None,
        });
        Ok(found.collect())
    }

    /// Takes what there is from the values.
    async fn ask(&self, keys: &[Key], slots: &mut [Slot]) {
        let (open, places): (Vec<_>, Vec<_>) = keys
            .iter()
            .zip(slots)
            .filter(|(_, slot)| matches!(slot, Slot::Copied))
            .map(|(key, slot)| ((key, slot), place(key)))
            .unzip();
        let answers = all(places.iter().map(|place| self.values.get(place)).collect()).await;
        // One from the future is of a clock that cannot be trusted.
        let latest = self.now().saturating_add(SLACK);
        for ((key, slot), answer) in open.into_iter().zip(answers) {
            match answer {
                Ok(text) => {
                    let copy = text.and_then(|text| read(key, &text));
                    if let Some((document, read_at)) = copy.filter(|(_, read_at)| *read_at <= latest) {
                        self.keep(&document, read_at);
                        *slot = Slot::Found(Some(document));
                    }
                }
                Err(error) => self.rest(&error),
            }
        }
    }

    /// Keeps a copy in memory for a moment, if this process does that.
    fn keep(&self, document: &Document, read_at: i64) {
        if self.remembers.load(Ordering::Relaxed) {
            let now = self.now();
            let until = now.saturating_add(FRESH).min(read_at.saturating_add(LIFE));
            self.near().put(document, now, until);
        }
    }

    fn send(&self, document: Document, read_at: i64) {
        let mut errands = self.errands();
        if errands.len() < ERRANDS {
            errands.push((document, read_at));
        }
    }

    pub(crate) fn has_errands(&self) -> bool {
        !self.errands().is_empty()
    }

    /// Puts the copies of what was read since the last time.
    pub(crate) async fn run(&self) {
        let mut errands = std::mem::take(&mut *self.errands());
        errands.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
        errands.dedup_by(|(a, _), (b, _)| a.key == b.key);
        for (document, read_at) in errands {
            let now = self.now();
            let (Some(text), Ok(expires_at)) = (
                written(&document, read_at),
                Timestamp::from_millisecond(read_at.saturating_add(LIFE)),
            ) else {
                continue;
            };
            if self.rests(now) || self.near().is_written(&document.key, now) {
                continue;
            }
            // Where many miss a copy at once, all but one may be refused (Workers KV).
            if let Err(error) = self.values.put(&place(&document.key), &text, expires_at).await {
                return tracing::info!(%error, "a copy was not put");
            }
        }
    }

    fn wrote(&self, keys: &[Key]) {
        if !keys.is_empty() {
            let now = self.now();
            self.near().wrote(keys, now, now.saturating_add(WRITTEN));
        }
    }
}

#[async_trait]
impl Documents for Copies {
    /// Not an `async fn`, so that what is no business of copies costs no future of ours.
    fn get<'a, 'k, 'f>(&'a self, keys: &'k [Key]) -> Found<'f>
    where
        'a: 'f,
        'k: 'f,
        Self: 'f,
    {
        if !self.reads || !keys.iter().any(is_copied) {
            return self.documents.get(keys);
        }
        Box::pin(self.copied(keys))
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        self.documents.query(query).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let changed = commit.changes.iter().filter(|change| is_copied(change.key()));
        let changed = changed.filter(|change| !matches!(change, Change::Require { .. }));
        let (keys, old): (Vec<Key>, Vec<bool>) = changed.map(|change| (change.key().clone(), !is_new(change))).unzip();
        if keys.is_empty() {
            return self.documents.commit(commit).await;
        }
        self.wrote(&keys);
        let result = self.documents.commit(commit).await;
        if matches!(result, Err(StoreError::Conflict(_) | StoreError::Refused(_))) {
            return result;
        }
        // The time counts from the end of the commit.
        self.wrote(&keys);
        let places: Vec<String> = keys
            .iter()
            .zip(old)
            .filter(|(_, old)| *old)
            .map(|(key, _)| place(key))
            .collect();
        // What they hold then expires by itself. An edit does not wait for them again and again.
        if !self.rests(self.now()) {
            for answer in all(places.iter().map(|place| self.values.delete(place)).collect()).await {
                answer.unwrap_or_else(|error| self.rest(&error));
            }
        }
        result
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.documents.ping().await
    }
}

/// Makes a few calls at once. (`join_all` is made for many, and weighs as much.)
async fn all<T>(calls: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.into_iter().map(|call| (call, None)).collect();
    std::future::poll_fn(|context| {
        let mut done = true;
        for (call, answer) in &mut calls {
            if answer.is_none() {
                match call.as_mut().poll(context) {
                    Poll::Ready(ready) => *answer = Some(ready),
                    Poll::Pending => done = false,
                }
            }
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    calls.into_iter().filter_map(|(_, answer)| answer).collect()
}

/// Whether there was nothing before that there could be a copy of.
fn is_new(change: &Change) -> bool {
    matches!(
        change,
        Change::Put {
            condition: Condition::Absent,
            ..
        }
    )
}
