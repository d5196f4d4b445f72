//! The product: its fields, its rules, and where it stands in lists.

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use souk_core::fact::ProductFact;
use souk_core::{Document, Entry, Key, Money, StoreError, Timestamp};
use souk_kit::check;

use crate::lists::{List, Sort};
use crate::status::Status;

/// The counters that every product has. Upvotes, comments and views are not the author's to set.
pub const COUNTERS: [&str; 3] = ["upvote_count", "comment_count", "view_count"];
/// The fields that `fields=` may name.
pub(crate) const FIELDS: &[&str] = &[
    "id",
    "slug",
    "title",
    "description",
    "category",
    "author",
    "vendor",
    "sku",
    "price",
    "condition",
    "cover",
    "gallery",
    "tags",
    "attributes",
    "location",
    "url",
    "status",
    "upvote_count",
    "comment_count",
    "view_count",
    "created_at",
    "updated_at",
    "published_at",
    "version",
];
const MAX_TAGS: usize = 10;
/// How many characters a tag may have.
pub(crate) const MAX_TAG: usize = 40;
const MAX_GALLERY: usize = 20;

/// A product as it is stored. It is shown as it is stored, with its counts and its `version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Product {
    /// `prd_…`
    #[schema(pattern = "^prd_[0-9a-f]{32}$")]
    pub id: String,
    // Second, so that `status_of` finds it without reading on.
    /// Where it is in its life.
    pub status: Status,
    /// Unique; made from the title once, and stays.
    pub slug: String,
    /// What it is.
    pub title: String,
    /// What there is to say of it; plain text.
    pub description: String,
    /// The id of its category, or the category itself with `include=category`.
    #[schema(schema_with = id_or_object)]
    pub category: String,
    /// The id of the account that added it, or its profile with `include=author`.
    #[schema(schema_with = id_or_object)]
    pub author: String,
    /// The id of the vendor that sells it, if any, or the vendor itself with `include=vendor`.
    #[schema(schema_with = id_or_object)]
    pub vendor: Option<String>,
    /// Its vendor's own key for it.
    pub sku: Option<String>,
    /// What it costs.
    pub price: Money,
    /// How worn it is.
    pub condition: ItemCondition,
    /// The address of its picture.
    pub cover: Option<String>,
    /// The addresses of more pictures.
    pub gallery: Vec<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What its category's attributes say of it.
    #[schema(value_type = Object)]
    pub attributes: Map<String, Value>,
    /// Where it is.
    pub location: Option<Location>,
    /// A page of its own elsewhere.
    pub url: Option<String>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its fields last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When it was first published; lists by `newest` go by it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub published_at: Option<Timestamp>,
    /// How many have voted for it.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true)]
    pub upvote_count: i64,
    /// How many comments it has.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true)]
    pub comment_count: i64,
    /// How many have seen it.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true)]
    pub view_count: i64,
    /// How many times it was written.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// The schema of an id that `include` may open out.
pub fn id_or_object() -> utoipa::openapi::Schema {
    use utoipa::openapi::schema::{OneOfBuilder, Type};
    use utoipa::openapi::{ObjectBuilder, Schema};
    let one = |kind: Type| Schema::Object(ObjectBuilder::new().schema_type(kind).build());
    Schema::OneOf(
        OneOfBuilder::new()
            .item(one(Type::String))
            .item(one(Type::Object))
            .item(one(Type::Null))
            .build(),
    )
}

/// How worn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemCondition {
    /// Never used.
    #[default]
    New,
    /// Used and as good as new.
    LikeNew,
    /// Used, with small traces.
    Good,
    /// Used, with clear traces.
    Fair,
    /// For parts or repair.
    Poor,
}

/// A place on Earth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Degrees north.
    #[garde(range(min = -90.0, max = 90.0))]
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: f64,
    /// Degrees east.
    #[garde(range(min = -180.0, max = 180.0))]
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: f64,
    /// As people call it.
    #[garde(inner(custom(check::line(1, 120))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 120)]
    pub label: Option<String>,
}

