//! Words: what they match, and in which order.

use souk_core::search::{Field, Listing, MAX_QUERY, SearchQuery, Suggestion, SuggestionKind, Tuning};

use super::bench::{Bench, facet, text};

fn all_fields(bench: &Bench) -> Vec<Listing> {
    let product = |name: &str, rank: i64, texts: &[(Field, &str)]| Listing {
        rank: 1_700_000_000 + rank,
        texts: texts.iter().map(|(field, text)| (*field, (*text).to_owned())).collect(),
        ..bench.listing(name, 1, "")
    };
    vec![
        product(
            "lamp",
            1,
            &[
                (Field::Title, "Brass Oil-Lamps"),
                (Field::Tags, "vintage"),
                (Field::Group, "Lighting"),
                (Field::Owner, "Müller & Söhne"),
                (Field::Description, "Burns for hours. Comes with two wicks."),
            ],
        ),
        product(
            "shade",
            2,
            &[
                (Field::Title, "Lampshade"),
                (Field::Attributes, "crème brûlée"),
                (
                    Field::Description,
                    "Linen, for a brass lamp of yours. كِتَاب Bag کیف Wasch\u{ad}maschine m²",
                ),
            ],
        ),
        product(
            "oil",
            3,
            &[
                (Field::Title, "Olive oil"),
                (Field::Tags, "kitchen"),
                (Field::Tags, "brass"),
                (Field::Description, "Cold pressed. Not for any lamp oil burner"),
            ],
        ),
        product(
            "dock",
            4,
            &[
                (Field::Title, "上海 dock C++ x86 Москва שלום กระเป๋าสะพายข้าง"),
                (Field::Tags, "a b c d"),
            ],
        ),
    ]
}

/// A table of queries and what they find, best first.
pub async fn what_matches(bench: &Bench) {
    bench.put(&all_fields(bench)).await;
    for (typed, expected) in [
        // Whole words, any number, any case, singular for plural.
        ("lamp", &["lamp", "oil", "shade"][..]),
        ("LAMPS", &["lamp", "oil", "shade"]),
        ("oil lamp", &["lamp", "oil"]),
        ("lamp wick", &["lamp"]),
        ("brass", &["lamp", "oil", "shade"]),
        ("vintage lighting", &["lamp"]),
        ("c++", &["dock"]),
        ("x86", &["dock"]),
        // Accents and scripts.
        ("muller", &["lamp"]),
        ("MÜLLER sohne", &["lamp"]),
        ("creme brulee", &["shade"]),
        ("كتاب", &["shade"]),
        ("كيف", &["shade"]),
        ("waschmaschine", &["shade"]),
        ("m2", &["shade"]),
        ("cre\u{300}me", &["shade"]),
        ("上海", &["dock"]),
        ("moskva", &["dock"]),
        ("МОСК", &["dock"]),
        ("שלו", &["dock"]),
        ("海", &["dock"]),
        ("กระเป๋า", &["dock"]),
        ("กระเป๋าสะพายข้าง", &["dock"]),
        ("שָׁלוֹם", &["dock"]),
        ("do\u{ad}ck", &["dock"]),
        ("ｄｏｃｋ", &["dock"]),
        // The last word may be the beginning of one; others may not.
        ("lampsh", &["shade"]),
        ("brass la", &["lamp", "oil", "shade"]),
        ("vin", &["lamp"]),
        ("lamp vin", &["lamp"]),
        ("vin lamp", &[]),
        // What one letter begins may be anything.
        ("brass x", &["oil", "shade", "lamp"]),
        ("brass ש", &["oil", "shade", "lamp"]),
        ("brass 灯", &["oil", "shade", "lamp"]),
        // Phrases.
        ("\"oil lamp\"", &["lamp"]),
        ("\"lamp oil\"", &["oil"]),
        ("\"lamps oil\" kitchen", &["oil"]),
        ("\"brass lamp\"", &["shade"]),
        ("\"kitchen brass\"", &[]),
        ("\"oil kitchen\"", &[]),
        ("\"oil lamp", &["lamp", "oil"]),
        // Nothing to look for.
        ("", &["dock", "oil", "shade", "lamp"]),
        ("  \" \" -- ", &["dock", "oil", "shade", "lamp"]),
        ("zeppelin", &[]),
        ("lamp zeppelin", &[]),
    ] {
        assert_eq!(bench.find(&text(typed)).await, expected, "{typed}");
    }
}

