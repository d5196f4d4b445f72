//! Suggestions: texts that begin like what was typed, the most used first.
//!
//! What products complete is counted in their own documents, so a text is there as long as a product has it. How often a text was
//! searched for is a document each of the index `souk-search-uses`, which generations share: read, added to and written under the
//! condition that nobody else has (`if_seq_no`), so none is lost. After a rebuild uses count half, by the same means; who dies
//! then leaves some as they were. A text that no product had when it was used last is suggested after a few uses.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use souk_core::search::{MAX_CHANGES, SearchError, words};
use souk_sql::meaning::{Asked, MAX_TYPED, TOLD, TYPO, completion, cut, distance_to_beginning, key};

use super::OpenSearch;
use super::words::Buckets;
use crate::search::unavailable;

/// The end of the name of the index.
pub(super) const USES: &str = "uses";
/// How many texts are looked at: of those that products complete most often, and of the most used.
const MOST: usize = 100;
const MOST_USED: usize = 50;
/// How many texts that begin almost so are looked at.
const ALIKE: usize = 200;
/// How many uses fade at a time, and how many times.
const FADING: usize = 500;
const ROUNDS: usize = 200;
/// How often uses are added again because others were first.
const TRIES: usize = 8;

/// A text with how much it is used.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Use {
    key: String,
    text: String,
    uses: i64,
    /// A product had it when it was used last.
    owned: bool,
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

#[derive(Deserialize)]
struct Completed {
    aggregations: Completions,
}

#[derive(Deserialize)]
struct Completions {
    begun: Option<Buckets>,
    owned: Option<Owned>,
}

#[derive(Deserialize)]
struct Owned {
    buckets: HashMap<String, Count>,
}

#[derive(Deserialize)]
struct Count {
    doc_count: u64,
}

/// A text that may be suggested.
struct Entry {
    text: String,
    uses: i64,
    products: u64,
    /// By how many products this spelling of it is had.
    spelt: u64,
}

