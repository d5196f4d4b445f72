//! Who may see and change products that are not public, or somebody else's.

use souk_kit::{Context, Failure};
use souk_model::catalog::product::Product;
use souk_model::vendors::{VENDOR, VendorView, may_sell, seller_keys};

/// Whether the principal may see a product of this author and vendor in any status, and change it: its author, the owner
/// and the staff of its vendor, and moderators may. At most one batched read.
pub(super) async fn may_edit(cx: &Context, author: &str, vendor: Option<&str>) -> Result<bool, Failure> {
    match vendor {
        _ if cx.may_edit(author) => Ok(true),
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

/// Whether the principal may make the product another vendor's: its author, the owner of its vendor and moderators may.
pub(super) async fn may_take_away(cx: &Context, product: &Product) -> Result<bool, Failure> {
    let Some(vendor) = &product.vendor else { return Ok(true) };
    if cx.may_edit(&product.author) {
        return Ok(true);
    }
    let vendor = cx.read::<VendorView>(VENDOR.key(vendor)).await?;
    Ok(vendor.is_some_and(|vendor| cx.may_edit(&vendor.owner)))
}
