//! [`SqlKeyValue`]: the `KeyValue` port over SQL.

use std::sync::Arc;

use async_trait::async_trait;
use souk_core::key_value::{KeyValueError, check};
use souk_core::{Clock, KeyValue, Timestamp};

use crate::{SqlDriver, SqlError, Statement, Value};

/// How many expired values each put deletes.
const SWEEP: i64 = 8;

/// Values in an SQL database.
pub struct SqlKeyValue<D> {
    driver: D,
    clock: Arc<dyn Clock>,
}

impl<D: SqlDriver> SqlKeyValue<D> {
    /// Values behind `driver`, to whose database all [`VALUE_MIGRATIONS`](crate::VALUE_MIGRATIONS) were applied.
    pub fn new(driver: D, clock: Arc<dyn Clock>) -> Self {
        Self { driver, clock }
    }

    fn now(&self) -> Value {
        Value::Integer(self.clock.now().as_millisecond())
    }
}

#[async_trait]
impl<D: SqlDriver> KeyValue for SqlKeyValue<D> {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        check(key, "")?;
        let sql = "SELECT value FROM value WHERE key = ?1 AND expires_at > ?2";
        let statement = Statement::new(sql, vec![key.into(), self.now()]);
        let row = self.driver.read(statement).await.map_err(failed)?.pop();
        Ok(match row.and_then(|mut row| row.pop()) {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        })
    }

    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError> {
        check(key, value)?;
        let sweep = "DELETE FROM value WHERE key IN (SELECT key FROM value WHERE expires_at <= ?1 LIMIT +?2)";
        let put = "INSERT INTO value VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
        let args = vec![key.into(), value.into(), expires_at.as_millisecond().into()];
        let batch = vec![
            Statement::new(sweep, vec![self.now(), SWEEP.into()]),
            Statement::new(put, args),
        ];
        self.driver.write(batch).await.map_err(failed)
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        check(key, "")?;
        let statement = Statement::new("DELETE FROM value WHERE key = ?1", vec![key.into()]);
        self.driver.write(vec![statement]).await.map_err(failed)
    }
}

fn failed(error: SqlError) -> KeyValueError {
    KeyValueError::Unavailable(match error {
        SqlError::Guard(step) => format!("step {step} failed"),
        SqlError::TooMany => "too many reads are waiting".into(),
        SqlError::Failed(why) => why,
    })
}
