//! Operations on old addresses: what leads from the URLs of a shop that moved in to its products and categories.
//!
//! An address leads to an id, so it leads on whatever becomes of the name. It does not go with what it leads to: then it leads
//! nowhere, until it is set again.

use souk_core::Kind;
use souk_kit::{Context, Failure, Fault, Transaction};
use souk_model::catalog::PRODUCT;

use super::categories::find_category;
use super::products::find_product;
use crate::CatalogError;
use crate::address::{OldAddress, address_key, normal_address, target_kind};

fn normal(address: &str) -> Result<String, Failure> {
    normal_address(address)
        .ok_or_else(|| Failure::invalid("address", Fault::format("is not an address that can lead on")))
}

/// From now on the address leads to the product or category with this id, wherever it led before. Writes nothing if it does so
/// already. The caller has made sure that the thing exists, or creates it in the same transaction; and that the principal may
/// decide this.
pub async fn lead_on(tx: &Transaction<CatalogError>, address: &str, id: &str) -> Result<OldAddress, CatalogError> {
    let address = normal(address)?;
    let key = address_key(&address);
    let old = tx.read::<OldAddress>(key.clone()).await?;
    let new = OldAddress {
        address,
        leads_to: id.to_owned(),
    };
    if old.as_ref().is_none_or(|old| old.value != new) {
        let old = old.as_ref().map(|old| &old.document);
        tx.create_or_update(key, old, &new).or_retry();
    }
    Ok(new)
}

/// Sets where an old address leads.
pub async fn set_old_address(cx: &Context, new: &OldAddress) -> Result<OldAddress, CatalogError> {
    cx.commit(|tx| async move {
        let none = || Failure::invalid("leads_to", Fault::not_found("product or category"));
        let kind = target_kind(&new.leads_to).ok_or_else(none)?;
        let target = tx.get(kind.key(&new.leads_to)).await?.ok_or_else(none)?;
        tx.require(&target).or_retry();
        lead_on(&tx, &new.address, &new.leads_to).await
    })
    .await
}

/// From now on the address leads nowhere.
pub async fn remove_old_address(cx: &Context, address: &str) -> Result<(), CatalogError> {
    let none = Failure::NotFound("old address");
    let key = &address_key(&normal_address(address).ok_or_else(|| none.clone())?);
    let none = &none;
    cx.commit(|tx| async move {
        let found = tx.get(key.clone()).await?.ok_or_else(|| none.clone())?;
        tx.delete(&found, Vec::new()).or_retry();
        Ok(())
    })
    .await
}

/// The kind and the slug of what an old address leads to, if the principal may see it. An address whose query is not known leads
/// where its path does: visitors bring parameters of all sorts.
pub async fn follow_old_address(cx: &Context, address: &str) -> Result<Option<(Kind, String)>, Failure> {
    let Some(address) = normal_address(address) else {
        return Ok(None);
    };
    let path = address.split_once('?').map(|(path, _)| path);
    let keys: Vec<_> = std::iter::once(&*address).chain(path).map(address_key).collect();
    let Some(found) = cx.get_all(&keys).await?.into_iter().flatten().next() else {
        return Ok(None);
    };
    let id = found.parse::<OldAddress>()?.leads_to;
    let Some(kind) = target_kind(&id) else {
        return Ok(None);
    };
    let slug = if kind == PRODUCT {
        let product = find_product(cx, &id).await;
        product.and_then(|product| Ok(product.field("slug")?))
    } else {
        find_category(cx, &id).await.map(|category| category.value.slug)
    };
    match slug {
        Ok(slug) => Ok(Some((kind, slug))),
        Err(Failure::NotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}
