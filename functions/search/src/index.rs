//! From documents to the index: the job that brings products up to date, and the one for those whose category or vendor
//! was changed.
//!
//! **Late, twice and out of order.** A message only names a product; what is indexed is the product as it is when the job
//! looks at it, at its version, and the index never goes back behind a version. So these jobs leave no mark in the inbox:
//! if one dies in between it is simply done again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use souk_catalog::category::Category;
use souk_catalog::lists::List;
use souk_catalog::product::{ItemCondition, Product};
use souk_catalog::status::Status;
use souk_core::documents::{MAX_KEYS, MAX_LIMIT};
use souk_core::fact::{CategoryFact, PRODUCT_DELETED, ProductFact, VendorFact};
use souk_core::kind::{CATEGORY, PRODUCT, VENDOR};
use souk_core::search::{Facet, Field, IndexChange, Listing, SearchError};
use souk_core::{Document, Key, Message, Query, StoreError};
use souk_kit::work::{Effects, JobError, event_of, tracked};
use souk_kit::{Platform, view};

use crate::query::number;

/// The job for the products of a category or vendor.
pub(crate) const RELABEL: &str = "search.relabel";
/// How many messages are folded.
pub(crate) const BATCH: usize = 40;
/// How many pages of products one run of a job in parts goes through.
pub(crate) const PAGES: usize = 5;
/// What twice the votes are worth: two days, in seconds, as in `trending`.
const VOTES: f64 = 2.0 * 86_400.0;

/// An index that does not answer costs a job no attempt, like a store.
pub(crate) fn failed(error: SearchError) -> JobError {
    match error {
        SearchError::Unavailable(why) => JobError::Store(StoreError::Unavailable(why)),
        error => JobError::Again(error.to_string()),
    }
}

/// The job [`INDEX`](souk_core::search::INDEX).
pub(crate) async fn index(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    // With the version behind which there is nothing, of those that were removed.
    let mut named: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for message in &messages {
        if let Some(product) = message.body.get("product").and_then(Value::as_str) {
            named.entry(product.to_owned()).or_default();
            continue;
        }
        let event = event_of(message)?;
        if let Some(fact) = event.read::<ProductFact>()? {
            let removed = (event.name == PRODUCT_DELETED).then(|| fact.version.saturating_add(1));
            let known = named.entry(fact.product).or_default();
            *known = (*known).max(removed);
        }
    }
    let keys: Vec<Key> = named.keys().map(|product| PRODUCT.key(product)).collect();
    if keys.is_empty() {
        return Ok(Effects::default());
    }
    let found = platform.documents.get(&keys).await?;
    let mut changes = Vec::with_capacity(named.len());
    let mut documents = Vec::with_capacity(named.len());
    for ((product, removed), document) in named.into_iter().zip(found) {
        match (document, removed) {
            (Some(document), _) => documents.push(document),
            (None, Some(version)) => changes.push(IndexChange::Remove { product, version }),
            // Its removal has a message of its own.
            (None, None) => {}
        }
    }
    changes.extend(changes_of(&platform, documents).await?);
    if !changes.is_empty() {
        platform.search.apply(&changes).await.map_err(failed)?;
    }
    Ok(Effects::default())
}

/// Whose products are to be indexed anew, and behind which place in their list.
#[derive(Serialize, Deserialize)]
struct Rest {
    list: String,
    after: Option<String>,
}

/// Indexes the products of a category or vendor anew, some pages at a time.
pub(crate) async fn relabel(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let rest: Rest = if message.body.get("list").is_some() {
        serde_json::from_value(message.body.clone()).map_err(|e| JobError::Fatal(e.to_string()))?
    } else {
        let event = event_of(&message)?;
        let list = if let Some(fact) = event.read::<CategoryFact>()? {
            List::Category(&fact.category).index(Status::Published)
        } else if let Some(fact) = event.read::<VendorFact>()? {
            List::Vendor(&fact.vendor).index(Status::Published)
        } else {
            return Ok(Effects::default());
        };
        Rest { list, after: None }
    };
    let mut query = page(rest.list.clone(), rest.after);
    for _ in 0..PAGES {
        let page = platform.documents.query(&query).await?;
        let documents = page.items.into_iter().map(|item| item.document).collect();
        let changes = changes_of(&platform, documents).await?;
        if !changes.is_empty() {
            platform.search.apply(&changes).await.map_err(failed)?;
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(Effects::default());
        }
    }
    let next = json!(Rest {
        list: rest.list,
        after: query.after,
    });
    Ok(Effects {
        messages: vec![tracked::next(&platform, &message, next)],
        ..Effects::default()
    })
}

/// A page of a list of products, each once.
pub(crate) fn page(list: String, after: Option<String>) -> Query {
    Query {
        prefix: souk_catalog::lists::Sort::Newest.prefix().to_owned(),
        after,
        ..Query::index(list, MAX_LIMIT)
    }
}

