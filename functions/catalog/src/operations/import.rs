//! Creates or updates a product by an external identity, for imports and demo data.

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::kind::owner_of;
use souk_core::{Key, check};
use souk_kit::{Context, Failure, IfMatch, Stored, Transaction};
use souk_model::catalog::category::Category;
use souk_model::catalog::events::{PRODUCT_CREATED, PRODUCT_UPDATED, ProductEvent};
use souk_model::catalog::product::Product;
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT};

use super::addresses::lead_on;
use super::products::{add, check_attributes, new_variant, replace, unique_slug};
use super::skus::check_skus;
use crate::CatalogError;
use crate::product::{NewProduct, Origin, advanced, sku_key, sku_keys};

/// The partition of claims of imported products that have neither a SKU nor a slug.
const IMPORTED: &str = "imported";

/// An imported product. Its identity is where it comes from, or its vendor and SKU, or its slug, or else its vendor and title.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductImport {
    /// What identifies the product in the system that it comes from, if that is its identity.
    pub source: Option<String>,
    /// The fields; the category and the vendor are ids.
    pub product: NewProduct,
    /// The slug that a new product gets if it is free; the identity of the product if nothing else is.
    pub slug: Option<String>,
    /// The status that the product gets.
    pub status: Status,
    /// The account that a new product belongs to.
    pub author: String,
    /// Also change products of other accounts.
    pub adopt: bool,
    /// The [addresses](crate::normal_address) that lead to the product from now on. The importer has made sure that the account
    /// may decide that.
    pub old_addresses: Vec<String>,
}

/// The result of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Imported {
    /// The product was added.
    Added,
    /// The product existed and was changed.
    Changed,
    /// The product existed and was the same.
    Unchanged,
}

impl ProductImport {
    /// The key of the claim on the identity of the product.
    #[must_use]
    pub fn identity(&self) -> Key {
        let NewProduct { vendor, sku, title, .. } = &self.product;
        if let Some(source) = &self.source {
            // Two shops may have the same ids.
            let shop = vendor.as_ref().unwrap_or(&self.author);
            return Key::new(IMPORTED, format!("{shop}/{source}"));
        }
        match (vendor, sku, &self.slug) {
            (Some(vendor), Some(sku), _) => sku_key(vendor, sku),
            (_, _, Some(slug)) => PRODUCT.name_key(slug),
            (Some(vendor), ..) => Key::new(IMPORTED, format!("{vendor}/{}", title.trim())),
            (None, ..) => Key::new(IMPORTED, format!("{}//{}", self.author, title.trim())),
        }
    }
}

impl ProductImport {
    /// The keys of the claims on the SKUs of the product and its variants.
    #[must_use]
    pub fn sku_keys(&self) -> Vec<Key> {
        let NewProduct {
            vendor, sku, variants, ..
        } = &self.product;
        let Some(vendor) = vendor else { return Vec::new() };
        let skus = sku
            .iter()
            .chain(variants.iter().filter_map(|variant| variant.sku.as_ref()));
        skus.map(|sku| sku_key(vendor, sku)).collect()
    }
}

/// Creates the product, or updates the product with the same identity. A second run changes nothing.
pub async fn import_product(cx: &Context, import: &ProductImport) -> Result<Imported, CatalogError> {
    let id = &cx.new_id(PRODUCT);
    cx.commit(|tx| async move {
        let ProductImport { product, status, .. } = import;
        let category = tx.read::<Category>(CATEGORY.key(&product.category)).await?;
        let category = category.ok_or(Failure::NotFound("category"))?;
        check_attributes(&category, product, None)?;
        tx.require(&category.document).or_retry();
        let identity = import.identity();
        let claim = match &*identity.pk {
            IMPORTED => tx.get(identity.clone()).await?,
            _ => None,
        };
        let (id, is_claimed, outcome) = match existing(&tx, import).await? {
            Some((old, key)) => {
                let outcome = update(&tx, &old, product, *status).await?;
                (old.value.id, key == identity || import.source.is_none(), outcome)
            }
            None => (create(&tx, import, id).await?, false, Imported::Added),
        };
        if identity.pk == IMPORTED && !is_claimed {
            // From now on it is found by where it comes from, or by its title. The claim may refer to a product that has been
            // deleted, and somebody else may make it at the same time.
            tx.create_or_update(identity, claim.as_ref(), json!({ "id": id }))
                .or_retry();
        }
        for address in &import.old_addresses {
            lead_on(&tx, address, &id).await?;
        }
        Ok(outcome)
    })
    .await
}

/// What an import of the product would do. A category or vendor that is yet to be made has an id that nothing has.
pub async fn plan_product(cx: &Context, import: &ProductImport) -> Result<Imported, CatalogError> {
    let ProductImport { product, status, .. } = import;
    let old = existing(cx, import).await?.map(|(old, _)| old);
    let id = old.as_ref().map_or("", |old| &old.id);
    check_skus(cx, id, &import.sku_keys()).await?;
    let Some(old) = old else {
        return Ok(Imported::Added);
    };
    let (category, vendor) = (product.category.clone(), vendor_of(product, &old));
    let mut new = product.rewrite(&old, category, vendor, cx.now(), || new_variant(cx));
    new.updated_at = old.updated_at;
    let is_same = new == old.value && old.status == *status;
    Ok(if is_same {
        Imported::Unchanged
    } else {
        Imported::Changed
    })
}

