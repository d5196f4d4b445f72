//! The filters of lists of products, as clients write them. `/v1/products` and `/v1/search` take the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use souk_core::money::{MAX_AMOUNT, is_currency_code};
use souk_core::search::{MAX_RANGES, Near, Range, SearchQuery, as_number};
use souk_core::{Fault, FieldCode, FieldError, check};

use super::category::{Attribute, AttributeType, Category};
use super::product::{ItemCondition, Location};
use super::variant::facets;

/// The maximum number of values of a filter.
pub const MAX_VALUES: usize = 20;
/// The maximum number of ids.
pub const MAX_IDS: usize = 100;
/// The default and the maximum radius of `near`, in metres.
const RADIUS: f64 = 10_000.0;
const MAX_RADIUS: f64 = 500_000.0;
/// No product has more options.
pub const MAX_OPTIONS: usize = 3;
/// How many combinations of values of several options are searched for at most.
const MAX_COMBINATIONS: usize = 50;
/// The longest tag, in characters.
pub const MAX_TAG: usize = 40;
/// The Earth's radius in metres.
const EARTH: f64 = 6_371_000.8;

const CONDITIONS: [&str; 5] = ["new", "like_new", "good", "fair", "poor"];

/// A query parameter: its name, description and JSON schema.
pub type Parameter = (&'static str, &'static str, &'static str);

const TEXT: &str = r#"{"type":"string","minLength":1}"#;
const TEXTS: &str = r#"{"type":"array","items":{"type":"string","minLength":1}}"#;
const PRICE: &str = r#"{"type":"integer","minimum":0,"maximum":9007199254740991}"#;

/// The parameters.
pub const PARAMETERS: [Parameter; 15] = [
    (
        "ids",
        "Only these products, by id, separated by commas, at most 100: in this order on one page, without those that are \
         missing or do not match. Takes no `sort` and no `cursor`.",
        TEXTS,
    ),
    (
        "category",
        "Products of these categories, by id or slug, and of the categories below them.",
        TEXTS,
    ),
    ("vendor", "Products of these vendors, by id or slug.", TEXTS),
    (
        "author",
        "Products of these accounts, by id or username; `me` is the account that is signed in.",
        TEXTS,
    ),
    ("tag", "Products with any of these tags.", TEXTS),
    (
        "condition",
        "Physical conditions of the item: `new`, `like_new`, `good`, `fair`, `poor`.",
        r#"{"type":"array","items":{"type":"string","enum":["new","like_new","good","fair","poor"]}}"#,
    ),
    (
        "currency",
        "Products with a price in this currency (ISO 4217).",
        r#"{"type":"string","pattern":"^[A-Z]{3}$","example":"EUR"}"#,
    ),
    (
        "min_price",
        "Lowest price, in minor units of `currency`, which must be given, because prices are compared within one currency. \
         A product matches if a variant has a price within the bounds.",
        PRICE,
    ),
    (
        "max_price",
        "Highest price, in minor units of `currency`, which must be given.",
        PRICE,
    ),
    (
        "near",
        "Centre of a geographic filter: latitude and longitude, in degrees north and east. Each product has its `distance`.",
        r#"{"type":"string","pattern":"^-?\\d{1,2}(\\.\\d+)?,-?\\d{1,3}(\\.\\d+)?$","example":"41.01,28.97"}"#,
    ),
    (
        "radius",
        "Radius around `near`, in metres.",
        r#"{"type":"number","minimum":1,"maximum":500000,"default":10000}"#,
    ),
    (
        "attr.*",
        "Values of a filterable attribute of `category`, or of a category below it; without `category`, of any. A number may \
         be a range: `10..20`, `10..` or `..20`.",
        TEXT,
    ),
    (
        "option.*",
        "Values of an option, by its key. Several options must be of one variant.",
        TEXT,
    ),
    (
        "sku",
        "The product of `vendor`, which must be given and be one, that has this SKU, itself or in a variant.",
        TEXT,
    ),
    (
        "status",
        "Status of the products. Drafts and archived products are listed for their author, with `vendor` also for its \
         owner and staff, and with the permission `products:read` or `products:write`. `any` is all of these together. Search has published ones only.",
        r#"{"type":"string","enum":["draft","published","sold","archived","any"],"default":"published"}"#,
    ),
];

/// The `include` parameter of routes that return products.
pub const INCLUDE: Parameter = (
    "include",
    "Expand these ids to objects, separated by commas: `category`, `author`, `vendor`. `viewer` adds what each product is \
     to you: `null` unless you are signed in.",
    r#"{"type":"array","items":{"type":"string","enum":["category","author","vendor","viewer"]},"example":["category","viewer"]}"#,
);

/// The filter of a list, with ids or names. Empty filters admit everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProductFilter {
    /// Products, by id, in the order in which they are shown.
    pub ids: Vec<String>,
    /// Categories, by id or slug.
    pub categories: Vec<String>,
    /// Vendors, by id or slug.
    pub vendors: Vec<String>,
    /// Authors, by id or username, or `me`.
    pub authors: Vec<String>,
    /// Tags, as they are stored.
    pub tags: Vec<String>,
    /// Conditions.
    pub conditions: Vec<ItemCondition>,
    /// The currency of the price, ISO 4217.
    pub currency: Option<String>,
    /// The lowest price.
    pub min_price: Option<i64>,
    /// The highest price.
    pub max_price: Option<i64>,
    /// A circle.
    pub near: Option<Near>,
    /// Values of attributes as text, by name.
    pub attributes: BTreeMap<String, String>,
    /// Values of options, by key.
    pub options: BTreeMap<String, Vec<String>>,
    /// A SKU of the vendor.
    pub sku: Option<String>,
}

