//! The tree of categories: what a category includes, and how far it may grow.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use souk_tests::client::{Client, market, unique};

use crate::{path_of, text};

/// A new category below this one.
async fn below(admin: &Client, parent: &Value) -> Value {
    let new = json!({ "name": unique("Below"), "parent": text(parent, "id") });
    admin.add("/v1/categories", new).await
}

fn ids(items: &[Value]) -> BTreeSet<String> {
    items.iter().map(|item| text(item, "id").to_owned()).collect()
}

/// The node of a category in a tree, wherever it is.
fn node<'a>(nodes: &'a [Value], id: &str) -> Option<&'a Value> {
    nodes.iter().find_map(|one| {
        let children = one["children"].as_array().unwrap();
        if one["id"] == id { Some(one) } else { node(children, id) }
    })
}

#[tokio::test]
async fn a_category_includes_what_is_below_it() {
    let Some(market) = market() else { return };
    let (admin, seller, anyone) = (market.admin().await, market.member().await, market.anonymous());
    let root = admin
        .add("/v1/categories", json!({ "name": unique("Furniture") }))
        .await;
    let (chairs, tables) = (below(&admin, &root).await, below(&admin, &root).await);
    let stools = below(&admin, &chairs).await;
    let other = admin.add("/v1/categories", json!({ "name": unique("Other") })).await;
    let tag = unique("t");
    let mut products = Vec::new();
    for (n, category) in [&root, &chairs, &tables, &stools, &chairs, &stools, &other]
        .iter()
        .enumerate()
    {
        let more = json!({ "price": { "amount": 100 * (7 - n), "currency": "EUR" }, "tags": [tag] });
        products.push(seller.published(text(category, "id"), more).await);
    }
    let all = ids(&products[..6]);
    let of = |category: &Value| format!("/v1/products?category={}", text(category, "slug"));

    assert_eq!(ids(&anyone.all(&of(&root)).await), all);
    assert_eq!(
        ids(&anyone.all(&of(&stools)).await),
        ids(&[products[3].clone(), products[5].clone()])
    );
    // In order, page by page, also when the list is of something else and the category only a filter.
    for more in ["", "&sort=price", "&sort=-price", &format!("&tag={tag}&sort=price")] {
        let path = format!("{}{more}", of(&root));
        let whole = anyone.all(&path).await;
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = anyone.get(&format!("{path}&limit=2{cursor}")).await.expect(200).json;
            pages.extend(page["items"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(ids(&whole), all, "{path}");
        assert_eq!(whole, pages, "{path}");
        let prices: Vec<_> = whole
            .iter()
            .map(|item| item["price"]["amount"].as_i64().unwrap())
            .collect();
        let expected: &[i64] = if more.contains("sort=price") || more.is_empty() {
            &[200, 300, 400, 500, 600, 700]
        } else {
            &[700, 600, 500, 400, 300, 200]
        };
        assert_eq!(prices, expected, "{path}");
    }

    // Children, and the whole tree.
    let children = anyone
        .all(&format!("/v1/categories?parent={}", text(&root, "slug")))
        .await;
    assert_eq!(ids(&children), ids(&[chairs.clone(), tables.clone()]));
    anyone
        .get("/v1/categories?parent=no-such")
        .await
        .names(422, &["parent"]);
    let tree = anyone.get("/v1/categories/tree").await.expect(200).json;
    let shown = node(tree["items"].as_array().unwrap(), text(&root, "id")).unwrap();
    assert_eq!(ids(shown["children"].as_array().unwrap()), ids(&children));
    assert!(node(shown["children"].as_array().unwrap(), text(&stools, "id")).is_some());

    // Search finds, filters and counts alike, and by the name of a category above.
    let search = |category: &Value, text: &str| {
        format!(
            "/v1/search?tag={tag}&category={}&facets=category{text}",
            category["id"].as_str().unwrap()
        )
    };
    let count = |found: &Value, category: &Value| {
        let values = found["facets"]["category"].as_array().unwrap().clone();
        values
            .iter()
            .find(|value| value["value"] == category["id"])
            .map_or(0, |value| value["count"].as_i64().unwrap())
    };
    // The last product is the one elsewhere.
    let found = anyone
        .until(&search(&root, ""), |found| {
            found["items"].as_array().unwrap().len() == 6 && count(found, &other) == 1
        })
        .await;
    assert_eq!(ids(found["items"].as_array().unwrap()), all);
    assert_eq!(
        [&root, &chairs, &stools, &tables, &other].map(|category| count(&found, category)),
        [6, 4, 2, 1, 1]
    );
    let by_name = search(&stools, &format!("&q={}", text(&root, "name")));
    anyone
        .until(&by_name, |found| found["items"].as_array().unwrap().len() == 2)
        .await;

    // A subtree that moves takes its products along.
    let to = json!({ "parent": text(&other, "id") });
    admin
        .patch(&format!("/v1/categories/{}", text(&chairs, "id")), to)
        .await
        .expect(200);
    assert_eq!(
        ids(&anyone.all(&of(&root)).await),
        ids(&[products[0].clone(), products[2].clone()])
    );
    assert_eq!(anyone.all(&of(&other)).await.len(), 5);
    let moved = anyone
        .until(&search(&other, ""), |found| {
            found["items"].as_array().unwrap().len() == 5
        })
        .await;
    assert_eq!(
        [&root, &other, &chairs, &stools].map(|category| count(&moved, category)),
        [2, 5, 4, 2]
    );
}

/// More categories than lists are merged of.
#[tokio::test]
async fn a_large_subtree_is_listed_too() {
    let Some(market) = market() else { return };
    let (admin, seller, anyone) = (market.admin().await, market.member().await, market.anonymous());
    let root = admin.add("/v1/categories", json!({ "name": unique("Wide") })).await;
    let mut products = Vec::new();
    for n in 0..30 {
        let child = below(&admin, &root).await;
        if n % 5 == 0 {
            products.push(seller.published(text(&child, "id"), json!({})).await);
        }
    }
    let path = format!("/v1/products?category={}", text(&root, "id"));
    assert_eq!(ids(&anyone.all(&path).await), ids(&products));
    let own = format!("{path}&author={}", seller.id());
    assert_eq!(ids(&anyone.all(&own).await), ids(&products));
}

#[tokio::test]
async fn a_subtree_counts_its_own_depth() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    let mut chain = vec![admin.add("/v1/categories", json!({ "name": unique("Deep") })).await];
    for _ in 1..8 {
        chain.push(below(&admin, chain.last().unwrap()).await);
    }
    let path = |category: &Value| format!("/v1/categories/{}", text(category, "id"));
    let too_deep = json!({ "name": "Ninth", "parent": text(&chain[7], "id") });
    admin.post("/v1/categories", too_deep).await.names(422, &["parent"]);
    // One with two levels below it fits under the fifth, not under the sixth.
    let top = admin.add("/v1/categories", json!({ "name": unique("Top") })).await;
    let middle = below(&admin, &top).await;
    below(&admin, &middle).await;
    let under = |parent: &Value| json!({ "parent": text(parent, "id") });
    admin.patch(&path(&top), under(&chain[5])).await.names(422, &["parent"]);
    admin.patch(&path(&top), under(&chain[4])).await.expect(200);
    admin
        .patch(&path(&chain[0]), under(&middle))
        .await
        .names(422, &["parent"]);
    // The address of the tree is nobody's.
    let new = json!({ "name": "Tree", "slug": "tree" });
    admin.post("/v1/categories", new).await.names(422, &["slug"]);
    let tree = admin.add("/v1/categories", json!({ "name": "Tree" })).await;
    assert_ne!(tree["slug"], "tree");
}

#[tokio::test]
async fn a_patch_is_not_refused_for_what_it_does_not_touch() {
    let Some(market) = market() else { return };
    let (admin, seller) = (market.admin().await, market.member().await);
    let sizes = |choices: Value| json!([{ "name": "size", "type": "choice", "choices": choices }, { "name": "gone", "type": "text" }]);
    let category = market.category(sizes(json!(["S", "M"]))).await;
    let product = seller
        .draft(&category, json!({ "attributes": { "size": "S", "gone": "x" } }))
        .await;
    let attributes = json!([
        { "name": "size", "type": "choice", "choices": ["M", "L"] }, { "name": "new", "type": "text", "required": true },
    ]);
    let patch = json!({ "attributes": attributes });
    admin
        .patch(&format!("/v1/categories/{category}"), patch)
        .await
        .expect(200);
    let patched = seller
        .patch(&path_of(&product), json!({ "title": "Another" }))
        .await
        .expect(200);
    assert_eq!(patched["attributes"], json!({ "size": "S", "gone": "x" }));
    seller.act(&format!("{}/publish", path_of(&product))).await.expect(200);
    let wrong = json!({ "attributes": { "size": "XL", "gone": "y", "new": 1 } });
    seller
        .patch(&path_of(&product), wrong)
        .await
        .names(422, &["attributes.size", "attributes.gone", "attributes.new"]);
    let right = json!({ "attributes": { "size": "L", "gone": null, "new": "z" } });
    let right = seller.patch(&path_of(&product), right).await.expect(200);
    assert_eq!(right["attributes"], json!({ "size": "L", "new": "z" }));
}

/// Of two who add a child and delete the category at once, one is refused.
#[tokio::test]
async fn a_category_that_is_deleted_gets_no_children() {
    let Some(market) = market() else { return };
    let admin = market.admin().await;
    for _ in 0..10 {
        let category = admin.add("/v1/categories", json!({ "name": unique("Going") })).await;
        let path = format!("/v1/categories/{}", text(&category, "id"));
        let child = json!({ "name": unique("Child"), "parent": text(&category, "id") });
        let (deleted, added) = tokio::join!(async { admin.delete(&path).await }, async {
            admin.post("/v1/categories", child).await
        });
        let (deleted, added) = (deleted.status, added.status);
        assert!(!(deleted == 204 && added == 201), "{deleted} {added}");
    }
}
