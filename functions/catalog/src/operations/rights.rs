//! Who may see and change products that are not public, or somebody else's.

use souk_core::Permission;
use souk_kit::{Context, Failure};
use souk_model::catalog::PRODUCTS_WRITE;
use souk_model::catalog::product::Product;
use souk_model::vendors::{VENDOR, VendorView, may_sell, seller_keys};

/// Whether the principal may do this to a product of this author and vendor: its author, the owner and the staff of its
/// vendor, and staff of the market with the permission may. At most one batched read.
pub(super) async fn may(
    cx: &Context,
    permission: &Permission,
    author: &str,
    vendor: Option<&str>,
) -> Result<bool, Failure> {
    match vendor {
        _ if cx.may_for(author, permission) => Ok(true),
        Some(vendor) => sells_for(cx, vendor).await,
        None => Ok(false),
    }
}

/// Whether the principal may sell for the vendor with this id; one batched read, and none if nobody is signed in.
pub(super) async fn sells_for(cx: &Context, vendor: &str) -> Result<bool, Failure> {
    match cx.principal() {
        Some(principal) => Ok(may_sell(principal, &cx.get_all(&seller_keys(vendor)).await?)?),
        None => Ok(false),
    }
}

/// Whether the principal may make the product another vendor's: its author and the owner of its vendor may, and
/// staff of the market that may change it.
pub(super) async fn may_take_away(cx: &Context, product: &Product) -> Result<bool, Failure> {
    let Some(vendor) = &product.vendor else { return Ok(true) };
    if cx.may_for(&product.author, &PRODUCTS_WRITE) {
        return Ok(true);
    }
    let vendor = cx.read::<VendorView>(VENDOR.key(vendor)).await?;
    Ok(vendor.is_some_and(|vendor| cx.may_for(&vendor.owner, &PRODUCTS_WRITE)))
}
