//! An edit that changes nothing is no write.

use serde_json::{Value, json};
use souk_tests::client::{market, unique};

use crate::{path_of, text};

#[tokio::test]
async fn a_patch_that_changes_nothing_leaves_the_version_and_the_etag() {
    let Some(market) = market() else { return };
    let (seller, admin) = (market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let product = seller
        .published(&category, json!({ "vendor": vendor["slug"], "tags": ["red", "new"] }))
        .await;
    // Another one: its comments are counted meanwhile.
    let comments = format!("{}/comments", path_of(&seller.published(&category, json!({})).await));
    let comment = seller.add(&comments, json!({ "body": "Does it leak?" })).await;
    let hook = json!({ "url": "https://hooks.souk.example/", "events": ["product.sold"], "enabled": false });
    let hook = seller.add("/v1/webhooks", hook).await;
    let shown = admin.get(&format!("/v1/categories/{category}")).await.expect(200).json;
    for (client, path, same, other) in [
        (
            &seller,
            path_of(&product),
            vec![
                json!({ "title": product["title"], "price": product["price"], "attributes": {} }),
                json!({ "category": shown["slug"], "vendor": vendor["slug"], "tags": ["RED", "red", "new"], "url": null }),
            ],
            json!({ "tags": ["new", "red"] }),
        ),
        (
            &admin,
            format!("/v1/categories/{category}"),
            vec![json!({ "name": format!(" {} ", text(&shown, "name")), "parent": null })],
            json!({ "icon": "💡" }),
        ),
        (
            &seller,
            format!("/v1/vendors/{}", text(&vendor, "id")),
            vec![json!({ "slug": vendor["slug"], "name": vendor["name"] })],
            json!({ "description": "Lamps" }),
        ),
        (
            &seller,
            format!("/v1/comments/{}", text(&comment, "id")),
            vec![json!({ "body": "Does it leak?" })],
            json!({ "body": "Does it?" }),
        ),
        (
            &seller,
            "/v1/me".into(),
            vec![json!({ "name": seller.me["name"], "avatar": null })],
            json!({ "bio": "Lamps" }),
        ),
        (
            &seller,
            format!("/v1/webhooks/{}", text(&hook, "id")),
            vec![json!({ "events": ["product.sold"], "snapshot": false })],
            json!({ "snapshot": true }),
        ),
    ] {
        let before = client.get(&path).await.expect(200);
        for patch in same.into_iter().chain([json!({})]) {
            let reply = client
                .patch(&path, patch.clone())
                .header("if-match", before.header("etag"));
            let reply = reply.await.expect(200);
            assert_eq!(reply.json, before.json, "{path} {patch}");
            assert_eq!(reply.header("etag"), before.header("etag"), "{path} {patch}");
        }
        let after = client.patch(&path, other).await.expect(200);
        assert_ne!(after.header("etag"), before.header("etag"), "{path}");
        let version = |json: &Value| json["version"].as_i64().unwrap();
        assert_eq!(version(&after.json), version(&before.json) + 1, "{path}");
        // What is refused is refused as ever.
        let late = client.patch(&path, json!({})).header("if-match", before.header("etag"));
        late.await.expect(412);
    }
}
