//! Behaviour that is particular to an index in one S3 object: concurrent writers, writers that crash, readers that lose
//! their connection. What every index must do alike is in the contract tests.

#![expect(clippy::unwrap_used, reason = "this is a test")]

#[path = "stub/s3.rs"]
mod stub;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use souk_aws::{S3Search, Settings, SystemRandom};
use souk_core::search::{Field, IndexChange, Listing, Search, SearchError, SearchQuery};
use souk_core::{Clock, Tenant, Timestamp};
use stub::{Fault, S3};

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(SeqCst)).unwrap()
    }
}

/// A bucket shared by any number of processes.
struct World {
    s3: S3,
    settings: Settings,
    clock: Arc<Hand>,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let (s3, settings) = S3::start().await;
        let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
        let folder = tempfile::tempdir().unwrap();
        Self {
            s3,
            settings,
            clock,
            folder,
        }
    }

    fn process(&self, name: &str) -> S3Search {
        let folder = self.folder.path().join(name);
        S3Search::new(
            &self.settings,
            "bucket",
            &folder,
            self.clock.clone(),
            Arc::new(SystemRandom),
        )
    }

    fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, SeqCst);
    }

    /// How many times the index object was written.
    fn writes(&self) -> usize {
        self.s3.count("put", "index.db", 200)
    }
}

fn test(run: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let all = async { run(World::new().await).await };
    runtime.block_on(tokio::task::LocalSet::new().run_until(all));
}

fn listing(product: &str, version: u64) -> Listing {
    Listing {
        id: product.into(),
        version,
        body: format!("{{\"version\":{version}}}"),
        rank: 1_700_000_000,
        texts: vec![(Field::Title, "lamp".into())],
        facets: Vec::new(),
        suggestions: Vec::new(),
        price: 1_000,
        other_prices: Vec::new(),
        published_at: 1_700_000_000_000,
        votes: 0,
        place: None,
    }
}

fn put(product: &str, version: u64) -> IndexChange {
    IndexChange::Put(Box::new(listing(product, version)))
}

fn gone(product: &str, version: u64) -> IndexChange {
    let id = product.into();
    IndexChange::Remove { id, version }
}

/// All products that a search finds, with their versions.
async fn found(index: &dyn Search) -> Result<Vec<(String, u64)>, SearchError> {
    let query = SearchQuery {
        limit: 100,
        text: "lamp".into(),
        ..SearchQuery::default()
    };
    let page = index.search(&query).await?;
    let mut found: Vec<_> = page.hits.into_iter().map(|hit| (hit.id, hit.version)).collect();
    found.sort();
    Ok(found)
}

fn these(expected: &[(&str, u64)]) -> Result<Vec<(String, u64)>, SearchError> {
    Ok(expected
        .iter()
        .map(|(product, version)| ((*product).to_owned(), *version))
        .collect())
}

#[test]
fn concurrent_writers_lose_no_changes() {
    test(async |world| {
        let (one, other) = (world.process("one"), world.process("other"));
        let write = async |index: &S3Search, who: &str| {
            for n in 0..8 {
                index
                    .apply(&[put(&format!("{who}-{n}"), 1), put("both", n + 1)])
                    .await
                    .unwrap();
            }
        };
        tokio::join!(write(&one, "a"), write(&one, "b"), write(&other, "c"));
        assert_eq!(found(&world.process("reader")).await.unwrap().len(), 25);
        assert!(world.s3.count("put", "index.db", 412) > 0, "they never met");
    });
}

