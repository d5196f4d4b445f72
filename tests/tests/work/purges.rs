//! The cache in front is told of exactly what changed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use http::{Method, Request};
use serde_json::{Value, json};
use souk_core::edge::{EdgeCache, EdgeError, MAX_TAGS};
use souk_core::queue::{Delivery, Outcome};
use souk_core::{Lane, Message};

use crate::seed;
use crate::world::{Process, World};

/// A cache that keeps what it is told, or is busy.
#[derive(Default)]
struct Cdn {
    purges: Mutex<Vec<(String, Vec<String>)>>,
    busy: AtomicUsize,
}

#[async_trait]
impl EdgeCache for Cdn {
    async fn purge(&self, reference: &str, tags: &[String]) -> Result<(), EdgeError> {
        let is_busy = |left: usize| left.checked_sub(1);
        if self
            .busy
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_busy)
            .is_ok()
        {
            return Err(EdgeError("TooManyInvalidationsInProgress".into()));
        }
        self.purges.lock().unwrap().push((reference.into(), tags.to_vec()));
        Ok(())
    }
}

/// A market with somebody who sells and the operator.
struct Market {
    world: World,
    process: Process,
    cdn: Arc<Cdn>,
    admin: String,
    category: String,
}

impl Market {
    fn new() -> Self {
        let cdn = Arc::new(Cdn::default());
        let mut world = World::new(seed());
        world.edge = Some(cdn.clone());
        let process = world.start(vec![
            souk_catalog::function(),
            souk_community::function(),
            souk_vendors::function(),
            souk_ops::purge::function(),
        ]);
        let admin = world.admin(&process);
        let mut market = Self {
            world,
            process,
            cdn,
            admin,
            category: String::new(),
        };
        market.category = market.add("/v1/categories", json!({ "name": "Lamps", "attributes": [] }));
        market.purged();
        market
    }

    fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = self.world.call(&self.process, &self.admin, method, path, body);
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// Adds a thing; its id.
    fn add(&self, path: &str, new: Value) -> String {
        self.call(Method::POST, path, new)["id"].as_str().unwrap().to_owned()
    }

    /// A product that everyone can see, or a draft.
    fn product(&self, n: usize, is_public: bool) -> String {
        let price = json!({ "amount": 100, "currency": "EUR" });
        let new = json!({ "title": format!("Lamp {n}"), "category": self.category, "price": price });
        let id = self.add("/v1/products", new);
        if is_public {
            self.call(Method::POST, &format!("/v1/products/{id}/publish"), Value::Null);
        }
        id
    }

    fn edit(&self, path: &str, patch: Value) {
        self.call(Method::PATCH, path, patch);
    }

    /// The messages that wait for the job.
    fn waiting(&self) -> Vec<Message> {
        self.world.run(self.process.app.run_pending_work());
        let rows = self.world.queue.rows.lock().unwrap();
        let own = rows.iter().filter(|row| row.message.job == "ops.purge");
        own.map(|row| row.message.clone()).collect()
    }

    /// Works everything off; the tags of each purge.
    fn purged(&self) -> Vec<Vec<String>> {
        self.world.run(self.process.app.run_pending_work());
        self.world.drain(&self.process);
        let purges = std::mem::take(&mut *self.cdn.purges.lock().unwrap());
        purges.into_iter().map(|(_, tags)| tags).collect()
    }

    /// Delivers messages to the job; the one purge that they make.
    fn deliver(&self, messages: &[Message]) -> (String, Vec<String>) {
        let deliveries = messages.iter().map(|message| Delivery {
            message: message.clone(),
            deliveries: 1,
        });
        let outcomes = self.world.run(self.process.app.work(deliveries.collect()));
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
        let purges = std::mem::take(&mut *self.cdn.purges.lock().unwrap());
        assert_eq!(purges.len(), 1);
        purges.into_iter().next().unwrap()
    }

    /// What somebody unknown is answered, and its tags.
    fn answer(&self, path: &str) -> (Bytes, BTreeSet<String>) {
        let request = Request::get(path).body(Some(Bytes::new())).unwrap();
        let answer = self.world.run(self.process.app.handle(request));
        let header = |name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let tags: BTreeSet<_> = header("cache-tag")
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect();
        if !tags.is_empty() {
            // By then a purge is given up.
            let seconds = header("cache-control")
                .split(['=', ','])
                .filter_map(|text| text.parse::<u32>().ok());
            assert!((1..=660).contains(&seconds.sum::<u32>()), "{path}");
        }
        (answer.into_body(), tags)
    }
}

