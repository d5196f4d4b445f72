//! Requests that are wrong in ways that have nothing to do with what they ask for. (That each error is a problem document
//! with the request's id is checked on every answer of this suite.)

use reqwest::Method;
use serde_json::json;
use souk_tests::client::market;

use crate::path_of;

#[tokio::test]
async fn what_is_not_there_is_404() {
    let Some(market) = market() else { return };
    let (anyone, member) = (market.anonymous(), market.member().await);
    let long = format!("/v1/products/{}", "x".repeat(3000));
    for path in [
        "/v1",
        "/v1/",
        "/v3/products",
        "/v1/products/",
        "/v1/products/a/b",
        "/v1/Products",
        "//v1/products",
        "/v1//products",
        "/index.html",
        "/.env",
        "/docs/",
        "/docs/docs.html",
        "/docs/..%2fdocs.css",
        "/v1/products/none",
        "/v1/products/prd_0123456789abcdef0123456789abcdef",
        "/v1/products/acc_0123456789abcdef0123456789abcdef",
        "/v1/products/%00",
        "/v1/products/a%00b",
        "/v1/products/%20",
        "/v1/products/%27%20OR%201%3D1--",
        "/v1/products/..%2f..%2fetc%2fpasswd",
        "/v1/products/%F0%9F%92%A1",
        "/v1/products/%E2%80%AE",
        "/v1/products/%25",
        "/v1/products/account%2F",
        "/v1/categories/%2A",
        "/v1/vendors/none",
        "/v1/accounts/none",
        "/v1/accounts/%0d%0aset-cookie:%20a=b",
        &long,
    ] {
        for client in [&anyone, &member] {
            client.get(path).await.expect(404);
        }
    }
    for path in [
        "/v1/products/%FF",
        "/v1/categories/%C3%28",
        "/v1/vendors/%ED%A0%80",
        "/v1/accounts/%80",
    ] {
        // Not UTF-8; a gateway may have mended it.
        let reply = anyone.get(path).await;
        assert!(matches!(reply.status, 400 | 404), "{path}: {}", reply.body);
    }
    // The path is not there, whatever else is wrong.
    member.post("/v1/nothing", json!({})).await.expect(404);
    member
        .patch("/v1/products/none", json!({ "title": "A" }))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_405_and_says_which_it_knows() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    for (path, allowed) in [
        ("/v1/products", vec!["GET", "HEAD", "POST"]),
        ("/v1/products/none", vec!["DELETE", "GET", "HEAD", "PATCH"]),
        ("/v1/products/none/publish", vec!["POST"]),
        ("/v1/sessions", vec!["POST"]),
        ("/v1/sessions/current", vec!["DELETE"]),
        ("/v1/me", vec!["GET", "HEAD", "PATCH"]),
        ("/healthz", vec!["GET", "HEAD"]),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if !allowed.contains(&method) {
                let reply = member.call(method.parse().unwrap(), path).await.expect(405);
                let mut said: Vec<_> = reply.header("allow").split(',').map(str::trim).collect();
                said.sort_unstable();
                assert_eq!(said, allowed, "{method} {path}");
                assert_eq!(reply["code"], "method_not_allowed");
            }
        }
    }
}

