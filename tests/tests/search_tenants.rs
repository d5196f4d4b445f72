//! Indexes of tenants whose rowids begin alike: each new generation has the bits of its number that rowids hold in common with
//! the generations of all other tenants.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::sync::Arc;

use souk_core::search::Search;
use souk_core::{Clock, Tenant};
use souk_sql::{SEARCH_MIGRATIONS, SqlDriver, SqlError, SqlSearch, Statement, Value};
use souk_sqlite::{SqliteDriver, SystemClock};
use souk_tests::search::Made;
use souk_tests::search::bench::{listing, text};

mod one_bucket {
    souk_tests::search_contract!(@cases make,
        tenants: apart, rebuilt, first_changes;
        rebuilds: versions, generations, superseded, nothing_is_missed, every_search_answers;
        filters: equal_brute_force, pages;
        suggestions: completes, used_first;
    );
}

/// Lets the number of the next generation be a multiple of 512, as after so many rebuilds.
struct OneBucket(SqliteDriver);

impl OneBucket {
    fn rebuilds() -> Statement {
        Statement::new("UPDATE state SET last = (last / 512 + 1) * 512 - 1", Vec::new())
    }
}

fn is_about_the_next(statement: &Statement) -> bool {
    statement.sql.contains("next(number)")
}

impl SqlDriver for OneBucket {
    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        if is_about_the_next(&statement) {
            self.0.write(vec![Self::rebuilds()]).await?;
        }
        self.0.read(statement).await
    }

    async fn write(&self, mut batch: Vec<Statement>) -> Result<(), SqlError> {
        if batch.iter().any(is_about_the_next) {
            batch.insert(0, Self::rebuilds());
        }
        self.0.write(batch).await
    }
}

fn open() -> (Arc<OneBucket>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let driver = SqliteDriver::open(&directory.path().join("search.db"), SEARCH_MIGRATIONS).unwrap();
    (Arc::new(OneBucket(driver)), directory)
}

async fn make() -> Made {
    let (driver, directory) = open();
    Made::Ready(
        Arc::new(SqlSearch::new(driver, Arc::new(SystemClock))),
        Box::new(directory),
    )
}

async fn numbers(driver: &OneBucket, sql: &'static str) -> Vec<i64> {
    let rows = driver.0.read(Statement::new(sql, Vec::new())).await.unwrap();
    let number = |value| match value {
        Value::Integer(number) => number,
        other => panic!("{other:?}"),
    };
    rows.into_iter().flatten().map(number).collect()
}

#[tokio::test]
async fn generations_of_one_index_never_share_rowids_and_those_of_two_do() {
    let (driver, _directory) = open();
    let main = SqlSearch::new(driver.clone(), Arc::new(SystemClock) as Arc<dyn Clock>);
    let tenants = ["one", "two", "one-two"].map(|name| main.of(&Tenant::named(name).unwrap()));
    let all: Vec<&dyn Search> = std::iter::once(&main as &dyn Search)
        .chain(tenants.iter().map(|t| &**t))
        .collect();
    for (n, index) in all.iter().enumerate() {
        let put = souk_core::search::IndexChange::Put(Box::new(listing("prd_1", 1, &format!("lamp {n}"))));
        index.apply(&[put]).await.unwrap();
    }
    let buckets = "SELECT number & 511 FROM generation";
    assert_eq!(numbers(&driver, buckets).await, [0, 0, 0, 0]);
    // The same place in it was taken, so each has another one.
    let slots = numbers(&driver, "SELECT id >> 44 FROM doc").await;
    assert_eq!(slots, [0, 0, 0, 0]);
    for (n, index) in all.iter().enumerate() {
        let hits = index.search(&text("lamp")).await.unwrap().hits;
        assert_eq!(hits.len(), 1);
        assert!(hits[0].body.contains(&format!("lamp {n}")));
        // The live generation has the bits 0.
        let next = index.begin().await.unwrap();
        assert_eq!(next & 511, 1);
        // What an interrupted process has left counts as well.
        let again = index.begin().await.unwrap();
        assert_eq!(again & 511, 2);
        index.finish(again).await.unwrap();
        assert_eq!(index.begin().await.unwrap() & 511, 0);
    }
    // Nothing is left of those that are neither live nor being built.
    assert_eq!(numbers(&driver, "SELECT count(*) FROM generation").await, [8]);
    for index in all {
        index.erase().await.unwrap();
    }
    for table in [
        "SELECT count(*) FROM doc",
        "SELECT count(*) FROM word",
        "SELECT count(*) FROM tenant_state",
        "SELECT count(*) FROM tenant_gone",
    ] {
        assert_eq!(numbers(&driver, table).await, [0], "{table}");
    }
    assert_eq!(numbers(&driver, "SELECT count(*) FROM generation").await, [1]);
}
