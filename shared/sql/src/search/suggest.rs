//! Suggestions: texts that begin like what was typed, the most used first.
//!
//! Two bounded reads answer: the most used texts of those with the same first letters, and the first ones in the alphabet
//! that begin so. A text of many that share a beginning and that nobody uses may so be missed. If that gives too few, texts
//! follow that begin almost so, of those with the same first letters; then those that begin with what misspelt words
//! may have been.
//!
//! A text is there as long as a product has it, which is counted; one that only was searched for fades with the rebuilds.

use std::collections::HashSet;

use souk_core::search::{MAX_CHANGES, SearchError, words};

use super::text::cut;
use super::vocabulary::{Asked, END, first_letters};
use super::write::json;
use super::{SqlSearch, failed, integer, string, token, typo};
use crate::{SqlDriver, Statement};

/// How many of the most used, and of the first in the alphabet.
const MOST_USED: i64 = 300;
const FIRST: i64 = 100;
/// How much of what was typed is looked at, in bytes.
const MAX_TYPED: usize = 60;
/// From how many letters on what was typed may be misspelt.
const TYPO: usize = 4;

/// A text that may be suggested.
struct Candidate {
    key: String,
    text: String,
    uses: i64,
    products: i64,
}

impl<D: SqlDriver> SqlSearch<D> {
    pub(super) async fn complete(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError> {
        let key = token::key(cut(typed, MAX_TYPED));
        if key.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |candidates: Vec<Candidate>, fits: &(dyn Fn(&str) -> bool + Sync)| {
            let mut candidates: Vec<_> = candidates.into_iter().filter(|c| fits(&c.key)).collect();
            candidates.sort_by(|a, b| (b.uses, b.products, &a.key).cmp(&(a.uses, a.products, &b.key)));
            for candidate in candidates {
                if found.len() < limit && seen.insert(candidate.key) {
                    found.push(candidate.text);
                }
            }
            found.len() < limit
        };
        let candidates = self.candidates(&key).await?;
        let (right, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| c.key.starts_with(&key));
        if add(right, &|_| true) && key.chars().count() >= TYPO {
            add(others, &|other| typo::distance_to_beginning(&key, other) <= 1);
            for meant in self.meant(&key).await? {
                add(self.candidates(&meant).await?, &|other| other.starts_with(&meant));
            }
        }
        Ok(found)
    }

    /// Texts that begin like `key`, and some that only have its first letters in common.
    async fn candidates(&self, key: &str) -> Result<Vec<Candidate>, SearchError> {
        let letters = key.chars().count().min(3);
        let sql = format!(
            "SELECT * FROM (SELECT key, text, uses, coalesce(products, 0) FROM completion \
             WHERE generation = (SELECT live FROM state) AND substr(key, 1, {letters}) = ?1 ORDER BY uses DESC LIMIT ?3) \
             UNION SELECT * FROM (SELECT key, text, uses, coalesce(products, 0) FROM completion \
             WHERE generation = (SELECT live FROM state) AND key >= ?2 AND key < ?2 || '{END}' ORDER BY key LIMIT ?4)"
        );
        let first = first_letters(key, letters);
        let args = vec![first.into(), key.into(), MOST_USED.into(), FIRST.into()];
        let rows = self.driver.read(Statement::new(sql, args)).await.map_err(failed)?;
        let candidate = |row: Vec<_>| {
            let mut row = row.into_iter();
            Ok(Candidate {
                key: string(&mut row)?,
                text: string(&mut row)?,
                uses: integer(&mut row)?,
                products: integer(&mut row)?,
            })
        };
        rows.into_iter().map(candidate).collect()
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
                let right = all
                    .iter()
                    .enumerate()
                    .map(|(n, word)| if n == at { correction } else { &word.plain });
                meant.push(right.map(String::as_str).collect::<Vec<_>>().join(" "));
            }
        }
        meant.truncate(2);
        Ok(meant)
    }

    pub(super) async fn count_uses(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        let rows: Vec<(String, String, u32)> = texts
            .iter()
            .take(10 * MAX_CHANGES)
            .filter_map(|(text, uses)| token::completion(text).map(|(key, text)| (key, text, *uses)))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO completion (generation, key, text, products, uses) \
                   SELECT (SELECT live FROM state), r.value ->> 0, max(r.value ->> 1), NULL, sum(r.value ->> 2) \
                   FROM json_each(?1) r WHERE true GROUP BY 2 \
                   ON CONFLICT (generation, key) DO UPDATE SET uses = uses + excluded.uses";
        let statement = Statement::new(sql, vec![json(&rows)]);
        self.driver.write(vec![statement]).await.map_err(failed)
    }
}
