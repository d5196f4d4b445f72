//! Lists of products: the choice of the index, and the remaining filters.
//!
//! The most selective filter determines the index, so a list with one filter is one query. Other filters are applied to
//! the documents of the index, a bounded number per request: such a page may be short and still have a `next_cursor`.
//!
//! `popular` and `trending` read an index of [ranks](souk_model::catalog::rank), and then the products of these ranks
//! with one batched get. A rank is updated shortly after its product, so every filter is applied to the product again.

use serde::Deserialize;
use serde_json::{Map, Value};
use souk_core::documents::MAX_LIMIT;
use souk_core::{Document, Item, Kind, Query, Role};
use souk_kit::{Context, Failure, PageRequest, SortedPage};
use souk_model::catalog::category::Category;
use souk_model::catalog::lists::{List, Sort};
use souk_model::catalog::rank;
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::VENDOR;

use crate::product::normal_tag;

/// How many pages of an index a filtered list reads at most.
const ROUNDS: usize = 4;

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
}

/// The fields of a product that filters use; the others are not deserialized.
#[derive(Deserialize)]
struct Head {
    category: String,
    author: String,
    vendor: Option<String>,
    tags: Vec<String>,
    attributes: Map<String, Value>,
}

/// The filter with resolved ids and typed values.
#[derive(Debug, Default)]
struct Filter {
    category: Option<String>,
    author: Option<String>,
    vendor: Option<String>,
    tag: Option<String>,
    attributes: Vec<(String, Value)>,
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
            ..Filter::default()
        };
        for ((name, _, _), id) in named.into_iter().zip(cx.resolve(&wanted).await?) {
            let id = id.ok_or_else(|| Failure::invalid(name, format!("there is no such {name}")))?;
            match name {
                "category" => resolved.category = Some(id),
                "author" => resolved.author = Some(id),
                _ => resolved.vendor = Some(id),
            }
        }
        if !filter.attributes.is_empty() {
            resolved.attributes = typed(cx, &filter.attributes, resolved.category.as_deref()).await?;
        }
        Ok(resolved)
    }

    /// The index to read, and whether filters remain that the index does not apply.
    fn index(&self, status: Status, sort: Sort) -> (String, bool) {
        let given = [&self.category, &self.author, &self.vendor, &self.tag]
            .into_iter()
            .flatten()
            .count();
        let list = match self {
            // Products that are not public are only in the list of their author: a cursor of another list would reveal
            // them.
            Filter {
                author: Some(author), ..
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
                category: Some(category),
                ..
            } => List::Category(category),
            _ => List::All,
        };
        let used = usize::from(!matches!(list, List::All));
        let index = if sort.is_ranked() {
            list.ranked(status)
        } else {
            list.index(status)
        };
        (index, given > used || !self.attributes.is_empty())
    }

    fn admits(&self, document: &Document) -> Result<bool, Failure> {
        let head: Head = document.parse()?;
        let is = |wanted: &Option<String>, value: Option<&String>| wanted.is_none() || wanted.as_ref() == value;
        Ok(is(&self.category, Some(&head.category))
            && is(&self.author, Some(&head.author))
            && is(&self.vendor, head.vendor.as_ref())
            && self.tag.as_ref().is_none_or(|tag| head.tags.contains(tag))
            && self
                .attributes
                .iter()
                .all(|(name, value)| head.attributes.get(name).is_some_and(|own| same(own, value))))
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
        return Err(Failure::bad_parameter("category", detail));
    };
    let category = cx.read::<Category>(CATEGORY.key(id)).await?;
    let category = category.ok_or(Failure::NotFound("category"))?;
    let value = |(name, text): &(String, String)| {
        let fault = |detail: &str| Failure::bad_parameter(format!("attr.{name}"), detail);
        let mut attributes = category.attributes.iter();
        let attribute = attributes.find(|attribute| attribute.name == *name && attribute.filterable);
        let attribute = attribute.ok_or_else(|| fault("is not a filterable attribute of this category"))?;
        let value = attribute.parse(text);
        let value = value.ok_or_else(|| fault("does not fit the attribute's type"))?;
        Ok((name.clone(), value))
    };
    given.iter().map(value).collect()
}

/// Refuses a list of products that the principal may not see. Members see their own drafts and archived products only.
fn restrict(cx: &Context, status: Status, filter: &mut Filter) -> Result<(), Failure> {
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
    match &filter.author {
        Some(author) if *author != principal.account => {
            let detail = format!("{} products are their author's own", status.name());
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
    restrict(cx, status, &mut filter)?;
    let (index, more_filters) = filter.index(status, sort);
    let paging = page.of_list(&format!("{index} {} {filter:?}", sort.name()))?;

    let mut documents: Vec<Document> = Vec::with_capacity(paging.limit);
    let mut query = Query {
        prefix: sort.prefix().to_owned(),
        descending: sort.descending(),
        after: paging.after.clone(),
        ..Query::index(index, if more_filters { MAX_LIMIT } else { paging.limit })
    };
    let filtered = more_filters || sort.is_ranked();
    let mut next = None;
    for _ in 0..ROUNDS {
        let page = cx.query(&query).await?;
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
