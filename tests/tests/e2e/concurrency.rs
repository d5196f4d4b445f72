//! Many at once. Answers of 503 are asked for again when they say so; everything else must be right the first time.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use souk_tests::client::{Reply, market, product, unique};

use crate::{ids, path_of, text};

/// How many requests are under way at once.
const AT_ONCE: usize = 64;

pub(crate) async fn at_once(calls: impl IntoIterator<Item = souk_tests::client::Call>) -> Vec<Reply> {
    stream::iter(calls)
        .map(|call| call.patient().into_future())
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

#[tokio::test]
async fn a_thousand_posts_with_a_hundred_keys_make_a_hundred_products() {
    let Some(market) = market() else { return };
    let posts: usize = std::env::var("SOUK_TEST_PARALLEL").map_or(1000, |count| count.parse().unwrap());
    let keys = posts.div_ceil(10);
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let tag = unique("tag");
    let bodies: Vec<_> = (0..keys)
        .map(|n| product(&category, json!({ "title": format!("{tag} {n}") })))
        .collect();
    let replies = at_once((0..posts).map(|n| {
        // Neighbours share a key, so that they meet.
        let n = n / 10;
        seller
            .post("/v1/products", bodies[n].clone())
            .key(&format!("{tag}-{n}"))
    }))
    .await;
    let mut answers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut first = 0;
    for reply in replies {
        let reply = reply.expect(201);
        first += usize::from(reply.header("idempotency-replayed").is_empty());
        answers
            .entry(reply.text("title").to_owned())
            .or_default()
            .insert(reply.body);
    }
    assert_eq!(
        (answers.len(), first),
        (keys, keys),
        "each key was answered anew exactly once"
    );
    assert!(
        answers.values().all(|bodies| bodies.len() == 1),
        "all answers to one key are the same, byte for byte"
    );
    let made = seller
        .all(&format!("/v1/products?status=draft&category={category}"))
        .await;
    assert_eq!(made.len(), keys);
}

#[tokio::test]
async fn fifty_creations_of_one_title_make_fifty_slugs() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let title = unique("Very popular");
    let replies =
        at_once((0..50).map(|_| seller.post("/v1/products", product(&category, json!({ "title": title }))))).await;
    let made: Vec<_> = replies.into_iter().map(|reply| reply.expect(201).json).collect();
    let slugs: BTreeSet<_> = made.iter().map(|product| text(product, "slug")).collect();
    assert_eq!((made.len(), slugs.len()), (50, 50));
    let found = at_once(slugs.iter().map(|slug| seller.get(&format!("/v1/products/{slug}")))).await;
    let found: Vec<_> = found.into_iter().map(|reply| reply.expect(200).json).collect();
    assert_eq!(
        ids(&found).into_iter().collect::<BTreeSet<_>>(),
        ids(&made).into_iter().collect()
    );
}

#[tokio::test]
async fn of_twenty_patches_of_one_version_one_wins() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let path = path_of(&seller.draft(&category, json!({})).await);
    let seen = seller.get(&path).await.expect(200).header("etag").to_owned();
    let patch = |n: usize| {
        seller
            .patch(&path, json!({ "title": format!("Title {n}") }))
            .header("if-match", &seen)
    };
    let replies = at_once((0..20).map(patch)).await;
    let won: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(
        (won.len(), replies.iter().filter(|reply| reply.status == 412).count()),
        (1, 19)
    );
    let now = seller.get(&path).await.expect(200);
    assert_eq!((&now["title"], &now["version"]), (&won[0]["title"], &json!(2)));
}

#[tokio::test]
async fn patches_without_a_condition_all_take_effect() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let path = path_of(&seller.draft(&category, json!({})).await);
    let fields = [
        ("title", json!("T")),
        ("description", json!("D")),
        ("condition", json!("poor")),
        ("cover", json!("https://img.example/c")),
        ("tags", json!(["t"])),
        ("url", json!("https://a.example/u")),
    ];
    let replies = at_once(
        fields
            .iter()
            .map(|(field, value)| seller.patch(&path, json!({ *field: value }))),
    )
    .await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    let now = seller.get(&path).await.expect(200);
    for (field, value) in fields {
        assert_eq!(now[field], value, "{field}");
    }
    assert_eq!(now["version"], 7);
}

#[tokio::test]
async fn what_is_unique_is_given_once() {
    let Some(market) = market() else { return };
    let (seller, admin) = (market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let sku = || {
        seller.post(
            "/v1/products",
            product(&category, json!({ "vendor": shop["id"], "sku": "1" })),
        )
    };
    let slug = unique("slug");
    let named = || json!({ "name": "Same", "slug": slug });
    let account =
        |n: usize| json!({ "email": format!("{slug}-{n}@example.com"), "username": slug, "password": "q7 lamps" });
    for (what, calls) in [
        ("sku", (0..10).map(|_| sku()).collect::<Vec<_>>()),
        ("vendor", (0..10).map(|_| seller.post("/v1/vendors", named())).collect()),
        (
            "category",
            (0..10).map(|_| admin.post("/v1/categories", named())).collect(),
        ),
        (
            "username",
            (0..10)
                .map(|n| market.anonymous().post("/v1/accounts", account(n)))
                .collect(),
        ),
    ] {
        let replies = at_once(calls).await;
        let won = replies.iter().filter(|reply| matches!(reply.status, 200 | 201)).count();
        let lost = replies.iter().filter(|reply| reply.status == 409).count();
        assert_eq!(
            (won, lost),
            (1, 9),
            "{what}: {:?}",
            replies.iter().map(|reply| reply.status).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_category_and_its_products_never_miss_each_other() {
    let Some(market) = market() else { return };
    let (seller, admin) = (market.member().await, market.admin().await);
    for _ in 0..3 {
        let category = market.category(json!([])).await;
        let remove = admin.delete(&format!("/v1/categories/{category}"));
        let creations = (0..8).map(|_| seller.post("/v1/products", product(&category, json!({}))));
        let replies = at_once(creations.chain([remove])).await;
        let made = replies.iter().filter(|reply| reply.status == 201).count();
        let gone = admin.get(&format!("/v1/categories/{category}")).await.status == 404;
        let listed = if gone {
            0
        } else {
            seller
                .all(&format!("/v1/products?status=draft&category={category}"))
                .await
                .len()
        };
        assert!(!gone || made == 0, "{made} products in a category that is gone");
        assert!(gone || listed == made);
        for reply in &replies {
            assert!(
                matches!(reply.status, 201 | 204 | 409 | 422),
                "{}: {}",
                reply.status,
                reply.body
            );
        }
    }
}
