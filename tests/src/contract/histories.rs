//! Random histories: every answer of an adapter must be one that the [`Model`] gives or allows.
//!
//! A history is a few steps over a handful of keys and indexes, so that they collide. Its steps are drawn without
//! knowledge of the state; what a writer must know (the version it read, the entries its document has) is filled in from
//! the model when the step is reached. `SOUK_TEST_HISTORIES` says how many (1,000 unless told); a failing one is
//! shortened before it is shown.
//!
//! `WIDTH` histories are told at a time, each under names of its own, because a server answers many callers in little
//! more time than one. They share a clock, so they take each step together and the clock moves between steps only.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use souk_core::Consistency::Strong;
use souk_core::documents::Source;
use souk_core::{Change, Condition, Documents, Entry, Key, Page, Query, StoreError};

use super::bench::{Bench, Made, TestClock, body, comparable, open};
use super::model::Model;
use super::steps::{AFTERS, COUNTERS, INDEXES, KEYS, PREFIXES, Plan, RANKS, Step, Wanted, step};

/// How many histories run side by side.
const WIDTH: u32 = 10;

/// Checks an adapter against the model, if it can be opened here, alone among the tests that share `turn`.
pub fn agree(name: &str, make: impl AsyncFnOnce(Arc<TestClock>) -> Made, turn: &tokio::sync::Mutex<()>) {
    let wanted: u32 = std::env::var("SOUK_TEST_HISTORIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let Some(bench) = runtime.block_on(open(make)) else {
        return;
    };
    let _turn = runtime.block_on(turn.lock());
    let config = Config {
        cases: wanted.div_ceil(WIDTH),
        failure_persistence: None,
        max_shrink_iters: 2000,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let histories = prop::collection::vec(prop::collection::vec(step(), 0..16), WIDTH as usize);
    let (started, count) = (std::time::Instant::now(), config.cases * WIDTH);
    let result = TestRunner::new(config).run(&histories, |histories| {
        runtime
            .block_on(replay(&bench, &histories))
            .map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => println!("{name}: {count} histories in {:.1} s", started.elapsed().as_secs_f64()),
        Err(TestError::Fail(why, mut histories)) => {
            histories.retain(|steps| !steps.is_empty());
            panic!("{name} and the model differ: {why}\nafter {histories:#?}");
        }
        Err(other) => panic!("{name}: {other}"),
    }
}

/// Runs histories against models and the adapter. `Err` says where they part.
async fn replay(bench: &Bench, histories: &[Vec<Step>]) -> Result<(), String> {
    let told: Vec<History> = histories
        .iter()
        .map(|_| bench.renamed())
        .map(|bench| History {
            model: Model::new(bench.clock.clone()),
            bench,
        })
        .collect();
    for n in 0..histories.iter().map(Vec::len).max().unwrap_or(0) {
        let steps = histories.iter().map(|steps| steps.get(n));
        let taken = told.iter().zip(steps.clone()).map(|(history, step)| async move {
            match step {
                Some(step) => history.take(step).await,
                None => Ok(()),
            }
        });
        try_join_all(taken).await.map_err(|why| format!("at step {n}: {why}"))?;
        for step in steps.flatten() {
            if let Step::Wait(millis) = step {
                bench.clock.advance(*millis);
            }
        }
    }
    let looks = told.iter().map(History::look);
    try_join_all(looks).await.map_err(|why| format!("at the end: {why}"))?;
    Ok(())
}

struct History {
    bench: Bench,
    model: Model,
}

impl History {
    /// Looks at everything there is.
    async fn look(&self) -> Result<(), String> {
        self.take(&Step::Get((0..KEYS.len()).collect())).await?;
        for place in 0..2 + INDEXES.len() {
            let descending = !place.is_multiple_of(2);
            let step = Step::Query {
                place,
                prefix: 0,
                descending,
                limit: 100,
                after: None,
            };
            self.take(&step).await?;
        }
        Ok(())
    }

    async fn take(&self, step: &Step) -> Result<(), String> {
        let store = &self.bench.store;
        match step {
            Step::Commit(plans) => self.commit(plans).await,
            Step::Get(keys) => {
                let keys: Vec<Key> = keys.iter().map(|&n| self.key(n)).collect();
                let found = store.get(&keys, Strong).await.map(|found| {
                    found
                        .into_iter()
                        .map(|document| document.map(comparable))
                        .collect::<Vec<_>>()
                });
                same("get", &found, &self.model.get(&keys, Strong).await)
            }
            Step::Query {
                place,
                prefix,
                descending,
                limit,
                after,
            } => {
                let source = match place {
                    0 => Source::Partition(self.bench.partition("p")),
                    1 => Source::Partition(self.bench.partition("q")),
                    n => Source::Index(self.bench.index(INDEXES[n - 2])),
                };
                let (prefix, after) = (PREFIXES[*prefix].to_owned(), after.map(|n| AFTERS[n].to_owned()));
                self.query(&Query {
                    source,
                    prefix,
                    descending: *descending,
                    limit: *limit,
                    after,
                    count: 0,
                })
                .await
            }
            // The clock is everyone's.
            Step::Wait(_) => Ok(()),
        }
    }

    async fn commit(&self, plans: &[Plan]) -> Result<(), String> {
        let mut seen = HashSet::new();
        let changes: Vec<Change> = plans
            .iter()
            .map(|plan| self.change(plan))
            .filter(|change| seen.insert(change.key().clone()))
            .collect();
        let failing = self.model.failing(&changes);
        let expected = self.model.commit(souk_core::Commit::new(changes.clone())).await;
        let actual = self.bench.commit(changes.clone()).await;
        let agree = match (&expected, &actual) {
            (Err(StoreError::Conflict(_)), Err(StoreError::Conflict(n))) => failing.contains(n),
            (Err(StoreError::Refused(_)), Err(StoreError::Refused(_))) => true,
            _ => expected == actual,
        };
        if agree {
            Ok(())
        } else {
            Err(format!(
                "commit of {changes:#?}: {actual:?}, but the model {expected:?}"
            ))
        }
    }

    /// Walks all the pages. A page may hold fewer than asked for, but only where something has expired.
    async fn query(&self, query: &Query) -> Result<(), String> {
        let mut query = query.clone();
        let short = match &query.source {
            Source::Partition(pk) => self.model.has_expired(pk),
            Source::Index(_) => false,
        };
        for _ in 0..100 {
            let actual = self.bench.page(&query).await;
            let expected = self.model.query(&query, Strong).await.map_err(|e| e.to_string())?;
            let rest = Query {
                after: actual.next.clone(),
                limit: 100,
                ..query.clone()
            };
            if short {
                let whole = Query {
                    limit: 100,
                    ..query.clone()
                };
                let all = self.model.query(&whole, Strong).await.map_err(|e| e.to_string())?;
                let mut joined = actual.items.clone();
                if actual.next.is_some() {
                    joined.extend(self.model.query(&rest, Strong).await.map_err(|e| e.to_string())?.items);
                }
                same(&format!("{query:?}, joined with the rest,"), &joined, &all.items)?;
            } else {
                same(&format!("{query:?}"), &without_next(&actual), &without_next(&expected))?;
            }
            let Some(next) = actual.next else { return Ok(()) };
            query.after = Some(next);
        }
        Err(format!("{query:?} does not end"))
    }

    fn key(&self, n: usize) -> Key {
        let (pk, sk) = KEYS[n];
        self.bench.key(pk, sk)
    }

    fn condition(&self, wanted: Wanted, key: &Key) -> Condition {
        let version = self.model.version_of(key);
        match wanted {
            Wanted::Absent => Condition::Absent,
            Wanted::Fitting if version == 0 => Condition::Absent,
            Wanted::Exists => Condition::Exists,
            Wanted::Any => Condition::Any,
            Wanted::Fitting => Condition::Version(version),
            Wanted::Current(more) => Condition::Version(version + more),
        }
    }

    fn change(&self, plan: &Plan) -> Change {
        match plan {
            Plan::Put {
                key: n,
                body: number,
                counters,
                ttl,
                condition,
                places,
            } => {
                let key = self.key(*n);
                let before = self.model.entries_of(&key);
                // A document that expires has no entries, and one that has some cannot begin to.
                let expires_at = ttl
                    .filter(|_| before.is_empty())
                    .map(|millis| self.bench.clock.ahead(millis));
                let mut after: Vec<Entry> = places
                    .iter()
                    .filter(|_| expires_at.is_none())
                    .map(|(index, rank)| self.bench.entry(INDEXES[*index], &format!("{}/{n}", RANKS[*rank])))
                    .collect();
                after.sort();
                after.dedup();
                Change::Put {
                    body: body(*number),
                    counters: counters.iter().map(|&n| COUNTERS[n].to_owned()).collect(),
                    expires_at,
                    condition: self.condition(*condition, &key),
                    stale: before.iter().filter(|entry| !after.contains(entry)).cloned().collect(),
                    entries: after.into_iter().filter(|entry| !before.contains(entry)).collect(),
                    key,
                }
            }
            Plan::Delete { key, condition } => {
                let key = self.key(*key);
                let condition = self.condition(*condition, &key);
                Change::Delete {
                    condition,
                    stale: self.model.entries_of(&key),
                    key,
                }
            }
            Plan::Add { key, counter, delta } => Change::Add {
                key: self.key(*key),
                counter: COUNTERS[*counter].to_owned(),
                delta: *delta,
            },
            Plan::Require { key, condition } => {
                let key = self.key(*key);
                Change::Require {
                    condition: self.condition(*condition, &key),
                    key,
                }
            }
        }
    }
}

/// A page with only whether something follows, as where to go on is the store's own affair.
fn without_next(page: &Page) -> (&[souk_core::Item], bool) {
    (&page.items, page.next.is_some())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, actual: &T, expected: &T) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what}: {actual:#?}, but the model {expected:#?}"))
    }
}
