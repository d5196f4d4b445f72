//! The catalog: categories with typed attributes, products, and the addresses that they had in other shops
//! (VT-03, VT-04, VT-06, VT-13, VN-27).
//!
//! A product has entries in one index for each list filter (`souk_model::catalog::lists`), so a list is one query
//! however many products exist.

mod address;
mod category;
mod error;
#[cfg(feature = "formats")]
pub mod formats;
mod http;
pub mod operations;
mod permissions;
mod product;
mod variant;

use souk_core::EventType;
use souk_kit::Partitions::{Documents, Index};
use souk_kit::{Function, StoreUse, VersionChange};
use souk_model::catalog::events::{CategoryEvent, ProductEvent};
use souk_model::catalog::{CATEGORY, PRODUCT};

pub use address::{OldAddress, normal_address};
pub use category::{MAX_ATTRIBUTES, NewCategory};
pub use error::CatalogError;
pub use product::NewProduct;
pub use variant::{NewOption, NewVariant};

/// From version 2 on, what a product refers to is an id in one field, and the included document in another.
const PRODUCT_REFERENCES: VersionChange = VersionChange {
    kind: PRODUCT,
    references: &["category", "vendor", "author"],
    paths: &["/v1/products"],
};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "catalog",
        summary: "Categories and products.",
        problems: error::problems::ALL,
        routes: http::routes(),
        fallback: Some(http::fallback()),
        kinds: &[PRODUCT, CATEGORY],
        events: EventType::of::<ProductEvent>()
            .chain(EventType::of::<CategoryEvent>())
            .collect(),
        warm: &[
            "/v1/products",
            "/v1/products?include=category,vendor",
            "/v1/products?sort=popular",
            "/v1/products?sort=trending",
            "/v1/categories",
        ],
        searches: true,
        store: StoreUse {
            reads: &[
                Documents("product/*"),
                Documents("product-named/*"),
                Documents("product-former/*"),
                Documents("category/*"),
                Documents("category-named/*"),
                Documents("category-former/*"),
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("vendor-staff/*"),
                Documents("account-named/*"),
                Documents("rank/*"),
                Documents("sku/*"),
                Documents("old-address/*"),
                Documents("upvotes/*"),
                Documents("saves/*"),
                Documents("follows/*"),
                Index("products/*"),
                Index("ranked/*"),
                Index("categories"),
                Index("categories/*"),
            ],
            writes: &[
                Documents("product/*"),
                Documents("product-named/*"),
                Documents("product-former/*"),
                Documents("category/*"),
                Documents("category-named/*"),
                Documents("category-former/*"),
                Documents("sku/*"),
                Documents("old-address/*"),
                Index("products/*"),
                Index("categories"),
                Index("categories/*"),
            ],
        },
        audited: &["old-address"],
        permissions: &[
            &permissions::PRODUCTS_HAND_OVER,
            &permissions::ADDRESSES_WRITE,
            &souk_model::catalog::PRODUCTS_READ,
            &souk_model::catalog::PRODUCTS_WRITE,
            &souk_model::catalog::CATEGORIES_WRITE,
        ],
        changes: &[PRODUCT_REFERENCES],
        histories: &["product"],
        ..Function::default()
    }
}
