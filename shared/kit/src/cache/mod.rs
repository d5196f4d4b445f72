//! The cache in front of the router: what everyone sees alike is made once, and answered from memory until it changes.
//!
//! **What enters.** Answers of status 200 that are [shared](crate::Answer::shared), of routes that are
//! [cached](crate::Route::cached), to GET or HEAD without credential and without body. They are made from their [key](key)
//! alone: the handler gets no header and no address of the client. What belongs to a request (id, trace, CORS, 304) is
//! added on the way out, to hits and misses alike.
//!
//! **What leaves.** A commit purges, before it is acknowledged, all that was made of what it touches ([`tags`]). What was
//! read before a purge cannot enter after it ([`memory`]). A commit whose outcome is not known keeps what it touches out
//! until it must have happened or failed. So in one process no answer is older than the last acknowledged change. What
//! other processes change is seen when an answer gets old: after its route's `s_maxage` it is answered once more and made
//! anew behind that answer, after `stale` more seconds it is not answered. [`Caching`] can make both shorter.
//!
//! **Who waits.** Requests for a key that is being made wait for it ([`flights`]), where the host allows that one request
//! waits for another. Nothing here is durable: a process begins with nothing, and the [pages](TOP) that most come to see.

pub(crate) mod key;

mod flights;
mod labels;
mod memory;
mod tags;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::response::{IntoResponse as _, Response};
use souk_core::{Clock, Documents, Random, Search, random};

use crate::Platform;
use crate::answer::Shared;
use crate::finish::{self, Served, Way};
use crate::route::{Cache, Policy};
use flights::{Flights, Seat};
pub(crate) use labels::{LabelledDocuments, labelled};
use memory::Memory;
pub(crate) use memory::Ready;
use tags::{Tag, WatchedDocuments, WatchedSearch, recorded};

/// The pages that are made before anybody asks, at the start and when the search index was rebuilt.
const TOP: [&str; 6] = [
    "/v1/products",
    "/v1/products?include=category,vendor",
    "/v1/products?sort=popular",
    "/v1/products?sort=trending",
    "/v1/categories",
    "/v1/vendors",
];
/// How many answers wait at most to be made anew.
const ERRANDS: usize = 1000;
/// How long a commit can be under way that nobody waits for any more, in milliseconds: D1 gives up after 30 s.
const DOUBT: i64 = 60_000;

/// What a host can keep.
#[derive(Clone, Copy, Debug)]
pub struct Caching {
    /// How much memory, in bytes.
    pub bytes: u64,
    /// For how long at most an answer is fresh, and then stale, in milliseconds: where other instances write that do not
    /// tell this one. `None`: as long as its route says.
    pub at_most: Option<(i64, i64)>,
    /// Whether a request may wait for another. Not in a Worker, where it would wait for ever.
    pub collapse: bool,
}

/// In the extensions of a request whose answer may be kept: its key.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(pub(crate) Arc<str>);

/// Something to make in the background.
struct Errand {
    key: String,
    old: Option<Arc<Ready>>,
}

/// The cache of a process.
pub(crate) struct Cached {
    caching: Caching,
    clock: Arc<dyn Clock>,
    memory: Memory,
    flights: Flights,
    errands: Mutex<Vec<Errand>>,
}

impl Cached {
    pub(crate) fn new(caching: Caching, clock: Arc<dyn Clock>, source: &dyn Random) -> Self {
        let seed = u64::from_le_bytes(random::bytes(source));
        Self {
            caching,
            clock,
            memory: Memory::new(caching.bytes, seed),
            flights: Flights::default(),
            errands: Mutex::default(),
        }
    }

    /// The ports, watched.
    pub(crate) fn watch(
        self: &Arc<Self>,
        documents: Arc<dyn Documents>,
        search: Arc<dyn Search>,
    ) -> (Arc<dyn Documents>, Arc<dyn Search>) {
        let documents = WatchedDocuments {
            inner: documents,
            cache: self.clone(),
        };
        let search = WatchedSearch {
            inner: search,
            cache: self.clone(),
        };
        (Arc::new(documents), Arc::new(search))
    }

