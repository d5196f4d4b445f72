//! Who sells for a shop beside its owner.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Call, Client, market, product, unique};

use crate::{ids, path_of, text};

async fn shop(owner: &Client) -> (Value, String) {
    let shop = owner.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let path = format!("/v1/vendors/{}", text(&shop, "id"));
    (shop, path)
}

fn name(client: &Client) -> &str {
    text(&client.me, "username")
}

fn place(shop: &str, member: &Client) -> String {
    format!("{shop}/staff/{}", name(member))
}

fn put(client: &Client, path: &str) -> Call {
    client.call(Method::PUT, path)
}

#[tokio::test]
async fn the_owner_of_a_shop_and_admins_say_who_its_staff_is() {
    let Some(market) = market() else { return };
    let (owner, admin, anyone) = (market.member().await, market.admin().await, market.anonymous());
    let (anna, bert, stranger) = (market.member().await, market.member().await, market.member().await);
    let (shop, path) = shop(&owner).await;
    let by_slug = format!("/v1/vendors/{}", text(&shop, "slug"));
    let list = format!("{path}/staff");
    assert_eq!(owner.get(&list).await.expect(200).items(), [] as [Value; 0]);

    for _ in 0..2 {
        put(&owner, &place(&by_slug, &anna)).await.expect(204);
    }
    put(&admin, &place(&path, &bert)).await.expect(204);
    let listed = owner.get(&list).await.expect(200);
    assert_eq!(listed["next_cursor"], Value::Null);
    for (member, shown) in [&anna, &bert].into_iter().zip(listed.items()) {
        let expected = json!({
            "id": member.id(), "username": name(member), "name": member.me["name"], "since": shown["since"],
        });
        assert_eq!(*shown, expected);
    }
    assert_eq!(listed.items().len(), 2);
    for client in [&anna, &admin] {
        assert_eq!(client.get(&list).await.expect(200).json, listed.json);
    }
    // Nothing of it is in what everyone sees.
    assert_eq!(anyone.get(&path).await.expect(200).json, shop);

    for (client, status) in [(&anna, 403), (&stranger, 403), (&anyone, 401)] {
        put(client, &place(&path, &stranger)).await.expect(status);
        client.delete(&place(&path, &bert)).await.expect(status);
        client.patch(&path, json!({ "name": "Mine now" })).await.expect(status);
    }
    stranger.get(&list).await.expect(403);
    anyone.get(&list).await.expect(401);
    let hook = json!({ "url": "https://hooks.souk.example/in", "events": ["*"], "vendor": shop["id"] });
    anna.post("/v1/webhooks", hook).await.names(403, &["vendor"]);

    put(&owner, &place(&path, &owner)).await.names(422, &["username"]);
    put(&owner, &format!("{path}/staff/{}", unique("nobody")))
        .await
        .expect(404);
    owner
        .delete(&format!("{path}/staff/{}", unique("nobody")))
        .await
        .expect(404);
    put(&owner, &place("/v1/vendors/nobody-has-this", &anna))
        .await
        .expect(404);
    owner.get("/v1/vendors/nobody-has-this/staff").await.expect(404);

    // The staff may leave.
    for _ in 0..2 {
        anna.delete(&place(&path, &anna)).await.expect(204);
    }
    anna.get(&list).await.expect(403);
    owner.delete(&place(&path, &bert)).await.expect(204);
    assert_eq!(owner.get(&list).await.expect(200).items(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_shop_has_at_most_fifty_staff() {
    let Some(market) = market() else { return };
    let owner = market.member().await;
    let (_, path) = shop(&owner).await;
    let members = market.members(51).await;
    let (last, others) = members.split_last().unwrap();
    for member in others {
        put(&owner, &place(&path, member)).await.expect(204);
    }
    let full = put(&owner, &place(&path, last)).await.expect(409);
    assert_eq!(full["code"], "too_many_staff");
    put(&owner, &place(&path, &others[0])).await.expect(204);
    owner.delete(&place(&path, &others[0])).await.expect(204);
    put(&owner, &place(&path, last)).await.expect(204);
    let staff = owner.get(&format!("{path}/staff")).await.expect(200);
    assert_eq!(ids(staff.items()).last(), Some(&last.id()));
    assert_eq!(staff.items().len(), 50);
}

#[tokio::test]
async fn the_owner_and_the_staff_of_a_shop_change_its_products_whoever_added_them() {
    let Some(market) = market() else { return };
    let (owner, anna, stranger) = (market.member().await, market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let (shop, path) = shop(&owner).await;
    let here = json!({ "vendor": shop["id"] });
    anna.post("/v1/products", product(&category, here.clone()))
        .await
        .names(403, &["vendor"]);
    put(&owner, &place(&path, &anna)).await.expect(204);

    let of_owner = owner.draft(&category, here.clone()).await;
    let of_anna = anna.draft(&category, json!({})).await;
    let moved = anna.patch(&path_of(&of_anna), here.clone()).await.expect(200);
    assert_eq!((&moved["vendor"], &moved["author"]), (&shop["id"], &json!(anna.id())));
    let elsewhere = owner.draft(&category, json!({})).await;
    anna.get(&path_of(&elsewhere)).await.expect(404);
    anna.patch(&path_of(&elsewhere), json!({ "title": "Mine now" }))
        .await
        .expect(404);

    for (client, product) in [(&anna, &of_owner), (&owner, &of_anna)] {
        let path = path_of(product);
        stranger.get(&path).await.expect(404);
        stranger.get(&format!("{path}/comments")).await.expect(404);
        assert_eq!(client.get(&path).await.expect(200)["id"], product["id"]);
        client.get(&format!("{path}/comments")).await.expect(200);
        let changed = client.patch(&path, json!({ "title": "Changed" })).await.expect(200);
        assert_eq!(
            (&changed["title"], &changed["author"]),
            (&json!("Changed"), &product["author"])
        );
        for step in ["publish", "draft", "publish", "archive"] {
            client.act(&format!("{path}/{step}")).await.expect(200);
        }
        stranger.patch(&path, json!({ "title": "Mine now" })).await.expect(404);
    }

    // Their lists have what is not public, and nobody else's have.
    let archived = format!(
        "/v1/products?category={category}&vendor={}&status=archived",
        text(&shop, "id")
    );
    for client in [&owner, &anna] {
        let all = client.all(&archived).await;
        assert_eq!(all.len(), 2);
        let of_owner_alone = client.all(&format!("{archived}&author={}", owner.id())).await;
        assert_eq!(ids(&of_owner_alone), [text(&of_owner, "id")]);
        // Without the vendor they are the client's own.
        let own = client
            .all(&format!("/v1/products?category={category}&status=archived"))
            .await;
        assert!(own.len() == 1 && own[0]["author"] == client.id());
    }
    assert!(stranger.all(&archived).await.is_empty());
    stranger
        .get(&format!("{archived}&author={}", owner.id()))
        .await
        .expect(403);
    market.anonymous().get(&archived).await.expect(401);

    // Who is no longer of the staff keeps what is its own.
    owner.delete(&place(&path, &anna)).await.expect(204);
    anna.get(&path_of(&of_owner)).await.expect(404);
    owner.act(&format!("{}/publish", path_of(&of_owner))).await.expect(200);
    anna.patch(&path_of(&of_owner), json!({ "title": "Mine now" }))
        .await
        .expect(403);
    anna.post("/v1/products", product(&category, here.clone()))
        .await
        .names(403, &["vendor"]);
    assert_eq!(ids(&anna.all(&archived).await), [text(&of_anna, "id")]);
    anna.patch(&path_of(&of_anna), json!({ "title": "Still mine" }))
        .await
        .expect(200);
    let without = json!({ "vendor": null });
    anna.patch(&path_of(&of_anna), without).await.expect(200);
    anna.patch(&path_of(&of_anna), here).await.names(403, &["vendor"]);
    owner.delete(&path_of(&of_anna)).await.expect(404);
    owner.delete(&path_of(&of_owner)).await.expect(204);
}
