//! A crash fails at most the requests in flight: the next request is served, and a batch of messages is redelivered. The
//! tests run against the test build of the Worker at the address in `SOUK_TEST_D1`. Without it they are skipped, or fail if
//! `SOUK_TEST_ALL=1`.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::disallowed_methods, reason = "the test runs on a real machine")]

use std::env;
use std::time::{Duration, Instant, SystemTime};

use reqwest::{Client, StatusCode};
use tokio::sync::Mutex;

/// Held by each test, so that its crash does not hit another one.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Far longer than a response takes, and shorter than `/__test/wait-long` waits.
const TIMEOUT: Duration = Duration::from_secs(20);

fn worker() -> Option<String> {
    let base = env::var("SOUK_TEST_D1").ok();
    if base.is_none() {
        assert!(env::var("SOUK_TEST_ALL").is_err(), "SOUK_TEST_D1 is not set");
        eprintln!("skipped: set SOUK_TEST_D1 to the address of a test Worker");
    }
    base
}

#[tokio::test]
async fn a_crash_fails_only_what_is_in_flight() {
    let Some(base) = worker() else { return };
    let _alone = ALONE.lock().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let call = |path: &str| {
        let request = client.get(format!("{base}{path}"));
        async move { request.send().await.unwrap().status() }
    };
    for crash in ["/__test/panic", "/__test/trap"] {
        for round in 0..3 {
            let in_flight: Vec<_> = (0..16).map(|_| tokio::spawn(call("/__test/wait"))).collect();
            // By the time of these responses the others have started.
            for _ in 0..3 {
                assert_eq!(call("/healthz").await, StatusCode::OK);
            }
            assert_eq!(call(crash).await, StatusCode::INTERNAL_SERVER_ERROR, "{crash}");
            // In every other round the late callbacks run before the next request.
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
async fn a_request_in_flight_fails_at_once_when_another_one_crashes() {
    let Some(base) = worker() else { return };
    let _alone = ALONE.lock().await;
    let client = Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
    let call = |path: &str| {
        let request = client.get(format!("{base}{path}"));
        async move { request.send().await.map(|response| response.status()) }
    };
    for crash in ["/__test/panic", "/__test/trap"] {
        let waiting = tokio::spawn(call("/__test/wait-long"));
        for _ in 0..3 {
            assert_eq!(call("/healthz").await.unwrap(), StatusCode::OK);
        }
        call(crash).await.unwrap();
        let status = waiting.await.unwrap().expect("a response before the timeout");
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "after {crash}");
    }
}

#[tokio::test]
async fn a_batch_whose_consumer_died_is_redelivered() {
    let Some(base) = worker() else { return };
    let _alone = ALONE.lock().await;
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
    // The list of the instance that died is gone.
    while (0..6).any(|n| !seen.contains(&format!("{run}.{n}"))) {
        assert!(began.elapsed() < Duration::from_secs(60), "{seen}");
        // A pause, which the crash may cut short.
        client.get(format!("{base}/__test/wait")).send().await.unwrap();
        seen += &post("queue/seen", r#""low""#.into()).await;
    }
    let again = seen.split(&format!("{run}.3")).nth(1).unwrap();
    assert!(again.contains(r#""deliveries":2"#), "{seen}");
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    use std::io::{Read as _, Write as _};
    let Some(base) = worker() else { return };
    let _alone = ALONE.lock().await;
    let address = base.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(2 * TIMEOUT)).unwrap();
    let head = "POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = [0; 1024];
    let count = stream.read(&mut response).unwrap();
    let response = String::from_utf8_lossy(response.get(..count).unwrap());
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
}
