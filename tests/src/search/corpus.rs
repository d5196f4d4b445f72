//! A whole catalog: fixed queries answer the same on every adapter, and misspelt names are found.
//!
//! What they answer is stored here as a digest per catalog: an adapter that answers otherwise has failed, and who changes
//! on purpose what is found or in which order stores the new ones. One catalog is generated. `SOUK_TEST_PRODUCTS` names
//! the file of another one, one JSON object per line with `title` ("name: what it is"), `description`, `category`, `vendor`,
//! `tags`, `price_minor`; without it that is skipped, and of a file other than the one that the digest is of, the answers
//! are only shown.

use serde::Deserialize;
use souk_core::search::{Facet, Field, Listing, MAX_CHANGES, Near, SearchPage, SearchQuery, Sort};

use super::bench::{Bench, listing, text};
use super::filters::Chance;

/// How many names are misspelt, and how many of them must be found.
const MISSPELT: usize = 200;
const FOUND: usize = 180;
/// The digest of what the generated products answer.
const GENERATED: u64 = 0x1185_965f_bc36_9e13;
/// The digests of the file and of what it answers.
const CATALOGUE: (u64, u64) = (0x68f2_7a97_8b26_f8a0, 0x178e_34f2_86c2_bf18);

#[derive(Deserialize)]
struct Product {
    title: String,
    description: String,
    category: String,
    vendor: String,
    tags: Vec<String>,
    price_minor: i64,
}

/// Products that are generated.
pub async fn generated(bench: &Bench) {
    let mut chance = Chance(9);
    let mut name = |parts: usize| {
        let syllables = [
            "ka", "lo", "mi", "ran", "tel", "vor", "zu", "shi", "bra", "dun", "pe", "quo", "sto", "gli", "fen", "wy",
        ];
        let mut word = |count: usize| (0..count).map(|_| chance.of(&syllables)).collect::<String>();
        (0..parts).map(|n| word(3 + n % 2)).collect::<Vec<_>>().join("-")
    };
    let kinds = ["oil lamp", "glass vase", "wool blanket", "oak table", "tin box"];
    let products: Vec<_> = (0..600)
        .map(|n: usize| Product {
            title: format!("{}: {} no. {n}", name(1 + n % 3), kinds[n % kinds.len()]),
            description: format!("A fine {} by {}", kinds[n % kinds.len()], name(2)),
            category: kinds[n % kinds.len()].to_owned(),
            vendor: format!("House of {}", ["Karo", "Tellan", "Mirr"][n % 3]),
            tags: [(2, "old"), (3, "red"), (5, "rare")]
                .into_iter()
                .filter(|(k, _)| n.is_multiple_of(*k))
                .map(|(_, t)| t.into())
                .collect(),
            price_minor: i64::try_from(n * n).unwrap(),
        })
        .collect();
    check(
        bench,
        &products,
        &[
            "oil lamp",
            "\"wool blanket\"",
            "glas vas",
            "lo",
            "house karo",
            "tabel oak",
            "shiran",
        ],
        Some(GENERATED),
    )
    .await;
}

/// Products of the file.
pub async fn catalog(bench: &Bench) {
    let Ok(path) = std::env::var("SOUK_TEST_PRODUCTS") else {
        // No part of the project, so not missing either.
        println!("skipped: a catalog: set SOUK_TEST_PRODUCTS to a file of products");
        return;
    };
    let file = std::fs::read_to_string(path).unwrap();
    let known = digest(&file) == CATALOGUE.0;
    let products: Vec<Product> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let queries = [
        "python library",
        "golang",
        "\"shared library\"",
        "devlopment",
        "libgtk",
        "perl mod",
        "haskell profiling libraries",
        "gateway ip",
        "a",
        "font",
        "kde plasma",
        "image procesing",
        "the game",
        "fortran c++ bindings",
        "text edtor",
    ];
    check(bench, &products, &queries, known.then_some(CATALOGUE.1)).await;
}

async fn check(bench: &Bench, products: &[Product], queries: &[&str], expected: Option<u64>) {
    let listings: Vec<_> = (0..).zip(products).map(|(n, product)| indexed(n, product)).collect();
    let generation = bench.index.begin().await.unwrap();
    for part in listings.chunks(MAX_CHANGES) {
        bench.index.fill(generation, part).await.unwrap();
    }
    bench.index.finish(generation).await.unwrap();
    assert_eq!(bench.index.state().await.unwrap().listings, products.len() as u64);
    let actual = digest(&answers(bench, queries).await);
    let found = misspelt(bench, products).await;
    println!("{found} of {MISSPELT} misspelt names found; digest {actual:#018x}");
    assert!(found >= FOUND, "only {found} of {MISSPELT} misspelt names were found");
    if let Some(expected) = expected {
        assert_eq!(
            actual, expected,
            "the answers differ from those that are stored: {actual:#018x}"
        );
    }
}

