//! Suggestions.
//!
//! Titles are found by a search. The others (names of groups and owners, tags) are counted by an aggregation over the
//! products, so they are suggested as long as a product has them. Queries ([`uses`](super::uses)) are suggested after a
//! few uses, if products have all of their words.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use souk_core::search::{MAX_OF_A_KIND, SearchError, SearchQuery, Suggestion, SuggestionKind, words};
use souk_sql::meaning::{
    Completion, KINDS, MAX_TYPED, Meaning, Plan, TOLD, TYPO, begins_almost, best, corrected, cut, endings, key, title,
    title_words, whole,
};

use super::uses::Use;
use super::words::{Buckets, Counted};
use super::{OpenSearch, query, set};

/// How many of the most frequent texts of a kind are read.
const MOST: usize = 100;
/// How many texts of a kind with a similar beginning are read.
const ALIKE: usize = 200;

#[derive(Deserialize)]
struct Completed {
    aggregations: Aggregations,
}

#[derive(Deserialize)]
struct Aggregations {
    /// The queries that are found, by their number.
    found: Option<Found>,
    /// The texts by kind.
    #[serde(flatten)]
    kinds: HashMap<String, Buckets>,
}

#[derive(Deserialize)]
struct Found {
    buckets: HashMap<String, Counted>,
}

#[derive(Deserialize)]
struct Titles {
    hits: TitleHits,
}

#[derive(Deserialize)]
struct TitleHits {
    hits: Vec<TitleHit>,
}

#[derive(Deserialize)]
struct TitleHit {
    #[serde(rename = "_source")]
    source: Titled,
    sort: Vec<Value>,
}

#[derive(Deserialize)]
struct Titled {
    product: String,
    /// Absent from products that an earlier version of the program has indexed.
    #[serde(default)]
    title: String,
}

/// The prefix of the completions of a kind.
pub(super) fn prefix(kind: SuggestionKind) -> char {
    match kind {
        SuggestionKind::Group => 'g',
        SuggestionKind::Owner => 'o',
        SuggestionKind::Query => 'q',
        SuggestionKind::Listing => 'l',
    }
}

impl OpenSearch {
    pub(super) async fn complete(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        let key = key(cut(typed, MAX_TYPED));
        if key.is_empty() || limit == 0 || self.is_absent().await? {
            return Ok(Vec::new());
        }
        let may_be_misspelt = key.chars().count() >= TYPO;
        let mut found = self.beginning(&key, MOST).await?;
        if found.is_empty() && may_be_misspelt {
            let first: String = key.chars().take(3).collect();
            found = self.alike(&key, &first).await?;
            for meant in self.meant(&key).await? {
                found.extend(self.beginning(&meant, MOST).await?);
            }
        }
        let mut titles = self.titles(&key, false).await?;
        if titles.is_empty() && may_be_misspelt {
            titles = self.titles(&key, true).await?;
        }
        found.extend(titles);
        Ok(best(found, limit))
    }

    /// Products whose titles have the words of `key`, of which the last one may be begun.
    async fn titles(&self, key: &str, doubted: bool) -> Result<Vec<Completion>, SearchError> {
        let (parts, asked) = title_words(key, doubted);
        let mut meanings = self.meanings(&asked).await?;
        if let (true, Some(last), Some(meaning)) = (doubted, asked.last(), meanings.last_mut())
            && meaning.is_unknown()
        {
            *meaning = Arc::new(Meaning {
                corrections: self.begun_almost(&last.plain).await?,
                ..Meaning::default()
            });
        }
        let plan = Plan::titles(&parts, &meanings, doubted);
        let query = SearchQuery {
            limit: 2 * MAX_OF_A_KIND,
            ..SearchQuery::default()
        };
        let mut body = query::body(&query, &plan, None);
        set(&mut body, "_source", json!(["product", "title"]));
        let Titles { hits } = self.ask(&body).await?;
        let titles = hits.hits.into_iter().filter(|hit| !hit.source.title.is_empty());
        let completion = |TitleHit { source, sort }: TitleHit| {
            // The score of the first level is 2, that of the other one 1.
            let is_whole = sort.first().and_then(Value::as_f64).is_some_and(|score| score > 1.5);
            title(source.product, source.title, is_whole)
        };
        Ok(titles.map(completion).collect())
    }

