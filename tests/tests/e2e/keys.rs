//! Personal access tokens: what programs of an account use, and what they may not.

use futures_util::future::join_all;
use serde_json::{Value, json};
use souk_core::Clock as _;
use souk_sqlite::SystemClock;
use souk_tests::client::{Client, Market, eventually, market, unique};

use crate::text;

/// A new token of somebody, and who shows it.
async fn token(market: &Market, owner: &Client, more: Value) -> (Value, Client) {
    let mut new = json!({ "name": "A program" });
    for (field, value) in more.as_object().unwrap() {
        new[field] = value.clone();
    }
    let issued = owner.add("/v1/me/tokens", new).await;
    let program = market.with_token(text(&issued, "token"));
    (issued, program)
}

#[tokio::test]
async fn a_token_reads_or_writes_and_is_shown_once() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (issued, reader) = token(&market, &member, json!({})).await;
    let (_, writer) = token(&market, &member, json!({ "name": "Writer", "access": "write" })).await;
    assert!(text(&issued, "token").starts_with("soukpat_"));
    for program in [&reader, &writer] {
        assert_eq!(program.get("/v1/me").await.expect(200)["id"], member.me["id"]);
        program.get("/v1/products").await.expect(200);
    }
    let shop = json!({ "name": unique("Shop") });
    reader
        .post("/v1/vendors", shop.clone())
        .await
        .fails(403, "read_only_token");
    let shop = writer.add("/v1/vendors", shop).await;
    assert_eq!(shop["owner"], member.me["id"]);

    // What is about the account itself takes a session.
    for (path, body) in [
        ("/v1/me/tokens", json!({ "name": "Another" })),
        ("/v1/me/email/verification", json!({})),
        ("/v1/me/second-factor", json!({})),
        ("/v1/sessions/current/confirm", json!({ "password": member.password })),
    ] {
        writer.post(path, body).await.fails(403, "session_required");
    }
    writer
        .patch("/v1/me", json!({ "bio": "Mine" }))
        .await
        .fails(403, "session_required");
    for path in ["/v1/me/sessions", "/v1/sessions/current"] {
        writer.delete(path).await.fails(403, "session_required");
    }
    writer.get("/v1/me/tokens").await.fails(403, "session_required");

    let mut shown = issued.clone();
    shown.as_object_mut().unwrap().remove("token");
    shown.as_object_mut().unwrap().remove("last_used_at");
    let listed = member.get("/v1/me/tokens").await.expect(200);
    let mut first = listed.items()[0].clone();
    let used = first.as_object_mut().unwrap().remove("last_used_at").unwrap();
    assert!(used.is_string(), "{used}");
    assert_eq!((first, listed.items().len()), (shown, 2));
    assert!(!listed.body.contains("soukpat_"));
}

#[tokio::test]
async fn a_token_ends_at_once() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (issued, program) = token(&market, &member, json!({ "access": "write" })).await;
    let path = format!("/v1/me/tokens/{}", text(&issued, "id"));
    program.get("/v1/me").await.expect(200);
    // Others have no such token.
    market.member().await.delete(&path).await.expect(404);
    member.delete(&path).await.expect(204);
    let replies = join_all((0..8).map(|_| program.get("/v1/me").into_future())).await;
    assert!(replies.iter().all(|reply| reply.status == 401));
    program.get("/v1/products").await.fails(401, "token_invalid");
    member.delete(&path).await.expect(404);

    // Signing out does not end it, and deactivation does.
    let (_, program) = token(&market, &member, json!({})).await;
    member.delete("/v1/sessions/current").await.expect(204);
    program.get("/v1/me").await.expect(200);
    let admin = market.admin().await;
    admin
        .act(&format!("/v1/accounts/{}/deactivate", member.id()))
        .await
        .expect(204);
    program.get("/v1/me").await.fails(401, "token_invalid");
}

