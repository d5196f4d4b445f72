//! Products: what they hold, who may change them, and how they live.

use serde_json::{Value, json};
use souk_tests::client::{market, product, unique};

use crate::{path_of, text};

#[tokio::test]
async fn a_product_keeps_every_field() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([{ "name": "height", "type": "number" }])).await;
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let mut sent = json!({
        "title": "Brass oil lamp, 19th century",
        "description": "Line one.\n\tLine two; \"quotes\", 'more', \\ and 💡.",
        "category": category,
        "vendor": vendor["id"],
        "sku": "LAMP-1/a ü",
        "price": { "amount": 9_007_199_254_740_991_i64, "currency": "JPY" },
        "condition": "like_new",
        "cover": "https://img.example/cover.jpg?w=1&h=2",
        "gallery": ["https://img.example/1.jpg", "http://img.example/2.jpg"],
        "tags": ["Brass", " oil lamp ", "brass"],
        "attributes": { "height": 12.5 },
        "location": { "latitude": -33.8688, "longitude": 151.2093, "label": "Sydney" },
        "url": "https://shop.example/lamp",
    });
    let created = seller.post("/v1/products", sent.clone()).await.expect(201);
    sent["tags"] = json!(["brass", "oil lamp"]);
    let slug = created.text("slug").to_owned();
    assert!(slug.starts_with("brass-oil-lamp-19th-century"), "{slug}");
    assert_eq!(created.header("location"), path_of(&created.json));
    assert!(created.header("etag").starts_with("\"v1-"));
    let mut expected = sent;
    for (field, value) in [
        ("id", created["id"].clone()),
        ("slug", json!(slug)),
        ("author", json!(seller.id())),
        ("status", json!("draft")),
        ("upvote_count", json!(0)),
        ("comment_count", json!(0)),
        ("view_count", json!(0)),
        ("created_at", created["created_at"].clone()),
        ("updated_at", created["created_at"].clone()),
        ("published_at", Value::Null),
        ("version", json!(1)),
    ] {
        expected[field] = value;
    }
    assert!(text(&expected, "id").starts_with("prd_") && text(&expected, "created_at").ends_with('Z'));
    assert_eq!(created.json, expected);
    for path in [path_of(&expected), format!("/v1/products/{slug}")] {
        assert_eq!(seller.get(&path).await.expect(200).json, expected);
    }
}

#[tokio::test]
async fn a_product_needs_a_title_a_category_and_a_price() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let slug = text(
        &seller.get(&format!("/v1/categories/{category}")).await.expect(200).json,
        "slug",
    )
    .to_owned();
    let least = json!({ "title": "  A lamp  ", "category": slug, "price": { "amount": 0, "currency": "EUR" } });
    let created = seller.add("/v1/products", least).await;
    for (field, value) in [
        ("title", json!("A lamp")),
        ("category", json!(category)),
        ("description", json!("")),
        ("condition", json!("new")),
        ("gallery", json!([])),
        ("tags", json!([])),
        ("attributes", json!({})),
    ] {
        assert_eq!(created[field], value, "{field}");
    }
    for field in ["vendor", "sku", "cover", "location", "url", "published_at"] {
        assert!(created[field].is_null() && created.get(field).is_some(), "{field}");
    }
    seller
        .post("/v1/products", json!({}))
        .await
        .names(422, &["title", "category", "price"]);
}

