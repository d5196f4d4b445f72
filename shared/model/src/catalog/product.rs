//! The product: its stored and public form.

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use souk_core::search::Near;
use souk_core::{Document, Entry, Include, Money, StoreError, Timestamp};

use super::CATEGORY;
use super::category::AttributeValue;
use super::events::ProductEvent;
use super::filter::distance;
use super::lists::{List, Sort};
use super::status::Status;
use super::variant::{PastPrice, ProductOption, Variant};
use super::viewer::{VIEWER_FIELDS, ViewerState, viewer_state};
use crate::identity::ACCOUNT;
use crate::reference::{AccountReference, CategoryReference, VendorReference};
use crate::vendors::VENDOR;

/// The counters of every product. Clients cannot set them.
pub const COUNTERS: [&str; 3] = ["upvote_count", "comment_count", "view_count"];
/// The fields that `fields=` may name.
pub const FIELDS: &[&str] = &[
    "id",
    "slug",
    "title",
    "description",
    "category",
    "author",
    "vendor",
    "sku",
    "gtin",
    "price",
    "highest_price",
    "compare_at_price",
    "lowest_prior_price",
    "past_prices",
    "weight",
    "options",
    "variants",
    "condition",
    "cover",
    "gallery",
    "tags",
    "attributes",
    "location",
    "url",
    "status",
    "upvote_count",
    "comment_count",
    "view_count",
    "created_at",
    "updated_at",
    "published_at",
    "distance",
    "version",
    "viewer",
];
/// The names that `include=` may have.
pub const INCLUDES: &[&str] = &["category", "author", "vendor", "viewer"];
/// What these names stand for.
pub const REFERENCES: [(&str, Include); 4] = [
    ("category", Include::Reference(CATEGORY)),
    ("author", Include::Reference(ACCOUNT)),
    ("vendor", Include::Reference(VENDOR)),
    ("viewer", Include::ForPrincipal(VIEWER_FIELDS, viewer_state)),
];

/// A product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Product {
    /// The id, `prd_…`.
    #[schema(pattern = "^prd_[0-9a-f]{32}$")]
    pub id: String,
    /// Life-cycle status.
    pub status: Status,
    /// Unique name for URLs, derived from the first title; never changes.
    pub slug: String,
    /// Title.
    pub title: String,
    /// Description, plain text.
    pub description: String,
    /// The id of the category, or the category itself with `include=category`.
    #[schema(value_type = CategoryReference)]
    pub category: String,
    /// The id of the account that the product belongs to, or its profile with `include=author`: the account that added the
    /// product, unless it was handed over.
    #[schema(value_type = AccountReference)]
    pub author: String,
    /// The id of the vendor that sells the product, if any, or the vendor itself with `include=vendor`.
    #[schema(required = true, value_type = Option<VendorReference>)]
    pub vendor: Option<String>,
    /// Stock keeping unit (SKU): the vendor's identifier of the product. Variants have their own.
    #[schema(required = true)]
    pub sku: Option<String>,
    /// Global Trade Item Number (GTIN): 8, 12, 13 or 14 digits, such as of an EAN or UPC. Variants have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gtin: Option<String>,
    /// Price; the lowest of the variants, if there are any.
    pub price: Money,
    /// The highest price of the variants, if they have several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub highest_price: Option<Money>,
    /// The price before a reduction. Variants have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub compare_at_price: Option<Money>,
    /// With `compare_at_price`: the lowest price of the 30 days before the current one began; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lowest_prior_price: Option<Money>,
    /// The prices before the current one that may still be the lowest of 30 days, oldest first. Variants have their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_prices: Vec<PastPrice>,
    /// Weight in grams. Variants have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub weight: Option<u32>,
    /// The options that variants differ in; absent without variants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<ProductOption>,
    /// The variants, in the order in which they are shown; absent without any. Lists leave them out unless `fields` names
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Physical condition of the item.
    pub condition: ItemCondition,
    /// The URL of the cover picture.
    #[schema(required = true)]
    pub cover: Option<String>,
    /// The URLs of more pictures.
    pub gallery: Vec<String>,
    /// Tags, in lower case.
    pub tags: Vec<String>,
    /// Values of the attributes that the category defines.
    #[schema(value_type = BTreeMap<String, AttributeValue>)]
    pub attributes: Map<String, Value>,
    /// Geographic location of the item.
    #[schema(required = true)]
    pub location: Option<Location>,
    /// The URL of an external page about the product.
    #[schema(required = true)]
    pub url: Option<String>,
    /// When the product was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a field last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When the product was first published; `sort=newest` uses this time.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub published_at: Option<Timestamp>,
    /// Number of upvotes.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true)]
    pub upvote_count: i64,
    /// Number of comments.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true)]
    pub comment_count: i64,
    /// Number of viewers.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true)]
    pub view_count: i64,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
    /// With `include=viewer`: what the product is to the account that asks; `null` for anonymous requests.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    pub viewer: Option<ViewerState>,
    /// In lists with `near`: the distance from there in metres, along the ground.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    pub distance: Option<u64>,
}

