//! The tokens of a product in the full-text table. They consist of letters and digits, and this module makes all of
//! them.
//!
//! | token | what has it |
//! | --- | --- |
//! | `t`, `g`, `c`, `v`, `a`, `d` and a stem | the word is in the title, a tag, the category, the vendor, an attribute, the description |
//! | `b` and a stem | the title begins with the word |
//! | `m` and a stem | the word is in any field but the description |
//! | `z` and a stem | the word is in any field |
//! | `x` and 16 hexadecimal digits | a value of a facet |
//! | `p…` | a cell of a grid that the place is in |
//! | `y` | every product |
//!
//! In the index of a tenant each begins with the tenant ([`tenant`](super::tenant)).
//!
//! The tokens of a text are adjacent, separately for each letter, so a phrase query matches adjacent words. A phrase
//! never spans two texts, because tokens with other letters are in between.

use std::collections::BTreeMap;

use souk_core::search::{Facet, Field, Listing, SuggestionKind, other_words, words};
use xxhash_rust::xxh3::xxh3_64;

use super::place;

/// How many words of a product are indexed. The rest of a long description is not.
const MAX_INDEXED: usize = 2_000;
/// The longest text that can be suggested, in bytes.
pub(super) const MAX_COMPLETION: usize = 100;
/// The token that every product has.
pub const EVERY: &str = "y";
/// The letter that begins the token of the first word of a title.
pub(super) const FIRST: char = 'b';

/// The letter that begins the tokens of a field.
pub(super) fn letter(field: Field) -> char {
    match field {
        Field::Title => 't',
        Field::Tags => 'g',
        Field::Group => 'c',
        Field::Owner => 'v',
        Field::Attributes => 'a',
        Field::Description => 'd',
    }
}

/// The fewest letters that cover exactly these fields.
pub(super) fn letters(fields: &[Field]) -> Vec<char> {
    let has = |field: &Field| fields.contains(field);
    if Field::ALL.iter().all(has) {
        vec!['z']
    } else if Field::ALL
        .iter()
        .all(|field| has(field) != (*field == Field::Description))
    {
        vec!['m']
    } else {
        fields.iter().copied().map(letter).collect()
    }
}

/// The token of a facet's value.
pub fn facet(field: &str, value: &str) -> String {
    format!("x{:016x}", xxh3_64(format!("{field}\0{value}").as_bytes()))
}

/// What is indexed of a product, besides its row.
pub struct Indexed {
    /// Its tokens.
    pub tokens: String,
    /// Its words with their stems.
    pub words: BTreeMap<String, String>,
    /// Its title, if it can be suggested.
    pub title: String,
    /// What else it adds to the suggestions, by kind, key and id.
    pub completions: BTreeMap<(SuggestionKind, String, String), String>,
}

impl Indexed {
    /// The tokens, words and completions of a listing.
    pub fn new(listing: &Listing) -> Self {
        let mut tokens = String::from(EVERY);
        let mut push = |token: std::fmt::Arguments<'_>| {
            tokens.push(' ');
            // Writing to a string does not fail.
            let _ = std::fmt::Write::write_fmt(&mut tokens, token);
        };
        let (mut all, mut room) = (BTreeMap::new(), MAX_INDEXED);
        let mut titles = listing.texts.iter().filter(|(field, _)| *field == Field::Title);
        let title = titles.find_map(|(_, text)| completion(text));
        if let Some((key, _)) = &title
            && let Some(first) = words(key).next()
        {
            push(format_args!("{FIRST}{}", first.stem));
        }
        for (field, text) in &listing.texts {
            let mut found: Vec<_> = words(text).take(room).collect();
            // They come last, so that phrases find words beside each other. Descriptions are long, and have none.
            if *field != Field::Description {
                found.extend(other_words(text).into_iter().take(room.saturating_sub(found.len())));
            }
            room -= found.len();
            let also = if *field == Field::Description { "z" } else { "mz" };
            for letter in std::iter::once(letter(*field)).chain(also.chars()) {
                for word in &found {
                    push(format_args!("{letter}{}", word.stem));
                }
            }
            for word in found {
                all.insert(word.plain, word.stem);
            }
        }
        for Facet { field, value, .. } in &listing.facets {
            push(format_args!("{}", facet(field, value)));
        }
        for cell in listing.place.into_iter().flat_map(place::cells) {
            push(format_args!("{cell}"));
        }
        let completions = listing.suggestions.iter().filter_map(|suggestion| {
            let (key, text) = completion(&suggestion.text)?;
            Some(((suggestion.kind, key, suggestion.id.clone().unwrap_or_default()), text))
        });
        Self {
            tokens,
            words: all,
            title: title.map(|(_, text)| text).unwrap_or_default(),
            completions: completions.collect(),
        }
    }
}

/// The key and text of a suggestion; `None` if the text is empty or too long.
pub fn completion(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let key = key(text);
    (!key.is_empty() && text.len() <= MAX_COMPLETION && key.len() <= MAX_COMPLETION).then(|| (key, text.to_owned()))
}

/// The plain words of a text, separated by spaces.
pub fn key(text: &str) -> String {
    let mut key = String::new();
    for word in words(text) {
        if !key.is_empty() {
            key.push(' ');
        }
        key.push_str(&word.plain);
    }
    key
}

#[cfg(test)]
mod tests {
    use souk_core::search::Suggestion;

    use super::*;

    #[test]
    fn a_phrase_never_spans_two_texts() {
        let listing = Listing {
            id: "prd_1".into(),
            version: 1,
            body: "{}".into(),
            rank: 0,
            texts: vec![
                (Field::Title, "Brass Lamps".into()),
                (Field::Tags, "oil".into()),
                (Field::Tags, "".into()),
                (Field::Tags, "café".into()),
                (Field::Description, "bright".into()),
            ],
            facets: Vec::new(),
            suggestions: vec![Suggestion {
                kind: SuggestionKind::Query,
                text: "Café".into(),
                id: None,
            }],
            price: 0,
            other_prices: Vec::new(),
            published_at: 0,
            votes: 0,
            place: None,
        };
        let indexed = Indexed::new(&listing);
        assert_eq!(
            indexed.tokens,
            "y bbrass tbrass tlamp mbrass mlamp zbrass zlamp goil moil zoil gcafe mcafe zcafe dbright zbright"
        );
        let completions: Vec<_> = indexed.completions.into_iter().collect();
        let cafe = (SuggestionKind::Query, "cafe".to_owned(), String::new());
        assert_eq!(
            (&*indexed.title, completions),
            ("Brass Lamps", vec![(cafe, "Café".to_owned())])
        );
    }

    #[test]
    fn letters_cover_the_fields() {
        assert_eq!(letters(&Field::ALL), ['z']);
        assert_eq!(letters(&Field::ALL[..5]), ['m']);
        assert_eq!(letters(&[Field::Title, Field::Description]), ['t', 'd']);
    }
}
