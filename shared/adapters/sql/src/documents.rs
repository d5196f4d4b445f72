//! [`SqlDocuments`]: the `Documents` port over SQL.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use souk_core::documents::{MAX_KEYS, Scan, Source, check_tenant};
use souk_core::{
    Change, Clock, Commit, Condition, Consistency, Document, Documents, Entry, Item, Key, Page, Query, StoreError,
    Tenant, Timestamp,
};

use crate::{SqlDriver, SqlError, Statement, Value};

/// Writes and changes nothing, in one transaction.
const PROBE: [&str; 2] = [
    "INSERT INTO documents (pk, sk, version, body, counters) VALUES ('ping', 'write', 1, '{}', '{}')",
    "DELETE FROM documents WHERE pk = 'ping' AND sk = 'write'",
];
/// How often a write is tried at most, in milliseconds.
const PROBE_INTERVAL: i64 = 2_000;
/// How many documents a page of a scan has.
const SCANNED: i64 = 100;
/// How many documents and how many entries are erased at a time.
const ERASED: i64 = 500;
/// How many expired documents each commit deletes.
const SWEEP: i64 = 8;

/// Documents in an SQL database.
pub struct SqlDocuments<D> {
    driver: D,
    clock: Arc<dyn Clock>,
    /// When a write was last tried, in milliseconds since 1970.
    probed_at: AtomicI64,
}

impl<D: SqlDriver> SqlDocuments<D> {
    /// Documents behind `driver`, to whose database all migrations were applied.
    pub fn new(driver: D, clock: Arc<dyn Clock>) -> Self {
        Self {
            driver,
            clock,
            probed_at: AtomicI64::new(0),
        }
    }

    fn now(&self) -> Value {
        Value::Integer(self.clock.now().as_millisecond())
    }
}

/// The SQL of each kind of page, indexed by [`page_of`] and built once.
static PAGES: LazyLock<Vec<String>> = LazyLock::new(|| (0..32).map(page).collect());

fn page(n: usize) -> String {
    let (is_index, remote, counts) = (n & 4 != 0, n & 8 != 0, n & 16 != 0);
    let order = if n & 2 == 0 { "ASC" } else { "DESC" };
    let lower = if n & 1 == 0 { ">" } else { ">=" };
    // A blob sorts after every text, so x'' stands for "no end".
    let bounds = |sort: &str| format!("= ?1 AND {sort} {lower} ?2 AND {sort} < coalesce(?3, x'') ");
    if !is_index {
        return format!(
            "SELECT d.sk, d.version, d.body, d.counters, d.expires_at FROM documents d WHERE d.pk {} \
             AND (d.expires_at IS NULL OR d.expires_at > ?5) ORDER BY d.sk {order} LIMIT +?4",
            bounds("d.sk")
        );
    }
    // A document with entries never expires, and a writer deletes it together with its entries. So the row after the
    // page is that of the next entry, except in the case that `query` handles.
    let body = if remote {
        format!(
            "iif(e.sort = (SELECT b.sort FROM entries b WHERE b.name {} ORDER BY b.sort {order} LIMIT 1 OFFSET ?4 - 1), \
             NULL, d.body)",
            bounds("b.sort")
        )
    } else {
        "d.body".into()
    };
    // Depends on no row, so it is counted once.
    let total = if counts {
        format!(
            ", NULL, (SELECT count(*) FROM (SELECT 1 FROM entries c WHERE c.name {} LIMIT +?5))",
            bounds("c.sort")
        )
    } else {
        String::new()
    };
    format!(
        "SELECT e.sort, d.pk, d.sk, d.version, {body}, d.counters{total} FROM entries e CROSS JOIN documents d \
         ON d.id = e.document WHERE e.name {} ORDER BY e.sort {order} LIMIT +?4",
        bounds("e.sort")
    )
}

/// The column of the body in a row of an index query.
const BODY: usize = 4;

/// The index into [`PAGES`]. With `remote`, an index query leaves out the body of the row after the page. With `counts`,
/// each row ends with the total.
fn page_of(counts: bool, is_index: bool, remote: bool, descending: bool, from_there: bool) -> usize {
    usize::from(counts) << 4
        | usize::from(remote) << 3
        | usize::from(is_index) << 2
        | usize::from(descending) << 1
        | usize::from(from_there)
}

