//! `get`.

use souk_core::Consistency::Eventual;
use souk_core::documents::{MAX_BODY, MAX_KEYS};
use souk_core::{Change, Condition, Key, Query};

use crate::contract::Bench;
use crate::contract::bench::{add, create, delete, put};

pub async fn many_keys(bench: &Bench) {
    assert_eq!(bench.get(&[]).await, []);
    let key = |sk: &str| bench.key("p", sk);
    bench
        .done([
            create(&key("a"), 1, []),
            create(&key("b"), 2, []),
            create(&bench.key("q", "a"), 3, []),
        ])
        .await;
    let wanted = [
        key("b"),
        key("none"),
        key("a"),
        key("b"),
        bench.key("q", "a"),
        key("none"),
        bench.key("none", "a"),
    ];
    let found = bench.get(&wanted).await;
    let bodies: Vec<_> = found
        .iter()
        .map(|d| d.as_ref().map(|d| (&d.key, d.body.as_str())))
        .collect();
    let at = |n: usize, body| Some((&wanted[n], body));
    let expected = [
        at(0, r#"{"n":2}"#),
        None,
        at(2, r#"{"n":1}"#),
        at(3, r#"{"n":2}"#),
        at(4, r#"{"n":3}"#),
        None,
        None,
    ];
    assert_eq!(bodies, expected);
}

pub async fn most_keys(bench: &Bench) {
    let keys: Vec<Key> = (0..MAX_KEYS)
        .map(|n| bench.key(&format!("p{}", n % 5), &n.to_string()))
        .collect();
    let written = |n: usize| !n.is_multiple_of(3);
    for half in [0..MAX_KEYS / 2, MAX_KEYS / 2..MAX_KEYS] {
        let creations = half.filter(|&n| written(n)).map(|n| create(&keys[n], n as i64, []));
        bench.done(creations).await;
    }
    for (n, document) in bench.get(&keys).await.into_iter().enumerate() {
        let expected = written(n).then(|| format!(r#"{{"n":{n}}}"#));
        assert_eq!(document.map(|d| d.body), expected, "key {n}");
    }
    let same = vec![keys[1].clone(); MAX_KEYS];
    assert!(
        bench
            .get(&same)
            .await
            .iter()
            .all(|d| d.as_ref().is_some_and(|d| d.key == keys[1]))
    );
}

/// Keys are any text: each names a document of its own, under every kind of change.
pub async fn strange_keys(bench: &Bench) {
    let long = "long".repeat(100);
    let strange = [
        "",
        " ",
        "  ",
        "'",
        "\"",
        "\\",
        "%",
        "_",
        "*",
        "?",
        "/",
        "//",
        "a/b",
        "a",
        "A",
        "a ",
        " a",
        "'; --",
        "\u{1}",
        "\n",
        "\t",
        "é",
        "e\u{301}",
        "ß",
        "中文",
        "😀",
        "👩\u{200d}👩\u{200d}👧",
        "\u{feff}",
        "\u{ffff}",
        "\u{10ffff}",
        "null",
        "0",
        "00",
        "1e3",
        "{}",
        "[\"a\",\"b\"]",
        "#",
        ":",
        "|",
        "$.a",
        "?1",
        ":pk",
        "\u{7f}",
        &long,
    ];
    let keys: Vec<Key> = strange.iter().map(|s| bench.key(s, s)).collect();
    bench
        .done(keys.iter().zip(0..).map(|(key, n)| create(key, n, [])))
        .await;
    for (n, document) in bench.get(&keys).await.into_iter().enumerate() {
        let document = document.unwrap_or_else(|| panic!("{:?} is lost", strange[n]));
        assert_eq!((&document.key, document.body), (&keys[n], format!(r#"{{"n":{n}}}"#)));
    }
    for (key, n) in keys.iter().zip(0..) {
        assert_eq!(bench.one(key).await.map(|d| d.key).as_ref(), Some(key));
        assert_eq!(
            bench.sorts(Query::partition(key.pk.as_str(), 10)).await,
            [key.sk.as_str()]
        );
        bench.done([put(key, n + 1000, Condition::Version(1))]).await;
        bench.done([add(key, "n", n)]).await;
    }
    for (key, n) in keys.iter().zip(0..) {
        let document = bench.one(key).await.unwrap();
        let expected = (2, format!(r#"{{"n":{}}}"#, n + 1000), format!(r#"{{"n":{n}}}"#));
        assert_eq!(
            (document.version, document.body, document.counters),
            expected,
            "{key:?}"
        );
    }
    bench
        .done(keys.iter().map(|key| delete(key, Condition::Version(2), [])))
        .await;
    assert!(bench.get(&keys).await.iter().all(Option::is_none));
}

/// A body comes back byte for byte.
pub async fn bodies(bench: &Bench) {
    let bodies = [
        "{}",
        "{ }",
        r#"{"b":1,"a":2}"#,
        r#"{"a":1.0,"b":1e2,"c":-0,"d":0.1}"#,
        r#"{"a":12345678901234567890,"b":123456789012345678901234567890}"#,
        r#"{"a":null,"b":[],"c":{},"d":"","e":[null,""]}"#,
        "{\n\t\"a\" : [ 1 , 2 ]\n}",
        r#"{"a":"é 中文 😀 \u00e9 \ud83d\ude00 \u0000 \\ \" / \/"}"#,
        r#"{"'":"'; DROP TABLE documents; --","?1":"%"}"#,
        r#"{"pk":"x","sk":"y","version":9,"expires_at":1}"#,
    ];
    let keys: Vec<Key> = (0..bodies.len()).map(|n| bench.key("p", &n.to_string())).collect();
    let creations = bodies
        .iter()
        .zip(&keys)
        .map(|(&body, key)| Change::create(key.clone(), body.to_owned(), vec![bench.entry("i", &key.sk)]));
    bench.done(creations).await;
    for (document, body) in bench.get(&keys).await.into_iter().zip(bodies) {
        assert_eq!(document.unwrap().body, body);
    }
    for query in [
        Query::partition(bench.partition("p"), 100),
        Query::index(bench.index("i"), 100),
    ] {
        let read: Vec<_> = bench
            .all(query)
            .await
            .into_iter()
            .map(|item| item.document.body)
            .collect();
        assert_eq!(read, bodies);
    }
}

pub async fn largest_body(bench: &Bench) {
    for filler in ["x", "é", "😀", "\\\\"] {
        let fill = (MAX_BODY - r#"{"a":""}"#.len()) / filler.len();
        let body = format!(r#"{{"a":"{}"}}"#, filler.repeat(fill));
        let key = bench.key("p", filler);
        bench
            .done([Change::create(key.clone(), body.clone(), Vec::new())])
            .await;
        assert!(
            bench.one(&key).await.unwrap().body == body,
            "a body of {} bytes is changed",
            body.len()
        );
    }
}

/// Eventually consistent reads may lag behind the commits of others, not behind one's own.
pub async fn own_commits(bench: &Bench) {
    let (key, all) = (bench.key("p", "a"), Query::index(bench.index("i"), 1));
    let read = async || {
        let found = bench.store.get(std::slice::from_ref(&key), Eventual).await.unwrap();
        let page = bench.store.query(&all, Eventual).await.unwrap();
        let listed = page.items.into_iter().next().map(|item| item.document);
        let versions = [found.into_iter().next().unwrap(), listed].map(|found| found.map_or(0, |found| found.version));
        assert_eq!(versions[0], versions[1]);
        versions[0]
    };
    let entry = bench.entry("i", "1/a");
    bench.done([create(&key, 1, [entry.clone()])]).await;
    assert_eq!(read().await, 1);
    bench.done([put(&key, 2, Condition::Version(1))]).await;
    assert_eq!(read().await, 2);
    bench.done([delete(&key, Condition::Version(2), [entry])]).await;
    assert_eq!(read().await, 0);
}

pub async fn ping(bench: &Bench) {
    assert_eq!(bench.store.ping().await, Ok(()));
}
