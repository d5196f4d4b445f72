//! Events of products and categories.

use serde::{Deserialize, Serialize};
use souk_core::EventData;
use utoipa::ToSchema;

/// Data of the events about a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductEvent {
    /// The id of the product.
    pub product: String,
    /// The version of the product after the change; the last version if it was deleted.
    pub version: u64,
    /// The status after the change.
    pub status: String,
    /// The slug.
    pub slug: String,
    /// The title.
    pub title: String,
    /// The id of its category.
    pub category: String,
    /// The account that the product belongs to after the change.
    pub author: String,
    /// The vendor that sells it.
    #[schema(required = true)]
    pub vendor: Option<String>,
    /// The names of the fields that changed; only in `product.updated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub changed: Vec<String>,
}

/// `product.created`
pub const PRODUCT_CREATED: &str = "product.created";
/// `product.updated`
pub const PRODUCT_UPDATED: &str = "product.updated";
/// `product.published`
pub const PRODUCT_PUBLISHED: &str = "product.published";
/// `product.archived`
pub const PRODUCT_ARCHIVED: &str = "product.archived";
/// `product.sold`
pub const PRODUCT_SOLD: &str = "product.sold";
/// `product.drafted`
pub const PRODUCT_DRAFTED: &str = "product.drafted";
/// `product.deleted`
pub const PRODUCT_DELETED: &str = "product.deleted";

impl EventData for ProductEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (PRODUCT_CREATED, "A product was added."),
        (PRODUCT_UPDATED, "Fields of a product were changed."),
        (PRODUCT_PUBLISHED, "A product was published."),
        (PRODUCT_ARCHIVED, "A product was archived."),
        (PRODUCT_SOLD, "A product was sold."),
        (PRODUCT_DRAFTED, "A product was changed back to a draft."),
        (PRODUCT_DELETED, "A product was deleted."),
    ];
}

/// Data of the events about a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CategoryEvent {
    /// The id of the category.
    pub category: String,
    /// The version of the category after the change; the last version if it was deleted.
    pub version: u64,
    /// The slug.
    pub slug: String,
    /// The name.
    pub name: String,
    /// The names of the fields that changed; only in `category.updated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub changed: Vec<String>,
}

/// `category.created`
pub const CATEGORY_CREATED: &str = "category.created";
/// `category.updated`
pub const CATEGORY_UPDATED: &str = "category.updated";
/// `category.deleted`
pub const CATEGORY_DELETED: &str = "category.deleted";

impl EventData for CategoryEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (CATEGORY_CREATED, "A category was added."),
        (CATEGORY_UPDATED, "Fields of a category were changed."),
        (CATEGORY_DELETED, "A category was deleted."),
    ];
}
