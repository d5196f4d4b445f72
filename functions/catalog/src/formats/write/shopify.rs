//! Shopify's product CSV, with those columns of 2024 that products of this market fill: Shopify keeps what it has in the others. Each
//! row of a product has a variant, a picture or both.

use std::collections::HashMap;
use std::io::{self, Write};

use souk_model::catalog::product::ItemCondition;
use souk_model::catalog::status::Status;

use super::{Notes, amount, category, decimal, has_own_order, html, value, variants};
use crate::formats::Record;

/// The options that there are columns for.
const OPTIONS: [(&str, &str); 3] = [
    ("Option1 name", "Option1 value"),
    ("Option2 name", "Option2 value"),
    ("Option3 name", "Option3 value"),
];
const COLUMNS: [&str; 23] = [
    "Title",
    "URL handle",
    "Description",
    "Vendor",
    "Type",
    "Tags",
    "Published on online store",
    "Status",
    "SKU",
    "Barcode",
    OPTIONS[0].0,
    OPTIONS[0].1,
    OPTIONS[1].0,
    OPTIONS[1].1,
    OPTIONS[2].0,
    OPTIONS[2].1,
    "Price",
    "Compare-at price",
    "Weight value (grams)",
    "Weight unit for display",
    "Product image URL",
    "Image position",
    "Variant image URL",
];

pub(super) fn begin<W: Write>(out: W) -> io::Result<csv::Writer<W>> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record(COLUMNS)?;
    Ok(table)
}

/// Whether the record has a place in the table.
pub(super) fn write<W: Write>(table: &mut csv::Writer<W>, record: &Record, notes: &mut Notes) -> io::Result<bool> {
    let Some(handle) = &record.slug else {
        notes.add("products left out, without a slug");
        return Ok(false);
    };
    if record.options.len() > OPTIONS.len() {
        notes.add("products left out, with more than three options");
        return Ok(false);
    }
    let (status, is_published) = match record.status {
        Status::Draft => ("draft", "FALSE"),
        Status::Published => ("active", "TRUE"),
        Status::Sold | Status::Archived => ("archived", "FALSE"),
    };
    let (kept, dropped): (Vec<&str>, Vec<&str>) = record
        .tags
        .iter()
        .map(String::as_str)
        .partition(|tag| !tag.contains(','));
    for (is_lost, what) in [
        (
            record.status == Status::Sold,
            "products that are sold, written as archived",
        ),
        (!dropped.is_empty(), "products without their tags that have a comma"),
        (!record.attributes.is_empty(), "products without their attributes"),
        (record.location.is_some(), "products without their location"),
        (record.url.is_some(), "products without their URL"),
        (
            record.condition != ItemCondition::New,
            "products without their condition",
        ),
        (has_own_order(record), "products without their order of option values"),
    ] {
        notes.add_if(is_lost, what);
    }
    let variants = variants(record);
    let pictures: Vec<&String> = record.cover.iter().chain(&record.gallery).collect();
    for n in 0..variants.len().max(pictures.len()) {
        let mut row = HashMap::from([("URL handle", handle.clone())]);
        if n == 0 {
            row.extend([
                ("Title", record.title.clone()),
                ("Description", html(&record.description)),
                ("Vendor", record.vendor.clone().unwrap_or_default()),
                // `Product category` is of Shopify's own taxonomy.
                ("Type", category(record, notes)),
                ("Tags", kept.join(", ")),
                ("Published on online store", is_published.to_owned()),
                ("Status", status.to_owned()),
            ]);
            row.extend(
                OPTIONS
                    .iter()
                    .zip(&record.options)
                    .map(|((name, _), option)| (*name, option.name.clone())),
            );
            if record.options.is_empty() {
                row.extend([
                    (OPTIONS[0].0, "Title".to_owned()),
                    (OPTIONS[0].1, "Default Title".to_owned()),
                ]);
            }
        }
        if let Some(variant) = variants.get(n) {
            for ((_, column), option) in OPTIONS.iter().zip(&record.options) {
                row.insert(column, value(variant, option).unwrap_or_default().to_owned());
            }
            let price = |amount| decimal(amount, &record.price.currency);
            let optional = [
                ("SKU", variant.sku.clone()),
                ("Barcode", variant.gtin.clone()),
                ("Price", Some(price(amount(record, variant)))),
                (
                    "Compare-at price",
                    variant.compare_at_price.as_ref().map(|before| price(before.amount)),
                ),
                ("Weight value (grams)", variant.weight.map(|weight| weight.to_string())),
                ("Weight unit for display", variant.weight.map(|_| "g".to_owned())),
                ("Variant image URL", variant.picture.clone()),
            ];
            row.extend(optional.into_iter().filter_map(|(column, text)| Some((column, text?))));
        }
        if let Some(picture) = pictures.get(n) {
            row.insert("Product image URL", (*picture).clone());
            row.insert("Image position", (n + 1).to_string());
        }
        table.write_record(COLUMNS.map(|column| row.get(column).map_or("", String::as_str)))?;
    }
    Ok(true)
}
