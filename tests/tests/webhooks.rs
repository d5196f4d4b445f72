//! What becomes of deliveries over hours and days: a market with a clock, a queue and receivers of the test's own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test: a panic is how it fails"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use souk_core::event::Cause;
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::{Backlog, Delivery, Outcome, QueueError};
use souk_core::{Change, Clock, Event, Lane, Message, Outbound, Queue, Timestamp};
use souk_identity::session_key;
use souk_kit::{App, Keys, PasswordCost, Platform, Ports, Registry, Settings};
use souk_model::catalog::events::{PRODUCT_SOLD, ProductEvent};
use souk_model::identity::ACCOUNT;
use souk_sqlite::SystemRandom;

const OWNER: &str = "acc_0123456789abcdef0123456789abcdef";
const SESSION: &str = "ses_0123456789abcdef0123456789abcdef";
const START: i64 = 1_800_000_000_000;
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// A clock that moves when told to.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Messages that wait for their time.
#[derive(Default)]
struct Shelf(Mutex<Vec<Message>>);

#[async_trait]
impl Queue for Shelf {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        self.0.lock().unwrap().extend_from_slice(messages);
        Ok(())
    }
    async fn backlog(&self, _: Lane) -> Result<Backlog, QueueError> {
        Ok(Backlog::default())
    }
}

type Answers = dyn Fn(i64) -> Result<u16, OutboundError> + Send + Sync;

/// What is called instead of the world: it answers by the time, in milliseconds since the start.
struct Receiver {
    clock: Arc<Hands>,
    answers: Box<Answers>,
    /// Whether it repeats challenges.
    is_willing: bool,
    /// When it was called, and with which `webhook-id`.
    calls: Mutex<Vec<(i64, String)>>,
}

#[async_trait]
impl Outbound for Receiver {
    async fn call(&self, call: Call) -> Result<Reply, OutboundError> {
        let now = self.clock.0.load(Ordering::SeqCst) - START;
        let header = |name: &str| call.headers.iter().find(|(known, _)| known == name);
        if let Some((_, challenge)) = header("webhook-challenge")
            && self.is_willing
        {
            return Ok(Reply {
                status: 200,
                headers: Vec::new(),
                body: challenge.clone().into(),
                truncated: false,
            });
        }
        let id = header("webhook-id").unwrap();
        self.calls.lock().unwrap().push((now, id.1.clone()));
        let answer = (self.answers)(now);
        if answer == Err(OutboundError::TimedOut) {
            self.clock.0.fetch_add(call.timeout_ms.into(), Ordering::SeqCst);
        }
        answer.map(|status| Reply {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            truncated: false,
        })
    }
}

struct World {
    clock: Arc<Hands>,
    shelf: Arc<Shelf>,
    receiver: Arc<Receiver>,
    platform: Arc<Platform>,
    app: App,
    webhook: String,
    _folder: tempfile::TempDir,
}

impl World {
    /// A market in which somebody has a webhook for what is sold.
    async fn new(answers: impl Fn(i64) -> Result<u16, OutboundError> + Send + Sync + 'static) -> Self {
        Self::of(answers, true).await
    }

