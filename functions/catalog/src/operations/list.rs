//! Lists of products: the choice of the index, and the remaining filters.
//!
//! The most selective filter determines the index, so a list with one filter is one query. Other filters are applied to
//! the documents of the index, a bounded number per request: such a page may be short and still have a `next_cursor`.
//!
//! A category includes what is below it. Up to [`MERGED`] lists, such as those of several categories or statuses, are read
//! at once and merged; more are a filter of another list.
//!
//! The total of a list with one filter comes with its first page. If other filters remain, the search index counts published
//! products, where the host has one; otherwise the list counts what it reads.
//!
//! `popular` and `trending` read an index of [ranks](souk_model::catalog::rank), and then the products of these ranks
//! with one batched get. A rank is updated shortly after its product, so every filter is applied to the product again.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Map, Value};
use souk_core::documents::{MAX_COUNT, MAX_LIMIT, Source};
use souk_core::search::SearchQuery;
use souk_core::{Document, Item, Key, Money, Page, Query};
use souk_kit::{Context, Failure, PageRequest, SortedPage, Total, total_of};
use souk_model::catalog::category::{Category, INDEX, with_below};
use souk_model::catalog::filter::AttributeFilter;
pub use souk_model::catalog::filter::ProductFilter;
use souk_model::catalog::lists::{List, Sort};
use souk_model::catalog::product::{ItemCondition, Location};
use souk_model::catalog::rank;
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT, PRODUCTS_READ, PRODUCTS_WRITE};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::VENDOR;

use super::rights::sells_for;
use super::skus::find_by_sku;
use super::tree::below;

/// The author who is signed in.
const ME: &str = "me";
/// How many pages of an index a filtered list reads at most.
const ROUNDS: usize = 4;
/// The same for the first page of one's own products, which only reading counts.
const COUNTING_ROUNDS: usize = 10;

/// How many lists of categories are merged at most.
const MERGED: usize = 25;
/// How many lists are each counted as far as one: as many as there are statuses. If there are more, each is counted as far
/// as its share.
const COUNTED: usize = Status::ALL.len();
/// How much of each of several lists is read at least.
const LEAST: usize = 8;

/// The list that a client requests.
#[derive(Clone, Debug)]
pub struct ProductQuery {
    /// The status of the products; `None` for any.
    pub status: Option<Status>,
    /// The order.
    pub sort: Sort,
    /// The filter.
    pub filter: ProductFilter,
}

/// The fields of a product that filters use; the others are not deserialized.
#[derive(Deserialize)]
struct Head {
    status: Status,
    category: String,
    author: String,
    vendor: Option<String>,
    price: Money,
    condition: ItemCondition,
    tags: Vec<String>,
    attributes: Map<String, Value>,
    location: Option<Location>,
    #[serde(default)]
    variants: Vec<HeadOfVariant>,
}

#[derive(Deserialize)]
struct HeadOfVariant {
    options: BTreeMap<String, String>,
    price: Money,
}

/// The filter with typed values.
#[derive(Debug)]
struct Filter {
    /// The filter with ids instead of names.
    given: ProductFilter,
    statuses: Vec<Status>,
    /// The categories with those below them.
    categories: Vec<String>,
    attributes: Vec<(String, AttributeFilter)>,
    /// Whether the principal may see all products because it sells for the vendor.
    is_seller: bool,
}

impl Filter {
    /// Resolves ids and names with one batched get.
    async fn read(cx: &Context, query: &ProductQuery) -> Result<Self, Failure> {
        let mut given = query.filter.clone();
        let own = match given.authors.iter().any(|author| author == ME) {
            true => Some(cx.signed_in()?.account.clone()),
            false => None,
        };
        given.authors.retain(|author| author != ME);
        let names = [
            ("category", CATEGORY, &*given.categories),
            ("author", ACCOUNT, &*given.authors),
            ("vendor", VENDOR, &*given.vendors),
        ];
        let [categories, mut authors, vendors] = cx.resolve_parameters(names).await?;
        authors.extend(own);
        (given.categories, given.authors, given.vendors) = (categories, authors, vendors);
        for ids in [&mut given.categories, &mut given.authors, &mut given.vendors] {
            ids.sort();
            ids.dedup();
        }
        let attributes = typed(cx, &given).await?;
        let mut categories = given.categories.clone();
        match &*given.categories {
            [] => {}
            [id] => categories.extend(below(cx, id).await?.into_iter().flatten()),
            ids => {
                let covered = with_below(every_category(cx).await?, ids);
                categories = covered.into_iter().map(|category| category.id).collect();
            }
        }
        Ok(Filter {
            given,
            statuses: query.status.map_or(Status::ALL.to_vec(), |status| vec![status]),
            categories,
            attributes,
            is_seller: false,
        })
    }

