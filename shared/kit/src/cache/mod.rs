//! Responses that everyone sees alike are made once and served from memory until something changes; documents that are read
//! everywhere are served from the key-value store.
//!
//! **What enters.** Responses of status 200 that are shared (see `http::Answer::shared`), of routes that are cached, to GET
//! or HEAD without credentials and without a body. They are made from their [key](key) alone: the handler sees no header and
//! no address of the client. What belongs to a request (id, trace, CORS, 304) is added on the way out, to hits and misses
//! alike.
//!
//! **What leaves.** A commit purges, before it is acknowledged, every response that was made of what it changes ([`tags`]).
//! What was read before a purge cannot enter after it ([`memory`]). A commit whose outcome is not known keeps responses of
//! what it touches out until it must have happened or failed. So in one process no response is older than the last
//! acknowledged change. What other processes change becomes visible when a response gets old: after the route's `s_maxage` it
//! is served once more and refreshed behind that (stale-while-revalidate); after `stale` more seconds it is not served.
//!
//! **Who waits.** Requests for a key that is being made wait for it ([`in_flight`]), where the host allows that one request
//! waits for another. Nothing here is durable: a process begins with nothing, and the pages that its functions want warm.

mod document_cache;
mod in_flight;
pub(crate) mod key;
mod labels;
mod memory;
mod tags;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use souk_core::{Clock, Documents, Random, Search, random};

pub use document_cache::DocumentCache;
use in_flight::{InFlight, Leader, Role};
pub(crate) use memory::CachedResponse;
use memory::Memory;
use tags::{PurgingDocuments, PurgingSearch, Tag};
pub(crate) use tags::{ReadLog, Reads};

/// How many refreshes wait at most.
const MAX_REFRESHES: usize = 1000;
/// How long a commit can be under way after its future was dropped, in milliseconds: D1 gives up after 30 s.
const COMMIT_TIMEOUT: i64 = 60_000;

/// What a host can keep in memory.
#[derive(Clone, Copy, Debug)]
pub struct MemoryCacheConfig {
    /// How much memory, in bytes.
    pub bytes: u64,
    /// For how many milliseconds at most a response is fresh, and then stale, where other instances write that do not tell
    /// this one. `None`: as long as its route says.
    pub at_most: Option<(i64, i64)>,
    /// Whether a request may wait for another. Not in a Worker, where it would wait for ever.
    pub collapse: bool,
}

/// How a response came about, for `Cache-Status` (RFC 9211) and `Server-Timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheStatus {
    /// It was in memory, and fresh.
    Hit,
    /// It was in memory, and is being refreshed.
    Stale,
    /// It was made, and kept.
    Stored,
    /// It was made for another request at the same time.
    Collapsed,
    /// It was made and not kept, since something changed meanwhile or expires by itself.
    Miss,
    /// The cache has no part in it.
    Bypass,
}

/// A response to be made in the background.
struct Refresh {
    key: String,
    old: Option<Arc<CachedResponse>>,
}

/// The response cache of a process.
pub(crate) struct ResponseCache {
    config: MemoryCacheConfig,
    clock: Arc<dyn Clock>,
    memory: Memory,
    in_flight: InFlight,
    refreshes: Mutex<Vec<Refresh>>,
    /// The pages that are made before anybody requests them, at the start and when the search index was rebuilt.
    warm: Vec<&'static str>,
}

/// How a request for a key that is not in memory goes on.
pub(crate) enum Joined<'a> {
    /// Another request has made it.
    Ready(Arc<CachedResponse>),
    /// This one makes it.
    Make(Making<'a>),
}

/// A response that is being made.
pub(crate) struct Making<'a> {
    cache: &'a ResponseCache,
    leader: Option<Leader<'a>>,
    since: u64,
    began: i64,
}

/// For how many seconds a response is fresh, and then stale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub(crate) fresh: u32,
    pub(crate) stale: u32,
}

impl ResponseCache {
    pub(crate) fn new(
        config: MemoryCacheConfig,
        clock: Arc<dyn Clock>,
        source: &dyn Random,
        warm: Vec<&'static str>,
    ) -> Arc<Self> {
        let seed = u64::from_le_bytes(random::bytes(source));
        Arc::new(Self {
            config,
            clock,
            memory: Memory::new(config.bytes, seed),
            in_flight: InFlight::default(),
            refreshes: Mutex::default(),
            warm,
        })
    }

    /// Ports whose changes purge this cache.
    pub(crate) fn purged_by(
        self: &Arc<Self>,
        documents: Arc<dyn Documents>,
        search: Arc<dyn Search>,
    ) -> (Arc<dyn Documents>, Arc<dyn Search>) {
        let documents = PurgingDocuments {
            inner: documents,
            cache: self.clone(),
        };
        let search = PurgingSearch {
            inner: search,
            cache: self.clone(),
        };
        (Arc::new(documents), Arc::new(search))
    }