    async fn of(answers: impl Fn(i64) -> Result<u16, OutboundError> + Send + Sync + 'static, is_willing: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(AtomicI64::new(START)));
        let shelf = Arc::new(Shelf::default());
        let receiver = Arc::new(Receiver {
            clock: clock.clone(),
            answers: Box::new(answers),
            is_willing,
            calls: Mutex::default(),
        });
        let ports = Ports {
            documents: Arc::new(souk_sqlite::open(&folder.path().join("souk.db"), clock.clone()).unwrap()),
            queue: shelf.clone(),
            search: Arc::new(souk_core::search::NoSearch(None)),
            outbound: receiver.clone(),
            principals: Arc::new(souk_identity::Sessions),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
        };
        let keys = Keys::parse(&Keys::generate(&SystemRandom)).unwrap();
        let settings = Settings::from_lookup(|_| None, PasswordCost::SERVER).unwrap();
        // What is sold is an event of the catalog.
        let mut registry = Registry::of(&[souk_webhooks::function()]);
        registry.events = souk_market::registry().events;
        let platform = Arc::new(Platform::new(ports, keys, settings, registry));
        let account = Change::create(
            ACCOUNT.key(OWNER),
            r#"{"role":"member","active":true}"#.into(),
            Vec::new(),
        );
        let session = Change::create(session_key(OWNER, SESSION), "{}".into(), Vec::new());
        platform
            .commit(vec![account, session], Vec::new(), Vec::new())
            .await
            .unwrap();
        let mut world = Self {
            app: App::new(platform.clone(), [souk_webhooks::function()]),
            clock,
            shelf,
            receiver,
            platform,
            webhook: String::new(),
            _folder: folder,
        };
        let new = json!({ "url": "https://hooks.souk.example/", "events": ["product.sold", "webhook.*"] });
        let created = world.call("POST", "/v1/webhooks", Some(new)).await;
        world.webhook = created["id"].as_str().unwrap().to_owned();
        world.app.run_pending_work().await;
        world.run(0, 1).await;
        world
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let now = self.clock.now();
        let keys = &self.platform.keys;
        let token = keys
            .issue(OWNER, SESSION, &self.platform.settings.public_url, now)
            .unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Some(body.map_or(Bytes::new(), |body| body.to_string().into())))
            .unwrap();
        let response = self.app.handle(request).await;
        assert!(response.status().is_success(), "{response:?}");
        serde_json::from_slice(response.body()).unwrap_or_default()
    }

    /// Something is sold, so often.
    async fn sell(&self, times: usize) {
        let data = ProductEvent {
            product: "prd_1".into(),
            version: 1,
            status: "sold".into(),
            slug: "lamp".into(),
            title: "Lamp".into(),
            category: "cat_1".into(),
            author: OWNER.into(),
            vendor: None,
            changed: Vec::new(),
        };
        for _ in 0..times {
            let event = Event::new(PRODUCT_SOLD, &data, &Cause::default(), &*self.clock, &SystemRandom).unwrap();
            self.platform.commit(Vec::new(), vec![event], Vec::new()).await.unwrap();
        }
        self.app.run_pending_work().await;
    }

    /// Does what is due until `end` milliseconds after the start, delivering each message so often.
    async fn run(&self, end: i64, copies: usize) {
        let due = |message: &Message| message.not_before.unwrap_or(message.created_at).as_millisecond();
        loop {
            let message = {
                let mut shelf = self.shelf.0.lock().unwrap();
                let next = (0..shelf.len()).min_by_key(|n| due(&shelf[*n]));
                match next.filter(|n| due(&shelf[*n]) <= START + end) {
                    Some(next) => shelf.remove(next),
                    None => break,
                }
            };
            self.clock.0.fetch_max(due(&message), Ordering::SeqCst);
            let deliveries = 1;
            for _ in 0..copies {
                let message = message.clone();
                let outcome = self.app.work(vec![Delivery { message, deliveries }]).await;
                assert_eq!(outcome, [Outcome::Done]);
            }
        }
        self.clock.0.fetch_max(START + end, Ordering::SeqCst);
    }

    async fn log(&self) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/webhooks/{}/deliveries?limit=100{cursor}", self.webhook);
            let mut page = self.call("GET", &path, None).await;
            all.append(page["items"].as_array_mut().unwrap());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        // What verifies the URL.
        all.retain(|delivery| delivery["type"] != "webhook.test");
        all
    }

    /// How many deliveries stand how.
    async fn statuses(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for delivery in self.log().await {
            *counts
                .entry(delivery["status"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        counts
    }

    fn calls(&self) -> Vec<(i64, String)> {
        self.receiver.calls.lock().unwrap().clone()
    }
}

fn only(status: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(status.to_owned(), count)])
}

