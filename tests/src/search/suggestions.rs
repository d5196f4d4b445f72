//! What is suggested.

use souk_core::search::{Field, Listing, MAX_OF_A_KIND, Suggestion, SuggestionKind};

use super::bench::Bench;

/// A product with these texts, which can be suggested as the market's are: tags as queries, groups and owners by name.
fn product(bench: &Bench, name: &str, version: u64, texts: &[(Field, &str)]) -> Listing {
    let suggestion = |(field, text): &(Field, &str)| {
        let (kind, id) = match field {
            Field::Tags => (SuggestionKind::Query, None),
            Field::Group => (SuggestionKind::Group, Some("cat_1".to_owned())),
            Field::Owner => (SuggestionKind::Owner, Some("vnd_1".to_owned())),
            _ => return None,
        };
        let text = (*text).to_owned();
        Some(Suggestion { kind, text, id })
    };
    Listing {
        texts: texts.iter().map(|(field, text)| (*field, (*text).to_owned())).collect(),
        suggestions: texts.iter().filter_map(suggestion).collect(),
        ..bench.listing(name, version, "")
    }
}

async fn suggested(bench: &Bench, typed: &str) -> Vec<Suggestion> {
    bench.index.suggest(typed, 10).await.unwrap()
}

/// What is suggested, as "kind: text".
async fn texts(bench: &Bench, typed: &str) -> Vec<String> {
    let text = |Suggestion { kind, text, .. }| format!("{kind:?}: {text}").to_lowercase();
    suggested(bench, typed).await.into_iter().map(text).collect()
}

/// Titles, tags, categories and vendors of which a word begins so, as people write them.
pub async fn completes(bench: &Bench) {
    bench
        .put(&[
            product(
                bench,
                "1",
                1,
                &[
                    (Field::Title, "Brass Lamp"),
                    (Field::Tags, "brass"),
                    (Field::Description, "bravura"),
                ],
            ),
            product(
                bench,
                "2",
                1,
                &[
                    (Field::Title, "Brass Lamp"),
                    (Field::Owner, "Brässerie"),
                    (Field::Group, "Garden Umbrellas"),
                ],
            ),
            product(
                bench,
                "3",
                1,
                &[(Field::Title, "Crème brûlée"), (Field::Attributes, "bravo")],
            ),
            Listing {
                rank: 1_800_000_000,
                ..product(bench, "4", 1, &[(Field::Title, "Oak Desk")])
            },
            product(bench, "5", 1, &[(Field::Title, "Desk Organizer")]),
        ])
        .await;
    for (typed, expected) in [
        (
            "br",
            &[
                "owner: brässerie",
                "query: brass",
                "listing: brass lamp",
                "listing: crème brûlée",
            ][..],
        ),
        ("BRASS", &["owner: brässerie", "query: brass", "listing: brass lamp"]),
        ("brass la", &["listing: brass lamp"]),
        ("brass, LA", &["listing: brass lamp"]),
        ("creme b", &["listing: crème brûlée"]),
        // From any word on, from its first letter on; the beginning of the text before a later word, although that has a
        // higher rank.
        ("la", &["listing: brass lamp"]),
        ("u", &["group: garden umbrellas"]),
        ("d", &["listing: desk organizer", "listing: oak desk"]),
        ("de", &["listing: desk organizer", "listing: oak desk"]),
        ("desk o", &["listing: desk organizer", "listing: oak desk"]),
        ("lamp brass", &["listing: brass lamp"]),
        // Misspelt: at the end, at the beginning, in a word before the last one, in one that is not finished.
        ("brss la", &["listing: brass lamp"]),
        ("brass lmap", &["listing: brass lamp"]),
        ("imbrellas", &["group: garden umbrellas"]),
        ("umbrelal", &["group: garden umbrellas"]),
        ("crmee brulee", &["listing: crème brûlée"]),
        ("orgenaz", &[]),
        ("orgamiz", &["listing: desk organizer"]),
        ("", &[]),
        ("?!", &[]),
        ("zeppelin", &[]),
        ("bravu", &[]),
    ] {
        assert_eq!(texts(bench, typed).await, expected, "{typed}");
    }
    let desk = Suggestion {
        kind: SuggestionKind::Listing,
        text: "Oak Desk".into(),
        id: Some(bench.id("4")),
    };
    let umbrellas = Suggestion {
        kind: SuggestionKind::Group,
        text: "Garden Umbrellas".into(),
        id: Some("cat_1".into()),
    };
    assert_eq!(suggested(bench, "oak").await, [desk]);
    assert_eq!(suggested(bench, "garden").await, [umbrellas]);
}

