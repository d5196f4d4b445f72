//! Facets as they are shown: with names and slugs from the store, prices per currency, and in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::documents::MAX_KEYS;
use souk_core::search::{Facet, FacetCounts, SearchQuery};
use souk_core::{Fault, FieldCode, FieldError, Key, Kind, Money};
use souk_kit::{Context, Failure};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::filter::ProductFilter;
use souk_model::vendors::VENDOR;

use crate::attributes::{Attributes, Known};
use crate::error::SearchError;

/// The prefix of the fields of attributes.
const ATTRIBUTE: &str = "attr.";
const PRICE: &str = "price";
const CURRENCY: &str = "currency";
/// How many currencies prices are counted in, the most frequent first.
const CURRENCIES: usize = 3;

/// A value of a facet.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FacetValue {
    /// Value, in the format of the filter with the same name; for `price` a range, `min_price-max_price`.
    pub(crate) value: String,
    /// Slug of the category or vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) slug: Option<String>,
    /// Display name; of a price range its bounds in major units, such as `10 – 50 EUR`.
    pub(crate) label: String,
    /// Number of matching products that have the value.
    pub(crate) count: u64,
    /// Currency of a price range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, pattern = "^[A-Z]{3}$")]
    pub(crate) currency: Option<String>,
    /// Lowest price of a price range, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false, minimum = 0)]
    pub(crate) min_price: Option<i64>,
    /// Highest price of a price range, in minor units; absent from the last range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false, minimum = 0)]
    pub(crate) max_price: Option<i64>,
}

/// Refuses filters and facets by attributes that no category declares filterable.
pub(crate) async fn check_attributes(
    cx: &Context,
    attributes: &Attributes,
    filter: &ProductFilter,
    facets: &[String],
) -> Result<std::sync::Arc<Known>, Failure> {
    let filters: Vec<String> = filter
        .attributes
        .keys()
        .map(|name| format!("{ATTRIBUTE}{name}"))
        .collect();
    let filters = filters.iter().map(|field| (field.as_str(), field.as_str()));
    let facets = facets.iter().map(|facet| ("facets", facet.as_str()));
    let wanted: Vec<(&str, &str)> = filters
        .chain(facets)
        .filter_map(|(parameter, field)| Some((parameter, field.strip_prefix(ATTRIBUTE)?)))
        .collect();
    let names: Vec<&str> = wanted.iter().map(|(_, name)| *name).collect();
    let known = attributes.with(cx, &names).await?;
    let unknown = wanted.iter().filter(|(_, name)| !known.has(name));
    let faults: Vec<FieldError> = unknown
        .map(|(parameter, name)| {
            let detail = format!("no category has a filterable attribute {name:?}");
            let fault = match *parameter {
                "facets" => Fault::not_found("attribute"),
                _ => Fault::new(FieldCode::UnknownParameter, ""),
            };
            FieldError::new(*parameter, fault.because(detail))
        })
        .collect();
    if faults.is_empty() {
        Ok(known)
    } else {
        Err(Failure::BadParameter(faults))
    }
}

/// Adds the currency to the facets of a query that counts prices, because prices are counted per currency.
pub(crate) fn with_currency(query: &mut SearchQuery) {
    let has = |field: &str| query.facets.iter().any(|facet| facet == field);
    if has(PRICE) && !has(CURRENCY) {
        query.facets.push(CURRENCY.to_owned());
    }
}

/// The facets as they are shown, in the order of `asked`. `counted` is what the index has counted for `query`.
pub(crate) async fn shown(
    cx: &Context,
    query: &SearchQuery,
    counted: Vec<FacetCounts>,
    asked: &[String],
    known: &Known,
) -> Result<Vec<(String, Vec<FacetValue>)>, SearchError> {
    let prices = prices(cx, query, &counted).await?;
    let mut names = Names::read(cx, &counted).await?;
    let mut shown = Vec::with_capacity(asked.len());
    for counts in counted.into_iter().filter(|counts| asked.contains(&counts.field)) {
        let field = counts.field;
        let mut values: Vec<FacetValue> = match field.as_str() {
            PRICE => Vec::new(),
            _ => counts
                .values
                .into_iter()
                .map(|(facet, count)| names.value(facet, count))
                .collect(),
        };
        if field.strip_prefix(ATTRIBUTE).is_some_and(|name| known.is_number(name)) {
            let number = |value: &FacetValue| value.value.parse().unwrap_or(f64::MAX);
            values.sort_by(|a, b| number(a).total_cmp(&number(b)));
        }
        shown.push((field, values));
    }
    if let Some((_, values)) = shown.iter_mut().find(|(field, _)| field == PRICE) {
        *values = prices;
    }
    Ok(shown)
}

