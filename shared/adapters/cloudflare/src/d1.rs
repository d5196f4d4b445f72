//! D1 as an SQL driver.
//!
//! **Atomicity.** D1 runs a `batch()` as one transaction: it has neither `BEGIN` nor interactive transactions. A
//! statement that fails, the guard's included, undoes the whole batch, and its message comes back as the error's.
//!
//! **Time.** A call ends after [`PATIENCE`]: every write, and every read of a database that has not answered within the last
//! second. A read behind an answer has no timer, which would be some hundredths of all its request's CPU; if D1 falls silent
//! just then, it ends by D1's own limit. A write that was given up on has happened whole or not at all; the caller hears
//! [`SqlError::Failed`] and cannot know which.
//!
//! **Replicas.** A read goes to the primary database. If the database is said to have replicas, a
//! [relaxed](souk_core::freshness) one may go to the nearest, through a session that begins with the bookmark of what this
//! isolate last wrote, so that it is not older than that. A session costs each call some microseconds.
//!
//! **The bridge.** To cross between Wasm and JavaScript for every argument and value costs more than D1's own work. So a call
//! crosses once with all its statements as JSON, and once with all its rows as one text.
//!
//! The schemas are applied from `shared/adapters/sql/migrations` and `shared/adapters/sql/migrations-search` by `wrangler d1 migrations
//! apply`, never from here.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use simdutf8::basic::from_utf8;
use souk_core::Clock;
use souk_core::freshness::is_relaxed;
use souk_sql::{SqlDocuments, SqlDriver, SqlError, SqlSearch, Statement, Value};
use worker::D1Database;
use worker::js_sys::{Error as JsError, JsString};
use worker::send::SendFuture;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{JsCast, JsValue};

