//! A market in memory, with a store, a queue and a clock that do what a test says, and a consumer that it can kill.
//!
//! Nothing here waits or runs at the same time as anything else: futures are polled by hand, so that a run is the same each
//! time it is given the same seed.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fastrand::Rng;
use http::{Method, Request};
use serde_json::{Value, json};
use souk_core::documents::get_one;
use souk_core::queue::{Delivery, Outcome};
use souk_core::{Consistency, Document, Documents as _, EdgeCache, Key, Lane, Message, Query, Tenant, Timestamp};
use souk_kit::{App, Function, Keys, PasswordCost, Platform, Ports, Registry, Settings};
use souk_tests::contract::{Model, TestClock};

use crate::ports::{Lanes, Life, Nobody, Seeded, Store};

/// How many messages a consumer takes at a time.
pub(crate) const BATCH: usize = 100;
const ADMIN: &str = "keeper@work.test";
const PASSWORD: &str = "wind every clock";

/// What outlives every process.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Arc<Store>,
    /// The database `apart` of some markets, and whether what starts has it.
    pub(crate) apart: Arc<Store>,
    pub(crate) has_apart: bool,
    pub(crate) queue: Arc<Lanes>,
    random: Arc<Seeded>,
    life: Arc<Life>,
    keys: String,
    pub(crate) backlog: u64,
    /// The domain below which markets have their names.
    pub(crate) tenant_domain: Option<&'static str>,
    /// Whether what starts answers a gate only.
    pub(crate) gate_only: bool,
    /// The cache in front of it.
    pub(crate) edge: Option<Arc<dyn EdgeCache>>,
}

