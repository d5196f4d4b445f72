//! Products and categories, as other functions see them.

pub mod category;
pub mod events;
pub mod filter;
pub mod lists;
pub mod product;
pub mod rank;
pub mod status;
pub mod variant;
pub mod viewer;

use souk_core::access::{MODERATOR, SUPPORT};
use souk_core::kind::Renaming;
use souk_core::{Kind, Permission};

/// Categories, by slug.
pub const CATEGORY: Kind = Kind {
    list_tag: Some("categories"),
    lists: &["categories"],
    renaming: Renaming::LeadsOn,
    cached_seconds: Some(60),
    ..Kind::new("category", "cat")
};
/// Products, by slug.
pub const PRODUCT: Kind = Kind {
    list_tag: Some("products"),
    lists: &["products", "ranked"],
    personal_fields: &["location"],
    renaming: Renaming::LeadsOn,
    quota: Some("products"),
    ..Kind::new("product", "prd")
};

/// To see products of others that are not public.
pub const PRODUCTS_READ: Permission = Permission::new(
    "products:read",
    "See drafts and archived products of others.",
    &[MODERATOR, SUPPORT],
);
/// To change products of others.
pub const PRODUCTS_WRITE: Permission = Permission::new(
    "products:write",
    "See, change and delete products of others, and list products for their vendors.",
    &[MODERATOR],
);
/// To change categories.
pub const CATEGORIES_WRITE: Permission = Permission::new("categories:write", "Add, change and delete categories.", &[]);
