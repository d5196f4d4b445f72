//! The contract of `KeyValue`, one test per adapter. Servers are found as in `tests/contract.rs`.

use std::sync::Arc;

use souk_tests::contract::values::{RemoteKeyValue, agree};
use souk_tests::contract::{TestClock, missing};

#[tokio::test]
async fn sqlite() {
    let (clock, directory) = (Arc::new(TestClock::default()), tempfile::tempdir().unwrap());
    let store = souk_sqlite::open_values(&directory.path().join("values.db"), clock.clone()).unwrap();
    agree(&store, &clock).await;
}

#[tokio::test]
async fn workers_kv() {
    let Ok(address) = std::env::var("SOUK_TEST_D1") else {
        return missing("Workers KV: set SOUK_TEST_D1 to the address of a test Worker");
    };
    let clock = Arc::new(TestClock::default());
    agree(&RemoteKeyValue::new(address, clock.clone()), &clock).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn dynamodb() {
    use souk_aws::{DynamoDocuments, DynamoKeyValue, Settings, SystemRandom};
    let Ok(address) = std::env::var("SOUK_TEST_DYNAMODB") else {
        return missing("DynamoDB: set SOUK_TEST_DYNAMODB to the address of an emulator");
    };
    let (clock, random) = (Arc::new(TestClock::default()), Arc::new(SystemRandom));
    let (settings, table) = (Settings::emulator(address), "souk-values");
    let documents = DynamoDocuments::new(&settings, table, clock.clone(), random.clone());
    documents.create_table().await.unwrap();
    agree(&DynamoKeyValue::new(&settings, table, clock.clone(), random), &clock).await;
}
