//! Options and variants, stock-keeping units, and prices before a reduction.

use serde_json::{Value, json};
use souk_tests::client::{Client, market, product, unique};

use crate::search::{finds, word};
use crate::{path_of, text};

fn euro(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

fn variant(size: &str, color: &str, more: Value) -> Value {
    let mut variant = json!({ "options": { "Size": size, "color": color } });
    variant
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    variant
}

fn shirt() -> Value {
    json!({
        "price": euro(2000),
        "options": [{ "name": "Size", "values": ["S", "M", "L"] }, { "name": "Color" }],
        "variants": [
            variant("S", "red", json!({ "sku": "S-R", "gtin": "4006381333931", "weight": 200 })),
            variant("M", "red", json!({ "sku": "M-R", "price": euro(2500), "compare_at_price": euro(3000) })),
            variant(" M ", "dark  blue", json!({ "picture": "https://img.example/m.jpg" })),
        ],
    })
}

async fn shop(seller: &Client) -> Value {
    seller.add("/v1/vendors", json!({ "name": unique("Shop") })).await
}

#[tokio::test]
async fn a_product_has_options_and_variants() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let vendor = shop(&seller).await;
    let mut new = shirt();
    new["vendor"] = vendor["id"].clone();
    // The price of those without one is not the lowest.
    new["variants"][0]["price"] = euro(1500);
    let made = seller.draft(&category, new).await;
    assert_eq!((&made["price"], &made["highest_price"]), (&euro(1500), &euro(2500)));
    assert_eq!(
        made["options"],
        json!([
            { "key": "size", "name": "Size", "values": ["S", "M"] },
            { "key": "color", "name": "Color", "values": ["red", "dark blue"] },
        ])
    );
    let variants = made["variants"].as_array().unwrap().clone();
    let expected = [
        json!({ "options": { "size": "S", "color": "red" }, "sku": "S-R", "gtin": "4006381333931", "price": euro(1500), "weight": 200 }),
        json!({ "options": { "size": "M", "color": "red" }, "sku": "M-R", "price": euro(2500), "compare_at_price": euro(3000) }),
        json!({ "options": { "size": "M", "color": "dark blue" }, "price": euro(2000), "picture": "https://img.example/m.jpg" }),
    ];
    for (variant, expected) in variants.iter().zip(expected) {
        let mut shown = variant.clone();
        assert!(
            shown
                .as_object_mut()
                .unwrap()
                .remove("id")
                .unwrap()
                .as_str()
                .unwrap()
                .starts_with("var_")
        );
        assert_eq!(shown, expected);
    }

    // A patch replaces them; one with the same options, or the id, is the same variant.
    let path = path_of(&made);
    let patch = json!({ "variants": [
        variant("M", "dark blue", json!({ "price": euro(900) })),
        { "id": variants[1]["id"], "options": { "size": "L", "color": "red" }, "sku": "S-R", "price": euro(1000) },
        variant("S", "green", json!({ "price": euro(1000) })),
    ] });
    let patched = seller.patch(&path, patch).await.expect(200);
    let ids: Vec<&Value> = patched["variants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variant| &variant["id"])
        .collect();
    assert_eq!(ids[..2], [&variants[2]["id"], &variants[1]["id"]]);
    assert!(variants.iter().all(|variant| variant["id"] != *ids[2]));
    assert_eq!(
        (&patched["price"], &patched["highest_price"]),
        (&euro(900), &euro(1000))
    );
    let title = seller.patch(&path, json!({ "title": "Another" })).await.expect(200);
    assert_eq!(title["variants"], patched["variants"]);
    seller
        .patch(&path, json!({ "price": euro(5) }))
        .await
        .names(422, &["price"]);
    seller.patch(&path, json!({ "sku": "X" })).await.names(422, &["sku"]);

    // Lists leave the variants out.
    seller.act(&format!("{path}/publish")).await.expect(200);
    let list = format!("/v1/products?category={category}");
    let listed = anyone.get(&list).await.expect(200).json;
    assert_eq!(listed["items"][0]["highest_price"], euro(1000));
    assert_eq!(listed["items"][0].get("variants"), None);
    let listed = anyone.get(&format!("{list}&fields=id,variants")).await.expect(200).json;
    assert_eq!(listed["items"][0]["variants"], patched["variants"]);
    let listed = anyone.get(&format!("{list}&include=category")).await.expect(200).json;
    assert_eq!(listed["items"][0].get("variants"), None);

    // Without them it is a simple product again.
    let simple = json!({ "options": [], "variants": [], "sku": "M-R", "price": euro(700), "weight": 5 });
    let simple = seller.patch(&path, simple).await.expect(200);
    assert_eq!((simple.json.get("variants"), simple.json.get("options")), (None, None));
    assert_eq!(
        (&simple["sku"], &simple["price"], &simple["weight"]),
        (&json!("M-R"), &euro(700), &json!(5))
    );
}

#[tokio::test]
async fn variants_that_do_not_fit_are_refused_with_the_reason() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let many = |count: usize| -> Value {
        (0..count)
            .map(|n| json!({ "options": { "size": n.to_string() } }))
            .collect()
    };
    let one_option = json!([{ "name": "Size" }]);
    for (more, field) in [
        (json!({ "options": one_option }), "variants"),
        (json!({ "variants": many(1) }), "variants"),
        (
            json!({ "options": [{ "name": "Size" }, { "name": "size" }], "variants": many(1) }),
            "options variants[0].options",
        ),
        (
            json!({ "options": [{ "name": "a" }, { "name": "b" }, { "name": "c" }, { "name": "d" }], "variants": many(1) }),
            "options variants[0].options",
        ),
        (
            json!({ "options": [{ "name": "" }], "variants": many(1) }),
            "options[0].name variants[0].options",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": {} }] }),
            "variants[0].options",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "S", "color": "red" } }] }),
            "variants[0].options",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "" } }] }),
            "variants[0].options.size",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "S" } }, { "options": { "Size": " S" } }] }),
            "variants[1].options",
        ),
        (json!({ "options": one_option, "variants": many(101) }), "variants"),
        (
            json!({ "options": one_option, "variants": many(251) }),
            "variants variants",
        ),
        (
            json!({ "options": one_option, "variants": many(1), "price": null }),
            "variants[0].price",
        ),
        (
            json!({ "options": one_option, "variants": many(1), "gtin": "4006381333931" }),
            "gtin",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "S" }, "gtin": "4006381333932" }] }),
            "variants[0].gtin",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "S" }, "compare_at_price": euro(1999) }] }),
            "variants[0].compare_at_price",
        ),
        (
            json!({ "options": one_option, "variants": [
                { "options": { "size": "S" } }, { "options": { "size": "M" }, "price": { "amount": 1, "currency": "USD" } },
            ] }),
            "price variants[1].price.currency",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "S" }, "sku": "1" }] }),
            "variants[0].sku",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "S" }, "price": { "amount": 1999, "currency": "USD" } }] }),
            "price",
        ),
        (
            json!({ "options": one_option, "variants": [{ "options": { "size": "S" }, "id": "var_00000000000000000000000000000000" }] }),
            "variants[0].id",
        ),
        (json!({ "tags": ["İ".repeat(40)] }), "tags[0]"),
        (json!({ "gtin": "1234" }), "gtin"),
        (json!({ "compare_at_price": euro(1000) }), "compare_at_price"),
        (
            json!({ "compare_at_price": { "amount": 5000, "currency": "USD" } }),
            "compare_at_price",
        ),
        (json!({ "weight": -1 }), "weight"),
        (json!({ "price": null }), "price"),
    ] {
        seller
            .post("/v1/products", product(&category, more))
            .await
            .names(422, &field.split(' ').collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_sku_of_many_is_unique_too_and_leads_to_its_product() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let vendor = shop(&seller).await;
    // More than one commit has room for.
    let variants = |from: usize, count: usize| -> Value {
        (from..from + count).map(|n| json!({ "options": { "size": (n % 100).to_string(), "n": (n / 100).to_string() }, "sku": format!("V-{n}") })).collect()
    };
    let new = |from: usize, count: usize| json!({ "vendor": vendor["id"], "options": [{ "name": "Size" }, { "name": "n" }], "variants": variants(from, count) });
    let many = seller.published(&category, new(0, 250)).await;
    let by_sku = |sku: &str| format!("/v1/products?vendor={}&sku={sku}", text(&vendor, "slug"));
    for n in [0, 99, 249] {
        let found = anyone.all(&by_sku(&format!("V-{n}"))).await;
        assert_eq!(found[0]["id"], many["id"]);
    }
    assert_eq!(anyone.all(&by_sku("V-250")).await, [] as [Value; 0]);
    anyone.get("/v1/products?sku=V-1").await.names(400, &["vendor"]);
    let taken = |from, count| seller.post("/v1/products", product(&category, new(from, count)));
    for (from, count) in [(249, 1), (240, 30), (249, 200)] {
        assert_eq!(taken(from, count).await.expect(409)["code"], "sku_taken");
    }
    // What a refused one has reserved is not lost, and neither is what an edit or a deletion gives up.
    let fewer = seller
        .patch(
            &path_of(&many),
            json!({ "variants": variants(0, 10), "price": euro(1999) }),
        )
        .await
        .expect(200);
    assert_eq!(fewer["variants"].as_array().unwrap().len(), 10);
    assert_eq!(anyone.all(&by_sku("V-100")).await, [] as [Value; 0]);
    let other = seller.published(&category, new(10, 60)).await;
    assert_eq!(anyone.all(&by_sku("V-69")).await[0]["id"], other["id"]);
    let simple = json!({ "vendor": vendor["id"], "sku": "V-200" });
    seller.draft(&category, simple).await;
    assert_eq!(taken(5, 1).await.expect(409)["code"], "sku_taken");
    seller.delete(&path_of(&other)).await.expect(204);
    let again = seller.draft(&category, new(10, 60)).await;
    seller.delete(&path_of(&again)).await.expect(204);

    // A refused edit takes nothing from another one of the same product that comes to pass.
    for round in 0..4 {
        let one = seller.draft(&category, new(300 + 100 * round, 1)).await;
        let more = |count| json!({ "variants": variants(300 + 100 * round, count), "price": euro(1999) });
        let mut taken = more(30);
        taken["variants"][29]["sku"] = json!("V-200");
        let path = path_of(&one);
        let (good, bad) = tokio::join!(async { seller.patch(&path, more(30)).await }, async {
            seller.patch(&path, taken).await
        });
        bad.expect(409);
        good.expect(200);
        let refused = seller
            .post("/v1/products", product(&category, new(301 + 100 * round, 25)))
            .await;
        assert_eq!(refused.expect(409)["code"], "sku_taken");
    }

    // A request that creates a large product can be repeated with its idempotency key, and its prices can change any number of times.
    let large = |from: usize, amount: i64| {
        let mut new = product(&category, new(from, 220));
        for variant in new["variants"].as_array_mut().unwrap() {
            variant["picture"] = json!("https://img.example/a-picture-of-some-length.jpg");
            variant["price"] = euro(amount);
        }
        new["price"] = euro(amount);
        new
    };
    let new = large(1000, 1999);
    let first = seller.post("/v1/products", new.clone()).key("large").await.expect(201);
    assert_eq!(
        seller.post("/v1/products", new).key("large").await.expect(201).json,
        first.json
    );
    let path = path_of(&first.json);
    seller.act(&format!("{path}/publish")).await.expect(200);
    for amount in [1800, 1900, 2000, 2100, 2200] {
        let mut patch = large(1000, amount);
        let patch = json!({ "variants": patch["variants"].take() });
        seller.patch(&path, patch).key("again").await.expect(200);
    }
}

#[tokio::test]
async fn a_reduction_shows_the_lowest_price_before_it() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    let lamp = seller.draft(&category, json!({ "price": euro(500) })).await;
    let path = path_of(&lamp);
    // Nobody saw the price of a draft.
    seller.patch(&path, json!({ "price": euro(2000) })).await.expect(200);
    seller.act(&format!("{path}/publish")).await.expect(200);
    seller.patch(&path, json!({ "price": euro(1800) })).await.expect(200);
    seller.patch(&path, json!({ "price": euro(2200) })).await.expect(200);
    let reduced = json!({ "price": euro(1500), "compare_at_price": euro(2200) });
    let reduced = seller.patch(&path, reduced).await.expect(200);
    assert_eq!(reduced["lowest_prior_price"], euro(1800));
    let past: Vec<_> = reduced["past_prices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|price| &price["amount"])
        .collect();
    // What a lower price followed can no longer be the lowest.
    assert_eq!(past, [1800, 2200]);
    let shown = market.anonymous().get(&path).await.expect(200);
    assert_eq!(shown["lowest_prior_price"], euro(1800));
    let over = seller
        .patch(&path, json!({ "compare_at_price": null }))
        .await
        .expect(200);
    assert_eq!(over.json.get("lowest_prior_price"), None);
    // A variant has its own.
    let mut new = shirt();
    new["vendor"] = shop(&seller).await["id"].clone();
    let shirt = seller.published(&category, new).await;
    let mut variants = shirt["variants"].clone();
    variants[1]["price"] = euro(2400);
    let reduced = seller
        .patch(&path_of(&shirt), json!({ "variants": variants }))
        .await
        .expect(200);
    assert_eq!(reduced["variants"][1]["lowest_prior_price"], euro(2500));
    assert_eq!(reduced["variants"][0].get("past_prices"), None);
    // What is shown can be sent back.
    let again = json!({ "variants": reduced["variants"] });
    let again = seller.patch(&path_of(&shirt), again).await.expect(200);
    assert_eq!(again["variants"], reduced["variants"]);
    // What was changed while nobody saw it does not count, and a detour hides nothing.
    let path = path_of(&lamp);
    seller.act(&format!("{path}/draft")).await.expect(200);
    seller.patch(&path, json!({ "price": euro(1) })).await.expect(200);
    seller
        .patch(&path, json!({ "price": { "amount": 9, "currency": "USD" } }))
        .await
        .expect(200);
    seller.patch(&path, json!({ "price": euro(3000) })).await.expect(200);
    seller.act(&format!("{path}/publish")).await.expect(200);
    let reduced = json!({ "price": euro(2500), "compare_at_price": euro(3000) });
    let reduced = seller.patch(&path, reduced).await.expect(200);
    assert_eq!(reduced["lowest_prior_price"], euro(1500));
    let variants = json!({ "options": [{ "name": "Size" }], "compare_at_price": null, "variants": [
        { "options": { "size": "S" }, "price": euro(2000), "compare_at_price": euro(2500) },
    ] });
    let several = seller.patch(&path, variants).await.expect(200);
    assert_eq!(several["variants"][0]["lowest_prior_price"], euro(1500));
}

/// Filters match one variant as a whole, in lists and in search, and so do counts.
#[tokio::test]
async fn several_options_are_those_of_one_variant() {
    let Some(market) = market() else { return };
    let (seller, anyone) = (market.member().await, market.anonymous());
    let category = market.category(json!([])).await;
    let vendor = shop(&seller).await;
    let code = word();
    let with = |choices: &[(&str, &str)], sku: bool| {
        let variants: Vec<Value> = choices
            .iter()
            .enumerate()
            .map(|(n, (size, color))| variant(size, color, json!({ "sku": sku.then(|| format!("{code}-{n}/x")) })))
            .collect();
        json!({ "vendor": vendor["id"], "options": [{ "name": "Size" }, { "name": "Color" }], "variants": variants })
    };
    let one = seller
        .published(&category, with(&[("S", "red"), ("M", "blue"), ("L", "red")], true))
        .await;
    let two = seller
        .published(&category, with(&[("M", "red"), ("S", "blue")], false))
        .await;
    let plain = seller.published(&category, json!({})).await;
    let table: [(&str, Vec<&Value>); 7] = [
        ("", vec![&one, &two, &plain]),
        ("&option.size=M", vec![&one, &two]),
        ("&option.size=M&option.color=red", vec![&two]),
        ("&option.size=L&option.color=red", vec![&one]),
        ("&option.size=L&option.color=blue", vec![]),
        ("&option.size=XL", vec![]),
        ("&option.fabric=wool", vec![]),
    ];
    for (query, expected) in &table {
        let listed = anyone.all(&format!("/v1/products?category={category}{query}")).await;
        let mut expected: Vec<&str> = expected.iter().map(|product| text(product, "id")).collect();
        let mut ids: Vec<&str> = listed.iter().map(|product| text(product, "id")).collect();
        expected.sort_unstable();
        ids.sort_unstable();
        assert_eq!(ids, expected, "{query}");
    }
    for (query, expected) in &table {
        finds(&anyone, &format!("category={category}{query}"), expected).await;
    }
    finds(
        &anyone,
        &format!("category={category}&option.size=S,L&option.color=red,green"),
        &[&one],
    )
    .await;
    // By SKU, wholly or begun, and with or without what divides it.
    for typed in [
        format!("{code}-1/x"),
        code.clone(),
        format!("{code}1"),
        format!("{code}1x"),
    ] {
        finds(&anyone, &format!("q={typed}"), &[&one]).await;
    }
    let counts = async |query: &str| {
        let path = format!("/v1/search?category={category}&facets=option.size,tag,option.color{query}");
        let found = anyone.get(&path).await.expect(200).json;
        ["option.size", "option.color"].map(|facet| {
            let values = found["facets"][facet].as_array().unwrap().clone();
            let counts = values
                .iter()
                .map(|value| format!("{} {}", text(value, "value"), value["count"]));
            counts.collect::<Vec<_>>().join(", ")
        })
    };
    assert_eq!(counts("").await, ["M 2, S 2, L 1", "blue 2, red 2"]);
    assert_eq!(counts("&option.size=L").await, ["M 2, S 2, L 1", "red 1"]);
    assert_eq!(
        counts("&option.size=M&option.color=red").await,
        ["L 1, M 1, S 1", "blue 1, red 1"]
    );
    for wrong in [
        "/v1/products?option.Size=S",
        "/v1/search?option.Size=S",
        "/v1/products?option.size=%20",
    ] {
        anyone.get(wrong).await.expect(400);
    }
    let comma = json!({ "options": [{ "name": "Length" }], "variants": [{ "options": { "length": "1,5 m" } }], "tags": [format!("{code},x")] });
    let comma = seller.published(&category, comma).await;
    finds(
        &anyone,
        &format!("category={category}&option.length=1%2C5%20m&tag={code}%2Cx"),
        &[&comma],
    )
    .await;
    let wrong = "/v1/search?option.a=1&option.b=2&option.c=3&option.d=4";
    anyone.get(wrong).await.names(400, &["option.*"]);
}
