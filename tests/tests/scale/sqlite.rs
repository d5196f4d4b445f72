//! SQLite: every reading statement is run once more on a connection of its own, and its steps counted.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::config::DbConfig;
use rusqlite::types::Value as Bound;
use rusqlite::{Connection, StatementStatus, params_from_iter};
use souk_core::{Change, Commit, Condition, Consistency, Documents as _, Entry, Key, Query};
use souk_sql::{MIGRATIONS, SqlDocuments, SqlDriver, SqlError, Statement, Value};
use souk_sqlite::{SqliteDriver, SystemClock};

use crate::{Cost, prove};

#[derive(Default)]
struct Counts {
    statements: AtomicI64,
    steps: AtomicI64,
}

/// `REMOTE` as of a driver whose rows travel.
struct Counting<const REMOTE: bool> {
    driver: SqliteDriver,
    connection: Mutex<Connection>,
    counts: Arc<Counts>,
}

impl<const REMOTE: bool> Counting<REMOTE> {
    fn open(path: &Path, counts: Arc<Counts>) -> Self {
        let driver = SqliteDriver::open(path, MIGRATIONS).unwrap();
        let connection = Connection::open(path).unwrap();
        // As the driver does, so that the plan is the same.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .unwrap();
        Self {
            driver,
            connection: Mutex::new(connection),
            counts,
        }
    }
}

impl<const REMOTE: bool> SqlDriver for Counting<REMOTE> {
    const REMOTE: bool = REMOTE;

    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        let steps = {
            let connection = self.connection.lock().unwrap();
            let mut prepared = connection.prepare(&statement.sql).unwrap();
            let args = statement.args.iter().map(|value| match value {
                Value::Null => Bound::Null,
                Value::Integer(number) => Bound::Integer(*number),
                Value::Text(text) => Bound::Text(text.clone()),
            });
            let mut rows = prepared.query(params_from_iter(args)).unwrap();
            while rows.next().unwrap().is_some() {}
            drop(rows);
            prepared.get_status(StatementStatus::VmStep)
        };
        self.counts.statements.fetch_add(1, Ordering::Relaxed);
        self.counts.steps.fetch_add(steps.into(), Ordering::Relaxed);
        self.driver.read(statement).await
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        self.driver.write(batch).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_cost_the_same_at_any_size() {
    prove_with::<false>("SQLite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_travel_cost_the_same_at_any_size() {
    prove_with::<true>("SQLite, as D1 is asked").await;
}

async fn prove_with<const REMOTE: bool>(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("souk.db");
    let counts = Arc::new(Counts::default());
    let store = Arc::new(SqlDocuments::new(
        Counting::<REMOTE>::open(&path, counts.clone()),
        Arc::new(SystemClock),
    ));
    let take = || {
        let taken = |count: &AtomicI64| f64::from(i32::try_from(count.swap(0, Ordering::Relaxed)).unwrap());
        Cost::from([
            ("statements", taken(&counts.statements)),
            ("steps", taken(&counts.steps)),
        ])
    };
    prove(name, store.clone(), store, take).await;
}

/// SQL alone forgives this: a writer has to name the entries of what it deletes.
#[tokio::test]
async fn a_page_is_whole_although_entries_were_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let counting = Counting::<true>::open(&directory.path().join("souk.db"), Arc::default());
    let store = SqlDocuments::new(counting, Arc::new(SystemClock));
    let key = |n: usize| Key::new("thing", n.to_string());
    let entry = |n: usize| Entry::new("things", n.to_string());
    let changes = (0..10).map(|n| Change::create(key(n), "{}".into(), vec![entry(n)]));
    store.commit(Commit::new(changes.collect())).await.unwrap();
    for gone in [2, 5] {
        let stale = Vec::new();
        let delete = Change::Delete {
            key: key(gone),
            condition: Condition::Exists,
            stale,
        };
        store.commit(Commit::new(vec![delete])).await.unwrap();
    }
    for limit in 1..10 {
        for descending in [false, true] {
            let mut query = Query::index("things", limit);
            query.descending = descending;
            let mut seen = Vec::new();
            loop {
                let page = store.query(&query, Consistency::Strong).await.unwrap();
                assert!(
                    page.next.is_none() || page.items.len() == limit,
                    "a page is short of {limit}"
                );
                seen.extend(page.items.into_iter().map(|item| item.sort));
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            seen.sort();
            assert_eq!(seen, ["0", "1", "3", "4", "6", "7", "8", "9"], "{limit} at a time");
        }
    }
}
