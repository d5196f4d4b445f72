//! A market in memory behind a cache, and the same market without one.
//!
//! Futures are polled by hand, so that a run is the same each time it is given the same seed.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, HeaderName, Method, Request, Response, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::{Backlog, Payload, QueueError};
use souk_core::search::{
    IndexChange, IndexState, Listing, SearchError, SearchPage, SearchQuery, Suggestion, SuggestionKind,
};
use souk_core::{
    Change, Clock as _, Commit, Consistency, Document, Documents, Key, Lane, Message, Outbound, Page, Query, Queue,
    Random, Search, StoreError, Tenant,
};
use souk_kit::http::{Access, Answer, ClientAddress, Param, Problem, Route, Viewer};
use souk_kit::jobs::{Job, JobOutput, JobTransaction};
use souk_kit::{
    App, Context as OperationContext, DocumentCache, Function, Keys, MemoryCacheConfig, PasswordCost, Platform, Ports,
    Registry, Settings,
};
use souk_model::catalog::CATEGORY;
use souk_model::identity::ACCOUNT;
use souk_tests::contract::{Model, TestClock};

use crate::values::Values;

/// The origin whose pages may call the market.
pub(crate) const ORIGIN: &str = "https://shop.example";

/// The reference store. It counts its reads, lets others go first if it shall, and can fail to say that it committed.
pub(crate) struct Store {
    pub(crate) model: Model,
    pub(crate) reads: AtomicUsize,
    /// How many of the reads were strongly consistent.
    pub(crate) strong_reads: AtomicUsize,
    dice: Mutex<Option<Rng>>,
    /// Commits happen, and fail all the same.
    pub(crate) breaks: AtomicBool,
    /// Commits do not come back, and happen when the test lets them.
    pub(crate) holds: AtomicBool,
    pub(crate) late: Mutex<Vec<Commit>>,
}

impl Store {
    async fn pause(&self) {
        let turns = self.dice.lock().unwrap().as_mut().map_or(0, |dice| dice.u8(..4));
        pause(turns).await;
    }
}

