//! What each Lambda may read and write in the table.
//!
//! A pattern names partition keys as the table has them (`d#` documents, `i#` index entries, `v#` cached values, `l#` counts of
//! limits); a `*` stands for any text. What other markets than the main one have begins with `@` and their names. The patterns follow from what the functions declare (`Function::store`, `Function::job_store`). The
//! IAM policies in `template.yaml` say the same, which `template.rs` tests; and [`Limited`] refuses everything else before a
//! request leaves the Lambda. The emulators evaluate no policies, so it is `Limited` that makes the end-to-end tests fail if a
//! declaration is missing.

use std::collections::BTreeSet;

use async_trait::async_trait;
use souk_aws::{cell_partition, document_partition, entry_partition, value_partition};
use souk_core::documents::{Scan, Source};
use souk_core::key_value::KeyValueError;
use souk_core::rate_limit::{Quota, Taken};
use souk_core::{
    Change, Commit, Consistency, Document, Documents, Key, KeyValue, Kind, Page, Query, RateLimit, StoreError, Tenant,
    Timestamp,
};
use souk_kit::limits::PLAN_REQUESTS;
use souk_kit::{DocumentCache, Function, Partitions};

/// The partitions that one Lambda of the stack may reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct Role {
    /// The function, or `worker`.
    pub(crate) name: &'static str,
    /// What it may get, query and put a condition on.
    pub(crate) reads: BTreeSet<String>,
    /// What it may put, update and delete.
    pub(crate) writes: BTreeSet<String>,
    /// Whether it may read the table as a whole, for the export and erasure of a market.
    pub(crate) scans: bool,
}

const IDEMPOTENCY: Partitions = Partitions::Documents("idempotency/*");
/// Events and messages, written in the commit that causes them and deleted when SQS has them.
const OUTBOX: Partitions = Partitions::Documents("outbox/*");
/// Counts messages for the lane `low` that were shed because too many wait.
const SHED: Partitions = Partitions::Documents("lane-counts/low");
/// The version of what is stored.
const FORMAT: Partitions = Partitions::Documents("format/market");
/// What is known of the deployment: its markets, and what operators set about requests.
const DEPLOYMENT: [Partitions; 4] = [
    Partitions::Documents("gate/*"),
    Partitions::Documents("tenant/*"),
    Partitions::Documents("tenant-domain/*"),
    Partitions::Documents("plan/*"),
];
/// How much a market has of what its plan limits.
const USAGE: Partitions = Partitions::Documents("usage/*");
/// What the queue runner itself needs of each market.
const RUNNER: [Partitions; 2] = [Partitions::Documents("job/*"), Partitions::Documents("inbox/*")];
/// And of the deployment.
const RUNNER_OF_ALL: [Partitions; 4] = [
    OUTBOX,
    Partitions::Documents("trial/*"),
    Partitions::Documents("dead/*"),
    Partitions::Documents("schedules"),
];
/// The audit log: who does something by a permission adds a record.
const AUDIT_HEAD: Partitions = Partitions::Documents("audit-head/*");
const AUDIT: [Partitions; 5] = [
    AUDIT_HEAD,
    Partitions::Documents("audit"),
    Partitions::Index("audit-by/*"),
    Partitions::Index("audit-of/*"),
    Partitions::Index("audit-with/*"),
];
const LANE_COUNTS: Partitions = Partitions::Documents("lane-counts/*");

impl Role {
    /// The role of the Lambda that answers the requests of this function. `kinds` are those of all functions.
    pub(crate) fn of(function: &Function, kinds: &[Kind]) -> Self {
        let mut role = Self {
            name: function.name,
            ..Self::default()
        };
        role.allow(souk_market::SIGN_IN, souk_market::SIGN_IN_WRITES);
        role.allow_of_deployment(&[FORMAT], &[]);
        role.allow_of_deployment(&DEPLOYMENT, &[]);
        role.allow(function.store.reads, function.store.writes);
        if function.takes_writes() {
            role.allow(&[IDEMPOTENCY], &[IDEMPOTENCY]);
        }
        if function.sends() {
            role.allow_of_deployment(&[], &[OUTBOX, SHED]);
        }
        if !function.permissions.is_empty() {
            role.allow(&[AUDIT_HEAD], &AUDIT);
        }
        role.allow_usage(kinds);
        role.allow_histories(function.histories);
        let limits = function.strict_limits().map(|limit| limit.name).chain([PLAN_REQUESTS]);
        role.writes
            .extend(limits.map(|name| cell_partition(&format!("{name}/*"))));
        role.scans = function.scans;
        // Who reads documents may read and write the cached copies of them.
        for (documents, copies) in copied(kinds) {
            if role.reads.contains(&documents) {
                role.reads.extend(copies.clone());
                role.writes.extend(copies);
            }
        }
        role
    }

