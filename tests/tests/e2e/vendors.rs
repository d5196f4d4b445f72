//! Vendors: who owns a shop, and what it may call its own.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{market, product, unique};

use crate::{path_of, text};

#[tokio::test]
async fn a_member_opens_a_shop_and_everyone_sees_it() {
    let Some(market) = market() else { return };
    let (owner, anyone) = (market.member().await, market.anonymous());
    let (name, slug) = (unique("Lantern"), unique("lantern"));
    let new = json!({ "name": format!(" {name} & Sons "), "slug": slug, "description": "Since 1850.\nAnd before." });
    let created = owner.post("/v1/vendors", new).await.expect(201);
    let expected = json!({
        "id": created["id"], "slug": slug, "name": format!("{name} & Sons"), "description": "Since 1850.\nAnd before.", "owner": owner.id(),
        "created_at": created["created_at"], "updated_at": created["created_at"], "follower_count": 0, "version": 1,
    });
    assert_eq!(created.json, expected);
    let by_id = format!("/v1/vendors/{}", created.text("id"));
    assert_eq!(created.header("location"), by_id);
    for path in [by_id.clone(), format!("/v1/vendors/{slug}")] {
        assert_eq!(anyone.get(&path).await.expect(200).json, expected);
    }
    assert!(anyone.all("/v1/vendors").await.contains(&expected));
    assert_eq!(
        anyone.get(&format!("{by_id}?fields=name")).await.expect(200).json,
        json!({ "name": format!("{name} & Sons") })
    );

    let renamed = unique("lamps");
    let changed = owner
        .patch(&by_id, json!({ "slug": renamed, "description": null }))
        .await
        .expect(200);
    assert_eq!(
        (&changed["slug"], &changed["description"], &changed["version"]),
        (&json!(renamed), &json!(""), &json!(2))
    );
    let by_new = format!("/v1/vendors/{renamed}");
    assert_eq!(anyone.get(&by_new).await.expect(200)["id"], changed["id"]);
    assert_eq!(owner.delete(&by_id).await.expect(405).header("allow"), "GET,HEAD,PATCH");
    // The old slug leads on, for changes too, and no other vendor can have it.
    let by_old = format!("/v1/vendors/{slug}");
    assert_eq!(anyone.get(&by_old).await.expect(308).header("location"), by_new);
    let patch = json!({ "description": "Still here." });
    assert_eq!(owner.patch(&by_old, patch).await.expect(200)["id"], changed["id"]);
    market
        .member()
        .await
        .call(Method::PUT, &format!("{by_old}/follow"))
        .await
        .expect(200);
    owner
        .post("/v1/vendors", json!({ "name": "Second", "slug": slug }))
        .await
        .names(409, &["slug"]);
}

#[tokio::test]
async fn only_its_owner_and_moderators_change_a_shop() {
    let Some(market) = market() else { return };
    let (owner, stranger) = (market.member().await, market.member().await);
    let shop = owner.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let path = format!("/v1/vendors/{}", text(&shop, "id"));
    stranger.patch(&path, json!({ "name": "Mine now" })).await.expect(403);
    market
        .anonymous()
        .patch(&path, json!({ "name": "Mine now" }))
        .await
        .expect(401);
    market
        .anonymous()
        .post("/v1/vendors", json!({ "name": "Nobody's" }))
        .await
        .expect(401);
    assert_eq!(owner.get(&path).await.expect(200).json, shop);
    let moderated = market
        .admin()
        .await
        .patch(&path, json!({ "name": "Moderated" }))
        .await
        .expect(200);
    assert_eq!(
        (&moderated["name"], &moderated["owner"]),
        (&json!("Moderated"), &json!(owner.id()))
    );

    // Nor does anyone else sell there.
    let category = market.category(json!([])).await;
    stranger
        .post("/v1/products", product(&category, json!({ "vendor": shop["id"] })))
        .await
        .names(403, &["vendor"]);
    let own = stranger.draft(&category, json!({})).await;
    stranger
        .patch(&path_of(&own), json!({ "vendor": shop["slug"] }))
        .await
        .names(403, &["vendor"]);
}

#[tokio::test]
async fn a_shop_that_is_not_valid_is_refused_with_every_field_named() {
    let Some(market) = market() else { return };
    let owner = market.member().await;
    for (body, fields) in [
        (json!({}), vec!["name"]),
        (
            json!({ "name": "", "slug": "Ünique", "description": "x".repeat(2001) }),
            vec!["name", "slug", "description"],
        ),
        (json!({ "name": "A", "slug": "a--b" }), vec!["slug"]),
        (
            json!({ "name": "A", "owner": "acc_0123456789abcdef0123456789abcdef" }),
            vec!["owner"],
        ),
        (json!({ "name": "A\u{7}" }), vec!["name"]),
    ] {
        owner.post("/v1/vendors", body).await.names(422, &fields);
    }
    let slug = unique("taken");
    let new = json!({ "name": "A", "slug": slug });
    owner.post("/v1/vendors", new.clone()).await.expect(201);
    assert_eq!(
        market
            .member()
            .await
            .post("/v1/vendors", new)
            .await
            .names(409, &["slug"])["code"],
        "taken"
    );
    let other = owner.add("/v1/vendors", json!({ "name": unique("Other") })).await;
    owner
        .patch(&format!("/v1/vendors/{}", text(&other, "id")), json!({ "slug": slug }))
        .await
        .names(409, &["slug"]);
}

#[tokio::test]
async fn a_sku_is_unique_for_its_vendor() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let mut shops = Vec::new();
    for _ in 0..2 {
        shops.push(seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await);
    }
    let sku = |shop: &Value, sku: &str| json!({ "vendor": shop["id"], "sku": sku });
    let first = seller.draft(&category, sku(&shops[0], "A-1")).await;
    let taken = seller
        .post("/v1/products", product(&category, sku(&shops[0], "A-1")))
        .await
        .names(409, &["sku"]);
    assert_eq!(taken["code"], "sku_taken");
    // Case and spaces are the vendor's own affair; so is what another vendor calls its products.
    let second = seller.draft(&category, sku(&shops[0], "a-1")).await;
    seller.draft(&category, sku(&shops[1], "A-1")).await;
    seller
        .patch(&path_of(&second), json!({ "sku": "A-1" }))
        .await
        .names(409, &["sku"]);
    seller
        .patch(&path_of(&second), json!({ "vendor": shops[1]["id"], "sku": "A-1" }))
        .await
        .names(409, &["sku"]);
    // Given up, it is free.
    seller
        .patch(&path_of(&first), json!({ "sku": "A-2" }))
        .await
        .expect(200);
    seller
        .patch(&path_of(&second), json!({ "sku": "A-1" }))
        .await
        .expect(200);
    seller
        .patch(&path_of(&first), json!({ "sku": "a-1" }))
        .await
        .expect(200);
    seller
        .patch(&path_of(&first), json!({ "vendor": null }))
        .await
        .names(422, &["sku"]);
    seller
        .patch(&path_of(&first), json!({ "vendor": null, "sku": null }))
        .await
        .expect(200);
    seller.draft(&category, sku(&shops[0], "a-1")).await;
}