/// What its author may set.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProduct {
    /// What it is.
    #[garde(custom(check::line(1, 200)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 200, example = "Brass oil lamp")]
    pub title: String,
    /// What there is to say of it; plain text.
    #[garde(custom(check::text(0, 10_000)))]
    #[serde(default)]
    #[schema(max_length = 10_000)]
    pub description: String,
    /// The id or slug of its category.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 80, example = "lamps")]
    pub category: String,
    /// The id or slug of the vendor that sells it; only its owner may.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80)]
    pub vendor: Option<String>,
    /// The vendor's own key for it, unique for the vendor.
    #[garde(inner(custom(check::line(1, 100))), custom(with_vendor(&self.vendor)))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub sku: Option<String>,
    /// What it costs.
    #[garde(required, dive)]
    #[serde(default)]
    #[schema(required = true, value_type = Money)]
    pub price: Option<Money>,
    /// How worn it is.
    #[garde(skip)]
    #[serde(default)]
    pub condition: ItemCondition,
    /// The address of its picture.
    #[garde(inner(custom(check::url)))]
    #[serde(default)]
    #[schema(format = "uri", max_length = 1000)]
    pub cover: Option<String>,
    /// The addresses of more pictures.
    #[garde(length(max = MAX_GALLERY), inner(custom(check::url)))]
    #[serde(default)]
    #[schema(max_items = 20)]
    pub gallery: Vec<String>,
    /// Words to find it by; kept in lower case, each once.
    #[garde(length(max = MAX_TAGS), inner(custom(check::line(1, MAX_TAG))))]
    #[serde(default)]
    #[schema(max_items = 10)]
    pub tags: Vec<String>,
    /// What its category's attributes say of it.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: Map<String, Value>,
    /// Where it is.
    #[garde(dive)]
    #[serde(default)]
    pub location: Option<Location>,
    /// A page of its own elsewhere.
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

/// Whom a product belongs to, and by which slug it is known: all that its author does not write.
pub struct Origin {
    /// A new id.
    pub id: String,
    /// A slug that it will claim.
    pub slug: String,
    /// The account.
    pub author: String,
    /// Now.
    pub now: Timestamp,
}

impl Product {
    /// What an event says of it, at `version`.
    #[must_use]
    pub fn fact(&self, version: u64) -> ProductFact {
        ProductFact {
            product: self.id.clone(),
            version,
            status: self.status.name().to_owned(),
            slug: self.slug.clone(),
            title: self.title.clone(),
            category: self.category.clone(),
            author: self.author.clone(),
            vendor: self.vendor.clone(),
        }
    }

    /// A draft of `new`, whose category and vendor have been looked up.
    #[must_use]
    pub fn draft(new: NewProduct, category: String, vendor: Option<String>, origin: Origin) -> Self {
        let Origin { id, slug, author, now } = origin;
        let blank = Self {
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
        blank.rewritten(new, category, vendor, now)
    }

    /// The same product with what its author wrote anew.
    #[must_use]
    pub fn rewritten(&self, new: NewProduct, category: String, vendor: Option<String>, now: Timestamp) -> Self {
        let mut tags: Vec<String> = Vec::new();
        for tag in new.tags.iter().map(|tag| normal_tag(tag)) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Self {
            title: new.title.trim().to_owned(),
            description: new.description,
            category,
            vendor,
            sku: new.sku,
            price: new.price.unwrap_or_else(|| self.price.clone()),
            condition: new.condition,
            cover: new.cover,
            gallery: new.gallery,
            tags,
            attributes: new.attributes,
            location: new.location,
            url: new.url,
            updated_at: now,
            ..self.clone()
        }
    }

    /// The same product in its next status, which it [may become](Status::may_become).
    #[must_use]
    pub fn moved(&self, status: Status, now: Timestamp) -> Self {
        let published_at = self.published_at.or((status == Status::Published).then_some(now));
        Self {
            status,
            published_at,
            updated_at: now,
            ..self.clone()
        }
    }

    /// What a patch is applied to.
    #[must_use]
    pub fn writable(&self) -> NewProduct {
        NewProduct {
            title: self.title.clone(),
            description: self.description.clone(),
            category: self.category.clone(),
            vendor: self.vendor.clone(),
            sku: self.sku.clone(),
            price: Some(self.price.clone()),
            condition: self.condition,
            cover: self.cover.clone(),
            gallery: self.gallery.clone(),
            tags: self.tags.clone(),
            attributes: self.attributes.clone(),
            location: self.location.clone(),
            url: self.url.clone(),
        }
    }

    /// Where it stands: in one list per thing it can be listed by, in each by time and by price.
    ///
    /// At most 2 × (4 + 10 tags) entries, so that a rewrite that changes them all fits into one commit.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut lists = vec![
            List::All.index(self.status),
            List::Category(&self.category).index(self.status),
            List::Author(&self.author).index(self.status),
        ];
        lists.extend(
            self.vendor
                .as_deref()
                .map(|vendor| List::Vendor(vendor).index(self.status)),
        );
        if self.status.is_public() {
            lists.extend(self.tags.iter().map(|tag| List::Tag(tag).index(self.status)));
        }
        let time = self.published_at.unwrap_or(self.created_at).as_millisecond();
        let by_time = format!("{}{time:013}/{}", Sort::Newest.prefix(), self.id);
        let by_price = format!("{}{}/{}", Sort::Cheapest.prefix(), self.price.sort_key(), self.id);
        let places = |index: String| {
            [
                Entry::new(index.clone(), by_time.clone()),
                Entry::new(index, by_price.clone()),
            ]
        };
        lists.into_iter().flat_map(places).collect()
    }
}

