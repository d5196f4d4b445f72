//! The routes of searches, suggestions and clicks.
//!
//! The product of a hit is copied into the response as JSON text. Only its title and description are parsed, for the
//! highlights.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use souk_kit::http::{Access, Answer, Json, Param, Problem, QueryParams, Route, Schema, Viewer, write_ends};
use souk_kit::{By, Context, Failure, Limit};
use souk_model::catalog::filter::{INCLUDE, PARAMETERS, Parameter};
use souk_model::catalog::product::{Product, REFERENCES, leave_out_variants};

use super::params;
use crate::Memory;
use crate::analytics::NewClick;
use crate::highlight::Marker;
use crate::operations::analytics;
use crate::operations::facets::FacetValue;
use crate::operations::search::{self as operations, SearchResults};
use crate::operations::suggest::{self, Suggestion};

/// Clicks from a network.
const CLICKS: Limit = Limit::strict("clicks", 3_000, 3_600, By::Address);

/// The field of a hit that is no field of its product.
pub(super) const HIGHLIGHTS: &str = "highlights";

/// A search result: a product and its highlights.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SearchHit {
    #[serde(flatten)]
    product: Product,
    /// Highlighted matches of the query; `null` if the query has no words.
    #[schema(required = true)]
    highlights: Option<Highlights>,
}

/// Highlights as HTML: everything except `<mark>` is escaped.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SearchHighlights)]
pub(crate) struct Highlights {
    /// The title, with matches marked.
    title: String,
    /// An excerpt of about 200 characters of the description, around the first match or from the start.
    description: String,
}

/// A page of search results.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SearchResult {
    /// Results, in the order of `sort`.
    items: Vec<SearchHit>,
    /// Cursor of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// Cursor of the page before; `null` on the first page.
    #[schema(required = true)]
    prev_cursor: Option<String>,
    /// Number of matching products, counted for the first page.
    #[schema(required = true)]
    total: Option<u64>,
    /// Whether `total` is exact; if not, there are at least so many.
    total_is_exact: bool,
    /// Facet counts, if requested with `facets`: up to 50 values per field, the most frequent first, but numbers and
    /// price ranges in ascending order. Price ranges are counted per currency. All filters apply to the counts of a
    /// field, except the filter on the field itself.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Vec<FacetValue>>>)]
    facets: Option<()>,
    /// Sent with facets: whether they count only the first 10,000 matches, because there are more, or may be too
    /// high, because several values of other options were given.
    #[schema(value_type = Option<bool>)]
    approximate: Option<()>,
    /// The id of the query, for `POST /v1/search/clicks`; `null` if the query has no words.
    #[schema(required = true)]
    query_id: Option<String>,
}

/// Suggestions for the text typed so far.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Suggestions {
    /// Up to 10 suggestions, at most 4 of a kind, the best first.
    suggestions: Vec<Suggestion>,
}

const DESCRIPTION: &str = "All words must match, in title, description, tags, category, vendor, attributes, options, SKU or GTIN. Results \
    leave out `variants`, unless `fields` names them. Filters are those of `GET /v1/products`. \
    Accents, plurals, small misspellings and synonyms are tolerated. The last word may be a prefix of at least two \
    letters. \"Words between quotes\" must be adjacent. Any text is a valid query. Filters accept several values, \
    separated by commas, and match any of them. Changes of products are searchable within seconds.";

static SEARCH: LazyLock<Vec<Param>> = LazyLock::new(|| {
    let parameter = |(name, summary, schema): Parameter| Param { name, summary, schema };
    let all = [
        Param {
            name: "q",
            summary: "Text to search for. Without it, all products match. Words after the tenth are ignored.",
            schema: r#"{"type":"string","minLength":1,"maxLength":200}"#,
        },
        Param {
            name: "sort",
            summary: "Sort order: best match, newest, oldest, cheapest, most expensive, most upvotes or nearest first; `nearest` \
                      needs `near`. Prices of several currencies are not converted: give `currency`.",
            schema: r#"{"type":"string","enum":["relevance","newest","oldest","price","-price","popular","nearest"],"default":"relevance"}"#,
        },
        Param::LIMIT,
        Param::CURSOR,
        Param::FIELDS,
        parameter(INCLUDE),
        Param {
            name: "facets",
            summary: "Fields to return facet counts for, separated by commas: `category`, `vendor`, `tag`, `condition`, \
                  `currency`, `price` (ranges), `attr.NAME`, `option.KEY`.",
            schema: r#"{"type":"array","items":{"anyOf":[{"type":"string","enum":["category","vendor","tag","condition","currency","price"]},{"type":"string","pattern":"^(attr|option)\\..+$"}]},"example":["category","tag"]}"#,
        },
    ];
    all.into_iter().chain(PARAMETERS.map(parameter)).collect()
});

const TYPED: &[Param] = &[Param {
    name: "q",
    summary: "The text typed so far; required.",
    schema: r#"{"type":"string","minLength":1,"maxLength":200}"#,
}];

