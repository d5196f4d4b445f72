//! The query parameters of search.

use std::collections::BTreeMap;

use souk_core::check::{self, normal_line};
use souk_core::money::MAX_AMOUNT;
use souk_core::search::{MAX_QUERY, Near, SearchQuery, Sort};
use souk_kit::http::{Problem, QueryParams};
use souk_kit::{Failure, Fault, FieldCode, FieldError, PageRequest};

use crate::listing::number;
use crate::operations::search::SearchRequest;

/// The maximum number of values per filter, and of facets per query.
const MAX_VALUES: usize = 20;
/// The default and the maximum radius of `near`, in metres.
const RADIUS: f64 = 10_000.0;
const MAX_RADIUS: f64 = 500_000.0;
/// No product has more options.
const MAX_OPTIONS: usize = 3;
/// How many combinations of values of several options are searched for at most.
const MAX_COMBINATIONS: usize = 50;
const CONDITIONS: [&str; 5] = ["new", "like_new", "good", "fair", "poor"];
const SORTS: [&str; 6] = ["relevance", "newest", "price", "-price", "popular", "nearest"];
const FACETS: [&str; 6] = ["category", "vendor", "tag", "condition", "currency", "price"];

/// Parses the parameters; the error names every invalid parameter.
pub(crate) fn search_request(params: &QueryParams) -> Result<SearchRequest, Problem> {
    let mut faults = Vec::new();
    let query = query(params, &mut faults);
    let options = options(params, &mut faults);
    let [categories, vendors] =
        ["category", "vendor"].map(|name| owned(&many(params.get(name), name, &mut faults).unwrap_or_default()));
    refuse(faults)?;
    Ok(SearchRequest {
        query,
        options,
        categories,
        vendors,
        page: PageRequest::read(params)?,
    })
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

/// The query, without categories and vendors.
fn query(params: &QueryParams, faults: &mut Vec<FieldError>) -> SearchQuery {
    let mut query = SearchQuery {
        text: typed(params, faults).unwrap_or("").to_owned(),
        ..SearchQuery::default()
    };
    if let Some(conditions) = many(params.get("condition"), "condition", faults) {
        if conditions.iter().any(|condition| !CONDITIONS.contains(condition)) {
            fault(faults, "condition", Fault::not_one_of(&CONDITIONS));
        }
        query.filters.push(("condition".into(), owned(&conditions)));
    }
    if let Some(tags) = many(params.get("tag"), "tag", faults) {
        // Tags are stored in this form.
        let whole = (tags.len() > 1).then(|| params.get("tag")).flatten();
        let tags = tags
            .into_iter()
            .chain(whole)
            .map(|tag| normal_line(tag).to_lowercase())
            .collect();
        query.filters.push(("tag".into(), tags));
    }
    for (name, text) in params.with_prefix("attr.") {
        let field = format!("attr.{name}");
        if !is_attribute(name) {
            fault(faults, &field, unknown("is not the name of an attribute"));
        } else if let Some(values) = many(Some(text), &field, faults) {
            query.filters.push((field, attribute_values(text, &values)));
        }
    }
    query.filters.sort();
    (query.min_price, query.max_price) = prices(params, faults);
    query.near = near(params, faults);
    query.sort = match params.get("sort") {
        None | Some("relevance") => Sort::Relevance,
        Some("newest") => Sort::Newest,
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
    for facet in many(params.get("facets"), "facets", faults).unwrap_or_default() {
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

/// The values of options, by their keys.
fn options(params: &QueryParams, faults: &mut Vec<FieldError>) -> BTreeMap<String, Vec<String>> {
    let mut options = BTreeMap::new();
    for (key, text) in params.with_prefix("option.") {
        let field = format!("option.{key}");
        if !is_option(key) {
            fault(faults, &field, unknown("is not the key of an option"));
        } else if let Some(values) = many(Some(text), &field, faults) {
            // A value may contain commas.
            let whole = (values.len() > 1).then(|| normal_line(text));
            let mut values: Vec<String> = values.into_iter().map(normal_line).chain(whole).collect();
            values.sort();
            values.dedup();
            options.insert(key.to_owned(), values);
        }
    }
    if options.len() > MAX_OPTIONS || options.values().map(Vec::len).product::<usize>() > MAX_COMBINATIONS {
        let detail = format!("are at most {MAX_OPTIONS}, with {MAX_COMBINATIONS} combinations of their values");
        fault(faults, "option.*", Fault::too_many(MAX_OPTIONS).because(detail));
    }
    options
}

fn is_option(key: &str) -> bool {
    check::slug(&key, &()).is_ok()
}

fn unknown(detail: &str) -> Fault {
    Fault::new(FieldCode::UnknownParameter, detail)
}

fn fault(faults: &mut Vec<FieldError>, field: &str, fault: Fault) {
    faults.push(FieldError::new(field, fault));
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

/// Values separated by commas.
fn many<'a>(text: Option<&'a str>, name: &str, faults: &mut Vec<FieldError>) -> Option<Vec<&'a str>> {
    let values: Vec<&str> = text?.split(',').map(str::trim).collect();
    if values.iter().any(|value| value.is_empty()) || values.len() > MAX_VALUES {
        let detail = format!("must be 1 to {MAX_VALUES} values, separated by commas");
        fault(faults, name, Fault::format(detail));
        return None;
    }
    Some(values)
}

fn is_attribute(name: &str) -> bool {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(valid)
}

/// The possible forms of attribute values in the index: a value may contain commas, and a number can be written in
/// several ways.
fn attribute_values(text: &str, values: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = values.iter().map(|value| normal_line(value)).collect();
    all.extend((values.len() > 1).then(|| normal_line(text)));
    let numbers: Vec<f64> = values.iter().filter_map(|value| value.parse().ok()).collect();
    all.extend(numbers.into_iter().filter(|number| number.is_finite()).map(number));
    all.sort();
    all.dedup();
    all
}

fn prices(params: &QueryParams, faults: &mut Vec<FieldError>) -> (Option<i64>, Option<i64>) {
    let [min, max] = ["min_price", "max_price"].map(|name| {
        let price = params
            .get(name)?
            .parse()
            .ok()
            .filter(|price| (0..=MAX_AMOUNT).contains(price));
        if price.is_none() {
            fault(
                faults,
                name,
                Fault::out_of_range(0, MAX_AMOUNT).because("must be a price in minor units"),
            );
        }
        price
    });
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        fault(
            faults,
            "max_price",
            Fault::inconsistent("min_price", "is below min_price"),
        );
    }
    (min, max)
}

fn near(params: &QueryParams, faults: &mut Vec<FieldError>) -> Option<Near> {
    let radius = match params.get("radius") {
        None => RADIUS,
        Some(text) => {
            let radius = text.parse().ok().filter(|radius| (1.0..=MAX_RADIUS).contains(radius));
            if radius.is_none() {
                let detail = format!("must be metres, from 1 to {MAX_RADIUS}");
                fault(faults, "radius", Fault::out_of_range(1.0, MAX_RADIUS).because(detail));
            } else if params.get("near").is_none() {
                fault(faults, "near", Fault::required().because("is needed beside radius"));
            }
            radius.unwrap_or(RADIUS)
        }
    };
    let place = params.get("near")?.split_once(',').and_then(|(latitude, longitude)| {
        let latitude = latitude.trim().parse().ok().filter(|d| (-90.0..=90.0).contains(d))?;
        let longitude = longitude.trim().parse().ok().filter(|d| (-180.0..=180.0).contains(d))?;
        Some(Near {
            latitude,
            longitude,
            radius,
        })
    });
    if place.is_none() {
        let detail = "must be degrees north and east, such as 41.01,28.97";
        fault(faults, "near", Fault::format(detail));
    }
    place
}
