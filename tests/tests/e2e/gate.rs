//! The gate: operators switch operations, change limits and caching, and change requests and answers, while the market runs; and
//! version 2 beside version 1.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, eventually, market, product, unique};

use crate::text;

/// Sets something about requests.
async fn set(operator: &Client, patch: Value) -> Value {
    // Other tests set other things at the same time.
    operator.patch("/v1/gate", patch).await.expect(200).json
}

/// Waits until a request is answered with this status: every instance knows what is set within seconds.
async fn becomes(status: u16, ask: impl AsyncFn() -> souk_tests::client::Reply) -> souk_tests::client::Reply {
    eventually(async || {
        let reply = ask().await;
        match reply.status == status {
            true => Ok(reply),
            false => Err(format!("{} {}", reply.status, reply.body)),
        }
    })
    .await
}

#[tokio::test]
async fn an_operation_is_switched_off_and_on() {
    let Some(market) = market() else { return };
    let operator = market.admin().await;
    operator.get("/v1/registry").await.expect(200);
    set(
        &operator,
        json!({ "routes": { "listFunctions": { "enabled": false, "reason": "It rests" } } }),
    )
    .await;
    let refused = becomes(503, async || operator.get("/v1/registry").await).await;
    assert_eq!(
        (refused.text("code"), refused.text("detail")),
        ("route_disabled", "It rests")
    );
    assert_eq!(refused.header("retry-after"), "60");
    // Whoever may not call it hears nothing of that.
    market.anonymous().get("/v1/gate").await.expect(401);
    set(&operator, json!({ "routes": { "listFunctions": null } })).await;
    becomes(200, async || operator.get("/v1/registry").await).await;
}

#[tokio::test]
async fn what_could_not_be_undone_or_does_not_exist_is_refused() {
    let Some(market) = market() else { return };
    let (operator, member) = (market.admin().await, market.member().await);
    for id in [
        "checkLiveness",
        "checkReadiness",
        "getGate",
        "refreshSession",
        "signIn",
        "updateGate",
    ] {
        let patch = json!({ "routes": { id: { "enabled": false } } });
        let reply = operator.patch("/v1/gate", patch).await.expect(422);
        assert!(reply.body.contains("cannot be switched off"), "{}", reply.body);
    }
    for (patch, field) in [
        (
            json!({ "routes": { "noSuchOperation": { "enabled": false } } }),
            "routes.noSuchOperation",
        ),
        (
            json!({ "limits": { "no-such-limit": { "mode": "off" } } }),
            "limits.no-such-limit",
        ),
        (
            json!({ "limits": { "writes": { "units": 0 } } }),
            "limits[writes].units",
        ),
        (
            json!({ "limits": { "writes": { "mode": "loud" } } }),
            "limits.writes.mode",
        ),
    ] {
        let reply = operator.patch("/v1/gate", patch.clone()).await.expect(422);
        let named: Vec<&str> = reply.errors().collect();
        let normal = |name: &str| name.replace(['[', ']'], ".").replace("..", ".");
        assert!(
            named.iter().any(|name| normal(name) == normal(field)),
            "{patch}: {named:?}"
        );
    }
    member.get("/v1/gate").await.expect(403);
    member.patch("/v1/gate", json!({})).await.expect(403);
    let gate = operator.get("/v1/gate").await.expect(200);
    let stale = operator
        .patch("/v1/gate", json!({ "limits": {} }))
        .header("if-match", "\"v999999-0\"")
        .await;
    assert_eq!(stale.status, if gate.header("etag").is_empty() { 200 } else { 412 });
}

#[tokio::test]
async fn a_limit_is_changed_and_put_into_shadow_alone() {
    let Some(market) = market() else { return };
    let operator = market.admin().await;
    let anyone = market.anonymous();
    // It names no click, which is found out after it was counted.
    let ask = async || anyone.post("/v1/search/clicks", json!({})).await;
    let header = async |expected: &str| {
        eventually(async || {
            let reply = ask().await;
            let policy = reply.header("ratelimit-policy").to_owned();
            match policy.contains(expected) {
                true => Ok(reply),
                false => Err(policy),
            }
        })
        .await
    };
    set(&operator, json!({ "limits": { "clicks": { "units": 5 } } })).await;
    header("\"clicks\";q=5;").await;
    becomes(429, ask).await;
    set(
        &operator,
        json!({ "limits": { "clicks": { "units": 5, "mode": "shadow" } } }),
    )
    .await;
    // What is in shadow counts and shows, and refuses nothing. Each instance knows it in its own time.
    eventually(async || {
        let reply = ask().await;
        let is_shown = reply.header("ratelimit").contains("\"clicks\";r=0;");
        match reply.status == 422 && is_shown {
            true => Ok(()),
            false => Err(format!("{} {}", reply.status, reply.header("ratelimit"))),
        }
    })
    .await;
    set(&operator, json!({ "limits": { "clicks": { "mode": "off" } } })).await;
    eventually(async || match ask().await.header("ratelimit").contains("clicks") {
        true => Err("it is counted".to_owned()),
        false => Ok(()),
    })
    .await;
    set(&operator, json!({ "limits": { "clicks": null } })).await;
}

