//! `GET /v1/products`: which index to read, what to leave out, and what to open out.
//!
//! The most telling filter picks the index, so one filter is one query. Further filters are applied to what the index
//! gives, a bounded number of documents per request: a page may then be short and still have a `next_cursor`.
//!
//! `popular` and `trending` read an index of [ranks](crate::rank), and then the products that these name in one batched
//! get. A rank may be a moment behind its product, so here every filter is applied again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use souk_core::documents::{MAX_KEYS, MAX_LIMIT, get_one};
use souk_core::kind::{ACCOUNT, CATEGORY, PRODUCT, VENDOR, resolve};
use souk_core::{Document, Item, Kind, Query, Role};
use souk_kit::{
    Answer, Paging, Params, Platform, Problem, Selection, State, Viewer, list as page_of, list_documents, profile, view,
};

use crate::category::Category;
use crate::lists::{List, Sort};
use crate::product::{FIELDS, MAX_TAG, normal_tag, status_of};
use crate::rank;
use crate::status::Status;

/// How many full pages of an index one combined list reads at most.
const ROUNDS: usize = 4;
const INCLUDES: &[&str] = &["category", "author", "vendor"];

/// The parts of a product that filters look at; the rest is not read.
#[derive(Deserialize)]
struct Head {
    category: String,
    author: String,
    vendor: Option<String>,
    tags: Vec<String>,
    attributes: Map<String, Value>,
}

#[derive(Debug, Default, PartialEq)]
struct Filter {
    category: Option<String>,
    author: Option<String>,
    vendor: Option<String>,
    tag: Option<String>,
    attributes: Vec<(String, Value)>,
}

/// The filter that leaves nothing out, as `Debug` writes it. Most lists have it, and to write it costs more than to say it.
const ALL: &str = "Filter { category: None, author: None, vendor: None, tag: None, attributes: [] }";

impl Filter {
    /// What a cursor is held to.
    fn scope(&self, index: &str, sort: Sort) -> String {
        let filter = if *self == Self::default() {
            ALL.into()
        } else {
            Cow::Owned(format!("{self:?}"))
        };
        [index, " ", sort.name(), " ", &filter].concat()
    }

    /// Reads the filters; slugs and usernames are looked up in one batched get.
    async fn read(params: &Params, platform: &Platform) -> Result<Self, Problem> {
        let named: Vec<(&str, Kind, &str)> = [("category", CATEGORY), ("author", ACCOUNT), ("vendor", VENDOR)]
            .into_iter()
            .filter_map(|(name, kind)| Some((name, kind, params.get(name)?)))
            .collect();
        let wanted: Vec<_> = named.iter().map(|&(_, kind, text)| (kind, text)).collect();
        if params.get("tag").is_some_and(|tag| tag.chars().count() > MAX_TAG) {
            return Err(Problem::bad_parameter("tag", "has at most 40 characters"));
        }
        let mut filter = Filter {
            tag: params.get("tag").map(normal_tag),
            ..Filter::default()
        };
        for ((name, _, _), id) in named.into_iter().zip(resolve(&*platform.documents, &wanted).await?) {
            let id = id.ok_or_else(|| Problem::invalid().field(name, format!("there is no such {name}")))?;
            match name {
                "category" => filter.category = Some(id),
                "author" => filter.author = Some(id),
                _ => filter.vendor = Some(id),
            }
        }
        let attributes: Vec<_> = params.with_prefix("attr.").collect();
        if !attributes.is_empty() {
            filter.attributes = typed(&attributes, filter.category.as_deref(), platform).await?;
        }
        Ok(filter)
    }

