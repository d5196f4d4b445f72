//! `Idempotency-Key`: what is sent again is answered as it was the first time.

use serde_json::json;
use souk_tests::client::{Reply, market, product, unique};

use crate::concurrency::at_once;
use crate::{path_of, text};

/// Both are the same answer, the second one a repeat.
#[track_caller]
fn same(first: &Reply, again: &Reply) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for name in ["etag", "location", "content-type", "cache-control"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            again.header("idempotency-replayed")
        ),
        ("", "true")
    );
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was() {
    let Some(market) = market() else { return };
    let (seller, admin) = (market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    for (client, path, body) in [
        (
            &seller,
            "/v1/products",
            product(&category, json!({ "title": "Same \u{1F4A1} \"title\"" })),
        ),
        (&seller, "/v1/vendors", json!({ "name": unique("Shop") })),
        (&admin, "/v1/categories", json!({ "name": unique("Category") })),
    ] {
        let key = unique("key");
        let first = client.post(path, body.clone()).key(&key).await.expect(201);
        let again = client.post(path, body.clone()).key(&key).await;
        same(&first, &again);
        // With quotes, as the draft standard writes it, it is the same key.
        same(
            &first,
            &client.post(path, body.clone()).key(&format!("\"{key}\"")).await,
        );
        assert_eq!(client.get(first.header("location")).await.expect(200)["version"], 1);
    }
    assert_eq!(
        seller
            .all(&format!("/v1/products?status=draft&category={category}"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_repeated_transition_happens_once() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let draft = seller.draft(&market.category(json!([])).await, json!({})).await;
    let (path, key) = (path_of(&draft), unique("key"));
    let publish = || seller.act(&format!("{path}/publish")).key(&key);
    let first = publish().await.expect(200);
    same(&first, &publish().await);
    // Even when the product has moved on.
    seller.act(&format!("{path}/archive")).await.expect(200);
    same(&first, &publish().await);
    assert_eq!(seller.get(&path).await.expect(200)["status"], "archived");
    // The key is for one path: elsewhere it is another.
    seller.act(&format!("{path}/draft")).key(&key).await.expect(200);
}

/// The second of two transitions would be refused, if it were not the same request.
#[tokio::test]
async fn concurrent_repeats_of_a_transition_get_the_first_result() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    for _ in 0..20 {
        let path = path_of(&seller.draft(&category, json!({})).await);
        let key = unique("key");
        let publish = |_| seller.act(&format!("{path}/publish")).key(&key);
        for reply in at_once((0..4).map(publish)).await {
            reply.expect(200);
        }
    }
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_account() {
    let Some(market) = market() else { return };
    let (one, two) = (market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let (key, body) = (unique("key"), product(&category, json!({})));
    let first = one.post("/v1/products", body.clone()).key(&key).await.expect(201);
    let mut other = body.clone();
    other["price"]["amount"] = json!(2000);
    one.post("/v1/products", other)
        .key(&key)
        .await
        .names(422, &["Idempotency-Key"]);
    let theirs = two.post("/v1/products", body.clone()).key(&key).await.expect(201);
    assert_ne!(theirs["id"], first["id"]);
    assert_eq!(theirs["author"], two.id());
    one.post("/v1/products", body.clone())
        .key(&unique("key"))
        .await
        .expect(201);
    one.post("/v1/vendors", json!({ "name": unique("Shop") }))
        .key(&key)
        .await
        .expect(201);
    // Whoever may not call does not learn what the key stands for.
    market
        .anonymous()
        .post("/v1/products", body)
        .key(&key)
        .await
        .expect(401);
    for bad in ["", "\"\"", &"x".repeat(256), "ключ", "a\tb"] {
        one.post("/v1/products", json!({}))
            .key(bad)
            .await
            .names(400, &["Idempotency-Key"]);
    }
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let key = unique("key");
    seller.post("/v1/products", json!({})).key(&key).await.expect(422);
    seller
        .post("/v1/products", product(&category, json!({})))
        .key(&key)
        .await
        .expect(201);
}

#[tokio::test]
async fn tokens_are_replayed_too() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let anyone = market.anonymous();
    let (sign_in, refresh) = (unique("key"), unique("key"));
    let credentials = json!({ "username": member.me["username"], "password": member.password });
    let first = anyone
        .post("/v1/sessions", credentials.clone())
        .key(&sign_in)
        .await
        .expect(201);
    same(&first, &anyone.post("/v1/sessions", credentials).key(&sign_in).await);
    // A refresh whose answer was lost is asked for again, and that is no theft.
    let old = json!({ "refresh_token": first["refresh_token"] });
    let second = anyone
        .post("/v1/sessions/refresh", old.clone())
        .key(&refresh)
        .await
        .expect(201);
    same(
        &second,
        &anyone.post("/v1/sessions/refresh", old.clone()).key(&refresh).await,
    );
    market
        .with_token(second.text("access_token"))
        .get("/v1/me")
        .await
        .expect(200);
    let wrong = json!({ "username": text(&member.me, "username"), "password": "wrong password" });
    let reused = anyone.post("/v1/sessions", wrong).key(&sign_in).await;
    assert_eq!(
        reused.names(422, &["Idempotency-Key"])["code"],
        "idempotency_key_reused"
    );
    // Without the key it is, once another token has been used.
    let next = json!({ "refresh_token": second["refresh_token"] });
    anyone.post("/v1/sessions/refresh", next).await.expect(201);
    anyone.post("/v1/sessions/refresh", old).await.expect(401);
    let new =
        json!({ "email": format!("{}@example.com", unique("x")), "username": unique("x"), "password": "q7 lamps" });
    let key = unique("key");
    let up = anyone.post("/v1/accounts", new.clone()).key(&key).await.expect(201);
    same(&up, &anyone.post("/v1/accounts", new).key(&key).await);
}