#[tokio::test]
async fn attempts_keep_to_the_published_schedule_and_then_end() {
    for copies in [1, 3] {
        let world = World::new(|_| Ok(500)).await;
        world.sell(1).await;
        world.run(2 * DAY, copies).await;
        let calls = world.calls();
        let gaps: Vec<i64> = calls.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let schedule = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200].map(|seconds| seconds * SECOND);
        assert_eq!(gaps.len(), schedule.len(), "{gaps:?}");
        for (gap, published) in gaps.iter().zip(schedule) {
            assert!((published..=published + published / 10).contains(gap), "{gaps:?}");
        }
        let log = world.log().await;
        assert_eq!(
            (&log[0]["status"], &log[0]["error"]),
            (&json!("failed"), &json!("every attempt has failed"))
        );
        assert_eq!(log[0]["attempts"].as_array().unwrap().len(), 9);
        assert!(calls.iter().all(|(_, id)| log[0]["id"] == **id));
        assert!(world.shelf.0.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_all_that_it_missed() {
    let world = World::new(|now| {
        if now < 2 * HOUR {
            Err(OutboundError::TimedOut)
        } else {
            Ok(204)
        }
    })
    .await;
    world.sell(100).await;
    world.run(2 * HOUR, 1).await;
    // The circuit kept most of them from being tried in vain: a handful of time-outs, and one in ten minutes after that.
    let in_vain = world.calls().len();
    assert!(in_vain < 30, "{in_vain}");
    assert_eq!(world.statuses().await, only("pending", 100));
    world.run(DAY, 1).await;
    assert_eq!(world.statuses().await, only("delivered", 100));
    assert_eq!(world.calls().len(), in_vain + 100);
}

#[tokio::test]
async fn a_receiver_that_stays_away_is_switched_off_after_a_day_with_notice() {
    let world = World::new(|_| Err(OutboundError::Failed("refused".into()))).await;
    world.sell(20).await;
    world.run(DAY - HOUR, 1).await;
    let path = format!("/v1/webhooks/{}", world.webhook);
    assert_eq!(world.call("GET", &path, None).await["enabled"], json!(true));
    world.run(3 * DAY, 1).await;
    let webhook = world.call("GET", &path, None).await;
    assert_eq!(webhook["enabled"], json!(false));
    assert!(
        webhook["disabled_reason"].as_str().unwrap().contains("over a day"),
        "{webhook}"
    );
    assert_eq!(world.statuses().await, only("failed", 20));
    assert!(world.shelf.0.lock().unwrap().is_empty());
    // Enabled again it begins anew: the old failures do not switch it off at the first new one.
    world.call("PATCH", &path, Some(json!({ "enabled": true }))).await;
    world.sell(1).await;
    world.run(3 * DAY + HOUR, 1).await;
    assert_eq!(world.call("GET", &path, None).await["enabled"], json!(true));
}

#[tokio::test]
async fn a_burst_is_drawn_out() {
    let world = World::new(|_| Ok(200)).await;
    world.sell(220).await;
    world.run(HOUR, 2).await;
    assert_eq!(world.statuses().await, only("delivered", 220));
    let times: Vec<i64> = world.calls().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times.len(), 220);
    // At most 20 at once and 10 a second, wherever one looks.
    for (n, at) in times.iter().enumerate() {
        let within = |ms: i64| times.iter().skip(n).filter(|other| **other < at + ms).count();
        assert!(
            within(1) <= 20 && within(SECOND) <= 30 && within(10 * SECOND) <= 120,
            "{times:?}"
        );
    }
    assert!(times.last().unwrap() - times[0] <= 21 * SECOND);
}

#[tokio::test]
async fn events_wait_a_day_for_a_url_to_be_verified() {
    for status in [204, 500] {
        let world = World::of(move |_| Ok(status), false).await;
        world.sell(3).await;
        world.run(23 * HOUR, 1).await;
        assert_eq!(world.statuses().await, only("pending", 3));
        world.run(27 * HOUR, 1).await;
        assert_eq!(world.statuses().await, only("failed", 3));
        assert!(world.log().await[0]["error"].as_str().unwrap().contains("not verified"));
        // Replays, which are not limited, call nobody.
        let path = format!("/v1/webhooks/{}/deliveries", world.webhook);
        let page = world.call("GET", &path, None).await;
        let all = page["items"].as_array().unwrap();
        assert!(all.iter().any(|delivery| delivery["type"] == "webhook.test"));
        for delivery in all {
            let path = format!("{path}/{}/replay", delivery["id"].as_str().unwrap());
            world.call("POST", &path, None).await;
        }
        world.app.run_pending_work().await;
        world.run(60 * HOUR, 1).await;
        // A response that is not the challenge is one; if there is none that counts, there are three attempts.
        assert_eq!(world.calls().len(), if status == 204 { 1 } else { 3 });
        assert!(world.shelf.0.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_test_is_for_the_url_that_it_was_sent_for() {
    let world = World::of(|_| Ok(500), false).await;
    assert_eq!(world.calls().len(), 1);
    let path = format!("/v1/webhooks/{}", world.webhook);
    let moved = json!({ "url": "https://others.souk.example/" });
    world.call("PATCH", &path, Some(moved)).await;
    world.app.run_pending_work().await;
    world.run(HOUR, 1).await;
    // The three attempts of the new URL's own test, and none of those that were left of the old one's.
    assert_eq!(world.calls().len(), 1 + 3);
}
