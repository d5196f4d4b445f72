//! Tags name what an answer was made of, and are found by themselves: while a handler runs, all that it reads through the
//! ports is noted, also what was not there; and every commit says by its changes what it touches. Nobody has to think of
//! either.
//!
//! A tag is a digest. Two things of one tag would only make an answer go that could have stayed.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use souk_core::documents::Source;
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery};
use souk_core::{Change, Commit, Document, Documents, Key, Page, Query, StoreError};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Cached;
use super::labels::Labels;

/// Something that an answer can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag(pub(crate) u64);

impl Tag {
    /// What the search index finds.
    pub(super) const SEARCH: Tag = Tag(1);
    /// What it completes.
    pub(super) const SUGGEST: Tag = Tag(2);

    fn key(key: &Key) -> Self {
        Self(xxh3_64_with_seed(
            key.sk.as_bytes(),
            xxh3_64_with_seed(key.pk.as_bytes(), 3),
        ))
    }

    fn partition(name: &str) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), 4))
    }

    fn index(name: &str) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), 5))
    }
}

/// What a commit touches.
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
        tags.extend([Tag::key(key), Tag::partition(&key.pk)]);
        tags.extend(entries.iter().chain(stale).map(|entry| Tag::index(&entry.index)));
    }
    tags
}

/// What was read on the way to an answer.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tags: Vec<Tag>,
    /// Something was read that ends by itself, without a commit that says so.
    pub(crate) ends: bool,
    /// The same for caches in front of us, where they are told what changes.
    pub(super) labels: Labels,
}

impl Seen {
    fn document(&mut self, document: &Document) {
        self.tags.push(Tag::key(&document.key));
        self.ends |= document.expires_at.is_some();
    }
}

thread_local! {
    /// What notes at this moment, while a [`recorded`] task is being polled.
    static NOTING: Cell<Option<Seen>> = const { Cell::new(None) };
}

pub(super) fn note(look: impl FnOnce(&mut Seen)) {
    NOTING.with(|noting| {
        if let Some(mut seen) = noting.take() {
            look(&mut seen);
            noting.set(Some(seen));
        }
    });
}

/// Lends what was noted so far to the thread, for one poll; also one that panics.
struct Turn<'a> {
    own: &'a mut Option<Seen>,
    others: Option<Seen>,
}

impl<'a> Turn<'a> {
    fn begin(own: &'a mut Option<Seen>) -> Self {
        let others = NOTING.replace(own.take());
        Self { own, others }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.own = NOTING.replace(self.others.take());
    }
}

/// Runs a task and says what it read. What it leaves to other tasks is not seen.
pub(crate) async fn recorded<T>(task: impl Future<Output = T>) -> (T, Seen) {
    let mut task = pin!(task);
    let mut seen = Some(Seen::default());
    let output = std::future::poll_fn(|context| {
        let _turn = Turn::begin(&mut seen);
        task.as_mut().poll(context)
    })
    .await;
    (output, seen.unwrap_or_default())
}

/// The documents, watched: reads are noted, commits purge.
pub(crate) struct WatchedDocuments {
    pub(crate) inner: Arc<dyn Documents>,
    pub(crate) cache: Arc<Cached>,
}

#[async_trait]
impl Documents for WatchedDocuments {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Document>>, StoreError> {
        note(|seen| seen.tags.extend(keys.iter().map(Tag::key)));
        let found = self.inner.get(keys).await?;
        note(|seen| seen.ends |= found.iter().flatten().any(|document| document.expires_at.is_some()));
        Ok(found)
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        note(|seen| {
            seen.tags.push(match &query.source {
                Source::Partition(name) => Tag::partition(name),
                Source::Index(name) => Tag::index(name),
            });
        });
        let page = self.inner.query(query).await?;
        note(|seen| page.items.iter().for_each(|item| seen.document(&item.document)));
        Ok(page)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let doubt = Doubt {
            cache: &self.cache,
            tags: touched(&commit),
        };
        let result = self.inner.commit(commit).await;
        match &result {
            Ok(()) => doubt.settle(|cache, tags| cache.purge(&tags)),
            Err(StoreError::Conflict(_) | StoreError::Refused(_)) => doubt.settle(|_, _| {}),
            // It may have happened, or do so yet.
            Err(StoreError::Unavailable(_) | StoreError::Corrupt(_)) => drop(doubt),
        }
        result
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// A change whose outcome is not known. If it is never told, because nobody waits for it any more, what it touches is
/// kept out of the cache until it must have happened or failed.
struct Doubt<'a> {
    cache: &'a Cached,
    tags: Vec<Tag>,
}

impl Doubt<'_> {
    fn settle(mut self, outcome: impl FnOnce(&Cached, Vec<Tag>)) {
        outcome(self.cache, std::mem::take(&mut self.tags));
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.tags.is_empty() {
            self.cache.doubt(&self.tags);
        }
    }
}

/// The search index, watched likewise.
pub(crate) struct WatchedSearch {
    pub(crate) inner: Arc<dyn Search>,
    pub(crate) cache: Arc<Cached>,
}

impl WatchedSearch {
    async fn change<T>(
        &self,
        tags: &[Tag],
        change: impl Future<Output = Result<T, SearchError>>,
    ) -> Result<T, SearchError> {
        let doubt = Doubt {
            cache: &self.cache,
            tags: tags.to_vec(),
        };
        let result = change.await;
        match &result {
            Ok(_) => doubt.settle(|cache, tags| cache.purge(&tags)),
            Err(SearchError::BadPlace | SearchError::Superseded) => doubt.settle(|_, _| {}),
            Err(SearchError::Unavailable(_)) => drop(doubt),
        }
        result
    }
}

#[async_trait]
impl Search for WatchedSearch {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        note(|seen| seen.tags.push(Tag::SEARCH));
        self.inner.search(query).await
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError> {
        note(|seen| seen.tags.push(Tag::SUGGEST));
        self.inner.suggest(typed, limit).await
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.change(&[Tag::SUGGEST], self.inner.used(texts)).await
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        let both = [Tag::SEARCH, Tag::SUGGEST];
        self.change(&both, self.inner.apply(changes)).await
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        self.inner.begin().await
    }

    /// Nobody sees what is being built.
    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.inner.fill(generation, listings).await
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        let both = [Tag::SEARCH, Tag::SUGGEST];
        self.change(&both, self.inner.finish(generation)).await?;
        self.cache.warm();
        Ok(())
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        self.inner.state().await
    }
}
