//! No statement of the search index reads a whole table: what it costs does not grow with what is in it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params_from_iter};
use souk_core::Tenant;
use souk_core::search::{Facet, Field, IndexChange, Listing, Near, Range, Search, SearchQuery, Sort};
use souk_sql::{SEARCH_MIGRATIONS, SqlDriver, SqlError, SqlSearch, Statement, Value};
use souk_sqlite::{SqliteDriver, SystemClock};
use souk_tests::search::bench::{listing, text};

/// Tables of one row, or of as many as one transaction or one rebuild has.
const SMALL: [&str; 6] = ["state", "main.state", "next", "generation", "leaving", "CONSTANT ROW"];

struct Watched {
    driver: SqliteDriver,
    connection: Mutex<Connection>,
    seen: Arc<Mutex<usize>>,
}

impl Watched {
    fn open(path: &Path, seen: Arc<Mutex<usize>>) -> Self {
        let driver = SqliteDriver::open(path, SEARCH_MIGRATIONS).unwrap();
        let connection = Connection::open(path).unwrap();
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .unwrap();
        Self {
            driver,
            connection: Mutex::new(connection),
            seen,
        }
    }

    fn look(&self, statement: &Statement) {
        if statement.sql.contains("fts_data") || statement.sql.starts_with("INSERT INTO fts (fts") {
            return;
        }
        let connection = self.connection.lock().unwrap();
        let mut plan = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql))
            .unwrap();
        let args = params_from_iter(vec![rusqlite::types::Null; plan.parameter_count()]);
        let rows = plan.query_map(args, |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<String> = rows.map(Result::unwrap).collect();
        for (n, step) in steps.iter().enumerate() {
            let Some(rest) = step.strip_prefix("SCAN ") else {
                continue;
            };
            // Virtual tables search by their own index, or say that they do not; results of a part of the statement are
            // as many as it made; and a partial index has only what the statement asks for.
            let made = steps.iter().any(|s| {
                let name = rest.split(' ').next().unwrap_or_default();
                ["CO-ROUTINE ", "MATERIALIZE "]
                    .iter()
                    .any(|made| *s == format!("{made}{name}"))
            });
            let fine = made
                || rest.contains("VIRTUAL TABLE INDEX")
                || rest.starts_with("(subquery")
                || rest.contains("completion_unused")
                || rest == "g"
                || SMALL.contains(&rest);
            assert!(fine, "{}\nstep {n} of {steps:#?}", statement.sql);
        }
        *self.seen.lock().unwrap() += 1;
    }
}

impl SqlDriver for Watched {
    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        self.look(&statement);
        self.driver.read(statement).await
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        for statement in &batch {
            self.look(statement);
        }
        self.driver.write(batch).await
    }
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Arc::<Mutex<usize>>::default();
    let driver = Watched::open(&directory.path().join("search.db"), seen.clone());
    let index = SqlSearch::new(driver, Arc::new(SystemClock));
    use_all_of(&index).await;
    let main = std::mem::take(&mut *seen.lock().unwrap());
    assert!(main > 100);
    let tenant = index.of(&Tenant::named("one").unwrap());
    use_all_of(&*tenant).await;
    assert!(std::mem::take(&mut *seen.lock().unwrap()) >= main);
    tenant.erase().await.unwrap();
    assert!(*seen.lock().unwrap() > 10);
}

/// Runs every statement that an index has.
async fn use_all_of(index: &dyn Search) {
    let product = |n: usize| Listing {
        texts: vec![
            (Field::Title, format!("lamp number {n}")),
            (Field::Description, "brass".into()),
        ],
        facets: vec![Facet {
            field: "tag".into(),
            value: "red".into(),
            label: "Red".into(),
        }],
        place: Some((1.0, 2.0)),
        ..listing(&format!("prd_{n}"), 1, "")
    };
    let put = |n| IndexChange::Put(Box::new(product(n)));
    let gone = |n: usize| IndexChange::Remove {
        id: format!("prd_{n}"),
        version: 1,
    };
    index.apply(&[put(1), put(2), gone(3)]).await.unwrap();
    index.apply(&[put(1), gone(2)]).await.unwrap();
    index.used(&[("lamp".into(), 2)]).await.unwrap();
    let generation = index.begin().await.unwrap();
    index.fill(generation, &[product(1)]).await.unwrap();
    index.finish(generation).await.unwrap();
    index.state().await.unwrap();
    for typed in ["lam", "brass lmap", "lpam numbr"] {
        index.suggest(typed, 10).await.unwrap();
    }
    let near = Some(Near {
        latitude: 1.0,
        longitude: 2.0,
        radius: 1_000.0,
    });
    for typed in ["", "lamp", "lmap", "brass \"lamp number\" zeppelin"] {
        for sort in [
            Sort::Relevance,
            Sort::Newest,
            Sort::Oldest,
            Sort::Cheapest,
            Sort::Dearest,
            Sort::Popular,
            Sort::Nearest,
        ] {
            let query = SearchQuery {
                near,
                sort,
                min_price: Some(1),
                ranges: vec![Range {
                    field: "attr.width".into(),
                    min: Some(1.0),
                    max: None,
                }],
                filters: vec![("tag".into(), vec!["red".into(), "blue".into()])],
                facets: vec!["tag".into(), "vendor".into(), "price".into()],
                limit: 1,
                ..text(typed)
            };
            index.search(&query).await.unwrap();
        }
    }
}