fn indexed(n: i64, product: &Product) -> Listing {
    let mut texts = vec![
        (Field::Title, product.title.clone()),
        (Field::Group, product.category.clone()),
        (Field::Owner, product.vendor.clone()),
        (Field::Description, product.description.clone()),
    ];
    texts.extend(product.tags.iter().map(|tag| (Field::Tags, tag.clone())));
    let facet = |field: &str, value: &str| Facet {
        field: field.to_owned(),
        value: value.to_lowercase(),
        label: value.to_owned(),
    };
    let mut facets = vec![facet("category", &product.category), facet("vendor", &product.vendor)];
    facets.extend(product.tags.iter().map(|tag| facet("tag", tag)));
    let mixed = n * 7_919 % 100_003;
    Listing {
        rank: 1_700_000_000 + mixed,
        texts,
        facets,
        price: product.price_minor,
        other_prices: Vec::new(),
        published_at: (1_700_000_000 + mixed) * 1_000,
        votes: n * 31 % 1_009,
        place: (n % 3 > 0).then(|| (40.0 + (mixed % 1_000) as f64 / 100.0, (mixed % 1_117) as f64 / 100.0)),
        ..listing(&format!("prd_{n:06}"), 1, &product.title)
    }
}

/// Hits and counts of these queries, in some variants.
async fn answers(bench: &Bench, queries: &[&str]) -> String {
    let mut said = String::new();
    let near = Near {
        latitude: 44.4,
        longitude: 4.2,
        radius: 200_000.0,
    };
    for typed in queries.iter().chain(&[""]) {
        let plain = SearchQuery {
            facets: ["category", "vendor", "tag", "price"].map(str::to_owned).to_vec(),
            ..text(typed)
        };
        let first = bench.page(&plain).await;
        let mut variants = vec![
            SearchQuery {
                near: Some(near),
                sort: Sort::Nearest,
                ..plain.clone()
            },
            SearchQuery {
                sort: Sort::Cheapest,
                min_price: Some(500),
                max_price: Some(90_000),
                ..plain.clone()
            },
            SearchQuery {
                sort: Sort::Popular,
                ..plain.clone()
            },
            SearchQuery {
                after: first.next.clone(),
                ..plain.clone()
            },
        ];
        for counts in &first.facets {
            let some = counts
                .values
                .iter()
                .take(2)
                .map(|(facet, _)| facet.value.clone())
                .collect();
            let filters = vec![(counts.field.clone(), some)];
            variants.push(SearchQuery {
                filters,
                ..plain.clone()
            });
        }
        said += &format!("{typed}: {}", show(&first));
        for variant in variants {
            said += &show(&bench.page(&variant).await);
        }
    }
    said
}

/// All but where the next page begins, which is the adapter's own affair. The stored digests are of texts in which the field
/// `id` of a hit was `product`.
fn show(page: &SearchPage) -> String {
    let hits = format!("{:?}", page.hits).replace("Hit { id: ", "Hit { product: ");
    format!("{hits} {:?} {:?}\n", page.facets, page.terms)
}

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// How many of the products whose name was misspelt, by one edit in one word, are among the first three.
async fn misspelt(bench: &Bench, products: &[Product]) -> usize {
    let mut chance = Chance(10);
    let (mut found, mut tried) = (0, 0);
    while tried < MISSPELT {
        let n = chance.below(products.len());
        let name = products[n].title.split(": ").next().unwrap();
        let Some(wrong) = misspell(name, &mut chance) else {
            continue;
        };
        tried += 1;
        let page = bench
            .page(&SearchQuery {
                limit: 3,
                ..text(&wrong)
            })
            .await;
        if page.hits.iter().any(|hit| hit.id == format!("prd_{n:06}")) {
            found += 1;
        } else {
            println!("{name} was not found as {wrong}");
        }
    }
    found
}

fn misspell(name: &str, chance: &mut Chance) -> Option<String> {
    let long: Vec<&str> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 4 && word.bytes().any(|byte| byte.is_ascii_alphabetic()))
        .collect();
    if long.is_empty() {
        return None;
    }
    let word = chance.of(&long);
    let at = chance.below(word.len() - 1);
    let letter = char::from(b'a' + u8::try_from(chance.below(26)).unwrap());
    let (before, after) = word.split_at(at);
    let mut rest = after.chars();
    let first = rest.next()?;
    let wrong = match chance.below(4) {
        0 => format!("{before}{}", rest.as_str()),
        1 => format!("{before}{letter}{after}"),
        2 => format!("{before}{letter}{}", rest.as_str()),
        _ => {
            let second = rest.next()?;
            format!("{before}{second}{first}{}", rest.as_str())
        }
    };
    (wrong != word).then(|| name.replacen(word, &wrong, 1))
}
