//! The cached responses of this process, bounded in bytes, and an index from tags to responses.
//!
//! A hit takes the read lock of one shard and no other lock. A response that was read before a purge cannot be stored
//! after it: the number of the latest purge is noted before the reads, and the response is refused if one of its tags
//! has been purged since.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use http::HeaderMap;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::tags::Tag;

/// How many purged tags are remembered. A response whose reads began before the oldest of these purges is refused.
const PURGES: usize = 1 << 16;
/// The memory for a response beside its body, and for each of its tags, in bytes.
const ENTRY: usize = 2048;
const TAG: usize = 64;

/// A response without the headers that depend on the request: request id, trace, CORS.
#[derive(Debug)]
pub(crate) struct CachedResponse {
    pub(crate) key: String,
    /// The path pattern of its route, for the log.
    pub(crate) route: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) tags: Vec<Tag>,
    /// Milliseconds since 1970.
    pub(crate) made_at: i64,
    pub(crate) fresh_until: i64,
    pub(crate) stale_until: i64,
    /// Whether the response was purged.
    pub(crate) is_purged: Arc<AtomicBool>,
    /// Whether a refresh is queued or running.
    pub(crate) refreshing: AtomicBool,
}

impl CachedResponse {
    pub(crate) fn is_alive(&self) -> bool {
        !self.is_purged.load(Ordering::Acquire)
    }
}

pub(crate) struct Memory {
    responses: Cache<u64, Arc<CachedResponse>, Bytewise, BuildHasherDefault<Same>>,
    /// A random hash seed, so that clients cannot construct colliding keys.
    seed: u64,
    /// The number of purges so far.
    purges: AtomicU64,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    tagged: HashMap<Tag, Vec<Weak<AtomicBool>>>,
    /// The number of entries in `tagged`, now and after the last clean-up.
    marks: usize,
    tidied: usize,
    /// The number of the latest purge of each tag; complete from purge `floor` on.
    purged: HashMap<Tag, u64>,
    floor: u64,
    /// Until when (milliseconds since 1970) responses with this tag are not stored.
    distrusted: HashMap<Tag, i64>,
}

impl Memory {
    /// A cache of at most this many bytes.
    pub(crate) fn new(bytes: u64, seed: u64) -> Self {
        let items = usize::try_from(bytes / 4096).unwrap_or(1024).max(16);
        Self {
            responses: Cache::with(
                items,
                bytes,
                Bytewise,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            ),
            seed,
            purges: AtomicU64::new(0),
            index: Mutex::default(),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response for this key, unless it was purged.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<CachedResponse>> {
        let found = self.responses.get(&xxh3_64_with_seed(key.as_bytes(), self.seed))?;
        (found.key == key && found.is_alive()).then_some(found)
    }

    /// The number of the latest purge. Read it before the first read for a response.
    pub(crate) fn last_purge(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// Stores a response whose reads began after purge number `since`. `false` if one of its tags has been purged
    /// since.
    pub(crate) fn put(&self, response: &Arc<CachedResponse>, since: u64, now: i64) -> bool {
        let mut index = self.index();
        let fits = since >= index.floor
            && response.tags.iter().all(|tag| {
                index.purged.get(tag).is_none_or(|purged| *purged <= since)
                    && index.distrusted.get(tag).is_none_or(|until| *until <= now)
            });
        if !fits {
            return false;
        }
        for tag in &response.tags {
            let mark = Arc::downgrade(&response.is_purged);
            index.tagged.entry(*tag).or_default().push(mark);
        }
        index.marks += response.tags.len();
        index.tidy();
        drop(index);
        // A purge between the two locks has set `is_purged` of this response, so it is stored but never served.
        let place = xxh3_64_with_seed(response.key.as_bytes(), self.seed);
        self.responses.insert(place, response.clone());
        true
    }

    /// Purges all responses with one of these tags.
    pub(crate) fn purge(&self, tags: &[Tag]) {
        let mut index = self.index();
        self.forget(&mut index, tags);
    }

    /// Purges all responses.
    pub(crate) fn clear(&self) {
        let mut index = self.index();
        let purge = self.last_purge() + 1;
        index.purged.clear();
        index.floor = purge;
        index.marks = 0;
        let marks = std::mem::take(&mut index.tagged).into_values().flatten();
        for dead in marks.filter_map(|mark| mark.upgrade()) {
            dead.store(true, Ordering::Release);
        }
        self.purges.store(purge, Ordering::Release);
        drop(index);
        self.responses.clear();
    }

    /// Purges these tags, and refuses responses with them until `until` (milliseconds since 1970).
    pub(crate) fn distrust(&self, tags: &[Tag], now: i64, until: i64) {
        let mut index = self.index();
        self.forget(&mut index, tags);
        // After a clock that ran ahead, what is longer than this one is over.
        index.distrusted.retain(|_, other| (now..=until).contains(other));
        index.distrusted.extend(tags.iter().map(|tag| (*tag, until)));
    }

    fn forget(&self, index: &mut Index, tags: &[Tag]) {
        let purge = self.last_purge() + 1;
        if index.purged.len() + tags.len() > PURGES {
            index.purged.clear();
            index.floor = purge;
        }
        for tag in tags {
            index.purged.insert(*tag, purge);
            for mark in index.tagged.remove(tag).unwrap_or_default() {
                index.marks = index.marks.saturating_sub(1);
                if let Some(dead) = mark.upgrade() {
                    dead.store(true, Ordering::Release);
                }
            }
        }
        self.purges.store(purge, Ordering::Release);
    }
}

impl Index {
    /// Removes the entries of evicted responses whenever the number of entries has doubled since the last clean-up.
    fn tidy(&mut self) {
        if self.marks < 1024.max(2 * self.tidied) {
            return;
        }
        self.tagged.retain(|_, marks| {
            marks.retain(|mark| mark.strong_count() > 0);
            !marks.is_empty()
        });
        self.marks = self.tagged.values().map(Vec::len).sum();
        self.tidied = self.marks;
    }
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<u64, Arc<CachedResponse>> for Bytewise {
    fn weight(&self, _: &u64, response: &Arc<CachedResponse>) -> u64 {
        let bytes = ENTRY + response.key.len() + response.body.len() + TAG * response.tags.len();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// An identity hasher: the keys are already digests.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(key: &str) -> Arc<CachedResponse> {
        Arc::new(CachedResponse {
            key: key.to_owned(),
            route: "/",
            headers: HeaderMap::new(),
            body: Bytes::new(),
            tags: Vec::new(),
            made_at: 0,
            fresh_until: 1,
            stale_until: 1,
            is_purged: Arc::default(),
            refreshing: AtomicBool::new(false),
        })
    }

    #[test]
    fn what_was_read_before_all_was_purged_is_not_stored() {
        let memory = Memory::new(1 << 20, 7);
        let since = memory.last_purge();
        assert!(memory.put(&response("/a"), since, 0) && memory.get("/a").is_some());
        memory.clear();
        assert!(memory.get("/a").is_none());
        assert!(!memory.put(&response("/b"), since, 0) && memory.get("/b").is_none());
        assert!(memory.put(&response("/c"), memory.last_purge(), 0) && memory.get("/c").is_some());
    }
}
