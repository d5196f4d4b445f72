//! [`OpenSearch`]: the `Search` port over an OpenSearch domain, for markets that outgrow the file in S3.
//!
//! **The results match those of the other adapters**, because `souk-sql` decides what a query means and which tokens a
//! product has ([`meaning`](souk_sql::meaning)). OpenSearch stores the tokens in a field that it only splits at spaces,
//! so its own analyzers do not change them. OpenSearch itself completes prefixes and corrects misspelt words
//! ([`words`]). Levels of relevance are constant scores ([`query`]).
//!
//! **Generations** are indexes named `souk-search-{generation}`, with one shard each so that counts are exact. The
//! alias `souk-search` points to the live generation, `souk-search-building` to the one that is being built
//! ([`rebuild`]).
//!
//! **Tenants** have indexes of their own, named likewise after `souk-search_{tenant}_`, because no name of a tenant has `_`.
//! They match no pattern of the main market's or of another tenant's. A tenant's indexes are deleted with it, so a tenant
//! without any is empty.
//!
//! **Versions** are OpenSearch's external versions ([`write`]): OpenSearch itself rejects stale writes. A removal is
//! stored as a document too.
//!
//! **Atomicity.** Each product is written to a generation whole or not at all, but the products of one call are not
//! atomic together. After a crash the caller sends all of them again, and repeated writes have no effect. Searches see
//! a write as soon as it is acknowledged.
//!
//! Without the main market's index, its searches fail as if OpenSearch were unreachable, until something is written. The adapter uses only
//! APIs that Elasticsearch 7.0, OpenSearch's ancestor, has as well, and no scripts. The contract tests run against a
//! real engine if `OPENSEARCH_URL` is set (`CONTRIBUTING.md`); `tests/opensearch.rs` pins the requests.

mod page;
mod query;
mod rebuild;
mod suggest;
mod uses;
mod words;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_types::base64;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery, Suggestion};
use souk_core::{Clock, Random, StoreError, Tenant};
use souk_sql::meaning::EVERY;

use crate::Settings;
use crate::answer::read;
use crate::call::{Failure, patiently};
use crate::search::unavailable;
use crate::sign::{Signer, Wire, lasting, within};

/// The timeout of a write. A write waits for the next refresh, and creating an index is slow.
const WRITING: Duration = Duration::from_secs(20);
/// The longest response that is read, in bytes: room for more than a hundred of the largest products.
const MAX_ANSWER: usize = 32 << 20;

