//! A market in this process: SQLite, a queue in the test's hands, and an index that is as simple as it can be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::{Backlog, Delivery, Outcome, QueueError};
use souk_core::search::{
    FORMAT, FacetCounts, Hit, IndexChange, IndexState, Listing, SearchError, SearchPage, SearchQuery, Suggestion,
    SuggestionKind, words,
};
use souk_core::{
    Change, Clock, Commit, Consistency, Document, Documents, Entry, Key, Lane, Message, Outbound, Page, Principal,
    Query, Queue, Random, Search, StoreError, Tenant, Timestamp,
};
use souk_kit::{App, Context, Keys, PasswordCost, Platform, Ports, Principals, Registry, Settings};
use souk_model::catalog::{CATEGORY, category};
use souk_model::vendors::VENDOR;
use souk_sqlite::SqliteDocuments;

/// What is indexed: all that have all the words, by rank; and what it was asked and told.
pub(crate) struct Index {
    own: Arc<Mutex<State>>,
    all: Arc<Mutex<BTreeMap<Tenant, Arc<Mutex<State>>>>>,
}

impl Default for Index {
    fn default() -> Self {
        let own = Arc::<Mutex<State>>::default();
        let all = BTreeMap::from([(Tenant::main(), own.clone())]);
        Self {
            own,
            all: Arc::new(Mutex::new(all)),
        }
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) live: BTreeMap<String, Listing>,
    removed: BTreeMap<String, u64>,
    building: Option<(u64, BTreeMap<String, Listing>)>,
    generation: u64,
    last: u64,
    pub(crate) format: u32,
    pub(crate) is_gone: bool,
    pub(crate) asked: Vec<SearchQuery>,
    pub(crate) used: Vec<(String, u32)>,
}

impl Index {
    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.own.lock().unwrap()
    }

    fn there(&self) -> Result<std::sync::MutexGuard<'_, State>, SearchError> {
        let state = self.state();
        if state.is_gone {
            return Err(SearchError::Unavailable("gone".into()));
        }
        Ok(state)
    }
}

#[async_trait]
impl Search for Index {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        let mut state = self.there()?;
        state.asked.push(query.clone());
        if query.after.as_deref() == Some("bad") {
            return Err(SearchError::BadPlace);
        }
        let mut found: Vec<&Listing> = state
            .live
            .values()
            .filter(|listing| {
                let has = |word: &str| {
                    listing
                        .texts
                        .iter()
                        .any(|(_, text)| words(text).any(|own| own.stem == word))
                };
                words(&query.text).all(|word| has(&word.stem))
            })
            .collect();
        found.sort_by_key(|listing| (-listing.rank, listing.id.clone()));
        let from: usize = query.after.as_ref().map_or(0, |after| after.parse().unwrap());
        let page = found.iter().skip(from).take(query.limit);
        let hits = page.map(|listing| Hit {
            id: listing.id.clone(),
            version: listing.version,
            body: listing.body.clone(),
        });
        let hits: Vec<Hit> = hits.collect();
        let end = from + hits.len();
        let counts = query.facets.iter().map(|field| {
            let mut values = BTreeMap::new();
            for facet in found
                .iter()
                .flat_map(|listing| &listing.facets)
                .filter(|facet| facet.field == *field)
            {
                values.entry(facet.value.clone()).or_insert((facet.clone(), 0)).1 += 1;
            }
            FacetCounts {
                field: field.clone(),
                values: values.into_values().collect(),
            }
        });
        Ok(SearchPage {
            is_approximate: false,
            prev: None,
            total: (query.count > 0).then(|| found.len().min(query.count)),
            facets: counts.collect(),
            next: (end < found.len()).then(|| end.to_string()),
            terms: words(&query.text).map(|word| word.stem).collect(),
            hits,
        })
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        let state = self.there()?;
        let mut found = vec![Suggestion {
            kind: SuggestionKind::Query,
            text: format!("{typed}…"),
            id: None,
        }];
        for listing in state.live.values() {
            found.extend(listing.suggestions.iter().cloned());
            found.push(Suggestion {
                kind: SuggestionKind::Listing,
                text: "As it was indexed".into(),
                id: Some(listing.id.clone()),
            });
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.there()?.used.extend_from_slice(texts);
        Ok(())
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        assert!(changes.len() <= souk_core::search::MAX_CHANGES);
        let state = &mut *self.there()?;
        for change in changes {
            let generations = std::iter::once(&mut state.live).chain(state.building.as_mut().map(|(_, own)| own));
            for generation in generations {
                match change {
                    IndexChange::Put(listing) => put(generation, &state.removed, listing),
                    IndexChange::Remove { id, version } => {
                        if generation.get(id).is_some_and(|known| known.version <= *version) {
                            generation.remove(id);
                        }
                    }
                }
            }
            if let IndexChange::Remove { id, version } = change {
                let known = state.removed.entry(id.clone()).or_default();
                *known = (*known).max(*version);
            }
        }
        Ok(())
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        let mut state = self.there()?;
        state.last += 1;
        state.building = Some((state.last, BTreeMap::new()));
        Ok(state.last)
    }

    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        let state = &mut *self.there()?;
        match &mut state.building {
            Some((number, own)) if *number == generation => {
                listings.iter().for_each(|listing| put(own, &state.removed, listing));
                Ok(())
            }
            _ => Err(SearchError::Superseded),
        }
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        let mut state = self.there()?;
        match state.building.take() {
            Some((number, own)) if number == generation => {
                (state.live, state.generation, state.format) = (own, number, FORMAT);
                Ok(())
            }
            other => {
                state.building = other;
                Err(SearchError::Superseded)
            }
        }
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        let state = self.there()?;
        Ok(IndexState {
            live: state.generation,
            building: state.building.as_ref().map(|(number, _)| *number),
            listings: state.live.len() as u64,
            format: state.format,
        })
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        let own = self.all.lock().unwrap().entry(tenant.clone()).or_default().clone();
        let all = self.all.clone();
        Arc::new(Self { own, all })
    }

    async fn erase(&self) -> Result<(), SearchError> {
        *self.there()? = State::default();
        Ok(())
    }
}

