//! Entries: a document's places in indexes.

use souk_core::{Change, Condition, Entry, Key, Query};

use crate::contract::Bench;
use crate::contract::bench::{add, body, create, delete, put};

async fn index(bench: &Bench, name: &str) -> Vec<(String, Key)> {
    let items = bench.all(Query::index(bench.index(name), 3)).await;
    items.into_iter().map(|item| (item.sort, item.document.key)).collect()
}

fn at<'a>(key: &Key, sorts: impl IntoIterator<Item = &'a str>) -> Vec<(String, Key)> {
    sorts.into_iter().map(|sort| (sort.to_owned(), key.clone())).collect()
}

pub async fn follow_their_document(bench: &Bench) {
    let key = bench.key("p", "a");
    let entry = |index: &str, sort: &str| bench.entry(index, sort);
    let first = vec![entry("all", "1/a"), entry("red", "1/a")];
    bench.done([create(&key, 1, first.clone())]).await;
    assert_eq!(index(bench, "all").await, at(&key, ["1/a"]));
    assert_eq!(index(bench, "red").await, at(&key, ["1/a"]));

    // From red to blue, and to another place in all.
    let second = vec![entry("all", "2/a"), entry("blue", "1/a")];
    bench
        .done([Change::replace(key.clone(), 1, body(2), &first, second.clone())])
        .await;
    assert_eq!(index(bench, "all").await, at(&key, ["2/a"]));
    assert_eq!(index(bench, "red").await, at(&key, []));
    assert_eq!(index(bench, "blue").await, at(&key, ["1/a"]));

    // Out of everything, and back, without a version to hold on to.
    bench
        .done([Change::replace(key.clone(), 2, body(3), &second, Vec::new())])
        .await;
    assert_eq!(index(bench, "all").await, at(&key, []));
    let mut back = put(&key, 4, Condition::Any);
    if let Change::Put { entries, .. } = &mut back {
        *entries = first.clone();
    }
    bench.done([back]).await;
    assert_eq!(index(bench, "red").await, at(&key, ["1/a"]));

    bench.done([delete(&key, Condition::Exists, first)]).await;
    for name in ["all", "red", "blue"] {
        assert_eq!(index(bench, name).await, at(&key, []), "{name}");
    }
}

/// An index shows what a document is now, also after changes that left its entries alone.
pub async fn show_the_latest(bench: &Bench) {
    let key = bench.key("p", "a");
    let entries = vec![
        bench.entry("i", "1/a"),
        bench.entry("i", "9/a"),
        bench.entry("j", "1/a"),
    ];
    bench.done([create(&key, 1, entries.clone())]).await;
    bench
        .done([Change::replace(key.clone(), 1, body(2), &entries, entries.clone())])
        .await;
    bench.done([put(&key, 3, Condition::Any)]).await;
    bench.done([add(&key, "n", 5)]).await;
    let document = bench.one(&key).await.unwrap();
    assert_eq!(
        (document.version, document.body.clone(), document.counters.as_str()),
        (3, body(3), r#"{"n":5}"#)
    );
    for name in ["i", "j"] {
        for item in bench.all(Query::index(bench.index(name), 10)).await {
            assert_eq!(item.document, document);
        }
    }
    assert_eq!(index(bench, "i").await, at(&key, ["1/a", "9/a"]));
}

pub async fn several_documents(bench: &Bench) {
    let keys: Vec<Key> = (0..7).map(|n| bench.key(&format!("p{n}"), "")).collect();
    // The later the document, the earlier its place.
    let sort = |n: usize| format!("{}/{n}", 9 - n);
    bench
        .done((0..4).map(|n| create(&keys[n], n as i64, [bench.entry("i", &sort(n))])))
        .await;
    bench
        .done((4..7).map(|n| create(&keys[n], n as i64, [bench.entry("i", &sort(n))])))
        .await;
    let expected: Vec<_> = (0..7).rev().map(|n| (sort(n), keys[n].clone())).collect();
    assert_eq!(index(bench, "i").await, expected);
    bench
        .done([delete(&keys[3], Condition::Any, [bench.entry("i", &sort(3))])])
        .await;
    let expected: Vec<_> = expected.into_iter().filter(|(_, key)| *key != keys[3]).collect();
    assert_eq!(index(bench, "i").await, expected);
}

/// Many documents change places in one commit.
pub async fn move_about(bench: &Bench) {
    let keys: Vec<Key> = (0..10).map(|n| bench.key("p", &n.to_string())).collect();
    let place = |n: usize, round: usize| -> Vec<Entry> { vec![bench.entry("i", &format!("{}/{n}", (n + round) % 10))] };
    bench.done((0..10).map(|n| create(&keys[n], 0, place(n, 0)))).await;
    for round in 1..4 {
        let moves = (0..10).map(|n| {
            let version = round as u64;
            Change::replace(
                keys[n].clone(),
                version,
                body(round as i64),
                &place(n, round - 1),
                place(n, round),
            )
        });
        bench.done(moves).await;
        let mut expected: Vec<_> = (0..10)
            .map(|n| (place(n, round).remove(0).sort, keys[n].clone()))
            .collect();
        expected.sort();
        assert_eq!(index(bench, "i").await, expected, "round {round}");
    }
}

/// An index never names a document that is gone, also if its writer forgot an entry.
pub async fn gone(bench: &Bench) {
    let (key, other) = (bench.key("p", "a"), bench.key("p", "b"));
    bench
        .done([
            create(&key, 1, [bench.entry("i", "1/a")]),
            create(&other, 1, [bench.entry("i", "2/b")]),
        ])
        .await;
    bench.done([delete(&key, Condition::Exists, [])]).await;
    assert_eq!(index(bench, "i").await, at(&other, ["2/b"]));
}