#[test]
fn a_change_is_one_purge_of_what_it_made() {
    let market = Market::new();
    let (product, draft) = (market.product(1, true), market.product(2, false));
    let vendor = market.add("/v1/vendors", json!({ "name": "Shop" }));
    assert_eq!(market.purged(), [["products", "vendors", &product]]);
    let comment = market.add(
        &format!("/v1/products/{product}/comments"),
        json!({ "body": "Does it leak?" }),
    );
    market.call(Method::PUT, &format!("/v1/products/{product}/upvote"), Value::Null);
    market.edit(&format!("/v1/products/{draft}"), json!({ "title": "Lantern" }));
    assert!(
        market.purged().is_empty(),
        "what nobody could see, and what costs too much"
    );

    let post = |path: String| market.call(Method::POST, &path, Value::Null);
    let products = [["products".to_owned(), product.clone()]];
    market.edit(&format!("/v1/products/{product}"), json!({ "title": "Torch" }));
    assert_eq!(market.purged(), products);
    for step in ["archive", "publish", "sold"] {
        post(format!("/v1/products/{product}/{step}"));
        assert_eq!(market.purged(), products, "{step}");
    }
    market.edit(&format!("/v1/comments/{comment}"), json!({ "body": "It does." }));
    assert_eq!(market.purged(), [[product.clone()]]);
    market.call(Method::DELETE, &format!("/v1/comments/{comment}"), Value::Null);
    assert_eq!(market.purged(), [[product.clone()]]);
    market.call(Method::DELETE, &format!("/v1/products/{product}"), Value::Null);
    assert_eq!(market.purged(), products);
    market.edit(
        &format!("/v1/categories/{}", market.category),
        json!({ "name": "Lights" }),
    );
    assert_eq!(market.purged(), [["categories", &market.category]]);
    market.edit(&format!("/v1/vendors/{vendor}"), json!({ "name": "Store" }));
    assert_eq!(market.purged(), [["vendors", &vendor]]);
}

#[test]
fn forty_edits_are_one_purge() {
    let market = Market::new();
    let mut products: Vec<_> = (0..11).map(|n| market.product(n, true)).collect();
    products.sort();
    market.purged();
    for (changed, expected) in [
        (10, [&["products".to_owned()], &products[..10]].concat()),
        // One more, and it is cheaper to let go of every product.
        (11, vec!["products".to_owned(), "product".to_owned()]),
    ] {
        for n in 0..40 {
            let path = format!("/v1/products/{}", products[n % changed]);
            market.edit(&path, json!({ "title": format!("Lamp {n} of {changed}") }));
        }
        assert_eq!(market.deliver(&market.waiting()).1, expected);
        market.purged();
    }
}

#[test]
fn messages_that_come_again_are_the_same_purge() {
    let market = Market::new();
    let products = [market.product(1, true), market.product(2, true)];
    market.purged();
    for product in &products {
        market.edit(&format!("/v1/products/{product}"), json!({ "title": "Torch" }));
    }
    let messages = market.waiting();
    let first = market.deliver(&messages);
    let turned: Vec<_> = messages.iter().rev().cloned().collect();
    assert_eq!(market.deliver(&turned), first);
    let one = market.deliver(&messages[..1]);
    assert_eq!(market.deliver(&[messages[0].clone(), messages[0].clone()]), one);
    assert_ne!(first.0, one.0);
}

#[test]
fn a_cache_that_is_busy_is_told_later() {
    let market = Market::new();
    let product = market.product(1, true);
    market.purged();
    let path = format!("/v1/products/{product}");
    market.cdn.busy.store(20, Ordering::SeqCst);
    for n in 0..3 {
        market.edit(&path, json!({ "title": format!("Torch {n}") }));
    }
    // More often than a job may fail, and all of it together in the end.
    assert_eq!(market.purged(), [["products", &product]]);
    assert!(market.world.partition("dead/default").is_empty());
    // By then nobody has an answer from before.
    market.cdn.busy.store(1000, Ordering::SeqCst);
    market.edit(&path, json!({ "title": "Lantern" }));
    assert!(market.purged().is_empty());
    let asked = 1000 - market.cdn.busy.load(Ordering::SeqCst);
    assert!((30..=34).contains(&asked), "every 20 s for 11 minutes: {asked}");
    assert!(market.world.partition("dead/default").is_empty());
}

/// Where nobody is to be told, nothing is sent; what was sent before does no harm.
#[test]
fn without_a_cache_in_front_nothing_is_told() {
    let world = World::new(seed());
    let process = world.start(vec![souk_ops::purge::function()]);
    let message = process.platform.message("ops.purge", Lane::Default, json!({}), None);
    let delivery = Delivery { message, deliveries: 1 };
    assert_eq!(world.run(process.app.work(vec![delivery])), [Outcome::Done]);
    assert!(souk_ops::function().subscriptions.is_empty());
}

