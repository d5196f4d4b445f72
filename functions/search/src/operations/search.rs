//! Searches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use souk_core::documents::{MAX_COUNT, MAX_KEYS};
use souk_core::search::{
    Facet, FacetCounts, Hit, MAX_VALUES, MAX_WORDS, SearchError as IndexError, SearchPage, SearchQuery, Word, words,
};
use souk_core::{Document, Key};
use souk_kit::{Context, Failure, PageRequest, SortedPage, Total};
use souk_model::catalog::category::{Category, INDEX, with_below};
use souk_model::catalog::filter::{AttributeFilter, MAX_IDS, ProductFilter};
use souk_model::catalog::product::add_distance;
use souk_model::catalog::status::Status;
use souk_model::catalog::variant::facets as variants;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::VENDOR;

use super::facets::{self, FacetValue};
use super::rebuild::is_lost;
use crate::attributes::Known;
use crate::error::SearchError;
use crate::{Memory, usage};

/// A search request.
#[derive(Debug)]
pub(crate) struct SearchRequest {
    /// The text, the order and the facets.
    pub(crate) query: SearchQuery,
    pub(crate) filter: ProductFilter,
    pub(crate) page: PageRequest,
}

/// The results of a search.
#[derive(Debug)]
pub(crate) struct SearchResults {
    pub(crate) page: SearchPage,
    /// The facets, in the order in which they were asked for.
    pub(crate) facets: Vec<(String, Vec<FacetValue>)>,
    /// The products of the hits, as they are in the store.
    pub(crate) list: SortedPage<Document>,
    /// The id of the query; `None` if it has no words.
    pub(crate) query_id: Option<String>,
}

/// Searches, and counts the search.
pub(crate) async fn search(
    cx: &Context,
    memory: &Memory,
    request: SearchRequest,
) -> Result<SearchResults, SearchError> {
    let began = cx.clock.now();
    let mut query = request.query;
    let ids = request.filter.ids.clone();
    let known = filter(cx, memory, &mut query, &request.filter).await?;
    let asked_facets = query.facets.clone();
    facets::with_currency(&mut query);
    let options = Options::take(&mut query, request.filter.options);
    // Facets do not affect the position of a cursor.
    let counted = std::mem::take(&mut query.facets);
    let mut paging = request.page.of_list(&format!("search {query:?}"))?;
    query.facets = counted;
    // All of these ids are on one page.
    query.limit = if ids.is_empty() { paging.limit } else { MAX_IDS };
    query.after.clone_from(&paging.after);
    query.count = if paging.is_first { MAX_COUNT } else { 0 };

    let asked: Vec<Word> = words(&query.text).take(MAX_WORDS).collect();
    query.tuning = memory.tuned.tuning(cx, &asked).await;
    let mut page = if asked.is_empty() && !query.text.trim().is_empty() {
        // A query of punctuation alone matches no product.
        SearchPage {
            facets: options.no_counts(),
            total: Some(0),
            ..SearchPage::default()
        }
    } else {
        options.search(cx, &query).await?
    };
    if !memory.built.load(Ordering::Relaxed) {
        if !page.hits.is_empty() {
            memory.built.store(true, Ordering::Relaxed);
        } else if is_lost(cx).await? {
            return Err(IndexError::Unavailable("it is being rebuilt".into()).into());
        }
    }
    let mut documents = current(cx, &page.hits).await?;
    if !ids.is_empty() {
        documents.sort_by_key(|document| ids.iter().position(|id| document.key == PRODUCT.key(id)));
        (page.next, page.prev, page.total) = (None, None, Some(documents.len()));
    }
    let total = page.total.map(Total::counted).or(paging.total);
    paging.total = total;
    if let Some(near) = &query.near {
        let mut documents = documents.iter_mut();
        documents
            .try_for_each(|document| add_distance(document, near))
            .map_err(Failure::from)?;
    }
    let counted = std::mem::take(&mut page.facets);
    let facets = facets::shown(cx, &query, counted, &asked_facets, &known).await?;
    let mut query_id = None;
    if !asked.is_empty() {
        let day = usage::day(began);
        let id = usage::query_id(cx, &day, &asked);
        // Only the first page counts as a search.
        if query.after.is_none() {
            let ms = cx.clock.now().as_millisecond().saturating_sub(began.as_millisecond());
            let found = !documents.is_empty();
            // Remove the words that were not searched for: the text may be suggested to other clients.
            let rest = words(&query.text).nth(MAX_WORDS);
            let text = query.text.get(..rest.map_or(query.text.len(), |word| word.range.start));
            memory.usage.searched(cx, day, &id, text.unwrap_or(""), found, ms);
        }
        query_id = Some(id);
    }
    Ok(SearchResults {
        list: SortedPage {
            items: documents,
            next_cursor: page.next.as_deref().map(|place| paging.cursor(place)),
            prev_cursor: page.prev.as_deref().map(|place| paging.cursor(place)),
            total,
        },
        page,
        facets,
        query_id,
    })
}

