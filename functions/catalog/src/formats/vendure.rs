//! The product import of Vendure. A row with a name begins a product; the rows below it without one are its other variants.

use std::collections::BTreeMap;

use serde_json::Value;
use souk_core::check::{normal_line, slugify};

use super::record::{Fault, Record};
use super::table::{Row, Table, in_groups};
use super::{Reading, Records, text};
use crate::variant::NewVariant;

pub(super) fn records(table: Table, how: Reading) -> Records {
    let groups = in_groups(table, |_, row| row.get("name").is_none());
    Box::new(groups.map(move |rows| rows.and_then(|rows| product(&rows, &how))))
}

/// Parts separated by `|`.
fn bars(text: &str) -> Vec<String> {
    let parts = text.split('|').map(normal_line);
    parts.filter(|part| !part.is_empty()).collect()
}

fn product(rows: &[Row], how: &Reading) -> Result<Record, Fault> {
    let Some(first) = rows.first() else {
        return Err(Fault::of_line(0, "has no row"));
    };
    let title = first.get("name").ok_or_else(|| first.fault("name", "is required"))?;
    let mut record = Record::at(first.line, title);
    record.old_addresses.extend(first.old_address(how));
    let slug = slugify(first.get("slug").unwrap_or(title), "product");
    record.source = Some(format!("vendure/{slug}"));
    record.slug = Some(slug);
    record.description = text::plain_text(first.get("description").unwrap_or(""));
    record.vendor.clone_from(&how.vendor);
    let pictures = bars(first.get("assets").unwrap_or(""));
    record.add_pictures(pictures.iter().map(String::as_str));
    let mut path = Vec::new();
    for facet in bars(first.get("facets").unwrap_or("")) {
        match facet.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("category") => path.push(normal_line(value)),
            Some((name, value)) => {
                record
                    .attributes
                    .insert(normal_line(name), Value::String(normal_line(value)));
            }
            None => record.note(format!("facet left out: {facet}")),
        }
    }
    record.set_path(path, how.category.as_deref());
    let names = bars(first.get("optiongroups").unwrap_or(""));
    let mut variants = Vec::new();
    for row in rows {
        let values = bars(row.get("optionvalues").unwrap_or(""));
        if values.len() != names.len() {
            return Err(row.fault(
                "optionvalues",
                format!("must have a value for each of {}", names.join(", ")),
            ));
        }
        variants.push(NewVariant {
            options: names.iter().cloned().zip(values).collect::<BTreeMap<_, _>>(),
            sku: row.get("sku").map(normal_line),
            price: Some(
                row.price("price", how)?
                    .ok_or_else(|| row.fault("price", "is required"))?,
            ),
            picture: bars(row.get("variantassets").unwrap_or(""))
                .first()
                .and_then(|text| text::address(text)),
            ..NewVariant::default()
        });
    }
    record.set_variants(names, variants);
    Ok(record)
}