    /// Whether it is by what no index has.
    fn has_values(&self) -> bool {
        let given = &self.given;
        !(self.attributes.is_empty() && given.options.is_empty() && given.conditions.is_empty())
            || given.currency.is_some()
            || given.near.is_some()
    }

    fn is_public(&self) -> bool {
        self.statuses.iter().all(|status| status.is_public())
    }

    /// Whether all of its products are in the search index.
    fn is_searchable(&self) -> bool {
        *self.statuses == [Status::Published]
    }

    /// The indexes to read, and whether filters remain that they do not apply.
    fn indexes(&self, sort: Sort) -> (Vec<String>, bool) {
        let tags = &self.given.tags;
        let named = [&self.given.authors, &self.given.vendors, tags, &self.categories];
        let given = named.into_iter().filter(|values| !values.is_empty()).count();
        let indexes = |lists: Vec<List<'_>>| -> Vec<String> {
            let of = |status: &Status| {
                let index = |list: &List<'_>| match sort.is_ranked() {
                    true => list.ranked(*status),
                    false => list.index(*status),
                };
                lists.iter().map(index).collect::<Vec<_>>()
            };
            self.statuses.iter().flat_map(of).collect()
        };
        let authors = indexes(self.given.authors.iter().map(|value| List::Author(value)).collect());
        // Products that are not public are only in the list of their author, or of the vendor for those who sell for it:
        // a cursor of another list would reveal them.
        let first = if self.is_public() || self.is_seller {
            None
        } else {
            Some(&authors)
        };
        let vendors = indexes(self.given.vendors.iter().map(|value| List::Vendor(value)).collect());
        // Only public products are listed by tag.
        let has_tags = self.is_public() && !sort.is_ranked();
        let tagged = if has_tags {
            indexes(tags.iter().map(|value| List::Tag(value)).collect())
        } else {
            Vec::new()
        };
        let categories = indexes(self.categories.iter().map(|value| List::Category(value)).collect());
        let all = first.into_iter().chain([&vendors, &authors, &tagged, &categories]);
        let is_readable = |indexes: &&Vec<String>| (1..=MERGED).contains(&indexes.len());
        match all.into_iter().find(is_readable) {
            // A product may have several of these tags.
            Some(indexes) => {
                let overlap = *indexes == tagged && tags.len() > 1;
                (indexes.clone(), given > 1 || overlap || self.has_values())
            }
            None => (indexes(vec![List::All]), given > 0 || self.has_values()),
        }
    }

    fn admits(&self, document: &Document) -> Result<bool, Failure> {
        let head: Head = document.parse()?;
        let is = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == value);
        let given = &self.given;
        let prices = head.variants.iter().map(|variant| variant.price.amount);
        Ok(self.statuses.contains(&head.status)
            && is(&self.categories, &head.category)
            && is(&given.authors, &head.author)
            && is(&given.vendors, head.vendor.as_deref().unwrap_or(""))
            && (given.tags.is_empty() || head.tags.iter().any(|tag| given.tags.contains(tag)))
            && (given.conditions.is_empty() || given.conditions.contains(&head.condition))
            && given.admits_price(&head.price.currency, std::iter::once(head.price.amount).chain(prices))
            && given.admits_place(head.location.as_ref())
            && self
                .attributes
                .iter()
                .all(|(name, wanted)| head.attributes.get(name).is_some_and(|own| wanted.admits(own)))
            && (given.options.is_empty()
                || head.variants.iter().any(|variant| {
                    let mut wanted = given.options.iter();
                    wanted.all(|(key, values)| variant.options.get(key).is_some_and(|own| values.contains(own)))
                })))
    }
}

/// The values of attributes by their types in these categories, or in all without any.
async fn typed(cx: &Context, filter: &ProductFilter) -> Result<Vec<(String, AttributeFilter)>, Failure> {
    if filter.attributes.is_empty() {
        return Ok(Vec::new());
    }
    let ids = &filter.categories;
    let keys: Vec<Key> = ids.iter().map(|id| CATEGORY.key(id)).collect();
    let categories = cx.get_all(&keys).await?.into_iter().flatten();
    let categories: Vec<Category> = categories.map(|found| found.parse()).collect::<Result<_, _>>()?;
    if let Ok(typed) = filter.typed(&categories) {
        return Ok(typed);
    }
    // A category below may define them.
    let all = every_category(cx).await?;
    let covered = if ids.is_empty() { all } else { with_below(all, ids) };
    filter.typed(&covered).map_err(Failure::BadParameter)
}

