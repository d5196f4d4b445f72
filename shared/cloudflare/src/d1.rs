//! D1 as an SQL driver.
//!
//! **Atomicity.** D1 runs a `batch()` as one transaction: it has neither `BEGIN` nor interactive transactions. A
//! statement that fails, the guard's included, undoes the whole batch, and its message comes back as the error's.
//!
//! **Time.** Every call ends after [`PATIENCE`]. A write that was given up on has happened whole or not at all; the caller
//! hears [`SqlError::Failed`] and cannot know which.
//!
//! The schema is applied from `shared/sql/migrations` by `wrangler d1 migrations apply`, never from here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use souk_core::Clock;
use souk_sql::{SqlDocuments, SqlDriver, SqlError, Statement, Value};
use worker::js_sys::{Array, Error as JsError};
use worker::send::SendFuture;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{D1Database, D1PreparedStatement, Error};

use crate::time::in_time;

/// How long D1 may take for one call; its own limit is 30 s, longer than any client waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// The `Documents` port over D1.
pub type D1Documents = SqlDocuments<D1Driver>;

/// Documents in `database`, which has had every migration.
#[must_use]
pub fn open(database: D1Database, clock: Arc<dyn Clock>) -> D1Documents {
    SqlDocuments::new(D1Driver::new(database), clock)
}

/// A D1 database.
pub struct D1Driver {
    database: D1Database,
}

impl D1Driver {
    /// A driver over the binding `database`.
    #[must_use]
    pub fn new(database: D1Database) -> Self {
        Self { database }
    }

    fn prepare(&self, statement: &Statement) -> Result<D1PreparedStatement, SqlError> {
        let args: Vec<JsValue> = statement.args.iter().map(to_js).collect();
        self.database
            .prepare(statement.sql.as_ref())
            .bind(&args)
            .map_err(failed)
    }
}

#[async_trait]
impl SqlDriver for D1Driver {
    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        SendFuture::new(async {
            let prepared = self.prepare(&statement)?;
            // `raw` answers with arrays in the order of the columns: half the size of objects, and names may repeat.
            let rows = answer(prepared.raw_js_value()).await?;
            let values = |row: JsValue| row.unchecked_into::<Array>().iter().map(|v| from_js(&v)).collect();
            Ok(rows.into_iter().map(values).collect())
        })
        .await
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        SendFuture::new(async {
            let prepared = batch
                .iter()
                .map(|statement| self.prepare(statement))
                .collect::<Result<_, _>>()?;
            answer(self.database.batch(prepared)).await.map(drop)
        })
        .await
    }
}

async fn answer<T>(call: impl Future<Output = worker::Result<T>>) -> Result<T, SqlError> {
    match in_time(PATIENCE, call).await {
        Some(result) => result.map_err(failed),
        None => Err(SqlError::Failed("D1 took too long".into())),
    }
}

/// D1 has no 64-bit integers: a number is a double, exact up to 2^53, and stored as an integer where it is one.
fn to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Integer(number) => JsValue::from_f64(*number as f64),
        Value::Text(text) => JsValue::from_str(text),
    }
}

fn from_js(value: &JsValue) -> Value {
    match (value.as_string(), value.as_f64()) {
        (Some(text), _) => Value::Text(text),
        (None, Some(number)) => Value::Integer(number as i64),
        (None, None) => Value::Null,
    }
}

fn failed(error: Error) -> SqlError {
    SqlError::from_message(match error {
        // Its `Display` shows the cause, which is no message and may be missing.
        Error::D1(error) => AsRef::<JsError>::as_ref(&error).message().into(),
        other => other.to_string(),
    })
}
