//! Accounts: signing up, one's own account, and what others see of it.

use serde_json::json;
use souk_tests::client::{market, unique};

use crate::text;

#[tokio::test]
async fn anyone_signs_up_as_a_member() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    let username = unique("ada");
    let email = format!("{}+Souk@MÜNCHEN.Example", username.to_uppercase());
    // What is before the domain stays as it was given, but is compared in lower case.
    let kept = format!("{}+Souk@xn--mnchen-3ya.example", username.to_uppercase());
    let new = json!({ "email": email, "username": username, "password": "correct horse", "name": " Ada 💡 " });
    let created = anyone.post("/v1/accounts", new).await.expect(201);
    let expected = json!({
        "id": created["id"], "username": username, "name": "Ada 💡", "bio": "", "avatar": null, "email": kept, "email_verified": false, "locale": null, "time_zone": null, "roles": [], "permissions": [],
        "created_at": created["created_at"], "updated_at": created["created_at"], "version": 1,
    });
    let mut shown = created.json.clone();
    let challenge = shown.as_object_mut().unwrap().remove("email_verification").unwrap();
    assert_eq!(shown, expected);
    assert_eq!(
        created.header("location"),
        format!("/v1/accounts/{}", created.text("id"))
    );
    let member = market.sign_in(&username, "correct horse").await;
    assert_eq!(member.get("/v1/me").await.expect(200).json, expected);
    assert_eq!(
        member
            .get("/v1/me?fields=roles,permissions,email")
            .await
            .expect(200)
            .json,
        json!({ "roles": [], "permissions": [], "email": kept })
    );

    // What others see: neither the address nor the role.
    let mut profile = expected.clone();
    for private in [
        "email",
        "email_verified",
        "locale",
        "time_zone",
        "roles",
        "permissions",
        "updated_at",
        "version",
    ] {
        profile.as_object_mut().unwrap().remove(private);
    }
    for path in [
        format!("/v1/accounts/{}", created.text("id")),
        format!("/v1/accounts/{username}"),
    ] {
        for client in [&anyone, &member, &market.admin().await] {
            assert_eq!(client.get(&path).await.expect(200).json, profile);
        }
    }
    anyone
        .get(&format!("/v1/accounts/{username}?fields=email"))
        .await
        .names(400, &["fields"]);
    anyone
        .get(&format!("/v1/accounts/{}", email.to_lowercase()))
        .await
        .expect(404);

    // Whoever has shown that the address is theirs signs in by it, however its letters are written.
    let by_address = json!({ "email": kept, "password": "correct horse" });
    anyone
        .post("/v1/sessions", by_address)
        .await
        .fails(401, "invalid_credentials");
    market.verify(&kept, text(&challenge, "id")).await;
    for address in [kept.to_lowercase(), format!(" {email} ")] {
        let member = market.sign_in(&address, "correct horse").await;
        let me = member.get("/v1/me").await.expect(200);
        assert_eq!((&me["email"], &me["email_verified"]), (&json!(kept), &json!(true)));
    }
}

#[tokio::test]
async fn who_signs_up_may_be_signed_in_at_once() {
    let Some(market) = market() else { return };
    let (anyone, username, key) = (market.anonymous(), unique("ada"), unique("key"));
    let new = json!({
        "email": format!("{username}@example.com"), "username": username, "password": "correct horse", "sign_in": true,
    });
    let created = anyone.post("/v1/accounts", new.clone()).key(&key).await.expect(201);
    // Its digest would be one of secrets.
    assert_eq!(
        (created.header("etag"), created.header("cache-control")),
        ("", "no-store")
    );
    let session = &created["session"];
    assert_eq!(text(session, "token_type"), "Bearer");
    let member = market.with_token(text(session, "access_token"));
    let mut me = created.json.clone();
    me.as_object_mut().unwrap().remove("session");
    me.as_object_mut().unwrap().remove("email_verification");
    assert_eq!(member.get("/v1/me").await.expect(200).json, me);
    // Whoever did not get the answer gets the same one.
    let again = anyone.post("/v1/accounts", new.clone()).key(&key).await.expect(201);
    assert_eq!(again.json, created.json);
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let next = anyone.post("/v1/sessions/refresh", refresh).await.expect(201);
    // Those tokens no longer work.
    anyone.post("/v1/accounts", new).key(&key).await.expect(409);
    market
        .with_token(next.text("access_token"))
        .get("/v1/me")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_sign_up_that_is_not_valid_is_refused_with_every_field_named() {
    let Some(market) = market() else { return };
    let good =
        json!({ "email": format!("{}@example.com", unique("x")), "username": unique("x"), "password": "q7 lamps" });
    for (more, fields) in [
        (
            json!({ "email": "", "username": "", "password": "", "name": "" }),
            vec!["email", "username", "password"],
        ),
        (json!({ "email": null }), vec!["email"]),
        (json!({ "email": "ada" }), vec!["email"]),
        (json!({ "email": "ada@localhost" }), vec!["email"]),
        (json!({ "email": "a b@example.com" }), vec!["email"]),
        (json!({ "email": "a@b@example.com" }), vec!["email"]),
        (
            json!({ "email": "ada@example.com\r\nbcc: all@example.com" }),
            vec!["email"],
        ),
        (
            json!({ "email": format!("{}@example.com", "x".repeat(250)) }),
            vec!["email"],
        ),
        (json!({ "username": "ab" }), vec!["username"]),
        (json!({ "username": "Ada" }), vec!["username"]),
        (json!({ "username": "-ada" }), vec!["username"]),
        (json!({ "username": "a".repeat(31) }), vec!["username"]),
        (json!({ "username": "adа" }), vec!["username"]),
        (
            json!({ "username": "acc_0123456789abcdef0123456789abcdef" }),
            vec!["username"],
        ),
        (json!({ "password": "1234567" }), vec!["password"]),
        (json!({ "password": "x".repeat(129) }), vec!["password"]),
        (json!({ "password": 12_345_678 }), vec!["password"]),
        (json!({ "roles": ["admin"] }), vec!["roles"]),
        (json!({ "active": true }), vec!["active"]),
    ] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        market.anonymous().post("/v1/accounts", body).await.names(422, &fields);
    }
    market
        .anonymous()
        .post("/v1/accounts", json!({}))
        .await
        .names(422, &["email", "username", "password"]);
    // None of them has left anything behind.
    market.anonymous().post("/v1/accounts", good).await.expect(201);
}