/// The price ranges of each currency, in ascending order. Costs a query per currency if there are several.
async fn prices(cx: &Context, query: &SearchQuery, counted: &[FacetCounts]) -> Result<Vec<FacetValue>, SearchError> {
    let of = |field: &str| counted.iter().find(|counts| counts.field == field);
    let (Some(prices), Some(currencies)) = (of(PRICE), of(CURRENCY)) else {
        return Ok(Vec::new());
    };
    let filter = query.filters.iter().find(|(field, _)| field == CURRENCY);
    let codes: Vec<&str> = match filter {
        // Bounds of the price, which do not narrow its own facet, narrow the counts of currencies.
        Some((_, codes)) => codes.iter().map(String::as_str).collect(),
        None => currencies
            .values
            .iter()
            .map(|(facet, _)| facet.value.as_str())
            .take(CURRENCIES)
            .collect(),
    };
    if let [code] = codes.as_slice() {
        return Ok(ranges(code, &prices.values));
    }
    let mut all = Vec::new();
    for code in codes {
        let mut filters = query.filters.clone();
        filters.retain(|(field, _)| field != CURRENCY);
        filters.push((CURRENCY.to_owned(), vec![code.to_owned()]));
        let query = SearchQuery {
            filters,
            facets: vec![PRICE.to_owned()],
            limit: 1,
            after: None,
            count: 0,
            ..query.clone()
        };
        let page = cx.search(&query).await?;
        let counts = page.facets.first().map_or(&[][..], |counts| counts.values.as_slice());
        all.extend(ranges(code, counts));
    }
    Ok(all)
}

fn ranges(currency: &str, counts: &[(Facet, u64)]) -> Vec<FacetValue> {
    let mut all: Vec<FacetValue> = counts
        .iter()
        .filter_map(|(facet, count)| {
            let (min, max) = facet.value.split_once('-')?;
            let (min, max) = (min.parse().ok()?, max.parse::<i64>().ok());
            let in_words = |amount: i64| Money::major_units(amount, currency);
            let label = match max {
                // The bound of the next range reads better than 49.99.
                Some(max) => format!("{} – {} {currency}", in_words(min), in_words(max.saturating_add(1))),
                None => format!("{}+ {currency}", in_words(min)),
            };
            Some(FacetValue {
                value: facet.value.clone(),
                slug: None,
                label,
                count: *count,
                currency: Some(currency.to_owned()),
                min_price: Some(min),
                max_price: max,
            })
        })
        .collect();
    all.sort_by_key(|range| range.min_price);
    all
}

/// The names and slugs of categories and vendors as the store has them now, by field and id.
#[derive(Default)]
struct Names(BTreeMap<(&'static str, String), Named>);

#[derive(Deserialize)]
struct Named {
    slug: String,
    name: String,
}

impl Names {
    const KINDS: [(&'static str, Kind); 2] = [("category", CATEGORY), ("vendor", VENDOR)];

    async fn read(cx: &Context, counted: &[FacetCounts]) -> Result<Self, Failure> {
        let keys: Vec<Key> = counted
            .iter()
            .filter_map(|counts| Some((counts, Self::KINDS.iter().find(|(field, _)| *field == counts.field)?)))
            .flat_map(|(counts, (_, kind))| counts.values.iter().map(|(facet, _)| kind.key(&facet.value)))
            .collect();
        let mut names = BTreeMap::new();
        for keys in keys.chunks(MAX_KEYS) {
            for document in cx.get_all(keys).await?.into_iter().flatten() {
                for (field, kind) in Self::KINDS {
                    if let Some(id) = kind.id_of(&document.key) {
                        names.insert((field, id.to_owned()), document.parse()?);
                    }
                }
            }
        }
        Ok(Self(names))
    }

    fn value(&mut self, facet: Facet, count: u64) -> FacetValue {
        let kind = Self::KINDS.iter().find(|(field, _)| *field == facet.field);
        let named = kind.and_then(|(field, _)| self.0.remove(&(*field, facet.value.clone())));
        let (slug, label) = match named {
            Some(Named { slug, name }) => (Some(slug), name),
            None => (None, facet.label),
        };
        FacetValue {
            value: facet.value,
            slug,
            label,
            count,
            currency: None,
            min_price: None,
            max_price: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_ranges_ascend_and_read_like_prices() {
        let counts = ["10000-49999", "0-999", "1000000000-", "1000-4999"].map(|value| {
            let facet = Facet {
                field: PRICE.into(),
                value: value.into(),
                label: value.into(),
            };
            (facet, 3)
        });
        let labels = |currency: &str| -> Vec<String> {
            ranges(currency, &counts).into_iter().map(|range| range.label).collect()
        };
        assert_eq!(
            labels("EUR"),
            ["0 – 10 EUR", "10 – 50 EUR", "100 – 500 EUR", "10,000,000+ EUR"]
        );
        assert_eq!(labels("JPY")[1], "1,000 – 5,000 JPY");
        let bounds = |n: usize| {
            ranges("EUR", &counts)
                .get(n)
                .map(|range| (range.min_price, range.max_price))
        };
        assert_eq!(bounds(1), Some((Some(1_000), Some(4_999))));
        assert_eq!(bounds(3), Some((Some(1_000_000_000), None)));
    }
}
