//! What a query must find, by looking at every product: the port's words in the fewest lines.
//!
//! It knows whole words, beginnings and phrases; misspelt words and synonyms are tested by examples.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use souk_core::search::{Facet, Field, Listing, Near, Range, SearchQuery, Sort, Word, asked_words, other_words, words};

/// The products that match, in order. Of two that are equal in all that the order goes by, either may come first: no two
/// of a test are.
pub fn find<'a>(listings: &'a [Listing], query: &SearchQuery) -> Vec<&'a Listing> {
    let begun = is_begun(listings, &query.text);
    let mut found: Vec<_> = listings
        .iter()
        .filter(|listing| fits(listing, query, None))
        .filter_map(|listing| Some((level(listing, &query.text, begun)?, listing)))
        .collect();
    found.sort_by_key(|(level, listing)| {
        let first = match query.sort {
            Sort::Relevance => *level,
            Sort::Newest => -listing.published_at,
            Sort::Oldest => listing.published_at,
            Sort::Cheapest => listing.price,
            Sort::Dearest => -listing.price,
            Sort::Popular => -listing.votes,
            Sort::Nearest => distance(listing, query.near.as_ref()).map_or(i64::MAX, |metres| (metres * 100.0) as i64),
        };
        (first, Reverse(listing.rank))
    });
    found.into_iter().map(|(_, listing)| listing).collect()
}

/// The counts of a field's values, most frequent first.
pub fn count(listings: &[Listing], query: &SearchQuery, field: &str) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let begun = is_begun(listings, &query.text);
    let counted = listings
        .iter()
        .filter(|l| fits(l, query, Some(field)) && level(l, &query.text, begun).is_some());
    for listing in counted {
        let values: HashSet<String> = match field {
            "price" => prices(listing).map(range).collect(),
            _ => listing
                .facets
                .iter()
                .filter(|f| f.field == field)
                .map(|f| f.value.clone())
                .collect(),
        };
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(value, count)| (Reverse(*count), value.clone()));
    counts
}

/// Whether a product is within all bounds but that of the field `without`.
fn fits(listing: &Listing, query: &SearchQuery, without: Option<&str>) -> bool {
    let of = |field: &str, values: &[String]| {
        listing
            .facets
            .iter()
            .any(|f| f.field == field && values.contains(&f.value))
    };
    let priced = prices(listing).any(|price| {
        query.min_price.is_none_or(|least| price >= least) && query.max_price.is_none_or(|most| price <= most)
    });
    let within = |range: &Range| {
        listing
            .facets
            .iter()
            .filter(|f| f.field == range.field)
            .filter_map(Facet::number)
            .any(|number| range.min.is_none_or(|least| number >= least) && range.max.is_none_or(|most| number <= most))
    };
    let near = query.near.as_ref();
    (priced || without == Some("price"))
        && near.is_none_or(|near| distance(listing, Some(near)).is_some_and(|metres| metres <= near.radius))
        && query
            .filters
            .iter()
            .all(|(field, values)| Some(&**field) == without || of(field, values))
        && query
            .ranges
            .iter()
            .all(|range| Some(&*range.field) == without || within(range))
}

fn prices(listing: &Listing) -> impl Iterator<Item = i64> {
    std::iter::once(listing.price).chain(listing.other_prices.iter().copied())
}

/// The words that a text is found by.
fn all_words(field: Field, text: &str) -> Vec<Word> {
    let others = if field == Field::Description {
        Vec::new()
    } else {
        other_words(text)
    };
    words(text).chain(others).collect()
}

/// Whether no product has the last word, so that it counts as what it begins.
fn is_begun(listings: &[Listing], typed: &str) -> bool {
    let last = asked_words(typed).pop();
    let has = |stem: &str| {
        listings.iter().any(|l| {
            l.texts
                .iter()
                .any(|(field, text)| all_words(*field, text).iter().any(|w| w.stem == stem))
        })
    };
    last.is_some_and(|last| !has(&last.stem))
}

/// How well it matches, 1 best: in the title, in any field but the description, anywhere, anywhere with the last word only begun.
fn level(listing: &Listing, typed: &str, begun: bool) -> Option<i64> {
    let asked = asked_words(typed);
    let phrase = typed.starts_with('"') && typed.ends_with('"') && typed.len() > 1;
    let has = |fields: &[Field], begun: bool| {
        let texts: Vec<Vec<_>> = listing
            .texts
            .iter()
            .filter(|(field, _)| fields.contains(field))
            .map(|(field, text)| all_words(*field, text))
            .collect();
        if phrase {
            let mut rows = texts.iter().flat_map(|text| text.windows(asked.len()));
            return rows.any(|row| row.iter().zip(&asked).all(|(word, asked)| word.stem == asked.stem));
        }
        asked.iter().enumerate().all(|(n, word)| {
            let begins = begun && n + 1 == asked.len() && word.plain.len() > 1;
            let is = |other: &Word| other.stem == word.stem || (begins && other.plain.starts_with(&word.plain));
            texts.iter().flatten().any(is)
        })
    };
    let levels = [&Field::ALL[..1], &Field::ALL[..5], &Field::ALL].map(|fields| has(fields, begun));
    match levels.iter().position(|has| *has) {
        _ if asked.is_empty() => Some(1),
        Some(level) => i64::try_from(level).ok(),
        None => (!phrase && has(&Field::ALL, true)).then_some(4),
    }
}

/// Metres along the ground ("haversine").
fn distance(listing: &Listing, near: Option<&Near>) -> Option<f64> {
    let ((latitude, longitude), near) = (listing.place?, near?);
    let half = |a: f64, b: f64| ((a - b).to_radians() / 2.0).sin().powi(2);
    let square = half(latitude, near.latitude)
        + latitude.to_radians().cos() * near.latitude.to_radians().cos() * half(longitude, near.longitude);
    Some(2.0 * 6_371_000.8 * square.sqrt().asin())
}

fn range(price: i64) -> String {
    let mut from = 0;
    for step in [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000] {
        if price < step {
            return format!("{from}-{}", step - 1);
        }
        from = step;
    }
    format!("{from}-")
}
