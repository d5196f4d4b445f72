//! Rebuilding: `begin` and `finish`.
//!
//! **Atomicity.** One transaction begins a generation, and one makes it live. The rows of old generations (the
//! previously live one, superseded ones, those of a crashed process) are deleted afterwards, a bounded number of rows
//! per transaction. Searches do not see these rows. What one `begin` or `finish` does not get to delete, the next one
//! of the same index does.
//!
//! **Erasing.** One transaction makes all generations of an index old; then they are deleted likewise, and what the index
//! remembers of removals. After a crash the caller erases again.

use souk_core::search::SearchError;

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
        let next = self.add_generation(|next| self.owner.build(next)).await?;
        self.clear().await;
        Ok(u64::try_from(next).unwrap_or(0))
    }

    /// Adds an empty generation, and says with `then`, which changes a row, what it is for.
    async fn add_generation(&self, then: impl Fn(i64) -> Statement) -> Result<i64, SearchError> {
        let guard = || Statement::new("INSERT INTO guard (step) SELECT 0 WHERE changes() = 0", Vec::new());
        // If another process adds one at the same time, try the next number.
        for _ in 0..8 {
            let first = self.owner.create();
            if !first.is_empty() {
                self.transact(first).await.map_err(failed)?;
            }
            let rows = self.read(self.owner.last_and_next()).await?;
            let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
            let (last, next) = (integer(&mut row)?, integer(&mut row)?);
            let batch = vec![
                Statement::new(
                    "UPDATE main.state SET last = ?1 WHERE last = ?2",
                    vec![next.into(), last.into()],
                ),
                guard(),
                then(next),
                guard(),
                self.owner.add(next),
            ];
            match self.transact(batch).await {
                Ok(()) => return Ok(next),
                Err(SqlError::Guard(_)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(SearchError::Unavailable("too many rebuilds begin at once".into()))
    }

    pub(super) async fn finish_generation(&self, generation: u64) -> Result<(), SearchError> {
        let number = whole(generation);
        let generation = Value::Integer(number);
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
                vec![generation],
            ),
            self.owner.go_live(number),
        ];
        let result = self.transact(batch).await;
        self.vocabulary.forget();
        match result {
            Ok(()) => {
                self.clear().await;
                if self.owner.tenant.is_main() {
                    // If the merge fails, lookups are slower; nothing else happens.
                    let _ = self.merge().await;
                }
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

    /// Returns whether nothing is left.
    async fn try_clear(&self) -> Result<bool, SearchError> {
        for _ in 0..ROUNDS {
            let old = self.number(self.owner.oldest()).await?;
            if old < 0 {
                return Ok(true);
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
            self.transact(batch).await.map_err(failed)?;
        }
        Ok(false)
    }

    /// Removes everything of this index. Fails if that is too much for one call; the next call goes on.
    pub(super) async fn erase_all(&self) -> Result<(), SearchError> {
        let done = if self.owner.tenant.is_main() {
            self.add_generation(|next| self.owner.go_live(next)).await.map(drop)
        } else {
            self.transact(vec![self.owner.retire()]).await.map_err(failed)
        };
        self.vocabulary.forget();
        done?;
        if self.try_clear().await? && self.forget_removals().await? {
            return Ok(());
        }
        Err(SearchError::Unavailable("there is more to erase".into()))
    }

    /// Returns whether none is left.
    async fn forget_removals(&self) -> Result<bool, SearchError> {
        for _ in 0..ROUNDS {
            let some = Statement::new("SELECT EXISTS (SELECT 1 FROM gone)", Vec::new());
            if self.number(some).await? == 0 {
                return Ok(true);
            }
            let batch = vec![self.owner.forget_any(ROWS)];
            self.transact(batch).await.map_err(failed)?;
        }
        Ok(false)
    }

    /// Merges the segments of the full-text table into one, so that each word is looked up once. They are those of all
    /// tenants, so this takes as long as the whole database is large; only the main market does it.
    async fn merge(&self) -> Result<(), SearchError> {
        let count = Statement::new("SELECT count(*) FROM fts_data", Vec::new());
        let pages = self.number(count).await?;
        // FTS5: a negative number starts a merge of all segments, a positive one continues it.
        let mut step = -PAGES;
        for _ in (0..=pages / PAGES).take(ROUNDS) {
            let merge = Statement::new("INSERT INTO fts (fts, rank) VALUES ('merge', ?1)", vec![step.into()]);
            self.transact(vec![merge]).await.map_err(failed)?;
            step = PAGES;
        }
        Ok(())
    }

    async fn number(&self, statement: Statement) -> Result<i64, SearchError> {
        let rows = self.read(statement).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        integer(&mut row.into_iter())
    }
}
