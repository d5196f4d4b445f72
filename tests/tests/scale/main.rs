//! No read's cost grows with the data: what a get and a list take of the store, counted in a small market and in one
//! that is many times as large.
//!
//! The reads are those of the catalog, through its routes. On SQLite the steps of its virtual machine are counted, on
//! DynamoDB the calls, the items and the capacity units. Unlike times, these are the same on every machine and every day
//! (`infra/bench/scale.py` measures times).
//!
//! `SOUK_TEST_SCALE` is the size of the large market (5,000). DynamoDB: `SOUK_TEST_DYNAMODB` holds an emulator's address,
//! with the feature `dynamodb`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test, on a real machine: a panic is how it fails"
)]

#[cfg(feature = "dynamodb")]
mod dynamodb;
mod market;
mod sqlite;
mod totals;
mod viewer;

use std::collections::BTreeMap;
use std::env;
use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::{Backlog, QueueError};
use souk_core::search::NoSearch;
use souk_core::{Documents, Lane, Message, Outbound, Queue, Search};
use souk_kit::{App, Keys, PasswordCost, Platform, Ports, Principals, Registry, Settings};
use souk_sqlite::{SystemClock, SystemRandom};

/// How many products the small market has.
const SMALL: u32 = 1_000;
/// How many times the cost may grow.
const AT_MOST: f64 = 1.3;

/// What a request took of its store, by the name of what was counted.
type Cost = BTreeMap<&'static str, f64>;

/// Where nothing ever goes in this test.
struct Nowhere;

#[async_trait]
impl Queue for Nowhere {
    async fn send(&self, _: &[Message]) -> Result<(), QueueError> {
        Ok(())
    }

    async fn backlog(&self, _: Lane) -> Result<Backlog, QueueError> {
        Ok(Backlog::default())
    }
}

#[async_trait]
impl Outbound for Nowhere {
    async fn call(&self, _: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Failed("there is nobody".into()))
    }
}

/// The catalog over some store.
struct Catalog {
    platform: Arc<Platform>,
    app: App,
}

impl Catalog {
    fn new(documents: Arc<dyn Documents>) -> Self {
        Self::with(documents, Arc::new(souk_identity::Sessions))
    }

    fn with(documents: Arc<dyn Documents>, principals: Arc<dyn Principals>) -> Self {
        Self::searching(documents, principals, Arc::new(NoSearch(None)))
    }

    fn searching(documents: Arc<dyn Documents>, principals: Arc<dyn Principals>, search: Arc<dyn Search>) -> Self {
        let settings = Settings::from_lookup(|_| None, PasswordCost::SERVER).unwrap();
        let ports = Ports {
            documents,
            queue: Arc::new(Nowhere),
            search,
            outbound: Arc::new(Nowhere),
            principals,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let keys = Keys::parse(&Keys::generate(&SystemRandom)).unwrap();
        let functions = [souk_catalog::function()];
        let platform = Arc::new(Platform::new(ports, keys, settings, Registry::of(&functions)));
        Self {
            app: App::new(platform.clone(), functions),
            platform,
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self
            .app
            .handle(Request::get(path).body(Some(Bytes::new())).unwrap())
            .await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {:?}", answer.body());
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// The cursor to the second half of `size` published products.
    async fn cursor(&self, size: u32) -> String {
        let mut cursor = String::new();
        for _ in 0..size / 200 {
            let page = self.get(&format!("/v1/products?limit=100{cursor}")).await;
            cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
        }
        cursor
    }

    /// What each kind of read takes in a market of this size: the most that any of some samples took.
    async fn costs(&self, size: u32, take: &impl Fn() -> Cost) -> BTreeMap<String, Cost> {
        let cursor = self.cursor(size).await;
        let samples = (0..10).map(|n| size / 10 * n + 7);
        let one = |path: &dyn Fn(u32) -> String| samples.clone().map(path).collect::<Vec<_>>();
        let list = |query: &str| vec![format!("/v1/products?limit=20{query}")];
        // A first page also counts, up to a bound that these lists reach in the large market only.
        let second = async |query: &str| {
            let path = format!("/v1/products?limit=20{query}");
            let cursor = self.get(&path).await["next_cursor"].clone();
            vec![format!("{path}&cursor={}", cursor.as_str().unwrap())]
        };
        let reads = [
            ("get", one(&|n| format!("/v1/products/{}", market::id(n)))),
            ("get by slug", one(&|n| format!("/v1/products/{}", market::slug(n)))),
            (
                "get include",
                one(&|n| format!("/v1/products/{}?include=category,author", market::id(n))),
            ),
            ("list", list("")),
            ("list 100", vec!["/v1/products?limit=100".into()]),
            ("list category", second("&category=category-3").await),
            ("list author", second(&format!("&author={}", market::author(3))).await),
            ("list tag", second("&tag=tag-3").await),
            ("list by price", list("&sort=price")),
            ("list by price, most expensive first", list("&sort=-price")),
            ("list include", list("&include=category,author")),
            ("list deep", list(&cursor)),
        ];
        let mut costs = BTreeMap::new();
        for (read, paths) in reads {
            let mut most = Cost::new();
            for path in paths {
                take();
                let shown = self.get(&path).await;
                let cost = take();
                let full = if path.contains("limit=100") { 100 } else { 20 };
                assert!(
                    shown["items"].as_array().is_none_or(|items| items.len() == full),
                    "{path}: not a full page"
                );
                for (what, count) in cost {
                    let known = most.entry(what).or_default();
                    *known = count.max(*known);
                }
            }
            costs.insert(read.to_owned(), most);
        }
        costs
    }
}

/// Fills `store` twice, and holds the costs against each other.
async fn prove(name: &str, store: Arc<dyn Documents>, counted: Arc<dyn Documents>, take: impl Fn() -> Cost) {
    let large = env::var("SOUK_TEST_SCALE").map_or(5_000, |text| text.parse().unwrap());
    let catalog = Catalog::new(counted);
    market::stage(&*store).await;
    market::fill(&*store, 0..SMALL).await;
    let before = catalog.costs(SMALL, &take).await;
    market::fill(&*store, SMALL..large).await;
    let after = catalog.costs(large, &take).await;
    say(&format!(
        "{name}: {:24}{SMALL:>26} products{large:>26} products",
        "most of any sample"
    ));
    let mut worst: f64 = 0.0;
    for (read, small) in &before {
        let show = |cost: &Cost| {
            cost.iter()
                .map(|(what, n)| format!("{n} {what}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        say(&format!(
            "{name}: {read:24}{:>35}{:>35}",
            show(small),
            show(&after[read])
        ));
        for (what, count) in &after[read] {
            worst = worst.max(count / small[what]);
        }
    }
    say(&format!(
        "{name}: {:.0} times the products, at most {worst:.2} times the cost",
        f64::from(large) / f64::from(SMALL)
    ));
    assert!(worst <= AT_MOST);
}

/// Not `eprintln`, which the test harness keeps to itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