/// Whatever an answer is made of: when that changes, one of its tags is purged.
#[test]
fn what_has_changed_bears_a_tag_that_is_purged() {
    let market = Market::new();
    let mut rng = Rng::with_seed(seed());
    let vendor = market.add("/v1/vendors", json!({ "name": "Shop" }));
    let products: Vec<_> = (0..6).map(|n| market.product(n, true)).collect();
    for product in &products[..3] {
        market.edit(
            &format!("/v1/products/{product}"),
            json!({ "vendor": vendor, "tags": ["brass"] }),
        );
    }
    let comments: Vec<_> = products
        .iter()
        .map(|product| market.add(&format!("/v1/products/{product}/comments"), json!({ "body": "Fine" })))
        .collect();
    market.purged();
    let category = &market.category;
    let mut paths: Vec<String> = [
        "/v1/products",
        "/v1/products?include=category,vendor,author",
        "/v1/products?sort=popular&limit=3",
        "/v1/products?sort=trending&include=category",
        "/v1/products?category=lamps&sort=price",
        "/v1/products?tag=brass",
        "/v1/products?status=sold",
        "/v1/categories",
        "/v1/categories/lamps",
        "/v1/vendors",
        "/v1/vendors/shop",
        "/v1/products/lamp-0",
        "/v1/products/lamp-0/comments",
    ]
    .map(str::to_owned)
    .into();
    paths.extend([
        format!("/v1/products?vendor={vendor}"),
        format!("/v1/products?category={category}&vendor={vendor}&include=vendor"),
        format!("/v1/categories/{category}"),
        format!("/v1/vendors/{vendor}"),
    ]);
    for (product, comment) in products.iter().zip(&comments) {
        paths.extend([
            format!("/v1/products/{product}"),
            format!("/v1/products/{product}?include=category,vendor&fields=title"),
            format!("/v1/products/{product}/comments"),
            format!("/v1/comments/{comment}"),
        ]);
    }
    let (mut changes, mut steps) = (0, 0);
    let mut before: Vec<_> = paths.iter().map(|path| market.answer(path)).collect();
    for n in 0..120 {
        let product = &products[rng.usize(..products.len())];
        let path = format!("/v1/products/{product}");
        let next = ["publish", "archive", "sold", "draft"][rng.usize(..4)];
        match rng.u8(..10) {
            0 => market.edit(
                &format!("/v1/categories/{category}"),
                json!({ "name": format!("Lamps {n}") }),
            ),
            1 => market.edit(&format!("/v1/vendors/{vendor}"), json!({ "name": format!("Shop {n}") })),
            2 => market.edit(
                &format!("/v1/comments/{}", comments[rng.usize(..6)]),
                json!({ "body": n.to_string() }),
            ),
            3 | 4 => market.edit(&path, json!({ "title": format!("Lamp {n}") })),
            5 => market.edit(
                &path,
                json!({ "vendor": if rng.bool() { json!(vendor) } else { Value::Null } }),
            ),
            6 => market.edit(
                &path,
                json!({ "tags": if rng.bool() { json!(["brass"]) } else { json!([]) } }),
            ),
            _ => {
                let target = format!("{path}/{next}");
                // Some steps are not possible from where it is.
                steps += usize::from(
                    market
                        .world
                        .call(&market.process, &market.admin, Method::POST, &target, None)
                        .0
                        == 200,
                );
            }
        }
        let purged: BTreeSet<String> = market.purged().into_iter().flatten().collect();
        for (path, old) in paths.iter().zip(&mut before) {
            let (body, tags) = market.answer(path);
            assert!(tags.len() <= MAX_TAGS);
            // What was refused was kept by nobody.
            if body != old.0 && !old.1.is_empty() {
                changes += 1;
                assert!(!old.1.is_disjoint(&purged), "{n} {path}: {:?} {purged:?}", old.1);
            }
            *old = (body, tags);
        }
    }
    assert!(changes > 300 && steps > 10, "{changes} {steps}");
}

/// An answer that is made of more than a cache takes tags for has the tags of lists for it.
#[test]
fn an_answer_has_no_more_tags_than_are_kept() {
    let market = Market::new();
    let first = market.product(0, true);
    market.purged();
    let (_, tags) = market.answer("/v1/products?sort=popular");
    assert_eq!(tags, ["product", "products", &first].map(str::to_owned).into());
    let (_, tags) = market.answer("/v1/products?include=category");
    assert_eq!(
        tags,
        ["category", "products", &market.category].map(str::to_owned).into()
    );
    for n in 1..60 {
        market.product(n, true);
    }
    market.purged();
    let (_, tags) = market.answer("/v1/products?sort=popular&limit=100");
    assert_eq!(tags, ["product", "products"].map(str::to_owned).into());
    for path in ["/.well-known/jwks.json", "/v1/products/none", "/v1/me"] {
        assert!(market.answer(path).1.is_empty(), "{path}");
    }
    let request = Request::get(format!("/v1/products/{first}"))
        .header("authorization", format!("Bearer {}", market.admin))
        .body(Some(Bytes::new()));
    let own = market.world.run(market.process.app.handle(request.unwrap()));
    assert!(own.status() == 200 && !own.headers().contains_key("cache-tag"));
}
