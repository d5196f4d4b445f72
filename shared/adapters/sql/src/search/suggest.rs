//! Suggestions: texts that begin with what was typed, the most used first.
//!
//! Two bounded reads find them: the most used texts with the same first letters, and the first texts in alphabetical
//! order that begin with what was typed. If very many texts share the beginning, one that nobody uses may be missed. If
//! there are too few results, texts follow that begin almost so, among those with the same first letters. Then come
//! texts that begin with corrections of misspelt words.
//!
//! A text is suggested as long as a product has it; products are counted. A text that was only searched for is
//! suggested after a few uses, so that a single user's query is not shown to others, and fades with each rebuild. Uses
//! are not counted per user: someone who repeats a query often enough has it suggested.

use souk_core::Consistency::Eventual;
use std::collections::HashSet;

use souk_core::search::{MAX_CHANGES, SearchError, words};

use super::text::cut;
use super::vocabulary::{Asked, END, first_letters};
use super::write::json;
use super::{SqlSearch, failed, string, token, typo};
use crate::{SqlDriver, Statement, Value};

/// How many of the most used texts are read, and how many of the first in alphabetical order.
const MOST_USED: i64 = 200;
const FIRST: i64 = 50;
/// How many of the most used texts are read if what was typed has only as many letters as the index compares.
const ENOUGH: i64 = 30;
/// How much of what was typed is used, in bytes.
pub const MAX_TYPED: usize = 60;
/// How many uses a text that no product has needs before it is suggested.
pub const TOLD: i64 = 3;
/// How many letters what was typed needs to be corrected.
pub const TYPO: usize = 4;

/// The suggestions found so far.
struct Found {
    limit: usize,
    keys: HashSet<String>,
    texts: Vec<String>,
}

impl Found {
    fn add(&mut self, more: Vec<(String, String)>) {
        for (key, text) in more {
            if self.texts.len() < self.limit && self.keys.insert(key) {
                self.texts.push(text);
            }
        }
    }
}

impl<D: SqlDriver> SqlSearch<D> {
    pub(super) async fn complete(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError> {
        let key = token::key(cut(typed, MAX_TYPED));
        let mut found = Found {
            limit,
            keys: HashSet::new(),
            texts: Vec::new(),
        };
        if key.is_empty() || limit == 0 {
            return Ok(found.texts);
        }
        found.add(self.beginning(&key, limit).await?);
        if found.texts.len() < limit && key.chars().count() >= TYPO {
            let mut near = self.alike(&key).await?;
            near.retain(|(other, _)| typo::begins_almost(&key, other));
            found.add(near);
            for meant in self.meant(&key).await? {
                found.add(self.beginning(&meant, limit).await?);
            }
        }
        Ok(found.texts)
    }

    /// Texts that begin with `key`, best first, with their keys.
    async fn beginning(&self, key: &str, limit: usize) -> Result<Vec<(String, String)>, SearchError> {
        let letters = key.chars().count().min(3);
        let sql = format!(
            "SELECT c.key, c.text FROM (SELECT key FROM (SELECT key FROM completion \
             WHERE generation = (SELECT live FROM state) AND substr(key, 1, {letters}) = ?1 ORDER BY uses DESC LIMIT +?3) \
             WHERE key >= ?2 AND key < ?2 || '{END}' \
             UNION SELECT * FROM (SELECT key FROM completion WHERE generation = (SELECT live FROM state) \
             AND key >= ?2 AND key < ?2 || '{END}' ORDER BY key LIMIT +?4)) k \
             CROSS JOIN completion c ON c.generation = (SELECT live FROM state) AND c.key = k.key \
             WHERE c.products IS NOT NULL OR c.uses >= {TOLD} \
             ORDER BY c.uses DESC, c.products DESC, c.key LIMIT +?5"
        );
        let most = i64::try_from(limit).unwrap_or(FIRST).min(FIRST);
        let first = first_letters(key, letters);
        let (used, alphabet) = if first == key { (ENOUGH, 0) } else { (MOST_USED, FIRST) };
        let args = vec![first.into(), key.into(), used.into(), alphabet.into(), most.into()];
        self.pairs(sql, args).await
    }

    /// The most used texts with the same first letters, with their keys.
    async fn alike(&self, key: &str) -> Result<Vec<(String, String)>, SearchError> {
        let sql = format!(
            "SELECT key, text FROM (SELECT key, text, products, uses FROM completion \
             WHERE generation = (SELECT live FROM state) AND substr(key, 1, 3) = ?1 ORDER BY uses DESC LIMIT +?2) \
             WHERE products IS NOT NULL OR uses >= {TOLD}"
        );
        let args = vec![first_letters(key, 3).into(), MOST_USED.into()];
        self.pairs(sql, args).await
    }

    async fn pairs(&self, sql: String, args: Vec<Value>) -> Result<Vec<(String, String)>, SearchError> {
        let rows = self
            .driver
            .read(Statement::new(sql, args).with(Eventual))
            .await
            .map_err(failed)?;
        let pair = |row: Vec<Value>| {
            let mut row = row.into_iter();
            Ok((string(&mut row)?, string(&mut row)?))
        };
        rows.into_iter().map(pair).collect()
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

/// The words of a key, to look up for corrections.
pub fn whole(key: &str) -> Vec<Asked> {
    words(key)
        .map(|word| Asked {
            plain: word.plain,
            stem: word.stem,
            last: false,
            doubted: false,
        })
        .collect()
}

/// The keys that result from correcting one of the words, two at most.
pub fn corrected<'a>(words: &[Asked], corrections: impl Iterator<Item = &'a [String]>) -> Vec<String> {
    let mut meant = Vec::new();
    for (at, corrections) in corrections.enumerate() {
        for correction in corrections.iter().take(2) {
            let right = words.iter().enumerate();
            let right = right.map(|(n, word)| if n == at { correction } else { &word.plain });
            meant.push(right.map(String::as_str).collect::<Vec<_>>().join(" "));
        }
    }
    meant.truncate(2);
    meant
}
