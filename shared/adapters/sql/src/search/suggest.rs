//! Suggestions.
//!
//! **Titles** are found by the full-text index, in the order of a page: first those that begin with the first typed
//! word, then those that have all typed words. So they cost no rows of their own. A last word stands for the most
//! frequent words that it begins; of very many, a rare one may be missed.
//!
//! **The others** (names of groups and owners, tags, queries) are rows of `completion`, with a row of `ending` for each of
//! their words, from which on the text is compared. Two bounded reads per kind find them: the most used endings with the
//! same first letters, and the first ones in alphabetical order that begin with what was typed. If very many begin so,
//! one that nobody uses may be missed. If none does, those follow that begin almost so, among the most used with the same
//! first letters, and those that begin with corrections of misspelt words.
//!
//! Listings are counted for what they have. A text that was only searched for is suggested after a few uses, so that a
//! single user's query is not shown to others, and if listings have all of its words; it fades with each rebuild. Uses are
//! not counted per user: someone who repeats a query often enough has it suggested.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use souk_core::Consistency::Eventual;
use souk_core::search::{MAX_CHANGES, MAX_OF_A_KIND, SearchError, Suggestion, SuggestionKind, words};

use super::page::{ALL, live};
use super::plan::{Plan, asked};
use super::text::{Part, cut, parts};
use super::vocabulary::{Asked, END, Meaning, first_letters};
use super::write::json;
use super::{SqlSearch, failed, integer, string, token, typo};
use crate::{SqlDriver, Statement, Value};

/// How many of the most used endings of a kind are read, and how many of the first in alphabetical order.
const MOST_USED: i64 = 100;
const FIRST: i64 = 50;
/// How many of the most used endings are read if what was typed has only as many letters as the index compares.
const ENOUGH: i64 = 30;
/// How many texts of a kind are compared; a text may be found by several of its words.
const COMPARED: usize = 2 * MAX_OF_A_KIND;
/// How much of what was typed is used, in bytes.
pub const MAX_TYPED: usize = 60;
/// How many uses a text that no listing has needs before it is suggested.
pub const TOLD: i64 = 3;
/// How many letters what was typed needs to be corrected.
pub const TYPO: usize = 4;
/// The kinds that have rows of their own, with their names in these.
pub const KINDS: [(SuggestionKind, &str); 3] = [
    (SuggestionKind::Group, "group"),
    (SuggestionKind::Owner, "owner"),
    (SuggestionKind::Query, "query"),
];
/// The table `ends` of the endings of the keys in the table `whole`.
pub(super) const ENDS: &str = "ends(generation, kind, ending, key, thing, uses) AS (\
     SELECT generation, kind, key, key, thing, uses FROM whole UNION ALL \
     SELECT generation, kind, substr(ending, instr(ending, ' ') + 1), key, thing, uses FROM ends \
     WHERE instr(ending, ' ') > 0)";

/// A text that may be suggested.
pub struct Completion {
    /// What is suggested.
    pub suggestion: Suggestion,
    /// Its text in plain words.
    pub key: String,
    /// How often it was searched for.
    pub uses: i64,
    /// Whether it begins with what was typed, not only a later word of it.
    pub is_whole: bool,
}

/// The best of these completions. Equally good ones of a kind stay in order.
pub fn best(mut found: Vec<Completion>, limit: usize) -> Vec<Suggestion> {
    use SuggestionKind::{Listing, Query};
    let queries: HashMap<String, i64> = found
        .iter()
        .filter(|one| one.suggestion.kind == Query)
        .map(|query| (query.key.clone(), query.uses))
        .collect();
    for one in &mut found {
        if one.suggestion.kind == Listing {
            one.uses = queries.get(&one.key).copied().unwrap_or(0);
        }
    }
    let named: HashSet<String> = found
        .iter()
        .filter(|one| one.suggestion.kind != Query)
        .map(|one| one.key.clone())
        .collect();
    // Whoever types the name of something means that.
    found.retain(|one| one.suggestion.kind != Query || !named.contains(&one.key));
    found.sort_by_key(|one| (Reverse(one.uses), Reverse(one.is_whole), one.suggestion.kind));
    let (mut seen, mut of_kind) = (HashSet::new(), HashMap::<SuggestionKind, usize>::new());
    let mut best: Vec<(usize, Suggestion)> = Vec::new();
    for Completion { suggestion, key, .. } in found {
        let is_thing = !matches!(suggestion.kind, Listing | Query);
        let name = suggestion.id.clone().filter(|_| is_thing).unwrap_or(key);
        let before = of_kind.entry(suggestion.kind).or_default();
        if *before < MAX_OF_A_KIND && seen.insert((suggestion.kind, name)) {
            *before += 1;
            best.push((*before, suggestion));
        }
    }
    // If there is not room for all, each kind has its best ones.
    let mut places: Vec<usize> = best.iter().map(|(place, _)| *place).collect();
    places.sort_unstable();
    if let Some(last) = places.get(limit) {
        let mut room = limit.saturating_sub(places.iter().filter(|place| *place < last).count());
        best.retain(|(place, _)| {
            let fits = place < last || (place == last && room > 0);
            room -= usize::from(fits && place == last);
            fits
        });
    }
    best.into_iter().map(|(_, suggestion)| suggestion).collect()
}