/// The values of an attribute that match.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeFilter {
    /// Any of these.
    Values(Vec<Value>),
    /// Numbers within these bounds.
    Range(Range),
}

/// The form in which a tag is stored.
#[must_use]
pub fn normal_tag(tag: &str) -> String {
    check::normal_line(tag).to_lowercase()
}

/// Values separated by commas.
pub fn many<'a>(text: &'a str, name: &str, max: usize, faults: &mut Vec<FieldError>) -> Vec<&'a str> {
    let values: Vec<&str> = text.split(',').map(str::trim).collect();
    let detail = format!("must be 1 to {max} values, separated by commas");
    let fault = if values.len() > max {
        Fault::too_many(max)
    } else if values.iter().any(|value| value.is_empty()) {
        Fault::format("")
    } else {
        return values;
    };
    faults.push(FieldError::new(name, fault.because(detail)));
    Vec::new()
}

/// Whether this can be the name of an attribute.
#[must_use]
pub fn is_attribute(name: &str) -> bool {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(valid)
}

/// Whether this can be the key of an option.
#[must_use]
pub fn is_option(key: &str) -> bool {
    check::slug(&key, &()).is_ok()
}

impl ProductFilter {
    /// Reads the parameters; `faults` gets what is wrong with them.
    pub fn read<'a>(params: impl Iterator<Item = (&'a str, &'a str)>, faults: &mut Vec<FieldError>) -> Self {
        let params: BTreeMap<&str, &str> = params.collect();
        let get = |name: &str| params.get(name).copied();
        let mut values = |name: &str, max: usize| -> Vec<String> {
            let values = get(name).map(|text| many(text, name, max, faults));
            values.into_iter().flatten().map(str::to_owned).collect()
        };
        let mut filter = Self {
            ids: values("ids", MAX_IDS),
            categories: values("category", MAX_VALUES),
            vendors: values("vendor", MAX_VALUES),
            authors: values("author", MAX_VALUES),
            sku: get("sku").map(check::normal_line),
            ..Self::default()
        };
        let mut seen = BTreeSet::new();
        filter.ids.retain(|id| seen.insert(id.clone()));
        let fault =
            |faults: &mut Vec<FieldError>, field: &str, fault: Fault| faults.push(FieldError::new(field, fault));
        if let Some(text) = get("tag") {
            let tags = many(text, "tag", MAX_VALUES, faults);
            let is_long = |tag: &str| tag.chars().count() > MAX_TAG;
            if tags.iter().any(|tag| is_long(tag)) {
                fault(faults, "tag", Fault::too_long(MAX_TAG));
            }
            // A tag may contain commas.
            let whole = (tags.len() > 1 && !is_long(text)).then_some(text);
            filter.tags = tags.into_iter().chain(whole).map(normal_tag).collect();
        }
        for condition in get("condition").map_or(Vec::new(), |text| many(text, "condition", MAX_VALUES, faults)) {
            match serde_json::from_value(Value::String(condition.to_owned())) {
                Ok(condition) => filter.conditions.push(condition),
                Err(_) => fault(faults, "condition", Fault::not_one_of(&CONDITIONS)),
            }
        }
        if let Some(code) = get("currency") {
            if is_currency_code(code) {
                filter.currency = Some(code.to_owned());
            } else {
                fault(
                    faults,
                    "currency",
                    Fault::format("must be an ISO 4217 code in upper case, such as EUR"),
                );
            }
        }
        (filter.min_price, filter.max_price) = prices(&get, faults);
        filter.near = near(&get, faults);
        for (name, text) in &params {
            if let Some(key) = name.strip_prefix("option.") {
                if !is_option(key) || check::normal_line(text).is_empty() {
                    fault(
                        faults,
                        name,
                        Fault::format("must be the key of an option, such as size, with a value"),
                    );
                    continue;
                }
                let mut values: Vec<String> = with_whole(text, name, faults)
                    .iter()
                    .map(|value| check::normal_line(value))
                    .collect();
                values.sort();
                values.dedup();
                filter.options.insert(key.to_owned(), values);
            } else if let Some(key) = name.strip_prefix("attr.") {
                if is_attribute(key) {
                    filter.attributes.insert(key.to_owned(), (*text).to_owned());
                } else {
                    fault(
                        faults,
                        name,
                        Fault::new(FieldCode::UnknownParameter, "is not the name of an attribute"),
                    );
                }
            }
        }
        if filter.options.len() > MAX_OPTIONS
            || filter.options.values().map(Vec::len).product::<usize>() > MAX_COMBINATIONS
        {
            let detail = format!("are at most {MAX_OPTIONS}, with {MAX_COMBINATIONS} combinations of their values");
            fault(faults, "option.*", Fault::too_many(MAX_OPTIONS).because(detail));
        }
        if filter.attributes.len() > MAX_RANGES {
            fault(faults, "attr.*", Fault::too_many(MAX_RANGES));
        }
        if filter.sku.is_some() && filter.vendors.len() != 1 {
            fault(
                faults,
                "vendor",
                Fault::required().because("is needed to find a SKU, and must be one"),
            );
        }
        if !filter.ids.is_empty() {
            for name in ["sort", "cursor"].into_iter().filter(|name| get(name).is_some()) {
                fault(
                    faults,
                    name,
                    Fault::inconsistent(
                        "ids",
                        "cannot be used with ids: they are shown in their own order, on one page",
                    ),
                );
            }
        }
        filter
    }

    /// Adds the filter to a query of the search index, where a category includes what is below it. The filter has ids
    /// instead of names; `attributes` are its attributes by their types.
    pub fn add_to(&self, query: &mut SearchQuery, attributes: Vec<(String, AttributeFilter)>) {
        let conditions = self.conditions.iter().map(|condition| condition.name().to_owned());
        let texts = [
            ("id", self.ids.clone()),
            ("category", self.categories.clone()),
            ("author", self.authors.clone()),
            ("vendor", self.vendors.clone()),
            ("tag", self.tags.clone()),
            ("condition", conditions.collect()),
            ("currency", self.currency.clone().into_iter().collect()),
            ("sku", self.sku.clone().into_iter().collect()),
        ];
        let texts = texts.into_iter().filter(|(_, values)| !values.is_empty());
        query
            .filters
            .extend(texts.map(|(field, values)| (field.to_owned(), values)));
        for (name, wanted) in attributes {
            match wanted {
                AttributeFilter::Values(values) => {
                    let values = values.iter().filter_map(indexed).collect();
                    query.filters.push((format!("attr.{name}"), values));
                }
                AttributeFilter::Range(range) => query.ranges.push(range),
            }
        }
        if !self.options.is_empty() {
            let values = facets::conditions(&self.options, "").into_iter().map(|condition| {
                let values: Vec<&str> = condition.iter().map(|(_, value)| *value).collect();
                facets::value(&values)
            });
            let field = facets::field(self.options.keys().map(String::as_str));
            query.filters.push((field, values.collect()));
        }
        query.filters.sort();
        (query.min_price, query.max_price, query.near) = (self.min_price, self.max_price, self.near);
    }

    /// The values of attributes by their types. They must be filterable in one of these categories.
    pub fn typed(&self, categories: &[Category]) -> Result<Vec<(String, AttributeFilter)>, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut typed = Vec::new();
        for (name, text) in &self.attributes {
            let known = categories.iter().flat_map(|category| &category.attributes);
            let known: Vec<&Attribute> = known.filter(|own| own.filterable && own.name == *name).collect();
            let mut fault = |fault: Fault| faults.push(FieldError::new(format!("attr.{name}"), fault));
            if known.is_empty() {
                fault(Fault::new(
                    FieldCode::UnknownParameter,
                    "is not a filterable attribute of these categories",
                ));
            } else if let Some(filter) = attribute(name, text, &known) {
                typed.push((name.clone(), filter));
            } else {
                fault(misfit(&known));
            }
        }
        if faults.is_empty() { Ok(typed) } else { Err(faults) }
    }

    /// Whether one of these prices, all in `currency`, matches.
    #[must_use]
    pub fn admits_price(&self, currency: &str, mut prices: impl Iterator<Item = i64>) -> bool {
        let is_within =
            |price: i64| self.min_price.is_none_or(|min| price >= min) && self.max_price.is_none_or(|max| price <= max);
        self.currency.as_ref().is_none_or(|wanted| wanted == currency)
            && (self.min_price.or(self.max_price).is_none() || prices.any(is_within))
    }

    /// Whether a place is near; everything is without a centre.
    #[must_use]
    pub fn admits_place(&self, place: Option<&Location>) -> bool {
        let Some(near) = &self.near else { return true };
        place.is_some_and(|place| distance(near, place) <= near.radius)
    }
}

