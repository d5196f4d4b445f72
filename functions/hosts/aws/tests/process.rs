//! The Lambda binaries as Lambda runs them, against a runtime API on this machine: with settings that cannot work, and with
//! services that never answer.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the test runs on a real machine"
)]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};

const API: &str = env!("CARGO_BIN_EXE_api");
const WORKER: &str = env!("CARGO_BIN_EXE_worker");
/// A key that signs nothing.
const DERIVED: &str =
    "soukderived_A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbh2nhp8XW-5TkVoazBEFkVWS0_wUHFjn6v5FHGqkhwiT0QCq0s";
/// Longer than any function takes that keeps its deadline.
const PATIENCE: Duration = Duration::from_secs(70);

/// The runtime API's side: events that the function takes, and what it answers.
struct Runtime {
    events: Mutex<mpsc::Receiver<Value>>,
    answers: mpsc::Sender<Value>,
}

async fn next(State(runtime): State<Arc<Runtime>>) -> impl IntoResponse {
    let event = runtime.events.lock().await.recv().await;
    let headers = [
        ("lambda-runtime-aws-request-id", "1".to_owned()),
        ("lambda-runtime-deadline-ms", "4000000000000".to_owned()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        ),
    ];
    (headers, Json(event))
}

async fn answer(State(runtime): State<Arc<Runtime>>, body: String) -> StatusCode {
    let answer = serde_json::from_str(&body).unwrap_or(Value::String(body));
    let _ = runtime.answers.send(answer).await;
    StatusCode::ACCEPTED
}

/// A running function. It ends with this value.
struct Lambda {
    process: Child,
    events: mpsc::Sender<Value>,
    answers: mpsc::Receiver<Value>,
}

impl Lambda {
    /// Starts it with the environment of `template.yaml`, with `changes`: `None` removes a variable. All services of AWS are at
    /// `endpoint`.
    async fn start(binary: &str, endpoint: &str, changes: &[(&str, Option<&str>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, taken) = mpsc::channel(1);
        let (given, answers) = mpsc::channel(1);
        let runtime = Runtime {
            events: Mutex::new(taken),
            answers: given,
        };
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/1/response", post(answer))
            .route("/2018-06-01/runtime/invocation/1/error", post(answer))
            .with_state(Arc::new(runtime));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let key = souk_kit::Keys::generate(&souk_aws::SystemRandom);
        let mut environment: BTreeMap<&str, &str> = [
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", endpoint),
            ("SOUK_TABLE", "market"),
            ("SOUK_SIGNING_KEY", key.as_str()),
            ("SOUK_PUBLIC_URL", "https://souk.example"),
            (
                "SOUK_QUEUE_PREFIX",
                "https://sqs.us-east-1.amazonaws.com/000000000000/souk-",
            ),
            ("SOUK_SEARCH_BUCKET", "index"),
            ("SOUK_PROXIES", "0"),
        ]
        .into();
        for (name, value) in changes {
            match value {
                Some(value) => environment.insert(name, value),
                None => environment.remove(name),
            };
        }
        let process = Command::new(binary)
            .env_clear()
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            process,
            events,
            answers,
        }
    }

    /// The answer to an event, and how long it took.
    async fn invoke(&mut self, event: Value) -> (Value, Duration) {
        let began = Instant::now();
        self.events.send(event).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        (answer.unwrap().unwrap(), began.elapsed())
    }

    async fn request(&mut self, method: &str, path: &str, body: Option<Value>) -> (Value, Duration) {
        let (mut answer, took) = self.invoke(event(method, path, body)).await;
        answer["body"] = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer, took)
    }

    /// What it has logged, after its end.
    async fn log(mut self) -> String {
        self.process.start_kill().unwrap();
        let mut log = String::new();
        let mut out = self.process.stdout.take().unwrap();
        out.read_to_string(&mut log).await.unwrap();
        let mut err = self.process.stderr.take().unwrap();
        err.read_to_string(&mut log).await.unwrap();
        log
    }
}

/// An event of API Gateway.
fn event(method: &str, path: &str, body: Option<Value>) -> Value {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": route,
        "rawQueryString": query,
        "headers": { "host": "souk.example", "content-type": "application/json" },
        "requestContext": {
            "accountId": "1", "apiId": "1", "domainName": "souk.example", "domainPrefix": "souk", "requestId": "1",
            "routeKey": "$default", "stage": "$default", "time": "29/Nov/2026:00:00:00 +0000", "timeEpoch": 1,
            "http": { "method": method, "path": route, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test" },
        },
        "body": body.map(|body| body.to_string()),
        "isBase64Encoded": false,
    })
}

/// An address that takes connections and never answers.
async fn silence() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    format!("http://{address}")
}