/// One document, by `pk` alone or by both parts of its key. The expiry is checked in Rust: over a network, every
/// argument costs some microseconds.
const BY_PK: &str = "SELECT d.version, d.body, d.counters, d.expires_at FROM documents d WHERE d.pk = ?1 AND d.sk = ''";
const BY_KEY: &str =
    "SELECT d.version, d.body, d.counters, d.expires_at FROM documents d WHERE d.pk = ?1 AND d.sk = ?2";

#[async_trait]
impl<D: SqlDriver> Documents for SqlDocuments<D> {
    async fn ping(&self) -> Result<(), StoreError> {
        self.get(&[Key::of("ping", "ping")], Consistency::Strong).await?;
        let now = self.clock.now().as_millisecond();
        let last = self.probed_at.load(Ordering::Relaxed);
        // A database in the cloud has no disk of ours, and bills what is written.
        if D::REMOTE || (last..last.saturating_add(PROBE_INTERVAL)).contains(&now) {
            return Ok(());
        }
        let probe = PROBE.map(|sql| Statement::new(sql, Vec::new()));
        let written = self.driver.write(probe.to_vec()).await;
        written.map_err(|error| StoreError::Unavailable(format!("it cannot be written: {error:?}")))?;
        self.probed_at.store(now, Ordering::Relaxed);
        Ok(())
    }

    async fn scan(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        check_tenant(tenant)?;
        let (from, to) = bounds(tenant);
        let after: (String, String) = match after {
            Some(after) => serde_json::from_str(after).map_err(|e| StoreError::Refused(e.to_string()))?,
            None => Default::default(),
        };
        let sql = "SELECT pk, sk, version, body, counters, expires_at FROM documents WHERE pk >= ?1 AND pk < ?2 \
                   AND (pk, sk) > (?3, ?4) ORDER BY pk, sk LIMIT +?5";
        let limit = Value::Integer(SCANNED);
        let args = vec![from.into(), to.into(), after.0.into(), after.1.into(), limit];
        let rows = self
            .driver
            .read(Statement::new(sql, args).long())
            .await
            .map_err(failed)?;
        let is_full = i64::try_from(rows.len()) == Ok(SCANNED);
        let mut scan = Scan::default();
        let now = self.clock.now();
        for row in rows {
            let mut row = row.into_iter();
            let key = Key::new(text(&mut row)?, text(&mut row)?);
            if is_full {
                scan.next = serde_json::to_string(&(&key.pk, &key.sk)).ok();
            }
            let document = document(key, &mut row)?;
            if document.expires_at.is_none_or(|at| at > now) {
                scan.documents.push(document);
            }
        }
        Ok(scan)
    }