    /// The role of the worker, which runs the jobs and schedules of these functions.
    pub(crate) fn of_worker(functions: &[Function]) -> Self {
        let mut role = Self {
            name: "worker",
            ..Self::default()
        };
        role.allow(&RUNNER, &RUNNER);
        role.allow_of_deployment(&RUNNER_OF_ALL, &RUNNER_OF_ALL);
        role.allow_of_deployment(&[FORMAT], &[FORMAT, LANE_COUNTS]);
        role.allow_of_deployment(&DEPLOYMENT, &[]);
        role.allow_of_deployment(&[Partitions::Index("tenants")], &[]);
        role.scans = true;
        for function in functions {
            role.allow(function.job_store.reads, function.job_store.writes);
        }
        // Its reads are strong, and so it makes no copies, but it removes those of what it changes.
        let kinds: Vec<Kind> = functions.iter().flat_map(|function| function.kinds).copied().collect();
        role.allow_usage(&kinds);
        role.allow_histories(&[]);
        for (documents, copies) in copied(&kinds) {
            if role.writes.contains(&documents) {
                role.writes.extend(copies);
            }
        }
        role
    }

    /// Of every market.
    fn allow(&mut self, reads: &[Partitions], writes: &[Partitions]) {
        self.allow_of_deployment(reads, writes);
        let of_tenants = |partitions: &Partitions| pattern(partitions, TENANT);
        self.reads.extend(reads.iter().map(of_tenants));
        self.writes.extend(writes.iter().map(of_tenants));
    }

    /// Of the main market only, which has what is of the deployment as a whole.
    fn allow_of_deployment(&mut self, reads: &[Partitions], writes: &[Partitions]) {
        let of_main = |partitions: &Partitions| pattern(partitions, "");
        self.reads.extend(reads.iter().map(of_main));
        self.writes.extend(writes.iter().map(of_main));
    }

    /// Who changes what earlier states are kept of keeps them, and the functions that own it read them.
    fn allow_histories(&mut self, owned: &[&str]) {
        for name in souk_market::registry().histories {
            let starts = document_partition(&format!("{name}/"));
            if self.writes.iter().any(|pattern| pattern.starts_with(&starts)) {
                let histories = ["", TENANT].map(|prefix| document_partition(&format!("{prefix}history/{name}/*")));
                if owned.contains(&name) {
                    self.reads.extend(histories.clone());
                }
                self.writes.extend(histories);
            }
        }
    }

    /// Who adds and removes what plans limit counts it. The main market is not counted.
    fn allow_usage(&mut self, kinds: &[Kind]) {
        let counted = kinds.iter().filter(|kind| kind.quota.is_some());
        let mut counted = counted.map(|kind| document_partition(&format!("{}/*", kind.name)));
        if counted.any(|partition| self.writes.contains(&partition)) {
            self.reads.insert(pattern(&USAGE, TENANT));
            self.writes.insert(pattern(&USAGE, TENANT));
        }
    }
}

/// What the names of other markets than the main one begin with.
const TENANT: &str = "@*/";

fn pattern(partitions: &Partitions, prefix: &str) -> String {
    match partitions {
        Partitions::Documents(name) => document_partition(&format!("{prefix}{name}")),
        Partitions::Index(name) => entry_partition(&format!("{prefix}{name}")),
    }
}

/// The partitions of documents of which there are cached copies, and those of the copies.
fn copied(kinds: &[Kind]) -> impl Iterator<Item = (String, [String; 2])> {
    let kinds = kinds.iter().filter(|kind| kind.cached_seconds.is_some());
    let names = kinds.flat_map(|kind| [format!("{}/*", kind.name), format!("{}-named/*", kind.name)]);
    names.map(|name| {
        let copies = |prefix: &str| value_partition(&format!("{}{prefix}{name}", DocumentCache::PREFIX));
        (document_partition(&name), [copies(""), copies(TENANT)])
    })
}

