//! Who sees a product and who may change it.

use reqwest::Method;
use serde_json::json;
use souk_tests::client::{Market, market};

use crate::{path_of, text};

/// The ways to each status.
const STATES: [(&str, &[&str]); 4] = [
    ("draft", &[]),
    ("published", &["publish"]),
    ("sold", &["publish", "sold"]),
    ("archived", &["publish", "archive"]),
];

/// A product's status, whether everyone sees it, and its address.
async fn one_of_each(market: &Market) -> (souk_tests::client::Client, String, Vec<(&'static str, bool, String)>) {
    let author = market.member().await;
    let category = market.category(json!([])).await;
    let mut products = Vec::new();
    for (status, way) in STATES {
        let path = path_of(&author.draft(&category, json!({})).await);
        for step in way {
            author.act(&format!("{path}/{step}")).await.expect(200);
        }
        products.push((status, matches!(status, "published" | "sold"), path));
    }
    (author, category, products)
}

#[tokio::test]
async fn only_its_author_and_moderators_see_what_is_not_public() {
    let Some(market) = market() else { return };
    let (author, category, products) = one_of_each(&market).await;
    let (stranger, anyone, moderator) = (market.member().await, market.anonymous(), market.admin().await);
    for (status, public, path) in &products {
        let product = author.get(path).await.expect(200).json;
        assert_eq!(product["status"], *status);
        let by_slug = format!("/v1/products/{}", text(&product, "slug"));
        for path in [path, &by_slug] {
            assert_eq!(moderator.get(path).await.expect(200).json, product);
            for client in [&stranger, &anyone] {
                let reply = client.get(path).await;
                if *public {
                    assert_eq!(reply.expect(200).json, product, "{status}");
                } else {
                    // As if there were none.
                    let none = client
                        .get("/v1/products/prd_0123456789abcdef0123456789abcdef")
                        .await
                        .expect(404);
                    assert_eq!(reply.expect(404)["detail"], none["detail"], "{status}");
                }
            }
        }
        let list = format!("/v1/products?category={category}&status={status}");
        for client in [&author, &moderator] {
            assert_eq!(client.all(&list).await, std::slice::from_ref(&product), "{status}");
        }
        if *public {
            for client in [&stranger, &anyone] {
                assert_eq!(client.all(&list).await, std::slice::from_ref(&product), "{status}");
            }
        } else {
            assert!(stranger.all(&list).await.is_empty(), "{status}");
            anyone.get(&list).await.expect(401);
            stranger
                .get(&format!("{list}&author={}", author.id()))
                .await
                .expect(403);
            assert_eq!(
                author.all(&format!("{list}&author={}", author.id())).await,
                [product],
                "{status}"
            );
        }
    }
    // What is asked for without a status is what everyone may see, whoever asks.
    let published = author.get(&products[1].2).await.expect(200).json;
    for client in [&author, &moderator, &stranger, &anyone] {
        assert_eq!(
            client.all(&format!("/v1/products?category={category}")).await,
            std::slice::from_ref(&published)
        );
    }
}

#[tokio::test]
async fn only_its_author_and_moderators_may_change_a_product() {
    let Some(market) = market() else { return };
    let (author, _, products) = one_of_each(&market).await;
    let (stranger, anyone, moderator) = (market.member().await, market.anonymous(), market.admin().await);
    for (status, public, path) in &products {
        let before = author.get(path).await.expect(200).json;
        let refused = if *public { 403 } else { 404 };
        for (method, path) in [
            (Method::PATCH, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::POST, format!("{path}/publish")),
            (Method::POST, format!("{path}/archive")),
            (Method::POST, format!("{path}/sold")),
            (Method::POST, format!("{path}/draft")),
        ] {
            for (client, expected) in [(&stranger, refused), (&anyone, 401)] {
                let call = client.call(method.clone(), &path);
                let call = if method == Method::PATCH {
                    call.json(&json!({ "title": "Mine now" }))
                } else {
                    call
                };
                let reply = call.await;
                assert_eq!(reply.status, expected, "{status}: {method} {path}: {}", reply.body);
            }
        }
        assert_eq!(author.get(path).await.expect(200).json, before, "{status}");
        assert_eq!(
            moderator.patch(path, json!({ "title": "Moderated" })).await.expect(200)["author"],
            author.id()
        );
        moderator.delete(path).await.expect(204);
        author.get(path).await.expect(404);
    }
}
