//! The function over an index that is as simple as it can be: what it asks of an index, tells it, and makes of its answers.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod world;

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};
use souk_core::queue::Outcome;
use souk_core::search::{Field, Sort, Tuning};

use world::{CATEGORY_ID, VENDOR_ID, World};

fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| error["field"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_index_follows_the_products() {
    let world = World::new().await;
    let more = json!({
        "description": "For oil.", "tags": ["Brass"], "vendor": "shop", "condition": "like_new",
        "attributes": { "size": 12.0, "note": "heavy" }, "location": { "latitude": 1.5, "longitude": 2.5 },
    });
    let id = world.publish("Oil lamp", more).await;
    world.publish("Table lamp", json!({})).await;
    // Every message twice, the last first.
    let mut messages = world.take();
    messages.reverse();
    world.deliver([messages.clone(), messages].concat()).await;
    world.drain().await;
    let listing = world.index.state().live[&id].clone();
    assert_eq!((listing.version, listing.votes, listing.price), (2, 0, 1999));
    assert_eq!(listing.place, Some((1.5, 2.5)));
    let author = world
        .cx()
        .get(souk_model::catalog::PRODUCT.key(&id))
        .await
        .unwrap()
        .unwrap();
    let author: String = author.field("author").unwrap();
    let facets: Vec<String> = listing
        .facets
        .iter()
        .map(|f| format!("{}={} {}", f.field, f.value, f.label))
        .collect();
    assert_eq!(
        facets,
        [
            format!("category={CATEGORY_ID} Lamps"),
            format!("vendor={VENDOR_ID} Shop"),
            "tag=brass brass".into(),
            "condition=like_new Like new".into(),
            format!("id={id} "),
            format!("author={author} {author}"),
            "currency=EUR EUR".into(),
            "attr.note=heavy heavy".into(),
            "attr.size=12 12".into(),
        ]
    );
    let attributes = listing.texts.iter().filter(|(field, _)| *field == Field::Attributes);
    assert_eq!(
        attributes.map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
        ["heavy", "12"]
    );
    assert_eq!(world.titles("q=lamp").await.len(), 2);

    // A vote is no edit, and is seen.
    world
        .call(Method::PUT, &format!("/v1/products/{id}/upvote"), Value::Null)
        .await;
    world.drain().await;
    let voted = world.index.state().live[&id].clone();
    assert_eq!((voted.version, voted.votes, voted.rank), (2, 1, listing.rank + 172_800));

    // What was read before does not come back after.
    world
        .call(Method::PATCH, &format!("/v1/products/{id}"), json!({ "title": "Gone" }))
        .await;
    let late = world.take();
    world.act(&id, "archive").await;
    world.drain().await;
    world.deliver(late.clone()).await;
    assert_eq!(world.titles("").await, ["Table lamp"]);
    world
        .call(Method::DELETE, &format!("/v1/products/{id}"), Value::Null)
        .await;
    world.drain().await;
    world.deliver(late).await;
    assert_eq!(world.titles("").await, ["Table lamp"]);
}

#[tokio::test]
async fn a_new_name_reaches_every_product() {
    let world = World::new().await;
    for n in 0..7 {
        world.publish(&format!("Lamp {n}"), json!({})).await;
    }
    world.drain().await;
    world
        .call(Method::PATCH, "/v1/categories/lamps", json!({ "name": "Lights" }))
        .await;
    world.drain().await;
    assert_eq!(world.titles("q=lights&limit=100").await.len(), 7);
}

#[tokio::test]
async fn an_index_that_is_gone_costs_search_alone() {
    let world = World::new().await;
    world.publish("Lamp", json!({})).await;
    world.index.state().is_gone = true;
    for path in ["/v1/search?q=lamp", "/v1/search/suggest?q=lamp"] {
        let (status, problem) = world.get(path).await;
        assert_eq!((status, &problem["code"]), (503, &json!("search_unavailable")));
    }
    let messages = world.take();
    let attempts = |messages: &[souk_core::Message]| messages.iter().map(|m| m.attempts.len()).sum::<usize>();
    let outcomes = world.deliver(messages).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
    // They wait, and it costs them no attempt.
    let put_off = world.take();
    assert!(
        put_off.iter().any(|m| m.job == "search.index") && attempts(&put_off) == 0,
        "{put_off:?}"
    );
    world.index.state().is_gone = false;
    world.wait(30_000);
    world.deliver(put_off).await;
    assert_eq!(world.titles("q=lamp").await, ["Lamp"]);
    // What the index has is shown only after a look into the store.
    world.store.is_gone.store(true, Ordering::Relaxed);
    world.wait(30_000);
    assert_eq!(world.get("/v1/search?q=lamp").await.0, 503);
    world.store.is_gone.store(false, Ordering::Relaxed);
    world.wait(30_000);
    world.titles("q=lamp").await;
    let reads = world.store.reads.load(Ordering::Relaxed);
    for _ in 0..10 {
        world.wait(900);
        world.titles("q=lamp").await;
    }
    assert_eq!(
        world.store.reads.load(Ordering::Relaxed),
        reads + 10,
        "one batched read per page"
    );
}

#[tokio::test]
async fn a_product_is_not_shown_after_its_withdrawal_although_the_index_lags() {
    let world = World::new().await;
    let id = world.publish("Lamp", json!({})).await;
    world.drain().await;
    assert_eq!(world.titles("q=lamp").await, ["Lamp"]);
    world.act(&id, "archive").await;
    // No message has been delivered: the index still has it.
    assert_eq!(world.titles("q=lamp").await, [""; 0]);
    assert_eq!(world.titles("").await, [""; 0]);
}

#[tokio::test]
async fn an_index_is_lost_when_it_lacks_what_was_published_a_minute_ago() {
    let world = World::new().await;
    for n in 0..30 {
        world.publish(&format!("Lamp {n}"), json!({})).await;
    }
    // Not indexed yet is not lost.
    assert_eq!(world.titles("q=lamp").await, [""; 0]);
    world.wait(61_000);
    world.publish("Lamp", json!({})).await;
    assert_eq!(world.get("/v1/search?q=lamp&limit=3").await.0, 503);
}

#[tokio::test]
async fn parameters_become_a_query() {
    let world = World::new().await;
    let path = "q=%22oil%20lamp%22&category=lamps&vendor=shop&tag=Brass,old&condition=new,good&min_price=5&max_price=9&currency=EUR\
                &attr.size=5.0,7&near=-41.5,28&radius=500&sort=nearest&limit=7&facets=tag,attr.size,tag";
    world.titles(path).await;
    let query = world.index.state().asked[0].clone();
    assert_eq!(
        (query.text.as_str(), query.limit, query.sort),
        ("\"oil lamp\"", 7, Sort::Nearest)
    );
    assert_eq!((query.min_price, query.max_price), (Some(5), Some(9)));
    let near = query.near.unwrap();
    assert_eq!((near.latitude, near.longitude, near.radius), (-41.5, 28.0, 500.0));
    assert_eq!(query.facets, ["tag", "attr.size"]);
    let filters: Vec<String> = query
        .filters
        .iter()
        .map(|(field, of)| format!("{field}={}", of.join("|")))
        .collect();
    assert_eq!(
        filters,
        [
            "attr.size=5|7".to_owned(),
            format!("category={CATEGORY_ID}"),
            "condition=new|good".into(),
            "currency=EUR".into(),
            "tag=brass|old|brass,old".into(),
            format!("vendor={VENDOR_ID}"),
        ]
    );
    for (query, expected) in [
        ("color=red", &["color"][..]),
        ("q=", &["q"]),
        ("condition=old&sort=best", &["condition", "sort"]),
        ("tag=a,,b&attr.Size=1", &["tag", "attr.Size"]),
        ("min_price=-1&max_price=x", &["min_price", "max_price"]),
        ("min_price=2&max_price=1&currency=EUR", &["max_price"]),
        ("min_price=2", &["currency"]),
        ("currency=eur", &["currency"]),
        ("status=draft", &["status"]),
        ("sort=trending", &["sort"]),
        ("ids=prd_1&sort=newest&cursor=x", &["sort", "cursor"]),
        ("sku=1", &["vendor"]),
        ("attr.nothing=1", &["attr.nothing"]),
        ("attr.size=heavy", &["attr.size"]),
        ("attr.size=2..1", &["attr.size"]),
        ("include=color", &["include"]),
        ("fields=color", &["fields"]),
        ("near=91,0", &["near"]),
        ("near=1,1&radius=500001", &["radius"]),
        ("near=nan,1", &["near"]),
        ("radius=5", &["near"]),
        ("sort=nearest", &["near"]),
        ("attr.Size=1", &["attr.Size"]),
        ("attr.color=1&facets=tag,attr.maker", &["attr.color", "facets"]),
        ("facets=color", &["facets"]),
        ("limit=0", &["limit"]),
        ("cursor=x", &["cursor"]),
    ] {
        let (status, problem) = world.get(&format!("/v1/search?{query}")).await;
        assert_eq!((status, fields(&problem)), (400, expected.to_vec()), "{query}");
    }
    let long = format!("/v1/search?q={}", "x".repeat(201));
    assert_eq!(fields(&world.get(&long).await.1), ["q"]);
    let (status, problem) = world.get("/v1/search?category=lamps,none").await;
    assert_eq!((status, fields(&problem)), (422, vec!["category"]));
    assert_eq!(world.get("/v1/search/suggest").await.0, 400);
}

#[tokio::test]
async fn suggestions_lead_to_what_the_store_has() {
    let world = World::new().await;
    let id = world
        .publish("Oil lamp", json!({ "tags": ["brass"], "vendor": "shop" }))
        .await;
    world.drain().await;
    let suggestions = async || world.get("/v1/search/suggest?q=la").await.1["suggestions"].clone();
    let reads = world.store.reads.load(Ordering::Relaxed);
    let (query, tag) = (
        json!({ "kind": "query", "text": "la…" }),
        json!({ "kind": "query", "text": "brass" }),
    );
    let category = json!({ "kind": "category", "text": "Lamps", "slug": "lamps", "url": "/v1/categories/lamps" });
    let vendor = json!({ "kind": "vendor", "text": "Shop", "slug": "shop", "url": "/v1/vendors/shop" });
    let product = json!({ "kind": "product", "text": "Oil lamp", "slug": "oil-lamp", "url": "/v1/products/oil-lamp" });
    assert_eq!(suggestions().await, json!([query, category, vendor, tag, product]));
    assert_eq!(world.store.reads.load(Ordering::Relaxed), reads + 1);
    // No message has been delivered: the index still has the product.
    world.act(&id, "archive").await;
    assert_eq!(suggestions().await, json!([query, category, vendor, tag]));
}

#[tokio::test]
async fn a_page_has_products_highlights_facets_and_a_cursor() {
    let world = World::new().await;
    let more = json!({ "description": "An <i>oil</i> lamp & more.", "tags": ["a"] });
    world.publish("<script> lamp", more).await;
    world.wait(1000);
    world
        .publish(
            "A lamp",
            json!({ "tags": ["a", "b"], "price": { "amount": 250, "currency": "EUR" } }),
        )
        .await;
    world.drain().await;
    let (_, first) = world.get("/v1/search?q=lamp&limit=1&facets=tag").await;
    assert_eq!(first["items"][0]["title"], "A lamp");
    assert_eq!(first["items"][0]["version"], 2);
    assert_eq!(
        first["facets"]["tag"][0],
        json!({ "value": "a", "label": "a", "count": 2 })
    );
    let (_, page) = world.get("/v1/search?facets=category,attr.size,currency").await;
    assert_eq!(
        page["facets"],
        json!({
            "category": [{ "value": CATEGORY_ID, "slug": "lamps", "label": "Lamps", "count": 2 }],
            "attr.size": [],
            "currency": [{ "value": "EUR", "label": "EUR", "count": 2 }],
        })
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = world.get(&format!("/v1/search?q=lamp&limit=1&cursor={cursor}")).await;
    assert_eq!(
        second["items"][0]["highlights"],
        json!({
            "title": "&lt;script&gt; <mark>lamp</mark>",
            "description": "An &lt;i&gt;oil&lt;/i&gt; <mark>lamp</mark> &amp; more.",
        })
    );
    assert_eq!(
        (&second["next_cursor"], &second["facets"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(second["query_id"], first["query_id"]);
    // It is this query's alone.
    let (status, problem) = world.get(&format!("/v1/search?q=oil&cursor={cursor}")).await;
    assert_eq!((status, fields(&problem)), (400, vec!["cursor"]));
    let (_, all) = world.get("/v1/search").await;
    assert_eq!(
        (&all["query_id"], &all["items"][1]["highlights"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn settings_are_versioned_and_reach_queries() {
    let world = World::new().await;
    let path = "/v1/search/settings";
    let shown = world.call(Method::GET, path, Value::Null).await;
    assert_eq!(
        (&shown["version"], &shown["weights"]["title"], &shown["synonyms"]),
        (&json!(0), &json!(10), &json!([]))
    );
    world.titles("q=couch").await;
    let new = json!({ "weights": { "title": 3 }, "synonyms": [["sofa", "couch"], ["a", "b"]] });
    let put = world.call(Method::PUT, path, new).await;
    assert_eq!(
        (&put["version"], &put["weights"]["title"], &put["weights"]["tags"]),
        (&json!(1), &json!(3), &json!(5))
    );
    assert_eq!(world.call(Method::GET, path, Value::Null).await, put);
    world.titles("q=couches").await;
    let asked = world.index.state().asked.clone();
    assert_eq!(asked[0].tuning, Tuning::default());
    assert_eq!(asked[1].tuning.synonyms, [["sofa", "couch"]]);
    assert_eq!(asked[1].tuning.weights[0], (Field::Title, 3));
    assert_eq!(world.get(path).await.0, 401);
}

#[tokio::test]
async fn a_rebuild_goes_on_in_parts_and_tells_how_far_it_is() {
    let world = World::new().await;
    for n in 0..130 {
        world.publish(&format!("Lamp {n}"), json!({})).await;
    }
    let events = world.take();
    let lost = world.publish("Archived lamp", json!({})).await;
    world.act(&lost, "archive").await;
    world.take();
    // Nothing was indexed: a market that is upgraded.
    assert!(souk_search::ensure(&world.cx()).await.unwrap());
    world.call(Method::GET, "/v1/search/state", Value::Null).await;
    world.drain().await;
    let state = world.call(Method::GET, "/v1/search/state", Value::Null).await;
    assert_eq!(state, json!({ "generation": 1, "products": 130, "building": null }));
    assert!(!souk_search::ensure(&world.cx()).await.unwrap());

    let job = world.call(Method::POST, "/v1/search/reindex", Value::Null).await;
    let job = souk_kit::jobs::tracked::key(job["id"].as_str().unwrap());
    let look = async || -> Value {
        let found = world.cx().get(job.clone()).await.unwrap();
        serde_json::from_str(&found.unwrap().body).unwrap()
    };
    assert_eq!(look().await["status"], "queued");
    let first = world.take();
    world.deliver(first.clone()).await;
    assert_eq!(
        (&look().await["status"], &look().await["result"]),
        (&json!("queued"), &json!({ "products": 100 }))
    );
    // What happens meanwhile is in both generations; a part that comes again is not done again.
    let found = world.titles("q=lamp&limit=100").await.len();
    assert_eq!(found, 100);
    world.deliver(first).await;
    world.deliver(events).await;
    world
        .act(&world.publish("Lamp meanwhile", json!({})).await, "sold")
        .await;
    world.publish("Another lamp", json!({})).await;
    world.drain().await;
    assert_eq!(
        (&look().await["status"], &look().await["result"]),
        (&json!("done"), &json!({ "products": 131 }))
    );
    let state = world.call(Method::GET, "/v1/search/state", Value::Null).await;
    assert_eq!(state, json!({ "generation": 2, "products": 131, "building": null }));

    // Two at once: the later one wins, the earlier one ends in peace.
    world.call(Method::POST, "/v1/search/reindex", Value::Null).await;
    let older = world.take();
    world.deliver(older).await;
    let older = world.take();
    assert_eq!(
        souk_search::rebuild(&world.cx(), |_| ()).await.unwrap(),
        souk_search::Rebuilt::Done(131)
    );
    world.deliver(older).await;
    world.drain().await;
    let state = world.call(Method::GET, "/v1/search/state", Value::Null).await;
    assert_eq!(state["generation"], 4);

    // An index of an earlier version is rebuilt.
    world.index.state().format = 0;
    assert!(souk_search::ensure(&world.cx()).await.unwrap());
    world.call(Method::GET, "/v1/search/state", Value::Null).await;
    world.drain().await;
    assert_eq!(world.index.state().format, souk_core::search::FORMAT);
}

#[tokio::test]
async fn what_people_look_for_is_counted() {
    let world = World::new().await;
    let lamp = world.publish("Lamp", json!({})).await;
    world.drain().await;
    world.wait(60_000);
    let (_, page) = world.get("/v1/search?q=L%C3%A1mp").await;
    let id = page["query_id"].as_str().unwrap().to_owned();
    // The first one after a while is handed over at once, the next ones wait.
    assert_eq!(world.take().len(), 1);
    world.get("/v1/search?q=none").await;
    for _ in 0..3 {
        let (_, page) = world.get("/v1/search?q=%20LAMP%20&limit=1").await;
        assert_eq!(page["query_id"], id);
    }
    world.get("/v1/search").await;
    for click in [
        json!({ "query_id": id, "product": lamp }),
        json!({ "query_id": id, "product": lamp }),
        json!({ "query_id": "20260130-012345678901", "product": lamp }),
    ] {
        assert_eq!(world.post("/v1/search/clicks", click).await, 204);
    }
    for (bad, field) in [
        (
            json!({ "query_id": "20260129-012345678901", "product": lamp }),
            "query_id",
        ),
        (json!({ "query_id": id, "product": "lamp" }), "product"),
    ] {
        assert_eq!(world.post("/v1/search/clicks", bad).await, 422, "{field}");
    }
    assert!(world.take().is_empty());
    world.wait(10_000);
    world.get("/v1/search?q=none").await;
    let messages = world.take();
    assert_eq!(messages.len(), 1);
    // Twice is once.
    world.deliver([messages.clone(), messages].concat()).await;
    world.drain().await;
    let day = world
        .call(Method::GET, "/v1/search/analytics?day=2026-01-31", Value::Null)
        .await;
    assert_eq!(
        day,
        json!({
            "day": "2026-01-31", "searches": 5, "without_results": 2, "clicks": 1, "click_through_rate": 0.2,
            "latency_ms": { "median": 1, "p95": 1 },
            "top_queries": [
                { "query": "lamp", "searches": 3, "without_results": 0, "clicks": 1 },
                { "query": "none", "searches": 2, "without_results": 2, "clicks": 0 },
            ],
            "queries_without_results": [{ "query": "none", "searches": 2, "without_results": 2, "clicks": 0 }],
        })
    );
    assert_eq!(world.index.state().used, [("lamp".to_owned(), 3)]);
    assert_eq!(world.get("/v1/search/analytics").await.0, 401);

    // As many queries as anybody likes: bounded messages, and a bounded document.
    for n in 0..450 {
        world.get(&format!("/v1/search?q={n}{}", "x".repeat(150))).await;
    }
    let messages = world.take();
    assert_eq!(messages.len(), 3);
    world.deliver(messages).await;
    let day = world.call(Method::GET, "/v1/search/analytics", Value::Null).await;
    assert_eq!(
        (&day["searches"], day["top_queries"].as_array().unwrap().len()),
        (&json!(406), 50)
    );
    assert_eq!(day["top_queries"][0]["query"], "lamp");
}
