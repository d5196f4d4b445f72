//! Tenants have nothing in common, although their products have the same ids, versions and titles.

use futures_util::future::join_all;
use souk_core::Tenant;
use souk_core::search::{
    Field, IndexChange, Listing, SearchError, SearchQuery, Sort, Suggestion, SuggestionKind, words,
};

use super::bench::{Bench, facet, text};

/// The product `name` of a market. Only this market has `word`.
fn product(bench: &Bench, name: &str, version: u64, word: &str) -> Listing {
    let suggestion = |kind, text: String, id: Option<&str>| Suggestion {
        kind,
        text,
        id: id.map(str::to_owned),
    };
    Listing {
        body: serde_json::json!({ "of": word, "version": version }).to_string(),
        texts: vec![
            (Field::Title, "Brass Lamp".into()),
            (Field::Description, format!("fit for a {word}")),
        ],
        facets: vec![facet("tag", word), facet("tag", "red")],
        suggestions: vec![
            suggestion(SuggestionKind::Query, format!("{word} lamps"), None),
            suggestion(SuggestionKind::Group, "Lighting".into(), Some(word)),
        ],
        place: Some((1.0, 2.0)),
        ..bench.listing(name, version, "")
    }
}

/// A market: its index, the word that only it has, and the names of its products.
struct Market {
    bench: Bench,
    word: &'static str,
    /// The word with a letter too few.
    misspelt: &'static str,
    products: Vec<&'static str>,
}

impl Market {
    /// The markets of a case: two tenants, of which the name of one begins with that of the other, and the main market.
    fn three(bench: &Bench) -> [Self; 3] {
        let market = |bench, word, misspelt, products: &[&'static str]| Self {
            bench,
            word,
            misspelt,
            products: products.to_vec(),
        };
        [
            market(bench.of(&bench.tenant("a")), "zeppelin", "zeppeln", &["1", "2"]),
            market(
                bench.of(&bench.tenant("a-1")),
                "harpsichord",
                "harpsichrd",
                &["1", "2", "3"],
            ),
            market(bench.of(&Tenant::main()), "galleon", "gallen", &["1"]),
        ]
    }

    fn product(&self, name: &str, version: u64) -> Listing {
        product(&self.bench, name, version, self.word)
    }

    /// The first letters of the word.
    fn beginning(&self, letters: usize) -> &str {
        self.word.get(..letters).unwrap()
    }

    async fn fill(&self) {
        let products: Vec<Listing> = self.products.iter().map(|name| self.product(name, 1)).collect();
        self.bench.put(&products).await;
    }

    async fn rebuild(&self) {
        let index = &self.bench.index;
        let generation = index.begin().await.unwrap();
        let products: Vec<Listing> = self.products.iter().map(|name| self.product(name, 1)).collect();
        index.fill(generation, &products).await.unwrap();
        index.finish(generation).await.unwrap();
    }

    /// The market has its own products and nothing of others.
    async fn check(&self, others: &[&Self]) {
        let count = self.products.len();
        let mut own: Vec<String> = self.products.iter().map(|name| self.bench.id(name)).collect();
        own.sort();
        for typed in [
            "",
            "lamp",
            "\"brass lamp\"",
            self.word,
            self.misspelt,
            self.beginning(5),
            "bras",
        ] {
            for sort in [Sort::Relevance, Sort::Newest, Sort::Cheapest] {
                let query = SearchQuery {
                    sort,
                    count: 100,
                    facets: vec!["tag".into(), "price".into()],
                    ..text(typed)
                };
                let page = self.bench.page(&query).await;
                let mut ids: Vec<String> = page.hits.iter().map(|hit| hit.id.clone()).collect();
                ids.sort();
                assert_eq!(ids, own, "{}: {typed}", self.word);
                assert!(page.hits.iter().all(|hit| hit.body.contains(self.word)), "{typed}");
                assert_eq!(page.total, Some(count), "{}: {typed}", self.word);
                let mut values: Vec<_> = page.facets[0].values.iter().map(|(f, n)| (&*f.value, *n)).collect();
                values.sort_unstable();
                let mut expected = vec![(self.word, count as u64), ("red", count as u64)];
                expected.sort_unstable();
                assert_eq!(values, expected, "{typed}");
                let [(_, priced)] = &page.facets[1].values[..] else {
                    panic!("{:?}", page.facets)
                };
                assert_eq!(*priced, count as u64);
            }
        }
        let filtered = |word: &str| SearchQuery {
            filters: vec![("tag".into(), vec![word.to_owned()])],
            count: 100,
            ..text("lamp")
        };
        assert_eq!(self.bench.page(&filtered("red")).await.total, Some(count));
        // One page after the other.
        let pages = SearchQuery {
            limit: 1,
            ..text("lamp")
        };
        assert_eq!(self.bench.find_all(&pages).await.unwrap().len(), count);
        for other in others {
            assert_eq!(self.bench.page(&filtered(other.word)).await.hits, []);
            for typed in [other.word, other.misspelt, other.beginning(5)] {
                let page = self.bench.page(&text(typed)).await;
                let stem = words(typed).next().unwrap().stem;
                assert_eq!((page.hits, page.terms), (vec![], vec![stem]), "{}", self.word);
                assert_eq!(self.bench.index.suggest(typed, 10).await, Ok(vec![]), "{}", self.word);
            }
        }
        let suggested = async |typed| self.bench.index.suggest(typed, 10).await.unwrap();
        for typed in [self.word, self.misspelt, self.beginning(3)] {
            let texts: Vec<String> = suggested(typed).await.into_iter().map(|one| one.text).collect();
            assert_eq!(texts, [format!("{} lamps", self.word)], "{typed}");
        }
        let groups: Vec<_> = suggested("light").await.into_iter().map(|one| one.id).collect();
        assert_eq!(groups, [Some(self.word.to_owned())]);
        // Equal titles are suggested once.
        let titles: Vec<_> = suggested("brass l")
            .await
            .into_iter()
            .filter_map(|one| one.id)
            .collect();
        assert!(titles.len() == 1 && own.contains(&titles[0]), "{titles:?}");
        assert_eq!(self.bench.index.state().await.unwrap().listings, count as u64);
    }

