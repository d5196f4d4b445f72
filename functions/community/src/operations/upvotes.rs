//! Operations on upvotes.
//!
//! **Atomicity.** Adding or withdrawing an upvote is one commit of the document and its event. Jobs update the counter
//! and the rank of the product from the events. An account never has two upvotes for a product, because they have the
//! same key.

use serde::{Deserialize, Serialize};
use souk_core::Timestamp;
use souk_kit::{Context, Failure, Stored};
use souk_model::community::{UPVOTE_ADDED, UPVOTE_REMOVED, UpvoteEvent, upvote_key};

use super::{NO_PRODUCT, any_product, public_product};
use crate::jobs::UpvoteCount;
use crate::own_count::OwnCount;
use crate::product::ProductView;
use crate::upvote::{Upvote, withdrawn_key};

/// Whether the account has upvoted a product, and the upvotes of all.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpvoteState {
    /// Whether the account has upvoted the product.
    pub upvoted: bool,
    /// Number of upvotes of the product; it reflects what the account itself has just done.
    pub upvote_count: u64,
}

impl UpvoteState {
    fn new(upvoted: bool, count: &OwnCount) -> Self {
        let upvote_count = count.total();
        Self { upvoted, upvote_count }
    }
}

/// The upvote of an account for a product, if there is one, and the count as the account sees it.
async fn read(
    cx: &Context,
    product: &Stored<ProductView>,
    account: &str,
) -> Result<(Option<Stored<Upvote>>, OwnCount), Failure> {
    let keys = [upvote_key(&product.id, account), withdrawn_key(&product.id, account)];
    OwnCount::read::<Upvote, UpvoteCount>(cx, &keys, &product.document, "upvote_count").await
}

/// Upvotes a product, unless the principal has done so.
pub async fn add_upvote(cx: &Context, product: &str) -> Result<UpvoteState, Failure> {
    let account = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let product = public_product(&tx, product).await?;
        let (upvote, mut count) = read(&tx, &product, account).await?;
        match upvote {
            None => {
                let created_at = tx.now();
                let event = tx.emit(UPVOTE_ADDED, &event(&product, account, created_at));
                count.change(event, 1);
                let own_changes = count.uncounted.clone();
                let upvote = Upvote {
                    created_at,
                    own_changes,
                };
                let entries = upvote.entries(&product.id, account);
                tx.create(upvote_key(&product.id, account), upvote)
                    .entries(entries)
                    .or_retry();
            }
            // It has no index entry yet.
            Some(old) if old.own_changes.is_empty() => {
                let entries = old.entries(&product.id, account);
                tx.update(&old.document, &old.value).entries(entries).or_retry();
            }
            Some(_) => {}
        }
        Ok(UpvoteState::new(true, &count))
    })
    .await
}

/// Whether the principal has upvoted a product.
pub async fn find_upvote(cx: &Context, product: &str) -> Result<UpvoteState, Failure> {
    let account = &cx.signed_in()?.account;
    let product = any_product(cx, product).await?;
    let (upvote, count) = read(cx, &product, account).await?;
    // An account that has upvoted a product knows that it exists, even if it has been archived since.
    if upvote.is_none() && !product.status.is_public() {
        return Err(NO_PRODUCT);
    }
    Ok(UpvoteState::new(upvote.is_some(), &count))
}

/// Withdraws the principal's upvote for a product, if there is one.
pub async fn remove_upvote(cx: &Context, product: &str) -> Result<UpvoteState, Failure> {
    let account = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let product = any_product(&tx, product).await?;
        let (upvote, mut count) = read(&tx, &product, account).await?;
        if let Some(upvote) = upvote {
            tx.delete(&upvote.document, upvote.entries(&product.id, account))
                .or_retry();
            let event = tx.emit(UPVOTE_REMOVED, &event(&product, account, upvote.created_at));
            count.change(event, -1);
            count.hold(&tx, withdrawn_key(&product.id, account));
        } else if !product.status.is_public() {
            return Err(NO_PRODUCT);
        }
        Ok(UpvoteState::new(false, &count))
    })
    .await
}

fn event(product: &ProductView, account: &str, created_at: Timestamp) -> UpvoteEvent {
    UpvoteEvent {
        product: product.id.clone(),
        account: account.to_owned(),
        created_at,
    }
}