/// The hits as they are in the store now: the index may lag behind, and must not show what is no longer public.
async fn current(cx: &Context, hits: &[Hit]) -> Result<Vec<Document>, Failure> {
    let keys: Vec<Key> = hits.iter().map(|hit| PRODUCT.key(&hit.id)).collect();
    let mut documents = Vec::with_capacity(keys.len());
    for keys in keys.chunks(MAX_KEYS) {
        for document in cx.get_all(keys).await?.into_iter().flatten() {
            if document.field::<Status>("status")? == Status::Published {
                documents.push(document);
            }
        }
    }
    Ok(documents)
}

/// The filters by options of variants, and the facets that they narrow.
struct Options {
    filters: BTreeMap<String, Vec<String>>,
    /// The facets of the query, with the keys of those that count options which other filters narrow.
    facets: Vec<(String, Option<String>)>,
}

impl Options {
    /// Takes the facets out of the query that need queries of their own.
    fn take(query: &mut SearchQuery, filters: BTreeMap<String, Vec<String>>) -> Self {
        let narrowed = |facet: &str| {
            let key = facet.strip_prefix("option.")?;
            filters.keys().any(|other| other != key).then(|| key.to_owned())
        };
        let facets: Vec<_> = query
            .facets
            .iter()
            .map(|facet| (facet.clone(), narrowed(facet)))
            .collect();
        query.facets.retain(|facet| narrowed(facet).is_none());
        Self { filters, facets }
    }

    fn no_counts(&self) -> Vec<FacetCounts> {
        let counts = |(facet, _): &(String, _)| FacetCounts {
            field: facet.clone(),
            values: Vec::new(),
        };
        self.facets.iter().map(counts).collect()
    }

    /// Searches, with a query more for each facet that was taken out.
    async fn search(&self, cx: &Context, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        let mut page = cx.search(query).await?;
        let mut counted = std::mem::take(&mut page.facets).into_iter();
        for (facet, narrowed) in &self.facets {
            let counts = match narrowed {
                None => counted.next(),
                Some(key) => Some(self.count(cx, query, facet, key, &mut page.is_approximate).await?),
            };
            page.facets.extend(counts);
        }
        for (value, _) in page.facets.iter_mut().flat_map(|counts| &mut counts.values) {
            if value.label.is_empty() {
                value.label.clone_from(&value.value);
            }
        }
        Ok(page)
    }

