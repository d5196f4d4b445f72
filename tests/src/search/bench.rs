//! What a case works with: [`Bench`], and short ways to say what it means.

use std::any::Any;
use std::sync::Arc;

use souk_core::Tenant;
use souk_core::search::{
    Facet, Field, IndexChange, Listing, MAX_CHANGES, Search, SearchError, SearchPage, SearchQuery,
};

use crate::contract::bench::{missing, skipped, unique};

/// An adapter that was opened, or what it lacks.
pub enum Made {
    /// The adapter, and what must live as long as it does.
    Ready(Arc<dyn Search>, Box<dyn Any + Send>),
    /// It cannot be tested here: what the reader should do first.
    Missing(&'static str),
    /// Likewise, and no machine needs to have it.
    Skipped(&'static str),
}

/// An index under test.
pub struct Bench {
    /// The index.
    pub index: Arc<dyn Search>,
    prefix: String,
    _keep: Box<dyn Any + Send>,
}

/// Runs one case against what `make` opens, when it is its turn, on an index that is empty.
pub fn run(make: impl AsyncFnOnce() -> Made, turn: &tokio::sync::Mutex<()>, case: impl AsyncFnOnce(&Bench)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _turn = turn.lock().await;
        match make().await {
            Made::Ready(index, keep) => {
                let bench = Bench::new(index, keep);
                bench.empty().await;
                case(&bench).await;
                bench.empty().await;
            }
            Made::Missing(set) => missing(set),
            Made::Skipped(set) => skipped(set),
        }
    });
}

impl Bench {
    /// An index with names of its own.
    pub fn new(index: Arc<dyn Search>, keep: Box<dyn Any + Send>) -> Self {
        Self {
            index,
            prefix: unique(),
            _keep: keep,
        }
    }

    /// A tenant of this case.
    pub fn tenant(&self, name: &str) -> Tenant {
        Tenant::named(&format!("{}-{name}", self.prefix)).unwrap()
    }

    /// The same for the index of a tenant. Products have the same ids.
    pub fn of(&self, tenant: &Tenant) -> Self {
        Self {
            index: self.index.of(tenant),
            prefix: self.prefix.clone(),
            _keep: Box::new(()),
        }
    }

    /// Rebuilds the index of nothing.
    pub async fn empty(&self) {
        let generation = self.index.begin().await.unwrap();
        self.index.finish(generation).await.unwrap();
    }

    /// The id of a product of this case.
    pub fn id(&self, name: &str) -> String {
        format!("prd_{}_{name}", self.prefix)
    }

    /// A product that has only a title.
    pub fn listing(&self, name: &str, version: u64, title: &str) -> Listing {
        listing(&self.id(name), version, title)
    }

    /// Indexes products.
    pub async fn put(&self, listings: &[Listing]) {
        for listings in listings.chunks(MAX_CHANGES) {
            let changes: Vec<_> = listings
                .iter()
                .map(|listing| IndexChange::Put(Box::new(listing.clone())))
                .collect();
            self.index.apply(&changes).await.unwrap();
        }
    }

    /// Removes a product.
    pub async fn remove(&self, name: &str, version: u64) {
        let id = self.id(name);
        self.index.apply(&[IndexChange::Remove { id, version }]).await.unwrap();
    }

    /// The first page.
    pub async fn page(&self, query: &SearchQuery) -> SearchPage {
        let found = self.index.search(query).await;
        found.unwrap_or_else(|e| panic!("{query:?}: {e}"))
    }

    /// The names of the products on the first page, in order.
    pub async fn find(&self, query: &SearchQuery) -> Vec<String> {
        let page = self.page(query).await;
        page.hits.iter().map(|hit| self.name(&hit.id)).collect()
    }

    /// The names of the products on all pages, in order. From each page one gets back to the page before.
    pub async fn find_all(&self, query: &SearchQuery) -> Result<Vec<String>, SearchError> {
        let (mut query, mut all) = (query.clone(), Vec::new());
        let mut before: Option<SearchPage> = None;
        loop {
            let page = self.index.search(&query).await?;
            assert_eq!(page.prev.is_some(), before.is_some());
            if let Some(before) = before {
                let back = SearchQuery {
                    after: page.prev.clone(),
                    ..query.clone()
                };
                let back = self.index.search(&back).await?;
                assert_eq!(
                    (&back.hits, back.prev.is_some()),
                    (&before.hits, before.prev.is_some()),
                    "{query:?}"
                );
                let again = SearchQuery {
                    after: back.next,
                    ..query.clone()
                };
                assert_eq!(self.index.search(&again).await?.hits, page.hits, "{query:?}");
            }
            before = Some(page.clone());
            assert!(page.hits.len() <= query.limit, "a page larger than asked for");
            all.extend(page.hits.iter().map(|hit| self.name(&hit.id)));
            let Some(next) = page.next else { return Ok(all) };
            assert_eq!(
                page.hits.len(),
                query.limit,
                "a page that is not full and yet not the last"
            );
            query.after = Some(next);
        }
    }

    fn name(&self, product: &str) -> String {
        let prefix = self.id("");
        product.strip_prefix(&prefix).unwrap_or(product).to_owned()
    }
}

/// A query for a text.
pub fn text(text: &str) -> SearchQuery {
    SearchQuery {
        text: text.to_owned(),
        limit: 20,
        ..SearchQuery::default()
    }
}

/// A product that has only a title.
pub fn listing(product: &str, version: u64, title: &str) -> Listing {
    Listing {
        id: product.to_owned(),
        version,
        body: serde_json::json!({ "title": title, "version": version }).to_string(),
        rank: 1_700_000_000,
        texts: vec![(Field::Title, title.to_owned())],
        facets: Vec::new(),
        suggestions: Vec::new(),
        price: 1_000,
        other_prices: Vec::new(),
        published_at: 1_700_000_000_000,
        votes: 0,
        place: None,
    }
}

/// A value of a facet, labelled in capitals.
pub fn facet(field: &str, value: &str) -> Facet {
    Facet {
        field: field.to_owned(),
        value: value.to_owned(),
        label: value.to_uppercase(),
    }
}
