//! Who may see and change products that are not public, or somebody else's.

use souk_core::Permission;
use souk_kit::{Context, Failure};
use souk_model::catalog::PRODUCTS_WRITE;
use souk_model::catalog::product::Product;
use souk_model::vendors::{VENDOR, VendorView, may_sell, seller_keys, sells};

/// Whether the principal may do this to a product of this author and vendor: its author, the owner and the staff of its
/// vendor, and staff of the market with the permission may. At most one batched read.
pub(super) async fn may(
    cx: &Context,
    permission: &Permission,
    author: &str,
    vendor: Option<&str>,
) -> Result<bool, Failure> {
    let Some(principal) = cx.principal() else {
        return Ok(false);
    };
    // What one may do without a permission is no use of it.
    let is_seller = match vendor {
        _ if principal.account == author => true,
        Some(vendor) => sells(principal, &cx.get_all(&seller_keys(vendor)).await?)?,
        None => false,
    };
    Ok(is_seller || principal.may_for(author, permission))
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
    let me = cx.signed_in()?;
    if product.author == me.account {
        return Ok(true);
    }
    let vendor = cx.read::<VendorView>(VENDOR.key(vendor)).await?;
    let is_owner = vendor.is_some_and(|vendor| vendor.owner == me.account);
    Ok(is_owner || me.may_for(&product.author, &PRODUCTS_WRITE))
}