impl AttributeFilter {
    /// Whether a value matches. Categories may declare the same attribute with other types, and the index knows no types, so a
    /// choice `10` is the number 10 here too.
    #[must_use]
    pub fn admits(&self, value: &Value) -> bool {
        let Some(text) = indexed(value) else { return false };
        match self {
            AttributeFilter::Values(values) => values.iter().any(|wanted| indexed(wanted).as_ref() == Some(&text)),
            AttributeFilter::Range(range) => as_number(&text).is_some_and(|number| {
                range.min.is_none_or(|min| number >= min) && range.max.is_none_or(|max| number <= max)
            }),
        }
    }
}

/// An attribute's value as it is indexed; `None` if it cannot be.
#[must_use]
pub fn indexed(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        // 5 and 5.0 are equal; adding zero removes the sign of -0.0.
        Value::Number(number) => number.as_f64().map(|number| (number + 0.0).to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The metres along the ground from the centre to a place.
#[must_use]
pub fn distance(near: &Near, place: &Location) -> f64 {
    let half = |a: f64, b: f64| ((a - b).to_radians() / 2.0).sin().powi(2);
    let [from, to] = [near.latitude, place.latitude].map(|latitude| latitude.to_radians().cos());
    let square = half(place.latitude, near.latitude) + from * to * half(place.longitude, near.longitude);
    2.0 * EARTH * square.sqrt().min(1.0).asin()
}

/// Values separated by commas, and the whole text, because a value may contain commas.
fn with_whole<'a>(text: &'a str, name: &str, faults: &mut Vec<FieldError>) -> Vec<&'a str> {
    let mut values = many(text, name, MAX_VALUES, faults);
    if values.len() > 1 {
        values.push(text);
    }
    values
}

