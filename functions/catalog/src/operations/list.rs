//! Lists of products: the choice of the index, and the remaining filters.
//!
//! The most selective filter determines the index, so a list with one filter is one query. Other filters are applied to
//! the documents of the index, a bounded number per request: such a page may be short and still have a `next_cursor`.
//!
//! A category includes what is below it. The lists of up to [`MERGED`] categories are read at once and merged; a larger
//! subtree is a filter of the list of all products.
//!
//! `popular` and `trending` read an index of [ranks](souk_model::catalog::rank), and then the products of these ranks
//! with one batched get. A rank is updated shortly after its product, so every filter is applied to the product again.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Map, Value};
use souk_core::documents::{MAX_LIMIT, Source};
use souk_core::{Document, Item, Kind, Page, Query, Role};
use souk_kit::{Context, Failure, Fault, FieldCode, PageRequest, SortedPage};
use souk_model::catalog::category::Category;
use souk_model::catalog::lists::{List, Sort};
use souk_model::catalog::rank;
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::VENDOR;

use super::rights::sells_for;
use super::skus::find_by_sku;
use super::tree::below;
use crate::product::normal_tag;

/// How many pages of an index a filtered list reads at most.
const ROUNDS: usize = 4;

/// How many lists of categories are merged at most.
const MERGED: usize = 25;
/// How much of each of several lists is read at least.
const LEAST: usize = 8;

/// The list that a client requests.
#[derive(Clone, Debug)]
pub struct ProductQuery {
    /// The status of the products.
    pub status: Status,
    /// The order.
    pub sort: Sort,
    /// The filter.
    pub filter: ProductFilter,
}

/// The filter of a list, with ids or names.
#[derive(Clone, Debug, Default)]
pub struct ProductFilter {
    /// Category, by id or slug.
    pub category: Option<String>,
    /// Author, by id or username.
    pub author: Option<String>,
    /// Vendor, by id or slug.
    pub vendor: Option<String>,
    /// Tag.
    pub tag: Option<String>,
    /// Values of filterable attributes of the category, as text.
    pub attributes: Vec<(String, String)>,
    /// Values of options that one variant has, by their keys.
    pub options: Vec<(String, String)>,
    /// SKU of the product or of a variant; the vendor must be given.
    pub sku: Option<String>,
}

/// The fields of a product that filters use; the others are not deserialized.
#[derive(Deserialize)]
struct Head {
    category: String,
    author: String,
    vendor: Option<String>,
    tags: Vec<String>,
    attributes: Map<String, Value>,
    #[serde(default)]
    variants: Vec<HeadOfVariant>,
}

#[derive(Deserialize)]
struct HeadOfVariant {
    options: BTreeMap<String, String>,
}

/// The filter with resolved ids and typed values.
#[derive(Debug, Default)]
struct Filter {
    /// With the categories below it.
    category: Option<Vec<String>>,
    author: Option<String>,
    vendor: Option<String>,
    tag: Option<String>,
    attributes: Vec<(String, Value)>,
    options: Vec<(String, String)>,
    /// Whether the principal may see all products because it sells for the vendor.
    is_seller: bool,
}

impl Filter {
    /// Resolves ids and names with one batched get.
    async fn read(cx: &Context, filter: &ProductFilter) -> Result<Self, Failure> {
        let named = [
            ("category", CATEGORY, &filter.category),
            ("author", ACCOUNT, &filter.author),
            ("vendor", VENDOR, &filter.vendor),
        ];
        let named = named
            .into_iter()
            .filter_map(|(name, kind, text)| Some((name, kind, text.as_deref()?)));
        let named: Vec<(&str, Kind, &str)> = named.collect();
        let wanted: Vec<(Kind, &str)> = named.iter().map(|&(_, kind, text)| (kind, text)).collect();
        let mut resolved = Filter {
            tag: filter.tag.as_deref().map(normal_tag),
            options: filter.options.clone(),
            ..Filter::default()
        };
        for ((name, _, _), id) in named.into_iter().zip(cx.resolve(&wanted).await?) {
            let id = id.ok_or_else(|| Failure::invalid(name, Fault::not_found(name)))?;
            match name {
                "category" => {
                    let below = below(cx, &id).await?;
                    resolved.category = Some(std::iter::once(id).chain(below.into_iter().flatten()).collect());
                }
                "author" => resolved.author = Some(id),
                _ => resolved.vendor = Some(id),
            }
        }
        if !filter.attributes.is_empty() {
            resolved.attributes = typed(cx, &filter.attributes, resolved.category()).await?;
        }
        Ok(resolved)
    }

