//! Random histories of changes and rebuilds: what an index has after each step is what the model says.
//!
//! `SOUK_TEST_HISTORIES` says how many (a tenth of it; 1,000 unless told); a failing one is shortened before it is shown.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use souk_core::search::{IndexChange, Listing, SearchError, SearchQuery};

use super::bench::{Bench, Made, text};
use crate::contract::bench::{missing, skipped, unique};

const PRODUCTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Plan>),
    Begin,
    /// Fills the last generation that was begun.
    Fill(Vec<(usize, u64)>),
    Finish,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Put(usize, u64),
    Remove(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (product, version) = (0..PRODUCTS, 1_u64..6);
    let plan = prop_oneof![
        3 => (product.clone(), version.clone()).prop_map(|(product, version)| Plan::Put(product, version)),
        1 => (product.clone(), version.clone()).prop_map(|(product, version)| Plan::Remove(product, version)),
    ];
    prop_oneof![
        8 => prop::collection::vec(plan, 1..5).prop_map(Step::Apply),
        2 => Just(Step::Begin),
        3 => prop::collection::vec((product, version), 0..4).prop_map(Step::Fill),
        2 => Just(Step::Finish),
    ]
}

/// What an index has: versions with the number of the step that put them.
type Products = BTreeMap<usize, (u64, usize)>;

#[derive(Default)]
struct Model {
    live: Products,
    building: Option<Products>,
    gone: BTreeMap<usize, u64>,
}

impl Model {
    fn put(products: &mut Products, gone: &BTreeMap<usize, u64>, product: usize, version: u64, step: usize) {
        let newer = products.get(&product).is_none_or(|(stands, _)| *stands <= version);
        if newer && gone.get(&product).is_none_or(|gone| *gone < version) {
            products.insert(product, (version, step));
        }
    }

    fn apply(&mut self, plan: Plan, step: usize) {
        for products in std::iter::once(&mut self.live).chain(&mut self.building) {
            match plan {
                Plan::Put(product, version) => Self::put(products, &self.gone, product, version, step),
                Plan::Remove(product, version) => products.retain(|p, (stands, _)| *p != product || *stands > version),
            }
        }
        if let Plan::Remove(product, version) = plan {
            let gone = self.gone.entry(product).or_default();
            *gone = version.max(*gone);
        }
    }
}

/// Checks an adapter against the model, if it can be opened here.
pub fn agree(make: impl AsyncFnOnce() -> Made, turn: &tokio::sync::Mutex<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let _turn = runtime.block_on(turn.lock());
    let bench = match runtime.block_on(make()) {
        Made::Ready(index, keep) => Bench::new(index, keep),
        Made::Missing(set) => return missing(set),
        Made::Skipped(set) => return skipped(set),
    };
    let wanted: u32 = std::env::var("SOUK_TEST_HISTORIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let config = Config {
        cases: wanted.div_ceil(10),
        failure_persistence: None,
        max_shrink_iters: 500,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&prop::collection::vec(step(), 0..14), |steps| {
        runtime
            .block_on(replay(&bench, &unique(), &steps))
            .map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => runtime.block_on(bench.empty()),
        Err(TestError::Fail(why, steps)) => panic!("the index and the model differ: {why}\nafter {steps:#?}"),
        Err(other) => panic!("{other}"),
    }
}

async fn replay(bench: &Bench, prefix: &str, steps: &[Step]) -> Result<(), String> {
    bench.empty().await;
    let id = |product: usize| format!("prd_{prefix}_{product}");
    let listing = |product: usize, version: u64, step: usize| Listing {
        body: serde_json::json!({ "step": step }).to_string(),
        ..super::bench::listing(&id(product), version, &format!("word{step}"))
    };
    let (mut model, mut generation) = (Model::default(), 0);
    for (n, step) in steps.iter().enumerate() {
        let done = match step {
            Step::Apply(plans) => {
                let changes: Vec<_> = plans
                    .iter()
                    .map(|plan| match *plan {
                        Plan::Put(product, version) => IndexChange::Put(Box::new(listing(product, version, n))),
                        Plan::Remove(product, version) => IndexChange::Remove {
                            id: id(product),
                            version,
                        },
                    })
                    .collect();
                plans.iter().for_each(|plan| model.apply(*plan, n));
                bench.index.apply(&changes).await
            }
            Step::Begin => {
                model.building = Some(Products::new());
                bench.index.begin().await.map(|begun| generation = begun)
            }
            Step::Fill(plans) => {
                let listings: Vec<_> = plans
                    .iter()
                    .map(|(product, version)| listing(*product, *version, n))
                    .collect();
                let expected = model.building.as_mut().map(|building| {
                    for (product, version) in plans {
                        Model::put(building, &model.gone, *product, *version, n);
                    }
                });
                superseded(bench.index.fill(generation, &listings).await, expected)
            }
            Step::Finish => {
                let expected = model.building.take().map(|building| model.live = building);
                superseded(bench.index.finish(generation).await, expected)
            }
        };
        done.map_err(|e| format!("step {n}: {e}"))?;
        let page = bench.page(&SearchQuery { limit: 100, ..text("") }).await;
        let found: BTreeSet<_> = page
            .hits
            .into_iter()
            .map(|hit| (hit.id, hit.version, hit.body))
            .collect();
        let expected: BTreeSet<_> = model
            .live
            .iter()
            .map(|(product, (version, step))| (id(*product), *version, listing(*product, *version, *step).body))
            .collect();
        let state = bench.index.state().await.map_err(|e| e.to_string())?;
        if found != expected {
            return Err(format!("after step {n} it has {found:#?}, but the model {expected:#?}"));
        }
        if (state.listings, state.building.is_some()) != (expected.len() as u64, model.building.is_some()) {
            return Err(format!(
                "after step {n} it says {state:?}, but has {} products",
                expected.len()
            ));
        }
        // The words of what was replaced are gone with it.
        for (step, _) in steps.iter().enumerate().take(n + 1) {
            let page = bench.page(&text(&format!("\"word{step}\""))).await;
            let has = model.live.values().filter(|(_, put)| *put == step).count();
            if page.hits.len() != has {
                return Err(format!(
                    "after step {n}, {} products have the word of step {step}, not {has}",
                    page.hits.len()
                ));
            }
        }
    }
    Ok(())
}

/// Takes the refusal for done where the model has nothing that could be filled or finished.
fn superseded(result: Result<(), SearchError>, expected: Option<()>) -> Result<(), SearchError> {
    match (result, expected) {
        (Err(SearchError::Superseded), None) => Ok(()),
        (Ok(()), None) => Err(SearchError::Unavailable(
            "something was filled or finished that is not being built".into(),
        )),
        (result, _) => result,
    }
}
