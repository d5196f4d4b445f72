//! Searching: from what a query means to the query language of OpenSearch, and back from its answer to a page.
//!
//! **Order.** A level of relevance is a constant score, the best one the highest; then come rank and id. A cursor holds these
//! values of the last hit, not a place in an index, so it goes on rightly when another generation answers.
//!
//! **Facets.** What narrows the hits and all counts alike is in the query. The filter of a field that is counted comes after
//! (`post_filter`), and again in the counts of every other field. Counts are exact, as an index is one shard. A value whose
//! label is just being changed has two entries until all its products are relabelled; [`ENTRIES`] are looked at.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use souk_core::search::{Facet, FacetCounts, Hit, MAX_VALUES, Near, SearchError, SearchPage, SearchQuery, Sort};
use souk_sql::meaning::{Clauses, EVERY, PRICE, Part, Plan, STEPS, asked, digest, parts, range};

use super::OpenSearch;
use super::write::field_key;

/// How many entries of a facet are looked at, so that its [`MAX_VALUES`] values are counted whole.
const ENTRIES: usize = 4 * MAX_VALUES;
/// The Earth's radius in metres: the market's, and OpenSearch's.
const RADIUS: (f64, f64) = (6_371_000.8, 6_371_008.771_4);
/// The shortest distance that is told from none, in metres, and one that is around half of the Earth.
const SHORTEST: f64 = 0.2;
const LONGEST: f64 = 20_000_000.0;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq)]
struct Cursor {
    /// The words were taken for misspelt although products have them.
    doubted: bool,
    /// The score, or what the order goes by: a number, as OpenSearch wrote it.
    key: String,
    rank: i64,
    product: String,
}

impl Cursor {
    fn read(text: &str, digest: u64) -> Result<Self, SearchError> {
        let read = || {
            let mut parts = text.splitn(5, '~');
            let same = u64::from_str_radix(parts.next()?, 16).ok()? == digest;
            let doubted = parts.next()? == "1";
            let key = parts.next()?.to_owned();
            let is_number = key.parse::<f64>().is_ok_and(f64::is_finite);
            let rank = parts.next()?.parse().ok()?;
            let product = parts.next()?.to_owned();
            (same && is_number).then_some(Self {
                doubted,
                key,
                rank,
                product,
            })
        };
        read().ok_or(SearchError::BadPlace)
    }

    fn write(&self, digest: u64) -> String {
        let Self {
            doubted,
            key,
            rank,
            product,
        } = self;
        format!("{digest:016x}~{}~{key}~{rank}~{product}", u8::from(*doubted))
    }
}

#[derive(Deserialize)]
struct Found {
    hits: Hits,
    #[serde(default)]
    aggregations: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<FoundHit>,
}

#[derive(Deserialize)]
struct FoundHit {
    #[serde(rename = "_source")]
    source: Source,
    /// As it is written, since numbers that are read and written again may be others.
    sort: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Source {
    product: String,
    version: u64,
    body: String,
}

impl OpenSearch {
    pub(super) async fn find(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        let digest = digest(query);
        let cursor = query.after.as_deref().map(|after| Cursor::read(after, digest));
        let cursor = cursor.transpose()?;
        let parts = parts(&query.text);
        let doubted = cursor.as_ref().is_some_and(|cursor| cursor.doubted);
        let plan = self.plan(query, &parts, doubted).await?;
        let page = self.page(query, &plan, cursor.as_ref(), doubted).await?;
        let has_words = parts.iter().any(|part| matches!(part, Part::Word { .. }));
        if page.hits.is_empty() && cursor.is_none() && has_words && !self.finds_words(query, &plan).await? {
            let second = self.plan(query, &parts, true).await?;
            let found = self.page(query, &second, None, true).await?;
            if !found.hits.is_empty() {
                return Ok(found);
            }
        }
        Ok(page)
    }