impl OpenSearch {
    pub(super) async fn complete(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError> {
        let key = key(cut(typed, MAX_TYPED));
        if key.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let (mut seen, mut texts) = (HashSet::new(), Vec::new());
        let mut add = |more: Vec<(String, String)>| {
            for (key, text) in more {
                if texts.len() < limit && seen.insert(key) {
                    texts.push(text);
                }
            }
            texts.len() < limit
        };
        if add(self.beginning(&key, MOST).await?) && key.chars().count() >= TYPO {
            let first: String = key.chars().take(3).collect();
            let mut near = self.beginning(&first, ALIKE).await?;
            near.retain(|(other, _)| distance_to_beginning(&key, other) <= 1);
            add(near);
            for meant in self.meant(&key).await? {
                add(self.beginning(&meant, MOST).await?);
            }
        }
        Ok(texts)
    }

    /// Texts that begin like `beginning`, best first, with their keys.
    async fn beginning(&self, beginning: &str, most: usize) -> Result<Vec<(String, String)>, SearchError> {
        let used = self.used_most(beginning).await?;
        let keys: Vec<&str> = used.iter().map(|used| &*used.key).collect();
        let mut body = owners(&keys);
        // A key is letters, digits and spaces, so that none of it is syntax.
        body["aggs"]["begun"] =
            json!({ "terms": { "field": "completions", "include": format!("{beginning}.*"), "size": most } });
        body["query"] = json!({ "prefix": { "completions": beginning } });
        let Completions { begun, owned } = self.ask::<Completed>(&body).await?.aggregations;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for bucket in begun.into_iter().flat_map(|begun| begun.buckets) {
            let Some((key, text)) = bucket.key.split_once('\t') else {
                continue;
            };
            let entry = entries.entry(key.to_owned()).or_insert_with(|| Entry {
                text: String::new(),
                uses: 0,
                products: 0,
                spelt: 0,
            });
            entry.products += bucket.doc_count;
            if bucket.doc_count > entry.spelt {
                entry.spelt = bucket.doc_count;
                text.clone_into(&mut entry.text);
            }
        }
        for (n, used) in used.into_iter().enumerate() {
            let products = owned.as_ref().and_then(|owned| owned.buckets.get(&n.to_string()));
            let products = products.map_or(0, |count| count.doc_count);
            if products > 0 || (!used.owned && used.uses >= TOLD) {
                let entry = entries.entry(used.key).or_insert(Entry {
                    text: used.text,
                    uses: 0,
                    products,
                    spelt: 0,
                });
                entry.uses = used.uses;
            }
        }
        let mut best: Vec<(String, Entry)> = entries.into_iter().collect();
        // Those that are equal stay in the order of the alphabet.
        best.sort_by(|(_, a), (_, b)| (b.uses, b.products).cmp(&(a.uses, a.products)));
        Ok(best.into_iter().map(|(key, entry)| (key, entry.text)).collect())
    }

    /// The most used texts that begin so.
    async fn used_most(&self, beginning: &str) -> Result<Vec<Use>, SearchError> {
        let body = json!({
            "size": MOST_USED,
            "track_total_hits": false,
            "query": { "prefix": { "key": beginning } },
            "sort": [{ "uses": "desc" }, { "key": "asc" }],
        });
        let stored = self.stored(&body).await?;
        Ok(stored.into_iter().filter_map(|stored| stored.source).collect())
    }

    async fn stored(&self, body: &Value) -> Result<Vec<Stored>, SearchError> {
        // It is not there before the first rebuild.
        let path = format!("{}-{USES}/_search?ignore_unavailable=true", self.name);
        let answer = self.call("POST", &path, body.to_string().as_bytes()).await;
        let listed: Listed = answer.and_then(|answer| answer.read()).map_err(unavailable)?;
        Ok(listed.hits.hits)
    }

    /// What a key may have been meant to be, if a word of it is misspelt: a few.
    async fn meant(&self, key: &str) -> Result<Vec<String>, SearchError> {
        let all: Vec<Asked> = words(key)
            .map(|word| Asked {
                plain: word.plain,
                stem: word.stem,
                last: false,
                doubted: false,
            })
            .collect();
        let meanings = self.meanings(&all).await?;
        let mut meant = Vec::new();
        for (at, meaning) in meanings.iter().enumerate() {
            for correction in meaning.corrections.iter().take(2) {
                let right = all.iter().enumerate();
                let right = right.map(|(n, word)| if n == at { correction } else { &word.plain });
                meant.push(right.map(String::as_str).collect::<Vec<_>>().join(" "));
            }
        }
        meant.truncate(2);
        Ok(meant)
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
        let keys: Vec<&str> = uses.iter().map(|(key, _)| &**key).collect();
        let owned = self.ask::<Completed>(&owners(&keys)).await?.aggregations.owned;
        let mut owned: HashMap<String, bool> = keys
            .iter()
            .enumerate()
            .map(|(n, key)| {
                let count = owned.as_ref().and_then(|owned| owned.buckets.get(&n.to_string()));
                ((*key).to_owned(), count.is_some_and(|count| count.doc_count > 0))
            })
            .collect();
        for _ in 0..TRIES {
            let keys: Vec<&str> = uses.iter().map(|(key, _)| &**key).collect();
            let path = format!("{}-{USES}/_mget", self.name);
            let body = json!({ "ids": keys }).to_string();
            let answer = self.call("POST", &path, body.as_bytes()).await;
            let read: Read = answer.and_then(|answer| answer.read()).map_err(unavailable)?;
            let mut lines = String::new();
            for ((key, (text, count)), before) in uses.iter().zip(&read.docs) {
                let owned = *owned.entry(key.clone()).or_default();
                let mut new = Use {
                    key: key.clone(),
                    text: text.clone(),
                    uses: *count,
                    owned,
                };
                // What its products have left behind does not count.
                if let Some(old) = before.source.as_ref().filter(|old| owned || !old.owned) {
                    new.uses = new.uses.saturating_add(old.uses);
                }
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

    /// Lines of a bulk request that put a use in the place of what was read.
    fn line(&self, before: &Stored, new: &Use) -> String {
        let mut action = json!({ "_index": format!("{}-{USES}", self.name), "_id": new.key });
        let kind = if before.source.is_some() {
            action["if_seq_no"] = json!(before.number);
            action["if_primary_term"] = json!(before.term);
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

    /// What was used until now goes on to count, by half.
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
                    body["search_after"] = json!([old.key]);
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

/// Asks how many products have each of these texts.
fn owners(keys: &[&str]) -> Value {
    let own = |key: &&str| json!({ "prefix": { "completions": format!("{key}\t") } });
    let each: Map<String, Value> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| (n.to_string(), own(key)))
        .collect();
    let any: Vec<Value> = keys.iter().map(own).collect();
    let mut body = json!({
        "size": 0,
        "track_total_hits": false,
        "query": { "bool": { "should": any } },
        "aggs": {},
    });
    if !keys.is_empty() {
        body["aggs"]["owned"] = json!({ "filters": { "filters": each } });
    }
    body
}
