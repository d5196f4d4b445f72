//! The filters that lists of products and search share: the same query gives the same products in both.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use souk_tests::client::{Client, Market, Reply, market, unique};
use souk_tests::search::filters::Chance;

use crate::search::finds;
use crate::{ids, text};

const SIZES: [&str; 3] = ["S", "M", "L"];
const CONDITIONS: [&str; 5] = ["new", "like_new", "good", "fair", "poor"];

/// What random filters choose from.
struct Stall {
    root: String,
    categories: [String; 2],
    sellers: Vec<Client>,
    vendors: [Value; 2],
    tags: [String; 3],
    products: Vec<Value>,
}

fn euro(amount: usize) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

/// Products with random fields, no two of one price. Some have variants.
async fn open(market: &Market, chance: &mut Chance) -> Stall {
    let (admin, sellers) = (market.admin().await, market.members(2).await);
    let root = market
        .category(json!([{ "name": "width", "type": "number", "filterable": true }]))
        .await;
    let inside = json!({
        "name": unique("Below"), "parent": root,
        "attributes": [
            { "name": "width", "type": "number", "filterable": true },
            { "name": "wood", "type": "choice", "filterable": true, "choices": ["oak", "ash"] },
        ],
    });
    let inside = admin.add("/v1/categories", inside).await;
    let categories = [root.clone(), text(&inside, "id").to_owned()];
    let mut vendors = Vec::new();
    for seller in &sellers {
        vendors.push(seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await);
    }
    let tags = [unique("red"), unique("old"), unique("rare")];
    let mut products = Vec::new();
    for n in 0..40 {
        let (who, category) = (chance.below(2), chance.below(2));
        let some = tags.iter().filter(|_| chance.below(2) == 0);
        let mut more = json!({ "tags": some.collect::<Vec<_>>(), "condition": chance.of(&CONDITIONS) });
        let mut attributes = json!({});
        if chance.below(3) > 0 {
            attributes["width"] = json!(chance.below(20) as f64 / 2.0);
        }
        if category == 1 {
            attributes["wood"] = json!(chance.of(&["oak", "ash"]));
        }
        more["attributes"] = attributes;
        if chance.below(3) > 0 {
            more["vendor"] = vendors[who]["id"].clone();
        }
        if chance.below(3) > 0 {
            more["location"] = json!({ "latitude": 50.0 + chance.below(9) as f64 / 100.0, "longitude": 8.0 });
        }
        let price = 100 * chance.below(50) + n;
        if chance.below(3) == 0 {
            let variants = SIZES.iter().take(1 + chance.below(3)).zip(0..);
            let variants =
                variants.map(|(size, m)| json!({ "options": { "Size": size }, "price": euro(price + 2_000 * m) }));
            more["options"] = json!([{ "name": "Size" }]);
            more["variants"] = variants.collect();
        }
        more["price"] = euro(price);
        if chance.below(5) == 0 && more["variants"].is_null() {
            more["price"]["currency"] = json!("USD");
        }
        products.push(sellers[who].published(&categories[category], more).await);
    }
    Stall {
        root,
        categories,
        sellers,
        vendors: vendors.try_into().unwrap(),
        tags,
        products,
    }
}

/// A random filter, within the categories of the stall.
fn filter(stall: &Stall, chance: &mut Chance) -> String {
    let [first, second] = &stall.categories;
    let mut query = match chance.below(4) {
        0 => format!("category={second}"),
        1 => format!("category={first},{second}"),
        _ => format!("category={}", stall.root),
    };
    let mut some = |name: &str, values: &[&str]| {
        let chosen: BTreeSet<&str> = (0..=chance.below(2)).map(|_| chance.of(values)).collect();
        match chance.below(4) {
            0 => format!("&{name}={}", chosen.into_iter().collect::<Vec<_>>().join(",")),
            _ => String::new(),
        }
    };
    let [red, old, rare] = &stall.tags;
    query += &some("tag", &[red, old, rare]);
    query += &some("condition", &CONDITIONS);
    query += &some(
        "vendor",
        &[text(&stall.vendors[0], "id"), text(&stall.vendors[1], "slug")],
    );
    query += &some("author", &[stall.sellers[0].id(), stall.sellers[1].id()]);
    query += &some("option.size", &SIZES);
    query += &some("attr.wood", &["oak", "ash"]);
    query += &some("attr.width", &["0", "2.5", "4.0", "7"]);
    if !query.contains("attr.width") && chance.below(4) == 0 {
        let bounds = [chance.below(10), 3 + chance.below(10)];
        query += &match chance.below(3) {
            0 => format!("&attr.width={}..", bounds[0]),
            1 => format!("&attr.width=..{}.5", bounds[1]),
            _ => format!("&attr.width={}..{}", bounds[0].min(bounds[1]), bounds[1]),
        };
    }
    if chance.below(3) == 0 {
        query += "&currency=EUR";
        let from = chance.below(5_000);
        match chance.below(4) {
            0 => {}
            1 => query += &format!("&min_price={from}"),
            2 => query += &format!("&max_price={from}"),
            _ => query += &format!("&min_price={from}&max_price={}", from + 1_500),
        }
    }
    if chance.below(5) == 0 {
        query += &format!("&near=50.0,8.0&radius={}", 1 + chance.below(9_000));
    }
    query
}

