//! Sessions with a cookie, and pages of other sites.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, Market, Reply, market, unique};

use crate::{path_of_nobody, text};

/// The cookie of a new session of somebody, as a browser sends it.
async fn cookie(market: &Market, member: &Client) -> String {
    let credentials = json!({ "username": member.me["username"], "password": member.password });
    let call = market.anonymous().post("/v1/sessions/cookie", credentials);
    let reply = call.header("sec-fetch-site", "same-origin").await.expect(201);
    assert!(
        !reply.body.contains("token") && reply["device"].is_string(),
        "{}",
        reply.body
    );
    let (set, attributes) = reply.header("set-cookie").split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000");
    assert!(set.starts_with("__Host-souk="));
    set.to_owned()
}

async fn send(
    market: &Market,
    method: Method,
    path: &str,
    cookie: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Reply {
    let mut call = market.anonymous().call(method, path).header("cookie", cookie);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    match body {
        Some(body) => call.json(body).await,
        None => call.await,
    }
}

const SAME: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];

#[tokio::test]
async fn a_page_of_this_origin_acts_with_a_cookie() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let cookie = cookie(&market, &member).await;
    // Other cookies are of other applications.
    let cookies = format!("theme=dark; {cookie}; __Host-souk2=x");
    let me = send(&market, Method::GET, "/v1/me", &cookies, &[], None)
        .await
        .expect(200);
    assert_eq!(me["id"], member.me["id"]);
    let shop = json!({ "name": unique("Shop") });
    let made = send(&market, Method::POST, "/v1/vendors", &cookies, SAME, Some(&shop))
        .await
        .expect(201);
    assert_eq!(made["owner"], member.me["id"]);
    let sessions = send(&market, Method::GET, "/v1/me/sessions", &cookies, &[], None)
        .await
        .expect(200);
    assert_eq!(
        sessions
            .items()
            .iter()
            .filter(|session| session["current"] == true)
            .count(),
        1
    );

    let out = send(&market, Method::DELETE, "/v1/sessions/current", &cookies, SAME, None)
        .await
        .expect(204);
    assert!(out.header("set-cookie").starts_with("__Host-souk=; ") && out.header("set-cookie").ends_with("Max-Age=0"));
    send(&market, Method::GET, "/v1/me", &cookies, &[], None)
        .await
        .fails(401, "session_ended");
    // It stays in the browser for a while, and is nobody's then.
    send(&market, Method::GET, "/v1/products", &cookies, &[], None)
        .await
        .expect(200);
    for forged in [
        "__Host-souk=",
        "__Host-souk=x",
        "__Host-souk=a.b.c",
        &cookie[..cookie.len() - 1],
    ] {
        send(&market, Method::GET, "/v1/me", forged, &[], None)
            .await
            .expect(401);
    }
}

#[tokio::test]
async fn a_cookie_is_set_for_pages_of_this_origin_only() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let credentials = json!({ "username": member.me["username"], "password": member.password });
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "ftp://127.0.0.1")],
    ] {
        let mut call = market.anonymous().post("/v1/sessions/cookie", credentials.clone());
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let reply = call.await.fails(403, "cross_site");
        assert_eq!(reply.header("set-cookie"), "");
    }
    // A browser that does not say from where, but says the origin.
    let url = std::env::var("SOUK_URL").unwrap();
    let call = market.anonymous().post("/v1/sessions/cookie", credentials.clone());
    let reply = call.header("origin", url.trim_end_matches('/')).await;
    // An emulated API Gateway knows its API by another name.
    let is_renamed = std::env::var("SOUK_TEST_HOST_HEADER").is_ok() && reply.json["code"] == "cross_site";
    assert!(reply.status == 201 || is_renamed, "{}", reply.body);
}

/// Every operation that may change something, with the cookie of an admin, from everywhere but a page of this origin.
#[tokio::test]
async fn other_sites_change_nothing_with_a_cookie() {
    let Some(market) = market() else { return };
    let cookie = cookie(&market, &market.admin().await).await;
    let document = market.anonymous().get("/openapi.json").await.expect(200).json;
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if method == "get" || operation["security"] == json!([]) {
                continue;
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path_of_nobody(path);
            for headers in [
                &[][..],
                &[("sec-fetch-site", "cross-site")],
                &[("sec-fetch-site", "same-site")],
                &[("sec-fetch-site", "none")],
                &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
                &[("origin", "null")],
                &[("origin", "https://evil.example")],
                &[("sec-fetch-site", "same-site"), ("content-type", "text/plain")],
                &[("content-type", "application/x-www-form-urlencoded")],
            ] {
                let mut call = market.anonymous().call(method.clone(), &path).header("cookie", &cookie);
                for (name, value) in headers {
                    call = call.header(name, value);
                }
                let call = match headers.iter().any(|(name, _)| *name == "content-type") {
                    true => call.body(headers.last().unwrap().1, "{}"),
                    false => call.json(&json!({})),
                };
                let reply = call.await;
                let what = format!("{method} {path} {headers:?} {}", reply.body);
                assert_eq!((reply.status, text(&reply.json, "code")), (403, "cross_site"), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
}
