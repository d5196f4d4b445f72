//! [`RemoteDocuments`]: a store inside a Worker, spoken to over HTTP.
//!
//! D1 exists only inside of workerd. So a build of the Worker for tests answers `POST /__test/documents/{get,query,commit,scan,erase}`:
//! the request is the port's arguments as JSON, the response its `Result` as JSON. The header `x-test-now` says what time
//! the store shall believe it is, in milliseconds since 1970.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_core::documents::Scan;
use souk_core::{Clock, Commit, Consistency, Document, Documents, Key, Page, Query, StoreError, Tenant};

use super::bench::TestClock;

/// The store behind a Worker's test routes.
pub struct RemoteDocuments {
    base_url: String,
    clock: Arc<dyn Clock>,
    client: reqwest::Client,
}

impl RemoteDocuments {
    /// The store at `base_url`, which shall live by this clock.
    pub fn new(base_url: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .unwrap();
        Self {
            base_url: base_url.into(),
            clock,
            client,
        }
    }

    async fn call<T: DeserializeOwned>(&self, name: &str, argument: &impl Serialize) -> Result<T, StoreError> {
        let failed = |e: reqwest::Error| StoreError::Unavailable(format!("{e:?}"));
        let request = self
            .client
            .post(format!(
                "{}/__test/documents/{name}",
                self.base_url.trim_end_matches('/')
            ))
            .header("content-type", "application/json")
            .header("x-test-now", self.clock.now().as_millisecond())
            .body(serde_json::to_vec(argument).unwrap());
        let again = request.try_clone();
        let response = match (request.send().await, again) {
            // A busy server may close a connection that is about to be used. What changes nothing can be sent again.
            (Err(_), Some(again)) if name != "commit" => again.send().await,
            (result, _) => result,
        };
        let response = response.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        // Anything but a `Result` is a fault of the test routes or a crash, which no case should take for an answer.
        serde_json::from_str::<Result<T, StoreError>>(&text)
            .unwrap_or_else(|e| panic!("{name} answered {status}: {e}: {text:.500}"))
    }
}

#[async_trait]
impl Documents for RemoteDocuments {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        self.call("get", &(keys, consistency)).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.call("query", &(query, consistency)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.call("commit", &commit).await
    }

    async fn scan(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        self.call("scan", &(tenant, after)).await
    }

    async fn erase(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<String>, StoreError> {
        self.call("erase", &(tenant, after)).await
    }
}

/// The test routes of a Worker for one port: `POST /__test/{port}/{method}` with the arguments as JSON.
pub(super) struct TestRoutes {
    url: String,
    clock: Arc<TestClock>,
    client: reqwest::Client,
}

impl TestRoutes {
    /// Those of `port` at `base_url`, which shall live by this clock.
    pub(super) fn new(base_url: impl Into<String>, port: &str, clock: Arc<TestClock>) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy();
        Self {
            url: format!("{}/__test/{port}", base_url.into().trim_end_matches('/')),
            clock,
            client: client.build().unwrap(),
        }
    }

    /// The result of a method. Anything but a `Result` is a fault of the test routes or a crash.
    pub(super) async fn call<T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<T, E> {
        let request = self
            .client
            .post(format!("{}/{method}", self.url))
            .header("x-test-now", self.clock.now().as_millisecond())
            .body(serde_json::to_vec(arguments).unwrap());
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<Result<T, E>>(&text).unwrap_or_else(|e| panic!("{method}: {e}: {text:.500}"))
    }
}
