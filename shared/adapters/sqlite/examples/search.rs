//! CPU time of a search, in a small market and in a large one:
//! `cargo run --release -p souk-sqlite --example search -- 5000 100000`
//!
//! The products are generated: words by Zipf's law, 40 categories, 200 vendors, 1 KB each. Each query is measured with its
//! word lookups cached, as for a popular query, and without ("cold").
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a tool for developers"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use souk_core::search::{Facet, Field, IndexChange, Listing, Search, SearchQuery, Suggestion, SuggestionKind};
use souk_core::{Clock, Timestamp};
use souk_sqlite::SqliteSearch;

/// A clock that the measurement moves.
#[derive(Default)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + self.0.load(Ordering::Relaxed)).unwrap()
    }
}

fn word(n: usize) -> String {
    let syllables = [
        "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va",
    ];
    let mut word = String::new();
    let mut rest = n * 7 + 300;
    while rest > 0 {
        word += syllables[rest % 16];
        rest /= 16;
    }
    word
}

fn listing(n: usize, chance: &mut SmallRng) -> Listing {
    // Zipf's law, over 30,000 words.
    let mut words = |count: usize| {
        let word = |_| word((30_000_f64.powf(chance.random::<f64>()) - 1.0) as usize);
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    };
    let (title, description) = (words(6), words(40));
    let (category, vendor) = (format!("Category {}", n % 40), format!("Vendor {}", n % 200));
    let facet = |field: &str, value: &str| Facet {
        field: field.into(),
        value: value.into(),
        label: value.into(),
    };
    Listing {
        id: format!("prd_{n:032x}"),
        version: 1,
        body: format!(
            r#"{{"id":"prd_{n:032x}","title":"{title}","description":"{description}","padding":"{}"}}"#,
            "x".repeat(500)
        ),
        rank: 1_700_000_000 + (n as i64 * 7_919) % 10_000_019,
        suggestions: [(SuggestionKind::Group, &category), (SuggestionKind::Owner, &vendor)]
            .map(|(kind, name)| Suggestion {
                kind,
                text: name.clone(),
                id: Some(name.clone()),
            })
            .to_vec(),
        facets: vec![
            facet("category", &category),
            facet("vendor", &vendor),
            facet("condition", "new"),
        ],
        texts: vec![
            (Field::Title, title),
            (Field::Tags, words(1)),
            (Field::Group, category),
            (Field::Owner, vendor),
            (Field::Description, description),
        ],
        price: (n as i64 * 31) % 100_000,
        other_prices: Vec::new(),
        published_at: 1_700_000_000_000 + n as i64,
        votes: n as i64 % 97,
        place: None,
    }
}

/// CPU time of this process in microseconds, user and system.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 10_000.0
}

async fn measure(index: &SqliteSearch, clock: &ManualClock, query: &SearchQuery, cold: bool) -> (f64, usize) {
    let hits = index.search(query).await.unwrap().hits.len();
    let (mut runs, before, began) = (0_u32, cpu_us(), Instant::now());
    while began.elapsed().as_secs_f64() < 0.7 {
        for _ in 0..20 {
            if cold {
                clock.0.fetch_add(10_000, Ordering::Relaxed);
            }
            index.search(query).await.unwrap();
        }
        runs += 20;
    }
    ((cpu_us() - before) / f64::from(runs), hits)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).map(|size| size.parse().unwrap()).collect();
    for size in sizes {
        let path = std::env::temp_dir().join(format!("souk-search-{size}.db"));
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
        let clock = Arc::new(ManualClock::default());
        let index = souk_sqlite::open_search(&path, clock.clone()).unwrap();
        let mut chance = SmallRng::seed_from_u64(1);
        let (began, before) = (Instant::now(), cpu_us());
        let generation = index.begin().await.unwrap();
        for part in (0..size).collect::<Vec<_>>().chunks(100) {
            let listings: Vec<_> = part.iter().map(|n| listing(*n, &mut chance)).collect();
            index.fill(generation, &listings).await.unwrap();
        }
        let filled = began.elapsed().as_secs_f64();
        index.finish(generation).await.unwrap();
        let (all, took) = (began.elapsed().as_secs_f64(), cpu_us() - before);
        let bytes = std::fs::metadata(&path).unwrap().len();
        println!(
            "{size} products: filled in {filled:.1} s, finished after {all:.1} s, {:.0} µs of CPU each, {} MB",
            took / size as f64,
            bytes / 1_000_000
        );
        let (common, other, rare) = (word(3), word(12), word(9_000));
        let text = |text: &str| SearchQuery {
            text: text.into(),
            limit: 20,
            ..SearchQuery::default()
        };
        let category = vec![("category".into(), vec!["Category 7".into()])];
        let mut wrong = word(700);
        wrong.remove(2);
        for (name, query) in [
            ("everything", text("")),
            ("a common word", text(&common)),
            ("a rare word", text(&rare)),
            ("two common words", text(&format!("{common} {other}"))),
            ("a common and a rare word", text(&format!("{common} {rare}"))),
            ("a beginning", text(&word(40)[..3])),
            ("a word and a beginning", text(&format!("{common} {}", &word(40)[..4]))),
            ("a misspelt word", text(&wrong)),
            ("a phrase", text(&format!("\"{common} {}\"", word(1)))),
            (
                "a common word in a category",
                SearchQuery {
                    filters: category.clone(),
                    ..text(&common)
                },
            ),
            (
                "a category",
                SearchQuery {
                    filters: category,
                    ..text("")
                },
            ),
        ] {
            let (warm, hits) = measure(&index, &clock, &query, false).await;
            let (cold, _) = measure(&index, &clock, &query, true).await;
            println!("  {name:28} {hits:3} hits {warm:7.1} µs, cold {cold:7.1} µs");
        }
        let facets = SearchQuery {
            facets: vec!["category".into(), "vendor".into()],
            ..text(&other)
        };
        let (cost, _) = measure(&index, &clock, &facets, false).await;
        println!("  {:28}          {cost:7.1} µs", "two facets of a common word");
        for (name, typed) in [
            ("three letters", &word(40)[..3]),
            ("eight letters", &word(40)[..]),
            ("misspelt", &wrong),
        ] {
            let (mut runs, before, began) = (0_u32, cpu_us(), Instant::now());
            while began.elapsed().as_secs_f64() < 0.7 {
                index.suggest(typed, 10).await.unwrap();
                runs += 1;
            }
            let cost = (cpu_us() - before) / f64::from(runs);
            println!("  suggestions, {name:15}          {cost:7.1} µs");
        }
        let (mut version, before) = (1_u32, cpu_us());
        let mut edited = listing(7, &mut chance);
        while version < 1_000 {
            version += 1;
            edited.version = version.into();
            index
                .apply(&[IndexChange::Put(Box::new(edited.clone()))])
                .await
                .unwrap();
        }
        println!(
            "  {:28}          {:7.1} µs",
            "an edit",
            (cpu_us() - before) / f64::from(version)
        );
        drop(index);
        let _ = std::fs::remove_file(&path);
    }
}
