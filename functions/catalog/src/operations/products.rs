//! Operations on one product.
//!
//! **Atomicity.** Creating a product is one commit of the product, its index entries, the claim on its slug (and on its
//! [SKUs](super::skus)), and the condition that its category has not changed since the product was validated. So a product never refers
//! to a deleted category, always satisfies the attribute rules that its category had at that time, and never shares a
//! slug. A crash leaves all of it or nothing.

use std::collections::BTreeSet;

use serde_json::Value;
use souk_core::documents::MAX_BODY;
use souk_core::{Document, Fault, FieldError, Key, Timestamp, check, id};
use souk_kit::{Context, Failure, IfMatch, MergePatch, Stored, Transaction};
use souk_model::catalog::category::Category;
use souk_model::catalog::events::{PRODUCT_CREATED, PRODUCT_DELETED, PRODUCT_UPDATED, ProductEvent};
use souk_model::catalog::product::{COUNTERS, Product};
use souk_model::catalog::status::Status;
use souk_model::catalog::variant::condense;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::catalog::{PRODUCTS_READ, PRODUCTS_WRITE};
use souk_model::identity::{ACCOUNT, AUDIT_READ, active_account, no_recipient};
use souk_model::vendors::{VENDOR, VendorView};

use super::rights::{may, may_take_away, sells_for};
use super::skus::{change_skus, give_back, release};
use crate::CatalogError;
use crate::permissions::PRODUCTS_HAND_OVER;
use crate::product::{NewProduct, Origin, advanced, sku_keys};
use crate::variant;

/// The room that is left in a document for what is stored beside a product.
const ROOM: usize = 1024;
const NOT_FOUND: Failure = Failure::NotFound("product");

/// The product with this id or slug, if the principal may see it.
pub async fn find_product(cx: &Context, id: &str) -> Result<Document, Failure> {
    let document = cx.find(PRODUCT, id).await?.ok_or(NOT_FOUND)?;
    if document.field::<Status>("status")?.is_public() {
        return Ok(document);
    }
    let (author, vendor): (String, Option<String>) = (document.field("author")?, document.field("vendor")?);
    if may(cx, &PRODUCTS_READ, &author, vendor.as_deref()).await? || cx.may(&PRODUCTS_WRITE) {
        Ok(document)
    } else {
        Err(NOT_FOUND)
    }
}

/// The product with this id or slug as it was at a moment, for those who may see what was.
pub async fn product_as_of(cx: &Context, id: &str, at: Timestamp) -> Result<Document, Failure> {
    cx.signed_in()?;
    if !cx.may(&AUDIT_READ) {
        return Err(Failure::lacks(&AUDIT_READ));
    }
    // One that was deleted is known by its id only.
    let key = match PRODUCT.is_id(id) {
        true => PRODUCT.key(id),
        false => cx.find(PRODUCT, id).await?.ok_or(NOT_FOUND)?.key,
    };
    let then = cx.as_of(key, at, Some("created_at")).await?.ok_or(NOT_FOUND)?;
    if then.field::<Status>("status")?.is_public() || cx.may(&PRODUCTS_READ) {
        Ok(then)
    } else {
        Err(NOT_FOUND)
    }
}

/// The product with this id or slug, if the principal may change it.
async fn find_own(cx: &Context, id: &str) -> Result<Stored<Product>, Failure> {
    let product = Stored::<Product>::read(cx.find(PRODUCT, id).await?.ok_or(NOT_FOUND)?)?;
    if may(cx, &PRODUCTS_WRITE, &product.author, product.vendor.as_deref()).await? {
        Ok(product)
    } else if product.status.is_public() || cx.may(&PRODUCTS_READ) {
        let detail = "only its author and the owner and staff of its vendor may change a product";
        Err(Failure::forbidden(detail))
    } else {
        Err(NOT_FOUND)
    }
}

/// The category and the vendor that a product refers to.
pub(super) struct References {
    pub(super) category: String,
    pub(super) vendor: Option<String>,
}

/// Looks up the category and the vendor of `new`, validates the attributes against the category, and adds the condition
/// that both are unchanged. What is as in `old` is not validated again: attributes in the same category, which may have
/// changed since, and the right to sell for the same vendor, which an author may have lost since.
async fn references(
    tx: &Transaction<CatalogError>,
    new: &NewProduct,
    old: Option<&Product>,
) -> Result<References, CatalogError> {
    let unknown = |field: &str| Failure::invalid(field, Fault::not_found(field));
    let document = tx.find(CATEGORY, &new.category).await?;
    let category = Stored::<Category>::read(document.ok_or_else(|| unknown("category"))?).map_err(Failure::from)?;
    check_attributes(&category, new, old)?;
    tx.require(&category.document).or_retry();
    let mut references = References {
        category: category.value.id,
        vendor: None,
    };
    if let Some(vendor) = &new.vendor {
        let document = tx.find(VENDOR, vendor).await?.ok_or_else(|| unknown("vendor"))?;
        let id = VENDOR.id_of(&document.key).unwrap_or_default().to_owned();
        let is_same = old.is_some_and(|old| old.vendor.as_ref() == Some(&id));
        let view: VendorView = document.parse().map_err(Failure::from)?;
        if !is_same && tx.signed_in()?.account != view.owner && !sells_for(tx, &id).await? {
            let detail = "only its owner and staff may list products for a vendor";
            return Err(Failure::forbidden_field(detail, "vendor", "is not yours").into());
        }
        tx.require(&document).or_retry();
        references.vendor = Some(id);
    }
    Ok(references)
}

