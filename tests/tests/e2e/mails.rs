//! What a mail proves: that an address is somebody's, who may then sign in by it, change it and set a new password.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, Reply, eventually, market, unique};

use crate::text;

/// A new challenge of somebody.
async fn ask(who: &Client, path: &str, body: Value) -> Reply {
    who.post(path, body).await.expect(201)
}

/// The token of the link in the mail of a challenge.
async fn token(market: &Market, email: &str, challenge: &str) -> String {
    let mail = market.mail(email, challenge).await;
    let link = mail.lines().find(|line| line.contains("/account#")).unwrap();
    link.rsplit('/').next().unwrap().to_owned()
}

async fn sign_in(market: &Market, login: Value) -> u16 {
    market.anonymous().post("/v1/sessions", login).await.status
}

#[tokio::test]
async fn a_code_counts_once_and_five_wrong_ones_use_it_up() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (anyone, email) = (market.anonymous(), member.text("email").to_owned());
    let code = market.code(&email, &member.challenge).await;
    let confirm = async |challenge: &str, code: &str| {
        let proof = json!({ "challenge": challenge, "code": code });
        anyone.post("/v1/email-confirmations", proof).await
    };
    let wrong = |n: u32| format!("{:06}", (code.parse::<u32>().unwrap() + n) % 1_000_000);
    for n in 1..=5 {
        confirm(&member.challenge, &wrong(n)).await.names(422, &["code"]);
    }
    confirm(&member.challenge, &code).await.names(422, &["code"]);
    assert_eq!(member.get("/v1/me").await.expect(200)["email_verified"], false);

    let second = ask(&member, "/v1/me/email/verification", json!({})).await;
    let code = market.code(&email, second.text("id")).await;
    confirm(&member.challenge, &code).await.names(422, &["code"]);
    confirm("chl_none", &code).await.names(422, &["code"]);
    // As the mail writes it. Of many who confirm at once all hear the truth.
    let spaced = format!(" {} {}", &code[..3], &code[3..]);
    let replies = join_all((0..8).map(|_| confirm(second.text("id"), &spaced))).await;
    let right = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(
        right,
        1,
        "{:?}",
        replies.iter().map(|reply| reply.status).collect::<Vec<_>>()
    );
    let me = member.get("/v1/me").await.expect(200);
    assert_eq!((&me["email_verified"], &me["version"]), (&json!(true), &json!(2)));
    member
        .post("/v1/me/email/verification", json!({}))
        .await
        .fails(409, "email_verified");
}

/// Scanners of mail open links, and submit what they find there.
#[tokio::test]
async fn a_link_counts_only_for_who_asked() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let (anyone, email) = (market.anonymous(), member.text("email"));
    let challenge = ask(&member, "/v1/me/email/verification", json!({})).await;
    let token = token(&market, email, challenge.text("id")).await;
    let mut proof = json!({ "challenge": challenge["id"], "code": token });
    anyone
        .post("/v1/email-confirmations", proof.clone())
        .await
        .names(422, &["code"]);
    proof["nonce"] = "another".into();
    anyone
        .post("/v1/email-confirmations", proof.clone())
        .await
        .names(422, &["code"]);
    proof["nonce"] = challenge["nonce"].clone();
    anyone.post("/v1/email-confirmations", proof).await.expect(200);
}

#[tokio::test]
async fn an_address_is_of_who_verifies_it() {
    let Some(market) = market() else { return };
    let owner = market.member().await;
    let email = owner.text("email").to_owned();
    // Somebody else was there before, and named the same address.
    let thief = market.anonymous();
    let new =
        |username: &str| json!({ "email": email, "username": username, "password": "q7 lamps!", "sign_in": true });
    let first = thief.post("/v1/accounts", new(&unique("t"))).await.expect(201);
    let id = text(&first["email_verification"], "id");
    let code = market.code(&email, id).await;
    market.verify(&email, &owner.challenge).await;
    assert_eq!(
        sign_in(&market, json!({ "email": email, "password": owner.password })).await,
        201
    );
    assert_eq!(
        sign_in(&market, json!({ "email": email, "password": "q7 lamps!" })).await,
        401
    );
    // A code that was mailed before the owner verified the address fails now, and later sign-ups get no code.
    let proof = json!({ "challenge": id, "code": code });
    thief.post("/v1/email-confirmations", proof).await.fails(409, "taken");
    let late = thief.post("/v1/accounts", new(&unique("t"))).await.expect(201);
    let found = eventually(async || {
        let mails = market.mails(&email).await;
        let known = mails
            .iter()
            .find(|mail| mail["subject"] == "You already have an account");
        known.cloned().ok_or_else(|| format!("{mails:?}"))
    });
    assert!(!text(&found.await, "text").contains(text(&late["email_verification"], "id")));
    let late = market.with_token(text(&late["session"], "access_token"));
    assert_eq!(late.get("/v1/me").await.expect(200)["email_verified"], false);
}

