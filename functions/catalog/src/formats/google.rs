//! Google Merchant feeds, as tables or XML. Each item is a row; those of one `item_group_id` are the variants of one product.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use serde_json::Value;
use souk_core::check::normal_line;
use souk_model::catalog::product::ItemCondition;

use super::record::{Fault, Record, compared};
use super::table::{Row, Table};
use super::{Reading, Records, text};
use crate::variant::NewVariant;

/// What items of a group differ in, in the order of importance.
pub(super) const OPTIONS: [&str; 5] = ["color", "size", "material", "pattern", "gender"];
/// What of an item becomes an attribute.
pub(super) const ATTRIBUTES: [&str; 8] = [
    "brand",
    "mpn",
    "color",
    "size",
    "material",
    "pattern",
    "gender",
    "age_group",
];
/// The longest text of an element, in bytes.
const MAX_TEXT: usize = 1024 * 1024;

pub(super) fn records(table: Table, how: Reading) -> Records {
    grouped(table, &how)
}

/// The items of RSS, or entries of Atom.
pub(super) fn xml(file: impl BufRead + 'static, how: Reading) -> Records {
    let items = Items {
        reader: Reader::from_reader(file),
        line: 0,
        is_over: false,
    };
    grouped(items, &how)
}

struct Items<F> {
    reader: Reader<F>,
    line: u64,
    is_over: bool,
}

impl<F: BufRead> Iterator for Items<F> {
    type Item = Result<Row, Fault>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let mut buffer = Vec::new();
        let (mut cells, mut in_item) = (Vec::new(), false);
        let mut field: Option<(String, String)> = None;
        loop {
            buffer.clear();
            let event = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(Fault::of_line(
                        self.line,
                        format!("is not XML from here on: {error}"),
                    )));
                }
            };
            match event {
                Event::Eof => {
                    self.is_over = true;
                    return in_item.then(|| Err(Fault::of_line(self.line, "ends within an item")));
                }
                Event::Start(start) => {
                    let name = String::from_utf8_lossy(start.local_name().as_ref()).to_lowercase();
                    if !in_item && matches!(&*name, "item" | "entry") {
                        (in_item, self.line) = (true, self.line + 1);
                    } else if in_item && field.is_none() {
                        field = Some((name, String::new()));
                    }
                }
                Event::Text(part) => {
                    if let (Some((_, text)), Ok(part)) = (&mut field, part.decode()) {
                        text.push_str(&part);
                    }
                }
                Event::CData(part) => {
                    if let (Some((_, text)), Ok(part)) = (&mut field, part.decode()) {
                        text.push_str(&part);
                    }
                }
                Event::GeneralRef(name) => {
                    if let Some((_, value)) = &mut field {
                        let entity = name.decode().unwrap_or_default();
                        let known = resolve_xml_entity(&entity).map(str::to_owned);
                        let number = name.resolve_char_ref().ok().flatten().map(String::from);
                        value.push_str(&known.or(number).or_else(|| text::entity(&entity)).unwrap_or_default());
                    }
                }
                Event::End(end) => {
                    let name = String::from_utf8_lossy(end.local_name().as_ref()).to_lowercase();
                    if field.as_ref().is_some_and(|(open, _)| *open == name) {
                        cells.extend(field.take());
                    } else if in_item && matches!(&*name, "item" | "entry") {
                        return Some(Ok(Row::of(self.line, merged(cells))));
                    }
                }
                _ => {}
            }
            if field.as_ref().is_some_and(|(_, text)| text.len() > MAX_TEXT) {
                self.is_over = true;
                return Some(Err(Fault::of_line(self.line, "has a text of more than 1 MB")));
            }
        }
    }
}

/// Elements that occur several times as one, with commas.
fn merged(cells: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::with_capacity(cells.len());
    for (name, value) in cells {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) if name.contains("image") => {
                known.push('\n');
                known.push_str(&value);
            }
            Some(_) => {}
            None => all.push((name, value)),
        }
    }
    all
}

/// All rows are read first, because the items of a group may be anywhere.
fn grouped(rows: impl Iterator<Item = Result<Row, Fault>>, how: &Reading) -> Records {
    let mut groups: Vec<Result<Vec<Row>, Fault>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        match row {
            Ok(row) if row.has_nothing() => {}
            Ok(row) => {
                let group = row.any(&["item_group_id", "item group id"]).map(str::to_owned);
                let known = group.as_ref().and_then(|group| places.get(group));
                if let Some(Ok(rows)) = known.and_then(|place| groups.get_mut(*place)) {
                    rows.push(row);
                    continue;
                }
                if let Some(group) = group {
                    places.insert(group, groups.len());
                }
                groups.push(Ok(vec![row]));
            }
            Err(fault) => groups.push(Err(fault)),
        }
    }
    let records: Vec<_> = groups
        .into_iter()
        .map(|rows| rows.and_then(|rows| product(&rows, how)))
        .collect();
    Box::new(records.into_iter())
}

