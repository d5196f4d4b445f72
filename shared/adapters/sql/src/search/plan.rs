//! Translates a query into the tokens that a product must have, for each level of relevance and for each filter.
//!
//! The weights divide the fields into at most three groups: the heaviest fields, all but the lightest, and all that are
//! searched. Level 1 has all words of the query in the first group; level 2 has them in the second group and is not in
//! level 1, and so on. The last level has each word, or something that stands for it, in any field. It does not require
//! a last word of one letter, because that may become any word.

use std::collections::BTreeSet;
use std::sync::Arc;

use souk_core::search::{Field, SearchQuery, Tuning, words};

use super::text::Part;
use super::vocabulary::{Asked, Meaning};
use super::{place, token};

/// All clauses must match. A clause matches if any of its rows does. A row is a phrase: its tokens must be adjacent.
pub type Clauses = Vec<Vec<Vec<String>>>;

/// What a query searches for.
pub struct Plan {
    /// The clauses of the levels, without filters. Each level also matches what the levels before it match. Empty:
    /// every product matches.
    pub words: Vec<Clauses>,
    /// The tokens of the filters by field; any token satisfies a filter. The filter of a place has an empty field.
    pub filters: Vec<(String, Vec<String>)>,
    /// The words to highlight.
    pub terms: Vec<String>,
    /// Nothing matches: the query has words, but no field is searched.
    pub nothing: bool,
    /// The token that every product has.
    every: String,
}

/// A part of the query: the rows of stems that count as what was typed, and all rows that match.
struct Choice {
    /// The rows that count as typed. Each is a phrase of stems.
    typed: Vec<Vec<String>>,
    all: Vec<Vec<String>>,
    /// The part is a last word of one letter. It may begin any word, so products that have the other words match too.
    begun_only: bool,
}

impl Plan {
    /// The plan of a query that consists of `parts`, whose single words have these `meanings`.
    pub fn new(query: &SearchQuery, parts: &[Part], meanings: &[Arc<Meaning>], doubted: bool) -> Self {
        let choices = choices(parts, meanings, doubted, &query.tuning);
        let groups = groups(&query.tuning);
        let nothing = groups.is_empty() && !choices.is_empty();
        let mut words = Vec::new();
        if let (Some(last), false) = (groups.last(), choices.is_empty()) {
            words = groups
                .iter()
                .map(|letters| clauses(letters, choices.iter().map(|choice| &choice.typed)))
                .collect();
            let needed = |choice: &&Choice| !choice.begun_only || choices.len() == 1;
            let widest = clauses(last, choices.iter().filter(needed).map(|choice| &choice.all));
            if words.last() != Some(&widest) {
                words.push(widest);
            }
        }
        let mut filters: Vec<_> = query
            .filters
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(field, values)| {
                let tokens = values.iter().map(|value| token::facet(field, value));
                (field.clone(), tokens.collect())
            })
            .collect();
        if let Some(cells) = query.near.as_ref().and_then(place::covering) {
            filters.push((String::new(), cells));
        }
        let terms: BTreeSet<String> = choices.into_iter().flat_map(|choice| choice.all).flatten().collect();
        Self {
            words,
            filters,
            terms: terms.into_iter().collect(),
            nothing,
            every: token::EVERY.to_owned(),
        }
    }

    /// Titles that have these parts: the first level begins with the first one.
    pub fn titles(parts: &[Part], meanings: &[Arc<Meaning>], doubted: bool) -> Self {
        let choices = choices(parts, meanings, doubted, &Tuning::default());
        let all = || choices.iter().map(|choice| &choice.all);
        let anywhere = clauses(&[token::letter(Field::Title)], all());
        let mut first = anywhere.clone();
        if let (Some(clause), Some(begins)) = (first.first_mut(), clauses(&[token::FIRST], all()).into_iter().next()) {
            *clause = begins;
        }
        Self::of(vec![first, anywhere])
    }

    /// Listings that have all words of a key.
    pub(super) fn of_key(key: &str) -> Self {
        let stems: Vec<Vec<Vec<String>>> = words(key).map(|word| vec![vec![word.stem]]).collect();
        Self::of(vec![clauses(&token::letters(&Field::ALL), stems.iter())])
    }

    fn of(words: Vec<Clauses>) -> Self {
        Self {
            words,
            filters: Vec::new(),
            terms: Vec::new(),
            nothing: false,
            every: token::EVERY.to_owned(),
        }
    }

    /// The same plan for an index whose tokens begin with `prefix`.
    pub(super) fn within(mut self, prefix: &str) -> Self {
        if !prefix.is_empty() {
            let words = self.words.iter_mut().flatten().flatten().flatten();
            let filters = self.filters.iter_mut().flat_map(|(_, tokens)| tokens);
            for token in words.chain(filters).chain([&mut self.every]) {
                token.insert_str(0, prefix);
            }
        }
        self
    }

    /// The widest level of the same words, without filters.
    pub fn unfiltered(&self) -> Self {
        Self {
            words: self.words.last().cloned().into_iter().collect(),
            filters: Vec::new(),
            terms: Vec::new(),
            nothing: self.nothing,
            every: self.every.clone(),
        }
    }

    /// The FTS5 expressions of the levels: each matches what its level has and the levels before do not.
    pub(super) fn levels(&self) -> Vec<String> {
        let mut before: Option<&Clauses> = None;
        let mut levels = Vec::new();
        for words in &self.words {
            let mut level = self.filtered(Some(words), None);
            if let Some(before) = before {
                level = format!("({level}) NOT ({})", all_of(before));
            }
            levels.push(level);
            before = Some(words);
        }
        if levels.is_empty() {
            levels.push(self.filtered(None, None));
        }
        levels
    }

    /// The FTS5 expression of all matches, without the filter of the field `without`.
    pub(super) fn all(&self, without: Option<&str>) -> String {
        self.filtered(self.words.last(), without)
    }

    fn filtered(&self, words: Option<&Clauses>, without: Option<&str>) -> String {
        let filters = self.filters.iter().filter(|(field, _)| Some(&**field) != without);
        let parts: Vec<String> = words
            .map(all_of)
            .into_iter()
            .chain(filters.map(|(_, tokens)| any_of(tokens.clone())))
            .collect();
        if parts.is_empty() {
            self.every.clone()
        } else {
            parts.join(" AND ")
        }
    }
}