    async fn erase(&self, tenant: &Tenant, _: Option<&str>) -> Result<Option<String>, StoreError> {
        check_tenant(tenant)?;
        let (from, to) = bounds(tenant);
        let part = |sql: &'static str| {
            let args = vec![from.clone().into(), to.clone().into(), ERASED.into()];
            Statement::new(sql, args)
        };
        let batch = vec![
            part(
                "DELETE FROM entries WHERE (name, sort) IN \
                 (SELECT name, sort FROM entries WHERE name >= ?1 AND name < ?2 LIMIT +?3)",
            ),
            part("DELETE FROM documents WHERE id IN (SELECT id FROM documents WHERE pk >= ?1 AND pk < ?2 LIMIT +?3)"),
        ];
        self.driver.write(batch).await.map_err(failed)?;
        let left = "SELECT EXISTS (SELECT 1 FROM entries WHERE name >= ?1 AND name < ?2) \
                    OR EXISTS (SELECT 1 FROM documents WHERE pk >= ?1 AND pk < ?2)";
        let rows = self
            .driver
            .read(Statement::new(left, vec![from.into(), to.into()]))
            .await;
        let row = rows.map_err(failed)?.into_iter().next().unwrap_or_default();
        let is_left = integer(&mut row.into_iter())? != 0;
        Ok(is_left.then(String::new))
    }

    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        if keys.len() > MAX_KEYS {
            return Err(StoreError::Refused("too many keys".into()));
        }
        if let [key] = keys {
            let (sql, args) = match (key.pk.as_str().into(), key.sk.as_str()) {
                (pk, "") => (BY_PK, vec![pk]),
                (pk, sk) => (BY_KEY, vec![pk, sk.into()]),
            };
            let row = self
                .driver
                .read(Statement::new(sql, args).with(consistency))
                .await
                .map_err(failed)?
                .pop();
            let found = row.map(|row| document(key.clone(), &mut row.into_iter())).transpose()?;
            let is_there = |found: &Document| found.expires_at.is_none_or(|at| at > self.clock.now());
            return Ok(vec![found.filter(is_there)]);
        }
        let mut found = vec![None; keys.len()];
        if keys.is_empty() {
            return Ok(found);
        }
        let sql = "SELECT d.pk, d.sk, d.version, d.body, d.counters, d.expires_at \
                   FROM json_each(?1) k CROSS JOIN documents d ON d.pk = k.key AND d.sk = k.value \
                   WHERE d.expires_at IS NULL OR d.expires_at > ?2";
        let list = pairs(keys.iter().map(|key| (&key.pk, &key.sk)));
        let statement = Statement::new(sql, vec![list, self.now()]).with(consistency);
        // The rows are in the order of the keys.
        let mut next = 0;
        for row in self.driver.read(statement).await.map_err(failed)? {
            let mut row = row.into_iter();
            let key = Key::new(text(&mut row)?, text(&mut row)?);
            let mut rest = keys.iter().zip(&mut found).enumerate().skip(next);
            if let Some((n, (_, slot))) = rest.find(|(_, (wanted, _))| **wanted == key) {
                *slot = Some(document(key, &mut row)?);
                next = n + 1;
            }
        }
        Ok(found)
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        query.check()?;
        let (name, is_index) = match &query.source {
            Source::Index(name) => (name, true),
            Source::Partition(pk) => (pk, false),
        };
        // One bound on each side. With two bounds on one side SQLite seeks to one and scans to the other, so the cost
        // of a page would grow with its depth.
        let (prefix, end) = query.bounds();
        let (mut from_there, mut lower, mut upper) = (true, prefix, end.as_deref());
        if let Some(after) = query.after.as_deref() {
            if query.descending {
                upper = Some(upper.map_or(after, |end| end.min(after)));
            } else if after >= lower {
                (from_there, lower) = (false, after);
            }
        }
        // One more than requested, to learn whether more items follow.
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut args = vec![
            name.as_str().into(),
            lower.into(),
            upper.map_or(Value::Null, Value::from),
            limit.into(),
        ];
        let counts = query.count > 0;
        if !is_index {
            args.push(self.now());
        } else if counts {
            args.push(i64::try_from(query.count).unwrap_or(i64::MAX).into());
        }
        let read = async |remote: bool, args| {
            let sql = PAGES.get(page_of(counts, is_index, remote, query.descending, from_there));
            let sql = sql.map_or("", String::as_str);
            let page = self
                .driver
                .read_page(Statement::new(sql, args).with(consistency), query.limit)
                .await;
            page.map_err(failed)
        };
        let (rows, more) = if is_index && D::REMOTE {
            let page = read(true, args.clone()).await?;
            // A missing body within the page: a document was deleted without its entries, so the row was not the one
            // after the page.
            let is_whole = page.0.iter().all(|row| row.get(BODY) != Some(&Value::Null));
            if is_whole { page } else { read(false, args).await? }
        } else {
            read(false, args).await?
        };
        let mut page = Page {
            items: Vec::with_capacity(rows.len()),
            next: None,
            total: counts.then_some(0),
        };
        for row in rows {
            let mut row = row.into_iter();
            let sort = text(&mut row)?;
            let key = match &query.source {
                Source::Index(_) => Key::new(text(&mut row)?, text(&mut row)?),
                Source::Partition(pk) => Key::new(pk.as_str(), sort.as_str()),
            };
            let document = document(key, &mut row)?;
            if counts {
                page.total = usize::try_from(integer(&mut row)?).ok();
            }
            page.items.push(Item { sort, document });
        }
        if more {
            page.next = page.items.last().map(|item| item.sort.clone());
        }
        Ok(page)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        commit.check()?;
        let mut batch = Vec::with_capacity(commit.changes.len() * 3 + 1);
        for (step, change) in commit.changes.into_iter().enumerate() {
            self.statements(step, change, &mut batch);
        }
        let sweep = "DELETE FROM documents WHERE id IN (SELECT id FROM documents WHERE expires_at <= ?1 LIMIT +?2)";
        batch.push(Statement::new(sweep, vec![self.now(), SWEEP.into()]));
        self.driver.write(batch).await.map_err(failed)
    }
}