/// The status of a stored product. It stands right behind the id, whose length is known, so a list need not read all of
/// its products to make sure of it; a body in another order is read whole.
pub fn status_of(document: &Document) -> Result<Status, StoreError> {
    const ID: usize = "{\"id\":\"prd_00000000000000000000000000000000".len();
    let status = document
        .body
        .get(ID..)
        .and_then(|rest| rest.strip_prefix("\",\"status\":\""));
    let is = |status: &Status, text: &str| {
        text.strip_prefix(status.name())
            .is_some_and(|rest| rest.starts_with('"'))
    };
    let named = status.and_then(|text| Status::ALL.into_iter().find(|status| is(status, text)));
    named.map_or_else(
        || document.parse::<Visibility>().map(|visibility| visibility.status),
        Ok,
    )
}

/// Who may see a product.
#[derive(Deserialize)]
pub(crate) struct Visibility {
    status: Status,
    /// Of whom it is.
    pub(crate) author: String,
}

/// Tags are compared in lower case.
#[must_use]
pub fn normal_tag(tag: &str) -> String {
    tag.trim().to_lowercase()
}

/// Where a vendor's SKU is claimed.
#[must_use]
pub fn sku_key(vendor: &str, sku: &str) -> Key {
    Key::new(format!("sku/{vendor}"), sku)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored documents stay readable: a body written by an earlier version must parse, and say the same again.
    #[test]
    fn the_stored_format_is_pinned() {
        let stored = r#"{"id":"prd_1","status":"published","slug":"lamp","title":"Lamp","description":"","category":"cat_1","author":"acc_1","vendor":null,"sku":null,"price":{"amount":1999,"currency":"EUR"},"condition":"like_new","cover":null,"gallery":[],"tags":["brass"],"attributes":{"height":12},"location":{"latitude":1.5,"longitude":-2.5,"label":null},"url":null,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","published_at":"2026-01-02T03:04:05.678Z"}"#;
        let product: Product = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&product).unwrap(), stored);
        // With an id of full length, and with any other body.
        let body = stored
            .replace("prd_1", &format!("prd_{}", "0".repeat(32)))
            .replace("published\"", "sold\"");
        for body in [body.clone(), body.replacen('{', "{ ", 1)] {
            let key = Key::of("product", "prd_1");
            let document = Document {
                key,
                version: 1,
                body,
                counters: "{}".into(),
                expires_at: None,
            };
            assert_eq!(status_of(&document), Ok(Status::Sold));
        }
        let entries: Vec<_> = product.entries().into_iter().map(|e| (e.index, e.sort)).collect();
        assert_eq!(entries.len(), 8);
        assert_eq!(
            entries[0],
            ("products/published".into(), "t/1767323045678/prd_1".into())
        );
        assert_eq!(entries[1].1, "p/00000000000000199900/prd_1");
        assert_eq!(entries[6].0, "products/published/tag/brass");
    }
}