/// What the index has to be told of these products, as they are now.
pub(crate) async fn changes_of(platform: &Platform, documents: Vec<Document>) -> Result<Vec<IndexChange>, StoreError> {
    let mut changes = Vec::with_capacity(documents.len());
    let mut products = Vec::with_capacity(documents.len());
    for document in documents {
        match document.parse::<Product>() {
            Ok(product) if product.status == Status::Published => products.push((document, product)),
            Ok(product) => changes.push(IndexChange::Remove {
                product: product.id,
                version: document.version,
            }),
            // It must not keep the others out.
            Err(error) => tracing::error!(%error, "a product cannot be read"),
        }
    }
    let names = Names::read(platform, products.iter().map(|(_, product)| product)).await?;
    let listings = products
        .iter()
        .map(|(document, product)| names.listing(document, product));
    changes.extend(listings.map(|listing| IndexChange::Put(Box::new(listing))));
    Ok(changes)
}

#[derive(Deserialize)]
struct Vendor {
    name: String,
}

/// The categories and vendors of some products.
#[derive(Default)]
struct Names {
    categories: BTreeMap<String, Category>,
    vendors: BTreeMap<String, Vendor>,
}

impl Names {
    async fn read(platform: &Platform, products: impl Iterator<Item = &Product>) -> Result<Self, StoreError> {
        let mut keys: BTreeSet<(bool, &str)> = BTreeSet::new();
        for product in products {
            keys.insert((true, &product.category));
            keys.extend(product.vendor.as_deref().map(|vendor| (false, vendor)));
        }
        let keys: Vec<_> = keys.into_iter().collect();
        let mut names = Self::default();
        for keys in keys.chunks(MAX_KEYS) {
            let places: Vec<Key> = keys
                .iter()
                .map(|&(is_category, id)| if is_category { CATEGORY.key(id) } else { VENDOR.key(id) })
                .collect();
            for (&(is_category, id), document) in keys.iter().zip(platform.documents.get(&places).await?) {
                let Some(document) = document else { continue };
                if is_category {
                    names.categories.insert(id.to_owned(), document.parse()?);
                } else {
                    names.vendors.insert(id.to_owned(), document.parse()?);
                }
            }
        }
        Ok(names)
    }

    fn listing(&self, document: &Document, product: &Product) -> Listing {
        let facet = |field: &str, value: &str, label: &str| Facet {
            field: field.to_owned(),
            value: value.to_owned(),
            label: label.to_owned(),
        };
        let mut texts = vec![
            (Field::Title, product.title.clone()),
            (Field::Description, product.description.clone()),
        ];
        let mut facets = Vec::new();
        let category = self.categories.get(&product.category);
        let label = category.map_or(product.category.as_str(), |category| &category.name);
        facets.push(facet("category", &product.category, label));
        texts.extend(category.map(|category| (Field::Category, category.name.clone())));
        if let Some(id) = &product.vendor {
            let vendor = self.vendors.get(id);
            facets.push(facet("vendor", id, vendor.map_or(id.as_str(), |vendor| &vendor.name)));
            texts.extend(vendor.map(|vendor| (Field::Vendor, vendor.name.clone())));
        }
        for tag in &product.tags {
            facets.push(facet("tag", tag, tag));
            texts.push((Field::Tags, tag.clone()));
        }
        let (value, label) = condition(product.condition);
        facets.push(facet("condition", value, label));
        for (name, value) in &product.attributes {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(value) => value.as_f64().map(number).unwrap_or_default(),
                Value::Bool(value) => value.to_string(),
                _ => continue,
            };
            let known = category.and_then(|category| category.attributes.iter().find(|own| own.name == *name));
            if known.is_some_and(|attribute| attribute.filterable) {
                facets.push(facet(&format!("attr.{name}"), &text, &text));
            }
            if !value.is_boolean() {
                texts.push((Field::Attributes, text));
            }
        }
        let published_at = product.published_at.unwrap_or(product.created_at).as_millisecond();
        let votes = votes(document);
        Listing {
            product: product.id.clone(),
            version: document.version,
            body: String::from_utf8(view(document)).unwrap_or_default(),
            rank: published_at.div_euclid(1000) + boost(votes),
            texts,
            facets,
            price: product.price.amount,
            published_at,
            votes,
            place: product.location.as_ref().map(|place| (place.latitude, place.longitude)),
        }
    }
}

/// How much later its votes make a product, in seconds.
fn boost(votes: i64) -> i64 {
    (VOTES * (1.0 + votes.max(0) as f64).log2()) as i64
}

fn votes(document: &Document) -> i64 {
    #[derive(Default, Deserialize)]
    struct Counts {
        #[serde(default)]
        upvote_count: i64,
    }
    let counts: Counts = serde_json::from_str(&document.counters).unwrap_or_default();
    counts.upvote_count
}

fn condition(condition: ItemCondition) -> (&'static str, &'static str) {
    match condition {
        ItemCondition::New => ("new", "New"),
        ItemCondition::LikeNew => ("like_new", "Like new"),
        ItemCondition::Good => ("good", "Good"),
        ItemCondition::Fair => ("fair", "Fair"),
        ItemCondition::Poor => ("poor", "Poor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_votes_are_worth_two_days() {
        assert_eq!([0, 1, 3, -1].map(boost), [0, 172_800, 345_600, 0]);
    }
}
