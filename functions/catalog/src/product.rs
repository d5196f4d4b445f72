//! The product: the fields that its sellers set, and their conversion from and to a stored product.

use std::collections::BTreeSet;

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use souk_core::{Fault, Key, Money, Timestamp, check};
use souk_model::catalog::category::AttributeValue;
pub(crate) use souk_model::catalog::filter::{MAX_TAG, normal_tag};
use souk_model::catalog::product::{ItemCondition, Location, Product};
use souk_model::catalog::status::Status;
use souk_model::catalog::variant::{Variant, ended, lowest, past_prices};

use crate::variant::{
    self, MAX_OPTIONS, MAX_VARIANTS, MAX_WEIGHT, NewOption, NewVariant, compares_to, distinct_options, fit, is_gtin,
};

pub(crate) const MAX_TAGS: usize = 10;
pub(crate) const MAX_GALLERY: usize = 20;

/// The fields of a product that its seller sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProduct {
    /// Title.
    #[garde(custom(check::line(1, 200)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 200, example = "Brass oil lamp")]
    pub title: String,
    /// Slug. It is made from the title if it is absent. A former one leads on to the product.
    #[garde(inner(custom(check::slug)))]
    #[serde(default)]
    #[schema(max_length = 80)]
    pub slug: Option<String>,
    /// Description, plain text.
    #[garde(custom(check::text(0, 10_000)))]
    #[serde(default)]
    #[schema(max_length = 10_000)]
    pub description: String,
    /// The id or slug of the category.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 80, example = "lamps")]
    pub category: String,
    /// The id or slug of the vendor that sells the product; only the owner and the staff of the vendor may set it.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default, deserialize_with = "check::optional_line")]
    #[schema(min_length = 1, max_length = 80)]
    pub vendor: Option<String>,
    /// Stock keeping unit (SKU): the vendor's identifier of the product, unique per vendor.
    #[garde(inner(custom(check::line(1, 100))), custom(with_vendor(&self.vendor)), custom(alone(&self.variants)))]
    #[serde(default, deserialize_with = "check::optional_line")]
    #[schema(min_length = 1, max_length = 100)]
    pub sku: Option<String>,
    /// Global Trade Item Number (GTIN): 8, 12, 13 or 14 digits, such as of an EAN or UPC.
    #[garde(inner(custom(is_gtin)), custom(alone(&self.variants)))]
    #[serde(default)]
    #[schema(pattern = "^([0-9]{8}|[0-9]{12,14})$")]
    pub gtin: Option<String>,
    /// Price. With variants it is the price of those that have none, or else the lowest of theirs; then it may be absent.
    #[garde(custom(is_lowest(&self.variants)), dive)]
    #[serde(default)]
    #[schema(value_type = Option<Money>)]
    pub price: Option<Money>,
    /// The price before a reduction.
    #[garde(custom(compares_to(self.price.as_ref())), custom(alone(&self.variants)), dive)]
    #[serde(default)]
    pub compare_at_price: Option<Money>,
    /// Weight in grams.
    #[garde(inner(custom(check::range(0, MAX_WEIGHT))), custom(alone(&self.variants)))]
    #[serde(default)]
    #[schema(maximum = 1_000_000_000)]
    pub weight: Option<u32>,
    /// The options that variants differ in, such as size and color.
    #[garde(custom(check::entries(0, MAX_OPTIONS)), custom(distinct_options), dive)]
    #[serde(default)]
    #[schema(max_items = 3)]
    pub options: Vec<NewOption>,
    /// The variants, in the order in which they are shown. A product without options has none.
    #[garde(custom(check::entries(0, MAX_VARIANTS)), custom(fit(&self.options, self.price.as_ref(), self.vendor.as_ref())), dive)]
    #[serde(default)]
    #[schema(max_items = 250)]
    pub variants: Vec<NewVariant>,
    /// Physical condition of the item.
    #[garde(skip)]
    #[serde(default)]
    pub condition: ItemCondition,
    /// The URL of the cover picture.
    #[garde(inner(custom(check::url)))]
    #[serde(default)]
    #[schema(format = "uri", max_length = 1000)]
    pub cover: Option<String>,
    /// The URLs of more pictures.
    #[garde(custom(check::entries(0, MAX_GALLERY)), inner(custom(check::url)))]
    #[serde(default)]
    #[schema(max_items = 20)]
    pub gallery: Vec<String>,
    /// Tags; stored in lower case, without duplicates.
    #[garde(custom(check::entries(0, MAX_TAGS)), inner(custom(is_tag)))]
    #[serde(default, deserialize_with = "check::lines")]
    #[schema(max_items = 10)]
    pub tags: Vec<String>,
    /// Values of the attributes that the category defines.
    #[garde(skip)]
    #[serde(default, deserialize_with = "check::values")]
    #[schema(value_type = BTreeMap<String, AttributeValue>)]
    pub attributes: Map<String, Value>,
    /// Geographic location of the item.
    #[garde(dive)]
    #[serde(default)]
    pub location: Option<Location>,
    /// The URL of an external page about the product.
    #[garde(inner(custom(check::url)))]
    #[serde(default)]
    #[schema(format = "uri", max_length = 1000)]
    pub url: Option<String>,
}

