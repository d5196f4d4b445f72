//! What the words of a query stand for: themselves, words that they begin, and corrections.
//!
//! One statement looks up all words of a query. The results are cached for a few seconds, or until this instance
//! writes, so a popular query needs one statement less. The cache may be slightly stale: if another instance indexes a
//! new word, the word counts as misspelt here until the cache expires.

use souk_core::Consistency::Eventual;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use souk_core::search::SearchError;

use super::write::json;
use super::{SqlSearch, integer, string, typo};
use crate::{SqlDriver, Statement, Value};

/// How many words are cached, and for how many milliseconds.
const MAX_KNOWN: usize = 1_000;
const REMEMBERED: i64 = 3_000;
/// How many words the beginning of a word stands for.
const MAX_BEGUN: usize = 12;
/// How many it stands for in suggestions.
const MAX_COMPLETED: usize = 40;
/// How many corrections a misspelt word stands for.
pub const MAX_CORRECTIONS: usize = 5;
/// Appended to a prefix, it sorts after everything that begins with the prefix.
pub(super) const END: &str = "\u{10ffff}";

/// A word to look up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// As it was typed.
    pub plain: String,
    /// Its stem.
    pub stem: String,
    /// It is the last word of the query, which may be only the beginning of a word.
    pub last: bool,
    /// It may be misspelt even if products have it.
    pub doubted: bool,
    /// It is completed: its first letter may stand for a word already, and it stands for more words than in a query.
    pub completes: bool,
}

/// What a word stands for, as stems.
#[derive(Debug, Default)]
pub struct Meaning {
    /// Products have this word.
    pub known: bool,
    /// The most frequent words that it begins.
    pub begun: Vec<String>,
    /// The nearest corrections. Only of words that are not known and begin none, or that are doubted.
    pub corrections: Vec<String>,
}

impl Meaning {
    /// Whether the word stands for nothing.
    pub fn is_unknown(&self) -> bool {
        !self.known && self.begun.is_empty() && self.corrections.is_empty()
    }
}

/// The cached lookups of this instance.
#[derive(Default)]
pub(super) struct Vocabulary(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    since: i64,
    /// The number of times the cache was cleared. The result of a lookup that began before a clearing is not cached.
    turn: u64,
    words: HashMap<Asked, Arc<Meaning>>,
}

