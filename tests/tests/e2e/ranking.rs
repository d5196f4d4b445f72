//! What is popular and what is trending.

use reqwest::Method;
use serde_json::{Value, json};
use souk_tests::client::{Client, eventually, market, unique};

use crate::{ids, path_of, text};

/// The list, once it has these products in this order.
async fn list_is(query: &str, who: &Client, expected: &[&Value]) {
    let expected: Vec<_> = expected.iter().map(|product| text(product, "id")).collect();
    let path = format!("/v1/products?{query}");
    who.until(&path, |list| ids(list["items"].as_array().unwrap()) == expected)
        .await;
}

#[tokio::test]
async fn products_are_ranked_by_their_votes() {
    let Some(market) = market() else { return };
    let members = market.members(4).await;
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market
        .category(json!([{ "name": "odd", "type": "boolean", "filterable": true }]))
        .await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let tag = unique("tag");
    let new = [
        json!({ "attributes": { "odd": false } }),
        json!({ "attributes": { "odd": true }, "vendor": shop["id"] }),
        json!({ "attributes": { "odd": false }, "vendor": shop["id"], "tags": [tag] }),
        json!({ "attributes": { "odd": true }, "tags": [tag] }),
    ];
    let mut products = Vec::new();
    for more in new {
        products.push(seller.published(&category, more).await);
    }
    let [none, three, one, two] = products.as_slice() else {
        panic!("four products");
    };
    let of = |sort: &str| format!("category={category}&sort={sort}");
    // Nobody has voted: the newest first.
    for sort in ["popular", "trending"] {
        list_is(&of(sort), &anyone, &[two, one, three, none]).await;
    }
    for (votes, product) in [(3, three), (1, one), (2, two)] {
        for voter in &members[..votes] {
            voter
                .call(Method::PUT, &format!("{}/upvote", path_of(product)))
                .await
                .expect(200);
        }
    }
    let (author, vendor) = (
        format!("author={}", seller.id()),
        format!("vendor={}", text(&shop, "slug")),
    );
    for sort in ["popular", "trending"] {
        for (filter, expected) in [
            (of(sort), vec![three, two, one, none]),
            (format!("{author}&sort={sort}"), vec![three, two, one, none]),
            (format!("{vendor}&sort={sort}"), vec![three, one]),
            (format!("{}&attr.odd=true", of(sort)), vec![three, two]),
            (format!("{}&attr.odd=false&{vendor}", of(sort)), vec![one]),
            (format!("tag={tag}&{}", of(sort)), vec![two, one]),
            (format!("{}&status=sold", of(sort)), vec![]),
        ] {
            list_is(&filter, &anyone, &expected).await;
        }
        // What moves meanwhile may be missed or seen twice, so this too needs a moment.
        let expected = [three, two, one, none].map(|product| text(product, "id"));
        eventually(async || {
            let paged = page_by_page(&anyone, &of(sort)).await;
            (paged == expected).then_some(()).ok_or(format!("{sort}: {paged:?}"))
        })
        .await;
    }
    let shown = anyone.get(&format!(
        "/v1/products?{}&limit=1&fields=upvote_count,vendor&include=vendor",
        of("popular")
    ));
    let shown = shown.await.expect(200);
    assert_eq!(
        (&shown.items()[0]["upvote_count"], &shown.items()[0]["vendor"]["slug"]),
        (&json!(3), &shop["slug"])
    );

    // Votes that are taken back, and comments, which trend.
    for voter in &members[..3] {
        voter.delete(&format!("{}/upvote", path_of(three))).await.expect(200);
    }
    list_is(&of("popular"), &anyone, &[two, one, three, none]).await;
    for _ in 0..5 {
        members[0]
            .add(&format!("{}/comments", path_of(none)), json!({ "body": "Oh" }))
            .await;
    }
    list_is(&of("trending"), &anyone, &[none, two, one, three]).await;
    list_is(&of("popular"), &anyone, &[two, one, three, none]).await;
}

async fn page_by_page(who: &Client, query: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = who
            .get(&format!("/v1/products?{query}&limit=1{cursor}"))
            .await
            .expect(200);
        seen.extend(ids(page.items()).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn a_rank_follows_its_product() {
    let Some(market) = market() else { return };
    let members = market.members(1).await;
    let (seller, anyone) = (&members[0], market.anonymous());
    let (first, second) = (market.category(json!([])).await, market.category(json!([])).await);
    let product = seller.published(&first, json!({})).await;
    let path = path_of(&product);
    seller.call(Method::PUT, &format!("{path}/upvote")).await.expect(200);
    let within = |category: &str| format!("category={category}&sort=popular");
    list_is(&within(&first), &anyone, &[&product]).await;
    seller.patch(&path, json!({ "category": second })).await.expect(200);
    list_is(&within(&second), &anyone, &[&product]).await;
    list_is(&within(&first), &anyone, &[]).await;
    for (step, here, sold) in [
        ("sold", vec![], vec![&product]),
        ("archive", vec![], vec![]),
        ("publish", vec![&product], vec![]),
        ("draft", vec![], vec![]),
        ("publish", vec![&product], vec![]),
    ] {
        seller.act(&format!("{path}/{step}")).await.expect(200);
        list_is(&within(&second), &anyone, &here).await;
        list_is(&format!("{}&status=sold", within(&second)), &anyone, &sold).await;
    }
    seller.delete(&path).await.expect(204);
    list_is(&within(&second), &anyone, &[]).await;
    for status in ["draft", "archived"] {
        for sort in ["popular", "trending"] {
            let path = format!("/v1/products?status={status}&sort={sort}");
            seller.get(&path).await.names(400, &["sort"]);
        }
    }
}
