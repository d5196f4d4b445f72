//! Many writers at once. Whoever is told `Unavailable` asks again, as a host's client would.

use std::time::Duration;

use souk_core::documents::get_one;
use souk_core::{Change, Commit, Condition, StoreError};
use tokio::task::JoinSet;

use crate::contract::Bench;
use crate::contract::bench::{add, body, counted, create, put};

/// Runs `count` tasks, each committing what `change` makes of its number. How many succeeded, the rest having met a conflict.
async fn race(bench: &Bench, count: i64, changes: impl Fn(i64) -> Vec<Change>) -> usize {
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let (store, commit) = (bench.store.clone(), Commit::new(changes(n)));
        tasks.spawn(async move {
            loop {
                match store.commit(commit.clone()).await {
                    Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
                    other => break other,
                }
            }
        });
    }
    let results = tasks.join_all().await;
    assert!(
        results
            .iter()
            .all(|r| matches!(r, Ok(()) | Err(StoreError::Conflict(0)))),
        "{results:?}"
    );
    results.iter().filter(|r| r.is_ok()).count()
}

pub async fn one_replaces(bench: &Bench) {
    let key = bench.key("p", "a");
    bench.done([create(&key, 0, [])]).await;
    for version in 1..=3 {
        assert_eq!(
            race(bench, 20, |n| vec![put(&key, n, Condition::Version(version))]).await,
            1
        );
        assert_eq!(bench.one(&key).await.unwrap().version, version + 1);
    }
}

pub async fn one_claims(bench: &Bench) {
    let key = bench.key("p", "a");
    let claim = |n: i64| {
        let own = create(&bench.key("own", &n.to_string()), n, [bench.entry("i", &n.to_string())]);
        vec![create(&key, n, []), own]
    };
    assert_eq!(race(bench, 50, claim).await, 1);
    let items = bench.all(souk_core::Query::index(bench.index("i"), 100)).await;
    assert_eq!(items.len(), 1, "exactly the winner's other document exists");
    assert_eq!(bench.one(&key).await.unwrap().body, items[0].document.body);
}

pub async fn adds_sum_up(bench: &Bench) {
    let key = bench.key("p", "a");
    bench.done([counted(&key, 0, Condition::Absent, &["n"])]).await;
    assert_eq!(race(bench, 50, |n| vec![add(&key, "n", n)]).await, 50);
    let document = bench.one(&key).await.unwrap();
    assert_eq!((document.version, document.counters), (1, r#"{"n":1225}"#.to_owned()));
}

/// Counting and editing do not get in each other's way: no edit at a version that was read is lost to an addition.
pub async fn adds_beside_edits(bench: &Bench) {
    let key = bench.key("p", "a");
    bench.done([counted(&key, 0, Condition::Absent, &["n"])]).await;
    let edits = async {
        for version in 1..=10 {
            assert_eq!(
                race(bench, 1, |_| vec![put(&key, 1, Condition::Version(version))]).await,
                1
            );
        }
    };
    let adds = race(bench, 30, |_| vec![add(&key, "n", 1)]);
    let ((), added) = tokio::join!(edits, adds);
    let document = bench.one(&key).await.unwrap();
    assert_eq!(
        (added, document.version, document.counters),
        (30, 11, r#"{"n":30}"#.to_owned())
    );
}

/// Two tasks move amounts between two documents, each in one commit at the versions it read: the sum stays.
pub async fn money_is_kept(bench: &Bench) {
    let keys = [bench.key("p", "a"), bench.key("q", "b")];
    bench.done(keys.iter().map(|key| create(key, 1000, []))).await;
    let mut tasks = JoinSet::new();
    for task in 0..2_usize {
        let (store, keys) = (bench.store.clone(), keys.clone());
        tasks.spawn(async move {
            let mut moved = 0;
            while moved < 20 {
                let (from, to) = (&keys[task], &keys[1 - task]);
                let (a, b) = (get_one(&*store, from.clone()).await, get_one(&*store, to.clone()).await);
                let (a, b) = (a.unwrap().unwrap(), b.unwrap().unwrap());
                let amount = |body: &str| {
                    serde_json::from_str::<serde_json::Value>(body).unwrap()["n"]
                        .as_i64()
                        .unwrap()
                };
                let replace = |document: &souk_core::Document, n: i64| {
                    Change::replace(document.key.clone(), document.version, body(n), &[], Vec::new())
                };
                let step = task as i64 + 1;
                let changes = vec![replace(&a, amount(&a.body) - step), replace(&b, amount(&b.body) + step)];
                match store.commit(Commit::new(changes)).await {
                    Ok(()) => moved += 1,
                    Err(StoreError::Conflict(_) | StoreError::Unavailable(_)) => {
                        tokio::time::sleep(Duration::from_millis(moved % 3 + task as u64)).await;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    tasks.join_all().await;
    let found = bench.get(&keys).await;
    let ends: Vec<_> = found
        .into_iter()
        .map(|d| d.map(|d| (d.version, d.body)).unwrap())
        .collect();
    // One gave 20 times 1 and got 20 times 2; a commit that was unavailable and happened all the same would show here.
    assert_eq!(ends, [(41, body(1020)), (41, body(980))]);
}
