//! Counters: numbers beside the body.

use std::collections::BTreeMap;

use souk_core::{Condition, Key, Query, StoreError};

use crate::contract::Bench;
use crate::contract::bench::{add, counted, create, delete, put};

async fn counters(bench: &Bench, key: &Key) -> BTreeMap<String, i64> {
    serde_json::from_str(&bench.one(key).await.unwrap().counters).unwrap()
}

fn expected<const N: usize>(pairs: [(&str, i64); N]) -> BTreeMap<String, i64> {
    pairs.map(|(name, n)| (name.to_owned(), n)).into()
}

pub async fn adds(bench: &Bench) {
    let (key, other) = (bench.key("p", "a"), bench.key("p", "b"));
    assert_eq!(bench.commit([add(&key, "n", 1)]).await, Err(StoreError::Conflict(0)));
    assert_eq!(bench.one(&key).await, None);
    bench.done([create(&key, 1, []), create(&other, 1, [])]).await;
    bench.done([add(&key, "n", 3)]).await;
    bench.done([add(&key, "n", -5)]).await;
    bench.done([add(&key, "Views_2", 0), add(&other, "n", 7)]).await;
    assert_eq!(counters(bench, &key).await, expected([("n", -2), ("Views_2", 0)]));
    assert_eq!(counters(bench, &other).await, expected([("n", 7)]));
    let long = "n".repeat(40);
    bench.done([add(&other, &long, 1)]).await;
    assert_eq!(counters(bench, &other).await, expected([("n", 7), (&long, 1)]));
}

pub async fn initial(bench: &Bench) {
    let key = bench.key("p", "a");
    bench
        .done([counted(&key, 1, Condition::Absent, &["up", "views"])])
        .await;
    assert_eq!(counters(bench, &key).await, expected([("up", 0), ("views", 0)]));
    bench.done([add(&key, "up", 2)]).await;
    // A document that was there keeps exactly its own.
    for condition in [Condition::Any, Condition::Exists, Condition::Version(3)] {
        bench.done([counted(&key, 2, condition, &["up", "other"])]).await;
        assert_eq!(
            counters(bench, &key).await,
            expected([("up", 2), ("views", 0)]),
            "{condition:?}"
        );
    }
    let fresh = bench.key("p", "b");
    bench.done([counted(&fresh, 1, Condition::Any, &["up"])]).await;
    assert_eq!(counters(bench, &fresh).await, expected([("up", 0)]));
}

pub async fn survive_edits(bench: &Bench) {
    let key = bench.key("p", "a");
    bench.done([counted(&key, 1, Condition::Absent, &["n"])]).await;
    bench.done([add(&key, "n", 4)]).await;
    bench.done([put(&key, 2, Condition::Version(1))]).await;
    assert_eq!(counters(bench, &key).await, expected([("n", 4)]));
    bench.done([delete(&key, Condition::Version(2), [])]).await;
    bench.done([counted(&key, 3, Condition::Absent, &["n"])]).await;
    assert_eq!(counters(bench, &key).await, expected([("n", 0)]));
}

pub async fn apart_from_versions(bench: &Bench) {
    let key = bench.key("p", "a");
    bench.done([create(&key, 1, [bench.entry("i", "1/a")])]).await;
    bench.done([add(&key, "n", 1)]).await;
    bench.done([add(&key, "n", 1)]).await;
    assert_eq!(bench.one(&key).await.unwrap().version, 1);
    bench.done([put(&key, 2, Condition::Version(1))]).await;
    bench.done([add(&key, "n", 1)]).await;
    let document = bench.one(&key).await.unwrap();
    assert_eq!((document.version, document.counters.as_str()), (2, r#"{"n":3}"#));
    // Whichever way it is read.
    for query in [
        Query::index(bench.index("i"), 5),
        Query::partition(bench.partition("p"), 5),
    ] {
        assert_eq!(bench.page(&query).await.items[0].document, document);
    }
}

/// Whole numbers stay whole and exact up to 2^53 - 1.
pub async fn large(bench: &Bench) {
    const MOST: i64 = (1 << 53) - 1;
    let key = bench.key("p", "a");
    bench.done([create(&key, 1, [])]).await;
    bench.done([add(&key, "n", MOST - 1)]).await;
    bench.done([add(&key, "n", 1)]).await;
    assert_eq!(counters(bench, &key).await, expected([("n", MOST)]));
    bench.done([add(&key, "n", -MOST)]).await;
    bench.done([add(&key, "n", -MOST)]).await;
    assert_eq!(counters(bench, &key).await, expected([("n", -MOST)]));
}
