//! A read-through cache of documents in the key-value store, which is nearer than the document store or costs less.
//!
//! Documents of the kinds that declare [`cached_seconds`](souk_core::Kind) are cached, with the claims on their names.
//! Only eventually consistent reads use it, so no write and no decision rests on a cached document. A copy is served
//! for at most `cached_seconds` after its read began, and a commit deletes what it changes before it is acknowledged. A
//! key-value store that fails is as if it were empty.
//!
//! An old copy can survive its deletion: the key-value store fails or lags, or a process puts the copy a moment later.
//! So the process that committed reads what it changed from the store until all old copies have expired.
//!
//! What is missing is put after the response ([`flush`](DocumentCache::flush)). What does not exist is not cached, so a
//! new document is visible at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;
use souk_core::documents::Scan;
use souk_core::key_value::MAX_KEY;
use souk_core::{
    Change, Clock, Commit, Consistency, Document, Documents, Key, KeyValue, Kind, Page, Query, StoreError, Tenant,
    Timestamp, clock,
};

/// How many keys of one get are looked up in the cache at most; the document store reads any number in one request.
const MAX_LOOKUPS: usize = 4;
/// How many documents may wait to be put into the cache.
const MAX_PENDING: usize = 20;
/// A document store with a cache for some kinds of documents.
pub struct DocumentCache {
    documents: Arc<dyn Documents>,
    values: Arc<dyn KeyValue>,
    clock: Arc<dyn Clock>,
    kinds: Vec<Kind>,
    /// Whether this process reads the cache. A process that does not still deletes the copies of documents that it
    /// changes.
    reads: bool,
    /// Documents to put into the cache, and when each copy expires.
    pending: Mutex<HashMap<Key, (Document, Timestamp)>>,
    /// The keys that this process changed, and when all of their old copies have expired.
    changed: Mutex<HashMap<Key, Timestamp>>,
}

impl DocumentCache {
    /// What the keys in the key-value store begin with.
    pub const PREFIX: &str = "document/";

    /// Caches the documents of those `kinds` that declare `cached_seconds`.
    pub fn new(
        documents: Arc<dyn Documents>,
        values: Arc<dyn KeyValue>,
        clock: Arc<dyn Clock>,
        kinds: impl IntoIterator<Item = Kind>,
        reads: bool,
    ) -> Arc<Self> {
        let kinds = kinds.into_iter().filter(|kind| kind.cached_seconds.is_some());
        Arc::new(Self {
            documents,
            values,
            clock,
            kinds: kinds.collect(),
            reads,
            pending: Mutex::default(),
            changed: Mutex::default(),
        })
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Key, (Document, Timestamp)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> MutexGuard<'_, HashMap<Key, Timestamp>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the cache may hold a copy of this key that is older than a commit of this process.
    fn is_changed(&self, key: &Key) -> bool {
        self.changed().get(key).is_some_and(|until| self.clock.now() < *until)
    }

    /// For how many seconds the document at this key may be cached.
    fn seconds(&self, key: &Key) -> Option<u32> {
        let can_be_key = key.sk.is_empty() && Self::PREFIX.len() + key.pk.len() <= MAX_KEY;
        // Whichever tenant has it.
        let pk = match key.pk.strip_prefix('@') {
            Some(rest) => rest.split_once('/')?.1,
            None => &key.pk,
        };
        let (name, _) = pk.split_once('/').filter(|_| can_be_key)?;
        let name = name.strip_suffix("-named").unwrap_or(name);
        self.kinds.iter().find(|kind| kind.name == name)?.cached_seconds
    }

    /// Whether documents wait to be put.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending().is_empty()
    }

    /// Puts the documents that were read from the store since the last flush.
    pub(crate) async fn flush(&self) {
        let pending = std::mem::take(&mut *self.pending());
        for (key, (document, expires_at)) in pending {
            if self.is_changed(&key) {
                continue;
            }
            let Ok(text) = serde_json::to_string(&document) else {
                continue;
            };
            // If several processes put a key at the same time, all but one may be refused (Workers KV).
            if let Err(error) = self.values.put(&value_key(&key), &text, expires_at).await {
                tracing::info!(%error, "a document was not cached");
            }
        }
    }

    async fn cached(&self, key: &Key) -> Option<Document> {
        if self.is_changed(key) {
            return None;
        }
        match self.values.get(&value_key(key)).await {
            Ok(text) => serde_json::from_str(&text?).ok(),
            Err(error) => {
                tracing::warn!(%error, "the document cache does not answer");
                None
            }
        }
    }
}

fn value_key(key: &Key) -> String {
    format!("{}{}", DocumentCache::PREFIX, key.pk)
}

#[async_trait]
impl Documents for DocumentCache {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        let can_cache = consistency == Consistency::Eventual && self.reads && keys.len() <= MAX_LOOKUPS;
        // If any key cannot be cached, all are read from the store: it is one request in either case.
        if !can_cache || keys.is_empty() || keys.iter().any(|key| self.seconds(key).is_none()) {
            return self.documents.get(keys, consistency).await;
        }
        let mut found = join_all(keys.iter().map(|key| self.cached(key))).await;
        let missing: Vec<usize> = (0..)
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(n, _)| n)
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let wanted: Vec<Key> = missing.iter().filter_map(|n| keys.get(*n).cloned()).collect();
        let now = self.clock.now();
        // Strongly consistent, because the copy will be served for up to `cached_seconds`.
        let read = self.documents.get(&wanted, Consistency::Strong).await?;
        for (n, document) in missing.into_iter().zip(read) {
            if let Some(document) = document.as_ref().filter(|document| document.expires_at.is_none())
                && let Some(seconds) = self.seconds(&document.key)
            {
                let mut pending = self.pending();
                if pending.len() < MAX_PENDING {
                    let copy = (document.clone(), clock::after(now, seconds.into()));
                    pending.insert(document.key.clone(), copy);
                }
            }
            if let Some(slot) = found.get_mut(n) {
                *slot = document;
            }
        }
        Ok(found)
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.documents.query(query, consistency).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let changed = commit
            .changes
            .iter()
            .filter(|change| !matches!(change, Change::Require { .. }));
        let changed = changed.map(Change::key);
        let changed: Vec<(Key, u32)> = changed
            .filter_map(|key| Some((key.clone(), self.seconds(key)?)))
            .collect();
        let result = self.documents.commit(commit).await;
        if matches!(result, Err(StoreError::Conflict(_) | StoreError::Refused(_))) {
            return result;
        }
        if !changed.is_empty() {
            let now = self.clock.now();
            let until = |(key, seconds): &(Key, u32)| (key.clone(), clock::after(now, (*seconds).into()));
            let mut all = self.changed();
            all.retain(|_, until| now < *until);
            all.extend(changed.iter().map(until));
        }
        for (key, _) in changed {
            if let Err(error) = self.values.delete(&value_key(&key)).await {
                tracing::warn!(%error, "a cached document is stale until it expires");
            }
        }
        result
    }

    async fn scan(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        self.documents.scan(tenant, after).await
    }

    async fn erase(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<String>, StoreError> {
        self.documents.erase(tenant, after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.documents.ping().await
    }
}