    /// The category itself.
    fn category(&self) -> Option<&str> {
        Some(self.category.as_ref()?.first()?.as_str())
    }

    /// Whether it is by what no index has.
    fn has_values(&self) -> bool {
        !self.attributes.is_empty() || !self.options.is_empty()
    }

    /// The indexes to read, and whether filters remain that they do not apply.
    fn indexes(&self, status: Status, sort: Sort) -> (Vec<String>, bool) {
        let named = [&self.author, &self.vendor, &self.tag];
        let given = named.into_iter().flatten().count() + usize::from(self.category.is_some());
        let index = |list: List<'_>| {
            if sort.is_ranked() {
                list.ranked(status)
            } else {
                list.index(status)
            }
        };
        let list = match self {
            // Products that are not public are only in the list of their author, or of the vendor for those who sell for
            // it: a cursor of another list would reveal them.
            Filter {
                author: Some(author),
                is_seller: false,
                ..
            } if !status.is_public() => List::Author(author),
            Filter {
                vendor: Some(vendor), ..
            } => List::Vendor(vendor),
            Filter {
                author: Some(author), ..
            } => List::Author(author),
            // Only public products are listed by tag.
            Filter { tag: Some(tag), .. } if status.is_public() && !sort.is_ranked() => List::Tag(tag),
            Filter {
                category: Some(ids), ..
            } if ids.len() <= MERGED => {
                let indexes = ids.iter().map(|id| index(List::Category(id))).collect();
                return (indexes, given > 1 || self.has_values());
            }
            _ => List::All,
        };
        let used = usize::from(!matches!(list, List::All));
        (vec![index(list)], given > used || self.has_values())
    }

    fn admits(&self, document: &Document) -> Result<bool, Failure> {
        let head: Head = document.parse()?;
        let is = |wanted: &Option<String>, value: Option<&String>| wanted.is_none() || wanted.as_ref() == value;
        let is_below = |ids: &Vec<String>| ids.contains(&head.category);
        Ok(self.category.as_ref().is_none_or(is_below)
            && is(&self.author, Some(&head.author))
            && is(&self.vendor, head.vendor.as_ref())
            && self.tag.as_ref().is_none_or(|tag| head.tags.contains(tag))
            && self
                .attributes
                .iter()
                .all(|(name, value)| head.attributes.get(name).is_some_and(|own| same(own, value)))
            && (self.options.is_empty()
                || head.variants.iter().any(|variant| {
                    let mut wanted = self.options.iter();
                    wanted.all(|(key, value)| variant.options.get(key) == Some(value))
                })))
    }
}

/// Whether two values are equal; 5 equals 5.0.
fn same(own: &Value, wanted: &Value) -> bool {
    own == wanted || (own.is_number() && own.as_f64() == wanted.as_f64())
}

/// The values of attributes as JSON, parsed by the type of the attribute.
async fn typed(
    cx: &Context,
    given: &[(String, String)],
    category: Option<&str>,
) -> Result<Vec<(String, Value)>, Failure> {
    let Some(id) = category else {
        let detail = "is needed to filter by attributes";
        return Err(Failure::bad_parameter("category", Fault::required().because(detail)));
    };
    let category = cx.read::<Category>(CATEGORY.key(id)).await?;
    let category = category.ok_or(Failure::NotFound("category"))?;
    let value = |(name, text): &(String, String)| {
        let fault = |fault: Fault| Failure::bad_parameter(format!("attr.{name}"), fault);
        let mut attributes = category.attributes.iter();
        let attribute = attributes.find(|attribute| attribute.name == *name && attribute.filterable);
        let attribute = attribute.ok_or_else(|| {
            fault(Fault::new(
                FieldCode::UnknownParameter,
                "is not a filterable attribute of this category",
            ))
        })?;
        let value = attribute.parse(text);
        let value = value.ok_or_else(|| fault(Fault::format("does not fit the attribute's type")))?;
        Ok((name.clone(), value))
    };
    given.iter().map(value).collect()
}

