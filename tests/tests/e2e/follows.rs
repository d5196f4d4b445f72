//! Follows and the feed.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, market, unique};

use crate::{ids, path_of, text};

/// The feed, once it has these products in this order.
async fn feed_is(who: &Client, expected: &[&Value]) -> Value {
    let expected: Vec<_> = expected.iter().map(|product| text(product, "id")).collect();
    who.until("/v1/feed", |feed| ids(feed["items"].as_array().unwrap()) == expected)
        .await
}

#[tokio::test]
async fn a_feed_has_what_those_publish_whom_i_follow() {
    let Some(market) = market() else { return };
    let me = market.member().await;
    // Nobody else follows them.
    let (seller, other) = (market.member().await, market.members(1).await.remove(0));
    let category = market.category(json!([])).await;
    let follow = format!("/v1/accounts/{}/follow", seller.id());
    let by_name = format!("/v1/accounts/{}/follow", text(&seller.me, "username"));
    assert_eq!(me.get(&follow).await.expect(200)["following"], false);
    for path in [&by_name, &follow] {
        me.call(Method::PUT, path).await.expect(200);
        assert_eq!(me.get(path).await.expect(200)["following"], true);
    }
    let first = seller.published(&category, json!({})).await;
    feed_is(&me, &[&first]).await;
    let second = seller.published(&category, json!({ "title": "Second" })).await;
    let draft = seller.draft(&category, json!({})).await;
    other.published(&category, json!({})).await;
    let feed = feed_is(&me, &[&second, &first]).await;
    assert_eq!(feed["items"][0], me.get(&path_of(&second)).await.expect(200).json);
    let page = me
        .get("/v1/feed?limit=1&fields=title,author&include=author")
        .await
        .expect(200);
    assert_eq!(page.items()[0]["title"], "Second");
    assert_eq!(page.items()[0]["author"]["username"], seller.me["username"]);
    let rest = me
        .get(&format!("/v1/feed?limit=1&cursor={}", page.text("next_cursor")))
        .await
        .expect(200);
    assert_eq!(ids(rest.items()), [text(&first, "id")]);
    // It is mine alone.
    let theirs = other.get("/v1/feed").await.expect(200);
    assert!(!ids(theirs.items()).contains(&text(&first, "id")));
    other
        .get(&format!("/v1/feed?limit=1&cursor={}", page.text("next_cursor")))
        .await
        .names(400, &["cursor"]);

    // What is taken back, sold or removed.
    seller.act(&format!("{}/archive", path_of(&second))).await.expect(200);
    feed_is(&me, &[&first]).await;
    seller.act(&format!("{}/publish", path_of(&second))).await.expect(200);
    seller.act(&format!("{}/sold", path_of(&first))).await.expect(200);
    feed_is(&me, &[&second, &first]).await;
    seller.delete(&path_of(&first)).await.expect(204);
    feed_is(&me, &[&second]).await;
    seller.act(&format!("{}/publish", path_of(&draft))).await.expect(200);
    feed_is(&me, &[&draft, &second]).await;

    // At once.
    for _ in 0..2 {
        me.delete(&by_name).await.expect(200);
        assert_eq!(me.get(&follow).await.expect(200)["following"], false);
        assert!(me.get("/v1/feed").await.expect(200).items().is_empty());
    }
    let unseen = seller.published(&category, json!({})).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    me.call(Method::PUT, &format!("/v1/vendors/{}/follow", text(&shop, "slug")))
        .await
        .expect(200);
    let seen = seller.published(&category, json!({ "vendor": shop["id"] })).await;
    feed_is(&me, &[&seen]).await;
    let known = me.get("/v1/feed").await.expect(200).body;
    assert!(!known.contains(text(&unseen, "id")));
}

#[tokio::test]
async fn a_publication_that_is_followed_twice_is_one() {
    let Some(market) = market() else { return };
    let (me, seller) = (market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let follows = [
        format!("/v1/accounts/{}/follow", seller.id()),
        format!("/v1/vendors/{}/follow", text(&shop, "id")),
    ];
    for path in &follows {
        me.call(Method::PUT, path).await.expect(200);
    }
    let own = seller.published(&category, json!({})).await;
    let [first, second] = [0, 1].map(|_| seller.published(&category, json!({ "vendor": shop["id"] })));
    let (first, second) = (first.await, second.await);
    feed_is(&me, &[&second, &first, &own]).await;
    for limit in [1, 2, 3, 100] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = me.get(&format!("/v1/feed?limit={limit}{cursor}")).await.expect(200);
            seen.extend(ids(page.items()).into_iter().map(str::to_owned));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(
            seen,
            [&second, &first, &own].map(|product| text(product, "id")),
            "limit={limit}"
        );
    }
    // One of two reasons is reason enough.
    me.delete(&follows[0]).await.expect(200);
    feed_is(&me, &[&second, &first]).await;
    me.delete(&follows[1]).await.expect(200);
    feed_is(&me, &[]).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_followed_nor_is_oneself() {
    let Some(market) = market() else { return };
    let members = market.members(1).await;
    let me = &members[0];
    for path in ["/v1/accounts/nobody-at-all/follow", "/v1/vendors/no-such-shop/follow"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            me.call(method.clone(), path).await.expect(404);
            market.anonymous().call(method, path).await.expect(401);
        }
    }
    for own in [me.id(), text(&me.me, "username")] {
        let path = format!("/v1/accounts/{own}/follow");
        me.call(Method::PUT, &path).await.names(422, &["id"]);
        assert_eq!(me.get(&path).await.expect(200)["following"], false);
    }
    // One's own shop may be.
    let shop = me.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let path = format!("/v1/vendors/{}/follow", text(&shop, "id"));
    me.call(Method::PUT, &path).await.expect(200);
    me.delete(&path).await.expect(200);
    market.anonymous().get("/v1/feed").await.expect(401);
    me.get("/v1/feed?limit=101").await.names(400, &["limit"]);
}