#[tokio::test]
async fn a_username_is_taken_once() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (email, username) = (text(&member.me, "email"), text(&member.me, "username"));
    let new = |email: &str, username: &str| json!({ "email": email, "username": username, "password": "q7 lamps" });
    let anyone = market.anonymous();
    // An address belongs to who verifies it, and signing up tells nothing of who has.
    for email in [email, &email.to_uppercase()] {
        anyone.post("/v1/accounts", new(email, &unique("x"))).await.expect(201);
    }
    let (fresh, other) = (format!("{}@example.com", unique("x")), unique("x"));
    anyone
        .post("/v1/accounts", new(&fresh, username))
        .await
        .names(409, &["username"]);
    // The address was not taken by the attempt.
    anyone.post("/v1/accounts", new(&fresh, &other)).await.expect(201);
    member
        .patch("/v1/me", json!({ "username": other }))
        .await
        .names(409, &["username"]);
}

#[tokio::test]
async fn members_change_their_own_account() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let old = text(&member.me, "username").to_owned();
    let new = unique("n");
    let patch = json!({ "username": new, "name": "Grace", "bio": "Line one.\nLine two.", "avatar": "https://img.example/g.png" });
    let changed = member.patch("/v1/me", patch.clone()).await.expect(200);
    let mut expected = member.me.clone();
    for (field, value) in patch.as_object().unwrap() {
        expected[field] = value.clone();
    }
    expected["version"] = json!(2);
    expected["updated_at"] = changed["updated_at"].clone();
    assert_eq!(changed.json, expected);
    assert_eq!(member.get("/v1/me").await.expect(200).json, expected);
    let anyone = market.anonymous();
    assert_eq!(
        anyone.get(&format!("/v1/accounts/{new}")).await.expect(200)["bio"],
        patch["bio"]
    );
    // The old name still leads to the account, and nobody else can have it.
    let by_old = anyone.get(&format!("/v1/accounts/{old}")).await.expect(200);
    assert_eq!((&by_old["username"], &by_old["id"]), (&json!(new), &expected["id"]));
    let taken = json!({ "email": format!("{old}@example.org"), "username": old, "password": "q7 lamps" });
    anyone.post("/v1/accounts", taken).await.names(409, &["username"]);
    for name in [&old, &new] {
        let back = member.patch("/v1/me", json!({ "username": name })).await.expect(200);
        assert_eq!(back["username"], json!(name));
    }
    expected["updated_at"] = member.get("/v1/me").await.expect(200)["updated_at"].clone();

    let cleared = member
        .patch("/v1/me", json!({ "bio": null, "avatar": null }))
        .await
        .expect(200);
    assert_eq!(
        (&cleared["bio"], &cleared["avatar"], &cleared["name"]),
        (&json!(""), &json!(null), &json!("Grace"))
    );
    for (patch, fields) in [
        (
            json!({ "username": "", "name": "", "bio": "x".repeat(2001), "avatar": "data:," }),
            vec!["username", "name", "bio", "avatar"],
        ),
        (json!({ "name": null }), vec!["name"]),
        (json!({ "roles": ["admin"] }), vec!["roles"]),
        (json!({ "email": "other@example.com" }), vec!["email"]),
        (json!({ "id": "acc_0123456789abcdef0123456789abcdef" }), vec!["id"]),
        (json!([]), vec![""]),
    ] {
        member.patch("/v1/me", patch).await.names(422, &fields);
    }
    let seen = cleared.header("etag").to_owned();
    member
        .patch("/v1/me", json!({ "bio": "a" }))
        .header("if-match", &seen)
        .await
        .expect(200);
    member
        .patch("/v1/me", json!({ "bio": "b" }))
        .header("if-match", &seen)
        .await
        .expect(412);
}
