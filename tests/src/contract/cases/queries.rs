//! `query`: order, prefixes, pages.

use souk_core::documents::Source;
use souk_core::{Change, Consistency, Query, StoreError};

use crate::contract::Bench;
use crate::contract::bench::{create, delete};
use souk_core::Condition;

/// Sort keys that a store might put in another order than that of their bytes: case, accents, digits, and characters
/// beyond U+FFFF, which come before some others in UTF-16.
const SORTS: [&str; 42] = [
    "\u{1}", "\u{1}a", "\t", " ", "  ", "!", "\"", "#", "%", "%a", "'", "-", "/", "0", "00", "10", "2", "A", "Z", "[",
    "\\", "_", "_a", "a", "a\u{1}", "a b", "a!", "a/", "a/b", "a0", "aB", "aa", "ab", "b", "z", "~", "é", "中",
    "\u{d7ff}", "\u{e000}", "\u{ffff}", "😀",
];
const PREFIXES: [&str; 12] = [
    "", "a", "a/", "aa", "\u{1}", "%", "_", "é", "\u{d7ff}", "\u{ffff}", "😀", "none",
];

/// What a query must answer with, of `sorts` (in any order).
fn expected(sorts: &[String], query: &Query) -> Vec<String> {
    let mut sorts: Vec<String> = sorts
        .iter()
        .filter(|sort| sort.starts_with(&query.prefix))
        .cloned()
        .collect();
    sorts.sort();
    if query.descending {
        sorts.reverse();
    }
    if let Some(after) = &query.after {
        sorts.retain(|sort| if query.descending { sort < after } else { sort > after });
    }
    sorts
}

/// Sort keys for a partition, or for an index, where none is empty.
fn sorts(empty_too: bool) -> Vec<String> {
    let more = [
        format!("{}1", "x".repeat(400)),
        format!("{}2", "x".repeat(400)),
        "\u{10ffff}".into(),
        "\u{10ffff}a".into(),
    ];
    let empty = empty_too.then(String::new);
    SORTS
        .iter()
        .map(|&sort| sort.to_owned())
        .chain(more)
        .chain(empty)
        .collect()
}

/// Documents at (or with entries at) all the sort keys, written in an order of no meaning.
async fn filled(bench: &Bench, source: &Source) -> Vec<String> {
    let sorts = sorts(matches!(source, Source::Partition(_)));
    let mut shuffled: Vec<_> = sorts.iter().zip(0..).collect();
    shuffled.sort_by_key(|(_, n)| n * 17 % 47);
    let changes = shuffled.into_iter().map(|(sort, n)| match source {
        Source::Partition(_) => create(&bench.key("p", sort), n, []),
        Source::Index(_) => create(&bench.key(&format!("doc{n}"), ""), n, [bench.entry("i", sort)]),
    });
    bench.done(changes).await;
    sorts
}

fn partition(bench: &Bench) -> Query {
    Query::partition(bench.partition("p"), 100)
}

fn index(bench: &Bench) -> Query {
    Query::index(bench.index("i"), 100)
}

pub async fn order_of_partition(bench: &Bench) {
    order(bench, partition(bench)).await;
}

pub async fn order_of_index(bench: &Bench) {
    order(bench, index(bench)).await;
}

async fn order(bench: &Bench, query: Query) {
    let sorts = filled(bench, &query.source).await;
    for descending in [false, true] {
        let query = Query {
            descending,
            ..query.clone()
        };
        assert_eq!(bench.sorts(query.clone()).await, expected(&sorts, &query));
    }
}

/// The first page of an index counts its items, as far as it is told to.
pub async fn counts(bench: &Bench) {
    let whole = index(bench);
    let sorts = filled(bench, &whole.source).await;
    for prefix in ["", "a", "none"] {
        for descending in [false, true] {
            for (limit, count) in [(1, 1_001), (2, 3), (100, 1_001), (100, 1)] {
                let query = Query {
                    prefix: prefix.to_owned(),
                    descending,
                    limit,
                    count,
                    ..whole.clone()
                };
                let page = bench.store.query(&query, Consistency::Strong).await.unwrap();
                let all = Query {
                    limit: 100,
                    ..query.clone()
                };
                assert_eq!(page.total, Some(expected(&sorts, &all).len().min(count)), "{query:?}");
            }
        }
    }
    let refused = [
        Query {
            count: 1,
            ..partition(bench)
        },
        Query {
            count: 1_002,
            ..whole.clone()
        },
        Query {
            count: 1,
            after: Some("a".into()),
            ..whole
        },
    ];
    for query in refused {
        let page = bench.store.query(&query, Consistency::Strong).await;
        assert!(matches!(page, Err(StoreError::Refused(_))), "{query:?}");
    }
}

