//! Categories: kept by admins, read by all, and what their attributes ask of products.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{market, product, unique};

use crate::{path_of, text};

#[tokio::test]
async fn an_admin_keeps_categories_and_everyone_reads_them() {
    let Some(market) = market() else { return };
    let (admin, anyone) = (market.admin().await, market.anonymous());
    let (name, slug) = (unique("Lamps"), unique("lamps"));
    let new = json!({
        "name": name, "slug": slug, "description": "They shine.\nMost of them.", "icon": "💡", "color": "#ffaa00", "parent": null,
        "attributes": [
            { "name": "watts", "label": "Power", "type": "number", "required": true, "filterable": true },
            { "name": "socket", "label": null, "type": "choice", "required": false, "filterable": false, "choices": ["E14", "E27"] },
        ],
    });
    let created = admin.post("/v1/categories", new.clone()).await.expect(201);
    for (field, value) in new.as_object().unwrap() {
        assert_eq!(created[field], *value, "{field}");
    }
    assert_eq!(created["version"], 1);
    assert_eq!(created["created_at"], created["updated_at"]);
    let by_id = format!("/v1/categories/{}", created.text("id"));
    assert_eq!(created.header("location"), by_id);
    for path in [by_id.clone(), format!("/v1/categories/{slug}")] {
        assert_eq!(anyone.get(&path).await.expect(200).json, created.json);
    }
    assert!(anyone.all("/v1/categories").await.contains(&created.json));

    let renamed = unique("lights");
    let patch = json!({ "slug": renamed, "icon": null, "description": "New." });
    let changed = admin.patch(&by_id, patch).await.expect(200);
    let mut expected = created.json.clone();
    for (field, value) in [
        ("slug", json!(renamed)),
        ("icon", Value::Null),
        ("description", json!("New.")),
        ("version", json!(2)),
    ] {
        expected[field] = value;
    }
    expected["updated_at"] = changed["updated_at"].clone();
    assert_eq!(changed.json, expected, "what a patch does not name stays");
    assert_eq!(anyone.get(&by_id).await.expect(200).json, expected);
    // The old slug leads on, and lists take it too.
    for query in ["", "?fields=name"] {
        let by_old = anyone.get(&format!("/v1/categories/{slug}{query}")).await.expect(308);
        assert_eq!(by_old.header("location"), format!("/v1/categories/{renamed}{query}"));
        assert_eq!(by_old.text("location"), by_old.header("location"));
        assert!(
            by_old
                .header("cache-control")
                .starts_with("public, max-age=0, s-maxage=60,")
        );
        let tags = by_old.header("cache-tag");
        assert!(
            tags.is_empty() || tags == format!("category,{}", created.text("id")),
            "{tags}"
        );
    }
    let head = anyone
        .call(Method::HEAD, &format!("/v1/categories/{slug}"))
        .await
        .expect(308);
    assert_eq!(head.header("location"), format!("/v1/categories/{renamed}"));
    admin.get(&format!("/v1/categories/{slug}")).await.expect(308);
    anyone
        .get(&format!("/v1/categories/{slug}?x=1"))
        .await
        .names(400, &["x"]);
    anyone.get(&format!("/v1/products?category={slug}")).await.expect(200);
    assert_eq!(
        anyone
            .get(&format!("{by_id}?fields=slug,version"))
            .await
            .expect(200)
            .json,
        json!({ "slug": renamed, "version": 2 })
    );

    admin.delete(&by_id).await.expect(204);
    for path in [
        &by_id,
        &format!("/v1/categories/{renamed}"),
        &format!("/v1/categories/{slug}"),
    ] {
        anyone.get(path).await.expect(404);
    }
    assert!(
        !anyone
            .all("/v1/categories?fields=slug")
            .await
            .contains(&json!({ "slug": renamed }))
    );
    admin.delete(&by_id).await.expect(404);
    let again = admin
        .post("/v1/categories", json!({ "name": name, "slug": renamed }))
        .await
        .expect(201);
    assert_ne!(again["id"], created["id"]);
}

