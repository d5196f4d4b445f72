//! Search beyond finding: hostile queries, tuning, suggestions, analytics, rebuilds.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join;
use serde_json::{Value, json};
use souk_tests::client::{eventually, market};

use crate::search::{TUNING, finds, finds_in_order, form, word};
use crate::{ids, text};

#[tokio::test]
async fn no_query_is_an_error_and_none_is_markup() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let word = word();
    let title = format!("<script>alert('{word}')</script>");
    let product = seller
        .published(
            &category,
            json!({ "title": title, "description": format!("<b>{word}</b> & \"so\" on") }),
        )
        .await;
    finds(&anyone, &format!("q={word}"), &[&product]).await;
    let hostile = [
        "\"",
        "\"\"\"",
        "*",
        "a*",
        "(",
        "NEAR(a b)",
        "a AND",
        "OR",
        "NOT x",
        "title:x",
        "-x",
        "^x",
        "a\"b",
        "{x}:",
        "\u{0}",
        "\u{feff}",
        "%",
        "';--",
        "\\",
        "😀",
        "a\u{301}\u{301}",
        "x\"*\"",
        "col : x + y",
        "[1]",
        "..",
        "a,b",
    ];
    for text in hostile {
        for query in [text.to_owned(), format!("{text} {word}"), format!("\"{text} {word}")] {
            let query = form(&query);
            anyone
                .get(&format!("/v1/search?q={query}&facets=tag"))
                .await
                .expect(200);
            anyone.get(&format!("/v1/search/suggest?q={query}")).await.expect(200);
        }
    }
    let long = form(&"é".repeat(200));
    anyone.get(&format!("/v1/search?q={long}")).await.expect(200);
    anyone.get(&format!("/v1/search?q={long}a")).await.names(400, &["q"]);
    let many = ["w"; 100].join("+");
    anyone.get(&format!("/v1/search?q={many}")).await.expect(200);
    let page = anyone.get(&format!("/v1/search?q={word}")).await.expect(200);
    assert_eq!(
        page.items()[0]["highlights"],
        json!({
            "title": format!("&lt;script&gt;alert(&#39;<mark>{word}</mark>&#39;)&lt;/script&gt;"),
            "description": format!("&lt;b&gt;<mark>{word}</mark>&lt;/b&gt; &amp; &quot;so&quot; on"),
        })
    );
    for (query, fields) in [
        ("color=red", &["color"][..]),
        ("sort=best&min_price=-1", &["min_price", "sort"]),
        ("near=1&currency=euro", &["near", "currency"]),
        ("sort=nearest", &["near"]),
        ("condition=old", &["condition"]),
        ("facets=all", &["facets"]),
        ("attr.no_such_attribute=1", &["attr.no_such_attribute"]),
        ("facets=tag,attr.no_such_attribute", &["facets"]),
        ("cursor=none", &["cursor"]),
    ] {
        anyone.get(&format!("/v1/search?{query}")).await.names(400, fields);
    }
    anyone.get("/v1/search?category=no-such&vendor=none").await.expect(422);
    anyone.get("/v1/search/suggest").await.names(400, &["q"]);
}

