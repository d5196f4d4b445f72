//! A crash costs at most the requests in flight: the next one is served. Against the test build of the Worker, whose
//! address is in `SOUK_TEST_D1`; without it the test is skipped, or fails with `SOUK_TEST_ALL=1`.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::disallowed_methods, reason = "the test runs on a real machine")]

use std::env;

use reqwest::{Client, StatusCode};

#[tokio::test]
async fn a_crash_costs_only_what_is_in_flight() {
    let Ok(base) = env::var("SOUK_TEST_D1") else {
        assert!(env::var("SOUK_TEST_ALL").is_err(), "SOUK_TEST_D1 is not set");
        eprintln!("skipped: set SOUK_TEST_D1 to the address of a test Worker");
        return;
    };
    let client = Client::builder().no_proxy().build().unwrap();
    let call = |path: &str| {
        let request = client.get(format!("{base}{path}"));
        async move { request.send().await.unwrap().status() }
    };
    for crash in ["/__test/panic", "/__test/trap"] {
        for round in 0..3 {
            let in_flight: Vec<_> = (0..16).map(|_| tokio::spawn(call("/__test/wait"))).collect();
            // By the time these are answered the others have begun.
            for _ in 0..3 {
                assert_eq!(call("/healthz").await, StatusCode::OK);
            }
            assert_eq!(call(crash).await, StatusCode::INTERNAL_SERVER_ERROR, "{crash}");
            // In every other round the late callbacks come before the next request.
            if round % 2 == 0 {
                assert_eq!(call("/v1/products").await, StatusCode::OK, "after {crash}");
            }
            let mut lost = 0;
            for other in in_flight {
                match other.await.unwrap() {
                    StatusCode::OK => {}
                    StatusCode::INTERNAL_SERVER_ERROR => lost += 1,
                    status => panic!("{status}"),
                }
            }
            assert!(lost > 0, "nothing was in flight");
            for _ in 0..20 {
                assert_eq!(call("/v1/products").await, StatusCode::OK, "long after {crash}");
            }
        }
    }
}
