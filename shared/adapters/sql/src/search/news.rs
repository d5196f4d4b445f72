//! Tells whether a change would have any effect, for callers that pay dearly for a write.

use souk_core::search::{IndexChange, SearchError};

use super::write::{json, whole};
use super::{SqlSearch, integer};
use crate::{SqlDriver, Statement};

impl<D: SqlDriver> SqlSearch<D> {
    /// Whether any of these changes may have an effect. `false` if the index has later versions of all the products, or
    /// has recorded their removal.
    pub async fn is_news(&self, changes: &[IndexChange]) -> Result<bool, SearchError> {
        let rows: Vec<(&str, i64, bool)> = changes
            .iter()
            .map(|change| match change {
                IndexChange::Put(listing) => (&*listing.id, whole(listing.version), true),
                IndexChange::Remove { id, version } => (&**id, whole(*version), false),
            })
            .collect();
        // While a generation is being built, a put always counts: that generation may lack what the live one has.
        let sql = "SELECT EXISTS (SELECT 1 FROM json_each(?1) r WHERE NOT EXISTS \
                   (SELECT 1 FROM gone WHERE product = r.value ->> 0 AND version >= r.value ->> 1) \
                   AND NOT (r.value ->> 2 AND EXISTS (SELECT 1 FROM state JOIN doc ON generation = live \
                   WHERE building IS NULL AND product = r.value ->> 0 AND version > r.value ->> 1)))";
        let found = self.read(Statement::new(sql, vec![json(&rows)])).await?;
        Ok(integer(&mut found.into_iter().next().unwrap_or_default().into_iter())? != 0)
    }
}
