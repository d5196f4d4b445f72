//! Error codes: each one that a client can cause is caused here, and the API document lists them all. (That it lists every code
//! that is sent is checked on every answer of this suite.)

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use souk_tests::client::{CODES, Reply, market, product, unique};

use crate::{path_of, text};

/// The codes that are not caused here, and where they are tested.
const ELSEWHERE: [(&str, &str); 38] = [
    ("account_deactivated", "identity"),
    ("busy", "kit"),
    ("category_closing", "catalog"),
    ("contention", "kit"),
    ("cross_site", "cookies"),
    ("dns_unavailable", "tenants"),
    ("internal", "kit"),
    ("no_tenants", "work"),
    ("no_mail", "identity"),
    ("not_configured", "lambda, worker"),
    ("not_proved", "tenants"),
    ("not_ready", "work"),
    ("not_suspended", "tenants"),
    ("origin_unavailable", "worker"),
    ("overloaded", "local"),
    ("quota_used_up", "tenants"),
    ("rate_limited", "limits"),
    ("read_only_token", "keys"),
    ("reason_missing", "audit"),
    ("request_timeout", "worker"),
    ("route_disabled", "gate"),
    ("search_unavailable", "search"),
    ("second_factor_enabled", "factors"),
    ("second_factor_required", "factors"),
    ("session_required", "keys"),
    ("sign_in_required", "work"),
    ("tenant_erased", "tenants"),
    ("tenant_not_found", "tenants"),
    ("tenant_suspended", "tenants"),
    ("timed_out", "kit"),
    ("token_expired", "tokens"),
    ("too_many_connections", "local"),
    ("too_many_domains", "tenants"),
    ("too_many_roles", "identity"),
    ("too_many_staff", "staff"),
    ("too_many_tokens", "identity"),
    ("too_many_webhooks", "webhook_rules"),
    ("unavailable", "work"),
];

fn code(reply: &Reply) -> String {
    reply.text("code").to_owned()
}

#[tokio::test]
async fn every_code_can_be_caused_and_is_listed() {
    let Some(market) = market() else { return };
    let (anyone, admin) = (market.anonymous(), market.admin().await);
    let (seller, buyer) = (market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let with_sku = || product(&category, json!({ "vendor": shop["id"], "sku": "S-1" }));
    let draft = seller.add("/v1/products", with_sku()).await;
    let path = path_of(&draft);
    let shown = seller.published(&category, json!({})).await;
    let comments = format!("{}/comments", path_of(&shown));
    let comment = buyer.add(&comments, json!({ "body": "Does it ship?" })).await;
    buyer
        .add(&comments, json!({ "body": "It does", "parent": comment["id"] }))
        .await;
    let comment = format!("/v1/comments/{}", text(&comment, "id"));
    buyer.delete(&comment).await.expect(204);
    let import = buyer.add("/v1/imports", json!({})).await;
    let start = format!("/v1/imports/{}/start", text(&import, "id"));

    // A session that has ended, and the result of its sign-in.
    let credentials = json!({ "username": buyer.me["username"], "password": buyer.password });
    let key = unique("key");
    let sign_in = || anyone.post("/v1/sessions", credentials.clone()).key(&key);
    let ended = market.with_token(sign_in().await.expect(201).text("access_token"));
    ended.delete("/v1/sessions/current").await.expect(204);

    let json = |body: &'static str| seller.call(Method::POST, "/v1/products").body("application/json", body);
    let long = "x".repeat(5000);
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(300_000));
    let wrong = json!({ "username": buyer.me["username"], "password": "wrong password" });
    let mut replies = vec![
        json("{").await,
        anyone.get("/v1/me").await,
        market.with_token("x").get("/v1/me").await,
        anyone.post("/v1/sessions", wrong.clone()).await,
        ended.get("/v1/me").await,
        sign_in().await,
        anyone.post("/v1/sessions", wrong).key(&key).await,
        buyer.post("/v1/categories", json!({ "name": "Mine" })).await,
        anyone.get("/v1/products/none").await,
        anyone.delete("/v1/products").await,
        seller
            .patch(&path, json!({ "title": "A" }))
            .header("if-match", "\"v99-0\"")
            .await,
        seller
            .call(Method::POST, "/v1/products")
            .body("application/json", large)
            .await,
        anyone.get(&format!("/v1/products?tag={long}")).await,
        anyone.get("/v1/products").header("x-long", "x".repeat(9000)).await,
        seller.call(Method::POST, "/v1/products").body("text/plain", "{}").await,
        json("{}").header("content-encoding", "gzip").await,
        json("{}").await,
        seller
            .post("/v1/vendors", json!({ "name": "Shop", "slug": shop["slug"] }))
            .await,
        seller.post("/v1/products", with_sku()).await,
        admin.delete(&format!("/v1/categories/{category}")).await,
        seller.act(&format!("{path}/sold")).await,
        buyer.patch(&comment, json!({ "body": "Again" })).await,
        buyer.act(&start).await,
        admin.post("/v1/me/email/verification", json!({})).await,
    ];
    for n in 0..=20 {
        let reply = buyer.post("/v1/imports", json!({})).await;
        if reply.status != 201 {
            replies.push(reply);
            break;
        }
        assert!(n < 20, "there is no limit of imports");
    }
    let hook = json!({ "url": "https://receiver.example/souk", "events": ["product.sold"], "enabled": false });
    let hook = seller.add("/v1/webhooks", hook).await;
    replies.push(seller.act(&format!("/v1/webhooks/{}/test", text(&hook, "id"))).await);

    let mut seen: BTreeSet<String> = replies.iter().map(code).collect();
    let caused = seen.len();
    assert_eq!(caused, replies.len(), "each reply has a code of its own: {seen:?}");
    seen.extend(ELSEWHERE.map(|(code, _)| code.to_owned()));
    assert_eq!(seen, CODES.problems);
    assert_eq!(seen.len(), caused + ELSEWHERE.len());
}

