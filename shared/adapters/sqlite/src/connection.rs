//! What is done with a connection, in whichever mode its database is: migrations, statements, rows, errors.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, TransactionBehavior, params_from_iter};
use simdutf8::basic::from_utf8;
use souk_sql::{SqlError, Statement, Value};

/// Whether the file exists and is no sound database. Reads all of it.
pub(crate) fn is_damaged(path: &Path) -> bool {
    if !path.exists() {
        return false;
    }
    let check = || {
        let connection = Connection::open(path)?;
        connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0))
    };
    match check() {
        Ok(found) => found != "ok",
        Err(error) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
    }
}

/// Applies the migrations that the database lacks; `user_version` counts those that it has.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[(&str, &str)]) -> Result<(), MigrationError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if usize::try_from(applied).is_ok_and(|applied| applied > migrations.len()) {
        return Err(MigrationError::Newer);
    }
    for (number, (_, sql)) in (1_u32..).zip(migrations) {
        if number > applied {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    Ok(transaction.commit()?)
}

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationError {
    #[error("a newer version of this program has written it; use that one, or restore a backup")]
    Newer,
    #[error(transparent)]
    Failed(#[from] rusqlite::Error),
}

pub(crate) fn execute(connection: &Connection, statement: &Statement) -> rusqlite::Result<()> {
    let args = params_from_iter(statement.args.iter().map(Argument));
    connection.prepare_cached(&statement.sql)?.execute(args).map(drop)
}

/// The first `limit` rows of a statement, and whether there are more.
pub(crate) fn rows(
    connection: &Connection,
    statement: &Statement,
    limit: usize,
) -> rusqlite::Result<(Vec<Vec<Value>>, bool)> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(params_from_iter(statement.args.iter().map(Argument)))?;
    // Enough for a usual page.
    let mut out = Vec::with_capacity(limit.min(24));
    while let Some(row) = rows.next()? {
        if out.len() == limit {
            return Ok((out, true));
        }
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(match row.get_ref(column)? {
                ValueRef::Integer(number) => Value::Integer(number),
                // Every text was written as UTF-8.
                ValueRef::Text(text) => from_utf8(text).map_or(Value::Null, |text| Value::Text(text.to_owned())),
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
            });
        }
        out.push(values);
    }
    Ok((out, false))
}

pub(crate) fn sql_error(error: rusqlite::Error) -> SqlError {
    SqlError::from_message(error.to_string())
}

struct Argument<'a>(&'a Value);

impl ToSql for Argument<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