#[tokio::test]
async fn suggestions_complete_and_settings_tune() {
    let Some(market) = market() else { return };
    let (seller, anyone, admin) = (market.member().await, market.anonymous(), market.admin().await);
    let category = market.category(json!([])).await;
    let [a, b, synonym] = [word(), word(), word()];
    let inside = seller
        .published(&category, json!({ "title": format!("Ä {b}"), "description": a }))
        .await;
    finds(&anyone, &format!("q={a}"), &[&inside]).await;
    let title = seller
        .published(&category, json!({ "title": format!("{a} thing") }))
        .await;
    finds_in_order(&anyone, &format!("q={a}"), &[&title, &inside]).await;
    anyone
        .until(&format!("/v1/search/suggest?q={}", &a[..8]), |page| {
            let slug = text(&title, "slug");
            let product = json!({
                "kind": "product", "text": format!("{a} thing"), "slug": slug, "url": format!("/v1/products/{slug}"),
            });
            page["suggestions"].as_array().unwrap().contains(&product)
        })
        .await;

    // Other tests do not notice: their words have no synonyms, and their fields keep their order.
    let path = "/v1/search/settings";
    let _tuning = TUNING.lock().await;
    let put = async |settings: Value| {
        let call = admin.call(reqwest::Method::PUT, path).json(&settings);
        call.await.expect(200)
    };
    seller.get(path).await.expect(403);
    let before = admin.get(path).await.expect(200);
    let tag = before.header("etag").to_owned();
    let mut settings = before.json.clone();
    settings.as_object_mut().unwrap().remove("version");
    let restored = settings.clone();
    settings["synonyms"].as_array_mut().unwrap().push(json!([a, synonym]));
    put(settings.clone()).await;
    let late = admin
        .call(reqwest::Method::PUT, path)
        .json(&settings)
        .header("if-match", tag);
    late.await.expect(412);
    finds(&anyone, &format!("q={synonym}"), &[&title, &inside]).await;
    settings["weights"]["title"] = json!(1);
    settings["weights"]["description"] = json!(100);
    put(settings.clone()).await;
    finds_in_order(&anyone, &format!("q={a}"), &[&inside, &title]).await;
    put(restored).await;
    finds_in_order(&anyone, &format!("q={a}"), &[&title, &inside]).await;
    finds(&anyone, &format!("q={synonym}"), &[]).await;
    settings["weights"]["title"] = json!(101);
    settings["synonyms"] = json!([["one"]]);
    let bad = admin.call(reqwest::Method::PUT, path).json(&settings);
    bad.await.names(422, &["weights.title", "synonyms[0]"]);
}

#[tokio::test]
async fn suggestions_lead_to_things_and_follow_them() {
    let Some(market) = market() else { return };
    let (seller, anyone, admin) = (market.member().await, market.anonymous(), market.admin().await);
    let [kind, maker, thing, tag, renamed] = [word(), word(), word(), word(), word()];
    let category = market.category(json!([])).await;
    let path = format!("/v1/categories/{category}");
    admin
        .patch(&path, json!({ "name": format!("Fine {kind}") }))
        .await
        .expect(200);
    let vendor = seller
        .add("/v1/vendors", json!({ "name": format!("House of {maker}") }))
        .await;
    let more = json!({ "title": format!("Oak {thing}"), "vendor": vendor["id"], "tags": [tag] });
    let product = seller.published(&category, more).await;
    let suggests = async |typed: &str, expected: Value| {
        let path = format!("/v1/search/suggest?q={typed}");
        anyone
            .until(&path, |page| page["suggestions"] == json!([expected]))
            .await;
    };
    let slug = text(&anyone.get(&path).await.expect(200).json, "slug").to_owned();
    let of = |kind: &str, text: String, slug: &str, url: &str| json!({ "kind": kind, "text": text, "slug": slug, "url": format!("/v1/{url}/{slug}") });
    // From any word on, and with a misspelling in it.
    let swapped = format!(
        "{}{}{}",
        &thing[..5],
        thing[6..7].to_owned() + &thing[5..6],
        &thing[7..]
    );
    for typed in [&thing[..9], &swapped] {
        suggests(
            typed,
            of("product", format!("Oak {thing}"), text(&product, "slug"), "products"),
        )
        .await;
    }
    suggests(&kind[..9], of("category", format!("Fine {kind}"), &slug, "categories")).await;
    let shop = text(&vendor, "slug");
    suggests(&maker[..9], of("vendor", format!("House of {maker}"), shop, "vendors")).await;
    suggests(&tag[..9], json!({ "kind": "query", "text": tag })).await;
    admin.patch(&path, json!({ "name": renamed })).await.expect(200);
    let slug = text(&anyone.get(&path).await.expect(200).json, "slug").to_owned();
    suggests(&renamed[..9], of("category", renamed.clone(), &slug, "categories")).await;
    seller
        .act(&format!("/v1/products/{}/archive", text(&product, "id")))
        .await
        .expect(200);
    for typed in [&thing, &renamed, &maker, &tag] {
        let path = format!("/v1/search/suggest?q={typed}");
        anyone.until(&path, |page| page["suggestions"] == json!([])).await;
    }
}

