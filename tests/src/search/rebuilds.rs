//! Versions and generations.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use souk_core::search::{FORMAT, IndexChange, IndexState, SearchError, SearchQuery};

use super::bench::{Bench, text};

/// No change goes back behind a later one.
pub async fn versions(bench: &Bench) {
    let put = async |version, title| bench.put(&[bench.listing("a", version, title)]).await;
    let found = async |typed| bench.find(&text(typed)).await.len();
    put(2, "second").await;
    put(1, "first").await;
    assert_eq!((found("second").await, found("first").await), (1, 0));
    put(2, "again").await;
    assert_eq!((found("second").await, found("again").await), (0, 1));
    bench.remove("a", 1).await;
    assert_eq!(found("again").await, 1);
    put(3, "third").await;
    bench.remove("a", 2).await;
    assert_eq!(found("third").await, 1);
    bench.remove("a", 3).await;
    assert_eq!(found("").await, 0);
    put(3, "third").await;
    put(2, "second").await;
    assert_eq!(found("").await, 0);
    put(4, "fourth").await;
    assert_eq!(found("fourth").await, 1);
    // A removal may come before what it removes, and several changes of one product at once.
    bench.remove("b", 7).await;
    let b = |version, title| IndexChange::Put(Box::new(bench.listing("b", version, title)));
    bench.index.apply(&[b(7, "b"), b(6, "b")]).await.unwrap();
    assert_eq!(found("b").await, 0);
    let id = bench.id("b");
    let gone = IndexChange::Remove { id, version: 8 };
    bench
        .index
        .apply(&[b(9, "nine"), gone, b(8, "eight"), b(9, "nine twice")])
        .await
        .unwrap();
    assert_eq!((found("nine twice").await, found("eight").await), (1, 0));
    let hit = bench.page(&text("nine")).await.hits.remove(0);
    assert_eq!((hit.version, hit.id), (9, bench.id("b")));
    assert_eq!(hit.body, r#"{"title":"nine twice","version":9}"#);
    assert_eq!(bench.index.state().await.unwrap().listings, 2);
}

/// What is being built is not seen, and then all of it.
pub async fn generations(bench: &Bench) {
    let index = &bench.index;
    let live = index.state().await.unwrap().live;
    bench
        .put(&[bench.listing("a", 1, "lamp"), bench.listing("b", 1, "lamp")])
        .await;
    let next = index.begin().await.unwrap();
    assert!(next > live);
    let state = |live, building, listings| IndexState {
        live,
        building,
        listings,
        format: FORMAT,
    };
    assert_eq!(index.state().await, Ok(state(live, Some(next), 2)));
    index
        .fill(next, &[bench.listing("a", 1, "lamp"), bench.listing("c", 1, "lamp")])
        .await
        .unwrap();
    assert_eq!(bench.find(&text("lamp")).await.len(), 2);
    // What changes meanwhile is in both; late filling takes nothing back.
    bench.put(&[bench.listing("d", 2, "lamp")]).await;
    bench.remove("e", 5).await;
    bench.remove("c", 1).await;
    let late = ["c", "d", "e"].map(|name| bench.listing(name, 1, "lamp"));
    index.fill(next, &late).await.unwrap();
    let mut found = bench.find(&text("lamp")).await;
    found.sort();
    assert_eq!(found, ["a", "b", "d"]);
    assert_eq!(index.state().await, Ok(state(live, Some(next), 3)));
    index.finish(next).await.unwrap();
    let mut found = bench.find(&text("lamp")).await;
    found.sort();
    assert_eq!(found, ["a", "d"]);
    assert_eq!(index.state().await, Ok(state(next, None, 2)));
    let more = SearchQuery {
        facets: vec!["price".into()],
        ..text("lamp")
    };
    assert_eq!(bench.page(&more).await.facets[0].values[0].1, 2);
}

/// Of two rebuilds the later one counts.
pub async fn superseded(bench: &Bench) {
    let index = &bench.index;
    bench.put(&[bench.listing("a", 1, "lamp")]).await;
    let first = index.begin().await.unwrap();
    index.fill(first, &[bench.listing("b", 1, "lamp")]).await.unwrap();
    let second = index.begin().await.unwrap();
    assert!(second > first);
    let superseded = Err(SearchError::Superseded);
    assert_eq!(index.fill(first, &[bench.listing("b", 1, "lamp")]).await, superseded);
    assert_eq!(index.finish(first).await, superseded);
    assert_eq!(bench.find(&text("lamp")).await, ["a"]);
    index.fill(second, &[bench.listing("c", 1, "lamp")]).await.unwrap();
    index.finish(second).await.unwrap();
    assert_eq!(bench.find(&text("lamp")).await, ["c"]);
    assert_eq!(index.finish(second).await, superseded);
    assert_eq!(index.fill(second, &[]).await, superseded);
}

/// Whatever changes while one rebuild follows the other is in the end as it was changed last.
pub async fn nothing_is_missed(bench: &Bench) {
    // What the market has: names and versions, as a rebuild reads them.
    let market = Mutex::new(BTreeMap::new());
    let done = AtomicBool::new(false);
    let change = async {
        for version in 1..=60 {
            let name = format!("{}", version % 7);
            if version % 5 == 0 {
                market.lock().unwrap().remove(&name);
                bench.remove(&name, version).await;
            } else {
                market.lock().unwrap().insert(name.clone(), version);
                bench.put(&[bench.listing(&name, version, "lamp")]).await;
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    let rebuild = async {
        while !done.load(Ordering::Relaxed) {
            let generation = bench.index.begin().await.unwrap();
            let names: Vec<String> = (0..7).map(|n| n.to_string()).collect();
            for part in names.chunks(3) {
                let market = market.lock().unwrap().clone();
                let known = part.iter().filter_map(|name| Some((name, *market.get(name)?)));
                let listings: Vec<_> = known
                    .map(|(name, version)| bench.listing(name, version, "lamp"))
                    .collect();
                bench.index.fill(generation, &listings).await.unwrap();
            }
            bench.index.finish(generation).await.unwrap();
        }
    };
    tokio::join!(change, rebuild);
    let found: BTreeMap<_, _> = bench
        .page(&text("lamp"))
        .await
        .hits
        .into_iter()
        .map(|hit| (hit.id, hit.version))
        .collect();
    let market = market.into_inner().unwrap();
    let expected = market.into_iter().map(|(name, version)| (bench.id(&name), version));
    assert_eq!(found, expected.collect());
}

/// While one rebuild follows the other, every search finds what is there.
pub async fn every_search_answers(bench: &Bench) {
    let mut listings: Vec<_> = (0..60).map(|n| bench.listing(&format!("{n}"), 1, "lamp")).collect();
    for (n, listing) in (0..).zip(&mut listings) {
        listing.rank += n;
    }
    bench.put(&listings).await;
    let done = AtomicBool::new(false);
    let rebuild = async {
        for _ in 0..4 {
            let generation = bench.index.begin().await.unwrap();
            for part in listings.chunks(20) {
                bench.index.fill(generation, part).await.unwrap();
            }
            bench.index.finish(generation).await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    let search = async {
        let query = SearchQuery {
            limit: 100,
            facets: vec!["price".into()],
            ..text("lamp")
        };
        let mut count = 0;
        while !done.load(Ordering::Relaxed) {
            let page = bench.page(&query).await;
            assert_eq!((page.hits.len(), page.facets[0].values[0].1), (60, 60));
            count += 1;
            tokio::task::yield_now().await;
        }
        assert!(count > 0);
    };
    tokio::join!(rebuild, search, async {
        while !done.load(Ordering::Relaxed) {
            // Half of a page, and the rest of it after a swap maybe.
            let found = bench
                .find_all(&SearchQuery {
                    limit: 30,
                    ..text("lamp")
                })
                .await
                .unwrap();
            assert_eq!(found.len(), 60);
            tokio::task::yield_now().await;
        }
    });
}