/// The field of a product that its distance is computed from.
#[derive(Deserialize)]
struct Placed {
    location: Option<Location>,
}

/// Adds its distance from `near` to a product.
pub fn add_distance(document: &mut Document, near: &Near) -> Result<(), StoreError> {
    let Placed { location } = document.parse()?;
    if let (Some(place), Some(open)) = (location, document.body.strip_suffix('}')) {
        document.body = format!("{open},\"distance\":{}}}", distance(near, &place).round() as u64);
    }
    Ok(())
}

/// Makes it a product as lists show it: without its variants, which may be many.
pub fn leave_out_variants(document: &mut Document) -> Result<(), StoreError> {
    // Within a text the quotes would be escaped.
    if document.body.contains(r#""variants":[{"#) {
        let mut body: Map<String, Value> = document.parse()?;
        body.remove("variants");
        document.body = serde_json::to_string(&body).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    }
    Ok(())
}

/// Physical condition of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemCondition {
    /// New, never used.
    #[default]
    New,
    /// Used, as good as new.
    LikeNew,
    /// Used, with minor signs of wear.
    Good,
    /// Used, with clear signs of wear.
    Fair,
    /// For parts or repair.
    Poor,
}

impl ItemCondition {
    /// The name in URLs and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ItemCondition::New => "new",
            ItemCondition::LikeNew => "like_new",
            ItemCondition::Good => "good",
            ItemCondition::Fair => "fair",
            ItemCondition::Poor => "poor",
        }
    }

    /// The name as people read it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            ItemCondition::New => "New",
            ItemCondition::LikeNew => "Like new",
            ItemCondition::Good => "Good",
            ItemCondition::Fair => "Fair",
            ItemCondition::Poor => "Poor",
        }
    }
}

/// A geographic location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Latitude, in degrees north.
    #[garde(custom(souk_core::check::range(-90.0, 90.0)))]
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: f64,
    /// Longitude, in degrees east.
    #[garde(custom(souk_core::check::range(-180.0, 180.0)))]
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: f64,
    /// Display name of the place.
    #[garde(inner(custom(souk_core::check::line(1, 120))))]
    #[serde(default, deserialize_with = "souk_core::check::optional_line")]
    #[schema(min_length = 1, max_length = 120)]
    pub label: Option<String>,
}

impl Product {
    /// The data of an event about this product at `version`.
    #[must_use]
    pub fn event(&self, version: u64) -> ProductEvent {
        ProductEvent {
            product: self.id.clone(),
            version,
            status: self.status.name().to_owned(),
            slug: self.slug.clone(),
            title: self.title.clone(),
            category: self.category.clone(),
            author: self.author.clone(),
            vendor: self.vendor.clone(),
            changed: Vec::new(),
        }
    }

    /// The index entries: one index for each list of the product, with two entries in each, by time and by price.
    ///
    /// At most 2 × (4 + 10 tags) entries, so that an update that changes all of them fits into one commit.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut lists = vec![
            List::All.index(self.status),
            List::Category(&self.category).index(self.status),
            List::Author(&self.author).index(self.status),
        ];
        lists.extend(
            self.vendor
                .as_deref()
                .map(|vendor| List::Vendor(vendor).index(self.status)),
        );
        if self.status.is_public() {
            lists.extend(self.tags.iter().map(|tag| List::Tag(tag).index(self.status)));
        }
        let time = self.published_at.unwrap_or(self.created_at).as_millisecond();
        let by_time = format!("{}{time:013}/{}", Sort::Newest.prefix(), self.id);
        let by_price = format!("{}{}/{}", Sort::Cheapest.prefix(), self.price.sort_key(), self.id);
        let places = |index: String| {
            [
                Entry::new(index.clone(), by_time.clone()),
                Entry::new(index, by_price.clone()),
            ]
        };
        lists.into_iter().flat_map(places).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored documents stay readable: a body written by an earlier version deserializes and serializes unchanged.
    #[test]
    fn the_stored_format_is_pinned() {
        let stored = r#"{"id":"prd_1","status":"published","slug":"lamp","title":"Lamp","description":"","category":"cat_1","author":"acc_1","vendor":null,"sku":null,"price":{"amount":1999,"currency":"EUR"},"condition":"like_new","cover":null,"gallery":[],"tags":["brass"],"attributes":{"height":12},"location":{"latitude":1.5,"longitude":-2.5,"label":null},"url":null,"created_at":"2026-01-02T03:04:05.000Z","updated_at":"2026-01-02T03:04:05.000Z","published_at":"2026-01-02T03:04:05.678Z"}"#;
        let product: Product = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&product).unwrap(), stored);
        let entries: Vec<_> = product.entries().into_iter().map(|e| (e.index, e.sort)).collect();
        assert_eq!(entries.len(), 8);
        assert_eq!(
            entries[0],
            ("products/published".into(), "t/1767323045678/prd_1".into())
        );
        assert_eq!(entries[1].1, "p/00000000000000199900/prd_1");
        assert_eq!(entries[6].0, "products/published/tag/brass");
    }
}
