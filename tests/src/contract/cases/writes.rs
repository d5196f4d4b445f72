//! Commits: conditions, versions, and all or nothing.

use souk_core::documents::MAX_COMMIT;
use souk_core::{Change, Condition, Document, Item, Key, Query, StoreError};

use crate::contract::Bench;
use crate::contract::bench::{add, body, counted, create, delete, put, require};

pub async fn create_then_read(bench: &Bench) {
    let key = bench.key("p", "a");
    assert_eq!(bench.one(&key).await, None);
    bench.done([create(&key, 7, [])]).await;
    let expected = Document {
        key: key.clone(),
        version: 1,
        body: body(7),
        counters: "{}".to_owned(),
        expires_at: None,
    };
    assert_eq!(bench.one(&key).await, Some(expected));
}

pub async fn create_over_existing(bench: &Bench) {
    let key = bench.key("p", "a");
    bench.done([create(&key, 1, [])]).await;
    assert_eq!(bench.commit([create(&key, 2, [])]).await, Err(StoreError::Conflict(0)));
    assert_eq!(bench.one(&key).await.unwrap().body, body(1));
    bench.done([delete(&key, Condition::Exists, [])]).await;
    bench.done([create(&key, 3, [])]).await;
    let again = bench.one(&key).await.unwrap();
    assert_eq!((again.version, again.body), (1, body(3)));
}

pub async fn versions(bench: &Bench) {
    let key = bench.key("p", "a");
    bench.done([create(&key, 1, [])]).await;
    for version in 1..5 {
        for wrong in [0, version - 1, version + 1, u64::MAX] {
            let lost = bench.commit([put(&key, 0, Condition::Version(wrong))]).await;
            assert_eq!(
                lost,
                Err(StoreError::Conflict(0)),
                "at version {version}, asked for {wrong}"
            );
        }
        bench
            .done([put(&key, version as i64 + 1, Condition::Version(version))])
            .await;
        let document = bench.one(&key).await.unwrap();
        assert_eq!(
            (document.version, document.body),
            (version + 1, body(version as i64 + 1))
        );
    }
    bench.done([put(&key, 6, Condition::Any)]).await;
    bench.done([put(&key, 7, Condition::Exists)]).await;
    assert_eq!(bench.one(&key).await.unwrap().version, 7);
}

