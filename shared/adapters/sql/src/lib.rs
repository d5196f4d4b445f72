//! The `Documents` and `Search` ports over SQL: the statements that SQLite and D1 share, above a small [`SqlDriver`].
//!
//! **Atomicity.** A commit is one batch of statements that the driver runs as one transaction. SQL does not abort a
//! batch because an `UPDATE` found no row, and D1 has no `BEGIN`; so after each conditional statement comes
//! `INSERT INTO guard SELECT n WHERE changes() = 0`, whose constraint `step_n` fails and takes the whole batch with it.
//! A commit that succeeds writes nothing to `guard`.
//!
//! **Cost.** A `get` is one look-up by unique key per document, a `query` one index range and one look-up by rowid per
//! item, whatever the size of the table.

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

/// The migrations of a database of [values](SqlKeyValue), likewise.
pub const VALUE_MIGRATIONS: &[(&str, &str)] =
    &[("0001_values.sql", include_str!("../migrations-values/0001_values.sql"))];
