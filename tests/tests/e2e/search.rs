//! Finding products. Every word that matters is a test's own, since all of them share a market.

#![expect(clippy::disallowed_methods, reason = "tests run on a real machine")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use souk_tests::client::{Client, market, unique};
use tokio::sync::Mutex;

use crate::{ids, path_of, text};

/// Who tunes search, or goes by its order from page to page.
pub(crate) static TUNING: Mutex<()> = Mutex::const_new(());

/// A word of letters that no other test uses.
pub(crate) fn word() -> String {
    let digits = unique("").bytes().filter(u8::is_ascii_hexdigit).collect::<Vec<_>>();
    let letter = |byte: u8| char::from(b"bcdfghjklmnprtvw"[usize::from(char::from(byte).to_digit(16).unwrap() as u8)]);
    digits.into_iter().take(12).map(letter).collect()
}

/// Asks until `done` says so of every answer for as long as the instances of a host may differ: `SOUK_TEST_LAG` milliseconds,
/// if it is set.
async fn settled(who: &Client, query: &str, done: impl Fn(&Value) -> bool) {
    let lag = std::env::var("SOUK_TEST_LAG").map_or(0, |text| text.parse().unwrap());
    let since = Cell::new(None);
    who.until(&format!("/v1/search?limit=100&{query}"), |page| {
        since.set(done(page).then(|| since.get().unwrap_or_else(Instant::now)));
        since
            .get()
            .is_some_and(|since| since.elapsed() >= Duration::from_millis(lag))
    })
    .await;
}

/// A query finds these, in any order, at last.
pub(crate) async fn finds(who: &Client, query: &str, expected: &[&Value]) {
    let expected: BTreeSet<&str> = expected.iter().map(|product| text(product, "id")).collect();
    settled(who, query, |page| {
        let found = ids(page["items"].as_array().unwrap());
        found.len() == expected.len() && found.into_iter().collect::<BTreeSet<_>>() == expected
    })
    .await;
}

/// A query finds these in this order, at last.
pub(crate) async fn finds_in_order(who: &Client, query: &str, expected: &[&Value]) {
    let expected: Vec<&str> = expected.iter().map(|product| text(product, "id")).collect();
    settled(who, query, |page| ids(page["items"].as_array().unwrap()) == expected).await;
}

#[tokio::test]
async fn what_is_published_is_found_and_what_is_not_is_gone() {
    let Some(market) = market() else { return };
    let (seller, anyone, admin) = (market.member().await, market.anonymous(), market.admin().await);
    let category = market.category(json!([])).await;
    let [old, new, other] = [word(), word(), word()];
    let product = seller.draft(&category, json!({ "title": old })).await;
    let marker = seller.published(&category, json!({ "title": other })).await;
    let (path, find) = (path_of(&product), |word: &str| format!("q={word}"));
    finds(&anyone, &find(&other), &[&marker]).await;
    finds(&anyone, &find(&old), &[]).await;
    for (step, found) in [
        ("publish", true),
        ("sold", false),
        ("archive", false),
        ("publish", true),
        ("draft", false),
        ("publish", true),
    ] {
        seller.act(&format!("{path}/{step}")).await.expect(200);
        finds(
            &anyone,
            &find(&old),
            if found { vec![&product] } else { vec![] }.as_slice(),
        )
        .await;
    }
    seller.patch(&path, json!({ "title": new })).await.expect(200);
    finds(&anyone, &find(&new), &[&product]).await;
    finds(&anyone, &find(&old), &[]).await;
    let item = anyone.get(&format!("/v1/search?q={new}")).await.expect(200).items()[0].clone();
    let mut shown = anyone.get(&path).await.expect(200).json;
    shown["highlights"] = json!({ "title": format!("<mark>{new}</mark>"), "description": "" });
    assert_eq!(item, shown, "a hit is the product as it is, and its highlights");
    // Votes, and the name of the category.
    seller
        .call(reqwest::Method::PUT, &format!("{path}/upvote"))
        .await
        .expect(200);
    anyone
        .until(&format!("/v1/search?q={new}"), |page| {
            page["items"][0]["upvote_count"] == 1
        })
        .await;
    let name = word();
    admin
        .patch(&format!("/v1/categories/{category}"), json!({ "name": name }))
        .await
        .expect(200);
    finds(&anyone, &find(&name), &[&product, &marker]).await;
    seller.delete(&path).await.expect(204);
    finds(&anyone, &find(&new), &[]).await;
}