#[tokio::test]
async fn what_people_look_for_is_counted() {
    let Some(market) = market() else { return };
    let (seller, anyone, admin) = (market.member().await, market.anonymous(), market.admin().await);
    let category = market.category(json!([])).await;
    let [there, nowhere] = [word(), word()];
    let product = seller.published(&category, json!({ "title": there })).await;
    finds(&anyone, &format!("q={there}"), &[&product]).await;
    let page = anyone.get(&format!("/v1/search?q={there}")).await.expect(200);
    let click = |query_id: &str| json!({ "query_id": query_id, "product": product["id"] });
    // The second one is the first one, sent again.
    let key = word();
    for _ in 0..2 {
        let click = anyone
            .call(reqwest::Method::POST, "/v1/search/clicks")
            .json(&click(page.text("query_id")));
        click.header("idempotency-key", &key).await.expect(204);
    }
    anyone
        .post("/v1/search/clicks", click("none"))
        .await
        .names(422, &["query_id"]);
    anyone.get(&format!("/v1/search?q={nowhere}")).await.expect(200);
    anyone.get("/v1/search/analytics").await.expect(401);
    admin.get("/v1/search/analytics?day=monday").await.names(400, &["day"]);
    // Whichever instance was asked last hands over with its next search: of another day, if it is midnight.
    let days = ["", "?day="].map(str::to_owned);
    let today = text(&admin.get("/v1/search/analytics").await.expect(200).json, "day").to_owned();
    eventually(async || {
        anyone.get("/v1/search?q=something").await.expect(200);
        let path = format!("/v1/search/analytics{}{today}", days[1]);
        let day = admin.get(&path).await.expect(200).json;
        let counts = |list: &str, query: &str| -> Option<Value> {
            day[list]
                .as_array()
                .unwrap()
                .iter()
                .find(|of| of["query"] == query)
                .cloned()
        };
        let is_there = day["searches"].as_u64() > Some(1)
            && day["clicks"].as_u64() > Some(0)
            && day["latency_ms"]["median"].is_i64()
            && (counts("top_queries", &there).is_some_and(|of| of["clicks"] == 1)
                || day["top_queries"].as_array().unwrap().len() == 50);
        let is_missed = counts("queries_without_results", &nowhere).is_some()
            || day["queries_without_results"].as_array().unwrap().len() == 50;
        (is_there && is_missed).then_some(()).ok_or(day.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_is_not_noticed() {
    let Some(market) = market() else { return };
    let (seller, anyone, admin) = (market.member().await, market.anonymous(), market.admin().await);
    let category = market.category(json!([])).await;
    let word = word();
    let product = seller.published(&category, json!({ "title": word })).await;
    finds(&anyone, &format!("q={word}"), &[&product]).await;
    let before = admin.get("/v1/search/state").await.expect(200).json;
    seller.act("/v1/search/reindex").await.expect(403);
    let reply = admin.act("/v1/search/reindex").await.expect(202);
    let job = reply.header("location").to_owned();
    let is_over = AtomicBool::new(false);
    let wait = async {
        let done = admin.until(&job, |job| job["status"] != "queued").await;
        is_over.store(true, Ordering::Relaxed);
        done
    };
    let ask = async {
        let mut answers = 0;
        while !is_over.load(Ordering::Relaxed) {
            let page = anyone.get(&format!("/v1/search?q={word}")).await.expect(200);
            assert_eq!(ids(page.items()), [text(&product, "id")]);
            answers += 1;
        }
        answers
    };
    let (done, answers) = join(wait, ask).await;
    println!("{answers} searches were answered meanwhile");
    assert_eq!(text(&done, "status"), "done", "{done}");
    let after = admin.get("/v1/search/state").await.expect(200).json;
    assert!(
        after["generation"].as_u64() > before["generation"].as_u64(),
        "{before} {after}"
    );
    assert!(
        done["result"]["products"].as_u64() > Some(0) || done["result"]["superseded"] == true,
        "{done}"
    );
    finds(&anyone, &format!("q={word}"), &[&product]).await;
}