#[tokio::test]
async fn lists_and_search_find_the_same_products() {
    let Some(market) = market() else { return };
    let (anyone, mut chance) = (market.anonymous(), Chance(19));
    let stall = open(&market, &mut chance).await;
    let all: Vec<&Value> = stall.products.iter().collect();
    finds(&anyone, &format!("category={}", stall.root), &all).await;
    let mut matches = 0;
    for n in 0..80 {
        let query = filter(&stall, &mut chance);
        let order = ["newest", "oldest", "price", "-price"][n % 4];
        let [listed, found] = ["products", "search"].map(|list| format!("/v1/{list}?{query}&sort={order}&limit=100"));
        let listed = anyone.get(&listed).await.expect(200);
        let found = anyone.get(&found).await.expect(200);
        assert_eq!(ids(listed.items()), ids(found.items()), "{query} {order}");
        matches += found.items().len();
        for page in [&listed, &found] {
            let total = (&page["total"], &page["total_is_exact"]);
            assert_eq!(total, (&json!(found.items().len()), &json!(true)), "{query}");
        }
        for (a, b) in listed.items().iter().zip(found.items()) {
            assert_eq!((&a["distance"], &a["price"]), (&b["distance"], &b["price"]), "{query}");
            assert_eq!(a["distance"].is_u64(), query.contains("near="), "{query}");
        }
        walks_back(&anyone, &format!("{query}&sort={order}"), &ids(found.items())).await;
    }
    assert!(matches > 200, "{matches} matches prove little");
}

/// In pages of a few, forwards and back, both lists are the same. A page of a list may be short.
async fn walks_back(anyone: &Client, query: &str, expected: &[&str]) {
    for list in ["products", "search"] {
        let path = format!("/v1/{list}?{query}&limit=7");
        let mut pages = vec![anyone.get(&path).await.expect(200)];
        while let Some(next) = pages.last().unwrap()["next_cursor"].as_str() {
            let next = format!("{path}&cursor={next}");
            pages.push(anyone.get(&next).await.expect(200));
        }
        let all: Vec<&str> = pages.iter().flat_map(|page| ids(page.items())).collect();
        assert_eq!(all, expected, "{path}");
        assert_eq!(pages[0]["prev_cursor"], Value::Null);
        let is_empty = |page: &Reply| page.items().is_empty() && !expected.is_empty();
        assert!(!pages.iter().any(is_empty), "{path}");
        for page in &pages {
            let total = (&page["total"], &page["total_is_exact"]);
            assert_eq!(total, (&json!(expected.len()), &json!(true)), "{path}");
        }
        let mut before: Vec<String> = Vec::new();
        let mut cursor = pages.last().unwrap()["prev_cursor"].as_str().map(str::to_owned);
        while let Some(prev) = cursor {
            let page = anyone.get(&format!("{path}&cursor={prev}")).await.expect(200);
            assert!(!is_empty(&page), "{path}");
            before.splice(0..0, ids(page.items()).into_iter().map(str::to_owned));
            cursor = page["prev_cursor"].as_str().map(str::to_owned);
        }
        let last = pages.last().unwrap().items().len();
        let last = if pages.len() > 1 { last } else { expected.len() };
        assert_eq!(before, expected[..expected.len() - last], "{path}");
    }
}

/// A category below may declare the same attribute with another type, or as not filterable.
#[tokio::test]
async fn an_attribute_of_several_types_is_one_in_both() {
    let Some(market) = market() else { return };
    let (admin, seller, anyone) = (market.admin().await, market.member().await, market.anonymous());
    let root = market
        .category(json!([{ "name": "size", "type": "number", "filterable": true }]))
        .await;
    let mut products = Vec::new();
    for (kind, filterable, size) in [("choice", true, "10"), ("text", false, "10"), ("choice", true, "S")] {
        let choices = if kind == "choice" {
            json!(["10", "S"])
        } else {
            json!([])
        };
        let size_of = json!({ "name": "size", "type": kind, "filterable": filterable, "choices": choices });
        let below = json!({ "name": unique("Below"), "parent": root, "attributes": [size_of] });
        let below = admin.add("/v1/categories", below).await;
        let more = json!({ "attributes": { "size": size } });
        products.push(seller.published(text(&below, "id"), more).await);
    }
    products.push(seller.published(&root, json!({ "attributes": { "size": 10 } })).await);
    let all: Vec<&Value> = products.iter().collect();
    finds(&anyone, &format!("category={root}"), &all).await;
    let tens = [&products[0], &products[1], &products[3]];
    for (query, expected) in [
        ("attr.size=10", &tens[..]),
        ("attr.size=10.0", &tens),
        ("attr.size=9..11", &tens),
        ("attr.size=S", &[&products[2]]),
        ("attr.size=10,S", &all),
        ("attr.size=11..", &[]),
    ] {
        for list in ["products", "search"] {
            let path = format!("/v1/{list}?category={root}&{query}");
            let page = anyone.get(&path).await.expect(200);
            let mut found = ids(page.items());
            let mut wanted: Vec<&str> = expected.iter().map(|product| text(product, "id")).collect();
            found.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{path}");
        }
    }
}