/// No kind has all the room.
pub async fn kinds(bench: &Bench) {
    let all: Vec<_> = (0..30)
        .map(|n| {
            let [title, tag] = [format!("Xylophone {n}"), format!("xylo{n}")];
            let texts = [
                (Field::Title, &*title),
                (Field::Tags, &*tag),
                (Field::Group, "Xylophones"),
                (Field::Owner, "House of Xylophones"),
            ];
            product(bench, &format!("x{n}"), 1, &texts)
        })
        .collect();
    bench.put(&all).await;
    let found = suggested(bench, "xylo").await;
    let count = |kind| found.iter().filter(|one| one.kind == kind).count();
    let counts = [SuggestionKind::Group, SuggestionKind::Owner].map(count);
    assert_eq!((found.len(), counts), (10, [1, 1]), "{found:?}");
    assert_eq!(
        [SuggestionKind::Query, SuggestionKind::Listing].map(count),
        [MAX_OF_A_KIND; 2]
    );
    let few = bench.index.suggest("xylo", 3).await.unwrap();
    let kinds: Vec<_> = few.iter().map(|one| one.kind).collect();
    let expected = [SuggestionKind::Group, SuggestionKind::Query, SuggestionKind::Owner];
    assert!(
        kinds.len() == 3
            && kinds
                .iter()
                .all(|kind| expected.contains(kind) || *kind == SuggestionKind::Listing)
    );
    assert_eq!(suggested(bench, "xylophone 2").await.len(), MAX_OF_A_KIND);
}

/// What is used more comes first, and what was searched for is suggested too, if it still finds something.
pub async fn used_first(bench: &Bench) {
    let products = ["chair", "table", "gnome"].map(|name| {
        let title = format!("garden {name}");
        let inside = (Field::Description, "with gloves for gardening");
        product(
            bench,
            name,
            1,
            &[
                (Field::Title, &title),
                (Field::Group, "Everything for the garden"),
                inside,
            ],
        )
    });
    bench.put(&products).await;
    let used = |text: &str, uses| (text.to_owned(), uses);
    bench
        .index
        .used(&[
            used("Garden gnome", 40),
            used("garden table", 8),
            used("gardening gloves", 20),
            used("garden zeppelin", 20),
            used("garden of jane doe", 1),
        ])
        .await
        .unwrap();
    bench.index.used(&[used("garden table", 8)]).await.unwrap();
    let expected = [
        "listing: garden gnome",
        "query: gardening gloves",
        "listing: garden table",
        "listing: garden chair",
        "group: everything for the garden",
    ];
    assert_eq!(texts(bench, "gard").await, expected);
    assert_eq!(texts(bench, "glov").await, ["query: gardening gloves"]);
    // Uses outlive a rebuild.
    let generation = bench.index.begin().await.unwrap();
    bench.index.fill(generation, &products).await.unwrap();
    bench.index.finish(generation).await.unwrap();
    assert_eq!(texts(bench, "gard").await, expected);
    assert_eq!(texts(bench, "glov").await, ["query: gardening gloves"]);
    bench.index.used(&[]).await.unwrap();
    bench
        .index
        .used(&[used("everything for the garden", 99)])
        .await
        .unwrap();
    assert_eq!(texts(bench, "gard").await[0], "group: everything for the garden");
}

/// What no product has any longer is not suggested.
pub async fn gone(bench: &Bench) {
    let rope = |name: &str, version, group| {
        product(
            bench,
            name,
            version,
            &[(Field::Title, "Velvet rope"), (Field::Group, group)],
        )
    };
    bench
        .put(&[rope("1", 1, "Soft velvet"), rope("2", 1, "Soft velvet")])
        .await;
    bench.index.used(&[("velvet rope".to_owned(), 5)]).await.unwrap();
    bench.remove("1", 1).await;
    assert_eq!(
        texts(bench, "velvet").await,
        ["listing: velvet rope", "group: soft velvet"]
    );
    // A new name takes the place of the old one.
    bench.put(&[rope("2", 2, "Velvet things")]).await;
    assert_eq!(
        texts(bench, "velvet").await,
        ["listing: velvet rope", "group: velvet things"]
    );
    assert_eq!(texts(bench, "soft").await, [""; 0]);
    for _ in 0..2 {
        bench.put(&[bench.listing("2", 3, "Velvet curtain")]).await;
        assert_eq!(texts(bench, "velvet").await, ["listing: velvet curtain"]);
    }
    bench.remove("2", 3).await;
    assert_eq!(texts(bench, "velvet").await, [""; 0]);
}