async fn every_category(cx: &Context) -> Result<Vec<Category>, Failure> {
    let all = cx.query_all(INDEX).await?;
    Ok(all.iter().map(Document::parse).collect::<Result<_, _>>()?)
}

/// Refuses a list of products that the principal may not see. Members see only their own drafts and archived products, and
/// those of a vendor that they sell for.
async fn restrict(cx: &Context, filter: &mut Filter) -> Result<(), Failure> {
    if filter.is_public() {
        return Ok(());
    }
    let name = match *filter.statuses {
        [status] => status.name(),
        _ => "unpublished",
    };
    let Some(principal) = cx.principal() else {
        return Err(Failure::Unauthenticated(format!(
            "sign in to list your {name} products"
        )));
    };
    if principal.may(&PRODUCTS_READ) || principal.may(&PRODUCTS_WRITE) {
        return Ok(());
    }
    let is_own = *filter.given.authors == [principal.account.clone()];
    if !is_own
        && let [vendor] = &*filter.given.vendors
        && sells_for(cx, vendor).await?
    {
        filter.is_seller = true;
        return Ok(());
    }
    if !is_own && !filter.given.authors.is_empty() {
        let detail = format!("{name} products are their author's and their vendor's own");
        return Err(Failure::forbidden(detail));
    }
    filter.given.authors = vec![principal.account.clone()];
    Ok(())
}

/// A page of products.
pub async fn list_products(
    cx: &Context,
    query: &ProductQuery,
    page: &PageRequest,
) -> Result<SortedPage<Document>, Failure> {
    let sort = query.sort;
    let mut filter = Filter::read(cx, query).await?;
    restrict(cx, &mut filter).await?;
    let (indexes, more_filters) = filter.indexes(sort);
    // A cursor stays valid when a category is added below.
    let narrowed = (query.filter != ProductFilter::default()).then_some(&query.filter);
    let scope = (query.status, sort, &filter.given.authors, narrowed);
    let scope = format!("{scope:?}");
    let paging = page.of_list(&scope)?;

    if !query.filter.ids.is_empty() || query.filter.sku.is_some() {
        let found = named(cx, &filter).await?;
        let mut items = Vec::new();
        for document in found {
            if filter.admits(&document)? {
                items.push(document);
            }
        }
        return Ok(paging.forward(items, None));
    }

    let mut query = paging.query(Query {
        prefix: sort.prefix().to_owned(),
        descending: sort.descending(),
        ..Query::index(String::new(), paging.limit)
    });
    if more_filters {
        (query.limit, query.count) = (MAX_LIMIT, 0);
    }
    let filtered = more_filters || sort.is_ranked();
    // What the search index of this host does not have, the first page of a filtered list reads on to count.
    let by_index = filter.is_searchable() && cx.index.is_needed();
    let is_counting = more_filters && paging.is_first && indexes.len() <= COUNTED && !by_index;
    let rounds = match is_counting && !filter.is_public() {
        true => COUNTING_ROUNDS,
        false => ROUNDS,
    };
    // One more than the page has tells that another page follows; only the store knows it without filters.
    let enough = match (more_filters, is_counting) {
        (false, _) => paging.limit,
        (true, false) => paging.limit.saturating_add(1),
        (true, true) => usize::MAX,
    };
    let mut items: Vec<(String, Document)> = Vec::with_capacity(paging.limit);
    let (mut found, mut total) = (0, None);
    let mut next = None;
    for _ in 0..rounds {
        let (page, counted) = merged(cx, &query, &indexes).await?;
        total = total.or(counted);
        next = page.next;
        for (place, document) in products(cx, sort, page.items).await? {
            let Some(document) = document else { continue };
            // The store may read the document later than the index, and the status may have changed in between.
            let is_listed = match filtered {
                true => filter.admits(&document)?,
                false => filter.statuses.contains(&document.field("status")?),
            };
            if !is_listed {
                continue;
            }
            found += 1;
            if items.len() < paging.limit {
                items.push((place, document));
            }
            if more_filters && found >= enough {
                // Others may follow in this page of the store.
                next = items.last().map(|(place, _)| place.clone());
                break;
            }
        }
        if next.is_none() || found >= enough {
            break;
        }
        query.after.clone_from(&next);
        query.count = 0;
    }
    if more_filters && paging.is_first {
        total = Some(match next {
            None => Total::exact(found),
            Some(_) => Total::at_least(found),
        });
    }
    if let Some(least) = total.filter(|total| paging.is_first && next.is_some() && total.is_part())
        && by_index
    {
        total = Some(indexed(cx, &filter, least).await);
    }
    if found > items.len() {
        // The others belong to the next pages.
        next = items.last().map(|(place, _)| place.clone());
    }
    Ok(paging.page(items, next, total))
}