/// A search index in an OpenSearch domain.
#[derive(Clone)]
pub struct OpenSearch {
    /// The base URL, without a trailing slash.
    url: String,
    tenant: Tenant,
    /// The common prefix of the names of the main market's indexes and aliases.
    main_name: String,
    /// The common prefix of the names of all indexes and aliases of this tenant.
    name: String,
    /// Whether the live generation of this tenant has been seen.
    is_there: Arc<AtomicBool>,
    /// The `authorization` header for basic authentication.
    authorization: Option<String>,
    /// Signs requests for AWS.
    signer: Option<Arc<Signer>>,
    wire: Arc<Wire>,
    /// The timeout of a read.
    timeout: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A response.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl OpenSearch {
    /// The main market's index called `name` (lower case, such as `souk-search`) at `url`. Requests to `https://…` are signed for AWS
    /// (service `es`); those to `https://user:password@…` and `http://…` are not. Sends nothing yet.
    pub fn new(
        settings: &Settings,
        url: &str,
        name: &str,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, String> {
        let url = url.trim_end_matches('/');
        let parts = url.split_once("://").filter(|(_, rest)| !rest.is_empty());
        let Some((scheme @ ("http" | "https"), rest)) = parts else {
            return Err("the address of OpenSearch must begin with http:// or https://".into());
        };
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let signer = (scheme == "https" && user.is_none()).then(|| Signer::new(settings, "es", clock.clone()).into());
        Ok(Self {
            url: format!("{scheme}://{host}"),
            tenant: Tenant::main(),
            main_name: name.to_owned(),
            name: name.to_owned(),
            is_there: Arc::default(),
            authorization: user.map(|user| format!("Basic {}", base64::encode(user))),
            signer,
            wire: Arc::new(Wire::new(settings)),
            timeout: settings.timeout,
            clock,
            random,
        })
    }

    /// One request, with retries. `body` is JSON or NDJSON.
    async fn call(&self, method: &'static str, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        patiently(&*self.random, || self.call_once(method, path, body)).await
    }

    async fn call_once(&self, method: &'static str, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        let url = format!("{}/{path}", self.url);
        let kind = if path.contains("_bulk") {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let mut headers = vec![("content-type", kind)];
        headers.extend(self.authorization.as_deref().map(|text| ("authorization", text)));
        let asks = ["_search", "_alias", "_count", "_mget"]
            .iter()
            .any(|end| path.split('?').next().is_some_and(|path| path.ends_with(end)));
        let timeout = if asks { self.timeout } else { WRITING };
        within(timeout, async {
            let body = Bytes::copy_from_slice(body);
            let answer = self
                .wire
                .call(self.signer.as_deref(), method, &url, &headers, body, timeout);
            let answer = answer.await?;
            let status = answer.status().as_u16();
            let mut body = Vec::new();
            read(ByteStream::new(answer.into_body()), |bytes| {
                body.extend_from_slice(bytes);
                if body.len() > MAX_ANSWER {
                    return Err(lasting("the answer is too long"));
                }
                Ok(())
            })
            .await?;
            let answer = Answer { status, body };
            match status {
                408 | 429 | 500.. => Err(Failure::Passing(answer.why())),
                _ => Ok(answer),
            }
        })
        .await?
    }

    /// Searches the live generation. While a rebuild finishes, the alias may briefly point to no index; that is
    /// retried.
    async fn ask<T: DeserializeOwned>(&self, body: &Value) -> Result<T, SearchError> {
        let path = format!("{}/_search?allow_partial_search_results=false", self.name);
        let body = body.to_string();
        let asked = patiently(&*self.random, async || {
            let answer = self.call_once("POST", &path, body.as_bytes()).await?;
            match answer.status {
                404 => Err(Failure::Passing(answer.why())),
                _ => answer.read(),
            }
        });
        asked.await.map_err(unavailable)
    }

    /// Lists the existing indexes.
    async fn layout(&self) -> Result<Layout, SearchError> {
        // `%2A` is `*`, encoded because services sign a bare star in different ways.
        let path = format!("{}-%2A/_alias", self.name);
        let answer = self.call("GET", &path, b"").await.map_err(unavailable)?;
        let indexes: serde_json::Map<String, Value> = answer.read().map_err(unavailable)?;
        let mut layout = Layout::default();
        for (index, about) in indexes {
            let end = index.strip_prefix(&format!("{}-", self.name)).unwrap_or_default();
            layout.has_uses |= end == uses::USES;
            let Ok(generation) = end.parse::<u64>() else { continue };
            let has = |alias: &str| about.pointer(&format!("/aliases/{alias}")).is_some();
            layout.all.push(generation);
            if has(&self.name) {
                layout.live = layout.live.max(Some(generation));
            }
            if has(&self.building()) {
                layout.building = layout.building.max(Some(generation));
            }
        }
        Ok(layout)
    }

    /// Whether nothing is indexed of this tenant. If the main market's index is missing, that is an error instead.
    async fn is_absent(&self) -> Result<bool, SearchError> {
        if self.tenant.is_main() || self.is_there.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let is_there = self.layout().await?.live.is_some();
        self.is_there.store(is_there, Ordering::Relaxed);
        Ok(!is_there)
    }

    /// Whether a read that failed so should be tried again, because the tenant may have been erased since the last one.
    fn may_be_erased(&self, error: &SearchError) -> bool {
        matches!(error, SearchError::Unavailable(_)) && self.is_there.swap(false, Ordering::Relaxed)
    }

    async fn erase_all(&self) -> Result<(), SearchError> {
        let layout = self.layout().await?;
        let mut indexes: Vec<String> = layout.all.iter().map(|generation| self.index(*generation)).collect();
        indexes.extend(layout.has_uses.then(|| self.uses()));
        for index in indexes {
            let answer = self.call("DELETE", &index, b"").await.map_err(unavailable)?;
            if answer.status != 404 {
                answer.read::<Value>().map_err(unavailable)?;
            }
        }
        self.is_there.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The index name of a generation.
    fn index(&self, generation: u64) -> String {
        format!("{}-{generation}", self.name)
    }

    /// The alias of the generation that is being built.
    fn building(&self) -> String {
        format!("{}-building", self.name)
    }

    /// The version of what is indexed in a generation; 0 if its index does not say it.
    async fn format(&self, generation: u64) -> Result<u32, SearchError> {
        let index = self.index(generation);
        let answer = self.call("GET", &format!("{index}/_mapping"), b"").await;
        let mapping: Value = answer.map_err(unavailable)?.read().map_err(unavailable)?;
        let format = mapping.pointer(&format!("/{index}/mappings/_meta/format"));
        Ok(format
            .and_then(Value::as_u64)
            .and_then(|format| u32::try_from(format).ok())
            .unwrap_or(0))
    }

    async fn count(&self, generation: u64) -> Result<u64, SearchError> {
        #[derive(Deserialize)]
        struct Count {
            count: u64,
        }
        let path = format!("{}/_count", self.index(generation));
        let body = json!({ "query": { "term": { "tokens": EVERY } } }).to_string();
        let answer = self.call("POST", &path, body.as_bytes()).await.map_err(unavailable)?;
        let Count { count } = answer.read().map_err(unavailable)?;
        Ok(count)
    }
}

/// The existing indexes.
#[derive(Debug, Default)]
struct Layout {
    /// All generations, in no particular order.
    all: Vec<u64>,
    /// The live generation.
    live: Option<u64>,
    /// The generation that is being built.
    building: Option<u64>,
    /// Whether the index of query uses exists.
    has_uses: bool,
}

impl Answer {
    /// Parses the body of a successful response.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !(200..300).contains(&self.status) {
            return Err(Failure::Lasting(StoreError::Unavailable(self.why())));
        }
        serde_json::from_slice(&self.body).map_err(|_| lasting("the answer makes no sense"))
    }

    /// The error message: OpenSearch puts it under `error`, AWS's front end under `message`.
    fn why(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let part = |path: &str| body.pointer(path).and_then(Value::as_str);
        let said = part("/error/type")
            .or_else(|| part("/Message"))
            .or_else(|| part("/message"));
        let reason = part("/error/reason").unwrap_or_default();
        format!("status {}: {} {reason}", self.status, said.unwrap_or_default())
            .trim_end()
            .to_owned()
    }
}

/// Adds a field to an object.
fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}

#[async_trait]
impl Search for OpenSearch {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        match self.find(query).await {
            Err(error) if self.may_be_erased(&error) => self.find(query).await,
            found => found,
        }
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        match self.complete(typed, limit).await {
            Err(error) if self.may_be_erased(&error) => self.complete(typed, limit).await,
            found => found,
        }
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.count_uses(texts).await
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        self.apply_all(changes).await
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        self.begin_generation().await
    }

    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.fill_generation(generation, listings).await
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        self.finish_generation(generation).await
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        let layout = self.layout().await?;
        let (listings, format) = match layout.live {
            Some(live) => (self.count(live).await?, self.format(live).await?),
            None => (0, 0),
        };
        Ok(IndexState {
            live: layout.live.unwrap_or(0),
            building: layout.building,
            listings,
            format,
        })
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        if *tenant == self.tenant {
            return Arc::new(self.clone());
        }
        let name = match tenant.is_main() {
            true => self.main_name.clone(),
            false => format!("{}_{}_", self.main_name, tenant.name()),
        };
        Arc::new(Self {
            tenant: tenant.clone(),
            name,
            is_there: Arc::default(),
            ..self.clone()
        })
    }

    async fn erase(&self) -> Result<(), SearchError> {
        self.erase_all().await
    }
}