/// Lets others go first so many times.
pub(crate) async fn pause(turns: u8) {
    for _ in 0..turns {
        let mut first = true;
        std::future::poll_fn(|_| {
            if std::mem::take(&mut first) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}

#[async_trait]
impl Documents for Store {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        // What operators have set is read beside requests, every few seconds.
        if keys.iter().any(|key| key.pk == "gate/main") {
            return self.model.get(keys, consistency).await;
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        let is_strong = consistency == Consistency::Strong;
        self.strong_reads.fetch_add(usize::from(is_strong), Ordering::SeqCst);
        self.pause().await;
        let found = self.model.get(keys, consistency).await;
        self.pause().await;
        found
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.pause().await;
        let found = self.model.query(query, consistency).await;
        self.pause().await;
        found
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.pause().await;
        if self.holds.load(Ordering::SeqCst) {
            self.late.lock().unwrap().push(commit);
            return std::future::pending().await;
        }
        let done = self.model.commit(commit).await;
        self.pause().await;
        if self.breaks.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the connection broke".into()));
        }
        done
    }
}

struct Nobody;

#[async_trait]
impl Outbound for Nobody {
    async fn call(&self, _: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Open)
    }
}

/// What is sent stays unsent: no job changes anything behind the test's back.
#[async_trait]
impl Queue for Nobody {
    async fn send(&self, _: &[Message]) -> Result<(), QueueError> {
        Ok(())
    }

    async fn backlog(&self, _: Lane) -> Result<Backlog, QueueError> {
        Ok(Backlog::default())
    }
}

/// A search index that finds how often it was changed, and completes with how often it was used.
pub(crate) struct Count {
    own: Arc<Counts>,
    all: Arc<Mutex<HashMap<Tenant, Arc<Counts>>>>,
}

#[derive(Default)]
struct Counts {
    changes: AtomicUsize,
    uses: AtomicUsize,
}

impl Default for Count {
    fn default() -> Self {
        let own = Arc::<Counts>::default();
        let all = HashMap::from([(Tenant::main(), own.clone())]);
        Self {
            own,
            all: Arc::new(Mutex::new(all)),
        }
    }
}

#[async_trait]
impl Search for Count {
    async fn search(&self, _: &SearchQuery) -> Result<SearchPage, SearchError> {
        let terms = vec![self.own.changes.load(Ordering::SeqCst).to_string()];
        Ok(SearchPage {
            terms,
            ..SearchPage::default()
        })
    }

    async fn suggest(&self, _: &str, _: usize) -> Result<Vec<Suggestion>, SearchError> {
        Ok(vec![Suggestion {
            kind: SuggestionKind::Query,
            text: self.own.uses.load(Ordering::SeqCst).to_string(),
            id: None,
        }])
    }

    async fn used(&self, _: &[(String, u32)]) -> Result<(), SearchError> {
        self.own.uses.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn apply(&self, _: &[IndexChange]) -> Result<(), SearchError> {
        self.own.changes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        Ok(1)
    }

    async fn fill(&self, _: u64, _: &[Listing]) -> Result<(), SearchError> {
        Ok(())
    }

    async fn finish(&self, _: u64) -> Result<(), SearchError> {
        self.apply(&[]).await
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        Err(SearchError::Superseded)
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        let own = self.all.lock().unwrap().entry(tenant.clone()).or_default().clone();
        let all = self.all.clone();
        Arc::new(Self { own, all })
    }

    async fn erase(&self) -> Result<(), SearchError> {
        self.apply(&[]).await
    }
}

struct Seeded(Mutex<Rng>);

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill(bytes);
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Arc<Store>,
    pub(crate) values: Arc<Values>,
    /// With the cache and copies.
    pub(crate) app: App,
    /// Without. It reads what is; what it writes the other does not hear of.
    pub(crate) bare: App,
    pub(crate) platform: Arc<Platform>,
    search: Arc<Count>,
    random: Arc<Seeded>,
    key: String,
}

impl World {
    /// An empty market with one category.
    pub(crate) fn new(seed: u64) -> Self {
        let clock = Arc::new(TestClock::default());
        let store = Arc::new(Store {
            model: Model::new(clock.clone()),
            reads: AtomicUsize::new(0),
            strong_reads: AtomicUsize::new(0),
            dice: Mutex::new(None),
            breaks: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            late: Mutex::default(),
        });
        let values = Arc::new(Values::new(seed, clock.clone()));
        let random = Arc::new(Seeded(Mutex::new(Rng::with_seed(seed))));
        let key = Keys::generate(&*random);
        let search = Arc::new(Count::default());
        let layers = |layers| process(&clock, &store, &values, &search, &random, &key, layers);
        let (app, platform) = layers("memory,edge,values");
        let (bare, _) = layers("edge");
        let world = Self {
            app,
            bare,
            platform,
            clock,
            store,
            values,
            search,
            random,
            key,
        };
        let now = world.clock.now();
        let category = json!({
            "id": category(), "slug": "things", "name": "Things", "description": "", "icon": null, "color": null,
            "parent": null, "attributes": [], "created_at": now, "updated_at": now, "closing": false,
        });
        let claim = Change::claim(CATEGORY.name_key("things"), &self::category());
        let entries = vec![souk_core::Entry::new("categories", "things")];
        world.commit(vec![
            Change::create(CATEGORY.key(&self::category()), category.to_string(), entries),
            claim,
        ]);
        world
    }

    /// Another process of this market, with these layers of caches.
    pub(crate) fn process(&self, layers: &str) -> (App, Arc<Platform>) {
        let Self {
            clock,
            store,
            values,
            search,
            random,
            key,
            ..
        } = self;
        process(clock, store, values, search, random, key, layers)
    }

    fn commit(&self, changes: Vec<Change>) {
        run(self.platform.documents().commit(Commit::new(changes))).unwrap();
    }

    /// From now on the store lets others go first now and then.
    pub(crate) fn crowd(&self, rng: &mut Rng) {
        *self.store.dice.lock().unwrap() = Some(rng.fork());
    }

    pub(crate) fn calm(&self) {
        *self.store.dice.lock().unwrap() = None;
    }

    /// The `n`th account, signed in.
    pub(crate) fn account(&self, n: u32) -> Account {
        let (id, session) = (format!("acc_{n:032x}"), format!("ses_{n:032x}"));
        let now = self.clock.now();
        let body = json!({
            "id": id, "username": format!("user-{n}"), "name": "", "bio": "", "avatar": null, "created_at": now,
            "email": format!("user-{n}@cache.test"), "role": "member", "active": true, "updated_at": now,
        });
        self.commit(vec![
            Change::create(ACCOUNT.key(&id), body.to_string(), Vec::new()),
            Change::claim(ACCOUNT.name_key(&format!("user-{n}")), &id),
            Change::create(
                Key::new(format!("sessions/{id}"), session.as_str()),
                "{}".to_owned(),
                Vec::new(),
            ),
        ]);
        Account { id, session }
    }

    /// A fresh token of theirs, as a header.
    pub(crate) fn token(&self, who: &Account) -> String {
        let issuer = &self.platform.settings.public_url;
        let token = self
            .platform
            .keys
            .issue(&who.id, &who.session, issuer, self.clock.now());
        format!("Bearer {}", token.unwrap())
    }

    /// A write of theirs; what it answers.
    pub(crate) async fn write(&self, who: &Account, method: Method, path: &str, body: Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", self.token(who))
            .header("content-type", "application/json");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self.app.handle(request.body(Some(body.into())).unwrap()).await;
        assert!(response.status().is_success(), "{path}: {:?}", response.body());
        serde_json::from_slice(response.body()).unwrap_or_default()
    }

    /// A product of theirs with this title; a draft, or published.
    pub(crate) fn product(&self, who: &Account, title: &str, published: bool) -> String {
        let new = json!({ "title": title, "category": category(), "price": { "amount": 1, "currency": "EUR" },
                          "tags": ["some"] });
        let product = run(self.write(who, Method::POST, "/v1/products", new));
        let id = product["id"].as_str().unwrap().to_owned();
        if published {
            let path = format!("/v1/products/{id}/publish");
            run(self.write(who, Method::POST, &path, Value::Null));
        }
        id
    }

    /// Holds the next answer to this path against what the store says. Returns how the cache answered.
    #[track_caller]
    pub(crate) fn is_fresh(&self, path: &str) -> String {
        let (kept, made) = (run(get(&self.app, path, &[])), run(get(&self.bare, path, &[])));
        let way = kept.headers()["cache-status"].to_str().unwrap().to_owned();
        assert_eq!(
            (kept.status(), plain(&kept)),
            (made.status(), plain(&made)),
            "{path}: {way}"
        );
        // A problem names its request.
        if kept.status().is_success() {
            assert_eq!(kept.body(), made.body(), "{path}: {way}");
        }
        way
    }
}

fn process(
    clock: &Arc<TestClock>,
    store: &Arc<Store>,
    values: &Arc<Values>,
    search: &Arc<Count>,
    random: &Arc<Seeded>,
    key: &str,
    layers: &str,
) -> (App, Arc<Platform>) {
    let lookup = |name: &str| match name {
        "SOUK_CORS_ORIGINS" => Some(ORIGIN.to_owned()),
        "SOUK_CACHE" => Some(layers.to_owned()),
        _ => None,
    };
    let settings = Settings::from_lookup(lookup, PasswordCost::SERVER).unwrap();
    let functions = [
        souk_catalog::function(),
        souk_community::function(),
        souk_identity::function(),
        gossip(),
    ];
    let registry = Registry::of(&functions);
    let kinds = registry.kinds.iter().copied();
    let cache = DocumentCache::new(
        store.clone(),
        values.clone(),
        clock.clone(),
        kinds,
        settings.cache.values,
    );
    let ports = Ports {
        documents: store.clone(),
        queue: Arc::new(Nobody),
        search: search.clone(),
        outbound: Arc::new(Nobody),
        principals: Arc::new(souk_identity::Sessions),
        clock: clock.clone(),
        random: random.clone(),
    };
    let memory = MemoryCacheConfig {
        bytes: 16 << 20,
        at_most: None,
        collapse: true,
    };
    let platform = Platform::new(ports, Keys::parse(key).unwrap(), settings, registry);
    let platform = Arc::new(platform.with_document_cache(cache).with_memory_cache(memory));
    (App::new(platform.clone(), functions), platform)
}

/// The payload of a job that notes the category that it sees.
#[derive(Deserialize, Serialize)]
pub(crate) struct Note {}

impl Note {
    /// Where it is noted.
    pub(crate) fn key() -> Key {
        Key::of("note", "1")
    }
}

impl Payload for Note {
    const JOB: &'static str = "gossip.note";
}

/// A function that tells everyone all that it hears of who asks, and what the search index says.
fn gossip() -> Function {
    let tell = async |viewer: Viewer, uri: Uri, headers: HeaderMap, address: ClientAddress| {
        let heard = format!("{uri} {headers:?} {}", address.0);
        Ok::<_, Problem>(viewer.answer(Answer::json(&heard)?))
    };
    let find = async |cx: OperationContext, viewer: Viewer| {
        let found = cx.search(&SearchQuery::default()).await;
        Ok::<_, Problem>(viewer.answer(Answer::json(&found.unwrap_or_default().terms)?))
    };
    let complete = async |cx: OperationContext, viewer: Viewer| {
        let found = cx.suggest("", 1).await;
        Ok::<_, Problem>(viewer.answer(Answer::json(&found.unwrap_or_default())?))
    };
    let routes = vec![
        Route::new("listGossip", Method::GET, "/gossip", Access::Public, tell).params(&[Param::LIMIT]),
        Route::new("search", Method::GET, "/search", Access::Public, find),
        Route::new("suggest", Method::GET, "/suggest", Access::Public, complete),
    ];
    let note = |tx: JobTransaction, _: Note, _: Message| async move {
        let found = tx.read::<Value>(CATEGORY.key(&category())).await?;
        tx.put(Note::key(), found.map(|found| found.value)).always();
        Ok(JobOutput::default())
    };
    Function {
        name: "gossip",
        jobs: vec![Job::single("Notes the category that it sees.", note)],
        routes: routes.into_iter().map(|route| route.cached(60, 60)).collect(),
        ..Function::default()
    }
}

pub(crate) struct Account {
    pub(crate) id: String,
    session: String,
}

pub(crate) fn category() -> String {
    format!("cat_{:032x}", 0)
}

/// The headers, less what is of one request alone.
pub(crate) fn plain(response: &Response<Bytes>) -> HeaderMap {
    let mut headers = response.headers().clone();
    for own in ["x-request-id", "traceparent", "cache-status", "server-timing"] {
        assert!(headers.remove(own).is_some_and(|value| !value.is_empty()), "{own}");
    }
    headers.remove("age");
    headers
}

/// A `GET` with these headers.
pub(crate) async fn get(app: &App, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    call(app, Method::GET, path, headers).await
}

pub(crate) async fn call(app: &App, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = Request::new(Some(Bytes::new()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    app.handle(request).await
}

/// Runs something to its end.
pub(crate) fn run<T>(task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
            return result;
        }
    }
}

pub(crate) type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls it once.
pub(crate) fn step<T>(task: &mut Task<'_, T>) -> Option<T> {
    match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}
