//! The contract of `Search`, one line per adapter.
//!
//! `SOUK_TEST_D1` (a test build of the Worker under workerd) holds its address, as for documents. What is not there is
//! reported and skipped; with `SOUK_TEST_ALL=1` it fails.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use souk_local::SystemClock;
use souk_tests::search::{Made, RemoteSearch};
use souk_tests::search_contract;

search_contract!(sqlite, make_sqlite);
search_contract!(d1, make_d1);

async fn make_sqlite() -> Made {
    let directory = tempfile::tempdir().unwrap();
    let index = souk_local::open_search(&directory.path().join("search.db"), Arc::new(SystemClock)).unwrap();
    Made::Ready(Arc::new(index), Box::new(directory))
}

async fn make_d1() -> Made {
    match std::env::var("SOUK_TEST_D1") {
        Ok(address) => Made::Ready(Arc::new(RemoteSearch::new(address)), Box::new(())),
        Err(_) => Made::Missing("search in D1: set SOUK_TEST_D1 to the address of a test Worker"),
    }
}