pub async fn prefixes(bench: &Bench) {
    for query in [partition(bench), index(bench)] {
        let sorts = filled(bench, &query.source).await;
        for prefix in PREFIXES.iter().copied().chain(["\u{10ffff}"]) {
            for descending in [false, true] {
                let query = Query {
                    prefix: prefix.to_owned(),
                    descending,
                    ..query.clone()
                };
                assert_eq!(bench.sorts(query.clone()).await, expected(&sorts, &query), "{query:?}");
            }
        }
    }
}

/// Keys to go on after that exist, that do not, and that lie on this side or the other of the prefix.
pub async fn after(bench: &Bench) {
    let afters = [
        "",
        "\u{1}",
        "0",
        "9",
        "a",
        "a\u{1}",
        "a/",
        "a/a",
        "a/b",
        "a/z",
        "b",
        "zz",
        "\u{d7ff}",
        "😀",
        "\u{10ffff}b",
    ];
    for query in [partition(bench), index(bench)] {
        let sorts = filled(bench, &query.source).await;
        for prefix in ["", "a", "a/", "\u{10ffff}"] {
            for after in afters {
                for descending in [false, true] {
                    let (prefix, after) = (prefix.to_owned(), Some(after.to_owned()));
                    let query = Query {
                        prefix,
                        after,
                        descending,
                        ..query.clone()
                    };
                    assert_eq!(bench.sorts(query.clone()).await, expected(&sorts, &query), "{query:?}");
                }
            }
        }
    }
}

/// Pages of every size join up without a gap; a full page says whether anything follows, exactly.
pub async fn pages(bench: &Bench) {
    for query in [partition(bench), index(bench)] {
        let sorts = filled(bench, &query.source).await;
        for (prefix, limits) in [
            ("", vec![1, 7, sorts.len() - 1, sorts.len(), sorts.len() + 1, 100]),
            ("a", vec![1, 2, 9, 10, 11]),
        ] {
            for limit in limits {
                for descending in [false, true] {
                    let mut query = Query {
                        prefix: prefix.to_owned(),
                        descending,
                        limit,
                        ..query.clone()
                    };
                    loop {
                        let rest = expected(&sorts, &query);
                        let page = bench.page(&query).await;
                        let read: Vec<_> = page.items.iter().map(|item| item.sort.clone()).collect();
                        assert_eq!(read, rest[..rest.len().min(limit)], "{query:?}");
                        assert_eq!(page.next.is_some(), rest.len() > limit, "{query:?}");
                        let Some(next) = page.next else { break };
                        query.after = Some(next);
                    }
                }
            }
        }
    }
}

pub async fn nothing(bench: &Bench) {
    for query in [partition(bench), index(bench)] {
        for descending in [false, true] {
            for after in [None, Some("a".to_owned())] {
                let page = bench
                    .page(&Query {
                        descending,
                        after,
                        ..query.clone()
                    })
                    .await;
                assert_eq!((page.items.len(), page.next), (0, None));
            }
        }
    }
}

/// Names that are parts of each other, or differ by something that a pattern would take for anything, do not mix.
pub async fn apart(bench: &Bench) {
    let names = ["n", "n/", "n/a", "n%", "n_", "nx", "N", "", "/", "é"];
    for name in names {
        bench
            .done([create(
                &bench.key(name, "k"),
                1,
                [bench.entry(name, &format!("{name}/e"))],
            )])
            .await;
    }
    for name in names {
        assert_eq!(
            bench.sorts(Query::partition(bench.partition(name), 100)).await,
            ["k"],
            "{name:?}"
        );
        assert_eq!(
            bench.sorts(Query::index(bench.index(name), 100)).await,
            [format!("{name}/e")],
            "{name:?}"
        );
    }
    bench
        .done([delete(&bench.key("n", "k"), Condition::Any, [bench.entry("n", "n/e")])])
        .await;
    assert!(
        bench
            .sorts(Query::partition(bench.partition("n"), 100))
            .await
            .is_empty()
    );
    assert_eq!(bench.sorts(Query::partition(bench.partition("n/"), 100)).await, ["k"]);
}

/// A hundred documents of 50 KB: more than some stores return at once.
pub async fn heavy(bench: &Bench) {
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000));
    let keys: Vec<_> = (100..200).map(|n| bench.key("p", &n.to_string())).collect();
    for some in keys.chunks(25) {
        let create = |key: &souk_core::Key| Change::create(key.clone(), body.clone(), vec![bench.entry("i", &key.sk)]);
        bench.done(some.iter().map(create)).await;
    }
    let sorts: Vec<_> = keys.iter().map(|key| key.sk.clone()).collect();
    assert_eq!(bench.sorts(partition(bench)).await, sorts);
    assert_eq!(bench.sorts(index(bench)).await, sorts);
    let found = bench.get(&keys).await;
    assert!(
        found
            .into_iter()
            .all(|document| document.is_some_and(|document| document.body == body))
    );
}
