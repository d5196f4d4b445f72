//! What each Lambda may read and write in the table.
//!
//! A pattern names partition keys as the table has them (`d#` documents, `i#` index entries, `v#` cached values); a `*` at its
//! end stands for any text. [`ROLES`] is the declaration. The IAM policies in `template.yaml` say the same, which
//! `template.rs` tests; and [`Limited`] refuses everything else before a request leaves the Lambda. The emulators evaluate no
//! policies, so it is `Limited` that makes the end-to-end tests fail if a pattern is missing.

use async_trait::async_trait;
use souk_aws::{document_partition, entry_partition, value_partition};
use souk_core::documents::Source;
use souk_core::key_value::KeyValueError;
use souk_core::{Change, Commit, Consistency, Document, Documents, Key, KeyValue, Page, Query, StoreError, Timestamp};

/// Patterns of partition keys, in groups.
pub(crate) type Patterns = &'static [&'static [&'static str]];

/// The partitions that one Lambda of the stack may reach.
#[derive(Debug)]
pub(crate) struct Role {
    /// The function, or `worker`.
    pub(crate) name: &'static str,
    /// What it may get, query and put a condition on.
    pub(crate) reads: Patterns,
    /// What it may put, update and delete.
    pub(crate) writes: Patterns,
}

/// Read for every request with an access token.
const SIGN_IN: &[&str] = &["d#account/*", "d#sessions/*"];
/// Kept answers to requests with an `Idempotency-Key`.
const IDEMPOTENCY: &[&str] = &["d#idempotency/*"];
/// Events and messages, written in the commit that causes them and deleted when SQS has them.
const OUTBOX: &[&str] = &["d#outbox/*"];
/// Jobs that a client can ask about.
const TRACKED_JOBS: &[&str] = &["d#job/*"];
/// Counts messages for the lane `low` that were shed because too many wait.
const SHED: &[&str] = &["d#lane-counts/low"];
const PRODUCTS: &[&str] = &["d#product/*", "d#product-named/*"];
const CATEGORIES: &[&str] = &["d#category/*", "d#category-named/*"];
const VENDORS: &[&str] = &["d#vendor/*", "d#vendor-named/*"];
/// Cached copies, written by those who read them.
const CATEGORY_COPIES: &[&str] = &["v#document/category/*", "v#document/category-named/*"];
const VENDOR_COPIES: &[&str] = &["v#document/vendor/*", "v#document/vendor-named/*"];

/// The role of every Lambda in `template.yaml`.
pub(crate) const ROLES: &[Role] = &[
    Role {
        name: "catalog",
        reads: &[
            SIGN_IN,
            IDEMPOTENCY,
            PRODUCTS,
            CATEGORIES,
            VENDORS,
            // Products are listed by the name of their author.
            &["d#account-named/*", "d#rank/*"],
            &["i#products/*", "i#ranked/*", "i#categories", "i#categories/*"],
            CATEGORY_COPIES,
            VENDOR_COPIES,
        ],
        writes: &[
            IDEMPOTENCY,
            OUTBOX,
            PRODUCTS,
            CATEGORIES,
            &["d#sku/*"],
            &["i#products/*", "i#categories", "i#categories/*"],
            CATEGORY_COPIES,
            VENDOR_COPIES,
        ],
    },
    Role {
        name: "community",
        reads: &[
            SIGN_IN,
            IDEMPOTENCY,
            PRODUCTS,
            VENDORS,
            // Accounts are followed by name; the feed opens out the categories of products.
            &["d#account-named/*", "d#category/*"],
            &["d#comment/*", "d#upvotes/*", "d#follows/*", "d#feed/*"],
            &["i#comments/*"],
        ],
        writes: &[
            IDEMPOTENCY,
            OUTBOX,
            SHED,
            &["d#comment/*", "d#upvotes/*", "d#follows/*", "d#followers/*"],
            &["i#comments/*"],
        ],
    },
    Role {
        name: "identity",
        reads: &[
            SIGN_IN,
            IDEMPOTENCY,
            &["d#account-named/*", "d#account-email/*", "d#password/*"],
        ],
        writes: &[
            SIGN_IN,
            IDEMPOTENCY,
            &["d#account-named/*", "d#account-email/*", "d#password/*"],
        ],
    },
    Role {
        name: "operators",
        reads: &[
            SIGN_IN,
            IDEMPOTENCY,
            TRACKED_JOBS,
            &["d#dead/*", "d#events/*", "d#lane-counts/*", "d#schedules"],
        ],
        writes: &[IDEMPOTENCY, OUTBOX, SHED, TRACKED_JOBS, &["d#dead/*"]],
    },
    Role {
        name: "ops",
        reads: &[SIGN_IN, &["d#ping/*"]],
        writes: &[],
    },
    Role {
        name: "search",
        reads: &[
            SIGN_IN,
            IDEMPOTENCY,
            CATEGORIES,
            VENDORS,
            // An empty index is compared with the list of products.
            &["d#product/*", "i#products/published"],
            &["d#settings/search", "d#search-usage/*"],
            CATEGORY_COPIES,
            VENDOR_COPIES,
        ],
        writes: &[
            IDEMPOTENCY,
            OUTBOX,
            SHED,
            TRACKED_JOBS,
            &["d#settings/search"],
            CATEGORY_COPIES,
            VENDOR_COPIES,
        ],
    },
    Role {
        name: "vendors",
        reads: &[SIGN_IN, IDEMPOTENCY, VENDORS, &["i#vendors"], VENDOR_COPIES],
        writes: &[IDEMPOTENCY, OUTBOX, VENDORS, &["i#vendors"], VENDOR_COPIES],
    },
    Role {
        name: "webhooks",
        reads: &[
            SIGN_IN,
            IDEMPOTENCY,
            VENDORS,
            &["d#webhook/*", "d#webhooks-of/*", "d#webhook-secret/*", "d#deliveries/*"],
        ],
        writes: &[
            IDEMPOTENCY,
            OUTBOX,
            TRACKED_JOBS,
            &[
                "d#webhook/*",
                "d#webhooks-of/*",
                "d#webhook-secret/*",
                "d#webhook-health/*",
                "d#deliveries/*",
            ],
        ],
    },
    Role {
        name: "worker",
        reads: &[
            OUTBOX,
            TRACKED_JOBS,
            &["d#inbox/*", "d#dead/*", "d#schedules"],
            &["d#account/*", "d#category/*", "d#vendor/*", "d#product/*", "d#rank/*"],
            &["d#comment/*", "d#upvotes/*", "d#views/*", "d#followers/*"],
            &[
                "d#webhook/*",
                "d#webhooks-of/*",
                "d#webhook-secret/*",
                "d#webhook-health/*",
                "d#deliveries/*",
            ],
            &["d#search-usage/*", "i#products/*", "i#comments/*"],
        ],
        writes: &[
            OUTBOX,
            TRACKED_JOBS,
            &["d#inbox/*", "d#dead/*", "d#schedules", "d#lane-counts/*", "d#events/*"],
            // The counters of a product.
            &["d#product/*", "d#rank/*"],
            &["d#comment/*", "d#upvotes/*", "d#views/*", "d#feed/*"],
            &["d#webhook/*", "d#webhook-health/*", "d#deliveries/*"],
            &["d#search-usage/*", "i#ranked/*", "i#comments/*"],
        ],
    },
];

/// The roles of these functions.
pub(crate) fn of(names: &[&str]) -> Vec<&'static Role> {
    ROLES.iter().filter(|role| names.contains(&role.name)).collect()
}

