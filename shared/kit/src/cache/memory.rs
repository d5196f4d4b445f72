//! The answers that this process keeps, bounded in bytes, and which of them bear which tag.
//!
//! A hit takes one shard's read lock and no other. What was read before a purge never enters after it: whoever makes an
//! answer remembers the moment when it began, and is refused if one of its tags was purged since.

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

/// How many purges are remembered; who began before those forgotten is refused.
const PURGES: usize = 1 << 16;
/// What an answer takes beside its body, in bytes, and each of its tags.
const ENTRY: usize = 2048;
const TAG: usize = 64;

/// An answer as it goes out, less what belongs to a request: its id and trace, and whether its page may read it.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) key: String,
    /// The path of its route, for the log.
    pub(crate) route: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) tags: Vec<Tag>,
    /// Milliseconds since 1970.
    pub(crate) made_at: i64,
    pub(crate) fresh_until: i64,
    pub(crate) stale_until: i64,
    /// Purged.
    pub(crate) dead: Arc<AtomicBool>,
    /// Somebody makes the next one.
    pub(crate) refreshing: AtomicBool,
}

impl Ready {
    pub(crate) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Acquire)
    }
}

pub(crate) struct Memory {
    ready: Cache<u64, Arc<Ready>, Bytewise, BuildHasherDefault<Same>>,
    /// So that nobody outside can tell which keys meet.
    seed: u64,
    /// How many purges there were.
    moment: AtomicU64,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    tagged: HashMap<Tag, Vec<Weak<AtomicBool>>>,
    /// How many marks are in `tagged`, and how many there were after the last tidying.
    marks: usize,
    tidied: usize,
    /// The last purges, and from which moment on they are all here.
    purged: HashMap<Tag, u64>,
    floor: u64,
    /// Until when (milliseconds since 1970) nothing with this tag may enter.
    doubted: HashMap<Tag, i64>,
}

impl Memory {
    /// Room for so many bytes.
    pub(crate) fn new(bytes: u64, seed: u64) -> Self {
        let items = usize::try_from(bytes / 4096).unwrap_or(1024).max(16);
        Self {
            ready: Cache::with(
                items,
                bytes,
                Bytewise,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            ),
            seed,
            moment: AtomicU64::new(0),
            index: Mutex::default(),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept for this key and was not purged.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Ready>> {
        let found = self.ready.get(&xxh3_64_with_seed(key.as_bytes(), self.seed))?;
        (found.key == key && found.is_alive()).then_some(found)
    }

    /// To be asked for before anything is read for an answer.
    pub(crate) fn moment(&self) -> u64 {
        self.moment.load(Ordering::Acquire)
    }

    /// Keeps an answer whose making began at the moment `since`. `false` if what it is made of has changed meanwhile.
    pub(crate) fn put(&self, ready: &Arc<Ready>, since: u64, now: i64) -> bool {
        let mut index = self.index();
        let fits = since >= index.floor
            && ready.tags.iter().all(|tag| {
                index.purged.get(tag).is_none_or(|purged| *purged <= since)
                    && index.doubted.get(tag).is_none_or(|until| *until <= now)
            });
        if !fits {
            return false;
        }
        for tag in &ready.tags {
            let mark = Arc::downgrade(&ready.dead);
            index.tagged.entry(*tag).or_default().push(mark);
        }
        index.marks += ready.tags.len();
        index.tidy();
        drop(index);
        // If it is purged just now it enters as one that is dead.
        let place = xxh3_64_with_seed(ready.key.as_bytes(), self.seed);
        self.ready.insert(place, ready.clone());
        true
    }

    /// Whatever bears one of these tags is never answered again.
    pub(crate) fn purge(&self, tags: &[Tag]) {
        let mut index = self.index();
        self.forget(&mut index, tags);
    }

    /// The same, and nothing with these tags may enter until then (milliseconds since 1970).
    pub(crate) fn doubt(&self, tags: &[Tag], now: i64, until: i64) {
        let mut index = self.index();
        self.forget(&mut index, tags);
        index.doubted.retain(|_, until| *until > now);
        index.doubted.extend(tags.iter().map(|tag| (*tag, until)));
    }

    fn forget(&self, index: &mut Index, tags: &[Tag]) {
        let moment = self.moment() + 1;
        if index.purged.len() + tags.len() > PURGES {
            index.purged.clear();
            index.floor = moment;
        }
        for tag in tags {
            index.purged.insert(*tag, moment);
            for mark in index.tagged.remove(tag).unwrap_or_default() {
                index.marks = index.marks.saturating_sub(1);
                if let Some(dead) = mark.upgrade() {
                    dead.store(true, Ordering::Release);
                }
            }
        }
        self.moment.store(moment, Ordering::Release);
    }
}

impl Index {
    /// Forgets the marks of answers that had to make room, each time there are twice as many as were left.
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

impl Weighter<u64, Arc<Ready>> for Bytewise {
    fn weight(&self, _: &u64, ready: &Arc<Ready>) -> u64 {
        let bytes = ENTRY + ready.key.len() + ready.body.len() + TAG * ready.tags.len();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// The keys are digests already.
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
