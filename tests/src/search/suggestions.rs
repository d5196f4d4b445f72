//! What is suggested.

use souk_core::search::{Field, Listing};

use super::bench::Bench;

/// Titles, tags, categories and vendors that begin so, as people write them.
pub async fn completes(bench: &Bench) {
    let product = |name: &str, texts: &[(Field, &str)]| Listing {
        texts: texts.iter().map(|(field, text)| (*field, (*text).to_owned())).collect(),
        ..bench.listing(name, 1, "")
    };
    bench
        .put(&[
            product(
                "1",
                &[
                    (Field::Title, "Brass Lamp"),
                    (Field::Tags, "brass"),
                    (Field::Description, "bravura"),
                ],
            ),
            product(
                "2",
                &[
                    (Field::Title, "Brass Lamp"),
                    (Field::Owner, "Brässerie"),
                    (Field::Group, "Umbrellas"),
                ],
            ),
            product("3", &[(Field::Title, "Crème brûlée"), (Field::Attributes, "bravo")]),
        ])
        .await;
    for (typed, expected) in [
        ("br", &["Brass Lamp", "brass", "Brässerie"][..]),
        ("BRASS", &["Brass Lamp", "brass", "Brässerie"]),
        ("brass la", &["Brass Lamp"]),
        ("brass, LA", &["Brass Lamp"]),
        ("creme b", &["Crème brûlée"]),
        ("u", &["Umbrellas"]),
        // Misspelt: at the end, at the beginning, in a word before the last one.
        ("brss la", &["Brass Lamp"]),
        ("brass lmap", &["Brass Lamp"]),
        ("imbrellas", &["Umbrellas"]),
        ("crmee brulee", &["Crème brûlée"]),
        ("", &[]),
        ("?!", &[]),
        ("zeppelin", &[]),
        ("bravu", &[]),
    ] {
        let found = bench.index.suggest(typed, 10).await.unwrap();
        assert_eq!(found, expected, "{typed}");
    }
    let all: Vec<_> = (0..30)
        .map(|n| bench.listing(&format!("x{n}"), 1, &format!("Xylophone {n}")))
        .collect();
    bench.put(&all).await;
    assert_eq!(bench.index.suggest("xylo", 10).await.unwrap().len(), 10);
    assert_eq!(bench.index.suggest("xylophone 2", 3).await.unwrap().len(), 3);
}

/// What is used more comes first, and what was searched for is suggested too.
pub async fn used_first(bench: &Bench) {
    let titles = ["garden chair", "garden table", "garden gnome"];
    bench.put(&titles.map(|title| bench.listing(title, 1, title))).await;
    let used = |text: &str, uses| (text.to_owned(), uses);
    bench
        .index
        .used(&[
            used("Garden gnome", 40),
            used("garden table", 8),
            used("gardening gloves", 20),
            used("garden of jane doe", 1),
        ])
        .await
        .unwrap();
    bench.index.used(&[used("garden table", 8)]).await.unwrap();
    let expected = ["garden gnome", "gardening gloves", "garden table", "garden chair"];
    assert_eq!(bench.index.suggest("gard", 10).await.unwrap(), expected);
    // Uses outlive a rebuild.
    let generation = bench.index.begin().await.unwrap();
    bench
        .index
        .fill(generation, &titles.map(|title| bench.listing(title, 1, title)))
        .await
        .unwrap();
    bench.index.finish(generation).await.unwrap();
    assert_eq!(bench.index.suggest("gard", 10).await.unwrap(), expected);
    bench.index.used(&[]).await.unwrap();
}

/// What no product has any longer is not suggested.
pub async fn gone(bench: &Bench) {
    bench
        .put(&[
            bench.listing("1", 1, "Velvet rope"),
            bench.listing("2", 1, "Velvet rope"),
        ])
        .await;
    bench.index.used(&[("velvet rope".to_owned(), 5)]).await.unwrap();
    bench.remove("1", 1).await;
    assert_eq!(bench.index.suggest("velvet", 10).await.unwrap(), ["Velvet rope"]);
    bench.put(&[bench.listing("2", 2, "Velvet curtain")]).await;
    assert_eq!(bench.index.suggest("velvet", 10).await.unwrap(), ["Velvet curtain"]);
    bench.put(&[bench.listing("2", 2, "Velvet curtain")]).await;
    bench.remove("2", 2).await;
    assert_eq!(bench.index.suggest("velvet", 10).await.unwrap(), [""; 0]);
}