#[tokio::test]
async fn every_rule_of_fields_has_a_code_and_its_values() {
    let Some(market) = market() else { return };
    let (anyone, seller) = (market.anonymous(), market.member().await);
    let category = market
        .category(json!([{ "name": "size", "type": "choice", "choices": ["S", "L"] }]))
        .await;
    let of = |more: Value| product(&category, more);
    let post = async |body: Value| seller.post("/v1/products", body).await.expect(422);
    let price = json!({ "amount": 1, "currency": "EUR" });
    let all = post(json!({
        "title": "x".repeat(201), "slug": "A b", "category": null, "price": "1", "colour": "red", "condition": "broken",
        "weight": -1, "tags": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"], "location": [1, 2],
        "compare_at_price": { "amount": -1, "currency": "EUR" }, "gallery": "x", "url": "ftp://shop.example/lamp",
        "sku": "", "cover": " ", "gtin": "",
    }))
    .await;
    let more = [
        post(of(json!({ "sku": "S-1", "attributes": { "size": "M" } }))).await,
        post(of(json!({ "attributes": { "size": "M", "other": 1 } }))).await,
        post(of(json!({ "category": "none" }))).await,
        post(of(json!({ "options": [{ "name": "Size" }], "variants": [
            { "options": { "size": "S" }, "price": price }, { "options": { "size": "S" }, "price": price },
        ]})))
        .await,
        anyone
            .post("/v1/accounts", json!({ "email": seller.me["email"], "username": "ab", "password": "1234567" }))
            .await
            .expect(422),
        anyone
            .post(
                "/v1/accounts",
                json!({ "email": "x@example.com", "username": seller.me["username"], "password": "q7 lamps" }),
            )
            .await
            .expect(409),
        market
            .admin()
            .await
            .call(Method::PUT, "/v1/search/settings")
            .json(&json!({ "synonyms": [["one"]], "weights": { "title": 0, "tags": 0, "category": 0, "vendor": 0, "attributes": 0, "description": 0 } }))
            .await
            .expect(422),
        anyone
            .get("/v1/products?limit=0&tag=a&tag=b&sort=odd&colour=red&fields=title&include=category")
            .await
            .expect(400),
        seller
            .post("/v1/imports", json!({ "adopt": true }))
            .await
            .expect(403),
    ];
    let hook = json!({ "url": "https://receiver.example/souk", "events": ["product.sold"], "enabled": false });
    let hook = seller.add("/v1/webhooks", hook).await;
    let hook = format!("/v1/webhooks/{}", text(&hook, "id"));
    let fixed = seller.patch(&hook, json!({ "scope": "market" })).await.expect(422);

    let errors: Vec<&Value> = [&all, &fixed]
        .into_iter()
        .chain(&more)
        .flat_map(|reply| reply["errors"].as_array().unwrap())
        .collect();
    for (field, code, params) in [
        ("title", "too_long", json!({ "max": 200 })),
        ("slug", "invalid_format", Value::Null),
        ("category", "required", Value::Null),
        ("category", "not_found", Value::Null),
        ("price", "wrong_type", json!({ "expected": "object" })),
        ("location", "wrong_type", json!({ "expected": "object" })),
        ("gallery", "wrong_type", json!({ "expected": "array" })),
        ("colour", "unknown_field", Value::Null),
        (
            "condition",
            "not_one_of",
            json!({ "allowed": ["new", "like_new", "good", "fair", "poor"] }),
        ),
        ("weight", "out_of_range", json!({ "min": 0, "max": u32::MAX })),
        (
            "compare_at_price.amount",
            "out_of_range",
            json!({ "min": 0, "max": 9_007_199_254_740_991_i64 }),
        ),
        ("tags", "too_many", json!({ "max": 10 })),
        ("url", "invalid_format", Value::Null),
        ("sku", "inconsistent", json!({ "field": "vendor" })),
        ("attributes.size", "not_one_of", json!({ "allowed": ["S", "L"] })),
        ("attributes.other", "unknown_field", Value::Null),
        ("variants[1].options", "duplicate", Value::Null),
        ("username", "too_short", json!({ "min": 3 })),
        ("password", "too_short", json!({ "min": 8 })),
        ("username", "taken", Value::Null),
        ("synonyms[0]", "too_few", json!({ "min": 2 })),
        ("weights", "invalid", Value::Null),
        ("limit", "out_of_range", json!({ "min": 1, "max": 100 })),
        ("tag", "duplicate", Value::Null),
        ("colour", "unknown_parameter", Value::Null),
        ("adopt", "not_permitted", Value::Null),
        ("scope", "read_only", Value::Null),
    ] {
        let is_it = |error: &&&Value| error["field"] == field && error["code"] == code && error["params"] == params;
        assert!(errors.iter().any(|error| is_it(&error)), "{field} {code}: {errors:#?}");
    }
    let mut seen: BTreeSet<&str> = errors.iter().map(|error| text(error, "code")).collect();
    // Only `/readyz` has it, of a market that is not ready.
    seen.insert("unavailable");
    let listed: BTreeSet<&str> = CODES.fields.iter().map(String::as_str).collect();
    assert_eq!(seen, listed);
    // Blank optional fields are absent: no word about them.
    for blank in ["cover", "gtin"] {
        assert!(
            errors.iter().all(|error| error["field"] != blank),
            "{blank}: {errors:#?}"
        );
    }
    // No word of Rust or serde.
    for error in &errors {
        let detail = text(error, "detail");
        for word in ["expected", "struct", "unknown variant", "invalid type", "sequence", "`"] {
            assert!(!detail.contains(word), "{error}");
        }
    }
}