impl Vocabulary {
    /// Clears the cache, because something was written.
    pub(super) fn forget(&self) {
        self.with(|all| {
            all.turn += 1;
            all.words.clear();
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Remembered) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A word that products have.
pub struct Candidate {
    /// The word.
    pub plain: String,
    /// Its stem.
    pub stem: String,
    /// About how many products have it.
    pub count: i64,
}

/// A row of the statement's argument: the stem, the range of the words that it begins, whether it is doubted, its
/// variants.
#[derive(Serialize)]
struct Row(String, String, String, bool, std::collections::BTreeSet<String>);

impl<D: SqlDriver> SqlSearch<D> {
    /// What each of these words stands for.
    pub(super) async fn meanings(&self, asked: &[Asked]) -> Result<Vec<Arc<Meaning>>, SearchError> {
        let now = self.clock.now().as_millisecond();
        let (turn, mut found) = self.vocabulary.with(|all| {
            if !(0..REMEMBERED).contains(&(now - all.since)) || all.words.len() > MAX_KNOWN {
                all.words.clear();
                all.since = now;
            }
            let found: Vec<_> = asked.iter().map(|asked| all.words.get(asked).cloned()).collect();
            (all.turn, found)
        });
        let missing: Vec<&Asked> = asked
            .iter()
            .zip(&found)
            .filter_map(|(asked, found)| found.is_none().then_some(asked))
            .collect();
        if !missing.is_empty() {
            let fresh = self.look_up(&missing).await?;
            self.vocabulary.with(|all| {
                if all.turn == turn {
                    let new = missing.iter().map(|asked| (*asked).clone()).zip(fresh.iter().cloned());
                    all.words.extend(new);
                }
            });
            let mut fresh = fresh.into_iter();
            for empty in found.iter_mut().filter(|found| found.is_none()) {
                *empty = fresh.next();
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    async fn look_up(&self, asked: &[&Asked]) -> Result<Vec<Arc<Meaning>>, SearchError> {
        let rows: Vec<Row> = asked
            .iter()
            .map(|word| {
                let begins = may_begin(word);
                let range = |end: &str| {
                    if begins {
                        format!("{}{end}", word.plain)
                    } else {
                        String::new()
                    }
                };
                let left = typo::left_of_typed(&word.plain);
                Row(word.stem.clone(), range(""), range(END), word.doubted, left)
            })
            .collect();
        let begun = asked.iter().find(|word| may_begin(word));
        let most = begun.map_or(MAX_BEGUN, |word| most_begun(word));
        let letters = begun.map_or(2, |word| word.plain.chars().count().min(3));
        // Completions come from two bounded reads: the most frequent words with the same first letters, and the first
        // completions in alphabetical order. The former may miss completions of a long beginning, the latter frequent
        // ones of a short beginning.
        let sql = format!(
            "WITH asked AS MATERIALIZED (SELECT key, value, \
             EXISTS (SELECT 1 FROM word WHERE generation = (SELECT live FROM state) AND plain = value ->> 0) AS known, \
             EXISTS (SELECT 1 FROM word WHERE generation = (SELECT live FROM state) \
             AND plain >= value ->> 1 AND plain < value ->> 2) AS begins FROM json_each(?1)) \
             SELECT key, 0, value ->> 0, value ->> 0, 0 FROM asked WHERE known \
             UNION ALL SELECT * FROM (SELECT -1, 1, w.plain, w.stem, w.count FROM \
             (SELECT plain FROM (SELECT plain FROM word WHERE generation = (SELECT live FROM state) \
             AND substr(plain, 1, {letters}) = ?2 ORDER BY count DESC LIMIT 200) \
             WHERE plain >= ?3 AND plain < ?3 || '{END}' \
             UNION SELECT * FROM (SELECT plain FROM word WHERE generation = (SELECT live FROM state) \
             AND plain >= ?3 AND plain < ?3 || '{END}' ORDER BY plain LIMIT 50)) b \
             CROSS JOIN word w ON w.generation = (SELECT live FROM state) AND w.plain = b.plain \
             ORDER BY w.count DESC, w.plain LIMIT 2 * {most}) \
             UNION ALL SELECT key, 2, plain, stem, count FROM (SELECT asked.key, w.plain, w.stem, w.count FROM asked \
             CROSS JOIN json_each(asked.value, '$[4]') l CROSS JOIN variant v ON v.generation = (SELECT live FROM state) \
             AND v.variant = l.value CROSS JOIN word w ON w.generation = (SELECT live FROM state) AND w.plain = v.plain \
             WHERE asked.value ->> 3 OR NOT (asked.known OR asked.begins) LIMIT 1000)"
        );
        let (first, plain) = begun.map_or((Value::Null, Value::Null), |word| {
            (first_letters(&word.plain, letters).into(), (&*word.plain).into())
        });
        let statement = Statement::new(sql, vec![json(&rows), first, plain]);
        let mut known = vec![false; asked.len()];
        let mut begun = Vec::new();
        let mut near: Vec<Vec<Candidate>> = asked.iter().map(|_| Vec::new()).collect();
        for row in self.read(statement.with(Eventual)).await? {
            let mut row = row.into_iter();
            let (key, kind) = (integer(&mut row)?, integer(&mut row)?);
            let candidate = Candidate {
                plain: string(&mut row)?,
                stem: string(&mut row)?,
                count: integer(&mut row)?,
            };
            let key = usize::try_from(key).unwrap_or(usize::MAX);
            match kind {
                0 => {
                    if let Some(known) = known.get_mut(key) {
                        *known = true;
                    }
                }
                1 => begun.push(candidate),
                _ => {
                    if let Some(near) = near.get_mut(key) {
                        near.push(candidate);
                    }
                }
            }
        }
        let begun = stems(begun.into_iter(), most);
        let meaning = |((word, known), near): ((&&Asked, bool), Vec<Candidate>)| {
            Arc::new(Meaning {
                known,
                begun: if word.last { begun.clone() } else { Vec::new() },
                corrections: nearest(&word.plain, near),
            })
        };
        Ok(asked.iter().zip(known).zip(near).map(meaning).collect())
    }

    /// The words that begin almost like `typed`, among the most frequent ones with the same first letters, as stems.
    pub(super) async fn begun_almost(&self, typed: &str) -> Result<Vec<String>, SearchError> {
        let sql = "SELECT plain, stem, count FROM word WHERE generation = (SELECT live FROM state) \
                   AND substr(plain, 1, 3) = ?1 ORDER BY count DESC LIMIT 200";
        let statement = Statement::new(sql, vec![first_letters(typed, 3).into()]).with(Eventual);
        let mut near = Vec::new();
        for row in self.read(statement).await? {
            let mut row = row.into_iter();
            let candidate = Candidate {
                plain: string(&mut row)?,
                stem: string(&mut row)?,
                count: integer(&mut row)?,
            };
            near.extend(typo::begins_almost(typed, &candidate.plain).then_some(candidate));
        }
        Ok(stems(near.into_iter(), MAX_CORRECTIONS))
    }
}

/// Whether a word stands for words that it begins.
pub fn may_begin(word: &Asked) -> bool {
    word.last && (word.completes || word.plain.chars().nth(1).is_some())
}

/// How many words a word stands for that it begins.
pub fn most_begun(word: &Asked) -> usize {
    if word.completes { MAX_COMPLETED } else { MAX_BEGUN }
}

/// The first letters of a text, counted like SQL's `substr`.
pub(super) fn first_letters(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

/// The stems of the best corrections: of the candidates within tolerance, those with the smallest distance.
pub fn nearest(typed: &str, candidates: Vec<Candidate>) -> Vec<String> {
    let mut measured: Vec<(usize, Candidate)> = candidates
        .into_iter()
        .map(|candidate| (typo::distance(typed, &candidate.plain), candidate))
        .filter(|(distance, candidate)| (1..=typo::tolerance(&candidate.plain)).contains(distance))
        .filter(|(_, candidate)| typo::have_same_digits(typed, &candidate.plain))
        .collect();
    measured.sort_by(|(one, a), (other, b)| (one, b.count, &a.plain).cmp(&(other, a.count, &b.plain)));
    let least = measured.first().map_or(0, |(distance, _)| *distance);
    let nearest = measured.into_iter().take_while(|(distance, _)| *distance == least);
    stems(nearest.map(|(_, candidate)| candidate), MAX_CORRECTIONS)
}

/// The first `most` distinct stems of these words.
pub fn stems(candidates: impl Iterator<Item = Candidate>, most: usize) -> Vec<String> {
    let mut stems = Vec::new();
    for candidate in candidates {
        if stems.len() < most && !stems.contains(&candidate.stem) {
            stems.push(candidate.stem);
        }
    }
    stems
}
