//! A crash costs at most the requests in flight: the next one is served, and a batch of messages comes again. Against the
//! test build of the Worker, whose address is in `SOUK_TEST_D1`; without it the tests are skipped, or fail with `SOUK_TEST_ALL=1`.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::disallowed_methods, reason = "the test runs on a real machine")]

use std::env;
use std::time::{Duration, Instant, SystemTime};

use reqwest::{Client, StatusCode};
use tokio::sync::Mutex;

/// A crash of one test is not to hit another.
static TURN: Mutex<()> = Mutex::const_new(());

fn worker() -> Option<String> {
    let base = env::var("SOUK_TEST_D1").ok();
    if base.is_none() {
        assert!(env::var("SOUK_TEST_ALL").is_err(), "SOUK_TEST_D1 is not set");
        eprintln!("skipped: set SOUK_TEST_D1 to the address of a test Worker");
    }
    base
}

#[tokio::test]
async fn a_crash_costs_only_what_is_in_flight() {
    let Some(base) = worker() else { return };
    let _turn = TURN.lock().await;
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

#[tokio::test]
async fn a_batch_whose_consumer_died_comes_again() {
    let Some(base) = worker() else { return };
    let _turn = TURN.lock().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let post = |path: &str, body: String| {
        let request = client.post(format!("{base}/__test/{path}")).body(body);
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    let run = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let message = |n: usize| {
        let script = if n == 3 { r#""trap","done""# } else { r#""done""# };
        format!(
            r#"{{"id":"{run}.{n}","job":"test","lane":"low","body":{{"script":[{script}]}},"created_at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let messages: Vec<String> = (0..6).map(message).collect();
    assert_eq!(
        post("queue/send", format!("[{}]", messages.join(","))).await,
        r#"{"Ok":null}"#
    );
    let mut seen = String::new();
    let began = Instant::now();
    // What the instance that died had noted is gone with it.
    while (0..6).any(|n| !seen.contains(&format!("{run}.{n}"))) {
        assert!(began.elapsed() < Duration::from_secs(60), "{seen}");
        // A pause; the crash may hit it.
        client.get(format!("{base}/__test/wait")).send().await.unwrap();
        seen += &post("queue/seen", r#""low""#.into()).await;
    }
    let again = seen.split(&format!("{run}.3")).nth(1).unwrap();
    assert!(again.contains(r#""deliveries":2"#), "{seen}");
}
