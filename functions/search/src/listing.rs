//! Converts products to documents of the index.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use souk_core::documents::{MAX_KEYS, MAX_LIMIT};
use souk_core::search::{Facet, Field, IndexChange, Listing, Suggestion, SuggestionKind};
use souk_core::{Document, Key, Query};
use souk_kit::{Context, Failure};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Category, MAX_DEPTH};
use souk_model::catalog::filter::indexed;
use souk_model::catalog::lists::Sort;
use souk_model::catalog::product::Product;
use souk_model::catalog::status::Status;
use souk_model::catalog::variant;
use souk_model::vendors::{VENDOR, VendorView};

/// The half-life of upvotes: two days, in seconds, as in `trending`.
const VOTES: f64 = 2.0 * 86_400.0;

/// A page of a list of products, each once.
pub(crate) fn page(list: String, after: Option<String>) -> Query {
    Query {
        prefix: Sort::Newest.prefix().to_owned(),
        after,
        ..Query::index(list, MAX_LIMIT)
    }
}

/// The changes that update these products in the index.
pub(crate) async fn changes_of(cx: &Context, documents: Vec<Document>) -> Result<Vec<IndexChange>, Failure> {
    let mut changes = Vec::with_capacity(documents.len());
    let mut products = Vec::with_capacity(documents.len());
    for document in documents {
        match document.parse::<Product>() {
            Ok(product) if product.status == Status::Published => products.push((document, product)),
            Ok(product) => changes.push(IndexChange::Remove {
                id: product.id,
                version: document.version,
            }),
            // An unreadable product must not block the others.
            Err(error) => tracing::error!(%error, "a product cannot be read"),
        }
    }
    let names = Names::read(cx, products.iter().map(|(_, product)| product)).await?;
    let listings = products
        .iter()
        .map(|(document, product)| names.listing(document, product));
    changes.extend(listings.map(|listing| IndexChange::Put(Box::new(listing))));
    Ok(changes)
}

/// The categories and vendors of some products, by id.
#[derive(Default)]
struct Names {
    categories: BTreeMap<String, Category>,
    vendors: BTreeMap<String, VendorView>,
}

impl Names {
    async fn read(cx: &Context, products: impl Iterator<Item = &Product>) -> Result<Self, Failure> {
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        for product in products {
            keys.insert(CATEGORY.key(&product.category));
            keys.extend(product.vendor.as_deref().map(|vendor| VENDOR.key(vendor)));
        }
        let mut names = Self::default();
        // A round for each level of the tree of categories.
        while !keys.is_empty() {
            let round: Vec<Key> = std::mem::take(&mut keys).into_iter().collect();
            for round in round.chunks(MAX_KEYS) {
                for document in cx.get_all(round).await?.into_iter().flatten() {
                    if let Some(id) = CATEGORY.id_of(&document.key) {
                        let category: Category = document.parse()?;
                        keys.extend(category.parent.as_deref().map(|parent| CATEGORY.key(parent)));
                        names.categories.insert(id.to_owned(), category);
                    } else if let Some(id) = VENDOR.id_of(&document.key) {
                        names.vendors.insert(id.to_owned(), document.parse()?);
                    }
                }
            }
            keys.retain(|key| CATEGORY.id_of(key).is_none_or(|id| !names.categories.contains_key(id)));
        }
        Ok(names)
    }

    /// The category with this id, and those above it.
    fn path(&self, id: &str) -> impl Iterator<Item = &Category> {
        let parent = |category: &&Category| self.categories.get(category.parent.as_ref()?);
        std::iter::successors(self.categories.get(id), parent).take(MAX_DEPTH)
    }