impl<D: SqlDriver> SqlDocuments<D> {
    fn statements(&self, step: usize, change: Change, batch: &mut Vec<Statement>) {
        let guard =
            |when: &'static str| Statement::new(when, vec![Value::Integer(i64::try_from(step).unwrap_or(i64::MAX))]);
        const UNCHANGED: &str = "INSERT INTO guard (step) SELECT ?1 WHERE changes() = 0";
        match change {
            Change::Put {
                key,
                body,
                counters,
                expires_at,
                condition,
                entries,
                stale,
            } => {
                batch.push(self.put(&key, body, &counters, expires_at, condition));
                if condition != Condition::Any {
                    batch.push(guard(UNCHANGED));
                }
                remove_entries(&stale, batch);
                if !entries.is_empty() {
                    let sql = "INSERT OR REPLACE INTO entries (name, sort, document) \
                               SELECT key, value, (SELECT id FROM documents WHERE pk = ?2 AND sk = ?3) \
                               FROM json_each(?1)";
                    let list = pairs(entries.iter().map(|e| (&e.index, &e.sort)));
                    batch.push(Statement::new(sql, vec![list, key.pk.into(), key.sk.into()]));
                }
            }
            Change::Delete { key, condition, stale } => {
                let (also, version) = at(condition);
                let sql = format!(
                    "DELETE FROM documents WHERE pk = ?1 AND sk = ?2 AND (expires_at IS NULL OR expires_at > ?3){also}"
                );
                let mut args = vec![key.pk.into(), key.sk.into(), self.now()];
                args.extend(version);
                batch.push(Statement::new(sql, args));
                if condition != Condition::Any {
                    batch.push(guard(UNCHANGED));
                }
                remove_entries(&stale, batch);
            }
            Change::Add { key, counter, delta } => {
                let sql = "UPDATE documents SET counters = \
                           json_set(counters, '$.' || ?4, coalesce(counters ->> ?4, 0) + CAST(?5 AS INTEGER)) \
                           WHERE pk = ?1 AND sk = ?2 AND (expires_at IS NULL OR expires_at > ?3)";
                let args = vec![key.pk.into(), key.sk.into(), self.now(), counter.into(), delta.into()];
                batch.push(Statement::new(sql, args));
                batch.push(guard(UNCHANGED));
            }
            Change::Require { key, condition } => {
                let (also, version) = at(condition);
                let not = if condition == Condition::Absent { "" } else { "NOT " };
                let sql = format!(
                    "INSERT INTO guard (step) SELECT ?5 WHERE {not}EXISTS (SELECT 1 FROM documents WHERE pk = ?1 \
                     AND sk = ?2 AND (expires_at IS NULL OR expires_at > ?3) AND ?4 IS ?4{also})"
                );
                let step = Value::Integer(i64::try_from(step).unwrap_or(i64::MAX));
                let version = version.unwrap_or(Value::Null);
                batch.push(Statement::new(
                    sql,
                    vec![key.pk.into(), key.sk.into(), self.now(), version, step],
                ));
            }
        }
    }

