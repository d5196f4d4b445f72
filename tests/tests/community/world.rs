//! A market in this process whose queue is in the test's hands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt as _;
use futures_util::future::join;
use http::{Method, Request};
use serde_json::{Value, json};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::{Backlog, Delivery, Outcome, Payload as _, QueueError};
use souk_core::{
    Change, Clock as _, Commit, Consistency, Document, Documents, Key, Lane, Message, Outbound, Page, Query, Queue,
    Random, StoreError,
};
use souk_identity::session_key;
use souk_kit::{App, Keys, PasswordCost, Platform, Ports, Registry, Settings};
use souk_model::catalog::CATEGORY;
use souk_model::identity::ACCOUNT;
use souk_model::search::ReindexProduct;
use souk_sqlite::SqliteDocuments;
use souk_tests::contract::bench::TestClock;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long somebody waits for others who may not come.
const PATIENCE: Duration = Duration::from_millis(10);

/// What was sent, until the test delivers it.
#[derive(Default)]
struct Held(Mutex<Vec<Message>>);

#[async_trait]
impl Queue for Held {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        souk_core::queue::check(messages)?;
        // There is no search here.
        let own = messages.iter().filter(|message| message.job != ReindexProduct::JOB);
        self.0.lock().unwrap().extend(own.cloned());
        Ok(())
    }

    async fn backlog(&self, _: Lane) -> Result<Backlog, QueueError> {
        Ok(Backlog::default())
    }
}

/// The same bytes for the same seed.
struct Dice(Mutex<Rng>);

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill(bytes);
    }
}

/// A store that, during [`World::at_once`], now and then lets others commit first: so that requests and jobs meet.
struct Hesitant {
    store: SqliteDocuments,
    dice: Mutex<Rng>,
    commits: watch::Sender<usize>,
    crowded: Arc<AtomicBool>,
}

impl Hesitant {
    async fn hesitate(&self) {
        if !self.crowded.load(Ordering::Relaxed) {
            return;
        }
        let others = {
            let mut dice = self.dice.lock().unwrap();
            if dice.u8(..3) == 0 { dice.usize(1..6) } else { 0 }
        };
        let mut commits = self.commits.subscribe();
        let until = *commits.borrow() + others;
        // They may have nothing to do any more.
        let _ = timeout(PATIENCE, commits.wait_for(|count| *count >= until)).await;
    }
}

#[async_trait]
impl Documents for Hesitant {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        self.hesitate().await;
        self.store.get(keys, consistency).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.hesitate().await;
        self.store.query(query, consistency).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.hesitate().await;
        let result = self.store.commit(commit).await;
        self.commits.send_modify(|count| *count += 1);
        result
    }
}

/// No job of the community calls anybody.
struct Nobody;

#[async_trait]
impl Outbound for Nobody {
    async fn call(&self, _: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Open)
    }
}

pub(crate) struct World {
    app: App,
    pub(crate) platform: Arc<Platform>,
    pub(crate) clock: Arc<TestClock>,
    queue: Arc<Held>,
    crowded: Arc<AtomicBool>,
    /// Messages that will come once more.
    repeats: Mutex<Vec<Message>>,
    _directory: tempfile::TempDir,
}