/// Words that are written in one or in two, and those of scripts without spaces.
pub async fn joined_and_split(bench: &Bench) {
    let titles = [
        "iPhone15 case",
        "iPhone 15 cable",
        "iPhone 16",
        "Disk 128 GB",
        "Disk 128GB",
        "Wi-Fi cable",
        "WiFi dock",
        "X-Box",
        "กระเป๋าสะพายข้าง",
        "กระเป๋าเดินทาง",
        "ກະເປົາ",
        "កាបូប",
        "လွယ်အိတ်",
    ];
    let listings: Vec<_> = titles.iter().map(|title| bench.listing(title, 1, title)).collect();
    bench.put(&listings).await;
    for (typed, expected) in [
        ("iphone15", &["iPhone 15 cable", "iPhone15 case"][..]),
        ("iphone 15", &["iPhone 15 cable", "iPhone15 case"]),
        ("iphone 16", &["iPhone 16"]),
        ("128 gb", &["Disk 128 GB", "Disk 128GB"]),
        ("128GB disk", &["Disk 128 GB", "Disk 128GB"]),
        ("wifi", &["Wi-Fi cable", "WiFi dock"]),
        ("Wi-Fi cable", &["Wi-Fi cable"]),
        ("wi-fi", &["Wi-Fi cable", "WiFi dock"]),
        ("xbox", &["X-Box"]),
        ("\"wi fi cable\"", &["Wi-Fi cable"]),
        ("กระเป๋า", &["กระเป๋าสะพายข้าง", "กระเป๋าเดินทาง"]),
        ("สะพาย", &["กระเป๋าสะพายข้าง"]),
        ("เดินทาง", &["กระเป๋าเดินทาง"]),
        ("กร", &["กระเป๋าสะพายข้าง", "กระเป๋าเดินทาง"]),
        ("ทางเดิน", &[]),
        ("ເປົາ", &["ກະເປົາ"]),
        ("កាបូប", &["កាបូប"]),
        ("အိတ်", &["လွယ်အိတ်"]),
    ] {
        let mut found = bench.find(&text(typed)).await;
        found.sort();
        assert_eq!(found, expected, "{typed}");
    }
}

/// Words that no product has.
pub async fn misspelt(bench: &Bench) {
    let titles = [
        "שלום",
        "مرحبا بالعالم",
        "cabinet",
        "umbrella stand",
        "lamp",
        "tea",
        "harpsichord",
        "1234567",
        "marble",
        "maples",
        "rtx4070",
        "80gsm",
    ];
    let listings: Vec<_> = titles.iter().map(|title| bench.listing(title, 1, title)).collect();
    bench.put(&listings).await;
    for (typed, expected) in [
        ("cabniet", &["cabinet"][..]),
        ("cabinett", &["cabinet"]),
        ("abinet", &["cabinet"]),
        ("xabinet", &["cabinet"]),
        ("kabinett", &[]),
        ("lmap", &["lamp"]),
        ("lampp", &["lamp"]),
        ("umbrela stand", &["umbrella stand"]),
        ("umbrela sta", &["umbrella stand"]),
        ("unbrela", &["umbrella stand"]),
        ("mbrell", &["umbrella stand"]),
        ("xnbrela", &[]),
        ("harpsicordd", &["harpsichord"]),
        ("hrapsichrod", &["harpsichord"]),
        ("שולם", &["שלום"]),
        ("مرحبا بلعالم", &["مرحبا بالعالم"]),
        // A code is not another code.
        ("rtz4070", &["rtx4070"]),
        ("rtx4080", &[]),
        ("rtx40700", &[]),
        ("90gsm", &[]),
        ("80gsn", &["80gsm"]),
        // Three letters are too few, and a number is another one.
        ("tae", &[]),
        ("1234568", &[]),
        // Of several the nearest.
        ("marples", &["maples"]),
        // What is between quotes is meant.
        ("\"cabniet\"", &[]),
    ] {
        let mut found = bench.find(&text(typed)).await;
        found.sort();
        assert_eq!(found, expected, "{typed}");
    }
    // A word that products have is taken as it is, unless the whole query then finds nothing.
    bench
        .put(&[
            bench.listing("ample", 1, "ample"),
            bench.listing("brown", 1, "brown maples"),
        ])
        .await;
    assert_eq!(bench.find(&text("ample")).await, ["ample"]);
    let mut found = bench.find(&text("brown ample")).await;
    found.sort();
    assert_eq!(found, ["brown"]);
    let page = bench.page(&text("cabniet")).await;
    assert!(page.terms.contains(&"cabinet".to_owned()), "{:?}", page.terms);
}

