//! The contract of `Documents`, one line per adapter.
//!
//! Servers: `SOUK_TEST_D1` (a test build of the Worker under workerd) and `SOUK_TEST_DYNAMODB` (an emulator, with the
//! feature `dynamodb`) hold their addresses. What is not there is reported and skipped; with `SOUK_TEST_ALL=1` it fails.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use souk_tests::contract::{Made, Model, RemoteDocuments, TestClock, from_env};
use souk_tests::documents_contract;

documents_contract!(model, make_model);
documents_contract!(sqlite, make_sqlite);
documents_contract!(sqlite_of_tenants, make_sqlite, of_tenants);
documents_contract!(d1, make_d1);
documents_contract!(d1_of_tenants, make_d1, of_tenants);
documents_contract!(dynamodb, make_dynamodb);
documents_contract!(dynamodb_of_tenants, make_dynamodb, of_tenants);

async fn make_model(clock: Arc<TestClock>) -> Made {
    Made::ready(Model::new(clock), ())
}

async fn make_sqlite(clock: Arc<TestClock>) -> Made {
    let directory = tempfile::tempdir().unwrap();
    let store = souk_sqlite::open(&directory.path().join("souk.db"), clock).unwrap();
    Made::ready(store, directory)
}

async fn make_d1(clock: Arc<TestClock>) -> Made {
    let open = async |address| RemoteDocuments::new(address, clock);
    from_env(
        "SOUK_TEST_D1",
        "D1: set SOUK_TEST_D1 to the address of a test Worker",
        open,
    )
    .await
}

#[cfg(feature = "dynamodb")]
async fn make_dynamodb(clock: Arc<TestClock>) -> Made {
    use souk_aws::{DynamoDocuments, Settings, SystemRandom};
    let open = async |address| {
        let store = DynamoDocuments::new(
            &Settings::emulator(address),
            "souk-contract",
            clock,
            Arc::new(SystemRandom),
        );
        store.create_table().await.unwrap();
        store
    };
    from_env(
        "SOUK_TEST_DYNAMODB",
        "DynamoDB: set SOUK_TEST_DYNAMODB to the address of an emulator",
        open,
    )
    .await
}

#[cfg(not(feature = "dynamodb"))]
async fn make_dynamodb(_clock: Arc<TestClock>) -> Made {
    Made::Missing("DynamoDB: use --features dynamodb")
}
