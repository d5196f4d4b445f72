//! The totals of lists and searches, remembered for a while: to count costs as much as to read the first page, or more.
//!
//! What has more items than are counted is known for a minute to have them. A shorter list of documents is counted each
//! time. The index of searches follows the documents within seconds anyway, so the total of another search is remembered
//! for seconds, or until this instance changes the index.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use souk_core::documents::Source;
use souk_core::search::{
    IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery, Sort, Suggestion,
};
use souk_core::{Clock, Query, Tenant, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// For how many milliseconds it is known that there are more items than are counted.
const LONG: i64 = 60_000;
/// For how many milliseconds another total of a search is known.
const SHORT: i64 = 5_000;
/// How many totals are known at most.
const MAX_KNOWN: usize = 1_000;

/// Something that was counted.
#[derive(Clone, Copy)]
struct Count {
    total: usize,
    /// Whether there may be more.
    is_long: bool,
    at: Timestamp,
}

impl Count {
    /// Whether it still holds. A time in the future was an error of the clock.
    fn holds(&self, now: Timestamp) -> bool {
        let age = now.as_millisecond().saturating_sub(self.at.as_millisecond());
        (0..if self.is_long { LONG } else { SHORT }).contains(&age)
    }
}

/// Totals by what was counted.
struct Counts<K>(Mutex<HashMap<K, Count>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Counts<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of this, counted at least as far as `most`.
    fn known(&self, of: &K, most: usize, now: Timestamp) -> Option<usize> {
        let count = self.lock().get(of).copied().filter(|count| count.holds(now))?;
        (!count.is_long || count.total >= most).then_some(count.total.min(most))
    }

    /// Remembers what was counted as far as `most`, if it is still current.
    fn add(&self, of: K, total: usize, most: usize, now: Timestamp, is_current: impl Fn() -> bool) {
        let mut counts = self.lock();
        if !is_current() {
            return;
        }
        if counts.len() >= MAX_KNOWN {
            counts.retain(|_, count| count.holds(now));
        }
        if counts.len() < MAX_KNOWN {
            let is_long = total >= most;
            counts.insert(
                of,
                Count {
                    total,
                    is_long,
                    at: now,
                },
            );
        }
    }
}

/// The lists that have more items than are counted, by index and prefix.
#[derive(Default)]
pub(crate) struct LongLists(Counts<(String, String)>);

impl LongLists {
    fn name(query: &Query) -> (String, String) {
        let (Source::Index(name) | Source::Partition(name)) = &query.source;
        (name.clone(), query.prefix.clone())
    }

    /// Whether the list has as many items as the query counts.
    pub(crate) fn have(&self, query: &Query, now: Timestamp) -> bool {
        self.0.known(&Self::name(query), query.count, now).is_some()
    }

    /// Remembers that the list has as many items as the query counts.
    pub(crate) fn add(&self, query: &Query, now: Timestamp) {
        self.0.add(Self::name(query), query.count, query.count, now, || true);
    }
}

/// A search index that remembers how many listings match.
pub(crate) struct CountedSearch {
    index: Arc<dyn Search>,
    clock: Arc<dyn Clock>,
    counts: Counts<u64>,
    /// How often this instance has changed the index. Changes while `counts` is locked.
    changes: AtomicU64,
}

/// A digest of what determines the number of matches.
fn digest(query: &SearchQuery) -> u64 {
    let same = SearchQuery {
        sort: Sort::default(),
        limit: 0,
        count: 0,
        facets: Vec::new(),
        ..query.clone()
    };
    xxh3_64(&serde_json::to_vec(&same).unwrap_or_default())
}

impl CountedSearch {
    pub(crate) fn new(index: Arc<dyn Search>, clock: Arc<dyn Clock>) -> Self {
        Self {
            index,
            clock,
            counts: Counts::default(),
            changes: AtomicU64::default(),
        }
    }

    fn forget(&self) {
        let mut counts = self.counts.lock();
        self.changes.fetch_add(1, Ordering::Relaxed);
        counts.retain(|_, count| count.is_long);
    }
}

#[async_trait]
impl Search for CountedSearch {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        if query.count == 0 || query.after.is_some() {
            return self.index.search(query).await;
        }
        let (of, now) = (digest(query), self.clock.now());
        if let Some(total) = self.counts.known(&of, query.count, now) {
            let uncounted = SearchQuery {
                count: 0,
                ..query.clone()
            };
            let mut page = self.index.search(&uncounted).await?;
            let shown = page.hits.len();
            // If as many are shown and there are more, the total is too old.
            if page.next.is_none() || shown < total {
                page.total = Some(match page.next {
                    Some(_) => total,
                    None => shown.min(query.count),
                });
                return Ok(page);
            }
        }
        let before = self.changes.load(Ordering::Relaxed);
        let page = self.index.search(query).await?;
        // A page that is the whole list needs no count, and what has changed meanwhile may not be counted.
        if let Some(total) = page.total.filter(|_| page.next.is_some()) {
            let is_current = || self.changes.load(Ordering::Relaxed) == before;
            self.counts.add(of, total, query.count, now, is_current);
        }
        Ok(page)
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        self.index.suggest(typed, limit).await
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.index.used(texts).await
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        let result = self.index.apply(changes).await;
        self.forget();
        result
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        self.index.begin().await
    }

    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.index.fill(generation, listings).await
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        let result = self.index.finish(generation).await;
        self.forget();
        result
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        self.index.state().await
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        Arc::new(Self::new(self.index.of(tenant), self.clock.clone()))
    }

    async fn erase(&self) -> Result<(), SearchError> {
        let result = self.index.erase().await;
        self.forget();
        result
    }

    fn is_needed(&self) -> bool {
        self.index.is_needed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_long_list_is_known_for_a_minute_as_far_as_it_was_counted() {
        let query = |index: &str, count| Query {
            count,
            ..Query::index(index, 20)
        };
        let lists = LongLists::default();
        lists.add(&query("letters", 100), at(1_000));
        for (index, count, second, known) in [
            ("letters", 100, 1_000, true),
            ("letters", 41, 1_059, true),
            ("letters", 101, 1_000, false),
            ("letters", 100, 1_060, false),
            ("letters", 100, 999, false),
            ("numbers", 100, 1_000, false),
        ] {
            let have = lists.have(&query(index, count), at(second));
            assert_eq!(have, known, "{index} {count} {second}");
        }
    }

    #[test]
    fn other_totals_are_known_for_seconds_and_few_in_all() {
        let counts = Counts::default();
        counts.add(1, 7, 100, at(1_000), || true);
        counts.add(2, 7, 100, at(1_000), || false);
        assert_eq!(counts.known(&2, 100, at(1_000)), None);
        let known = [(100, 1_000), (5, 1_000), (1_000, 1_004), (100, 1_005), (100, 999)];
        let known = known.map(|(most, second)| counts.known(&1, most, at(second)));
        assert_eq!(known, [Some(7), Some(5), Some(7), None, None]);
        for n in 0..2 * MAX_KNOWN {
            counts.add(n, 7, 100, at(1_001), || true);
        }
        assert_eq!(counts.lock().len(), MAX_KNOWN);
        counts.add(MAX_KNOWN * 3, 7, 100, at(1_100), || true);
        assert_eq!(counts.lock().len(), 1);
    }
}
