//! D1 as an SQL driver.
//!
//! **Atomicity.** D1 runs a `batch()` as one transaction; it has neither `BEGIN` nor interactive transactions. A statement
//! that fails, the guard's included, rolls the whole batch back, and its message becomes the error's.
//!
//! **Timeouts.** Every call ends after [`TIMEOUT`]. A write that timed out has been applied as a whole or not at all; the
//! caller gets [`SqlError::Failed`] and cannot know which.
//!
//! **Replicas.** Reads go to the primary. If the database has replicas, an eventually consistent read may go to
//! the nearest one, through a session that starts at the bookmark of this isolate's last write, so that it sees that write.
//!
//! **Crossing to JavaScript.** Each call passes its statements as one JSON text and gets its rows back as one, because
//! converting every argument and value on its own costs more than D1's own work.
//!
//! `wrangler d1 migrations apply` creates the schemas, from `shared/adapters/sql/migrations` and
//! `shared/adapters/sql/migrations-search`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use souk_core::{Clock, Consistency};
use souk_sql::{SqlDocuments, SqlDriver, SqlError, SqlSearch, Statement, Value};
use worker::D1Database;
use worker::js_sys::{Error as JsError, Uint8Array};
use worker::send::SendFuture;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{JsCast, JsValue};

use crate::SystemClock;
use crate::timeout::timeout;

/// How long a call may take. D1's own limit is 30 s, longer than clients wait.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after its timeout a write may still be applied, in milliseconds.
const UNKNOWN_OUTCOME: i64 = 60_000;

/// The `Documents` port over D1.
pub type D1Documents = SqlDocuments<D1Driver>;

/// Documents in `database`, to which every migration was applied. `replicas` says whether it has read replicas.
#[must_use]
pub fn open(database: D1Database, replicas: bool, clock: Arc<dyn Clock>) -> D1Documents {
    SqlDocuments::new(D1Driver::new(database, replicas), clock)
}

/// The `Search` port over D1.
pub type D1Search = SqlSearch<D1Driver>;

/// The search index in `database`, to which every search migration was applied. `replicas` as for [`open`].
#[must_use]
pub fn open_search(database: D1Database, replicas: bool, clock: Arc<dyn Clock>) -> D1Search {
    SqlSearch::new(D1Driver::new(database, replicas), clock)
}

/// A D1 database.
pub struct D1Driver {
    database: D1Database,
    replicas: bool,
    writes: Mutex<Writes>,
}

/// This isolate's writes, which its eventually consistent reads must see.
#[derive(Default)]
struct Writes {
    /// The bookmark of the last write that is known to have been applied.
    bookmark: Option<String>,
    in_flight: usize,
    /// Until when a write with an unknown outcome may still be applied, in milliseconds since 1970.
    unknown_until: i64,
}

impl D1Driver {
    /// A driver over the binding `database`. `replicas` says whether it has read replicas.
    #[must_use]
    pub fn new(database: D1Database, replicas: bool) -> Self {
        Self {
            database,
            replicas,
            writes: Mutex::default(),
        }
    }

    fn writes(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bookmark or constraint to start a read's session with; `None` for a read of the primary.
    fn session(&self, consistency: Consistency) -> Option<String> {
        if !self.replicas || consistency == Consistency::Strong {
            return None;
        }
        let writes = self.writes();
        if writes.in_flight > 0 || now() < writes.unknown_until {
            return None;
        }
        Some(writes.bookmark.clone().unwrap_or("first-unconstrained".into()))
    }
}

fn now() -> i64 {
    SystemClock.now().as_millisecond()
}

/// A write in flight. Dropping it without [`applied`](Self::applied) or [`rolled_back`](Self::rolled_back) leaves its
/// outcome unknown.
struct Write<'a> {
    driver: &'a D1Driver,
    is_known: bool,
}

impl<'a> Write<'a> {
    fn begin(driver: &'a D1Driver) -> Self {
        driver.writes().in_flight += 1;
        Self {
            driver,
            is_known: false,
        }
    }