    /// The response that is kept for this key at `now` (milliseconds since 1970). If it is stale, it will be refreshed.
    pub(crate) fn find(&self, key: &str, now: i64) -> Option<(Arc<CachedResponse>, CacheStatus)> {
        let response = self.memory.get(key).filter(|response| now < response.stale_until)?;
        if now < response.fresh_until {
            return Some((response, CacheStatus::Hit));
        }
        let is_first = !response.refreshing.swap(true, Ordering::AcqRel);
        if is_first && !self.refresh(response.key.clone(), Some(response.clone())) {
            response.refreshing.store(false, Ordering::Release);
        }
        Some((response, CacheStatus::Stale))
    }

    /// Waits for the request that makes this response, or becomes that request.
    pub(crate) async fn join(&self, key: &str) -> Joined<'_> {
        let leader = match self.config.collapse.then(|| self.in_flight.join(key)) {
            Some(Role::Follower(waiting)) => match waiting.await {
                Ok(response) if response.is_alive() => return Joined::Ready(response),
                _ => None,
            },
            Some(Role::Leader(leader)) => Some(leader),
            None => None,
        };
        Joined::Make(Making {
            cache: self,
            leader,
            since: self.memory.last_purge(),
            began: self.now(),
        })
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Serves nothing again that was found in the search index.
    pub(crate) fn forget_searches(&self) {
        self.purge(&Tag::INDEX);
    }

    fn purge(&self, tags: &[Tag]) {
        self.memory.purge(tags);
    }

    fn distrust(&self, tags: &[Tag]) {
        let now = self.now();
        self.memory.distrust(tags, now, now.saturating_add(COMMIT_TIMEOUT));
    }

    fn refreshes(&self) -> MutexGuard<'_, Vec<Refresh>> {
        self.refreshes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a refresh; `false` if too many wait.
    fn refresh(&self, key: String, old: Option<Arc<CachedResponse>>) -> bool {
        let mut refreshes = self.refreshes();
        let fits = refreshes.len() < MAX_REFRESHES;
        if fits {
            refreshes.push(Refresh { key, old });
        }
        fits
    }

    /// Queues the pages that are to be warm.
    pub(crate) fn warm(&self) {
        for page in &self.warm {
            self.refresh((*page).to_owned(), None);
        }
    }

    pub(crate) fn has_refreshes(&self) -> bool {
        !self.refreshes().is_empty()
    }

    /// Runs all refreshes; `make` makes the response for each key.
    pub(crate) async fn run_refreshes(&self, make: impl AsyncFn(&str)) {
        let refreshes = std::mem::take(&mut *self.refreshes());
        for refresh in refreshes {
            let _done = RefreshDone(refresh.old);
            make(&refresh.key).await;
        }
    }
}

impl Making<'_> {
    /// Keeps a response that was made of these reads, if nothing of them has changed meanwhile.
    pub(crate) fn keep(
        self,
        key: &str,
        route: &'static str,
        (headers, body): (HeaderMap, Bytes),
        reads: Reads,
        lifetime: Lifetime,
    ) -> (Arc<CachedResponse>, CacheStatus) {
        let Self {
            cache,
            leader,
            since,
            began,
        } = self;
        let mut tags = reads.tags;
        tags.sort_unstable();
        tags.dedup();
        let (fresh, stale) = (i64::from(lifetime.fresh) * 1000, i64::from(lifetime.stale) * 1000);
        let (fresh, stale) = match cache.config.at_most {
            Some(most) => (fresh.min(most.0), stale.min(most.1)),
            None => (fresh, stale),
        };
        let response = Arc::new(CachedResponse {
            key: key.to_owned(),
            route,
            headers,
            body,
            tags,
            made_at: began,
            fresh_until: began.saturating_add(fresh),
            stale_until: began.saturating_add(fresh).saturating_add(stale),
            is_purged: Arc::default(),
            refreshing: AtomicBool::new(false),
        });
        if reads.expires || !cache.memory.put(&response, since, cache.now()) {
            return (response, CacheStatus::Miss);
        }
        if let Some(leader) = leader {
            leader.complete(&response);
        }
        (response, CacheStatus::Stored)
    }
}

/// Allows the next refresh, if this one did not bring a new response.
struct RefreshDone(Option<Arc<CachedResponse>>);

impl Drop for RefreshDone {
    fn drop(&mut self) {
        if let Some(old) = &self.0 {
            old.refreshing.store(false, Ordering::Release);
        }
    }
}
