//! The product: the fields that its author sets, and their conversion from and to a stored product.

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use souk_core::{Key, Money, Timestamp, check};
use souk_model::catalog::product::{ItemCondition, Location, Product};
use souk_model::catalog::status::Status;

const MAX_TAGS: usize = 10;
/// The maximum length of a tag in characters.
pub(crate) const MAX_TAG: usize = 40;
const MAX_GALLERY: usize = 20;

/// The fields of a product that its author may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProduct {
    /// Title.
    #[garde(custom(check::line(1, 200)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 200, example = "Brass oil lamp")]
    pub title: String,
    /// Description, plain text.
    #[garde(custom(check::text(0, 10_000)))]
    #[serde(default)]
    #[schema(max_length = 10_000)]
    pub description: String,
    /// The id or slug of the category.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 80, example = "lamps")]
    pub category: String,
    /// The id or slug of the vendor that sells the product; only the owner of the vendor may set it.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80)]
    pub vendor: Option<String>,
    /// Stock keeping unit (SKU): the vendor's identifier of the product, unique per vendor.
    #[garde(inner(custom(check::line(1, 100))), custom(with_vendor(&self.vendor)))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub sku: Option<String>,
    /// Price.
    #[garde(required, dive)]
    #[serde(default)]
    #[schema(required = true, value_type = Money)]
    pub price: Option<Money>,
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
    #[garde(length(max = MAX_GALLERY), inner(custom(check::url)))]
    #[serde(default)]
    #[schema(max_items = 20)]
    pub gallery: Vec<String>,
    /// Tags; stored in lower case, without duplicates.
    #[garde(length(max = MAX_TAGS), inner(custom(check::line(1, MAX_TAG))))]
    #[serde(default)]
    #[schema(max_items = 10)]
    pub tags: Vec<String>,
    /// Values of the attributes that the category defines.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: Map<String, Value>,
    /// Geographic location of the item.
    #[garde(dive)]
    #[serde(default)]
    pub location: Option<Location>,
    /// The URL of an external page about the product.
    #[garde(inner(custom(check::link)))]
    #[serde(default)]
    #[schema(format = "uri", max_length = 1000)]
    pub url: Option<String>,
}

fn with_vendor<C>(vendor: &Option<String>) -> impl Fn(&Option<String>, &C) -> garde::Result + '_ {
    move |sku, _| match (sku, vendor) {
        (Some(_), None) => Err(garde::Error::new("belongs to a vendor: give the vendor too")),
        _ => Ok(()),
    }
}

/// The fields of a new product that its author does not set.
pub(crate) struct Origin {
    /// The id.
    pub(crate) id: String,
    /// The slug to claim.
    pub(crate) slug: String,
    /// The account that adds the product.
    pub(crate) author: String,
    /// The current time.
    pub(crate) now: Timestamp,
}

impl NewProduct {
    /// A draft with these fields and the resolved ids of its category and vendor.
    pub(crate) fn draft(&self, category: String, vendor: Option<String>, origin: Origin) -> Product {
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
            price: Money {
                amount: 0,
                currency: String::new(),
            },
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
        };
        self.rewrite(&blank, category, vendor, now)
    }

    /// `old` with these fields and the resolved ids of its category and vendor.
    pub(crate) fn rewrite(&self, old: &Product, category: String, vendor: Option<String>, now: Timestamp) -> Product {
        let mut tags: Vec<String> = Vec::new();
        for tag in self.tags.iter().map(|tag| normal_tag(tag)) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Product {
            title: self.title.trim().to_owned(),
            description: self.description.clone(),
            category,
            vendor,
            sku: self.sku.clone(),
            price: self.price.clone().unwrap_or_else(|| old.price.clone()),
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
            description: product.description.clone(),
            category: product.category.clone(),
            vendor: product.vendor.clone(),
            sku: product.sku.clone(),
            price: Some(product.price.clone()),
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
    Product {
        status,
        published_at,
        updated_at: now,
        ..product.clone()
    }
}

/// The stored form of a tag: tags are compared in lower case.
pub(crate) fn normal_tag(tag: &str) -> String {
    tag.trim().to_lowercase()
}

/// The key of the claim on a SKU of a vendor.
pub(crate) fn sku_key(vendor: &str, sku: &str) -> Key {
    Key::new(format!("sku/{vendor}"), sku)
}

/// The key of the claim on the SKU of a product, if it has one.
pub(crate) fn sku_claim(product: &Product) -> Option<Key> {
    let (vendor, sku) = product.vendor.as_ref().zip(product.sku.as_ref())?;
    Some(sku_key(vendor, sku))
}