/// One that renames without end holds no more than twenty names that it had before.
#[tokio::test]
async fn old_slugs_lead_on_until_there_are_too_many() {
    let Some(market) = market() else { return };
    let (admin, anyone) = (market.admin().await, market.anonymous());
    let slugs: Vec<String> = (0..22).map(|n| unique(&format!("灯-{n}"))).collect();
    let new = json!({ "name": "Lamps", "slug": slugs[0] });
    let path = format!("/v1/categories/{}", text(&admin.add("/v1/categories", new).await, "id"));
    for slug in &slugs[1..] {
        admin.patch(&path, json!({ "slug": slug })).await.expect(200);
    }
    anyone.get(&format!("/v1/categories/{}", slugs[0])).await.expect(404);
    let last = format!("/v1/categories/{}", slugs[21].replace('灯', "%E7%81%AF"));
    for slug in &slugs[1..21] {
        let old = anyone.get(&format!("/v1/categories/{slug}")).await.expect(308);
        assert_eq!(old.header("location"), last);
    }
    assert_eq!(anyone.get(&last).await.expect(200)["slug"], slugs[21]);

    // It has one of them again, and the last one leads on to that.
    admin.patch(&path, json!({ "slug": slugs[5] })).await.expect(200);
    assert_eq!(
        anyone.get(&format!("/v1/categories/{}", slugs[5])).await.expect(200)["slug"],
        slugs[5]
    );
    let old = anyone.get(&last).await.expect(308);
    assert_eq!(
        old.header("location"),
        format!("/v1/categories/{}", slugs[5].replace('灯', "%E7%81%AF"))
    );

    admin.delete(&path).await.expect(204);
    let new = |slug: &str| json!({ "name": "Lamps", "slug": slug });
    for slug in &slugs[..7] {
        admin.post("/v1/categories", new(slug)).await.expect(201);
    }
}

#[tokio::test]
async fn a_category_slug_is_taken_once() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let slug = unique("taken");
    let new = json!({ "name": "One", "slug": slug });
    let first = admin.add("/v1/categories", new.clone()).await;
    assert_eq!(
        admin.post("/v1/categories", new).await.names(409, &["slug"])["code"],
        "taken"
    );
    // One that is made from the name is another one.
    let name = slug.replace('-', " ").to_uppercase();
    let second = admin.add("/v1/categories", json!({ "name": name })).await;
    let made = text(&second, "slug");
    assert!(made.starts_with(&format!("{slug}-")), "{made}");
    assert_eq!(
        admin.get(&format!("/v1/categories/{made}")).await.expect(200)["id"],
        second["id"]
    );
    // Also if the name has no letters, or others than Latin ones.
    for name in ["☕", "🍵", "充电器", "充电器"] {
        let made = admin.add("/v1/categories", json!({ "name": name })).await;
        let found = admin
            .get(&format!("/v1/categories/{}", text(&made, "slug")))
            .await
            .expect(200);
        assert_eq!((&found["id"], &found["name"]), (&made["id"], &json!(name)));
    }
    let other = admin.add("/v1/categories", json!({ "name": unique("Other") })).await;
    let other = format!("/v1/categories/{}", text(&other, "id"));
    admin.patch(&other, json!({ "slug": slug })).await.names(409, &["slug"]);
    let own = format!("/v1/categories/{}", text(&first, "id"));
    admin
        .patch(&own, json!({ "slug": slug, "name": "Same slug" }))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_category_that_is_not_valid_is_refused_with_every_field_named() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let long = "x".repeat(2001);
    let attribute = |more: Value| {
        let mut attribute = json!({ "name": "size", "type": "text" });
        attribute
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "name": "A", "attributes": [attribute] })
    };
    for (body, fields) in [
        (json!({}), vec!["name"]),
        (json!([]), vec![""]),
        (
            json!({ "name": " ", "slug": "No Slug", "color": "red", "icon": "", "description": long }),
            vec!["name", "slug", "color", "description"],
        ),
        (json!({ "name": "A", "colour": "#ffffff" }), vec!["colour"]),
        (
            json!({ "name": "A", "slug": "cat_00000000000000000000000000000000" }),
            vec!["slug"],
        ),
        (json!({ "name": 7 }), vec!["name"]),
        (json!({ "name": "A", "parent": "no-such-category" }), vec!["parent"]),
        (attribute(json!({ "name": "Size" })), vec!["attributes[0].name"]),
        (attribute(json!({ "type": "money" })), vec!["attributes[0].type"]),
        (attribute(json!({ "type": "choice" })), vec!["attributes[0].choices"]),
        (attribute(json!({ "choices": ["S"] })), vec!["attributes[0].choices"]),
        (attribute(json!({ "required": "yes" })), vec!["attributes[0].required"]),
        (attribute(json!({ "unit": "cm" })), vec!["attributes[0].unit"]),
        (
            json!({ "name": "A", "attributes": [{ "type": "text" }] }),
            vec!["attributes[0].name"],
        ),
        (
            json!({ "name": "A", "attributes": [{ "name": "a", "type": "text" }, { "name": "a", "type": "number" }] }),
            vec!["attributes"],
        ),
    ] {
        admin.post("/v1/categories", body).await.names(422, &fields);
    }
}