    /// Names and queries of which a word and those after it begin with `beginning`, best first.
    async fn beginning(&self, beginning: &str, most: usize) -> Result<Vec<Completion>, SearchError> {
        let used: Vec<Use> = self.used_most(beginning).await?;
        let told: Vec<&Use> = used.iter().filter(|used| used.uses >= TOLD).collect();
        let mut parts = Map::new();
        let mut any = Vec::new();
        for (kind, name) in KINDS {
            // A key consists of letters, digits and spaces, so it contains no regular expression syntax.
            let start = format!("{}{beginning}", prefix(kind));
            let begun = json!({ "terms": { "field": "completions", "include": format!("{start}.*"), "size": most } });
            parts.insert(name.to_owned(), begun);
            any.push(json!({ "prefix": { "completions": start } }));
        }
        if !told.is_empty() {
            let each: Map<String, Value> = told
                .iter()
                .enumerate()
                .map(|(n, used)| (n.to_string(), has_words(&used.key)))
                .collect();
            any.extend(each.values().cloned());
            parts.insert("found".to_owned(), json!({ "filters": { "filters": each } }));
        }
        let body = json!({
            "size": 0,
            "track_total_hits": false,
            "query": { "bool": { "should": any } },
            "aggs": parts,
        });
        let Aggregations { found, kinds } = self.ask::<Completed>(&body).await?.aggregations;
        let uses: HashMap<&str, i64> = used.iter().map(|used| (&*used.key, used.uses)).collect();
        let mut completions = named(kinds, |ending, key| {
            (ending == key, uses.get(key).copied().unwrap_or(0))
        });
        for (n, used) in told.into_iter().enumerate() {
            let count = found.as_ref().and_then(|found| found.buckets.get(&n.to_string()));
            if count.is_some_and(|count| count.doc_count > 0) {
                completions.push(Completion {
                    suggestion: Suggestion {
                        kind: SuggestionKind::Query,
                        text: used.text.clone(),
                        id: None,
                    },
                    key: used.key.clone(),
                    uses: used.uses,
                    is_whole: used.key.starts_with(beginning),
                });
            }
        }
        Ok(completions)
    }

    /// Names and tags of which a word and those after it begin almost with `key`, among those that begin with `first`.
    async fn alike(&self, key: &str, first: &str) -> Result<Vec<Completion>, SearchError> {
        let mut near = self.beginning(first, ALIKE).await?;
        near.retain(|one| endings(&one.key).any(|ending| begins_almost(key, ending)));
        for one in &mut near {
            one.is_whole = begins_almost(key, &one.key);
        }
        Ok(near)
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

/// The completions of products, by kind the most frequent first, each in its most frequent spelling. `about` says of an
/// ending and its key whether what was typed begins the text, and how often it was searched for.
fn named(mut kinds: HashMap<String, Buckets>, about: impl Fn(&str, &str) -> (bool, i64)) -> Vec<Completion> {
    let mut completions: Vec<Completion> = Vec::new();
    for (kind, name) in KINDS {
        // Buckets come in the order of their counts.
        for bucket in kinds.remove(name).into_iter().flat_map(|buckets| buckets.buckets) {
            let mut parts = bucket.key.splitn(4, '\t');
            let (Some(ending), Some(key), Some(id), Some(text)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let (is_whole, uses) = about(ending.get(1..).unwrap_or(""), key);
            completions.push(Completion {
                suggestion: Suggestion {
                    kind,
                    text: text.to_owned(),
                    id: (!id.is_empty()).then(|| id.to_owned()),
                },
                key: key.to_owned(),
                uses,
                is_whole,
            });
        }
    }
    completions
}

/// Matches the products that have all words of a key.
fn has_words(key: &str) -> Value {
    let all: Vec<Value> = words(key)
        .map(|word| json!({ "term": { "words": word.stem } }))
        .collect();
    json!({ "bool": { "filter": all } })
}
