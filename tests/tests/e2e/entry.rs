//! The host behind a gate answers nobody but the gate. `SOUK_TEST_INNER` is its own address; the gate is what `SOUK_URL` names.

use serde_json::{Value, json};
use souk_tests::client::market;

use crate::path_of_nobody;

#[tokio::test]
async fn an_inner_function_cannot_be_reached_from_outside() {
    let (Some(market), Ok(inner)) = (market(), std::env::var("SOUK_TEST_INNER")) else {
        return;
    };
    let member = market.member().await;
    let token = member.token.as_deref().unwrap();
    let http = reqwest::Client::new();
    let document = market.anonymous().get("/openapi.json").await.expect(200);
    let (mut count, mut open) = (0, 0);
    for (pattern, rows) in document["paths"].as_object().unwrap() {
        for method in rows.as_object().unwrap().keys() {
            let method: reqwest::Method = method.to_uppercase().parse().unwrap();
            let url = format!("{inner}{}", path_of_nobody(pattern));
            // With a token, with what is no identity, and with that token as one.
            for identity in [None, Some("x.y.z"), Some(token)] {
                let request = http.request(method.clone(), &url).bearer_auth(token);
                let request = match identity {
                    Some(identity) => request.header("souk-identity", identity),
                    None => request,
                };
                let answer = request.send().await.unwrap();
                let status = answer.status().as_u16();
                if ["/healthz", "/readyz"].contains(&pattern.as_str()) && identity.is_none() {
                    assert_eq!(status, 200, "{pattern}");
                    open += 1;
                    continue;
                }
                let problem: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
                assert_eq!(
                    (status, &problem["code"]),
                    (403, &json!("forbidden")),
                    "{method} {pattern} {problem}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 300 && open == 2, "{count} {open}");
}

#[tokio::test]
async fn the_gate_tells_the_functions_who_it_is() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    assert_eq!(member.get("/v1/me").await.expect(200)["id"], member.me["id"]);
    for (client, status, code) in [
        (market.anonymous(), 401, "token_missing"),
        (market.with_token("expired"), 401, "token_invalid"),
        (member.clone(), 403, "forbidden"),
    ] {
        client.get("/v1/audit").await.fails(status, code);
    }
    // What a client says of itself is replaced.
    if std::env::var("SOUK_TEST_INNER").is_ok() {
        let told = member.get("/v1/me").header("souk-identity", "x.y.z").await.expect(200);
        assert_eq!(told["id"], member.me["id"]);
    }
}