/// Whether `pattern` names the partition, as IAM's `StringLike` would for a pattern with one `*` at its end or none.
pub(crate) fn matches(pattern: &str, partition: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => partition.starts_with(prefix),
        None => pattern == partition,
    }
}

/// A store of which only what the mounted functions' roles allow can be reached.
pub(crate) struct Limited<T> {
    store: T,
    roles: Vec<&'static Role>,
}

impl<T> Limited<T> {
    /// `store`, limited to what any of these roles allows.
    pub(crate) fn new(store: T, roles: Vec<&'static Role>) -> Self {
        Self { store, roles }
    }

    fn check(&self, patterns: fn(&Role) -> Patterns, partition: &str) -> Result<(), String> {
        let mut allowed = self.roles.iter().flat_map(|role| patterns(role)).copied().flatten();
        if allowed.any(|pattern| matches(pattern, partition)) {
            return Ok(());
        }
        let names: Vec<&str> = self.roles.iter().map(|role| role.name).collect();
        let why = format!("no role of {} allows {partition}", names.join(", "));
        tracing::error!(partition, "{why}");
        Err(why)
    }

    fn read(&self, partition: &str) -> Result<(), String> {
        self.check(|role| role.reads, partition)
    }

    fn write(&self, partition: &str) -> Result<(), String> {
        self.check(|role| role.writes, partition)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use souk_core::Consistency::Strong;
    use souk_core::{Condition, Entry};
    use souk_sqlite::SystemClock;

    use super::*;

    static ROLE: Role = Role {
        name: "test",
        reads: &[&["d#thing/*", "i#things"]],
        writes: &[&["d#thing/*", "i#things"]],
    };

    fn is_refused<T>(result: Result<T, StoreError>) -> bool {
        matches!(result, Err(StoreError::Refused(why)) if why.starts_with("no role of test allows"))
    }

    #[tokio::test]
    async fn only_declared_partitions_are_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = souk_sqlite::open(&folder.path().join("souk.db"), Arc::new(SystemClock)).unwrap();
        let limited = Limited::new(store, vec![&ROLE]);
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
