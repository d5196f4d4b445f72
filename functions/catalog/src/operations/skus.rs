//! Claims on SKUs, so that each is unique for its vendor.
//!
//! **Atomicity.** The claims of a product are written in the commit of the product. A product with many variants has more of
//! them than a commit may have changes: then they are *reserved* before it, in commits of their own.
//!
//! **Void claims.** A claim counts only if its product has the SKU. Otherwise it is void, and the next product that gets the SKU
//! takes the claim over. So a crash between reservation and commit does no harm, and an edit need not release all claims. A
//! reservation whose product does not exist is void after a minute: until then the product may still be created.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use souk_core::documents::MAX_KEYS;
use souk_core::{Document, Key, Timestamp, clock};
use souk_kit::{Context, Failure, Transaction};
use souk_model::catalog::PRODUCT;
use souk_model::catalog::product::Product;

use crate::CatalogError;
use crate::product::{sku_key, sku_keys};

/// How many claims the commit of a product adds, and removes: there is room for both beside its index entries.
const IN_COMMIT: usize = 15;
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
        if reserved.is_err() && before.is_empty() {
            // Somebody else has one of them: the others are free again at once, and nobody else claims for a new product.
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

/// Removes the claims of a product that is not there.
pub(super) async fn give_back(cx: &Context, id: &str, keys: &[Key]) -> Result<(), CatalogError> {
    for chunk in keys.chunks(CHUNK) {
        cx.commit(|tx| async move {
            if tx.get(PRODUCT.key(id)).await?.is_some() {
                return Ok(());
            }
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

/// Gives the SKUs of a product back, as many as there is room for; returns the others.
pub(super) fn release(tx: &Transaction<CatalogError>, keys: impl IntoIterator<Item = Key>) -> Vec<Key> {
    let mut keys = keys.into_iter();
    for key in keys.by_ref().take(IN_COMMIT) {
        tx.remove(key);
    }
    keys.collect()
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

/// Fails if other products have these SKUs.
pub(super) async fn check_skus(cx: &Context, id: &str, keys: &[Key]) -> Result<(), CatalogError> {
    let mut held: Vec<(&Key, Claim)> = Vec::new();
    for keys in keys.chunks(MAX_KEYS) {
        for (key, found) in keys.iter().zip(cx.get_all(keys).await?) {
            if let Some(found) = found {
                held.push((key, found.parse().map_err(Failure::from)?));
            }
        }
    }
    held.retain(|(_, claim)| claim.id != id);
    let others = held.iter().map(|(_, claim)| &*claim.id).collect();
    let holders = Holders::read(cx, &others).await?;
    held.iter()
        .try_for_each(|(key, claim)| holders.check(key, claim, cx.now()))
}

/// Claims these keys for the product. Its own claims are written again, so that nobody can take one over meanwhile.
async fn claim(
    tx: &Transaction<CatalogError>,
    id: &str,
    keys: &[Key],
    reserved_at: Option<Timestamp>,
) -> Result<(), CatalogError> {
    let new = || Claim {
        id: id.to_owned(),
        reserved_at,
    };
    let mut held: Vec<(&Key, Document, Claim)> = Vec::new();
    for keys in keys.chunks(MAX_KEYS) {
        for (key, found) in keys.iter().zip(tx.get_all(keys).await?) {
            match found {
                Some(found) => {
                    let claim = found.parse().map_err(Failure::from)?;
                    held.push((key, found, claim));
                }
                None => drop(tx.create(key.clone(), new()).or_retry()),
            }
        }
    }
    let others: BTreeSet<&str> = held
        .iter()
        .map(|(_, _, claim)| &*claim.id)
        .filter(|other| *other != id)
        .collect();
    let holders = Holders::read(tx, &others).await?;
    for (key, found, claim) in &held {
        if claim.id != id {
            holders.check(key, claim, tx.now())?;
        }
        tx.update(found, new()).or_retry();
    }
    Ok(())
}

/// The products that hold claims: their SKUs, and when they changed.
struct Holders(BTreeMap<String, (BTreeSet<Key>, Timestamp)>);

impl Holders {
    async fn read(cx: &Context, ids: &BTreeSet<&str>) -> Result<Self, Failure> {
        let keys: Vec<Key> = ids.iter().map(|id| PRODUCT.key(id)).collect();
        let mut holders = BTreeMap::new();
        for keys in keys.chunks(MAX_KEYS) {
            for document in cx.get_all(keys).await?.into_iter().flatten() {
                let product: Product = document.parse()?;
                holders.insert(product.id.clone(), (sku_keys(&product), product.updated_at));
            }
        }
        Ok(Self(holders))
    }

    /// Fails unless a claim is void.
    fn check(&self, key: &Key, claim: &Claim, now: Timestamp) -> Result<(), CatalogError> {
        // A reservation from the future is an error of a clock, and not recent.
        let is_recent = claim
            .reserved_at
            .is_some_and(|at| clock::after(at, GRACE_SECONDS) > now && at < clock::after(now, GRACE_SECONDS));
        match self.0.get(&claim.id) {
            Some((skus, _)) if skus.contains(key) => Err(CatalogError::SkuTaken(key.sk.clone())),
            // An edit that has reserved the SKU may be on its way: then the product is older than the reservation, and the edit
            // begins again if the product becomes newer.
            Some((_, updated_at)) if is_recent && claim.reserved_at.is_some_and(|at| *updated_at < at) => {
                Err(Failure::Contention.into())
            }
            // The product may be on its way, or the request that would have added it has ended.
            None if is_recent => Err(Failure::Contention.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_without_its_product_holds_for_a_minute_by_a_clock_that_is_right() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let is_held = |reserved_at| {
            let claim = Claim {
                id: "prd_1".into(),
                reserved_at,
            };
            let result = Holders(BTreeMap::new()).check(&sku_key("vnd_1", "A"), &claim, now);
            assert!(matches!(
                result,
                Ok(()) | Err(CatalogError::Failure(Failure::Contention))
            ));
            result.is_err()
        };
        assert!(is_held(Some(now)) && is_held(Some(clock::after(now, -59))));
        assert!(!is_held(None) && !is_held(Some(clock::after(now, -60))));
        // A day ahead.
        assert!(!is_held(Some(clock::after(now, 86_400))));
    }
}