#[tokio::test]
async fn a_body_must_be_json_and_say_so() {
    let Some(market) = market() else { return };
    let member = market.member().await;
    let draft = member.draft(&market.category(json!([])).await, json!({})).await;
    let (post, patch) = (
        (Method::POST, "/v1/products".to_owned()),
        (Method::PATCH, path_of(&draft)),
    );
    for (method, path) in [&post, &patch] {
        let send = |kind: &str, body: &[u8]| member.call(method.clone(), path).body(kind, body.to_vec());
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
            "json",
            "",
            "application/jsonx",
        ] {
            send(kind, br#"{"title":"A"}"#).await.names(415, &["Content-Type"]);
        }
        for encoding in ["gzip", "br", "x", "gzip, identity"] {
            let call = send("application/json", br#"{"title":"A"}"#).header("content-encoding", encoding);
            let reply = call.await;
            reply.names(415, &["Content-Encoding"]);
        }
        for body in [
            "{",
            "nul",
            "'title'",
            "{\"title\":}",
            "{\"title\":\"A\",}",
            "{\"title\":\"A\"} x",
            "\u{feff}{}",
            "{\"title\":\"\\ud800\"}",
            "{\"title\":\"a\nb\"}",
            "{\"price\":{\"amount\":1e999}}",
            "{\"price\":{\"amount\":NaN}}",
            "[[[",
            "\u{0}",
        ] {
            let reply = send("application/json", body.as_bytes()).await.expect(400);
            assert_eq!(reply["code"], "bad_request", "{body}");
        }
        for body in [
            &b"\xff\xfe{\x00}\x00"[..],
            b"{\"title\":\"\xff\"}",
            b"{\"title\":\"\xed\xa0\x80\"}",
        ] {
            // Not UTF-8; a gateway may have mended it.
            let reply = send("application/json", body).await;
            assert!(matches!(reply.status, 200 | 400 | 422), "{}", reply.body);
        }
        member.call(method.clone(), path).await.expect(400);
        send("application/json", b"").await.expect(400);
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(200), close.repeat(200));
            send("application/json", deep.as_bytes()).await.expect(400);
            let deep = format!("{{\"attributes\":{}1{}}}", open.repeat(200), close.repeat(200));
            send("application/json", deep.as_bytes()).await.expect(400);
        }
    }
    let create = |kind: &str| member.call(Method::POST, "/v1/products").body(kind, "[]");
    create("application/merge-patch+json").await.expect(415);
    for kind in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json;x=y",
    ] {
        create(kind).await.expect(422);
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_any_work() {
    let Some(market) = market() else { return };
    let (anyone, member) = (market.anonymous(), market.member().await);
    let padded = |size: usize| format!("{{\"description\":\"{}\"}}", "x".repeat(size));
    for size in [128 * 1024, 256 * 1024, 300 * 1024, 1024 * 1024] {
        for client in [&anyone, &member] {
            let reply = client
                .call(Method::POST, "/v1/products")
                .body("application/json", padded(size))
                .await
                .expect(413);
            assert_eq!(reply["code"], "body_too_large", "{size}");
        }
    }
    // Within the limit it is read, and then refused for what it says.
    member
        .call(Method::POST, "/v1/products")
        .body("application/json", padded(128 * 1024 - 100))
        .await
        .names(422, &["title", "description", "category", "price"]);
    anyone
        .call(Method::POST, "/v1/sessions")
        .body("application/json", padded(16 * 1024))
        .await
        .expect(413);
    // Where no body is taken, a small one is ignored: clients send `{}` with every POST.
    member
        .call(Method::POST, "/v1/products/none/publish")
        .json(&json!({}))
        .await
        .expect(404);
    for (method, path) in [
        (Method::DELETE, "/v1/sessions/current"),
        (Method::POST, "/v1/products/none/publish"),
        (Method::POST, "/v1/products/none/sold"),
    ] {
        assert_eq!(
            member
                .call(method, path)
                .body("application/json", padded(2048))
                .await
                .expect(413)["code"],
            "body_too_large",
            "{path}"
        );
    }
    let tag = "x".repeat(4096);
    for path in [
        format!("/v1/products?tag={tag}"),
        format!("/v1/products/{tag}"),
        format!("/{tag}"),
    ] {
        assert_eq!(anyone.get(&path).await.expect(414)["code"], "url_too_long");
    }
    let header = "x".repeat(8 * 1024);
    assert_eq!(
        anyone.get("/v1/products").header("x-long", &header).await.expect(431)["code"],
        "headers_too_large"
    );
    // The longest that is allowed does no harm either, wherever it ends up.
    let longest = "y".repeat(4000);
    anyone
        .get(&format!("/v1/products?tag={longest}"))
        .await
        .names(400, &["tag"]);
    for name in ["category", "author", "vendor"] {
        anyone
            .get(&format!("/v1/products?{name}={longest}"))
            .await
            .names(422, &[name]);
    }
    for name in ["cursor", "sort", "status", "limit", "fields", "include", "attr.x"] {
        anyone.get(&format!("/v1/products?{name}={longest}")).await.expect(400);
    }
    anyone.get(&format!("/v1/products?{longest}=1")).await.expect(400);
    member
        .patch(&format!("/v1/products/{longest}"), json!({}))
        .await
        .expect(404);
}
