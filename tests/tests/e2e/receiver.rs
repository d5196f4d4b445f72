//! A server that receives webhooks, one for all tests, at `SOUK_TEST_RECEIVER` (`127.0.0.1:PORT`); the host under test has
//! the same in `SOUK_OUTBOUND_ALLOW`. Each path is a receiver of its own, which behaves as its first part says.

#![expect(clippy::disallowed_methods, reason = "tests run on a real machine")]

use std::collections::HashMap;
use std::env;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, Once};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use souk_tests::client::unique;
use standardwebhooks::Webhook;

/// Longer than the market waits.
const TOO_LONG: Duration = Duration::from_secs(12);

/// What arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// What it was answered; 0 for not in time.
    pub(crate) status: u16,
}

impl Seen {
    /// Whether the reference library finds this secret's signature on it.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let webhook = Webhook::new(secret).unwrap();
        webhook.verify(self.body.as_bytes(), &self.headers).is_ok()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The files to serve, by path.
static FILES: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
static SEEN: LazyLock<Mutex<HashMap<String, Vec<Seen>>>> = LazyLock::new(Mutex::default);

/// One receiver.
pub(crate) struct Receiver {
    pub(crate) url: String,
    path: String,
}

impl Receiver {
    /// A new one: `ok` answers 204, `fail` 500, `once` 500 to the first request, `gone` 410, `away` redirects, `dead`
    /// never answers, and `flaky` lets one request of ten wait too long and answers one of ten with 500. All of them repeat
    /// challenges, except `mute`, which answers everything with 204, and `mirror`, which shows the headers of the request.
    /// `None`, said aloud, if the host cannot reach us.
    pub(crate) fn new(behaviour: &str) -> Option<Self> {
        static SERVER: Once = Once::new();
        let Ok(address) = env::var("SOUK_TEST_RECEIVER") else {
            assert!(
                env::var("SOUK_TEST_ALL").is_err(),
                "set SOUK_TEST_RECEIVER to what the host has in SOUK_OUTBOUND_ALLOW"
            );
            let _ = writeln!(
                std::io::stderr(),
                "skipped: set SOUK_TEST_RECEIVER to what the host may call"
            );
            return None;
        };
        SERVER.call_once(|| serve(&address));
        let path = format!("{behaviour}/{}", unique("r"));
        Some(Self {
            url: format!("http://{address}/{path}"),
            path,
        })
    }

    /// Serves this file to GET, for a receiver that is `file`; `moved` in its place redirects there.
    pub(crate) fn serves(&self, file: String) {
        FILES.lock().unwrap().insert(self.path.clone(), file);
    }

    /// What has arrived so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        SEEN.lock().unwrap().get(&self.path).cloned().unwrap_or_default()
    }
}

/// On a thread of its own, for it outlives the test that comes first.
fn serve(address: &str) {
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let app = Router::new().route("/{behaviour}/{name}", post(receive).get(serve_file));
            axum::serve(listener, app).await.unwrap();
        });
    });
}

/// The TXT record of this host name has this text, for hosts whose name server is `dns/query`.
pub(crate) fn publish(record: &str, text: &str) {
    let answer =
        json!({ "Status": 0, "Answer": [{ "name": record, "type": 16, "TTL": 60, "data": format!("\"{text}\"") }] });
    FILES.lock().unwrap().insert(record.to_owned(), answer.to_string());
}

async fn serve_file(Path((behaviour, name)): Path<(String, String)>, uri: Uri) -> Result<Response, StatusCode> {
    if behaviour == "dns" {
        let record = uri
            .query()
            .unwrap()
            .split('&')
            .find_map(|pair| pair.strip_prefix("name="));
        if record.unwrap().contains("broken") {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let found = FILES.lock().unwrap().get(record.unwrap()).cloned();
        return Ok(found.unwrap_or_else(|| r#"{"Status":3}"#.to_owned()).into_response());
    }
    if behaviour == "moved" {
        let location = [("location", format!("/file/{name}"))];
        return Ok((StatusCode::FOUND, location).into_response());
    }
    let files = FILES.lock().unwrap();
    let file = files.get(&format!("{behaviour}/{name}")).ok_or(StatusCode::NOT_FOUND)?;
    Ok(file.clone().into_response())
}

async fn receive(
    Path((behaviour, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    if let Some(challenge) = headers.get("webhook-challenge")
        && !matches!(behaviour.as_str(), "mute" | "mirror")
    {
        let challenge = challenge.to_str().unwrap();
        let answer = json!({ "challenge": challenge }).to_string();
        return (StatusCode::OK, [("location", "")], answer);
    }
    let path = format!("{behaviour}/{name}");
    let status = {
        let mut seen = SEEN.lock().unwrap();
        let seen = seen.entry(path.clone()).or_default();
        // Every receiver begins at another place, and no two requests in a row fail.
        let turn = name.bytes().map(usize::from).sum::<usize>() + 3 * seen.len();
        let status = match (behaviour.as_str(), turn % 10) {
            ("dead", _) | ("flaky", 0) => 0,
            ("fail", _) | ("flaky", 1) => 500,
            ("once", _) if seen.is_empty() => 500,
            ("gone", _) => 410,
            ("away", _) => 302,
            _ => 204,
        };
        seen.push(Seen { headers, body, status });
        status
    };
    if status == 0 {
        tokio::time::sleep(TOO_LONG).await;
    }
    if behaviour == "mirror" {
        let shown = format!("You sent {:?}", SEEN.lock().unwrap()[&path].last().unwrap().headers);
        return (StatusCode::OK, [("location", "")], shown);
    }
    let status = StatusCode::from_u16(status.max(200)).unwrap();
    (status, [("location", "/ok/elsewhere")], "an answer".into())
}