/// Fails unless the category accepts a product with these attributes, in place of `old`.
pub(super) fn check_attributes(
    category: &Category,
    new: &NewProduct,
    old: Option<&Product>,
) -> Result<(), CatalogError> {
    if category.closing {
        return Err(CatalogError::CategoryClosing);
    }
    let mut faults: Vec<FieldError> = category.faults(&new.attributes);
    if let Some(old) = old.filter(|old| old.category == category.id) {
        faults.retain(|fault| {
            let name = fault.field.trim_start_matches("attributes.");
            old.attributes.get(name) != new.attributes.get(name)
        });
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::Invalid(faults).into())
    }
}

/// Creates a product of the principal, as a draft.
pub async fn create_product(cx: &Context, new: NewProduct) -> Result<Stored<Product>, CatalogError> {
    let author = &cx.signed_in()?.account;
    refuse(variant::unknown_ids(&new.variants, &[]))?;
    // SKUs that an attempt has reserved are those of the next one too.
    let (new, id) = (&new, &cx.new_id(PRODUCT));
    cx.commit(|tx| async move {
        let References { category, vendor } = references(&tx, new, None).await?;
        let slug = match &new.slug {
            Some(slug) if tx.get(PRODUCT.name_key(slug)).await?.is_some() => return Err(CatalogError::SlugTaken),
            Some(slug) => slug.clone(),
            None if tx.is_retry() => unique_slug(&tx, &new.title),
            None => check::slugify(&new.title, "product"),
        };
        let origin = Origin {
            id: id.clone(),
            slug,
            author: author.clone(),
            now: tx.now(),
        };
        let product = new.draft(category, vendor, origin, || new_variant(&tx));
        tx.emit(PRODUCT_CREATED, &product.event(1));
        add(&tx, product).await
    })
    .await
}

/// Creates a product with its claims. If the slug is taken, the next attempt uses a [unique one](unique_slug).
pub(super) async fn add(tx: &Transaction<CatalogError>, mut product: Product) -> Result<Stored<Product>, CatalogError> {
    fit(&mut product)?;
    tx.claim(PRODUCT.name_key(&product.slug), &product.id).or_retry();
    change_skus(tx, &product.id, BTreeSet::new(), sku_keys(&product)).await?;
    let entries = product.entries();
    let put = tx.create(PRODUCT.key(&product.id), product);
    Ok(put.counters(&COUNTERS).entries(entries).or_retry())
}

/// Makes a product small enough for a document, by keeping less of the past prices of many variants, or fails.
fn fit(product: &mut Product) -> Result<(), Failure> {
    for kept in [3, 1] {
        if is_small(product)? {
            return Ok(());
        }
        for variant in &mut product.variants {
            condense(&mut variant.past_prices, kept);
        }
    }
    if is_small(product)? {
        return Ok(());
    }
    let field = if product.variants.is_empty() {
        "description"
    } else {
        "variants"
    };
    let detail = format!("make the product larger than {} KB in all", MAX_BODY / 1024);
    Err(Failure::invalid(field, Fault::invalid(detail)))
}

fn is_small(product: &Product) -> Result<bool, Failure> {
    // The result of a request with an idempotency key is stored as a text.
    let stored = serde_json::to_string(&serde_json::to_string(product)?)?;
    Ok(stored.len() + ROOM <= MAX_BODY)
}

/// The id of a new variant.
pub(super) fn new_variant(cx: &Context) -> String {
    id::new("var", &*cx.clock, &*cx.random)
}

/// A slug that no other product has.
pub(super) fn unique_slug(cx: &Context, title: &str) -> String {
    check::unique_slug(title, "product", &cx.new_id(PRODUCT))
}

/// The fields that a patch is applied to. Who changes the prices of variants need not know which was the lowest.
fn patched(old: &Product, patch: &MergePatch) -> NewProduct {
    let mut fields = NewProduct::of(old);
    let variants = patch.get("variants").and_then(Value::as_array);
    let has_price = |variant: &Value| variant.get("price").is_some_and(|price| !price.is_null());
    if variants.is_some_and(|variants| !old.variants.is_empty() || variants.iter().any(has_price)) {
        fields.price = None;
    }
    fields
}

