//! What every store refuses, with nothing written.

use souk_core::documents::{MAX_BODY, MAX_COMMIT, MAX_KEYS, MAX_LIMIT};
use souk_core::{Change, Condition, Consistency, Query, StoreError};

use crate::contract::Bench;
use crate::contract::bench::{add, counted, create, delete, expiring, put, require};

fn with_entries(mut change: Change, indexes: &[&str], bench: &Bench) -> Change {
    if let Change::Put { entries, .. } = &mut change {
        *entries = indexes.iter().map(|index| bench.entry(index, "1/a")).collect();
    }
    change
}

pub async fn refused_commits(bench: &Bench) {
    let (key, other) = (bench.key("p", "a"), bench.key("p", "b"));
    let many = |n: usize| (0..n).map(|n| bench.entry("i", &n.to_string()));
    let fitting = |extra: usize| {
        let filler = "x".repeat(MAX_BODY - r#"{"a":""}"#.len() + extra);
        Change::create(key.clone(), format!(r#"{{"a":"{filler}"}}"#), Vec::new())
    };
    let later = bench.clock.ahead(1000);
    let refused = [
        ("nothing", vec![]),
        (
            "101 changes",
            (0..=MAX_COMMIT)
                .map(|n| create(&bench.key("p", &n.to_string()), 1, []))
                .collect(),
        ),
        ("100 entries", vec![create(&key, 1, many(MAX_COMMIT))]),
        (
            "100 entries in two changes",
            vec![
                create(&key, 1, many(60)),
                delete(&other, Condition::Any, many(100).skip(60)),
            ],
        ),
        (
            "one key twice",
            vec![put(&key, 1, Condition::Any), put(&key, 2, Condition::Any)],
        ),
        (
            "one key twice, in two ways",
            vec![require(&key, Condition::Absent), create(&key, 1, [])],
        ),
        ("a body too large", vec![fitting(1)]),
        ("a delete of nothing", vec![delete(&key, Condition::Absent, [])]),
        ("a requirement of nothing", vec![require(&key, Condition::Any)]),
        (
            "entries that expire",
            vec![with_entries(expiring(&key, 1, Condition::Any, later), &["i"], bench)],
        ),
        (
            "one entry twice",
            vec![with_entries(put(&key, 1, Condition::Any), &["i", "i"], bench)],
        ),
        (
            "one entry of two",
            vec![
                create(&key, 1, [bench.entry("i", "1")]),
                create(&other, 1, [bench.entry("i", "1")]),
            ],
        ),
        (
            "an entry handed over",
            vec![
                create(&key, 1, [bench.entry("i", "1")]),
                delete(&other, Condition::Any, [bench.entry("i", "1")]),
            ],
        ),
        (
            "a counter without a name",
            vec![counted(&key, 1, Condition::Any, &[""])],
        ),
        ("a counter's name", vec![counted(&key, 1, Condition::Any, &["a.b"])]),
        ("a counter's name to add to", vec![add(&key, "a'b", 1)]),
        ("a long counter's name", vec![add(&key, &"a".repeat(41), 1)]),
    ];
    for (name, changes) in refused {
        let result = bench.commit(changes).await;
        assert!(matches!(result, Err(StoreError::Refused(_))), "{name}: {result:?}");
    }
    assert!(
        bench
            .sorts(Query::partition(bench.partition("p"), 100))
            .await
            .is_empty()
    );
    assert!(bench.sorts(Query::index(bench.index("i"), 100)).await.is_empty());
    bench.done([fitting(0)]).await;
}

pub async fn refused_queries(bench: &Bench) {
    for limit in [0, MAX_LIMIT + 1, 1_000_000] {
        for query in [
            Query::partition(bench.partition("p"), limit),
            Query::index(bench.index("i"), limit),
        ] {
            let result = bench.store.query(&query, Consistency::Strong).await;
            assert!(
                matches!(result, Err(StoreError::Refused(_))),
                "limit {limit}: {result:?}"
            );
        }
    }
}

pub async fn refused_gets(bench: &Bench) {
    let keys: Vec<_> = (0..=MAX_KEYS).map(|n| bench.key("p", &n.to_string())).collect();
    let result = bench.store.get(&keys, Consistency::Strong).await;
    assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
}