impl<D: SqlDriver> SqlSearch<D> {
    pub(super) async fn complete(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        let key = token::key(cut(typed, MAX_TYPED));
        if key.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let may_be_misspelt = key.chars().count() >= TYPO;
        let mut found = self.beginning(&key).await?;
        if found.is_empty() && may_be_misspelt {
            found = self.alike(&key).await?;
            for meant in self.meant(&key).await? {
                found.extend(self.beginning(&meant).await?);
            }
        }
        let mut titles = self.titles(&key, false).await?;
        if titles.is_empty() && may_be_misspelt {
            titles = self.titles(&key, true).await?;
        }
        found.extend(titles);
        Ok(best(found, limit))
    }

    /// Listings whose titles have the words of `key`, of which the last one may be begun.
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
        let plan = Plan::titles(&parts, &meanings, doubted).within(&self.owner.prefix);
        let levels = plan.levels();
        let mut args: Vec<Value> = vec![i64::try_from(COMPARED).unwrap_or(8).into()];
        let mut selects = Vec::new();
        for (level, expression) in (0_i64..).zip(levels) {
            args.push(expression.into());
            selects.push(format!(
                "SELECT * FROM (SELECT {level}, d.product, d.title FROM fts CROSS JOIN doc d ON d.id = fts.rowid \
                 WHERE fts MATCH ?{} AND {} ORDER BY fts.rowid DESC LIMIT +?1)",
                args.len(),
                live(&ALL.to_string())
            ));
        }
        let statement = Statement::new(format!("{} LIMIT +?1", selects.join(" UNION ALL ")), args);
        let rows = self.read(statement.with(Eventual)).await?;
        let completion = |row: Vec<Value>| {
            let mut row = row.into_iter();
            let level = integer(&mut row)?;
            Ok(title(string(&mut row)?, string(&mut row)?, level == 0))
        };
        rows.into_iter().map(completion).collect()
    }

    /// Names and queries of which a word and those after it begin with `key`, best first.
    async fn beginning(&self, key: &str) -> Result<Vec<Completion>, SearchError> {
        let letters = key.chars().count().min(3);
        let kind = |(_, kind): &(SuggestionKind, &str)| {
            format!(
                "SELECT * FROM (SELECT c.kind, c.thing, c.text, e.key, e.uses, e.ending = e.key, c.words FROM \
                 (SELECT ending, key, thing FROM (SELECT ending, key, thing FROM ending \
                 WHERE generation = (SELECT live FROM state) AND kind = '{kind}' AND substr(ending, 1, {letters}) = ?1 \
                 ORDER BY uses DESC LIMIT +?3) WHERE ending >= ?2 AND ending < ?2 || '{END}' \
                 UNION SELECT * FROM (SELECT ending, key, thing FROM ending \
                 WHERE generation = (SELECT live FROM state) AND kind = '{kind}' AND ending >= ?2 AND ending < ?2 || '{END}' \
                 ORDER BY ending LIMIT +?4)) b \
                 CROSS JOIN ending e ON e.generation = (SELECT live FROM state) AND e.kind = '{kind}' \
                 AND e.ending = b.ending AND e.key = b.key AND e.thing = b.thing \
                 CROSS JOIN completion c ON c.generation = (SELECT live FROM state) AND c.kind = '{kind}' \
                 AND c.key = b.key AND c.thing = b.thing \
                 WHERE c.products IS NOT NULL OR e.uses >= {TOLD} \
                 ORDER BY e.uses DESC, 6 DESC, c.products DESC, c.key LIMIT +?5)"
            )
        };
        let first = first_letters(key, letters);
        let (used, alphabet) = if first == key { (ENOUGH, 0) } else { (MOST_USED, FIRST) };
        let most = i64::try_from(COMPARED).unwrap_or(8);
        let args = vec![first.into(), key.into(), used.into(), alphabet.into(), most.into()];
        // What only was searched for must still find something.
        let sql = format!(
            "SELECT * FROM ({}) f WHERE f.words IS NULL OR EXISTS (SELECT 1 FROM fts WHERE fts MATCH f.words AND {})",
            KINDS.each_ref().map(kind).join(" UNION ALL "),
            live(&ALL.to_string())
        );
        self.completions(sql, args).await
    }

    /// Names and tags of which a word and those after it begin almost with `key`, among the most used with the same
    /// first letters.
    async fn alike(&self, key: &str) -> Result<Vec<Completion>, SearchError> {
        let kind = |(_, kind): &(SuggestionKind, &str)| {
            format!(
                "SELECT c.kind, c.thing, c.text, b.ending, b.uses, b.ending = b.key FROM \
                 (SELECT ending, key, thing, uses FROM ending WHERE generation = (SELECT live FROM state) \
                 AND kind = '{kind}' AND substr(ending, 1, 3) = ?1 ORDER BY uses DESC LIMIT +?2) b \
                 CROSS JOIN completion c ON c.generation = (SELECT live FROM state) AND c.kind = '{kind}' \
                 AND c.key = b.key AND c.thing = b.thing WHERE c.products IS NOT NULL"
            )
        };
        let sql = KINDS.each_ref().map(kind).join(" UNION ALL ");
        let args = vec![first_letters(key, 3).into(), MOST_USED.into()];
        let mut found = self.completions(sql, args).await?;
        // Here the key is the ending that was compared.
        found.retain(|one| typo::begins_almost(key, &one.key));
        for one in &mut found {
            one.key = token::key(&one.suggestion.text);
        }
        Ok(found)
    }

    /// Rows of a kind, a thing, a text, a key, uses, and whether the text begins with what was typed.
    async fn completions(&self, sql: String, args: Vec<Value>) -> Result<Vec<Completion>, SearchError> {
        let statement = Statement::new(sql, args).with(Eventual);
        let rows = self.read(statement).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let mut row = row.into_iter();
            let kind = string(&mut row)?;
            let Some((kind, _)) = KINDS.into_iter().find(|(_, name)| *name == kind) else {
                continue;
            };
            let id = Some(string(&mut row)?).filter(|id| !id.is_empty());
            let text = string(&mut row)?;
            found.push(Completion {
                suggestion: Suggestion { kind, text, id },
                key: string(&mut row)?,
                uses: integer(&mut row)?,
                is_whole: integer(&mut row)? != 0,
            });
        }
        Ok(found)
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
        let rows: Vec<(String, String, u32, String)> = texts
            .iter()
            .take(10 * MAX_CHANGES)
            .filter_map(|(text, uses)| {
                let (key, text) = token::completion(text)?;
                let words = Plan::of_key(&key).within(&self.owner.prefix).all(None);
                Some((key, text, *uses, words))
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let rows = json(&rows);
        let whole = "WITH RECURSIVE whole AS (SELECT (SELECT live FROM state) AS generation, 'query' AS kind, \
                     r.value ->> 0 AS key, '' AS thing, sum(r.value ->> 2) AS uses FROM json_each(?1) r GROUP BY 3)";
        let batch = [
            "INSERT INTO completion (generation, kind, key, thing, text, words) \
             SELECT (SELECT live FROM state), 'query', r.value ->> 0, '', max(r.value ->> 1), max(r.value ->> 3) \
             FROM json_each(?1) r WHERE true GROUP BY 3 ON CONFLICT (generation, kind, key, thing) DO NOTHING"
                .to_owned(),
            format!(
                "{whole}, {ENDS} INSERT INTO ending (generation, kind, ending, key, thing, uses) \
                 SELECT generation, kind, ending, key, thing, max(uses) FROM ends WHERE true GROUP BY ending, key \
                 ON CONFLICT (generation, kind, ending, key, thing) DO UPDATE SET uses = uses + excluded.uses"
            ),
            format!(
                "{whole}, {ENDS} UPDATE ending SET uses = ending.uses + u.uses \
                 FROM (SELECT ending, key, max(uses) AS uses FROM ends GROUP BY 1, 2) u \
                 WHERE ending.generation = (SELECT live FROM state) AND ending.kind IN ('group', 'owner') \
                 AND ending.ending = u.ending AND ending.key = u.key"
            ),
        ];
        let batch = batch.into_iter().map(|sql| Statement::new(sql, vec![rows.clone()]));
        let batch = self.owner.create().into_iter().chain(batch);
        self.transact(batch.collect()).await.map_err(failed)
    }
}