pub(crate) fn routes(memory: &Arc<Memory>) -> Vec<Route> {
    let (searching, clicking) = (memory.clone(), memory.clone());
    vec![
        Route::new(
            "searchProducts",
            Method::GET,
            "/v1/search",
            Access::Public,
            move |cx, viewer, params| search(searching.clone(), cx, viewer, params),
        )
        .summary("Search products", DESCRIPTION)
        .params(&SEARCH)
        .checked(|params| params::read(params).map(drop))
        .cached(10, 60)
        .response(StatusCode::OK, "A page of results", Some(Schema::of::<SearchResult>()))
        .errors(&[StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new(
            "listSuggestions",
            Method::GET,
            "/v1/search/suggest",
            Access::Public,
            complete,
        )
        .summary(
            "Suggest products, categories, vendors and queries",
            "What has a word that begins with the text typed so far: published products by their titles, categories and \
             vendors of published products by their names, tags, and earlier queries that had results. First comes what \
             was searched for more often, then what begins with the text. If nothing does, small misspellings are \
             corrected.",
        )
        .params(TYPED)
        .cached(10, 60)
        .response(StatusCode::OK, "Suggestions", Some(Schema::of::<Suggestions>())),
        Route::new(
            "recordSearchClick",
            Method::POST,
            "/v1/search/clicks",
            Access::Open,
            move |cx, click| record_click(clicking.clone(), cx, click),
        )
        .limited(&CLICKS)
        .summary(
            "Record a click on a search result",
            "Clicks are counted for queries of today and yesterday. Nothing about the client is stored.",
        )
        .body(Schema::of::<NewClick>(), 1024)
        .response(StatusCode::NO_CONTENT, "The click was counted", None),
    ]
}

async fn search(memory: Arc<Memory>, cx: Context, viewer: Viewer, params: QueryParams) -> Result<Answer, Problem> {
    let (selection, request) = params::read(&params)?;
    let with_facets = !request.query.facets.is_empty();
    let mut results = operations::search(&cx, &memory, request).await?;
    if !selection.names("variants") {
        let mut documents = results.list.items.iter_mut();
        documents.try_for_each(leave_out_variants).map_err(Failure::from)?;
    }
    let items = selection.render_with(&cx, &results.list.items, &REFERENCES).await?;
    let with_highlights = selection.is_whole() || selection.names(HIGHLIGHTS);
    Ok(viewer.answer(Answer::raw(render(&results, &items, with_highlights, with_facets)?)))
}

async fn complete(cx: Context, viewer: Viewer, params: QueryParams) -> Result<Answer, Problem> {
    let suggestions = suggest::suggest(&cx, params::typed_text(&params)?).await?;
    Ok(viewer.answer(Answer::json(&Suggestions { suggestions })?))
}

async fn record_click(memory: Arc<Memory>, cx: Context, Json(click): Json<NewClick>) -> Result<Answer, Problem> {
    analytics::record_click(&cx, &memory, &click).await?;
    Ok(Answer::no_content())
}

/// The fields of a hit that are highlighted.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    title: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Cow<'a, str>,
}

fn render(
    results: &SearchResults,
    items: &[Vec<u8>],
    with_highlights: bool,
    with_facets: bool,
) -> serde_json::Result<Vec<u8>> {
    let SearchResults {
        page,
        facets,
        list,
        query_id,
    } = results;
    let size: usize = items.iter().map(|item| item.len() + 600).sum();
    let mut out = Vec::with_capacity(size + 512);
    let marker = query_id.is_some().then(|| Marker::new(page.terms.clone()));
    out.extend_from_slice(b"{\"items\":[");
    for (n, (item, document)) in items.iter().zip(&list.items).enumerate() {
        if n > 0 {
            out.push(b',');
        }
        if with_highlights {
            write_hit(item, &document.body, marker.as_ref(), &mut out)?;
        } else {
            out.extend_from_slice(item);
        }
    }
    out.push(b']');
    write_ends(list, &mut out);
    if with_facets {
        write_facets(facets, &mut out)?;
        out.extend_from_slice(b",\"approximate\":");
        serde_json::to_writer(&mut out, &page.is_approximate)?;
    }
    out.extend_from_slice(b",\"query_id\":");
    serde_json::to_writer(&mut out, &query_id)?;
    out.push(b'}');
    Ok(out)
}

/// Writes a product with the highlights of its document.
fn write_hit(item: &[u8], body: &str, marker: Option<&Marker>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let highlights = match marker {
        Some(marker) => {
            let head: Head = serde_json::from_str(body)?;
            Some(Highlights {
                title: marker.whole(&head.title),
                description: marker.excerpt(&head.description),
            })
        }
        None => None,
    };
    let open = item.strip_suffix(b"}").unwrap_or(b"{");
    out.extend_from_slice(open);
    if open.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(b"\"highlights\":");
    serde_json::to_writer(&mut *out, &highlights)?;
    out.push(b'}');
    Ok(())
}

fn write_facets(facets: &[(String, Vec<FacetValue>)], out: &mut Vec<u8>) -> serde_json::Result<()> {
    out.extend_from_slice(b",\"facets\":{");
    for (n, (field, values)) in facets.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, field)?;
        out.push(b':');
        serde_json::to_writer(&mut *out, values)?;
    }
    out.push(b'}');
    Ok(())
}
