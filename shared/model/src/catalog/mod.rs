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

use souk_core::Kind;
use souk_core::kind::Renaming;

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
    renaming: Renaming::LeadsOn,
    ..Kind::new("product", "prd")
};
