//! How often texts were searched for. Each text is a document of the index `souk-search-queries`, which all generations
//! share.
//!
//! **Atomicity.** A document is read, updated and written conditionally (`if_seq_no`), so no use is lost. After a
//! rebuild, all counts are halved in the same way. A crash during that leaves some counts as they were.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use souk_core::search::{MAX_CHANGES, SearchError};
use souk_sql::meaning::{completion, endings};

use super::{OpenSearch, set};
use crate::search::unavailable;

/// The suffix of the index name.
pub(super) const USES: &str = "queries";
/// How many of the most used texts are read.
const MOST_USED: usize = 50;
/// How many counts are halved at a time, and how many times.
const FADING: usize = 500;
const ROUNDS: usize = 200;
/// How many times counts are written when others write the same documents.
const TRIES: usize = 8;

/// A text and how often it was searched for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Use {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) uses: i64,
    /// The ends of the key, from each word on.
    endings: Vec<String>,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "_source")]
    source: Option<Use>,
    #[serde(rename = "_seq_no", default)]
    number: u64,
    #[serde(rename = "_primary_term", default)]
    term: u64,
}

#[derive(Deserialize)]
struct Listed {
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Stored>,
}

#[derive(Deserialize)]
struct Read {
    docs: Vec<Stored>,
}

impl OpenSearch {
    /// The name of the index of uses.
    pub(super) fn uses(&self) -> String {
        format!("{}-{USES}", self.name)
    }

    /// Creates the index of uses unless it exists.
    pub(super) async fn make_uses(&self) -> Result<(), SearchError> {
        let body = json!({
            "settings": { "index": { "number_of_shards": 1 } },
            "mappings": {
                "dynamic": false,
                "properties": {
                    "key": { "type": "keyword" },
                    "endings": { "type": "keyword" },
                    "uses": { "type": "long" },
                },
            },
        });
        let path = self.uses();
        let answer = self.call("PUT", &path, body.to_string().as_bytes()).await;
        let answer = answer.map_err(unavailable)?;
        if !answer.why().contains("resource_already_exists") {
            answer.read::<Value>().map_err(unavailable)?;
        }
        Ok(())
    }

    /// The most used texts of which a word and those after it begin with `beginning`.
    pub(super) async fn used_most(&self, beginning: &str) -> Result<Vec<Use>, SearchError> {
        let body = json!({
            "size": MOST_USED,
            "track_total_hits": false,
            "query": { "prefix": { "endings": beginning } },
            "sort": [{ "uses": "desc" }, { "key": "asc" }],
        });
        let stored = self.stored(&body).await?;
        Ok(stored.into_iter().filter_map(|stored| stored.source).collect())
    }

    async fn stored(&self, body: &Value) -> Result<Vec<Stored>, SearchError> {
        // The index does not exist before the first rebuild.
        let path = format!("{}/_search?ignore_unavailable=true", self.uses());
        let answer = self.call("POST", &path, body.to_string().as_bytes()).await;
        let listed: Listed = answer.and_then(|answer| answer.read()).map_err(unavailable)?;
        Ok(listed.hits.hits)
    }

    pub(super) async fn count_uses(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        let mut uses: BTreeMap<String, (String, i64)> = BTreeMap::new();
        for (text, count) in texts.iter().take(10 * MAX_CHANGES) {
            if let Some((key, text)) = completion(text) {
                uses.entry(key).or_insert((text, 0)).1 += i64::from(*count);
            }
        }
        let uses: Vec<(String, (String, i64))> = uses.into_iter().collect();
        if uses.is_empty() {
            return Ok(());
        }
        if !self.layout().await?.has_uses {
            self.make_uses().await?;
        }
        for part in uses.chunks(MAX_CHANGES) {
            self.add_uses(part.to_vec()).await?;
        }
        Ok(())
    }

    async fn add_uses(&self, mut uses: Vec<(String, (String, i64))>) -> Result<(), SearchError> {
        for _ in 0..TRIES {
            let keys: Vec<&str> = uses.iter().map(|(key, _)| &**key).collect();
            let path = format!("{}/_mget", self.uses());
            let body = json!({ "ids": keys }).to_string();
            let answer = self.call("POST", &path, body.as_bytes()).await;
            let read: Read = answer.and_then(|answer| answer.read()).map_err(unavailable)?;
            let mut lines = String::new();
            for ((key, (text, count)), before) in uses.iter().zip(&read.docs) {
                let old = before.source.as_ref().map_or(0, |old| old.uses);
                let new = Use {
                    key: key.clone(),
                    text: text.clone(),
                    uses: old.saturating_add(*count),
                    endings: endings(key).map(str::to_owned).collect(),
                };
                lines += &self.line(before, &new);
            }
            let conflicts: HashSet<usize> = self.bulk(&lines, "wait_for").await?.into_iter().collect();
            let mut n = 0;
            uses.retain(|_| {
                n += 1;
                conflicts.contains(&(n - 1))
            });
            if uses.is_empty() {
                return Ok(());
            }
        }
        Err(SearchError::Unavailable("others kept counting the same uses".into()))
    }

    /// The lines of a bulk request that replace `before` with `new`, if nobody has changed it meanwhile.
    fn line(&self, before: &Stored, new: &Use) -> String {
        let mut action = json!({ "_index": self.uses(), "_id": new.key });
        let kind = if before.source.is_some() {
            set(&mut action, "if_seq_no", json!(before.number));
            set(&mut action, "if_primary_term", json!(before.term));
            if new.uses == 0 { "delete" } else { "index" }
        } else {
            "create"
        };
        let action = json!({ kind: action });
        if kind == "delete" {
            format!("{action}\n")
        } else {
            format!("{action}\n{}\n", json!(new))
        }
    }

    /// Halves the counts of all texts.
    pub(super) async fn fade_uses(&self) -> Result<(), SearchError> {
        let mut body = json!({
            "size": FADING,
            "track_total_hits": false,
            "seq_no_primary_term": true,
            "query": { "match_all": {} },
            "sort": [{ "key": "asc" }],
        });
        for _ in 0..ROUNDS {
            let stored = self.stored(&body).await?;
            let mut lines = String::new();
            for before in &stored {
                if let Some(old) = &before.source {
                    let uses = old.uses / 2;
                    lines += &self.line(before, &Use { uses, ..old.clone() });
                    set(&mut body, "search_after", json!([old.key]));
                }
            }
            self.bulk(&lines, "wait_for").await?;
            if stored.len() < FADING {
                break;
            }
        }
        Ok(())
    }
}