#[tokio::test]
async fn fields_leave_out_nothing_that_is_included() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    let list = "/v1/products?limit=1&fields=title,category";
    anyone.get(&format!("{list}&include=category")).await.expect(200);
    let refused = anyone.get(&format!("{list}&include=author")).await;
    let refused = refused.names(400, &["include"]);
    assert_eq!(refused["errors"][0]["params"], json!({ "field": "fields" }));
}

#[tokio::test]
async fn a_browser_may_read_which_401_it_is() {
    let Some(market) = market() else { return };
    let Ok(origin) = std::env::var("SOUK_TEST_ORIGIN") else {
        return;
    };
    let reply = market
        .with_token("x")
        .get("/v1/me")
        .header("origin", &origin)
        .await
        .expect(401);
    assert!(reply.header("www-authenticate").contains("error=\"invalid_token\""));
    assert!(
        reply
            .header("access-control-expose-headers")
            .contains("www-authenticate")
    );
    let missing = market.anonymous().get("/v1/me").await.expect(401);
    assert_eq!(missing.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn names_that_collide_get_slugs_of_their_own() {
    let Some(market) = market() else { return };
    let (seller, admin) = (market.member().await, market.admin().await);
    for (client, path) in [(&seller, "/v1/vendors"), (&admin, "/v1/categories")] {
        let new = json!({ "name": unique("Same") });
        let (one, two) = (client.add(path, new.clone()).await, client.add(path, new).await);
        let suffix = text(&two, "slug").strip_prefix(text(&one, "slug"));
        assert!(suffix.is_some_and(|suffix| suffix.len() == 9), "{path}: {one} {two}");
    }
}
