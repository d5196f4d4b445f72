//! What an account has done, and what products are to it.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, market, unique};

use crate::{ids, path_of, text};

async fn put(who: &Client, path: &str) -> Value {
    who.call(Method::PUT, path).await.expect(200).json
}

async fn delete(who: &Client, path: &str) -> Value {
    who.delete(path).await.expect(200).json
}

/// The ids of everything in a list, two at a time.
async fn listed(who: &Client, path: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = who.get(&format!("{path}?limit=2{cursor}")).await.expect(200);
        let id = |item: &Value| {
            let thing = item["kind"].as_str().map_or(item, |kind| &item[kind]);
            text(thing, "id").to_owned()
        };
        all.extend(page.items().iter().map(id));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_page_says_what_each_product_is_to_whoever_asks() {
    let Some(market) = market() else { return };
    let (me, seller, anyone) = (market.member().await, market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let word = unique("lamp").replace('-', "");
    let new = |more: Value| {
        let mut new = json!({ "title": format!("A {word}") });
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        new
    };
    let of_shop = seller.published(&category, new(json!({ "vendor": shop["id"] }))).await;
    let plain = seller.published(&category, new(json!({}))).await;
    me.published(&category, new(json!({}))).await;

    let state = |upvoted: bool, saved: bool, vendor: bool, author: bool, may_edit: bool| {
        json!({
            "upvoted": upvoted, "saved": saved, "following_vendor": vendor, "following_author": author,
            "may_edit": may_edit,
        })
    };
    let none = state(false, false, false, false, false);
    let list = format!("/v1/products?category={category}&include=viewer");
    // The newest first.
    let states = async |who: &Client, path: &str| -> Vec<Value> {
        let page = who.get(path).await.expect(200);
        page.items().iter().map(|item| item["viewer"].clone()).collect()
    };
    let mine = state(false, false, false, false, true);
    assert_eq!(states(&me, &list).await, [mine.clone(), none.clone(), none.clone()]);
    assert_eq!(states(&seller, &list).await, [none.clone(), mine.clone(), mine.clone()]);
    put(&me, &format!("{}/upvote", path_of(&of_shop))).await;
    put(&me, &format!("{}/save", path_of(&plain))).await;
    put(&me, &format!("/v1/vendors/{}/follow", text(&shop, "id"))).await;
    let marked = [
        mine.clone(),
        state(false, true, false, false, false),
        state(true, false, true, false, false),
    ];
    assert_eq!(states(&me, &list).await, marked);
    put(&me, &format!("/v1/accounts/{}/follow", seller.id())).await;
    let marked = [
        mine,
        state(false, true, false, true, false),
        state(true, false, true, true, false),
    ];
    assert_eq!(states(&me, &list).await, marked);
    // One product, with its vendor in full, and beside chosen fields.
    let one = format!("{}?include=viewer,vendor&fields=title,vendor,viewer", path_of(&of_shop));
    let shown = me.get(&one).await.expect(200);
    assert_eq!(shown["viewer"], marked[2]);
    assert_eq!(shown["vendor"]["name"], shop["name"]);
    assert_eq!(shown.json.as_object().unwrap().len(), 3);
    assert!(shown.header("cache-control").contains("private") || shown.header("cache-control").contains("no-store"));
    // Staff may edit.
    let staff = format!("/v1/vendors/{}/staff/{}", text(&shop, "id"), text(&me.me, "username"));
    seller.call(Method::PUT, &staff).await.expect(204);
    assert_eq!(me.get(&one).await.expect(200)["viewer"]["may_edit"], true);
    // Nobody in particular: null, and shared caches may keep it.
    for path in [&list, &one] {
        let reply = anyone.get(path).await.expect(200);
        assert!(reply.header("cache-control").contains("public"), "{path}");
        let items = reply["items"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![reply.json.clone()]);
        for item in items {
            assert_eq!(item.get("viewer"), Some(&Value::Null));
        }
        // What anybody sees is nobody's.
        assert!(me.get(path).await.expect(200).body.contains("\"upvoted\":true"));
    }
    let plainly = me.get(&path_of(&of_shop)).await.expect(200);
    assert!(plainly.json.get("viewer").is_none());
}

#[tokio::test]
async fn my_lists_are_mine_and_newest_first() {
    let Some(market) = market() else { return };
    let (me, seller, other) = (market.member().await, market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let mut products = Vec::new();
    for _ in 0..5 {
        products.push(seller.published(&category, json!({})).await);
    }
    for (list, mark, name) in [
        ("/v1/me/upvotes", "upvote", "upvoted"),
        ("/v1/me/saves", "save", "saved"),
    ] {
        assert!(me.get(list).await.expect(200).items().is_empty());
        for product in &products {
            let path = format!("{}/{mark}", path_of(product));
            assert_eq!(me.get(&path).await.expect(200)[name], false);
            assert_eq!(put(&me, &path).await[name], true);
            assert_eq!(me.get(&path).await.expect(200)[name], true);
        }
        // Again changes nothing, nor does what somebody else does.
        put(&me, &format!("{}/{mark}", path_of(&products[0]))).await;
        put(&other, &format!("{}/{mark}", path_of(&products[1]))).await;
        let mut expected = ids(&products);
        expected.reverse();
        assert_eq!(listed(&me, list).await, expected);
        assert_eq!(listed(&other, list).await, [text(&products[1], "id")]);
        assert!(listed(&seller, list).await.is_empty());
        market.anonymous().get(list).await.expect(401);
        let page = me.get(&format!("{list}?limit=2")).await.expect(200);
        assert!(page.header("cache-control").contains("no-store") || page.header("cache-control").contains("private"));
        let foreign = format!("{list}?limit=2&cursor={}", page.text("next_cursor"));
        other.get(&foreign).await.names(400, &["cursor"]);
        let page = me
            .get(&format!("{list}?limit=1&include=viewer,author&fields=author,viewer"))
            .await
            .expect(200);
        assert_eq!(page.items()[0]["author"]["username"], seller.me["username"]);
        assert_eq!(page.items()[0]["viewer"][name], true);
        assert_eq!(
            delete(&me, &format!("{}/{mark}", path_of(&products[3]))).await[name],
            false
        );
        expected.remove(1);
        assert_eq!(listed(&me, list).await, expected);
        put(&me, &format!("{}/{mark}", path_of(&products[3]))).await;
    }
    // What is not public is left out, and comes back with it.
    seller
        .act(&format!("{}/archive", path_of(&products[4])))
        .await
        .expect(200);
    seller.delete(&path_of(&products[2])).await.expect(204);
    let expected = [3, 1, 0].map(|n: usize| text(&products[n], "id"));
    for list in ["/v1/me/upvotes", "/v1/me/saves"] {
        assert_eq!(listed(&me, list).await, expected, "{list}");
    }
    // It may be taken off nevertheless.
    for product in [&products[4], &products[2]] {
        let path = format!("{}/save", path_of(product));
        assert!([200, 404].contains(&me.delete(&path).await.status));
        me.get(&path).await.expect(404);
        other.delete(&path).await.expect(404);
    }
    seller
        .act(&format!("{}/publish", path_of(&products[4])))
        .await
        .expect(200);
    assert_eq!(listed(&me, "/v1/me/saves").await, expected);
}

#[tokio::test]
async fn follows_followers_and_comments_are_listed() {
    let Some(market) = market() else { return };
    let (me, seller, other) = (market.member().await, market.member().await, market.member().await);
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let paths = [
        format!("/v1/accounts/{}/follow", seller.id()),
        format!("/v1/vendors/{}/follow", text(&shop, "id")),
        format!("/v1/accounts/{}/follow", other.id()),
    ];
    for path in &paths {
        put(&me, path).await;
    }
    put(&other, &paths[0]).await;
    let follows = ["/v1/me/follows", "/v1/me/followers"];
    assert_eq!(
        listed(&me, follows[0]).await,
        [other.id(), text(&shop, "id"), seller.id()]
    );
    assert_eq!(listed(&seller, follows[1]).await, [other.id(), me.id()]);
    assert!(listed(&me, follows[1]).await.is_empty());
    let page = me.get(follows[0]).await.expect(200);
    let (account, vendor) = (&page.items()[0], &page.items()[1]);
    assert_eq!(
        (&account["kind"], &vendor["kind"]),
        (&json!("account"), &json!("vendor"))
    );
    assert_eq!(account["account"]["username"], other.me["username"]);
    assert_eq!(vendor["vendor"]["slug"], shop["slug"]);
    assert!(account["account"].get("email").is_none() && account["since"].is_string());
    delete(&me, &paths[1]).await;
    delete(&me, &paths[0]).await;
    assert_eq!(listed(&me, follows[0]).await, [other.id()]);
    assert_eq!(listed(&seller, follows[1]).await, [other.id()]);

    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let comments = format!("{}/comments", path_of(&product));
    let mut written = Vec::new();
    for n in 0..3 {
        written.push(me.add(&comments, json!({ "body": format!("Nice {n}") })).await);
    }
    other.add(&comments, json!({ "body": "Nice" })).await;
    let list = "/v1/me/comments";
    let mut expected = ids(&written);
    expected.reverse();
    assert_eq!(listed(&me, list).await, expected);
    me.patch(&format!("/v1/comments/{}", expected[2]), json!({ "body": "Nicer" }))
        .await
        .expect(200);
    me.delete(&format!("/v1/comments/{}", expected[1])).await.expect(204);
    expected.remove(1);
    assert_eq!(listed(&me, list).await, expected);
    let page = me.get(&format!("{list}?fields=body,product")).await.expect(200);
    assert_eq!(page.items()[1], json!({ "body": "Nicer", "product": product["id"] }));
    for list in [list, follows[0], follows[1]] {
        market.anonymous().get(list).await.expect(401);
    }
}

#[tokio::test]
async fn vendors_are_listed_by_their_owner() {
    let Some(market) = market() else { return };
    let (me, admin, anyone) = (market.member().await, market.admin().await, market.anonymous());
    let names = [unique("aaa"), unique("bbb"), unique("ccc")];
    let mut shops = Vec::new();
    for name in &names {
        shops.push(me.add("/v1/vendors", json!({ "name": name })).await);
    }
    let by_owner = |owner: &str| format!("/v1/vendors?owner={owner}");
    let listed = async |who: &Client, owner: &str| -> Vec<String> {
        let all = who.all(&by_owner(owner)).await;
        ids(&all).into_iter().map(str::to_owned).collect()
    };
    let mine = listed(&me, "me").await;
    assert_eq!(mine, ids(&shops));
    assert_eq!(listed(&anyone, me.id()).await, mine);
    assert_eq!(listed(&anyone, text(&me.me, "username")).await, mine);
    anyone.get(&by_owner("me")).await.expect(401);
    anyone.get(&by_owner("nobody-at-all")).await.names(422, &["owner"]);
    let page = me
        .get(&format!("{}&limit=1&fields=name", by_owner("me")))
        .await
        .expect(200);
    assert_eq!(page.items(), [json!({ "name": names[0] })]);
    let cursor = page.text("next_cursor");
    admin
        .get(&format!("{}&cursor={cursor}", by_owner("me")))
        .await
        .names(400, &["cursor"]);
    // Another owner, and another name.
    let heir = market.member().await;
    let path = format!("/v1/vendors/{}/owner", text(&shops[1], "id"));
    let to = json!({ "username": heir.me["username"] });
    admin.call(Method::PUT, &path).json(&to).await.expect(200);
    assert_eq!(listed(&heir, "me").await, [text(&shops[1], "id")]);
    let renamed = json!({ "slug": unique("zzz") });
    me.patch(&format!("/v1/vendors/{}", text(&shops[0], "id")), renamed)
        .await
        .expect(200);
    assert_eq!(listed(&me, "me").await, [text(&shops[2], "id"), text(&shops[0], "id")]);
}

#[tokio::test]
async fn ones_own_change_is_in_the_count_at_once() {
    let Some(market) = market() else { return };
    let (me, other, seller) = (market.member().await, market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    for (path, state, count) in [
        (format!("{}/upvote", path_of(&product)), "upvoted", "upvote_count"),
        (
            format!("/v1/vendors/{}/follow", text(&shop, "slug")),
            "following",
            "follower_count",
        ),
        (
            format!("/v1/accounts/{}/follow", seller.id()),
            "following",
            "follower_count",
        ),
    ] {
        let is = |on: bool, n: u32| json!({ state: on, count: n });
        assert_eq!(me.get(&path).await.expect(200).json, is(false, 0));
        // Back and forth, whatever has been counted meanwhile.
        for round in 0..4 {
            for _ in 0..2 {
                assert_eq!(put(&me, &path).await, is(true, 1), "{path} {round}");
                assert_eq!(me.get(&path).await.expect(200).json, is(true, 1));
            }
            for _ in 0..2 {
                assert_eq!(delete(&me, &path).await, is(false, 0), "{path} {round}");
                assert_eq!(me.get(&path).await.expect(200).json, is(false, 0));
            }
        }
        put(&me, &path).await;
        other.until(&path, |shown| shown[count] == 1).await;
        // What others have changed is counted a moment later, one change after the other.
        assert_eq!(put(&other, &path).await[state], true);
        other.until(&path, |shown| shown[count] == 2).await;
        me.until(&path, |shown| shown[count] == 2).await;
        assert_eq!(delete(&me, &path).await, is(false, 1));
        seller.until(&path, |shown| shown[count] == 1).await;
        assert_eq!(me.get(&path).await.expect(200).json, is(false, 1));
        other.until(&path, |shown| *shown == is(true, 1)).await;
    }
}
