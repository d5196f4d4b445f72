//! What operators and tools rely on: health, the API's description, the names of requests.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use souk_tests::client::market;

#[tokio::test]
async fn a_healthy_host_says_so() {
    let Some(market) = market() else { return };
    for path in ["/healthz", "/readyz"] {
        let reply = market.anonymous().get(path).await.expect(200);
        assert_eq!(
            (&reply.json, reply.header("cache-control")),
            (&json!({ "status": "ok" }), "no-store"),
            "{path}"
        );
        // A probe that brings a credential, even a bad one, learns the same.
        market.with_token("forged").get(path).await.expect(200);
    }
}

/// Every `$ref` below a value.
fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| references(value, into));
        }
        Value::Array(all) => all.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_of_the_api_is_whole() {
    let Some(market) = market() else { return };
    let openapi = market.anonymous().get("/openapi.json").await.expect(200).json;
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut used = BTreeSet::new();
    references(&openapi, &mut used);
    for reference in &used {
        assert!(
            openapi.pointer(reference.strip_prefix('#').unwrap()).is_some(),
            "{reference} leads nowhere"
        );
    }
    let mut names = BTreeSet::new();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(
                names.insert(operation["operationId"].as_str().unwrap()),
                "{what}: two of one name"
            );
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what}");
            assert_eq!(
                responses.contains_key("401"),
                operation["x-access"] != "public" || responses.contains_key("401"),
                "{what}"
            );
            assert_eq!(
                operation.get("requestBody").is_some(),
                responses.contains_key("415"),
                "{what}"
            );
            let parameter = |name: &str| {
                operation["parameters"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|parameter| parameter["name"] == name)
            };
            assert_eq!(parameter("Idempotency-Key"), method == "post", "{what}");
            assert_eq!(parameter("id"), path.contains("{id}"), "{what}");
        }
    }
    for path in [
        "/v1/products",
        "/v1/products/{id}/publish",
        "/v1/categories/{id}",
        "/v1/vendors",
        "/v1/accounts",
        "/v1/sessions/refresh",
        "/v1/me",
    ] {
        assert!(openapi["paths"].get(path).is_some(), "{path}");
    }
}

#[tokio::test]
async fn a_request_keeps_the_name_that_the_client_gave_it() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    let ask = async |id: &str| anyone.get("/none").header("x-request-id", id).await.expect(404);
    for id in [
        "a",
        "req-1_2.3",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        &"x".repeat(100),
    ] {
        let reply = ask(id).await;
        assert_eq!((reply.header("x-request-id"), reply.text("request_id")), (id, id));
    }
    let mut own = BTreeSet::new();
    for id in [
        "",
        "a b",
        "a\tb",
        "<script>",
        "{\"a\":1}",
        "a,b",
        "ключ",
        "../x",
        "%0a",
        &"x".repeat(101),
    ] {
        let named = ask(id).await.header("x-request-id").to_owned();
        assert!(
            named.starts_with("req_") && own.insert(named.clone()),
            "{id:?}: {named}"
        );
    }
    assert!(anyone.get("/healthz").await.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn a_trace_goes_on_where_it_came_from() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let ask = async |parent: &str| {
        anyone
            .get("/healthz")
            .header("traceparent", parent)
            .await
            .expect(200)
            .header("traceparent")
            .to_owned()
    };
    for flags in ["01", "00"] {
        let parent = ask(&format!("00-{trace}-{span}-{flags}")).await;
        assert!(
            parent.starts_with(&format!("00-{trace}-")) && parent.ends_with(&format!("-{flags}")),
            "{parent}"
        );
        assert!(!parent.contains(span), "the span is ours");
    }
    let mut own = BTreeSet::new();
    for bad in [
        "",
        "00",
        "x",
        &format!("ff-{trace}-{span}-01"),
        &format!("00-{trace}-{span}"),
        &format!("00-{trace}-{span}-01-extra"),
        &format!("00-{}-{span}-01", "0".repeat(32)),
        &format!("00-{trace}-{}-01", "0".repeat(16)),
        &format!("00-{}-{span}-01", trace.to_uppercase()),
        &format!("00-{}-{span}-01", &trace[1..]),
        &format!("00-{trace}-{span}-0g"),
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
    ] {
        let parent = ask(bad).await;
        assert!(!parent.contains(&trace[1..]), "{bad}: {parent}");
        assert!(own.insert(parent), "every trace is a new one");
    }
}
