//! Who counts a list: the store, the search index, or nobody completely.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use souk_core::documents::MAX_COUNT;
use souk_core::search::{IndexChange, IndexState, Listing, NoSearch, SearchError, SearchPage, SearchQuery, Suggestion};
use souk_core::{Search, Tenant};
use souk_sql::{MIGRATIONS, SqlDocuments};
use souk_sqlite::{SqliteDriver, SystemClock};

use crate::{Catalog, SMALL, market};

/// An index in which so many listings match, whatever is asked.
struct Matches {
    count: usize,
    asked: Mutex<Vec<SearchQuery>>,
    none: NoSearch,
}

#[async_trait]
impl Search for Matches {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        self.asked.lock().unwrap().push(query.clone());
        Ok(SearchPage {
            total: (query.count > 0).then(|| self.count.min(query.count)),
            next: Some("1".into()),
            ..SearchPage::default()
        })
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        self.none.suggest(typed, limit).await
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.none.used(texts).await
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        self.none.apply(changes).await
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        self.none.begin().await
    }

    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.none.fill(generation, listings).await
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        self.none.finish(generation).await
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        self.none.state().await
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        self.none.of(tenant)
    }

    async fn erase(&self) -> Result<(), SearchError> {
        self.none.erase().await
    }
}

#[tokio::test]
async fn lists_are_counted_as_far_as_somebody_can() {
    let directory = tempfile::tempdir().unwrap();
    let driver = SqliteDriver::open(&directory.path().join("souk.db"), MIGRATIONS).unwrap();
    let store = Arc::new(SqlDocuments::new(driver, Arc::new(SystemClock)));
    market::stage(&*store).await;
    market::fill(&*store, 0..SMALL + 96).await;
    let index = Arc::new(Matches {
        count: 777,
        asked: Mutex::default(),
        none: NoSearch::default(),
    });
    let sessions = || Arc::new(souk_identity::Sessions);
    let catalog = Catalog::searching(store.clone(), sessions(), index.clone());
    let without = Catalog::with(store, sessions());
    let some = |count: u32| {
        let slugs: Vec<String> = (0..count).map(|n| format!("category-{n}")).collect();
        slugs.join(",")
    };
    let half = (SMALL + 96) / 2;
    for (query, total, is_exact, by_index, without_index) in [
        ("limit=5".to_owned(), 1_000, false, false, (1_000, false)),
        (format!("limit=5&category={}", some(4)), half, true, false, (half, true)),
        // Eight lists of 137, of which each is counted as far as its share.
        (
            format!("limit=5&category={}", some(8)),
            1_000,
            false,
            false,
            (1_000, false),
        ),
        ("limit=5&condition=new".to_owned(), 777, true, true, (400, false)),
        (
            "limit=5&currency=EUR&min_price=1".to_owned(),
            777,
            true,
            true,
            (400, false),
        ),
        // What all fits on the page needs nobody.
        ("limit=5&condition=poor&tag=tag-1".to_owned(), 0, true, false, (0, true)),
    ] {
        let path = format!("/v1/products?{query}");
        let totals = async |catalog: &Catalog| {
            let page: Value = catalog.get(&path).await;
            (page["total"].clone(), page["total_is_exact"].clone())
        };
        assert_eq!(totals(&catalog).await, (json!(total), json!(is_exact)), "{query}");
        let (count, is_exact) = without_index;
        assert_eq!(totals(&without).await, (json!(count), json!(is_exact)), "{query}");
        let asked = std::mem::take(&mut *index.asked.lock().unwrap());
        assert_eq!(!asked.is_empty(), by_index, "{query}: {asked:?}");
        assert!(asked.iter().all(|asked| asked.count == MAX_COUNT && asked.limit == 1));
    }
    // What was counted is known for a while.
    catalog.get("/v1/products?limit=7&condition=new").await;
    assert_eq!(index.asked.lock().unwrap()[0].count, 0);
}