    /// The counts of an option among the variants that the other filters admit.
    async fn count(
        &self,
        cx: &Context,
        query: &SearchQuery,
        facet: &str,
        key: &str,
        is_approximate: &mut bool,
    ) -> Result<FacetCounts, SearchError> {
        let conditions = variants::conditions(&self.filters, key);
        let given = conditions.iter().map(|others| variants::field_given(key, others));
        let all = variants::field(self.filters.keys().map(String::as_str));
        let mut filters = query.filters.clone();
        filters.retain(|(field, _)| *field != all);
        // Of the products that the other filters admit.
        let others = self.filters.keys().map(String::as_str).filter(|other| *other != key);
        let values = conditions.iter().map(|condition| {
            let values: Vec<&str> = condition.iter().map(|(_, value)| *value).collect();
            variants::value(&values)
        });
        filters.push((variants::field(others), values.collect()));
        let query = SearchQuery {
            filters,
            facets: given.chain([facet.to_owned()]).collect(),
            limit: 1,
            after: None,
            count: 0,
            ..query.clone()
        };
        let page = cx.search(&query).await?;
        // A product with variants of several conditions is counted for each, but not more often than there are products.
        *is_approximate |= page.is_approximate || conditions.len() > 1;
        let mut counts: BTreeMap<String, (Facet, u64)> = BTreeMap::new();
        let mut most: BTreeMap<String, u64> = BTreeMap::new();
        for counted in page.facets {
            for (value, count) in counted.values {
                if counted.field == facet {
                    most.insert(value.value, count);
                } else {
                    let field = facet.to_owned();
                    let entry = counts
                        .entry(value.value.clone())
                        .or_insert((Facet { field, ..value }, 0));
                    entry.1 = entry.1.saturating_add(count);
                }
            }
        }
        for (value, (_, count)) in &mut counts {
            *count = most.get(value).map_or(*count, |most| (*most).min(*count));
        }
        let mut values: Vec<(Facet, u64)> = counts.into_values().collect();
        values.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.value.cmp(&b.value)));
        values.truncate(MAX_VALUES);
        let field = facet.to_owned();
        Ok(FacetCounts { field, values })
    }
}

/// Adds the filter to the query, and returns the attributes that it and the facets know. Names are resolved with one batched
/// get.
async fn filter(
    cx: &Context,
    memory: &Memory,
    query: &mut SearchQuery,
    filter: &ProductFilter,
) -> Result<Arc<Known>, Failure> {
    let mut authors = filter.authors.clone();
    for author in authors.iter_mut().filter(|author| *author == "me") {
        author.clone_from(&cx.signed_in()?.account);
    }
    let names = [
        ("category", CATEGORY, &*filter.categories),
        ("author", ACCOUNT, &*authors),
        ("vendor", VENDOR, &*filter.vendors),
    ];
    let [categories, authors, vendors] = cx.resolve_parameters(names).await?;
    let known = facets::check_attributes(cx, &memory.attributes, filter, &query.facets).await?;
    let attributes = match filter.attributes.is_empty() {
        true => Vec::new(),
        false => typed(cx, filter, &categories).await?,
    };
    let filter = ProductFilter {
        categories,
        authors,
        vendors,
        ..filter.clone()
    };
    filter.add_to(query, attributes);
    Ok(known)
}

/// The values of attributes by their types in these categories, or in all without any.
async fn typed(
    cx: &Context,
    filter: &ProductFilter,
    ids: &[String],
) -> Result<Vec<(String, AttributeFilter)>, Failure> {
    let keys: Vec<Key> = ids.iter().map(|id| CATEGORY.key(id)).collect();
    let categories = cx.get_all(&keys).await?.into_iter().flatten();
    let categories: Vec<Category> = categories.map(|found| found.parse()).collect::<Result<_, _>>()?;
    if let Ok(typed) = filter.typed(&categories) {
        return Ok(typed);
    }
    // A category below may define them.
    let all = cx.query_all(INDEX).await?;
    let all: Vec<Category> = all.iter().map(Document::parse).collect::<Result<_, _>>()?;
    let covered = if ids.is_empty() { all } else { with_below(all, ids) };
    filter.typed(&covered).map_err(Failure::BadParameter)
}