fn with_vendor<C>(vendor: &Option<String>) -> impl Fn(&Option<String>, &C) -> garde::Result + '_ {
    move |sku, _| match (sku, vendor) {
        (Some(_), None) => Err(Fault::inconsistent("vendor", "belongs to a vendor: give the vendor too").into()),
        _ => Ok(()),
    }
}

/// Some letters are several in lower case.
fn is_tag<C>(tag: &String, context: &C) -> garde::Result {
    let line = check::line(1, MAX_TAG);
    line(tag, context)?;
    line(&normal_tag(tag), context)
}

/// What each variant has for itself.
fn alone<T, C>(variants: &[NewVariant]) -> impl Fn(&Option<T>, &C) -> garde::Result + '_ {
    move |value, _| match value {
        Some(_) if !variants.is_empty() => Err(Fault::inconsistent("variants", "belongs to the variants").into()),
        _ => Ok(()),
    }
}

fn is_lowest<C>(variants: &[NewVariant]) -> impl Fn(&Option<Money>, &C) -> garde::Result + '_ {
    move |price, _| {
        let own = variants.iter().filter_map(|variant| variant.price.as_ref());
        let has_all = variants.iter().all(|variant| variant.price.is_some());
        match (price, own.min_by_key(|price| price.amount)) {
            (None, None) if variants.is_empty() => Err(Fault::required().into()),
            (Some(price), Some(lowest)) if price.currency != lowest.currency => {
                Err(Fault::inconsistent("variants", "must have the currency of the variants").into())
            }
            (Some(price), Some(lowest)) if has_all && price != lowest => {
                let detail = "is the lowest price of the variants: change theirs, or leave it out";
                Err(Fault::inconsistent("variants", detail).into())
            }
            _ => Ok(()),
        }
    }
}

/// The fields of a new product that its author does not set.
pub(crate) struct Origin {
    /// The id.
    pub(crate) id: String,
    /// The slug to claim.
    pub(crate) slug: String,
    /// The account that the product belongs to.
    pub(crate) author: String,
    /// The current time.
    pub(crate) now: Timestamp,
}

impl NewProduct {
    /// A draft with these fields and the resolved ids of its category and vendor.
    pub(crate) fn draft(
        &self,
        category: String,
        vendor: Option<String>,
        origin: Origin,
        new_id: impl Fn() -> String,
    ) -> Product {
        let Origin { id, slug, author, now } = origin;
        let blank = Product {
            id,
            slug,
            title: String::new(),
            description: String::new(),
            category: String::new(),
            author,
            vendor: None,
            sku: None,
            gtin: None,
            price: Money {
                amount: 0,
                currency: String::new(),
            },
            highest_price: None,
            compare_at_price: None,
            lowest_prior_price: None,
            past_prices: Vec::new(),
            weight: None,
            options: Vec::new(),
            variants: Vec::new(),
            condition: ItemCondition::New,
            cover: None,
            gallery: Vec::new(),
            tags: Vec::new(),
            attributes: Map::new(),
            location: None,
            url: None,
            status: Status::Draft,
            created_at: now,
            updated_at: now,
            published_at: None,
            upvote_count: 0,
            comment_count: 0,
            view_count: 0,
            version: 1,
            viewer: None,
            distance: None,
        };
        self.rewrite(&blank, category, vendor, now, new_id)
    }