#[tokio::test]
async fn products_are_held_to_the_attributes_of_their_category() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market
        .category(json!([
            { "name": "size", "type": "choice", "required": true, "choices": ["S", "L"] },
            { "name": "watts", "type": "number" },
            { "name": "new", "type": "boolean" },
            { "name": "maker", "type": "text" },
        ]))
        .await;
    let table = [
        (json!({ "size": "S" }), vec![]),
        (
            json!({ "size": "L", "watts": 1.5, "new": false, "maker": "Ada" }),
            vec![],
        ),
        (json!({ "size": "L", "watts": -3, "maker": "" }), vec![]),
        (json!({}), vec!["size"]),
        (json!({ "size": "M" }), vec!["size"]),
        (json!({ "size": null }), vec!["size"]),
        (
            json!({ "size": "S", "watts": "1", "new": 1, "maker": 2, "other": "x" }),
            vec!["watts", "new", "maker", "other"],
        ),
        (json!({ "size": "S", "maker": "x".repeat(501) }), vec!["maker"]),
        (json!({ "size": ["S"], "watts": { "a": 1 } }), vec!["size", "watts"]),
    ];
    let kept = seller
        .draft(&category, json!({ "attributes": { "size": "S", "watts": 5 } }))
        .await;
    for (attributes, faults) in table {
        let faults: Vec<_> = faults.iter().map(|name| format!("attributes.{name}")).collect();
        let faults: Vec<_> = faults.iter().map(String::as_str).collect();
        let created = seller
            .post("/v1/products", product(&category, json!({ "attributes": attributes })))
            .await;
        if faults.is_empty() {
            let mut kept = attributes.clone();
            // Forms send blanks for what was not filled in.
            kept.as_object_mut().unwrap().retain(|_, value| value != "");
            assert_eq!(created.expect(201)["attributes"], kept);
        } else {
            created.names(422, &faults);
        }
        // A patch of attributes merges, and is held to the same rules afterwards.
        if !faults.is_empty() && attributes != json!({}) {
            seller
                .patch(&path_of(&kept), json!({ "attributes": attributes }))
                .await
                .names(422, &faults);
        }
    }
    let merged = seller
        .patch(&path_of(&kept), json!({ "attributes": { "watts": null, "new": true } }))
        .await
        .expect(200);
    assert_eq!(merged["attributes"], json!({ "size": "S", "new": true }));
    // Another category asks for other things.
    let plain = market.category(json!([])).await;
    seller
        .patch(&path_of(&kept), json!({ "category": plain }))
        .await
        .names(422, &["attributes.size", "attributes.new"]);
    let moved = json!({ "category": plain, "attributes": { "size": null, "new": null } });
    assert_eq!(
        seller.patch(&path_of(&kept), moved).await.expect(200)["attributes"],
        json!({})
    );
}

