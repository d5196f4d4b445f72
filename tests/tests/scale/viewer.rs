//! What `include` costs: the calls of the store that a page takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use souk_core::{Change, Commit, Consistency, Document, Documents, Key, Page, Principal, Query, StoreError};
use souk_kit::Principals;
use souk_model::catalog::CATEGORY;
use souk_model::community::{follow_key, save_key, upvote_key};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::{Staff, VENDOR};
use souk_sql::{MIGRATIONS, SqlDocuments};
use souk_sqlite::{SqliteDriver, SystemClock};

use crate::{Catalog, market};

/// Counts the calls.
struct Calls<D> {
    inner: D,
    count: Arc<AtomicUsize>,
}

impl<D> Calls<D> {
    fn one(&self) -> &D {
        self.count.fetch_add(1, Ordering::Relaxed);
        &self.inner
    }
}

#[async_trait]
impl<D: Documents> Documents for Calls<D> {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        self.one().get(keys, consistency).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        self.one().query(query, consistency).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.one().commit(commit).await
    }
}

/// Knows an account without a read, so that only what the page takes is counted.
struct Known;

#[async_trait]
impl Principals for Known {
    async fn principal(
        &self,
        _: &dyn Documents,
        account: &str,
        session: &str,
    ) -> Result<Option<Principal>, StoreError> {
        Ok(Some(Principal {
            account: account.into(),
            session: session.into(),
            ..Principal::default()
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_everything_takes_two_calls() {
    let directory = tempfile::tempdir().unwrap();
    let driver = SqliteDriver::open(&directory.path().join("souk.db"), MIGRATIONS).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let store = Arc::new(Calls {
        inner: SqlDocuments::new(driver, Arc::new(SystemClock)),
        count: count.clone(),
    });
    // Each of another category, author and vendor, which is the most that there can be.
    let me = "acc_0000000000000000000000000000feed";
    let other = |kind: souk_core::Kind, n: u32| format!("{}_{n:032x}", kind.prefix);
    for n in 0..20 {
        let mut product = market::product(n);
        let (category, author, vendor) = (other(CATEGORY, n), other(ACCOUNT, n), other(VENDOR, n));
        (product.category, product.author) = (category.clone(), author.clone());
        product.vendor = Some(vendor.clone());
        let one = |key: Key, body: Value| Change::create(key, body.to_string(), Vec::new());
        let mut changes = Vec::from(market::creation(&product));
        changes.push(one(CATEGORY.key(&category), json!({ "id": category })));
        changes.push(one(
            VENDOR.key(&vendor),
            json!({ "id": vendor, "owner": "acc_1", "name": "Shop" }),
        ));
        let since = "2026-11-30T12:00:00.000Z";
        changes.push(one(
            Staff::key(&vendor),
            json!({ "members": [{ "account": me, "since": since }] }),
        ));
        let marks = [
            upvote_key(&product.id, me),
            save_key(&product.id, me),
            follow_key(me, &author),
            follow_key(me, &vendor),
        ];
        changes.extend(marks.map(|key| one(key, json!({}))));
        store.commit(Commit::new(changes)).await.unwrap();
    }
    let catalog = Catalog::with(store, Arc::new(Known));
    let platform = &catalog.platform;
    let issuer = &platform.settings.public_url;
    let token = platform.keys.issue(me, "ses_1", issuer, platform.now()).unwrap();
    let get = async |path: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        count.store(0, Ordering::Relaxed);
        let answer = catalog.app.handle(request.body(Some(Bytes::new())).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {:?}", answer.body());
        let page: Value = serde_json::from_slice(answer.body()).unwrap();
        (page, count.load(Ordering::Relaxed))
    };
    // The first request of a process reads what operators have set.
    get("/v1/products?limit=1").await;
    let (page, calls) = get("/v1/products?limit=20&include=viewer,vendor,category").await;
    assert_eq!(calls, 2);
    let all = json!({
        "upvoted": true, "saved": true, "following_vendor": true, "following_author": true, "may_edit": true,
    });
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 20);
    for item in items {
        assert_eq!(item["viewer"], all);
        assert!(item["vendor"]["name"] == "Shop" && item["category"]["id"].is_string());
    }
    let (_, calls) = get("/v1/products?limit=20").await;
    assert_eq!(calls, 1);
}