#[tokio::test]
async fn caching_is_changed_while_the_market_runs() {
    let Some(market) = market() else { return };
    let operator = market.admin().await;
    let ask = async |expected: &str| {
        eventually(async || {
            let path = format!("/v1/events/catalog?{}", "");
            let reply = market.anonymous().get(path.trim_end_matches('?')).await.expect(200);
            let cache = reply.header("cache-control").to_owned();
            match cache.contains(expected) {
                true => Ok(()),
                false => Err(cache),
            }
        })
        .await;
    };
    let before = market
        .anonymous()
        .get("/v1/events/catalog")
        .await
        .expect(200)
        .header("cache-control")
        .to_owned();
    set(
        &operator,
        json!({ "routes": { "listEventTypes": { "cache": { "fresh_seconds": 7, "stale_seconds": 11 } } } }),
    )
    .await;
    if before.contains("s-maxage") {
        ask("s-maxage=7, stale-while-revalidate=11").await;
        set(
            &operator,
            json!({ "routes": { "listEventTypes": { "cache": { "fresh_seconds": 0 } } } }),
        )
        .await;
        ask("no-store").await;
    }
    set(&operator, json!({ "routes": { "listEventTypes": null } })).await;
    ask(&before).await;
}

#[tokio::test]
async fn a_rule_changes_requests_and_answers_of_some_clients() {
    let Some(market) = market() else { return };
    let operator = market.admin().await;
    let seller = market.member().await;
    let agent = unique("OldApp/1");
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let shown = format!("/v1/vendors/{}", text(&shop, "id"));
    let client = json!({ "header": "x-app", "begins": agent });
    let rules = json!([{
        "name": "The old app sends texts", "path": "/v1/vendors", "methods": ["POST"], "client": client,
        "request": { "rename": { "text": "description" } },
        "response": { "rename": { "description": "text" } },
    }, {
        "name": "The old app shows texts", "path": shown, "client": client,
        "response": { "rename": { "description": "text" }, "set_headers": { "x-served-by": "the gate" } },
    }, {
        "name": "Nothing is said of the registry", "path": "/v1/registry", "response": { "set_headers": { "x-registry": "yes" } },
    }]);
    let deprecations = json!([{
        "path": "/v1/registry", "deprecated_at": "2026-12-01T00:00:00Z", "sunset_at": "2028-12-01T00:00:00Z",
        "successor": "/v2/registry",
    }]);
    set(&operator, json!({ "rules": rules, "deprecations": deprecations })).await;
    let reply = eventually(async || {
        let reply = operator.get("/v1/registry").await;
        // Another test may have switched it off, a moment ago.
        match (reply.status, reply.header("x-registry")) {
            (200, "yes") => Ok(reply),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    for (name, value) in [
        ("deprecation", "@1796083200"),
        ("sunset", "Fri, 01 Dec 2028 00:00:00 GMT"),
        ("link", "</v2/registry>; rel=\"successor-version\""),
    ] {
        assert_eq!(reply.header(name), value);
    }
    let new = json!({ "name": unique("Shop"), "text": "Lamps of brass" });
    let made = becomes(201, async || {
        seller.post("/v1/vendors", new.clone()).header("x-app", &agent).await
    })
    .await;
    assert_eq!(
        (&made["text"], &made["description"]),
        (&json!("Lamps of brass"), &Value::Null)
    );
    let path = format!("/v1/vendors/{}", made.text("id"));
    let other = seller.get(&path).await.expect(200);
    assert_eq!(
        (&other["description"], &other["text"]),
        (&json!("Lamps of brass"), &Value::Null)
    );
    // Clients get different answers at the same address, so no shared cache may have any of them.
    let anonymous = market.anonymous();
    let mine = eventually(async || {
        let reply = anonymous.get(&shown).header("x-app", &agent).await;
        match reply.header("x-served-by") {
            "" => Err("not by the gate".to_owned()),
            _ => Ok(reply),
        }
    })
    .await;
    let theirs = eventually(async || {
        let reply = anonymous.get(&shown).await.expect(200);
        match reply.header("cache-control").starts_with("private") {
            true => Ok(reply),
            false => Err(reply.header("cache-control").to_owned()),
        }
    })
    .await;
    assert!(mine.header("cache-control").starts_with("private"));
    assert_eq!(
        (mine.json.get("text"), mine.json.get("description")),
        (Some(&json!("")), None)
    );
    assert_eq!(theirs["description"], "");
    assert!(theirs.header("vary").contains("x-app"), "{}", theirs.header("vary"));
    seller.post("/v1/vendors", new).await.names(422, &["text"]);
    set(&operator, json!({ "rules": [], "deprecations": [] })).await;
}

#[tokio::test]
async fn version_2_names_references_once_and_for_all() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let mut new = product(&category, json!({ "vendor_id": vendor["id"], "category_id": category }));
    new.as_object_mut().unwrap().remove("category");
    let made = seller.post("/v2/products", new.clone()).await.expect(201);
    let id = made.text("id");
    assert_eq!(made.header("location"), format!("/v2/products/{id}"));
    let ids = [
        ("category", json!(category)),
        ("vendor", vendor["id"].clone()),
        ("author", seller.me["id"].clone()),
    ];
    for (field, value) in &ids {
        assert_eq!(&made[&*format!("{field}_id")], value);
        assert!(made.json.get(*field).is_none(), "{}", made.body);
    }
    seller.act(&format!("/v2/products/{id}/publish")).await.expect(200);
    // Both versions are there, and are the same product.
    let first = seller
        .get(&format!("/v1/products/{id}?include=vendor"))
        .await
        .expect(200);
    let second = seller
        .get(&format!("/v2/products/{id}?include=vendor"))
        .await
        .expect(200);
    assert_eq!(
        (&first["vendor"]["id"], &first["category"]),
        (&vendor["id"], &json!(category))
    );
    assert_eq!(
        (&second["vendor_id"], &second["vendor"]["name"]),
        (&vendor["id"], &vendor["name"])
    );
    assert_eq!(
        (&second["category_id"], second.json.get("category")),
        (&json!(category), None)
    );
    for path in [
        format!("/v2/products?category={category}"),
        format!("/v2/products?category={category}&fields=id,category_id"),
        format!("/v2/products?ids={id}"),
    ] {
        let list = market.anonymous().get(&path).await.expect(200);
        assert_eq!(
            (list.items().len(), &list.items()[0]["category_id"]),
            (1, &json!(category)),
            "{path}"
        );
    }
    // Whoever asks for a reference and for no id gets it by its name in this version, and no id.
    let list = format!("/v2/products?ids={id}&fields=title,category_id");
    let list = market.anonymous().get(&list).await.expect(200);
    assert_eq!(
        list.items(),
        [json!({ "title": made["title"], "category_id": category })]
    );
    let hits = market
        .anonymous()
        .until(&format!("/v2/search?category={category}"), |found| found["total"] == 1)
        .await;
    assert_eq!(hits["items"][0]["vendor_id"], vendor["id"], "{hits}");
    // What version 1 knows is unknown here, and errors name fields as this version does.
    seller
        .post("/v2/products", product(&category, json!({})))
        .await
        .names(422, &["category"]);
    new["category_id"] = json!("cat_none");
    seller.post("/v2/products", new).await.names(422, &["category_id"]);
    let patch = json!({ "vendor_id": null });
    let changed = seller.patch(&format!("/v2/products/{id}"), patch).await.expect(200);
    assert_eq!(changed["vendor_id"], Value::Null);
    let tag = changed.header("etag").to_owned();
    let again = seller
        .get(&format!("/v2/products/{id}"))
        .header("if-none-match", &tag)
        .await;
    assert!([200, 304].contains(&again.status));
    seller
        .call(Method::HEAD, &format!("/v2/products/{id}"))
        .await
        .expect(200);
    market.anonymous().get("/v2/no-such-path").await.expect(404);
    market.anonymous().get("/v3/products").await.expect(404);
}
