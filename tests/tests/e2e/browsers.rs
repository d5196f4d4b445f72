//! What browsers ask for: CORS by allow-list, and the documentation page.

use reqwest::Method;
use serde_json::json;
use souk_tests::client::market;

/// The origin that the host was started with as `SOUK_CORS_ORIGINS`.
fn listed() -> String {
    std::env::var("SOUK_TEST_ORIGIN").unwrap_or_else(|_| "https://shop.example".into())
}

const STRANGERS: [&str; 7] = [
    "https://evil.example",
    "null",
    "https://shop.example.evil.example",
    "https://evilshop.example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://SHOP.example",
];

#[tokio::test]
async fn pages_of_listed_origins_may_read_answers() {
    let Some(market) = market() else { return };
    let (anyone, member) = (market.anonymous(), market.member().await);
    let listed = listed();
    for (client, path) in [
        (&anyone, "/v1/products?limit=1"),
        (&member, "/v1/me"),
        (&anyone, "/v1/me"),
        (&anyone, "/none"),
        (&anyone, "/v1/products?x=1"),
    ] {
        let reply = client.get(path).header("origin", &listed).await;
        assert_eq!(reply.header("access-control-allow-origin"), listed, "{path}");
        let exposed = reply.header("access-control-expose-headers");
        for name in ["etag", "location", "retry-after", "x-request-id"] {
            assert!(exposed.contains(name), "{exposed}");
        }
        // Tokens are sent on purpose, never by the browser on its own.
        assert!(reply.header("access-control-allow-credentials").is_empty());
        for origin in STRANGERS.into_iter().chain([""]).filter(|origin| *origin != listed) {
            let reply = client.get(path).header("origin", origin).await;
            assert!(
                !reply
                    .headers
                    .keys()
                    .any(|name| name.as_str().starts_with("access-control-")),
                "{path} {origin}"
            );
        }
    }
}

#[tokio::test]
async fn a_preflight_says_what_listed_origins_may_send() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    let ask = |path: &str, origin: &str| {
        anyone
            .call(Method::OPTIONS, path)
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,content-type,if-match")
    };
    for path in [
        "/v1/products",
        "/v1/products/x/publish",
        "/v1/me",
        "/v1/sessions/current",
        "/none",
    ] {
        let reply = ask(path, &listed()).await.expect(204);
        assert_eq!(reply.header("access-control-allow-origin"), listed());
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            assert!(reply.header("access-control-allow-methods").contains(method));
        }
        for name in [
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-none-match",
        ] {
            assert!(reply.header("access-control-allow-headers").contains(name));
        }
        assert!(reply.header("access-control-max-age").parse::<u32>().unwrap() > 0);
        for origin in STRANGERS {
            let reply = ask(path, origin).await.expect(204);
            assert!(
                !reply
                    .headers
                    .keys()
                    .any(|name| name.as_str().starts_with("access-control-")),
                "{path} {origin}"
            );
        }
    }
    // Without what makes it one it is no preflight.
    anyone
        .call(Method::OPTIONS, "/v1/products")
        .header("origin", listed())
        .await
        .expect(405);
}

#[tokio::test]
async fn the_documentation_page_is_complete_and_needs_nothing_from_elsewhere() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    let page = anyone.get("/docs").await.expect(200);
    for (path, kind) in [
        ("/", "text/html"),
        ("/docs", "text/html"),
        ("/docs/docs.css", "text/css"),
        ("/docs/docs.js", "text/javascript"),
    ] {
        let file = anyone.get(path).await.expect(200);
        assert!(file.header("content-type").starts_with(kind), "{path}");
        assert!(path == "/docs" || page.body.contains(path), "the page uses {path}");
        assert!(file.body.len() > 1000);
    }
    // The modules of the script, and those that they use.
    let mut modules = vec!["docs.js".to_owned()];
    let mut at = 0;
    while let Some(module) = modules.get(at).cloned() {
        let script = anyone.get(&format!("/docs/{module}")).await.expect(200).body;
        for used in script
            .split("from \"")
            .skip(1)
            .filter_map(|rest| rest.strip_prefix("./")?.split('"').next())
        {
            if !modules.iter().any(|known| known == used) {
                modules.push(used.to_owned());
            }
        }
        at += 1;
    }
    assert!(modules.len() > 4, "{modules:?}");
    let guides: Vec<_> = page
        .body
        .split("href=\"")
        .filter(|link| link.starts_with("/docs/guides/"))
        .collect();
    assert!(guides.len() >= 10);
    for link in guides {
        let path = link.split('"').next().unwrap();
        assert_eq!(anyone.get(path).await.expect(200).body, page.body, "{path}");
        let text = anyone.get(&format!("{path}.md")).await.expect(200);
        assert!(text.header("content-type").starts_with("text/markdown"));
        assert!(text.body.starts_with("# "), "{path} has no title");
    }
    let welcome = anyone.get("/").await.expect(200);
    for link in ["/docs", "/docs/docs.css", "/openapi.json", "/v1/products", "/readyz"] {
        assert!(welcome.body.contains(&format!("href=\"{link}\"")), "no link to {link}");
        anyone.get(link).await.expect(200);
    }
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for source in ["src=\"", "href=\""] {
        for (at, _) in page.body.match_indices(source) {
            let target = page.body[at + source.len()..].split('"').next().unwrap();
            assert!(
                ["/", "#", "data:image/"].iter().any(|start| target.starts_with(start)) && !target.starts_with("//"),
                "{target}"
            );
        }
    }
    // The policy for data is stricter.
    let data = anyone.get("/v1/products?limit=1").await.expect(200);
    assert!(!data.header("content-security-policy").contains("'self'"));
    assert_eq!(
        anyone.post("/docs", json!({})).await.expect(405).header("allow"),
        "GET,HEAD"
    );
}