/// A process of it.
pub(crate) struct Process {
    pub(crate) app: App,
    pub(crate) platform: Arc<Platform>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let (clock, life) = (Arc::new(TestClock::default()), Arc::new(Life(AtomicI64::new(-1))));
        let random = Arc::new(Seeded(Mutex::new(Rng::with_seed(seed))));
        let store = || {
            Arc::new(Store {
                model: Model::new(clock.clone()),
                life: life.clone(),
                is_down: AtomicBool::default(),
            })
        };
        Self {
            store: store(),
            apart: store(),
            has_apart: true,
            queue: Arc::new(Lanes {
                clock: clock.clone(),
                life: life.clone(),
                rows: Mutex::default(),
                is_down: AtomicBool::default(),
            }),
            keys: Keys::generate(&*random),
            backlog: 100_000,
            tenant_domain: None,
            gate_only: false,
            edge: None,
            clock,
            random,
            life,
        }
    }

    /// A process that serves these functions, beside those that every test has.
    pub(crate) fn start(&self, functions: Vec<Function>) -> Process {
        let mut all = vec![souk_identity::function(), souk_operators::function()];
        all.extend(functions);
        let ports = Ports {
            documents: self.store.clone(),
            queue: self.queue.clone(),
            search: Arc::new(souk_core::search::NoSearch(None)),
            outbound: Arc::new(Nobody),
            principals: Arc::new(souk_identity::Sessions),
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        let lookup = |name: &str| match name {
            "SOUK_FIRST_ADMIN" => Some(ADMIN.to_owned()),
            "SOUK_BACKLOG" => Some(self.backlog.to_string()),
            "SOUK_TENANT_DOMAIN" => self.tenant_domain.map(str::to_owned),
            "SOUK_GATE_ONLY" => self.gate_only.then(|| "on".to_owned()),
            _ => None,
        };
        let cost = PasswordCost { memory: 64, passes: 1 };
        let settings = Settings::from_lookup(lookup, cost).unwrap();
        let keys = Keys::parse(&self.keys).unwrap();
        let mut platform = Platform::new(ports, keys, settings, Registry::of(&all)).with_cache_tags();
        if self.has_apart {
            platform = platform.with_database("apart", self.apart.clone());
        }
        platform.edge = self.edge.clone();
        let platform = Arc::new(platform);
        Process {
            app: App::new(platform.clone(), all),
            platform,
        }
    }

    /// Seeds the random source again, so that the ids that follow are those that it gave after the same seed before.
    pub(crate) fn reseed(&self, seed: u64) {
        *self.random.0.lock().unwrap() = Rng::with_seed(seed);
    }

    /// Runs something to its end.
    pub(crate) fn run<T>(&self, task: impl Future<Output = T>) -> T {
        self.run_for(-1, task).unwrap()
    }

    /// Runs something until its process is killed after so many moments.
    pub(crate) fn run_for<T>(&self, moments: i64, task: impl Future<Output = T>) -> Option<T> {
        self.life.0.store(moments, Ordering::SeqCst);
        let mut task = pin!(task);
        let mut context = Context::from_waker(Waker::noop());
        let result = loop {
            match task.as_mut().poll(&mut context) {
                Poll::Ready(result) => break Some(result),
                Poll::Pending if self.life.0.load(Ordering::SeqCst) == 0 => break None,
                Poll::Pending => {}
            }
        };
        self.life.0.store(-1, Ordering::SeqCst);
        result
    }

    /// Lets a process work off one batch of a lane; says how many messages that was. If it is killed after so many
    /// moments they come again.
    pub(crate) fn work(&self, process: &Process, lane: Lane, moments: i64) -> Result<usize, Killed> {
        let mut rows = self.queue.take(lane, BATCH);
        for row in &mut rows {
            row.deliveries += 1;
        }
        let deliveries = rows.iter().map(|row| Delivery {
            message: row.message.clone(),
            deliveries: row.deliveries,
        });
        let Some(outcomes) = self.run_for(moments, process.app.work(deliveries.collect())) else {
            self.queue.rows.lock().unwrap().extend(rows);
            return Err(Killed);
        };
        let (count, now) = (rows.len(), self.clock.ahead(0).as_millisecond());
        assert_eq!(outcomes.len(), count);
        for (mut row, outcome) in rows.into_iter().zip(outcomes) {
            if let Outcome::Retry(seconds) = outcome {
                row.due = now + i64::from(seconds) * 1000;
                self.queue.rows.lock().unwrap().push(row);
            }
        }
        Ok(count)
    }

    /// Works off everything, whenever it is due.
    pub(crate) fn drain(&self, process: &Process) {
        loop {
            let done: usize = Lane::ALL
                .iter()
                .map(|lane| self.work(process, *lane, -1).unwrap())
                .sum();
            let next = self.queue.rows.lock().unwrap().iter().map(|row| row.due).min();
            match next {
                None => return,
                Some(due) if done == 0 => self.clock.advance((due - self.clock.ahead(0).as_millisecond()).max(1)),
                Some(_) => {}
            }
        }
    }

    /// Commits messages as a handler would, some at a time.
    pub(crate) fn commit(&self, process: &Process, messages: &[Message]) {
        for some in messages.chunks(50) {
            self.run(process.platform.commit(Vec::new(), Vec::new(), some.to_vec()))
                .unwrap();
        }
    }

    /// All documents of a partition.
    pub(crate) fn partition(&self, name: &str) -> Vec<Document> {
        let (mut all, mut query) = (Vec::new(), Query::partition(name, 100));
        loop {
            let page = self.run(self.store.query(&query, Consistency::Strong)).unwrap();
            all.extend(page.items.into_iter().map(|item| item.document));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    /// How many commits wait in the outbox.
    pub(crate) fn outbox(&self) -> usize {
        (0..8)
            .map(|shard| self.partition(&format!("outbox/{shard}")).len())
            .sum()
    }

    /// The counter `n` of a document, 0 where there is none.
    pub(crate) fn counter(&self, key: &Key) -> i64 {
        let found = self.run(get_one(&*self.store, key.clone())).unwrap();
        let counters: Value = found.map_or(Value::Null, |document| {
            serde_json::from_str(&document.counters).unwrap()
        });
        counters["n"].as_i64().unwrap_or(0)
    }

    /// A request; its status and what it says.
    pub(crate) fn call(
        &self,
        process: &Process,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        self.call_at(process, "work.test", token, method, path, body)
    }

    /// The same at a host name.
    pub(crate) fn call_at(
        &self,
        process: &Process,
        host: &str,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
            .header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let answer = self.run(process.app.handle(request.body(Some(body)).unwrap()));
        let json = serde_json::from_slice(answer.body()).unwrap_or_default();
        (answer.status().as_u16(), json)
    }

    /// The access token of somebody new.
    pub(crate) fn member(&self, process: &Process, name: &str) -> String {
        let email = format!("{name}@work.test");
        let new = json!({ "email": email, "username": name, "password": PASSWORD });
        assert_eq!(self.call(process, "", Method::POST, "/v1/accounts", Some(new)).0, 201);
        self.sign_in(process, name)
    }

    /// A fresh access token of somebody who has signed up.
    pub(crate) fn sign_in(&self, process: &Process, name: &str) -> String {
        let who = json!({ "username": name, "password": PASSWORD });
        let (status, tokens) = self.call(process, "", Method::POST, "/v1/sessions", Some(who));
        assert_eq!(status, 201);
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// The access token of the operator.
    pub(crate) fn admin(&self, process: &Process) -> String {
        let name = ADMIN.split('@').next().unwrap();
        let token = self.member(process, name);
        self.verify(process, "", name);
        token
    }

    /// Takes the address of an account as verified, in the main market or in the one of this name.
    pub(crate) fn verify(&self, process: &Process, market: &str, username: &str) {
        let platform = match market {
            "" => process.platform.clone(),
            market => {
                let market = Tenant::named(market).unwrap();
                self.run(process.platform.of_tenant(&market)).unwrap().unwrap()
            }
        };
        let cx = souk_kit::Context::system(platform);
        self.run(souk_identity::operations::verify_by_operator(&cx, username))
            .unwrap();
    }

    /// The moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.ahead(0)
    }
}

/// The process ended before it was done.
#[derive(Debug)]
pub(crate) struct Killed;