    fn applied(mut self, bookmark: Option<String>) {
        self.is_known = bookmark.is_some();
        let mut writes = self.driver.writes();
        // Bookmarks sort by age. Of two concurrent writes the older may end last.
        writes.bookmark = bookmark.max(writes.bookmark.take());
    }

    fn rolled_back(mut self) {
        self.is_known = true;
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        let mut writes = self.driver.writes();
        writes.in_flight = writes.in_flight.saturating_sub(1);
        if !self.is_known {
            writes.unknown_until = now().saturating_add(UNKNOWN_OUTCOME);
        }
    }
}

#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys,
    inline_js = r#"
const encoder = new TextEncoder();
export async function read(database, session, sql, args) {
    const reader = session === undefined ? database : database.withSession(session);
    const rows = await reader.prepare(sql).bind(...JSON.parse(args)).raw();
    // As bytes: wasm-bindgen copies a string character by character.
    return encoder.encode(JSON.stringify(rows));
}
export async function write(database, replicas, batch) {
    const writer = replicas ? database.withSession("first-primary") : database;
    await writer.batch(JSON.parse(batch).map(([sql, args]) => writer.prepare(sql).bind(...args)));
    return replicas ? writer.getBookmark() : null;
}
"#
)]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn read(database: &JsValue, session: Option<&str>, sql: &str, args: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn write(database: &JsValue, replicas: bool, batch: &str) -> Result<JsValue, JsValue>;
}

impl SqlDriver for D1Driver {
    const REMOTE: bool = true;

    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        SendFuture::new(async {
            let session = self.session(statement.consistency);
            let args = to_json(&statement.args)?;
            let call = read(self.database.as_ref(), session.as_deref(), &statement.sql, &args);
            let rows = within_timeout(call).await?.unchecked_into::<Uint8Array>().to_vec();
            let rows: Vec<Vec<serde_json::Value>> = serde_json::from_slice(&rows).map_err(other)?;
            rows.into_iter()
                .map(|row| row.into_iter().map(value).collect())
                .collect()
        })
        .await
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        SendFuture::new(async {
            let batch: Vec<_> = batch
                .iter()
                .map(|statement| (&statement.sql, &statement.args))
                .collect();
            let batch = to_json(&batch)?;
            let in_flight = Write::begin(self);
            match within_timeout(write(self.database.as_ref(), self.replicas, &batch)).await {
                Ok(bookmark) => {
                    in_flight.applied(bookmark.as_string());
                    Ok(())
                }
                Err(error @ SqlError::Guard(_)) => {
                    in_flight.rolled_back();
                    Err(error)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }
}

async fn within_timeout(call: impl Future<Output = Result<JsValue, JsValue>>) -> Result<JsValue, SqlError> {
    match timeout(TIMEOUT, call).await {
        Some(result) => result.map_err(|error| {
            let message = error.dyn_ref::<JsError>().map(|error| String::from(error.message()));
            SqlError::from_message(message.unwrap_or_else(|| "D1 failed".into()))
        }),
        None => Err(other("D1 took too long")),
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<String, SqlError> {
    serde_json::to_string(value).map_err(other)
}

fn value(json: serde_json::Value) -> Result<Value, SqlError> {
    match json {
        serde_json::Value::Null => Ok(Value::Null),
        serde_json::Value::String(text) => Ok(Value::Text(text)),
        // JavaScript numbers are doubles; a fraction is cut off.
        serde_json::Value::Number(number) => {
            let integer = number.as_i64().or_else(|| Some(number.as_f64()? as i64));
            integer
                .map(Value::Integer)
                .ok_or_else(|| other("a number out of range"))
        }
        _ => Err(other("D1 returned a value that is neither number nor text")),
    }
}

fn other(error: impl std::fmt::Display) -> SqlError {
    SqlError::Failed(error.to_string())
}
