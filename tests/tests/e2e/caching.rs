//! `Cache-Control`, `ETag`, `If-None-Match`, `If-Match`, `HEAD`. (That what saw a credential is never public is checked
//! on every answer of this suite.)

use reqwest::Method;
use serde_json::json;
use souk_tests::client::{Call, Client, Market, Reply, market, unique};

use crate::{path_of, text};

/// Addresses whose answers shared caches may keep.
async fn public(market: &Market) -> Vec<String> {
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let product = seller.published(&category, json!({})).await;
    vec![
        path_of(&product),
        format!("{}?fields=title,author&include=author", path_of(&product)),
        format!("/v1/products/{}", text(&product, "slug")),
        format!("/v1/products?category={category}"),
        format!("/v1/categories/{category}"),
        "/v1/categories?limit=1".into(),
        format!("/v1/vendors/{}", text(&vendor, "id")),
        "/v1/vendors?limit=1".into(),
        format!("/v1/accounts/{}", seller.id()),
        "/.well-known/jwks.json".into(),
        "/v1/events/catalog".into(),
        "/openapi.json".into(),
        "/".into(),
        "/docs".into(),
        "/docs/docs.js".into(),
        "/docs/docs.css".into(),
    ]
}

/// What an address answers now, and what it answers to each of `calls`. Other tests add to the lists meanwhile; then it is
/// asked again.
async fn alike(client: &Client, path: &str, calls: impl Fn(&Reply) -> Vec<Call>) -> (Reply, Vec<Reply>) {
    loop {
        let first = client.get(path).await.expect(200);
        let mut others = Vec::new();
        for call in calls(&first) {
            others.push(call.await);
        }
        if client.get(path).await.body == first.body {
            return (first, others);
        }
    }
}

#[tokio::test]
async fn what_everyone_sees_alike_is_cached_for_those_who_show_nothing() {
    let Some(market) = market() else { return };
    let (anyone, member) = (market.anonymous(), market.member().await);
    for path in public(&market).await {
        // The same for a member, and for a browser that has cookies of others: but for them alone.
        let calls = |_: &Reply| vec![member.get(&path), anyone.get(&path).header("cookie", "theme=dark")];
        let (reply, others) = alike(&anyone, &path, calls).await;
        let cache = reply.header("cache-control");
        let seconds = cache
            .strip_prefix("public, max-age=0, s-maxage=")
            .and_then(|rest| rest.split(',').next());
        assert!(
            seconds.unwrap().parse::<u32>().unwrap() > 0 && cache.contains("stale-while-revalidate="),
            "{path}: {cache}"
        );
        for own in others {
            let own = own.expect(200);
            assert_eq!(own.body, reply.body, "{path}");
            assert_eq!(own.header("cache-control"), "private, no-cache", "{path}");
            assert_eq!(own.header("cache-tag"), "", "{path}");
        }
        let refused = anyone.get(&path).header("authorization", "Bearer x").await.expect(401);
        assert_eq!(refused.header("cache-control"), "private, no-store", "{path}");
    }
    // What is secret, or is no success, is not even kept by the client.
    for path in [
        "/v1/me",
        "/v1/webhooks",
        "/v1/products/none",
        "/v1/products?x=1",
        "/none",
    ] {
        let own = member.get(path).await;
        assert_eq!(own.header("cache-control"), "private, no-store", "{path}");
    }
    let name = unique("none");
    for path in [
        "/healthz",
        "/readyz",
        "/v1/products/none",
        "/v1/me",
        "/v1/accounts/none",
        "/none",
        &format!("/v1/products?tag={name}&x=1"),
    ] {
        assert_eq!(anyone.get(path).await.header("cache-control"), "no-store", "{path}");
    }
}