/// The single words of a query, to look up.
pub fn asked(parts: &[Part], doubted: bool) -> Vec<Asked> {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Word { plain, stem, last } => Some(Asked {
                plain: plain.clone(),
                stem: stem.clone(),
                last: *last,
                doubted,
                completes: false,
            }),
            Part::Phrase(_) => None,
        })
        .collect()
}

fn choices(parts: &[Part], meanings: &[Arc<Meaning>], doubted: bool, tuning: &Tuning) -> Vec<Choice> {
    let mut meanings = meanings.iter();
    parts
        .iter()
        .map(|part| match part {
            Part::Phrase(stems) => Choice {
                typed: vec![stems.clone()],
                all: vec![stems.clone()],
                begun_only: false,
            },
            Part::Word { plain, stem, last } => {
                let nothing = Arc::default();
                let meaning: &Meaning = meanings.next().unwrap_or(&nothing);
                let synonyms = synonyms(stem, tuning);
                let mut typed = vec![stem.clone()];
                if doubted {
                    add(&mut typed, &meaning.begun);
                    add(&mut typed, &meaning.corrections);
                } else if !meaning.known {
                    let instead = [&meaning.begun, &synonyms, &meaning.corrections];
                    if let Some(instead) = instead.into_iter().find(|stems| !stems.is_empty()) {
                        typed.clone_from(instead);
                    }
                }
                let mut all = typed.clone();
                add(&mut all, &meaning.begun);
                add(&mut all, &synonyms);
                let rows = |stems: Vec<String>| stems.into_iter().map(|stem| vec![stem]).collect();
                Choice {
                    typed: rows(typed),
                    all: rows(all),
                    begun_only: *last && plain.chars().nth(1).is_none(),
                }
            }
        })
        .collect()
}

fn add(stems: &mut Vec<String>, more: &[String]) {
    for stem in more {
        if !stems.contains(stem) {
            stems.push(stem.clone());
        }
    }
}

/// The stems of the synonyms of this stem.
fn synonyms(stem: &str, tuning: &Tuning) -> Vec<String> {
    let mut all = Vec::new();
    for group in &tuning.synonyms {
        let stems: Vec<String> = group
            .iter()
            .filter_map(|word| words(word).next())
            .map(|word| word.stem)
            .collect();
        if stems.iter().any(|other| other == stem) {
            add(&mut all, &stems);
        }
    }
    all.retain(|other| other != stem);
    all
}

