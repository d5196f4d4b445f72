//! Claims on SKUs, so that each is unique for its vendor.
//!
//! **Atomicity.** The claims of a product are written in the commit of the product. A product with many variants has more of
//! them than a commit may have changes: then they are *reserved* before it, in commits of their own. A claim whose product lacks
//! the SKU is void, and whoever wants the SKU takes it over. So a crash in between, and the claims that a commit had no room to
//! release, do no harm. A reservation whose product is not there holds for a minute, because the product may be on its way.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use souk_core::documents::MAX_KEYS;
use souk_core::{Document, Key, Timestamp, clock};
use souk_kit::{Context, Failure, Transaction};
use souk_model::catalog::PRODUCT;
use souk_model::catalog::product::Product;

use crate::CatalogError;
use crate::product::{sku_key, sku_keys};

/// How many claims the commit of a product changes: there is room for them beside its index entries.
const IN_COMMIT: usize = 20;
/// How many claims a commit reserves.
const CHUNK: usize = 50;
/// How long a reservation holds without its product, in seconds: longer than any request takes.
const GRACE_SECONDS: i64 = 60;

#[derive(Serialize, Deserialize)]
struct Claim {
    /// The id of the product.
    id: String,
    /// When it was reserved, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved_at: Option<Timestamp>,
}

/// Gives the product these SKUs in place of those that it had `before`.
pub(super) async fn change_skus(
    tx: &Transaction<CatalogError>,
    id: &str,
    before: BTreeSet<Key>,
    after: BTreeSet<Key>,
) -> Result<(), CatalogError> {
    let gone: Vec<Key> = before.difference(&after).cloned().collect();
    let new: Vec<Key> = after.difference(&before).cloned().collect();
    if new.len() > IN_COMMIT {
        let reserved = reserve(&tx.apart(), id, &new).await;
        if reserved.is_err() {
            // Somebody else has one of them: the others are free again at once.
            give_back(&tx.apart(), id, &new).await?;
        }
        reserved?;
    } else if !new.is_empty() {
        claim(tx, id, &new, None).await?;
    }
    release(tx, gone);
    Ok(())
}

async fn reserve(cx: &Context, id: &str, keys: &[Key]) -> Result<(), CatalogError> {
    for chunk in keys.chunks(CHUNK) {
        cx.commit(|tx| async move { claim(&tx, id, chunk, Some(tx.now())).await })
            .await?;
    }
    Ok(())
}

/// Removes the reservations of the product.
async fn give_back(cx: &Context, id: &str, keys: &[Key]) -> Result<(), CatalogError> {
    for chunk in keys.chunks(CHUNK) {
        cx.commit(|tx| async move {
            for found in tx.get_all(chunk).await?.into_iter().flatten() {
                let claim: Claim = found.parse().map_err(Failure::from)?;
                if claim.id == id {
                    tx.delete(&found, Vec::new()).or_retry();
                }
            }
            Ok::<_, CatalogError>(())
        })
        .await?;
    }
    Ok(())
}

/// Gives the SKUs of a product back, as many as there is room for.
pub(super) fn release(tx: &Transaction<CatalogError>, keys: impl IntoIterator<Item = Key>) {
    for key in keys.into_iter().take(IN_COMMIT) {
        tx.remove(key);
    }
}

/// The product of this vendor that has the SKU, itself or in a variant.
pub(super) async fn find_by_sku(cx: &Context, vendor: &str, sku: &str) -> Result<Option<Document>, Failure> {
    let key = sku_key(vendor, sku);
    let Some(claim) = cx.get(key.clone()).await? else {
        return Ok(None);
    };
    let document = cx.get(PRODUCT.key(&claim.parse::<Claim>()?.id)).await?;
    Ok(match document {
        Some(document) if sku_keys(&document.parse::<Product>()?).contains(&key) => Some(document),
        _ => None,
    })
}

async fn claim(
    tx: &Transaction<CatalogError>,
    id: &str,
    keys: &[Key],
    reserved_at: Option<Timestamp>,
) -> Result<(), CatalogError> {
    for keys in keys.chunks(MAX_KEYS) {
        for (key, found) in keys.iter().zip(tx.get_all(keys).await?) {
            let Some(found) = found else {
                let claim = Claim {
                    id: id.to_owned(),
                    reserved_at,
                };
                tx.create(key.clone(), claim).or_retry();
                continue;
            };
            let mut claim: Claim = found.parse().map_err(Failure::from)?;
            if claim.id == id {
                continue;
            }
            if !is_void(tx, key, &claim).await? {
                return Err(CatalogError::SkuTaken(key.sk.clone()));
            }
            (claim.id, claim.reserved_at) = (id.to_owned(), reserved_at);
            tx.update(&found, claim).or_retry();
        }
    }
    Ok(())
}

async fn is_void(cx: &Context, key: &Key, claim: &Claim) -> Result<bool, Failure> {
    match cx.read::<Product>(PRODUCT.key(&claim.id)).await? {
        Some(product) => {
            // An edit that has reserved the SKU may be on its way: then the product is older than the reservation, and the
            // edit fails if the product becomes newer.
            let is_settled = claim
                .reserved_at
                .is_none_or(|at| product.updated_at >= at || is_over(cx, at));
            Ok(is_settled && !sku_keys(&product).contains(key))
        }
        None => Ok(claim.reserved_at.is_none_or(|at| is_over(cx, at))),
    }
}

fn is_over(cx: &Context, reserved_at: Timestamp) -> bool {
    clock::after(reserved_at, GRACE_SECONDS) <= cx.now()
}
