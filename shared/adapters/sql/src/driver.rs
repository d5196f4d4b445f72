//! What a database driver must offer: a read statement, and a batch of writes as one transaction.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use souk_core::Consistency;
use souk_core::documents::OUTDATED;

/// A value that is bound or read; it serializes as the corresponding JSON value. D1 has no 64-bit integers, so no
/// integer here exceeds 2^53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// Text.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A statement with its arguments, `?1` first.
///
/// Write a limit that is an argument as `LIMIT +?1`. Since 3.46, SQLite reads the value of a bare `LIMIT ?1` when it
/// plans a statement, and plans a cached statement again whenever one is bound. On D1 that costs more than the read
/// (locally, `QPSG` prevents it).
#[derive(Clone, Debug)]
pub struct Statement {
    /// The SQL text. There is a small, fixed set of texts, so that prepared statements can be cached.
    pub sql: Cow<'static, str>,
    /// At most 100 (D1's limit).
    pub args: Vec<Value>,
    /// How current a read has to be.
    pub consistency: Consistency,
    /// Whether it may read thousands of rows, so that it must not delay other requests.
    pub is_long: bool,
}

impl Statement {
    /// `sql` with `args`.
    pub fn new(sql: impl Into<Cow<'static, str>>, args: Vec<Value>) -> Self {
        let sql = sql.into();
        debug_assert!(!sql.contains("LIMIT ?"), "planned anew at each call: {sql}");
        Self {
            sql,
            args,
            consistency: Consistency::Strong,
            is_long: false,
        }
    }

    /// Marks a statement that may read thousands of rows.
    #[must_use]
    pub fn long(mut self) -> Self {
        self.is_long = true;
        self
    }

    /// The same statement as a read with this consistency.
    #[must_use]
    pub fn with(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }
}

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlError {
    /// The guard failed at step `n`. Everything was rolled back.
    Guard(usize),
    /// Too many long reads are waiting; this one was not begun.
    TooMany,
    /// Anything else: busy, full or out of reach. Everything was rolled back.
    Failed(String),
}

impl SqlError {
    /// The guard's step, if the error is the guard's: SQLite's message is `CHECK constraint failed: step_7`, with
    /// whatever the database puts around it. Says so if a migration is missing.
    #[must_use]
    pub fn from_message(message: String) -> Self {
        let step = message
            .split_once("CHECK constraint failed: step_")
            .and_then(|(_, rest)| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse().ok()
            });
        let is_outdated = ["no such table", "no such column", "has no column"]
            .iter()
            .any(|sign| message.contains(sign));
        step.map(SqlError::Guard).unwrap_or_else(|| {
            SqlError::Failed(if is_outdated {
                format!("{OUTDATED}: {message}")
            } else {
                message
            })
        })
    }
}

/// A database that speaks SQLite's SQL.
pub trait SqlDriver: Send + Sync {
    /// Whether rows travel over a network. If so, the body of the row that only shows that more rows follow is left
    /// out.
    const REMOTE: bool = false;

    /// The rows of a read statement, each with its columns in order.
    fn read(&self, statement: Statement) -> impl Future<Output = Result<Vec<Vec<Value>>, SqlError>> + Send;

    /// The first `limit` rows of a statement that returns at most one more, and whether it does.
    fn read_page(
        &self,
        statement: Statement,
        limit: usize,
    ) -> impl Future<Output = Result<(Vec<Vec<Value>>, bool), SqlError>> + Send {
        async move {
            let mut rows = self.read(statement).await?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            Ok((rows, more))
        }
    }

    /// Runs the statements in order as one durable transaction, or none of them.
    fn write(&self, batch: Vec<Statement>) -> impl Future<Output = Result<(), SqlError>> + Send;
}

impl<D: SqlDriver> SqlDriver for Arc<D> {
    const REMOTE: bool = D::REMOTE;

    async fn read(&self, statement: Statement) -> Result<Vec<Vec<Value>>, SqlError> {
        (**self).read(statement).await
    }

    async fn read_page(&self, statement: Statement, limit: usize) -> Result<(Vec<Vec<Value>>, bool), SqlError> {
        (**self).read_page(statement, limit).await
    }

    async fn write(&self, batch: Vec<Statement>) -> Result<(), SqlError> {
        (**self).write(batch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_step_in_the_message_of_each_database() {
        for (message, step) in [
            ("CHECK constraint failed: step_0", Some(0)),
            (
                "D1_ERROR: CHECK constraint failed: step_17: SQLITE_CONSTRAINT",
                Some(17),
            ),
            ("CHECK constraint failed: other", None),
            ("database is locked", None),
        ] {
            let expected = step.map_or(SqlError::Failed(message.into()), SqlError::Guard);
            assert_eq!(SqlError::from_message(message.into()), expected);
        }
    }
}