/// The product that an import is of: by its identity, or, if a source that is not known here is its identity, by its SKUs or its
/// slug; with the key that led to it. Fails if it is somebody else's.
async fn existing(cx: &Context, import: &ProductImport) -> Result<Option<(Stored<Product>, Key)>, CatalogError> {
    let mut keys = vec![import.identity()];
    let NewProduct { vendor, title, .. } = &import.product;
    if vendor.is_none() && keys.first().is_some_and(|key| key.pk == IMPORTED) && import.source.is_none() {
        // Titles without a vendor were claimed for everybody.
        keys.push(Key::new(IMPORTED, format!("/{}", title.trim())));
    }
    if let Some(source) = &import.source {
        // The ids of a shop were those of the account that imported it.
        keys.push(Key::new(IMPORTED, format!("{}/{source}", import.author)));
        keys.dedup();
        keys.extend(import.sku_keys());
        keys.extend(import.slug.as_deref().map(|slug| PRODUCT.name_key(slug)));
    }
    for key in keys {
        let Some(id) = owner_of(cx.get(key.clone()).await?.as_ref()).map_err(Failure::from)? else {
            continue;
        };
        let Some(product) = cx.read::<Product>(PRODUCT.key(&id)).await? else {
            continue;
        };
        let (is_own, is_source) = (product.author == import.author, key.pk == IMPORTED);
        let NewProduct {
            vendor, sku, variants, ..
        } = &import.product;
        let is_it = match &import.source {
            // The product has been given to a vendor since, or its vendor is told now.
            _ if is_source && vendor.is_none() => is_own || import.adopt,
            _ if is_source => product.vendor == *vendor || (is_own && product.vendor.is_none()),
            // A SKU may lead to a product that has it no longer, or in a variant.
            // Who sells for the vendor may have imported it before.
            Some(_) if key == PRODUCT.name_key(&product.slug) => {
                (is_own || vendor.is_some()) && product.vendor == *vendor
            }
            Some(_) => sku_keys(&product).contains(&key) && variants.is_empty() == product.variants.is_empty(),
            None if vendor.is_some() && sku.is_some() => product.vendor == *vendor && product.sku == *sku,
            // A former slug is not what a product is known by.
            None => key == PRODUCT.name_key(&product.slug),
        };
        if !is_it {
            continue;
        }
        let is_of_vendor = product.vendor.is_some() && product.vendor == *vendor;
        if !is_own && !is_of_vendor && !import.adopt {
            let detail = "there is a product of another account; who may can `adopt` it";
            return Err(Failure::forbidden_field(detail, "slug", detail).into());
        }
        return Ok(Some((product, key)));
    }
    Ok(None)
}

/// The vendor of an imported product: a file that names none does not take it from the one that it has.
fn vendor_of(product: &NewProduct, old: &Product) -> Option<String> {
    product.vendor.clone().or_else(|| old.vendor.clone())
}

async fn update(
    tx: &Transaction<CatalogError>,
    old: &Stored<Product>,
    product: &NewProduct,
    status: Status,
) -> Result<Imported, CatalogError> {
    let (category, vendor, now) = (product.category.clone(), vendor_of(product, old), tx.now());
    let mut new = product.rewrite(old, category, vendor, now, || new_variant(tx));
    new.updated_at = old.updated_at;
    if old.status != status {
        new = advanced(&new, status, now);
    }
    let changed = old.changed_fields(&new)?;
    if changed.is_empty() {
        return Ok(Imported::Unchanged);
    }
    new.updated_at = now;
    emit(tx, &new, old.version() + 1, Some((old.status, changed)));
    replace(tx, old, new, &IfMatch::default()).await?;
    Ok(Imported::Changed)
}

async fn create(tx: &Transaction<CatalogError>, import: &ProductImport, id: &str) -> Result<String, CatalogError> {
    let ProductImport {
        product,
        slug,
        status,
        author,
        old_addresses: _,
        source: _,
        adopt: _,
    } = import;
    let slug = match slug {
        Some(slug) => slug.clone(),
        None => check::slugify(&product.title, "product"),
    };
    // What failed may have been another condition.
    let is_taken = tx.is_retry() && tx.get(PRODUCT.name_key(&slug)).await?.is_some();
    let slug = if is_taken {
        unique_slug(tx, &product.title)
    } else {
        slug
    };
    let origin = Origin {
        id: id.to_owned(),
        slug,
        author: author.clone(),
        now: tx.now(),
    };
    let mut new = product.draft(product.category.clone(), product.vendor.clone(), origin, || {
        new_variant(tx)
    });
    if *status != Status::Draft {
        new = advanced(&new, *status, tx.now());
    }
    emit(tx, &new, 1, None);
    Ok(add(tx, new).await?.value.id)
}

/// Emits the events of a product that is now at `version`, and, if it existed, had another status and other fields before.
fn emit(tx: &Transaction<CatalogError>, product: &Product, version: u64, before: Option<(Status, Vec<String>)>) {
    let event = product.event(version);
    let status = match before {
        Some((status, changed)) => {
            tx.emit(
                PRODUCT_UPDATED,
                &ProductEvent {
                    changed,
                    ..event.clone()
                },
            );
            status
        }
        None => {
            tx.emit(PRODUCT_CREATED, &event);
            Status::Draft
        }
    };
    if status != product.status {
        tx.emit(product.status.event(), &event);
    }
}
