//! Pages and cursors.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use souk_tests::client::{Client, market};

use crate::{ids, text};

/// Adds published products, a few at a time.
async fn fill(seller: &Client, category: &str, count: usize) -> Vec<Value> {
    let add = |n: usize| seller.published(category, json!({ "price": { "amount": n, "currency": "EUR" } }));
    stream::iter(0..count).map(add).buffer_unordered(8).collect().await
}

#[tokio::test]
async fn paging_yields_each_exactly_once_while_others_create() {
    let Some(market) = market() else { return };
    let (seller, reader) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let there = fill(&seller, &category, 45).await;
    let there: Vec<_> = ids(&there).into_iter().map(str::to_owned).collect();
    for sort in ["newest", "price", "-price"] {
        let done = AtomicBool::new(false);
        let create = async {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) && n < 200 {
                // All over the list when it goes by price.
                n += 1;
                let price = json!({ "amount": n * 7 % 45, "currency": "EUR" });
                seller.published(&category, json!({ "price": price })).await;
            }
            n
        };
        let read = async {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/products?category={category}&sort={sort}&limit=4{cursor}");
                let page = reader.get(&path).await.expect(200);
                assert!(page.items().len() <= 4);
                seen.extend_from_slice(page.items());
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            done.store(true, Ordering::Relaxed);
            seen
        };
        let (created, seen) = join(create, read).await;
        assert!(created > 0);
        let seen = ids(&seen);
        for id in &there {
            assert_eq!(seen.iter().filter(|seen| **seen == id).count(), 1, "{sort}: {id}");
        }
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{sort}: nothing is seen twice");
    }
}

#[tokio::test]
async fn a_page_has_as_many_as_asked_for() {
    let Some(market) = market() else { return };
    let (seller, reader) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let all = format!("/v1/products?category={category}");
    let empty = reader.get(&all).await.expect(200);
    assert_eq!(
        empty.json,
        json!({ "items": [], "next_cursor": null, "prev_cursor": null, "total": 0, "total_is_exact": true })
    );
    fill(&seller, &category, 22).await;
    for (limit, expected, more) in [
        ("", 20, true),
        ("&limit=1", 1, true),
        ("&limit=21", 21, true),
        ("&limit=22", 22, false),
        ("&limit=100", 22, false),
    ] {
        let page = reader.get(&format!("{all}{limit}")).await.expect(200);
        assert_eq!(
            (page.items().len(), page["next_cursor"].is_string()),
            (expected, more),
            "{limit}"
        );
    }
    // The size may change on the way.
    let first = reader.get(&format!("{all}&limit=5")).await.expect(200);
    let rest = reader
        .get(&format!("{all}&limit=100&cursor={}", first.text("next_cursor")))
        .await
        .expect(200);
    assert_eq!((rest.items().len(), &rest["next_cursor"]), (17, &Value::Null));
}

#[tokio::test]
async fn a_combined_list_is_complete() {
    let Some(market) = market() else { return };
    let (seller, other) = (market.member().await, market.member().await);
    let category = market
        .category(json!([{ "name": "odd", "type": "boolean", "filterable": true }]))
        .await;
    let attributes = |n: usize| json!({ "attributes": { "odd": n % 2 == 1 } });
    let add = |n: usize| (if n.is_multiple_of(10) { &other } else { &seller }).published(&category, attributes(n));
    let all: Vec<Value> = stream::iter(0..60).map(add).buffer_unordered(8).collect().await;
    let odd = |odd: bool| all.iter().filter(|product| product["attributes"]["odd"] == odd).count();
    for (query, expected) in [
        ("attr.odd=true".to_owned(), odd(true)),
        ("attr.odd=false&sort=price".to_owned(), odd(false)),
        (format!("author={}", other.id()), 6),
        (format!("author={}&attr.odd=true", other.id()), 0),
        (format!("author={}&attr.odd=false", seller.id()), 24),
    ] {
        for limit in [1, 7, 30, 100] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/products?category={category}&{query}&limit={limit}{cursor}");
                let page = market.anonymous().get(&path).await.expect(200);
                assert!(page.items().len() <= limit);
                seen.extend(ids(page.items()).into_iter().map(str::to_owned));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let count = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!((count, seen.len()), (expected, expected), "{query} limit={limit}");
        }
    }
}

#[tokio::test]
async fn a_cursor_is_for_its_own_list() {
    let Some(market) = market() else { return };
    let (seller, reader) = (market.member().await, market.anonymous());
    let (category, other) = (market.category(json!([])).await, market.category(json!([])).await);
    let products = fill(&seller, &category, 3).await;
    let list = format!("/v1/products?category={category}&limit=1");
    let cursor = reader.get(&list).await.expect(200).text("next_cursor").to_owned();
    reader.get(&format!("{list}&cursor={cursor}")).await.expect(200);
    for elsewhere in [
        format!("/v1/products?category={other}"),
        format!("/v1/products?category={category}&sort=price"),
        format!("/v1/products?category={category}&sort=-price"),
        format!("/v1/products?category={category}&status=sold"),
        format!("/v1/products?author={}", seller.id()),
        "/v1/products?limit=1".to_owned(),
        "/v1/categories?limit=1".to_owned(),
        "/v1/vendors?limit=1".to_owned(),
    ] {
        let mark = if elsewhere.contains('?') { '&' } else { '?' };
        reader
            .get(&format!("{elsewhere}{mark}cursor={cursor}"))
            .await
            .names(400, &["cursor"]);
    }
    let half = &cursor[..cursor.len() / 2];
    let scope = base64::Engine::decode(&URL_SAFE_NO_PAD, &cursor).unwrap();
    for length in [0, 1, 900, 990, 1000, 1010, 1016, 1100] {
        // A place that nothing has, in the right list.
        let forged = base64::Engine::encode(&URL_SAFE_NO_PAD, [&scope[..8], &b"x".repeat(length)].concat());
        let reply = reader.get(&format!("{list}&cursor={forged}")).await;
        assert!(matches!(reply.status, 200 | 400), "{length}: {}", reply.body);
    }
    let longer = format!("{cursor}{}", "A".repeat(1500));
    for garbage in [
        "x",
        "%00",
        "AAAAAAAAAAA",
        "%F0%9F%92%A1",
        text(&products[0], "id"),
        half,
        &longer,
        &cursor.to_uppercase(),
    ] {
        let reply = reader.get(&format!("{list}&cursor={garbage}")).await;
        // Half a cursor may name a place in the list; anything else is refused.
        if garbage != half || reply.status != 200 {
            reply.names(400, &["cursor"]);
        }
    }
}
