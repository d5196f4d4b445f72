//! Time to live. `expires_at` counts to the millisecond, and at that moment the document is already gone.

use souk_core::{Change, Condition, Query, StoreError};

use crate::contract::Bench;
use crate::contract::bench::{add, body, counted, create, delete, expiring, put, require};

const HOUR: i64 = 3_600_000;

/// `query` of the case's partition.
async fn partition(bench: &Bench) -> Vec<String> {
    bench.sorts(Query::partition(bench.partition("p"), 2)).await
}

pub async fn unseen(bench: &Bench) {
    let (key, stays) = (bench.key("p", "a"), bench.key("p", "b"));
    let at = bench.clock.ahead(HOUR);
    bench
        .done([expiring(&key, 1, Condition::Absent, at), create(&stays, 1, [])])
        .await;
    bench.clock.advance(HOUR - 1);
    let document = bench.one(&key).await.unwrap();
    assert_eq!((document.version, document.expires_at), (1, Some(at)));
    assert_eq!(partition(bench).await, ["a", "b"]);
    bench.clock.advance(1);
    let found = bench.get(&[key.clone(), stays.clone(), key.clone()]).await;
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(bench.one(&key).await, None);
    assert_eq!(partition(bench).await, ["b"]);
}

/// For every condition, what has expired is absent.
pub async fn conditions(bench: &Bench) {
    type Kind = (&'static str, fn(&Bench) -> Change, bool);
    let kinds: [Kind; 9] = [
        ("put if exists", |b| put(&b.key("p", "a"), 2, Condition::Exists), false),
        (
            "put at its version",
            |b| put(&b.key("p", "a"), 2, Condition::Version(1)),
            false,
        ),
        (
            "delete if exists",
            |b| delete(&b.key("p", "a"), Condition::Exists, []),
            false,
        ),
        (
            "delete at its version",
            |b| delete(&b.key("p", "a"), Condition::Version(1), []),
            false,
        ),
        ("delete", |b| delete(&b.key("p", "a"), Condition::Any, []), true),
        ("add", |b| add(&b.key("p", "a"), "n", 1), false),
        (
            "require exists",
            |b| require(&b.key("p", "a"), Condition::Exists),
            false,
        ),
        (
            "require its version",
            |b| require(&b.key("p", "a"), Condition::Version(1)),
            false,
        ),
        ("require absent", |b| require(&b.key("p", "a"), Condition::Absent), true),
    ];
    for (name, change, holds) in kinds {
        let bench = bench.renamed();
        bench
            .done([expiring(
                &bench.key("p", "a"),
                1,
                Condition::Absent,
                bench.clock.ahead(HOUR),
            )])
            .await;
        bench.clock.advance(HOUR);
        let other = bench.key("p", "other");
        let result = bench.commit([create(&other, 1, []), change(&bench)]).await;
        assert_eq!(
            result,
            if holds { Ok(()) } else { Err(StoreError::Conflict(1)) },
            "{name}"
        );
        assert_eq!(bench.one(&other).await.is_some(), holds, "{name}");
        assert_eq!(bench.one(&bench.key("p", "a")).await, None, "{name}");
    }
}

/// What is written over an expired document is new: version 1, its counters at zero, and no end unless it says so.
pub async fn over_expired(bench: &Bench) {
    for condition in [Condition::Absent, Condition::Any] {
        for again in [None, Some(2 * HOUR)] {
            let bench = bench.renamed();
            let key = bench.key("p", "a");
            let mut first = counted(&key, 1, Condition::Absent, &["up", "old"]);
            if let Change::Put { expires_at, .. } = &mut first {
                *expires_at = Some(bench.clock.ahead(HOUR));
            }
            bench.done([first]).await;
            bench.done([add(&key, "up", 5)]).await;
            bench
                .done([expiring(&key, 2, Condition::Version(1), bench.clock.ahead(HOUR))])
                .await;
            bench.clock.advance(HOUR);
            let again = again.map(|millis| bench.clock.ahead(millis));
            let mut second = counted(&key, 3, condition, &["up", "new"]);
            if let Change::Put { expires_at, .. } = &mut second {
                *expires_at = again;
            }
            bench.done([second]).await;
            let document = bench.one(&key).await.unwrap();
            assert_eq!(
                (document.version, document.body.as_str()),
                (1, body(3).as_str()),
                "{condition:?}"
            );
            assert_eq!(document.counters, r#"{"new":0,"up":0}"#, "{condition:?}");
            assert_eq!(document.expires_at, again, "{condition:?}");
            assert_eq!(partition(&bench).await, ["a"]);
        }
    }
    // Without an end it may stand in an index.
    let key = bench.key("p", "a");
    bench
        .done([expiring(&key, 1, Condition::Absent, bench.clock.ahead(HOUR))])
        .await;
    bench.clock.advance(HOUR);
    bench.done([create(&key, 2, [bench.entry("i", "1/a")])]).await;
    let items = bench.all(Query::index(bench.index("i"), 5)).await;
    assert_eq!(
        items.iter().map(|item| item.document.body.clone()).collect::<Vec<_>>(),
        [body(2)]
    );
}

/// A document may be born dead.
pub async fn already_past(bench: &Bench) {
    let key = bench.key("p", "a");
    for behind in [0, -1, -HOUR] {
        for condition in [Condition::Absent, Condition::Any] {
            bench
                .done([expiring(&key, 1, condition, bench.clock.ahead(behind))])
                .await;
            assert_eq!(bench.one(&key).await, None);
        }
    }
    bench.done([create(&key, 2, [])]).await;
    bench
        .done([expiring(&key, 3, Condition::Exists, bench.clock.ahead(0))])
        .await;
    assert_eq!(bench.one(&key).await, None);
    assert_eq!(bench.commit([add(&key, "n", 1)]).await, Err(StoreError::Conflict(0)));
}

/// Every put says anew when the document ends; an addition leaves that alone.
pub async fn kept_and_lifted(bench: &Bench) {
    let (longer, shorter, lifted, counted) = (
        bench.key("p", "longer"),
        bench.key("p", "shorter"),
        bench.key("p", "lifted"),
        bench.key("p", "counted"),
    );
    let at = bench.clock.ahead(HOUR);
    bench
        .done([&longer, &lifted, &counted].map(|key| expiring(key, 1, Condition::Absent, at)))
        .await;
    bench.done([create(&shorter, 1, [])]).await;
    bench
        .done([
            expiring(&longer, 2, Condition::Version(1), bench.clock.ahead(2 * HOUR)),
            expiring(&shorter, 2, Condition::Any, at),
            put(&lifted, 2, Condition::Exists),
            add(&counted, "n", 1),
        ])
        .await;
    let keys = [longer, shorter, lifted.clone(), counted];
    assert!(bench.get(&keys).await.iter().all(Option::is_some));
    bench.clock.advance(HOUR);
    let left: Vec<_> = bench.get(&keys).await.iter().map(Option::is_some).collect();
    assert_eq!(left, [true, false, true, false]);
    bench.clock.advance(HOUR);
    assert_eq!(partition(bench).await, ["lifted"]);
    let lifted = bench.one(&lifted).await.unwrap();
    assert_eq!((lifted.version, lifted.expires_at), (2, None));
}

/// Pages over a partition of which much has expired still yield each document once.
pub async fn pages(bench: &Bench) {
    let at = bench.clock.ahead(HOUR);
    let changes = (100..160).map(|n| match n % 10 {
        0 => create(&bench.key("p", &n.to_string()), n, []),
        _ => expiring(&bench.key("p", &n.to_string()), n, Condition::Absent, at),
    });
    bench.done(changes).await;
    bench.clock.advance(HOUR);
    for limit in [1, 2, 3, 6, 7, 100] {
        for descending in [false, true] {
            let query = Query {
                descending,
                ..Query::partition(bench.partition("p"), limit)
            };
            let mut sorts = bench.sorts(query).await;
            if descending {
                sorts.reverse();
            }
            assert_eq!(sorts, ["100", "110", "120", "130", "140", "150"], "limit {limit}");
        }
    }
}
