//! Sessions: signing in, refreshing, signing out.

use futures_util::future::join_all;
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, Reply, market, unique};

use crate::text;

async fn refresh(market: &Market, token: &str) -> Reply {
    market
        .anonymous()
        .post("/v1/sessions/refresh", json!({ "refresh_token": token }))
        .await
}

fn credentials(who: &Client) -> Value {
    json!({ "username": who.me["username"], "password": who.password })
}

#[tokio::test]
async fn members_sign_in_by_email_or_username() {
    let Some(market) = market() else { return };
    let member = market.verified().await;
    let (email, username) = (text(&member.me, "email"), text(&member.me, "username"));
    for who in [
        json!({ "email": email }),
        json!({ "email": email.to_uppercase() }),
        json!({ "email": format!(" {} ", email.to_uppercase()) }),
        json!({ "username": username }),
        json!({ "username": format!("{} ", username.to_uppercase()) }),
    ] {
        let mut credentials = who;
        credentials["password"] = json!(member.password);
        let tokens = market.anonymous().post("/v1/sessions", credentials).await.expect(201);
        let fields: Vec<_> = tokens.json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["access_token", "device", "expires_in", "refresh_token", "token_type"]
        );
        assert_eq!(tokens["token_type"], "Bearer");
        assert!((1..=600).contains(&tokens["expires_in"].as_i64().unwrap()));
        let session = market.with_token(tokens.text("access_token"));
        assert_eq!(session.get("/v1/me").await.expect(200).json, member.me);
    }
}

/// Keyboards write the same letters in different ways.
#[tokio::test]
async fn a_password_is_the_same_however_it_is_typed() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    let name = unique("u");
    let email = format!("{name}@example.com");
    let composed = "caf\u{e9} \u{d55c} \u{fb01}";
    let decomposed = "cafe\u{301} \u{1112}\u{1161}\u{11ab} \u{fb01}";
    let new = json!({ "email": email, "username": name, "password": decomposed });
    anyone.post("/v1/accounts", new).await.expect(201);
    for (password, status) in [(composed, 201), (decomposed, 201), ("cafe \u{d55c} fi", 401)] {
        let credentials = json!({ "username": name, "password": password });
        anyone.post("/v1/sessions", credentials).await.expect(status);
    }
}

#[tokio::test]
async fn a_refused_sign_in_does_not_say_which_accounts_exist() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let anyone = market.anonymous();
    let mut answers = Vec::new();
    for body in [
        json!({ "username": member.me["username"], "password": "wrong password" }),
        json!({ "email": format!("{}@example.com", unique("nobody")), "password": "wrong password" }),
        json!({ "username": member.me["username"], "password": "wrong password" }),
        json!({ "username": unique("nobody"), "password": "wrong password" }),
        json!({ "username": member.me["email"], "password": member.password }),
        json!({ "username": "\u{0}/../\u{1F4A1}", "password": "wrong password" }),
    ] {
        let mut answer = anyone.post("/v1/sessions", body).await.expect(401).json;
        answer["request_id"].take();
        answers.push(answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    for (body, fields) in [
        (json!({}), vec!["email", "password"]),
        (json!({ "password": "x" }), vec!["email"]),
        (
            json!({ "email": "a@example.com", "username": "a", "password": "x" }),
            vec!["email"],
        ),
        (json!({ "email": "a@example.com" }), vec!["password"]),
        (json!({ "email": "x".repeat(255), "password": "x" }), vec!["email"]),
        (
            json!({ "username": "x".repeat(255), "password": "x" }),
            vec!["username"],
        ),
        (
            json!({ "email": "a@example.com", "password": "x".repeat(129) }),
            vec!["password"],
        ),
        (json!({ "email": ["a@example.com"], "password": "x" }), vec!["email"]),
        (json!({ "email": { "$ne": null }, "password": "x" }), vec!["email"]),
    ] {
        anyone.post("/v1/sessions", body).await.names(422, &fields);
    }
}

#[tokio::test]
async fn each_refresh_token_works_once() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let mut chain = vec![member.refresh_token.clone()];
    for _ in 0..3 {
        let tokens = refresh(&market, chain.last().unwrap()).await.expect(201);
        let session = market.with_token(tokens.text("access_token"));
        assert_eq!(session.get("/v1/me").await.expect(200)["id"], member.id());
        chain.push(tokens.text("refresh_token").to_owned());
    }
    // The answer to the last one got lost: asked again it is the same.
    let again = refresh(&market, &chain[2]).await.expect(201);
    assert_eq!(again.text("refresh_token"), chain[3]);
    let other = market.sign_in(text(&member.me, "username"), &member.password).await;
    // An old one comes back: somebody has stolen it, or the one after it. Nothing of this session works any more.
    refresh(&market, &chain[1]).await.expect(401);
    refresh(&market, &chain[3]).await.expect(401);
    member.get("/v1/me").await.expect(401);
    // Other sessions are not concerned.
    other.get("/v1/me").await.expect(200);
    refresh(&market, &other.refresh_token).await.expect(201);
}