    async fn plan(&self, query: &SearchQuery, parts: &[Part], doubted: bool) -> Result<Plan, SearchError> {
        let meanings = self.meanings(&asked(parts, doubted)).await?;
        Ok(Plan::new(query, parts, &meanings, doubted))
    }

    /// Whether the words find anything, whatever else is asked for. Asked if all together finds nothing.
    async fn finds_words(&self, query: &SearchQuery, plan: &Plan) -> Result<bool, SearchError> {
        let is_narrowed =
            query.near.is_some() || query.min_price.or(query.max_price).is_some() || !query.filters.is_empty();
        if plan.nothing || !is_narrowed {
            return Ok(plan.nothing);
        }
        let words = SearchQuery {
            limit: 1,
            ..SearchQuery::default()
        };
        let page = self.page(&words, &plan.unfiltered(), None, false).await?;
        Ok(!page.hits.is_empty())
    }

    async fn page(
        &self,
        query: &SearchQuery,
        plan: &Plan,
        cursor: Option<&Cursor>,
        doubted: bool,
    ) -> Result<SearchPage, SearchError> {
        let mut page = SearchPage {
            terms: plan.terms.clone(),
            facets: facets(query),
            ..SearchPage::default()
        };
        if plan.nothing || query.near.as_ref().is_some_and(is_nowhere) {
            return Ok(page);
        }
        let mut found: Found = self.ask(&body(query, plan, cursor)).await?;
        let limit = query.limit.clamp(1, 100);
        let has_more = found.hits.hits.len() > limit;
        found.hits.hits.truncate(limit);
        if let (true, Some(last)) = (has_more, found.hits.hits.last()) {
            let mut sort = last.sort.iter().map(|value| value.get());
            let (key, rank) = (sort.next().unwrap_or("0"), sort.next().unwrap_or("0"));
            let cursor = Cursor {
                doubted,
                key: key.to_owned(),
                rank: rank.parse().unwrap_or(0),
                product: last.source.product.clone(),
            };
            page.next = Some(cursor.write(digest(query)));
        }
        let hit = |FoundHit { source, .. }| Hit {
            product: source.product,
            version: source.version,
            body: source.body,
        };
        page.hits = found.hits.hits.into_iter().map(hit).collect();
        for (n, counts) in page.facets.iter_mut().enumerate() {
            let buckets = found.aggregations.get(&n.to_string());
            let buckets = buckets.and_then(|facet| facet.pointer("/values/buckets")?.as_array());
            counts.values = values(&counts.field, buckets.map_or(&[], Vec::as_slice));
        }
        Ok(page)
    }
}

/// The fields to count, each once.
fn facets(query: &SearchQuery) -> Vec<FacetCounts> {
    let mut facets: Vec<FacetCounts> = Vec::new();
    for field in &query.facets {
        if facets.iter().all(|facet| facet.field != *field) {
            facets.push(FacetCounts {
                field: field.clone(),
                values: Vec::new(),
            });
        }
    }
    facets
}

/// The values of a field out of what was counted.
fn values(field: &str, buckets: &[Value]) -> Vec<(Facet, u64)> {
    let mut values: Vec<(Facet, u64)> = Vec::new();
    for bucket in buckets {
        let key = bucket["key"].as_str().unwrap_or_default();
        let count = bucket["doc_count"].as_u64().unwrap_or(0);
        let (value, label) = if field == PRICE {
            (key.to_owned(), key.to_owned())
        } else {
            let entry = key.get(field_key(field).len()..).unwrap_or_default();
            serde_json::from_str(entry).unwrap_or_default()
        };
        match values.iter_mut().find(|(facet, _)| facet.value == value) {
            _ if count == 0 => {}
            Some((facet, all)) => {
                *all += count;
                if label > facet.label {
                    facet.label = label;
                }
            }
            None => {
                let field = field.to_owned();
                values.push((Facet { field, value, label }, count));
            }
        }
    }
    values.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.value.cmp(&b.value)));
    values.truncate(MAX_VALUES);
    values
}

