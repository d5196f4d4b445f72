//! Webhooks: whose they are, what they may hear, and where they may lead.

#[path = "../../../shared/core/tests/hostile/mod.rs"]
mod hostile;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use souk_tests::client::{market, unique};

use crate::receiver::{Receiver, Seen};
use crate::webhooks::{deliveries, eventually, of, webhook};
use crate::{path_of, text};

#[tokio::test]
async fn events_go_to_those_whom_they_concern() {
    let Some(market) = market() else { return };
    let receivers = [(); 4].map(|()| Receiver::new("ok"));
    let [Some(author), Some(shop), Some(voter), Some(all)] = receivers else {
        return;
    };
    let (seller, stranger, admin) = (market.member().await, market.member().await, market.admin().await);
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let types = ["product.published", "upvote.added"];
    let of_author = webhook(&seller, &author, &types, json!({})).await;
    let of_shop = webhook(&seller, &shop, &types, json!({ "vendor": vendor["slug"] })).await;
    let of_voter = webhook(&stranger, &voter, &types, json!({})).await;
    let of_all = webhook(&admin, &all, &types, json!({ "scope": "market" })).await;
    assert_eq!(
        (&of_shop["vendor"], &of_shop["scope"]),
        (&vendor["id"], &json!("vendor"))
    );

    let category = market.category(json!([])).await;
    let sold_there = seller.published(&category, json!({ "vendor": vendor["id"] })).await;
    let elsewhere = seller.published(&category, json!({})).await;
    let vote = stranger.call(reqwest::Method::PUT, &format!("{}/upvote", path_of(&sold_there)));
    vote.await.expect(200);
    let (first, second, vote) = (
        ("product.published", text(&sold_there, "id")),
        ("product.published", text(&elsewhere, "id")),
        ("upvote.added", text(&sold_there, "id")),
    );
    for (owner, hook, receiver, expected) in [
        (&seller, &of_author, &author, vec![first, second, vote]),
        (&seller, &of_shop, &shop, vec![first, vote]),
        (&stranger, &of_voter, &voter, vec![vote]),
    ] {
        deliveries(owner, hook, "delivered", expected.len()).await;
        let seen: BTreeSet<_> = receiver.seen().iter().map(about).collect();
        let expected = expected
            .into_iter()
            .map(|(name, product)| (name.to_owned(), product.to_owned()));
        assert_eq!(seen, expected.collect(), "{}", hook["scope"]);
    }
    eventually("everything", async || {
        let seen: BTreeSet<_> = all.seen().iter().map(about).collect();
        let wanted = [first, second, vote].map(|(name, product)| (name.to_owned(), product.to_owned()));
        wanted.iter().all(|event| seen.contains(event)).then_some(())
    })
    .await;
    // It would get the events of all other tests as well.
    admin.delete(&of(&of_all, "")).await.expect(204);
}

fn about(seen: &Seen) -> (String, String) {
    let payload = seen.json();
    (
        text(&payload, "type").to_owned(),
        text(&payload["data"], "product").to_owned(),
    )
}

#[tokio::test]
async fn a_webhook_is_its_owners_and_valid() {
    let Some(market) = market() else { return };
    let (owner, stranger, admin) = (market.member().await, market.member().await, market.admin().await);
    let new = json!({ "url": "https://hooks.souk.example/in", "events": ["*"] });
    let hook = owner.add("/v1/webhooks", new.clone()).await;
    let vendor = stranger.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    for path in ["", "/deliveries", "/deliveries/dlv_0123456789abcdef0123456789abcdef"] {
        stranger.get(&of(&hook, path)).await.expect(404);
        market.anonymous().get(&of(&hook, path)).await.expect(401);
    }
    for path in [
        "/test",
        "/rotate",
        "/deliveries/dlv_0123456789abcdef0123456789abcdef/replay",
    ] {
        stranger.act(&of(&hook, path)).await.expect(404);
    }
    stranger
        .patch(&of(&hook, ""), json!({ "enabled": false }))
        .await
        .expect(404);
    stranger.delete(&of(&hook, "")).await.expect(404);
    stranger.get("/v1/webhooks?scope=market").await.expect(403);
    owner
        .get(&format!("/v1/webhooks?vendor={}", text(&vendor, "id")))
        .await
        .names(400, &["vendor"]);
    admin.get("/v1/webhooks?scope=market").await.expect(200);

    let with = |more: Value| {
        let mut new = new.clone();
        for (name, value) in more.as_object().unwrap() {
            new[name] = value.clone();
        }
        new
    };
    for (status, body, fields) in [
        (422, json!({}), vec!["url", "events"]),
        (422, with(json!({ "events": [] })), vec!["events"]),
        (
            422,
            with(json!({ "events": ["product.*", "orders.*"] })),
            vec!["events[1]"],
        ),
        (
            422,
            with(json!({ "color": "red", "description": "x".repeat(501) })),
            vec!["color", "description"],
        ),
        (422, with(json!({ "vendor": "nobody-s" })), vec!["vendor"]),
        (
            422,
            with(json!({ "vendor": vendor["id"], "scope": "account" })),
            vec!["scope"],
        ),
        (422, with(json!({ "scope": "vendor" })), vec!["scope"]),
        (403, with(json!({ "vendor": vendor["id"] })), vec!["vendor"]),
        (403, with(json!({ "scope": "market" })), vec!["scope"]),
    ] {
        owner.post("/v1/webhooks", body).await.names(status, &fields);
    }
    let path = of(&hook, "");
    owner
        .patch(&path, json!({ "scope": "market" }))
        .await
        .names(422, &["scope"]);
    owner
        .patch(&path, json!({ "url": "https://127.0.0.1/" }))
        .await
        .names(422, &["url"]);
    owner
        .patch(&path, json!({ "description": "x" }))
        .header("if-match", "\"v7-0\"")
        .await
        .expect(412);
    for _ in 1..10 {
        owner.post("/v1/webhooks", new.clone()).await.expect(201);
    }
    assert_eq!(
        owner.post("/v1/webhooks", new).await.expect(409)["code"],
        "too_many_webhooks"
    );
    assert_eq!(owner.all("/v1/webhooks").await.len(), 10);
    let page = owner.get("/v1/webhooks?limit=4").await.expect(200);
    let rest = owner
        .get(&format!("/v1/webhooks?limit=9&cursor={}", page.text("next_cursor")))
        .await
        .expect(200);
    assert_eq!(
        (page.items().len(), rest.items().len(), &rest["next_cursor"]),
        (4, 6, &Value::Null)
    );
}

#[tokio::test]
async fn hostile_urls_are_refused_when_they_are_written() {
    let Some(market) = market() else { return };
    let owner = market.member().await;
    let urls = hostile::urls(8080);
    assert!(urls.len() >= 200);
    for url in urls {
        let new = json!({ "url": url, "events": ["*"] });
        owner.post("/v1/webhooks", new).await.names(422, &["url"]);
    }
}