/// Values of an attribute, which has a definition in each of some categories.
fn attribute(name: &str, text: &str, known: &[&Attribute]) -> Option<AttributeFilter> {
    let of = |text: &str| -> Vec<Value> { known.iter().filter_map(|attribute| attribute.parse(text)).collect() };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let mut values = of(text);
    if parts.len() > 1 && parts.len() <= MAX_VALUES {
        let each: Vec<Vec<Value>> = parts.into_iter().map(of).collect();
        if !values.is_empty() || each.iter().all(|values| !values.is_empty()) {
            values.extend(each.into_iter().flatten());
        }
    }
    if !values.is_empty() {
        return Some(AttributeFilter::Values(values));
    }
    let is_number = known.iter().any(|attribute| attribute.r#type == AttributeType::Number);
    let (min, max) = text.split_once("..").filter(|_| is_number)?;
    let bound = |text: &str| match text.trim() {
        "" => Some(None),
        text => text.parse().ok().filter(|bound: &f64| bound.is_finite()).map(Some),
    };
    let (min, max) = (bound(min)?, bound(max)?);
    (min.or(max).is_some() && min.zip(max).is_none_or(|(min, max)| min <= max)).then(|| {
        AttributeFilter::Range(Range {
            field: format!("attr.{name}"),
            min,
            max,
        })
    })
}

/// Why a text has no values of an attribute that is defined so.
fn misfit(known: &[&Attribute]) -> Fault {
    let is = |wanted: AttributeType| known.iter().any(|attribute| attribute.r#type == wanted);
    if is(AttributeType::Choice) {
        let mut seen = BTreeSet::new();
        let choices = known.iter().flat_map(|attribute| &attribute.choices);
        Fault::not_one_of(&choices.filter(|choice| seen.insert(*choice)).collect::<Vec<_>>())
    } else if is(AttributeType::Number) {
        Fault::wrong_type("number").because("must be numbers, or one range such as 10..20, 10.. or ..20")
    } else if is(AttributeType::Boolean) {
        Fault::not_one_of(&["true", "false"])
    } else {
        Fault::format("does not fit the type of the attribute")
    }
}

fn prices<'a>(get: &impl Fn(&str) -> Option<&'a str>, faults: &mut Vec<FieldError>) -> (Option<i64>, Option<i64>) {
    let [min, max] = ["min_price", "max_price"].map(|name| {
        let price = get(name)?.parse().ok().filter(|price| (0..=MAX_AMOUNT).contains(price));
        if price.is_none() {
            let fault = Fault::out_of_range(0, MAX_AMOUNT).because("must be a price in minor units");
            faults.push(FieldError::new(name, fault));
        }
        price
    });
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        faults.push(FieldError::new(
            "max_price",
            Fault::inconsistent("min_price", "is below min_price"),
        ));
    }
    if min.or(max).is_some() && get("currency").is_none() {
        let detail = "is needed beside min_price and max_price: prices are compared within one currency";
        faults.push(FieldError::new("currency", Fault::required().because(detail)));
    }
    (min, max)
}