#[tokio::test]
async fn words_match_as_people_write_them() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([{ "name": "maker", "type": "text" }])).await;
    let [a, b, tag, maker] = [word(), word(), word(), word()];
    let shop = seller
        .add("/v1/vendors", json!({ "name": format!("Shop {}", word()) }))
        .await;
    let first = seller
        .published(
            &category,
            json!({ "title": format!("Crème {a} {b}s"), "tags": [tag], "attributes": { "maker": maker } }),
        )
        .await;
    let second = seller
        .published(
            &category,
            json!({ "title": b, "description": format!("with {a} in it"), "vendor": shop["id"] }),
        )
        .await;
    let swap = |word: &str| format!("{}{}{}", &word[..5], word[6..7].to_owned() + &word[5..6], &word[7..]);
    let cut = |word: &str| word[..9].to_owned();
    let shop_name = text(&shop, "name").split_once(' ').unwrap().1.to_owned();
    for (query, expected) in [
        (format!("{a} {b}"), vec![&first, &second]),
        (format!("creme {a}"), vec![&first]),
        (format!("CRÈMES {}", a.to_uppercase()), vec![&first]),
        (format!("\"{a} {b}\""), vec![&first]),
        (format!("\"{b} {a}\""), vec![]),
        (format!("{a} {}", cut(&b)), vec![&first, &second]),
        (format!("{} {b}", cut(&a)), vec![]),
        (swap(&a), vec![&first, &second]),
        (tag.clone(), vec![&first]),
        (maker.clone(), vec![&first]),
        (shop_name, vec![&second]),
        (format!("{a} {}", word()), vec![]),
    ] {
        let query: String = form(&query);
        finds(&anyone, &format!("q={query}"), &expected).await;
    }
    // The title counts for more than the description.
    finds_in_order(&anyone, &format!("q={a}"), &[&first, &second]).await;
    finds(&anyone, &format!("q={a}&vendor={}", text(&shop, "slug")), &[&second]).await;
}

