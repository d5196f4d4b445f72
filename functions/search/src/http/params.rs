//! The query parameters of search.

use souk_core::search::{MAX_QUERY, SearchQuery, Sort};
use souk_kit::http::{Problem, QueryParams, Selection};
use souk_kit::{Failure, Fault, FieldError, PageRequest};
use souk_model::catalog::filter::{MAX_OPTIONS, MAX_VALUES, ProductFilter, is_attribute, is_option, many};
use souk_model::catalog::product::{FIELDS, INCLUDES};

use super::search::HIGHLIGHTS;
use crate::operations::search::SearchRequest;

const SORTS: [&str; 7] = ["relevance", "newest", "oldest", "price", "-price", "popular", "nearest"];
const FACETS: [&str; 6] = ["category", "vendor", "tag", "condition", "currency", "price"];

/// Parses the parameters; the error names every invalid parameter.
pub(super) fn read(params: &QueryParams) -> Result<(Selection, SearchRequest), Problem> {
    let fields = [FIELDS, &[HIGHLIGHTS]].concat();
    let selection = Selection::read(params, &fields, INCLUDES);
    let (selection, (query, filter), page) = Problem::all_of(selection, filtered(params), PageRequest::read(params))?;
    Ok((selection, SearchRequest { query, filter, page }))
}

fn filtered(params: &QueryParams) -> Result<(SearchQuery, ProductFilter), Problem> {
    let mut faults = Vec::new();
    let filter = ProductFilter::read(params.with_prefix(""), &mut faults);
    let query = query(params, &mut faults);
    if params.get("status").is_some_and(|status| status != "published") {
        fault(
            &mut faults,
            "status",
            Fault::not_one_of(&["published"]).because("must be published: others are in /v1/products"),
        );
    }
    refuse(faults)?;
    Ok((query, filter))
}

/// The text to complete.
pub(crate) fn typed_text(params: &QueryParams) -> Result<&str, Problem> {
    let mut faults = Vec::new();
    let typed = typed(params, &mut faults);
    refuse(faults)?;
    typed.ok_or_else(|| Problem::bad_parameter("q", Fault::required()))
}

/// 400 if there are any faults.
fn refuse(faults: Vec<FieldError>) -> Result<(), Problem> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::BadParameter(faults).into())
}

/// The text, truncated to [`MAX_QUERY`] bytes.
fn typed<'a>(params: &'a QueryParams, faults: &mut Vec<FieldError>) -> Option<&'a str> {
    let text = params.get("q")?;
    if text.chars().count() > MAX_QUERY {
        fault(faults, "q", Fault::too_long(MAX_QUERY));
    }
    text.get(..text.floor_char_boundary(MAX_QUERY))
}

/// The text, the order and the facets.
fn query(params: &QueryParams, faults: &mut Vec<FieldError>) -> SearchQuery {
    let mut query = SearchQuery {
        text: typed(params, faults).unwrap_or("").to_owned(),
        ..SearchQuery::default()
    };
    query.sort = match params.get("sort") {
        None | Some("relevance") => Sort::Relevance,
        Some("newest") => Sort::Newest,
        Some("oldest") => Sort::Oldest,
        Some("price") => Sort::Cheapest,
        Some("-price") => Sort::Dearest,
        Some("popular") => Sort::Popular,
        Some("nearest") => Sort::Nearest,
        Some(_) => {
            fault(faults, "sort", Fault::not_one_of(&SORTS));
            Sort::Relevance
        }
    };
    if query.sort == Sort::Nearest && params.get("near").is_none() {
        fault(
            faults,
            "near",
            Fault::required().because("is needed to sort by nearest"),
        );
    }
    let facets = params
        .get("facets")
        .map(|text| many(text, "facets", MAX_VALUES, faults));
    for facet in facets.unwrap_or_default() {
        if !FACETS.contains(&facet)
            && !facet.strip_prefix("attr.").is_some_and(is_attribute)
            && !facet.strip_prefix("option.").is_some_and(is_option)
        {
            let known = [&FACETS[..], &["attr.NAME", "option.KEY"]].concat();
            fault(faults, "facets", Fault::not_one_of(&known));
            break;
        }
        if !query.facets.iter().any(|known| known == facet) {
            query.facets.push(facet.to_owned());
        }
    }
    if query.facets.iter().filter(|facet| facet.starts_with("option.")).count() > MAX_OPTIONS {
        let detail = format!("may have {MAX_OPTIONS} options");
        fault(faults, "facets", Fault::too_many(MAX_OPTIONS).because(detail));
    }
    query
}

fn fault(faults: &mut Vec<FieldError>, field: &str, fault: Fault) {
    faults.push(FieldError::new(field, fault));
}
