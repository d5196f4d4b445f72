//! The second factor, and what asks for a fresh sign-in.

use futures_util::future::join_all;
use serde_json::{Value, json};
use souk_core::Clock as _;
use souk_sqlite::SystemClock;
use souk_tests::client::{Client, Market, Reply, market};
use totp_rs::{Builder, Secret, Totp};

/// The authenticator of a member, and the code that enabled it.
struct Authenticator(Totp, String);

impl Authenticator {
    fn of(secret: &str) -> Self {
        let secret = Secret::try_from_base32(secret).unwrap();
        Self(Builder::new().with_secret(secret).build().unwrap(), String::new())
    }

    /// The code of so many steps from now.
    fn code(&self, steps: i64) -> String {
        let now = u64::try_from(SystemClock.now().as_second()).unwrap();
        self.0.generate(now.checked_add_signed(30 * steps).unwrap()).to_string()
    }
}

/// Somebody with a second factor, and the recovery codes. The first code of the authenticator was used.
async fn guarded(market: &Market) -> (Client, Authenticator, Vec<String>) {
    let member = market.member().await;
    let new = member.post("/v1/me/second-factor", json!({})).await.expect(201);
    let mut authenticator = Authenticator::of(new.text("secret"));
    assert!(new.text("uri").starts_with("otpauth://totp/") && new.text("uri").contains(new.text("secret")));
    let wrong = json!({ "code": "000000" });
    member
        .post("/v1/me/second-factor/confirm", wrong)
        .await
        .names(422, &["code"]);
    // It does not count before its first code was right.
    assert_eq!(member.get("/v1/me/second-factor").await.expect(200)["enabled"], false);
    authenticator.1 = authenticator.code(0);
    let first = json!({ "code": authenticator.1 });
    let codes = member.post("/v1/me/second-factor/confirm", first).await.expect(200);
    let codes = codes["recovery_codes"].as_array().unwrap().iter();
    let codes = codes.map(|code| code.as_str().unwrap().to_owned()).collect();
    (member, authenticator, codes)
}

async fn sign_in(market: &Market, member: &Client, second_factor: Option<&str>) -> Reply {
    let mut credentials = json!({ "username": member.me["username"], "password": member.password });
    if let Some(code) = second_factor {
        credentials["second_factor"] = code.into();
    }
    market.anonymous().post("/v1/sessions", credentials).await
}

#[tokio::test]
async fn a_sign_in_takes_the_second_factor_once() {
    let Some(market) = market() else { return };
    let (member, authenticator, recovery) = guarded(&market).await;
    let state = member.get("/v1/me/second-factor").await.expect(200).json;
    assert_eq!(state, json!({ "enabled": true, "recovery_codes_left": 10 }));
    member
        .post("/v1/me/second-factor", json!({}))
        .await
        .fails(409, "second_factor_enabled");

    sign_in(&market, &member, None)
        .await
        .fails(401, "second_factor_required");
    sign_in(&market, &member, Some(" "))
        .await
        .fails(401, "second_factor_required");
    // Who does not have the password learns nothing of the second factor.
    let guess = json!({ "username": member.me["username"], "password": "a guess" });
    market
        .anonymous()
        .post("/v1/sessions", guess)
        .await
        .fails(401, "invalid_credentials");
    // The code that enabled it was used then.
    sign_in(&market, &member, Some(&authenticator.1))
        .await
        .names(401, &["second_factor"]);
    // That of the next half minute counts already, for clocks differ; of many who send it one gets in.
    let next = authenticator.code(1);
    let replies = join_all((0..8).map(|_| sign_in(&market, &member, Some(&next)))).await;
    let right = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(
        right,
        1,
        "{:?}",
        replies.iter().map(|reply| reply.status).collect::<Vec<_>>()
    );
    sign_in(&market, &member, Some("000000"))
        .await
        .names(401, &["second_factor"]);

    // So with a recovery code, however it is written.
    let code = recovery[0].to_uppercase().replace('-', " ");
    let replies = join_all((0..4).map(|_| sign_in(&market, &member, Some(&code)))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    let state = member.get("/v1/me/second-factor").await.expect(200).json;
    assert_eq!(state, json!({ "enabled": true, "recovery_codes_left": 9 }));
    let renewed = member
        .post("/v1/me/second-factor/recovery-codes", json!({}))
        .await
        .expect(201);
    sign_in(&market, &member, Some(&recovery[1]))
        .await
        .names(401, &["second_factor"]);
    let renewed: Vec<Value> = renewed["recovery_codes"].as_array().unwrap().clone();
    sign_in(&market, &member, renewed[3].as_str()).await.expect(201);

    member.delete("/v1/me/second-factor").await.expect(204);
    sign_in(&market, &member, None).await.expect(201);
}

#[tokio::test]
async fn a_mailed_sign_in_takes_the_second_factor_too() {
    let Some(market) = market() else { return };
    let (member, _, recovery) = guarded(&market).await;
    market.verify(member.text("email"), &member.challenge).await;
    let anyone = market.anonymous();
    let challenge = json!({ "email": member.me["email"] });
    let challenge = anyone.post("/v1/sessions/mailed", challenge).await.expect(201);
    let code = market.code(member.text("email"), challenge.text("id")).await;
    let mut proof = json!({ "challenge": challenge["id"], "code": code });
    let path = "/v1/sessions/mailed/confirm";
    anyone
        .post(path, proof.clone())
        .await
        .fails(401, "second_factor_required");
    proof["second_factor"] = "123456".into();
    anyone.post(path, proof.clone()).await.names(401, &["second_factor"]);
    proof["second_factor"] = recovery[0].clone().into();
    anyone.post(path, proof).await.expect(201);
}

#[tokio::test]
async fn a_session_confirms_who_it_is() {
    let Some(market) = market() else { return };
    let (member, _, recovery) = guarded(&market).await;
    let confirm = async |password: &str, second_factor: &str| {
        let body = json!({ "password": password, "second_factor": second_factor });
        member.post("/v1/sessions/current/confirm", body).await
    };
    confirm("a guess", &recovery[0]).await.names(422, &["password"]);
    confirm(&member.password, "").await.fails(401, "second_factor_required");
    confirm(&member.password, "000000").await.names(401, &["second_factor"]);
    confirm(&member.password, &recovery[0]).await.expect(204);
    assert_eq!(member.get("/v1/me").await.expect(200).text("id"), member.id());
}