impl World {
    /// An empty market with one category, `cat_0…`.
    pub(crate) async fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let queue = Arc::new(Held::default());
        let random = Arc::new(Dice(Mutex::new(Rng::with_seed(seed))));
        let documents = souk_sqlite::open(&directory.path().join("souk.db"), clock.clone()).unwrap();
        let crowded = Arc::new(AtomicBool::new(false));
        let ports = Ports {
            documents: Arc::new(Hesitant {
                store: documents,
                dice: Mutex::new(Rng::with_seed(seed)),
                commits: watch::Sender::new(0),
                crowded: crowded.clone(),
            }),
            queue: queue.clone(),
            search: Arc::new(souk_core::search::NoSearch(None)),
            outbound: Arc::new(Nobody),
            principals: Arc::new(souk_identity::Sessions),
            clock: clock.clone(),
            random: random.clone(),
        };
        let keys = Keys::parse(&Keys::generate(&*random)).unwrap();
        let settings = Settings::from_lookup(|_| None, PasswordCost::SERVER).unwrap();
        let functions = || [souk_catalog::function(), souk_community::function()];
        let platform = Arc::new(Platform::new(ports, keys, settings, Registry::of(&functions())));
        let world = Self {
            app: App::new(platform.clone(), functions()),
            platform,
            clock,
            queue,
            crowded,
            repeats: Mutex::default(),
            _directory: directory,
        };
        let category = json!({
            "id": category(), "slug": "things", "name": "Things", "description": "", "icon": null, "color": null,
            "parent": null, "attributes": [], "created_at": world.clock.now(), "updated_at": world.clock.now(),
            "closing": false,
        });
        world.put(CATEGORY.key(&self::category()), &category).await;
        world
    }

    async fn put(&self, key: Key, body: &Value) {
        let change = Change::create(key, body.to_string(), Vec::new());
        self.platform
            .documents()
            .commit(Commit::new(vec![change]))
            .await
            .unwrap();
    }

    /// The `n`th account, signed in.
    pub(crate) async fn account(&self, n: u32) -> Account {
        let (id, session) = (format!("acc_{n:032x}"), format!("ses_{n:032x}"));
        self.put(ACCOUNT.key(&id), &json!({ "id": id, "role": "member", "active": true }))
            .await;
        self.put(session_key(&id, &session), &json!({})).await;
        Account { id, session }
    }

    /// A request of this account, and its answer if it went well.
    pub(crate) async fn call(&self, who: &Account, method: Method, path: &str, body: Value) -> Result<Value, u16> {
        let now = self.clock.now();
        let issuer = &self.platform.settings.public_url;
        let token = self.platform.keys.issue(&who.id, &who.session, issuer, now).unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Some(Bytes::from(if body.is_null() {
                String::new()
            } else {
                body.to_string()
            })));
        let response = self.app.handle(request.unwrap()).await;
        self.app.run_pending_work().await;
        let status = response.status();
        assert!(!status.is_server_error(), "{path}: {:?}", response.body());
        if status.is_success() {
            Ok(serde_json::from_slice(response.body()).unwrap_or_default())
        } else {
            Err(status.as_u16())
        }
    }

    /// A new published product of this account.
    pub(crate) async fn publish(&self, who: &Account, vendor: Option<&str>) -> String {
        let new = json!({
            "title": "Thing", "category": category(), "price": { "amount": 1, "currency": "EUR" }, "vendor": vendor,
        });
        let product = self.call(who, Method::POST, "/v1/products", new).await.unwrap();
        let id = product["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/products/{id}/publish");
        self.call(who, Method::POST, &path, Value::Null).await.unwrap();
        id
    }

    /// Delivers some of what was sent, in any order, and keeps some of that to deliver it again.
    pub(crate) async fn deliver(&self, rng: &mut Rng, at_most: usize) -> usize {
        let batch = {
            let mut held = self.queue.0.lock().unwrap();
            let mut repeats = self.repeats.lock().unwrap();
            rng.shuffle(&mut held);
            rng.shuffle(&mut repeats);
            let left = held.len().saturating_sub(at_most);
            let mut batch = held.split_off(left);
            let again = batch.iter().filter(|_| rng.u8(..3) == 0).cloned().collect::<Vec<_>>();
            let left = repeats.len() - rng.usize(..=repeats.len());
            batch.append(&mut repeats.split_off(left));
            repeats.extend(again);
            rng.shuffle(&mut batch);
            batch
        };
        let count = batch.len();
        let deliveries = batch.into_iter().map(|message| Delivery { message, deliveries: 1 });
        let outcomes = self.app.work(deliveries.collect()).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        count
    }

    /// Does both at once, and has each wait for the other now and then.
    pub(crate) async fn at_once(&self, one: impl Future, other: impl Future) {
        self.crowded.store(true, Ordering::Relaxed);
        let alone = || self.crowded.store(false, Ordering::Relaxed);
        join(one.inspect(|_| alone()), other.inspect(|_| alone())).await;
    }

    /// Delivers until nothing is left, also what is for later.
    pub(crate) async fn drain(&self, rng: &mut Rng) {
        loop {
            let held = self.queue.0.lock().unwrap().len();
            if held + self.repeats.lock().unwrap().len() == 0 {
                break;
            }
            self.deliver(rng, 100).await;
            self.clock.advance(1_000);
        }
        let dead = self.all(Query::partition("dead/default", 100)).await;
        assert!(dead.is_empty(), "{dead:?}");
    }

    /// All the documents that a query can give.
    pub(crate) async fn all(&self, mut query: Query) -> Vec<Document> {
        let mut all = Vec::new();
        loop {
            let page = self
                .platform
                .documents()
                .query(&query, Consistency::Strong)
                .await
                .unwrap();
            all.extend(page.items.into_iter().map(|item| item.document));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    /// How many documents a partition has.
    pub(crate) async fn count(&self, partition: &str) -> usize {
        self.all(Query::partition(partition, 100)).await.len()
    }
}

pub(crate) struct Account {
    pub(crate) id: String,
    session: String,
}

pub(crate) fn category() -> String {
    format!("cat_{:032x}", 0)
}
