//! The contract of `RateLimit`, one test per adapter. Servers are found as in `tests/contract.rs`.

use std::sync::Arc;

use souk_core::rate_limit::InMemory;
use souk_sqlite::SqliteRateLimit;
use souk_tests::contract::limits::{RemoteRateLimit, agree};
use souk_tests::contract::{TestClock, missing};

#[tokio::test]
async fn in_memory() {
    let clock = Arc::new(TestClock::default());
    let cells = InMemory::new(clock.clone());
    agree([&cells, &cells], &clock).await;
}

#[tokio::test]
async fn sqlite() {
    let (clock, directory) = (Arc::new(TestClock::default()), tempfile::tempdir().unwrap());
    let open = || SqliteRateLimit::open(&directory.path().join("limits.db"), clock.clone()).unwrap();
    agree([&open(), &open()], &clock).await;
}

#[tokio::test]
async fn durable_objects() {
    let Ok(address) = std::env::var("SOUK_TEST_D1") else {
        return missing("Durable Objects: set SOUK_TEST_D1 to the address of a test Worker");
    };
    let clock = Arc::new(TestClock::default());
    let cells = RemoteRateLimit::new(address, clock.clone());
    agree([&cells, &cells], &clock).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn dynamodb() {
    use souk_aws::{DynamoDocuments, DynamoRateLimit, Settings, SystemRandom};
    let Ok(address) = std::env::var("SOUK_TEST_DYNAMODB") else {
        return missing("DynamoDB: set SOUK_TEST_DYNAMODB to the address of an emulator");
    };
    let (clock, random) = (Arc::new(TestClock::default()), Arc::new(SystemRandom));
    let (settings, table) = (Settings::emulator(address), "souk-limits");
    let documents = DynamoDocuments::new(&settings, table, clock.clone(), random.clone());
    documents.create_table().await.unwrap();
    let open = || DynamoRateLimit::new(&settings, table, clock.clone(), random.clone());
    agree([&open(), &open()], &clock).await;
}
