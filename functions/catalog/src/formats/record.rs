//! A record: a product as a file has it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use souk_core::{Money, check};
use souk_model::catalog::product::{ItemCondition, Location};
use souk_model::catalog::status::Status;

use super::text;
use crate::product::{MAX_GALLERY, MAX_TAG, MAX_TAGS};
use crate::variant::{NewOption, NewVariant, is_gtin};

/// A product as a file has it, and a line of NDJSON, with the fields of the API. Only the title, the category and the price
/// are required.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
// The derived functions are of the type itself, and the traits below call them.
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Record {
    /// Where the record begins in its file, counted from 1.
    #[serde(skip)]
    pub line: u64,
    /// What was left out, and why.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// What identifies the record in the system that it comes from, such as `shopify/red-shirt`.
    #[serde(skip)]
    pub source: Option<String>,
    /// The URLs that the product has in the shop that it comes from; they lead on to the product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_addresses: Vec<String>,
    /// Stock keeping unit.
    #[serde(default, deserialize_with = "check::optional_line")]
    pub sku: Option<String>,
    /// Global Trade Item Number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtin: Option<String>,
    /// The slug of an existing product. A new product gets this slug if it is free.
    #[serde(default)]
    pub slug: Option<String>,
    /// Title.
    #[serde(deserialize_with = "check::one_line")]
    pub title: String,
    /// Description, plain text.
    #[serde(default)]
    pub description: String,
    /// The name of the category, or its slug.
    #[serde(
        default,
        deserialize_with = "check::one_line",
        skip_serializing_if = "String::is_empty"
    )]
    pub category: String,
    /// The names of the category and those above it, from the root of the tree; in place of `category`.
    #[serde(default, deserialize_with = "check::lines", skip_serializing_if = "Vec::is_empty")]
    pub category_path: Vec<String>,
    /// The name of the vendor, or its slug.
    #[serde(default, deserialize_with = "check::optional_line")]
    pub vendor: Option<String>,
    /// Tags.
    #[serde(default, deserialize_with = "check::lines")]
    pub tags: Vec<String>,
    /// The URL of an external page.
    #[serde(default)]
    pub url: Option<String>,
    /// Price.
    pub price: Money,
    /// The price before a reduction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_at_price: Option<Money>,
    /// In grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<NewOption>,
    /// Variants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<NewVariant>,
    /// Condition.
    #[serde(default)]
    pub condition: ItemCondition,
    /// The URL of the cover picture.
    #[serde(default)]
    pub cover: Option<String>,
    /// The URLs of more pictures.
    #[serde(default)]
    pub gallery: Vec<String>,
    /// Values of attributes, by [key](attribute_key) or by a name as shops write it.
    #[serde(default, deserialize_with = "check::values")]
    pub attributes: Map<String, Value>,
    /// Geographic location.
    #[serde(default)]
    pub location: Option<Location>,
    /// The status that the product gets.
    #[serde(default = "published")]
    pub status: Status,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        nest_prices(&mut fields);
        Record::deserialize(Value::Object(fields)).map_err(D::Error::custom)
    }
}

impl Record {
    /// Reads a line of NDJSON.
    pub(super) fn of_json(line: u64, text: &str) -> Result<Self, Fault> {
        /// The derived form, with errors that tell the field.
        struct Derived(Record);
        impl<'de> Deserialize<'de> for Derived {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Record::deserialize(deserializer).map(Self)
            }
        }
        let mut fields: Value = serde_json::from_str(text)
            .map_err(|error| Fault::of_line(line, format!("is not valid JSON, at column {}", error.column())))?;
        if let Value::Object(fields) = &mut fields {
            nest_prices(fields);
        }
        let Derived(record) = souk_kit::deserialized(&fields).map_err(|error| {
            let path = format!("/{}", error.field.replace(['.', '['], "/").replace(']', ""));
            let value = fields
                .pointer(&path)
                .filter(|value| !value.is_object() && !value.is_array());
            Fault {
                column: Some(error.field).filter(|field| !field.is_empty()),
                value: value.map(Value::to_string),
                ..Fault::of_line(line, error.detail)
            }
        })?;
        Ok(Record { line, ..record })
    }
}

/// Earlier versions wrote `price_minor`, `compare_at_price_minor` and `currency` in place of `price` and `compare_at_price`.
fn nest_prices(fields: &mut Map<String, Value>) {
    if fields.contains_key("price") || !fields.contains_key("price_minor") {
        return;
    }
    let currency = fields.remove("currency");
    for (old, name) in [("price_minor", "price"), ("compare_at_price_minor", "compare_at_price")] {
        if let Some(amount) = fields.remove(old).filter(|amount| !amount.is_null()) {
            let currency = currency
                .iter()
                .map(|currency| ("currency".to_owned(), currency.clone()));
            let money = std::iter::once(("amount".to_owned(), amount)).chain(currency);
            fields.insert(name.to_owned(), Value::Object(money.collect()));
        }
    }
}

fn published() -> Status {
    Status::Published
}

impl Record {
    /// The names of the category and those above it, from the root; one name if the record does not say where it is.
    #[must_use]
    pub fn path(&self) -> &[String] {
        if self.category_path.is_empty() {
            std::slice::from_ref(&self.category)
        } else {
            &self.category_path
        }
    }

    /// Notes that something was left out.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// The labels of attributes whose names are no keys, and the attributes by their keys.
    pub fn take_attributes(&mut self) -> (Map<String, Value>, BTreeMap<String, String>) {
        let (mut values, mut labels) = (Map::new(), BTreeMap::new());
        for (name, value) in std::mem::take(&mut self.attributes) {
            let key = attribute_key(&name);
            if key != name {
                labels.insert(key.clone(), name);
            }
            if let Some(other) = values.get(&key) {
                let other = other.to_string();
                self.notes
                    .push(format!("attribute left out: {value} beside {other}, both {key}"));
            } else {
                values.insert(key, value);
            }
        }
        (values, labels)
    }
}

