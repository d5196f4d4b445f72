//! The `Documents`, `KeyValue` and `Search` ports over SQL: the statements that SQLite and D1 share, above a small
//! [`SqlDriver`].
//!
//! **Atomicity.** A commit is one batch of statements that the driver runs as one transaction. SQL does not abort a
//! batch when an `UPDATE` finds no row, and D1 has no `BEGIN`. So each conditional statement is followed by `INSERT
//! INTO guard SELECT n WHERE changes() = 0`: if nothing changed, its constraint `step_n` fails and rolls the whole
//! batch back. A successful commit writes nothing to `guard`.
//!
//! **Cost.** A `get` is one lookup by unique key per document. A `query` is one index range scan and one lookup by
//! rowid per item, whatever the size of the table.

mod documents;
mod driver;
mod key_value;
mod search;

pub use documents::SqlDocuments;
pub use driver::{SqlDriver, SqlError, Statement, Value};
pub use key_value::SqlKeyValue;
pub use search::{SEARCH_MIGRATIONS, SqlSearch, meaning};

/// The migrations, in order: (name, SQL). The Worker's D1 is migrated from the same files.
pub const MIGRATIONS: &[(&str, &str)] = &[("0001_documents.sql", include_str!("../migrations/0001_documents.sql"))];

/// The migrations of a database of [values](SqlKeyValue), in the same form.
pub const VALUE_MIGRATIONS: &[(&str, &str)] =
    &[("0001_values.sql", include_str!("../migrations-values/0001_values.sql"))];