    /// The market has nothing.
    async fn is_empty(&self) {
        let query = SearchQuery {
            facets: vec!["tag".into(), "price".into()],
            count: 100,
            ..SearchQuery::default()
        };
        for (typed, sort) in [("", Sort::Relevance), ("lamp", Sort::Relevance), ("lam", Sort::Newest)] {
            let query = SearchQuery {
                text: typed.into(),
                sort,
                ..query.clone()
            };
            let page = self.bench.page(&query).await;
            assert_eq!(
                (page.hits, page.next, page.prev, page.total),
                (vec![], None, None, Some(0))
            );
            assert_eq!(page.facets, query.no_counts());
        }
        assert_eq!(self.bench.index.suggest("lamp", 10).await, Ok(vec![]));
        let state = self.bench.index.state().await.unwrap();
        assert_eq!((state.live, state.building, state.listings), (0, None, 0));
    }
}

/// Each market checks that it has what it should, and nothing of the others.
async fn check(markets: &[Market; 3]) {
    for market in markets {
        let others: Vec<&Market> = markets.iter().filter(|other| other.word != market.word).collect();
        market.check(&others).await;
    }
}

/// No hit, count, suggestion, correction, removal or erasure of a market concerns another.
pub async fn apart(bench: &Bench) {
    let markets = Market::three(bench);
    let [a, b, main] = &markets;
    for market in &markets[..2] {
        market.is_empty().await;
    }
    main.fill().await;
    for market in &markets[..2] {
        market.is_empty().await;
        market.fill().await;
    }
    check(&markets).await;
    // An index leads to every other, and the main market's is the one that all began with.
    assert_eq!(a.bench.of(&Tenant::main()).find(&text("lamp")).await, ["1"]);
    assert_eq!(bench.of(&Tenant::main()).find(&text("galleon")).await, ["1"]);
    assert_eq!(bench.find(&text("galleon")).await, ["1"]);
    assert_eq!(a.bench.of(&bench.tenant("a-1")).find(&text("lamp")).await.len(), 3);

    // What was searched for.
    a.bench.index.used(&[("lamp brass".into(), 5)]).await.unwrap();
    for (market, count) in [(a, 1), (b, 0), (main, 0)] {
        let suggested = market.bench.index.suggest("lamp br", 10).await.unwrap();
        let queries = suggested.iter().filter(|one| one.kind == SuggestionKind::Query);
        assert_eq!(queries.count(), count, "{}", market.word);
    }

    // A removal is remembered where it was.
    for (at, market) in markets.iter().enumerate() {
        market.bench.remove("1", 5).await;
        for (n, other) in markets.iter().enumerate() {
            let has = other.bench.find(&text("lamp")).await.contains(&"1".to_owned());
            assert_eq!(has, n > at, "{} after {}", other.word, market.word);
        }
        market.bench.put(&[market.product("1", 4)]).await;
        assert!(!market.bench.find(&text("lamp")).await.contains(&"1".to_owned()));
    }
    for market in &markets {
        market.bench.put(&[market.product("1", 6)]).await;
    }
    check(&markets).await;
    a.bench.remove("9", 5).await;
    b.bench.put(&[b.product("9", 5)]).await;
    assert_eq!(b.bench.find(&text("lamp")).await.len(), 4);
    b.bench.remove("9", 5).await;

    // Erased is as if it had never been.
    a.bench.index.erase().await.unwrap();
    a.is_empty().await;
    bench.of(&bench.tenant("a")).index.erase().await.unwrap();
    b.check(&[a, main]).await;
    main.check(&[a, b]).await;
    let again = Market {
        word: "windmill",
        misspelt: "windmll",
        products: vec!["1", "9"],
        bench: bench.of(&bench.tenant("a")),
    };
    again.fill().await;
    again.check(&[a, b, main]).await;
    b.check(&[&again, main]).await;
    again.bench.index.erase().await.unwrap();
    b.bench.index.erase().await.unwrap();
    main.check(&[&again, b]).await;
}

