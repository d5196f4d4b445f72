//! Rebuilding: `begin` and `finish`.
//!
//! **Atomicity.** One atomic alias update makes a new generation live. The indexes of old generations are deleted
//! afterwards; the next `begin` deletes what an earlier `begin` or `finish` has left. A process that crashes in `begin`
//! leaves an index that nobody fills. One race remains: if a process finishes a rebuild at the very moment when another
//! process, which has begun the next one, deletes that generation, no index is live until the schedule rebuilds it.
//! OpenSearch has no conditional deletion of an index that would prevent this.
//!
//! **Removals** are copied to the new generation, so that a late `fill` does not bring removed products back.

use serde::Deserialize;
use serde_json::{Value, json};
use souk_core::search::{FORMAT, SearchError};

use super::write::{Document, REMEMBERED};
use super::{OpenSearch, set};
use crate::search::unavailable;

/// How many times `begin` tries to find a free generation number.
const TRIES: usize = 8;
/// How many removals are copied at a time.
const REMOVALS: usize = 1_000;

/// The settings and mappings of a generation's index. The number of replicas and the refresh interval are the domain's
/// defaults.
pub(super) fn definition() -> Value {
    let number = json!({ "type": "long" });
    // Elasticsearch cannot index longer entries, and no product has any.
    let entries = json!({ "type": "keyword", "ignore_above": 8_000 });
    json!({
        "settings": { "index": { "number_of_shards": 1 } },
        "mappings": {
            "_meta": { "format": FORMAT },
            "dynamic": false,
            // These fields are only searched, so their values are not stored as well.
            "_source": { "excludes": ["tokens", "words", "facets", "numbers", "completions"] },
            "properties": {
                "product": { "type": "keyword" },
                "body": { "type": "keyword", "index": false, "doc_values": false },
                "rank": number,
                "price": number,
                "published_at": number,
                "votes": number,
                "gone_at": number,
                "place": { "type": "geo_point" },
                "tokens": { "type": "text", "analyzer": "whitespace", "norms": false },
                "words": entries,
                "facets": entries,
                "numbers": {
                    "type": "nested",
                    "properties": { "field": { "type": "keyword" }, "value": { "type": "double" } },
                },
                "completions": entries,
            },
        },
    })
}

#[derive(Deserialize)]
struct Removals {
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_source")]
    source: Removal,
}

#[derive(Deserialize)]
struct Removal {
    product: String,
    version: u64,
    gone_at: i64,
}

impl OpenSearch {
    pub(super) async fn begin_generation(&self) -> Result<u64, SearchError> {
        let (next, live) = self.make_next().await?;
        let index = self.index(next);
        let all = format!("{}-*", self.name);
        self.aliases(&json!([
            { "remove": { "index": all, "alias": self.building() } },
            { "add": { "index": index, "alias": self.building() } },
        ]))
        .await?;
        if let Some(live) = live {
            self.take_over_removals(&self.index(live), &index).await?;
        }
        let layout = self.layout().await?;
        let is_left = |generation: &u64| {
            *generation < next && Some(*generation) != layout.live && Some(*generation) != layout.building
        };
        for left in layout.all.iter().copied().filter(is_left) {
            self.remove(left).await;
        }
        if !layout.has_uses {
            self.make_uses().await?;
        }
        Ok(next)
    }

    /// Creates the index of a new generation. Returns its number and the live generation.
    async fn make_next(&self) -> Result<(u64, Option<u64>), SearchError> {
        for _ in 0..TRIES {
            let layout = self.layout().await?;
            let next = layout.all.iter().max().map_or(1, |last| last + 1);
            let body = definition().to_string();
            let answer = self.call("PUT", &self.index(next), body.as_bytes()).await;
            let answer = answer.map_err(unavailable)?;
            // If another process has just created this generation, try the next number.
            if !answer.why().contains("resource_already_exists") {
                answer.read::<Value>().map_err(unavailable)?;
                return Ok((next, layout.live));
            }
        }
        Err(SearchError::Unavailable("too many rebuilds begin at once".into()))
    }

    pub(super) async fn finish_generation(&self, generation: u64) -> Result<(), SearchError> {
        let layout = self.layout().await?;
        if layout.building != Some(generation) {
            return Err(SearchError::Superseded);
        }
        let index = self.index(generation);
        self.post(&format!("{index}/_refresh"), &Value::Null).await?;
        let mut actions = vec![
            json!({ "add": { "index": index, "alias": self.name } }),
            json!({ "remove": { "index": index, "alias": self.building() } }),
        ];
        if let Some(live) = layout.live {
            actions.push(json!({ "remove": { "index": self.index(live), "alias": self.name } }));
        }
        self.aliases(&json!(actions)).await?;
        if let Some(live) = layout.live {
            self.remove(live).await;
        }
        // The rebuild is complete already; it does not fail because old uses keep their weight.
        if let Err(error) = self.fade_uses().await {
            tracing::warn!(%error, "what was searched for goes on to count as before");
        }
        Ok(())
    }

    async fn take_over_removals(&self, from: &str, to: &str) -> Result<(), SearchError> {
        self.post(&format!("{from}/_refresh"), &Value::Null).await?;
        let since = self.clock.now().as_millisecond().saturating_sub(REMEMBERED);
        let mut body = json!({
            "size": REMOVALS,
            "track_total_hits": false,
            "query": { "range": { "gone_at": { "gte": since } } },
            "sort": [{ "product": "asc" }],
        });
        loop {
            let path = format!("{from}/_search?allow_partial_search_results=false");
            let answer = self.call("POST", &path, body.to_string().as_bytes()).await;
            let found: Removals = answer.and_then(|answer| answer.read()).map_err(unavailable)?;
            let removals = found.hits.hits.into_iter().map(|hit| hit.source);
            let removals: Vec<Removal> = removals.collect();
            let documents: Vec<Document> = removals
                .iter()
                .flat_map(|gone| Document::gone(&gone.product, gone.version, gone.gone_at))
                .collect();
            self.write(&[to.to_owned()], &documents, "false").await?;
            match removals.last() {
                Some(last) if removals.len() == REMOVALS => set(&mut body, "search_after", json!([last.product])),
                _ => return Ok(()),
            }
        }
    }

    async fn aliases(&self, actions: &Value) -> Result<(), SearchError> {
        self.post("_aliases", &json!({ "actions": actions })).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(), SearchError> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.call("POST", path, body.as_bytes()).await;
        let answer: Result<Value, _> = answer.and_then(|answer| answer.read());
        answer.map(|_| ()).map_err(unavailable)
    }

    /// Deletes a generation's index. If that fails, the next `begin` deletes it.
    async fn remove(&self, generation: u64) {
        let _ = self.call("DELETE", &self.index(generation), b"").await;
    }
}
