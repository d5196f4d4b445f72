//! [`RemoteSearch`]: an index inside a Worker, spoken to over HTTP.
//!
//! As with `RemoteDocuments`: `POST /__test/search/{search,suggest,used,apply,begin,fill,finish,state,erase}` takes the arguments
//! of that method as a JSON array and answers with its `Result` as JSON. The header `x-test-tenant` says whose index it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_core::Tenant;
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery, Suggestion};

/// The index behind a Worker's test routes.
pub struct RemoteSearch {
    base_url: String,
    client: reqwest::Client,
    tenant: Tenant,
}

impl RemoteSearch {
    /// The index at `base_url`.
    pub fn new(base_url: impl Into<String>) -> Self {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .unwrap();
        Self {
            base_url: base_url.into(),
            client,
            tenant: Tenant::main(),
        }
    }

    async fn call<T: DeserializeOwned>(&self, name: &str, arguments: impl Serialize) -> Result<T, SearchError> {
        let failed = |e: reqwest::Error| SearchError::Unavailable(format!("{e:?}"));
        let url = format!("{}/__test/search/{name}", self.base_url.trim_end_matches('/'));
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("x-test-tenant", self.tenant.name())
            .body(serde_json::to_vec(&arguments).unwrap());
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        serde_json::from_str::<Result<T, SearchError>>(&text)
            .unwrap_or_else(|e| panic!("{name} answered {status}: {e}: {text:.500}"))
    }
}

#[async_trait]
impl Search for RemoteSearch {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        self.call("search", [query]).await
    }
    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        self.call("suggest", (typed, limit)).await
    }
    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.call("used", [texts]).await
    }
    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        self.call("apply", [changes]).await
    }
    async fn begin(&self) -> Result<u64, SearchError> {
        self.call("begin", [(); 0]).await
    }
    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.call("fill", (generation, listings)).await
    }
    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        self.call("finish", [generation]).await
    }
    async fn state(&self) -> Result<IndexState, SearchError> {
        self.call("state", [(); 0]).await
    }
    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        Arc::new(Self {
            base_url: self.base_url.clone(),
            client: self.client.clone(),
            tenant: tenant.clone(),
        })
    }
    async fn erase(&self) -> Result<(), SearchError> {
        self.call("erase", [(); 0]).await
    }
}
