//! DynamoDB: a proxy between the adapter and the emulator counts what is asked and what is answered.

#![expect(clippy::disallowed_methods, reason = "the proxy runs beside the test")]

use std::env;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use serde_json::{Value, json};
use souk_aws::{DynamoDocuments, Settings};
use souk_sqlite::{SystemClock, SystemRandom};

use crate::{Cost, prove, say};

/// Where the emulator is, and what went there.
struct Proxy {
    emulator: String,
    http: reqwest::Client,
    counts: Mutex<Cost>,
}

impl Proxy {
    /// Serves on an address of its own.
    async fn start(emulator: &str) -> (Arc<Self>, String) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let proxy = Arc::new(Self {
            emulator: emulator.to_owned(),
            http,
            counts: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(forward).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (proxy, address)
    }

    fn take(&self) -> Cost {
        std::mem::take(&mut *self.counts.lock().unwrap())
    }

    fn count(&self, asked: &Value, answer: &Value) {
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        let (mut items, mut units) = (
            number(&answer["ScannedCount"]),
            number(&answer["ConsumedCapacity"]["CapacityUnits"]),
        );
        // Of a batch every key is read, found or not.
        for table in asked["RequestItems"]
            .as_object()
            .into_iter()
            .flat_map(|tables| tables.values())
        {
            items += f64::from(u32::try_from(table["Keys"].as_array().unwrap().len()).unwrap());
        }
        for table in answer["ConsumedCapacity"].as_array().into_iter().flatten() {
            units += number(&table["CapacityUnits"]);
        }
        let mut counts = self.counts.lock().unwrap();
        for (what, more) in [("calls", 1.0), ("items", items), ("units", units)] {
            *counts.entry(what).or_default() += more;
        }
    }
}

async fn forward(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    asked["ReturnConsumedCapacity"] = json!("TOTAL");
    let mut headers = parts.headers;
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    let call = proxy
        .http
        .post(&proxy.emulator)
        .headers(headers)
        .body(asked.to_string());
    let answer = call.send().await.unwrap();
    let status = answer.status();
    let body: Bytes = answer.bytes().await.unwrap();
    proxy.count(&asked, &serde_json::from_slice(&body).unwrap_or_default());
    (status, [(CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_cost_the_same_at_any_size() {
    let Ok(emulator) = env::var("SOUK_TEST_DYNAMODB") else {
        assert!(env::var("SOUK_TEST_ALL").is_err(), "SOUK_TEST_DYNAMODB is not set");
        return say("skipped: set SOUK_TEST_DYNAMODB to the address of an emulator");
    };
    let table = format!("souk-scale-{:016x}", fastrand::u64(..));
    let open = |address: &str| {
        let settings = Settings::emulator(address);
        Arc::new(DynamoDocuments::new(
            &settings,
            &table,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        ))
    };
    let (proxy, address) = Proxy::start(&emulator).await;
    let store = open(&emulator);
    store.create_table().await.unwrap();
    prove("DynamoDB", store, open(&address), || proxy.take()).await;
}