fn near<'a>(get: &impl Fn(&str) -> Option<&'a str>, faults: &mut Vec<FieldError>) -> Option<Near> {
    let mut fault = |field: &str, fault: Fault| faults.push(FieldError::new(field, fault));
    let radius = match get("radius") {
        None => RADIUS,
        Some(text) => {
            let radius = text.parse().ok().filter(|radius| (1.0..=MAX_RADIUS).contains(radius));
            if radius.is_none() {
                let detail = format!("must be metres, from 1 to {MAX_RADIUS}");
                fault("radius", Fault::out_of_range(1.0, MAX_RADIUS).because(detail));
            } else if get("near").is_none() {
                fault("near", Fault::required().because("is needed beside radius"));
            }
            radius.unwrap_or(RADIUS)
        }
    };
    let degrees = |text: &str, most: f64| text.trim().parse().ok().filter(|d| (-most..=most).contains(d));
    let place = get("near")?.split_once(',').and_then(|(latitude, longitude)| {
        Some(Near {
            latitude: degrees(latitude, 90.0)?,
            longitude: degrees(longitude, 180.0)?,
            radius,
        })
    });
    if place.is_none() {
        fault(
            "near",
            Fault::format("must be degrees north and east, such as 41.01,28.97"),
        );
    }
    place
}
