//! Behaviour that is particular to DynamoDB, tested on an emulator. What every store must do alike is in the contract
//! tests.
//!
//! `SOUK_TEST_DYNAMODB` is the emulator's address. Without it these tests are skipped; with `SOUK_TEST_ALL=1` they then
//! fail.

#![expect(clippy::unwrap_used, reason = "this is a test, on a real machine")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use souk_aws::{DynamoDocuments, Settings, SystemRandom};
use souk_core::documents::get_one;
use souk_core::{Change, Clock, Commit, Condition, Consistency, Documents, Entry, Key, Query, StoreError, Timestamp};

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(SeqCst)).unwrap()
    }
}

/// A store with its own table, and its clock.
async fn start(table: &str) -> Option<(DynamoDocuments, Arc<Hand>)> {
    let Ok(address) = std::env::var("SOUK_TEST_DYNAMODB") else {
        assert!(std::env::var("SOUK_TEST_ALL").is_err(), "SOUK_TEST_DYNAMODB is not set");
        eprintln!("skipped: set SOUK_TEST_DYNAMODB to the address of an emulator");
        return None;
    };
    let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
    let table = format!(
        "souk-{table}-{:016x}",
        u64::from_le_bytes(souk_core::random::bytes(&SystemRandom))
    );
    let store = DynamoDocuments::new(
        &Settings::emulator(address),
        table,
        clock.clone(),
        Arc::new(SystemRandom),
    );
    store.create_table().await.unwrap();
    // Creating the table again succeeds: another process may have created it first.
    store.create_table().await.unwrap();
    Some((store, clock))
}

fn put(name: &str, condition: Condition, expires_at: Option<Timestamp>) -> Change {
    Change::Put {
        key: Key::of("thing", name),
        body: "{}".into(),
        counters: vec!["votes".into()],
        expires_at,
        condition,
        entries: Vec::new(),
        stale: Vec::new(),
    }
}

#[tokio::test]
async fn unconditional_puts_replace_expired_documents() {
    let Some((store, clock)) = start("puts").await else {
        return;
    };
    let commit = async |changes: &[Change]| store.commit(Commit::new(changes.to_vec())).await;
    let soon = Some(souk_core::clock::after(clock.now(), 60));
    let late = Some(souk_core::clock::after(clock.now(), 61));
    let votes = Change::Add {
        key: Key::of("thing", "soon"),
        counter: "votes".into(),
        delta: 5,
    };
    commit(&[
        put("soon", Condition::Any, soon),
        put("later", Condition::Any, late),
        put("kept", Condition::Any, None),
    ])
    .await
    .unwrap();
    commit(&[votes]).await.unwrap();

    // Two documents that expired at different times, one that has not expired and one that does not exist.
    clock.0.fetch_add(61_000, SeqCst);
    let changes = ["soon", "kept", "new", "later"].map(|name| put(name, Condition::Any, None));
    commit(&changes).await.unwrap();
    for (name, version) in [("soon", 1), ("kept", 2), ("new", 1), ("later", 1)] {
        let found = get_one(&store, Key::of("thing", name)).await.unwrap().unwrap();
        assert_eq!((found.version, found.counters.as_str()), (version, r#"{"votes":0}"#));
        assert_eq!(found.expires_at, None);
    }
    // If another condition does not hold, the conflict names that change, and nothing is written.
    commit(&[put("old", Condition::Absent, Some(clock.now()))])
        .await
        .unwrap();
    let changes = [put("old", Condition::Any, None), put("kept", Condition::Absent, None)];
    assert_eq!(commit(&changes).await, Err(StoreError::Conflict(1)));
    assert_eq!(get_one(&store, Key::of("thing", "old")).await.unwrap(), None);
}

#[tokio::test]
async fn two_entries_may_name_one_document_and_a_dangling_one_is_left_out() {
    let Some((store, _)) = start("entries").await else {
        return;
    };
    let entries = vec![Entry::new("all", "1"), Entry::new("all", "2")];
    let key = Key::of("thing", "a");
    store
        .commit(Commit::new(vec![Change::create(key.clone(), "{}".into(), entries)]))
        .await
        .unwrap();
    let page = store
        .query(&Query::index("all", 10), Consistency::Strong)
        .await
        .unwrap();
    assert_eq!(
        page.items.iter().map(|item| item.sort.as_str()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    // If a writer forgets to remove an entry, readers skip it.
    let delete = Change::Delete {
        key,
        condition: Condition::Any,
        stale: vec![Entry::new("all", "1")],
    };
    store.commit(Commit::new(vec![delete])).await.unwrap();
    assert_eq!(
        store
            .query(&Query::index("all", 10), Consistency::Strong)
            .await
            .unwrap()
            .items,
        []
    );
}
