//! Operations of the community.

mod comments;
mod feed;
mod follows;
mod mine;
mod saves;
mod upvotes;
mod views;

use souk_kit::{Context, Failure, Stored};
use souk_model::catalog::PRODUCT;
use souk_model::catalog::{PRODUCTS_READ, PRODUCTS_WRITE};
use souk_model::vendors::{seller_keys, sells};

pub use comments::{create_comment, delete_comment, edit_comment, find_comment, list_comments};
pub use feed::list_feed;
pub use follows::{FollowState, find_follow, follow, unfollow};
pub use mine::{Followed, list_followed, list_followers, list_own_comments, list_saved, list_upvoted};
pub use saves::{SaveState, add_save, find_save, remove_save};
pub use upvotes::{UpvoteState, add_upvote, find_upvote, remove_upvote};
pub use views::record_view;

use crate::product::ProductView;

const NO_PRODUCT: Failure = Failure::NotFound("product");

/// The product with this id or slug, in any status.
async fn any_product(cx: &Context, id: &str) -> Result<Stored<ProductView>, Failure> {
    let document = cx.find(PRODUCT, id).await?.ok_or(NO_PRODUCT)?;
    Ok(Stored::read(document)?)
}

/// The product, if it is public.
async fn public_product(cx: &Context, id: &str) -> Result<Stored<ProductView>, Failure> {
    let product = any_product(cx, id).await?;
    product.status.is_public().then_some(product).ok_or(NO_PRODUCT)
}

/// The product, if the principal may see it.
async fn visible_product(cx: &Context, id: &str) -> Result<ProductView, Failure> {
    let product = any_product(cx, id).await?.value;
    if product.status.is_public() {
        return Ok(product);
    }
    let principal = cx.principal().ok_or(NO_PRODUCT)?;
    let is_seller = match &product.vendor {
        _ if principal.account == product.author => true,
        Some(vendor) => sells(principal, &cx.get_all(&seller_keys(vendor)).await?)?,
        None => false,
    };
    let may_see = || {
        [&PRODUCTS_READ, &PRODUCTS_WRITE]
            .into_iter()
            .any(|one| principal.may(one))
    };
    if is_seller || may_see() {
        Ok(product)
    } else {
        Err(NO_PRODUCT)
    }
}