    /// What is kept for this key, at `now` (milliseconds since 1970). If it is stale, one errand makes it anew.
    pub(crate) fn find(&self, key: &str, now: i64) -> Option<(Arc<Ready>, Way)> {
        let ready = self.memory.get(key).filter(|ready| now < ready.stale_until)?;
        if now < ready.fresh_until {
            return Some((ready, Way::Hit));
        }
        if !ready.refreshing.swap(true, Ordering::AcqRel) && !self.send(ready.key.clone(), Some(ready.clone())) {
            ready.refreshing.store(false, Ordering::Release);
        }
        Some((ready, Way::Stale))
    }

    /// Lets `make` answer for this key, and keeps what it answers if it may be kept.
    pub(crate) async fn fill(
        &self,
        key: &str,
        policy: Policy,
        platform: &Platform,
        make: impl Future<Output = Response>,
    ) -> Response {
        let leader = match self.caching.collapse.then(|| self.flights.board(key)) {
            Some(Seat::Follower(flight)) => {
                if let Ok(ready) = flight.await
                    && ready.is_alive()
                {
                    return Served(ready, Way::Collapsed).into_response();
                }
                None
            }
            Some(Seat::Leader(leader)) => Some(leader),
            None => None,
        };
        let (since, now) = (self.memory.moment(), self.now());
        let (response, seen) = recorded(make).await;
        let Cache::Public { s_maxage, stale } = policy.cache else {
            return response;
        };
        if response.status() != http::StatusCode::OK || response.extensions().get::<Shared>().is_none() {
            return response;
        }
        let (parts, body) = response.into_parts();
        let (headers, body) = finish::ready(parts, body, policy.cache, platform).await;
        let mut tags = seen.tags;
        tags.sort_unstable();
        tags.dedup();
        let (fresh, stale) = (i64::from(s_maxage) * 1000, i64::from(stale) * 1000);
        let (fresh, stale) = match self.caching.at_most {
            Some(most) => (fresh.min(most.0), stale.min(most.1)),
            None => (fresh, stale),
        };
        let ready = Arc::new(Ready {
            key: key.to_owned(),
            route: policy.path,
            headers,
            body,
            tags,
            made_at: now,
            fresh_until: now.saturating_add(fresh),
            stale_until: now.saturating_add(fresh).saturating_add(stale),
            dead: Arc::default(),
            refreshing: false.into(),
        });
        if seen.ends || !self.memory.put(&ready, since, self.now()) {
            return Served(ready, Way::Passed).into_response();
        }
        if let Some(leader) = leader {
            leader.land(&ready);
        }
        Served(ready, Way::Stored).into_response()
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Lets nothing that was found be answered again.
    pub(crate) fn forget_searches(&self) {
        self.purge(&[Tag::SEARCH, Tag::SUGGEST]);
    }

    fn purge(&self, tags: &[Tag]) {
        self.memory.purge(tags);
    }

    fn doubt(&self, tags: &[Tag]) {
        let now = self.now();
        self.memory.doubt(tags, now, now.saturating_add(DOUBT));
    }

    fn errands(&self) -> MutexGuard<'_, Vec<Errand>> {
        self.errands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves something to be made; `false` if too much is.
    fn send(&self, key: String, old: Option<Arc<Ready>>) -> bool {
        let mut errands = self.errands();
        let fits = errands.len() < ERRANDS;
        if fits {
            errands.push(Errand { key, old });
        }
        fits
    }

    /// Has the pages made that most come to see.
    pub(crate) fn warm(&self) {
        for page in TOP {
            self.send(page.to_owned(), None);
        }
    }

    pub(crate) fn has_errands(&self) -> bool {
        !self.errands().is_empty()
    }

    /// Runs all errands; `make` is given each key.
    pub(crate) async fn run(&self, make: impl AsyncFn(&str)) {
        let errands = std::mem::take(&mut *self.errands());
        for errand in errands {
            let _done = Done(errand.old);
            make(&errand.key).await;
        }
    }
}

/// Lets the next one try, if this one did not bring a new answer.
struct Done(Option<Arc<Ready>>);

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(old) = &self.0 {
            old.refreshing.store(false, Ordering::Release);
        }
    }
}
