//! D1 as an SQL driver.
//!
//! **Atomicity.** D1 runs a `batch()` as one transaction: it has neither `BEGIN` nor interactive transactions. A
//! statement that fails, the guard's included, undoes the whole batch, and its message comes back as the error's.
//!
//! **Time.** Every call ends after [`PATIENCE`]. A write that was given up on has happened whole or not at all; the caller
//! hears [`SqlError::Failed`] and cannot know which.
//!
//! **Replicas.** A read goes to the primary database. If the database is said to have replicas, a
//! [relaxed](souk_core::freshness) one may go to the nearest, through a session that begins with the bookmark of what this
//! isolate last wrote, so that it is not older than that. A session costs each call some microseconds.
//!
//! **The bridge.** To cross between Wasm and JavaScript for every argument and value costs more than D1's own work. So a call
//! crosses once with all its statements as JSON, and once with all its rows as one text.
//!
//! The schemas are applied from `shared/sql/migrations` and `shared/sql/migrations-search` by `wrangler d1 migrations
//! apply`, never from here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use souk_core::Clock;
use souk_core::freshness::is_relaxed;
use souk_sql::{SqlDocuments, SqlDriver, SqlError, SqlSearch, Statement, Value};
use worker::D1Database;
use worker::js_sys::{Error as JsError, JsString};
use worker::send::SendFuture;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{JsCast, JsValue};

use crate::SystemClock;

/// How long D1 may take for one call, in milliseconds; its own limit is 30 s, longer than any client waits.
const PATIENCE: u32 = 5_000;
/// For how long a write may happen after we have given it up, in milliseconds.
const DOUBT: i64 = 60_000;

/// The `Documents` port over D1.
pub type D1Documents = SqlDocuments<D1Driver>;

/// Documents in `database`, which has had every migration; `replicas` tells whether there are any to read from.
#[must_use]
pub fn open(database: D1Database, replicas: bool, clock: Arc<dyn Clock>) -> D1Documents {
    SqlDocuments::new(D1Driver::new(database, replicas), clock)
}

/// The `Search` port over D1.
pub type D1Search = SqlSearch<D1Driver>;

/// The search index in `database`, which has had every migration of it; `replicas` as for [`open`].
#[must_use]
pub fn open_search(database: D1Database, replicas: bool, clock: Arc<dyn Clock>) -> D1Search {
    SqlSearch::new(D1Driver::new(database, replicas), clock)
}

/// A D1 database.
pub struct D1Driver {
    database: D1Database,
    replicas: bool,
    written: Mutex<Written>,
}

/// What this isolate has written, for reads that shall see it.
#[derive(Default)]
struct Written {
    /// Of the last write that is known to be done.
    bookmark: Option<String>,
    /// How many writes are under way.
    under_way: usize,
    /// Until when a write may happen whose end nobody has seen, in milliseconds since 1970.
    doubted_until: i64,
}

impl D1Driver {
    /// A driver over the binding `database`, which may have replicas.
    #[must_use]
    pub fn new(database: D1Database, replicas: bool) -> Self {
        Self {
            database,
            replicas,
            written: Mutex::default(),
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the session of a read of this moment begins with; nothing for none, which is the primary.
    fn session(&self) -> String {
        if !self.replicas || !is_relaxed() {
            return String::new();
        }
        let written = self.written();
        if written.under_way > 0 || now() < written.doubted_until {
            return String::new();
        }
        written.bookmark.clone().unwrap_or("first-unconstrained".into())
    }
}

fn now() -> i64 {
    SystemClock.now().as_millisecond()
}

/// A write under way. If it ends in no other way, nobody knows how it ended.
struct Writing<'a> {
    driver: &'a D1Driver,
    is_known: bool,
}

impl<'a> Writing<'a> {
    fn begin(driver: &'a D1Driver) -> Self {
        driver.written().under_way += 1;
        Self {
            driver,
            is_known: false,
        }
    }

    fn done(mut self, bookmark: Option<String>) {
        self.is_known = bookmark.is_some();
        let mut written = self.driver.written();
        // Bookmarks sort by age; of two writes at once the older may end last.
        written.bookmark = bookmark.max(written.bookmark.take());
    }