#[test]
fn one_write_serves_many_concurrent_writers() {
    test(async |world| {
        let writers: Vec<_> = (0..16).map(|n| world.process(&n.to_string())).collect();
        let changes: Vec<_> = (0..16).map(|n| [put(&format!("p-{n}"), 1)]).collect();
        let all = writers
            .iter()
            .zip(&changes)
            .map(|(writer, change)| writer.apply(change));
        for done in futures_util::future::join_all(all).await {
            done.unwrap();
        }
        assert_eq!(found(&world.process("reader")).await.unwrap().len(), 16);
        assert!(world.writes() <= 6, "{} writes", world.writes());
        // Also for concurrent writes of one process.
        let before = world.writes();
        let changes: Vec<_> = (0..16).map(|n| [put(&format!("p-{n}"), 2)]).collect();
        for done in futures_util::future::join_all(changes.iter().map(|change| writers[0].apply(change))).await {
            done.unwrap();
        }
        assert!(
            found(&writers[0])
                .await
                .unwrap()
                .iter()
                .all(|(_, version)| *version == 2)
        );
        assert!(world.writes() - before <= 3, "{} writes", world.writes() - before);
    });
}

#[test]
fn a_writer_that_fails_changes_nothing_and_can_retry() {
    test(async |world| {
        let (writer, reader) = (world.process("writer"), world.process("reader"));
        writer.apply(&[put("a", 1)]).await.unwrap();
        for fault in [
            Fault::HangUp,
            Fault::Status(503, "SlowDown"),
            Fault::Status(403, "AccessDenied"),
        ] {
            world.s3.lock().outage = Some(fault);
            let failed = writer.apply(&[put("a", 2), put("b", 1)]).await;
            assert!(matches!(failed, Err(SearchError::Unavailable(_))), "{failed:?}");
            world.s3.lock().outage = None;
            world.wait(5);
            assert_eq!(found(&reader).await, these(&[("a", 1)]));
            assert_eq!(
                found(&writer).await,
                these(&[("a", 1)]),
                "nobody sees what is not written"
            );
        }
        // The write succeeds, but its response is lost.
        world.s3.lock().faults.push_back(("put", Fault::LostAnswer));
        writer.apply(&[put("a", 2), put("b", 1)]).await.unwrap();
        world.wait(5);
        assert_eq!(found(&reader).await, these(&[("a", 2), ("b", 1)]));
        assert_eq!(reader.state().await.unwrap().listings, 2);
    });
}

#[test]
fn changes_without_effect_are_not_written() {
    test(async |world| {
        let writer = world.process("writer");
        writer.apply(&[put("a", 3), gone("b", 5)]).await.unwrap();
        let before = world.writes();
        for old in [put("a", 2), gone("b", 5), gone("b", 4), put("b", 5), put("b", 1)] {
            writer.apply(&[old]).await.unwrap();
        }
        writer.apply(&[]).await.unwrap();
        assert_eq!(world.writes(), before);
        for news in [put("a", 3), gone("a", 3), put("b", 6), gone("c", 1)] {
            writer.apply(&[put("a", 1), news]).await.unwrap();
        }
        assert_eq!(world.writes(), before + 4);
    });
}

#[test]
fn readers_refresh_at_most_once_a_second() {
    test(async |world| {
        let (writer, reader) = (world.process("writer"), world.process("reader"));
        assert_eq!(found(&reader).await, these(&[]), "what was never there is empty");
        writer.apply(&[put("a", 1)]).await.unwrap();
        assert_eq!(found(&writer).await, these(&[("a", 1)]), "a writer reads what it wrote");
        world.wait(1);
        assert_eq!(found(&reader).await, these(&[("a", 1)]));
        let fetched = |status| world.s3.count("get", "index.db", status);
        let (new, same) = (fetched(200), fetched(304));
        for _ in 0..5 {
            assert_eq!(found(&reader).await, these(&[("a", 1)]));
        }
        world.wait(1);
        assert_eq!(found(&reader).await, these(&[("a", 1)]));
        assert_eq!((fetched(200), fetched(304)), (new, same + 1));
        let files = std::fs::read_dir(world.folder.path().join("reader")).unwrap().count();
        assert_eq!(files, 1, "of the copies only the newest is kept");
    });
}