/// A listing that is suggested by its title.
pub fn title(id: String, title: String, is_whole: bool) -> Completion {
    Completion {
        key: token::key(&title),
        suggestion: Suggestion {
            kind: SuggestionKind::Listing,
            text: title,
            id: Some(id),
        },
        uses: 0,
        is_whole,
    }
}

/// The words that titles must have, with what to look up for each.
pub fn title_words(key: &str, doubted: bool) -> (Vec<Part>, Vec<Asked>) {
    let parts = parts(key);
    let mut asked = asked(&parts, doubted);
    for word in &mut asked {
        word.completes = word.last;
    }
    (parts, asked)
}

/// The endings of a key, from each of its words on.
pub fn endings(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |ending| ending.split_once(' ').map(|(_, rest)| rest))
}

/// The words of a key, to look up for corrections.
pub fn whole(key: &str) -> Vec<Asked> {
    words(key)
        .map(|word| Asked {
            plain: word.plain,
            stem: word.stem,
            last: false,
            doubted: false,
            completes: false,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(kind: SuggestionKind, text: &str, uses: i64, is_whole: bool) -> Completion {
        let id = (kind != SuggestionKind::Query).then(|| format!("id of {text}"));
        Completion {
            key: text.to_owned(),
            suggestion: Suggestion {
                kind,
                text: text.to_owned(),
                id,
            },
            uses,
            is_whole,
        }
    }

    #[test]
    fn no_kind_crowds_out_the_others() {
        use SuggestionKind::{Group, Listing, Owner, Query};
        let mut found: Vec<Completion> = (0..9)
            .map(|n| completion(Query, &format!("desk {n}"), 9, true))
            .collect();
        found.extend((0..9).map(|n| completion(Listing, &format!("oak desk {n}"), 0, false)));
        found.push(completion(Group, "standing desks", 0, false));
        found.push(completion(Owner, "desk and co", 0, true));
        let texts = |suggestions: Vec<Suggestion>| -> Vec<String> {
            suggestions.into_iter().map(|suggestion| suggestion.text).collect()
        };
        let few = [
            "desk 0",
            "desk 1",
            "desk and co",
            "standing desks",
            "oak desk 0",
            "oak desk 1",
        ];
        let ten = [
            "desk 0",
            "desk 1",
            "desk 2",
            "desk 3",
            "desk and co",
            "standing desks",
            "oak desk 0",
            "oak desk 1",
            "oak desk 2",
            "oak desk 3",
        ];
        let copy = |found: &[Completion]| -> Vec<Completion> {
            let copy = found
                .iter()
                .map(|one| completion(one.suggestion.kind, &one.key, one.uses, one.is_whole));
            copy.collect()
        };
        assert_eq!(texts(best(copy(&found), 6)), few);
        assert_eq!(texts(best(found, 10)), ten);
    }

    #[test]
    fn a_query_that_names_something_is_that() {
        use SuggestionKind::{Group, Listing, Query};
        let found = vec![
            completion(Query, "oak desk", 7, true),
            completion(Query, "lamps", 5, true),
            completion(Group, "lamps", 5, true),
            completion(Listing, "pine desk", 0, true),
            completion(Listing, "oak desk", 0, false),
            completion(Listing, "oak desk", 0, false),
        ];
        let found: Vec<_> = best(found, 10).into_iter().map(|one| (one.kind, one.text)).collect();
        let expected = [(Listing, "oak desk"), (Group, "lamps"), (Listing, "pine desk")];
        assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
    }
}
