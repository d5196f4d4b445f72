//! Whether a change is one, for who pays dearly for writing.

use souk_core::search::{IndexChange, SearchError};

use super::write::{json, whole};
use super::{SqlSearch, failed, integer};
use crate::{SqlDriver, Statement};

impl<D: SqlDriver> SqlSearch<D> {
    /// Whether any of these changes may change anything: `false` if the index has later versions of all, or has seen them
    /// removed.
    pub async fn is_news(&self, changes: &[IndexChange]) -> Result<bool, SearchError> {
        let rows: Vec<(&str, i64, bool)> = changes
            .iter()
            .map(|change| match change {
                IndexChange::Put(listing) => (&*listing.id, whole(listing.version), true),
                IndexChange::Remove { id, version } => (&**id, whole(*version), false),
            })
            .collect();
        // A generation that is being built may lack what the one that answers has.
        let sql = "SELECT EXISTS (SELECT 1 FROM json_each(?1) r WHERE NOT EXISTS \
                   (SELECT 1 FROM gone WHERE product = r.value ->> 0 AND version >= r.value ->> 1) \
                   AND NOT (r.value ->> 2 AND EXISTS (SELECT 1 FROM state JOIN doc ON generation = live \
                   WHERE building IS NULL AND product = r.value ->> 0 AND version > r.value ->> 1)))";
        let found = self
            .driver
            .read(Statement::new(sql, vec![json(&rows)]))
            .await
            .map_err(failed)?;
        Ok(integer(&mut found.into_iter().next().unwrap_or_default().into_iter())? != 0)
    }
}
