//! A market of any size, made as the catalog makes it: the `n`th product is always the same.

use std::ops::Range;

use futures_util::{StreamExt as _, stream};
use serde_json::{Map, json};
use souk_core::{Change, Commit, Condition, Documents, Money, Timestamp};
use souk_model::catalog::category::Category;
use souk_model::catalog::product::{COUNTERS, ItemCondition, Product};
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::identity::ACCOUNT;

const CATEGORIES: u32 = 8;
const AUTHORS: u32 = 8;
const TAGS: u32 = 12;
/// How many products go into one commit, which holds 100 changes and entries.
const BATCH: u32 = 8;
/// How many commits are under way at once.
const AT_ONCE: usize = 16;

pub(crate) fn id(n: u32) -> String {
    format!("prd_{n:032x}")
}

pub(crate) fn slug(n: u32) -> String {
    format!("thing-{n}")
}

pub(crate) fn author(n: u32) -> String {
    format!("acc_{n:032x}")
}

fn category(n: u32) -> String {
    format!("cat_{n:032x}")
}

fn moment(seconds: u32) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + i64::from(seconds)).unwrap()
}

/// The categories and the authors.
pub(crate) async fn stage(store: &dyn Documents) {
    let now = moment(0);
    for n in 0..CATEGORIES {
        let category = Category {
            id: category(n),
            slug: format!("category-{n}"),
            name: format!("Category {n}"),
            description: String::new(),
            icon: None,
            color: None,
            parent: None,
            attributes: Vec::new(),
            created_at: now,
            updated_at: now,
            closing: false,
            version: 1,
        };
        let body = serde_json::to_string(&category).unwrap();
        let changes = vec![
            Change::claim(CATEGORY.name_key(&category.slug), &category.id),
            Change::create(CATEGORY.key(&category.id), body, category.entries()),
        ];
        store.commit(Commit::new(changes)).await.unwrap();
    }
    for n in 0..AUTHORS {
        let body = json!({ "id": author(n), "username": format!("author-{n}"), "name": "Author", "created_at": now });
        let change = Change::create(ACCOUNT.key(&author(n)), body.to_string(), Vec::new());
        store.commit(Commit::new(vec![change])).await.unwrap();
    }
}

/// The products of these numbers, all published.
pub(crate) async fn fill(store: &dyn Documents, numbers: Range<u32>) {
    let batches = numbers.clone().step_by(BATCH as usize);
    let commits = stream::iter(batches).map(async |first| {
        let batch = first..numbers.end.min(first + BATCH);
        let changes = batch.flat_map(|n| creation(&product(n))).collect();
        store.commit(Commit::new(changes)).await.unwrap();
    });
    commits.buffer_unordered(AT_ONCE).collect::<()>().await;
}

pub(crate) fn creation(product: &Product) -> [Change; 2] {
    let put = Change::Put {
        key: PRODUCT.key(&product.id),
        body: serde_json::to_string(product).unwrap(),
        counters: COUNTERS.map(str::to_owned).into(),
        expires_at: None,
        condition: Condition::Absent,
        entries: product.entries(),
        stale: Vec::new(),
    };
    [Change::claim(PRODUCT.name_key(&product.slug), &product.id), put]
}

pub(crate) fn product(n: u32) -> Product {
    let now = moment(n);
    Product {
        id: id(n),
        status: Status::Published,
        slug: slug(n),
        title: format!("Thing {n}"),
        description: "It comes from a house where it was used and looked after. ".repeat(8),
        category: category(n % CATEGORIES),
        author: author(n / 7 % AUTHORS),
        vendor: None,
        sku: None,
        gtin: None,
        highest_price: None,
        compare_at_price: None,
        lowest_prior_price: None,
        past_prices: Vec::new(),
        weight: None,
        options: Vec::new(),
        variants: Vec::new(),
        // In no order.
        price: Money {
            amount: i64::from(n.wrapping_mul(2_654_435_761) % 100_000),
            currency: "EUR".into(),
        },
        condition: ItemCondition::New,
        cover: None,
        gallery: Vec::new(),
        tags: vec![format!("tag-{}", n % TAGS)],
        attributes: Map::new(),
        location: None,
        url: None,
        created_at: now,
        updated_at: now,
        published_at: Some(now),
        upvote_count: 0,
        comment_count: 0,
        view_count: 0,
        version: 1,
        viewer: None,
        distance: None,
    }
}
