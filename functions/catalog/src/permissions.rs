//! What staff may do to the catalog, beside what other functions ask too (`souk_model::catalog`).

use souk_core::Permission;

/// To hand products over.
pub(crate) const PRODUCTS_HAND_OVER: Permission = Permission::new(
    "products:hand-over",
    "Make another account the author of a product.",
    &[],
);
/// To change old addresses.
pub(crate) const ADDRESSES_WRITE: Permission = Permission::new("addresses:write", "Set and remove old addresses.", &[]);
