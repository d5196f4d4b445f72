//! Events of products and categories.

use serde::{Deserialize, Serialize};
use souk_core::EventData;
use utoipa::ToSchema;

/// A product was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductEvent {
    /// Its id.
    pub product: String,
    /// The version of the document from then on; the last version for a product that was deleted.
    pub version: u64,
    /// The status from then on.
    pub status: String,
    /// Its slug.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// The id of its category.
    pub category: String,
    /// The account that added it.
    pub author: String,
    /// The vendor that sells it.
    pub vendor: Option<String>,
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
        (PRODUCT_PUBLISHED, "A product can be seen by everyone."),
        (PRODUCT_ARCHIVED, "A product was archived."),
        (PRODUCT_SOLD, "A product was sold."),
        (PRODUCT_DRAFTED, "A product was taken back to draft."),
        (PRODUCT_DELETED, "A product was removed."),
    ];
}

/// A category was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CategoryEvent {
    /// Its id.
    pub category: String,
    /// Its version from then on; the last one for a category that was removed.
    pub version: u64,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
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
        (CATEGORY_DELETED, "A category was removed."),
    ];
}