/// What is wrong with a product, and which fields the answer names.
fn faults(category: &str) -> Vec<(Value, Vec<&'static str>)> {
    let with = |more: Value| product(category, more);
    let eleven: Vec<String> = (0..11).map(|n| format!("tag{n}")).collect();
    let pictures = vec!["https://img.example/x.jpg"; 21];
    vec![
        (json!([]), vec![""]),
        (json!("product"), vec![""]),
        (json!(null), vec![""]),
        (
            json!({
                "title": "", "description": "x".repeat(10_001), "category": " ", "sku": "1", "cover": "ftp://img.example/x",
                "price": { "amount": -1, "currency": "euro" }, "gallery": ["https://img.example/x", "x"],
                "tags": ["ok", "", "x".repeat(41)], "location": { "latitude": 91, "longitude": -181, "label": "" }, "url": "javascript:alert(1)",
            }),
            vec![
                "title",
                "description",
                "category",
                "sku",
                "cover",
                "price.amount",
                "price.currency",
                "gallery[1]",
                "tags[1]",
                "tags[2]",
                "location.latitude",
                "location.longitude",
                "url",
            ],
        ),
        (with(json!({ "title": null })), vec!["title"]),
        (with(json!({ "title": "x".repeat(201) })), vec!["title"]),
        (with(json!({ "title": "two\nlines" })), vec!["title"]),
        (with(json!({ "category": "no-such-category" })), vec!["category"]),
        (
            with(json!({ "category": "cat_0123456789abcdef0123456789abcdef" })),
            vec!["category"],
        ),
        (with(json!({ "vendor": "no-such-vendor" })), vec!["vendor"]),
        (with(json!({ "price": 19.99 })), vec!["price"]),
        (with(json!({ "price": {} })), vec!["price.amount"]),
        (
            with(json!({ "price": { "amount": 19.99, "currency": "EUR" } })),
            vec!["price.amount"],
        ),
        (
            with(json!({ "price": { "amount": "1999", "currency": "EUR" } })),
            vec!["price.amount"],
        ),
        (
            with(json!({ "price": { "amount": 9_007_199_254_740_992_i64, "currency": "EUR" } })),
            vec!["price.amount"],
        ),
        (
            with(json!({ "price": { "amount": 1, "currency": "XYZ" } })),
            vec!["price.currency"],
        ),
        (
            with(json!({ "price": { "amount": 1, "currency": "EUR", "vat": 19 } })),
            vec!["price.vat"],
        ),
        (with(json!({ "condition": "broken" })), vec!["condition"]),
        (with(json!({ "tags": "brass" })), vec!["tags"]),
        (with(json!({ "tags": eleven })), vec!["tags"]),
        (with(json!({ "gallery": pictures })), vec!["gallery"]),
        (
            with(json!({ "location": { "latitude": 1 } })),
            vec!["location.longitude"],
        ),
        (with(json!({ "attributes": [] })), vec!["attributes"]),
        (with(json!({ "attributes": { "other": 1 } })), vec!["attributes.other"]),
        // Nobody sets these.
        (with(json!({ "status": "published" })), vec!["status"]),
        (with(json!({ "slug": "not a slug" })), vec!["slug"]),
        (with(json!({ "upvote_count": 7 })), vec!["upvote_count"]),
        (
            with(json!({ "author": "acc_0123456789abcdef0123456789abcdef" })),
            vec!["author"],
        ),
    ]
}

#[tokio::test]
async fn a_product_that_is_not_valid_is_refused_with_every_field_named() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let kept = seller.draft(&category, json!({})).await;
    for (body, fields) in faults(&category) {
        let reply = seller.post("/v1/products", body.clone()).await.names(422, &fields);
        assert_eq!(reply["code"], "validation_failed");
        // A patch is held to the same rules, but what it leaves out is there already.
        if body["price"] != json!({}) {
            seller.patch(&path_of(&kept), body).await.names(422, &fields);
        }
    }
    assert_eq!(seller.get(&path_of(&kept)).await.expect(200).json, kept);
}