#[test]
fn readers_serve_a_stale_copy_for_minutes_without_s3_and_recover() {
    test(async |world| {
        let (writer, reader) = (world.process("writer"), world.process("reader"));
        writer.apply(&[put("a", 1)]).await.unwrap();
        assert_eq!(found(&reader).await, these(&[("a", 1)]));
        for fault in [
            Fault::HangUp,
            Fault::Status(500, "InternalError"),
            Fault::Status(404, "NoSuchBucket"),
            Fault::Status(404, "NoSuchKey"),
        ] {
            world.s3.lock().outage = Some(fault);
            for seconds in [2, 5, 285] {
                world.wait(seconds);
                assert_eq!(found(&reader).await, these(&[("a", 1)]), "{fault:?} after {seconds} s");
            }
            world.wait(10);
            assert!(
                matches!(found(&reader).await, Err(SearchError::Unavailable(_))),
                "{fault:?}"
            );
            world.s3.lock().outage = None;
            world.wait(5);
            assert_eq!(found(&reader).await, these(&[("a", 1)]));
        }
        // A new process has no copy to fall back on.
        world.s3.lock().outage = Some(Fault::Status(404, "NoSuchBucket"));
        let new = world.process("new");
        assert!(matches!(found(&new).await, Err(SearchError::Unavailable(_))));
        world.s3.lock().outage = None;
        world.wait(5);
        assert_eq!(found(&new).await, these(&[("a", 1)]));
        // A deleted object counts as an empty index for writers and `state`, so that a rebuild can create it again.
        world.s3.lock().objects.clear();
        assert_eq!(writer.state().await.unwrap().listings, 0);
        let generation = writer.begin().await.unwrap();
        writer.finish(generation).await.unwrap();
        world.wait(5);
        assert_eq!(found(&new).await, these(&[]));
    });
}

#[test]
fn a_rebuild_writes_the_index_twice_and_includes_concurrent_changes() {
    test(async |world| {
        let (one, other) = (world.process("one"), world.process("other"));
        one.apply(&[put("old", 1), put("x", 1)]).await.unwrap();
        let before = world.writes();
        let generation = one.begin().await.unwrap();
        for n in 0..10 {
            // Any process may fill a generation, not only the one that began it.
            let filler = if n % 2 == 0 { &one } else { &other };
            filler
                .fill(
                    generation,
                    &[listing(&format!("f-{n}"), 1), listing("x", 1), listing("late", 1)],
                )
                .await
                .unwrap();
        }
        assert_eq!(world.writes(), before + 1);
        world.wait(1);
        other.apply(&[put("x", 2), gone("late", 2)]).await.unwrap();
        // The later listing wins if the versions are equal: its votes have changed.
        let body = "{\"votes\":1}".to_owned();
        let voted = Listing {
            body: body.clone(),
            ..listing("f-9", 1)
        };
        other.apply(&[IndexChange::Put(Box::new(voted))]).await.unwrap();
        // These changes are made after the new generation is complete and before it is uploaded.
        world.s3.lock().held = Some("index.db");
        let change = async {
            while world.s3.lock().held.is_some() {
                tokio::task::yield_now().await;
            }
            let of = |n| [put(&format!("o-{n}"), 1), gone(&format!("f-{n}"), 2)];
            other.apply(&(0..6).flat_map(of).collect::<Vec<_>>()).await.unwrap();
        };
        let (finished, ()) = tokio::join!(one.finish(generation), change);
        finished.unwrap();
        assert!(world.s3.count("put", "index.db", 412) > 0, "they never met");
        let mut expected: Vec<_> = (6..10).map(|n| (format!("f-{n}"), 1)).collect();
        expected.extend((0..6).map(|n| (format!("o-{n}"), 1)));
        expected.push(("x".into(), 2));
        assert_eq!(found(&world.process("reader")).await, Ok(expected));
        let query = SearchQuery {
            limit: 100,
            ..SearchQuery::default()
        };
        let hits = other.search(&query).await.unwrap().hits;
        assert!(hits.iter().any(|hit| hit.id == "f-9" && hit.body == body));
        let state = other.state().await.unwrap();
        assert_eq!((state.live, state.building, state.listings), (generation, None, 11));
    });
}