/// Every kind of change under every condition, on a document that is absent and on one at version 2.
pub async fn conditions(bench: &Bench) {
    let all = [
        Condition::Absent,
        Condition::Exists,
        Condition::Any,
        Condition::Version(1),
        Condition::Version(2),
    ];
    type Kind = (&'static str, fn(&Key, Condition) -> Change);
    let kinds: [Kind; 3] = [
        ("put", |key, condition| put(key, 3, condition)),
        ("delete", |key, condition| delete(key, condition, [])),
        ("require", |key, condition| require(key, condition)),
    ];
    for (kind, change) in kinds {
        for present in [false, true] {
            for condition in all {
                let bench = bench.renamed();
                let key = bench.key("p", "a");
                if present {
                    bench.done([create(&key, 1, [])]).await;
                    bench.done([put(&key, 2, Condition::Version(1))]).await;
                }
                let holds = match condition {
                    Condition::Absent => !present,
                    Condition::Exists => present,
                    Condition::Any => true,
                    Condition::Version(version) => present && version == 2,
                };
                let case = format!("{kind} if {condition:?}, present: {present}");
                let before = bench.one(&key).await;
                let result = bench.commit([change(&key, condition)]).await;
                let after = bench.one(&key).await;
                match (kind, condition) {
                    ("delete", Condition::Absent) | ("require", Condition::Any) => {
                        assert!(matches!(result, Err(StoreError::Refused(_))), "{case}: {result:?}");
                        assert_eq!(after, before, "{case}");
                    }
                    _ if !holds => {
                        assert_eq!(result, Err(StoreError::Conflict(0)), "{case}");
                        assert_eq!(after, before, "{case}");
                    }
                    ("put", _) => {
                        assert_eq!(result, Ok(()), "{case}");
                        let version = if present { 3 } else { 1 };
                        assert_eq!(after.map(|d| (d.version, d.body)), Some((version, body(3))), "{case}");
                    }
                    ("delete", _) => assert_eq!((result, after), (Ok(()), None), "{case}"),
                    _ => assert_eq!((result, after), (Ok(()), before), "{case}"),
                }
            }
        }
    }
}

/// All that a case of many documents can see.
async fn seen(bench: &Bench, keys: &[Key]) -> (Vec<Option<Document>>, Vec<Item>, Vec<Item>) {
    let partition = bench.all(Query::partition(bench.partition("p"), 100)).await;
    let index = bench.all(Query::index(bench.index("i"), 100)).await;
    (bench.get(keys).await, partition, index)
}

/// Each way in which a change can fail, about a document of its own. `present` exists at version 1, `missing` does not.
fn failures(present: &Key, missing: &Key, bench: &Bench) -> Vec<(&'static str, Change)> {
    let entries = || (0..3).map(|n| bench.entry("i", &format!("failing/{n}")));
    vec![
        ("create over existing", create(present, 0, entries())),
        ("put at a lost version", put(present, 0, Condition::Version(2))),
        ("put on missing", put(missing, 0, Condition::Exists)),
        ("delete of missing", delete(missing, Condition::Exists, entries())),
        ("delete at a lost version", delete(present, Condition::Version(2), [])),
        ("add to missing", add(missing, "n", 1)),
        ("require absent", require(present, Condition::Absent)),
        ("require exists", require(missing, Condition::Exists)),
        ("require version", require(present, Condition::Version(2))),
    ]
}

/// One failing change, at every place of a commit of each kind of change, leaves everything as it was.
pub async fn undo(bench: &Bench) {
    let [fresh, moved, gone, any, counts, fixed, present, missing] =
        ["fresh", "moved", "gone", "any", "counts", "fixed", "present", "missing"].map(|sk| bench.key("p", sk));
    let entry = |sort: &str| bench.entry("i", sort);
    bench
        .done([
            create(&moved, 1, [entry("1/moved")]),
            create(&gone, 1, [entry("2/gone")]),
            counted(&counts, 1, Condition::Absent, &["n"]),
            create(&fixed, 1, [entry("3/fixed")]),
            create(&present, 1, [entry("4/present")]),
        ])
        .await;
    bench.done([add(&counts, "n", 5)]).await;
    let mixed = [
        create(&fresh, 2, [entry("5/fresh"), entry("6/fresh")]),
        Change::replace(moved.clone(), 1, body(2), &[entry("1/moved")], vec![entry("7/moved")]),
        delete(&gone, Condition::Version(1), [entry("2/gone")]),
        put(&any, 2, Condition::Any),
        add(&counts, "n", 10),
        require(&fixed, Condition::Version(1)),
    ];
    let keys = [&fresh, &moved, &gone, &any, &counts, &fixed, &present, &missing].map(Key::clone);
    let before = seen(bench, &keys).await;
    for (name, failing) in failures(&present, &missing, bench) {
        for place in 0..=mixed.len() {
            let mut changes = mixed.to_vec();
            changes.insert(place, failing.clone());
            assert_eq!(
                bench.commit(changes).await,
                Err(StoreError::Conflict(place)),
                "{name} at {place}"
            );
            assert_eq!(seen(bench, &keys).await, before, "{name} at {place}");
        }
    }
    bench.done(mixed).await;
    let after = seen(bench, &keys).await;
    let versions: Vec<_> = after.0.iter().map(|d| d.as_ref().map(|d| d.version)).collect();
    assert_eq!(
        versions,
        [Some(1), Some(2), None, Some(1), Some(1), Some(1), Some(1), None]
    );
    assert_eq!(after.0[4].as_ref().unwrap().counters, r#"{"n":15}"#);
    let sorts: Vec<_> = after.2.iter().map(|item| item.sort.as_str()).collect();
    assert_eq!(sorts, ["3/fixed", "4/present", "5/fresh", "6/fresh", "7/moved"]);
}

/// The conflict counts changes, not what a store makes of them: entries before the failing change do not shift it.
pub async fn conflict_names_the_change(bench: &Bench) {
    let (present, missing) = (bench.key("p", "present"), bench.key("p", "missing"));
    bench.done([create(&present, 1, [])]).await;
    for place in 0..8 {
        for (name, failing) in failures(&present, &missing, bench) {
            let mut changes: Vec<Change> = (0..8)
                .map(|n| {
                    let entries = (0..n % 4).map(|e| bench.entry("i", &format!("{n}/{e}")));
                    create(&bench.key("p", &n.to_string()), n, entries)
                })
                .collect();
            changes[place] = failing;
            assert_eq!(
                bench.commit(changes).await,
                Err(StoreError::Conflict(place)),
                "{name} at {place}"
            );
        }
    }
    assert_eq!(
        bench.sorts(Query::partition(bench.partition("p"), 100)).await,
        ["present"]
    );
}

/// Of several conditions that fail, the conflict names one.
pub async fn several_conflicts(bench: &Bench) {
    let keys: Vec<Key> = (0..6).map(|n| bench.key("p", &n.to_string())).collect();
    bench.done([create(&keys[1], 1, []), create(&keys[4], 1, [])]).await;
    let result = bench.commit(keys.iter().map(|key| create(key, 2, []))).await;
    assert!(matches!(result, Err(StoreError::Conflict(1 | 4))), "{result:?}");
}

pub async fn a_hundred_changes(bench: &Bench) {
    let keys: Vec<Key> = (0..MAX_COMMIT)
        .map(|n| bench.key(&format!("p{}", n % 7), &n.to_string()))
        .collect();
    bench.done([create(&keys[99], 1, [])]).await;
    let creations = || keys.iter().map(|key| create(key, 2, []));
    assert_eq!(bench.commit(creations()).await, Err(StoreError::Conflict(99)));
    assert_eq!(bench.get(&keys).await.iter().flatten().count(), 1);
    bench.done([delete(&keys[99], Condition::Any, [])]).await;
    bench.done(creations()).await;
    assert!(
        bench
            .get(&keys)
            .await
            .iter()
            .flatten()
            .all(|document| document.version == 1 && document.body == body(2))
    );
    assert_eq!(bench.get(&keys).await.iter().flatten().count(), 100);
    bench
        .done(keys.iter().map(|key| delete(key, Condition::Version(1), [])))
        .await;
    assert_eq!(bench.get(&keys).await.iter().flatten().count(), 0);
}

pub async fn many_entries(bench: &Bench) {
    let key = bench.key("p", "a");
    let entries: Vec<_> = (0..99).map(|n| bench.entry("i", &format!("{n:02}/a"))).collect();
    bench.done([create(&key, 1, entries.clone())]).await;
    assert_eq!(bench.sorts(Query::index(bench.index("i"), 40)).await.len(), 99);
    // Half of them go, as many others come.
    let after: Vec<_> = (50..148)
        .map(|n| bench.entry("i", &format!("{n:03}/a")))
        .chain([entries[0].clone()])
        .collect();
    bench
        .done([Change::replace(
            key.clone(),
            1,
            body(2),
            &entries[..99],
            vec![entries[0].clone()],
        )])
        .await;
    bench
        .done([Change::replace(key.clone(), 2, body(3), &entries[..1], after.clone())])
        .await;
    assert_eq!(bench.sorts(Query::index(bench.index("i"), 40)).await.len(), 99);
    bench.done([delete(&key, Condition::Version(3), after)]).await;
    assert_eq!(bench.sorts(Query::index(bench.index("i"), 40)).await.len(), 0);
}
