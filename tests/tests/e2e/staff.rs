//! Who sells for a shop beside its owner, and how a shop or a product gets another owner.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Call, Client, market, product, unique};

use crate::receiver::Receiver;
use crate::webhooks::{eventually, of, webhook};
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

fn hand_over(client: &Client, path: &str, to: &str) -> Call {
    put(client, path).json(&json!({ "username": to }))
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
        hand_over(client, &format!("{path}/owner"), name(&anna))
            .await
            .expect(status);
    }
    stranger.get(&list).await.expect(403);
    anyone.get(&list).await.expect(401);
    hand_over(&owner, &format!("{path}/owner"), name(&anna))
        .await
        .expect(403);
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
    // Whoever only sells for the shop cannot take its products away.
    let (annas, _) = self::shop(&anna).await;
    anna.patch(&path_of(&of_owner), json!({ "vendor": annas["id"] }))
        .await
        .names(403, &["vendor"]);
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

#[tokio::test]
async fn an_admin_hands_a_product_over() {
    let Some(market) = market() else { return };
    let (author, heir, admin) = (market.member().await, market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    let before = author.published(&category, json!({})).await;
    let path = format!("{}/author", path_of(&before));
    for (client, status) in [(&author, 403), (&heir, 403), (&market.anonymous(), 401)] {
        hand_over(client, &path, name(&heir)).await.expect(status);
    }
    hand_over(&admin, &path, &unique("nobody"))
        .await
        .names(422, &["username"]);
    put(&admin, &path).json(&json!({})).await.names(422, &["username"]);
    hand_over(&admin, "/v1/products/nobody-has-this/author", name(&heir))
        .await
        .expect(404);
    hand_over(&admin, &path, name(&heir))
        .header("if-match", "\"v1-0\"")
        .await
        .expect(412);

    let after = hand_over(&admin, &path, name(&heir))
        .header("if-match", format!("\"v{}-0\"", before["version"]))
        .await
        .expect(200);
    let mut expected = before.clone();
    expected["author"] = json!(heir.id());
    expected["version"] = json!(before["version"].as_u64().unwrap() + 1);
    expected["updated_at"] = after["updated_at"].clone();
    assert_eq!(after.json, expected);
    // Once more is nothing new.
    let again = hand_over(&admin, &path, name(&heir)).await.expect(200);
    assert_eq!(again["version"], after["version"]);

    let anyone = market.anonymous();
    let of = |client: &Client| format!("/v1/products?author={}", client.id());
    assert_eq!(heir.all(&of(&heir)).await, std::slice::from_ref(&after.json));
    assert!(author.all(&of(&author)).await.is_empty());
    anyone
        .until(&format!("{}&sort=popular", of(&heir)), |page| {
            page["items"].as_array().is_some_and(|items| items.len() == 1)
        })
        .await;
    author
        .patch(&path_of(&before), json!({ "title": "Mine still" }))
        .await
        .expect(403);
    heir.act(&format!("{}/archive", path_of(&before))).await.expect(200);
    author.get(&path_of(&before)).await.expect(404);
}

#[tokio::test]
async fn an_admin_hands_a_shop_over() {
    let Some(market) = market() else { return };
    let Some(receiver) = Receiver::new("ok") else { return };
    let (owner, heir, admin) = (market.member().await, market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    let (before, path) = shop(&owner).await;
    let there = json!({ "vendor": before["id"] });
    let sold_there = owner.published(&category, there.clone()).await;
    let hook = webhook(&owner, &receiver, &["product.*", "vendor.*"], there.clone()).await;
    put(&owner, &place(&path, &heir)).await.expect(204);
    let handed = format!("{path}/owner");
    hand_over(&admin, &handed, &unique("nobody"))
        .await
        .names(422, &["username"]);
    hand_over(&admin, &handed, name(&heir))
        .header("if-match", "\"v7-0\"")
        .await
        .expect(412);

    let after = hand_over(&admin, &handed, name(&heir))
        .header("if-match", "\"v1-0\"")
        .await
        .expect(200);
    let mut expected = before.clone();
    expected["owner"] = json!(heir.id());
    expected["version"] = json!(2);
    expected["updated_at"] = after["updated_at"].clone();
    assert_eq!(after.json, expected);
    assert_eq!(hand_over(&admin, &handed, name(&heir)).await.expect(200)["version"], 2);
    // The owner is not one of the staff.
    assert_eq!(
        heir.get(&format!("{path}/staff")).await.expect(200).items(),
        [] as [Value; 0]
    );
    owner.get(&format!("{path}/staff")).await.expect(403);
    owner.patch(&path, json!({ "name": "Mine still" })).await.expect(403);
    owner
        .post("/v1/products", product(&category, there.clone()))
        .await
        .names(403, &["vendor"]);
    heir.patch(&path, json!({ "description": "Under new management." }))
        .await
        .expect(200);
    heir.patch(&path_of(&sold_there), json!({ "title": "Sold by the heir" }))
        .await
        .expect(200);

    // The former owner hears of nothing that happens there from now on, and the new one sees why.
    owner.get(&of(&hook, "")).await.expect(404);
    let disabled = eventually("the webhook is disabled", async || {
        let shown = heir.get(&of(&hook, "")).await.expect(200);
        (shown["enabled"] == false).then_some(shown)
    })
    .await;
    assert!(disabled.text("disabled_reason").contains("owner of the vendor"));
    let told: Vec<Value> = receiver.seen().iter().map(|seen| seen.json()).collect();
    assert!(
        told.iter()
            .all(|payload| payload["data"]["owner"] != heir.id() && payload["data"]["title"] != "Sold by the heir"),
        "{told:?}"
    );
}