use crate::SystemClock;
use crate::task::outcome;

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

    /// What the session of a read of this moment begins with; `None` for none, which is the primary.
    fn session(&self) -> Option<String> {
        if !self.replicas || !is_relaxed() {
            return None;
        }
        let written = self.written();
        if written.under_way > 0 || now() < written.doubted_until {
            return None;
        }
        Some(written.bookmark.clone().unwrap_or("first-unconstrained".into()))
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

// Rows come over as one text: their shape, a line break, and their texts one behind the other. In the shape rows are separated
// by `;` and values by `,`: `n` is NULL, `i5` a number, `t5` a text of five units of UTF-16. It begins with `+` if there are more rows than
// were asked for.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    js_sys = worker::js_sys,
    inline_js = r#"
function pack(rows, limit) {
    const count = Math.min(rows.length, limit);
    let shape = rows.length > limit ? "+" : "";
    let texts = "";
    for (let row = 0; row < count; row++) {
        if (row > 0) shape += ";";
        const values = rows[row];
        for (let at = 0; at < values.length; at++) {
            const value = values[at];
            if (at > 0) shape += ",";
            if (typeof value === "string") {
                shape += "t" + value.length;
                texts += value;
            } else shape += value === null ? "n" : "i" + value;
        }
    }
    return shape + "\n" + texts;
}
// When each database has last answered, in milliseconds since 1970.
const heard = new WeakMap();
// Begins a call, whose number it gives and whose end it tells to `task::settle` by way of the shim.
let last = 0;
function begin(database, patience, answering, use) {
    const call = last = (last + 1) >>> 0;
    const timer = patience && setTimeout(() => soukSettle(call, new Error("D1 took too long"), false), patience);
    const end = (value, isDone) => {
        if (timer) clearTimeout(timer);
        heard.set(database, Date.now());
        soukSettle(call, value, isDone);
    };
    answering.then(use).then((value) => end(value, true), (error) => end(error, false));
    return call;
}
export function read(database, session, sql, args, limit, patience) {
    const reader = session === undefined ? database : database.withSession(session);
    const answering = reader.prepare(sql).bind(...JSON.parse(args)).raw();
    const isAnswering = Date.now() - heard.get(database) < 1000;
    return begin(database, isAnswering ? 0 : patience, answering, (rows) => pack(rows, limit));
}
export function write(database, replicas, batch, patience) {
    const writer = replicas ? database.withSession("first-primary") : database;
    const statements = JSON.parse(batch).map(([sql, args]) => writer.prepare(sql).bind(...args));
    return begin(database, patience, writer.batch(statements), () => replicas ? writer.getBookmark() : null);
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
    fn read(
        database: &JsValue,
        session: Option<&str>,
        sql: &JsString,
        args: &str,
        limit: f64,
        patience: u32,
    ) -> Result<u32, JsValue>;
    #[wasm_bindgen(catch)]
    fn write(database: &JsValue, replicas: bool, batch: &str, patience: u32) -> Result<u32, JsValue>;
    fn encode(text: &JsString, bytes: &mut [u8]) -> Option<u32>;
}

impl SqlDriver for D1Driver {
    const REMOTE: bool = true;

    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        self.read_page(statement, usize::MAX).await.map(|(rows, _)| rows)
    }

    async fn read_page(&self, statement: Statement, limit: usize) -> Result<(Vec<Vec<Value>>, bool), SqlError> {
        SendFuture::new(async {
            let session = self.session();
            let args = to_json(&statement.args)?;
            let call = with_text(&statement, |sql| {
                read(
                    self.database.as_ref(),
                    session.as_deref(),
                    sql,
                    &args,
                    limit as f64,
                    PATIENCE,
                )
            });
            unpack(outcome(call).await.map_err(failed)?.unchecked_ref())
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
            let writing = Writing::begin(self);
            let call = write(self.database.as_ref(), self.replicas, &batch, PATIENCE);
            match outcome(call).await.map_err(failed) {
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

thread_local! {
    /// The fixed texts of statements as JavaScript's.
    static TEXTS: RefCell<BTreeMap<*const str, JsString>> = RefCell::default();
}

/// Calls with a statement's text, which is brought over once if it is one of the fixed ones.
fn with_text<T>(statement: &Statement, call: impl FnOnce(&JsString) -> T) -> T {
    match &statement.sql {
        Cow::Borrowed(text) => TEXTS.with_borrow_mut(|texts| {
            let known = texts.entry(std::ptr::from_ref(*text));
            call(known.or_insert_with(|| JsString::from(*text)))
        }),
        Cow::Owned(text) => call(&JsString::from(text.as_str())),
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<String, SqlError> {
    serde_json::to_string(value).map_err(|e| SqlError::Failed(e.to_string()))
}

/// The text, of so many units of UTF-16, in UTF-8, by the encoder of the runtime: wasm-bindgen's own goes sign by sign.
fn to_utf8(text: &JsString, length: usize) -> Result<Vec<u8>, SqlError> {
    // Enough for most of what is not ASCII alone; a unit of UTF-16 is at most three bytes of UTF-8.
    let mut bytes = vec![0; length.saturating_add(length / 8)];
    let written = encode(text, &mut bytes).or_else(|| {
        bytes.resize(length.saturating_mul(3), 0);
        encode(text, &mut bytes)
    });
    let written = written.ok_or_else(|| SqlError::Failed("D1 answered no text".into()))?;
    bytes.truncate(written as usize);
    Ok(bytes)
}

/// The rows, and whether there are more.
fn unpack(packed: &JsString) -> Result<(Vec<Vec<Value>>, bool), SqlError> {
    let length = packed.length() as usize;
    let bytes = to_utf8(packed, length)?;
    let text = from_utf8(&bytes).map_err(|e| SqlError::Failed(e.to_string()))?;
    let is_ascii = text.len() == length;
    read_packed(text, is_ascii).ok_or_else(|| SqlError::Failed("D1 answered something else than rows".into()))
}

fn read_packed(packed: &str, is_ascii: bool) -> Option<(Vec<Vec<Value>>, bool)> {
    let (shape, mut texts) = packed.split_once('\n')?;
    let (shape, more) = shape.strip_prefix('+').map_or((shape, false), |shape| (shape, true));
    if shape.is_empty() {
        return Some((Vec::new(), more));
    }
    let mut value = |value: &str| match value.split_at_checked(1)? {
        ("n", "") => Some(Value::Null),
        ("t", units) => {
            let units = units.parse().ok()?;
            let (text, rest) = texts.split_at_checked(if is_ascii { units } else { bytes(texts, units)? })?;
            texts = rest;
            Some(Value::Text(text.to_owned()))
        }
        // What is no integer was a double to begin with.
        ("i", number) => {
            let whole = || number.parse().map(|number: f64| number as i64);
            number.parse().or_else(|_| whole()).ok().map(Value::Integer)
        }
        _ => None,
    };
    let rows = shape.split(';').map(|row| row.split(',').map(&mut value).collect());
    Some((rows.collect::<Option<_>>()?, more))
}

/// How many bytes of UTF-8 so many units of UTF-16 are.
fn bytes(text: &str, units: usize) -> Option<usize> {
    if text.as_bytes().get(..units)?.is_ascii() {
        return Some(units);
    }
    let mut left = units;
    let mut signs = text.char_indices();
    while left > 0 {
        left = left.checked_sub(signs.next()?.1.len_utf16())?;
    }
    Some(signs.offset())
}

fn failed(error: JsValue) -> SqlError {
    let message = error.dyn_ref::<JsError>().map(|error| String::from(error.message()));
    SqlError::from_message(message.unwrap_or_else(|| "D1 failed".into()))
}
