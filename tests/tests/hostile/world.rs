//! A whole market in this process, on SQLite, whose messages nobody works on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use http::{Method, Request};
use serde_json::{Value, json};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::{Backlog, QueueError};
use souk_core::{Lane, Message, Outbound, Queue};
use souk_kit::{App, Keys, PasswordCost, Platform, Ports, Settings};
use souk_sqlite::{SystemClock, SystemRandom};

const ADMIN: &str = "keeper@hostile.test";
const EMAILS: [&str; 3] = [ADMIN, "buyer@hostile.test", "seller@hostile.test"];
const PASSWORD: &str = "wind every clock";
/// How many ids, slugs and cursors are remembered.
const MAX_KNOWN: usize = 300;

pub(crate) struct World {
    pub(crate) app: App,
    /// Ids, slugs and cursors that were in responses.
    pub(crate) known: Vec<String>,
    /// Access tokens of an admin and of members.
    pub(crate) tokens: Vec<String>,
    _folder: tempfile::TempDir,
}

struct Nowhere;

#[async_trait]
impl Queue for Nowhere {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        souk_core::queue::check(messages).map(drop)
    }

    async fn backlog(&self, _: Lane) -> Result<Backlog, QueueError> {
        Ok(Backlog::default())
    }
}

#[async_trait]
impl Outbound for Nowhere {
    async fn call(&self, _: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Open)
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, path) = (Arc::new(SystemClock), |name: &str| folder.path().join(name));
        let ports = Ports {
            documents: Arc::new(souk_sqlite::open(&path("souk.db"), clock.clone()).unwrap()),
            queue: Arc::new(Nowhere),
            search: Arc::new(souk_sqlite::open_search(&path("search.db"), clock.clone()).unwrap()),
            outbound: Arc::new(Nowhere),
            principals: souk_market::principals(),
            clock,
            random: Arc::new(SystemRandom),
        };
        let lookup = |name: &str| (name == "SOUK_FIRST_ADMIN").then(|| ADMIN.to_owned());
        let settings = Settings::from_lookup(lookup, PasswordCost { memory: 64, passes: 1 }).unwrap();
        let keys = Keys::parse(&Keys::generate(&SystemRandom)).unwrap();
        let platform = Platform::new(ports, keys, settings, souk_market::registry()).with_assets(souk_market::assets());
        let cx = souk_kit::Context::system(Arc::new(platform.clone()));
        let mut world = Self {
            app: App::new(Arc::new(platform), souk_market::functions()),
            known: vec!["lamps".into()],
            tokens: Vec::new(),
            _folder: folder,
        };
        for (name, email) in [
            ("keeper", ADMIN),
            ("buyer", "buyer@hostile.test"),
            ("seller", "seller@hostile.test"),
        ] {
            let account = json!({ "username": name, "email": email, "password": PASSWORD });
            world.post("/v1/accounts", account).await;
            souk_identity::operations::verify_by_operator(&cx, name).await.unwrap();
            let tokens = world
                .post("/v1/sessions", json!({ "email": email, "password": PASSWORD }))
                .await;
            world.tokens.push(tokens["access_token"].as_str().unwrap().to_owned());
        }
        let attributes = json!([{ "name": "height", "type": "number", "filterable": true }]);
        world
            .post("/v1/categories", json!({ "name": "Lamps", "attributes": attributes }))
            .await;
        world.post("/v1/vendors", json!({ "name": "Lantern & Co" })).await;
        world
    }

    /// Signs everybody in, again if they have signed out.
    pub(crate) async fn sign_in(&mut self) {
        self.tokens.clear();
        let mut tokens = Vec::new();
        for email in EMAILS {
            let session = self
                .post("/v1/sessions", json!({ "email": email, "password": PASSWORD }))
                .await;
            tokens.push(session["access_token"].as_str().unwrap().to_owned());
        }
        self.tokens = tokens;
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "application/json");
        if let Some(token) = self.tokens.first() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Some(Bytes::from(body.to_string()))).unwrap();
        let response = self.app.handle(request).await;
        assert!(response.status().is_success(), "{path}: {response:?}");
        serde_json::from_slice(response.body()).unwrap()
    }

    /// Remembers the ids, slugs and cursors of a response.
    pub(crate) fn learn(&mut self, value: &Value, rng: &mut Rng) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value.as_str()) {
                        ("id" | "slug" | "username" | "next_cursor", Some(text)) => {
                            if self.known.len() < MAX_KNOWN {
                                self.known.push(text.to_owned());
                            } else {
                                self.known[rng.usize(..MAX_KNOWN)] = text.to_owned();
                            }
                        }
                        _ => self.learn(value, rng),
                    }
                }
            }
            Value::Array(items) => items.iter().take(3).for_each(|item| self.learn(item, rng)),
            _ => {}
        }
    }
}
