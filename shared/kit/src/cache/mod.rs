//! Caches. Responses that are the same for every client are served from memory until their content changes; documents
//! that many requests read are served from the key-value store.
//!
//! **Stored.** Responses with status 200 that are shared (see `http::Answer::shared`), of routes with a public cache
//! policy, to GET or HEAD requests without credentials and without a body. They depend on their `key` alone: the
//! handler gets no headers and no client address. Headers that depend on the request (id, trace, CORS) and the 304 are
//! added when the response is sent, to hits and misses in the same way.
//!
//! **Purged.** Before a commit is acknowledged, it purges every response that depends on what it changes (`tags`). A
//! response that was read before a purge cannot be stored after it (`memory`). While the outcome of a commit is
//! unknown, responses with its tags are not stored, until it must have succeeded or failed. So in one process no
//! response is older than the last acknowledged change, but for the total of a list or search (`counts`). Changes by other processes become visible when a response
//! expires: after the `s_maxage` of the route it is served stale and refreshed in the background
//! (stale-while-revalidate); after another `stale` seconds it is not served.
//!
//! **Collapsing.** Requests with the same key wait for the first one (`in_flight`), on hosts where one request may
//! wait for another. The cache is not durable: a new process starts empty and prefetches the paths that its functions
//! declare.

mod counts;
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
use souk_core::{Clock, Documents, Random, Search, Tenant, random};

pub(crate) use counts::{CountedSearch, LongLists};
pub use document_cache::DocumentCache;
use in_flight::{InFlight, Leader, Role};
pub(crate) use memory::CachedResponse;
use memory::Memory;
use tags::{PurgingDocuments, PurgingSearch, Tag};
pub(crate) use tags::{ReadLog, Reads};

/// How many refreshes may be queued.
const MAX_REFRESHES: usize = 1000;
/// How far the clock may be behind a response before that is not used, in milliseconds.
const MAX_SETBACK: i64 = 5_000;
/// How long a commit can still take effect after its future was dropped, in milliseconds: D1 times out after 30 s.
const COMMIT_TIMEOUT: i64 = 60_000;

/// The configuration of the response cache of a host.
#[derive(Clone, Copy, Debug)]
pub struct MemoryCacheConfig {
    /// The maximum memory, in bytes.
    pub bytes: u64,
    /// Upper limits for how long a response is fresh and then stale, in milliseconds, for hosts with other instances
    /// whose writes do not purge this cache. `None`: the limits of the route apply.
    pub at_most: Option<(i64, i64)>,
    /// Whether a request may wait for another. `false` in a Worker, where it would wait forever.
    pub collapse: bool,
}

/// How the cache handled a request, for `Cache-Status` (RFC 9211) and `Server-Timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheStatus {
    /// Served from memory, fresh.
    Hit,
    /// Served from memory, stale; a refresh is queued.
    Stale,
    /// A miss; the response was stored.
    Stored,
    /// A miss that was collapsed with another request.
    Collapsed,
    /// A miss; the response was not stored, because its content has changed meanwhile or expires on its own.
    Miss,
    /// The cache was not used.
    Bypass,
}

/// A response to renew in the background.
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
    /// The paths to prefetch at start-up and after a rebuild of the search index.
    warm: Vec<&'static str>,
}

/// What a request does after a miss.
pub(crate) enum Joined<'a> {
    /// Use the response of another request.
    Ready(Arc<CachedResponse>),
    /// Process the request.
    Make(Making<'a>),
}

/// A request that is being processed after a miss.
pub(crate) struct Making<'a> {
    cache: &'a ResponseCache,
    leader: Option<Leader<'a>>,
    since: u64,
    began: i64,
}

/// How many seconds a response is fresh, and how many seconds after that it may be served stale.
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

    /// Wraps the ports so that their changes purge this cache.
    pub(crate) fn purged_by(
        self: &Arc<Self>,
        documents: Arc<dyn Documents>,
        search: Arc<dyn Search>,
    ) -> (Arc<dyn Documents>, Arc<dyn Search>) {
        let search = PurgingSearch::new(search, self.clone(), Tenant::main());
        (self.purging(documents), Arc::new(search))
    }

    /// A document store whose changes purge the responses that they affect.
    pub(crate) fn purging(self: &Arc<Self>, documents: Arc<dyn Documents>) -> Arc<dyn Documents> {
        Arc::new(PurgingDocuments {
            inner: documents,
            cache: self.clone(),
        })
    }

    /// The cached response for this key at `now` (milliseconds since 1970). If it is stale, a refresh is queued.
    pub(crate) fn find(&self, key: &str, now: i64) -> Option<(Arc<CachedResponse>, CacheStatus)> {
        let response = self.memory.get(key).filter(|response| now < response.stale_until)?;
        // The clock has been set back: nobody knows how old it is.
        if now.saturating_add(MAX_SETBACK) < response.made_at {
            return None;
        }
        if now < response.fresh_until {
            return Some((response, CacheStatus::Hit));
        }
        let is_first = !response.refreshing.swap(true, Ordering::AcqRel);
        if is_first && !self.refresh(response.key.clone(), Some(response.clone())) {
            response.refreshing.store(false, Ordering::Release);
        }
        Some((response, CacheStatus::Stale))
    }

    /// Waits for a request in flight with the same key, or becomes the leader of this key.
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

    /// Purges all responses that depend on the search index of a tenant.
    pub(crate) fn forget_searches(&self, tenant: &Tenant) {
        self.purge(&Tag::all_of_index(tenant));
    }

    /// Purges all responses.
    pub(crate) fn forget_all(&self) {
        self.memory.clear();
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

    /// Queues a refresh; `false` if the queue is full.
    fn refresh(&self, key: String, old: Option<Arc<CachedResponse>>) -> bool {
        let mut refreshes = self.refreshes();
        let fits = refreshes.len() < MAX_REFRESHES;
        if fits {
            refreshes.push(Refresh { key, old });
        }
        fits
    }

    /// Queues the paths to prefetch.
    pub(crate) fn warm(&self) {
        for page in &self.warm {
            self.refresh((*page).to_owned(), None);
        }
    }

    pub(crate) fn has_refreshes(&self) -> bool {
        !self.refreshes().is_empty()
    }

    /// Runs all queued refreshes; `make` processes the request of a key.
    pub(crate) async fn run_refreshes(&self, make: impl AsyncFn(&str)) {
        let refreshes = std::mem::take(&mut *self.refreshes());
        for refresh in refreshes {
            let _done = RefreshDone(refresh.old);
            make(&refresh.key).await;
        }
    }
}

impl Making<'_> {
    /// Stores the response, unless something that it depends on has changed since its reads began.
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

/// Allows another refresh of the old response when this one ends without a new response.
struct RefreshDone(Option<Arc<CachedResponse>>);

impl Drop for RefreshDone {
    fn drop(&mut self) {
        if let Some(old) = &self.0 {
            old.refreshing.store(false, Ordering::Release);
        }
    }
}