#[test]
fn a_later_rebuild_supersedes_an_earlier_one() {
    test(async |world| {
        let (one, other) = (world.process("one"), world.process("other"));
        let first = one.begin().await.unwrap();
        one.fill(first, &[listing("a", 1)]).await.unwrap();
        let second = other.begin().await.unwrap();
        assert!(second > first);
        assert_eq!(one.fill(first, &[listing("a", 1)]).await, Err(SearchError::Superseded));
        assert_eq!(one.finish(first).await, Err(SearchError::Superseded));
        one.fill(second, &[listing("b", 1)]).await.unwrap();
        other.finish(second).await.unwrap();
        assert_eq!(one.finish(second).await, Err(SearchError::Superseded));
        world.wait(5);
        assert_eq!(found(&one).await, these(&[("b", 1)]));
        // After the index object was lost, no listings of an earlier rebuild come back.
        world.s3.lock().objects.remove("index.db");
        let third = other.begin().await.unwrap();
        assert!(third > second);
        other.finish(third).await.unwrap();
        assert_eq!(found(&other).await, these(&[]));
    });
}

#[test]
fn a_tenant_has_keys_of_its_own_which_are_deleted_with_it() {
    test(async |world| {
        let (writer, reader) = (world.process("writer"), world.process("reader"));
        // The second is named like a generation of the first.
        let names = ["one", "one-1"].map(|name| Tenant::named(name).unwrap());
        writer.apply(&[put("a", 1)]).await.unwrap();
        for name in &names {
            let (tenant, same) = (writer.of(name), reader.of(name));
            assert_eq!(found(&*tenant).await, these(&[]));
            assert_eq!(found(&*same).await, these(&[]));
            tenant.apply(&[put("a", 2), put("b", 2)]).await.unwrap();
            // Changes meet, and a rebuild has begun: both leave notes.
            let generation = tenant.begin().await.unwrap();
            tenant.fill(generation, &[listing("c", 1)]).await.unwrap();
            let (b, d) = ([put("b", 3)], [put("d", 3)]);
            let (here, there) = tokio::join!(tenant.apply(&b), same.apply(&d));
            here.and(there).unwrap();
        }
        let keys = |part: &str| -> Vec<String> {
            let objects = &world.s3.lock().objects;
            objects.keys().filter(|key| key.contains(part)).cloned().collect()
        };
        let own = keys("tenant.one.");
        assert!(own.contains(&"tenant.one.index.db".to_owned()), "{own:?}");
        assert!(
            own.iter().any(|key| key.starts_with("note-tenant.one.change-")),
            "{own:?}"
        );
        assert!(
            own.iter().any(|key| key.starts_with("note-tenant.one.part-")),
            "{own:?}"
        );
        assert_eq!(own.len() + keys("tenant.one-1.").len() + 1, keys("").len());
        let other = keys("tenant.one-1.");
        let reading = reader.of(&names[0]);
        assert_eq!(found(&*reading).await.unwrap().len(), 3);
        writer.of(&names[0]).erase().await.unwrap();
        assert_eq!(
            (keys("tenant.one."), keys("tenant.one-1."), keys("index.db").len()),
            (vec![], other, 2)
        );
        // A process that has a copy finds nothing any more.
        world.wait(5);
        assert_eq!(found(&*reading).await, these(&[]));
        assert_eq!(found(&*reader.of(&names[1])).await.unwrap().len(), 3);
        assert_eq!(found(&writer).await, these(&[("a", 1)]));
        reading.apply(&[put("a", 1)]).await.unwrap();
        assert_eq!(found(&*reading).await, these(&[("a", 1)]));
        // What fails to be deleted is deleted by the next attempt.
        world.s3.lock().outage = Some(Fault::Status(403, "AccessDenied"));
        assert!(reading.erase().await.is_err());
        world.s3.lock().outage = None;
        reading.erase().await.unwrap();
        assert_eq!(keys("tenant.one."), [""; 0]);
        // The main market's index is never missing.
        writer.erase().await.unwrap();
        world.wait(5);
        assert_eq!(found(&reader).await, these(&[]));
    });
}
