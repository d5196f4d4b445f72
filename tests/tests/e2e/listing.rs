//! Lists of products: filters, orders, and what they refuse.

use serde_json::{Value, json};
use souk_tests::client::{Client, Market, market, unique};

use crate::{ids, text};

/// A small market: two sellers, two categories, one shop, seven products in the order of their publication.
struct Stalls {
    sellers: [Client; 2],
    categories: [String; 2],
    shop: Value,
    tags: [String; 2],
    products: Vec<Value>,
}

async fn open(market: &Market) -> Stalls {
    let sellers = [market.member().await, market.member().await];
    let categories = [market.category(json!([])).await, market.category(json!([])).await];
    let shop = sellers[0].add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let tags = [unique("red"), format!("{} & blue", unique("green"))];
    let price = |amount: i64, currency: &str| json!({ "amount": amount, "currency": currency });
    let mut products = Vec::new();
    for (seller, category, more) in [
        (
            0,
            0,
            json!({ "vendor": shop["id"], "tags": [tags[0]], "price": price(500, "EUR") }),
        ),
        (
            0,
            0,
            json!({ "tags": [tags[0].to_uppercase(), tags[1]], "price": price(100_000, "EUR") }),
        ),
        (
            0,
            1,
            json!({ "vendor": shop["id"], "tags": [tags[1]], "price": price(0, "EUR") }),
        ),
        (1, 0, json!({ "price": price(9_007_199_254_740_991, "EUR") })),
        (1, 1, json!({ "tags": [tags[0]], "price": price(700, "JPY") })),
        (1, 0, json!({ "tags": [tags[0]], "price": price(501, "EUR") })),
        (1, 0, json!({ "price": price(6999, "BHD") })),
    ] {
        products.push(sellers[seller].published(&categories[category], more).await);
    }
    let sold = format!("/v1/products/{}/sold", text(&products[5], "id"));
    products[5] = sellers[1].act(&sold).await.expect(200).json;
    Stalls {
        sellers,
        categories,
        shop,
        tags,
        products,
    }
}

#[tokio::test]
async fn lists_have_what_was_asked_for_in_the_order_that_was_asked_for() {
    let Some(market) = market() else { return };
    let Stalls {
        sellers,
        categories,
        shop,
        tags,
        products,
    } = open(&market).await;
    let (one, two) = (sellers[0].id(), text(&sellers[1].me, "username"));
    let (first, second) = (&categories[0], &categories[1]);
    let second = text(
        &market
            .anonymous()
            .get(&format!("/v1/categories/{second}"))
            .await
            .expect(200)
            .json,
        "slug",
    )
    .to_owned();
    let (shop_id, shop_slug) = (text(&shop, "id"), text(&shop, "slug"));
    let (red, blue) = (&tags[0], tags[1].replace(" & ", "%20%26%20"));
    for (query, expected) in [
        (format!("category={first}"), vec![6, 3, 1, 0]),
        (format!("category={second}"), vec![4, 2]),
        (format!("category={first}&sort=newest"), vec![6, 3, 1, 0]),
        (format!("category={first}&sort=price"), vec![0, 6, 1, 3]),
        (format!("category={first}&sort=-price"), vec![3, 1, 6, 0]),
        (format!("category={first}&status=published"), vec![6, 3, 1, 0]),
        (format!("category={first}&status=sold"), vec![5]),
        (format!("category={second}&status=sold"), vec![]),
        (format!("author={one}"), vec![2, 1, 0]),
        (format!("author={two}&sort=price"), vec![6, 4, 3]),
        (format!("author={two}&status=sold&sort=-price"), vec![5]),
        (format!("vendor={shop_id}"), vec![2, 0]),
        (format!("vendor={shop_slug}&sort=-price"), vec![0, 2]),
        (format!("tag={red}"), vec![4, 1, 0]),
        (format!("tag={}&sort=price", red.to_uppercase()), vec![0, 4, 1]),
        (format!("tag={blue}"), vec![2, 1]),
        (format!("tag={red}&status=sold"), vec![5]),
        // Combined.
        (format!("tag={red}&category={first}"), vec![1, 0]),
        (format!("tag={red}&author={two}"), vec![4]),
        (format!("vendor={shop_id}&category={first}"), vec![0]),
        (format!("vendor={shop_id}&category={second}&sort=price"), vec![2]),
        (format!("vendor={shop_id}&author={two}"), vec![]),
        (format!("author={one}&category={first}&tag={blue}&sort=-price"), vec![1]),
        (
            format!("vendor={shop_id}&author={one}&category={second}&tag={blue}&status=published&sort=price"),
            vec![2],
        ),
    ] {
        let found = market.anonymous().all(&format!("/v1/products?{query}")).await;
        let expected: Vec<_> = expected.into_iter().map(|n: usize| &products[n]).collect();
        assert!(
            found.iter().eq(expected.iter().copied()),
            "{query}:\n{:?}\n{:?}",
            ids(&found),
            expected
        );
        // In pages of one it is the same list.
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = market
                .anonymous()
                .get(&format!("/v1/products?{query}&limit=1{cursor}"))
                .await
                .expect(200);
            assert!(page.items().len() <= 1);
            paged.extend_from_slice(page.items());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(ids(&paged), ids(&found), "{query}");
    }
}