#[tokio::test]
async fn a_token_past_its_date_is_dead() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let past = json!({ "name": "Late", "expires_at": "2020-01-01T00:00:00Z", "networks": ["nowhere"], "permissions": ["no:such"] });
    member.post("/v1/me/tokens", past).await.names(422, &["networks"]);
    let past = json!({ "name": "Late", "expires_at": "2020-01-01T00:00:00Z", "permissions": ["no:such"] });
    member
        .post("/v1/me/tokens", past)
        .await
        .names(422, &["expires_at", "permissions[0]"]);
    let soon = souk_core::clock::after(SystemClock.now(), 3).to_string();
    let (issued, program) = token(&market, &member, json!({ "expires_at": soon })).await;
    program.get("/v1/me").await.expect(200);
    eventually(async || match program.get("/v1/me").await.status {
        401 => Ok(()),
        status => Err(format!("{status}, and it ends at {}", issued["expires_at"])),
    })
    .await;
    assert!(member.get("/v1/me/tokens").await.expect(200).items().is_empty());
}

#[tokio::test]
async fn a_token_works_from_its_networks() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (_, mut program) = token(&market, &member, json!({ "networks": ["10.77.0.0/16", "192.0.2.1"] })).await;
    for (address, status) in [
        ("10.77.3.4", 200),
        ("192.0.2.1", 200),
        ("10.78.3.4", 403),
        ("192.0.2.2", 403),
    ] {
        program.address = address.to_owned();
        program.get("/v1/me").await.expect(status);
    }
}

#[tokio::test]
async fn a_rotated_token_has_two_secrets_for_a_while() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (issued, first) = token(&market, &member, json!({})).await;
    let path = format!("/v1/me/tokens/{}/rotate", text(&issued, "id"));
    let second = member.post(&path, json!({})).await.expect(201);
    assert_eq!(second["id"], issued["id"]);
    let second = market.with_token(second.text("token"));
    for program in [&first, &second] {
        program.get("/v1/me").await.expect(200);
    }
    member
        .post(&path, json!({ "overlap_seconds": 604_801 }))
        .await
        .names(422, &["overlap_seconds"]);
    let third = member.post(&path, json!({ "overlap_seconds": 0 })).await.expect(201);
    market.with_token(third.text("token")).get("/v1/me").await.expect(200);
    for program in [first, second] {
        program.get("/v1/me").await.fails(401, "token_invalid");
    }
}

/// It has none of the permissions of its account that it was not given, and none that the account has lost.
#[tokio::test]
async fn a_token_has_the_permissions_that_it_was_given() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let member = market.member().await;
    let roles = format!("/v1/accounts/{}/roles", member.id());
    let assign = async |roles_of: Value| {
        let put = admin
            .call(reqwest::Method::PUT, &roles)
            .json(&json!({ "roles": roles_of }));
        put.await.expect(200);
    };
    let wants = json!({ "name": "x", "permissions": ["roles:read"] });
    member
        .post("/v1/me/tokens", wants)
        .await
        .names(422, &["permissions[0]"]);
    assign(json!(["support"])).await;
    let (_, none) = token(&market, &member, json!({ "access": "write" })).await;
    let (_, some) = token(&market, &member, json!({ "permissions": ["roles:read"] })).await;
    member.get(&roles).await.expect(200);
    none.get(&roles).await.fails(403, "forbidden");
    some.get(&roles).await.expect(200);
    assert_eq!(
        some.get("/v1/me").await.expect(200)["permissions"],
        json!(["roles:read"])
    );
    assign(json!([])).await;
    some.get(&roles).await.fails(403, "forbidden");

    // What it was given it does, also where the account itself looks who it is.
    let granted = json!({ "access": "write", "permissions": ["accounts:deactivate"] });
    let (_, keeper) = token(&market, &admin, granted).await;
    keeper
        .act(&format!("/v1/accounts/{}/deactivate", member.id()))
        .await
        .expect(204);
}

#[tokio::test]
async fn a_token_that_was_changed_is_none() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (issued, _) = token(&market, &member, json!({ "access": "write" })).await;
    let good = text(&issued, "token");
    let changed = (8..good.len()).map(|n| {
        let mut bytes = good.as_bytes().to_vec();
        bytes[n] = if bytes[n] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    });
    let changed: Vec<String> = changed
        .filter(|other| other != good)
        .chain([format!("{good}A"), "soukpat_".into()])
        .collect();
    let replies = join_all(
        changed
            .iter()
            .map(async |other| market.with_token(other).get("/v1/me").await.status),
    )
    .await;
    assert!(replies.iter().all(|status| *status == 401), "{replies:?}");
}