/// Encodes a value for a query string.
pub(crate) fn form(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

#[tokio::test]
async fn filters_and_facets_are_what_counting_by_hand_gives() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let attributes = json!([{ "name": "size", "type": "number", "filterable": true }]);
    let categories = [
        market.category(attributes.clone()).await,
        market.category(attributes).await,
    ];
    let (word, tags) = (word(), [unique("a"), unique("b"), unique("c")]);
    let conditions = ["new", "good", "poor"];
    let mut products = Vec::new();
    for n in 0..12_usize {
        let more = json!({
            "title": format!("{word} {n}"), "condition": conditions[n % 3], "tags": [tags[n % 3], tags[(n / 2) % 3]],
            "price": { "amount": 500 * n, "currency": "EUR" }, "attributes": { "size": n / 4 },
            "location": { "latitude": 10.0 + 0.1 * n as f64, "longitude": 20.0 },
        });
        products.push(seller.published(&categories[n % 2], more).await);
    }
    finds(&anyone, &format!("q={word}"), &products.iter().collect::<Vec<_>>()).await;

    let has = |product: &Value, field: &str, values: &[&str]| match field {
        "category" | "condition" => values.contains(&text(product, field)),
        "tag" => values
            .iter()
            .any(|tag| product["tags"].as_array().unwrap().contains(&json!(tag))),
        _ => values.contains(&product["attributes"]["size"].to_string().as_str()),
    };
    let price = |product: &Value| product["price"]["amount"].as_i64().unwrap();
    let some_tags = [tags[0].as_str(), tags[1].as_str()];
    let chosen: [Vec<(&str, Vec<&str>)>; 4] = [
        vec![("category", vec![categories[0].as_str()])],
        vec![("condition", vec!["new", "poor"]), ("tag", some_tags.to_vec())],
        vec![
            ("category", categories.iter().map(String::as_str).collect()),
            ("attr.size", vec!["0", "2"]),
        ],
        vec![
            ("tag", vec![some_tags[0]]),
            ("attr.size", vec!["1"]),
            ("category", vec![categories[1].as_str()]),
        ],
    ];
    for filters in chosen {
        for (min, max) in [(0, i64::MAX), (1_500, 4_000)] {
            let mut path = format!("q={word}");
            for (field, values) in &filters {
                path += &format!("&{field}={}", values.join(","));
            }
            if min > 0 {
                path += &format!("&min_price={min}&max_price={max}&currency=EUR");
            }
            let fits = |product: &Value, without: &str| {
                (min..=max).contains(&price(product))
                    && filters
                        .iter()
                        .all(|(field, values)| *field == without || has(product, field, values))
            };
            let expected: Vec<&Value> = products.iter().filter(|product| fits(product, "")).collect();
            finds(&anyone, &path, &expected).await;
            let facets = "category,condition,tag,attr.size";
            let page = anyone
                .get(&format!("/v1/search?{path}&facets={facets}"))
                .await
                .expect(200);
            for field in facets.split(',') {
                let mut counts: BTreeMap<String, u64> = BTreeMap::new();
                for product in products.iter().filter(|product| fits(product, field)) {
                    let values: BTreeSet<String> = match field {
                        "tag" => product["tags"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|t| t.as_str().unwrap().into())
                            .collect(),
                        "attr.size" => [product["attributes"]["size"].to_string()].into(),
                        _ => [text(product, field).to_owned()].into(),
                    };
                    values
                        .into_iter()
                        .for_each(|value| *counts.entry(value).or_default() += 1);
                }
                let given = page["facets"][field].as_array().unwrap().iter();
                let given: BTreeMap<String, u64> = given
                    .map(|facet| (text(facet, "value").to_owned(), facet["count"].as_u64().unwrap()))
                    .collect();
                assert_eq!(given, counts, "{path}: {field}");
            }
        }
    }
    let prices = anyone
        .get(&format!("/v1/search?q={word}&facets=price&max_price=1&currency=EUR"))
        .await
        .expect(200);
    // The bounds do not narrow their own facet.
    let euros = |value: &str, label: &str, min: u64, max: u64, count: u64| json!({ "value": value, "label": label, "currency": "EUR", "min_price": min, "max_price": max, "count": count });
    assert_eq!(
        prices["facets"]["price"],
        json!([
            euros("0-999", "0 – 10 EUR", 0, 999, 2),
            euros("1000-4999", "10 – 50 EUR", 1_000, 4_999, 8),
            euros("5000-9999", "50 – 100 EUR", 5_000, 9_999, 2),
        ])
    );
    let path = format!("/v1/search?q={word}&facets=category,attr.size");
    let facets = anyone.get(&path).await.expect(200).json["facets"].clone();
    let sizes = facets["attr.size"].as_array().unwrap().iter();
    assert_eq!(
        sizes.map(|size| text(size, "value")).collect::<Vec<_>>(),
        ["0", "1", "2"]
    );
    for facet in facets["category"].as_array().unwrap() {
        let category = anyone
            .get(&format!("/v1/categories/{}", text(facet, "value")))
            .await
            .expect(200)
            .json;
        assert_eq!(
            (&facet["slug"], &facet["label"]),
            (&category["slug"], &category["name"])
        );
    }

    // Orders, and page by page.
    let all = |reverse: bool| -> Vec<&Value> {
        let all = products.iter();
        if reverse { all.rev().collect() } else { all.collect() }
    };
    for (sort, reverse) in [("price", false), ("-price", true), ("newest", true)] {
        finds_in_order(&anyone, &format!("q={word}&sort={sort}"), &all(reverse)).await;
    }
    let near = |of: &str| format!("q={word}&near=10.0,20.0&radius={of}&sort=nearest");
    finds_in_order(&anyone, &near("36000"), &all(false)[..4]).await;
    finds_in_order(&anyone, &near("500000"), &all(false)).await;
    let _untuned = TUNING.lock().await;
    for sort in ["relevance", "price", "nearest&near=10.5,20&radius=400000"] {
        let path = format!("/v1/search?q={word}&sort={sort}");
        let whole = anyone.get(&format!("{path}&limit=100")).await.expect(200);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = anyone.get(&format!("{path}&limit=5{cursor}")).await.expect(200);
            seen.extend(ids(page.items()).into_iter().map(str::to_owned));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, ids(whole.items()), "{sort}");
    }
}