fn put(generation: &mut BTreeMap<String, Listing>, removed: &BTreeMap<String, u64>, listing: &Listing) {
    let is_old = |version: u64| version > listing.version;
    let known = generation.get(&listing.id).is_some_and(|known| is_old(known.version));
    if !known
        && removed
            .get(&listing.id)
            .is_none_or(|version| *version < listing.version)
    {
        generation.insert(listing.id.clone(), listing.clone());
    }
}

#[derive(Default)]
struct Held(Mutex<Vec<Message>>);

#[async_trait]
impl Queue for Held {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        souk_core::queue::check(messages)?;
        self.0.lock().unwrap().extend_from_slice(messages);
        Ok(())
    }

    async fn backlog(&self, _: Lane) -> Result<Backlog, QueueError> {
        Ok(Backlog::default())
    }
}

struct Nobody;

#[async_trait]
impl Outbound for Nobody {
    async fn call(&self, _: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Open)
    }
}

/// Takes every token for one of an admin.
struct Admins;

#[async_trait]
impl Principals for Admins {
    async fn principal(
        &self,
        _: &dyn Documents,
        account: &str,
        session: &str,
    ) -> Result<Option<Principal>, StoreError> {
        Ok(Some(Principal {
            account: account.to_owned(),
            session: session.to_owned(),
            roles: vec!["admin".into()],
            ..Principal::default()
        }))
    }
}

pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

struct Counting(AtomicU8, AtomicI64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let n = self.1.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        for (slot, byte) in bytes.iter_mut().rev().zip(n.into_iter().chain(std::iter::repeat(0))) {
            *slot = byte ^ self.0.load(Ordering::Relaxed);
        }
    }
}

/// A store that can be told to fail reads.
pub(crate) struct Store {
    store: SqliteDocuments,
    pub(crate) is_gone: AtomicBool,
    pub(crate) reads: AtomicI64,
}

impl Store {
    fn there(&self) -> Result<(), StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("gone".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Documents for Store {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        // What operators have set is read beside requests, every few seconds.
        if keys.iter().any(|key| key.pk == "gate/main") {
            return self.store.get(keys, consistency).await;
        }
        self.there()?;
        self.store.get(keys, consistency).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.there()?;
        self.store.query(query, consistency).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.store.commit(commit).await
    }
}

pub(crate) struct World {
    app: App,
    platform: Arc<Platform>,
    pub(crate) index: Arc<Index>,
    pub(crate) store: Arc<Store>,
    clock: Arc<TestClock>,
    queue: Arc<Held>,
    token: String,
    _directory: tempfile::TempDir,
}

/// 2026-01-31T12:00:00Z
const NOON: i64 = 1_769_860_800_000;
pub(crate) const CATEGORY_ID: &str = "cat_00000000000000000000000000000001";
pub(crate) const VENDOR_ID: &str = "vnd_00000000000000000000000000000001";

impl World {
    /// A market with a category, a vendor and an admin, who makes all requests that are not anonymous.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(NOON)));
        let (queue, index) = (Arc::new(Held::default()), Arc::new(Index::default()));
        let random = Arc::new(Counting(AtomicU8::new(0), AtomicI64::new(1)));
        let store = Arc::new(Store {
            store: souk_sqlite::open(&directory.path().join("souk.db"), clock.clone()).unwrap(),
            is_gone: AtomicBool::new(false),
            reads: AtomicI64::new(0),
        });
        let ports = Ports {
            documents: store.clone(),
            queue: queue.clone(),
            search: index.clone(),
            outbound: Arc::new(Nobody),
            principals: Arc::new(Admins),
            clock: clock.clone(),
            random: random.clone(),
        };
        let keys = Keys::parse(&Keys::generate(&*random)).unwrap();
        let settings = Settings::from_lookup(|_| None, PasswordCost::SERVER).unwrap();
        let functions = || {
            [
                souk_catalog::function(),
                souk_community::function(),
                souk_search::function(),
            ]
        };
        let platform = Arc::new(Platform::new(ports, keys, settings, Registry::of(&functions())));
        let (admin, session) = (format!("acc_{:032x}", 1), format!("ses_{:032x}", 1));
        let issuer = platform.settings.public_url.clone();
        let token = platform.keys.issue(&admin, &session, &issuer, clock.now()).unwrap();
        let world = Self {
            app: App::new(platform.clone(), functions()),
            platform,
            index,
            store,
            clock,
            queue,
            token,
            _directory: directory,
        };
        let now = world.platform.now();
        let attributes = json!([
            { "name": "size", "type": "number", "filterable": true }, { "name": "note", "type": "text", "filterable": true },
        ]);
        let category = json!({
            "id": CATEGORY_ID, "slug": "lamps", "name": "Lamps", "description": "", "icon": null, "color": null,
            "parent": null, "attributes": attributes, "created_at": now, "updated_at": now,
        });
        let listed = vec![Entry::new(category::INDEX, "lamps".to_owned())];
        world.put(CATEGORY.key(CATEGORY_ID), &category, listed).await;
        world
            .put(CATEGORY.name_key("lamps"), &json!({ "id": CATEGORY_ID }), Vec::new())
            .await;
        let vendor = json!({ "id": VENDOR_ID, "slug": "shop", "name": "Shop", "owner": admin });
        world.put(VENDOR.key(VENDOR_ID), &vendor, Vec::new()).await;
        world
            .put(VENDOR.name_key("shop"), &json!({ "id": VENDOR_ID }), Vec::new())
            .await;
        world
    }

