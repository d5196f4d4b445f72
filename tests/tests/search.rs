//! The contract of `Search`, one line per adapter.
//!
//! `SOUK_TEST_D1` (a test build of the Worker under workerd) and `SOUK_TEST_S3` (an emulator) hold their addresses, as for
//! documents. What is not there is reported and skipped; with `SOUK_TEST_ALL=1` it fails. `OPENSEARCH_URL` is an OpenSearch domain, or what
//! `infra/search-engine` runs; without it that adapter is skipped in any case, since not every machine can run one.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use souk_sqlite::SystemClock;
use souk_tests::search::{Made, RemoteSearch};
use souk_tests::search_contract;

search_contract!(sqlite, make_sqlite);
search_contract!(d1, make_d1);
search_contract!(s3, make_s3);
search_contract!(opensearch, make_opensearch);

async fn make_sqlite() -> Made {
    let directory = tempfile::tempdir().unwrap();
    let index = souk_sqlite::open_search(&directory.path().join("search.db"), Arc::new(SystemClock)).unwrap();
    Made::Ready(Arc::new(index), Box::new(directory))
}

async fn make_d1() -> Made {
    match std::env::var("SOUK_TEST_D1") {
        Ok(address) => Made::Ready(Arc::new(RemoteSearch::new(address)), Box::new(())),
        Err(_) => Made::Missing("search in D1: set SOUK_TEST_D1 to the address of a test Worker"),
    }
}

#[cfg(feature = "dynamodb")]
async fn make_s3() -> Made {
    let Ok(address) = std::env::var("SOUK_TEST_S3") else {
        return Made::Missing("search in S3: set SOUK_TEST_S3 to the address of an emulator");
    };
    let bucket = souk_tests::client::unique("souk");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client.put(format!("{address}/{bucket}")).send().await.unwrap();
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let index = souk_aws::S3Search::new(
        &souk_aws::Settings::emulator(address),
        &bucket,
        folder.path(),
        Arc::new(SystemClock),
        Arc::new(souk_sqlite::SystemRandom),
    );
    Made::Ready(Arc::new(index), Box::new(folder))
}

#[cfg(feature = "dynamodb")]
async fn make_opensearch() -> Made {
    static NAME: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| souk_tests::client::unique("souk-test"));
    let Some(url) = std::env::var("OPENSEARCH_URL").ok().filter(|url| !url.is_empty()) else {
        return Made::Skipped("search in OpenSearch: set OPENSEARCH_URL to the address of one");
    };
    // What is written waits until it is found: here not for a second each time.
    let template = serde_json::json!({
        "index_patterns": [format!("{}-*", *NAME), format!("{}_*", *NAME)],
        "settings": { "index": { "refresh_interval": "10ms", "number_of_replicas": 0 } },
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client
        .put(format!("{url}/_template/{}", *NAME))
        .header("content-type", "application/json")
        .body(template.to_string());
    let made = made.send().await.unwrap();
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    let settings = souk_aws::Settings::emulator("http://127.0.0.1:1");
    let (clock, random) = (Arc::new(SystemClock), Arc::new(souk_sqlite::SystemRandom));
    let index = souk_aws::OpenSearch::new(&settings, &url, &NAME, clock, random).unwrap();
    Made::Ready(Arc::new(index), Box::new(()))
}

#[cfg(not(feature = "dynamodb"))]
async fn make_opensearch() -> Made {
    Made::Skipped("search in OpenSearch: compile with --features dynamodb")
}

#[cfg(not(feature = "dynamodb"))]
async fn make_s3() -> Made {
    Made::Missing("search in S3: compile with --features dynamodb")
}