/// A rebuild concerns one market.
pub async fn rebuilt(bench: &Bench) {
    let markets = Market::three(bench);
    let [a, b, main] = &markets;
    let superseded = Err(SearchError::Superseded);
    for market in &markets {
        market.fill().await;
    }
    let state = async |market: &Market| market.bench.index.state().await.unwrap();
    // What was indexed before the first rebuild may not be all that there is.
    assert_eq!((state(a).await.live, state(b).await.live), (0, 0));
    let before = [state(b).await, state(main).await];
    let generation = a.bench.index.begin().await.unwrap();
    assert_eq!(state(a).await.building, Some(generation));
    let other = b.product("7", 1);
    assert_eq!(b.bench.index.fill(generation, &[other]).await, superseded);
    assert_eq!(b.bench.index.finish(generation).await, superseded);
    assert_eq!(main.bench.index.finish(generation).await, superseded);
    let fresh = Market {
        word: "windmill",
        misspelt: "windmll",
        products: vec!["2", "3", "4"],
        bench: bench.of(&bench.tenant("a")),
    };
    let products: Vec<Listing> = fresh.products.iter().map(|name| fresh.product(name, 1)).collect();
    a.bench.index.fill(generation, &products).await.unwrap();
    // What changes meanwhile in another market is not added to it.
    b.bench.put(&[b.product("5", 1)]).await;
    b.bench.remove("5", 1).await;
    check(&markets).await;
    a.bench.index.finish(generation).await.unwrap();
    fresh.check(&[a, b, main]).await;
    b.check(&[&fresh, main]).await;
    main.check(&[&fresh, b]).await;
    let done = state(&fresh).await;
    assert_eq!((done.live, done.building), (generation, None));
    assert_eq!([state(b).await, state(main).await], before);

    // At the same time, and the main market's as well.
    let (x, y) = (
        b.bench.index.begin().await.unwrap(),
        main.bench.index.begin().await.unwrap(),
    );
    assert_eq!(
        (state(b).await.building, state(main).await.building),
        (Some(x), Some(y))
    );
    for (market, generation) in [(main, y), (b, x)] {
        let products: Vec<Listing> = market.products.iter().map(|name| market.product(name, 1)).collect();
        market.bench.index.fill(generation, &products).await.unwrap();
        market.bench.index.finish(generation).await.unwrap();
        fresh.check(&[b, main]).await;
        b.check(&[&fresh, main]).await;
        main.check(&[&fresh, b]).await;
    }
    for _ in 0..3 {
        fresh.rebuild().await;
    }
    b.check(&[&fresh, main]).await;
    // While it is being rebuilt.
    fresh.bench.index.begin().await.unwrap();
    fresh.bench.index.erase().await.unwrap();
    fresh.is_empty().await;
    assert_eq!(fresh.bench.index.fill(generation, &[]).await, superseded);
    main.check(&[&fresh, b]).await;
    b.bench.index.erase().await.unwrap();
}

/// Of the first changes of a tenant, which come at the same time, none is lost.
pub async fn first_changes(bench: &Bench) {
    let tenant = bench.tenant("new");
    let index = bench.of(&tenant);
    let change = async |n: usize| {
        let index = bench.of(&tenant);
        let listing = index.listing(&n.to_string(), 1, "lamp");
        index.index.apply(&[IndexChange::Put(Box::new(listing))]).await.unwrap();
    };
    join_all((0..8).map(change)).await;
    assert_eq!(index.find(&text("lamp")).await.len(), 8);
    assert_eq!(index.index.state().await.unwrap().listings, 8);
    assert_eq!(bench.find(&text("lamp")).await, [""; 0]);
    index.index.erase().await.unwrap();
    // A search and a count of uses may be the first of all.
    index.index.used(&[("lamp".into(), 5)]).await.unwrap();
    assert_eq!(index.find(&text("lamp")).await, [""; 0]);
    index.index.erase().await.unwrap();
}