    async fn put(&self, key: Key, body: &Value, entries: Vec<Entry>) {
        let change = Change::create(key, body.to_string(), entries);
        self.platform
            .documents()
            .commit(Commit::new(vec![change]))
            .await
            .unwrap();
    }

    /// The market by itself.
    pub(crate) fn cx(&self) -> Context {
        Context::system(self.platform.clone())
    }

    pub(crate) fn wait(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    async fn request(&self, method: Method, path: &str, body: &Value, token: bool) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        let request = match body.get("query_id") {
            // A click; to send it again is a repeat.
            Some(id) => request.header("idempotency-key", id.as_str().unwrap()),
            None => request,
        };
        let request = match token {
            true => request.header("authorization", format!("Bearer {}", self.token)),
            false => request,
        };
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        let response = self.app.handle(request.body(Some(body)).unwrap()).await;
        self.app.run_pending_work().await;
        let json = serde_json::from_slice(response.body()).unwrap_or_default();
        (response.status(), json)
    }

    /// A request of the admin.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, json) = self.request(method, path, &body, true).await;
        assert!(status.is_success(), "{path}: {status} {json}");
        json
    }

    /// A request of anybody.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (status, json) = self.request(Method::GET, path, &Value::Null, false).await;
        (status.as_u16(), json)
    }

    /// What anybody sends.
    pub(crate) async fn post(&self, path: &str, body: Value) -> u16 {
        self.request(Method::POST, path, &body, false).await.0.as_u16()
    }

    /// A new published product; says its id.
    pub(crate) async fn publish(&self, title: &str, more: Value) -> String {
        let mut new = json!({ "title": title, "category": "lamps", "price": { "amount": 1999, "currency": "EUR" } });
        for (name, value) in more.as_object().into_iter().flatten() {
            new[name] = value.clone();
        }
        let product = self.call(Method::POST, "/v1/products", new).await;
        let id = product["id"].as_str().unwrap().to_owned();
        self.act(&id, "publish").await;
        id
    }

    /// Publishes it, archives it …
    pub(crate) async fn act(&self, id: &str, what: &str) {
        self.call(Method::POST, &format!("/v1/products/{id}/{what}"), Value::Null)
            .await;
    }

    /// What was sent and not delivered.
    pub(crate) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.queue.0.lock().unwrap())
    }

    pub(crate) async fn deliver(&self, messages: Vec<Message>) -> Vec<Outcome> {
        let deliveries = messages.into_iter().map(|message| Delivery { message, deliveries: 1 });
        self.app.work(deliveries.collect()).await
    }

    /// Works until nothing is left to do.
    pub(crate) async fn drain(&self) {
        loop {
            let messages = self.take();
            if messages.is_empty() {
                break;
            }
            self.deliver(messages).await;
            // What is for later comes, too.
            self.wait(10_000);
        }
        for lane in ["default", "low"] {
            let dead = Query::partition(format!("dead/{lane}"), 10);
            let dead = self
                .platform
                .documents()
                .query(&dead, Consistency::Strong)
                .await
                .unwrap()
                .items;
            assert!(dead.is_empty(), "{dead:?}");
        }
    }

    /// The titles that are found.
    pub(crate) async fn titles(&self, query: &str) -> Vec<String> {
        let (status, page) = self.get(&format!("/v1/search?{query}")).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["title"].as_str().unwrap().to_owned()).collect()
    }
}
