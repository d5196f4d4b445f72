//! `GET /v1/search` and `GET /v1/search/suggest`.
//!
//! A hit's product is JSON text in the index, and is answered as it is; only its title and description are looked at, for
//! the highlights.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use souk_catalog::product::Product;
use souk_core::search::{FacetCounts, Hit, MAX_WORDS, SearchError, SearchPage, SearchQuery, Word, words};
use souk_kit::{Answer, Params, Problem, State, Viewer};

use crate::highlight::Marker;
use crate::{Memory, query, rebuild, unavailable, usage};

/// How many completions there are.
const SUGGESTIONS: usize = 10;

/// A product that was found.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SearchHit {
    #[serde(flatten)]
    product: Product,
    /// Where the words stand that were looked for; `null` if there were none.
    highlights: Option<Highlights>,
}

/// HTML that can stand in a page as it is: all is escaped but `<mark>`.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Highlights {
    /// The title.
    title: String,
    /// Some 200 characters of the description: around the first mark, or its beginning.
    description: String,
}

/// A value of a facet.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct FacetValue<'a> {
    /// As the filter of the same name takes it; of `price`, `min_price-max_price`.
    value: &'a str,
    /// As people read it.
    label: &'a str,
    /// How many products that match have it.
    count: u64,
}

/// What was found.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SearchResult {
    /// Best first.
    items: Vec<SearchHit>,
    /// For the next page; null at the end.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// What was asked for by `facets`, and only then: the values, the most frequent first, 50 at most. A field's own filter
    /// does not narrow its counts, all other filters do.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<FacetValue>>>)]
    facets: Option<()>,
    /// What a click names (`POST /v1/search/clicks`); null if nothing was typed.
    #[schema(required = true)]
    query_id: Option<String>,
}

/// What can be typed.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Suggestions {
    /// At most 10, the most used first.
    items: Vec<String>,
}

/// What a hit's highlights are made of.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    title: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Cow<'a, str>,
}

pub(crate) async fn search(
    memory: Arc<Memory>,
    platform: State,
    viewer: Viewer,
    params: Params,
) -> Result<Answer, Problem> {
    let began = platform.clock.now();
    let query::Asked { mut query, paging } = query::read(&params, &*platform.documents).await?;
    let asked: Vec<Word> = words(&query.text).take(MAX_WORDS).collect();
    query.tuning = memory.tuned.tuning(&platform, &asked).await;
    let page = if asked.is_empty() && !query.text.trim().is_empty() {
        // Signs alone are in no product.
        nothing(&query)
    } else {
        platform.search.search(&query).await.map_err(|error| match error {
            SearchError::BadPlace => {
                Problem::bad_parameter("cursor", "is not one that this list gave: begin again without it")
            }
            error => unavailable(error),
        })?
    };
    if !memory.built.load(Ordering::Relaxed) {
        if page.hits.is_empty() && rebuild::is_lost(&platform).await? {
            return Err(unavailable(SearchError::Unavailable("it is being made anew".into())));
        }
        memory.built.store(true, Ordering::Relaxed);
    }
    let mut query_id = None;
    if !asked.is_empty() {
        let day = usage::day(began);
        let id = usage::query_id(&platform, &day, &asked);
        // A further page is no further search.
        if query.after.is_none() {
            let ms = platform
                .clock
                .now()
                .as_millisecond()
                .saturating_sub(began.as_millisecond());
            let found = !page.hits.is_empty();
            // What was not looked for is not suggested to others.
            let rest = words(&query.text).nth(MAX_WORDS);
            let text = query.text.get(..rest.map_or(query.text.len(), |word| word.range.start));
            let text = text.unwrap_or("");
            memory.usage.searched(&platform, day, &id, text, found, ms);
        }
        query_id = Some(id);
    }
    let next = page.next.as_deref().map(|place| paging.cursor(place));
    let body = write(page, !query.facets.is_empty(), next.as_deref(), query_id.as_deref());
    Ok(viewer.answer(Answer::raw(body.map_err(|e| Problem::internal(e.to_string()))?)))
}

/// A page of nothing.
fn nothing(query: &SearchQuery) -> SearchPage {
    SearchPage {
        facets: query.no_counts(),
        ..SearchPage::default()
    }
}

fn write(
    page: SearchPage,
    with_facets: bool,
    next_cursor: Option<&str>,
    query_id: Option<&str>,
) -> serde_json::Result<Vec<u8>> {
    let size: usize = page.hits.iter().map(|hit| hit.body.len() + 600).sum();
    let mut out = Vec::with_capacity(size + 512);
    let marker = (query_id.is_some()).then(|| Marker::new(page.terms));
    out.extend_from_slice(b"{\"items\":[");
    for (n, hit) in page.hits.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_hit(hit, marker.as_ref(), &mut out)?;
    }
    out.extend_from_slice(b"],\"next_cursor\":");
    serde_json::to_writer(&mut out, &next_cursor)?;
    if with_facets {
        write_facets(&page.facets, &mut out)?;
    }
    out.extend_from_slice(b",\"query_id\":");
    serde_json::to_writer(&mut out, &query_id)?;
    out.push(b'}');
    Ok(out)
}

fn write_hit(hit: &Hit, marker: Option<&Marker>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let highlights = match marker {
        Some(marker) => {
            let head: Head = serde_json::from_str(&hit.body)?;
            Some(Highlights {
                title: marker.whole(&head.title),
                description: marker.excerpt(&head.description),
            })
        }
        None => None,
    };
    let open = hit.body.strip_suffix('}').unwrap_or("{");
    out.extend_from_slice(open.as_bytes());
    if open.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(b"\"highlights\":");
    serde_json::to_writer(&mut *out, &highlights)?;
    out.push(b'}');
    Ok(())
}

fn write_facets(facets: &[FacetCounts], out: &mut Vec<u8>) -> serde_json::Result<()> {
    out.extend_from_slice(b",\"facets\":{");
    for (n, facet) in facets.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, &facet.field)?;
        // Writing to a vector does not fail.
        let _ = out.write_all(b":");
        let values = facet.values.iter().map(|(facet, count)| FacetValue {
            value: &facet.value,
            label: &facet.label,
            count: *count,
        });
        serde_json::to_writer(&mut *out, &values.collect::<Vec<_>>())?;
    }
    out.push(b'}');
    Ok(())
}

pub(crate) async fn suggest(platform: State, viewer: Viewer, params: Params) -> Result<Answer, Problem> {
    let mut faults = Vec::new();
    let typed = query::typed(&params, &mut faults);
    query::refuse(faults)?;
    let typed = typed.ok_or_else(|| Problem::bad_parameter("q", "is needed"))?;
    let items = platform.search.suggest(typed, SUGGESTIONS).await.map_err(unavailable)?;
    Ok(viewer.answer(Answer::json(&Suggestions { items })?))
}
