//! Filters, facets, orders and pages, against [`oracle`].

use souk_core::search::{Field, Listing, Near, Range, SearchError, SearchQuery, Sort};

use super::bench::{Bench, facet, text};
use super::oracle;

/// Words that are no two edits from each other, and of which some begin others.
const WORDS: [&str; 24] = [
    "amber",
    "basket",
    "candle",
    "cobalt",
    "drum",
    "ember",
    "feather",
    "glass",
    "glassware",
    "harbour",
    "indigo",
    "jasmine",
    "kettle",
    "lantern",
    "marble",
    "nutmeg",
    "orchid",
    "pepper",
    "quilt",
    "ribbon",
    "saddle",
    "tulip",
    "velvet",
    "walnut",
];
const TAGS: [&str; 5] = ["red", "green", "blue", "old", "new"];

/// Numbers that look like chance, the same each time.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn number(&mut self, end: usize) -> i64 {
        i64::try_from(self.below(end)).unwrap()
    }
}

/// A market of so many products.
fn market(bench: &Bench, chance: &mut Chance, size: usize) -> Vec<Listing> {
    (0..size)
        .map(|n| {
            let mut some = |most: usize| {
                let count = 1 + chance.below(most);
                (0..count).map(|_| chance.of(&WORDS)).collect::<Vec<_>>().join(" ")
            };
            let texts = vec![
                (Field::Title, some(3)),
                (Field::Tags, some(1)),
                (Field::Attributes, some(2)),
                (Field::Description, some(9)),
            ];
            let size = chance.of(&["s", "m", "l"]);
            let mut facets = vec![
                facet("category", &format!("c{}", chance.below(4))),
                facet("attr.size", size),
            ];
            for tag in TAGS {
                if chance.below(3) == 0 {
                    facets.push(facet("tag", tag));
                }
            }
            if chance.below(4) > 0 {
                // Halves, written in two ways, and some below zero.
                let width = chance.number(40) as f64 / 2.0 - 5.0;
                facets.push(facet("attr.width", &width.to_string()));
            }
            let unique = i64::try_from(n).unwrap();
            let price = chance.number(700) * 1_000 + unique;
            let others = chance.below(9).saturating_sub(5);
            Listing {
                rank: 1_700_000_000 + (unique * 7919) % 10_007,
                texts,
                facets,
                price,
                other_prices: (0..others).map(|_| price + 1 + chance.number(300_000)).collect(),
                published_at: 1_700_000_000_000 + chance.number(1_000) * 1_000 + unique,
                votes: chance.number(100) * 1_000 + unique,
                place: (chance.below(4) > 0).then(|| {
                    (
                        48.0 + chance.number(4_000) as f64 / 1e3,
                        177.0 + chance.number(6_000) as f64 / 1e3,
                    )
                }),
                ..bench.listing(&n.to_string(), 1, "")
            }
        })
        .collect()
}

fn beginning(word: &str, letters: usize) -> String {
    word.chars().take(letters).collect()
}

/// A query that some of them match.
fn query(chance: &mut Chance) -> SearchQuery {
    let text = match chance.below(6) {
        0 => String::new(),
        1 => chance.of(&WORDS).to_owned(),
        2 => format!("{} {}", chance.of(&WORDS), chance.of(&WORDS)),
        3 => format!("\"{} {}\"", chance.of(&WORDS), chance.of(&WORDS)),
        4 => beginning(chance.of(&WORDS), 2),
        _ => format!("{} {}", chance.of(&WORDS), beginning(chance.of(&WORDS), 3)),
    };
    let mut filters = Vec::new();
    for (field, values) in [
        ("category", &["c0", "c1", "c2"][..]),
        ("tag", &TAGS),
        ("attr.size", &["s", "m"]),
    ] {
        if chance.below(3) == 0 {
            let some = (0..=chance.below(2)).map(|_| chance.of(values).to_owned()).collect();
            filters.push((field.to_owned(), some));
        }
    }
    let near = (chance.below(3) == 0).then(|| Near {
        latitude: 48.0 + chance.number(40) as f64 / 10.0,
        longitude: 177.0 + chance.number(60) as f64 / 10.0 - if chance.below(2) == 0 { 0.0 } else { 360.0 },
        radius: chance.of(&[4_000.0, 40_000.0, 140_000.0, 900_000.0]),
    });
    let sorts = [
        Sort::Relevance,
        Sort::Newest,
        Sort::Oldest,
        Sort::Cheapest,
        Sort::Dearest,
        Sort::Popular,
        Sort::Nearest,
    ];
    let mut ranges = Vec::new();
    if chance.below(4) == 0 {
        let mut bound = || (chance.below(3) > 0).then(|| chance.number(40) as f64 / 2.0 - 5.0);
        ranges.push(Range {
            field: "attr.width".to_owned(),
            min: bound(),
            max: bound(),
        });
    }
    let mut price = || (chance.below(4) == 0).then(|| chance.number(700_000));
    let (min_price, max_price) = (price(), price());
    SearchQuery {
        text,
        filters,
        ranges,
        min_price,
        max_price,
        near,
        sort: if near.is_some() {
            chance.of(&sorts)
        } else {
            chance.of(&sorts[..6])
        },
        limit: 1 + chance.below(30),
        count: 1 + chance.below(60),
        facets: ["tag", "category", "price", "attr.size", "attr.width", "attr.none"]
            .map(str::to_owned)
            .to_vec(),
        ..SearchQuery::default()
    }
}