/// What is answered twice comes from memory, where the host has one, and never after it has changed.
#[tokio::test]
async fn what_was_kept_goes_when_it_changes() {
    let Some(market) = market() else { return };
    let (anyone, seller) = (market.anonymous(), market.member().await);
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let path = path_of(&product);
    let paths = [
        path.clone(),
        format!("{path}?fields=title"),
        format!("/v1/products?category={category}"),
        format!("/v1/products?author={}&include=category", seller.id()),
    ];
    let first = anyone.get(&path).await.expect(200);
    if first.header("cache-status") == "Souk; fwd=bypass" {
        println!("this host keeps no answers, and tells others what they are made of");
        assert_eq!(first.header("cache-tag"), format!("product,{}", text(&product, "id")));
        return;
    }
    for round in 0..5 {
        let title = format!("Lamp {round}");
        seller.patch(&path, json!({ "title": title })).await.expect(200);
        for path in &paths {
            let made = anyone.get(path).await.expect(200);
            assert!(
                made.body.contains(&title),
                "{path}: {} {:.500}",
                made.header("cache-status"),
                made.body
            );
            assert!(made.header("server-timing").starts_with("app;dur="), "{path}");
            let status = made.header("cache-status");
            assert!(status.starts_with("Souk; fwd=miss"), "{path}: {status}");
        }
        // On a slow machine it may be too old by now.
        let mut hits = 0;
        for path in &paths {
            let kept = anyone.get(path).await.expect(200);
            assert!(kept.body.contains(&title), "{path}");
            hits += usize::from(kept.header("cache-status").starts_with("Souk; hit"));
            let own = seller.get(path).await.expect(200);
            assert_eq!(own.header("cache-status"), "Souk; fwd=bypass", "{path}");
        }
        assert!(hits > 0);
    }
    seller.act(&format!("{path}/archive")).await.expect(200);
    anyone.get(&path).await.expect(404);
    assert!(anyone.get(&paths[2]).await.expect(200).items().is_empty());
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let Some(market) = market() else { return };
    let (anyone, member) = (market.anonymous(), market.member().await);
    for path in public(&market).await.iter().chain([&"/v1/me".to_owned()]) {
        let client = if path == "/v1/me" { &member } else { &anyone };
        let unlike = ["\"other\"", "other", "", "W/", "\"", "\"a\", *"];
        let (first, others) = alike(client, path, |first| {
            let tag = first.header("etag");
            let like = [
                tag.to_owned(),
                format!("W/{tag}"),
                format!("\"other\", {tag}"),
                // On two lines of the header.
                format!("\"other\"\n{tag}"),
                "*".to_owned(),
            ];
            let sent = like.into_iter().chain(unlike.map(str::to_owned));
            let call = |sent: String| {
                sent.split('\n')
                    .fold(client.get(path), |call, line| call.header("if-none-match", line))
            };
            sent.map(call).collect()
        })
        .await;
        let tag = first.header("etag");
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2,
            "{path}: {tag}"
        );
        for (at, again) in others.into_iter().enumerate() {
            if at < 5 {
                let again = again.expect(304);
                assert_eq!(again.header("etag"), tag, "{path}");
                assert_eq!(again.header("cache-control"), first.header("cache-control"), "{path}");
            } else {
                assert_eq!(again.expect(200).body, first.body, "{path}");
            }
        }
    }
    // Nothing is there, and `*` does not make it be.
    anyone
        .get("/v1/products/none")
        .header("if-none-match", "*")
        .await
        .expect(404);
}

/// A signed-in browser keeps what it has seen, and asks each time whether it has changed.
#[tokio::test]
async fn who_is_signed_in_revalidates() {
    let Some(market) = market() else { return };
    let (seller, other) = (market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let draft = path_of(&seller.draft(&category, json!({})).await);
    for path in [
        draft.clone(),
        format!("/v1/products?author={}&category={category}", seller.id()),
    ] {
        let first = seller.get(&path).await.expect(200);
        assert_eq!(first.header("cache-control"), "private, no-cache", "{path}");
        let again = seller.get(&path).header("if-none-match", first.header("etag"));
        let again = again.await.expect(304);
        assert_eq!(again.header("cache-control"), "private, no-cache", "{path}");
    }
    // Whoever else sends the tag of a draft learns nothing.
    let tag = seller.get(&draft).await.header("etag").to_owned();
    for client in [&other, &market.anonymous()] {
        client.get(&draft).header("if-none-match", &tag).await.expect(404);
    }
}

#[tokio::test]
async fn an_etag_changes_with_what_is_shown() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let product = seller.published(&category, json!({})).await;
    let (path, list) = (path_of(&product), format!("/v1/products?category={category}"));
    let tag = async |path: &str| seller.get(path).await.expect(200).header("etag").to_owned();
    let (item, page, part) = (
        tag(&path).await,
        tag(&list).await,
        tag(&format!("{path}?fields=title")).await,
    );
    assert_ne!(item, part);
    assert_eq!(tag(&path).await, item);
    let changed = seller.patch(&path, json!({ "title": "Another" })).await.expect(200);
    assert_eq!(changed.header("etag"), tag(&path).await, "a write says the new tag");
    for (path, old) in [(path, item), (list, page)] {
        assert_ne!(tag(&path).await, old);
        seller.get(&path).header("if-none-match", &old).await.expect(200);
    }
}