/// The token letters of the fields in each group, the heaviest group first.
fn groups(tuning: &Tuning) -> Vec<Vec<char>> {
    let weight = |field: Field| {
        let set = tuning.weights.iter().rev().find(|(other, _)| *other == field);
        set.map_or(field.weight(), |(_, weight)| *weight)
    };
    let weights: BTreeSet<u32> = Field::ALL
        .map(weight)
        .into_iter()
        .filter(|weight| *weight > 0)
        .collect();
    let lightest_first: Vec<u32> = weights.into_iter().collect();
    let bounds: Vec<u32> = match *lightest_first.as_slice() {
        [lightest, second, .., heaviest] => vec![heaviest, second, lightest],
        [lightest, heaviest] => vec![heaviest, lightest],
        [only] => vec![only],
        [] => Vec::new(),
    };
    bounds
        .into_iter()
        .map(|least| {
            let fields = Field::ALL.into_iter().filter(|field| weight(*field) >= least);
            token::letters(&fields.collect::<Vec<_>>())
        })
        .collect()
}

/// For each part of the query, its rows of stems as tokens in a field with one of these letters.
fn clauses<'a>(letters: &[char], parts: impl Iterator<Item = &'a Vec<Vec<String>>>) -> Clauses {
    let row = |letter: &char, row: &Vec<String>| row.iter().map(|stem| format!("{letter}{stem}")).collect();
    parts
        .map(|rows| {
            let all = letters
                .iter()
                .flat_map(|letter| rows.iter().map(move |r| row(letter, r)));
            all.collect()
        })
        .collect()
}

fn all_of(clauses: &Clauses) -> String {
    // Inside quotes FTS5 has no other syntax, and no token contains a quote.
    let row = |tokens: &Vec<String>| format!("\"{}\"", tokens.join(" "));
    let clauses = clauses.iter().map(|rows| any_of(rows.iter().map(row).collect()));
    clauses.collect::<Vec<_>>().join(" AND ")
}

fn any_of(tokens: Vec<String>) -> String {
    match tokens.as_slice() {
        [token] => token.clone(),
        _ => format!("({})", tokens.join(" OR ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::parts;
    use super::*;

    fn known() -> Arc<Meaning> {
        Arc::new(Meaning {
            known: true,
            ..Meaning::default()
        })
    }

    #[test]
    fn levels_widen_from_the_heaviest_fields_to_all() {
        let mut query = SearchQuery::default();
        let levels = |query: &SearchQuery, text: &str, meanings: &[Arc<Meaning>]| {
            let levels = Plan::new(query, &parts(text), meanings, false).levels();
            levels
                .into_iter()
                .map(|level| level.replace('"', ""))
                .collect::<Vec<_>>()
        };
        assert_eq!(levels(&query, "", &[]), ["y"]);
        assert_eq!(
            levels(&query, "oil \"red lamps\"", &[known()]),
            [
                "toil AND tred tlamp",
                "(moil AND mred mlamp) NOT (toil AND tred tlamp)",
                "(zoil AND zred zlamp) NOT (moil AND mred mlamp)"
            ]
        );
        query.tuning.weights = vec![(Field::Description, 10)];
        query.tuning.synonyms = vec![vec!["Lamps".into(), "lantern".into()]];
        assert_eq!(
            levels(&query, "lamp", &[known()]),
            [
                "(tlamp OR dlamp)",
                "(zlamp) NOT ((tlamp OR dlamp))",
                "((zlamp OR zlantern)) NOT (zlamp)"
            ]
        );
        query.filters = vec![("tag".into(), vec!["a".into()]), ("vendor".into(), Vec::new())];
        assert_eq!(levels(&query, "", &[]), [token::facet("tag", "a")]);
        let plan = Plan::new(&query, &[], &[], false);
        assert_eq!(plan.all(Some("tag")), "y");
        let plan = Plan::new(&query, &parts("lamp"), &[known()], false).within("§one§");
        let filter = format!("§one§{}", token::facet("tag", "a"));
        assert_eq!(
            plan.all(None),
            format!("(\"§one§zlamp\" OR \"§one§zlantern\") AND {filter}")
        );
        assert_eq!(
            plan.unfiltered().within("").levels(),
            ["(\"§one§zlamp\" OR \"§one§zlantern\")"]
        );
        let all = Plan::new(&query, &[], &[], false).within("§one§");
        assert_eq!(all.all(Some("tag")), "§one§y");
        query.tuning.weights = Field::ALL.map(|field| (field, 0)).to_vec();
        assert!(Plan::new(&query, &parts("lamp"), &[known()], false).nothing);
    }
}