#[tokio::test]
async fn both_addresses_confirm_a_change() {
    let Some(market) = market() else { return };
    let member = market.verified().await;
    let (old, new) = (member.text("email"), format!("{}@example.org", unique("new")));
    let change = async |email: &str, password: &str| {
        let body = json!({ "email": email, "current_password": password });
        member.call(Method::PUT, "/v1/me/email").json(&body).await
    };
    change(&new, "a guess").await.names(422, &["current_password"]);
    change(old, &member.password).await.names(422, &["email"]);
    let challenge = change(&new, &member.password).await.expect(201);
    let id = challenge.text("id");
    let confirm = async |email: &str| {
        let code = market.code(email, id).await;
        let proof = json!({ "challenge": id, "code": code });
        market
            .anonymous()
            .post("/v1/email-confirmations", proof)
            .await
            .expect(200)["verified"]
            .clone()
    };
    assert_eq!(confirm(&new).await, false);
    assert_eq!(member.get("/v1/me").await.expect(200)["email"], old);
    assert_eq!(confirm(old).await, true);
    let me = member.get("/v1/me").await.expect(200);
    assert_eq!((&me["email"], &me["email_verified"]), (&json!(new), &json!(true)));
    assert_eq!(
        sign_in(&market, json!({ "email": new, "password": member.password })).await,
        201
    );
    assert_eq!(
        sign_in(&market, json!({ "email": old, "password": member.password })).await,
        401
    );
    // The former address is free.
    let next = json!({ "email": old, "username": unique("n"), "password": "q7 lamps!" });
    let next = market.anonymous().add("/v1/accounts", next).await;
    market.verify(old, text(&next["email_verification"], "id")).await;
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_and_all_sessions_end() {
    let Some(market) = market() else { return };
    let member = market.verified().await;
    let (anyone, email) = (market.anonymous(), member.text("email"));
    let challenge = ask(&anyone, "/v1/password-resets", json!({ "email": email.to_uppercase() })).await;
    let code = market.code(email, challenge.text("id")).await;
    let reset = async |code: &str, password: &str| {
        let body = json!({ "challenge": challenge["id"], "code": code, "password": password });
        anyone.post("/v1/password-resets/confirm", body).await
    };
    reset(&code, "password1").await.names(422, &["password"]);
    reset("000000 1", "a new lamp, lit").await.names(422, &["code"]);
    // The code is for this, and for nothing else.
    let proof = json!({ "challenge": challenge["id"], "code": code });
    anyone
        .post("/v1/email-confirmations", proof.clone())
        .await
        .names(422, &["code"]);
    anyone
        .post("/v1/sessions/mailed/confirm", proof)
        .await
        .names(422, &["code"]);
    let replies = join_all((0..4).map(|_| reset(&code, "a new lamp, lit"))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 204).count(), 1);
    member.get("/v1/me").await.fails(401, "session_ended");
    assert_eq!(
        sign_in(&market, json!({ "email": email, "password": member.password })).await,
        401
    );
    let again = market.sign_in(email, "a new lamp, lit").await;
    again.get("/v1/me").await.expect(200);
    eventually(async || {
        let mails = market.mails(email).await;
        let told = mails.iter().any(|mail| mail["subject"] == "Your password was changed");
        told.then_some(()).ok_or_else(|| format!("{mails:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_mailed_code_signs_in() {
    let Some(market) = market() else { return };
    let member = market.verified().await;
    let (anyone, email) = (market.anonymous(), member.text("email"));
    let challenge = ask(&anyone, "/v1/sessions/mailed", json!({ "email": email })).await;
    let code = market.code(email, challenge.text("id")).await;
    let proof = json!({ "challenge": challenge["id"], "code": code });
    let replies =
        join_all((0..4).map(|_| anyone.post("/v1/sessions/mailed/confirm", proof.clone()).into_future())).await;
    let mut right = replies.iter().filter(|reply| reply.status == 201);
    let tokens = right.next().unwrap();
    assert!(right.next().is_none());
    let session = market.with_token(tokens.text("access_token"));
    assert_eq!(session.get("/v1/me").await.expect(200)["id"], member.me["id"]);
}

/// No answer says whether an address is known, and who is kept out gets no mail.
#[tokio::test]
async fn known_and_unknown_addresses_are_answered_alike() {
    let Some(market) = market() else { return };
    let known = market.verified().await;
    let kept_out = market.verified().await;
    market
        .admin()
        .await
        .act(&format!("/v1/accounts/{}/deactivate", kept_out.id()))
        .await
        .expect(204);
    let unknown = format!("{}@example.com", unique("m"));
    for path in ["/v1/password-resets", "/v1/sessions/mailed"] {
        let mut shapes = Vec::new();
        for email in [known.text("email"), kept_out.text("email"), &unknown] {
            let reply = ask(&market.anonymous(), path, json!({ "email": email })).await;
            let mut names: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
            names.sort();
            let fields = reply
                .json
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), value.to_string().len()));
            shapes.push((reply.body.len(), names, fields.collect::<Vec<_>>()));
        }
        assert_eq!(shapes[0], shapes[1]);
        assert_eq!(shapes[0], shapes[2]);
    }
    // The known one has got its mails; so the others would have.
    let last = ask(
        &market.anonymous(),
        "/v1/sessions/mailed",
        json!({ "email": known.text("email") }),
    )
    .await;
    market.code(known.text("email"), last.text("id")).await;
    assert!(market.mails(&unknown).await.is_empty());
    let to_kept_out = market.mails(kept_out.text("email")).await;
    assert!(
        to_kept_out
            .iter()
            .all(|mail| text(mail, "subject").contains("confirm this email")),
        "{to_kept_out:?}"
    );
}

#[tokio::test]
async fn a_sign_in_on_a_new_device_is_mailed() {
    let Some(market) = market() else { return };
    let member = market.verified().await;
    let credentials =
        |device: &str| json!({ "username": member.me["username"], "password": member.password, "device": device });
    let known = credentials(&member.device);
    market
        .anonymous()
        .post("/v1/sessions", known)
        .header("user-agent", "known")
        .await
        .expect(201);
    let stranger = market.anonymous().post("/v1/sessions", credentials(""));
    stranger.header("user-agent", "A <b>phone</b>").await.expect(201);
    let mails = eventually(async || {
        let mails = market.mails(member.text("email")).await;
        let told = |mail: &&Value| mail["subject"] == "New sign-in to your account";
        let told: Vec<Value> = mails.iter().filter(told).cloned().collect();
        if told.is_empty() {
            Err(format!("{mails:?}"))
        } else {
            Ok(told)
        }
    })
    .await;
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert!(text(&mails[0], "text").contains("with: A <b>phone</b>"));
    assert!(text(&mails[0], "html").contains("with: A &lt;b&gt;phone&lt;/b&gt;"));
}

#[tokio::test]
async fn language_and_time_zone_are_ones_own() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let patch = json!({ "locale": "de-AT", "time_zone": "Europe/Vienna" });
    let me = member.patch("/v1/me", patch).await.expect(200);
    assert_eq!(
        (&me["locale"], &me["time_zone"]),
        (&json!("de-AT"), &json!("Europe/Vienna"))
    );
    for (patch, field) in [
        (json!({ "locale": "deutsch!" }), "locale"),
        (json!({ "locale": "d" }), "locale"),
        (json!({ "time_zone": "../etc" }), "time_zone"),
    ] {
        member.patch("/v1/me", patch).await.names(422, &[field]);
    }
    let me = member.patch("/v1/me", json!({ "locale": null })).await.expect(200);
    assert_eq!(
        (&me["locale"], &me["time_zone"]),
        (&Value::Null, &json!("Europe/Vienna"))
    );
}