fn refuse(faults: Vec<FieldError>) -> Result<(), Failure> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::Invalid(faults))
    }
}

/// Changes the fields of a product. Its author, the owner and staff of its vendor, and accounts with the permission `products:write` may.
pub async fn edit_product(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<Product>, CatalogError> {
    cx.commit(|tx| async move {
        let old = find_own(&tx, id).await?;
        if_match.check(old.version())?;
        let input: NewProduct = patch.apply(&patched(&old, patch))?;
        refuse(variant::unknown_ids(&input.variants, &old.variants))?;
        let References { category, vendor } = references(&tx, &input, Some(&old)).await?;
        if vendor != old.vendor && !may_take_away(&tx, &old).await? {
            let detail = "only its author and the owner of its vendor may take a product away from the vendor";
            return Err(Failure::forbidden_field(detail, "vendor", detail).into());
        }
        let new = input.rewrite(&old, category, vendor, tx.now(), || new_variant(&tx));
        let changed = old.changed_fields(&new)?;
        if changed.is_empty() {
            return Ok(tx.unchanged(old));
        }
        tx.rename(PRODUCT, &old.slug, &new.slug, &old.id, CatalogError::SlugTaken)
            .await?;
        let event = new.event(old.version() + 1);
        tx.emit(PRODUCT_UPDATED, &ProductEvent { changed, ..event });
        replace(&tx, &old, new, if_match).await
    })
    .await
}

/// Writes the new state of a product, with the claims on its SKUs and its index entries.
pub(super) async fn replace(
    tx: &Transaction<CatalogError>,
    old: &Stored<Product>,
    mut new: Product,
    if_match: &IfMatch,
) -> Result<Stored<Product>, CatalogError> {
    fit(&mut new)?;
    change_skus(tx, &new.id, sku_keys(old), sku_keys(&new)).await?;
    let entries = new.entries();
    Ok(tx
        .update(&old.document, new)
        .moved(&old.entries(), entries)
        .or_precondition(if_match))
}

/// Deletes a product. Its author, the owner and staff of its vendor, and accounts with the permission `products:write` may.
pub async fn delete_product(cx: &Context, id: &str, if_match: &IfMatch) -> Result<(), CatalogError> {
    let (id, rest): (String, Vec<Key>) = cx
        .commit(|tx| async move {
            let product = find_own(&tx, id).await?;
            if_match.check(product.version())?;
            tx.release(PRODUCT.name_key(&product.slug)).or_precondition(if_match);
            tx.release_former_names(PRODUCT, &product.id).await?;
            let rest = release(&tx, sku_keys(&product));
            tx.emit(PRODUCT_DELETED, &product.event(product.version()));
            tx.delete(&product.document, product.entries())
                .or_precondition(if_match);
            Ok::<_, CatalogError>((product.id.clone(), rest))
        })
        .await?;
    give_back(cx, &id, &rest).await
}

/// Moves a product to its next status, if its life cycle allows it. Does nothing if the product has that status.
pub async fn advance_product(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    next: Status,
) -> Result<Stored<Product>, CatalogError> {
    cx.commit(|tx| async move {
        let old = find_own(&tx, id).await?;
        if_match.check(old.version())?;
        if old.status == next {
            return Ok(old);
        }
        if !old.status.may_become(next) {
            let from = old.status;
            return Err(CatalogError::IllegalTransition { from, to: next });
        }
        let new = advanced(&old, next, tx.now());
        tx.emit(next.event(), &new.event(old.version() + 1));
        replace(&tx, &old, new, if_match).await
    })
    .await
}

/// Makes a product another account's, by username or id.
pub async fn hand_over_product(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    username: &str,
) -> Result<Stored<Product>, CatalogError> {
    cx.commit(|tx| async move {
        let document = tx.find(PRODUCT, id).await?.ok_or(NOT_FOUND)?;
        let old = Stored::<Product>::read(document).map_err(Failure::from)?;
        if !tx.may_for(&old.author, &PRODUCTS_HAND_OVER) {
            return Err(Failure::lacks(&PRODUCTS_HAND_OVER).into());
        }
        if_match.check(old.version())?;
        let found = tx.find(ACCOUNT, username).await?;
        let author = active_account(found.as_ref()).map_err(Failure::from)?;
        let author = author.ok_or_else(|| Failure::invalid("username", no_recipient()))?;
        if author == old.author {
            return Ok(old);
        }
        let new = Product {
            author,
            updated_at: tx.now(),
            ..old.value.clone()
        };
        let (event, changed) = (new.event(old.version() + 1), vec!["author".to_owned()]);
        tx.emit(PRODUCT_UPDATED, &ProductEvent { changed, ..event });
        replace(&tx, &old, new, if_match).await
    })
    .await
}
