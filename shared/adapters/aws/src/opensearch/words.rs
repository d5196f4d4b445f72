//! Finds what the words of a query stand for, among the words of the products: the most frequent words that they begin,
//! and corrections. The term suggester finds corrections in the index's dictionary, except words two edits away that
//! differ in the first letter; a regular expression finds those. Words of removed products may count until OpenSearch
//! has merged their segments.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use souk_core::search::{SearchError, words};
use souk_sql::meaning::{
    Asked, Candidate, MAX_CORRECTIONS, Meaning, begins_almost, distance, may_begin, most_begun, nearest, stems,
};

use super::{OpenSearch, set};

/// How many possible corrections of a word are compared with it.
const CANDIDATES: usize = 50;
/// How many words with the same first letters are compared with an unfinished one.
const ALIKE: usize = 200;
/// How many letters a typed word needs to be corrected by two edits, and the longest pattern: OpenSearch accepts 1,000
/// letters.
const TWO_WRONG: usize = 6;
const MAX_PATTERN: usize = 1_000;

/// The buckets of a terms aggregation: the values of a field, with how many products have each.
#[derive(Deserialize)]
pub(super) struct Buckets {
    pub(super) buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
pub(super) struct Bucket {
    pub(super) key: String,
    pub(super) doc_count: u64,
}

#[derive(Deserialize)]
pub(super) struct Counted {
    pub(super) doc_count: u64,
}

#[derive(Deserialize)]
struct KnownAnswer {
    aggregations: KnownParts,
}

#[derive(Deserialize)]
struct KnownParts {
    known: Known,
    begun: Option<Buckets>,
}

#[derive(Deserialize)]
struct Known {
    buckets: HashMap<String, Counted>,
}

#[derive(Deserialize)]
struct NearAnswer {
    suggest: HashMap<String, Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    options: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    text: String,
    freq: u64,
}

#[derive(Deserialize)]
struct PatternAnswer {
    aggregations: Words,
}

#[derive(Deserialize)]
struct Words {
    words: Buckets,
}

impl OpenSearch {
    /// What each of these words stands for.
    pub(super) async fn meanings(&self, asked: &[Asked]) -> Result<Vec<Arc<Meaning>>, SearchError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let parts = self.ask::<KnownAnswer>(&known(asked)).await?.aggregations;
        let mut all: Vec<Meaning> = asked
            .iter()
            .enumerate()
            .map(|(n, word)| {
                let count = parts.known.buckets.get(&n.to_string());
                let begun = parts
                    .begun
                    .iter()
                    .flat_map(|begun| &begun.buckets)
                    .filter(|_| word.last);
                Meaning {
                    known: count.is_some_and(|count| count.doc_count > 0),
                    begun: stems(begun.map(|word| candidate(&word.key, word.doc_count)), most_begun(word)),
                    corrections: Vec::new(),
                }
            })
            .collect();
        let doubtful: Vec<(usize, &Asked)> = asked
            .iter()
            .zip(&all)
            .enumerate()
            .filter(|(_, (word, meaning))| word.doubted || (!meaning.known && meaning.begun.is_empty()))
            .map(|(n, (word, _))| (n, word))
            .filter(|(_, word)| word.plain.chars().nth(2).is_some())
            .collect();
        if !doubtful.is_empty() {
            let mut answer: NearAnswer = self.ask(&near(&doubtful)).await?;
            for (n, word) in doubtful {
                let found = answer.suggest.remove(&n.to_string()).unwrap_or_default();
                let options = found.into_iter().flat_map(|entry| entry.options);
                let mut candidates: Vec<_> = options.map(|choice| candidate(&choice.text, choice.freq)).collect();
                let is_near = |other: &Candidate| distance(&word.plain, &other.plain) == 1;
                if let (Some(pattern), false) = (begun_otherwise(&word.plain), candidates.iter().any(is_near)) {
                    let more: PatternAnswer = self.ask(&matching(&pattern)).await?;
                    candidates.retain(|other| {
                        more.aggregations
                            .words
                            .buckets
                            .iter()
                            .all(|word| word.key != other.plain)
                    });
                    let more = more.aggregations.words.buckets.into_iter();
                    candidates.extend(more.map(|word| candidate(&word.key, word.doc_count)));
                }
                if let Some(meaning) = all.get_mut(n) {
                    meaning.corrections = nearest(&word.plain, candidates);
                }
            }
        }
        Ok(all.into_iter().map(Arc::new).collect())
    }

    /// The words that begin almost like `typed`, among the most frequent ones with the same first letters, as stems.
    pub(super) async fn begun_almost(&self, typed: &str) -> Result<Vec<String>, SearchError> {
        let first: String = typed.chars().take(3).collect();
        let body = json!({
            "size": 0,
            "track_total_hits": false,
            "query": { "prefix": { "words": first } },
            "aggs": { "words": { "terms": { "field": "words", "include": format!("{first}.*"), "size": ALIKE } } },
        });
        let found: PatternAnswer = self.ask(&body).await?;
        let near = found.aggregations.words.buckets.into_iter();
        let near = near.filter(|word| begins_almost(typed, &word.key));
        Ok(stems(
            near.map(|word| candidate(&word.key, word.doc_count)),
            MAX_CORRECTIONS,
        ))
    }
}

