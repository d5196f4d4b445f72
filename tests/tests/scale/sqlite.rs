//! SQLite: every reading statement is run once more on a connection of its own, and its steps counted.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::types::Value as Bound;
use rusqlite::{Connection, StatementStatus, params_from_iter};
use souk_local::{SqliteDriver, SystemClock};
use souk_sql::{MIGRATIONS, SqlDocuments, SqlDriver, SqlError, Statement, Value};

use crate::{Cost, prove};

#[derive(Default)]
struct Counts {
    statements: AtomicI64,
    steps: AtomicI64,
}

struct Counting {
    driver: SqliteDriver,
    connection: Mutex<Connection>,
    counts: Arc<Counts>,
}

impl Counting {
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

#[async_trait]
impl SqlDriver for Counting {
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
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("souk.db");
    let counts = Arc::new(Counts::default());
    let store = Arc::new(SqlDocuments::new(
        Counting::open(&path, counts.clone()),
        Arc::new(SystemClock),
    ));
    let take = || {
        let taken = |count: &AtomicI64| f64::from(i32::try_from(count.swap(0, Ordering::Relaxed)).unwrap());
        Cost::from([
            ("statements", taken(&counts.statements)),
            ("steps", taken(&counts.steps)),
        ])
    };
    prove("SQLite", store.clone(), store, take).await;
}