/// How many products the search index has, which are at least so many.
async fn indexed(cx: &Context, filter: &Filter, least: Total) -> Total {
    let mut query = SearchQuery {
        limit: 1,
        count: MAX_COUNT,
        ..SearchQuery::default()
    };
    filter.given.add_to(&mut query, filter.attributes.clone());
    match cx.search(&query).await {
        // An index that knows of fewer is behind.
        Ok(page) => page
            .total
            .filter(|total| *total >= least.count)
            .map_or(least, Total::counted),
        Err(error) => {
            tracing::warn!(%error, "the products of a list were not counted");
            least
        }
    }
}

/// The products with these ids, in their order, or the one with the SKU.
async fn named(cx: &Context, filter: &Filter) -> Result<Vec<Document>, Failure> {
    let given = &filter.given;
    let keys: Vec<Key> = given.ids.iter().map(|id| PRODUCT.key(id)).collect();
    let found = cx.get_all(&keys).await?.into_iter().flatten();
    let (Some(sku), Some(vendor)) = (&given.sku, given.vendors.first()) else {
        return Ok(found.collect());
    };
    let found: Vec<Document> = found.collect();
    let one = find_by_sku(cx, vendor, sku).await?;
    let is_named = |one: &Document| given.ids.is_empty() || found.iter().any(|other| other.key == one.key);
    Ok(one.filter(is_named).into_iter().collect())
}

/// A page of these indexes as if they were one, and their total. An item is in one of them only.
async fn merged(cx: &Context, query: &Query, indexes: &[String]) -> Result<(Page, Option<Total>), Failure> {
    // A page is of many lists, so that little of each is needed. Where that is too little, the page is short.
    let limit = match indexes.len() {
        1 => query.limit,
        some => (2 * query.limit).div_ceil(some).clamp(LEAST, query.limit.max(LEAST)),
    };
    let count = match indexes.len() {
        ..=COUNTED => query.count,
        many => query.count.div_ceil(many),
    };
    let queries = indexes.iter().map(|index| Query {
        source: Source::Index(index.clone()),
        limit,
        count,
        ..query.clone()
    });
    let queries: Vec<Query> = queries.collect();
    if let [query] = &*queries {
        let page = cx.query(query).await?;
        let total = total_of(&page);
        return Ok((page, total));
    }
    let pages = try_join_all(queries.iter().map(|query| cx.query(query))).await?;
    // No item is in two of them, unless it moves.
    let sum = pages.iter().map(|page| page.total).sum::<Option<usize>>();
    let is_whole = pages.iter().all(|page| page.total.is_some_and(|total| total < count));
    let total = sum.filter(|_| count > 0).map(|sum| match is_whole {
        true => Total::counted(sum),
        false => Total::counted(sum).or_more(),
    });
    let first = |a: &String, b: &String| if query.descending { b.cmp(a) } else { a.cmp(b) };
    // What comes after the end of a page that has more may come after items that were not read.
    let end = pages.iter().filter_map(|page| page.next.clone()).min_by(first);
    let mut items: Vec<Item> = pages.into_iter().flat_map(|page| page.items).collect();
    items.sort_by(|a, b| first(&a.sort, &b.sort));
    // One that moves meanwhile may be in two lists.
    items.dedup_by(|a, b| a.sort == b.sort);
    if let Some(end) = &end {
        items.retain(|item| first(&item.sort, end).is_le());
    }
    let mut next = end;
    if items.len() > query.limit {
        items.truncate(query.limit);
        next = items.last().map(|item| item.sort.clone());
    }
    let page = Page {
        items,
        next,
        total: None,
    };
    Ok((page, total))
}

/// The products of a page of an index, each with its sort key; `None` for a deleted product.
async fn products(cx: &Context, sort: Sort, items: Vec<Item>) -> Result<Vec<(String, Option<Document>)>, Failure> {
    if !sort.is_ranked() {
        return Ok(items.into_iter().map(|item| (item.sort, Some(item.document))).collect());
    }
    let keys: Vec<_> = items
        .iter()
        .map(|item| PRODUCT.key(rank::product_at(&item.sort)))
        .collect();
    let found = cx.get_all(&keys).await?;
    Ok(items.into_iter().map(|item| item.sort).zip(found).collect())
}
