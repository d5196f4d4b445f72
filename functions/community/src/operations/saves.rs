//! Operations on wishlists.
//!
//! **Atomicity.** Saving a product is one commit of one document. An account never has a product twice on its wishlist,
//! because both would have the same key.

use serde::{Deserialize, Serialize};
use souk_core::{Document, Key};
use souk_kit::{Context, Failure};
use souk_model::catalog::PRODUCT;
use souk_model::community::save_key;

use super::{NO_PRODUCT, public_product};
use crate::product::ProductView;
use crate::save::Save;

/// Whether a product is on the wishlist of the account.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SaveState {
    /// Whether the product is on the wishlist of the account.
    pub saved: bool,
}

/// Puts a product on the principal's wishlist, unless it is there.
pub async fn add_save(cx: &Context, product: &str) -> Result<SaveState, Failure> {
    let account = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        if !tx.is_retry() {
            let product = &public_product(&tx, product).await?.value.id;
            let save = Save { created_at: tx.now() };
            let entries = save.entries(product, account);
            tx.create(save_key(product, account), save).entries(entries).or_retry();
        }
        // The only condition is that the product is not on the wishlist.
        Ok(SaveState { saved: true })
    })
    .await
}

/// Whether a product is on the principal's wishlist.
pub async fn find_save(cx: &Context, product: &str) -> Result<SaveState, Failure> {
    let account = &cx.signed_in()?.account;
    let (_, save) = read(cx, product, account).await?;
    Ok(SaveState { saved: save.is_some() })
}

/// Takes a product off the principal's wishlist, if it is there.
pub async fn remove_save(cx: &Context, product: &str) -> Result<SaveState, Failure> {
    let account = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        if let (product, Some(document)) = read(&tx, product, account).await? {
            let entries = document.parse::<Save>()?.entries(&product, account);
            tx.delete(&document, entries).or_retry();
        }
        Ok(SaveState { saved: false })
    })
    .await
}

/// The id of the product, and its save by the account. An account that has saved a product knows that it exists, even if it
/// is not public any more, or gone.
async fn read(cx: &Context, product: &str, account: &str) -> Result<(String, Option<Document>), Failure> {
    let id = if PRODUCT.is_id(product) {
        product.to_owned()
    } else {
        let mut found = cx.resolve(&[(PRODUCT, product)]).await?;
        found.pop().flatten().ok_or(NO_PRODUCT)?
    };
    let keys: [Key; 2] = [save_key(&id, account), PRODUCT.key(&id)];
    let mut found = cx.get_all(&keys).await?.into_iter();
    let (save, document) = (found.next().flatten(), found.next().flatten());
    let product: Option<ProductView> = document.map(|document| document.parse()).transpose()?;
    if save.is_none() && !product.is_some_and(|product| product.status.is_public()) {
        return Err(NO_PRODUCT);
    }
    Ok((id, save))
}
