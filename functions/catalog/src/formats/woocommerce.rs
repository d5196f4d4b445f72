//! The product export of WooCommerce. A variable product is a row, and so is each of its variations, which name it in `Parent`.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use souk_core::Money;
use souk_core::check::normal_line;
use souk_model::catalog::status::Status;

use super::record::{Fault, Record, compared};
use super::table::{Row, Table};
use super::{Reading, Records, text};
use crate::variant::NewVariant;

/// How many attributes a row has at most.
const MAX_ATTRIBUTES: usize = 100;

/// All rows are read first, because a variation may be anywhere.
pub(super) fn records(table: Table, how: Reading) -> Records {
    let mut products: Vec<Result<Row, Fault>> = Vec::new();
    let mut variations: HashMap<String, Vec<Row>> = HashMap::new();
    for row in table {
        match row.map(Row::unescaped) {
            Ok(row) if row.has_nothing() => {}
            // One that is switched off is not for sale.
            Ok(row) if is(&row, "variation") && row.get("published").is_some_and(|text| text != "1") => {}
            Ok(row) if is(&row, "variation") => match row.get("parent") {
                Some(parent) => variations.entry(parent.to_owned()).or_default().push(row),
                None => products.push(Err(row.fault("parent", "is required for a variation"))),
            },
            row => products.push(row),
        }
    }
    let mut records: Vec<Result<Record, Fault>> = Vec::with_capacity(products.len());
    for row in products {
        records.push(row.and_then(|row| {
            let by_id = row.get("id").and_then(|id| variations.remove(&format!("id:{id}")));
            let by_sku = row.get("sku").and_then(|sku| variations.remove(sku));
            let mut own = by_id.unwrap_or_default();
            own.extend(by_sku.unwrap_or_default());
            product(&row, &own, &how)
        }));
    }
    let orphans = variations.into_values().flatten();
    records.extend(orphans.map(|row| Err(row.fault("parent", "is not a product of the file"))));
    Box::new(records.into_iter())
}

fn is(row: &Row, kind: &str) -> bool {
    let kinds = row.get("type").unwrap_or("simple");
    kinds.split(',').any(|one| one.trim().eq_ignore_ascii_case(kind))
}

/// The price and the price before a reduction.
fn prices(row: &Row, how: &Reading) -> Result<(Money, Option<Money>), Fault> {
    // A sale of certain days is not known to be on.
    let has_dates = row.any(&["date sale price starts", "date sale price ends"]).is_some();
    let sale = if has_dates { None } else { row.price("sale price", how)? };
    let regular = row.price("regular price", how)?;
    match (sale, regular) {
        (Some(sale), regular) => {
            let before = compared(&sale, regular);
            Ok((sale, before))
        }
        (None, Some(regular)) => Ok((regular, None)),
        (None, None) => Err(row.fault("regular price", "is required")),
    }
}

fn gtin(row: &Row) -> Option<&str> {
    row.any(&["gtin, upc, ean, or isbn", "gtin", "ean"])
}

/// The attributes of a row, each with its values.
fn attributes(row: &Row) -> Vec<(String, Vec<String>)> {
    let pair = |n: usize| {
        let name = row.get(&format!("attribute {n} name"))?;
        let values = row.get(&format!("attribute {n} value(s)"))?;
        Some((normal_line(name), text::parts(values)))
    };
    (1..=MAX_ATTRIBUTES).filter_map(pair).collect()
}

fn product(row: &Row, variations: &[Row], how: &Reading) -> Result<Record, Fault> {
    if is(row, "grouped") {
        return Err(row.fault("type", "is a group of other products, which are imported by themselves"));
    }
    let title = row.any(&["name"]).ok_or_else(|| row.fault("name", "is required"))?;
    let mut record = Record::at(row.line, title);
    record.old_addresses.extend(row.old_address(how));
    let id = row.any(&["id", "sku"]).ok_or_else(|| row.fault("id", "is required"))?;
    record.source = Some(format!("woocommerce/{id}"));
    let texts = ["short description", "description"]
        .map(|name| row.get(name).map(|text| text::plain_text(&text.replace("\\n", "\n"))));
    record.description = texts.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    record.vendor.clone_from(&how.vendor);
    let mut paths: Vec<Vec<String>> = row
        .get("categories")
        .map(|text| text::parts(&text::plain_text(text)))
        .unwrap_or_default()
        .iter()
        .map(|path| text::path(path))
        .collect();
    // The deepest; of several the first.
    paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
    let mut paths = paths.into_iter();
    record.set_path(paths.next().unwrap_or_default(), how.category.as_deref());
    for other in paths {
        record.note(format!("category left out: {}", other.join(" > ")));
    }
    record.set_tags(row.get("tags").map(text::parts).unwrap_or_default());
    let is_hidden = row
        .get("visibility in catalog")
        .is_some_and(|text| text.eq_ignore_ascii_case("hidden"));
    record.status = match row.get("published") {
        None | Some("1") if is_hidden => {
            record.note("hidden, so it is a draft");
            Status::Draft
        }
        None | Some("1") => Status::Published,
        Some("0" | "-1") => Status::Draft,
        Some(_) => return Err(row.fault("published", "must be 1, 0 or -1")),
    };
    record.url = row.any(&["external url"]).and_then(text::address);
    let pictures = row.get("images").map(text::addresses).unwrap_or_default();
    record.add_pictures(pictures.iter().map(String::as_str));

    let mut own = attributes(row);
    let kilograms = if row.get("weight (lbs)").is_some() {
        ("weight (lbs)", 453.592_37)
    } else {
        ("weight (kg)", 1000.0)
    };
    if is(row, "variable") || !variations.is_empty() {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in variations.iter().flat_map(attributes) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut variants = Vec::new();
        for variation in variations {
            let (price, before) = prices(variation, how)?;
            let chosen = attributes(variation);
            let mut options = BTreeMap::new();
            for name in &names {
                let value = chosen
                    .iter()
                    .find(|(other, _)| other == name)
                    .and_then(|(_, values)| values.first());
                let value = value
                    .ok_or_else(|| variation.fault("attribute 1 value(s)", format!("must have a value for {name}")))?;
                options.insert(name.clone(), value.clone());
            }
            variants.push(NewVariant {
                options,
                sku: variation.get("sku").map(normal_line),
                gtin: record.gtin_of(gtin(variation)),
                price: Some(price),
                compare_at_price: before,
                weight: variation.weight(kilograms.0, kilograms.1, how)?,
                picture: variation
                    .get("images")
                    .map(text::addresses)
                    .unwrap_or_default()
                    .first()
                    .and_then(|text| text::address(text)),
                ..NewVariant::default()
            });
        }
        if variants.is_empty() {
            return Err(row.fault("type", "is variable, but no row is a variation of it"));
        }
        own.retain(|(name, _)| !names.contains(name));
        record.set_variants(names, variants);
    } else {
        let (price, before) = prices(row, how)?;
        record.set_price(price, before);
        record.sku = row.get("sku").map(normal_line);
        record.gtin = record.gtin_of(gtin(row));
        record.weight = row.weight(kilograms.0, kilograms.1, how)?;
    }
    let values = own
        .into_iter()
        .map(|(name, values)| (name, Value::String(values.join(", "))));
    record.attributes = values.collect();
    Ok(record)
}