#[tokio::test]
async fn ids_and_skus_are_found_in_both() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let shop = seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await;
    let mut products = Vec::new();
    for n in 0..4 {
        let more = json!({ "vendor": shop["id"], "sku": format!("S-{n}"), "price": euro(100 + n) });
        products.push(seller.published(&category, more).await);
    }
    let draft = seller.draft(&category, json!({ "vendor": shop["id"] })).await;
    finds(
        &anyone,
        &format!("category={category}"),
        &products.iter().collect::<Vec<_>>(),
    )
    .await;
    let [a, b, c, _] = [0, 1, 2, 3].map(|n| text(&products[n], "id"));
    let missing = "prd_00000000000000000000000000000000";
    for list in ["products", "search"] {
        let path = format!("/v1/{list}?ids={c},{missing},{a},{},{b}", text(&draft, "id"));
        let page = anyone.get(&path).await.expect(200);
        assert_eq!(ids(page.items()), [c, a, b], "{path}");
        assert_eq!((&page["total"], &page["next_cursor"]), (&json!(3), &Value::Null));
        let cheap = anyone
            .get(&format!("{path}&currency=EUR&max_price=101"))
            .await
            .expect(200);
        assert_eq!(ids(cheap.items()), [a, b], "{path}");
        let sku = format!("/v1/{list}?vendor={}&sku=S-1", text(&shop, "slug"));
        assert_eq!(ids(anyone.get(&sku).await.expect(200).items()), [b], "{list}");
        let expanded = anyone
            .get(&format!("{sku}&include=vendor,category&fields=id,vendor,category"))
            .await;
        let expanded = expanded.expect(200);
        let shown = &expanded.items()[0];
        assert_eq!(
            (&shown["vendor"]["slug"], shown["title"].is_null()),
            (&shop["slug"], true),
            "{list}"
        );
        assert!(
            shown["category"]["slug"].is_string() && shown.get("highlights").is_none(),
            "{list}"
        );
        for (query, fields) in [
            ("min_price=1", &["currency"][..]),
            ("currency=euro", &["currency"]),
            ("ids=a&sort=price&cursor=x", &["sort", "cursor"]),
            ("sku=1", &["vendor"]),
            ("near=1", &["near"]),
            ("radius=5", &["near"]),
            ("condition=old", &["condition"]),
            ("attr.no_such_thing=1", &["attr.no_such_thing"]),
            ("sort=best", &["sort"]),
            ("fields=title&fields=vendor&include=vendor", &["fields"]),
            (
                "limit=0&near=1&min_price=5&fields=colour&max_price=x",
                &["limit", "near", "currency", "fields", "max_price"],
            ),
        ] {
            anyone.get(&format!("/v1/{list}?{query}")).await.names(400, fields);
        }
    }
    for list in ["products", "search"] {
        let path = format!("/v1/{list}?category=no-such-a,{category},no-such-b&vendor=no-such&author=no-such");
        anyone
            .get(&path)
            .await
            .names(422, &["category", "category", "vendor", "author"]);
    }
    anyone.get("/v1/search?status=draft").await.names(400, &["status"]);
    anyone.get("/v1/products?q=lamp").await.names(400, &["q"]);
}

#[tokio::test]
async fn ones_own_products_are_listed_in_any_status() {
    let Some(market) = market() else { return };
    let (seller, other) = (market.member().await, market.member().await);
    let category = market.category(json!([])).await;
    let draft = seller.draft(&category, json!({})).await;
    let published = seller.published(&category, json!({})).await;
    let sold = seller.published(&category, json!({})).await;
    seller
        .act(&format!("/v1/products/{}/sold", text(&sold, "id")))
        .await
        .expect(200);
    let path = "/v1/products?author=me&status=any";
    let mine = seller.get(path).await.expect(200);
    let all = [&draft, &published, &sold].map(|product| text(product, "id"));
    assert_eq!(
        ids(mine.items()).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(all)
    );
    assert_eq!(mine["total"], 3);
    assert!(other.get(path).await.expect(200).items().is_empty());
    market.anonymous().get(path).await.expect(401);
    other
        .get(&format!("/v1/products?author={}&status=any", seller.id()))
        .await
        .expect(403);
    let moderator = market.admin().await;
    let seen = moderator
        .get(&format!("/v1/products?author={}&status=any", seller.id()))
        .await
        .expect(200);
    assert_eq!(ids(seen.items()), ids(mine.items()));
    for list in ["products", "search"] {
        let own = format!("/v1/{list}?author=me&category={category}");
        seller
            .until(&own, |page| {
                ids(page["items"].as_array().unwrap()) == [text(&published, "id")]
            })
            .await;
        market.anonymous().get(&own).await.expect(401);
    }
}
