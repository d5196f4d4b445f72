//! Cache tags: they connect the reads of a response with the changes of a commit.
//!
//! The [`Context`](crate::Context) of a cacheable request has a [`ReadLog`], which records every document, partition
//! and index that is read, including documents that do not exist. The host wraps its ports in [`PurgingDocuments`] and
//! [`PurgingSearch`], which purge the tags of a commit before it is acknowledged. Handlers declare neither.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use souk_core::documents::{Scan, Source};
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery, Suggestion};
use souk_core::{Change, Commit, Consistency, Document, Documents, Key, Page, Query, StoreError, Tenant};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ResponseCache;
use super::labels::Labels;
use crate::registry::Registry;

/// A digest of the name of a document, partition, index or search. A collision only purges a response that could have
/// stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag(u64);

impl Tag {
    /// All search results of a tenant.
    fn search(tenant: &Tenant) -> Self {
        Self(xxh3_64_with_seed(tenant.name().as_bytes(), 1))
    }

    /// All completions of a tenant's search index.
    fn suggest(tenant: &Tenant) -> Self {
        Self(xxh3_64_with_seed(tenant.name().as_bytes(), 2))
    }

    /// All responses that depend on a tenant's search index.
    pub(super) fn all_of_index(tenant: &Tenant) -> [Tag; 2] {
        [Tag::search(tenant), Tag::suggest(tenant)]
    }

    /// A document, by its key as it is stored.
    fn key(pk: &str, sk: &str) -> Self {
        let partition = xxh3_64_with_seed(pk.as_bytes(), 3);
        Self(xxh3_64_with_seed(sk.as_bytes(), partition))
    }

    fn partition(name: &str) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), 4))
    }

    fn index(name: &str) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), 5))
    }
}

/// The tags of what a commit changes.
fn touched(commit: &Commit) -> Vec<Tag> {
    let mut tags = Vec::with_capacity(commit.changes.len() * 4);
    for change in &commit.changes {
        let (entries, stale) = match change {
            Change::Require { .. } => continue,
            Change::Put { entries, stale, .. } => (entries.as_slice(), stale.as_slice()),
            Change::Delete { stale, .. } => (&[][..], stale.as_slice()),
            Change::Add { .. } => (&[][..], &[][..]),
        };
        let key = change.key();
        tags.extend([Tag::key(&key.pk, &key.sk), Tag::partition(&key.pk)]);
        tags.extend(entries.iter().chain(stale).map(|entry| Tag::index(&entry.index)));
    }
    tags
}

/// The reads of one request.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) tags: Vec<Tag>,
    /// Whether a document was read that has an expiry: it disappears without a commit.
    pub(crate) expires: bool,
    /// The tags for caches in front of the host.
    pub(crate) labels: Labels,
}

/// Records the reads of one context.
#[derive(Debug)]
pub(crate) struct ReadLog {
    /// Whose documents are read. Tags are of the names that are stored.
    tenant: Tenant,
    reads: Mutex<Reads>,
}