#[tokio::test]
async fn a_patch_knows_absent_null_and_value_apart() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let (category, other) = (market.category(json!([])).await, market.category(json!([])).await);
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let full = json!({
        "description": "d", "vendor": vendor["id"], "sku": "1", "condition": "good", "cover": "https://img.example/c", "gallery": ["https://img.example/g"],
        "tags": ["a", "b"], "location": { "latitude": 1.5, "longitude": 2.5, "label": "Here" }, "url": "https://a.example/",
    });
    let mut now = seller.draft(&category, full).await;
    let path = path_of(&now);
    for (patch, changes) in [
        (json!({}), json!({})),
        (json!({ "title": " New " }), json!({ "title": "New" })),
        (
            json!({ "description": null, "condition": null, "tags": null }),
            json!({ "description": "", "condition": "new", "tags": [] }),
        ),
        (
            json!({ "tags": ["C"], "gallery": [] }),
            json!({ "tags": ["c"], "gallery": [] }),
        ),
        (
            json!({ "price": { "amount": 5 } }),
            json!({ "price": { "amount": 5, "currency": "EUR" } }),
        ),
        (
            json!({ "location": { "label": null } }),
            json!({ "location": { "latitude": 1.5, "longitude": 2.5, "label": null } }),
        ),
        (
            json!({ "location": null, "cover": null, "url": null }),
            json!({ "location": null, "cover": null, "url": null }),
        ),
        (json!({ "sku": "2" }), json!({ "sku": "2" })),
        (
            json!({ "vendor": null, "sku": null }),
            json!({ "vendor": null, "sku": null }),
        ),
        (json!({ "category": other }), json!({ "category": other })),
    ] {
        let reply = seller.patch(&path, patch.clone()).await.expect(200);
        for (field, value) in changes.as_object().unwrap() {
            now[field] = value.clone();
        }
        if changes != json!({}) {
            now["version"] = json!(now["version"].as_i64().unwrap() + 1);
            now["updated_at"] = reply["updated_at"].clone();
        }
        assert_eq!(reply.json, now, "{patch}");
        assert_eq!(seller.get(&path).await.expect(200).json, now, "{patch}");
    }
    for required in ["title", "category", "price"] {
        seller
            .patch(&path, json!({ required: null }))
            .await
            .names(422, &[required]);
    }
    let merge = seller
        .call(reqwest::Method::PATCH, &path)
        .body("application/merge-patch+json; charset=utf-8", r#"{"title":"M"}"#);
    assert_eq!(merge.await.expect(200)["title"], "M");
}

