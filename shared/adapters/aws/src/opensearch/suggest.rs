//! Suggestions: texts that begin with what was typed, the most used first.
//!
//! An aggregation over the products counts their texts, so a text is suggested as long as a product has it. A text that
//! no product had at its last use ([`uses`](super::uses)) is suggested after a few uses.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use serde_json::json;
use souk_core::search::SearchError;
use souk_sql::meaning::{MAX_TYPED, TOLD, TYPO, begins_almost, corrected, cut, key, whole};

use super::uses::{Completed, Completions, owners};
use super::{OpenSearch, set};

/// How many of the most frequent product texts are read.
const MOST: usize = 100;
/// How many texts with a similar beginning are read.
const ALIKE: usize = 200;

/// A text that may be suggested.
struct Entry {
    text: String,
    uses: i64,
    products: u64,
    /// How many products have the text in this spelling.
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
            near.retain(|(other, _)| begins_almost(&key, other));
            add(near);
            for meant in self.meant(&key).await? {
                add(self.beginning(&meant, MOST).await?);
            }
        }
        Ok(texts)
    }

    /// Texts that begin with `beginning`, best first, with their keys.
    async fn beginning(&self, beginning: &str, most: usize) -> Result<Vec<(String, String)>, SearchError> {
        let used = self.used_most(beginning).await?;
        let keys: Vec<&str> = used.iter().map(|used| &*used.key).collect();
        let mut counts = owners(&keys);
        // A key consists of letters, digits and spaces, so it contains no regular expression syntax.
        let begun = json!({ "terms": { "field": "completions", "include": format!("{beginning}.*"), "size": most } });
        set(&mut counts, "begun", begun);
        let body = json!({
            "size": 0,
            "track_total_hits": false,
            "query": { "prefix": { "completions": beginning } },
            "aggs": counts,
        });
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
        // The sort is stable: ties stay in alphabetical order.
        best.sort_by_key(|(_, entry)| Reverse((entry.uses, entry.products)));
        Ok(best.into_iter().map(|(key, entry)| (key, entry.text)).collect())
    }

    /// Corrections of a key with a misspelt word, two at most.
    async fn meant(&self, key: &str) -> Result<Vec<String>, SearchError> {
        let all = whole(key);
        let meanings = self.meanings(&all).await?;
        Ok(corrected(
            &all,
            meanings.iter().map(|meaning| meaning.corrections.as_slice()),
        ))
    }
}
