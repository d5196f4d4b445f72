//! Translates the meaning of a query into OpenSearch's query DSL.
//!
//! **Order.** Each level of relevance is a constant score; the best level has the highest. Ties are sorted by rank,
//! then by id.
//!
//! **Facets.** The query contains the filters that narrow the hits and all counts alike. The filter of a counted field
//! is a `post_filter` instead, and is repeated in the aggregations of all other fields. Counts are exact because an
//! index has one shard. While the label of a value changes, the value has two entries, until all its products are
//! indexed with the new label; so up to [`ENTRIES`] entries are read.

use serde_json::{Value, json};
use souk_core::search::{FacetCounts, MAX_RANGES, MAX_VALUES, Near, Range, SearchQuery, Sort};
use souk_sql::meaning::{Clauses, EVERY, PRICE, Plan, STEPS, range};

use super::page::Cursor;
use super::set;
use super::write::field_key;

/// How many entries of a facet are read, so that its [`MAX_VALUES`] values are counted completely.
const ENTRIES: usize = 4 * MAX_VALUES;
/// The Earth's radius in metres: the market's, and OpenSearch's.
const RADIUS: (f64, f64) = (6_371_000.8, 6_371_008.771_4);
/// The shortest radius in metres that is told apart from zero, and one that reaches around half of the Earth.
const SHORTEST: f64 = 0.2;
const LONGEST: f64 = 20_000_000.0;

/// The body of the search request.
pub(super) fn body(query: &SearchQuery, plan: &Plan, cursor: Option<&Cursor>) -> Value {
    let facets = query.no_counts();
    let is_counted = |field: &str| facets.iter().any(|facet| facet.field == field);
    let mut always = vec![json!({ "term": { "tokens": EVERY } })];
    let mut after: Vec<(&str, Value)> = Vec::new();
    let filters = plan
        .filters
        .iter()
        .map(|(field, tokens)| (field.as_str(), json!({ "terms": { "tokens": tokens } })));
    // The `price` field is filtered by the bounds of the price. No product has a facet of that name, so such a filter
    // matches nothing.
    let (none, filters): (Vec<_>, Vec<_>) = filters.partition(|(field, _)| *field == PRICE);
    always.extend(none.into_iter().map(|(_, filter)| filter));
    let prices = prices(query).map(|filter| (PRICE, filter));
    let numbers = query
        .ranges
        .iter()
        .take(MAX_RANGES)
        .map(|range| (range.field.as_str(), in_range(range)));
    for (field, filter) in filters.into_iter().chain(prices).chain(numbers) {
        if is_counted(field) {
            after.push((field, filter));
        } else {
            always.push(filter);
        }
    }
    always.extend(query.near.as_ref().map(within));
    let but = |field: &str| -> Vec<&Value> {
        let others = after.iter().filter(|(other, _)| *other != field);
        others.map(|(_, filter)| filter).collect()
    };
    let words: Vec<Value> = match (order(query, false), plan.words.last()) {
        (_, None) => Vec::new(),
        (Some(_), Some(widest)) => vec![json!({ "constant_score": { "filter": clauses(widest) } })],
        (None, Some(_)) => {
            let levels = (1..).zip(plan.words.iter().rev());
            let levels: Vec<Value> = levels
                .map(|(score, words)| json!({ "constant_score": { "filter": clauses(words), "boost": score } }))
                .collect();
            vec![json!({ "dis_max": { "queries": levels } })]
        }
    };
    let backwards = cursor.is_some_and(|cursor| cursor.backwards);
    let first = match order(query, backwards) {
        Some(order) => order,
        None => json!({ "_score": direction("desc", backwards) }),
    };
    let descending = direction("desc", backwards);
    let mut body = json!({
        "size": query.limit.clamp(1, 100) + 1,
        "track_total_hits": match (query.count, cursor) {
            (count, None) if count > 0 => json!(count),
            _ => json!(false),
        },
        "_source": ["product", "version", "body"],
        "query": { "bool": { "must": words, "filter": always } },
        "sort": [first, { "rank": descending }, { "product": descending }],
    });
    if let Some(cursor) = cursor {
        // Parsed here, because a JSON number would lose precision.
        let key = match cursor.key.parse::<i64>() {
            Ok(whole) => json!(whole),
            Err(_) => json!(cursor.key.parse::<f64>().unwrap_or_default()),
        };
        set(&mut body, "search_after", json!([key, cursor.rank, cursor.product]));
    }
    if !after.is_empty() {
        let all: Vec<&Value> = after.iter().map(|(_, filter)| filter).collect();
        set(&mut body, "post_filter", json!({ "bool": { "filter": all } }));
    }
    if !facets.is_empty() {
        let count = |(n, facet): (usize, &FacetCounts)| {
            let values = match &*facet.field {
                PRICE => json!({ "range": { "field": "price", "ranges": ranges() } }),
                field => {
                    json!({ "terms": { "field": "facets", "include": format!("{}.*", field_key(field)), "size": ENTRIES } })
                }
            };
            let filter = json!({ "bool": { "filter": but(&facet.field) } });
            (n.to_string(), json!({ "filter": filter, "aggs": { "values": values } }))
        };
        set(&mut body, "aggs", facets.iter().enumerate().map(count).collect());
    }
    body
}