#[tokio::test]
async fn a_product_lives_as_the_table_says() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let states = [
        ("draft", vec![]),
        ("published", vec!["publish"]),
        ("sold", vec!["publish", "sold"]),
        ("archived", vec!["publish", "archive"]),
    ];
    let moves = [
        ("draft", "draft"),
        ("publish", "published"),
        ("sold", "sold"),
        ("archive", "archived"),
    ];
    let legal = [
        "draft publish",
        "published draft",
        "published sold",
        "published archive",
        "sold archive",
        "archived draft",
        "archived publish",
    ];
    for (state, way) in &states {
        for (transition, next) in moves {
            let path = path_of(&seller.draft(&category, json!({})).await);
            for step in way {
                seller.act(&format!("{path}/{step}")).await.expect(200);
            }
            let before = seller.get(&path).await.expect(200).json;
            assert_eq!(before["status"], *state);
            let reply = seller.act(&format!("{path}/{transition}")).await;
            let after = seller.get(&path).await.expect(200).json;
            if legal.contains(&format!("{state} {transition}").as_str()) {
                assert_eq!(reply.expect(200).json, after);
                assert_eq!(after["status"], next);
                assert_eq!(after["version"], before["version"].as_i64().unwrap() + 1);
                assert!(next != "published" || after["published_at"].is_string());
                assert!(
                    before["published_at"].is_null() || before["published_at"] == after["published_at"],
                    "the first publication counts"
                );
            } else if next == *state {
                assert_eq!(reply.expect(200).json, before, "{transition} once more");
                assert_eq!(after, before);
            } else {
                assert_eq!(reply.expect(409)["code"], "illegal_transition", "{state} {transition}");
                assert_eq!(after, before);
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_product_gives_back_its_slug_and_its_sku() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let new = json!({ "title": unique("Only one"), "vendor": vendor["slug"], "sku": "1", "tags": [unique("tag")] });
    let first = seller.published(&category, new.clone()).await;
    assert_eq!(first["vendor"], vendor["id"]);
    seller.delete(&path_of(&first)).await.expect(204);
    for path in [path_of(&first), format!("/v1/products/{}", text(&first, "slug"))] {
        seller.get(&path).await.expect(404);
        seller.delete(&path).await.expect(404);
    }
    for filter in [
        format!("category={category}"),
        format!("tag={}", first["tags"][0].as_str().unwrap()),
    ] {
        assert!(seller.all(&format!("/v1/products?{filter}")).await.is_empty());
    }
    let second = seller.draft(&category, new).await;
    assert_eq!(second["slug"], first["slug"]);
    assert_ne!(second["id"], first["id"]);
}

#[tokio::test]
async fn fields_and_include_shape_the_answer() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let vendor = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let product = seller.published(&category, json!({ "vendor": vendor["id"] })).await;
    let alone = seller.published(&category, json!({})).await;
    let path = path_of(&product);
    let whole = anyone.get(&path).await.expect(200).json;
    let category = anyone.get(&format!("/v1/categories/{category}")).await.expect(200).json;
    let author = anyone
        .get(&format!("/v1/accounts/{}", seller.id()))
        .await
        .expect(200)
        .json;
    assert!(author.get("email").is_none());

    let few = anyone
        .get(&format!("{path}?fields=title,version,upvote_count"))
        .await
        .expect(200)
        .json;
    assert_eq!(
        few,
        json!({ "title": whole["title"], "version": whole["version"], "upvote_count": 0 })
    );
    let opened = anyone
        .get(&format!("{path}?include=category,author,vendor"))
        .await
        .expect(200)
        .json;
    let mut expected = whole.clone();
    // What is opened out is as it is by itself.
    for (name, value) in [
        ("category", category.clone()),
        ("author", author.clone()),
        ("vendor", vendor.clone()),
    ] {
        expected[name] = value;
    }
    assert_eq!(opened, expected);
    let list = format!(
        "/v1/products?category={}&include=author,vendor&fields=id,author,vendor",
        text(&category, "slug")
    );
    let expected = json!([
        { "id": alone["id"], "author": author, "vendor": null },
        { "id": product["id"], "author": author, "vendor": expected["vendor"] },
    ]);
    assert_eq!(anyone.get(&list).await.expect(200)["items"], expected);
    for (query, field) in [
        ("fields=title,secret", "fields"),
        ("fields=", "fields"),
        ("fields=title,", "fields"),
        ("include=password", "include"),
        ("include=category,sessions", "include"),
    ] {
        anyone.get(&format!("{path}?{query}")).await.names(400, &[field]);
        anyone.get(&format!("/v1/products?{query}")).await.names(400, &[field]);
    }
}

#[tokio::test]
async fn a_product_gets_another_slug_and_the_former_one_leads_on() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let lamp = seller.published(&category, json!({})).await;
    let (path, former, renamed) = (path_of(&lamp), text(&lamp, "slug"), unique("renamed"));
    let by = |slug: &str| format!("/v1/products/{slug}");
    anyone.get(&by(former)).await.expect(200);
    let changed = seller.patch(&path, json!({ "slug": renamed })).await.expect(200);
    assert_eq!(text(&changed.json, "slug"), renamed);
    let moved = seller.get(&format!("{}?fields=title", by(former))).await.expect(308);
    assert_eq!(moved.header("location"), format!("{}?fields=title", by(&renamed)));
    assert_eq!(anyone.get(&by(&renamed)).await.expect(200)["id"], lamp["id"]);
    assert_eq!(anyone.get(&path).await.expect(200)["slug"], json!(renamed));
    // Nothing else gets either of them, and another title changes neither.
    for slug in [former, &renamed] {
        let new = product(&category, json!({ "slug": slug }));
        seller.post("/v1/products", new).await.names(409, &["slug"]);
    }
    let own = unique("own");
    let other = seller.draft(&category, json!({ "slug": own })).await;
    assert_eq!(text(&other, "slug"), own);
    seller
        .patch(&path_of(&other), json!({ "slug": renamed }))
        .await
        .names(409, &["slug"]);
    seller
        .patch(&path, json!({ "slug": "No Slug" }))
        .await
        .names(422, &["slug"]);
    let titled = seller.patch(&path, json!({ "title": "Another" })).await.expect(200);
    assert_eq!(text(&titled.json, "slug"), renamed);
    seller.delete(&path).await.expect(204);
    seller.get(&by(former)).await.expect(404);
    seller.draft(&category, json!({ "slug": former })).await;
}