    /// The index to read, and whether it leaves filters to be applied.
    fn index(&self, status: Status, sort: Sort) -> (String, bool) {
        let given = [&self.category, &self.author, &self.vendor, &self.tag]
            .into_iter()
            .flatten()
            .count();
        let list = match self {
            // What is not public is its author's: no other list of it may show so much as a cursor.
            Filter {
                author: Some(author), ..
            } if !status.is_public() => List::Author(author),
            Filter {
                vendor: Some(vendor), ..
            } => List::Vendor(vendor),
            Filter {
                author: Some(author), ..
            } => List::Author(author),
            // Only what is public is listed by tag.
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

    fn admits(&self, document: &Document) -> Result<bool, Problem> {
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

/// Whether two values are the same; 5 and 5.0 are.
fn same(own: &Value, wanted: &Value) -> bool {
    own == wanted || (own.is_number() && own.as_f64() == wanted.as_f64())
}

/// `attr.NAME=value` as JSON of the attribute's type.
async fn typed(
    given: &[(&str, &str)],
    category: Option<&str>,
    platform: &Platform,
) -> Result<Vec<(String, Value)>, Problem> {
    let Some(id) = category else {
        return Err(Problem::bad_parameter("category", "is needed to filter by attributes"));
    };
    let document = get_one(&*platform.documents, CATEGORY.key(id)).await?;
    let category: Category = document.ok_or_else(|| Problem::not_found("category"))?.parse()?;
    let mut values = Vec::new();
    for (name, text) in given {
        let fault = |detail: &str| Problem::bad_parameter(format!("attr.{name}"), detail);
        let attribute = category
            .attributes
            .iter()
            .find(|attribute| attribute.name == *name && attribute.filterable);
        let attribute = attribute.ok_or_else(|| fault("is not a filterable attribute of this category"))?;
        let value = attribute
            .parse(text)
            .ok_or_else(|| fault("does not fit the attribute's type"))?;
        values.push(((*name).to_owned(), value));
    }
    Ok(values)
}

/// Who may see the list of this status, and whose it is.
fn permit(status: Status, filter: &mut Filter, viewer: &Viewer) -> Result<(), Problem> {
    if status.is_public() {
        return Ok(());
    }
    let Some(principal) = viewer.principal() else {
        return Err(Problem::unauthorized(format!(
            "sign in to list your {} products",
            status.name()
        )));
    };
    if principal.role >= Role::Moderator {
        return Ok(());
    }
    match &filter.author {
        Some(author) if *author != principal.account => Err(Problem::forbidden(format!(
            "{} products are their author's own",
            status.name()
        ))),
        _ => {
            filter.author = Some(principal.account.clone());
            Ok(())
        }
    }
}

pub(crate) async fn list(platform: State, viewer: Viewer, params: Params) -> Result<Answer, Problem> {
    let bad = |name: &str, known: &str| Problem::bad_parameter(name, format!("must be one of {known}"));
    let status = params.get("status").unwrap_or("published");
    let status = Status::parse(status).ok_or_else(|| bad("status", "draft, published, sold, archived"))?;
    let sort = match params.get("sort") {
        None | Some("newest") => Sort::Newest,
        Some("price") => Sort::Cheapest,
        Some("-price") => Sort::Dearest,
        Some("popular") => Sort::Popular,
        Some("trending") => Sort::Trending,
        Some(_) => return Err(bad("sort", "newest, price, -price, popular, trending")),
    };
    if sort.is_ranked() && !status.is_public() {
        let detail = "popular and trending are for published and sold products";
        return Err(Problem::bad_parameter("sort", detail));
    }
    let selection = Selection::read(&params, FIELDS, INCLUDES)?;
    let mut filter = Filter::read(&params, &platform).await?;
    permit(status, &mut filter, &viewer)?;
    let (index, more_filters) = filter.index(status, sort);
    let paging = Paging::read(&params, &filter.scope(&index, sort))?;

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
        let page = platform.documents.query(&query).await?;
        next = page.next;
        let count = page.items.len();
        for (n, (place, document)) in products(&platform, sort, page.items).await?.into_iter().enumerate() {
            let Some(document) = document else { continue };
            // A store may read a document a moment after the index; by then it may be in another status.
            if status_of(&document)? != status || (filtered && !filter.admits(&document)?) {
                continue;
            }
            documents.push(document);
            if documents.len() == paging.limit {
                // What follows on this page is for the next one.
                next = if n + 1 < count { Some(place) } else { next };
                break;
            }
        }
        if documents.len() == paging.limit || next.is_none() {
            break;
        }
        query.after.clone_from(&next);
    }
    let next = next.map(|sort| paging.cursor(&sort));
    let answer = if selection.is_plain() {
        list_documents(&documents, next.as_deref())
    } else {
        page_of(&show_all(&platform, &documents, &selection).await?, next.as_deref())
    };
    Ok(viewer.answer(answer))
}

/// The products that a page of an index names, each with its place there; `None` for one that is gone.
async fn products(
    platform: &Platform,
    sort: Sort,
    items: Vec<Item>,
) -> Result<Vec<(String, Option<Document>)>, Problem> {
    if !sort.is_ranked() {
        return Ok(items.into_iter().map(|item| (item.sort, Some(item.document))).collect());
    }
    let keys: Vec<_> = items
        .iter()
        .map(|item| PRODUCT.key(rank::product_at(&item.sort)))
        .collect();
    let found = platform.documents.get(&keys).await?;
    Ok(items.into_iter().map(|item| item.sort).zip(found).collect())
}

/// Products as clients see them, with what `include` opens out: one batched get for all of them.
pub async fn show_all(
    platform: &Platform,
    documents: &[Document],
    selection: &Selection,
) -> Result<Vec<Vec<u8>>, Problem> {
    let viewed: Vec<Vec<u8>> = documents.iter().map(view).collect();
    if selection.is_plain() {
        return Ok(viewed);
    }
    let mut wanted: BTreeSet<(&str, String)> = BTreeSet::new();
    if !selection.include.is_empty() {
        for document in documents {
            let head: Head = document.parse()?;
            let ids = [
                ("category", Some(head.category)),
                ("author", Some(head.author)),
                ("vendor", head.vendor),
            ];
            wanted.extend(ids.into_iter().filter_map(|(name, id)| Some((name, id?))));
        }
        wanted.retain(|(name, _)| selection.includes(name));
    }
    let wanted: Vec<_> = wanted.into_iter().collect();
    let mut opened: BTreeMap<String, Value> = BTreeMap::new();
    for some in wanted.chunks(MAX_KEYS) {
        let keys: Vec<_> = some.iter().map(|(name, id)| kind(name).key(id)).collect();
        for ((name, id), document) in some.iter().zip(platform.documents.get(&keys).await?) {
            opened.extend(
                document
                    .map(|document| open(name, &document))
                    .transpose()?
                    .map(|value| (id.clone(), value)),
            );
        }
    }
    let apply = |viewed: &Vec<u8>| {
        selection.apply(viewed, |product| {
            for name in &selection.include {
                let id = product.get(name).and_then(Value::as_str);
                if let Some(value) = id.and_then(|id| opened.get(id)).cloned() {
                    product.insert(name.clone(), value);
                }
            }
        })
    };
    viewed.iter().map(apply).collect()
}

fn kind(name: &str) -> Kind {
    match name {
        "category" => CATEGORY,
        "author" => ACCOUNT,
        _ => VENDOR,
    }
}

/// What others may see of it. Of an account that is its public fields alone.
fn open(name: &str, document: &Document) -> Result<Value, Problem> {
    if name == "author" {
        return profile(document).map(Value::Object);
    }
    serde_json::from_slice(&view(document)).map_err(|e| Problem::internal(e.to_string()))
}

/// `include` and `fields` of one product.
pub fn selection(params: &Params) -> Result<Selection, Problem> {
    Selection::read(params, FIELDS, INCLUDES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_filter_is_written_as_debug_would() {
        assert_eq!(ALL, format!("{:?}", Filter::default()));
        let filter = Filter {
            tag: Some("x".into()),
            ..Filter::default()
        };
        for (sort, name) in [(Sort::Newest, "Newest"), (Sort::Trending, "Trending")] {
            assert_eq!(filter.scope("i", sort), format!("i {name} {filter:?}"));
        }
    }
}