    fn listing(&self, document: &Document, product: &Product) -> Listing {
        let facet = |field: &str, value: &str, label: &str| Facet {
            field: field.to_owned(),
            value: value.to_owned(),
            label: label.to_owned(),
        };
        // The last words of a long description are not indexed, so it comes last.
        let mut texts = vec![(Field::Title, product.title.clone())];
        for code in codes(product) {
            let joined: String = code.chars().filter(|c| c.is_alphanumeric()).collect();
            if joined != *code {
                texts.push((Field::Attributes, joined));
            }
            texts.push((Field::Attributes, code.clone()));
        }
        let options: BTreeSet<&String> = product.options.iter().flat_map(|option| &option.values).collect();
        texts.extend(options.into_iter().map(|value| (Field::Attributes, value.clone())));
        let suggestion = |kind: SuggestionKind, text: &str, id: Option<&str>| Suggestion {
            kind,
            text: text.to_owned(),
            id: id.map(str::to_owned),
        };
        let (mut facets, mut suggestions) = (Vec::new(), Vec::new());
        let category = self.categories.get(&product.category);
        if category.is_none() {
            facets.push(facet("category", &product.category, &product.category));
        }
        for category in self.path(&product.category) {
            facets.push(facet("category", &category.id, &category.name));
            texts.push((Field::Group, category.name.clone()));
            suggestions.push(suggestion(SuggestionKind::Group, &category.name, Some(&category.id)));
        }
        if let Some(id) = &product.vendor {
            let vendor = self.vendors.get(id);
            facets.push(facet("vendor", id, vendor.map_or(id.as_str(), |vendor| &vendor.name)));
            if let Some(vendor) = vendor {
                texts.push((Field::Owner, vendor.name.clone()));
                suggestions.push(suggestion(SuggestionKind::Owner, &vendor.name, Some(id)));
            }
        }
        for tag in &product.tags {
            facets.push(facet("tag", tag, tag));
            texts.push((Field::Tags, tag.clone()));
            suggestions.push(suggestion(SuggestionKind::Query, tag, None));
        }
        facets.push(facet("condition", product.condition.name(), product.condition.label()));
        facets.push(facet("id", &product.id, ""));
        facets.push(facet("author", &product.author, &product.author));
        facets.push(facet("currency", &product.price.currency, &product.price.currency));
        facets.extend(
            product
                .sku
                .iter()
                .chain(product.variants.iter().filter_map(|variant| variant.sku.as_ref()))
                .map(|sku| facet("sku", sku, sku)),
        );
        for (name, value) in &product.attributes {
            let Some(text) = indexed(value) else { continue };
            // Also one that is not filterable in this category: lists of several compare it too.
            facets.push(facet(&format!("attr.{name}"), &text, &text));
            if !value.is_boolean() {
                texts.push((Field::Attributes, text));
            }
        }
        // What is counted shows its value.
        let known = variant::facets::of(&product.variants);
        facets.extend(known.iter().map(|(field, value)| facet(field, value, "")));
        texts.push((Field::Description, product.description.clone()));
        let published_at = product.published_at.unwrap_or(product.created_at).as_millisecond();
        let votes = votes(document);
        Listing {
            id: product.id.clone(),
            version: document.version,
            // A hit shows the product as it is in the store.
            body: "{}".to_owned(),
            rank: published_at.div_euclid(1000) + boost(votes),
            texts,
            facets,
            suggestions,
            price: product.price.amount,
            other_prices: other_prices(product),
            published_at,
            votes,
            place: product.location.as_ref().map(|place| (place.latitude, place.longitude)),
        }
    }
}

/// The SKUs and GTINs of a product and its variants.
fn codes(product: &Product) -> impl Iterator<Item = &String> {
    let variants = product
        .variants
        .iter()
        .flat_map(|variant| [&variant.sku, &variant.gtin]);
    [&product.sku, &product.gtin].into_iter().chain(variants).flatten()
}

/// The prices of variants beside the lowest. All are of one currency.
fn other_prices(product: &Product) -> Vec<i64> {
    let prices: BTreeSet<i64> = product.variants.iter().map(|variant| variant.price.amount).collect();
    prices
        .into_iter()
        .filter(|price| *price != product.price.amount)
        .collect()
}

/// The number of seconds that the upvotes of a product add to its rank.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_votes_are_worth_two_days() {
        assert_eq!([0, 1, 3, -1].map(boost), [0, 172_800, 345_600, 0]);
    }
}
