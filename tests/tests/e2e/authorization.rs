//! Who may call what, from the API's own description: a route that is added is tested without a word here.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, market};

use crate::path_of_nobody;

struct Operation {
    method: Method,
    /// With an id in it that no one has.
    path: String,
    /// Who may call it.
    access: String,
    takes_body: bool,
}

/// Every operation that the description knows.
async fn operations(market: &Market) -> Vec<Operation> {
    let openapi = market.anonymous().get("/openapi.json").await.expect(200).json;
    let mut all = Vec::new();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path_of_nobody(path),
                access: operation["x-access"].as_str().unwrap().to_owned(),
                takes_body: operation.get("requestBody").is_some(),
            });
        }
    }
    assert!(all.len() > 20 && all.iter().all(|operation| !operation.path.contains('{')));
    all
}

#[tokio::test]
async fn every_operation_is_there() {
    let Some(market) = market() else { return };
    let nowhere = market.anonymous().get("/v1/no-such-path").await.expect(404);
    for Operation { method, path, .. } in operations(&market).await {
        let reply = market.anonymous().call(method.clone(), &path).await;
        assert!(
            reply.status != 405 && reply["detail"] != nowhere["detail"],
            "{method} {path}: {}",
            reply.body
        );
    }
}

#[tokio::test]
async fn only_those_whom_the_description_names_get_in() {
    let Some(market) = market() else { return };
    let (anyone, member, admin) = (market.anonymous(), market.member().await, market.admin().await);
    let forged = market.with_token("forged");
    let issued = member
        .add("/v1/me/tokens", json!({ "name": "A program", "access": "write" }))
        .await;
    let program = market.with_token(issued["token"].as_str().unwrap());
    let mut levels: Vec<_> = Vec::new();
    for Operation {
        method,
        path,
        access,
        takes_body,
    } in operations(&market).await
    {
        // A body that says nothing: whoever gets in is told so, and nothing comes of it.
        let status = async |client: &Client| {
            // What sets a cookie takes a page of this origin.
            let call = client
                .call(method.clone(), &path)
                .header("sec-fetch-site", "same-origin");
            let call = if takes_body { call.json(&json!([])) } else { call };
            call.await.status
        };
        let what = format!("{method} {path} {access}");
        if access == "public" {
            assert!(!matches!(status(&anyone).await, 401 | 403), "{what}");
        } else {
            assert_eq!(status(&anyone).await, 401, "{what}");
            assert_eq!(status(&forged).await, 401, "{what}");
        }
        if access == "session" {
            assert_eq!(status(&program).await, 403, "{what}");
        }
        if !matches!(access.as_str(), "public" | "member" | "session") {
            assert_eq!(status(&member).await, 403, "{what}");
            assert!(!matches!(status(&admin).await, 401 | 403), "{what}");
        }
        levels.push(access);
    }
    for level in ["public", "member", "session", "queues:read"] {
        assert!(levels.iter().any(|access| access == level), "{level}");
    }
}

#[tokio::test]
async fn a_lost_role_is_not_kept_by_a_token() {
    // A token names an account, never a role: what it may do is looked up at each request.
    let Some(market) = market() else { return };
    let token = market.admin().await.token.unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert!(claims.get("role").is_none() && claims.get("scope").is_none());
}
