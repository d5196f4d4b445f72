//! Rebuilding: `begin` and `finish`.
//!
//! **Atomicity.** One transaction begins a generation, and one makes it live. The rows of old generations (the
//! previously live one, superseded ones, those of a crashed process) are deleted afterwards, a bounded number of rows
//! per transaction. Searches do not see these rows. What one `begin` or `finish` does not get to delete, the next one
//! does.

use souk_core::search::{FORMAT, SearchError};

use super::write::{LEAVE, whole};
use super::{SqlSearch, failed, integer};
use crate::{SqlDriver, SqlError, Statement, Value};

/// How many rows of each table one transaction deletes, and how many transactions one call makes at most.
const ROWS: i64 = 500;
const ROUNDS: usize = 150;
/// How many pages of the full-text table one transaction merges.
const PAGES: i64 = 500;

impl<D: SqlDriver> SqlSearch<D> {
    pub(super) async fn begin_generation(&self) -> Result<u64, SearchError> {
        // If another process begins a rebuild at the same time, try the next number.
        for _ in 0..8 {
            let last = self.number("SELECT last FROM state", Vec::new()).await?;
            let next = last + 1;
            let batch = vec![
                Statement::new(
                    "UPDATE state SET building = ?1, last = ?1 WHERE last = ?2",
                    vec![next.into(), last.into()],
                ),
                Statement::new("INSERT INTO guard (step) SELECT 0 WHERE changes() = 0", Vec::new()),
                Statement::new(
                    "INSERT INTO generation (number, products, format) VALUES (?1, 0, ?2)",
                    vec![next.into(), i64::from(FORMAT).into()],
                ),
            ];
            match self.driver.write(batch).await {
                Ok(()) => {
                    self.clear().await;
                    return Ok(u64::try_from(next).unwrap_or(0));
                }
                Err(SqlError::Guard(_)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(SearchError::Unavailable("too many rebuilds begin at once".into()))
    }

    pub(super) async fn finish_generation(&self, generation: u64) -> Result<(), SearchError> {
        let generation = Value::Integer(whole(generation));
        let batch = vec![
            Statement::new(
                "INSERT INTO guard (step) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM state WHERE building = ?1)",
                vec![generation.clone()],
            ),
            // Halve the use counts of the live generation. Texts that no product has fade out this way.
            Statement::new(
                "INSERT INTO completion (generation, kind, key, thing, text, words) \
                 SELECT ?1, kind, key, thing, text, words FROM completion o WHERE generation = (SELECT live FROM state) \
                 AND products IS NULL AND EXISTS (SELECT 1 FROM ending e WHERE e.generation = o.generation \
                 AND e.kind = o.kind AND e.ending = o.key AND e.key = o.key AND e.thing = o.thing AND e.uses > 1) \
                 ON CONFLICT (generation, kind, key, thing) DO NOTHING",
                vec![generation.clone()],
            ),
            Statement::new(
                "INSERT INTO ending (generation, kind, ending, key, thing, uses) \
                 SELECT ?1, kind, ending, key, thing, uses / 2 FROM ending o WHERE generation = (SELECT live FROM state) \
                 AND uses > 1 AND EXISTS (SELECT 1 FROM completion n WHERE n.generation = ?1 AND n.kind = o.kind \
                 AND n.key = o.key AND n.thing = o.thing) \
                 ON CONFLICT (generation, kind, ending, key, thing) DO UPDATE SET uses = uses + excluded.uses",
                vec![generation.clone()],
            ),
            Statement::new("UPDATE state SET live = ?1, building = NULL", vec![generation]),
        ];
        let result = self.driver.write(batch).await;
        self.vocabulary.forget();
        match result {
            Ok(()) => {
                self.clear().await;
                // If the merge fails, lookups are slower; nothing else happens.
                let _ = self.merge().await;
            }
            Err(SqlError::Guard(_)) => return Err(SearchError::Superseded),
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    /// Deletes the rows that no generation needs. Errors are ignored, because the next rebuild tries again.
    async fn clear(&self) {
        let _ = self.try_clear().await;
    }

    async fn try_clear(&self) -> Result<(), SearchError> {
        const OLD: &str = "SELECT coalesce(min(number), -1) FROM generation, state \
                           WHERE number <> live AND number IS NOT building";
        for _ in 0..ROUNDS {
            let old = self.number(OLD, Vec::new()).await?;
            if old < 0 {
                return Ok(());
            }
            let part = |sql: &'static str| Statement::new(sql, vec![old.into(), ROWS.into()]);
            let mut batch = vec![part(
                "INSERT INTO leaving (id, generation) SELECT id, generation FROM doc WHERE generation = ?1 LIMIT +?2",
            )];
            batch.extend(LEAVE.iter().map(|sql| Statement::new(*sql, Vec::new())));
            batch.push(Statement::new("DELETE FROM leaving", Vec::new()));
            for sql in [
                "DELETE FROM word WHERE generation = ?1 AND plain IN \
                 (SELECT plain FROM word WHERE generation = ?1 LIMIT +?2)",
                "DELETE FROM variant WHERE generation = ?1 AND (variant, plain) IN \
                 (SELECT variant, plain FROM variant WHERE generation = ?1 LIMIT +?2 * 8)",
                "DELETE FROM completion WHERE generation = ?1 AND (kind, key, thing) IN \
                 (SELECT kind, key, thing FROM completion WHERE generation = ?1 LIMIT +?2)",
                "DELETE FROM ending WHERE generation = ?1 AND (kind, ending, key, thing) IN \
                 (SELECT kind, ending, key, thing FROM ending WHERE generation = ?1 LIMIT +?2 * 4)",
            ] {
                batch.push(part(sql));
            }
            batch.push(Statement::new(
                "DELETE FROM generation WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM doc WHERE generation = ?1) \
                 AND NOT EXISTS (SELECT 1 FROM word WHERE generation = ?1) \
                 AND NOT EXISTS (SELECT 1 FROM variant WHERE generation = ?1) \
                 AND NOT EXISTS (SELECT 1 FROM completion WHERE generation = ?1) \
                 AND NOT EXISTS (SELECT 1 FROM ending WHERE generation = ?1)",
                vec![old.into()],
            ));
            self.driver.write(batch).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Merges the segments of the full-text table into one, so that each word is looked up once.
    async fn merge(&self) -> Result<(), SearchError> {
        let pages = self.number("SELECT count(*) FROM fts_data", Vec::new()).await?;
        // FTS5: a negative number starts a merge of all segments, a positive one continues it.
        let mut step = -PAGES;
        for _ in (0..=pages / PAGES).take(ROUNDS) {
            let merge = Statement::new("INSERT INTO fts (fts, rank) VALUES ('merge', ?1)", vec![step.into()]);
            self.driver.write(vec![merge]).await.map_err(failed)?;
            step = PAGES;
        }
        Ok(())
    }

    async fn number(&self, sql: &'static str, args: Vec<Value>) -> Result<i64, SearchError> {
        let rows = self.driver.read(Statement::new(sql, args)).await.map_err(failed)?;
        let row = rows.into_iter().next().unwrap_or_default();
        integer(&mut row.into_iter())
    }
}