/// Weights, ranks, synonyms.
pub async fn order(bench: &Bench) {
    let product = |name: &str, rank: i64, field: Field| Listing {
        rank: 1_700_000_000 + rank,
        texts: vec![(field, "quince jam".into()), (Field::Attributes, name.into())],
        ..bench.listing(name, 1, "")
    };
    bench
        .put(&[
            product("title1", 1, Field::Title),
            product("title9", 9, Field::Title),
            product("tag2", 2, Field::Tags),
            product("vendor3", 3, Field::Owner),
            product("text8", 8, Field::Description),
            Listing {
                texts: vec![(Field::Title, "quince".into()), (Field::Description, "jam".into())],
                ..product("mixed", 7, Field::Title)
            },
            Listing {
                texts: vec![(Field::Title, "marmalade".into())],
                ..product("synonym", 20, Field::Title)
            },
            Listing {
                texts: vec![(Field::Title, "quincess".into())],
                ..product("begun", 21, Field::Title)
            },
        ])
        .await;
    let tuned = |typed: &str, weights: &[(Field, u32)], synonyms: &[&str]| SearchQuery {
        tuning: Tuning {
            weights: weights.to_vec(),
            synonyms: vec![synonyms.iter().map(|&word| word.to_owned()).collect()],
        },
        ..text(typed)
    };
    for (query, expected) in [
        (
            text("quince jam"),
            &["title9", "title1", "vendor3", "tag2", "text8", "mixed"][..],
        ),
        (
            text("quince"),
            &["title9", "mixed", "title1", "vendor3", "tag2", "text8", "begun"],
        ),
        (text("vendor3"), &["vendor3"]),
        (
            tuned("quince jam", &[(Field::Description, 20)], &[]),
            &["text8", "title9", "mixed", "title1", "vendor3", "tag2"],
        ),
        (
            tuned("quince jam", &Field::ALL.map(|field| (field, 3)), &[]),
            &["title9", "text8", "mixed", "vendor3", "tag2", "title1"],
        ),
        (
            tuned("quince jam", &[(Field::Title, 0), (Field::Owner, 6)], &[]),
            &["vendor3", "tag2", "text8"],
        ),
        (tuned("quince jam", &Field::ALL.map(|field| (field, 0)), &[]), &[]),
        (
            tuned("jam", &[], &["Jams", "marmalade"]),
            &["title9", "title1", "vendor3", "tag2", "text8", "mixed", "synonym"],
        ),
        (tuned("confiture", &[], &["marmalade", "confiture"]), &["synonym"]),
    ] {
        assert_eq!(bench.find(&query).await, expected, "{query:?}");
    }
    // Of what is equal in all else every page has the same order.
    let same: Vec<_> = (0..50).map(|n| bench.listing(&format!("n{n}"), 1, "equal")).collect();
    bench.put(&same).await;
    let once = bench
        .find_all(&SearchQuery {
            limit: 7,
            ..text("equal")
        })
        .await
        .unwrap();
    let again = bench
        .find_all(&SearchQuery {
            limit: 11,
            ..text("equal")
        })
        .await
        .unwrap();
    assert_eq!((once.len(), &once), (50, &again));
}

/// Nothing that is typed is an error.
pub async fn hostile(bench: &Bench) {
    bench.put(&[bench.listing("one", 1, "near and or not title")]).await;
    let mut typed: Vec<String> = (0..128_u8).map(|byte| char::from(byte).to_string()).collect();
    typed.extend((32..127_u8).map(|byte| format!("near {0}and{0} title{0}", char::from(byte))));
    typed.extend(
        [
            "\"", "'", "(", ")", "*", "^", "\"\"", "{", ":", "-", "\0", "é", "😀", "\u{fffd}", "\u{ffff}",
        ]
        .map(|s| s.repeat(100)),
    );
    typed.extend(
        [
            "NEAR(near and, 2)",
            "title AND NOT",
            "AND OR NOT",
            "tokens: near",
            "- {tokens} : near",
            "^near + and *",
            "near' OR 1=1; DROP TABLE doc; --",
            "\"near and\" \" or",
            "a\"b\"c\"",
            "\u{202e}near\u{200b}and\u{0301}",
            "%' OR 'x'='x",
            "?1 ?2 :a @b $c",
            "x0123456789abcdef y p0r1c1",
            "\u{d7ff}\u{e000}\u{10ffff}",
        ]
        .map(str::to_owned),
    );
    typed.push("near ".repeat(1000));
    typed.push("x".repeat(MAX_QUERY * 10));
    for typed in &typed {
        let query = SearchQuery {
            filters: vec![("tag".into(), vec![typed.clone()])],
            facets: vec![typed.clone(), "tag".into()],
            ..text(typed)
        };
        assert_eq!(bench.find(&query).await, [""; 0], "{typed:?}");
        bench.page(&text(typed)).await;
        bench.index.suggest(typed, 10).await.unwrap();
        bench.index.used(&[(typed.clone(), 1)]).await.unwrap();
    }
    // As what is indexed it is none either.
    let strange: Vec<_> = typed
        .iter()
        .enumerate()
        .map(|(n, typed)| Listing {
            texts: Field::ALL.map(|field| (field, format!("{typed} findable"))).to_vec(),
            facets: vec![facet("tag", typed), facet("tag", typed)],
            suggestions: [SuggestionKind::Group, SuggestionKind::Query]
                .map(|kind| Suggestion {
                    kind,
                    text: typed.clone(),
                    id: (kind == SuggestionKind::Group).then(|| typed.clone()),
                })
                .to_vec(),
            body: serde_json::json!({ "title": typed }).to_string(),
            ..bench.listing(&format!("{n}"), 1, "")
        })
        .collect();
    bench.put(&strange).await;
    let found = bench
        .find_all(&SearchQuery {
            limit: 100,
            ..text("findable")
        })
        .await
        .unwrap();
    assert_eq!(found.len(), typed.len());
    for (n, typed) in typed.iter().enumerate() {
        let query = SearchQuery {
            filters: vec![("tag".into(), vec![typed.clone()])],
            ..text("findable")
        };
        assert_eq!(bench.find(&query).await, [n.to_string()], "{typed:?}");
    }
}
