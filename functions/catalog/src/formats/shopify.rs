//! The product export of Shopify. The first row of a product has its fields; each row may have a variant and a picture.

use std::collections::BTreeMap;

use souk_model::catalog::status::Status;

use super::record::{Fault, Record, compared};
use super::table::{Row, Table, in_groups};
use super::{Reading, Records, text};
use crate::variant::NewVariant;

/// The names of columns before 2024 and since.
const HANDLE: &[&str] = &["handle", "url handle"];
const DESCRIPTION: &[&str] = &["body (html)", "description"];
const CATEGORY: &[&str] = &["product category", "type"];
const PUBLISHED: &[&str] = &["published", "published on online store"];
const SKU: &[&str] = &["variant sku", "sku"];
const PRICE: &[&str] = &["variant price", "price"];
const COMPARE_AT: &[&str] = &["variant compare at price", "compare-at price"];
const GRAMS: &[&str] = &["variant grams", "weight value (grams)"];
const BARCODE: &[&str] = &["variant barcode", "barcode"];
const PICTURE: &[&str] = &["image src", "product image url"];
const VARIANT_PICTURE: &[&str] = &["variant image", "variant image url"];
/// The option of a product without options.
const NONE: (&str, &str) = ("title", "default title");

pub(super) fn records(table: Table, how: Reading) -> Records {
    let belongs = |first: &Row, row: &Row| first.any(HANDLE).is_some() && first.any(HANDLE) == row.any(HANDLE);
    let groups = in_groups(table, belongs);
    Box::new(groups.map(move |rows| rows.and_then(|rows| product(&rows, &how))))
}

/// The name of the column that the table has of these.
fn name<'a>(row: &Row, names: &[&'a str]) -> &'a str {
    let used = names.iter().find(|name| row.get(name).is_some());
    used.or(names.first()).copied().unwrap_or("")
}

fn product(rows: &[Row], how: &Reading) -> Result<Record, Fault> {
    let Some(first) = rows.first() else {
        return Err(Fault::of_line(0, "has no row"));
    };
    let handle = first
        .any(HANDLE)
        .ok_or_else(|| first.fault(name(first, HANDLE), "is required"))?;
    let title = first.get("title").ok_or_else(|| first.fault("title", "is required"))?;
    let mut record = Record::at(first.line, title);
    record.old_addresses.extend(first.old_address(how));
    record.source = Some(format!("shopify/{handle}"));
    record.slug = Some(souk_core::check::slugify(handle, "product"));
    record.description = text::plain_text(first.any(DESCRIPTION).unwrap_or(""));
    record.vendor = first.get("vendor").or(how.vendor.as_deref()).map(str::to_owned);
    record.set_path(text::path(first.any(CATEGORY).unwrap_or("")), how.category.as_deref());
    record.set_tags(text::parts(first.get("tags").unwrap_or("")));
    let status = first.get("status").unwrap_or("active").to_lowercase();
    let is_published = first
        .any(PUBLISHED)
        .is_none_or(|text| text.eq_ignore_ascii_case("true"));
    record.status = match &*status {
        "archived" => Status::Archived,
        "active" if is_published => Status::Published,
        "active" | "draft" => Status::Draft,
        _ => return Err(first.fault("status", "must be active, draft or archived")),
    };
    record.add_pictures(rows.iter().filter_map(|row| row.any(PICTURE)));

    let value = first.get("option1 value").unwrap_or(NONE.1);
    let has_none = value.eq_ignore_ascii_case(NONE.1) && first.get("option2 name").is_none();
    let names: Vec<&str> = (1..=3)
        .filter_map(|n| first.get(&format!("option{n} name")))
        .filter(|name| !(name.eq_ignore_ascii_case(NONE.0) && has_none))
        .collect();
    let mut variants = Vec::new();
    for row in rows
        .iter()
        .filter(|row| row.any(PRICE).is_some() || row.get("option1 value").is_some())
    {
        let column = name(row, PRICE);
        let price = row
            .price(column, how)?
            .ok_or_else(|| row.fault(column, "is required"))?;
        let before = row.price(name(row, COMPARE_AT), how)?;
        let mut options = BTreeMap::new();
        for (n, option) in names.iter().enumerate() {
            let column = format!("option{} value", n + 1);
            let value = row.get(&column).ok_or_else(|| row.fault(&column, "is required"))?;
            options.insert((*option).to_owned(), souk_core::check::normal_line(value));
        }
        variants.push(NewVariant {
            options,
            sku: row
                .any(SKU)
                .map(|sku| souk_core::check::normal_line(sku.trim_start_matches('\''))),
            gtin: record.gtin_of(row.any(BARCODE)),
            compare_at_price: compared(&price, before),
            price: Some(price),
            weight: row.weight(name(row, GRAMS), 1.0, how)?,
            picture: row.any(VARIANT_PICTURE).and_then(text::address),
            ..NewVariant::default()
        });
    }
    if variants.is_empty() {
        return Err(first.fault(name(first, PRICE), "is required"));
    }
    record.set_variants(names.into_iter().map(str::to_owned).collect(), variants);
    Ok(record)
}
