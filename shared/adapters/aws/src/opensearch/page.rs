//! Reads a page of hits from an OpenSearch response, and the cursor of the next page.
//!
//! A cursor holds the sort values of the last hit, not a position in an index. So it stays valid when another
//! generation goes live.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use souk_core::search::{Facet, Hit, MAX_VALUES, SearchError, SearchPage, SearchQuery};
use souk_sql::meaning::{PRICE, Part, Plan, asked, digest, parts};

use super::OpenSearch;
use super::query::{body, is_nowhere};
use super::write::field_key;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cursor {
    /// The words were treated as misspelt although products have them.
    doubted: bool,
    /// The page is before this place, not after it.
    pub(super) backwards: bool,
    /// The score or the sort value, as the number that OpenSearch wrote.
    pub(super) key: String,
    pub(super) rank: i64,
    pub(super) product: String,
}

impl Cursor {
    fn read(text: &str, digest: u64) -> Result<Self, SearchError> {
        let read = || {
            let mut parts = text.splitn(5, '~');
            let same = u64::from_str_radix(parts.next()?, 16).ok()? == digest;
            let flags: u8 = parts.next()?.parse().ok()?;
            let key = parts.next()?.to_owned();
            let is_number = key.parse::<f64>().is_ok_and(f64::is_finite);
            let rank = parts.next()?.parse().ok()?;
            let product = parts.next()?.to_owned();
            (same && is_number).then_some(Self {
                doubted: flags & 1 != 0,
                backwards: flags & 2 != 0,
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
            backwards,
            key,
            rank,
            product,
        } = self;
        format!(
            "{digest:016x}~{}~{key}~{rank}~{product}",
            u8::from(*doubted) | u8::from(*backwards) << 1
        )
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
    #[serde(default)]
    total: Option<Count>,
}

#[derive(Deserialize)]
struct Count {
    value: usize,
}

#[derive(Deserialize)]
struct FoundHit {
    #[serde(rename = "_source")]
    source: Source,
    /// The unparsed numbers: parsing and printing one again may change it.
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
        if self.is_absent().await? {
            return Ok(SearchPage {
                terms: Plan::new(query, &parts, &[], false).terms,
                facets: query.no_counts(),
                total: (query.count > 0 && cursor.is_none()).then_some(0),
                ..SearchPage::default()
            });
        }
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

    /// Whether the words match anything without the filters. Called when the whole query has found nothing.
    async fn finds_words(&self, query: &SearchQuery, plan: &Plan) -> Result<bool, SearchError> {
        if plan.nothing || !query.is_narrowed() {
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
            facets: query.no_counts(),
            total: (query.count > 0 && cursor.is_none()).then_some(0),
            ..SearchPage::default()
        };
        if plan.nothing || query.near.as_ref().is_some_and(is_nowhere) {
            return Ok(page);
        }
        let mut found: Found = self.ask(&body(query, plan, cursor)).await?;
        let limit = query.limit.clamp(1, 100);
        let has_more = found.hits.hits.len() > limit;
        found.hits.hits.truncate(limit);
        let backwards = cursor.is_some_and(|cursor| cursor.backwards);
        let at = |hit: &FoundHit, backwards: bool| {
            let mut sort = hit.sort.iter().map(|value| value.get());
            let (key, rank) = (sort.next().unwrap_or("0"), sort.next().unwrap_or("0"));
            let cursor = Cursor {
                doubted,
                backwards,
                key: key.to_owned(),
                rank: rank.parse().unwrap_or(0),
                product: hit.source.product.clone(),
            };
            cursor.write(digest(query))
        };
        let on = found
            .hits
            .hits
            .last()
            .filter(|_| has_more)
            .map(|hit| at(hit, backwards));
        let back = found
            .hits
            .hits
            .first()
            .filter(|_| cursor.is_some())
            .map(|hit| at(hit, !backwards));
        (page.next, page.prev) = if backwards { (back, on) } else { (on, back) };
        if backwards {
            found.hits.hits.reverse();
        }
        page.total = found
            .hits
            .total
            .filter(|_| query.count > 0)
            .map(|total| total.value.min(query.count));
        let hit = |FoundHit { source, .. }| Hit {
            id: source.product,
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

/// The values of a field, from the buckets of its aggregation.
fn values(field: &str, buckets: &[Value]) -> Vec<(Facet, u64)> {
    let mut values: Vec<(Facet, u64)> = Vec::new();
    for bucket in buckets {
        let key = bucket.get("key").and_then(Value::as_str).unwrap_or_default();
        let count = bucket.get("doc_count").and_then(Value::as_u64).unwrap_or(0);
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