/// What hits are sorted by, or the reverse of it; `None` for relevance.
fn order(query: &SearchQuery, backwards: bool) -> Option<Value> {
    let [ascending, descending] = ["asc", "desc"].map(|order| direction(order, backwards));
    match (query.sort, &query.near) {
        (Sort::Relevance, _) | (Sort::Nearest, None) => None,
        (Sort::Newest, _) => Some(json!({ "published_at": descending })),
        (Sort::Oldest, _) => Some(json!({ "published_at": ascending })),
        // Of a listing with several prices the lowest counts.
        (Sort::Cheapest, _) => Some(json!({ "price": { "order": ascending, "mode": "min" } })),
        (Sort::Dearest, _) => Some(json!({ "price": { "order": descending, "mode": "min" } })),
        (Sort::Popular, _) => Some(json!({ "votes": descending })),
        (Sort::Nearest, Some(near)) => {
            Some(json!({ "_geo_distance": { "place": point(near), "unit": "m", "order": ascending } }))
        }
    }
}

/// The direction of a sort key, or the other one.
fn direction(order: &'static str, backwards: bool) -> &'static str {
    match (order, backwards) {
        ("asc", false) | ("desc", true) => "asc",
        _ => "desc",
    }
}

/// A filter that requires all of these clauses. Any row satisfies a clause.
fn clauses(clauses: &Clauses) -> Value {
    let clause = |rows: &Vec<Vec<String>>| {
        let (single, phrases): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.len() == 1);
        let single: Vec<&String> = single.into_iter().flatten().collect();
        let mut any = Vec::new();
        if !single.is_empty() {
            any.push(json!({ "terms": { "tokens": single } }));
        }
        any.extend(
            phrases
                .iter()
                .map(|row| json!({ "match_phrase": { "tokens": row.join(" ") } })),
        );
        json!({ "bool": { "should": any } })
    };
    json!({ "bool": { "filter": clauses.iter().map(clause).collect::<Vec<_>>() } })
}

fn prices(query: &SearchQuery) -> Option<Value> {
    query.min_price.or(query.max_price)?;
    let (least, most) = (query.min_price.unwrap_or(i64::MIN), query.max_price.unwrap_or(i64::MAX));
    Some(json!({ "range": { "price": { "gte": least, "lte": most } } }))
}

fn in_range(range: &Range) -> Value {
    let mut bounds = json!({});
    for (name, bound) in [("gte", range.min), ("lte", range.max)] {
        if let Some(bound) = bound {
            set(&mut bounds, name, json!(bound));
        }
    }
    let all = [
        json!({ "term": { "numbers.field": range.field } }),
        json!({ "range": { "numbers.value": bounds } }),
    ];
    // An index of an earlier version has no numbers.
    json!({ "nested": { "path": "numbers", "ignore_unmapped": true, "query": { "bool": { "filter": all } } } })
}

fn ranges() -> Vec<Value> {
    (0..=STEPS.len())
        .map(|n| {
            let mut bounds = json!({ "key": range(n) });
            if let Some(from) = n.checked_sub(1).and_then(|n| STEPS.get(n)) {
                set(&mut bounds, "from", json!(from));
            }
            if let Some(to) = STEPS.get(n) {
                set(&mut bounds, "to", json!(to));
            }
            bounds
        })
        .collect()
}

/// Whether the circle is invalid.
pub(super) fn is_nowhere(near: &Near) -> bool {
    !(near.latitude.abs() <= 90.0 && near.longitude.is_finite() && near.radius >= 0.0)
}

fn point(near: &Near) -> Value {
    json!({ "lat": near.latitude, "lon": around(near.longitude) })
}

/// A longitude as OpenSearch expects it, from -180 to 180.
pub(super) fn around(longitude: f64) -> f64 {
    (longitude + 180.0).rem_euclid(360.0) - 180.0
}

fn within(near: &Near) -> Value {
    if near.radius > LONGEST {
        return json!({ "exists": { "field": "place" } });
    }
    let metres = near.radius.max(SHORTEST) * RADIUS.1 / RADIUS.0;
    json!({ "geo_distance": { "distance": format!("{metres}m"), "place": point(near) } })
}