#[tokio::test]
async fn a_list_is_filtered_by_attributes() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market
        .category(json!([
            { "name": "size", "type": "choice", "filterable": true, "choices": ["S", "extra large"] },
            { "name": "watts", "type": "number", "filterable": true },
            { "name": "new", "type": "boolean", "filterable": true },
            { "name": "maker", "type": "text", "filterable": true },
            { "name": "secret", "type": "text" },
        ]))
        .await;
    let products = [
        seller
            .published(
                &category,
                json!({ "attributes": { "size": "S", "watts": 5, "new": true, "maker": "Ada & Co" } }),
            )
            .await,
        seller
            .published(
                &category,
                json!({ "attributes": { "size": "extra large", "watts": 5.5, "new": false } }),
            )
            .await,
        seller
            .published(&category, json!({ "attributes": { "size": "S", "secret": "x" } }))
            .await,
    ];
    for (query, expected) in [
        ("attr.size=S", vec![2, 0]),
        ("attr.size=extra%20large", vec![1]),
        ("attr.watts=5", vec![0]),
        ("attr.watts=5.0", vec![0]),
        ("attr.watts=5.5", vec![1]),
        ("attr.watts=6", vec![]),
        ("attr.watts=5.5,5", vec![1, 0]),
        ("attr.watts=5.1..6", vec![1]),
        ("attr.watts=..5", vec![0]),
        ("attr.watts=5..", vec![1, 0]),
        ("attr.size=S,extra%20large", vec![2, 1, 0]),
        ("attr.new=false", vec![1]),
        ("attr.maker=Ada+%26+Co", vec![0]),
        ("attr.size=S&attr.new=true", vec![0]),
        ("attr.size=S&attr.new=false", vec![]),
    ] {
        let found = market
            .anonymous()
            .all(&format!("/v1/products?category={category}&{query}"))
            .await;
        let expected: Vec<_> = expected.into_iter().map(|n: usize| products[n].clone()).collect();
        assert_eq!(found, expected, "{query}");
    }
    for (query, fields) in [
        (
            format!("category={category}&attr.secret=x&attr.watts=1"),
            vec!["attr.secret"],
        ),
        (format!("category={category}&attr.nothing=x"), vec!["attr.nothing"]),
        (format!("category={category}&attr.watts=many"), vec!["attr.watts"]),
        (format!("category={category}&attr.new=yes"), vec!["attr.new"]),
        (format!("category={category}&attr.size=M"), vec!["attr.size"]),
        (format!("category={category}&attr.=x"), vec!["attr."]),
        (format!("category={category}&attr.watts=6..5"), vec!["attr.watts"]),
        (format!("category={category}&attr.new=1..2"), vec!["attr.new"]),
    ] {
        market
            .anonymous()
            .get(&format!("/v1/products?{query}"))
            .await
            .names(400, &fields);
    }
}

#[tokio::test]
async fn a_category_goes_only_when_nothing_is_in_it() {
    let Some(market) = market() else { return };
    let (admin, seller) = (market.admin().await, market.member().await);
    let id = market.category(json!([])).await;
    let category = format!("/v1/categories/{id}");
    let product = seller.draft(&id, json!({})).await;
    for transition in ["", "publish", "sold", "archive"] {
        if !transition.is_empty() {
            seller
                .act(&format!("{}/{transition}", path_of(&product)))
                .await
                .expect(200);
        }
        assert_eq!(
            admin.delete(&category).await.expect(409)["code"],
            "not_empty",
            "{transition}"
        );
        // It is as usable as before.
        let other = seller.draft(&id, json!({})).await;
        seller.delete(&path_of(&other)).await.expect(204);
    }
    seller.delete(&path_of(&product)).await.expect(204);
    admin.delete(&category).await.expect(204);
    seller
        .post("/v1/products", souk_tests::client::product(&id, json!({})))
        .await
        .names(422, &["category"]);
}

#[tokio::test]
async fn categories_make_a_tree() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let mut path: Vec<Value> = Vec::new();
    let below = |parent: &Value| json!({ "name": unique("Branch"), "parent": parent });
    // Eight levels, by id and by slug; a ninth is refused.
    for level in 0..8 {
        let parent = path.last().map_or(Value::Null, |parent| {
            parent[if level % 2 == 0 { "id" } else { "slug" }].clone()
        });
        let category = admin.add("/v1/categories", below(&parent)).await;
        assert_eq!(
            category["parent"],
            path.last().map_or(Value::Null, |parent| parent["id"].clone())
        );
        path.push(category);
    }
    let address = |n: usize| format!("/v1/categories/{}", text(&path[n], "id"));
    admin
        .post("/v1/categories", below(&path[7]["id"]))
        .await
        .names(422, &["parent"]);
    admin
        .patch(&address(0), json!({ "parent": path[0]["id"] }))
        .await
        .names(422, &["parent"]);
    admin
        .patch(&address(0), json!({ "parent": path[1]["slug"] }))
        .await
        .names(422, &["parent"]);
    admin
        .patch(&address(2), json!({ "parent": path[7]["id"] }))
        .await
        .names(422, &["parent"]);
    admin
        .patch(&address(2), json!({ "parent": "no-such-category" }))
        .await
        .names(422, &["parent"]);
    assert_eq!(admin.delete(&address(3)).await.expect(409)["code"], "not_empty");
    // Cut off, a branch is a tree of its own, and its old parent can go.
    assert_eq!(
        admin.patch(&address(4), json!({ "parent": null })).await.expect(200)["parent"],
        Value::Null
    );
    admin.delete(&address(3)).await.expect(204);
    admin
        .patch(&address(2), json!({ "parent": path[7]["id"] }))
        .await
        .expect(200);
}