/// What is asked.
fn body(query: &SearchQuery, plan: &Plan, cursor: Option<&Cursor>) -> Value {
    let facets = facets(query);
    let is_counted = |field: &str| facets.iter().any(|facet| facet.field == field);
    let mut always = vec![json!({ "term": { "tokens": EVERY } })];
    let mut after: Vec<(&str, Value)> = Vec::new();
    let filters = plan
        .filters
        .iter()
        .map(|(field, tokens)| (field.as_str(), json!({ "terms": { "tokens": tokens } })));
    // No product has a facet that is called like the field of prices, whose filter are their bounds.
    let (none, filters): (Vec<_>, Vec<_>) = filters.partition(|(field, _)| *field == PRICE);
    always.extend(none.into_iter().map(|(_, filter)| filter));
    let prices = prices(query).map(|filter| (PRICE, filter));
    for (field, filter) in filters.into_iter().chain(prices) {
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
    let by_level = order(query).is_none();
    let mut all = json!({ "bool": { "filter": always } });
    if let (false, Some(widest)) = (by_level, plan.words.last()) {
        all["bool"]["must"] = json!([{ "constant_score": { "filter": clauses(widest) } }]);
    } else if !plan.words.is_empty() {
        let levels = (1..).zip(plan.words.iter().rev());
        let levels: Vec<Value> = levels
            .map(|(score, words)| json!({ "constant_score": { "filter": clauses(words), "boost": score } }))
            .collect();
        all["bool"]["must"] = json!([{ "dis_max": { "queries": levels } }]);
    }
    let first = order(query).unwrap_or_else(|| json!({ "_score": "desc" }));
    let mut body = json!({
        "size": query.limit.clamp(1, 100) + 1,
        "track_total_hits": false,
        "_source": ["product", "version", "body"],
        "query": all,
        "sort": [first, { "rank": "desc" }, { "product": "desc" }],
    });
    if let Some(cursor) = cursor {
        // Not as JSON, which is read a little inexactly.
        let key = match cursor.key.parse::<i64>() {
            Ok(whole) => json!(whole),
            Err(_) => json!(cursor.key.parse::<f64>().unwrap_or_default()),
        };
        body["search_after"] = json!([key, cursor.rank, cursor.product]);
    }
    if !after.is_empty() {
        body["post_filter"] = json!({ "bool": { "filter": but("\0") } });
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
        body["aggs"] = Value::Object(facets.iter().enumerate().map(count).collect());
    }
    body
}

/// What the order goes by, unless it is relevance.
fn order(query: &SearchQuery) -> Option<Value> {
    match (query.sort, &query.near) {
        (Sort::Relevance, _) | (Sort::Nearest, None) => None,
        (Sort::Newest, _) => Some(json!({ "published_at": "desc" })),
        (Sort::Cheapest, _) => Some(json!({ "price": "asc" })),
        (Sort::Dearest, _) => Some(json!({ "price": "desc" })),
        (Sort::Popular, _) => Some(json!({ "votes": "desc" })),
        (Sort::Nearest, Some(near)) => {
            Some(json!({ "_geo_distance": { "place": point(near), "unit": "m", "order": "asc" } }))
        }
    }
}

/// All of these clauses: any row of each.
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

fn ranges() -> Vec<Value> {
    (0..=STEPS.len())
        .map(|n| {
            let mut bounds = json!({ "key": range(n) });
            if let Some(from) = n.checked_sub(1).and_then(|n| STEPS.get(n)) {
                bounds["from"] = json!(from);
            }
            if let Some(to) = STEPS.get(n) {
                bounds["to"] = json!(to);
            }
            bounds
        })
        .collect()
}

/// Whether this is no circle at all.
fn is_nowhere(near: &Near) -> bool {
    !(near.latitude.abs() <= 90.0 && near.longitude.is_finite() && near.radius >= 0.0)
}

fn point(near: &Near) -> Value {
    json!({ "lat": near.latitude, "lon": around(near.longitude) })
}

/// Degrees east as OpenSearch takes them, from -180 to 180.
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