fn candidate(plain: &str, count: u64) -> Candidate {
    let stem = words(plain).next().map_or_else(|| plain.to_owned(), |word| word.stem);
    Candidate {
        plain: plain.to_owned(),
        stem,
        count: i64::try_from(count).unwrap_or(i64::MAX),
    }
}

/// Asks which of these words products have, and for the most frequent words that the last one begins.
fn known(asked: &[Asked]) -> Value {
    let stems: Vec<&str> = asked.iter().map(|word| &*word.stem).collect();
    let each: Map<String, Value> = stems
        .iter()
        .enumerate()
        .map(|(n, stem)| (n.to_string(), json!({ "term": { "words": stem } })))
        .collect();
    let mut any = vec![json!({ "terms": { "words": stems } })];
    let mut aggregations = json!({ "known": { "filters": { "filters": each } } });
    if let Some(last) = asked.iter().find(|word| may_begin(word)) {
        let plain = &last.plain;
        any.push(json!({ "prefix": { "words": plain } }));
        // A word consists of letters and digits, so it contains no regular expression syntax.
        let begun =
            json!({ "terms": { "field": "words", "include": format!("{plain}.*"), "size": 2 * most_begun(last) } });
        set(&mut aggregations, "begun", begun);
    }
    json!({
        "size": 0,
        "track_total_hits": false,
        "query": { "bool": { "should": any } },
        "aggs": aggregations,
    })
}

/// Asks the term suggester for words that are similar to these.
fn near(doubtful: &[(usize, &Asked)]) -> Value {
    let each: Map<String, Value> = doubtful
        .iter()
        .map(|(n, word)| {
            let near = json!({
                "text": word.plain,
                "term": {
                    "field": "words",
                    "analyzer": "keyword",
                    "size": CANDIDATES,
                    "shard_size": CANDIDATES,
                    "suggest_mode": "always",
                    "max_edits": 2,
                    "prefix_length": 0,
                    "min_word_length": 3,
                    // No limit: a word may be misspelt even if all products have it.
                    "max_term_freq": 2_000_000_000,
                },
            });
            (n.to_string(), near)
        })
        .collect();
    json!({ "size": 0, "suggest": each })
}

/// A pattern that matches all words two edits away of which one is at the first letter, and some others. `None` if the
/// word is too short or too long for it.
fn begun_otherwise(typed: &str) -> Option<String> {
    let letters: Vec<char> = typed.chars().collect();
    let [first, second, rest @ ..] = letters.as_slice() else {
        return None;
    };
    let swapped: Vec<char> = [second, first].into_iter().chain(rest).copied().collect();
    let tail = letters.get(1..)?;
    // The first letter is missing; it is wrong or superfluous; it is swapped with the second.
    let pattern = format!(
        ".({})|.?({})|{}",
        one_edit(&letters),
        one_edit(tail),
        one_edit(&swapped)
    );
    (letters.len() >= TWO_WRONG && pattern.len() <= MAX_PATTERN).then_some(pattern)
}

/// A pattern that matches all words one edit away, and some others. A word consists of letters and digits, so it
/// contains no regular expression syntax.
fn one_edit(letters: &[char]) -> String {
    let two = |at: usize| {
        let (before, after) = (letters.iter().take(at), letters.iter().skip(at + 2));
        before.collect::<String>() + ".{1,3}" + &after.collect::<String>()
    };
    (0..letters.len().saturating_sub(1))
        .map(two)
        .collect::<Vec<_>>()
        .join("|")
}

/// Asks for the most frequent words that match this pattern.
fn matching(pattern: &str) -> Value {
    json!({
        "size": 0,
        "track_total_hits": false,
        "query": { "regexp": { "words": pattern } },
        "aggs": { "words": { "terms": { "field": "words", "include": pattern, "size": CANDIDATES } } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_their_edits_and_are_bounded() {
        assert_eq!(one_edit(&['a', 'b', 'c']), ".{1,3}c|a.{1,3}");
        assert_eq!(begun_otherwise("short"), None);
        let pattern = begun_otherwise("mbrell").unwrap_or_default();
        assert!(pattern.starts_with(".(.{1,3}rell|m.{1,3}ell|"), "{pattern}");
        assert!(pattern.contains(")|.?(.{1,3}ell|"), "{pattern}");
        assert!(pattern.contains("|.{1,3}rell|b.{1,3}ell|"), "{pattern}");
        assert!(begun_otherwise(&"x".repeat(16)).is_some() && begun_otherwise(&"x".repeat(40)).is_none());
    }
}