fn product(rows: &[Row], how: &Reading) -> Result<Record, Fault> {
    let Some(first) = rows.first() else {
        return Err(Fault::of_line(0, "has no row"));
    };
    let title = first.get("title").ok_or_else(|| first.fault("title", "is required"))?;
    let mut record = Record::at(first.line, title);
    for row in rows {
        let address = row
            .old_address(how)
            .filter(|address| !record.old_addresses.contains(address));
        record.old_addresses.extend(address);
    }
    let group = first.any(&["item_group_id", "item group id"]);
    let id = group
        .or_else(|| first.get("id"))
        .ok_or_else(|| first.fault("id", "is required"))?;
    record.source = Some(format!("google/{id}"));
    record.description = text::plain_text(first.get("description").unwrap_or(""));
    record.vendor.clone_from(&how.vendor);
    let path = first.any(&[
        "product_type",
        "product type",
        "google_product_category",
        "google product category",
    ]);
    // A category may be given as a number of Google's taxonomy, which says nothing.
    let path = path.filter(|path| !path.bytes().all(|b| b.is_ascii_digit()));
    record.set_path(text::path(path.unwrap_or("")), how.category.as_deref());
    record.url = first.get("link").and_then(text::address);
    record.condition = match first.get("condition").unwrap_or("new").to_lowercase().as_str() {
        "new" => ItemCondition::New,
        "refurbished" => ItemCondition::LikeNew,
        "used" => ItemCondition::Good,
        _ => return Err(first.fault("condition", "must be new, refurbished or used")),
    };
    for row in rows {
        let more = row
            .any(&["additional_image_link", "additional image link"])
            .map(text::addresses)
            .unwrap_or_default();
        record.add_pictures(
            row.any(&["image_link", "image link"])
                .into_iter()
                .chain(more.iter().map(String::as_str)),
        );
    }
    let is_one = group.is_none() && rows.len() == 1;
    let differ = |name: &&str| {
        let value = first.get(name);
        value.is_some()
            && rows.iter().all(|row| row.get(name).is_some())
            && rows.iter().any(|row| row.get(name) != value)
    };
    let mut names: Vec<&str> = OPTIONS.into_iter().filter(differ).take(3).collect();
    if names.is_empty() && !is_one {
        // What tells them apart is at least their id.
        names.push(if rows.len() == 1 {
            OPTIONS
                .into_iter()
                .find(|name| first.get(name).is_some())
                .unwrap_or("id")
        } else {
            "id"
        });
    }
    let mut variants = Vec::new();
    for row in rows {
        let regular = row
            .price("price", how)?
            .ok_or_else(|| row.fault("price", "is required"))?;
        // A sale of certain days is not known to be on.
        let has_dates = row
            .any(&["sale_price_effective_date", "sale price effective date"])
            .is_some();
        let column = if row.get("sale price").is_some() {
            "sale price"
        } else {
            "sale_price"
        };
        let sale = if has_dates { None } else { row.price(column, how)? };
        let (price, before) = match sale {
            Some(sale) => (sale, Some(regular)),
            None => (regular, None),
        };
        let value = |name: &&str| Some(((*name).to_owned(), normal_line(row.get(name)?)));
        variants.push(NewVariant {
            options: names.iter().filter_map(value).collect::<BTreeMap<_, _>>(),
            // A feed of this market has the SKU beside the id.
            sku: row.any(&["sku", "id"]).map(normal_line),
            gtin: record.gtin_of(row.get("gtin")),
            compare_at_price: compared(&price, before),
            price: Some(price),
            picture: if is_one {
                None
            } else {
                row.any(&["image_link", "image link"]).and_then(text::address)
            },
            ..NewVariant::default()
        });
    }
    let shared = ATTRIBUTES.into_iter().filter(|name| !names.contains(name));
    let values = shared.filter_map(|name| Some((name.to_owned(), Value::String(normal_line(first.get(name)?)))));
    record.attributes = values.collect();
    record.set_variants(names.into_iter().map(str::to_owned).collect(), variants);
    Ok(record)
}
