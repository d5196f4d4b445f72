//! Operations on upvotes.
//!
//! **Atomicity.** Adding or withdrawing an upvote is one commit of the document and its event. Jobs update the counter
//! and the rank of the product from the events. An account never has two upvotes for a product, because they have the
//! same key.

use souk_kit::{Context, Failure};
use souk_model::community::{UPVOTE_ADDED, UPVOTE_REMOVED, UpvoteEvent};

use super::{NO_PRODUCT, any_product, public_product};
use crate::upvote::{Upvote, key};

/// Upvotes a product, unless the principal has done so.
pub async fn add_upvote(cx: &Context, product: &str) -> Result<(), Failure> {
    let account = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        if tx.is_retry() {
            // The only condition is that the upvote does not exist.
            return Ok(());
        }
        let product = public_product(&tx, product).await?.id;
        let created_at = tx.now();
        tx.create(key(&product, account), Upvote { created_at }).or_retry();
        let event = UpvoteEvent {
            product,
            account: account.clone(),
            created_at,
        };
        tx.emit(UPVOTE_ADDED, &event);
        Ok(())
    })
    .await
}

/// Whether the principal has upvoted a product.
pub async fn has_upvoted(cx: &Context, product: &str) -> Result<bool, Failure> {
    let account = &cx.signed_in()?.account;
    let product = any_product(cx, product).await?;
    let upvote = cx.get(key(&product.id, account)).await?;
    // An account that has upvoted a product knows that it exists, even if it has been archived since.
    if upvote.is_none() && !product.status.is_public() {
        return Err(NO_PRODUCT);
    }
    Ok(upvote.is_some())
}

/// Withdraws the principal's upvote for a product, if there is one.
pub async fn remove_upvote(cx: &Context, product: &str) -> Result<(), Failure> {
    let account = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let product = any_product(&tx, product).await?;
        let Some(upvote) = tx.read::<Upvote>(key(&product.id, account)).await? else {
            return if product.status.is_public() {
                Ok(())
            } else {
                Err(NO_PRODUCT)
            };
        };
        tx.delete(&upvote.document, Vec::new()).or_retry();
        let event = UpvoteEvent {
            product: product.id,
            account: account.clone(),
            created_at: upvote.created_at,
        };
        tx.emit(UPVOTE_REMOVED, &event);
        Ok(())
    })
    .await
}