    fn put(
        &self,
        key: &Key,
        body: String,
        counters: &[String],
        expires_at: Option<Timestamp>,
        condition: Condition,
    ) -> Statement {
        let zeros: serde_json::Map<_, _> = counters.iter().map(|name| (name.clone(), 0.into())).collect();
        let zeros = serde_json::Value::Object(zeros).to_string();
        let expires_at = expires_at.map(|at| at.as_millisecond());
        let mut args: Vec<Value> = vec![
            key.pk.as_str().into(),
            key.sk.as_str().into(),
            self.now(),
            body.into(),
            expires_at.into(),
        ];
        let sql = match condition {
            Condition::Absent => {
                args.push(zeros.into());
                "INSERT INTO documents (pk, sk, version, body, counters, expires_at) VALUES (?1, ?2, 1, ?4, ?6, ?5) \
                 ON CONFLICT (pk, sk) DO UPDATE SET version = 1, body = excluded.body, counters = excluded.counters, \
                 expires_at = excluded.expires_at WHERE documents.expires_at <= ?3"
            }
            Condition::Any => {
                args.push(zeros.into());
                "INSERT INTO documents (pk, sk, version, body, counters, expires_at) VALUES (?1, ?2, 1, ?4, ?6, ?5) \
                 ON CONFLICT (pk, sk) DO UPDATE SET body = excluded.body, expires_at = excluded.expires_at, \
                 version = iif(documents.expires_at <= ?3, 1, documents.version + 1), \
                 counters = iif(documents.expires_at <= ?3, excluded.counters, documents.counters)"
            }
            Condition::Exists => {
                "UPDATE documents SET version = version + 1, body = ?4, expires_at = ?5 \
                 WHERE pk = ?1 AND sk = ?2 AND (expires_at IS NULL OR expires_at > ?3)"
            }
            Condition::Version(version) => {
                args.push(Value::Integer(i64::try_from(version).unwrap_or(i64::MAX)));
                "UPDATE documents SET version = version + 1, body = ?4, expires_at = ?5 \
                 WHERE pk = ?1 AND sk = ?2 AND (expires_at IS NULL OR expires_at > ?3) AND version = ?6"
            }
        };
        Statement::new(sql, args)
    }
}

/// The rest of a WHERE clause that requires the version `?4`, and its argument.
fn at(condition: Condition) -> (&'static str, Option<Value>) {
    match condition {
        Condition::Version(n) => (
            " AND version = ?4",
            Some(Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))),
        ),
        Condition::Absent | Condition::Exists | Condition::Any => ("", None),
    }
}

fn remove_entries(entries: &[Entry], batch: &mut Vec<Statement>) {
    if !entries.is_empty() {
        let sql = "DELETE FROM entries WHERE (name, sort) IN (SELECT key, value FROM json_each(?1))";
        batch.push(Statement::new(
            sql,
            vec![pairs(entries.iter().map(|e| (&e.index, &e.sort)))],
        ));
    }
}

/// Pairs of strings as one JSON argument, so that any number of them fits: an object, whose names may be repeated.
/// `json_each` gives them as `key` and `value`, in their order.
fn pairs<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Value {
    let string = |text: &String| serde_json::to_string(text).unwrap_or_default();
    let members: Vec<String> = pairs.map(|(a, b)| format!("{}:{}", string(a), string(b))).collect();
    format!("{{{}}}", members.join(",")).into()
}

/// What all names of a tenant are at least, and what they are below.
fn bounds(tenant: &Tenant) -> (String, String) {
    let from = tenant.prefix();
    // The character after the `/` at its end.
    let to = format!("{}0", from.trim_end_matches('/'));
    (from, to)
}

fn failed(error: SqlError) -> StoreError {
    match error {
        SqlError::Guard(step) => StoreError::Conflict(step),
        SqlError::TooMany => StoreError::Unavailable("too many reads are waiting".into()),
        SqlError::Failed(why) => StoreError::Unavailable(why),
    }
}

/// The document at `key`, from the remaining columns of a row.
fn document(key: Key, row: &mut impl Iterator<Item = Value>) -> Result<Document, StoreError> {
    let version = u64::try_from(integer(row)?).unwrap_or(0);
    let (body, counters) = (text(row)?, text(row)?);
    let expires_at = match row.next() {
        Some(Value::Integer(millis)) => Timestamp::from_millisecond(millis).ok(),
        _ => None,
    };
    Ok(Document {
        key,
        version,
        body,
        counters,
        expires_at,
    })
}

fn text(row: &mut impl Iterator<Item = Value>) -> Result<String, StoreError> {
    match row.next() {
        Some(Value::Text(text)) => Ok(text),
        other => Err(StoreError::Corrupt(format!("expected text, read {other:?}"))),
    }
}

fn integer(row: &mut impl Iterator<Item = Value>) -> Result<i64, StoreError> {
    match row.next() {
        Some(Value::Integer(number)) => Ok(number),
        other => Err(StoreError::Corrupt(format!("expected an integer, read {other:?}"))),
    }
}