/// The longest key of an attribute.
const MAX_KEY: usize = 40;

/// The key of an attribute: `Screen Size` becomes `screen_size`. Letters of other scripts than Latin have no place in a key, so such
/// a name gets one from its sound in Latin letters, or from its code points.
#[must_use]
pub fn attribute_key(name: &str) -> String {
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() <= 40 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_key) {
        return name.to_owned();
    }
    let mut key = String::new();
    for c in check::slugify(name, "attribute").chars() {
        match c {
            '-' => key.push('_'),
            c if c.is_ascii() => key.push(c),
            c => key.push_str(&format!("u{:x}", u32::from(c))),
        }
    }
    if !key.starts_with(|c: char| c.is_ascii_lowercase()) {
        key.insert_str(0, "a_");
    }
    if key.len() > MAX_KEY {
        // What is cut off still tells keys apart (FNV-1a).
        let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        key.truncate(MAX_KEY - 9);
        key.push_str(&format!("_{hash:08x}"));
    }
    key.trim_end_matches('_').to_owned()
}

/// Why a row is not a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: u64,
    /// The column.
    pub column: Option<String>,
    /// What the column has.
    pub value: Option<String>,
    /// What is wrong.
    pub rule: String,
}

impl Fault {
    /// A fault of a whole line.
    #[must_use]
    pub fn of_line(line: u64, rule: impl Into<String>) -> Self {
        Self {
            line,
            column: None,
            value: None,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if let Some(column) = &self.column {
            write!(f, "{column}: ")?;
        }
        match &self.value {
            // A long one is cut.
            Some(value) => write!(f, "{:?} {}", value.chars().take(60).collect::<String>(), self.rule),
            None => f.write_str(&self.rule),
        }
    }
}

/// What all formats do alike.
impl Record {
    /// A record that begins in this line.
    pub(super) fn at(line: u64, title: &str) -> Self {
        Self {
            line,
            title: check::normal_line(title),
            status: Status::Published,
            ..Self::default()
        }
    }

    pub(super) fn set_price(&mut self, price: Money, before: Option<Money>) {
        self.compare_at_price = compared(&price, before);
        self.price = price;
    }

    /// Sets the category path, from the root; `default` is the category if there is none.
    pub(super) fn set_path(&mut self, path: Vec<String>, default: Option<&str>) {
        if path.is_empty() {
            self.category = default.unwrap_or("").to_owned();
        }
        self.category_path = path;
    }

    /// Sets the tags for which there is room, and notes the others.
    pub(super) fn set_tags(&mut self, tags: Vec<String>) {
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for tag in tags {
            let is_new = !kept.contains(&tag);
            if tag.chars().count() > MAX_TAG || (is_new && kept.len() == MAX_TAGS) {
                dropped.push(tag);
            } else if is_new {
                kept.push(tag);
            }
        }
        self.tags = kept;
        if !dropped.is_empty() {
            self.note(format!("tags left out: {}", dropped.join(", ")));
        }
    }

    /// Adds pictures: the first is the cover. What is no address or has no room is noted.
    pub(super) fn add_pictures<'a>(&mut self, addresses: impl IntoIterator<Item = &'a str>) {
        for text in addresses {
            let Some(address) = text::address(text) else {
                self.note(format!("picture left out: {text:?} is not an address"));
                continue;
            };
            if self.cover.as_ref() == Some(&address) || self.gallery.contains(&address) {
                continue;
            }
            if self.cover.is_none() {
                self.cover = Some(address);
            } else if self.gallery.len() < MAX_GALLERY {
                self.gallery.push(address);
            } else {
                self.note(format!("picture left out: {address} is more than {MAX_GALLERY}"));
            }
        }
    }

    /// The GTIN, if it is one: shops keep other codes in that column too.
    pub(super) fn gtin_of(&mut self, code: Option<&str>) -> Option<String> {
        let code: String = code?
            .trim_start_matches('\'')
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .collect();
        if is_gtin(&code, &()).is_ok() {
            return Some(code);
        }
        self.note(format!("GTIN left out: {code:?} is not one"));
        None
    }

    /// Makes a product of one variant, or several, from what was sold under the same name.
    pub(super) fn set_variants(&mut self, options: Vec<String>, variants: Vec<NewVariant>) {
        let prices = variants.iter().filter_map(|variant| variant.price.clone());
        if let Some(lowest) = prices.min_by_key(|price| price.amount) {
            self.price = lowest;
        }
        match <[NewVariant; 1]>::try_from(variants) {
            Ok([only]) if options.is_empty() => {
                self.sku = only.sku;
                self.gtin = only.gtin;
                self.weight = only.weight;
                self.compare_at_price = only.compare_at_price;
                self.add_pictures(only.picture.as_deref());
            }
            Ok([only]) => self.keep_variants(options, vec![only]),
            Err(variants) => self.keep_variants(options, variants),
        }
    }

    fn keep_variants(&mut self, options: Vec<String>, variants: Vec<NewVariant>) {
        let option = |name| NewOption {
            name,
            values: Vec::new(),
        };
        self.options = options.into_iter().map(option).collect();
        self.variants = variants;
    }
}

/// The price before a reduction, if it is one.
pub(super) fn compared(price: &Money, before: Option<Money>) -> Option<Money> {
    before.filter(|before| before.currency == price.currency && before.amount > price.amount)
}