/// Random queries find, order and count what looking at every product does.
pub async fn equal_brute_force(bench: &Bench) {
    let mut chance = Chance(7);
    let listings = market(bench, &mut chance, 300);
    bench.put(&listings).await;
    let mut hits = 0;
    for _ in 0..400 {
        let query = query(&mut chance);
        let found = oracle::find(&listings, &query);
        let words = SearchQuery {
            text: query.text.clone(),
            ..SearchQuery::default()
        };
        if oracle::find(&listings, &words).is_empty() {
            // Other words are tried then, which the oracle knows nothing of.
            continue;
        }
        let expected: Vec<_> = found.iter().take(query.limit).map(|listing| &listing.id).collect();
        let page = bench.page(&query).await;
        let actual: Vec<_> = page.hits.iter().map(|hit| &hit.id).collect();
        assert_eq!(actual, expected, "{query:?}");
        assert_eq!(page.next.is_some(), found.len() > query.limit, "{query:?}");
        assert_eq!(
            (page.prev, page.total),
            (None, Some(found.len().min(query.count))),
            "{query:?}"
        );
        for (counts, field) in page.facets.iter().zip(&query.facets) {
            let actual: Vec<_> = counts
                .values
                .iter()
                .map(|(facet, n)| (facet.value.clone(), *n))
                .collect();
            assert_eq!(
                (&counts.field, actual),
                (field, oracle::count(&listings, &query, field)),
                "{query:?}"
            );
            for (facet, _) in &counts.values {
                let labelled = *field == "price" || facet.label == facet.value.to_uppercase();
                assert!(labelled && facet.field == *field, "{facet:?}");
            }
        }
        assert_eq!(page.facets.len(), query.facets.len());
        hits += found.len();
    }
    assert!(hits > 1_000, "{hits} hits prove little");
}

/// All pages together are what one large page would be, whatever the order; and a cursor is its query's alone.
pub async fn pages(bench: &Bench) {
    let mut chance = Chance(8);
    let listings = market(bench, &mut chance, 120);
    bench.put(&listings).await;
    for n in 0..60 {
        let query = SearchQuery {
            limit: 1 + n % 9,
            ..query(&mut chance)
        };
        let expected: Vec<_> = oracle::find(&listings, &query)
            .into_iter()
            .map(|l| l.id.clone())
            .collect();
        if !expected.is_empty() {
            let found: Vec<_> = bench
                .find_all(&query)
                .await
                .unwrap()
                .iter()
                .map(|name| bench.id(name))
                .collect();
            assert_eq!(found, expected, "{query:?}");
        }
    }
    // Also where misspelt words were put right for the first page.
    let all = bench
        .find_all(&SearchQuery {
            limit: 5,
            ..text("amder")
        })
        .await
        .unwrap();
    assert_eq!(
        all,
        bench
            .find_all(&SearchQuery {
                limit: 100,
                ..text("amder")
            })
            .await
            .unwrap()
    );
    assert!(all.len() > 5);

    let one = SearchQuery { limit: 1, ..text("") };
    let next = bench.page(&one).await.next;
    let with = |query: SearchQuery| SearchQuery {
        after: next.clone(),
        ..query
    };
    assert!(bench.index.search(&with(one.clone())).await.is_ok());
    for other in [
        with(text("amber")),
        with(SearchQuery {
            sort: Sort::Newest,
            ..one.clone()
        }),
        with(SearchQuery {
            max_price: Some(5),
            ..one.clone()
        }),
        SearchQuery {
            after: Some("nonsense".into()),
            ..one.clone()
        },
        SearchQuery {
            after: Some(String::new()),
            ..one
        },
    ] {
        assert_eq!(
            bench.index.search(&other).await,
            Err(SearchError::BadPlace),
            "{other:?}"
        );
    }
}