/// `api` answers every request with what is wrong, and logs it; so `infra/deploy`, which asks `/readyz`, shows it.
#[tokio::test]
async fn wrong_settings_are_named_in_the_answer_and_in_the_log() {
    let silence = silence().await;
    for (name, value, why) in [
        ("SOUK_TABLE", None, "missing"),
        ("SOUK_QUEUE_PREFIX", None, "missing"),
        ("SOUK_SIGNING_KEY", None, "missing"),
        ("SOUK_SIGNING_KEY", Some(""), "no signing key"),
        ("SOUK_SIGNING_KEY", Some("aFf0x3L1"), "an id is not a key"),
        ("SOUK_SIGNING_KEY", Some(DERIVED), "identity signs"),
        ("SOUK_PUBLIC_URL", None, "must be the URL"),
        ("SOUK_PUBLIC_URL", Some(""), "must be the URL"),
        ("SOUK_PUBLIC_URL", Some("http://127.0.0.1:8787"), "must be the URL"),
        ("SOUK_PUBLIC_URL", Some("souk.example"), "SOUK_PUBLIC_URL"),
        ("SOUK_FUNCTIONS", Some("catalogs"), "catalogs"),
        ("SOUK_PROXIES", Some("many"), "whole number"),
        ("SOUK_BACKLOG", Some("lots"), "SOUK_BACKLOG"),
    ] {
        // A laptop's URL is only for the emulator, which is where `AWS_ENDPOINT_URL` says.
        let changes = [
            (name, value),
            ("AWS_ENDPOINT_URL", None),
            ("AWS_ENDPOINT_URL_DYNAMODB", Some(silence.as_str())),
        ];
        let mut lambda = Lambda::start(API, "", &changes).await;
        let (answer, _) = lambda.request("GET", "/readyz", None).await;
        assert_eq!(answer["statusCode"], 500, "{name}: {answer}");
        assert_eq!(answer["body"]["code"], "not_configured", "{name}: {answer}");
        let detail = answer["body"]["detail"].as_str().unwrap();
        assert!(detail.contains(name) && detail.contains(why), "{name}: {detail}");
        let log = lambda.log().await;
        assert!(log.contains("is not configured") && log.contains(name), "{name}: {log}");
    }
}

/// With DynamoDB and S3 silent, each request ends within the deadline of ten seconds.
#[tokio::test]
async fn a_silent_service_costs_a_503_in_time() {
    let silence = &silence().await;
    let sign_in = json!({ "email": "a@example.com", "password": "correct-horse-battery" });
    let requests = [
        ("catalog", "GET", "/v1/products", None),
        ("catalog", "GET", "/v1/products/a-lamp", None),
        ("identity", "POST", "/v1/sessions", Some(sign_in)),
        ("vendors", "GET", "/v1/vendors", None),
        ("search", "GET", "/v1/search?q=lamp", None),
        ("search", "GET", "/v1/search?q=lamp&facets=tag", None),
        ("search", "GET", "/v1/search/suggest?q=la", None),
        ("ops", "GET", "/readyz", None),
    ];
    let mut under_way = Vec::new();
    for (function, method, path, body) in requests {
        let changes = [("SOUK_FUNCTIONS", Some(function))];
        let derived = [changes[0], ("SOUK_SIGNING_KEY", Some(DERIVED))];
        let changes = if function == "identity" { &changes[..] } else { &derived };
        let mut lambda = Lambda::start(API, silence, changes).await;
        under_way.push(tokio::spawn(async move {
            let (answer, took) = lambda.request(method, path, body).await;
            assert!(took < Duration::from_secs(12), "{method} {path} took {took:?}");
            assert_eq!(answer["statusCode"], 503, "{method} {path}: {answer}");
            assert!(
                answer["headers"]["retry-after"].is_string(),
                "{method} {path}: {answer}"
            );
        }));
    }
    for task in under_way {
        task.await.unwrap();
    }
}

/// The worker gives the messages back before Lambda ends it after 60 seconds.
#[tokio::test]
async fn a_worker_gives_back_what_it_cannot_do() {
    let mut lambda = Lambda::start(WORKER, &silence().await, &[]).await;
    let message = json!({
        "id": "job_1", "job": "search.index", "lane": "default", "body": {}, "created_at": "2026-11-29T00:00:00Z",
    });
    let record = json!({
        "messageId": "1", "receiptHandle": "1", "body": message.to_string(), "eventSource": "aws:sqs",
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1" },
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:souk-default", "awsRegion": "us-east-1",
    });
    let (answer, took) = lambda.invoke(json!({ "Records": [record] })).await;
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(answer["batchItemFailures"][0]["itemIdentifier"], "1", "{answer}");
}