/// Whether `pattern` names the partition, as IAM's `StringLike` would for a pattern without a `?`.
pub(crate) fn matches(pattern: &str, partition: &str) -> bool {
    let Some((start, end)) = pattern.split_once('*') else {
        return pattern == partition;
    };
    let Some(mut rest) = partition.strip_prefix(start) else {
        return false;
    };
    let Some((middle, end)) = end.rsplit_once('*') else {
        return rest.ends_with(end);
    };
    // The earliest place of each part leaves the most for those after it.
    for part in middle.split('*') {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(end)
}

/// A store of which only what the mounted functions' roles allow can be reached.
pub(crate) struct Limited<T> {
    store: T,
    roles: Vec<Role>,
}

impl<T> Limited<T> {
    /// `store`, limited to what any of these roles allows.
    pub(crate) fn new(store: T, roles: Vec<Role>) -> Self {
        Self { store, roles }
    }

    fn check(&self, patterns: fn(&Role) -> &BTreeSet<String>, partition: &str) -> Result<(), String> {
        let mut allowed = self.roles.iter().flat_map(patterns);
        if allowed.any(|pattern| matches(pattern, partition)) {
            return Ok(());
        }
        let names: Vec<&str> = self.roles.iter().map(|role| role.name).collect();
        let why = format!("no role of {} allows {partition}", names.join(", "));
        tracing::error!(partition, "{why}");
        Err(why)
    }

    fn read(&self, partition: &str) -> Result<(), String> {
        self.check(|role| &role.reads, partition)
    }

    fn write(&self, partition: &str) -> Result<(), String> {
        self.check(|role| &role.writes, partition)
    }

    fn check_scan(&self) -> Result<(), StoreError> {
        match self.roles.iter().any(|role| role.scans) {
            true => Ok(()),
            false => Err(StoreError::Refused("no role allows to scan the table".into())),
        }
    }

    fn read_document(&self, key: &Key) -> Result<(), StoreError> {
        self.read(&document_partition(&key.pk)).map_err(StoreError::Refused)
    }

    fn check_change(&self, change: &Change) -> Result<(), StoreError> {
        let (added, removed) = match change {
            Change::Require { key, .. } => return self.read_document(key),
            Change::Put { entries, stale, .. } => (entries.as_slice(), stale.as_slice()),
            Change::Delete { stale, .. } => (&[][..], stale.as_slice()),
            Change::Add { .. } => (&[][..], &[][..]),
        };
        let entries = added.iter().chain(removed).map(|entry| entry_partition(&entry.index));
        let mut written = entries.chain([document_partition(&change.key().pk)]);
        written
            .try_for_each(|partition| self.write(&partition))
            .map_err(StoreError::Refused)
    }
}

#[async_trait]
impl<T: Documents> Documents for Limited<T> {
    async fn get(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Document>>, StoreError> {
        keys.iter().try_for_each(|key| self.read_document(key))?;
        self.store.get(keys, consistency).await
    }

    async fn query(&self, query: &Query, consistency: Consistency) -> Result<Page, StoreError> {
        let partition = match &query.source {
            Source::Partition(pk) => document_partition(pk),
            Source::Index(name) => entry_partition(name),
        };
        self.read(&partition).map_err(StoreError::Refused)?;
        let page = self.store.query(query, consistency).await?;
        // Reading the documents that an index names takes permission for their partitions too.
        page.items
            .iter()
            .try_for_each(|item| self.read_document(&item.document.key))?;
        Ok(page)
    }

    async fn scan(&self, tenant: &Tenant, after: Option<&str>) -> Result<Scan, StoreError> {
        self.check_scan()?;
        self.store.scan(tenant, after).await
    }

    async fn erase(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<String>, StoreError> {
        self.check_scan()?;
        self.store.erase(tenant, after).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        commit.changes.iter().try_for_each(|change| self.check_change(change))?;
        self.store.commit(commit).await
    }
}

#[async_trait]
impl<T: KeyValue> KeyValue for Limited<T> {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        self.read(&value_partition(key)).map_err(KeyValueError::Refused)?;
        self.store.get(key).await
    }

    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError> {
        self.write(&value_partition(key)).map_err(KeyValueError::Refused)?;
        self.store.put(key, value, expires_at).await
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        self.write(&value_partition(key)).map_err(KeyValueError::Refused)?;
        self.store.delete(key).await
    }
}

#[async_trait]
impl<T: RateLimit> RateLimit for Limited<T> {
    async fn take(&self, key: &str, quota: Quota, wanted: u32) -> Result<Taken, StoreError> {
        self.write(&cell_partition(key)).map_err(StoreError::Refused)?;
        self.store.take(key, quota, wanted).await
    }

    async fn give_back(&self, key: &str, units: u32, ends_at: i64) -> Result<(), StoreError> {
        self.write(&cell_partition(key)).map_err(StoreError::Refused)?;
        self.store.give_back(key, units, ends_at).await
    }

    async fn clear(&self, key: &str) -> Result<(), StoreError> {
        self.write(&cell_partition(key)).map_err(StoreError::Refused)?;
        self.store.clear(key).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use souk_core::Consistency::Strong;
    use souk_core::{Condition, Entry};
    use souk_sqlite::SystemClock;

    use super::*;

    fn role() -> Role {
        let mut role = Role {
            name: "test",
            ..Role::default()
        };
        let all = [Partitions::Documents("thing/*"), Partitions::Index("things")];
        role.allow(&all, &all);
        role
    }

    fn is_refused<T>(result: Result<T, StoreError>) -> bool {
        matches!(result, Err(StoreError::Refused(why)) if why.starts_with("no role of test allows"))
    }

    #[test]
    fn a_pattern_names_partitions_as_iam_would() {
        for (pattern, partition, expected) in [
            ("d#a", "d#a", true),
            ("d#a", "d#ab", false),
            ("d#a/*", "d#a/b", true),
            ("d#a/*", "d#ab/b", false),
            ("d#@*/a/*", "d#@t1/a/b", true),
            ("d#@*/a/*", "d#a/b", false),
            ("d#@*/a/*", "d#@t1/b/a", false),
            ("d#@*/a", "d#@t1/a", true),
            ("d#@*/a", "d#@t1/a/b", false),
        ] {
            assert_eq!(matches(pattern, partition), expected, "{pattern} {partition}");
        }
    }

    #[tokio::test]
    async fn only_declared_partitions_are_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = souk_sqlite::open(&folder.path().join("souk.db"), Arc::new(SystemClock)).unwrap();
        let limited = Limited::new(store, vec![role()]);
        let create = |kind: &str, index: &str| {
            let entries = vec![Entry::new(index, "1")];
            Commit::new(vec![Change::create(Key::of(kind, "1"), "{}".into(), entries)])
        };
        limited.commit(create("thing", "things")).await.unwrap();
        assert!(is_refused(limited.commit(create("thing", "others")).await));
        assert!(is_refused(limited.commit(create("thing-named", "things")).await));
        let condition = Condition::Absent;
        let require = Change::Require {
            key: Key::of("other", "1"),
            condition,
        };
        assert!(is_refused(limited.commit(Commit::new(vec![require])).await));

        assert!(limited.get(&[Key::of("thing", "1")], Strong).await.unwrap()[0].is_some());
        assert!(is_refused(
            limited
                .get(&[Key::of("thing", "1"), Key::of("other", "1")], Strong)
                .await
        ));
        assert!(is_refused(limited.query(&Query::partition("other/1", 1), Strong).await));
        assert!(is_refused(limited.query(&Query::index("others", 1), Strong).await));
        assert_eq!(
            limited
                .query(&Query::index("things", 2), Strong)
                .await
                .unwrap()
                .items
                .len(),
            1
        );
        // An index that names a document of a partition that may not be read.
        let mut foreign = create("other", "things");
        if let Some(Change::Put { entries, .. }) = foreign.changes.first_mut() {
            *entries = vec![Entry::new("things", "2")];
        }
        limited.store.commit(foreign).await.unwrap();
        assert!(is_refused(limited.query(&Query::index("things", 2), Strong).await));
    }
}