impl ReadLog {
    pub(crate) fn new(tenant: Tenant) -> Self {
        let labels = Labels::new(tenant.clone());
        Self {
            tenant,
            reads: Mutex::new(Reads {
                tags: Vec::new(),
                expires: false,
                labels,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tag(&self, key: &Key) -> Tag {
        Tag::key(&self.tenant.stored(&key.pk), &key.sk)
    }

    pub(crate) fn keys(&self, keys: &[Key], registry: &Registry) {
        let mut reads = self.lock();
        reads.tags.extend(keys.iter().map(|key| self.tag(key)));
        keys.iter().for_each(|key| reads.labels.key(key, registry));
    }

    pub(crate) fn found<'a>(&self, mut documents: impl Iterator<Item = &'a Document>) {
        self.lock().expires |= documents.any(|document| document.expires_at.is_some());
    }

    pub(crate) fn source(&self, source: &Source, registry: &Registry) {
        let mut reads = self.lock();
        reads.tags.push(match source {
            Source::Partition(name) => Tag::partition(&self.tenant.stored(name)),
            Source::Index(name) => Tag::index(&self.tenant.stored(name)),
        });
        reads.labels.source(source, registry);
    }

    pub(crate) fn listed<'a>(&self, documents: impl Iterator<Item = &'a Document>) {
        let mut reads = self.lock();
        for document in documents {
            reads.tags.push(self.tag(&document.key));
            reads.expires |= document.expires_at.is_some();
        }
    }

    pub(crate) fn searched(&self) {
        self.lock().tags.push(Tag::search(&self.tenant));
    }

    pub(crate) fn suggested(&self) {
        self.lock().tags.push(Tag::suggest(&self.tenant));
    }

    /// The reads so far.
    pub(crate) fn take(&self) -> Reads {
        let mut reads = self.lock();
        Reads {
            tags: std::mem::take(&mut reads.tags),
            expires: reads.expires,
            labels: std::mem::replace(&mut reads.labels, Labels::new(self.tenant.clone())),
        }
    }
}

/// A document store whose commits purge the responses that depend on the changed documents.
pub(crate) struct PurgingDocuments {
    pub(crate) inner: Arc<dyn Documents>,
    pub(crate) cache: Arc<ResponseCache>,
}

#[async_trait]
impl Documents for PurgingDocuments {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        self.inner.get(keys, consistency).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.inner.query(query, consistency).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let unknown = UnknownOutcome {
            cache: &self.cache,
            tags: touched(&commit),
        };
        let result = self.inner.commit(commit).await;
        match &result {
            Ok(()) => unknown.committed(),
            Err(StoreError::Conflict(_) | StoreError::Refused(_)) => unknown.failed(),
            // The commit may have succeeded, or may still succeed.
            Err(StoreError::Unavailable(_) | StoreError::Corrupt(_)) => drop(unknown),
        }
        result
    }

    async fn scan(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        self.inner.scan(tenant, after).await
    }

    async fn erase(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<String>, StoreError> {
        self.inner.erase(tenant, after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// A commit whose outcome is not known yet. If its future is dropped, responses with its tags are not stored until the
/// commit must have succeeded or failed.
struct UnknownOutcome<'a> {
    cache: &'a ResponseCache,
    tags: Vec<Tag>,
}

impl UnknownOutcome<'_> {
    fn committed(mut self) {
        self.cache.purge(&std::mem::take(&mut self.tags));
    }

    fn failed(mut self) {
        self.tags.clear();
    }
}

impl Drop for UnknownOutcome<'_> {
    fn drop(&mut self) {
        if !self.tags.is_empty() {
            self.cache.distrust(&self.tags);
        }
    }
}

/// A search index whose changes purge the responses that depend on it.
pub(crate) struct PurgingSearch {
    inner: Arc<dyn Search>,
    cache: Arc<ResponseCache>,
    tenant: Tenant,
}

impl PurgingSearch {
    pub(super) fn new(inner: Arc<dyn Search>, cache: Arc<ResponseCache>, tenant: Tenant) -> Self {
        Self { inner, cache, tenant }
    }

    async fn change<T>(
        &self,
        tags: &[Tag],
        change: impl Future<Output = Result<T, SearchError>>,
    ) -> Result<T, SearchError> {
        let unknown = UnknownOutcome {
            cache: &self.cache,
            tags: tags.to_vec(),
        };
        let result = change.await;
        match &result {
            Ok(_) => unknown.committed(),
            Err(SearchError::BadPlace | SearchError::Superseded | SearchError::Busy) => unknown.failed(),
            Err(SearchError::Unavailable(_)) => drop(unknown),
        }
        result
    }
}

#[async_trait]
impl Search for PurgingSearch {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        self.inner.search(query).await
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        self.inner.suggest(typed, limit).await
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.change(&[Tag::suggest(&self.tenant)], self.inner.used(texts)).await
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        self.change(&Tag::all_of_index(&self.tenant), self.inner.apply(changes))
            .await
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        self.inner.begin().await
    }

    /// No query reads the generation that is being built, so nothing is purged.
    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.inner.fill(generation, listings).await
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        self.change(&Tag::all_of_index(&self.tenant), self.inner.finish(generation))
            .await?;
        if self.tenant.is_main() {
            self.cache.warm();
        }
        Ok(())
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        self.inner.state().await
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        let (inner, cache) = (self.inner.of(tenant), self.cache.clone());
        Arc::new(Self::new(inner, cache, tenant.clone()))
    }

    async fn erase(&self) -> Result<(), SearchError> {
        self.change(&Tag::all_of_index(&self.tenant), self.inner.erase()).await
    }

    fn is_needed(&self) -> bool {
        self.inner.is_needed()
    }
}