/// Refuses a list of products that the principal may not see. Members see only their own drafts and archived products, and
/// those of a vendor that they sell for.
async fn restrict(cx: &Context, status: Status, filter: &mut Filter) -> Result<(), Failure> {
    if status.is_public() {
        return Ok(());
    }
    let Some(principal) = cx.principal() else {
        let detail = format!("sign in to list your {} products", status.name());
        return Err(Failure::Unauthenticated(detail));
    };
    if principal.role >= Role::Moderator {
        return Ok(());
    }
    let is_own = filter.author.as_ref() == Some(&principal.account);
    if !is_own
        && let Some(vendor) = &filter.vendor
        && sells_for(cx, vendor).await?
    {
        filter.is_seller = true;
        return Ok(());
    }
    match &filter.author {
        Some(_) if !is_own => {
            let detail = format!("{} products are their author's and their vendor's own", status.name());
            Err(Failure::forbidden(detail))
        }
        _ => {
            filter.author = Some(principal.account.clone());
            Ok(())
        }
    }
}

/// A page of products.
pub async fn list_products(
    cx: &Context,
    query: &ProductQuery,
    page: &PageRequest,
) -> Result<SortedPage<Document>, Failure> {
    let ProductQuery { status, sort, .. } = *query;
    let mut filter = Filter::read(cx, &query.filter).await?;
    restrict(cx, status, &mut filter).await?;
    let (indexes, more_filters) = filter.indexes(status, sort);
    // A cursor stays valid when a category is added below.
    let scope = (status, sort, filter.category(), &filter.author, &query.filter);
    let scope = format!("{scope:?}");
    let paging = page.of_list(&scope)?;

    if let Some(sku) = &query.filter.sku {
        let found = match &filter.vendor {
            Some(vendor) => find_by_sku(cx, vendor, sku).await?,
            None => {
                return Err(Failure::bad_parameter(
                    "vendor",
                    Fault::required().because("is needed to find a SKU"),
                ));
            }
        };
        let mut items = Vec::new();
        if let Some(document) = found
            && document.field::<Status>("status")? == status
            && filter.admits(&document)?
        {
            items.push(document);
        }
        return Ok(SortedPage {
            items,
            next_cursor: None,
        });
    }

    let mut documents: Vec<Document> = Vec::with_capacity(paging.limit);
    let mut query = Query {
        prefix: sort.prefix().to_owned(),
        descending: sort.descending(),
        after: paging.after.clone(),
        ..Query::index(String::new(), if more_filters { MAX_LIMIT } else { paging.limit })
    };
    let filtered = more_filters || sort.is_ranked();
    let mut next = None;
    for _ in 0..ROUNDS {
        let page = merged(cx, &query, &indexes).await?;
        next = page.next;
        let count = page.items.len();
        for (n, (place, document)) in products(cx, sort, page.items).await?.into_iter().enumerate() {
            let Some(document) = document else { continue };
            // The store may read the document later than the index, and the status may have changed in between.
            if document.field::<Status>("status")? != status || (filtered && !filter.admits(&document)?) {
                continue;
            }
            documents.push(document);
            if documents.len() == paging.limit {
                // The remaining items belong to the next page.
                next = if n + 1 < count { Some(place) } else { next };
                break;
            }
        }
        if documents.len() == paging.limit || next.is_none() {
            break;
        }
        query.after.clone_from(&next);
    }
    Ok(SortedPage {
        items: documents,
        next_cursor: next.map(|sort| paging.cursor(&sort)),
    })
}

/// A page of these indexes as if they were one. An item is in one of them only.
async fn merged(cx: &Context, query: &Query, indexes: &[String]) -> Result<Page, Failure> {
    // A page is of many lists, so that little of each is needed. Where that is too little, the page is short.
    let limit = match indexes.len() {
        1 => query.limit,
        some => (2 * query.limit).div_ceil(some).clamp(LEAST, query.limit.max(LEAST)),
    };
    let queries = indexes.iter().map(|index| Query {
        source: Source::Index(index.clone()),
        limit,
        ..query.clone()
    });
    let queries: Vec<Query> = queries.collect();
    if let [query] = &*queries {
        return cx.query(query).await;
    }
    let pages = try_join_all(queries.iter().map(|query| cx.query(query))).await?;
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
    Ok(Page { items, next })
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