#[tokio::test]
async fn a_change_may_depend_on_what_was_seen() {
    let Some(market) = market() else { return };
    let (seller, admin) = (market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let product = seller.draft(&category, json!({})).await;
    let (category, vendor) = (
        format!("/v1/categories/{category}"),
        format!("/v1/vendors/{}", text(&vendor, "id")),
    );
    for (client, path, patch) in [
        (&seller, path_of(&product), json!({ "title": "A" })),
        (&seller, vendor, json!({ "name": "A" })),
        (&admin, category.clone(), json!({ "name": "A" })),
        (&seller, "/v1/me".to_owned(), json!({ "name": "A" })),
    ] {
        let old = client.get(&path).await.expect(200).header("etag").to_owned();
        let change = |tag: &str| client.patch(&path, patch.clone()).header("if-match", tag);
        let new = change(&old).await.expect(200).header("etag").to_owned();
        assert_eq!(change(&old).await.expect(412)["code"], "precondition_failed", "{path}");
        for (tag, status) in [
            ("\"v99-0123456789abcdef\"", 412),
            ("\"other\"", 412),
            ("other", 412),
            (&format!("W/{old}"), 412),
            // Weakened by a proxy that compresses responses.
            (&format!("W/{new}"), 200),
            ("*", 200),
        ] {
            change(tag).await.expect(status);
        }
        let newest = client.get(&path).await.expect(200).header("etag").to_owned();
        let newer = change(&format!("{old}, {newest}"))
            .await
            .expect(200)
            .header("etag")
            .to_owned();
        // On two lines of the header.
        change("\"other\"").header("if-match", &newer).await.expect(200);
    }
    let path = path_of(&product);
    let seen = seller.get(&path).await.expect(200).header("etag").to_owned();
    let publish = format!("{path}/publish");
    seller.act(&publish).header("if-match", "\"v1-0\"").await.expect(412);
    seller.act(&publish).header("if-match", &seen).await.expect(200);
    seller.delete(&path).header("if-match", &seen).await.expect(412);
    let seen = seller.get(&path).await.expect(200).header("etag").to_owned();
    seller.delete(&path).header("if-match", &seen).await.expect(204);
    let old = admin.get(&category).await.expect(200).header("etag").to_owned();
    admin.patch(&category, json!({ "name": "B" })).await.expect(200);
    admin.delete(&category).header("if-match", &old).await.expect(412);
    let seen = admin.get(&category).await.expect(200).header("etag").to_owned();
    admin.delete(&category).header("if-match", &seen).await.expect(204);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let Some(market) = market() else { return };
    let (anyone, member) = (market.anonymous(), market.member().await);
    let mut paths = public(&market).await;
    paths.extend(
        [
            "/healthz",
            "/v1/products/none",
            "/v1/products?limit=0",
            "/v1/me",
            "/none",
        ]
        .map(str::to_owned),
    );
    for path in &paths {
        for client in [&anyone, &member] {
            let (get, head) = loop {
                let (get, head) = (client.get(path).await, client.call(Method::HEAD, path).await);
                // Other tests add to the lists meanwhile.
                if client.get(path).await.header("etag") == get.header("etag") {
                    break (get, head);
                }
            };
            assert_eq!(head.status, get.status, "{path}");
            for name in [
                "etag",
                "cache-control",
                "content-type",
                "vary",
                "content-security-policy",
                "www-authenticate",
            ] {
                assert_eq!(head.header(name), get.header(name), "{path}: {name}");
            }
            let length = head.header("content-length");
            assert!(
                length.is_empty() || length == get.header("content-length"),
                "{path}: content-length {length}"
            );
        }
    }
}