    fn undone(mut self) {
        self.is_known = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut written = self.driver.written();
        written.under_way = written.under_way.saturating_sub(1);
        if !self.is_known {
            written.doubted_until = now().saturating_add(DOUBT);
        }
    }
}

// Values are separated by U+001F and rows by U+001E; a text that has one of them in it has U+001B and a letter instead.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys,
    inline_js = r#"
const SPECIAL = /[\u001b\u001e\u001f]/g;
const escape = (sign) => "\u001b" + String.fromCharCode(sign.charCodeAt(0) + 64);
// To look for one sign is much faster than to look for one of three.
const isPlain = (text) => !text.includes("\u001b") && !text.includes("\u001e") && !text.includes("\u001f");
function pack(rows) {
    let packed = "";
    for (let row = 0; row < rows.length; row++) {
        if (row > 0) packed += "\u001e";
        const values = rows[row];
        for (let at = 0; at < values.length; at++) {
            const value = values[at];
            if (at > 0) packed += "\u001f";
            if (value === null) packed += "n";
            else if (typeof value === "number") packed += "i" + value;
            else packed += "t" + (isPlain(value) ? value : value.replace(SPECIAL, escape));
        }
    }
    return packed;
}
const inTime = (call, patience) => new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error("D1 took too long")), patience);
    call.then(
        (answer) => { clearTimeout(timer); done(answer); },
        (error) => { clearTimeout(timer); fail(error); },
    );
});
export async function read(database, session, sql, args, patience) {
    const reader = session === "" ? database : database.withSession(session);
    return pack(await inTime(reader.prepare(sql).bind(...JSON.parse(args)).raw(), patience));
}
export async function write(database, replicas, batch, patience) {
    const writer = replicas ? database.withSession("first-primary") : database;
    const statements = JSON.parse(batch).map(([sql, args]) => writer.prepare(sql).bind(...args));
    await inTime(writer.batch(statements), patience);
    return replicas ? writer.getBookmark() : null;
}
const encoder = new TextEncoder();
export function encode(text, bytes) {
    const { read, written } = encoder.encodeInto(text, bytes);
    return read < text.length ? undefined : written;
}
"#
)]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn read(database: &JsValue, session: &str, sql: &str, args: &str, patience: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn write(database: &JsValue, replicas: bool, batch: &str, patience: u32) -> Result<JsValue, JsValue>;
    fn encode(text: &JsString, bytes: &mut [u8]) -> Option<u32>;
}

#[async_trait]
impl SqlDriver for D1Driver {
    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        SendFuture::new(async {
            let session = self.session();
            let args = to_json(&to_args(&statement))?;
            let rows = read(self.database.as_ref(), &session, &statement.sql, &args, PATIENCE).await;
            unpack(&to_text(rows.map_err(failed)?.unchecked_ref())?)
        })
        .await
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        SendFuture::new(async {
            let batch: Vec<_> = batch
                .iter()
                .map(|statement| (&statement.sql, to_args(statement)))
                .collect();
            let batch = to_json(&batch)?;
            let writing = Writing::begin(self);
            let done = write(self.database.as_ref(), self.replicas, &batch, PATIENCE).await;
            match done.map_err(failed) {
                Ok(bookmark) => {
                    writing.done(bookmark.as_string());
                    Ok(())
                }
                Err(error @ SqlError::Guard(_)) => {
                    writing.undone();
                    Err(error)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }
}

/// D1 has no 64-bit integers: a number is a double, exact up to 2^53, and stored as an integer where it is one.
fn to_args(statement: &Statement) -> Vec<serde_json::Value> {
    let arg = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
    };
    statement.args.iter().map(arg).collect()
}

fn to_json(value: &impl serde::Serialize) -> Result<String, SqlError> {
    serde_json::to_string(value).map_err(|e| SqlError::Failed(e.to_string()))
}

/// The text, by the encoder of the runtime: wasm-bindgen's own goes sign by sign.
fn to_text(text: &JsString) -> Result<String, SqlError> {
    let length = text.length() as usize;
    let mut bytes = vec![0; length];
    let written = encode(text, &mut bytes).or_else(|| {
        // Not ASCII alone. A unit of UTF-16 is at most three bytes of UTF-8.
        bytes.resize(length.saturating_mul(3), 0);
        encode(text, &mut bytes)
    });
    let written = written.ok_or_else(|| SqlError::Failed("D1 answered no text".into()))?;
    bytes.truncate(written as usize);
    String::from_utf8(bytes).map_err(|e| SqlError::Failed(e.to_string()))
}

fn unpack(packed: &str) -> Result<Vec<Vec<Value>>, SqlError> {
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    let value = |packed: &str| match packed.split_at_checked(1) {
        Some(("n", "")) => Ok(Value::Null),
        Some(("t", text)) => Ok(Value::Text(unescape(text))),
        // What is no integer was a double to begin with.
        Some(("i", number)) => number
            .parse()
            .map(|number: f64| Value::Integer(number as i64))
            .map_err(drop),
        _ => Err(()),
    };
    let row = |row: &str| row.split('\u{1f}').map(value).collect();
    let rows: Result<_, ()> = packed.split('\u{1e}').map(row).collect();
    rows.map_err(|()| SqlError::Failed("D1 answered something else than rows".into()))
}

fn unescape(text: &str) -> String {
    if !text.contains('\u{1b}') {
        return text.to_owned();
    }
    let mut signs = text.chars();
    std::iter::from_fn(|| match signs.next()? {
        '\u{1b}' => signs
            .next()
            .and_then(|sign| char::from_u32(u32::from(sign).saturating_sub(64))),
        sign => Some(sign),
    })
    .collect()
}

fn failed(error: JsValue) -> SqlError {
    let message = error.dyn_ref::<JsError>().map(|error| String::from(error.message()));
    SqlError::from_message(message.unwrap_or_else(|| "D1 failed".into()))
}