    /// `old` with these fields and the resolved ids of its category and vendor.
    /// New variants get ids from `new_id`.
    pub(crate) fn rewrite(
        &self,
        old: &Product,
        category: String,
        vendor: Option<String>,
        now: Timestamp,
        new_id: impl Fn() -> String,
    ) -> Product {
        let mut tags: Vec<String> = Vec::new();
        for tag in self.tags.iter().map(|tag| normal_tag(tag)) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let variants = variant::variants(&self.variants, &self.options, self.price.as_ref(), old, now, new_id);
        let by_price = |variant: &&Variant| variant.price.amount;
        let price = match variants.iter().min_by_key(by_price) {
            Some(cheapest) => cheapest.price.clone(),
            None => self.price.clone().unwrap_or_else(|| old.price.clone()),
        };
        let highest = variants
            .iter()
            .max_by_key(by_price)
            .map(|variant| variant.price.clone());
        let was_shown = old.status.is_public();
        let past = match old.variants.iter().min_by_key(by_price) {
            _ if !variants.is_empty() => Vec::new(),
            Some(cheapest) => past_prices(&cheapest.price, &cheapest.past_prices, was_shown, &price, now),
            None => past_prices(&old.price, &old.past_prices, was_shown, &price, now),
        };
        Product {
            title: self.title.clone(),
            slug: self.slug.clone().unwrap_or_else(|| old.slug.clone()),
            description: self.description.clone(),
            category,
            vendor,
            sku: self.sku.clone(),
            gtin: self.gtin.clone(),
            highest_price: highest.filter(|highest| *highest != price),
            compare_at_price: self.compare_at_price.clone(),
            lowest_prior_price: self
                .compare_at_price
                .as_ref()
                .and_then(|_| lowest(&past, &price.currency)),
            past_prices: past,
            price,
            weight: self.weight,
            options: variant::options(&self.options, &self.variants),
            variants,
            condition: self.condition,
            cover: self.cover.clone(),
            gallery: self.gallery.clone(),
            tags,
            attributes: self.attributes.clone(),
            location: self.location.clone(),
            url: self.url.clone(),
            updated_at: now,
            ..old.clone()
        }
    }

    /// The fields that a patch is applied to.
    pub(crate) fn of(product: &Product) -> Self {
        Self {
            title: product.title.clone(),
            slug: Some(product.slug.clone()),
            description: product.description.clone(),
            category: product.category.clone(),
            vendor: product.vendor.clone(),
            sku: product.sku.clone(),
            gtin: product.gtin.clone(),
            price: Some(product.price.clone()),
            compare_at_price: product.compare_at_price.clone(),
            weight: product.weight,
            options: product.options.iter().map(NewOption::from).collect(),
            variants: product.variants.iter().map(NewVariant::from).collect(),
            condition: product.condition,
            cover: product.cover.clone(),
            gallery: product.gallery.clone(),
            tags: product.tags.clone(),
            attributes: product.attributes.clone(),
            location: product.location.clone(),
            url: product.url.clone(),
        }
    }
}

/// The product with its next status; the [transition](Status::may_become) must be allowed.
pub(crate) fn advanced(product: &Product, status: Status, now: Timestamp) -> Product {
    let published_at = product.published_at.or((status == Status::Published).then_some(now));
    let mut advanced = Product {
        status,
        published_at,
        updated_at: now,
        ..product.clone()
    };
    if product.status.is_public() && !status.is_public() {
        // The prices are no longer shown.
        for variant in &mut advanced.variants {
            variant.past_prices = ended(&variant.price, &variant.past_prices, now);
        }
        if advanced.variants.is_empty() {
            advanced.past_prices = ended(&product.price, &product.past_prices, now);
        }
    }
    advanced
}

/// The key of the claim on a SKU of a vendor.
pub(crate) fn sku_key(vendor: &str, sku: &str) -> Key {
    Key::new(format!("sku/{vendor}"), sku)
}

/// The keys of the claims on the SKUs of a product and its variants.
pub(crate) fn sku_keys(product: &Product) -> BTreeSet<Key> {
    let Some(vendor) = &product.vendor else {
        return BTreeSet::new();
    };
    let variants = product.variants.iter().filter_map(|variant| variant.sku.as_ref());
    let skus = product.sku.iter().chain(variants);
    skus.map(|sku| sku_key(vendor, sku)).collect()
}
