//! The Worker in build/worker on a workerd of its own: with settings that cannot work, and with bindings that never answer. The
//! tests need what infra/setup installs. Without `SOUK_TEST_D1` they are skipped, or fail if `SOUK_TEST_ALL=1`.
#![cfg(not(target_arch = "wasm32"))]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the test runs on a real machine"
)]

use std::env;
use std::fs::{File, read_to_string};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tempfile::TempDir;

/// The deadline of a request, and some more.
const DEADLINE: Duration = Duration::from_secs(12);
/// What a silent binding costs somebody who does not need its answer.
const PAUSE: Duration = Duration::from_secs(4);

/// A running Worker. It ends with this value.
struct Worker {
    process: Child,
    url: String,
    folder: TempDir,
    client: Client,
}

impl Worker {
    /// Starts one with these settings: `migrated` says whether its databases have their tables.
    async fn start(migrated: bool, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port().to_string()
        };
        let mut command = if migrated {
            let mut command = Command::new("infra/worker-dev");
            command.arg("--no-build");
            command
        } else {
            let mut command = Command::new("node");
            command.arg("infra/worker-serve.mjs");
            command
        };
        let log = File::create(folder.path().join("log")).unwrap();
        let process = command
            .arg(&port)
            .arg(&state)
            .envs(settings.iter().copied())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let worker = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            folder,
            client: Client::builder().no_proxy().redirect(Policy::none()).build().unwrap(),
        };
        worker.logs("ready: ").await;
        worker
    }

    /// Waits until the log has this.
    async fn logs(&self, what: &str) {
        let began = Instant::now();
        while !self.log().contains(what) {
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "no {what:?} in {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self) -> String {
        read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The response, and how long it took.
    async fn call(&self, method: &str, path: &str, body: &str, host: &str) -> (Response, Duration) {
        let began = Instant::now();
        let request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.url))
            .header("host", host)
            .header("content-type", "application/json")
            .body(body.to_owned());
        let response = request.send().await.unwrap();
        (response, began.elapsed())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends workerd, its child, if it is asked to.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

fn is_skipped() -> bool {
    let skipped = env::var("SOUK_TEST_D1").is_err();
    assert!(
        !skipped || env::var("SOUK_TEST_ALL").is_err(),
        "SOUK_TEST_D1 is not set"
    );
    skipped
}

#[tokio::test]
async fn wrong_settings_are_named_in_the_answer_and_in_the_log() {
    if is_skipped() {
        return;
    }
    let own_url = "SOUK_PUBLIC_URL in wrangler.toml must be the URL";
    for (settings, migrated, status, why) in [
        (
            [("SOUK_SIGNING_KEY", "")],
            false,
            500,
            "SOUK_SIGNING_KEY: there is no signing key",
        ),
        ([("SOUK_SIGNING_KEY", "aFf0x3L1")], false, 500, "an id is not a key"),
        ([("SOUK_PUBLIC_URL", "")], true, 500, own_url),
        ([("SOUK_PUBLIC_URL", "http://127.0.0.1:8788")], true, 500, own_url),
        (
            [("SOUK_PUBLIC_URL", "https://souk.example")],
            false,
            503,
            "lacks a migration",
        ),
    ] {
        let worker = Worker::start(migrated, &settings).await;
        // Clients that come to a public URL of HTTPS without it are sent there.
        let host = if status == 503 { "127.0.0.1" } else { "souk.example" };
        if status == 503 {
            for method in ["GET", "POST"] {
                let (response, _) = worker.call(method, "/v1/products?q=a%20b", "", "souk.example").await;
                let headers = response.headers();
                assert_eq!(
                    (response.status().as_u16(), &headers["location"]),
                    (308, &"https://souk.example/v1/products?q=a%20b".parse().unwrap())
                );
            }
        }
        let (response, _) = worker.call("GET", "/readyz", "", host).await;
        assert_eq!(response.status(), status, "{settings:?}");
        let body = response.text().await.unwrap();
        assert!(body.contains(why), "{settings:?}: {body}");
        worker.logs(why).await;
    }
}

#[tokio::test]
async fn a_silent_binding_costs_no_request_more_than_its_deadline() {
    if is_skipped() {
        return;
    }
    let sign_up = r#"{"username":"ada","email":"ada@example.com","password":"correct-horse-battery"}"#;
    let sign_in = r#"{"username":"ada","password":"correct-horse-battery"}"#;
    let queues = "QUEUE_HIGH,QUEUE_DEFAULT,QUEUE_NOTIFICATIONS,QUEUE_LOW";
    for (silent, requests) in [
        (
            "DB",
            vec![
                ("GET", "/v1/products", "", 503, DEADLINE),
                ("GET", "/v1/products/a-lamp", "", 503, DEADLINE),
                ("GET", "/v1/search?q=lamp", "", 503, DEADLINE),
                ("POST", "/v1/sessions", sign_in, 503, DEADLINE),
                ("POST", "/v1/accounts", sign_up, 503, DEADLINE),
                ("GET", "/readyz", "", 503, DEADLINE),
            ],
        ),
        (
            "SEARCH",
            vec![
                ("GET", "/v1/search?q=lamp", "", 503, DEADLINE),
                ("GET", "/v1/search/suggest?q=la", "", 503, DEADLINE),
                ("GET", "/v1/products", "", 200, PAUSE),
            ],
        ),
        (
            "VALUES",
            vec![
                ("GET", "/v1/categories/lamps", "", 404, PAUSE),
                ("GET", "/v1/products", "", 200, PAUSE),
            ],
        ),
        (
            queues,
            vec![
                ("POST", "/v1/accounts", sign_up, 201, PAUSE),
                ("POST", "/v1/sessions", sign_in, 201, PAUSE),
            ],
        ),
    ] {
        let worker = Worker::start(true, &[("SOUK_TEST_SILENT", silent)]).await;
        for (method, path, body, status, limit) in requests {
            let (response, took) = worker.call(method, path, body, "127.0.0.1").await;
            let retry = response.headers().contains_key("retry-after");
            let seen = format!("{silent}: {method} {path}: {took:?}, {response:?}");
            assert!(response.status() == status && took < limit, "{seen}");
            assert_eq!(retry, status == 503, "{seen}");
        }
    }
}