#[tokio::test]
async fn drafts_and_archived_products_are_listed_by_every_filter() {
    let Some(market) = market() else { return };
    let (seller, moderator) = (market.member().await, market.admin().await);
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let tag = unique("tag");
    let hidden = seller
        .draft(&category, json!({ "vendor": shop["id"], "tags": [tag] }))
        .await;
    seller.draft(&category, json!({})).await;
    for client in [&seller, &moderator] {
        for query in [
            format!("tag={tag}&category={category}"),
            format!("vendor={}", text(&shop, "id")),
            format!("vendor={}&tag={tag}&sort=price", text(&shop, "id")),
            format!("author={}&tag={tag}", seller.id()),
        ] {
            let found = client.all(&format!("/v1/products?status=draft&{query}")).await;
            assert_eq!(found, std::slice::from_ref(&hidden), "{query}");
        }
    }
    let other = market.member().await;
    assert!(
        other
            .all(&format!("/v1/products?status=draft&vendor={}", text(&shop, "id")))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_parameter_that_is_unknown_or_wrong_is_named() {
    let Some(market) = market() else { return };
    let anyone = market.anonymous();
    for (path, fields) in [
        ("/v1/products?color=red", vec!["color"]),
        ("/v1/products?Limit=1", vec!["Limit"]),
        ("/v1/products?limit=0", vec!["limit"]),
        ("/v1/products?limit=101", vec!["limit"]),
        ("/v1/products?limit=-1", vec!["limit"]),
        ("/v1/products?limit=1e1", vec!["limit"]),
        ("/v1/products?limit=99999999999999999999", vec!["limit"]),
        ("/v1/products?limit=1&limit=2", vec!["limit"]),
        ("/v1/products?limit=", vec!["limit"]),
        ("/v1/products?status=deleted", vec!["status"]),
        ("/v1/products?sort=title", vec!["sort"]),
        ("/v1/products?a=1&b=2&sort=", vec!["a", "b", "sort"]),
        ("/v1/products/lamp?limit=1", vec!["limit"]),
        ("/v1/categories?sort=price", vec!["sort"]),
        ("/v1/vendors?of=me", vec!["of"]),
        ("/v1/accounts/ada?include=email", vec!["include"]),
        ("/healthz?deep=1", vec!["deep"]),
        ("/openapi.json?v=2", vec!["v"]),
    ] {
        anyone.get(path).await.names(400, &fields);
    }
    let member = market.member().await;
    member.get("/v1/me?expand=all").await.names(400, &["expand"]);
    member
        .post("/v1/products?dry_run=1", json!({}))
        .await
        .names(400, &["dry_run"]);
    for name in ["category", "author", "vendor"] {
        for unknown in ["no-such-thing", "prd_0123456789abcdef0123456789abcdef", "%F0%9F%92%A1"] {
            anyone
                .get(&format!("/v1/products?{name}={unknown}"))
                .await
                .names(422, &[name]);
        }
    }
    assert!(
        anyone
            .all(&format!("/v1/products?tag={}", unique("unused")))
            .await
            .is_empty()
    );
}
