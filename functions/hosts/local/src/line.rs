//! A line of NDJSON: a product, as `import` reads it and `export` writes it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use souk_catalog::{NewOption, NewVariant};
use souk_core::check;
use souk_model::catalog::product::{ItemCondition, Location};
use souk_model::catalog::status::Status;

/// One line. Only the title, the category, the price and the currency are required.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[serde(default, deserialize_with = "check::optional_line")]
    pub(crate) sku: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gtin: Option<String>,
    /// The slug of an existing product. A new product gets this slug if it is free.
    #[serde(default)]
    pub(crate) slug: Option<String>,
    #[serde(deserialize_with = "check::one_line")]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) description: String,
    /// The name of the category, or its slug.
    #[serde(deserialize_with = "check::one_line")]
    pub(crate) category: String,
    /// The name of the vendor, or its slug.
    #[serde(default, deserialize_with = "check::optional_line")]
    pub(crate) vendor: Option<String>,
    #[serde(default, deserialize_with = "check::lines")]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    pub(crate) price_minor: i64,
    pub(crate) currency: String,
    /// The price before a reduction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compare_at_price_minor: Option<i64>,
    /// In grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<NewOption>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) variants: Vec<NewVariant>,
    #[serde(default)]
    pub(crate) condition: ItemCondition,
    #[serde(default)]
    pub(crate) cover: Option<String>,
    #[serde(default)]
    pub(crate) gallery: Vec<String>,
    #[serde(default, deserialize_with = "check::values")]
    pub(crate) attributes: Map<String, Value>,
    #[serde(default)]
    pub(crate) location: Option<Location>,
    #[serde(default = "published")]
    pub(crate) status: Status,
}

fn published() -> Status {
    Status::Published
}

/// Parses a line. The error for an empty line is the empty string.
pub(crate) fn parse(bytes: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("is not UTF-8: {e}"))?;
    if text.trim().is_empty() {
        return Err(String::new());
    }
    // serde reports the position "line 1", because it parses each line on its own.
    serde_json::from_str(text).map_err(|e| e.to_string().replace(" at line 1 column ", " at column "))
}
