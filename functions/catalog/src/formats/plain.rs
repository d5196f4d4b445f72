//! A table with the names of our own fields, `attr.NAME` and `option.NAME`. Rows below each other with the same `slug` are the variants of one product.

use std::collections::BTreeMap;

use serde_json::Value;
use souk_core::Money;
use souk_core::check::normal_line;
use souk_model::catalog::status::Status;

use super::record::{Fault, Record, compared};
use super::table::{Row, Table, in_groups};
use super::{Reading, Records, text};
use crate::variant::NewVariant;

/// The line of the first row.
const FIRST: u64 = 2;
/// The columns, besides `attr.NAME` and `option.NAME`.
const FIELDS: [&str; 22] = [
    "title",
    "slug",
    "description",
    "category",
    "vendor",
    "sku",
    "gtin",
    "price",
    "price.amount",
    "price.currency",
    "price_minor",
    "currency",
    "compare_at_price",
    "compare_at_price.amount",
    "weight",
    "tags",
    "condition",
    "cover",
    "gallery",
    "picture",
    "url",
    "status",
];

pub(super) fn records(table: Table, how: Reading) -> Records {
    let belongs = |first: &Row, row: &Row| {
        let slug = first.get("slug");
        slug.is_some() && slug == row.get("slug") && first.with_prefix("option.").next().is_some()
    };
    let groups = in_groups(table, belongs);
    Box::new(groups.map(move |rows| rows.and_then(|rows| product(&rows, &how))))
}

/// A field of ours that is a word, such as `like_new`.
fn word<T: serde::de::DeserializeOwned + Default>(row: &Row, name: &str, rule: &str) -> Result<T, Fault> {
    let Some(text) = row.get(name) else {
        return Ok(T::default());
    };
    serde_json::from_value(Value::String(text.to_lowercase())).map_err(|_| row.fault(name, rule))
}

/// A price in a column of minor units.
fn minor(row: &Row, name: &str, how: &Reading) -> Result<Option<Money>, Fault> {
    let Some(text) = row.get(name) else { return Ok(None) };
    let amount = text.parse().map_err(|_| row.fault(name, "is not a whole number"))?;
    let currency = how.currency.clone().unwrap_or_default().to_uppercase();
    Ok(Some(Money { amount, currency }))
}

fn product(rows: &[Row], how: &Reading) -> Result<Record, Fault> {
    let Some(first) = rows.first() else {
        return Err(Fault::of_line(0, "has no row"));
    };
    let title = first.get("title").ok_or_else(|| first.fault("title", "is required"))?;
    let mut record = Record::at(first.line, title);
    record.old_addresses.extend(first.old_address(how));
    record.slug = first.get("slug").map(str::to_owned);
    record.description = text::plain_text(first.get("description").unwrap_or(""));
    record.vendor = first.get("vendor").or(how.vendor.as_deref()).map(normal_line);
    match text::path(first.get("category").unwrap_or("")).as_slice() {
        // One name is that of a category anywhere in the tree.
        [only] => record.category.clone_from(only),
        path => record.set_path(path.to_vec(), how.category.as_deref()),
    }
    let unknown: Vec<&str> = first.unknown(&FIELDS).collect();
    if first.line == FIRST && !unknown.is_empty() {
        record.note(format!("columns not read: {}", unknown.join(", ")));
    }
    record.set_tags(text::parts(first.get("tags").unwrap_or("")));
    record.condition = word(first, "condition", "must be new, like_new, good, fair or poor")?;
    record.status = match first.get("status") {
        Some(_) => word::<Option<Status>>(first, "status", "must be draft, published, sold or archived")?
            .unwrap_or(Status::Draft),
        None => Status::Published,
    };
    record.url = first.get("url").map(str::to_owned);
    let gallery = text::addresses(first.get("gallery").unwrap_or(""));
    record.add_pictures(first.get("cover").into_iter().chain(gallery.iter().map(String::as_str)));
    for (name, value) in first.with_prefix("attr.") {
        // A number, true or false is one if it is written so, and everything else is a text.
        let parsed = serde_json::from_str(value).ok().filter(|parsed: &Value| {
            (parsed.is_number() || parsed.is_boolean()) && serde_json::to_string(parsed).is_ok_and(|text| text == value)
        });
        record.attributes.insert(
            name.to_owned(),
            parsed.unwrap_or_else(|| Value::String(normal_line(value))),
        );
    }
    let names: Vec<String> = first.with_prefix("option.").map(|(name, _)| name.to_owned()).collect();
    let mut variants = Vec::new();
    for row in rows {
        let currency = row.get("price.currency").or_else(|| row.get("currency"));
        let how = &Reading {
            currency: currency.map(str::to_owned).or_else(|| how.currency.clone()),
            ..how.clone()
        };
        // Earlier versions called it `price_minor`.
        let price = match minor(row, "price.amount", how)?.or(minor(row, "price_minor", how)?) {
            Some(price) => price,
            None => row
                .price("price", how)?
                .ok_or_else(|| row.fault("price", "is required"))?,
        };
        let before = match minor(row, "compare_at_price.amount", how)? {
            Some(before) => Some(before),
            None => row.price("compare_at_price", how)?,
        };
        let mut options = BTreeMap::new();
        for (name, value) in row.with_prefix("option.") {
            options.insert(name.to_owned(), normal_line(value));
        }
        variants.push(NewVariant {
            options,
            sku: row.get("sku").map(normal_line),
            gtin: record.gtin_of(row.get("gtin")),
            compare_at_price: compared(&price, before),
            price: Some(price),
            weight: row.weight("weight", 1.0, how)?,
            picture: row.get("picture").and_then(text::address),
            ..NewVariant::default()
        });
    }
    record.set_variants(names, variants);
    Ok(record)
}