#[tokio::test]
async fn refreshes_at_once_lead_to_the_same_token() {
    let Some(market) = market() else { return };
    for _ in 0..5 {
        let member = market.member().await;
        let replies = join_all((0..8).map(|_| refresh(&market, &member.refresh_token))).await;
        let mut next = Vec::new();
        for reply in replies {
            let tokens = reply.expect(201);
            market
                .with_token(tokens.text("access_token"))
                .get("/v1/me")
                .await
                .expect(200);
            next.push(tokens.text("refresh_token").to_owned());
        }
        next.dedup();
        assert_eq!(next.len(), 1);
        refresh(&market, &next[0]).await.expect(201);
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_not_ours_changes_nothing() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let token = &member.refresh_token;
    let parts: Vec<_> = token.split('.').collect();
    let other = market.member().await;
    let foreign: Vec<_> = other.refresh_token.split('.').collect();
    for forged in [
        "x".to_owned(),
        "...".to_owned(),
        token.to_uppercase(),
        format!("{token}."),
        format!("{}.{}.{}.{}", parts[0], parts[1], foreign[2], parts[3]),
        format!("{}.{}.{}.{}", foreign[0], parts[1], parts[2], parts[3]),
        format!("{}.{}.{}.{}", parts[0], foreign[1], parts[2], parts[3]),
        member.token.clone().unwrap(),
    ] {
        let reply = refresh(&market, &forged[..forged.len().min(400)]).await;
        assert_eq!(reply.status, 401, "{forged}: {}", reply.body);
    }
    for (body, fields) in [
        (json!({}), vec!["refresh_token"]),
        (json!({ "refresh_token": "x".repeat(401) }), vec!["refresh_token"]),
    ] {
        market
            .anonymous()
            .post("/v1/sessions/refresh", body)
            .await
            .names(422, &fields);
    }
    // Guesses do not end the session: only a token that was ours once does.
    member.get("/v1/me").await.expect(200);
    refresh(&market, token).await.expect(201);
}

#[tokio::test]
async fn signing_out_works_at_once() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let other = market.sign_in(text(&member.me, "username"), &member.password).await;
    let hidden = member.draft(&market.category(json!([])).await, json!({})).await;
    member.get(&crate::path_of(&hidden)).await.expect(200);
    member.delete("/v1/sessions/current").await.expect(204);
    for path in ["/v1/me", "/v1/products", &crate::path_of(&hidden)] {
        member.get(path).await.expect(401);
    }
    member.delete("/v1/sessions/current").await.expect(401);
    refresh(&market, &member.refresh_token).await.expect(401);
    other.get("/v1/me").await.expect(200);
    market
        .anonymous()
        .post("/v1/sessions", credentials(&member))
        .await
        .expect(201);
}
